"""The wire: one Struct for every request and answer of the HTTP API and the WebSocket.

Field names are snake_case here and camelCase in JSON. Requests refuse unknown keys (:class:`Request`), except those
that a newer client must be able to send to an older relay (:class:`TolerantRequest`). Only msgspec and the standard
library are imported: the command line needs these types too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

MAX_ID = 2**63 - 1
MAX_BATCH = 1_000
MAX_BODY_BYTES = 1 << 20

#: PostgreSQL has no U+0000 in text, and no agent needs it: refused on every store, so that a bus can move.
_NO_NUL = r"^[^\x00]*$"

#: Python's ``$`` also matches before a last newline; the look-ahead closes that.
AGENT_ID_PATTERN = r"^[A-Za-z0-9._@-]{1,128}$(?!\n)"
#: Everyone, as a target.
BROADCAST = "broadcast"
#: Who joins in without being registered: the person at the dashboard or a terminal.
HUMAN = "human"
#: The relay's own voice; nobody else may use it.
SYSTEM = "system"
RESERVED_IDS = frozenset({BROADCAST, SYSTEM, HUMAN})

AgentId = Annotated[
    str, Meta(pattern=AGENT_ID_PATTERN, max_length=128, description="1-128 of A-Z a-z 0-9 . _ @ -", examples=["alice"])
]
Term = Annotated[str, Meta(min_length=1, max_length=128, pattern=_NO_NUL)]
Terms = Annotated[list[Term], Meta(max_length=64)]
Target = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=160,
        pattern=_NO_NUL,
        description="an agent id, tag:x, cap:x, label:x or broadcast",
        examples=["alice", "tag:backend", "broadcast"],
    ),
]
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
Cursor = Annotated[int, Meta(ge=0, le=MAX_ID)]
Limit = Annotated[int, Meta(ge=1, le=500)]
ShortText = Annotated[str, Meta(max_length=256, pattern=_NO_NUL)]
Text = Annotated[str, Meta(pattern=_NO_NUL)]
Instant = Annotated[str, Meta(description="RFC 3339 UTC with milliseconds", extra_json_schema={"format": "date-time"})]
JsonObject = dict[str, Any]


class Wire(Struct, kw_only=True, rename="camel"):
    """Base of everything that crosses the wire."""


class Request(Wire, forbid_unknown_fields=True):
    """A request in which an unknown key is a typo: 422."""


class TolerantRequest(Wire):
    """A request whose unknown keys are ignored and listed in the answer's ``ignored``."""


class ReportedStatus(StrEnum):
    """What an agent may say of itself."""

    ONLINE = "online"
    IDLE = "idle"
    BUSY = "busy"


class Status(StrEnum):
    """What a card shows: the agent's own word, or the relay's when the agent has gone quiet."""

    ONLINE = "online"
    IDLE = "idle"
    BUSY = "busy"
    STALE = "stale"  # no sign of life for STALE_TTL_MS
    OFFLINE = "offline"  # nor for three times that: its claims are released


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


# -- agents ------------------------------------------------------------------------------------------------------------


def _as_instant(text: str) -> str:
    """An instant that came in, as we write it.

    :raises ValueError: it is none, or it does not say in which zone.
    """
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo is not None:
            return given.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be an instant like 2026-01-31T12:00:00.000Z")


class WakePath(Wire):
    """One way to reach an agent that is doing something else, and when it last proved itself."""

    name: ShortText
    armed: bool = False
    last_proved_at: Instant | None = None

    def __post_init__(self) -> None:
        if self.last_proved_at is not None:
            self.last_proved_at = _as_instant(self.last_proved_at)


WakePaths = Annotated[list[WakePath], Meta(max_length=16)]
PromptChars = Annotated[int, Meta(ge=0, le=MAX_ID)]


