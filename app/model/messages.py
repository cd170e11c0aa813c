"""The wire: messages, read marks, receipts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from app.model.common import (
    MAX_BATCH,
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
    Wire,
)


class Kind(StrEnum):
    """What a message is."""

    MESSAGE = "message"
    TASK = "task"  # the claimable message of a task
    SYSTEM = "system"  # the relay's own word


class Priority(StrEnum):
    """How urgent a message is to its sender; the relay delivers all alike."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class ReceiptState(StrEnum):
    """How far a message has come with one recipient."""

    QUEUED = "queued"
    OFFERED = "offered"  # an adapter has put it before the agent
    DELIVERED = "delivered"  # the agent's side confirmed it
    READ = "read"
    CLAIMED = "claimed"


class ReportedReceipt(StrEnum):
    """What an adapter may report."""

    OFFERED = "offered"
    DELIVERED = "delivered"


class SendMessage(Request):
    """A message to one target."""

    from_: AgentId = field(name="from")
    to: Target
    body: Annotated[str, Meta(min_length=1, pattern=NO_NUL)]
    subject: Annotated[str, Meta(max_length=1_000, pattern=NO_NUL)] | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)] | None = None
    reply_to: Id | None = None
    claimable: bool = False
    priority: Priority = Priority.NORMAL
    meta: JsonObject = field(default_factory=dict)
    #: at most ten years
    expires_in_ms: Annotated[int, Meta(ge=1, le=315_360_000_000)] | None = None


Batch = Annotated[list[SendMessage], Meta(min_length=1, max_length=MAX_BATCH, title="Batch")]


class Message(Wire):
    """A message as the API shows it."""

    id: int
    from_: str = field(name="from")
    to: str
    subject: str | None
    body: str
    channel: str | None
    kind: Kind
    thread_id: int
    reply_to: int | None
    claimable: bool
    claimed_by: str | None
    claimed_at: Instant | None
    priority: Priority
    meta: JsonObject | msgspec.Raw
    task_id: int | None
    #: the sender proved itself with its agent secret
    verified: bool
    created_at: Instant
    expires_at: Instant | None


class InboxMessage(Message):
    """A message with whether this agent has read it; without an agent (history) ``read`` is absent."""

    read: bool | UnsetType = UNSET


class SentMessage(Message):
    """The answer to a send."""

    #: a direct message to an id that is not registered yet: kept, and delivered when it appears
    queued: bool
    #: how many agents it reached for now
    recipients: int


class SentBatch(Wire):
    messages: list[SentMessage]


class MessageList(Wire):
    messages: list[InboxMessage]
    #: pass as ``sinceId`` (inbox, thread) or ``before`` (history) for the following page
    next: int | UnsetType = UNSET


class MessageQuery(Request, rename=None):
    for_: Annotated[str, Meta(min_length=1, max_length=128)] | None = field(default=None, name="for")
    unread: bool = False
    sinceId: Cursor = 0
    limit: Limit = 50
    peek: bool = False
    wait: Annotated[float, Meta(ge=0, le=60)] = 0.0
    before: Id | None = None
    from_: Annotated[str, Meta(min_length=1, max_length=128)] | None = field(default=None, name="from")
    to: Target | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    thread: Id | None = None
    claimedBy: Term | None = None
    q: Annotated[str, Meta(min_length=1, max_length=500, pattern=NO_NUL)] | None = None


class ThreadQuery(Request, rename=None):
    sinceId: Cursor = 0
    limit: Limit = 50


class CursorAnswer(Wire):
    cursor: Cursor


class AgentRef(Request):
    """On whose behalf."""

    agent_id: AgentId


class ReadUpTo(Request):
    agent_id: AgentId
    up_to: Cursor


class ReadMark(Wire):
    """Who has read what, and when."""

    message_id: int
    agent_id: str
    at: Instant


class ReadUpToAnswer(Wire):
    agent_id: str
    up_to: int
    #: how many messages this call marked
    marked: int


class Receipt(Wire):
    """How far one message has come with one recipient."""

    agent_id: str
    state: ReceiptState
    queued_at: Instant
    offered_at: Instant | None = None
    offered_by: str | None = None
    delivered_at: Instant | None = None
    delivered_by: str | None = None
    read_at: Instant | None = None
    claimed_at: Instant | None = None
    #: when it last tried to claim what another held, and who that was; no state of its own
    lost_at: Instant | None = None
    lost_to: str | None = None


class ReceiptList(Wire):
    receipts: list[Receipt]
    next: str | UnsetType = UNSET


class ReceiptQuery(Request, rename=None):
    limit: Limit = 50
    after: Term | None = None


class ReportReceipt(Request):
    agent_id: AgentId
    state: ReportedReceipt
    adapter: Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)]
