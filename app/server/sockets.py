"""Sockets: to listen on, to speak WebSocket over, to answer on. Nothing here knows of waitress or of the app."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate

if sys.platform != "win32":
    import resource

Headers = list[tuple[str, str]]

WS_SEND_TIMEOUT_S = 10.0
LINGER_S = 2.0  # how long a closing connection is drained, or a closing WebSocket waits for the peer's close frame


class Left(BaseException):
    """Not an error: the app is done with a request whose answer comes later, from elsewhere."""


_DONTWAIT: int = getattr(socket, "MSG_DONTWAIT", 0)  # POSIX; Windows has SO_SNDTIMEO in its place


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


def listen_on(host: str, port: int, *, backlog: int) -> list[socket.socket]:
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


def _wait_writable(sock: socket.socket, timeout_s: float) -> None:
    if hasattr(select, "poll"):  # select() takes no descriptor above 1,023
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        poller.poll(timeout_s * 1000)
    else:
        select.select([], [sock], [], timeout_s)


def http_response(status: str, headers: Headers, body: bytes) -> bytes:
    """A complete response, after which the connection is closed."""
    kept = [pair for pair in headers if pair[0].lower() not in ("connection", "content-length", "transfer-encoding")]
    if not any(name.lower() == "date" for name, _ in kept):
        kept.append(("Date", formatdate(usegmt=True)))
    kept += [("Content-Length", str(len(body))), ("Connection", "close")]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in kept), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
