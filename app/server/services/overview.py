"""Views of the whole bus, for people: how much happens, which conversations there are, what waits for somebody."""

from __future__ import annotations

from msgspec import UNSET

from app.errors import Invalid
from app.model import (
    Activity,
    ActivityQuery,
    AgentPresence,
    Attention,
    AttentionCounts,
    AttentionQuery,
    DeliveryState,
    PresenceChange,
    PresenceHistory,
    PresenceQuery,
    Status,
    TaskStatus,
    ThreadList,
    ThreadListQuery,
    Traffic,
    TrafficBucket,
    TrafficCell,
    TrafficQuery,
)
from app.server.clock import parse_rfc3339, rfc3339
from app.server.services import search
from app.server.services.bus import Bus
from app.server.store import activity
from app.server.store import callbacks as callback_store
from app.server.store import overview as store
from app.server.store import tasks as task_store
from app.server.store.activity import BUCKET_MS, MINUTE_MS

#: Changes of one agent in an answer, the newest; agents in a page.
MAX_CHANGES, PRESENCE_PAGE = 200, 500
#: Pairs of sender and target in an answer.
MAX_CELLS = 2_000


def get_activity(bus: Bus, query: ActivityQuery) -> Activity:
    """Counts by the minute, none left out; the last is the minute that runs."""
    now = bus.clock.now_ms()
    last = now - now % MINUTE_MS
    first = last - (query.minutes - 1) * MINUTE_MS
    counts = {"messages": [0] * query.minutes, "claims": [0] * query.minutes, "lost_claims": [0] * query.minutes}
    with bus.store.read() as connection:
        for minute, *found in activity.list_minutes(connection, since_ms=first, upto_ms=last):
            for name, count in zip(counts, found, strict=True):
                counts[name][(minute - first) // MINUTE_MS] = count
    return Activity(from_=rfc3339(first), to=rfc3339(now), minutes=query.minutes, **counts)


def get_traffic(bus: Bus, query: TrafficQuery) -> Traffic:
    """Who wrote to whom, in the stretches that a span of time touches.

    :raises Invalid: an end of it is no instant.
    """
    since = 0 if query.since is None else _instant(query.since, field="since")
    until = bus.clock.now_ms() if query.until is None else _instant(query.until, field="until")
    span = {"since_ms": since - since % BUCKET_MS, "upto_ms": until}
    with bus.store.read() as connection:
        found = activity.list_traffic(connection, **span, limit=MAX_CELLS + 1)
        buckets = activity.list_buckets(connection, **span)
    return Traffic(
        cells=[TrafficCell(from_=sender, to=target, messages=count) for sender, target, count in found[:MAX_CELLS]],
        truncated=len(found) > MAX_CELLS,
        buckets=[TrafficBucket(at=rfc3339(at), messages=count) for at, count in buckets],
        bucket_s=BUCKET_MS // 1000,
    )


def _instant(text: str, *, field: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as exc:
        raise Invalid.field(field, str(exc)) from exc


def list_threads(bus: Bus, query: ThreadListQuery) -> ThreadList:
    """A page of conversations, the most recently active first."""
    if query.q is not None:
        search.catch_up(bus)
    now = bus.clock.now_ms()
    with bus.store.read() as connection:
        newest, following = store.list_threads(connection, query, now_ms=now)
        threads = store.describe_threads(connection, newest, now_ms=now)
    return ThreadList(threads=threads, next=UNSET if following is None else following)


def get_attention(bus: Bus, query: AttentionQuery) -> Attention:
    """What waits for a person.

    A message to ``human`` waits while it is unread and nobody has answered it as ``human``: who has read it has seen
    it, and whether it wants an answer only a person can say.
    """
    now, limit = bus.clock.now_ms(), query.limit
    with bus.store.read() as connection:
        unanswered, messages = store.list_unanswered(connection, limit=limit, now_ms=now)
        released, released_work = store.list_released(connection, limit=limit, now_ms=now)
        blocked = task_store.list_newest(connection, TaskStatus.BLOCKED, limit=limit)
        return Attention(
            messages=[*unanswered],
            blocked_tasks=[task_store.task_from_row(row) for row in blocked],
            released_work=[*released],
            dead_callbacks=callback_store.list_page(connection, limit=limit, state=DeliveryState.DEAD),
            counts=AttentionCounts(
                messages=messages,
                blocked_tasks=store.count_blocked(connection),
                released_work=released_work,
                dead_callbacks=store.count_dead(connection),
            ),
        )


def list_presence(bus: Bus, query: PresenceQuery) -> PresenceHistory:
    """For a page of agents, by id, what their cards showed from the window's start on."""
    now = bus.clock.now_ms()
    since = now - query.minutes * MINUTE_MS
    found: list[AgentPresence] = []
    with bus.store.read() as connection:
        agents = store.list_agents(connection, after=query.after or "", limit=PRESENCE_PAGE + 1)
        for agent_id, status, registered_at in agents[:PRESENCE_PAGE]:
            moments = [
                (event.at, event.status) for event in _life(store.list_cards(connection, agent_id, since_ms=since))
            ]
            # Without an event that is still held, it has been what it is.
            changes = _changes(moments or [(registered_at, status)], since_ms=since)
            found.append(AgentPresence(id=agent_id, changes=changes))
    more = len(agents) > PRESENCE_PAGE
    return PresenceHistory(from_=rfc3339(since), to=rfc3339(now), agents=found, next=found[-1].id if more else UNSET)


def _life(newest_first: list[store.CardEvent]) -> list[store.CardEvent]:
    """From the last registration on, oldest first: what an agent of the same id did before is another one's."""
    life: list[store.CardEvent] = []
    for event in newest_first:
        if event.type == "agent.removed":
            break
        life.append(event)
    return life[::-1]


def _changes(moments: list[tuple[int, Status]], *, since_ms: int) -> list[PresenceChange]:
    """Where the status differs from the one before; what held when the window began, began with it."""
    changes: list[PresenceChange] = []
    for at, status in moments:
        if not changes or changes[-1].status is not status:
            changes.append(PresenceChange(at=rfc3339(max(at, since_ms)), status=status))
    return changes[-MAX_CHANGES:]
