"""Integrations' events come in: new work, the same again, and the end of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from tests.conftest import MakeRelay
from tests.factories import Json, Relay, answer, inbox, make_agent, problem, unique
from tests.integrations import (
    bearer,
    configured,
    get_task,
    history,
    make_event,
    make_integration,
    make_task,
    move,
    post_event,
    resolve,
)
from tests.process._relay import WebSocket


@pytest.fixture(scope="module")
def bus(make_module_relay: MakeRelay) -> Relay:
    """A relay with some integrations: ``ops`` may do everything."""
    return make_module_relay(
        **configured(
            make_integration(),
            make_integration("ci", scopes=["tasks:create"], targets=["tag:ci"], channels=["builds"]),
            make_integration("two", scopes=["tasks:create", "tasks:read"], targets=["tag:a", "tag:b"], channels=["x"]),
            make_integration("chat", scopes=["messages:send"], targets=["tag:a", "alice"], channels=["talk"]),
        )
    )


def test_an_event_makes_a_task_with_every_field_and_default(bus: Relay) -> None:
    tag = unique("tag")
    event = {
        "type": "disk.full",
        "severity": "critical",
        "dedupeKey": unique("key"),
        "title": "Disk full on web1",
        "body": "/var is at 97 %",
        "target": f"tag:{tag}",
        "channel": "alerts",
        "externalUrl": "https://grafana.example/d/1?x=y#z",
        "metadata": {"host": "web1", "free": [1, {"deep": None}], "ünïcode": "✓"},
    }
    made = answer(bus.post("/integrations/events", event, headers=bearer()), 201)
    task = made["task"]
    assert {name: task[name] for name in event} == event
    fresh = {"source": "ops", "status": "open", "result": None, "progress": None, "claimedBy": None, "closedAt": None}
    assert {name: task[name] for name in fresh} == fresh
    assert task["occurrenceCount"] == 1
    assert task["messageId"] == task["id"]
    assert task["createdAt"] == task["updatedAt"] == task["firstSeenAt"] == task["lastSeenAt"]
    assert get_task(bus, task["id"]) == task
    (first,) = history(bus, task["id"])
    assert (first["event"], first["by"], first["status"]) == ("task.created", "ops", "open")
    assert first["occurrence"] == {k: v for k, v in event.items() if k not in {"dedupeKey", "target", "channel"}}

    agent = make_agent(bus, tags=[tag])
    (message,) = inbox(bus, agent)
    shown = {"from": "system", "kind": "task", "to": f"tag:{tag}", "claimable": True, "taskId": task["id"]}
    assert {name: message[name] for name in shown} == shown
    assert (message["subject"], message["body"], message["channel"]) == (event["title"], event["body"], "alerts")
    assert (message["priority"], message["verified"]) == ("urgent", True)
    assert message["meta"]["source"] == "ops"


def test_target_and_channel_default_to_the_only_ones(bus: Relay) -> None:
    event = {"type": "build", "severity": "info", "title": "Build broken"}
    task = answer(bus.post("/integrations/events", event, headers=bearer("ci")), 201)["task"]
    assert (task["target"], task["channel"], task["body"], task["metadata"]) == ("tag:ci", "builds", None, {})
    refused = problem(bus.post("/integrations/events", event, headers=bearer("two")), 422, "invalid", field="target")
    assert "tag:a, tag:b" in refused["detail"]
    problem(bus.post("/integrations/events", event, headers=bearer()), 422, "invalid", field="target")
    problem(
        bus.post("/integrations/events", event | {"target": "alice"}, headers=bearer()), 422, "invalid", field="channel"
    )


def test_the_same_thing_again_is_counted_and_not_announced(bus: Relay) -> None:
    key, tag = unique("key"), unique("tag")
    agent = make_agent(bus, tags=[tag])
    first = make_task(bus, dedupeKey=key, target=f"tag:{tag}", body="one", metadata={"n": 1}, externalUrl="http://a/")
    again = post_event(bus, dedupeKey=key, target=f"tag:{tag}", body="two", title="Other", type="other", status=200)
    assert (again["created"], again["deduped"]) == (False, True)
    kept = {name: first[name] for name in ("id", "title", "type", "metadata", "externalUrl", "createdAt", "severity")}
    task = again["task"]
    assert {name: task[name] for name in kept} == kept
    assert (task["occurrenceCount"], task["body"]) == (2, "two")
    assert task["lastSeenAt"] >= first["lastSeenAt"]
    assert task["firstSeenAt"] == first["firstSeenAt"]
    last = post_event(bus, dedupeKey=key, target=f"tag:{tag}", metadata={}, externalUrl="http://b/", status=200)["task"]
    assert (last["body"], last["metadata"], last["externalUrl"]) == ("two", {}, "http://b/")
    assert len(inbox(bus, agent)) == 1
    moments = history(bus, first["id"])
    assert [m["event"] for m in moments] == ["task.created", "task.updated", "task.updated"]
    assert moments[1]["occurrence"]["title"] == "Other"
    assert [m["occurrenceCount"] for m in moments] == [1, 2, 3]


def test_severity_only_rises(bus: Relay) -> None:
    key = unique("key")
    make_task(bus, dedupeKey=key, severity="warning")
    seen = [
        post_event(bus, dedupeKey=key, severity=severity, status=200)["task"]["severity"]
        for severity in ("info", "error", "warning", "critical", "info")
    ]
    assert seen == ["warning", "error", "error", "critical", "critical"]


def test_without_a_key_every_event_is_a_task(bus: Relay) -> None:
    assert make_task(bus)["id"] != make_task(bus)["id"]


def test_keys_are_their_sources_own(bus: Relay) -> None:
    key = unique("key")
    one = make_task(bus, dedupeKey=key)
    other = make_task(bus, source="ci", dedupeKey=key, target="tag:ci", channel="builds")
    assert one["id"] != other["id"]


@pytest.mark.parametrize("held", [False, True])
def test_resolved_closes_the_active_task_and_the_next_event_opens_another(bus: Relay, held: bool) -> None:
    key, tag = unique("key"), unique("tag")
    agent = make_agent(bus, tags=[tag])
    task = make_task(bus, dedupeKey=key, target=f"tag:{tag}")
    if held:
        answer(bus.post(f"/tasks/{task['id']}/claim", {"agentId": agent}))
    done = resolve(bus, key)
    assert (done["created"], done["deduped"], done["task"]["status"]) == (False, False, "done")
    assert done["task"]["closedAt"] is not None
    assert done["task"]["claimedBy"] == (agent if held else None)
    assert history(bus, task["id"])[-1]["by"] == "ops"
    assert inbox(bus, agent, unread="true") == []
    assert resolve(bus, key)["task"] is None
    again = make_task(bus, dedupeKey=key, target=f"tag:{tag}")
    assert again["id"] > task["id"]
    assert [message["id"] for message in inbox(bus, agent, unread="true")] == [again["id"]]


def test_a_closed_task_lets_its_key_go_however_it_was_closed(bus: Relay) -> None:
    key = unique("key")
    for _ in range(3):
        move(bus, make_task(bus, dedupeKey=key)["id"], "cancelled")


BAD: list[tuple[Json, str]] = [
    ({"type": None}, "type"),
    ({"severity": None}, "severity"),
    ({"title": None}, "title"),
    ({"title": ""}, "title"),
    ({"title": "x" * 1_001}, "title"),
    ({"severity": "bad"}, "severity"),
    ({"status": "closed"}, "status"),
    ({"dedupeKey": ""}, "dedupeKey"),
    ({"dedupeKey": "x" * 257}, "dedupeKey"),
    ({"dedupeKey": 7}, "dedupeKey"),
    ({"body": "a\0b"}, "body"),
    ({"target": "team:x"}, "target"),
    ({"target": "tag:"}, "target"),
    ({"target": "system"}, "target"),
    ({"channel": ""}, "channel"),
    ({"metadata": []}, "metadata"),
    ({"metadata": {"x": "y" * 17_000}}, "metadata"),
    ({"dedupekey": "x"}, "dedupekey"),
    ({"status": "resolved"}, "dedupeKey"),
    *(
        ({"externalUrl": url}, "externalUrl")
        for url in (
            "javascript:alert(1)", "data:text/html,x", "ftp://a/", "//a/b", "a/b", "http://", "http:///x",
            "https://a b/", "http://user:secret@a/", "http://a@b/", 'http://a/"><script>', "http://a/<b>", "http://a\\b/",
            "http://a/\u202e", "http://a/\n", "x" * 2_049, "", 7,
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), BAD, ids=[f"{field}-{n}" for n, (_, field) in enumerate(BAD)])
def test_a_bad_event_is_refused_by_field(bus: Relay, change: Json, field: str) -> None:
    event = {k: v for k, v in (make_event() | change).items() if v is not None}
    refused = problem(bus.post("/integrations/events", event, headers=bearer()), 422, "invalid", field=field)
    assert "secret" not in refused["detail"]


@pytest.mark.parametrize("depth", [65, 900, 966, 967, 970, 975, 976])
def test_what_is_nested_too_deeply_is_refused_by_itself(bus: Relay, depth: int) -> None:
    """Not when it is stored together with others' events, who would be refused with it (#3)."""
    agent = make_agent(bus)
    for call, body, field in (
        ("/integrations/events", make_event(metadata="NESTED"), "metadata"),
        ("/messages", {"from": agent, "to": agent, "body": "x", "meta": "NESTED"}, "meta"),
        ("/agents", {"id": agent, "meta": "NESTED"}, "meta"),
    ):
        text = json.dumps(body).replace('"NESTED"', '{"a":' * depth + "1" + "}" * depth)
        headers = {"Content-Type": "application/json"} | (bearer() if call == "/integrations/events" else {})
        response = bus.post(call, data=text, headers=headers)
        if response.status_code == 400:  # it cannot even be read
            assert depth > 900
            assert "nested too deeply" in problem(response, 400, "malformed")["detail"]
        else:
            problem(response, 422, "invalid", field=field)
    assert make_task(bus, metadata=json.loads('{"a":' * 64 + "1" + "}" * 64))["metadata"]


