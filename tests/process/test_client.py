"""The client against real relay processes, and against peers that behave badly on a raw socket."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from app import errors
from app.client import BadAnswer, RelayClient, RelayProblem, RelayTimeout, RelayUnreachable
from app.client_live import LiveEvent, LiveEvents
from app.model import Priority, ReceiptState, ReportedReceipt, ReportedStatus, SendMessage
from tests.factories import DEADLINE_S, Relay, in_threads, unique, wait_until

both = pytest.mark.parametrize("one_shot", [False, True], ids=["requests", "one-shot"])

# -- against a real relay ----------------------------------------------------------------------------------------------


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Relay]:
    """A relay of the test's own."""
    relay = Relay(tmp_path / "relay").start()
    yield relay
    relay.end()
    assert "Traceback" not in relay.log, relay.log


@pytest.fixture(params=[False, True], ids=["requests", "one-shot"])
def client(relay: Relay, request: pytest.FixtureRequest) -> Iterator[RelayClient]:
    with RelayClient(relay.url, one_shot=request.param) as client:
        yield client


def test_agents(client: RelayClient) -> None:
    name, tag = unique("agent"), unique("tag")
    card = client.register(name, tags=[tag], rig="rig", meta={"a": [1, None]})
    assert (card.id, card.tags, card.rig, card.meta, card.ignored) == (name, [tag], "rig", {"a": [1, None]}, [])
    assert client.register(name, rig=None).rig is None
    assert client.register(name).tags == [tag]
    assert client.heartbeat(name, status=ReportedStatus.BUSY).status == "busy"
    assert client.patch_agent(name, labels=["Étage 2 / x"]).labels == ["Étage 2 / x"]
    assert [card.id for card in client.list_agents(tag=tag, label="Étage 2 / x")] == [name]
    assert client.get_agent(name).labels == ["Étage 2 / x"]
    client.remove_agent(name)
    with pytest.raises(errors.AgentNotFound):
        client.get_agent(name)
    with pytest.raises(errors.NotFound):
        client.get_agent("../healthz")


def test_messages(client: RelayClient) -> None:
    alice, bob, tag = unique("alice"), unique("bob"), unique("tag")
    client.register(alice, tags=[tag])
    client.register(bob, tags=[tag])
    before = client.cursor()
    sent = client.send(
        bob, from_=alice, body="hëllo", subject="s", channel="c", priority=Priority.URGENT, meta={"k": 1}
    )
    assert sent.id > before
    assert (sent.queued, sent.recipients) == (False, 1)
    reply = client.send(alice, from_=bob, body="back", reply_to=sent.id)
    assert [message.id for message in client.thread(reply.id)] == [sent.id, reply.id]
    assert [message.body for message in client.inbox(bob).messages] == ["hëllo"]
    assert client.get_message(sent.id).meta == {"k": 1}
    assert client.read(sent.id, agent_id=bob).message_id == sent.id
    assert client.inbox(bob).messages == []
    assert [message.read for message in client.inbox(bob, unread=False).messages] == [True]
    assert (
        client.report_receipt(reply.id, agent_id=alice, state=ReportedReceipt.OFFERED, adapter="hook").offered_by
        == "hook"
    )
    assert client.read_up_to(reply.id, agent_id=alice).marked == 1
    assert [receipt.state for receipt in client.receipts(sent.id)] == [ReceiptState.READ]
    assert [message.id for message in client.history(from_=alice, channel="c").messages] == [sent.id]
    work = client.send(f"tag:{tag}", from_="human", body="work", claimable=True, expires_in_ms=60_000)
    assert client.claim(work.id, agent_id=bob).claimed_by == bob
    assert client.claim(work.id, agent_id=bob).claimed_by == bob
    with pytest.raises(errors.ClaimConflict) as conflict:
        client.claim(work.id, agent_id=alice)
    assert conflict.value.extras["claimedBy"] == bob
    assert client.release(work.id, agent_id=bob).claimed_by is None
    with pytest.raises(errors.NotClaimant):
        client.release(work.id, agent_id=bob)
    client.delete_message(work.id)
    with pytest.raises(errors.MessageNotFound):
        client.delete_message(work.id)
    with pytest.raises(errors.Invalid) as invalid:
        client.send("word:x", from_=alice, body="x")
    assert invalid.value.errors[0]["field"] == "to"


