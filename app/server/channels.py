"""One HTTP connection, as waitress serves it, and what it takes to let it go.

With :mod:`app.server.serving` the only module that touches waitress's internals (>=3.0.2,<4). waitress decides what a
request is; here stands when its connection is listened to, when it is answered, and how it leaves.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask

from app.errors import HeadersTooLarge, Malformed, RelayError, RequestTimeout, TooLarge
from app.server.sockets import LINGER_S, Headers, Left

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

Handler = Callable[[socket.socket], object]
RenderProblem = Callable[[RelayError, str], tuple[Headers, bytes]]

_BY_STATUS: dict[int, type[RelayError]] = {413: TooLarge, 431: HeadersTooLarge, 500: RelayError}


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """One request being received; waitress makes it when its first byte arrives."""

    path = ""  # of a request that could not be read so far

    def __init__(self, adj: Any) -> None:
        super().__init__(adj)
        self.started = time.monotonic()

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as exc:
            # A Content-Length of 5,000 digits, or "GET http://[x/": waitress would log a traceback and just hang up.
            raise ParsingError("Invalid number or address in the request's head") from exc
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            # Whoever stands in front may have gone by the other one (RFC 9112 section 6.3).
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")


class _Deferral:
    """An answer that is to come: from any thread, before or after the app has returned."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._returned = False
        self.answer: tuple[str, Headers, bytes] | None = None

    def resume(self, status: str, headers: Headers, body: bytes) -> None:
        """Here it is. Once only."""
        with self._lock:
            self.answer = (status, headers, body)
            returned = self._returned
        if returned:
            self._channel.service()

    def app_returned(self) -> bool:
        """:returns: whether the answer is there already."""
        with self._lock:
            self._returned = True
            return self.answer is not None


#: Per thread: the channel whose request is done, while waitress ties up its ends.
_in_epilogue = threading.local()


class _OneWrite:
    """Head and body leave together: waitress would send each by itself, and wake the client twice."""

    if TYPE_CHECKING:
        channel: Channel
        content_length: int | None
        wrote_header: bool
        has_body: bool
        build_response_header: Callable[[], bytes]

    def write(self, data: bytes) -> None:
        if self.wrote_header or not data or len(data) != self.content_length or not self.has_body:
            super().write(data)  # type: ignore[misc]
            return
        head = self.build_response_header()
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)


class _Task(_OneWrite, WSGITask):  # type: ignore[misc]
    def execute(self) -> None:
        deferral = self.channel.deferral
        if deferral is None or deferral.answer is None:
            super().execute()
            return
        self.status, headers, body = deferral.answer
        self.channel.deferral = None
        self.complete = True
        self.response_headers.extend(headers)
        self.content_length = len(body)
        self.write(body)

    def get_environment(self) -> WSGIEnvironment:
        environ: WSGIEnvironment = super().get_environment()
        environ["SERVER_SOFTWARE"] = ""  # waitress puts None there when it is to keep silent about itself
        # Of the channel, not of the task: that would be a reference cycle for each request, left to the collector.
        environ["relay.takeover"] = self.channel.take_over
        environ["relay.defer"] = self.channel.defer
        return environ

    def write(self, data: bytes) -> None:
        if self.channel.deferral is not None:
            raise Left
        super().write(data)

    def service(self) -> None:
        try:
            super().service()
        except BaseException:
            self.channel.taker = None  # it failed after all: the error is answered, and no handler runs
            raise
        _in_epilogue.channel = self.channel
        if self.channel.taker is not None:
            self.close_on_finish = True  # waitress reads no more and drops what is pipelined; the door does the rest


