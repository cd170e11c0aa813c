"""HTTP serving: waitress with a way out, and the only module that touches waitress's internals (>=3.0.2,<4).

It owns the listening sockets, the main (asyncore) loop, the worker threads, the time-outs, the errors that waitress
itself answers, and the moment at which a connection leaves waitress. A connection leaves in three ways, all of them by
the same door (:meth:`_Channel.handle_close`, on the main thread, once everything that was to be sent has been sent):

* the app called ``environ["relay.takeover"](handler)``: the socket goes to ``handler`` (live streams, long polls);
* an ``Upgrade: websocket`` request: the app runs in a thread of its own, with a :class:`WsSocket`;
* an error was answered: what the client still sends is read and forgotten for a moment, because closing on unread
  bytes sends a reset, and the reset would overtake the answer.

It knows nothing of routes, hubs or stores.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import logging
import math
import queue
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask

from app.errors import HeadersTooLarge, Malformed, RelayError, RequestTimeout, TooLarge, Unavailable

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

Handler = Callable[[socket.socket], None]
Headers = list[tuple[str, str]]
RenderProblem = Callable[[RelayError, str], tuple[Headers, bytes]]

MAX_WEBSOCKETS = 1000
MAX_HEADER_BYTES = 1 << 16
WS_SEND_TIMEOUT_S = 10.0
LINGER_S = 2.0  # how long a closing connection is drained, or a closing WebSocket waits for the peer's close frame

_DONTWAIT: int = getattr(socket, "MSG_DONTWAIT", 0)  # POSIX; Windows has SO_SNDTIMEO in its place
_BY_STATUS: dict[int, type[RelayError]] = {413: TooLarge, 431: HeadersTooLarge, 500: RelayError}


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; the limit that holds now."""
    if sys.platform == "win32":
        return 512  # what select() takes there
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, 1 << 16, 10240):  # macOS says "unlimited" and then takes no more than OPEN_MAX, 10240
        if wanted == resource.RLIM_INFINITY or wanted <= soft:
            continue
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


class WsSocket:
    """The socket of one WebSocket, as flask-sock and simple-websocket use it (``environ["werkzeug.socket"]``).

    ``recv`` blocks until there is data or the socket is closed; ``send`` sends everything or raises ``OSError``. Both
    may be called from any thread.
    """

    def __init__(self, raw: socket.socket, *, send_timeout_s: float = WS_SEND_TIMEOUT_S) -> None:
        raw.setblocking(True)  # MSG_DONTWAIT still makes a single send non-blocking, so the hub can share the socket
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not _DONTWAIT:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, int(send_timeout_s * 1000))
        self.raw = raw  #: the real socket
        self.used = False  #: whether anything was sent or received, so whether the app accepted the upgrade
        self.closed = threading.Event()
        self._send_timeout_s = send_timeout_s
        self._lock = threading.Lock()
        self._write: Callable[[bytes], None] | None = None

    def set_writer(self, write: Callable[[bytes], None]) -> None:
        """From now on ``send`` calls ``write``, which owns all that is written to :attr:`raw`."""
        with self._lock:
            self._write = write

    def send(self, data: bytes) -> int:
        """Send all of ``data``: simple-websocket ignores short writes.

        :raises OSError: if the peer has gone, or did not take everything in time; the socket is then closed, because
            half a frame can not be mended.
        """
        self.used = True
        with self._lock:
            if self._write is None:
                self.send_all(data)
                return len(data)
        self._write(data)
        return len(data)

    def send_all(self, data: bytes) -> None:
        deadline = time.monotonic() + self._send_timeout_s
        left = memoryview(data)
        try:
            while left:
                try:
                    left = left[self.raw.send(left, _DONTWAIT) :]
                except BlockingIOError:
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        raise TimeoutError(errno.ETIMEDOUT, "the WebSocket peer does not read") from None
                    _wait_writable(self.raw, remaining)
        except OSError:
            self.close()
            raise

    def recv(self, size: int) -> bytes:
        data = self.raw.recv(size)
        self.used = True
        return data

    def fileno(self) -> int:
        return self.raw.fileno()

    def shut_down(self) -> None:
        """End the connection in both directions, which wakes whoever waits in ``recv`` or ``send``."""
        with contextlib.suppress(OSError):
            self.raw.shutdown(socket.SHUT_RDWR)
        self.closed.set()

    def close(self) -> None:
        self.shut_down()  # closing alone would leave another thread's recv waiting for ever
        self.raw.close()

    def drain(self) -> None:
        """Say that no more comes, and let the client read and close first."""
        deadline = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError):
            self.raw.shutdown(socket.SHUT_WR)
            while (remaining := deadline - time.monotonic()) > 0:
                self.raw.settimeout(remaining)
                if not self.raw.recv(1 << 16):
                    break


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """One request being received; waitress makes it when its first byte arrives."""

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


