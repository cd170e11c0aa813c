"""What the hub serves: one class per kind of client, and each event's bytes for it.

A stream never waits: it writes what the socket takes and keeps the rest, up to a bound.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

from app.server.store.events import LogEntry

if TYPE_CHECKING:
    from app.server.hub import Hub

#: Unsent bytes of a live stream past which its client counts as too slow.
MAX_PENDING_BYTES = 1 << 20

_DONTWAIT: int = getattr(socket, "MSG_DONTWAIT", 0)


class Mode(Enum):
    """Where a stream stands."""

    SNAPSHOT = auto()  # the unread inbox, up to the head at its start
    REPLAY = auto()  # the log, up to the hub's own position
    LIVE = auto()
    ENDING = auto()  # what is pending goes out, then the socket is closed


class Stream:
    """One client. Only whoever has the hub's turn touches it, except :class:`WebSocketStream`'s ``send``."""

    __slots__ = (
        "agent_id",
        "cursor",
        "deadline_s",
        "fd",
        "hub",
        "mode",
        "pending",
        "snapshot_upto",
        "sock",
        "token_sha256",
        "topics",
        "watched",
    )

    #: what ``/stats`` counts it as
    kind = "sse"

    def __init__(self, hub: Hub, sock: socket.socket, *, agent_id: str | None) -> None:
        self.hub = hub
        self.sock = sock
        self.fd = sock.fileno()
        self.agent_id = agent_id
        self.topics: frozenset[str] = frozenset()
        self.mode = Mode.REPLAY
        self.cursor = 0
        self.snapshot_upto = 0
        self.pending: bytearray | None = None
        self.watched = 0
        self.deadline_s = 0.0
        #: of the token by which it was let in: a session that ends takes its streams along
        self.token_sha256: bytes | None = None

    @property
    def shows_life(self) -> bool:
        """Whether an agent lives because this is open."""
        return True

    def deliver(self, entry: LogEntry, frames: Frames) -> None:
        """Hand an event over."""
        self.send(frames.sse(entry))

    def reset(self, head: int) -> None:
        """Say that the log does not reach back to where the client left off."""
        self.send(b'id: %d\nevent: reset\ndata: {"cursor":%d}\n\n' % (head, head))

    def beat(self) -> None:
        """Show that the stream lives."""
        self.send(b": \n\n")

    def send(self, data: bytes) -> None:
        """Write what the socket takes now, and keep the rest. Never waits."""
        if self.pending is not None:
            if len(self.pending) > MAX_PENDING_BYTES:
                self.hub.cut(self)
                return
            self.pending += data
            return
        try:
            sent = self.sock.send(data, _DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.hub.lost(self)
            return
        if sent < len(data):
            self.pending = bytearray(memoryview(data)[sent:])
            self.hub.watch(self)

    def flush(self) -> None:
        """The socket takes bytes again."""
        if self.pending is None:
            return
        try:
            sent = self.sock.send(self.pending, _DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self.hub.lost(self)
            return
        del self.pending[:sent]
        if not self.pending:
            self.pending = None

    def readable(self) -> None:
        """The client sent something, which a listener does not do, or closed."""
        try:
            gone = not self.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self.hub.lost(self)

    def last_word(self) -> bytes:
        """What the client is told when the relay stops."""
        return b""


class WebSocketStream(Stream):
    """A WebSocket's outgoing side. Its incoming side, and so its end, belong to the thread that reads it."""

    __slots__ = ("lock",)

    kind = "websocket"

    def __init__(self, hub: Hub, sock: socket.socket, *, agent_id: str | None) -> None:
        super().__init__(hub, sock, agent_id=agent_id)
        self.lock = threading.Lock()

    def deliver(self, entry: LogEntry, frames: Frames) -> None:
        self.send(frames.websocket(entry))

    def reset(self, head: int) -> None:
        self.send(text_frame(b'{"event":"reset","id":%d,"data":{"cursor":%d}}' % (head, head)))

    def beat(self) -> None:
        """Pings are the reading side's business, which sees the pongs."""

    def send(self, data: bytes) -> None:
        """As :meth:`Stream.send`, from any thread."""
        with self.lock:
            super().send(data)

    def flush(self) -> None:
        with self.lock:
            super().flush()

    def last_word(self) -> bytes:
        return b"\x88\x02\x03\xe9"  # close, 1001 going away (RFC 6455 section 7.4.1)


class ParkedPoll(Stream):
    """A long poll: its request waits here, and no worker waits with it."""

    __slots__ = ("answer", "nothing", "peek")

    kind = "long_poll"

    def __init__(
        self,
        hub: Hub,
        sock: socket.socket,
        *,
        agent_id: str,
        deadline_s: float,
        answer: Callable[[ParkedPoll], None],
        nothing: bytes,
        peek: bool,
    ) -> None:
        """
        :param deadline_s: on the monotonic clock.
        :param peek: it is no sign of life.
        :param answer: called on a worker when there may be something, or the time is up.
        :param nothing: the answer when the relay stops.
        """
        super().__init__(hub, sock, agent_id=agent_id)
        self.deadline_s = deadline_s
        self.answer = answer
        self.nothing = nothing
        self.peek = peek

    @property
    def shows_life(self) -> bool:
        return not self.peek

    def deliver(self, entry: LogEntry, frames: Frames) -> None:
        if entry.type == "message.new":
            self.hub.unpark(self)

    def reset(self, head: int) -> None:
        self.hub.unpark(self)

    def beat(self) -> None:
        """Nothing can be sent before the answer."""

    def last_word(self) -> bytes:
        return self.nothing


class Frames:
    """One event's bytes for each kind of client, made once, and only if somebody wants them."""

    __slots__ = ("_sse", "_websocket")

    def __init__(self) -> None:
        self._sse: bytes | None = None
        self._websocket: bytes | None = None

    def sse(self, entry: LogEntry) -> bytes:
        """As Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
        if self._sse is None:
            # JSON has no raw line breaks, so the data is always one line.
            self._sse = b"id: %d\nevent: %s\ndata: %s\n\n" % (entry.seq, entry.type.encode(), entry.data)
        return self._sse

    def websocket(self, entry: LogEntry) -> bytes:
        """As a text frame."""
        if self._websocket is None:
            self._websocket = text_frame(
                b'{"event":"%s","id":%d,"data":%s}' % (entry.type.encode(), entry.seq, entry.data)
            )
        return self._websocket


def text_frame(payload: bytes) -> bytes:
    """A server's unmasked, uncompressed text frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