def test_a_batch_longer_than_a_page_comes_back_page_by_page(client: RelayClient) -> None:
    bob = unique("bob")
    client.register(bob)
    first = client.send(bob, from_="human", body="root")
    batch = [SendMessage(from_="human", to=bob, body=str(i), reply_to=first.id) for i in range(600)]
    sent = client.send_batch(batch)
    assert [message.body for message in sent] == [str(i) for i in range(600)]
    page = client.inbox(bob, limit=500)
    assert page.next == page.messages[-1].id
    assert len(list(client.thread(first.id))) == 601


def test_the_same_key_sends_once(client: RelayClient) -> None:
    bob, key = unique("bob"), unique("key")
    sent = [client.send(bob, from_="human", body="once", idempotency_key=key).id for _ in range(3)]
    assert len(set(sent)) == 1
    with pytest.raises(errors.IdempotencyConflict):
        client.send(bob, from_="human", body="other", idempotency_key=key)
    assert client.send(bob, from_="human", body="once").id not in sent


def test_a_long_poll_waits_for_the_message(client: RelayClient, relay: Relay) -> None:
    bob = unique("bob")
    client.register(bob)
    with RelayClient(relay.url) as other:
        sending = threading.Timer(0.2, lambda: other.send(bob, from_="human", body="late"))
        sending.start()
        assert [message.body for message in client.inbox(bob, wait_s=20).messages] == ["late"]
        sending.join()


def test_system_calls(client: RelayClient) -> None:
    assert client.health().status == "ok"
    assert client.stats().event_seq >= 0
    code = client.create_session_code()
    assert client.redeem_session_code(code.code).token
    with pytest.raises(errors.RelayError):
        client.redeem_session_code(code.code)


def test_an_agent_secret_proves_the_sender(relay: Relay) -> None:
    alice = unique("alice")
    with RelayClient(relay.url) as client:
        secret = client.register(alice, issue_secret=True).agent_secret
        assert isinstance(secret, str)
        with pytest.raises(errors.AgentSecretRequired):
            client.send("human", from_=alice, body="x")
    with RelayClient(relay.url, agent_secret=secret) as client:
        assert client.send("human", from_=alice, body="x").verified


@both
def test_one_client_serves_many_threads(relay: Relay, one_shot: bool) -> None:
    bob = unique("bob")
    with RelayClient(relay.url, one_shot=one_shot) as client:

        def work(index: int) -> list[int]:
            return [client.send(bob, from_="human", body=f"{index} {i}").id for i in range(5)]

        sent = in_threads(16, work)
    assert len({message_id for ids in sent for message_id in ids}) == 80


