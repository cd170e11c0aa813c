"""Tasks: how they move, by whose word, and what is told of it.

Every change goes through :func:`record`: the task, its history, its event and the callback to its integration are one
transaction. How integrations' events become tasks is :mod:`app.server.services.ingress`; a task is claimed and released
by claiming and releasing its message (:mod:`app.server.services.claims`), which call :func:`note_claim` and
:func:`note_release` here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection

from app.errors import Invalid, MessageClosed, NotClaimant, OutOfScope, StatusConflict
from app.integrations import ALL, Integration, includes
from app.model import (
    HUMAN,
    SetTaskStatus,
    Task,
    TaskEventList,
    TaskEventQuery,
    TaskList,
    TaskQuery,
    TaskStatus,
)
from app.server.events import Event, TaskClaimed, TaskCreated, TaskStatusChanged, TaskUpdated
from app.server.services import callbacks, search
from app.server.services.bus import Bus, authorise
from app.server.services.checks import check_depth
from app.server.store import events as log
from app.server.store import messages as message_store
from app.server.store import sqlite
from app.server.store import tasks as store
from app.server.store.tasks import HistoryRow, TaskRow

logger = logging.getLogger(__name__)

MAX_RESULT_BYTES = 64 * 1024

_CLOSED = frozenset({TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.CANCELLED})
#: Where a task may be moved from where it stands. To ``claimed`` it comes by a claim, back to ``open`` by a release.
MOVES: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.OPEN: frozenset({TaskStatus.CANCELLED}),
    TaskStatus.CLAIMED: frozenset({TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED}) | _CLOSED,
    TaskStatus.IN_PROGRESS: frozenset({TaskStatus.BLOCKED}) | _CLOSED,
    TaskStatus.BLOCKED: frozenset({TaskStatus.IN_PROGRESS}) | _CLOSED,
    TaskStatus.DONE: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELLED: frozenset(),
}


class Change(Struct, frozen=True, kw_only=True):
    """One moment of a task, about to be recorded."""

    event: type[Event]
    #: the task as it stands after the change; a copy, where the row goes on changing
    row: TaskRow
    #: who made the change: an agent, ``human``, ``system`` or an integration
    actor: str
    #: nobody held the task before
    was_open: bool
    note: str | None = None
    #: what an integration's event gave, in JSON
    occurrence: str | None = None


#: Changes that integrations hear of.
_TOLD = frozenset({TaskCreated, TaskClaimed, TaskStatusChanged})


def record(
    bus: Bus, connection: Connection, changes: Sequence[Change], *, now_ms: int, numbers: Sequence[int] | None = None
) -> list[Task]:
    """Inside a transaction: store tasks as changed, with history, events and callbacks.

    :param numbers: of the events, where they were allocated before.
    :returns: each change's task as it then stood.
    """
    if numbers is None:
        first = log.allocate(connection, len(changes))
        numbers = range(first, first + len(changes))
    made: list[Task] = []
    history: list[HistoryRow] = []
    rows: dict[int, TaskRow] = {}
    for seq, change in zip(numbers, changes, strict=True):
        task = store.task_from_row(change.row)
        made.append(task)
        rows[change.row.id] = change.row
        history.append(
            HistoryRow(
                seq=seq,
                task_id=task.id,
                type=change.event.type,
                actor=change.actor,
                note=change.note,
                occurrence=change.occurrence,
                task=sqlite.as_json(task),
                created_at=now_ms,
            )
        )
        if change.event is TaskStatusChanged and change.row.closed_at is not None:
            message_store.close(connection, task.id, now_ms=now_ms)
    moved = {change.row.id for change in changes if change.event is not TaskUpdated}
    store.put(connection, [row for row in rows.values() if row.id in moved])
    store.put_news(connection, [row for row in rows.values() if row.id not in moved])
    store.insert_history(connection, history)
    log.insert(connection, zip(numbers, map(_event, changes), strict=True), now_ms=now_ms)
    news = [
        callbacks.News(seq=seq, task_id=change.row.id, integration=change.row.source, event=change.event.type)
        for seq, change in zip(numbers, changes, strict=True)
        if change.event in _TOLD
    ]
    if news:
        callbacks.enqueue(bus, connection, news, now_ms=now_ms)
    return made


def _event(change: Change) -> Event:
    """Told to those who may, or until now might, claim the task; once it is held, to its claimant."""
    if change.was_open or change.row.claimed_by is None:
        return change.event(message_id=change.row.id, topic=change.row.target)
    return change.event(message_id=change.row.id, agent_id=change.row.claimed_by)


# -- claims ------------------------------------------------------------------------------------------------------------


def note_claim(bus: Bus, connection: Connection, task_id: int, *, agent_id: str, now_ms: int) -> None:
    """Inside the transaction that claims a task's message: the task is claimed.

    :raises MessageClosed: it is closed, and only a clock that was set back makes its message look open.
    """
    row = store.get(connection, task_id, to_change=True)
    if not row.is_active:
        raise closed(row)
    row.status, row.claimed_by, row.updated_at = TaskStatus.CLAIMED.value, agent_id, now_ms
    record(bus, connection, [Change(event=TaskClaimed, row=row, actor=agent_id, was_open=True)], now_ms=now_ms)


def closed(row: TaskRow) -> MessageClosed:
    """Why the message of a closed task cannot be claimed."""
    return MessageClosed(f"Task {row.id} is {row.status}: its message is closed.")


def check_release(connection: Connection, task_id: int) -> None:
    """
    :raises StatusConflict: the task is closed, and stays with whoever closed it.
    """
    row = store.find(connection, task_id, to_change=True)
    if row is not None and not row.is_active:
        raise _conflict(row, TaskStatus.OPEN)


def note_release(
    bus: Bus, connection: Connection, task_id: int, *, actor: str, now_ms: int, note: str | None = None
) -> None:
    """Inside the transaction that releases a task's message: the task is open again."""
    row = store.get(connection, task_id, to_change=True)
    row.status, row.claimed_by, row.updated_at = TaskStatus.OPEN.value, None, now_ms
    row.progress = None
    change = Change(event=TaskStatusChanged, row=row, actor=actor, was_open=False, note=note)
    record(bus, connection, [change], now_ms=now_ms)


