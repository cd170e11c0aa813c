"""Integrations' events come in: a new task, one more occurrence of a known one, or the end of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection

from app.config_values import shown, web_url
from app.errors import FieldError, IntegrationNotFound, Invalid
from app.integrations import Integration
from app.model import (
    SYSTEM,
    EventStatus,
    IngestAnswer,
    IntegrationEvent,
    IntegrationTest,
    Kind,
    Priority,
    Severity,
    Task,
    TaskStatus,
)
from app.server.events import Event, MessageNew, TaskCreated, TaskStatusChanged, TaskUpdated
from app.server.services import tasks
from app.server.services.bus import Bus
from app.server.services.checks import check_depth
from app.server.services.integrations import check_reach, check_scope
from app.server.services.messages import check_target
from app.server.services.tasks import Change
from app.server.store import events as log
from app.server.store import messages as message_store
from app.server.store import sqlite
from app.server.store import tasks as store
from app.server.store.messages import NewMessage
from app.server.store.tasks import TaskRow

MAX_METADATA_BYTES = 16 * 1024
#: Of test events: while the task of one is active, another is counted there.
TEST_KEY = "agent-relay.test"

_SEVERITIES = list(Severity)
#: How urgent the message of a task is.
_PRIORITIES = dict(zip(Severity, Priority, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """An event that was found good."""

    bus: Bus
    source: str
    event: IntegrationEvent
    target: str
    channel: str
    now_ms: int

    @property
    def key(self) -> tuple[str, str] | None:
        return None if self.event.dedupe_key is None else (self.source, self.event.dedupe_key)


def submit(
    bus: Bus,
    submission: Submission,
    done: Callable[[IngestAnswer | None, BaseException | None], None],
) -> None:
    """Take an event; when ``done`` hears of it, it is on disk."""
    bus.store.write_merged(_ingest_group, submission, done)


def prepare(bus: Bus, integration: Integration, event: IntegrationEvent) -> Submission:
    """Check an event by itself and against what its integration may do.

    :raises Invalid: a field is missing or wrong.
    :raises OutOfScope: the target or the channel is not open to the integration.
    """
    check_depth(event.metadata, field="metadata")
    _check_fields(event)
    if event.target is not None:
        check_target(event.target, field="target")
    # What is over goes nowhere; only what is said of its target and channel is held against the integration's.
    choose = _first if event.status is EventStatus.RESOLVED else _only
    target = event.target or choose("target", integration.targets, integration)
    channel = event.channel or choose("channel", integration.channels, integration)
    check_reach(integration, target=target, channel=channel)
    return Submission(
        bus=bus, source=integration.name, event=event, target=target, channel=channel, now_ms=bus.clock.now_ms()
    )


def prepare_test(bus: Bus, name: str, wanted: IntegrationTest) -> Submission:
    """An event in an integration's name that nobody need act on, held against what the integration may do.

    :raises IntegrationNotFound: there is none of this name.
    :raises Invalid: the integration has several targets or channels, and none was chosen.
    :raises OutOfScope: it may not make tasks, or not there.
    """
    integration = bus.integrations.named(name)
    if integration is None:
        raise IntegrationNotFound(f"No integration is named {shown(name)}; GET /api/integrations lists those in force.")
    check_scope(integration, "tasks:create")
    event = IntegrationEvent(
        type="test",
        severity=Severity.INFO,
        dedupe_key=TEST_KEY,
        title="Test event",
        body=f"A test of the integration {name}: there is nothing to do.",
        target=wanted.target,
        channel=wanted.channel,
    )
    return prepare(bus, integration, event)


def _first(_field: str, allowed: tuple[str, ...], _integration: Integration) -> str:
    return allowed[0]


def _only(field: str, allowed: tuple[str, ...], integration: Integration) -> str:
    if len(allowed) == 1 and allowed[0] != "*":
        return allowed[0]
    raise Invalid.field(
        field, f"is required: {integration.name} may use {'any' if '*' in allowed else ', '.join(allowed)}"
    )


def _check_fields(event: IntegrationEvent) -> None:
    given = {"type": event.type, "severity": event.severity, "title": event.title, "dedupeKey": event.dedupe_key}
    needed = ("dedupeKey",) if event.status is EventStatus.RESOLVED else ("type", "severity", "title")
    wrong: list[FieldError] = [{"field": name, "message": "is required"} for name in needed if given[name] is None]
    if event.external_url is not None:
        try:
            check_link(event.external_url)
        except ValueError as exc:
            wrong.append({"field": "externalUrl", "message": str(exc)})
    if event.metadata is not None and len(msgspec.json.encode(event.metadata)) > MAX_METADATA_BYTES:
        wrong.append({"field": "metadata", "message": "must be at most 16 KiB of JSON: link to larger things"})
    if wrong:
        said = "; ".join(f"{each['field']}: {each['message']}" for each in wrong)
        raise Invalid(said, errors=wrong)


def check_link(url: str) -> None:
    """A link that people and agents may be shown.

    :raises ValueError: it is not http or https, or it is made to be misread.
    """
    parts = web_url(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password: it would be shown to everyone")
    if re.search(r"[<>\"'`\\^{}|]", url):
        raise ValueError("must have characters such as quotes, < > and \\ percent-encoded")


def _ingest_group(connection: Connection, submissions: list[Submission]) -> Sequence[Any]:
    """Everything that waited, in one go: a fixed number of statements, whatever the number of events."""
    bus = submissions[0].bus
    active = store.find_active(connection, {each.key for each in submissions if each.key is not None})
    numbers = _numbers(connection, submissions, active)
    changes: list[Change] = []
    seqs: list[int] = []
    #: for each submission its change, or None where there was nothing to resolve
    which: list[int | None] = []
    messages: list[NewMessage] = []
    for submission in submissions:
        key = submission.key
        row = None if key is None else active.get(key)
        if submission.event.status is EventStatus.RESOLVED:
            if row is None or key is None:
                which.append(None)
                continue
            del active[key]
            change = _resolve(submission, row)
        elif row is None:
            row = _new_task(submission, task_id=next(numbers))
            messages.append(_message(row))
            if key is not None:
                active[key] = row
            change = _change(TaskCreated, submission, row, was_open=True)
        else:
            change = _recur(submission, row)
        which.append(len(changes))
        changes.append(change)
        seqs.append(next(numbers))
    if not changes:
        return [IngestAnswer(created=False, deduped=False, task=None)] * len(submissions)
    now = submissions[-1].now_ms
    _announce(connection, messages, now_ms=now)
    made = tasks.record(bus, connection, changes, now_ms=now, numbers=seqs)
    return [_answer(None if i is None else changes[i], None if i is None else made[i]) for i in which]


def _answer(change: Change | None, task: Task | None) -> IngestAnswer:
    return IngestAnswer(
        created=change is not None and change.event is TaskCreated,
        deduped=change is not None and change.event is TaskUpdated,
        task=task,
    )


def _numbers(
    connection: Connection, submissions: Sequence[Submission], active: Mapping[tuple[str, str], TaskRow]
) -> Iterator[int]:
    """Take as many numbers as the group will need: one for each event, and one more for each new message."""
    known = set(active)
    count = 0
    for submission in submissions:
        resolved = submission.event.status is EventStatus.RESOLVED
        if submission.key in known:
            count += 1
            if resolved:
                known.remove(submission.key)
        elif not resolved:
            count += 2
            if submission.key is not None:
                known.add(submission.key)
    first = log.allocate(connection, count) if count else 0
    return iter(range(first, first + count))


def _new_task(submission: Submission, *, task_id: int) -> TaskRow:
    event, now = submission.event, submission.now_ms
    assert event.type is not None  # noqa: S101 - checked by prepare()
    assert event.severity is not None  # noqa: S101
    assert event.title is not None  # noqa: S101
    return TaskRow(
        id=task_id,
        source=submission.source,
        type=event.type,
        severity=event.severity.value,
        dedupe_key=event.dedupe_key,
        title=event.title,
        body=event.body,
        target=submission.target,
        channel=submission.channel,
        external_url=event.external_url,
        metadata=sqlite.as_json(event.metadata or {}),
        status=TaskStatus.OPEN.value,
        result="null",
        progress=None,
        claimed_by=None,
        occurrence_count=1,
        first_seen_at=now,
        last_seen_at=now,
        created_at=now,
        updated_at=now,
        closed_at=None,
    )


def _message(row: TaskRow) -> NewMessage:
    """The claimable message of a new task, under the task's own id."""
    severity = Severity(row.severity)
    about = {"source": row.source, "type": row.type, "severity": row.severity, "externalUrl": row.external_url}
    return NewMessage(
        id=row.id,
        sender=SYSTEM,
        target=row.target,
        subject=row.title,
        body=row.body or row.title,
        channel=row.channel,
        kind=Kind.TASK.value,
        thread_id=row.id,
        reply_to=None,
        claimable=True,
        priority=_PRIORITIES[severity].value,
        meta=sqlite.as_json({key: value for key, value in about.items() if value is not None}),
        task_id=row.id,
        verified=True,
        created_at=row.created_at,
        expires_at=None,
    )


