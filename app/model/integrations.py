"""The wire: the integrations in force, and a test of one."""

from __future__ import annotations

from app.model.common import Instant, Request, Target, Wire
from app.model.tasks import Channel


class IntegrationCounts(Wire):
    """What became of an integration's events since the relay started."""

    #: they made a task
    accepted: int = 0
    #: an active task counted them
    deduped: int = 0
    #: they said that something is over, whether or not a task was active
    resolved: int = 0
    #: answered with 4xx, but for 429
    refused: int = 0
    #: answered with 429
    rate_limited: int = 0


class IntegrationInForce(Wire):
    """An outside system, what it may do, and how it fares; never its token or its secret."""

    name: str
    scopes: list[str]
    targets: list[str]
    channels: list[str]
    #: without user, password and query, which may be secrets
    callback_url: str | None
    #: whether its callbacks are signed
    signed: bool
    counts: IntegrationCounts
    #: when counting began: the relay's start
    counts_since: Instant
    #: active ones that it made
    tasks: int
    pending_callbacks: int
    dead_callbacks: int
    #: when an event of it was last taken
    last_event_at: Instant | None


class IntegrationList(Wire):
    integrations: list[IntegrationInForce]


class IntegrationTest(Request):
    """Where a test event goes; each defaults to the integration's only one."""

    target: Target | None = None
    channel: Channel | None = None