class _Left(BaseException):
    """The app has returned, and the answer comes later."""


class _Deferral:
    """An answer that is to come: from any thread, before or after the app has returned."""

    def __init__(self, channel: _Channel) -> None:
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


class _Task(WSGITask):  # type: ignore[misc]
    wrote_header: bool

    def execute(self) -> None:
        deferral = self.channel.deferral
        if deferral is None:
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
        """Head and body leave together: waitress would send each by itself, and wake the client twice."""
        if self.channel.deferral is not None:
            raise _Left
        if self.wrote_header or not data or len(data) != self.content_length or not self.has_body:
            super().write(data)
            return
        head = self.build_response_header()
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)

    def service(self) -> None:
        try:
            super().service()
        except BaseException:
            self.channel.taker = None  # it failed after all: the error is answered, and no handler runs
            raise
        _in_epilogue.channel = self.channel
        if self.channel.taker is not None:
            self.close_on_finish = True  # waitress reads no more and drops what is pipelined; the door does the rest


class _ErrorTask(ErrorTask):  # type: ignore[misc]
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
        self.channel.taker = functools.partial(_Drain, map=self.channel._map)


class _Channel(HTTPChannel):  # type: ignore[misc]
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
            except _Left:
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
        if (self.requests or self.close_when_flushed) and not (self.will_close or self.total_outbufs_len):
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


class _Drain(wasyncore.dispatcher):  # type: ignore[misc]
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


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """One listening socket."""

    channel_class = _Channel
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

    def add_task(self, channel: _Channel) -> None:
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


