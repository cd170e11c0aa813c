"""Connections that do nothing, or next to nothing, or that read nothing: nobody else is to notice."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.process._relay import Connection, EventStream, Relay, WebSocket, wait_until
from tests.process.conftest import MakeRelay

MIB = 1 << 20
MANY = 300
#: What a plain request may take meanwhile, as a rule and at worst. Generous: two cores, shared with others.
FAST_S = 0.5
WORST_S = 8.0

POST = b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PARTS = (
    b"",
    b"G",
    b"GET /api/stats HTTP/1.1\r\nHost: loc",
    POST + b"Content-Length: 1000\r\n\r\n{",
    POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    b"GET /api/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
)


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    relay = make_relay()
    relay.register("alice")
    return relay


def stays_fast(relay: Relay, *, requests: int = 31) -> None:
    """Plain requests, reads and writes, are answered as if nothing was."""
    took: list[float] = []
    for number in range(requests):
        before = time.monotonic()
        if number % 2:
            relay.tell("alice", f"plain {number}")
        else:
            assert relay.http("GET", "/api/agents").status == 200
        took.append(time.monotonic() - before)
    took.sort()
    assert took[requests // 2] < FAST_S, took
    assert took[-1] < WORST_S, took


@contextlib.contextmanager
def half_open(relay: Relay) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(MANY):
            sock = stack.enter_context(contextlib.closing(relay.connect()))
            sock.sendall(PARTS[number % len(PARTS)])
            found.append(sock)
        yield found


def test_half_open_connections_hold_up_nobody(relay: Relay) -> None:
    threads = relay.threads()
    with half_open(relay):
        stays_fast(relay)
        assert relay.threads() <= threads + 2, "a thread for a connection that says nothing"
    descriptors = relay.descriptors
    wait_until(lambda: descriptors() < MANY / 2, "they are closed")
    relay.is_well()


def test_trickling_connections_hold_up_nobody(relay: Relay) -> None:
    """A byte at a time, on all of them, for as long as the plain requests take."""
    done = threading.Event()
    slow = b"GET /api/agents HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 10_000

    with half_open(relay) as socks:

        def trickle() -> None:
            at = 0
            while not done.is_set():
                for sock in socks[:: len(PARTS)]:
                    with contextlib.suppress(OSError):
                        sock.sendall(slow[at : at + 1])
                for sock in socks[3 :: len(PARTS)]:
                    with contextlib.suppress(OSError):
                        sock.sendall(b" ")
                at += 1
                done.wait(0.002)

        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            stays_fast(relay)
        finally:
            done.set()
            trickling.join()


def test_a_trickled_request_is_answered_in_the_end(relay: Relay) -> None:
    with contextlib.closing(relay.connect()) as sock:
        for byte in b"GET /api/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
            sock.sendall(bytes((byte,)))
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_300_streams_dropped_at_once(relay: Relay) -> None:
    before = relay.descriptors()
    streams = [EventStream(relay.port, "?for=alice" if number % 3 else "") for number in range(MANY)]
    assert relay.ok("GET", "/api/stats")["live"]["sse"] == MANY
    witness = EventStream(relay.port)
    with contextlib.closing(witness):
        for stream in streams:
            # A reset rather than a goodbye, as from a machine that went down.
            stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            stream.close()
        stays_fast(relay)
        wait_until(lambda: relay.ok("GET", "/api/stats")["live"]["sse"] == 1, "they are gone")
        sent = relay.tell("bob", "to the witness")
        while witness.next().id < sent:
            pass
    wait_until(lambda: relay.descriptors() < before + 20, "their descriptors are closed")


def flood(relay: Relay, *, count: int, size: int) -> int:
    """So many bytes for every listener; the last id."""
    last = 0
    with contextlib.closing(Connection(relay.port)) as connection:
        for number in range(count):
            body = {"from": "human", "to": "alice", "body": f"{number} {'x' * size}"}
            last = connection.http("POST", "/api/messages", body).json()["id"]
    return last


@pytest.mark.parametrize("kind", ["sse", "websocket"])
def test_a_reader_that_reads_nothing_is_cut_off_and_the_others_get_everything(relay: Relay, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        lazy: list[socket.socket] = []
        for _ in range(5):
            if kind == "sse":
                sock = stack.enter_context(contextlib.closing(EventStream(relay.port))).sock
            else:
                ws = stack.enter_context(contextlib.closing(WebSocket(relay.port)))
                assert ws.call("hello", agentId=None)["ok"]
                sock = ws.sock
            lazy.append(sock)
        key = "sse" if kind == "sse" else "websocket"
        wait_until(lambda: relay.ok("GET", "/api/stats")["live"][key] == 5, "they listen")
        before = relay.rss_bytes()
        witness = stack.enter_context(contextlib.closing(EventStream(relay.port, "?for=alice")))
        heard: list[tuple[int, float]] = []

        def listen() -> None:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    heard.append((witness.next().id, time.monotonic()))

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        # The kernel's own buffers take a few megabytes; after that it is the relay that has to choose.
        last = flood(relay, count=60, size=250_000)
        now = time.monotonic()
        wait_until(lambda: heard and heard[-1][0] >= last, "the witness has everything")
        assert heard[-1][1] - now < WORST_S
        ids = [number for number, _ in heard]
        assert ids == sorted(set(ids))
        wait_until(lambda: relay.ok("GET", "/api/stats")["live"][key] == (kind == "sse"), "they are cut off")
        assert relay.rss_bytes() - before < 60 * MIB
        assert relay.log.count("action=live.cut") == 5
        witness.sock.shutdown(socket.SHUT_RDWR)
        listening.join(10)
        if kind == "sse":
            # Back by its last id, it gets the rest from the log.
            again = stack.enter_context(contextlib.closing(EventStream(relay.port, f"?since={last - 1}")))
            assert again.next().id == last


def test_a_client_that_never_takes_its_answer_holds_up_nobody(relay: Relay) -> None:
    flood(relay, count=20, size=250_000)
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            sock = socket.socket()
            stack.enter_context(contextlib.closing(sock))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", relay.port))
            sock.sendall(b"GET /api/messages?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stays_fast(relay)
    relay.is_well()