class Keyring:
    """Answers one token, and counts how often it is asked."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.asked = 0

    def __call__(self) -> str | None:
        self.asked += 1
        return self.token


@both
def test_another_token_is_asked_for_once(make_token_relay: Callable[[], Relay], one_shot: bool) -> None:
    relay = make_token_relay()
    keyring = Keyring("right")
    with RelayClient(relay.url, one_shot=one_shot, token="wrong", ask_token=keyring) as client:
        assert client.health().app == "agent-relay"
        assert keyring.asked == 0
        client.stats()
        client.send("human", from_="human", body="x")
        assert keyring.asked == 1
    for token in ("still wrong", None):
        keyring = Keyring(token)
        with RelayClient(relay.url, one_shot=one_shot, ask_token=keyring) as client:
            with pytest.raises(errors.Unauthorized):
                client.stats()
            with client.events() as events, pytest.raises(errors.Unauthorized):
                next(events)
        assert keyring.asked == 1
    keyring = Keyring("right")
    with RelayClient(relay.url, ask_token=keyring) as client, client.events(since=0) as events:
        assert next(events).event == "message.new"
    assert keyring.asked == 1


@pytest.fixture
def make_token_relay(tmp_path: Path) -> Iterator[Callable[[], Relay]]:
    made: list[Relay] = []

    def make() -> Relay:
        made.append(Relay(tmp_path / "guarded", AGENT_RELAY_TOKEN="right").start())
        return made[-1]

    yield make
    for relay in made:
        relay.end()


def test_a_relay_that_is_not_there_is_named_with_the_mend(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for one_shot in (False, True):
        with RelayClient(f"http://127.0.0.1:{port}", one_shot=one_shot, retries=1) as client:
            with pytest.raises(RelayUnreachable) as caught:
                client.stats()
            assert f"http://127.0.0.1:{port}" in caught.value.detail
            assert "Connection refused" in caught.value.detail
            assert "AGENT_RELAY_URL" in caught.value.detail


# -- the live iterator against a real relay ----------------------------------------------------------------------------


class Listener:
    """Iterates in a thread of its own and keeps what comes."""

    def __init__(self, events: LiveEvents) -> None:
        self.events = events
        self.got: list[LiveEvent] = []
        self.error: errors.RelayError | None = None
        self.thread = threading.Thread(target=self._run, name="listener")
        self.thread.start()

    def _run(self) -> None:
        try:
            for event in self.events:
                self.got.append(event)
        except errors.RelayError as exc:
            self.error = exc

    def bodies(self) -> list[str]:
        return [event.message.body for event in list(self.got) if event.event == "message.new" and event.message]

    def wait_for(self, body: str) -> None:
        wait_until(lambda: body in self.bodies() or self.error, f"{body} arrives")
        assert self.error is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.events.close()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()


def test_an_agents_stream_begins_with_its_unread_inbox(bus: Relay) -> None:
    with RelayClient(bus.url) as client:
        client.register("bob")
        client.send("bob", from_="human", body="one")
        read = client.send("bob", from_="human", body="read")
        client.read(read.id, agent_id="bob")
        client.send("bob", from_="human", body="two")
        client.send("carol", from_="human", body="not for bob")
        with Listener(client.events("bob")) as listener:
            listener.wait_for("two")
            client.send("bob", from_="human", body="three")
            listener.wait_for("three")
        assert listener.bodies() == ["one", "two", "three"]


@pytest.mark.parametrize("agent_id", [None, "bob"])
def test_no_event_is_lost_or_repeated_over_kills_and_restarts(bus: Relay, agent_id: str | None) -> None:
    lost: list[str] = []
    with RelayClient(bus.url, retries=8) as client:
        client.register("bob")
        connected = threading.Event()
        events = client.events(
            agent_id, on_connect=connected.set, on_disconnect=lambda error, _pause: lost.append(error.code)
        )
        with Listener(events) as listener:
            assert connected.wait(DEADLINE_S)
            sent = 0
            for round_ in range(3):
                for _ in range(20):
                    client.send("bob", from_="human", body=str(sent))
                    sent += 1
                if round_ == 1:
                    listener.wait_for(str(sent - 1))  # once at rest, otherwise in full flow
                if round_ == 2:
                    assert bus.stop() == 0
                else:
                    bus.kill()
                bus.start()
                client.send("bob", from_="human", body=str(sent))
                sent += 1
            listener.wait_for(str(sent - 1))
        assert listener.bodies() == [str(i) for i in range(sent)]
        ids = [event.id for event in listener.got]
        assert len(set(ids)) == len(ids)
        assert len(lost) >= 3


def test_a_loss_before_the_first_event_leaves_no_gap(bus: Relay) -> None:
    with RelayClient(bus.url, retries=8) as client:
        connected = threading.Semaphore(0)
        with Listener(client.events(on_connect=connected.release)) as listener:
            assert connected.acquire(timeout=DEADLINE_S)
            bus.kill()
            bus.start()
            # Very likely before the listener is back, and certainly not before it was there at first.
            client.send("human", from_="human", body="in the gap")
            listener.wait_for("in the gap")


def test_a_place_that_the_relay_does_not_know_begins_with_reset(bus: Relay) -> None:
    with RelayClient(bus.url) as client, Listener(client.events(since=999_999)) as listener:
        wait_until(lambda: listener.got, "reset arrives")
        client.send("human", from_="human", body="after")
        listener.wait_for("after")
        assert [event.event for event in listener.got] == ["reset", "message.new"]


def test_a_reannounced_message_is_a_new_event_about_the_same_message(bus: Relay) -> None:
    with RelayClient(bus.url) as client:
        client.register("bob")
        with Listener(client.events("bob")) as listener:
            work = client.send("bob", from_="human", body="work", claimable=True)
            client.claim(work.id, agent_id="bob")
            client.release(work.id, agent_id="bob")
            wait_until(lambda: listener.bodies() == ["work", "work"], "it is announced again")
        new = [event for event in listener.got if event.event == "message.new"]
        assert new[0].id != new[1].id
        assert [event.message.id for event in new if event.message] == [work.id, work.id]


def test_open_work_that_a_new_tag_brings_comes_under_its_old_id(bus: Relay) -> None:
    with RelayClient(bus.url) as client:
        client.register("bob")
        client.send("tag:ops", from_="human", body="old work", claimable=True)
        with Listener(client.events("bob")) as listener:
            client.send("bob", from_="human", body="direct")
            listener.wait_for("direct")
            client.patch_agent("bob", tags=["ops"])
            listener.wait_for("old work")


def test_an_agent_that_does_not_exist_has_no_stream(relay: Relay) -> None:
    with RelayClient(relay.url) as client, client.events(unique("nobody")) as events:
        with pytest.raises(errors.AgentNotFound):
            next(events)
        with pytest.raises(StopIteration):
            next(events)


def test_closing_from_another_thread_ends_the_iteration_at_once(relay: Relay) -> None:
    with RelayClient(relay.url) as client:
        bob = unique("bob")
        client.register(bob)
        connected = threading.Event()
        listener = Listener(client.events(bob, on_connect=connected.set))
        assert connected.wait(DEADLINE_S)
        began = time.monotonic()
        with listener:
            pass
        assert time.monotonic() - began < 2


def test_a_stop_event_ends_the_iteration_at_once(relay: Relay) -> None:
    with RelayClient(relay.url) as client:
        bob = unique("bob")
        client.register(bob)
        connected, stop = threading.Event(), threading.Event()
        listener = Listener(client.events(bob, stop=stop, on_connect=connected.set))
        assert connected.wait(DEADLINE_S)
        began = time.monotonic()
        stop.set()
        listener.thread.join(DEADLINE_S)
        assert time.monotonic() - began < 2
        assert listener.events.closed


def test_closing_ends_the_wait_between_attempts(bus: Relay) -> None:
    with RelayClient(bus.url) as client:
        waits = threading.Semaphore(0)
        with Listener(client.events(on_disconnect=lambda _error, _pause: waits.release())) as listener:
            wait_until(lambda: client.stats().live.sse == 1, "it listens")
            bus.kill()
            for _ in range(3):
                assert waits.acquire(timeout=DEADLINE_S)
        assert not listener.thread.is_alive()


# -- against a peer that is no relay -----------------------------------------------------------------------------------

Behaviour = Callable[[socket.socket], None]


class Peer:
    """A raw TCP server: each request gets the next behaviour, the last one for ever."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = iter(behaviours[:-1])
        self._last = behaviours[-1]
        self.requests: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="peer")]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                thread = threading.Thread(target=self._serve, args=(sock,), name="peer-connection")
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE_S)
        with sock, contextlib.suppress(OSError):
            while (request := self._read(sock)) is not None:
                self.requests.append(request)
                next(self._behaviours, self._last)(sock)

    @staticmethod
    def _read(sock: socket.socket) -> str | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += sock.recv(65536)
        return (head + b"\n\n" + body).decode()

    def header(self, name: str) -> list[str | None]:
        """What each request said."""
        found = [re.search(rf"(?im)^{name}: (.*?)\r?$", request) for request in self.requests]
        return [match[1] if match else None for match in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)