class _Dispatcher:
    """The worker threads, in the place of waitress's own, which wakes them through a condition variable: several locks,
    and so several trips of the interpreter lock, where a queue made in C takes one."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []

    def start(self, count: int) -> None:
        for number in range(count):
            worker = threading.Thread(target=self._work, name=f"http-{number}", daemon=True)
            self._workers.append(worker)
            worker.start()

    def add_task(self, task: Any) -> None:
        """Have a channel served, or anything else that has ``service()`` and ``cancel()``."""
        self._tasks.put(task)

    @property
    def waiting(self) -> bool:
        return not self._tasks.empty()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task.service()
            except Exception:
                logger.exception("A task of the server failed")

    def stop(self, deadline: float) -> None:
        """End the workers; what still waits is cancelled."""
        for _ in self._workers:
            self._tasks.put(None)
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        while self.waiting:
            task = self._tasks.get()
            if task is not None:
                task.cancel()


class _Call:
    """A task of the dispatcher that is no request."""

    def __init__(self, fn: Callable[[], None]) -> None:
        self._fn = fn

    def service(self) -> None:
        try:
            self._fn()
        except Exception:
            logger.exception("A call in a worker failed")

    def cancel(self) -> None:
        """The server stops: nothing to undo."""


class Serving:
    """An HTTP server for one WSGI app.

    :param listen: hosts (IPv4, IPv6 or a name) and ports; port 0 takes a free one.
    :param render_problem: ``(error, request path) -> (headers, body)`` for the errors that never reach the app.
    :raises OSError: if an address can not be bound; nothing is left open then.
    """

    #: what it is bound to, with real ports
    addresses: list[tuple[str, int]]

    def __init__(
        self,
        app: WSGIApplication,
        *,
        listen: Sequence[tuple[str, int]],
        threads: int = 16,
        max_body_bytes: int = 1 << 20,
        request_timeout_s: float = 60.0,
        idle_timeout_s: float = 120.0,
        render_problem: RenderProblem,
    ) -> None:
        self._render_problem = render_problem
        self._threads = threads
        self._request_timeout_s = request_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._tick_s = max(0.05, min(LINGER_S, request_timeout_s / 4, idle_timeout_s / 4))
        self._next_sweep = 0.0
        self._map: dict[int, Any] = {}
        self._poll = wasyncore.poll2 if hasattr(select, "poll") else wasyncore.poll
        self._dispatcher = _Dispatcher()
        self._websockets: dict[threading.Thread, WsSocket] = {}
        self._ws_lock = threading.Lock()
        self._ws_numbers = itertools.count(1)
        self._turn = threading.Lock()  # taken once: by run(), or by a stop() that came first
        self._wake_lock = threading.Lock()
        self._stop_at: float | None = None
        adj = Adjustments(
            threads=threads,
            ident=None,
            backlog=1024,
            connection_limit=max(64, raise_descriptor_limit() - 64),
            max_request_header_size=MAX_HEADER_BYTES,
            max_request_body_size=max_body_bytes + 1,  # waitress refuses what reaches its limit
            expose_tracebacks=False,
            channel_request_lookahead=1,
            clear_untrusted_proxy_headers=True,
        )
        self._servers: list[_Server] = []
        with contextlib.ExitStack() as undo:
            socks: list[socket.socket] = []
            for host, port in listen:
                for sock in _listen(host, port, backlog=adj.backlog):
                    undo.callback(sock.close)
                    socks.append(sock)
            undo.pop_all()
        for sock in socks:
            info = (sock.family, sock.type, sock.proto, sock.getsockname())
            server = _Server(
                app, self._map, _sock=sock, dispatcher=self._dispatcher, adj=adj, sockinfo=info, bind_socket=False
            )
            server.render_problem = render_problem
            server.start_websocket = self._start_websocket
            self._servers.append(server)
        self.addresses = [(server.effective_host, int(server.effective_port)) for server in self._servers]

    def run(self) -> None:
        """Serve in the calling thread until :meth:`stop`. Once only."""
        if not self._turn.acquire(blocking=False):
            return  # stopped before it began
        try:
            self._dispatcher.start(self._threads)
            while self._stop_at is None:
                self._poll(self._tick_s, self._map)
                now = time.monotonic()
                if now >= self._next_sweep:
                    self._next_sweep = now + self._tick_s
                    self._sweep(now)
            self._wind_down(self._stop_at)
        finally:
            self._close()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Make :meth:`run` return: running requests finish within ``timeout_s``, the rest is closed.

        Returns at once, and takes no lock that it would wait for: a signal handler may call it. Sockets that were taken
        over are their handlers' business.
        """
        if self._stop_at is None:
            self._stop_at = time.monotonic() + timeout_s
        if self._turn.acquire(blocking=False):
            self._close()  # run() was never called, and now finds its turn taken
        elif self._wake_lock.acquire(blocking=False):  # else it is being woken, or closed, already
            try:
                self._servers[0].pull_trigger()
            finally:
                self._wake_lock.release()

    def call_in_worker(self, fn: Callable[[], None]) -> None:
        """Run ``fn`` on a worker thread. Its exceptions are logged; after :meth:`stop` it may not run."""
        self._dispatcher.add_task(_Call(fn))

    def _sweep(self, now: float) -> None:
        for item in list(self._map.values()):
            if isinstance(item, _Channel):
                item.sweep(now, request_timeout_s=self._request_timeout_s, idle_timeout_s=self._idle_timeout_s)
            elif isinstance(item, _Drain):
                if now > item.until:
                    item.close()
            elif isinstance(item, _Server):
                item.accepting = True

    def _wind_down(self, deadline: float) -> None:
        """Let the requests that run finish, and answer them."""
        for server in self._servers:
            wasyncore.dispatcher.close(server)  # the listener only: its trigger is still needed
        self._shut_websockets()
        while True:
            channels = [item for item in list(self._map.values()) if isinstance(item, _Channel)]
            for channel in channels:
                if not (channel.requests or channel.total_outbufs_len or channel.taker is not None):
                    channel.hang_up()
            busy = any(channel.socket is not None for channel in channels) or self._dispatcher.waiting
            if not busy or (remaining := deadline - time.monotonic()) <= 0:
                return
            self._poll(min(0.05, remaining), self._map)

    def _close(self) -> None:
        """Leave nothing behind: threads, sockets, descriptors. The time left is used, and a quarter second at least."""
        now = time.monotonic()
        deadline = max(self._stop_at or now + LINGER_S, now + 0.25)
        self._stop_at = now
        self._shut_websockets()
        for item in list(self._map.values()):
            if isinstance(item, _Channel):
                item.taker = None
                item.hang_up()
        self._dispatcher.stop(deadline)
        with self._ws_lock:
            threads = list(self._websockets)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._wake_lock:
            wasyncore.close_all(self._map, ignore_all=True)
            for server in self._servers:
                server.close()

    def _shut_websockets(self) -> None:
        with self._ws_lock:
            for ws in self._websockets.values():
                ws.shut_down()

    def _start_websocket(self, app: WSGIApplication, environ: WSGIEnvironment, sock: socket.socket) -> None:
        """The connection has left waitress; give it a thread. Main thread."""
        with self._ws_lock:
            if len(self._websockets) < MAX_WEBSOCKETS and self._stop_at is None:
                environ["werkzeug.socket"] = ws = WsSocket(sock)
                name = f"ws-{next(self._ws_numbers)}"
                thread = threading.Thread(target=self._run_websocket, name=name, args=(app, environ, ws), daemon=True)
                self._websockets[thread] = ws
                try:
                    thread.start()
                except RuntimeError:  # the system has no more threads
                    del self._websockets[thread]
                    sock.setblocking(False)
                else:
                    return
        with contextlib.suppress(OSError):
            sock.send(self._problem(Unavailable("There are too many WebSockets."), environ))  # fits in an empty buffer
        _Drain(sock, self._map)

    def _run_websocket(self, app: WSGIApplication, environ: WSGIEnvironment, ws: WsSocket) -> None:
        try:
            try:
                answer = _call(app, environ)
            except Exception:
                logger.exception("The app failed on a WebSocket")
                answer = self._problem(RelayError(), environ)
            if ws.used:
                # The close frame is sent, or in the hands of the writer; simple-websocket's thread closes the socket
                # as soon as the peer has answered it.
                ws.closed.wait(LINGER_S)
            else:
                with contextlib.suppress(OSError):
                    ws.send_all(answer)
                    ws.drain()
        finally:
            ws.close()
            with self._ws_lock:
                del self._websockets[threading.current_thread()]

    def _problem(self, error: RelayError, environ: WSGIEnvironment) -> bytes:
        headers, body = self._render_problem(error, environ["PATH_INFO"])
        return _response(f"{error.status} {HTTPStatus(error.status).phrase}", headers, body)