class _ErrorTask(_OneWrite, ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        channel = self.channel
        error = self.request.error
        if not isinstance(error, RelayError):
            kind = _BY_STATUS.get(error.code)
            error = kind() if kind else Malformed(f"The request could not be read: {error.body}.")
        # For an app that raised, waitress makes up a new request; the one at hand still stands in the queue.
        origin = channel.requests[0] if channel.requests else self.request
        headers, body = channel.server.render_problem(error, getattr(origin, "path", ""))
        self.status = f"{error.status} {HTTPStatus(error.status).phrase}"
        self.response_headers.extend(headers)
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(b"" if getattr(origin, "command", "") == "HEAD" else body)

    def finish(self) -> None:
        super().finish()
        self.channel.taker = functools.partial(Drain, map=self.channel._map)


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection while it speaks HTTP."""

    task_class = _Task
    error_task_class = _ErrorTask
    parser_class = _Parser
    socket: Any
    request: Any
    outbufs: list[Any]
    #: who gets the socket when it leaves; set by a worker, read and cleared by the main thread
    taker: Handler | None = None
    #: an answer that is to come
    deferral: _Deferral | None = None
    #: the client has closed its sending half, and may still wait for the answer
    half_closed = False
    #: the socket takes no more for now: the main thread has to go on where a worker stopped
    blocked = False
    #: the main thread did not listen to this channel when it last looked
    unwatched = True

    @property
    def last_activity(self) -> float:
        return self._last_activity

    @last_activity.setter
    def last_activity(self, _wall_clock: float) -> None:
        # waitress says time.time() all over: a clock that jumps would cut live connections, or keep dead ones.
        self._last_activity = time.monotonic()

    def take_over(self, handler: Handler) -> None:
        """``environ["relay.takeover"]``: the app's response is dropped, and ``handler`` gets the socket.

        To be called while handling the request, before anything is written. The handler runs on the main thread after
        the app has returned, and must not block. The socket is non-blocking and from then on the handler's to close.
        The peer may have gone by then, which the handler learns from its first ``send`` or ``recv``. If waitress has
        closed the socket already, or the app raises, the handler is not called.
        """
        if self.connected:
            self.taker = handler

    def defer(self) -> Callable[[str, Headers, bytes], None]:
        """``environ["relay.defer"]``: the app's response is dropped; the answer is what the returned function is given.

        So no worker waits for what the request waits for. The function takes status, headers and body, from any thread,
        and must be called once.
        """
        self.deferral = _Deferral(self)
        return self.deferral.resume

    def readable(self) -> bool:
        # Pessimism first: a worker that ends its request after this line sees that it has to wake the main thread.
        self.unwatched = True
        if self.half_closed or not super().readable():
            return False
        self.unwatched = False
        return True

    def writable(self) -> bool:
        # A worker that answers writes by itself. waitress's main thread would see its bytes in the buffer, find the
        # socket ready and the buffer locked, and spin: against the worker, for it holds the interpreter (measured: 80
        # turns of the loop a request, and half the throughput).
        if self.requests and not (self.blocked or self.will_close or self.close_when_flushed):
            return False
        return bool(super().writable())

    def handle_write(self) -> None:
        super().handle_write()
        if not self.total_outbufs_len:
            self.blocked = False

    def handle_read(self) -> None:
        try:
            data = self.socket.recv(self.adj.recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.last_activity = 0.0
            self.received(data)
        else:
            self.handle_close()

    def service(self) -> None:
        try:
            try:
                super().service()
            except Left:
                if self.deferral is None or not self.deferral.app_returned():
                    return
                super().service()
        finally:
            _in_epilogue.channel = None
        if self.half_closed and not self.requests:
            self.close_when_flushed = True
        if self.unwatched or self.total_outbufs_len or self.will_close or self.close_when_flushed:
            self.server.pull_trigger()

    def check_client_disconnected(self) -> bool:
        """``environ["waitress.client_disconnected"]``: has the client closed its side?

        waitress answers this by reading ahead (channel_request_lookahead=1), and then hangs up on clients that close
        their sending half and wait for the answer. Looking when asked costs nothing else.
        """
        sock = self.socket
        if sock is None or not self.connected:
            return True
        try:
            return not sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def write_soon(self, data: Any) -> int:
        if self.taker is None:
            written: int = super().write_soon(data)
            if self.total_outbufs_len:
                self.blocked = True
                self.server.pull_trigger()
            return written
        if hasattr(data, "close"):  # a wsgi.file_wrapper, whose closing is the channel's business
            data.close()
        return len(data)

    def handle_close(self) -> None:
        if (self.requests or self.close_when_flushed) and not (self.will_close or self.blocked):
            # The client has closed its side, or gone, while its request is served. waitress would hang up: the one
            # would not get its answer, the other's request not its end. Answering finds out which it is.
            self.half_closed = True
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """Leave waitress: to the taker, or for good."""
        taker, self.taker = self.taker, None
        sock = self.socket
        # will_close and nothing left to send: waitress is done with the connection, after a task that asked for its
        # end. (Not to be asked here: self.requests. The worker empties it a moment after it has asked.) Any other way
        # to get here is a broken or disconnected socket, or ourselves closing it.
        if taker is None or sock is None or not self.will_close or self.total_outbufs_len:
            super().handle_close()
            return
        self.socket = None
        super().handle_close()  # out of the maps, buffers dropped; without a socket there is none to close
        self.outbufs = []
        try:
            taker(sock)
        except Exception:
            logger.exception("The taker of a connection failed")
            sock.close()

    def handle_expt(self) -> None:
        # TCP urgent data. waitress logs a line and does not read it, so that one byte keeps the loop spinning.
        self.taker = None
        self.hang_up()

    def sweep(self, now: float, *, request_timeout_s: float, idle_timeout_s: float) -> None:
        """Enforce the time-outs. Main thread."""
        if now - self.last_activity > idle_timeout_s and (self.total_outbufs_len or not self.requests):
            # Idle, or a reader that has stopped reading. waitress would wait for the latter to become writable, and a
            # worker of a large response with it.
            self.taker = None
            self.hang_up()
        elif self.request is not None and now - self.request.started > request_timeout_s:
            with self.requests_lock:
                if not (self.requests or self.close_when_flushed or self.will_close):
                    request, self.request = self.request, None
                    request.error = RequestTimeout()
                    request.completed = True
                    self.requests.append(request)
                    self.server.add_task(self)


class Drain(wasyncore.dispatcher):  # type: ignore[misc]
    """An answered connection: reads and forgets until the client has closed."""

    def __init__(self, sock: socket.socket, map: dict[int, Any]) -> None:
        super().__init__(sock, map)
        self.connected = True
        self.until = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.recv(1 << 16)  # at the end it calls handle_close

    def handle_close(self) -> None:
        self.close()

    handle_expt = handle_error = handle_close


class Listener(TcpWSGIServer):  # type: ignore[misc]
    """One listening socket."""

    channel_class = Channel
    next_channel_cleanup = math.inf  # waitress's own maintenance goes by the wall clock
    render_problem: RenderProblem
    start_websocket: Callable[[WSGIApplication, WSGIEnvironment, socket.socket], None]

    def set_reuse_addr(self) -> None:
        """Done before it was bound."""

    def accept(self) -> tuple[socket.socket, Any] | None:
        try:
            pair: tuple[socket.socket, Any] | None = super().accept()
        except OSError as exc:
            if exc.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            logger.warning("No more connections for the moment: %s", exc)
            self.accepting = False  # until the next sweep: the listener stays readable, and the loop would spin
            return None
        return pair

    def add_task(self, channel: Channel) -> None:
        """A request is complete. The channel's requests_lock is held, on the main thread or on a worker."""
        request = channel.requests[0]
        if channel.taker is not None:
            channel.requests = []  # bytes that came right behind an upgrade
        elif "UPGRADE" in request.headers and _is_upgrade(request):
            environ = _Task(channel, request).get_environment()
            # Both would keep the channel. And no compression: frames stay independent, whoever writes them.
            for key in (
                "relay.takeover",
                "relay.defer",
                "waitress.client_disconnected",
                "HTTP_SEC_WEBSOCKET_EXTENSIONS",
            ):
                environ.pop(key, None)
            channel.taker = functools.partial(self.start_websocket, self.application, environ)
            channel.requests = []
            channel.close_when_flushed = True
        else:
            self.task_dispatcher.add_task(channel)

    def pull_trigger(self) -> None:
        # waitress wakes its main thread after each request, to have it listen to the channel again. Ours listens all
        # the time, and the channel itself knows when it is needed.
        if (
            getattr(_in_epilogue, "channel", None) is None and not self.trigger._closed
        ):  # its descriptor's number may be someone else's by now
            super().pull_trigger()


def _is_upgrade(request: Any) -> bool:
    """Whether Werkzeug routes it as a WebSocket: by the same two headers, compared in the same way."""
    headers = request.headers
    tokens = (token.strip() for token in headers.get("CONNECTION", "").lower().split(","))
    return (
        not request.error
        and request.command == "GET"
        and headers["UPGRADE"].lower() == "websocket"
        and "upgrade" in tokens
    )
