"""Counts of what belongs to an integration; each goes by an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, select, text

from app.model import DeliveryState
from app.server.store.schema import deliveries, tasks


class Figures(Struct, frozen=True, kw_only=True):
    """What one integration has."""

    #: active tasks
    tasks: int
    pending_callbacks: int
    #: when an event came for an active task, or for the newest one; None where there are no tasks
    last_seen_at: int | None


_of_source = tasks.c.source == bindparam("name")
_NEWEST_SEEN = select(tasks.c.last_seen_at).where(_of_source).order_by(tasks.c.id.desc()).limit(1)
# What is open in two halves, without and with a value in the second column of its partial index: by the first column
# alone SQLite takes the index of all that ever was just as well, whichever was made first.
_ACTIVE, _SEEN = (
    [
        select(what).where(_of_source, tasks.c.closed_at.is_(None), half)
        for half in (tasks.c.dedupe_key.is_(None), tasks.c.dedupe_key >= "")
    ]
    for what in (func.count(tasks.c.id), func.max(tasks.c.last_seen_at))
)
_PENDING = [
    select(func.count(deliveries.c.id)).where(
        text("deliveries.state = 'pending'"), deliveries.c.integration == bindparam("name"), half
    )
    for half in (deliveries.c.next_at.is_(None), deliveries.c.next_at >= 0)
]
_FIGURES = select(*(each.scalar_subquery() for each in (*_ACTIVE, *_PENDING, *_SEEN, _NEWEST_SEEN)))
_DEAD = (
    select(deliveries.c.integration, func.count())
    .where(deliveries.c.state == DeliveryState.DEAD.value)
    .group_by(deliveries.c.integration)
)


def figures(connection: Connection, name: str) -> Figures:
    """What this integration has."""
    row: Sequence[Any] = connection.execute(_FIGURES, {"name": name}).one()
    seen = [at for at in row[4:] if at is not None]
    return Figures(tasks=sum(row[:2]), pending_callbacks=sum(row[2:4]), last_seen_at=max(seen, default=None))


def count_dead(connection: Connection) -> dict[str, int]:
    """Callbacks that were given up, by integration."""
    return {row[0]: row[1] for row in connection.execute(_DEAD)}