def answers(status: int, body: bytes, *headers: str, kind: str = "application/json") -> Behaviour:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return lambda sock: sock.sendall("\r\n".join(lines).encode() + body)


def drops(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_RDWR)


def answers_half(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    sock.shutdown(socket.SHUT_RDWR)


def problem(status: int, code: str) -> bytes:
    document = {"type": "x", "title": "t", "status": status, "code": code, "detail": "as said", "requestId": "r"}
    return json.dumps(document).encode()


CURSOR = answers(200, b'{"cursor": 5, "newKey": true}')
BUSY = answers(503, problem(503, "unavailable"), "Retry-After: 0")
SENT = answers(
    201,
    json.dumps(
        {
            "id": 1, "from": "a", "to": "b", "subject": None, "body": "c", "channel": None, "kind": "message",
            "threadId": 1, "replyTo": None, "claimable": False, "claimedBy": None, "claimedAt": None,
            "priority": "normal", "meta": {}, "taskId": None, "verified": False,
            "createdAt": "2026-01-01T00:00:00.000Z", "expiresAt": None, "queued": False, "recipients": 1,
        }
    ).encode(),
)  # fmt: skip


@both
def test_a_send_is_tried_again_under_the_same_key(one_shot: bool) -> None:
    with Peer(drops, BUSY, answers_half, SENT) as peer, RelayClient(peer.url, one_shot=one_shot) as client:
        assert client.send("b", from_="a", body="c").id == 1
        keys = peer.header("Idempotency-Key")
        assert len(keys) == 4
        assert len(set(keys)) == 1
        client.send("b", from_="a", body="c")
        assert len(set(peer.header("Idempotency-Key"))) == 2


@both
def test_attempts_are_bounded(one_shot: bool) -> None:
    with Peer(drops) as peer, RelayClient(peer.url, one_shot=one_shot, retries=2) as client:
        with pytest.raises(RelayUnreachable):
            client.cursor()
        assert len(peer.requests) == 3
    with Peer(BUSY) as peer, RelayClient(peer.url, one_shot=one_shot, retries=1) as client:
        with pytest.raises(errors.Unavailable):
            client.cursor()
        assert len(peer.requests) == 2


@both
@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 413, 415, 422, 500, 507])
def test_a_refusal_is_not_tried_again(one_shot: bool, status: int) -> None:
    with (
        Peer(answers(status, problem(status, "some-code"))) as peer,
        RelayClient(peer.url, one_shot=one_shot) as client,
    ):
        with pytest.raises(RelayProblem) as caught:
            client.cursor()
        assert (caught.value.status, caught.value.code, caught.value.detail) == (status, "some-code", "as said")
        assert len(peer.requests) == 1


