"""Many live listeners in one thread: Server-Sent Events on epoll."""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Sequence

from bench.http import request_bytes
from bench.process import Address

#: Connections that wait for their first byte at once, so that no backlog overflows.
_OPENING = 256


def raise_descriptor_limit() -> int:
    """As many open sockets as the system allows; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Listeners:
    """Live streams, one for each agent."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._poller = select.epoll()
        self._agents: dict[int, str] = {}
        self._socks: dict[int, socket.socket] = {}

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in self._socks.values():
            sock.close()
        self._poller.close()

    def __len__(self) -> int:
        return len(self._socks)

    def open(self, agents: Sequence[str], *, timeout_s: float = 60.0) -> float:
        """Open a stream for each; how long that took until all were connected."""
        begun = time.perf_counter()
        deadline = begun + timeout_s
        opening: set[int] = set()
        queue = iter(agents)
        more = True
        while more or opening:
            while more and len(opening) < _OPENING:
                agent = next(queue, None)
                if agent is None:
                    more = False
                    break
                sock = socket.create_connection(self._address, timeout=timeout_s)
                sock.sendall(request_bytes("GET", f"/api/events?for={agent}"))
                sock.setblocking(False)
                self._socks[sock.fileno()] = sock
                self._agents[sock.fileno()] = agent
                self._poller.register(sock.fileno(), select.EPOLLIN)
                opening.add(sock.fileno())
            for fd, _ in self._poller.poll(1.0):
                data = self._socks[fd].recv(4096)
                if not data or (not data.startswith(b"HTTP/1.1 200") and fd in opening and b": connected" not in data):
                    raise RuntimeError(f"a stream was refused: {data[:200]!r}")
                if b": connected" in data:
                    opening.discard(fd)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(opening)} streams did not open in {timeout_s} s")
        return time.perf_counter() - begun

    def wait(self, marker: bytes, *, count: int, timeout_s: float = 30.0) -> list[float]:
        """Read until ``marker`` has come over ``count`` streams; when each came, by :func:`time.perf_counter`."""
        clock, socks, poll = time.perf_counter, self._socks, self._poller.poll
        arrivals: list[float] = []
        deadline = clock() + timeout_s
        while len(arrivals) < count:
            for fd, _ in poll(1.0, 1024):
                data = socks[fd].recv(16384)
                if marker in data:
                    arrivals.append(clock())
                elif not data:
                    raise ConnectionError("the relay ended a stream")
            if clock() > deadline:
                raise TimeoutError(f"{len(arrivals)} of {count} deliveries in {timeout_s} s")
        return arrivals

    def drain(self, quiet_s: float = 0.2) -> None:
        """Read until nothing comes any more."""
        while events := self._poller.poll(quiet_s, 1024):
            for fd, _ in events:
                self._socks[fd].recv(1 << 16)

    def watch_also(self, sock: socket.socket) -> None:
        """Have :meth:`wait` look at one more connection."""
        self._socks[sock.fileno()] = sock
        self._poller.register(sock.fileno(), select.EPOLLIN)

    def forget(self, sock: socket.socket) -> None:
        """The opposite of :meth:`watch_also`."""
        self._poller.unregister(sock.fileno())
        del self._socks[sock.fileno()]