def _announce(connection: Connection, messages: Sequence[NewMessage], *, now_ms: int) -> None:
    if not messages:
        return
    message_store.insert(connection, messages)
    log.insert(
        connection,
        [(row.id, MessageNew(message_id=row.id, topic=row.target, sender=SYSTEM)) for row in messages],
        now_ms=now_ms,
    )
    log.add_to_counter(connection, "messages", len(messages))


def _recur(submission: Submission, row: TaskRow) -> Change:
    """The same thing again: counted, brought up to date, and never announced a second time."""
    event = submission.event
    row.occurrence_count += 1
    row.last_seen_at = row.updated_at = submission.now_ms
    if event.body is not None:
        row.body = event.body
    if event.external_url is not None:
        row.external_url = event.external_url
    if event.metadata is not None:
        row.metadata = sqlite.as_json(event.metadata)
    if event.severity is not None:
        row.severity = max(Severity(row.severity), event.severity, key=_SEVERITIES.index).value
    return _change(TaskUpdated, submission, row, was_open=row.claimed_by is None)


def _resolve(submission: Submission, row: TaskRow) -> Change:
    tasks.close(row, TaskStatus.DONE, now_ms=submission.now_ms)
    return _change(TaskStatusChanged, submission, row, was_open=row.claimed_by is None)


def _change(event: type[Event], submission: Submission, row: TaskRow, *, was_open: bool) -> Change:
    came = submission.event
    given = {
        "type": came.type,
        "severity": came.severity,
        "title": came.title,
        "body": came.body,
        "externalUrl": came.external_url,
        "metadata": came.metadata,
    }
    return Change(
        event=event,
        row=msgspec.structs.replace(row),  # later ones of the same group change it on
        actor=submission.source,
        was_open=was_open,
        occurrence=sqlite.as_json({key: value for key, value in given.items() if value is not None}),
    )
