"""The integrations in force, what became of their events, and a test event in the name of one."""

from __future__ import annotations

import contextlib
import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.conftest import MakeRelay
from tests.factories import Json, Relay, answer, inbox, make_agent, problem, unique, wait_until
from tests.integrations import (
    SECRET,
    bearer,
    configured,
    get_task,
    history,
    make_event,
    make_integration,
    make_task,
    move,
    post_event,
    receiving,
    resolve,
)

ZERO = {"accepted": 0, "deduped": 0, "resolved": 0, "refused": 0, "rateLimited": 0}


def listed(relay: Relay, **more: Any) -> dict[str, Json]:
    return {entry["name"]: entry for entry in answer(relay.get("/integrations", **more))["integrations"]}


def counts(relay: Relay, name: str = "ops") -> Json:
    """What is not 0 of an integration's counts."""
    return {what: count for what, count in listed(relay)[name]["counts"].items() if count}


def try_out(relay: Relay, name: str, body: Json | None = None, **more: Any) -> Any:
    return relay.post(f"/integrations/{quote(name, safe='')}/test", body, **more)


@pytest.fixture
def bus(make_relay: MakeRelay) -> Relay:
    return make_relay(
        **configured(
            make_integration(callbackSecret=SECRET, callbackUrl="http://u:pass@127.0.0.1:9/hooks/ops?key=secret#part"),
            make_integration("ci", scopes=["tasks:create"], targets=["tag:ci"], channels=["builds"]),
            make_integration("two", targets=["tag:a", "tag:b"], channels=["x", "y"]),
            make_integration("chat", scopes=["messages:send"], targets=["alice"], channels=["talk"]),
            make_integration("a/b ü?", targets=["tag:s"], channels=["s"], token="odd-token"),
        )
    )


# The list


def test_the_list_says_what_each_may_do_and_never_a_secret(bus: Relay) -> None:
    response = bus.get("/integrations")
    names = [entry["name"] for entry in answer(response)["integrations"]]
    assert names == sorted(["a/b ü?", "chat", "ci", "ops", "two"])
    found = listed(bus)
    started = found["ops"].pop("countsSince")
    assert found["ops"] == {
        "name": "ops", "scopes": ["*"], "targets": ["*"], "channels": ["*"],
        "callbackUrl": "http://127.0.0.1:9/…", "signed": True, "counts": ZERO, "tasks": 0,
        "pendingCallbacks": 0, "deadCallbacks": 0, "lastEventAt": None,
    }  # fmt: skip
    assert {entry["countsSince"] for entry in found.values() if entry["name"] != "ops"} == {started}
    assert datetime.fromisoformat(started).tzinfo is not None
    chat = found["chat"]
    assert (chat["scopes"], chat["targets"], chat["channels"]) == (["messages:send"], ["alice"], ["talk"])
    assert (chat["callbackUrl"], chat["signed"]) == (None, False)
    for secret in ("-token", "whsec_", SECRET[6:], "pass", "key=", "u:", "secret", "part"):
        assert secret not in response.text.replace("callbackSecret", ""), secret


def test_what_becomes_of_events_is_counted(bus: Relay) -> None:
    key = unique("key")
    first = make_task(bus, dedupeKey=key)
    for _ in range(2):
        post_event(bus, dedupeKey=key, status=200)
    assert counts(bus) == {"accepted": 1, "deduped": 2}
    assert resolve(bus, key)["task"]["id"] == first["id"]
    assert resolve(bus, key)["task"] is None
    assert counts(bus) == {"accepted": 1, "deduped": 2, "resolved": 2}
    assert listed(bus)["ci"]["counts"] == ZERO
    since = listed(bus)["ops"]["countsSince"]
    bus.restart()
    assert listed(bus)["ops"]["counts"] == ZERO
    assert listed(bus)["ops"]["countsSince"] > since


def test_every_refusal_is_counted_with_whoever_was_refused_and_costs_no_commit(bus: Relay) -> None:
    def commits() -> str:
        return next(line for line in bus.get("/metrics").text.splitlines() if line.startswith("agent_relay_commits"))

    def post(name: str, event: Any, **more: Any) -> int:
        return int(bus.post("/integrations/events", event, headers=bearer(name), **more).status_code)

    before = commits()
    near = {"target": "tag:ci", "channel": "builds"}
    said = [
        post("ci", make_event(**near) | {"severity": "bad"}),
        post("ci", make_event(target="tag:elsewhere", channel="builds")),
        post("ci", make_event(target="tag:ci", channel="elsewhere")),
        post("ci", make_event(**near, externalUrl="javascript:alert(1)")),
        post("chat", make_event(target="alice", channel="talk")),  # has not the scope
    ]
    assert said == [422, 403, 403, 422, 403]
    for data, kind, status in ((b"{", "application/json", 400), (b"x", "text/plain", 415)):
        headers = {"Content-Type": kind} | bearer("ci")
        assert bus.post("/integrations/events", data=data, headers=headers).status_code == status
    # Not its events, or not its token:
    problem(bus.get("/integrations/events", headers=bearer("ci")), 403, "out-of-scope")
    problem(bus.post("/messages", {}, headers=bearer("ci")), 403, "out-of-scope")
    problem(bus.post("/integrations/events", make_event()), 401, "unauthorized")
    problem(bus.post("/integrations/events", make_event(), headers=bearer("nobody")), 401, "unauthorized")
    for _ in range(50):
        post("ci", {})
    assert counts(bus, "ci") == {"refused": 56}
    assert counts(bus, "chat") == {"refused": 1}
    assert listed(bus)["ci"]["lastEventAt"] is None
    assert commits() == before


