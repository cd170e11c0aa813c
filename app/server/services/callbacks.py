"""Callbacks: what integrations are told of their tasks, from the outbox to the dead letter."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Sequence

from msgspec import UNSET, Struct
from sqlalchemy import Connection

from app.model import Delivery, DeliveryList, DeliveryQuery, DeliveryState
from app.server.events import CallbackAttempt
from app.server.services.bus import Bus
from app.server.store import callbacks as store
from app.server.store import events as log
from app.server.store.callbacks import AttemptRow, DeliveryRow

logger = logging.getLogger(__name__)

#: How long a delivery is tried.
GIVE_UP_MS = 24 * 3600 * 1000
#: How long a last try, or one that was asked for anew, may wait for a receiver that cannot be reached.
LAST_TRY_MS = 3600 * 1000
#: The longest pause between two tries.
MAX_PAUSE_MS = 3 * 3600 * 1000


class News(Struct, frozen=True, kw_only=True):
    """Something that an integration is to be told, under the number of its event."""

    seq: int
    task_id: int
    integration: str
    event: str


def pause_ms(failures: int) -> int:
    """How long to wait after so many failures in a row: 1, 2, 4, 8 s, doubling to 3 h, each ±20 %."""
    pause = min(1000 * 2 ** min(failures - 1, 20), MAX_PAUSE_MS)
    return int(pause * random.uniform(0.8, 1.2))  # noqa: S311 - it spreads load, it keeps no secret


def enqueue(bus: Bus, connection: Connection, news: Sequence[News], *, now_ms: int) -> None:
    """Inside the transaction that makes the change: write down what integrations with a callback address are told."""
    wanted = [
        each
        for each in news
        if (found := bus.integrations.named(each.integration)) is not None and found.callback_url is not None
    ]
    if not wanted:
        return
    follow_clock(bus, connection)
    waiting = store.tasks_with_pending(connection, {each.task_id for each in wanted})
    rows: list[DeliveryRow] = []
    for each in wanted:
        rows.append(
            DeliveryRow(
                id=each.seq,
                task_id=each.task_id,
                integration=each.integration,
                event=each.event,
                webhook_id=f"msg_{secrets.token_urlsafe(18)}",
                state=DeliveryState.PENDING.value,
                next_at=None if each.task_id in waiting else now_ms,
                give_up_at=now_ms + GIVE_UP_MS,
                tries=0,
                created_at=now_ms,
                delivered_at=None,
            )
        )
        waiting.add(each.task_id)
        bus.outbox.note(each.integration)
    store.put(connection, rows)


def follow_clock(bus: Bus, connection: Connection) -> None:
    """Inside a transaction, before times are written: when the wall clock was set, or the machine was asleep, what is
    pending keeps its pause and its day."""
    jump_ms = bus.outbox.clock_jump_ms(bus.clock)
    if jump_ms:
        bus.outbox.follow_clock(bus.clock)
        store.shift_pending(connection, by_ms=jump_ms)
        logger.info("the clock was set", extra={"action": "callback.clock", "by_ms": jump_ms})


def give_up_overdue(bus: Bus, integration: str, *, limit: int) -> None:
    """Whatever nobody could be told for a day is given up, also where its turn to be tried has not come again."""

    def overdue(connection: Connection) -> list[DeliveryRow]:
        until_ms = bus.clock.now_ms() - LAST_TRY_MS
        return store.list_overdue(connection, integration, until_ms=until_ms, limit=limit)

    def operation(connection: Connection) -> None:
        now = bus.clock.now_ms()
        rows = overdue(connection)
        for row in rows:
            store.update_delivery(connection, row.id, state=_given_up(row).value, next_at=None)
            store.let_next_go(connection, row.task_id, now_ms=now)
        told = [CallbackAttempt(data=store.get(connection, row.id)) for row in rows]
        log.append(connection, told, now_ms=now)

    with bus.store.read() as connection:
        if not overdue(connection):
            return
    bus.store.write(operation)


def _given_up(row: DeliveryRow) -> DeliveryState:
    """What was delivered once stays so, whatever came of trying it again."""
    return DeliveryState.DEAD if row.delivered_at is None else DeliveryState.DELIVERED


def record(bus: Bus, delivery_id: int, attempt: AttemptRow, *, delivered: bool, final: bool = False) -> DeliveryState:
    """Write down what came of an attempt: it is delivered, tried again later, or given up after a day.

    :param final: there is no sense in trying again.
    :raises DeliveryNotFound: it has aged out meanwhile.
    """

    def operation(connection: Connection) -> DeliveryState:
        now = bus.clock.now_ms()
        follow_clock(bus, connection)
        row = store.get_to_change(connection, delivery_id)
        store.insert_attempt(connection, delivery_id, attempt)
        if delivered:
            state, next_at = DeliveryState.DELIVERED, None
        elif final or now >= row.give_up_at:
            state, next_at = _given_up(row), None
        else:
            # The last try falls on the end of the day.
            state, next_at = DeliveryState.PENDING, min(now + pause_ms(row.tries + 1), row.give_up_at)
        store.update_delivery(
            connection,
            delivery_id,
            state=state.value,
            next_at=next_at,
            tries=row.tries + 1,
            delivered_at=now if delivered else row.delivered_at,
        )
        if state is not DeliveryState.PENDING:
            store.let_next_go(connection, row.task_id, now_ms=now)
        bus.outbox.note(row.integration)
        log.append(connection, [CallbackAttempt(data=store.get(connection, delivery_id))], now_ms=now)
        return state

    return bus.store.write(operation)


def redeliver(bus: Bus, delivery_id: int) -> Delivery:
    """Try a callback again now: one that is pending goes on from there, any other is tried once.

    Only once, because the news of a task keep their order: what comes later would wait for it.
    """

    def operation(connection: Connection) -> Delivery:
        now = bus.clock.now_ms()
        follow_clock(bus, connection)
        row = store.get_to_change(connection, delivery_id)
        if row.state == DeliveryState.PENDING.value and row.next_at is None:
            # An earlier one of its task goes first, and that now.
            store.let_next_go(connection, row.task_id, now_ms=now, waiting_only=False)
            bus.outbox.note(row.integration)
            return store.get(connection, delivery_id)
        give_up_at = row.give_up_at if row.state == DeliveryState.PENDING.value else now
        store.update_delivery(
            connection, delivery_id, state=DeliveryState.PENDING.value, next_at=now, give_up_at=give_up_at
        )
        bus.outbox.note(row.integration)
        return store.get(connection, delivery_id)

    return bus.store.write(operation)


def list_callbacks(bus: Bus, query: DeliveryQuery) -> DeliveryList:
    """A page of deliveries, newest first."""
    with bus.store.read() as connection:
        found = store.list_page(
            connection,
            limit=query.limit + 1,
            before=query.before,
            state=query.state,
            integration=query.integration,
            task_id=query.task,
        )
    page = found[: query.limit]
    return DeliveryList(callbacks=page, next=page[-1].id if len(found) > query.limit else UNSET)