@both
def test_a_limit_is_waited_for_as_long_as_it_says(one_shot: bool) -> None:
    limited = answers(429, problem(429, "rate-limited"), "Retry-After: 1")
    with Peer(limited, CURSOR) as peer, RelayClient(peer.url, one_shot=one_shot) as client:
        began = time.monotonic()
        assert client.cursor() == 5
        assert time.monotonic() - began >= 1


@both
def test_a_wait_that_is_too_long_is_not_begun(one_shot: bool) -> None:
    for headers, total_s in ((["Retry-After: 3600"], 60.0), (["Retry-After: 5"], 2.0)):
        with (
            Peer(answers(503, problem(503, "unavailable"), *headers)) as peer,
            RelayClient(peer.url, one_shot=one_shot, total_s=total_s) as client,
        ):
            began = time.monotonic()
            with pytest.raises(errors.Unavailable) as caught:
                client.cursor()
            assert time.monotonic() - began < 2
            assert caught.value.headers["Retry-After"] in headers[0]


@both
def test_a_peer_that_never_answers_is_given_up(one_shot: bool) -> None:
    held = threading.Event()

    def holds(_sock: socket.socket) -> None:
        held.wait(DEADLINE_S)

    with (
        Peer(holds) as peer,
        RelayClient(peer.url, one_shot=one_shot, timeout_s=(1, 0.2), retries=1) as client,
    ):
        with pytest.raises(RelayTimeout):
            client.cursor()
        assert len(peer.requests) == 2
        with pytest.raises(RelayTimeout):
            client.release(1, agent_id="a")  # it may have been done: not again
        assert len(peer.requests) == 3
        held.set()


