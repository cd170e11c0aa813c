"""Tasks: rows in and out, their history, and the look-ups that dedupe them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.sql import Select

from app.errors import TaskNotFound
from app.model import ACTIVE, Severity, Task, TaskEvent, TaskStatus
from app.server.clock import rfc3339, rfc3339_or_none
from app.server.store import sqlite
from app.server.store.schema import task_events, tasks

R = TypeVar("R")
#: Text in one page of tasks, or of a history.
PAGE_CHARS = 8 << 20


class TaskRow(Struct, kw_only=True, array_like=True):
    """A task as stored. Fields that are JSON are kept as text."""

    id: int
    source: str
    type: str
    severity: str
    dedupe_key: str | None
    title: str
    body: str | None
    target: str
    channel: str
    external_url: str | None
    metadata: str
    status: str
    result: str
    progress: int | None
    claimed_by: str | None
    occurrence_count: int
    first_seen_at: int
    last_seen_at: int
    created_at: int
    updated_at: int
    closed_at: int | None

    @property
    def is_active(self) -> bool:
        return self.closed_at is None


class HistoryRow(Struct, frozen=True, kw_only=True, array_like=True):
    """A moment of a task, about to be stored."""

    seq: int
    task_id: int
    type: str
    actor: str
    note: str | None
    occurrence: str | None
    task: str
    created_at: int


_NAMES = TaskRow.__struct_fields__
_ROW = select(*tasks.c)
_GET = _ROW.where(tasks.c.id == bindparam("task"))
_HISTORY = (
    select(*task_events.c)
    .where(task_events.c.task_id == bindparam("task"), task_events.c.seq > bindparam("since"))
    .order_by(task_events.c.seq)
    .limit(bindparam("limit"))
)
_SNAPSHOTS = select(task_events.c.seq, task_events.c.task).where(
    task_events.c.seq.in_(bindparam("seqs", expanding=True))
)
_ACTIVE_COUNTS = select(tasks.c.status, func.count()).where(tasks.c.closed_at.is_(None)).group_by(tasks.c.status)


def _row(row: Sequence[Any]) -> TaskRow:
    return TaskRow(**dict(zip(_NAMES, row, strict=True)))


def task_from_row(row: TaskRow) -> Task:
    """The wire's task."""
    return Task(
        id=row.id,
        source=row.source,
        type=row.type,
        severity=Severity(row.severity),
        dedupe_key=row.dedupe_key,
        title=row.title,
        body=row.body,
        target=row.target,
        channel=row.channel,
        external_url=row.external_url,
        metadata=msgspec.Raw(row.metadata.encode()),
        status=TaskStatus(row.status),
        result=msgspec.Raw(row.result.encode()),
        progress=row.progress,
        claimed_by=row.claimed_by,
        message_id=row.id,
        occurrence_count=row.occurrence_count,
        first_seen_at=rfc3339(row.first_seen_at),
        last_seen_at=rfc3339(row.last_seen_at),
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
        closed_at=rfc3339_or_none(row.closed_at),
    )


def find(connection: Connection, task_id: int, *, to_change: bool = False) -> TaskRow | None:
    """One task, if there is one.

    :param to_change: nobody else changes it before this transaction ends.
    """
    # FOR UPDATE means nothing to SQLite, where whoever writes is alone; elsewhere two moves of one task must not cross.
    row = connection.execute(_GET.with_for_update() if to_change else _GET, {"task": task_id}).first()
    return None if row is None else _row(tuple(row))


def get(connection: Connection, task_id: int, *, to_change: bool = False) -> TaskRow:
    """As :func:`find`.

    :raises TaskNotFound: there is none.
    """
    row = find(connection, task_id, to_change=to_change)
    if row is None:
        raise TaskNotFound(f"No task has the id {task_id}; it may have aged out.")
    return row


def find_active(connection: Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], TaskRow]:
    """The active tasks of these (source, dedupe key) pairs, with one statement."""
    rows = sqlite.active_tasks(connection, list(keys), columns=_NAMES)
    found = [_row(row) for row in rows]
    return {(row.source, row.dedupe_key or ""): row for row in found}


#: What an occurrence, progress or a note changes of a task: none of it is in an index.
_NEWS = (
    "severity", "body", "external_url", "metadata", "result", "progress", "occurrence_count", "last_seen_at",
    "updated_at",
)  # fmt: skip


def put(connection: Connection, rows: Sequence[TaskRow]) -> None:
    """Store tasks that are new or have moved, with one statement."""
    sqlite.insert_many(connection, tasks, rows, _NAMES, key="id", replace=(*_NEWS, "status", "claimed_by", "closed_at"))


def put_news(connection: Connection, rows: Sequence[TaskRow]) -> None:
    """Store tasks that are there and stay where they are, with one statement."""
    sqlite.insert_many(connection, tasks, rows, _NAMES, key="id", replace=_NEWS)


def insert_history(connection: Connection, rows: Sequence[HistoryRow]) -> None:
    """Add to the histories of tasks."""
    sqlite.insert_many(connection, task_events, rows, HistoryRow.__struct_fields__)


