"""Tasks: claimed with their messages, moved by whoever holds them, closed for good."""

from __future__ import annotations

import contextlib

import pytest

from tests.conftest import MakeRelay
from tests.factories import (
    Json,
    Relay,
    answer,
    card,
    inbox,
    make_agent,
    make_work,
    names,
    problem,
    unique,
    unread_ids,
    wait_until,
)
from tests.integrations import (
    bearer,
    configured,
    get_task,
    history,
    make_integration,
    make_task,
    move,
    post_event,
    resolve,
)
from tests.process._relay import WebSocket

STATUSES = ["open", "claimed", "in_progress", "blocked", "done", "failed", "cancelled"]
ENDS = ["done", "failed", "cancelled"]
MOVES = {
    "open": ["cancelled"],
    "claimed": ["in_progress", "blocked", *ENDS],
    "in_progress": ["blocked", *ENDS],
    "blocked": ["in_progress", *ENDS],
    "done": [],
    "failed": [],
    "cancelled": [],
}


@pytest.fixture(scope="module")
def bus(make_module_relay: MakeRelay) -> Relay:
    """A relay with the integration ``ops``, which may do everything."""
    return make_module_relay(**configured(make_integration(), make_integration("other")))


@pytest.fixture
def crew(bus: Relay) -> tuple[str, str, str]:
    """A tag, and two agents that have it."""
    tag = unique("crew")
    return tag, make_agent(bus, tags=[tag]), make_agent(bus, tags=[tag])


def ask(bus: Relay, task_id: int, what: str, agent: str):  # type: ignore[no-untyped-def]
    return bus.post(f"/tasks/{task_id}/{what}", {"agentId": agent})


def claimed(bus: Relay, crew: tuple[str, str, str], **fields: object) -> Json:
    """A task that the first of the crew holds."""
    task = make_task(bus, target=f"tag:{crew[0]}", **fields)
    found: Json = answer(ask(bus, task["id"], "claim", crew[1]))
    return found


def brought_to(bus: Relay, crew: tuple[str, str, str], status: str) -> int:
    """A task in this status."""
    if status == "open":
        return int(make_task(bus, target=f"tag:{crew[0]}")["id"])
    task_id = int(claimed(bus, crew)["id"])
    if status != "claimed":
        move(bus, task_id, status, agentId=crew[1])
    return task_id


# Claims


def test_claiming_a_task_claims_its_message(bus: Relay, crew: tuple[str, str, str]) -> None:
    tag, one, two = crew
    task_id = make_task(bus, target=f"tag:{tag}")["id"]
    task = answer(ask(bus, task_id, "claim", one))
    assert (task["status"], task["claimedBy"]) == ("claimed", one)
    assert answer(bus.get(f"/messages/{task_id}"))["claimedBy"] == one
    assert answer(ask(bus, task_id, "claim", one)) == task
    assert problem(ask(bus, task_id, "claim", two), 409, "claim-conflict")["claimedBy"] == one
    refused = bus.post(f"/messages/{task_id}/claim", {"agentId": two})
    assert problem(refused, 409, "claim-conflict")["claimedBy"] == one
    assert [m["event"] for m in history(bus, task_id)] == ["task.created", "task.claimed"]
    assert unread_ids(bus, two) == []


def test_claiming_the_message_claims_the_task(bus: Relay, crew: tuple[str, str, str]) -> None:
    tag, one, two = crew
    task_id = make_task(bus, target=f"tag:{tag}")["id"]
    answer(bus.post(f"/messages/{task_id}/claim", {"agentId": one}))
    task = get_task(bus, task_id)
    assert (task["status"], task["claimedBy"]) == ("claimed", one)
    assert problem(ask(bus, task_id, "claim", two), 409, "claim-conflict")["claimedBy"] == one
    assert history(bus, task_id)[-1]["by"] == one


