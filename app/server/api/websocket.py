"""The WebSocket: requests come in and are answered by ``ref``; events go out beside them.

One thread reads each connection and does what it is asked; all that goes out, answers and events alike, leaves through
the hub's stream, which never waits for a slow client.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Blueprint, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

from app import __version__
from app.errors import Invalid, Malformed, RelayError, Unauthorized
from app.model import (
    ClaimFrame,
    Frame,
    HeartbeatFrame,
    HelloAnswer,
    HelloFrame,
    PatchAgent,
    ReadFrame,
    ReceiptFrame,
    ReceiptState,
    ReleaseFrame,
    Reply,
    SendFrame,
    SendMessage,
    SentMessage,
    SetTaskStatus,
    StatusFrame,
    camel_names,
    decoder_of,
)
from app.server.api._http import Relay, agent_secret, relay
from app.server.api._spec import guarded
from app.server.api.door import NEEDS_TOKEN, REQUEST_ID, WEBSOCKET_PATH, presented_token
from app.server.api.problems import as_relay_error, new_request_id, problem_document
from app.server.services import agents, claims, inbox, messages, tasks
from app.server.services.bus import authorise, sha256
from app.server.services.integrations import check_scope
from app.server.streams import WebSocketStream, text_frame

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger(__name__)

blueprint = Blueprint("websocket", __name__, url_prefix="/api")
_sock = Sock()

HELLO_TIMEOUT_S = 5.0
#: How long a closing connection may take to do so.
GOODBYE_S = 2.0
#: Close code for a missing or wrong token (4000-4999 are an application's own, RFC 6455 section 7.4.2).
CLOSE_UNAUTHORIZED = 4401
#: Given to flask-sock: a silent peer is found out, and a frame is no larger than an HTTP body.
SERVER_OPTIONS = {"ping_interval": 25, "max_message_size": 1 << 20, "receive_bytes": 1 << 16}

_frames = decoder_of(Frame)
_encode = msgspec.json.Encoder().encode


@blueprint.before_request
def check_handshake() -> None:
    """Refuse a handshake of another protocol before flask-sock fails on it (RFC 6455 section 4.2.1).

    :raises Malformed: its version or its key is none of ours.
    """
    if request.headers.get("Sec-WebSocket-Version") != "13":
        raise Malformed("Sec-WebSocket-Version must be 13.", headers={"Sec-WebSocket-Version": "13"})
    try:
        key = base64.b64decode(request.headers.get("Sec-WebSocket-Key", ""), validate=True)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise Malformed("Sec-WebSocket-Key must be 16 bytes in base64.")


@_sock.route("/ws", bp=blueprint)  # type: ignore[misc]
def websocket(ws: Server) -> None:
    """Both ways: hello, send, read, claim, release, heartbeat, status, receipt in; answers and events out."""
    here = relay()
    taken = request.environ["werkzeug.socket"]
    stream = here.hub.open_websocket(taken.raw.dup())
    taken.set_writer(stream.send)
    connection = _Connection(here, stream, secret=agent_secret(), needs_token=request.environ.get(NEEDS_TOKEN, False))
    try:
        while connection.open:
            data = ws.receive(timeout=HELLO_TIMEOUT_S if connection.needs_token else None)
            if data is None:
                break
            connection.take(data)
        if connection.needs_token:
            ws.close(CLOSE_UNAUTHORIZED, "send hello with a token first")
    except ConnectionClosed:
        logger.debug("a WebSocket closed", extra={"action": "live.closed", "agent": connection.agent_id})
    finally:
        # The library's own thread may still be answering the client's close frame, through the stream.
        ws.thread.join(GOODBYE_S)
        here.hub.close(stream)


class _Connection:
    """One WebSocket's side of the conversation. Used by its reading thread alone."""

    def __init__(self, here: Relay, stream: WebSocketStream, *, secret: str | None, needs_token: bool) -> None:
        self._relay = here
        self._bus = here.bus
        self._stream = stream
        self._secret = secret
        self._greeted = False
        self.needs_token = needs_token
        self.open = True
        self.agent_id: str | None = None

    def take(self, data: str | bytes) -> None:
        """Do what one frame asks, and answer it."""
        ref = None
        try:
            frame, raw = self._parse(data)
            ref = frame.ref
            if self.needs_token and not isinstance(frame, HelloFrame):
                raise Unauthorized("The first frame must be hello, with a token.")
            after = self._answer(frame, raw)
        except Exception as exc:  # noqa: BLE001 - as_relay_error logs what is unknown
            self._refuse(_ref_of(data) if ref is None else ref, exc, request.environ)
            if self.needs_token:
                self.open = False
            return
        if after is not None:
            after()

    def _parse(self, data: str | bytes) -> tuple[Any, bytes]:
        if isinstance(data, bytes):
            raise Malformed("Frames are JSON text, not binary.")
        raw = data.encode()
        return guarded(lambda: _frames.decode(raw), Frame), raw

    def _refuse(self, ref: int | str | None, exc: BaseException, environ: WSGIEnvironment) -> None:
        name = new_request_id()  # each frame is a request of its own
        error = as_relay_error(exc, environ | {REQUEST_ID: name})
        problem = problem_document(error, path=WEBSOCKET_PATH, request_id=name)
        self._send(Reply(ref=ref, ok=False, problem=problem))

    def _send(self, reply: Reply) -> None:
        self._stream.send(text_frame(_encode(reply)))

    def _answer(self, frame: Any, raw: bytes) -> Callable[[], None] | None:
        """:returns: what is to be done once the answer is out."""
        if isinstance(frame, HelloFrame):
            answer = self._hello(frame, raw)
            self._send(Reply(ref=frame.ref, ok=True, result=answer))
            return lambda: self._relay.hub.subscribe(self._stream, agent_id=self.agent_id, since=frame.since)
        if isinstance(frame, SendFrame):
            self._send_message(frame)
            return None
        result = self._do(frame, raw)
        self._send(Reply(ref=frame.ref, ok=True, result=result))
        return None

    def _hello(self, frame: HelloFrame, raw: bytes) -> HelloAnswer:
        if self._greeted:
            raise Invalid.field("op", "hello was said already: open another connection for another agent")
        if self.needs_token or frame.token is not None:
            integration = self._relay.door.authorise(frame.token)
            if integration is not None:
                check_scope(integration, None)
        if frame.agent_secret is not None:
            self._secret = frame.agent_secret
        if frame.agent_id is not None:
            with self._bus.store.read() as connection:
                authorise(connection, frame.agent_id, secret=self._secret)
            agents.sign_of_life(self._bus, frame.agent_id)
        self.agent_id, self._greeted, self.needs_token = frame.agent_id, True, False
        token = frame.token or presented_token(request.environ)
        self._stream.token_sha256 = None if token is None else sha256(token)
        return HelloAnswer(
            agent_id=frame.agent_id,
            cursor=self._bus.store.head(),
            server_version=__version__,
            ignored=_ignored(HelloFrame, raw),
        )

    def _do(self, frame: Any, raw: bytes) -> object:
        if isinstance(frame, HeartbeatFrame):
            ignored = _ignored(HeartbeatFrame, raw)
            return agents.heartbeat(self._bus, self._self(None), frame, secret=self._secret, ignored=ignored)
        if isinstance(frame, StatusFrame):
            return self._on_status(frame)
        agent_id = self._self(frame.agent_id)
        result = self._on_message(frame, agent_id)
        agents.sign_of_life(self._bus, agent_id)
        return result

    def _send_message(self, frame: SendFrame) -> None:
        """Hand a message in. The answer goes out when it is on disk; meanwhile the next frame is taken."""
        sender = self._self(frame.from_, field="from")
        message = SendMessage(
            from_=sender,
            **{name: getattr(frame, name) for name in SendMessage.__struct_fields__ if name != "from_"},
        )
        key = frame.idempotency_key
        submission = messages.prepare(self._bus, [message], agent_secret=self._secret, idempotency_key=key)
        environ = request.environ

        def done(sent: list[SentMessage] | None, error: BaseException | None) -> None:
            if sent is not None:
                self._send(Reply(ref=frame.ref, ok=True, result=sent[0]))
            else:
                self._refuse(frame.ref, error or RelayError(), environ)

        messages.submit(self._bus, submission, done)

    def _on_status(self, frame: StatusFrame) -> object:
        """A task's status, or the agent's own: as one call or the other, whose fields it has, and no others."""
        given = {
            field.encode_name: getattr(frame, field.name)
            for field in msgspec.structs.fields(StatusFrame)
            if field.name not in {"ref", "task_id"} and getattr(frame, field.name) is not field.default
        }
        if frame.task_id is not None:
            given["agentId"] = self._self(frame.agent_id)
            decoder_of(SetTaskStatus)
            move = guarded(lambda: msgspec.convert(given, SetTaskStatus), SetTaskStatus)
            task = tasks.set_status(self._bus, frame.task_id, move, agent_secret=self._secret)
            agents.sign_of_life(self._bus, given["agentId"])
            return task
        agent_id = self._self(frame.agent_id)
        given.pop("agentId", None)
        decoder_of(PatchAgent)
        change = guarded(lambda: msgspec.convert(given, PatchAgent), PatchAgent)
        agents.sign_of_life(self._bus, agent_id)
        return agents.patch(self._bus, agent_id, change, secret=self._secret)

    def _on_message(self, frame: ReadFrame | ClaimFrame | ReleaseFrame | ReceiptFrame, agent_id: str) -> object:
        if isinstance(frame, ReadFrame) and frame.up_to is not None:
            return inbox.read_up_to(self._bus, agent_id=agent_id, up_to=frame.up_to, agent_secret=self._secret)
        message_id = frame.message_id or frame.task_id or frame.id
        if message_id is None:
            raise Invalid.field("messageId", "is required")
        if isinstance(frame, ReadFrame):
            return inbox.read(self._bus, message_id, agent_id=agent_id, agent_secret=self._secret)
        if isinstance(frame, ClaimFrame):
            return claims.claim(self._bus, message_id, agent_id=agent_id, secret=self._secret)
        if isinstance(frame, ReleaseFrame):
            return claims.release(self._bus, message_id, agent_id=agent_id, secret=self._secret)
        state = ReceiptState(frame.state.value)
        return inbox.report_receipt(
            self._bus, message_id, agent_id=agent_id, state=state, adapter=frame.adapter, agent_secret=self._secret
        )

    def _self(self, given: str | None, *, field: str = "agentId") -> str:
        """On whose behalf a frame speaks."""
        if given is not None:
            return given
        if self.agent_id is None:
            raise Invalid.field(field, "is required: this connection has said hello for no agent")
        return self.agent_id


def _ignored(frame: type[msgspec.Struct], raw: bytes) -> list[str]:
    given = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return sorted(given.keys() - camel_names(frame) - {"op"})


class _AnyFrame(msgspec.Struct):
    """Just enough of a bad frame to answer it by name."""

    ref: int | str | None = None


def _ref_of(data: str | bytes) -> int | str | None:
    try:
        ref: int | str | None = decoder_of(_AnyFrame).decode(data).ref
        return ref
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
