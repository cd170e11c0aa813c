"""Routes: the event stream."""

from __future__ import annotations

import socket

from flask import Blueprint, Response, request

from app.model import EventQuery
from app.server.api._http import agent_secret, answer_headers, header_number, relay, take_over
from app.server.api._spec import route
from app.server.api.door import presented_token
from app.server.services import agents
from app.server.services.bus import authorise, sha256

blueprint = Blueprint("live", __name__, url_prefix="/api")


@route(blueprint, "GET", "/events", query=EventQuery, problems=(404,))
def stream_events(query: EventQuery) -> Response:
    """Server-Sent Events of everything, or of what concerns one agent (`for`)

    `Last-Event-ID` (or `since`) replays only what came later; where that is no longer held the stream begins with
    `event: reset`. With `for` and neither of them it begins with the agent's unread inbox.
    """
    here = relay()
    since = header_number("Last-Event-ID")
    since = query.since if since is None else since
    if query.for_ is not None:
        with here.bus.store.read() as connection:
            authorise(connection, query.for_, secret=agent_secret())
        agents.sign_of_life(here.bus, query.for_)
    head = _head(answer_headers())
    if request.method == "HEAD":
        return Response(content_type="text/event-stream")

    token = presented_token(request.environ)
    token_sha256 = None if token is None else sha256(token)

    def adopt(sock: socket.socket) -> None:
        here.hub.open_sse(sock, head=head, agent_id=query.for_, since=since, token_sha256=token_sha256)

    return take_over(adopt)


def _head(headers: list[tuple[str, str]]) -> bytes:
    """Of a response without an end. ``no`` tells nginx not to collect it first."""
    lines = [
        "HTTP/1.1 200 OK",
        "Content-Type: text/event-stream; charset=utf-8",
        "Connection: close",
        "X-Accel-Buffering: no",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