class RegisterAgent(TolerantRequest):
    """Register or refresh by id: keys given replace, absent ones stay."""

    id: AgentId
    labels: Terms | UnsetType = UNSET
    tags: Terms | UnsetType = UNSET
    capabilities: Terms | UnsetType = UNSET
    status: ReportedStatus | UnsetType = UNSET
    ready: bool | UnsetType = UNSET
    rig: ShortText | None | UnsetType = UNSET
    project: ShortText | None | UnsetType = UNSET
    host: ShortText | None | UnsetType = UNSET
    version: ShortText | None | UnsetType = UNSET
    meta: JsonObject | UnsetType = UNSET
    wake_paths: WakePaths | UnsetType = UNSET
    prompt_chars: PromptChars | UnsetType = UNSET
    issue_secret: bool = False


class PatchAgent(Request):
    """A human's or (with its secret) the agent's own change."""

    labels: Terms | UnsetType = UNSET
    tags: Terms | UnsetType = UNSET
    capabilities: Terms | UnsetType = UNSET
    status: ReportedStatus | UnsetType = UNSET
    ready: bool | UnsetType = UNSET
    meta: JsonObject | UnsetType = UNSET


class Heartbeat(TolerantRequest):
    """A sign of life, which may carry what changes most."""

    status: ReportedStatus | UnsetType = UNSET
    ready: bool | UnsetType = UNSET
    wake_paths: WakePaths | UnsetType = UNSET
    prompt_chars: PromptChars | UnsetType = UNSET


class AgentCard(Wire):
    """What the bus knows of an agent."""

    id: str
    labels: list[str]
    tags: list[str]
    capabilities: list[str]
    status: Status
    ready: bool
    rig: str | None
    project: str | None
    host: str | None
    version: str | None
    meta: JsonObject
    wake_paths: list[WakePath]
    prompt_chars: int
    registered_at: Instant
    last_seen_at: Instant
    #: unread messages of its inbox; counting stops at 10,000
    unread: int


class HeartbeatAnswer(AgentCard):
    """The card, and the keys of the request that this relay does not know."""

    ignored: list[str]


class RegisteredAgent(HeartbeatAnswer):
    """The answer to a registration."""

    #: the newest message id: where a poller that wants only what is new starts
    cursor: Cursor
    server_version: str
    #: given once, to the registration that asked for it
    agent_secret: str | UnsetType = UNSET


class AgentList(Wire):
    agents: list[AgentCard]
    #: pass as ``after`` for the following page
    next: str | UnsetType = UNSET


class AgentQuery(Request, rename=None):
    status: Status | None = None
    tag: Term | None = None
    cap: Term | None = None
    label: Term | None = None
    ready: bool | None = None
    limit: Limit = 50
    after: Term | None = None


# -- messages ----------------------------------------------------------------------------------------------------------


class SendMessage(Request):
    """A message to one target."""

    from_: AgentId = field(name="from")
    to: Target
    body: Annotated[str, Meta(min_length=1, pattern=_NO_NUL)]
    subject: Annotated[str, Meta(max_length=1_000, pattern=_NO_NUL)] | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=128, pattern=_NO_NUL)] | None = None
    reply_to: Id | None = None
    claimable: bool = False
    priority: Priority = Priority.NORMAL
    meta: JsonObject = {}
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
    q: Annotated[str, Meta(min_length=1, max_length=500, pattern=_NO_NUL)] | None = None


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


class ReceiptList(Wire):
    receipts: list[Receipt]
    next: str | UnsetType = UNSET


class ReceiptQuery(Request, rename=None):
    limit: Limit = 50
    after: Term | None = None


class ReportReceipt(Request):
    agent_id: AgentId
    state: ReportedReceipt
    adapter: Annotated[str, Meta(min_length=1, max_length=128, pattern=_NO_NUL)]


# -- live --------------------------------------------------------------------------------------------------------------


class EventQuery(Request, rename=None):
    for_: Annotated[str, Meta(min_length=1, max_length=128)] | None = field(default=None, name="for")
    since: Cursor | None = None


# -- sessions and system -----------------------------------------------------------------------------------------------


class SessionCode(Wire):
    """A code for one use, to be put in a URL's fragment."""

    code: str
    expires_at: Instant


class RedeemCode(Request):
    code: Annotated[str, Meta(min_length=1, max_length=128)]


class Session(Wire):
    token: str
    expires_at: Instant


class LiveStreams(Wire):
    sse: int
    websocket: int
    long_poll: int


