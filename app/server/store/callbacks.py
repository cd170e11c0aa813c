"""The outbox: callbacks that are to be delivered, and what came of each attempt."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update
from sqlalchemy.sql import Select

from app.errors import DeliveryNotFound
from app.model import Attempt, Delivery, DeliveryState
from app.server.clock import rfc3339, rfc3339_or_none
from app.server.store import sqlite
from app.server.store.schema import attempts, deliveries, task_events


class DeliveryRow(Struct, kw_only=True, array_like=True):
    """A delivery as stored."""

    id: int
    task_id: int
    integration: str
    event: str
    webhook_id: str
    state: str
    next_at: int | None
    give_up_at: int
    tries: int
    created_at: int
    delivered_at: int | None


class AttemptRow(Struct, frozen=True, kw_only=True):
    """An attempt about to be stored; its number is given by the store."""

    at: int
    duration_ms: int
    status: int | None
    error: str | None
    response: str | None


class Due(Struct, frozen=True, kw_only=True):
    """A delivery that is to be tried now."""

    id: int
    task_id: int
    integration: str
    event: str
    webhook_id: str
    #: the task as it stood, in JSON
    task: str


_NAMES = DeliveryRow.__struct_fields__
_ROW = select(*deliveries.c)
_GET = _ROW.where(deliveries.c.id == bindparam("delivery"))
_WITH_PENDING = (
    select(deliveries.c.task_id)
    .where(deliveries.c.state == text("'pending'"), deliveries.c.task_id.in_(bindparam("tasks", expanding=True)))
    .distinct()
)
# The words of the partial indexes, so that they serve.
_pending = text("deliveries.state = 'pending'")
_DUE = (
    select(
        deliveries.c.id, deliveries.c.task_id, deliveries.c.integration, deliveries.c.event, deliveries.c.webhook_id,
        task_events.c.task,
    )
    .join_from(deliveries, task_events, task_events.c.seq == deliveries.c.id)
    .where(_pending, deliveries.c.integration == bindparam("integration"), deliveries.c.next_at <= bindparam("now"))
    .order_by(deliveries.c.next_at, deliveries.c.id)
    .limit(bindparam("limit"))
)  # fmt: skip
_NEXT = select(func.min(deliveries.c.next_at)).where(
    _pending, deliveries.c.integration == bindparam("integration"), deliveries.c.next_at > bindparam("now")
)
_OVERDUE = _ROW.where(
    _pending,
    deliveries.c.integration == bindparam("integration"),
    deliveries.c.next_at.is_not(None),
    deliveries.c.give_up_at < bindparam("until"),
).limit(bindparam("limit"))
_INTEGRATIONS = select(deliveries.c.integration).where(_pending).distinct()
_OPEN_NEXT = (
    update(deliveries)
    .where(
        deliveries.c.id
        == select(func.min(deliveries.c.id))
        .where(_pending, deliveries.c.task_id == bindparam("task"))
        .scalar_subquery(),
    )
    .values(next_at=bindparam("now"))
)
_SHIFT = (
    update(deliveries)
    .where(_pending)
    .values(next_at=deliveries.c.next_at + bindparam("by"), give_up_at=deliveries.c.give_up_at + bindparam("by"))
)
_UPDATE = update(deliveries).where(deliveries.c.id == bindparam("delivery"))
_LAST_NUMBER = select(func.max(attempts.c.number)).where(attempts.c.delivery_id == bindparam("delivery"))
_ATTEMPTS = (
    select(*attempts.c)
    .where(attempts.c.delivery_id.in_(bindparam("ids", expanding=True)))
    .order_by(attempts.c.delivery_id, attempts.c.number)
)
_COUNTS = (
    select(deliveries.c.state, func.count())
    .where(deliveries.c.state.in_([DeliveryState.PENDING.value, DeliveryState.DEAD.value]))
    .group_by(deliveries.c.state)
)


def _row(row: Sequence[Any]) -> DeliveryRow:
    return DeliveryRow(**dict(zip(_NAMES, row, strict=True)))


def put(connection: Connection, rows: Sequence[DeliveryRow]) -> None:
    """Write deliveries, with one statement however many they are."""
    sqlite.insert_many(connection, deliveries, rows, _NAMES)


def tasks_with_pending(connection: Connection, task_ids: Collection[int]) -> set[int]:
    """Which of these tasks have a delivery that is still to come."""
    if not task_ids:
        return set()
    return set(connection.execute(_WITH_PENDING, {"tasks": list(task_ids)}).scalars())


def integrations_with_pending(connection: Connection) -> set[str]:
    """Those that have something to hear."""
    return set(connection.execute(_INTEGRATIONS).scalars())


def list_due(connection: Connection, integration: str, *, now_ms: int, limit: int) -> list[Due]:
    """What is to be sent to an integration now, the longest due first."""
    rows = connection.execute(_DUE, {"integration": integration, "now": now_ms, "limit": limit})
    return [Due(**row._mapping) for row in rows]


def next_due_at(connection: Connection, integration: str, *, after_ms: int) -> int | None:
    """When the next delivery to an integration will be due; None where none will be by itself."""
    found: int | None = connection.execute(_NEXT, {"integration": integration, "now": after_ms}).scalar_one()
    return found


def list_overdue(connection: Connection, integration: str, *, until_ms: int, limit: int) -> list[DeliveryRow]:
    """Deliveries that should have been given up before this instant."""
    rows = connection.execute(_OVERDUE, {"integration": integration, "until": until_ms, "limit": limit})
    return [_row(tuple(row)) for row in rows]


def get_to_change(connection: Connection, delivery_id: int) -> DeliveryRow:
    """One delivery, which nobody else changes before this transaction ends.

    :raises DeliveryNotFound: there is none.
    """
    return _get(connection, delivery_id, to_change=True)


def _get(connection: Connection, delivery_id: int, *, to_change: bool) -> DeliveryRow:
    # FOR UPDATE means nothing to SQLite, where whoever writes is alone.
    row = connection.execute(_GET.with_for_update() if to_change else _GET, {"delivery": delivery_id}).first()
    if row is None:
        raise DeliveryNotFound(f"No callback has the id {delivery_id}; it may have aged out with its task.")
    return _row(tuple(row))


def update_delivery(connection: Connection, delivery_id: int, **values: object) -> None:
    """Change columns of a delivery."""
    connection.execute(_UPDATE.values(**values), {"delivery": delivery_id})


def let_next_go(connection: Connection, task_id: int, *, now_ms: int, waiting_only: bool = True) -> None:
    """The first of a task's pending deliveries is due now.

    :param waiting_only: unless it already has its time.
    """
    statement = _OPEN_NEXT.where(deliveries.c.next_at.is_(None)) if waiting_only else _OPEN_NEXT
    connection.execute(statement, {"task": task_id, "now": now_ms})


def shift_pending(connection: Connection, *, by_ms: int) -> None:
    """The clock was set: what is to come comes after the same time all the same."""
    connection.execute(_SHIFT, {"by": by_ms})


def insert_attempt(connection: Connection, delivery_id: int, attempt: AttemptRow) -> None:
    """Add what came of an attempt."""
    last: int | None = connection.execute(_LAST_NUMBER, {"delivery": delivery_id}).scalar_one()
    values = msgspec.structs.asdict(attempt) | {"delivery_id": delivery_id, "number": (last or 0) + 1}
    connection.execute(insert(attempts), values)


def list_page(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    state: DeliveryState | None = None,
    integration: str | None = None,
    task_id: int | None = None,
) -> list[Delivery]:
    """Deliveries, newest first, that match everything given."""
    statement: Select[Any] = _ROW.order_by(deliveries.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(deliveries.c.id < before)
    for column, value in (
        (deliveries.c.state, None if state is None else state.value),
        (deliveries.c.integration, integration),
        (deliveries.c.task_id, task_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    return _with_attempts(connection, [_row(tuple(row)) for row in connection.execute(statement)])


def get(connection: Connection, delivery_id: int) -> Delivery:
    """One delivery with its attempts.

    :raises DeliveryNotFound: there is none.
    """
    return _with_attempts(connection, [_get(connection, delivery_id, to_change=False)])[0]


def _with_attempts(connection: Connection, rows: Sequence[DeliveryRow]) -> list[Delivery]:
    made: dict[int, list[Attempt]] = {}
    if rows:
        for row in connection.execute(_ATTEMPTS, {"ids": [row.id for row in rows]}):
            attempt = Attempt(
                number=row.number,
                at=rfc3339(row.at),
                duration_ms=row.duration_ms,
                status=row.status,
                error=row.error,
                response=row.response,
            )
            made.setdefault(row.delivery_id, []).append(attempt)
    return [_delivery(row, made.get(row.id, [])) for row in rows]


def _delivery(row: DeliveryRow, made: list[Attempt]) -> Delivery:
    return Delivery(
        id=row.id,
        integration=row.integration,
        event=row.event,
        task_id=row.task_id,
        webhook_id=row.webhook_id,
        state=DeliveryState(row.state),
        created_at=rfc3339(row.created_at),
        next_attempt_at=rfc3339_or_none(row.next_at),
        delivered_at=rfc3339_or_none(row.delivered_at),
        attempts=made,
    )


def count_undelivered(connection: Connection) -> dict[str, int]:
    """How many are pending, and how many dead."""
    found = {row[0]: row[1] for row in connection.execute(_COUNTS)}
    return {state.value: found.get(state.value, 0) for state in (DeliveryState.PENDING, DeliveryState.DEAD)}


_OF_TASKS = select(deliveries.c.id).where(deliveries.c.task_id.in_(bindparam("tasks", expanding=True)))


def delete_of_tasks(connection: Connection, task_ids: Iterable[int]) -> None:
    """Delete what was to be told of tasks that are gone."""
    params = {"tasks": list(task_ids)}
    connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(_OF_TASKS)), params)
    connection.execute(delete(deliveries).where(deliveries.c.task_id.in_(bindparam("tasks", expanding=True))), params)
