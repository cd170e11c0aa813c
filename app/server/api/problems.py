"""Errors of any kind leave as RFC 9457 problem documents, made here and nowhere else."""

from __future__ import annotations

import itertools
import logging
import secrets
from typing import TYPE_CHECKING, Any, cast

import msgspec
from flask import Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as UnknownPath
from werkzeug.routing.exceptions import WebsocketMismatch

from app.errors import (
    Malformed,
    MethodNotAllowed,
    NotFound,
    RelayError,
    TooLarge,
    UnsupportedMediaType,
    UpgradeRequired,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger(__name__)

#: On every answer, unless it sets its own. Nothing of the API is a page, and nothing of it is to be kept.
SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
CONTENT_TYPE = "application/problem+json"

_encode = msgspec.json.Encoder().encode
_run = secrets.token_hex(4)
_numbers = itertools.count(1)


def new_request_id() -> str:
    """A name for one request, in its answer and in the log."""
    return f"{_run}-{next(_numbers)}"


def problem_document(error: RelayError, *, path: str, request_id: str) -> dict[str, Any]:
    """The one shape of every error."""
    document: dict[str, Any] = {
        "type": f"/api/docs#{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "requestId": request_id,
        "instance": path,
    }
    if error.errors:
        document["errors"] = error.errors
    return document | error.extras


def render_problem(error: RelayError, path: str, request_id: str | None = None) -> tuple[list[tuple[str, str]], bytes]:
    """For requests that do not reach the app: headers and body."""
    name = request_id or new_request_id()
    body = _encode(problem_document(error, path=path, request_id=name))
    return [*SECURITY_HEADERS, *error.headers.items(), ("X-Request-Id", name), ("Content-Type", CONTENT_TYPE)], body


def problem_response(exc: Exception) -> Response:
    """For requests that do: the answer to whatever a route ran into."""
    error = as_relay_error(exc, request.environ)
    document = problem_document(error, path=request.path, request_id=request.environ["relay.request_id"])
    return Response(_encode(document), status=error.status, headers=error.headers, content_type=CONTENT_TYPE)


def as_relay_error(exc: BaseException, environ: WSGIEnvironment) -> RelayError:
    """Whatever a request ran into, as one of ours; what nobody foresaw goes into the log."""
    if isinstance(exc, RelayError):
        return exc
    if isinstance(exc, UnknownPath):
        return NotFound(f"There is nothing at {environ['PATH_INFO']}.")
    if isinstance(exc, WebsocketMismatch):
        return UpgradeRequired()
    if isinstance(exc, HTTPException):
        return _from_werkzeug(exc)
    extra = {"action": "http.error", "request_id": environ["relay.request_id"]}
    logger.error("%s %s failed", environ["REQUEST_METHOD"], environ["PATH_INFO"], exc_info=exc, extra=extra)
    return RelayError("Internal error. The relay's log has more under this requestId.")


def _from_werkzeug(exc: HTTPException) -> RelayError:
    if exc.code == 405:
        allowed = ", ".join(sorted(cast("set[str]", getattr(exc, "valid_methods", None) or ())))
        return MethodNotAllowed(f"{request.path} takes {allowed}, not {request.method}.", headers={"Allow": allowed})
    if exc.code == 413:
        return TooLarge()
    if exc.code == 415:
        return UnsupportedMediaType()
    return Malformed(exc.description or "The request could not be read.")