def test_calls_beyond_the_limit_are_counted_apart(make_relay: MakeRelay) -> None:
    relay = make_relay(
        **configured(make_integration(), make_integration("calm"), AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE=2)
    )
    said = [
        relay.post("/integrations/events", make_event(), headers=bearer()).status_code,
        *(relay.post("/integrations/events", {}, headers=bearer()).status_code for _ in range(4)),
    ]
    assert said == [201, 422, 429, 429, 429]
    assert relay.post("/messages", {}, headers=bearer()).status_code == 429  # no event
    assert counts(relay) == {"accepted": 1, "refused": 1, "rateLimited": 3}
    assert counts(relay, "calm") == {}


def test_nothing_is_lost_between_counting_threads(bus: Relay) -> None:
    def work() -> None:
        with contextlib.closing(requests.Session()) as session:
            for number in range(40):
                event = make_event() if number % 2 else {}
                session.post(f"{bus.api}/integrations/events", json=event, headers=bearer())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(bus) == {"accepted": 160, "refused": 160}


def test_tasks_and_callbacks_are_those_of_the_integration(make_relay: MakeRelay) -> None:
    with receiving(lambda _call: (503, b"", {})) as receiver:
        ci = make_integration("ci", callbackUrl=receiver.url)
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url), ci))
        tasks = [make_task(relay)["id"] for _ in range(3)]
        make_task(relay, source="ci")
        assert (listed(relay)["ops"]["tasks"], listed(relay)["ci"]["tasks"]) == (3, 1)
        move(relay, tasks[0], "cancelled")
        entry = listed(relay)["ops"]
        assert (entry["tasks"], entry["pendingCallbacks"], entry["deadCallbacks"]) == (2, 4, 0)
        assert listed(relay)["ci"]["pendingCallbacks"] == 1
        # Nobody to be told any more: they are given up.
        relay.settings |= {name: str(value) for name, value in configured(make_integration(), ci).items()}
        relay.restart()
        wait_until(lambda: listed(relay)["ops"]["deadCallbacks"] == 4, "they are given up")
        entry = listed(relay)["ops"]
        assert (entry["tasks"], entry["pendingCallbacks"], entry["callbackUrl"]) == (2, 0, None)
        assert (listed(relay)["ci"]["pendingCallbacks"], listed(relay)["ci"]["deadCallbacks"]) == (1, 0)


def test_the_last_event_is_the_last_that_was_taken(bus: Relay) -> None:
    def last() -> str:
        return str(listed(bus)["ops"]["lastEventAt"])

    old, key = unique("key"), unique("key")
    make_task(bus, dedupeKey=old)
    task = make_task(bus, dedupeKey=key)
    assert last() >= task["lastSeenAt"]
    again = post_event(bus, dedupeKey=old, status=200)["task"]
    seen = last()
    assert seen >= again["lastSeenAt"] > task["createdAt"]
    assert bus.post("/integrations/events", {}, headers=bearer()).status_code == 422
    assert last() == seen
    bus.restart()
    assert last() == again["lastSeenAt"]  # as its tasks tell
    resolve(bus, old)
    assert last() > seen


def test_the_file_is_followed_as_it_changes(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration()))
    path = relay.folder / "home" / "config" / "agent-relay" / "integrations.json"

    def write(*entries: Json) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(entries))
        Path(new).replace(path)

    assert list(listed(relay)) == ["ops"]
    write(make_integration("zeta"), make_integration("alpha", targets=["tag:x"], channels=["c"]))
    assert list(listed(relay)) == ["alpha", "ops", "zeta"]
    post_event(relay, source="alpha", target="tag:x", channel="c")
    assert counts(relay, "alpha") == {"accepted": 1}
    write(make_integration("zeta", scopes=["tasks:read"]))
    assert list(listed(relay)) == ["ops", "zeta"]
    assert listed(relay)["zeta"]["scopes"] == ["tasks:read"]
    problem(try_out(relay, "alpha"), 404, "integration-not-found")


def test_there_may_be_none(relay: Relay) -> None:
    assert answer(relay.get("/integrations")) == {"integrations": []}


# A test event


