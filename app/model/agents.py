"""The wire: agents."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from app.model.common import (
    MAX_ID,
    AgentId,
    Cursor,
    Instant,
    JsonObject,
    Limit,
    Request,
    ShortText,
    Term,
    Terms,
    TolerantRequest,
    Wire,
)


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
