"""Agents: registering, the card, lists and filters, changes by a human or the agent, leaving, secrets."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.factories import (
    Relay,
    answer,
    card,
    claim,
    inbox_ids,
    make_agent,
    make_message,
    make_work,
    pages,
    problem,
    unique,
    unread_ids,
)

CARD = {
    "id", "labels", "tags", "capabilities", "status", "ready", "rig", "project", "host", "version", "meta", "wakePaths",
    "promptChars", "registeredAt", "lastSeenAt", "unread",
}  # fmt: skip
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
SECRET = "X-Agent-Relay-Agent-Secret"


def test_registration_answers_201_with_the_card_the_cursor_and_the_version(relay: Relay) -> None:
    newest = make_message(relay, to="human")["id"]
    agent = unique("agent")
    made = answer(relay.post("/agents", {"id": agent}), 201)
    assert set(made) == CARD | {"ignored", "cursor", "serverVersion"}
    assert made["id"] == agent
    assert made["cursor"] >= newest
    assert made["serverVersion"] == answer(relay.get("/healthz"))["version"]
    assert (made["status"], made["ready"], made["unread"], made["ignored"]) == ("online", True, 0, [])
    assert (made["labels"], made["tags"], made["capabilities"], made["wakePaths"]) == ([], [], [], [])
    assert (made["rig"], made["project"], made["host"], made["version"]) == (None, None, None, None)
    assert (made["meta"], made["promptChars"]) == ({}, 0)
    assert INSTANT.match(made["registeredAt"])
    assert INSTANT.match(made["lastSeenAt"])


def test_the_card_has_what_was_registered(relay: Relay) -> None:
    given: dict[str, Any] = {
        "id": unique("agent"), "labels": ["Front desk", "Größe"], "tags": ["backend", "a:b"], "capabilities": ["ops"],
        "status": "busy", "ready": False, "rig": "claude", "project": "relay", "host": "box", "version": "1.2",
        "meta": {"deep": [{"ü": None}], "n": 1.5}, "promptChars": 4711,
        "wakePaths": [{"name": "tmux", "armed": True, "lastProvedAt": "2026-01-31T12:00:00.123Z"}],
    }  # fmt: skip
    relay.post("/agents", given)
    shown = card(relay, given["id"])
    assert set(shown) == CARD
    assert {name: shown[name] for name in given} == given


def test_refreshing_answers_200_replaces_keys_given_and_leaves_absent_ones(relay: Relay) -> None:
    agent = make_agent(
        relay, tags=["a", "b"], capabilities=["c"], labels=["L"], project="p", meta={"k": 1}, status="busy"
    )
    before = card(relay, agent)
    again = answer(relay.post("/agents", {"id": agent, "tags": ["b", "z"], "meta": {"other": 2}}), 200)
    assert again["tags"] == ["b", "z"]
    assert again["meta"] == {"other": 2}
    for name in ("capabilities", "labels", "project", "status", "registeredAt", "ready"):
        assert again[name] == before[name], name
    assert answer(relay.post("/agents", {"id": agent, "tags": [], "project": None}), 200)["tags"] == []
    assert card(relay, agent)["project"] is None


def test_unknown_keys_of_a_newer_client_are_ignored_and_listed(relay: Relay) -> None:
    agent = unique("agent")
    made = answer(relay.post("/agents", {"id": agent, "shoeSize": 43, "zeal": {}}), 201)
    assert made["ignored"] == ["shoeSize", "zeal"]
    beat = answer(relay.post(f"/agents/{agent}/heartbeat", {"mood": "fine", "status": "idle"}))
    assert beat["ignored"] == ["mood"]
    assert beat["status"] == "idle"


def test_repeated_tags_count_once_and_keep_their_order(relay: Relay) -> None:
    agent = make_agent(relay, tags=["b", "a", "b"], labels=["y", "x", "y"])
    assert card(relay, agent)["tags"] == ["b", "a"]
    assert card(relay, agent)["labels"] == ["y", "x"]


@pytest.mark.parametrize(
    "agent_id", ["broadcast", "system", "human", "", "a b", "a/b", "ä", "a\n", "a:b", "x" * 129, 7, None]
)
def test_bad_and_reserved_ids_are_refused(relay: Relay, agent_id: Any) -> None:
    problem(relay.post("/agents", {"id": agent_id}), 422, "invalid", field="id")


@pytest.mark.parametrize("agent_id", ["A", "x" * 128, "a.b_c@d-e", "Human", "Broadcast", "SYSTEM"])
def test_ids_at_the_edge_of_the_rule_are_taken(relay: Relay, agent_id: str) -> None:
    assert make_agent(relay, id=agent_id) == card(relay, agent_id)["id"]
    assert relay.delete(f"/agents/{agent_id}").status_code == 204


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "stale"), ("status", "offline"), ("status", "Online"), ("ready", "yes"), ("tags", "backend"),
        ("tags[1]", ["ok", ""]), ("tags[0]", ["x" * 129]), ("labels[0]", [7]), ("meta", []), ("promptChars", -1),
        ("wakePaths[0].armed", [{"name": "w", "armed": "no"}]), ("project", "x" * 257), ("tags[0]", ["nul\0"]),
        ("meta", {"big": "x" * 17000}),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_registration_is_named_and_nothing_is_made(relay: Relay, field: str, value: Any) -> None:
    agent = unique("agent")
    body = {"id": agent, field.partition("[")[0]: value}
    problem(relay.post("/agents", body), 422, "invalid", field=field)
    problem(relay.get(f"/agents/{agent}"), 404, "agent-not-found")


def test_an_id_is_required(relay: Relay) -> None:
    problem(relay.post("/agents", {}), 422, "invalid", field="id")
    problem(relay.post("/agents"), 422, "invalid", field="id")


# -- lists -------------------------------------------------------------------------------------------------------------


def test_lists_are_filtered_by_status_tag_cap_label_and_ready(relay: Relay) -> None:
    tag, cap, label = unique("tag"), unique("cap"), unique("My label")
    one = make_agent(relay, tags=[tag], capabilities=[cap], status="busy")
    two = make_agent(relay, tags=[tag], labels=[label], ready=False)

    def found(**query: Any) -> set[str]:
        listed = answer(relay.get("/agents", params=query))["agents"]
        return {each["id"] for each in listed} & {one, two}

    assert found(tag=tag) == {one, two}
    assert found(tag=tag.upper()) == set()
    assert found(cap=cap) == {one}
    assert found(cap=tag) == set()
    assert found(label=label) == {two}
    assert found(tag=tag, status="busy") == {one}
    assert found(tag=tag, ready="false") == {two}
    assert found(tag=tag, ready="true", status="online") == set()
    assert found(tag=tag, cap=cap, label=label) == set()


def test_a_long_list_comes_in_pages(relay: Relay) -> None:
    tag = unique("tag")
    made = sorted(make_agent(relay, tags=[tag]) for _ in range(5))

    def ask(after: Any) -> dict[str, Any]:
        query = {"tag": tag, "limit": 2} | ({} if after is None else {"after": after})
        found: dict[str, Any] = answer(relay.get("/agents", params=query))
        return found

    found = [[each["id"] for each in page] for page in pages(ask, "agents")]
    assert [len(page) for page in found] == [2, 2, 1]
    assert [agent for page in found for agent in page] == made


@pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "", "1.5", "9" * 30])
@pytest.mark.parametrize("path", ["/agents", "/messages", "/messages?for=human"])
def test_a_limit_outside_1_to_500_is_refused(relay: Relay, path: str, limit: str) -> None:
    joint = "&" if "?" in path else "?"
    problem(relay.get(f"{path}{joint}limit={limit}"), 422, "invalid", field="limit")


def test_limits_at_the_edge_are_taken(relay: Relay) -> None:
    for limit in (1, 500):
        for path in ("/agents", "/messages"):
            assert relay.get(path, params={"limit": limit}).status_code == 200


@pytest.mark.parametrize("query", ["status=gone", "ready=perhaps", "colour=red", "tag="])
def test_a_filter_that_makes_no_sense_is_refused(relay: Relay, query: str) -> None:
    problem(relay.get(f"/agents?{query}"), 422, "invalid", field=query.partition("=")[0])


def test_an_unknown_agent_is_404_everywhere(relay: Relay) -> None:
    nobody = unique("nobody")
    problem(relay.get(f"/agents/{nobody}"), 404, "agent-not-found")
    problem(relay.patch(f"/agents/{nobody}", {"ready": True}), 404, "agent-not-found")
    problem(relay.post(f"/agents/{nobody}/heartbeat", {}), 404, "agent-not-found")
    problem(relay.post(f"/agents/{nobody}/heartbeat", {"status": "idle"}), 404, "agent-not-found")
    problem(relay.delete(f"/agents/{nobody}"), 404, "agent-not-found")
    problem(relay.get("/messages", params={"for": nobody}), 404, "agent-not-found")


# -- changes -----------------------------------------------------------------------------------------------------------


def test_a_human_changes_what_a_card_says(relay: Relay) -> None:
    agent = make_agent(relay, tags=["a"], project="p")
    change = {"tags": ["b"], "capabilities": ["c"], "status": "idle", "ready": False, "meta": {"m": 1}, "labels": ["L"]}
    changed = answer(relay.patch(f"/agents/{agent}", change))
    assert {name: changed[name] for name in change} == change
    assert changed["project"] == "p"
    assert card(relay, agent) == changed | {"lastSeenAt": card(relay, agent)["lastSeenAt"]}


@pytest.mark.parametrize("body", [{"colour": 1}, {"id": "x"}, {"rig": "x"}, {"status": "stale"}, {"ready": 1}])
def test_a_change_of_something_else_is_refused(relay: Relay, body: dict[str, Any]) -> None:
    agent = make_agent(relay)
    problem(relay.patch(f"/agents/{agent}", body), 422, "invalid", field=next(iter(body)))


def test_labels_are_a_union_and_a_client_never_removes_a_humans(relay: Relay) -> None:
    agent = make_agent(relay, labels=["own"])
    assert answer(relay.patch(f"/agents/{agent}", {"labels": ["own", "Given by me"]}))["labels"] == [
        "own",
        "Given by me",
    ]
    again = answer(relay.post("/agents", {"id": agent, "labels": []}))
    assert again["labels"] == ["Given by me"]  # the human only sent back what was the client's own
    again = answer(relay.post("/agents", {"id": agent, "labels": ["new"]}))
    assert sorted(again["labels"]) == ["Given by me", "new"]
    assert answer(relay.post("/agents", {"id": agent}))["labels"] == again["labels"]


def test_a_human_removes_labels_and_the_client_may_give_its_own_again(relay: Relay) -> None:
    agent = make_agent(relay, labels=["own"])
    relay.patch(f"/agents/{agent}", {"labels": ["mine"]})
    assert card(relay, agent)["labels"] == ["mine"]
    relay.patch(f"/agents/{agent}", {"labels": []})
    assert card(relay, agent)["labels"] == []
    assert answer(relay.post("/agents", {"id": agent, "labels": ["own"]}))["labels"] == ["own"]


def test_a_message_to_a_humans_label_reaches_the_agent(relay: Relay) -> None:
    agent, label = make_agent(relay), unique("Night shift")
    relay.patch(f"/agents/{agent}", {"labels": [label]})
    sent = make_message(relay, to=f"label:{label}")
    assert sent["recipients"] == 1
    assert unread_ids(relay, agent) == [sent["id"]]


def test_a_heartbeat_may_carry_what_changes_most(relay: Relay) -> None:
    agent = make_agent(relay, tags=["a"])
    paths = [{"name": "hook", "armed": True, "lastProvedAt": None}]
    body = {"status": "busy", "ready": False, "wakePaths": paths, "promptChars": 12}
    beat = answer(relay.post(f"/agents/{agent}/heartbeat", body))
    assert {name: beat[name] for name in body} == body
    assert beat["tags"] == ["a"]
    bodies: tuple[dict[str, Any], ...] = ({"json": {}}, {})
    for empty in bodies:
        assert answer(relay.ask("POST", f"/agents/{agent}/heartbeat", **empty))["status"] == "busy"
    problem(relay.post(f"/agents/{agent}/heartbeat", {"status": "dead"}), 422, "invalid", field="status")


def test_a_heartbeat_moves_last_seen(relay: Relay) -> None:
    agent = make_agent(relay)
    before = card(relay, agent)["lastSeenAt"]
    beats = iter(lambda: answer(relay.post(f"/agents/{agent}/heartbeat", {}))["lastSeenAt"], None)
    assert next(at for at in beats if at != before) > before


# -- leaving -----------------------------------------------------------------------------------------------------------


def test_leaving_releases_claims_and_announces_the_work_again(relay: Relay) -> None:
    tag = unique("tag")
    leaver, other = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    claim(relay, work, leaver)
    assert unread_ids(relay, other) == []
    assert relay.delete(f"/agents/{leaver}").status_code == 204
    problem(relay.get(f"/agents/{leaver}"), 404, "agent-not-found")
    assert unread_ids(relay, other) == [work]
    assert claim(relay, work, other)["claimedBy"] == other


def test_delete_answers_204_without_a_body(relay: Relay) -> None:
    response = relay.delete(f"/agents/{make_agent(relay)}")
    assert (response.status_code, response.content) == (204, b"")
    assert "Content-Type" not in response.headers


def test_direct_mail_and_read_marks_outlive_an_agent(relay: Relay) -> None:
    agent = make_agent(relay)
    old = make_message(relay, to=agent)["id"]
    relay.post(f"/messages/{old}/read", {"agentId": agent})
    relay.delete(f"/agents/{agent}")
    waiting = make_message(relay, to=agent)
    assert (waiting["queued"], waiting["recipients"]) == (True, 0)
    fresh = answer(relay.post("/agents", {"id": agent}), 201)
    assert fresh["unread"] == 1
    assert inbox_ids(relay, agent) == [old, waiting["id"]]
    assert unread_ids(relay, agent) == [waiting["id"]]


# -- secrets -----------------------------------------------------------------------------------------------------------


def _with_secret(relay: Relay, **fields: Any) -> tuple[str, dict[str, str]]:
    agent = unique("agent")
    made = answer(relay.post("/agents", {"id": agent, "issueSecret": True} | fields), 201)
    assert len(made["agentSecret"]) >= 32
    return agent, {SECRET: made["agentSecret"]}


def test_a_secret_is_answered_once_and_then_asked_for(relay: Relay) -> None:
    agent, proof = _with_secret(relay)
    problem(relay.post("/agents", {"id": agent}), 403, "agent-secret-required")
    problem(relay.post("/agents", {"id": agent, "issueSecret": True}), 403, "agent-secret-required")
    assert "agentSecret" not in answer(relay.post("/agents", {"id": agent}, headers=proof))
    assert proof[SECRET] not in relay.get(f"/agents/{agent}").text
    assert proof[SECRET] not in relay.log


def test_whoever_speaks_for_an_agent_with_a_secret_must_send_it(relay: Relay) -> None:
    agent, proof = _with_secret(relay)
    work = make_work(relay, to=agent)
    calls: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("POST", "/messages", {"from": agent, "to": "human", "body": "x"}, {}),
        ("GET", "/messages", None, {"for": agent}),
        ("GET", "/messages", None, {"for": agent, "peek": "true"}),
        ("POST", f"/agents/{agent}/heartbeat", {}, {}),
        ("POST", f"/agents/{agent}/heartbeat", {"status": "busy"}, {}),
        ("POST", f"/messages/{work}/receipts", {"agentId": agent, "state": "offered", "adapter": "t"}, {}),
        ("POST", f"/messages/{work}/claim", {"agentId": agent}, {}),
        ("POST", f"/messages/{work}/release", {"agentId": agent}, {}),
        ("POST", f"/messages/{work}/read", {"agentId": agent}, {}),
        ("POST", "/messages/read", {"agentId": agent, "upTo": work}, {}),
    ]
    for method, path, body, query in calls:
        for wrong in ({}, {SECRET: "wrong"}):
            refused = relay.ask(method, path, json=body, params=query, headers=wrong)
            problem(refused, 403, "agent-secret-required")
    with relay.open(f"/events?for={agent}") as stream:
        assert stream.status == 403
    for method, path, body, query in calls:
        assert relay.ask(method, path, json=body, params=query, headers=proof).status_code in {200, 201}, path


def test_messages_of_a_proven_sender_are_verified_and_others_are_not(relay: Relay) -> None:
    agent, proof = _with_secret(relay)
    open_agent = make_agent(relay)
    sent = answer(relay.post("/messages", {"from": agent, "to": open_agent, "body": "x"}, headers=proof), 201)
    assert sent["verified"] is True
    assert answer(relay.get(f"/messages/{sent['id']}"))["verified"] is True
    for other in (open_agent, "human"):
        sent = answer(relay.post("/messages", {"from": other, "to": agent, "body": "x"}, headers=proof), 201)
        assert sent["verified"] is False


def test_a_new_secret_replaces_the_old_one(relay: Relay) -> None:
    agent, old = _with_secret(relay)
    fresh = answer(relay.post("/agents", {"id": agent, "issueSecret": True}, headers=old))
    problem(relay.post("/agents", {"id": agent}, headers=old), 403, "agent-secret-required")
    assert relay.post("/agents", {"id": agent}, headers={SECRET: fresh["agentSecret"]}).status_code == 200


def test_a_change_with_the_secret_is_the_agents_own_and_keeps_a_humans_labels(relay: Relay) -> None:
    agent, proof = _with_secret(relay, labels=["own"])
    relay.patch(f"/agents/{agent}", {"labels": ["own", "human's"]})
    changed = answer(relay.patch(f"/agents/{agent}", {"labels": ["next"], "status": "busy"}, headers=proof))
    assert sorted(changed["labels"]) == ["human's", "next"]
    assert changed["status"] == "busy"
    problem(relay.patch(f"/agents/{agent}", {"ready": False}, headers={SECRET: "wrong"}), 403, "agent-secret-required")


def test_an_agent_with_a_secret_is_not_removed_by_someone_else(relay: Relay) -> None:
    agent, proof = _with_secret(relay)
    problem(relay.delete(f"/agents/{agent}"), 403, "agent-secret-required")
    assert relay.delete(f"/agents/{agent}", headers=proof).status_code == 204