def _listen(host: str, port: int, *, backlog: int) -> list[socket.socket]:
    """Bind all addresses of ``host``, to one port. Those the machine does not have are skipped, if one is left."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    socks: list[socket.socket] = []
    skipped: OSError | None = None
    with contextlib.ExitStack() as undo:
        for family, address in dict.fromkeys((info[0], info[4]) for info in found):
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
                undo.callback(sock.close)
                if sys.platform == "win32":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)  # REUSEADDR steals ports there
                else:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address[0], port, *address[2:]))
            except OSError as exc:  # "localhost" may name ::1 where IPv6 is switched off
                if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                skipped = exc
                continue
            sock.listen(backlog)
            port = sock.getsockname()[1]
            socks.append(sock)
        if not socks and skipped:
            raise skipped
        undo.pop_all()
    return socks


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


def _wait_writable(sock: socket.socket, timeout_s: float) -> None:
    if hasattr(select, "poll"):  # select() takes no descriptor above 1,023
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        poller.poll(timeout_s * 1000)
    else:
        select.select([], [sock], [], timeout_s)


def _call(app: WSGIApplication, environ: WSGIEnvironment) -> bytes:
    """Run a WSGI app; its response as the bytes of HTTP/1.1."""
    head: tuple[str, Headers] = ("500 Internal Server Error", [])
    body: list[bytes] = []

    def start_response(status: str, headers: Headers, _exc_info: Any = None, /) -> Callable[[bytes], object]:
        nonlocal head
        head = (status, headers)
        return body.append

    result = app(environ, start_response)
    try:
        body.extend(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    return _response(*head, b"".join(body))


def _response(status: str, headers: Headers, body: bytes) -> bytes:
    """A complete response, after which the connection is closed."""
    kept = [pair for pair in headers if pair[0].lower() not in ("connection", "content-length", "transfer-encoding")]
    if not any(name.lower() == "date" for name, _ in kept):
        kept.append(("Date", formatdate(usegmt=True)))
    kept += [("Content-Length", str(len(body))), ("Connection", "close")]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in kept), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
