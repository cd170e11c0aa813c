"""The hub in this process, where its races can be provoked: real store, real log, real sockets."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from app.errors import Unavailable
from app.server.hub import Hub
from app.server.services import messages
from app.server.services.live import LiveSource
from app.server.store.events import LogEntry
from app.server.streams import Mode
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


def read_ids(sock: socket.socket, *, until: int) -> list[int]:
    """Event ids from a stream, up to this one."""
    data, ids = b"", list[int]()
    while not ids or ids[-1] < until:
        data += sock.recv(1 << 20)
        *whole, data = data.split(b"\n\n")
        ids += [int(part.split(b"\n")[0][4:]) for part in whole if part.startswith(b"id: ")]
    return ids


def test_a_message_for_few_is_with_them_when_its_send_returns(home: Home, hub: Hub) -> None:
    """Whoever commits hands it out: nothing waits for the hub's thread, which is kept busy here."""
    home.register("alice")
    home.store.on_commit = hub.committed
    ours, theirs = socket.socketpair()
    busy, go_on = threading.Event(), threading.Event()
    with theirs:
        theirs.settimeout(10)
        hub.open_sse(ours, head=b"", agent_id="alice", since=None)
        assert theirs.recv(100) == b": connected\n\n"
        wait_until(lambda: all(stream.mode is Mode.LIVE for stream in hub._streams), "the stream is live")
        stop_in_select(hub, busy, go_on)
        assert busy.wait(10)
        sent = home.send("human", "alice")
        theirs.setblocking(False)
        try:
            assert theirs.recv(1 << 16).startswith(b"id: %d\nevent: message.new\n" % sent)
        finally:
            go_on.set()


def stop_in_select(hub: Hub, busy: threading.Event, go_on: threading.Event) -> None:
    """Have the hub's thread stand still outside of its turn, as one that the system does not schedule."""
    select = hub._selector.select

    def stand_still(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        busy.set()
        go_on.wait(10)
        return select(timeout)

    hub._selector.select = stand_still  # type: ignore[method-assign]
    hub.ring()


def test_every_listener_gets_every_event_once_and_in_order_whoever_hands_it_out(home: Home, hub: Hub) -> None:
    home.register("alice")
    home.store.on_commit = hub.committed
    with contextlib.ExitStack() as stack:
        listeners: list[socket.socket] = []

        def listen() -> None:
            ours, theirs = socket.socketpair()
            theirs.settimeout(10)
            hub.open_sse(ours, head=b"", agent_id=None, since=0)
            listeners.append(stack.enter_context(theirs))

        def send(n: int) -> None:
            for i in range(50):
                home.send("human", "alice" if i % 2 else "broadcast")
                if i % 10 == 0:
                    listen()

        in_threads(4, send)
        head = home.store.head()
        found = [read_ids(sock, until=head) for sock in listeners]
    assert found == [list(range(1, head + 1))] * 20


def test_a_commit_stands_when_handing_it_out_fails_and_it_is_handed_out_later(home: Home) -> None:
    class Failing(LiveSource):
        failures = 2

        def page(self, *, after: int, upto: int, limit: int, agent_id: str | None) -> list[LogEntry]:
            if upto > head + 1 and self.failures:
                self.failures -= 1
                raise Unavailable
            return super().page(after=after, upto=upto, limit=limit, agent_id=agent_id)

    home.register("alice")
    head = home.store.head()
    hub = Hub(Failing(home.bus), clock=home.bus.clock, call_in_worker=lambda work: work())
    home.store.on_commit = hub.committed
    hub.start()
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.settimeout(10)
        hub.open_sse(ours, head=b"", agent_id="alice", since=head)
        sent = home.send("human", "alice")
        assert read_ids(theirs, until=sent) == [sent]
    hub.stop(10)


def test_a_live_stream_goes_on_behind_a_page_of_what_was_deleted(home: Home, hub: Hub) -> None:
    """Were the hub behind by more than a page of deleted messages, it would never see another (#3)."""
    home.register("alice")
    ours, theirs = socket.socketpair()
    busy, go_on = threading.Event(), threading.Event()
    with theirs:
        theirs.settimeout(10)
        hub.open_sse(ours, head=b"", agent_id="alice", since=None)
        wait_until(lambda: any(stream.mode is Mode.LIVE for stream in hub._streams), "the stream is live")
        stop_in_select(hub, busy, go_on)
        assert busy.wait(10)
        sent = [home.send("human", "alice") for _ in range(200)]
        for message_id in sent:
            messages.delete(home.bus, message_id)
        last = home.send("human", "alice")
        go_on.set()
        hub.ring()
        assert read_ids(theirs, until=last)[-1] == last
