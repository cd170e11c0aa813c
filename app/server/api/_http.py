"""What routes need of a request besides its parsed body and query."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import msgspec
from flask import Response, current_app, request
from werkzeug.routing import IntegerConverter

from app.errors import Invalid
from app.integrations import Integration
from app.model import MAX_ID
from app.server.api.door import INTEGRATION, REQUEST_ID, Door, missing_headers
from app.server.api.problems import as_relay_error, render_problem
from app.server.hub import Hub
from app.server.services.bus import Bus
from app.server.sockets import Left
from app.server.store.writer import Done

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Relay:
    """What the routes work with."""

    bus: Bus
    hub: Hub
    door: Door
    #: when this process began to serve, on the monotonic clock
    started_s: float


def relay() -> Relay:
    """The relay that this app serves."""
    return cast("Relay", current_app.extensions["relay"])


class IdConverter(IntegerConverter):
    """Ids in paths fit into 64 bits; a larger number names nothing."""

    def __init__(self, map: Any, **options: Any) -> None:
        super().__init__(map, **({"max": MAX_ID} | options))


def request_id() -> str:
    """This request's name in answers and logs."""
    return cast("str", request.environ[REQUEST_ID])


def agent_secret() -> str | None:
    """The agent secret that a request carries."""
    return request.environ.get("HTTP_X_AGENT_RELAY_AGENT_SECRET") or None


def caller() -> Integration | None:
    """The integration whose token the request carries, if it is one's."""
    return request.environ.get(INTEGRATION)


def header_number(name: str) -> int | None:
    """A whole number from a header.

    :raises Invalid: it is something else.
    """
    value = request.headers.get(name)
    if value is None or value == "":
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 19 or int(value) > MAX_ID:
        raise Invalid.field(name, "must be an event id: a whole number")
    return int(value)


def answer_headers() -> list[tuple[str, str]]:
    """What an answer carries that leaves by another way than the app's."""
    return missing_headers(request.environ)


def defer(begin: Callable[[Done], None], *, answer: Callable[[Any], tuple[object, int]]) -> NoReturn:
    """Answer this request later, without a worker that waits.

    :param begin: starts the work; whatever it calls back with, result or error, becomes the answer.
    :param answer: a result's wire form and status.
    """
    environ, door = request.environ, relay().door
    resume = environ["relay.defer"]()

    def done(result: Any, error: BaseException | None) -> None:
        if error is None:
            value, status = answer(result)
            headers, body = [("Content-Type", "application/json")], _encode(value)
        else:
            problem = as_relay_error(error, environ)
            status = problem.status
            headers, body = render_problem(problem, environ["PATH_INFO"], environ[REQUEST_ID])
        resume(*door.leave(environ, status, headers), body)

    begin(done)
    raise Left  # past Flask, which would make a response of whatever is returned


def take_over(handler: Callable[[socket.socket], None]) -> Response:
    """Give this request's socket to ``handler``; what is returned here is never sent."""
    cast("Callable[[Callable[[socket.socket], None]], None]", request.environ["relay.takeover"])(handler)
    return Response(status=200)
