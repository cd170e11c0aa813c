"""A load maker for HTTP/1.1 that costs little: one thread, epoll, requests made before they are needed."""

from __future__ import annotations

import gc
import itertools
import json
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.process import Address

#: connection, how many answers it has had before, status, body
OnAnswer = Callable[[int, int, int, bytes], None]
_READ = 1 << 18


@dataclass
class Load:
    """What came of some load."""

    answers: int = 0
    elapsed_s: float = 0.0
    #: the load maker's own processor time: it shares the machine with what it measures
    own_cpu_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answers / self.elapsed_s if self.elapsed_s else 0.0

    def expect(self, *statuses: int) -> Load:
        """Fail when there were other answers than these."""
        if set(self.statuses) - set(statuses):
            raise RuntimeError(f"unexpected answers: {dict(self.statuses)}")
        return self


def request_bytes(method: str, path: str, body: Any = None, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole request; ``body`` is sent as JSON."""
    data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


def connect(address: Address, *, timeout_s: float | None = 30.0) -> socket.socket:
    """A connection that does not collect small writes."""
    sock = socket.create_connection(address, timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Caller:
    """One keep-alive connection for one call after the other."""

    def __init__(self, address: Address) -> None:
        self.sock = connect(address)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sock.close()

    def call(self, method: str, path: str, body: Any = None, *, expect: int | None = None) -> Any:
        """The decoded answer, or its bytes where it is not JSON.

        :param expect: the status that it must have; else any below 300.
        """
        self.sock.sendall(request_bytes(method, path, body))
        status, data = self.receive()
        if status != expect if expect is not None else status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {data[:300]!r}")
        return json.loads(data) if data else None

    def receive(self) -> tuple[int, bytes]:
        """The next answer."""
        received = b""
        while True:
            data = self.sock.recv(_READ)
            if not data:
                raise ConnectionError("the server closed the connection")
            received += data
            end = _answer_end(received)
            if end:
                return int(received[9:12]), received[received.find(b"\r\n\r\n") + 4 : end]


def _answer_end(data: bytes | bytearray) -> int:
    """Where the first answer in ``data`` ends; 0 when it is not whole."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return 0
    at = data.find(b"Content-Length: ", 0, head_end)
    length = int(data[at + 16 : data.find(b"\r\n", at)]) if at >= 0 else 0
    end = head_end + 4 + length
    return end if len(data) >= end else 0


def drive(
    address: Address,
    sources: Sequence[Iterator[bytes]],
    *,
    seconds: float | None = None,
    on_answer: OnAnswer | None = None,
) -> Load:
    """Send each source's requests over a connection of its own, one after the other, all connections at once.

    :param seconds: when to stop; else at the sources' end.
    """
    load = Load()
    socks = [connect(address) for _ in sources]
    by_fd = {sock.fileno(): index for index, sock in enumerate(socks)}
    partial: list[bytes] = [b""] * len(socks)
    answered = [0] * len(socks)
    sent_at = [0.0] * len(socks)
    poller = select.epoll()
    clock = time.perf_counter
    gc.collect()
    gc.disable()
    cpu, begun = time.process_time(), clock()
    deadline = begun + seconds if seconds is not None else float("inf")
    try:
        waiting = 0
        for index, source in enumerate(sources):
            first = next(source, None)
            if first is not None:
                poller.register(socks[index].fileno(), select.EPOLLIN)
                sent_at[index] = clock()
                socks[index].sendall(first)
                waiting += 1
        while waiting:
            for fd, _ in poller.poll():
                index = by_fd[fd]
                data = socks[index].recv(_READ)
                if not data:
                    raise ConnectionError("the server closed a connection under load")
                if partial[index]:
                    data = partial[index] + data
                if not _answer_end(data):
                    partial[index] = data
                    continue
                partial[index] = b""
                now = clock()
                load.latencies_s.append(now - sent_at[index])
                status = int(data[9:12])
                load.statuses[status] += 1
                if on_answer is not None:
                    on_answer(index, answered[index], status, data[data.find(b"\r\n\r\n") + 4 :])
                answered[index] += 1
                following = next(sources[index], None) if now < deadline else None
                if following is None:
                    waiting -= 1
                else:
                    sent_at[index] = now
                    socks[index].sendall(following)
        load.elapsed_s = clock() - begun
        load.own_cpu_s = time.process_time() - cpu
    finally:
        gc.enable()
        poller.close()
        for sock in socks:
            sock.close()
    load.answers = sum(answered)
    return load


def flood(address: Address, request: bytes, *, connections: int = 16, seconds: float, warm_s: float = 0.5) -> Load:
    """The same request over and over."""
    drive(address, [itertools.repeat(request) for _ in range(connections)], seconds=warm_s)
    return drive(address, [itertools.repeat(request) for _ in range(connections)], seconds=seconds)


def register(address: Address, cards: Sequence[dict[str, Any]], *, connections: int = 16) -> Load:
    """Register agents."""
    requests = [request_bytes("POST", "/api/agents", card) for card in cards]
    sources = [iter(requests[index::connections]) for index in range(connections)]
    return drive(address, sources).expect(200, 201)