def test_all_missing_fields_are_named_at_once(bus: Relay) -> None:
    refused = problem(bus.post("/integrations/events", {}, headers=bearer()), 422, "invalid", field="title")
    assert {error["field"] for error in refused["errors"]} == {"type", "severity", "title"}


@pytest.mark.parametrize(
    ("change", "allowed"), [({"target": "tag:prod"}, ["tag:ci"]), ({"channel": "alerts"}, ["builds"])]
)
@pytest.mark.parametrize("status", ["open", "resolved"])
def test_a_foreign_target_or_channel_says_which_are_allowed(
    bus: Relay, change: Json, allowed: list[str], status: str
) -> None:
    event = make_event(target="tag:ci", channel="builds", dedupeKey="k", status=status) | change
    refused = problem(bus.post("/integrations/events", event, headers=bearer("ci")), 403, "out-of-scope")
    assert refused["allowed"] == allowed
    assert allowed[0] in refused["detail"]
    assert "ci" in refused["detail"]


# Who may


def test_events_need_an_integrations_token_on_loopback_too(bus: Relay) -> None:
    response = bus.post("/integrations/events", make_event())
    problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    problem(bus.post("/integrations/events", make_event(), headers=bearer("nobody")), 401, "unauthorized")
    problem(bus.post("/integrations/events", make_event(), headers=bearer("chat")), 403, "out-of-scope")


