"""The hub in this process, where its races can be provoked: real store, real log, real sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from app.server.hub import Hub
from app.server.services.live import LiveSource
from tests.factories import Home, in_threads, wait_until


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home()


@pytest.fixture
def hub(home: Home) -> Iterator[Hub]:
    hub = Hub(LiveSource(home.bus), clock=home.bus.clock, call_in_worker=lambda work: work())
    hub.start()
    yield hub
    hub.stop(10)


def test_no_call_is_lost_however_many_ring_at_once(hub: Hub) -> None:
    done: list[int] = []

    def ring(n: int) -> None:
        for i in range(3000):
            hub.call(lambda i=i: done.append(i))  # type: ignore[misc]
            if i % 50 == 0:
                wait_until(lambda: not hub._calls, "the hub hears the bell", timeout_s=10)

    in_threads(4, ring)
    wait_until(lambda: len(done) == 12_000, "all calls are done", timeout_s=10)


def test_a_listener_that_knows_of_a_commit_before_the_hub_does_is_not_reset(home: Home, hub: Hub) -> None:
    """As after a send whose answer came before the bell was heard: the hub has not been rung here at all."""
    home.register("alice")
    known = home.send("human", "alice")
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.settimeout(10)
        hub.open_sse(ours, head=b"", agent_id=None, since=known)
        got = theirs.recv(100)
        later = home.send("human", "alice")
        hub.ring()
        while b"\n\n" not in got.partition(b"\n\n")[2]:
            got += theirs.recv(65536)
    event = got.decode().split("\n\n")[1].split("\n")
    assert event[:2] == [f"id: {later}", "event: message.new"]
    assert json.loads(event[2].removeprefix("data: "))["id"] == later
