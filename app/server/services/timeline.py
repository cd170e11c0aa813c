"""Timelines: all that happened in a conversation, to a task, or with an agent, from wherever it is written down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection

from app.errors import AgentNotFound, Invalid, MessageNotFound
from app.model import (
    HUMAN,
    MAX_ID,
    AgentTimeline,
    AgentTimelineQuery,
    Lane,
    Message,
    TaskEvent,
    Timeline,
    TimelineEntry,
)
from app.server.clock import rfc3339
from app.server.services.bus import Bus
from app.server.store import activity, overview
from app.server.store import agents as agent_store
from app.server.store import messages as message_store
from app.server.store import tasks as task_store
from app.server.store import timeline as store
from app.server.store.timeline import AttemptEvent, ClaimEvent, ReceiptRow

#: Entries of an answer.
MAX_ENTRIES = 1_000
#: What an entry shows of a text.
TEXT_CHARS = 120

#: An entry, its instant in milliseconds, and its number in the log, or of what it is about.
_Moment = tuple[int, int, TimelineEntry]


def of_message(bus: Bus, message_id: int) -> Timeline:
    """All that happened in the conversation that a message belongs to, oldest first."""
    with bus.store.read() as connection:
        thread_id = message_store.thread_ids(connection, [message_id]).get(message_id)
        found = store.list_thread(connection, thread_id or message_id, limit=MAX_ENTRIES + 1, chars=TEXT_CHARS + 1)
        if not found:
            raise MessageNotFound(f"No message has the id {message_id}; it may have been deleted or have aged out.")
        return _timeline(connection, found, task_ids={m.task_id for m in found if m.task_id is not None})


def of_task(bus: Bus, task_id: int) -> Timeline:
    """All that happened to a task and in its conversation, oldest first; its message may be gone."""
    with bus.store.read() as connection:
        task_store.get(connection, task_id)
        found = store.list_thread(connection, task_id, limit=MAX_ENTRIES + 1, chars=TEXT_CHARS + 1)
        return _timeline(connection, found, task_ids={task_id})


def _timeline(connection: Connection, messages: Sequence[Message], *, task_ids: set[int]) -> Timeline:
    # A task's claims are under its id, which is its message's, also when that is gone.
    ids = sorted({message.id for message in messages} | task_ids)
    claims = store.list_claims(connection, ids)
    receipts = store.list_receipts(connection, ids)
    moments: list[_Moment] = [*map(_sent, messages), *map(_claimed, _with_holders(claims))]
    for receipt in receipts:
        moments.extend(_received(receipt))
    whole = len(messages) <= MAX_ENTRIES and max(len(claims), len(receipts)) < store.ROWS
    for task_id in task_ids:
        history, more = task_store.list_history(connection, task_id, since=0, limit=MAX_ENTRIES)
        attempts = store.list_attempts(connection, task_id)
        moments += [_moved(task_id, event) for event in history]
        moments += [_called_back(task_id, attempt) for attempt in attempts]
        whole = whole and not more and len(attempts) < store.ROWS
    moments.sort(key=lambda moment: moment[:2])
    return Timeline(
        entries=[entry for *_, entry in moments[:MAX_ENTRIES]], truncated=len(moments) > MAX_ENTRIES or not whole
    )


def _with_holders(claims: Iterable[ClaimEvent]) -> Iterator[ClaimEvent]:
    """Releases that were written before they named who gave back: whoever claimed last."""
    holder: dict[int, str | None] = {}
    for claim in claims:
        by = claim.agent_id or holder.get(claim.message_id)
        holder[claim.message_id] = by
        yield claim if claim.agent_id else ClaimEvent(claim.seq, claim.type, claim.message_id, by, claim.at)


# -- an agent's --------------------------------------------------------------------------------------------------------


class _Cursor(Struct, frozen=True):
    """Where the page before ended: in the log, and among lost claims, which have no number in it."""

    seq: int = MAX_ID
    lost_at: int = MAX_ID
    lost_message: int = MAX_ID

    def __str__(self) -> str:
        return f"{self.seq}.{self.lost_at}.{self.lost_message}"


_CURSOR = re.compile(r"(\d{1,19})\.(\d{1,19})\.(\d{1,19})", re.ASCII)


def _cursor(given: str | None) -> _Cursor:
    if given is None:
        return _Cursor()
    match = _CURSOR.fullmatch(given)
    if match is None or max(map(int, match.groups())) > MAX_ID:
        raise Invalid.field("before", "must be the next of the page before")
    return _Cursor(*map(int, match.groups()))


def of_agent(bus: Bus, agent_id: str, query: AgentTimelineQuery) -> AgentTimeline:
    """A page of what an agent did and what came to it alone, newest first."""
    cursor, limit = _cursor(query.before), query.limit
    with bus.store.read() as connection:
        logged, rest = _logged(connection, agent_id, before=cursor.seq, limit=limit + 1)
        last = (cursor.lost_at, cursor.lost_message)
        losses = activity.list_losses(connection, agent_id, before=last, limit=limit + 1)
        known = agent_id == HUMAN or agent_store.find(connection, agent_id) is not None
    if not known and not logged and not losses and query.before is None:
        raise AgentNotFound(f"No agent {agent_id} is registered; register it with POST /api/agents.")
    lost = [_lost(message_id, agent_id, holder, at) for message_id, at, holder in losses]
    entries: list[TimelineEntry] = []
    i = j = 0
    while len(entries) < limit:
        if i == len(logged) and rest is not None:
            break  # what comes next in the log may be younger than the next loss: it is the following page's to say
        if i < len(logged) and (j == len(lost) or logged[i][0] >= lost[j][0]):
            entries.append(logged[i][2])
            i += 1
        elif j < len(lost):
            entries.append(lost[j][2])
            j += 1
        else:
            return AgentTimeline(entries=entries)
    if i == len(logged) and j == len(lost) and rest is None:
        return AgentTimeline(entries=entries)
    seq = logged[i - 1][1] if i else cursor.seq
    following = _Cursor(
        rest if rest is not None and i == len(logged) else seq,
        losses[j - 1][1] if j else cursor.lost_at,
        losses[j - 1][0] if j else cursor.lost_message,
    )
    return AgentTimeline(entries=entries, next=str(following))


def _logged(connection: Connection, agent_id: str, *, before: int, limit: int) -> tuple[list[_Moment], int | None]:
    """An agent's moments that have a number in the log, newest first; and where the rest begins, if there is one."""
    messages = store.list_messages_of(connection, agent_id, before=before, limit=limit, chars=TEXT_CHARS + 1)
    claims = store.list_claims_by(connection, agent_id, before=before, limit=limit)
    cards = overview.list_cards(connection, agent_id, before=before)
    # One more than is shown: whether the oldest one is a change, only the one before it tells.
    whole = len(cards) < overview.PRESENCE_WINDOW
    shown = cards if whole else cards[:-1]
    ends = [
        messages[-1].id if len(messages) == limit else 0,
        claims[-1].seq if len(claims) == limit else 0,
        0 if whole else shown[-1].seq,
    ]
    moments = [*map(_sent, messages), *map(_claimed, claims)]
    for number, card in enumerate(shown):
        older = cards[number + 1] if number + 1 < len(cards) else None
        if older is None or card.type != "agent.status" or card.status is not older.status:
            moments.append(_showed(agent_id, card))
    end = max(ends)
    moments = sorted((moment for moment in moments if moment[1] >= end), key=lambda moment: -moment[1])
    return moments, end or None