class Stats(Wire):
    version: str
    instance: str
    uptime_s: float
    #: agents by status
    agents: dict[str, int]
    #: messages held
    messages: int
    #: claimable messages that nobody holds
    claimable_open: int
    #: unread messages to ``human``
    unread_human: int
    live: LiveStreams
    #: sequence number of the newest event, and of the oldest that can still be replayed
    event_seq: int
    event_floor: int
    database_bytes: int


class Health(Wire):
    app: str
    instance: str
    version: str
    manager: str | None
    status: str


class Problem(Wire):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    instance: str | UnsetType = UNSET
    errors: list[dict[str, str]] | UnsetType = UNSET
    claimed_by: str | UnsetType = UNSET
    allowed: list[str] | UnsetType = UNSET


# -- WebSocket frames --------------------------------------------------------------------------------------------------

Ref = int | str | None


class HelloFrame(TolerantRequest, tag_field="op", tag="hello"):
    """Comes first; ``agentId: null`` observes everything. Browsers, which set no headers, put their token here."""

    agent_id: AgentId | None
    ref: Ref = None
    since: Cursor | None = None
    token: str | None = None
    agent_secret: str | None = None


class SendFrame(Request, tag_field="op", tag="send"):
    """As ``POST /messages``; ``from`` is the agent of the ``hello`` unless it says otherwise."""

    to: Target
    body: Annotated[str, Meta(min_length=1, pattern=_NO_NUL)]
    ref: Ref = None
    from_: AgentId | None = field(default=None, name="from")
    subject: Annotated[str, Meta(max_length=1_000, pattern=_NO_NUL)] | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=128, pattern=_NO_NUL)] | None = None
    reply_to: Id | None = None
    claimable: bool = False
    priority: Priority = Priority.NORMAL
    meta: JsonObject = {}
    expires_in_ms: Annotated[int, Meta(ge=1, le=315_360_000_000)] | None = None
    #: what the Idempotency-Key header is to an HTTP call
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class _OnMessage(Request):
    """About one message: its ``messageId``, or ``id`` as the paths of the HTTP API call it."""

    ref: Ref = None
    message_id: Id | None = None
    id: Id | None = None
    agent_id: AgentId | None = None


class ReadFrame(_OnMessage, tag_field="op", tag="read"):
    """One message, or with ``upTo`` everything up to it."""

    up_to: Cursor | None = None


class ClaimFrame(_OnMessage, tag_field="op", tag="claim"):
    """As ``POST /messages/{id}/claim``."""


class ReleaseFrame(_OnMessage, tag_field="op", tag="release"):
    """As ``POST /messages/{id}/release``."""


class ReceiptFrame(_OnMessage, kw_only=True, tag_field="op", tag="receipt"):
    """As ``POST /messages/{id}/receipts``."""

    state: ReportedReceipt
    adapter: Annotated[str, Meta(min_length=1, max_length=128, pattern=_NO_NUL)]


class HeartbeatFrame(Heartbeat, tag_field="op", tag="heartbeat"):
    """As ``POST /agents/{id}/heartbeat``."""

    ref: Ref = None


class StatusFrame(Request, tag_field="op", tag="status"):
    """What the agent says of itself, as ``PATCH /agents/{id}``."""

    ref: Ref = None
    status: ReportedStatus | UnsetType = UNSET
    ready: bool | UnsetType = UNSET


Frame = HelloFrame | SendFrame | ReadFrame | ClaimFrame | ReleaseFrame | ReceiptFrame | HeartbeatFrame | StatusFrame


class HelloAnswer(Wire):
    """Whom the connection speaks for, and where the log stands."""

    agent_id: str | None
    cursor: int
    server_version: str
    ignored: list[str]


class Reply(Wire, omit_defaults=True):
    """The answer to the frame with the same ``ref``."""

    ref: Ref
    ok: bool
    result: Any = UNSET
    problem: Any = UNSET


def camel_names(struct: type[Struct]) -> frozenset[str]:
    """The JSON keys that a Struct knows."""
    return frozenset(f.encode_name for f in msgspec.structs.fields(struct))
