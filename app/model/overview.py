"""The wire: what a view of the whole bus asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field

from app.model.agents import Status
from app.model.common import NO_NUL, Id, Instant, JsonObject, Limit, Request, Target, Term, Wire
from app.model.messages import Message
from app.model.tasks import Delivery, Task

Minutes = Annotated[int, Meta(ge=1, le=1_440)]


class ActivityQuery(Request, rename=None):
    minutes: Minutes = 60


class Activity(Wire):
    """How much happened in each minute, the oldest first; the last is the one that runs."""

    from_: Instant = field(name="from")
    to: Instant
    minutes: int
    messages: list[int]
    claims: list[int]
    lost_claims: list[int]


class TrafficQuery(Request, rename=None):
    #: the first message's, unless given
    since: Instant | None = None
    #: now, unless given
    until: Instant | None = None


class TrafficCell(Wire):
    """How many messages one sender sent to one target."""

    from_: str = field(name="from")
    to: str
    messages: int


class TrafficBucket(Wire):
    """How many messages there were in one stretch of time."""

    #: its beginning
    at: Instant
    messages: int


class Traffic(Wire):
    """Who wrote to whom."""

    #: the busiest first, at most 2,000
    cells: list[TrafficCell]
    #: there were more pairs than that
    truncated: bool
    #: stretches in which there were messages, oldest first
    buckets: list[TrafficBucket]
    #: how long a stretch is
    bucket_s: int


class Thread(Wire):
    """A conversation, as its oldest message that is left names it."""

    #: the thread's id, which is that of its root
    id: int
    subject: str | None
    channel: str | None
    from_: str = field(name="from")
    to: str
    task_id: int | None
    #: messages that are left; counting stops at 10,000
    count: int
    #: distinct senders, the first 12 of the oldest 200 messages
    participants: list[str]
    started_at: Instant
    #: messages to ``human`` that nobody has read
    unread: int
    #: the newest message that was asked for
    last: Message


class ThreadList(Wire):
    threads: list[Thread]
    #: pass as ``before`` for the following page
    next: int | UnsetType = UNSET


class ThreadListQuery(Request, rename=None):
    from_: Annotated[str, Meta(min_length=1, max_length=128)] | None = field(default=None, name="from")
    to: Target | None = None
    #: from or to
    agent: Term | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)] | None = None
    q: Annotated[str, Meta(min_length=1, max_length=500, pattern=NO_NUL)] | None = None
    unread: bool = False
    #: work that nobody holds
    open: bool = False
    before: Id | None = None
    limit: Limit = 50


class AttentionQuery(Request, rename=None):
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class AttentionCounts(Wire):
    """How many there are; counting stops at 1,000."""

    messages: int
    blocked_tasks: int
    released_work: int
    dead_callbacks: int


class Attention(Wire):
    """What waits for a person, each list newest first."""

    #: to ``human``, which nobody has read and nobody has answered
    messages: list[Message]
    blocked_tasks: list[Task]
    #: work that an agent had and gave back, or lost by going away, and that nobody has taken since
    released_work: list[Message]
    dead_callbacks: list[Delivery]
    counts: AttentionCounts


class PresenceQuery(Request, rename=None):
    minutes: Minutes = 60
    after: Term | None = None


class PresenceChange(Wire):
    at: Instant
    status: Status


class AgentPresence(Wire):
    """What an agent's card showed: at the window's start or its registration, and each change since."""

    id: str
    changes: list[PresenceChange]


class PresenceHistory(Wire):
    from_: Instant = field(name="from")
    to: Instant
    agents: list[AgentPresence]
    #: pass as ``after`` for the following page
    next: str | UnsetType = UNSET


class Lane(StrEnum):
    """What kind of thing a moment of a timeline is."""

    MESSAGE = "message"  # sent, delivered, read
    CLAIM = "claim"  # claimed, released, lost
    STATUS = "status"  # of a task or an agent
    CALLBACK = "callback"


class TimelineEntry(Wire):
    """One moment."""

    at: Instant
    lane: Lane
    #: as the log calls it; beside that ``message.delivered``, ``claim.lost`` and ``callback.attempt``
    event: str
    message_id: int | None
    task_id: int | None
    #: who did it
    by: str | None
    #: to whom: a target, the holder of a lost claim, an integration
    to: str | None
    #: for people, in one line
    text: str
    #: what is particular to the event
    data: JsonObject


class Timeline(Wire):
    """What happened in a conversation or to a task, the oldest first."""

    entries: list[TimelineEntry]
    #: there is more than the 1,000 entries of an answer
    truncated: bool


class AgentTimeline(Wire):
    """What an agent did and what came to it alone, the newest first."""

    entries: list[TimelineEntry]
    #: pass as ``before`` for the following page
    next: str | UnsetType = UNSET


class AgentTimelineQuery(Request, rename=None):
    #: the ``next`` of the page before
    before: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    limit: Limit = 50