def test_only_a_recipient_claims_a_task(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = make_task(bus, target=f"tag:{crew[0]}")["id"]
    for who in (make_agent(bus), "human", unique("nobody")):
        problem(ask(bus, task_id, "claim", who), 403, "not-a-recipient")
    assert get_task(bus, task_id)["status"] == "open"


@pytest.mark.parametrize("through", ["tasks", "messages"])
def test_a_release_opens_the_task_again_and_announces_it(bus: Relay, crew: tuple[str, str, str], through: str) -> None:
    _, one, two = crew
    task_id = claimed(bus, crew)["id"]
    move(bus, task_id, "in_progress", agentId=one, progress=40)
    problem(ask(bus, task_id, "release", two), 403, "not-claimant")
    with bus.open(f"/events?for={two}") as stream:
        answer(bus.post(f"/{through}/{task_id}/release", {"agentId": one}))
        stream.until(lambda event: event.name == "message.new" and event.data["id"] == task_id)
    task = get_task(bus, task_id)
    assert (task["status"], task["claimedBy"], task["progress"]) == ("open", None, None)
    last = history(bus, task_id)[-1]
    assert (last["event"], last["by"], last["status"]) == ("task.status", one, "open")
    assert unread_ids(bus, two) == [task_id]
    assert answer(ask(bus, task_id, "claim", two))["claimedBy"] == two


def test_a_human_takes_a_task_from_whoever_holds_it(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = claimed(bus, crew)["id"]
    assert answer(ask(bus, task_id, "release", "human"))["status"] == "open"
    assert history(bus, task_id)[-1]["by"] == "human"


def test_the_task_of_an_agent_that_leaves_is_open_again(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = claimed(bus, crew)["id"]
    done = claimed(bus, crew)["id"]
    move(bus, done, "done", agentId=crew[1])
    assert bus.delete(f"/agents/{crew[1]}").status_code == 204
    last = history(bus, task_id)[-1]
    assert (last["status"], last["by"], last["note"]) == ("open", "system", f"{crew[1]} has left")
    assert get_task(bus, done)["status"] == "done"
    assert answer(ask(bus, task_id, "claim", crew[2]))["claimedBy"] == crew[2]


def test_the_task_of_an_agent_that_goes_offline_is_open_again_and_that_is_recorded(make_relay: MakeRelay) -> None:
    bus = make_relay(**configured(make_integration(), STALE_TTL_MS=150, REAP_INTERVAL_MS=50))
    gone = make_agent(bus, tags=["crew"])
    task_id = make_task(bus, target="tag:crew")["id"]
    answer(ask(bus, task_id, "claim", gone))
    move(bus, task_id, "in_progress", agentId=gone)
    wait_until(lambda: card(bus, gone)["status"] == "offline", "the agent is offline")
    wait_until(lambda: get_task(bus, task_id)["status"] == "open", "its task is open")
    last = history(bus, task_id)[-1]
    assert (last["event"], last["by"], last["note"]) == ("task.status", "system", f"{gone} went offline")
    other = make_agent(bus, tags=["crew"])
    assert unread_ids(bus, other) == [task_id]


# Moves


@pytest.mark.parametrize("here", STATUSES)
def test_a_task_moves_where_it_may_and_nowhere_else(bus: Relay, crew: tuple[str, str, str], here: str) -> None:
    for there in STATUSES:
        task_id = brought_to(bus, crew, here)
        before, past = get_task(bus, task_id), history(bus, task_id)
        response = bus.patch(f"/tasks/{task_id}/status", {"status": there})
        if there == here:
            assert answer(response) == before
            assert history(bus, task_id) == past
        elif there in MOVES[here]:
            task = answer(response)
            assert task["status"] == there
            assert (task["closedAt"] is not None) == (there in ENDS)
            last = history(bus, task_id)[-1]
            assert (last["event"], last["status"], last["by"]) == ("task.status", there, "human")
        else:
            refused = problem(response, 409, "status-conflict")
            assert sorted(refused["allowed"]) == sorted(MOVES[here])
            assert refused["taskStatus"] == here
            assert all(status in refused["detail"] for status in MOVES[here])
            assert get_task(bus, task_id) == before
            assert history(bus, task_id) == past


def test_the_way_to_open_and_claimed_is_named(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = brought_to(bus, crew, "open")
    detail = problem(bus.patch(f"/tasks/{task_id}/status", {"status": "claimed"}), 409, "status-conflict")["detail"]
    assert "/claim" in detail
    task_id = brought_to(bus, crew, "blocked")
    detail = problem(bus.patch(f"/tasks/{task_id}/status", {"status": "open"}), 409, "status-conflict")["detail"]
    assert "/release" in detail


@pytest.mark.parametrize("end", ENDS)
def test_closing_a_task_closes_its_message(bus: Relay, crew: tuple[str, str, str], end: str) -> None:
    _, one, two = crew
    task_id = claimed(bus, crew)["id"]
    move(bus, task_id, end, agentId=one, result={"ok": [1, None]}, note="there you are")
    task = get_task(bus, task_id)
    assert (task["result"], task["claimedBy"]) == ({"ok": [1, None]}, one)
    for who in (one, two):
        assert unread_ids(bus, who) == []
        problem(ask(bus, task_id, "claim", who), 410, "message-closed")
        problem(bus.post(f"/messages/{task_id}/claim", {"agentId": who}), 410, "message-closed")
    problem(ask(bus, task_id, "release", one), 409, "status-conflict")
    problem(bus.post(f"/messages/{task_id}/release", {"agentId": one}), 409, "status-conflict")
    assert get_task(bus, task_id) == task


def test_a_cancelled_open_task_leaves_the_inboxes(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = brought_to(bus, crew, "open")
    assert unread_ids(bus, crew[1]) == [task_id]
    move(bus, task_id, "cancelled")
    assert unread_ids(bus, crew[1]) == []


def test_only_the_claimant_or_a_human_moves_a_task(bus: Relay, crew: tuple[str, str, str]) -> None:
    _, one, two = crew
    task_id = claimed(bus, crew)["id"]
    body = {"status": "done", "agentId": two}
    assert one in problem(bus.patch(f"/tasks/{task_id}/status", body), 403, "not-claimant")["detail"]
    problem(bus.patch(f"/tasks/{task_id}/status", body | {"agentId": unique("x")}), 404, "agent-not-found")
    free = brought_to(bus, crew, "open")
    problem(bus.patch(f"/tasks/{free}/status", {"status": "cancelled", "agentId": one}), 403, "not-claimant")
    assert move(bus, task_id, "blocked", agentId="human")["status"] == "blocked"
    assert history(bus, task_id)[-1]["by"] == "human"
    assert move(bus, free, "cancelled")["status"] == "cancelled"


def test_a_claimant_with_a_secret_must_show_it(bus: Relay) -> None:
    tag = unique("tag")
    made = answer(bus.post("/agents", {"id": unique("agent"), "tags": [tag], "issueSecret": True}), 201)
    agent, secret = made["id"], {"X-Agent-Relay-Agent-Secret": made["agentSecret"]}
    task_id = make_task(bus, target=f"tag:{tag}")["id"]
    problem(ask(bus, task_id, "claim", agent), 403, "agent-secret-required")
    answer(bus.post(f"/tasks/{task_id}/claim", {"agentId": agent}, headers=secret))
    body = {"status": "done", "agentId": agent}
    problem(bus.patch(f"/tasks/{task_id}/status", body), 403, "agent-secret-required")
    assert answer(bus.patch(f"/tasks/{task_id}/status", body, headers=secret))["status"] == "done"


def test_the_same_status_again_is_progress_or_a_note(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = claimed(bus, crew)["id"]
    move(bus, task_id, "in_progress", agentId=crew[1], progress=10)
    assert move(bus, task_id, "in_progress", agentId=crew[1], progress=60)["progress"] == 60
    move(bus, task_id, "in_progress", agentId=crew[1], note="nearly")
    move(bus, task_id, "in_progress", agentId=crew[1])
    shown = [(m["event"], m["progress"], m["note"]) for m in history(bus, task_id)[2:]]
    assert shown == [("task.status", 10, None), ("task.updated", 60, None), ("task.updated", 60, "nearly")]


def test_an_end_that_is_reported_again_changes_nothing(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = claimed(bus, crew)["id"]
    done = move(bus, task_id, "done", agentId=crew[1], result="fine")
    assert move(bus, task_id, "done", agentId=crew[1], result="fine") == done
    assert len(history(bus, task_id)) == 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "finished"}, "status"), ({"status": None}, "status"), ({"progress": 101}, "progress"),
        ({"progress": -1}, "progress"), ({"progress": 1.5}, "progress"), ({"note": ""}, "note"),
        ({"note": "x" * 4_001}, "note"), ({"result": "x" * 70_000}, "result"), ({"agentId": "a b"}, "agentId"),
        ({"Result": 1}, "Result"),
    ],
)  # fmt: skip
def test_a_bad_change_is_refused_by_field(bus: Relay, crew: tuple[str, str, str], change: Json, field: str) -> None:
    task_id = claimed(bus, crew)["id"]
    before = get_task(bus, task_id)
    problem(bus.patch(f"/tasks/{task_id}/status", {"status": "done"} | change), 422, "invalid", field=field)
    assert get_task(bus, task_id) == before


@pytest.mark.parametrize("result", [None, "text", 7, True, [], {"a": {"b": "✓\u202e"}}])
def test_a_result_is_any_json(bus: Relay, crew: tuple[str, str, str], result: object) -> None:
    task_id = claimed(bus, crew)["id"]
    assert move(bus, task_id, "failed", result=result)["result"] == result
    assert get_task(bus, task_id)["result"] == result
    assert history(bus, task_id)[-1]["result"] == result


def test_what_is_not_there_is_not_found(bus: Relay, crew: tuple[str, str, str]) -> None:
    work = make_work(bus, to=crew[1])  # a message, but no task
    for task_id in (work, 2**62):
        problem(bus.get(f"/tasks/{task_id}"), 404, "task-not-found")
        problem(bus.get(f"/tasks/{task_id}/events"), 404, "task-not-found")
        problem(ask(bus, task_id, "claim", crew[1]), 404, "task-not-found")
        problem(ask(bus, task_id, "release", crew[1]), 404, "task-not-found")
        problem(bus.patch(f"/tasks/{task_id}/status", {"status": "done"}), 404, "task-not-found")
    problem(bus.post(f"/callbacks/{2**62}/redeliver"), 404, "delivery-not-found")


def test_the_message_of_an_active_task_is_not_deleted(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = claimed(bus, crew)["id"]
    assert "close it" in problem(bus.delete(f"/messages/{task_id}"), 409, "task-active")["detail"]
    move(bus, task_id, "done")
    assert bus.delete(f"/messages/{task_id}").status_code == 204
    assert get_task(bus, task_id)["status"] == "done"
    problem(ask(bus, task_id, "claim", crew[1]), 410, "message-closed")
    problem(ask(bus, task_id, "release", crew[1]), 409, "status-conflict")


def test_a_task_is_worked_on_over_a_websocket(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = make_task(bus, target=f"tag:{crew[0]}")["id"]
    with contextlib.closing(WebSocket(bus.port)) as ws:
        assert ws.call("hello", agentId=crew[1])["ok"]
        assert ws.call("claim", taskId=task_id)["result"]["claimedBy"] == crew[1]
        moved = ws.call("status", taskId=task_id, status="in_progress", progress=30, note="on it")["result"]
        assert (moved["id"], moved["status"], moved["progress"]) == (task_id, "in_progress", 30)
        assert ws.call("release", taskId=task_id)["ok"]
        refused = ws.call("status", taskId=task_id, status="done")
        assert (refused["ok"], refused["problem"]["code"]) == (False, "not-claimant")
        ws.call("claim", messageId=task_id)
        wrong: list[tuple[Json, str]] = [({"status": "busy"}, "status"), ({"ready": True, "status": "done"}, "ready")]
        for fields, field in wrong:
            assert ws.call("status", taskId=task_id, **fields)["problem"]["errors"][0]["field"] == field
        assert ws.call("status", taskId=task_id, status="done", result=None)["result"]["result"] is None
        assert ws.call("status", status="busy")["result"]["status"] == "busy"
        for fields, field in [({"status": "done"}, "status"), ({"status": "idle", "note": "x"}, "note")]:
            assert ws.call("status", **fields)["problem"]["errors"][0]["field"] == field
    assert [m["status"] for m in history(bus, task_id)] == ["open", "claimed", "in_progress", "open", "claimed", "done"]


# Looking


def test_tasks_are_listed_newest_first_and_filtered(bus: Relay, crew: tuple[str, str, str]) -> None:
    target = f"tag:{crew[0]}"
    word = unique("needle").replace("-", "")
    one = claimed(bus, crew, severity="critical", title=f"about {word}")["id"]
    two = make_task(bus, target=target, body=f"more of {word}")["id"]
    three = make_task(bus, source="other", target=target)["id"]
    four = make_task(bus, target=target)["id"]
    move(bus, four, "cancelled")

    def found(**query: object) -> list[int]:
        response = bus.get("/tasks", params={"target": target} | query)
        return [task["id"] for task in answer(response)["tasks"]]

    assert found() == [four, three, two, one]
    assert found(status="open") == [three, two]
    assert found(status="open,claimed") == [three, two, one]
    assert found(status="cancelled,claimed") == [four, one]
    assert found(source="other") == [three]
    assert found(severity="critical") == [one]
    assert found(claimedBy=crew[1]) == [one]
    assert found(q=word) == [two, one]
    assert found(q=f'"about {word}"') == [one]
    assert found(q="   ") == []
    page = answer(bus.get("/tasks", params={"target": target, "limit": 3}))
    assert page["next"] == two
    assert found(before=page["next"]) == [one]
    for bad in ({"status": "open,closed"}, {"severity": "bad"}, {"limit": 0}, {"limit": 501}, {"before": 0}, {"x": 1}):
        problem(bus.get("/tasks", params=bad), 422, "invalid", field=next(iter(bad)))


def test_a_history_is_read_in_pages(bus: Relay, crew: tuple[str, str, str]) -> None:
    key = unique("key")
    task_id = make_task(bus, target=f"tag:{crew[0]}", dedupeKey=key)["id"]
    for _ in range(6):
        post_event(bus, target=f"tag:{crew[0]}", dedupeKey=key, status=200)
    whole = history(bus, task_id)
    assert [m["occurrenceCount"] for m in whole] == list(range(1, 8))
    page = answer(bus.get(f"/tasks/{task_id}/events?limit=4"))
    rest = answer(bus.get(f"/tasks/{task_id}/events", params={"since": page["next"], "limit": 4}))
    assert page["events"] + rest["events"] == whole
    assert "next" not in rest


def test_stats_count_active_tasks(make_relay: MakeRelay) -> None:
    bus = make_relay(**configured(make_integration()))
    agent = make_agent(bus, tags=["x"])
    ids = [make_task(bus, target="tag:x")["id"] for _ in range(3)]
    answer(ask(bus, ids[0], "claim", agent))
    move(bus, ids[1], "cancelled")
    assert answer(bus.get("/stats"))["tasks"] == {"open": 1, "claimed": 1, "in_progress": 0, "blocked": 0}
    assert answer(bus.get("/stats"))["claimableOpen"] == 1
    metrics = bus.get("/metrics").text
    assert 'agent_relay_tasks{status="open"} 1.0' in metrics
    assert 'agent_relay_callbacks{state="pending"} 0.0' in metrics


# Live


def test_every_moment_of_a_task_is_told_as_the_task_then_stood(bus: Relay, crew: tuple[str, str, str]) -> None:
    tag, one, _ = crew
    key = unique("key")
    with bus.open("/events") as stream:
        task_id = make_task(bus, target=f"tag:{tag}", dedupeKey=key, body="one")["id"]
        post_event(bus, target=f"tag:{tag}", dedupeKey=key, body="two", status=200)
        answer(ask(bus, task_id, "claim", one))
        move(bus, task_id, "in_progress", agentId=one, progress=5)
        resolve(bus, key)
        seen = [
            event
            for event in stream.until(lambda event: event.name == "task.status" and event.data["status"] == "done")
            if event.name.startswith("task.") and event.data["id"] == task_id
        ]
    assert names(seen) == ["task.created", "task.updated", "task.claimed", "task.status", "task.status"]
    assert [event.data["status"] for event in seen] == ["open", "open", "claimed", "in_progress", "done"]
    assert [event.data["body"] for event in seen] == ["one", "two", "two", "two", "two"]
    assert [event.id for event in seen] == [moment["id"] for moment in history(bus, task_id)]
    with bus.open(f"/events?since={seen[0].id - 1}") as replay:
        again = [
            event
            for event in replay.until(lambda event: event.id >= seen[-1].id)
            if event.name.startswith("task.") and event.data["id"] == task_id
        ]
    assert [(event.id, event.name, event.data) for event in again] == [(e.id, e.name, e.data) for e in seen]
    assert seen[-1].data == get_task(bus, task_id)


@pytest.mark.parametrize("replayed", [False, True])
def test_an_agent_hears_of_tasks_that_it_may_claim_or_holds(
    bus: Relay, crew: tuple[str, str, str], replayed: bool
) -> None:
    tag, one, two = crew
    stranger = make_agent(bus)
    since = answer(bus.get("/stats"))["eventSeq"]

    def happen() -> int:
        task_id = make_task(bus, target=f"tag:{tag}")["id"]
        answer(ask(bus, task_id, "claim", one))
        move(bus, task_id, "in_progress", agentId=one)
        move(bus, task_id, "done", agentId=one)
        for agent in (one, two, stranger):
            make_work(bus, to=agent)
        return int(task_id)

    def heard(agent: str) -> list[str]:
        with bus.open(f"/events?for={agent}&since={since}") as stream:
            if not replayed and agent == one:
                happen()
            events = stream.until(lambda event: event.name == "message.new" and event.data["to"] == agent)
        return [event.data["status"] for event in events if event.name.startswith("task.")]

    if replayed:
        happen()
    assert heard(one) == ["open", "claimed", "in_progress", "done"]
    assert heard(two) == ["open", "claimed"]
    assert heard(stranger) == []


def test_a_task_reaches_an_agents_inbox_stream_and_poll(bus: Relay, crew: tuple[str, str, str]) -> None:
    task_id = make_task(bus, target=f"tag:{crew[0]}", title="Look", channel="alerts")["id"]
    (message,) = inbox(bus, crew[1], unread="true")
    assert (message["id"], message["kind"], message["taskId"]) == (task_id, "task", task_id)
    found = answer(bus.get("/messages", params={"channel": "alerts", "q": "Look", "to": f"tag:{crew[0]}"}))
    assert [m["id"] for m in found["messages"]] == [task_id]
    assert answer(bus.get(f"/tasks/{task_id}", headers=bearer()))["id"] == task_id
