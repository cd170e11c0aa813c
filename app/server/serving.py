"""HTTP serving: waitress with a way out.

It owns the main (asyncore) loop, the worker threads, the WebSockets' threads and the time-outs. Connections leave in
three ways, all of them by the same door (:meth:`app.server.channels.Channel.hang_up`, on the main thread, once
everything that was to be sent has been sent):

* the app called ``environ["relay.takeover"](handler)``: the socket goes to ``handler`` (live streams, long polls);
* an ``Upgrade: websocket`` request: the app runs in a thread of its own, with a :class:`WsSocket`;
* an error was answered: what the client still sends is read and forgotten for a moment, because closing on unread
  bytes sends a reset, and the reset would overtake the answer.

It knows nothing of routes, hubs or stores.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.adjustments import Adjustments

from app.errors import RelayError, Unavailable
from app.server.channels import Channel, Drain, Listener, RenderProblem
from app.server.sockets import LINGER_S, Headers, WsSocket, http_response, listen_on, raise_descriptor_limit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

MAX_WEBSOCKETS = 1000
MAX_HEADER_BYTES = 1 << 16


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
        for _ in self._workers:
            self._tasks.put(None)  # for those who are still at work


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
            recv_bytes=1 << 16,  # a batch in few turns of the loop
            channel_request_lookahead=1,
            clear_untrusted_proxy_headers=True,
        )
        self._servers: list[Listener] = []
        with contextlib.ExitStack() as undo:
            socks: list[socket.socket] = []
            for host, port in listen:
                for sock in listen_on(host, port, backlog=adj.backlog):
                    undo.callback(sock.close)
                    socks.append(sock)
            undo.pop_all()
        for sock in socks:
            info = (sock.family, sock.type, sock.proto, sock.getsockname())
            server = Listener(
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
            if isinstance(item, Channel):
                item.sweep(now, request_timeout_s=self._request_timeout_s, idle_timeout_s=self._idle_timeout_s)
            elif isinstance(item, Drain):
                if now > item.until:
                    item.close()
            elif isinstance(item, Listener):
                item.accepting = True

    def _wind_down(self, deadline: float) -> None:
        """Let the requests that run finish, and answer them."""
        for server in self._servers:
            wasyncore.dispatcher.close(server)  # the listener only: its trigger is still needed
        self._shut_websockets()
        while True:
            channels = [item for item in list(self._map.values()) if isinstance(item, Channel)]
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
            if isinstance(item, Channel):
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
        Drain(sock, self._map)

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
        return http_response(f"{error.status} {HTTPStatus(error.status).phrase}", headers, body)


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
    return http_response(*head, b"".join(body))
