"""The wire: tasks, the events that make them, and the callbacks that tell of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from app.model.common import (
    NO_NUL,
    AgentId,
    Cursor,
    Id,
    Instant,
    JsonObject,
    Limit,
    Request,
    Target,
    Term,
    Text,
    Wire,
)


class Severity(StrEnum):
    """How bad it is, the mildest first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class TaskStatus(StrEnum):
    """Where a task stands. The first four are *active*: its dedupe key is taken, its message stays."""

    OPEN = "open"  # nobody has it
    CLAIMED = "claimed"  # an agent has it and has not begun
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"  # its agent waits for something
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = frozenset({TaskStatus.OPEN, TaskStatus.CLAIMED, TaskStatus.IN_PROGRESS, TaskStatus.BLOCKED})


class EventStatus(StrEnum):
    """What an outside system says of a thing: it is, or it is over."""

    OPEN = "open"
    RESOLVED = "resolved"


class DeliveryState(StrEnum):
    """How far a callback has come."""

    PENDING = "pending"  # to be tried, or tried again
    DELIVERED = "delivered"  # the receiver answered 2xx
    DEAD = "dead"  # given up after a day


Progress = Annotated[int, Meta(ge=0, le=100)]
Title = Annotated[str, Meta(min_length=1, max_length=1_000, pattern=NO_NUL)]
DedupeKey = Annotated[str, Meta(min_length=1, max_length=256, pattern=NO_NUL)]
Channel = Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)]
Note = Annotated[str, Meta(min_length=1, max_length=4_000, pattern=NO_NUL)]
Url = Annotated[str, Meta(min_length=1, max_length=2_048, description="http:// or https://")]


class IntegrationEvent(Request):
    """What an outside system says. ``resolved`` needs only ``dedupeKey``; else type, severity and title are needed."""

    type: Term | None = None
    severity: Severity | None = None
    dedupe_key: DedupeKey | None = None
    title: Title | None = None
    body: Text | None = None
    target: Target | None = None
    channel: Channel | None = None
    external_url: Url | None = None
    #: at most 16 KiB
    metadata: JsonObject | None = None
    status: EventStatus = EventStatus.OPEN


class Task(Wire):
    """A durable work item. Its id is that of its claimable message."""

    id: int
    #: the integration that made it
    source: str
    type: str
    severity: Severity
    dedupe_key: str | None
    title: str
    body: str | None
    target: str
    channel: str
    external_url: str | None
    metadata: JsonObject | msgspec.Raw
    status: TaskStatus
    result: Any
    progress: int | None
    claimed_by: str | None
    message_id: int
    occurrence_count: int
    first_seen_at: Instant
    last_seen_at: Instant
    created_at: Instant
    updated_at: Instant
    closed_at: Instant | None


class IngestAnswer(Wire):
    """What became of an integration's event."""

    #: a new task was made
    created: bool
    #: an active task of the same source and dedupe key counted it
    deduped: bool
    #: null when there was none to be resolved
    task: Task | None


class TaskQuery(Request, rename=None):
    #: one, or several with commas between
    status: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    source: Term | None = None
    target: Target | None = None
    severity: Severity | None = None
    claimedBy: Term | None = None
    q: Annotated[str, Meta(min_length=1, max_length=500, pattern=NO_NUL)] | None = None
    before: Id | None = None
    limit: Limit = 50


class TaskList(Wire):
    tasks: list[Task]
    #: pass as ``before`` for the following page
    next: int | UnsetType = UNSET


class TaskEvent(Wire):
    """One moment of a task's history: what happened, by whom, and how the task stood then."""

    #: the event's number in the log
    id: int
    #: ``task.created``, ``task.updated``, ``task.claimed`` or ``task.status``
    event: str
    at: Instant
    #: an agent, ``human``, ``system`` (the relay), or the integration
    by: str
    note: str | None
    #: what the integration's event gave, of an occurrence
    occurrence: JsonObject | None
    status: TaskStatus
    severity: Severity
    claimed_by: str | None
    progress: int | None
    result: Any
    occurrence_count: int


class TaskEventList(Wire):
    events: list[TaskEvent]
    #: pass as ``since`` for the following page
    next: int | UnsetType = UNSET


class TaskEventQuery(Request, rename=None):
    since: Cursor = 0
    limit: Limit = 50


class SetTaskStatus(Request):
    """A move, or, with the status that the task has, progress or a note."""

    status: TaskStatus
    #: the claimant; without it the change is a human's
    agent_id: AgentId | None = None
    #: any JSON, at most 64 KiB
    result: Any | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    note: Note | None = None


class Attempt(Wire):
    """One try to deliver a callback."""

    number: int
    at: Instant
    duration_ms: int
    #: the HTTP status, or null where none came
    status: int | None
    #: why it failed; null where the receiver answered 2xx
    error: str | None
    #: the first 2 KiB of what the receiver answered
    response: str | None


class Delivery(Wire):
    """One callback to one integration."""

    id: int
    integration: str
    event: str
    task_id: int
    #: the same in every attempt: the receiver's means to recognise a repetition
    webhook_id: str
    state: DeliveryState
    created_at: Instant
    #: null while an earlier one of the same task goes first, and when it is not pending
    next_attempt_at: Instant | None
    delivered_at: Instant | None
    attempts: list[Attempt] = field(default_factory=list)


class DeliveryQuery(Request, rename=None):
    state: DeliveryState | None = None
    integration: Term | None = None
    task: Id | None = None
    before: Id | None = None
    limit: Limit = 50


class DeliveryList(Wire):
    callbacks: list[Delivery]
    #: pass as ``before`` for the following page
    next: int | UnsetType = UNSET
