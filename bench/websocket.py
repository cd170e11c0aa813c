"""A small WebSocket client (RFC 6455) for many connections in one thread."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

from bench.http import connect, request_bytes
from bench.process import Address

_HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "YWdlbnQtcmVsYXktYmVuYw=="),
)
#: Masking with zeros leaves the bytes as they are: it is valid, and costs the load maker nothing.
_MASK = b"\0\0\0\0"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return head + _MASK + payload


class Sockets:
    """Open WebSockets, by number."""

    def __init__(self, address: Address, count: int) -> None:
        self._poller = select.epoll()
        self._socks: list[socket.socket] = []
        self._numbers: dict[int, int] = {}
        self._partial: list[bytes] = []
        for number in range(count):
            sock = connect(address)
            sock.sendall(request_bytes("GET", "/api/ws", None, _HANDSHAKE))
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += sock.recv(4096)
            head, _, rest = answer.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(f"the upgrade was refused: {head!r}")
            self._socks.append(sock)
            self._partial.append(rest)
            self._numbers[sock.fileno()] = number
            self._poller.register(sock.fileno(), select.EPOLLIN)

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *_exc: object) -> None:
        for sock in self._socks:
            sock.close()
        self._poller.close()

    def send(self, number: int, payload: bytes) -> None:
        """Send a text frame."""
        self._socks[number].sendall(frame(payload))

    def receive(self, timeout_s: float) -> Iterator[tuple[int, bytes]]:
        """The text frames that have come, each with its connection's number; none when time is up."""
        for fd, _ in self._poller.poll(timeout_s):
            number = self._numbers[fd]
            data = self._socks[number].recv(1 << 18)
            if not data:
                raise ConnectionError("the relay closed a WebSocket")
            data = self._partial[number] + data
            at = 0
            while True:
                opcode, begin, end = _bounds(data, at)
                if not end:
                    break
                at = end
                if opcode == TEXT:
                    yield number, data[begin:end]
                elif opcode == PING:
                    self._socks[number].sendall(frame(data[begin:end], PONG))
                elif opcode == CLOSE:
                    raise ConnectionError(f"the relay closed a WebSocket: {data[begin:end]!r}")
            self._partial[number] = data[at:]


def _bounds(data: bytes, at: int) -> tuple[int, int, int]:
    """Opcode, begin and end of the payload of the frame at ``at``; an end of 0 where it is not whole."""
    if len(data) < at + 2:
        return 0, 0, 0
    size, begin = data[at + 1], at + 2
    if size >= 126:
        begin += 2 if size == 126 else 8
        if len(data) < begin:
            return 0, 0, 0
        size = int.from_bytes(data[at + 2 : begin], "big")
    end = begin + size
    return (data[at] & 0x0F, begin, end) if len(data) >= end else (0, 0, 0)
