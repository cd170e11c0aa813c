"""Views of the whole bus: conversations, what waits for a person, how agents came and went.

Every walk has an index and an end: it looks at so many rows at most, whatever there is and whatever is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, TextClause, bindparam, select, text

from app.model import HUMAN, InboxMessage, Status, Thread, ThreadListQuery
from app.server.clock import rfc3339
from app.server.store import sqlite
from app.server.store.messages import MESSAGE_COLUMNS, within_budget
from app.server.store.schema import agents, messages

#: Messages that one page of threads looks at, newest first.
WINDOW = 5_000
#: Of the newest messages to ``human``, so many are looked at for unread ones.
UNREAD_WINDOW = 5_000
#: Of the newest releases, so many are looked at for work that is still open.
RELEASE_WINDOW = 5_000
#: Counting a thread's messages stops here.
THREAD_COUNT_LIMIT = 10_000
#: A thread's participants are looked for in so many of its oldest messages, and so many are named.
PARTICIPANT_WINDOW, MAX_PARTICIPANTS = 200, 12
#: Counting what waits for a person stops here.
ATTENTION_LIMIT = 1_000

_MARK = f"COALESCE((SELECT up_to FROM read_marks WHERE agent_id = '{HUMAN}' AND topic = '{HUMAN}'), 0)"
#: What may be unread for ``human``, newest first.
_MAIL = f"SELECT id FROM messages WHERE target = '{HUMAN}' AND id > {_MARK} ORDER BY id DESC LIMIT {UNREAD_WINDOW}"


def _unread(of: str) -> str:
    """Whether a message is unread for ``human``. With "+": it is looked up by its id or thread, never by its target."""
    return f"""(+{of}.target = '{HUMAN}' AND +{of}.sender <> '{HUMAN}' AND {of}.id > {_MARK}
        AND ({of}.expires_at IS NULL OR {of}.expires_at > :now)
        AND (NOT {of}.claimable OR {of}.claimed_by IS NULL OR +{of}.claimed_by = '{HUMAN}')
        AND NOT EXISTS (SELECT 1 FROM receipts q
            WHERE q.message_id = {of}.id AND q.agent_id = '{HUMAN}' AND q.read_at IS NOT NULL))"""


# -- threads -----------------------------------------------------------------------------------------------------------

#: The walk that leads, of the first of these that is given: ids, newest first, through one index.
_LEADS = {
    "q": f"SELECT rowid AS id FROM messages_fts WHERE {sqlite.SEARCH_MATCH} AND rowid < :before ORDER BY rowid DESC",
    "unread": f"SELECT id FROM messages WHERE target = '{HUMAN}' AND id > {_MARK} AND id < :before ORDER BY id DESC",
    # With "+": from the index of open work, which is short, and never along all that was ever sent.
    "open": "SELECT id FROM messages WHERE claimable AND claimed_by IS NULL AND +id < :before ORDER BY +id DESC",
    "from_": "SELECT id FROM messages WHERE sender = :from_ AND id < :before ORDER BY id DESC",
    "to": "SELECT id FROM messages WHERE target = :to AND id < :before ORDER BY id DESC",
    "agent": "SELECT id FROM messages WHERE sender = :agent AND id < :before UNION ALL "
    "SELECT id FROM messages WHERE target = :agent AND sender <> :agent AND id < :before ORDER BY id DESC",
    "channel": "SELECT id FROM messages WHERE channel = :channel AND id < :before ORDER BY id DESC",
    "": "SELECT id FROM messages WHERE id < :before ORDER BY id DESC",
}
#: What is asked of a message. With "+": it is found by its id or its thread, and by no other index.
_FILTERS = {
    # A hit of this page's walk, or one of the pages before: the rest of a common word's hits is nobody's concern.
    "q": "(+{0}.id IN (SELECT id FROM w) OR +{0}.id IN (SELECT rowid FROM messages_fts WHERE "
    + sqlite.SEARCH_MATCH
    + " AND rowid >= :before))",
    "open": "({0}.claimable AND +{0}.claimed_by IS NULL AND ({0}.expires_at IS NULL OR {0}.expires_at > :now))",
    "from_": "+{0}.sender = :from_",
    "to": "+{0}.target = :to",
    "agent": "(+{0}.sender = :agent OR +{0}.target = :agent)",
    "channel": "+{0}.channel = :channel",
}


def list_threads(
    connection: Connection, query: ThreadListQuery, *, now_ms: int
) -> tuple[list[InboxMessage], int | None]:
    """The newest matching message of each thread that has one, newest first; and where the following page begins.

    A page ends early where the walk does: then it is shorter than asked for, or empty, and still has a next.
    """
    given = [name for name in _LEADS if name and getattr(query, name) not in (None, False)]
    params: dict[str, object] = {name: getattr(query, name) for name in ("from_", "to", "agent", "channel")}
    params |= {"before": query.before or 2**63 - 1, "now": now_ms, "window": WINDOW, "limit": query.limit + 1}
    if query.q is not None:
        expression = sqlite.search_expression(query.q)
        if not expression:
            return [], None
        params["search_query"] = expression
    lead = f"{_LEADS[given[0] if given else '']} LIMIT :window"

    def matches(of: str, names: Sequence[str]) -> str:
        return "".join(f" AND {_unread(of) if name == 'unread' else _FILTERS[name].format(of)}" for name in names)

    # CROSS JOIN keeps the order of the walk, and the walk stops as soon as the page is full. A search is not left off
    # in the middle: its hits are asked for again, of each message that might be newer in its thread.
    walk = text(
        f"WITH w AS {'MATERIALIZED ' if query.q else ''}({lead}) "
        "SELECT m.id FROM w CROSS JOIN messages m ON m.id = w.id WHERE NOT EXISTS (SELECT 1 FROM messages newer "
        f"WHERE newer.thread_id = m.thread_id AND newer.id > m.id{matches('newer', given)})"
        f"{matches('m', [name for name in given if name != 'q'])} LIMIT :limit"
    )
    ids: list[int] = list(connection.execute(walk, _used(walk, params)).scalars())
    found = _by_ids(connection, ids[: query.limit])
    if len(ids) > query.limit or len(found) < len(ids):
        return found, found[-1].id
    end = text(f"SELECT MIN(id), COUNT(*) FROM ({lead}) AS w")
    last: Any
    last, seen = connection.execute(end, _used(end, params)).one()
    return found, last if seen == WINDOW else None


def _used(statement: TextClause, params: dict[str, object]) -> dict[str, object]:
    """Those that a statement names."""
    return {name: value for name, value in params.items() if name in statement._bindparams}


_BY_IDS = select(*MESSAGE_COLUMNS).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_BY_IDS_NEWEST = _BY_IDS.order_by(messages.c.id.desc())


def _by_ids(connection: Connection, ids: Sequence[int]) -> list[InboxMessage]:
    """Messages, newest first, as many as a page may hold."""
    return within_budget(connection.execute(_BY_IDS_NEWEST, {"ids": ids}))


_THREADS = "(SELECT DISTINCT thread_id FROM messages WHERE id IN :ids) AS t"
_HEADS = text(
    f"""SELECT t.thread_id, m.subject, m.channel, m.sender, m.target, m.task_id, m.created_at,
    (SELECT COUNT(*) FROM (SELECT 1 FROM messages c WHERE c.thread_id = t.thread_id LIMIT {THREAD_COUNT_LIMIT}) AS n)
    FROM {_THREADS} CROSS JOIN messages m
        ON m.id = (SELECT MIN(x.id) FROM messages x WHERE x.thread_id = t.thread_id)"""
).bindparams(bindparam("ids", expanding=True))
_PARTICIPANTS = text(
    f"""SELECT t.thread_id, m.sender, MIN(m.id) AS first FROM {_THREADS} CROSS JOIN messages m ON m.id IN
    (SELECT p.id FROM messages p WHERE p.thread_id = t.thread_id ORDER BY p.id LIMIT {PARTICIPANT_WINDOW})
    GROUP BY t.thread_id, m.sender ORDER BY first"""
).bindparams(bindparam("ids", expanding=True))
_UNREAD_THREADS = text(
    f"""SELECT x.thread_id, COUNT(*) FROM ({_MAIL}) AS w CROSS JOIN messages x ON x.id = w.id
    WHERE {_unread("x")} GROUP BY x.thread_id"""
)


def describe_threads(connection: Connection, newest: Sequence[InboxMessage], *, now_ms: int) -> list[Thread]:
    """Each message's thread, in the same order."""
    if not newest:
        return []
    ids = {"ids": [message.id for message in newest]}
    heads = {row[0]: row for row in connection.execute(_HEADS, ids)}
    senders: dict[int, list[str]] = {}
    rows: Iterable[Any] = connection.execute(_PARTICIPANTS, ids)
    for thread_id, sender, _ in rows:
        senders.setdefault(thread_id, []).append(sender)
    unread = {row[0]: row[1] for row in connection.execute(_UNREAD_THREADS, {"now": now_ms})}
    found: list[Thread] = []
    for message in newest:
        head = heads.get(message.thread_id)
        if head is None:
            continue  # deleted since it was found: each statement sees the newest commit
        found.append(
            Thread(
                id=message.thread_id,
                subject=head[1],
                channel=head[2],
                from_=head[3],
                to=head[4],
                task_id=head[5],
                started_at=rfc3339(head[6]),
                count=head[7],
                participants=senders.get(message.thread_id, [])[:MAX_PARTICIPANTS],
                unread=unread.get(message.thread_id, 0),
                last=message,
            )
        )
    return found


