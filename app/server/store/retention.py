"""Deleting what is old, a little at a time."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, select, update

from app.server.store import callbacks, tasks
from app.server.store.events import add_to_counter
from app.server.store.schema import counters, events, messages, receipts
from app.server.store.schema import tasks as tasks_table

_OLDEST_MESSAGES = (
    select(messages.c.id, messages.c.created_at)
    .where(messages.c.id > bindparam("after"))
    .order_by(messages.c.id)
    .limit(bindparam("limit"))
)
_OF_ACTIVE_TASKS = select(tasks_table.c.id).where(
    tasks_table.c.id.in_(bindparam("ids", expanding=True)), tasks_table.c.closed_at.is_(None)
)
_DROP_MESSAGES = delete(messages).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_DROP_RECEIPTS = delete(receipts).where(receipts.c.message_id.in_(bindparam("ids", expanding=True)))
_first = select(events.c.seq, events.c.created_at).order_by(events.c.seq).limit(bindparam("limit")).subquery()
_OLDEST_EVENTS = select(func.max(_first.c.seq), func.count()).where(_first.c.created_at < bindparam("cutoff"))
_DROP_EVENTS = delete(events).where(events.c.seq <= bindparam("upto"))
_SET_FLOOR = update(counters).where(counters.c.name == "floor").values(value=bindparam("upto"))


def delete_old_messages(connection: Connection, *, after: int, cutoff_ms: int, limit: int) -> int | None:
    """Look at the next ``limit`` messages after an id and delete those older than the cut-off, but no active task's.

    :returns: the id to go on after, or None when the rest is younger.
    """
    rows = connection.execute(_OLDEST_MESSAGES, {"after": after, "limit": limit}).all()
    old = [row[0] for row in rows if row[1] < cutoff_ms]
    kept: set[int] = set(connection.execute(_OF_ACTIVE_TASKS, {"ids": old}).scalars()) if old else set()
    dropped = [message_id for message_id in old if message_id not in kept]
    if dropped:
        connection.execute(_DROP_MESSAGES, {"ids": dropped})
        connection.execute(_DROP_RECEIPTS, {"ids": dropped})
        add_to_counter(connection, "messages", -len(dropped))
    # Ids follow time except where the clock was set back: a page without a single old message ends the walk.
    return rows[-1][0] if len(rows) == limit and old else None


def delete_old_tasks(connection: Connection, *, cutoff_ms: int, limit: int) -> bool:
    """Delete tasks that were closed before the cut-off, their histories and their callbacks.

    :returns: whether there may be more.
    """
    ids = tasks.delete_some(connection, closed_before_ms=cutoff_ms, limit=limit)
    if ids:
        callbacks.delete_of_tasks(connection, ids)
    return len(ids) == limit


def delete_old_events(connection: Connection, *, cutoff_ms: int, limit: int) -> bool:
    """Delete the oldest events, as far as they are older than the cut-off, and raise the floor of replay.

    :returns: whether there may be more.
    """
    row = connection.execute(_OLDEST_EVENTS, {"limit": limit, "cutoff": cutoff_ms}).one()
    upto, count = row
    if upto is None:
        return False
    connection.execute(_DROP_EVENTS, {"upto": upto})
    connection.execute(_SET_FLOOR, {"upto": upto})
    return bool(count == limit)
