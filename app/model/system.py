"""The wire: live streams, sessions, the relay about itself, problems."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field

from app.model.common import Cursor, Instant, Request, Wire


class EventQuery(Request, rename=None):
    for_: Annotated[str, Meta(min_length=1, max_length=128)] | None = field(default=None, name="for")
    since: Cursor | None = None


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
    #: active tasks by status
    tasks: dict[str, int]
    #: callbacks that are pending, and that were given up
    callbacks: dict[str, int]
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