# -- attention ---------------------------------------------------------------------------------------------------------

_UNANSWERED = text(
    f"""SELECT x.id FROM ({_MAIL}) AS w CROSS JOIN messages x ON x.id = w.id WHERE {_unread("x")}
    AND NOT EXISTS (SELECT 1 FROM messages answer
        WHERE answer.thread_id = x.thread_id AND answer.sender = '{HUMAN}' AND answer.id > x.id) LIMIT :limit"""
)
_RELEASED = text(
    f"""SELECT m.id FROM (SELECT seq, message_id FROM events WHERE type = 'message.released'
        ORDER BY seq DESC LIMIT {RELEASE_WINDOW}) AS e CROSS JOIN messages m ON m.id = e.message_id
    WHERE m.claimable AND m.claimed_by IS NULL AND (m.expires_at IS NULL OR m.expires_at > :now)
    AND NOT EXISTS (SELECT 1 FROM events later WHERE later.message_id = e.message_id AND later.seq > e.seq
        AND later.type IN ('message.claimed', 'message.released')) LIMIT :limit"""
)
_BLOCKED = text(
    "SELECT COUNT(*) FROM (SELECT 1 FROM tasks WHERE status = 'blocked' AND closed_at IS NULL LIMIT :limit) AS n"
)
_DEAD = text("SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE state = 'dead' LIMIT :limit) AS n")


