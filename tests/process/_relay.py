"""A relay as a process of its own, and plain sockets to talk to it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import factories

DEADLINE_S = 15.0


def wait_until(true: Callable[[], Any], what: str, *, timeout_s: float = DEADLINE_S) -> Any:
    """As :func:`tests.factories.wait_until`; what was found is returned."""
    found: list[Any] = []

    def look() -> bool:
        found[:] = [true()]
        return bool(found[0])

    factories.wait_until(look, what, timeout_s=timeout_s)
    return found[0]


def wait_for_more(count: Callable[[], int], more: int, what: str) -> None:
    """Poll until there are so many more than now."""
    goal = count() + more
    wait_until(lambda: count() >= goal, what)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> dict[str, Any]:
        """The problem document that this must be."""
        assert self.headers.get("content-type") == "application/problem+json", self
        assert self.headers.get("cache-control") == "no-store", self
        assert self.headers.get("x-content-type-options") == "nosniff", self
        found = json.loads(self.body)
        assert isinstance(found, dict)
        assert {"type", "title", "status", "detail", "code", "requestId"} <= found.keys(), found
        assert found["status"] == self.status
        assert all(
            isinstance(found[key], str) and found[key] for key in ("type", "title", "detail", "code", "requestId")
        )
        assert re.fullmatch(r"[a-z][a-z-]+", found["code"]), found
        for error in found.get("errors", ()):
            assert set(error) == {"field", "message"}
        assert b"Traceback" not in self.body
        assert b'File "' not in self.body
        return found


class Relay(factories.Relay):
    """A relay as the factories make it, with the means to look into its process and to treat it badly."""

    def fail_to_start(self, *, timeout_s: float = DEADLINE_S) -> str:
        """Start what must not start; its one line."""
        for place in ("home", "run"):
            (self.folder / place).mkdir(exist_ok=True, mode=0o700)
        done = subprocess.run(
            self.command(), cwd=self.folder, env=self.environ, capture_output=True, timeout=timeout_s, check=False
        )
        lines = done.stderr.decode().splitlines()
        assert done.returncode == 1, (done.returncode, lines)
        assert len(lines) == 1, lines
        assert done.stdout == b""
        return lines[0]

    def signal(self, number: int, *, timeout_s: float = DEADLINE_S) -> int:
        """Send a signal that ends it; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self._wait(timeout_s)

    def http(self, method: str, path: str, body: Any = None, /, **headers: str) -> Answer:
        """One request on a connection of its own; ``body`` other than bytes is sent as JSON."""
        with contextlib.closing(Connection(self.port)) as connection:
            return connection.http(method, path, body, **headers)

    def ok(self, method: str, path: str, body: Any = None, /, **headers: str) -> Any:
        """As :meth:`http`, for what must succeed; the answer's JSON."""
        answer = self.http(method, path, body, **headers)
        assert answer.status < 300, answer
        return answer.json() if answer.body else None

    def register(self, agent_id: str, **card: Any) -> Any:
        return self.ok("POST", "/api/agents", {"id": agent_id, **card})

    def tell(self, to: str, body: str, **fields: Any) -> int:
        """Send a message; its id."""
        sent: int = self.ok("POST", "/api/messages", {"from": "human", "to": to, "body": body, **fields})["id"]
        return sent

    def connect(self, *, timeout_s: float = DEADLINE_S) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_well(self) -> None:
        """The service goes on."""
        assert self.runs(), self.log
        assert self.http("GET", "/api/healthz").status == 200

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int, *, timeout_s: float = DEADLINE_S) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def http(self, method: str, path: str, body: Any = None, /, **headers: str) -> Answer:
        """``headers``: underscores stand for hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        self._connection.request(method, path, body=body, headers=sent)
        response = self._connection.getresponse()
        data = response.read()
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, data)

    def close(self) -> None:
        self._connection.close()


def read_to_end(sock: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    got = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            got += data
    return bytes(got)


def parse_answers(data: bytes, *, methods: Iterator[str] | None = None) -> list[Answer]:
    """The answers in what a connection gave, in order."""
    answers: list[Answer] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, (head, answers)
        lines = head.decode("latin-1").split("\r\n")
        assert re.match(r"HTTP/1\.[01] \d{3} ", lines[0]), head
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        size = int(headers.get("content-length", "0"))
        if methods is not None and next(methods, "") == "HEAD":
            size = 0
        body, data = data[:size], data[size:]
        assert len(body) == size, (head, body)
        answers.append(Answer(int(lines[0].split()[1]), headers, body))
    return answers


@dataclass(frozen=True)
class Event:
    """One Server-Sent Event."""

    id: int
    type: str
    data: Any


class EventStream:
    """A listener to ``/api/events``."""

    def __init__(self, port: int, query: str = "", *, timeout_s: float = DEADLINE_S, **headers: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"GET /api/events{query} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""])
        self.sock.sendall(head.encode())
        self._buffer = b""
        answer = self._until(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b"text/event-stream" in answer
        assert self._until(b"\n\n") == b": connected"

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def next(self) -> Event:
        """The next event; comments are passed over.

        :raises EOFError: the stream has ended.
        """
        while True:
            block = self._until(b"\n\n").decode()
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if fields:
                assert list(fields) == ["id", "event", "data"], block
                return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))

    def close(self) -> None:
        self.sock.close()


class WebSocket:
    """A WebSocket client that does what it is told and nothing else."""

    def __init__(self, port: int, *, timeout_s: float = DEADLINE_S, **headers: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /api/ws HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
            *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        ]  # fmt: skip
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(1 << 16)
            assert data, self._buffer
            self._buffer += data
        self.head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.status = int(self.head.split()[1])

    def send(self, frame: Any) -> None:
        self.send_frame(0x1, json.dumps(frame).encode())

    def send_frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
        mask = os.urandom(4)
        whole = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        self.sock.sendall(head + mask + whole.to_bytes(size, "big"))

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def next_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame.

        :raises EOFError: the connection has ended.
        """
        first, size = self._take(2)
        assert not size & 0x80, "a server does not mask"
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
        return first & 0x0F, self._take(size)

    def next(self) -> Any:
        """The next JSON frame; pings are answered."""
        while True:
            opcode, payload = self.next_frame()
            if opcode == 0x9:
                self.send_frame(0xA, payload)
            elif opcode == 0x8:
                raise EOFError(int.from_bytes(payload[:2], "big"))
            else:
                return json.loads(payload)

    def call(self, op: str, **fields: Any) -> Any:
        """Send an operation; its answer. Events before it are dropped."""
        self.send({"op": op, "ref": 1, **fields})
        while True:
            frame = self.next()
            if "ref" in frame:
                return frame

    def close(self) -> None:
        self.sock.close()