@both
def test_a_registration_with_a_secret_is_not_repeated_blindly(one_shot: bool) -> None:
    with Peer(drops) as peer, RelayClient(peer.url, one_shot=one_shot) as client:
        with pytest.raises(RelayUnreachable):
            client.register("a", issue_secret=True)
        assert len(peer.requests) == 1


@both
def test_a_deletion_whose_answer_was_lost_is_done_when_nothing_is_there(one_shot: bool) -> None:
    gone = answers(404, problem(404, "message-not-found"))
    with Peer(drops, gone) as peer, RelayClient(peer.url, one_shot=one_shot) as client:
        client.delete_message(1)
        with pytest.raises(errors.MessageNotFound):
            client.delete_message(1)


@both
def test_something_that_is_no_relay_is_named_as_such(one_shot: bool) -> None:
    page = answers(200, b"<html>hello</html>", kind="text/html")
    with Peer(page) as peer, RelayClient(peer.url, one_shot=one_shot) as client:
        with pytest.raises(BadAnswer, match=re.escape(peer.url)):
            client.cursor()
        with client.events("x") as events, pytest.raises(BadAnswer):
            next(events)
    with Peer(answers(302, b"", "Location: http://127.0.0.1:1/")) as peer, RelayClient(peer.url, token="t") as client:
        with pytest.raises(RelayProblem):
            client.cursor()
        with client.events("x") as events, pytest.raises(RelayProblem):
            next(events)


def test_neither_netrc_nor_a_proxy_gets_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with Peer(CURSOR) as peer, RelayClient(peer.url, token="mine") as client:
        client.cursor()
        assert peer.header("Authorization") == ["Bearer mine"]


# -- the live iterator against such a peer -----------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


def streams(*pieces: bytes, head: bytes = HEAD) -> Behaviour:
    """An event stream that ends after these pieces, each a packet of its own."""

    def serve(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (head, *pieces):
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_RDWR)

    return serve


def event(number: int, name: str = "x") -> bytes:
    return b'id: %d\nevent: %s\ndata: {"n": %d, "text": "gr\xc3\xbc\xc3\x9fe"}\n\n' % (number, name.encode(), number)


def take(events: LiveEvents, count: int) -> list[LiveEvent]:
    return list(itertools.islice(events, count))


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_a_stream_that_comes_byte_by_byte(ending: bytes) -> None:
    data = b"".join(event(i).replace(b"\n", ending) for i in range(1, 4))
    pieces = [data[i : i + 1] for i in range(len(data))]
    with Peer(streams(*pieces)) as peer, RelayClient(peer.url) as client, client.events("a") as events:
        got = take(events, 3)
    assert [(item.id, item.data) for item in got] == [(i, {"n": i, "text": "grüße"}) for i in (1, 2, 3)]