# -- one moment --------------------------------------------------------------------------------------------------------


def _entry(lane: Lane, event: str, at: int, number: int, text: str, **fields: Any) -> _Moment:
    fields = {"message_id": None, "task_id": None, "by": None, "to": None, "data": {}} | fields
    return at, number, TimelineEntry(at=rfc3339(at), lane=lane, event=event, text=text, **fields)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARS else f"{line[: TEXT_CHARS - 1]}…"


def _ms(instant: str) -> int:
    """Of an instant as we write it."""
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


def _sent(message: Message) -> _Moment:
    return _entry(
        Lane.MESSAGE,
        "message.new",
        _ms(message.created_at),
        message.id,
        f"{message.from_} to {message.to}: {_short(message.subject or message.body)}",
        message_id=message.id,
        task_id=message.task_id,
        by=message.from_,
        to=message.to,
        data={
            "subject": message.subject,
            "kind": message.kind,
            "priority": message.priority,
            "claimable": message.claimable,
            "replyTo": message.reply_to,
        },
    )


def _claimed(claim: ClaimEvent) -> _Moment:
    did = "claimed" if claim.type == "message.claimed" else "released"
    return _entry(
        Lane.CLAIM,
        claim.type,
        claim.at,
        claim.seq,
        f"{claim.agent_id or 'its claimant'} {did} message {claim.message_id}",
        message_id=claim.message_id,
        by=claim.agent_id,
    )


