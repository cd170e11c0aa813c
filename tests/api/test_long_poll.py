"""Long polls: an empty inbox is answered when something comes, or when the time is up, and no worker waits."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

import pytest

from tests.factories import (
    DEADLINE_S,
    Relay,
    answer,
    claim,
    in_threads,
    make_agent,
    make_message,
    make_work,
    problem,
    read,
    release,
    unique,
    wait_until,
)


class Poll:
    """A long poll that has been sent, and whose answer is read when asked for."""

    def __init__(self, relay: Relay, agent: str, wait: float = DEADLINE_S, **query: str) -> None:
        params = "&".join(f"{k}={v}" for k, v in {"for": agent, "unread": "true", "wait": str(wait), **query}.items())
        self.sock = socket.create_connection(("127.0.0.1", relay.port), timeout=2 * DEADLINE_S)
        self.sock.sendall(f"GET /api/messages?{params} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def answer(self, status: int = 200) -> Any:
        with self.sock:
            response = http.client.HTTPResponse(self.sock)
            response.begin()
            body = json.loads(response.read())
            assert response.status == status, body
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Request-Id"]
            return body

    def ids(self) -> list[int]:
        return [message["id"] for message in self.answer()["messages"]]


def waiting(relay: Relay, count: int) -> None:
    """Wait until so many polls are parked."""
    wait_until(lambda: answer(relay.get("/stats"))["live"]["longPoll"] == count, f"{count} polls wait")


def test_what_is_there_is_answered_at_once(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent)["id"]
    before = time.monotonic()
    assert Poll(relay, agent).ids() == [sent]
    assert time.monotonic() - before < DEADLINE_S / 2


def test_an_empty_inbox_is_answered_when_the_time_is_up(relay: Relay) -> None:
    agent = make_agent(relay)
    before = time.monotonic()
    assert Poll(relay, agent, 0.6).answer() == {"messages": []}
    assert 0.5 < time.monotonic() - before < DEADLINE_S / 2


@pytest.mark.parametrize("kind", ["direct", "tag", "broadcast", "work given back", "tag gained"])
def test_an_arrival_wakes_the_poll(own_relay: Relay, kind: str) -> None:
    relay, tag = own_relay, unique("tag")
    other = make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    agent = make_agent(relay, tags=[] if kind == "tag gained" else [tag])
    if kind == "work given back":
        claim(relay, work, other)
    elif kind != "tag gained":
        read(relay, work, agent)
    poll = Poll(relay, agent)
    waiting(relay, 1)
    if kind == "work given back":
        release(relay, work, other)
        expected = work
    elif kind == "tag gained":
        make_agent(relay, id=agent, tags=[tag])
        expected = work
    else:
        expected = make_message(relay, to={"direct": agent, "tag": f"tag:{tag}", "broadcast": "broadcast"}[kind])["id"]
    assert poll.ids() == [expected]
    waiting(relay, 0)


def test_what_does_not_concern_it_does_not_end_a_poll(own_relay: Relay) -> None:
    relay = own_relay
    agent, other = make_agent(relay), make_agent(relay)
    poll = Poll(relay, agent)
    waiting(relay, 1)
    make_message(relay, to=other)
    make_message(relay, from_=agent, to=other)
    make_message(relay, from_=agent, to="broadcast")
    relay.patch(f"/agents/{agent}", {"ready": False})
    waiting(relay, 1)
    sent = make_message(relay, to=agent)["id"]
    assert poll.ids() == [sent]


def test_since_id_is_minded_while_waiting(own_relay: Relay) -> None:
    relay = own_relay
    agent = make_agent(relay)
    old = make_message(relay, to=agent)["id"]
    poll = Poll(relay, agent, sinceId=str(old))
    waiting(relay, 1)
    new = make_message(relay, to=agent)["id"]
    assert poll.ids() == [new]


def test_five_hundred_polls_wait_at_once_and_hold_no_worker(own_relay: Relay) -> None:
    relay = own_relay
    agents = [unique("agent") for _ in range(500)]
    in_threads(8, lambda n: [make_agent(relay, id=agent) for agent in agents[n::8]])
    polls = [Poll(relay, agent, 60) for agent in agents]
    waiting(relay, 500)
    before = time.monotonic()
    assert relay.get("/healthz").status_code == 200
    assert time.monotonic() - before < 5
    batch = [{"from": "human", "to": agent, "body": agent} for agent in agents]
    answer(relay.post("/messages", batch), 201)
    for agent, poll in zip(agents, polls, strict=True):
        assert [message["body"] for message in poll.answer()["messages"]] == [agent]
    waiting(relay, 0)


def test_a_broadcast_wakes_all_polls(own_relay: Relay) -> None:
    relay = own_relay
    polls = [Poll(relay, make_agent(relay)) for _ in range(30)]
    waiting(relay, 30)
    sent = make_message(relay, to="broadcast")["id"]
    assert [poll.ids() for poll in polls] == [[sent]] * 30


def test_a_client_that_goes_is_forgotten(own_relay: Relay) -> None:
    relay = own_relay
    polls = [Poll(relay, make_agent(relay), 60) for _ in range(5)]
    waiting(relay, 5)
    for poll in polls:
        poll.sock.close()
    waiting(relay, 0)


def test_a_removed_agents_poll_is_told_so(own_relay: Relay) -> None:
    relay = own_relay
    agent = make_agent(relay)
    poll = Poll(relay, agent, 60)
    waiting(relay, 1)
    relay.delete(f"/agents/{agent}")
    assert poll.answer(404)["code"] == "agent-not-found"


def test_a_stop_answers_the_polls_that_wait(own_relay: Relay) -> None:
    relay = own_relay
    poll = Poll(relay, make_agent(relay), 60)
    waiting(relay, 1)
    assert relay.stop() == 0
    assert poll.answer() == {"messages": []}


@pytest.mark.parametrize("wait", ["-1", "61", "x", "nan", "inf", "-inf", "1e3", ""])
def test_a_wait_is_0_to_60_seconds(relay: Relay, wait: str) -> None:
    problem(relay.get(f"/messages?for=human&wait={wait}"), 422, "invalid", field="wait")


def test_a_poll_for_nobody_is_404_at_once(relay: Relay) -> None:
    problem(relay.get("/messages", params={"for": unique("nobody"), "wait": 60}), 404, "agent-not-found")
