"""Timelines: everything that happened is in them once, in its order, with who did it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeRelay
from tests.factories import (
    Json,
    Relay,
    answer,
    claim,
    make_agent,
    make_message,
    make_work,
    pages,
    problem,
    read,
    release,
    unique,
    wait_until,
)
from tests.integrations import configured, make_integration, make_task


@pytest.fixture
def bus(make_module_relay: MakeRelay) -> Relay:
    return make_module_relay(**configured(make_integration()))


def crew(relay: Relay, count: int) -> tuple[str, list[str]]:
    tag = unique("tag")
    return f"tag:{tag}", [make_agent(relay, tags=[tag]) for _ in range(count)]


def lose(relay: Relay, message_id: int, agent: str) -> None:
    """Lose a claim, and wait until that is noted."""
    problem(relay.post(f"/messages/{message_id}/claim", {"agentId": agent}), 409, "claim-conflict")

    def noted() -> bool:
        found = answer(relay.get(f"/messages/{message_id}/receipts"))["receipts"]
        return any(receipt["lostAt"] for receipt in found if receipt["agentId"] == agent)

    wait_until(noted, "the loss is noted")


def timeline(relay: Relay, path: str) -> Json:
    found: Json = answer(relay.get(f"{path}/timeline"))
    return found


def told(found: Json) -> list[tuple[str, str, str | None, str | None]]:
    return [(entry["lane"], entry["event"], entry["by"], entry["to"]) for entry in found["entries"]]


def test_a_conversation_is_told_from_its_beginning(relay: Relay) -> None:
    target, (one, two) = crew(relay, 2)
    work = make_work(relay, to=target, subject="Paint it")
    report = {"agentId": one, "state": "delivered", "adapter": "shell"}
    answer(relay.post(f"/messages/{work}/receipts", report))
    claim(relay, work, one)
    lose(relay, work, two)
    release(relay, work, one)
    claim(relay, work, two)
    reply = make_message(relay, to="human", from_=two, replyTo=work, body="done\n" * 200)["id"]
    read(relay, reply, "human")
    found = timeline(relay, f"/messages/{reply}")
    assert found == timeline(relay, f"/messages/{work}")
    assert not found["truncated"]
    assert told(found) == [
        ("message", "message.new", "human", target),
        ("message", "message.delivered", one, None),
        ("claim", "message.claimed", one, None),
        ("claim", "claim.lost", two, one),
        ("claim", "message.released", one, None),
        ("claim", "message.claimed", two, None),
        ("message", "message.new", two, "human"),
        ("message", "message.read", "human", None),
    ]
    at = [entry["at"] for entry in found["entries"]]
    assert at == sorted(at)
    texts = [entry["text"] for entry in found["entries"]]
    assert texts[0] == f"human to {target}: Paint it"
    assert texts[3] == f"{two} lost message {work} to {one}"
    assert texts[6].startswith(f"{two} to human: done done")
    assert all("\n" not in text and len(text) < 300 for text in texts)
    assert found["entries"][1]["data"] == {"adapter": "shell"}


def test_a_task_is_told_with_its_history_also_when_its_message_is_gone(bus: Relay) -> None:
    target, (one,) = crew(bus, 1)
    task = make_task(bus, target=target, title="Disk full")["id"]
    claim(bus, task, one)
    answer(
        bus.patch(f"/tasks/{task}/status", {"status": "in_progress", "agentId": one, "progress": 40, "note": "on it"})
    )
    answer(bus.patch(f"/tasks/{task}/status", {"status": "done", "agentId": one}))
    found = timeline(bus, f"/tasks/{task}")
    assert found == timeline(bus, f"/messages/{task}")
    assert [(entry["event"], entry["by"]) for entry in found["entries"]] == [
        ("message.new", "system"),
        ("task.created", "ops"),
        ("message.claimed", one),
        ("task.claimed", one),
        ("task.status", one),
        ("task.status", one),
    ]
    assert [entry["taskId"] for entry in found["entries"]] == [task, task, None, task, task, task]
    moved = found["entries"][4]
    assert moved["text"] == f"{one} moved task {task} to in_progress, 40 %: on it"
    assert (moved["data"]["status"], moved["data"]["progress"], moved["data"]["note"]) == ("in_progress", 40, "on it")
    assert bus.delete(f"/messages/{task}").status_code == 204
    assert timeline(bus, f"/tasks/{task}")["entries"] == found["entries"][1:]
    problem(bus.get(f"/messages/{task}/timeline"), 404, "message-not-found")


def test_a_long_conversation_is_cut_and_says_so(relay: Relay) -> None:
    one = make_agent(relay)
    root = make_message(relay, to=one)["id"]
    batch = [{"from": "human", "to": one, "body": "x", "replyTo": root}] * 1_000
    assert len(answer(relay.post("/messages", batch[:-1]), 201)["messages"]) == 999
    found = timeline(relay, f"/messages/{root}")
    assert (len(found["entries"]), found["truncated"]) == (1_000, False)
    make_message(relay, to=one, replyTo=root)
    longer = timeline(relay, f"/messages/{root}")
    assert (longer["entries"], longer["truncated"]) == (found["entries"], True)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_an_agents_timeline_by_pages_is_all_that_it_did_once(relay: Relay, limit: int) -> None:
    target, (one, two) = crew(relay, 2)
    work = [make_work(relay, to=target) for _ in range(3)]
    for message_id in work:
        claim(relay, message_id, two)
        lose(relay, message_id, one)
    release(relay, work[1], two)
    claim(relay, work[1], one)
    answer(relay.post(f"/agents/{one}/heartbeat", {"status": "busy"}))
    answer(relay.post(f"/agents/{one}/heartbeat", {"promptChars": 7}))
    make_message(relay, to="human", from_=one)
    make_message(relay, to=one)
    make_message(relay, to=one, from_=one)
    release(relay, work[1], one)

    def ask(before: Any) -> Json:
        more = {} if before is None else {"before": before}
        found: Json = answer(relay.get(f"/agents/{one}/timeline", params={"limit": limit} | more))
        assert len(found["entries"]) <= limit
        return found

    entries = [entry for page in pages(ask, "entries") for entry in page]
    assert [(entry["event"], entry["by"], entry["to"]) for entry in entries] == [
        ("message.released", one, None),
        ("message.new", one, one),
        ("message.new", "human", one),
        ("message.new", one, "human"),
        ("agent.status", one, None),
        ("message.claimed", one, None),
        *[("claim.lost", one, two)] * 3,
        ("agent.registered", one, None),
    ]
    at = [entry["at"] for entry in entries]
    assert at == sorted(at, reverse=True)
    assert entries[4]["data"] == {"status": "busy"}


def test_an_agent_that_left_has_its_timeline_and_one_that_never_was_has_none(relay: Relay) -> None:
    one = make_agent(relay)
    assert relay.delete(f"/agents/{one}").status_code == 204
    found = timeline(relay, f"/agents/{one}")
    assert [entry["event"] for entry in found["entries"]] == ["agent.removed", "agent.registered"]
    problem(relay.get(f"/agents/{unique('never')}/timeline"), 404, "agent-not-found")
    assert "entries" in timeline(relay, "/agents/human")
    problem(relay.get("/tasks/999999999/timeline"), 404, "task-not-found")
    problem(relay.get("/messages/999999999/timeline"), 404, "message-not-found")


@pytest.mark.parametrize(
    "before", ["7", "x.y.z", "1.2", "1.2.99999999999999999999", "-1.2.3", "1.2.9223372036854775808"]
)
def test_a_page_begins_where_another_ended_or_nowhere(relay: Relay, before: str) -> None:
    one = make_agent(relay)
    problem(relay.get(f"/agents/{one}/timeline", params={"before": before}), 422, "invalid", field="before")