def _lost(message_id: int, agent_id: str, holder: str, at: int) -> _Moment:
    return _entry(
        Lane.CLAIM,
        "claim.lost",
        at,
        MAX_ID,  # it has no number: after what happened in the same millisecond, for that is what it lost to
        f"{agent_id} lost message {message_id} to {holder}",
        message_id=message_id,
        by=agent_id,
        to=holder,
    )


def _received(row: ReceiptRow) -> Iterator[_Moment]:
    about = {"message_id": row.message_id, "by": row.agent_id}
    if row.delivered_at is not None:
        text, data = f"delivered to {row.agent_id} by {row.delivered_by}", {"adapter": row.delivered_by}
        yield _entry(Lane.MESSAGE, "message.delivered", row.delivered_at, row.message_id, text, data=data, **about)
    if row.read_at is not None:
        text = f"{row.agent_id} read message {row.message_id}"
        yield _entry(Lane.MESSAGE, "message.read", row.read_at, row.message_id, text, **about)
    if row.lost_at is not None:
        yield _lost(row.message_id, row.agent_id, row.lost_to or "", row.lost_at)


_TASK_WORDS = {"task.created": "made task", "task.updated": "updated task", "task.claimed": "claimed task"}


def _moved(task_id: int, event: TaskEvent) -> _Moment:
    words = _TASK_WORDS.get(event.event)
    text = f"{event.by} {words} {task_id}" if words else f"{event.by} moved task {task_id} to {event.status.value}"
    if event.progress is not None:
        text += f", {event.progress} %"
    if event.note is not None:
        text += f": {_short(event.note)}"
    return _entry(
        Lane.STATUS,
        event.event,
        _ms(event.at),
        event.id,
        text,
        task_id=task_id,
        message_id=task_id,
        by=event.by,
        data={
            "status": event.status,
            "severity": event.severity,
            "claimedBy": event.claimed_by,
            "progress": event.progress,
            "note": event.note,
            "occurrenceCount": event.occurrence_count,
        },
    )


def _called_back(task_id: int, attempt: AttemptEvent) -> _Moment:
    outcome = attempt.error or f"answered {attempt.status}"
    return _entry(
        Lane.CALLBACK,
        "callback.attempt",
        attempt.at,
        attempt.delivery_id,
        f"attempt {attempt.number} to tell {attempt.integration} of {attempt.event}: {_short(outcome)}",
        task_id=task_id,
        to=attempt.integration,
        data={
            "deliveryId": attempt.delivery_id,
            "event": attempt.event,
            "number": attempt.number,
            "status": attempt.status,
            "error": attempt.error,
        },
    )


def _showed(agent_id: str, card: overview.CardEvent) -> _Moment:
    words = {"agent.registered": "registered", "agent.removed": "left or was dropped"}
    text = f"{agent_id} {words.get(card.type) or f'is {card.status.value}'}"
    data = {"status": card.status}
    return _entry(Lane.STATUS, card.type, card.at, card.seq, text, by=agent_id, data=data)
