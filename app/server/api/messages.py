"""Routes: messages."""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import NoReturn, cast

import msgspec
from flask import Blueprint, Response, request

from app.errors import Invalid, RelayError
from app.model import (
    AgentRef,
    Batch,
    CursorAnswer,
    Message,
    MessageList,
    MessageQuery,
    ReadMark,
    ReadUpTo,
    ReadUpToAnswer,
    ReceiptList,
    ReceiptQuery,
    ReceiptState,
    ReportReceipt,
    SendMessage,
    SentBatch,
    SentMessage,
    ThreadQuery,
)
from app.server.api._http import Relay, agent_secret, answer_headers, caller, defer, relay, request_id, take_over
from app.server.api._spec import one_of, route
from app.server.api.problems import CONTENT_TYPE, problem_document
from app.server.services import agents, claims, inbox, messages
from app.server.sockets import http_response
from app.server.streams import ParkedPoll

blueprint = Blueprint("messages", __name__, url_prefix="/api/messages")

_encode = msgspec.json.Encoder().encode
MAX_KEY_CHARS = 256


@route(
    blueprint,
    "POST",
    "",
    json=SendMessage | Batch,
    answer=one_of("SentMessageOrBatch", SentMessage, SentBatch),
    status=201,
    problems=(400, 404, 409, 413, 415, 503, 507),
)
def send_messages(body: SendMessage | list[SendMessage]) -> NoReturn:
    """Send a message, or an array of 1-1,000 of them, all or nothing

    201 means that it is on disk. With an `Idempotency-Key` header the same key and body answer the first result for 24
    h.
    """
    bus = relay().bus
    several = isinstance(body, list)
    requests = body if isinstance(body, list) else [body]
    submission = messages.prepare(
        bus,
        requests,
        agent_secret=agent_secret(),
        batch=several,
        idempotency_key=_idempotency_key(),
        integration=caller(),
    )
    defer(
        lambda done: messages.submit(bus, submission, done),
        answer=lambda sent: (SentBatch(messages=sent) if several else sent[0], 201),
    )


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_CHARS:
        raise Invalid.field("Idempotency-Key", f"must have 1-{MAX_KEY_CHARS} characters")
    return key


@route(blueprint, "GET", "", query=MessageQuery, answer=MessageList, problems=(404,))
def list_messages(query: MessageQuery) -> MessageList | Response:
    """An agent's inbox, oldest first (`for`), or all history, newest first

    With `wait` an empty inbox is answered when something comes, or after that many seconds.
    """
    here = relay()
    if query.for_ is None:
        if query.unread or query.sinceId or query.wait or query.peek:
            raise Invalid.field(
                "for", "unread, sinceId, peek and wait are about an inbox: say whose with for=<agent id>"
            )
        return messages.list_history(here.bus, query)
    if not 0 <= query.wait <= 60:
        raise Invalid.field("wait", "must be 0-60 seconds")
    for name in ("before", "from_", "to", "channel", "thread", "claimedBy", "q"):
        if getattr(query, name) is not None:
            raise Invalid.field(name.rstrip("_"), "filters history, not an inbox: leave it out, or leave out for")
    secret = agent_secret()
    seen = here.bus.store.head()
    found = inbox.list_inbox(here.bus, query, agent_secret=secret)
    if not query.peek:
        agents.sign_of_life(here.bus, query.for_)
    if found.messages or not query.wait or request.method == "HEAD":
        return found
    return _park(here, query, secret=secret, seen=seen)


def _park(here: Relay, query: MessageQuery, *, secret: str | None, seen: int) -> Response:
    """Leave the request with the hub until there is something."""
    agent_id = cast("str", query.for_)
    extra, path, name = answer_headers(), request.path, request_id()
    deadline_s = here.bus.clock.monotonic_s() + query.wait

    def answer(poll: ParkedPoll) -> None:
        looked = here.bus.store.head()
        status = 200
        try:
            found = inbox.list_inbox(here.bus, query, agent_secret=secret)
            body = _encode(found)
        except RelayError as exc:
            status, body = exc.status, _encode(problem_document(exc, path=path, request_id=name))
        else:
            if not query.peek:
                agents.sign_of_life(here.bus, agent_id)
            if not found.messages and here.bus.clock.monotonic_s() < deadline_s:
                here.hub.park(poll, seen=looked)
                return
        here.hub.end_with(poll.sock, _whole(status, extra, body))

    def adopt(sock: socket.socket) -> None:
        nothing = _whole(200, extra, _encode(MessageList(messages=[])))
        poll = ParkedPoll(
            here.hub, sock, agent_id=agent_id, deadline_s=deadline_s, answer=answer, nothing=nothing, peek=query.peek
        )
        here.hub.park(poll, seen=seen)

    return take_over(adopt)


