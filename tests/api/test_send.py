"""Sending: every field, every kind of target, batches, idempotency keys, expiry."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeRelay
from tests.factories import (
    Relay,
    answer,
    in_threads,
    inbox,
    inbox_ids,
    make_agent,
    make_message,
    problem,
    unique,
    unread_ids,
    wait_until,
)

MESSAGE = {
    "id", "from", "to", "subject", "body", "channel", "kind", "threadId", "replyTo", "claimable", "claimedBy",
    "claimedAt",
    "priority", "meta", "taskId", "verified", "createdAt", "expiresAt",
}  # fmt: skip
SECRET = "X-Agent-Relay-Agent-Secret"


def test_a_sent_message_is_answered_whole_and_held_as_answered(relay: Relay) -> None:
    sender, receiver = make_agent(relay), make_agent(relay)
    given: dict[str, Any] = {
        "from": sender, "to": receiver, "subject": "Größe", "body": "Zeile 1\nline 2 \U0001f600 \u2028 \\ \" \x7f",
        "channel": "ops",
        "claimable": True, "priority": "urgent",
        "meta": {"a": [1, 2.5, None, True, {"ä": "\x00"}]}, "expiresInMs": 60_000,
    }  # fmt: skip
    sent = answer(relay.post("/messages", given), 201)
    assert set(sent) == MESSAGE | {"queued", "recipients"}
    assert {name: sent[name] for name in given if name != "expiresInMs"} == {
        k: v for k, v in given.items() if k != "expiresInMs"
    }
    assert (sent["kind"], sent["threadId"], sent["replyTo"], sent["taskId"]) == ("message", sent["id"], None, None)
    assert (sent["claimedBy"], sent["claimedAt"], sent["verified"]) == (None, None, False)
    assert (sent["queued"], sent["recipients"]) == (False, 1)
    assert sent["expiresAt"] > sent["createdAt"]
    held = {name: value for name, value in sent.items() if name not in {"queued", "recipients"}}
    assert answer(relay.get(f"/messages/{sent['id']}")) == held
    assert inbox(relay, receiver) == [held | {"read": False}]


def test_the_least_message_has_defaults(relay: Relay) -> None:
    sent = make_message(relay, to=make_agent(relay), body="x")
    assert (sent["subject"], sent["channel"], sent["meta"], sent["expiresAt"]) == (None, None, {}, None)
    assert (sent["claimable"], sent["priority"]) == (False, "normal")


def test_ids_only_grow_and_the_cursor_follows(relay: Relay) -> None:
    agent = make_agent(relay)
    ids = [make_message(relay, to=agent)["id"] for _ in range(3)]
    assert ids == sorted(set(ids))
    assert answer(relay.get("/messages/cursor"))["cursor"] >= ids[-1]


@pytest.mark.parametrize("missing", ["from", "to", "body"])
def test_from_to_and_body_are_required(relay: Relay, missing: str) -> None:
    body = {"from": "human", "to": "human", "body": "x"}
    del body[missing]
    problem(relay.post("/messages", body), 422, "invalid", field=missing)


BAD_FIELDS: list[tuple[str, Any]] = [
    ("from", "nobody-registered"), ("from", "broadcast"), ("from", ""), ("from", "a b"), ("from", None), ("from", 7),
    ("to", ""), ("to", "system"), ("to", "team:x"), ("to", "Tag:x"), ("to", "tag:"), ("to", "cap:"), ("to", "label:"),
    ("to", ":x"), ("to", "a b"), ("to", "x" * 129), ("to", "tag:" + "x" * 200), ("to", ["a"]), ("to", None),
    ("to", "a\n"),
    ("body", ""), ("body", None), ("body", 7), ("body", "nul\0"), ("subject", "x" * 1001), ("subject", "\0"),
    ("subject", 7),
    ("channel", ""), ("channel", "x" * 129), ("replyTo", 0), ("replyTo", -1), ("replyTo", 2**63), ("replyTo", "1"),
    ("replyTo", 1.5), ("replyTo", 2**63 - 1), ("claimable", "yes"), ("claimable", 1), ("claimable", None),
    ("priority", "High"), ("priority", None), ("meta", []), ("meta", "x"), ("meta", None), ("expiresInMs", 0),
    ("expiresInMs", -5), ("expiresInMs", 10**15), ("expiresInMs", "60"), ("colour", "red"), ("id", 7), ("taskId", 1),
    ("kind", "task"), ("verified", True), ("From", "human"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_bad_field_is_named_and_nothing_is_sent(relay: Relay, field: str, value: Any) -> None:
    marker = unique("channel")
    body = {"from": "human", "to": "human", "body": "x", "channel": marker} | {field: value}
    problem(relay.post("/messages", body), 422, "invalid", field=field)
    assert answer(relay.get("/messages", params={"channel": marker}))["messages"] == []


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_bad_field_in_a_batch_is_named_with_its_place(relay: Relay, field: str, value: Any) -> None:
    good = {"from": "human", "to": "human", "body": "x"}
    problem(relay.post("/messages", [good, good | {field: value}]), 422, "invalid", field=f"[1].{field}")
    problem(relay.post("/messages", [good | {field: value}]), 422, "invalid", field=f"[0].{field}")


def test_nobody_but_the_relay_speaks_as_system(relay: Relay) -> None:
    problem(relay.post("/messages", {"from": "system", "to": "human", "body": "x"}), 403, "forbidden")


@pytest.mark.parametrize("body", ['"text"', "7", "null", "true", "[7]", "[[]]"])
def test_a_body_that_is_no_message_is_refused(relay: Relay, body: str) -> None:
    response = relay.ask("POST", "/messages", data=body, headers={"Content-Type": "application/json"})
    problem(response, 422, "invalid")


# -- targets -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_target_reaches_whom_it_names_case_included(relay: Relay) -> None:
    word, other_case = unique("Word"), unique("Word").swapcase()
    one = make_agent(relay, tags=[word], capabilities=[word], labels=[f"{word} with spaces"])
    two = make_agent(relay, tags=[word.swapcase()], capabilities=[word], labels=[other_case])
    reached: list[tuple[str, set[str]]] = [
        (one, {one}), (one.swapcase(), set()), (f"tag:{word}", {one}), (f"tag:{word.swapcase()}", {two}),
        (f"cap:{word}", {one, two}), (f"cap:{word.swapcase()}", set()), (f"label:{word} with spaces", {one}),
        (f"label:{word}", set()), (f"label:{other_case}", {two}), ("broadcast", {one, two}), ("human", set()),
    ]  # fmt: skip
    for target, expected in reached:
        sent = make_message(relay, to=target)
        for agent in (one, two):
            assert (sent["id"] in unread_ids(relay, agent)) == (agent in expected), (target, agent)
        if target not in {"broadcast", "human"}:
            assert sent["recipients"] == len(expected), target


def test_a_tag_may_hold_a_colon(relay: Relay) -> None:
    word = unique("a:b")
    agent = make_agent(relay, tags=[word])
    sent = make_message(relay, to=f"tag:{word}")
    assert unread_ids(relay, agent) == [sent["id"]]


def test_a_message_to_human_is_in_the_humans_inbox(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, from_=agent, to="human")
    assert (sent["queued"], sent["recipients"]) == (False, 1)
    assert sent["id"] in inbox_ids(relay, "human", sinceId=sent["id"] - 1)
    assert make_message(relay, to="human")["id"] not in inbox_ids(relay, "human", sinceId=sent["id"])


def test_a_direct_message_to_an_unregistered_id_is_queued_and_delivered_when_it_appears(relay: Relay) -> None:
    agent = unique("late")
    sent = make_message(relay, to=agent)
    assert (sent["queued"], sent["recipients"]) == (True, 0)
    work = make_message(relay, to=agent, claimable=True)
    assert answer(relay.post("/agents", {"id": agent}), 201)["unread"] == 2
    assert unread_ids(relay, agent) == [sent["id"], work["id"]]
    assert make_message(relay, to=agent)["queued"] is False


def test_fan_out_to_nobody_is_kept_but_not_queued(relay: Relay) -> None:
    sent = make_message(relay, to=f"tag:{unique()}")
    assert (sent["queued"], sent["recipients"]) == (False, 0)
    assert relay.get(f"/messages/{sent['id']}").status_code == 200


def test_recipients_do_not_count_the_sender(relay: Relay) -> None:
    tag = unique("tag")
    one, _ = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    assert make_message(relay, from_=one, to=f"tag:{tag}")["recipients"] == 1
    assert make_message(relay, from_=one, to=one)["recipients"] == 0


# -- threads -----------------------------------------------------------------------------------------------------------


def test_a_reply_to_a_reply_has_the_roots_thread(relay: Relay) -> None:
    agent = make_agent(relay)
    root = make_message(relay, to=agent)
    first = make_message(relay, from_=agent, to="human", replyTo=root["id"])
    second = make_message(relay, to=agent, replyTo=first["id"])
    make_message(relay, to=agent)
    assert (first["threadId"], second["threadId"]) == (root["id"], root["id"])
    assert second["replyTo"] == first["id"]
    for message in (root, first, second):
        thread = answer(relay.get(f"/messages/{message['id']}/thread"))["messages"]
        assert [each["id"] for each in thread] == [root["id"], first["id"], second["id"]]


def test_a_thread_comes_in_pages_and_outlives_its_root(relay: Relay) -> None:
    root = make_message(relay, to="human")["id"]
    replies = [make_message(relay, to="human", replyTo=root)["id"] for _ in range(4)]
    first = answer(relay.get(f"/messages/{root}/thread", params={"limit": 3}))
    assert [each["id"] for each in first["messages"]] == [root, *replies[:2]]
    rest = answer(relay.get(f"/messages/{root}/thread", params={"limit": 3, "sinceId": first["next"]}))
    assert [each["id"] for each in rest["messages"]] == replies[2:]
    assert "next" not in rest
    relay.delete(f"/messages/{root}")
    for start in (root, replies[1]):
        thread = answer(relay.get(f"/messages/{start}/thread"))["messages"]
        assert [each["id"] for each in thread] == replies
    late = make_message(relay, to="human", replyTo=replies[0])
    assert late["threadId"] == root


def test_the_thread_of_an_unknown_message_is_404(relay: Relay) -> None:
    problem(relay.get(f"/messages/{2**63 - 1}/thread"), 404, "message-not-found")


# -- batches -----------------------------------------------------------------------------------------------------------


def test_a_batch_is_answered_in_order_with_ids_in_order(relay: Relay) -> None:
    agent = make_agent(relay)
    batch = [{"from": "human", "to": agent, "body": str(n)} for n in range(1000)]
    sent = answer(relay.post("/messages", batch), 201)["messages"]
    assert [message["body"] for message in sent] == [str(n) for n in range(1000)]
    ids = [message["id"] for message in sent]
    assert ids == sorted(set(ids))
    assert set(sent[0]) == MESSAGE | {"queued", "recipients"}
    assert inbox_ids(relay, agent) == ids[:500]


def test_a_batch_of_one_is_answered_as_a_batch(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = answer(relay.post("/messages", [{"from": "human", "to": agent, "body": "x"}]), 201)
    assert [message["id"] for message in sent["messages"]] == inbox_ids(relay, agent)


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_has_1_to_1000_messages(relay: Relay, size: int) -> None:
    problem(relay.post("/messages", [{"from": "human", "to": "human", "body": "x"}] * size), 422, "invalid")


def test_a_batch_with_one_bad_message_sends_none(relay: Relay) -> None:
    agent, (_, proof) = make_agent(relay), _secretive(relay)
    good = {"from": "human", "to": agent, "body": "x"}
    for bad, status in (
        ({"from": "nobody-here"}, 422),
        ({"replyTo": 2**62}, 422),
        ({"to": "team:x"}, 422),
        ({"from": "system"}, 403),
        ({"from": _secretive(relay)[0]}, 403),
    ):
        assert relay.post("/messages", [good] * 5 + [good | bad], headers=proof).status_code == status
    assert inbox_ids(relay, agent) == []


def test_a_batch_may_have_several_senders_each_verified_for_itself(relay: Relay) -> None:
    proven, headers = _secretive(relay)
    other, target = make_agent(relay), make_agent(relay)
    batch = [{"from": sender, "to": target, "body": "x"} for sender in (proven, other, "human")]
    sent = answer(relay.post("/messages", batch, headers=headers), 201)["messages"]
    assert [message["verified"] for message in sent] == [True, False, False]


def _secretive(relay: Relay) -> tuple[str, dict[str, str]]:
    agent = unique("agent")
    made = answer(relay.post("/agents", {"id": agent, "issueSecret": True}), 201)
    return agent, {SECRET: made["agentSecret"]}


# -- idempotency keys --------------------------------------------------------------------------------------------------


def _key() -> dict[str, str]:
    return {"Idempotency-Key": unique("key")}


def test_the_same_key_and_body_answers_the_first_result(relay: Relay) -> None:
    agent, key = make_agent(relay), _key()
    body = {"from": "human", "to": agent, "body": "x", "claimable": True}
    first = answer(relay.post("/messages", body, headers=key), 201)
    relay.post(f"/messages/{first['id']}/claim", {"agentId": agent})
    assert answer(relay.post("/messages", body, headers=key), 201) == first
    spaced = relay.ask(
        "POST", "/messages", data=relay_json_with_spaces(body), headers=key | {"Content-Type": "application/json"}
    )
    assert answer(spaced, 201) == first
    assert inbox_ids(relay, agent) == [first["id"]]


def relay_json_with_spaces(body: dict[str, Any]) -> str:
    import json

    return json.dumps(dict(reversed(body.items())), indent=2)


def test_the_same_key_with_another_body_is_409(relay: Relay) -> None:
    agent, key = make_agent(relay), _key()
    body = {"from": "human", "to": agent, "body": "x"}
    relay.post("/messages", body, headers=key)
    problem(relay.post("/messages", body | {"body": "y"}, headers=key), 409, "idempotency-conflict")
    problem(relay.post("/messages", [body, body], headers=key), 409, "idempotency-conflict")
    assert len(inbox_ids(relay, agent)) == 1


def test_a_refused_send_does_not_use_its_key_up(relay: Relay) -> None:
    late, key = unique("agent"), _key()
    body = {"from": late, "to": "human", "body": "x"}
    problem(relay.post("/messages", body, headers=key), 422, "invalid", field="from")
    make_agent(relay, id=late)
    assert relay.post("/messages", body, headers=key).status_code == 201


def test_a_batch_under_a_key_is_sent_once(relay: Relay) -> None:
    agent, key = make_agent(relay), _key()
    batch = [{"from": "human", "to": agent, "body": str(n)} for n in range(20)]
    first = answer(relay.post("/messages", batch, headers=key), 201)
    assert answer(relay.post("/messages", batch, headers=key), 201) == first
    assert len(inbox_ids(relay, agent)) == 20


def test_concurrent_calls_with_one_key_and_body_all_get_the_one_message(relay: Relay) -> None:
    agent, key = make_agent(relay), _key()
    body = {"from": "human", "to": agent, "body": "x"}
    answers = in_threads(16, lambda _: answer(relay.post("/messages", body, headers=key), 201))
    assert all(each == answers[0] for each in answers)
    assert inbox_ids(relay, agent) == [answers[0]["id"]]


def test_of_concurrent_calls_with_one_key_and_different_bodies_one_is_taken(relay: Relay) -> None:
    agent, key = make_agent(relay), _key()

    def send(n: int) -> int:
        body = {"from": "human", "to": agent, "body": str(n)}
        return relay.post("/messages", body, headers=key).status_code

    assert sorted(in_threads(8, send)) == [201] + [409] * 7
    assert len(inbox_ids(relay, agent)) == 1


def test_keys_of_different_senders_are_different_keys(relay: Relay) -> None:
    one, two, key = make_agent(relay), make_agent(relay), _key()
    sent = [
        answer(relay.post("/messages", {"from": a, "to": "human", "body": "x"}, headers=key), 201) for a in (one, two)
    ]
    assert sent[0]["id"] != sent[1]["id"]


@pytest.mark.parametrize("key", ["", "x" * 257])
def test_a_key_has_1_to_256_characters(relay: Relay, key: str) -> None:
    body = {"from": "human", "to": "human", "body": "x"}
    refused = relay.post("/messages", body, headers={"Idempotency-Key": key})
    problem(refused, 422, "invalid", field="Idempotency-Key")


def test_a_key_of_an_agent_with_a_secret_answers_only_to_the_secret(relay: Relay) -> None:
    agent, proof = _secretive(relay)
    body, key = {"from": agent, "to": "human", "body": "x"}, _key()
    first = answer(relay.post("/messages", body, headers=key | proof), 201)
    problem(relay.post("/messages", body, headers=key), 403, "agent-secret-required")
    assert answer(relay.post("/messages", body, headers=key | proof), 201) == first


def test_a_key_is_remembered_over_a_restart(make_relay: MakeRelay) -> None:
    relay = make_relay()
    agent, key = make_agent(relay), _key()
    body = {"from": "human", "to": agent, "body": "x"}
    first = answer(relay.post("/messages", body, headers=key), 201)
    assert relay.kill() != 0
    relay.start()
    assert answer(relay.post("/messages", body, headers=key), 201) == first
    problem(relay.post("/messages", body | {"body": "y"}, headers=key), 409, "idempotency-conflict")


# -- expiry ------------------------------------------------------------------------------------------------------------


def test_an_expired_message_leaves_inboxes_and_counts_but_not_history(relay: Relay) -> None:
    agent, channel = make_agent(relay), unique("channel")
    soon = make_message(relay, to=agent, expiresInMs=300, channel=channel)["id"]
    later = make_message(relay, to=agent, expiresInMs=600_000)["id"]
    assert soon in inbox_ids(relay, agent)
    wait_until(lambda: inbox_ids(relay, agent) == [later], "it expires")
    assert unread_ids(relay, agent) == [later]
    assert answer(relay.get(f"/agents/{agent}"))["unread"] == 1
    assert [m["id"] for m in answer(relay.get("/messages", params={"channel": channel}))["messages"]] == [soon]


def test_a_message_of_a_megabyte_less_its_envelope_is_taken_and_a_larger_one_is_not(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent, body="x" * (2**20 - 200))
    assert len(answer(relay.get(f"/messages/{sent['id']}"))["body"]) == 2**20 - 200
    problem(relay.post("/messages", {"from": "human", "to": agent, "body": "x" * 2**20}), 413, "too-large")
