"""What can go wrong, in words and codes that clients may rely on.

Every error that a caller can meet is a :class:`RelayError`. Its docstring's first line is the default detail; ``code``
is API and never renamed. Standard library only: everything imports this, so it must stay light.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypedDict


class FieldError(TypedDict):
    """One wrong field of a request: its dotted path, and what is wrong with the mend."""

    field: str
    message: str


class RelayError(Exception):
    """The relay could not do what was asked."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
        **extras: Any,
    ) -> None:
        """:param extras: further members of the problem document, e.g. ``claimedBy`` (RFC 9457 section 3.2)."""
        self.detail = detail or (type(self).__doc__ or "").splitlines()[0]
        self.errors = errors or []
        self.headers = headers or {}
        self.extras = extras
        super().__init__(self.detail)


class Malformed(RelayError):
    """The request could not be read."""

    status, code, title = 400, "malformed", "Malformed request"


class Unauthorized(RelayError):
    """A token is needed: send it as "Authorization: Bearer …" or "X-Agent-Relay-Token: …"."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(RelayError):
    """The call is not allowed."""

    status, code, title = 403, "forbidden", "Forbidden"


class HostRefused(Forbidden):
    """The Host header names a host that this relay does not answer to."""

    code, title = "host-refused", "Host refused"


class OriginRefused(Forbidden):
    """The call comes from a web page of another origin."""

    code, title = "origin-refused", "Cross-origin call refused"


class AgentSecretRequired(Forbidden):
    """This agent asked for a secret: whoever speaks in its name sends it as X-Agent-Relay-Agent-Secret."""

    code, title = "agent-secret-required", "Agent secret required"


class OutOfScope(Forbidden):
    """This integration's token does not reach that far; ``allowed`` names what it may."""

    code, title = "out-of-scope", "Out of the integration's scope"


class IntegrationTokenRequired(Forbidden):
    """Events come from integrations: send an integration's own token, not the relay's shared one."""

    code, title = "integration-token-required", "Integration token required"


class NotARecipient(Forbidden):
    """The agent is not a recipient of this message."""

    code, title = "not-a-recipient", "Not a recipient"


class NotClaimant(Forbidden):
    """The agent does not hold this claim."""

    code, title = "not-claimant", "Not the claimant"


class NotFound(RelayError):
    """There is nothing at this path."""

    status, code, title = 404, "not-found", "Not found"


class AgentNotFound(NotFound):
    """No agent of this id is registered; register it with POST /api/agents."""

    code, title = "agent-not-found", "Agent not found"


class MessageNotFound(NotFound):
    """No message has this id; it may have been deleted or have aged out."""

    code, title = "message-not-found", "Message not found"


class TaskNotFound(NotFound):
    """No task has this id; it may have aged out."""

    code, title = "task-not-found", "Task not found"


class IntegrationNotFound(NotFound):
    """No integration has this name; GET /api/integrations lists those in force."""

    code, title = "integration-not-found", "Integration not found"


class DeliveryNotFound(NotFound):
    """No callback has this id; it may have aged out with its task."""

    code, title = "delivery-not-found", "Callback not found"


class MethodNotAllowed(RelayError):
    """This path does not take that method."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"


class RequestTimeout(RelayError):
    """The request took too long to arrive."""

    status, code, title = 408, "request-timeout", "Request timeout"


class ClaimConflict(RelayError):
    """Another agent holds this message."""

    status, code, title = 409, "claim-conflict", "Already claimed"


class IdempotencyConflict(RelayError):
    """This Idempotency-Key was used with another body; take a new key for a new request."""

    status, code, title = 409, "idempotency-conflict", "Idempotency key reused"


class StatusConflict(RelayError):
    """The task cannot move there from where it stands; ``allowed`` names the moves that it can make."""

    status, code, title = 409, "status-conflict", "Move not possible"


class TaskActive(RelayError):
    """This message belongs to a task that is not closed: close the task first."""

    status, code, title = 409, "task-active", "Task is active"


class BackupRunning(RelayError):
    """Another backup is being made or fetched, and there is one at a time: try again when that is done."""

    status, code, title = 409, "backup-running", "Backup under way"


class MessageExpired(RelayError):
    """The message has expired."""

    status, code, title = 410, "message-expired", "Message expired"


class MessageClosed(MessageExpired):
    """The task of this message is closed."""

    code, title = "message-closed", "Message closed"


class TooLarge(RelayError):
    """The request body is larger than 1 MiB."""

    status, code, title = 413, "too-large", "Content too large"


class UnsupportedMediaType(RelayError):
    """A body is read only as application/json; send that Content-Type."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"


class Invalid(RelayError):
    """The request is not valid."""

    status, code, title = 422, "invalid", "Invalid request"

    @classmethod
    def field(cls, field: str, message: str) -> Invalid:
        """One wrong field."""
        return cls(f"{field}: {message}", errors=[{"field": field, "message": message}])


class NotClaimable(Invalid):
    """The message was not sent as claimable."""

    code, title = "not-claimable", "Not claimable"


class UpgradeRequired(RelayError):
    """This path speaks WebSocket only, and a WebSocket speaks to no other: connect there with a WebSocket client."""

    status, code, title = 426, "upgrade-required", "Upgrade required"


class HeadersTooLarge(RelayError):
    """The request's headers are too large."""

    status, code, title = 431, "headers-too-large", "Request header fields too large"


class RateLimited(RelayError):
    """This integration calls too often; try again after the time that Retry-After names, in seconds."""

    status, code, title = 429, "rate-limited", "Too many requests"


class Unavailable(RelayError):
    """The relay cannot answer right now; try again shortly."""

    status, code, title = 503, "unavailable", "Service unavailable"


class StorageFull(RelayError):
    """The disk is full: nothing was stored. Free some space and send it again."""

    status, code, title = 507, "storage-full", "Insufficient storage"


class StartError(RelayError):
    """The relay cannot start."""

    code, title = "start-failed", "Cannot start"


def catalogue() -> list[type[RelayError]]:
    """Every concrete error by code, for docs/errors.md and its test."""
    found: list[type[RelayError]] = []
    todo: list[type[RelayError]] = [RelayError]
    while todo:
        cls = todo.pop()
        found.append(cls)
        todo.extend(cls.__subclasses__())
    return sorted({cls.code: cls for cls in found}.values(), key=lambda cls: (cls.status, cls.code))