def test_a_stream_that_a_proxy_has_chunked() -> None:
    data = event(1) + event(2)
    pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:7], data[7:50], data[50:])]
    head = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
    with Peer(streams(*pieces, head=head)) as peer, RelayClient(peer.url) as client, client.events("a") as events:
        assert [item.id for item in take(events, 2)] == [1, 2]


def test_a_lost_stream_resumes_after_the_newest_event_and_repeats_none() -> None:
    with (
        Peer(
            streams(event(3), event(5)),
            drops,
            BUSY,
            streams(event(3), event(5), event(6), b"id: 7\nevent: half\nda"),
            streams(event(7), event(4)),
        ) as peer,
        RelayClient(peer.url) as client,
        client.events("a") as events,
    ):
        assert [item.id for item in take(events, 5)] == [3, 5, 6, 7, 4]
        assert events.last_id == 7
    assert peer.header("Last-Event-ID") == [None, "5", "5", "5", "6"]


def test_after_a_reset_to_a_shorter_log_its_ids_count_again() -> None:
    with (
        Peer(streams(event(8), event(9)), streams(event(2, "reset"), event(3), event(9))) as peer,
        RelayClient(peer.url) as client,
        client.events("a") as events,
    ):
        got = take(events, 5)
    assert [(item.event, item.id) for item in got] == [("x", 8), ("x", 9), ("reset", 2), ("x", 3), ("x", 9)]


def test_a_stream_that_falls_silent_is_taken_for_dead() -> None:
    held = threading.Event()

    def falls_silent(sock: socket.socket) -> None:
        sock.sendall(HEAD + event(1))
        held.wait(DEADLINE_S)

    with Peer(falls_silent, streams(event(2))) as peer, RelayClient(peer.url) as client:
        with LiveEvents(client._caller, agent_id="a", silence_s=0.3) as events:
            assert [item.id for item in take(events, 2)] == [1, 2]
        held.set()
    assert peer.header("Last-Event-ID") == [None, "1"]


def test_comments_keep_a_stream_alive() -> None:
    pause = threading.Event()

    def comments(sock: socket.socket) -> None:
        sock.sendall(HEAD)
        for _ in range(10):
            sock.sendall(b": \n\n")
            pause.wait(0.1)
        sock.sendall(event(1))

    with Peer(comments) as peer, RelayClient(peer.url) as client:
        with LiveEvents(client._caller, agent_id="a", silence_s=0.6) as events:
            assert next(events).id == 1
        assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_a_stream_that_is_refused_raises(status: int) -> None:
    refuse = answers(status, problem(status, "some-code"))
    with Peer(streams(event(1)), refuse) as peer, RelayClient(peer.url) as client, client.events("a") as events:
        assert next(events).id == 1
        with pytest.raises(errors.RelayError) as caught:
            next(events)
        assert caught.value.status == status
        assert len(peer.requests) == 2


def test_pauses_grow_while_nothing_comes_and_begin_anew_after_an_event() -> None:
    pauses: list[float] = []
    with (
        Peer(drops, drops, drops, streams(event(1)), drops, streams(event(2))) as peer,
        RelayClient(peer.url) as client,
        client.events("a", on_disconnect=lambda _error, pause_s: pauses.append(pause_s)) as events,
    ):
        take(events, 2)
    assert 0.1 < pauses[0] <= 0.25 < pauses[1] * 2 <= 1.0 < pauses[2] * 2 <= 2.0
    assert pauses[3] <= 0.25


def test_what_is_no_json_is_no_reason_to_end() -> None:
    with (
        Peer(streams(b"id: 1\ndata: {oops\n\n"), streams(event(2))) as peer,
        RelayClient(peer.url) as client,
        client.events("a") as events,
    ):
        assert next(events).id == 2
