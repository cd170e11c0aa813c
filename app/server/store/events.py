"""The log: append to it inside a transaction, read it from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, select, text, update

from app.model import Message
from app.server.clock import rfc3339_or_none
from app.server.events import Event
from app.server.store import sqlite, tasks
from app.server.store.messages import MESSAGE_COLUMNS, message_from_row
from app.server.store.schema import counters, events, messages

_COLUMNS = ("seq", "type", "message_id", "agent_id", "topic", "sender", "data", "created_at")

_ALLOCATE = (
    update(counters)
    .where(counters.c.name == "seq")
    .values(value=counters.c.value + bindparam("count"))
    .returning(counters.c.value)
)
_COUNTER = select(counters.c.value).where(counters.c.name == bindparam("counter"))

#: Events about a message whose data stands in the log as a whole.
_COMPLETE = ("message.read", "message.deleted")
#: What there still is something to say of. Left out by the database itself: whoever reads a page that is not full takes
#: it for the end of the log.
_SHOWN = (
    f"(events.message_id IS NULL OR events.type IN {_COMPLETE!r} "
    "OR (CASE WHEN substr(events.type, 1, 5) = 'task.' "
    "THEN EXISTS (SELECT 1 FROM task_events WHERE task_events.seq = events.seq) ELSE messages.id IS NOT NULL END))"
)
_TAIL = (
    select(
        events.c.seq, events.c.type, events.c.message_id, events.c.agent_id, events.c.topic, events.c.sender,
        events.c.data,
        *MESSAGE_COLUMNS,
    )
    .select_from(events.outerjoin(messages, messages.c.id == events.c.message_id))
    .where(events.c.seq > bindparam("after"), events.c.seq <= bindparam("upto"), text(_SHOWN))
    .order_by(events.c.seq)
    .limit(bindparam("limit"))
)  # fmt: skip

_TAIL_COLUMNS = ", ".join(f"{column.table.name}.{column.name}" for column in _TAIL.selected_columns)

#: The part of the log that concerns one agent: what goes to its inbox, what it sent, what is said of itself.
_TAIL_FOR = _TAIL.where(
    text(
        "(events.sender = :agent OR (events.topic IS NULL AND events.agent_id = :agent) OR EXISTS ("
        "SELECT 1 FROM subscriptions s WHERE s.agent_id = :agent AND s.topic = events.topic "
        "AND (events.message_id > s.since_id OR messages.claimable)))"
    )
)


class LogEntry(Struct, frozen=True):
    """One event as listeners get it."""

    seq: int
    type: str
    agent_id: str | None
    topic: str | None
    sender: str | None
    #: the message's id where the event is about one
    message_id: int | None
    #: JSON
    data: bytes


def allocate(connection: Connection, count: int) -> int:
    """Take ``count`` sequence numbers; the first is returned. They are given out in the order of commits."""
    last: int = connection.execute(_ALLOCATE, {"count": count}).scalar_one()
    return last - count + 1


def append(connection: Connection, new: Sequence[Event], *, now_ms: int) -> int:
    """Write events with numbers of their own.

    :returns: the last number given.
    """
    first = allocate(connection, len(new))
    insert(connection, enumerate(new, start=first), now_ms=now_ms)
    return first + len(new) - 1


def insert(connection: Connection, numbered: Iterable[tuple[int, Event]], *, now_ms: int) -> None:
    """Write events under numbers that :func:`allocate` gave."""
    rows = [
        (
            seq,
            e.type,
            e.message_id,
            e.agent_id,
            e.topic,
            e.sender,
            None if e.data is None else sqlite.as_json(e.data),
            now_ms,
        )
        for seq, e in numbered
    ]
    sqlite.insert_many(connection, events, rows, _COLUMNS)


def head(connection: Connection) -> int:
    """The newest sequence number."""
    return counter(connection, "seq")


def floor(connection: Connection) -> int:
    """The newest sequence number that retention has removed: replay works from here on."""
    return counter(connection, "floor")


def counter(connection: Connection, name: str) -> int:
    """One of the shared numbers."""
    value: int = connection.execute(_COUNTER, {"counter": name}).scalar_one()
    return value


def add_to_counter(connection: Connection, name: str, delta: int) -> None:
    """Change one of the shared numbers."""
    connection.execute(_ADD, {"counter": name, "delta": delta})


_ADD = (
    update(counters).where(counters.c.name == bindparam("counter")).values(value=counters.c.value + bindparam("delta"))
)


def tail(connection: Connection, *, after: int, upto: int, limit: int, agent_id: str | None = None) -> list[LogEntry]:
    """Events in ``(after, upto]``, oldest first; with ``agent_id`` only those that concern it.

    Events about a message that has since been deleted are left out, except the deletion itself; so are those of tasks
    that have aged out.
    """
    rows: Iterable[Any]
    if agent_id is None:
        rows = sqlite.tail(connection, columns=_TAIL_COLUMNS, where=_SHOWN, after=after, upto=upto, limit=limit)
    else:
        params = {"after": after, "upto": upto, "limit": limit, "agent": agent_id}
        rows = connection.execute(_TAIL_FOR, params)
    entries: list[LogEntry] = []
    rows = list(rows)
    moments = tasks.snapshots(connection, [row[0] for row in rows if row[1].startswith("task.")])
    for row in rows:
        seq, kind, message_id, about, topic, sender, data = row[:7]
        if message_id is None or kind in _COMPLETE:
            payload = (data or "{}").encode()
        elif kind.startswith("task."):
            payload = moments[seq].encode()
        else:
            payload = _encode(_as_it_was(message_from_row(row[7:]), data))
        entries.append(LogEntry(seq, kind, about, topic, sender, message_id, payload))
    return entries


_encode = msgspec.json.Encoder().encode


def _as_it_was(message: Message, data: str | None) -> Message:
    """Claims change a message after its announcement; show each event's own moment."""
    claimed_by, claimed_at = msgspec.json.decode(data, type=tuple[str | None, int | None]) if data else (None, None)
    message.claimed_by = claimed_by
    message.claimed_at = rfc3339_or_none(claimed_at)
    return message