def test_the_shared_token_and_sessions_are_no_integrations(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration(), AGENT_RELAY_TOKEN="shared"))
    shared = {"X-Agent-Relay-Token": "shared"}
    problem(relay.post("/integrations/events", make_event(), headers=shared), 403, "integration-token-required")
    code = answer(relay.post("/session/code", headers=shared), 201)["code"]
    session = {"X-Agent-Relay-Token": answer(relay.post("/session/redeem", {"code": code}), 201)["token"]}
    problem(relay.post("/integrations/events", make_event(), headers=session), 403, "integration-token-required")
    problem(relay.post("/integrations/events", make_event()), 401, "unauthorized")
    problem(relay.post("/integrations/events", make_event(), headers=bearer("nobody")), 401, "unauthorized")
    assert answer(relay.post("/integrations/events", make_event(), headers=bearer()), 201)["created"]
    own = {"X-Agent-Relay-Token": "ops-token"}
    assert answer(relay.post("/integrations/events", make_event(), headers=own), 201)["created"]
    problem(relay.get("/stats", headers=bearer()), 403, "out-of-scope")


CALLS = [
    ("GET", "/agents"), ("POST", "/agents"), ("GET", "/messages"), ("GET", "/messages?for=alice"), ("GET", "/stats"),
    ("GET", "/metrics"), ("GET", "/events"), ("GET", "/callbacks"), ("POST", "/callbacks/1/redeliver"),
    ("POST", "/session/code"), ("DELETE", "/session"), ("GET", "/openapi.json"), ("POST", "/tasks/1/claim"),
    ("PATCH", "/tasks/1/status"), ("POST", "/messages/1/claim"), ("DELETE", "/messages/1"), ("GET", "/nothing"),
    ("POST", "/messages/read"), ("POST", "/integrations/events/"), ("PUT", "/tasks"), ("POST", "/tasks"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_an_integrations_token_opens_nothing_but_its_scopes(bus: Relay, method: str, path: str) -> None:
    response = bus.ask(method, path, headers=bearer(), json={} if method in {"POST", "PATCH"} else None)
    assert problem(response, 403, "out-of-scope")["allowed"] == ["*"]


def test_an_integration_cannot_listen_over_a_websocket(bus: Relay) -> None:
    refused = WebSocket(bus.port, Authorization=bearer()["Authorization"])
    assert refused.status == 403
    refused.close()


def test_an_integrations_token_in_hello_is_refused(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration(), AGENT_RELAY_TOKEN="shared"))
    socket = WebSocket(relay.port)
    said = socket.call("hello", agentId=None, token="ops-token")
    assert (said["ok"], said["problem"]["code"]) == (False, "out-of-scope")
    with pytest.raises(EOFError):
        socket.next()
    socket.close()


def test_an_integrations_token_in_hello_is_refused_also_where_none_is_asked(bus: Relay) -> None:
    with contextlib.closing(WebSocket(bus.port)) as socket:
        said = socket.call("hello", agentId=None, token="ops-token")
        assert (said["ok"], said["problem"]["code"]) == (False, "out-of-scope")


def test_reading_shows_what_is_within_reach(bus: Relay) -> None:
    near = make_task(bus, target="tag:a", channel="x")["id"]
    far = [make_task(bus, target="tag:a", channel="y")["id"], make_task(bus, target="tag:c", channel="x")["id"]]
    reader = bearer("two")
    seen = [task["id"] for task in answer(bus.get("/tasks?limit=500", headers=reader))["tasks"]]
    assert near in seen
    assert not set(far) & set(seen)
    assert answer(bus.get(f"/tasks/{near}", headers=reader))["id"] == near
    assert answer(bus.get(f"/tasks/{near}/events", headers=reader))["events"]
    for task_id in far:
        problem(bus.get(f"/tasks/{task_id}", headers=reader), 403, "out-of-scope")
        problem(bus.get(f"/tasks/{task_id}/events", headers=reader), 403, "out-of-scope")
    problem(bus.get("/tasks", headers=bearer("ci")), 403, "out-of-scope")


def test_sending_stays_within_targets_and_channels_and_is_never_human(bus: Relay) -> None:
    sender = make_agent(bus)
    message: dict[str, Any] = {"from": sender, "to": "tag:a", "body": "built", "channel": "talk"}
    assert answer(bus.post("/messages", message, headers=bearer("chat")), 201)["from"] == sender
    for change in ({"to": "tag:b"}, {"to": "broadcast"}, {"channel": "other"}, {"channel": None}):
        problem(bus.post("/messages", message | change, headers=bearer("chat")), 403, "out-of-scope")
    refused = problem(
        bus.post("/messages", [message, message | {"to": "tag:b"}], headers=bearer("chat")), 403, "out-of-scope"
    )
    assert refused["errors"][0]["field"] == "[1].target"
    problem(bus.post("/messages", message | {"from": "human"}, headers=bearer("chat")), 403, "forbidden")
    problem(bus.post("/messages", message, headers=bearer("ci")), 403, "out-of-scope")


def test_who_calls_too_often_is_told_when_to_come_back(make_relay: MakeRelay) -> None:
    relay = make_relay(
        **configured(make_integration(), make_integration("calm"), AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE=3)
    )
    left = []
    for _ in range(3):
        response = relay.post("/integrations/events", make_event(), headers=bearer())
        assert response.status_code == 201
        assert response.headers["RateLimit-Limit"] == "3"
        assert 0 < int(response.headers["RateLimit-Reset"]) <= 60
        left.append(response.headers["RateLimit-Remaining"])
    assert left == ["2", "1", "0"]
    for path in ("/integrations/events", "/messages"):
        response = relay.post(path, make_event(), headers=bearer())
        problem(response, 429, "rate-limited")
        assert 0 < int(response.headers["Retry-After"]) <= 60
        assert response.headers["RateLimit-Remaining"] == "0"
    assert relay.post("/integrations/events", make_event(), headers=bearer("calm")).status_code == 201
    assert "RateLimit-Limit" not in relay.get("/stats").headers