def test_a_test_event_is_a_task_as_any_other_and_calls_back(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        relay = make_relay(
            **configured(make_integration("ci", targets=["tag:ci"], channels=["builds"], callbackUrl=receiver.url))
        )
        agent = make_agent(relay, tags=["ci"])
        made = answer(try_out(relay, "ci"), 201)
        task = made["task"]
        assert (made["created"], made["deduped"]) == (True, False)
        said = {"source": "ci", "type": "test", "severity": "info", "target": "tag:ci", "channel": "builds"}
        assert {name: task[name] for name in said} == said
        assert task["title"] == "Test event"
        assert task["dedupeKey"]
        assert get_task(relay, task["id"]) == task
        assert [message["subject"] for message in inbox(relay, agent)] == ["Test event"]
        assert history(relay, task["id"])[0]["by"] == "ci"
        (call,) = receiver.wait_for(1)
        assert (call.event, call.task) == ("task.created", task)
        again = answer(try_out(relay, "ci", {}))
        assert (again["created"], again["deduped"]) == (False, True)
        assert (again["task"]["id"], again["task"]["occurrenceCount"]) == (task["id"], 2)
        assert listed(relay)["ci"]["counts"] == ZERO  # the integration itself did not call
        assert listed(relay)["ci"]["tasks"] == 1
        assert listed(relay)["ci"]["lastEventAt"] == again["task"]["lastSeenAt"]
        move(relay, task["id"], "cancelled")
        assert answer(try_out(relay, "ci"), 201)["task"]["id"] > task["id"]


def test_a_test_goes_where_the_integration_may_and_nowhere_else(bus: Relay) -> None:
    assert answer(try_out(bus, "two", {"target": "tag:b", "channel": "y"}), 201)["task"]["target"] == "tag:b"
    assert answer(try_out(bus, "ops", {"target": "broadcast", "channel": "any"}), 201)["task"]["channel"] == "any"
    assert answer(try_out(bus, "a/b ü?"), 201)["task"]["source"] == "a/b ü?"
    problem(try_out(bus, "two", {"target": "tag:b"}), 422, "invalid", field="channel")
    said = problem(try_out(bus, "two", {"channel": "x"}), 422, "invalid", field="target")
    assert "tag:a, tag:b" in said["detail"]
    problem(try_out(bus, "ops", {"channel": "x"}), 422, "invalid", field="target")
    problem(try_out(bus, "ops", {"target": "tag:x"}), 422, "invalid", field="channel")
    refused = problem(try_out(bus, "ci", {"target": "tag:prod"}), 403, "out-of-scope")
    assert refused["allowed"] == ["tag:ci"]
    assert problem(try_out(bus, "ci", {"channel": "x"}), 403, "out-of-scope")["allowed"] == ["builds"]
    # One that could not make a task by itself makes none this way.
    assert problem(try_out(bus, "chat"), 403, "out-of-scope")["allowed"] == ["messages:send"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"target": ""}, "target"), ({"target": 7}, "target"), ({"target": "team:x"}, "target"),
        ({"target": "system"}, "target"), ({"channel": ""}, "channel"), ({"channel": "x" * 129}, "channel"),
        ({"target": "a\0b"}, "target"), ({"title": "other"}, "title"), ([], "body"),
    ],
)  # fmt: skip
def test_a_bad_test_is_refused_by_field(bus: Relay, body: Any, field: str) -> None:
    problem(try_out(bus, "ci", body), 422, "invalid", field=field)


def test_an_unknown_name_and_bad_input_are_told_apart(bus: Relay) -> None:
    for name in ("nobody", "OPS", "events", "x" * 500, "…", "a/../b"):
        assert problem(try_out(bus, name), 404, "integration-not-found")["detail"]
    problem(bus.post("/integrations//test", {}), 404, "not-found")
    problem(bus.get("/integrations/ops/test"), 405, "method-not-allowed")
    problem(bus.get("/integrations/ops"), 404, "not-found")
    headers = {"Content-Type": "application/json"}
    problem(bus.post("/integrations/ops/test", data=b"{", headers=headers), 400, "malformed")
    headers = {"Content-Type": "text/plain"}
    problem(bus.post("/integrations/ops/test", data=b"x", headers=headers), 415, "unsupported-media-type")


def test_only_whoever_may_do_everything_lists_and_tests(make_relay: MakeRelay) -> None:
    entry = make_integration(targets=["tag:x"], channels=["c"])
    relay = make_relay(**configured(entry, AGENT_RELAY_TOKEN="shared"))
    problem(relay.get("/integrations"), 401, "unauthorized")
    problem(relay.get("/integrations", headers=bearer()), 403, "out-of-scope")
    problem(try_out(relay, "ops"), 401, "unauthorized")
    problem(try_out(relay, "ops", headers=bearer()), 403, "out-of-scope")
    shared = {"X-Agent-Relay-Token": "shared"}
    assert listed(relay, headers=shared)["ops"]["tasks"] == 0
    assert answer(try_out(relay, "ops", headers=shared), 201)["created"]
    assert listed(relay, headers=shared)["ops"]["counts"] == ZERO
