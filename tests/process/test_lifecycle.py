"""Starting, stopping, and what is left behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.process._relay import DEADLINE_S, Answer, Connection, EventStream, Relay, WebSocket, read_to_end, wait_until
from tests.process.conftest import MakeRelay

STOP_S = 3.0
ROUNDS = 50


def runtime_file(relay: Relay) -> Path:
    return relay.folder / "run" / "agent-relay" / "relay.json"


def open_poll(relay: Relay, agent: str, *, wait_s: int = 60) -> socket.socket:
    """A long poll with nothing to answer."""
    sock = relay.connect()
    sock.sendall(
        f"GET /api/messages?for={agent}&unread=true&wait={wait_s} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    return sock


def live(relay: Relay) -> dict[str, int]:
    found: dict[str, int] = relay.ok("GET", "/api/stats")["live"]
    return found


# -- starting ----------------------------------------------------------------------------------------------------------


def test_a_second_relay_on_the_same_port_says_so(make_relay: MakeRelay) -> None:
    first = make_relay()
    second = make_relay(start=False)
    second.port = first.port
    line = second.fail_to_start()
    assert f"127.0.0.1:{first.port}" in line
    assert "PORT" in line
    first.is_well()
    assert json.loads(runtime_file(first).read_bytes())["pid"] == first.pid


def test_a_relay_that_cannot_start_leaves_the_runtime_file_of_another_alone(make_relay: MakeRelay) -> None:
    first = make_relay()
    second = make_relay(db=first.db, start=False, XDG_RUNTIME_DIR=first.folder / "run")
    second.fail_to_start()
    assert json.loads(runtime_file(first).read_bytes())["pid"] == first.pid


def test_the_runtime_file_is_private_and_gone_after_the_end(make_relay: MakeRelay) -> None:
    relay = make_relay()
    path = runtime_file(relay)
    said = json.loads(path.read_bytes())
    health = relay.ok("GET", "/api/healthz")
    assert said == {
        "pid": relay.pid,
        "port": relay.port,
        "instance": health["instance"],
        "version": health["version"],
        "manager": None,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(relay.db.stat().st_mode) & 0o077 == 0, "others can read the database"
    assert relay.stop() == 0
    assert not path.exists()


def test_a_runtime_file_left_by_a_kill_is_replaced(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.kill()
    assert runtime_file(relay).exists()
    relay.start()
    assert json.loads(runtime_file(relay).read_bytes())["pid"] == relay.pid


# -- stopping ----------------------------------------------------------------------------------------------------------


def end(relay: Relay, number: int) -> None:
    """It ends in time, in good order, and can be started again at once."""
    port = relay.port
    before = time.monotonic()
    assert relay.signal(number) == 0, relay.log
    assert time.monotonic() - before < STOP_S
    assert not runtime_file(relay).exists()
    left = relay.db.with_name(relay.db.name + "-wal")
    assert not left.exists() or left.stat().st_size == 0, "no checkpoint"
    relay.start()
    assert relay.port == port
    relay.is_well()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_of_an_idle_relay(make_relay: MakeRelay, number: int) -> None:
    relay = make_relay()
    relay.tell("alice", "x")
    with contextlib.closing(Connection(relay.port)) as idle:
        assert idle.http("GET", "/api/healthz").status == 200
        end(relay, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_tells_everyone_who_listens(make_relay: MakeRelay, number: int) -> None:
    relay = make_relay()
    relay.register("alice")
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(contextlib.closing(EventStream(relay.port))) for _ in range(20)]
        sockets = [stack.enter_context(contextlib.closing(WebSocket(relay.port))) for _ in range(20)]
        for ws in sockets:
            assert ws.call("hello", agentId=None)["ok"]
        polls = [stack.enter_context(contextlib.closing(open_poll(relay, "alice"))) for _ in range(20)]
        wait_until(lambda: live(relay) == {"sse": 20, "websocket": 20, "longPoll": 20}, "all are there")
        mark = relay.tell("bob", "the last")
        end(relay, number)
        for stream in streams:
            assert stream.next().id == mark
            with pytest.raises(EOFError):
                stream.next()
        for ws in sockets:
            while (frame := ws.next_frame())[0] != 0x8:
                pass
            assert frame[1][:2] == b"\x03\xe9", "1001, going away"
        for poll in polls:
            data = read_to_end(poll)
            assert data.startswith(b"HTTP/1.1 200 ")
            assert data.endswith(b'{"messages":[]}')


def test_the_end_with_300_streams_open(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(contextlib.closing(EventStream(relay.port)))
        assert live(relay)["sse"] == 300
        end(relay, signal.SIGTERM)


def test_the_end_does_not_wait_for_those_who_do_not_read(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.register("alice")
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(contextlib.closing(EventStream(relay.port)))
        for _ in range(10):
            stack.enter_context(contextlib.closing(WebSocket(relay.port))).send(
                {"op": "hello", "ref": 1, "agentId": None}
            )
        # Half a request each, and none of them will ever send the rest.
        for half in (
            b"GET /api/st",
            b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        ) * 10:
            stack.enter_context(contextlib.closing(relay.connect())).sendall(half)
        for number in range(10):
            relay.tell("alice", f"{number} {'x' * 200_000}")
        end(relay, signal.SIGTERM)


def test_requests_that_run_at_the_end_are_answered(make_relay: MakeRelay) -> None:
    """Each is answered, or was never taken: what is stored is what was answered, bar what was cut off unanswered."""
    relay = make_relay()
    answered: list[list[str]] = [[] for _ in range(8)]
    odd: list[Answer] = []
    started = threading.Barrier(9)

    def write(number: int) -> None:
        started.wait()
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(Connection(relay.port)) as connection,
        ):
            count = 0
            while True:
                body = f"{number}/{count}"
                answer = connection.http("POST", "/api/messages", {"from": "human", "to": "x", "body": body})
                if answer.status == 201:
                    answered[number].append(body)
                elif answer.status != 503:
                    odd.append(answer)
                count += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    wait_until(lambda: all(len(mine) > 5 for mine in answered), "everyone writes")
    before = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - before < STOP_S
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not odd
    relay.start()
    stored: list[str] = []
    query = "limit=500"
    while query:
        page = relay.ok("GET", f"/api/messages?{query}")
        stored += [message["body"] for message in page["messages"]]
        query = f"limit=500&before={page['next']}" if "next" in page else ""
    missing = set().union(*answered) - set(stored)
    assert not missing
    assert len(stored) == len(set(stored))
    # A connection carries one request at a time, so that no more than one each can have been cut off.
    assert len(set(stored) - set().union(*answered)) <= 8


def test_a_second_signal_does_not_spoil_the_end(make_relay: MakeRelay) -> None:
    relay = make_relay()
    with contextlib.closing(EventStream(relay.port)):
        assert relay.process is not None
        for _ in range(3):
            relay.process.send_signal(signal.SIGTERM)
            relay.process.send_signal(signal.SIGINT)
        assert relay.signal(signal.SIGTERM) == 0
    assert not runtime_file(relay).exists()


# -- over time ---------------------------------------------------------------------------------------------------------


def sse(relay: Relay) -> None:
    with contextlib.closing(EventStream(relay.port, "?for=alice")) as stream:
        relay.tell("alice", "x")
        while stream.next().type != "message.new":
            pass


def websocket(relay: Relay) -> None:
    with contextlib.closing(WebSocket(relay.port)) as ws:
        assert ws.call("hello", agentId="alice")["ok"]
        assert ws.call("send", to="bob", body="x")["ok"]
        ws.send_frame(0x8, b"\x03\xe8")
        while ws.next_frame()[0] != 0x8:
            pass


def dropped_websocket(relay: Relay) -> None:
    with contextlib.closing(WebSocket(relay.port)) as ws:
        assert ws.call("hello", agentId="alice")["ok"]


def refused_websocket(relay: Relay) -> None:
    with contextlib.closing(WebSocket(relay.port, Origin="http://evil.example")) as ws:
        assert ws.status == 403


def poll(relay: Relay) -> None:
    with contextlib.closing(open_poll(relay, "poller")) as sock:
        wait_until(lambda: live(relay)["longPoll"] == 1, "it waits")
        message_id = relay.tell("poller", "x")
        assert b'"messages":' in read_to_end(sock)
    # Not before the answer: what is read by then would not be in it, and the poll would wait on.
    relay.ok("POST", "/api/messages/read", {"agentId": "poller", "upTo": message_id})


def dropped_poll(relay: Relay) -> None:
    with contextlib.closing(open_poll(relay, "poller")):
        wait_until(lambda: live(relay)["longPoll"] == 1, "it waits")


def requests(relay: Relay) -> None:
    for path in ("/api/agents", "/api/messages?for=alice", "/api/nothing", "/api/messages?q=x"):
        relay.http("GET", path)
    relay.http("POST", "/api/messages", b"{")


@pytest.mark.parametrize("kind", [sse, websocket, dropped_websocket, refused_websocket, poll, dropped_poll, requests])
def test_threads_and_descriptors_stay_flat(module_relay: Relay, kind: Callable[[Relay], None]) -> None:
    relay = module_relay
    relay.register("alice")
    relay.register("poller")

    def quiet() -> bool:
        return live(relay) == {"sse": 0, "websocket": 0, "longPoll": 0}

    def measure() -> tuple[int, int]:
        wait_until(quiet, "all streams are gone")
        return relay.threads(), relay.descriptors()

    for _ in range(5):
        kind(relay)
    threads, descriptors = measure()
    for _ in range(ROUNDS):
        kind(relay)

    def flat() -> Any:
        now = measure()
        # A few for keep-alive connections about to end, and the pool's readers that come with use.
        return now[0] <= threads + 1 and now[1] <= descriptors + 6

    wait_until(flat, f"as before: {threads} threads, {descriptors} descriptors; now {measure()}")