# -- moves -------------------------------------------------------------------------------------------------------------


def close(row: TaskRow, status: TaskStatus, *, now_ms: int) -> None:
    """Close a task; recording that closes its message too."""
    row.status, row.closed_at, row.updated_at = status.value, now_ms, now_ms


def set_status(bus: Bus, task_id: int, request: SetTaskStatus, *, agent_secret: str | None) -> Task:
    """Move a task, or note progress.

    :raises NotClaimant: the agent does not hold it.
    :raises StatusConflict: it cannot move there.
    """
    check_depth(request.result, field="result")
    result = None if request.result is UNSET else sqlite.as_json(request.result)
    if result is not None and len(result.encode()) > MAX_RESULT_BYTES:
        raise Invalid.field("result", "must be at most 64 KiB of JSON: keep large things elsewhere and link to them")
    actor = request.agent_id or HUMAN

    def operation(connection: Connection) -> Task:
        if request.agent_id is not None:
            authorise(connection, request.agent_id, secret=agent_secret)
        now = bus.clock.now_ms()
        row = store.get(connection, task_id, to_change=True)
        if actor not in {HUMAN, row.claimed_by}:
            held = f"held by {row.claimed_by}" if row.claimed_by else "held by nobody"
            raise NotClaimant(f"{actor} does not hold task {task_id}: it is {held}.")
        before = msgspec.structs.replace(row)
        here = TaskStatus(row.status)
        if request.status is not here and request.status not in MOVES[here]:
            raise _conflict(row, request.status)
        if result is not None:
            row.result = result
        if request.progress is not UNSET:
            row.progress = request.progress
        moved = request.status is not here
        if moved and request.status in _CLOSED:
            close(row, request.status, now_ms=now)
        row.status = request.status.value
        if row == before and request.note is None:
            return store.task_from_row(row)  # said again, as after an answer that was lost: nothing happened
        row.updated_at = now
        change = Change(
            event=TaskStatusChanged if moved else TaskUpdated,
            row=row,
            actor=actor,
            was_open=here is TaskStatus.OPEN,
            note=request.note,
        )
        if moved:
            logger.info(
                "task moved",
                extra={"action": "task.status", "task_id": task_id, "status": row.status, "agent": actor},
            )
        return record(bus, connection, [change], now_ms=now)[0]

    return bus.store.write(operation)


def _conflict(row: TaskRow, wanted: TaskStatus) -> StatusConflict:
    here = TaskStatus(row.status)
    allowed = [status.value for status in TaskStatus if status in MOVES[here]]
    ways = [*allowed]
    if here is TaskStatus.OPEN:
        ways.append(f"claimed (by POST /api/tasks/{row.id}/claim)")
    elif here not in _CLOSED:
        ways.append(f"open (by POST /api/tasks/{row.id}/release)")
    possible = f"from there it can go to: {', '.join(ways)}" if ways else "it is closed and stays so"
    return StatusConflict(
        f"Task {row.id} is {here.value} and cannot become {wanted.value}; {possible}.",
        allowed=allowed,
        taskStatus=here.value,
    )


# -- looking -----------------------------------------------------------------------------------------------------------


def get(bus: Bus, task_id: int, *, reader: Integration | None = None) -> Task:
    """One task.

    :param reader: the integration that asks; it sees what is within its reach.
    """
    with bus.store.read() as connection:
        row = store.get(connection, task_id)
    if reader is not None and not (includes(reader.targets, row.target) and includes(reader.channels, row.channel)):
        raise OutOfScope(
            f"Task {task_id} is not within the reach of {reader.name}: targets {', '.join(reader.targets)}; "
            f"channels {', '.join(reader.channels)}.",
            allowed=[*reader.targets],
        )
    return store.task_from_row(row)


def list_tasks(bus: Bus, query: TaskQuery, *, reader: Integration | None = None) -> TaskList:
    """A page of tasks, newest first; an integration sees those within its reach."""
    statuses = _statuses(query.status)
    if query.q is not None:
        search.catch_up(bus)
    with bus.store.read() as connection:
        page, more = store.list_tasks(
            connection,
            limit=query.limit,
            before=query.before,
            statuses=statuses,
            source=query.source,
            target=query.target,
            severity=query.severity,
            claimed_by=query.claimedBy,
            words=query.q,
            within_targets=None if reader is None or reader.targets == ALL else reader.targets,
            within_channels=None if reader is None or reader.channels == ALL else reader.channels,
        )
    return TaskList(tasks=[store.task_from_row(row) for row in page], next=page[-1].id if more else UNSET)


def _statuses(given: str | None) -> list[TaskStatus]:
    try:
        return [] if given is None else [TaskStatus(word) for word in given.split(",")]
    except ValueError:
        raise Invalid.field(
            "status", f"must be one of {', '.join(TaskStatus)}, or several of them with commas between"
        ) from None


def list_history(bus: Bus, task_id: int, query: TaskEventQuery, *, reader: Integration | None = None) -> TaskEventList:
    """A page of a task's history, oldest first."""
    get(bus, task_id, reader=reader)
    with bus.store.read() as connection:
        page, more = store.list_history(connection, task_id, since=query.since, limit=query.limit)
    return TaskEventList(events=page, next=page[-1].id if more else UNSET)
