"""Acknowledged means durable: kill -9 of the relay under writers."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from typing import Any

from tests.process._relay import DEADLINE_S, Connection, EventStream, Relay, wait_for_more, wait_until
from tests.process.conftest import MakeRelay

WRITERS = 8
KILLS = 3
BATCH = 5


class Writer(threading.Thread):
    """Sends on and on, singly and in batches, each until it is answered; an answered one is never sent again."""

    def __init__(self, relay: Relay, number: int) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.relay = relay
        self.number = number
        self.finish = threading.Event()
        #: body -> id, in the order of the answers
        self.acknowledged: dict[str, int] = {}
        #: what was sent, whether answered or not
        self.attempted: set[str] = set()
        self.retries = 0
        self.failure: object = None

    def run(self) -> None:
        count = 0
        while not self.finish.is_set() and self.failure is None:
            size = BATCH if count % 4 == 3 else 1
            bodies = [f"{self.name}/{count}/{part}" for part in range(size)]
            messages = [{"from": "human", "to": f"inbox-{self.number}", "body": body} for body in bodies]
            self.attempted |= set(bodies)
            answer = self._send(messages if size > 1 else messages[0], key=f"{self.name}-{count}")
            if answer is not None:
                sent = answer["messages"] if size > 1 else [answer]
                self.acknowledged |= {message["body"]: message["id"] for message in sent}
            count += 1

    def _send(self, body: Any, *, key: str) -> Any:
        """Until it is answered; None if that is not to be before the end."""
        pause = threading.Event()
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = Connection(self.relay.port)
                with contextlib.closing(connection):
                    answer = connection.http("POST", "/api/messages", body, Idempotency_Key=key)
                if answer.status == 201:
                    return answer.json()
                self.failure = answer
                return None
            self.retries += 1
            pause.wait(0.02)
        self.failure = f"{key} was not answered in {DEADLINE_S} s"
        return None


def test_what_was_answered_201_survives_kill_9_three_times_and_nothing_is_there_twice(make_relay: MakeRelay) -> None:
    relay = make_relay()
    chance = random.Random(4850)  # noqa: S311 - when to strike
    writers = [Writer(relay, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    newest = 0
    pause = threading.Event()
    for _ in range(KILLS):
        wait_for_more(lambda: sum(len(writer.acknowledged) for writer in writers), 60, "everyone writes")
        pause.wait(chance.uniform(0, 0.1))
        relay.kill()
        relay.start()
        cursor = relay.ok("GET", "/api/messages/cursor")["cursor"]
        assert cursor > newest, "ids go back"
        newest = cursor
    for writer in writers:
        writer.finish.set()
    for writer in writers:
        writer.join(DEADLINE_S)
        assert not writer.is_alive()
        assert writer.failure is None
    assert sum(writer.retries for writer in writers) >= KILLS, "no kill was noticed"

    stored = _history(relay)
    bodies = [message["body"] for message in stored]
    assert len(bodies) == len(set(bodies)), "something is there twice"
    by_body = {message["body"]: message["id"] for message in stored}
    for writer in writers:
        for body, message_id in writer.acknowledged.items():
            assert by_body[body] == message_id
        ids = list(writer.acknowledged.values())
        assert ids == sorted(set(ids)), "ids do not grow"
    assert set(by_body) <= set().union(*(writer.attempted for writer in writers))
    _replay(relay, {message["id"]: message["body"] for message in stored})

    assert relay.stop() == 0
    relay.start()
    assert _history(relay) == stored


def _history(relay: Relay) -> list[Any]:
    with contextlib.closing(Connection(relay.port)) as connection:
        found: list[Any] = []
        query = "?limit=500"
        while True:
            page = connection.http("GET", f"/api/messages{query}").json()
            found += page["messages"]
            if "next" not in page:
                break
            query = f"?limit=500&before={page['next']}"
    ids = [message["id"] for message in found]
    assert ids == sorted(set(ids), reverse=True)
    return found


def _replay(relay: Relay, stored: dict[int, str]) -> None:
    """The log from its beginning: every number, every message, once and in order."""
    head = relay.ok("GET", "/api/stats")["eventSeq"]
    announced: dict[int, str] = {}
    with contextlib.closing(EventStream(relay.port, "?since=0")) as log:
        for expected in range(1, head + 1):
            event = log.next()
            assert event.id == expected, "a gap in the log"
            if event.type == "message.new":
                announced[event.data["id"]] = event.data["body"]
    assert announced == stored


def test_a_listener_that_comes_back_by_its_last_id_misses_nothing_over_a_kill(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.register("listener")
    writer = Writer(relay, 0)
    writer.start()
    heard: list[int] = []

    def listen(query: str) -> None:
        with (
            contextlib.suppress(EOFError, OSError),
            contextlib.closing(EventStream(relay.port, query)) as stream,
        ):
            while True:
                event = stream.next()
                if event.type == "message.new":
                    heard.append(event.data["id"])
                    if event.data["body"] == "the end":
                        break

    listening = threading.Thread(target=listen, args=("",))
    listening.start()
    wait_until(lambda: len(heard) > 20, "it hears")
    relay.kill()
    listening.join(DEADLINE_S)
    assert not listening.is_alive()
    relay.start()
    listening = threading.Thread(target=listen, args=(f"?since={heard[-1]}",))
    listening.start()
    count = len(writer.acknowledged)
    wait_until(lambda: len(writer.acknowledged) > count + 20, "it is written after the kill")
    writer.finish.set()
    writer.join(DEADLINE_S)
    relay.tell("listener", "the end")
    listening.join(DEADLINE_S)
    assert not listening.is_alive()
    assert writer.failure is None
    stored = [message["id"] for message in reversed(_history(relay)) if message["id"] >= heard[0]]
    assert heard == stored