def _whole(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """A whole response, for a socket that has left the server."""
    kind = "application/json" if status < 400 else CONTENT_TYPE
    return http_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", kind), *headers], body)


@route(blueprint, "GET", "/cursor", answer=CursorAnswer)
def get_cursor() -> CursorAnswer:
    """The newest message id, where a poller starts"""
    return CursorAnswer(cursor=messages.cursor(relay().bus))


@route(blueprint, "POST", "/read", json=ReadUpTo, answer=ReadUpToAnswer, problems=(400, 404, 415))
def read_up_to(body: ReadUpTo) -> ReadUpToAnswer:
    """Mark everything up to an id as read by an agent"""
    bus = relay().bus
    done = inbox.read_up_to(bus, agent_id=body.agent_id, up_to=body.up_to, agent_secret=agent_secret())
    agents.sign_of_life(bus, body.agent_id)
    return done


@route(blueprint, "GET", "/<int:message_id>", answer=Message, problems=(404,))
def get_message(message_id: int) -> Message:
    """One message"""
    return messages.get(relay().bus, message_id)


@route(blueprint, "DELETE", "/<int:message_id>", status=204, problems=(404,))
def delete_message(message_id: int) -> tuple[None, int]:
    """Remove a message from history"""
    messages.delete(relay().bus, message_id)
    return None, 204


@route(blueprint, "GET", "/<int:message_id>/thread", query=ThreadQuery, answer=MessageList, problems=(404,))
def get_thread(message_id: int, query: ThreadQuery) -> MessageList:
    """The whole conversation of a message, oldest first"""
    return messages.list_thread(relay().bus, message_id, since=query.sinceId, limit=query.limit)


@route(blueprint, "POST", "/<int:message_id>/read", json=AgentRef, answer=ReadMark, problems=(400, 404, 415))
def read_message(message_id: int, body: AgentRef) -> ReadMark:
    """Mark a message as read by an agent; doing it again changes nothing"""
    bus = relay().bus
    mark = inbox.read(bus, message_id, agent_id=body.agent_id, agent_secret=agent_secret())
    agents.sign_of_life(bus, body.agent_id)
    return mark


@route(blueprint, "GET", "/<int:message_id>/receipts", query=ReceiptQuery, answer=ReceiptList, problems=(404,))
def list_receipts(message_id: int, query: ReceiptQuery) -> ReceiptList:
    """What became of a message with each recipient"""
    return inbox.list_receipts(relay().bus, message_id, after=query.after, limit=query.limit)


@route(
    blueprint, "POST", "/<int:message_id>/receipts", json=ReportReceipt, answer=ReceiptList, problems=(400, 404, 415)
)
def report_receipt(message_id: int, body: ReportReceipt) -> ReceiptList:
    """An adapter reports that it offered or delivered a message to its agent"""
    bus = relay().bus
    receipts = inbox.report_receipt(
        bus,
        message_id,
        agent_id=body.agent_id,
        state=ReceiptState(body.state.value),
        adapter=body.adapter,
        agent_secret=agent_secret(),
    )
    agents.sign_of_life(bus, body.agent_id)
    return receipts


@route(blueprint, "POST", "/<int:message_id>/claim", json=AgentRef, answer=Message, problems=(400, 404, 409, 410, 415))
def claim_message(message_id: int, body: AgentRef) -> Message:
    """Claim a message: 200 to exactly one agent, and to that one again; 409 with `claimedBy` to the rest"""
    bus = relay().bus
    message = claims.claim(bus, message_id, agent_id=body.agent_id, secret=agent_secret())
    agents.sign_of_life(bus, body.agent_id)
    return message


@route(blueprint, "POST", "/<int:message_id>/release", json=AgentRef, answer=Message, problems=(400, 404, 415))
def release_message(message_id: int, body: AgentRef) -> Message:
    """The claimant gives a message back; it is announced anew"""
    bus = relay().bus
    message = claims.release(bus, message_id, agent_id=body.agent_id, secret=agent_secret())
    agents.sign_of_life(bus, body.agent_id)
    return message
