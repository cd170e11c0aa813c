"""The wire: what goes over a WebSocket."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from app.model.agents import Heartbeat
from app.model.common import (
    NO_NUL,
    AgentId,
    Cursor,
    Id,
    JsonObject,
    Request,
    ShortText,
    Target,
    TolerantRequest,
    Wire,
)
from app.model.messages import Priority, ReportedReceipt
from app.model.tasks import Note, Progress

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
    body: Annotated[str, Meta(min_length=1, pattern=NO_NUL)]
    ref: Ref = None
    from_: AgentId | None = field(default=None, name="from")
    subject: Annotated[str, Meta(max_length=1_000, pattern=NO_NUL)] | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)] | None = None
    reply_to: Id | None = None
    claimable: bool = False
    priority: Priority = Priority.NORMAL
    meta: JsonObject = field(default_factory=dict)
    expires_in_ms: Annotated[int, Meta(ge=1, le=315_360_000_000)] | None = None
    #: what the Idempotency-Key header is to an HTTP call
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class _OnMessage(Request):
    """About one message: its ``messageId``, or ``id`` as the paths of the HTTP API call it; a task has the same id."""

    ref: Ref = None
    message_id: Id | None = None
    task_id: Id | None = None
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
    adapter: Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_NUL)]


class HeartbeatFrame(Heartbeat, tag_field="op", tag="heartbeat"):
    """As ``POST /agents/{id}/heartbeat``."""

    ref: Ref = None


class StatusFrame(Request, tag_field="op", tag="status"):
    """With ``taskId`` as ``PATCH /tasks/{id}/status``; without it the agent's own, as ``PATCH /agents/{id}``."""

    ref: Ref = None
    #: a task's or an agent's, which are other words
    status: ShortText | UnsetType = UNSET
    ready: bool | UnsetType = UNSET
    task_id: Id | None = None
    agent_id: AgentId | None = None
    result: Any | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    note: Note | None = None


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