def list_unanswered(connection: Connection, *, limit: int, now_ms: int) -> tuple[list[InboxMessage], int]:
    """Messages to ``human`` that it has neither read nor answered, newest first; and how many there are."""
    ids: list[int] = list(connection.execute(_UNANSWERED, {"now": now_ms, "limit": ATTENTION_LIMIT}).scalars())
    return _by_ids(connection, ids[:limit]), len(ids)


def list_released(connection: Connection, *, limit: int, now_ms: int) -> tuple[list[InboxMessage], int]:
    """Work that was given back and that nobody holds, what was released last first; and how much there is."""
    ids: list[int] = list(connection.execute(_RELEASED, {"now": now_ms, "limit": ATTENTION_LIMIT}).scalars())
    place = {message_id: number for number, message_id in enumerate(ids)}
    return sorted(_by_ids(connection, ids[:limit]), key=lambda message: place[message.id]), len(ids)


def count_blocked(connection: Connection) -> int:
    """Tasks that wait for something."""
    return int(connection.execute(_BLOCKED, {"limit": ATTENTION_LIMIT}).scalar_one())


def count_dead(connection: Connection) -> int:
    """Callbacks that were given up."""
    return int(connection.execute(_DEAD, {"limit": ATTENTION_LIMIT}).scalar_one())


# -- presence ----------------------------------------------------------------------------------------------------------

#: Of an agent's newest events, so many are looked at; most of them change no status.
PRESENCE_WINDOW = 1_000

_AGENTS = (
    select(agents.c.id, agents.c.status, agents.c.registered_at)
    .where(agents.c.id > bindparam("after"))
    .order_by(agents.c.id)
    .limit(bindparam("limit"))
)
_CARDS = text(
    f"""SELECT seq, type, data, created_at FROM events
    WHERE agent_id = :agent AND type IN ('agent.registered', 'agent.status', 'agent.removed') AND seq < :before
    ORDER BY seq DESC LIMIT {PRESENCE_WINDOW}"""
)


class _Card(Struct):
    status: Status


_card = msgspec.json.Decoder(_Card).decode


class CardEvent(Struct, frozen=True):
    """What an agent's card showed from some moment on."""

    seq: int
    type: str
    status: Status
    at: int


def list_agents(connection: Connection, *, after: str, limit: int) -> list[tuple[str, Status, int]]:
    """Agents by id: (id, status, registered at)."""
    rows = connection.execute(_AGENTS, {"after": after, "limit": limit})
    return [(row[0], Status(row[1]), row[2]) for row in rows]


def list_cards(connection: Connection, agent_id: str, *, before: int = 2**63 - 1, since_ms: int = 0) -> list[CardEvent]:
    """An agent's own events, newest first, up to its last registration or the one that held at an instant.

    :param since_ms: the first event that is not younger is the last one of the answer.
    """
    found: list[CardEvent] = []
    rows: Any
    with connection.execute(_CARDS, {"agent": agent_id, "before": before}) as rows:
        for seq, kind, data, at in rows:
            found.append(CardEvent(seq, kind, _card(data).status, at))
            if at <= since_ms:
                break
    return found