def list_tasks(
    connection: Connection,
    *,
    limit: int,
    before: int | None,
    statuses: Sequence[TaskStatus],
    source: str | None,
    target: str | None,
    severity: Severity | None,
    claimed_by: str | None,
    words: str | None,
    within_targets: Sequence[str] | None,
    within_channels: Sequence[str] | None,
) -> tuple[list[TaskRow], bool]:
    """A page of tasks, newest first, that match everything given; and whether there are more."""
    statement: Select[Any] = _ROW.order_by(tasks.c.id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(tasks.c.id < before)
    if statuses:
        statement = statement.where(tasks.c.status.in_([status.value for status in statuses]))
        if ACTIVE.issuperset(statuses):
            statement = statement.where(tasks.c.closed_at.is_(None))
    for column, value in (
        (tasks.c.source, source),
        (tasks.c.target, target),
        (tasks.c.severity, None if severity is None else severity.value),
        (tasks.c.claimed_by, claimed_by),
    ):
        if value is not None:
            statement = statement.where(column == value)
    for column, values in ((tasks.c.target, within_targets), (tasks.c.channel, within_channels)):
        if values is not None:
            statement = statement.where(column.in_(values))
    params: dict[str, object] = {}
    if words is not None:
        expression = sqlite.search_expression(words)
        if not expression:
            return [], False
        statement = statement.where(tasks.c.id.in_(sqlite.SEARCH_IDS))  # a task's id is its message's
        params["search_query"] = expression
    rows = map(_row, map(tuple, connection.execute(statement, params)))
    return _page(rows, limit=limit, text=lambda row: row.body or "")


def list_newest(connection: Connection, status: TaskStatus, *, limit: int) -> list[TaskRow]:
    """The newest tasks of an active status."""
    statement = _ROW.where(tasks.c.status == status.value, tasks.c.closed_at.is_(None))
    return [_row(tuple(row)) for row in connection.execute(statement.order_by(tasks.c.id.desc()).limit(limit))]


def _page(rows: Iterable[R], *, limit: int, text: Callable[[R], str]) -> tuple[list[R], bool]:
    """As many as a page may hold, a few large ones or many small ones; and whether there are more."""
    page: list[R] = []
    size = 0
    for row in rows:
        if len(page) == limit or size > PAGE_CHARS:
            return page, True
        page.append(row)
        size += len(text(row))
    return page, False


class _Then(Struct, rename="camel"):
    """What a history shows of the task as it stood."""

    status: TaskStatus
    severity: Severity
    claimed_by: str | None
    progress: int | None
    result: Any
    occurrence_count: int


_then = msgspec.json.Decoder(_Then).decode


def list_history(connection: Connection, task_id: int, *, since: int, limit: int) -> tuple[list[TaskEvent], bool]:
    """A page of a task's history, oldest first; and whether there is more."""
    found: list[TaskEvent] = []
    rows = connection.execute(_HISTORY, {"task": task_id, "since": since, "limit": limit + 1})
    page, more = _page(rows, limit=limit, text=lambda row: row.task + (row.occurrence or ""))
    for row in page:
        then = _then(row.task)
        found.append(
            TaskEvent(
                id=row.seq,
                event=row.type,
                at=rfc3339(row.created_at),
                by=row.actor,
                note=row.note,
                occurrence=None if row.occurrence is None else msgspec.json.decode(row.occurrence),
                status=then.status,
                severity=then.severity,
                claimed_by=then.claimed_by,
                progress=then.progress,
                result=then.result,
                occurrence_count=then.occurrence_count,
            )
        )
    return found, more


def snapshots(connection: Connection, seqs: Sequence[int]) -> dict[int, str]:
    """For each of these events of tasks, the task as it then stood, in JSON."""
    if not seqs:
        return {}
    return {row[0]: row[1] for row in connection.execute(_SNAPSHOTS, {"seqs": list(seqs)})}


def count_active(connection: Connection) -> dict[str, int]:
    """Active tasks by status, every active status named."""
    found = {row[0]: row[1] for row in connection.execute(_ACTIVE_COUNTS)}
    return {status.value: found.get(status.value, 0) for status in TaskStatus if status in ACTIVE}


_OLD = (
    select(tasks.c.id)
    .where(tasks.c.closed_at.is_not(None), tasks.c.closed_at < bindparam("cutoff"))
    .order_by(tasks.c.closed_at)
    .limit(bindparam("limit"))
)
_DROP = delete(tasks).where(tasks.c.id.in_(bindparam("ids", expanding=True)))
_DROP_HISTORY = delete(task_events).where(task_events.c.task_id.in_(bindparam("ids", expanding=True)))


def delete_some(connection: Connection, *, closed_before_ms: int, limit: int) -> list[int]:
    """Delete the tasks that were closed longest ago, with their histories; their ids."""
    ids: list[int] = list(connection.execute(_OLD, {"cutoff": closed_before_ms, "limit": limit}).scalars())
    if ids:
        connection.execute(_DROP, {"ids": ids})
        connection.execute(_DROP_HISTORY, {"ids": ids})
    return ids
