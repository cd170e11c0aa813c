"""Read marks and receipts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import (
    Relay,
    answer,
    claim,
    inbox_ids,
    make_agent,
    make_message,
    make_work,
    problem,
    read,
    release,
    unique,
    unread_ids,
)


def test_marking_twice_answers_the_first_time(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent)["id"]
    first = read(relay, sent, agent)
    assert set(first) == {"messageId", "agentId", "at"}
    assert (first["messageId"], first["agentId"]) == (sent, agent)
    make_message(relay, to=agent)
    assert read(relay, sent, agent) == first


def test_only_a_recipient_marks(relay: Relay) -> None:
    agent, other = make_agent(relay), make_agent(relay)
    sent = make_message(relay, from_=other, to=agent)["id"]
    for stranger in (other, "human"):
        problem(relay.post(f"/messages/{sent}/read", {"agentId": stranger}), 403, "not-a-recipient")
    problem(relay.post(f"/messages/{sent}/read", {"agentId": unique()}), 404, "agent-not-found")
    problem(relay.post(f"/messages/{2**62}/read", {"agentId": agent}), 404, "message-not-found")
    assert unread_ids(relay, agent) == [sent]


def test_the_human_reads_its_mail(relay: Relay) -> None:
    sent = make_message(relay, from_=make_agent(relay), to="human")["id"]
    read(relay, sent, "human")
    assert sent not in unread_ids(relay, "human", sinceId=sent - 1)
    assert sent in inbox_ids(relay, "human", sinceId=sent - 1)


def test_up_to_marks_all_up_to_that_id_and_again_nothing(relay: Relay) -> None:
    tag = unique("tag")
    agent = make_agent(relay, tags=[tag])
    ids = [make_message(relay, to=target)["id"] for target in (agent, f"tag:{tag}") * 3]
    body = {"agentId": agent, "upTo": ids[3]}
    assert answer(relay.post("/messages/read", body)) == body | {"marked": 4}
    assert unread_ids(relay, agent) == ids[4:]
    assert answer(relay.post("/messages/read", body))["marked"] == 0
    assert answer(relay.post("/messages/read", {"agentId": agent, "upTo": 0}))["marked"] == 0
    assert answer(relay.post("/messages/read", {"agentId": agent, "upTo": 2**63 - 1}))["marked"] == 2
    assert unread_ids(relay, agent) == []


def test_up_to_includes_old_work_and_leaves_what_others_hold(relay: Relay) -> None:
    tag = unique("tag")
    holder = make_agent(relay, tags=[tag])
    old, held = make_work(relay, to=f"tag:{tag}"), make_work(relay, to=f"tag:{tag}")
    agent = make_agent(relay, tags=[tag])
    claim(relay, held, holder)
    assert answer(relay.post("/messages/read", {"agentId": agent, "upTo": held}))["marked"] == 1
    assert unread_ids(relay, agent) == []
    release(relay, held, holder)
    assert unread_ids(relay, agent) == [held]
    assert old not in unread_ids(relay, agent)


def test_up_to_marks_more_than_one_steps_worth(relay: Relay) -> None:
    agent = make_agent(relay)
    batch = [{"from": "human", "to": agent, "body": "x"}] * 1000
    for _ in range(2):
        last = answer(relay.post("/messages", batch), 201)["messages"][-1]["id"]
    one_more = make_message(relay, to=agent)["id"]
    assert answer(relay.post("/messages/read", {"agentId": agent, "upTo": last}))["marked"] == 2000
    assert unread_ids(relay, agent) == [one_more]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"upTo": 1}, "agentId"), ({"agentId": "human"}, "upTo"), ({"agentId": "human", "upTo": -1}, "upTo"),
        ({"agentId": "human", "upTo": 2**63}, "upTo"), ({"agentId": "human", "upTo": "1"}, "upTo"),
        ({"agentId": "human", "upTo": 1, "x": 1}, "x"), ({"agentId": "a b", "upTo": 1}, "agentId"),
    ],
)  # fmt: skip
def test_a_bad_field_of_up_to_is_named(relay: Relay, body: dict[str, Any], field: str) -> None:
    problem(relay.post("/messages/read", body), 422, "invalid", field=field)


# -- receipts ----------------------------------------------------------------------------------------------------------


def receipts(relay: Relay, message_id: int) -> dict[str, dict[str, Any]]:
    listed = answer(relay.get(f"/messages/{message_id}/receipts"))["receipts"]
    return {each["agentId"]: each for each in listed}


def report(relay: Relay, message_id: int, agent: str, state: str, adapter: str = "tmux") -> Any:
    body = {"agentId": agent, "state": state, "adapter": adapter}
    return answer(relay.post(f"/messages/{message_id}/receipts", body))["receipts"]


def test_a_receipt_goes_through_all_its_states_each_with_its_time(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent, claimable=True)
    work = sent["id"]
    first = receipts(relay, work)[agent]
    assert (first["state"], first["queuedAt"]) == ("queued", sent["createdAt"])
    assert {first[name] for name in ("offeredAt", "offeredBy", "deliveredAt", "readAt", "claimedAt")} == {None}
    [offered] = report(relay, work, agent, "offered", "tmux")
    assert (offered["state"], offered["offeredBy"], offered["deliveredAt"]) == ("offered", "tmux", None)
    [delivered] = report(relay, work, agent, "delivered", "hook")
    assert (delivered["state"], delivered["deliveredBy"], delivered["offeredBy"]) == ("delivered", "hook", "tmux")
    read(relay, work, agent)
    assert receipts(relay, work)[agent]["state"] == "read"
    claim(relay, work, agent)
    last = receipts(relay, work)[agent]
    assert last["state"] == "claimed"
    times = [last[name] for name in ("queuedAt", "offeredAt", "deliveredAt", "readAt", "claimedAt")]
    assert times == sorted(times)
    assert last["claimedAt"] == answer(relay.get(f"/messages/{work}"))["claimedAt"]


def test_the_first_report_of_a_state_stays_and_an_earlier_state_does_not_come_back(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent)["id"]
    [first] = report(relay, sent, agent, "delivered", "one")
    assert report(relay, sent, agent, "delivered", "two") == [first]
    [late] = report(relay, sent, agent, "offered", "three")
    assert (late["state"], late["offeredBy"], late["deliveredBy"]) == ("delivered", "three", "one")


def test_there_is_a_receipt_for_every_recipient_but_the_sender(relay: Relay) -> None:
    tag = unique("tag")
    sender, one, two = sorted(make_agent(relay, tags=[tag]) for _ in range(3))
    sent = make_message(relay, from_=sender, to=f"tag:{tag}")["id"]
    read(relay, sent, two)
    found = receipts(relay, sent)
    assert list(found) == [one, two]
    assert [each["state"] for each in found.values()] == ["queued", "read"]


def test_receipts_come_in_pages(relay: Relay) -> None:
    tag = unique("tag")
    agents = sorted(make_agent(relay, tags=[tag]) for _ in range(3))
    sent = make_message(relay, to=f"tag:{tag}")["id"]
    first = answer(relay.get(f"/messages/{sent}/receipts", params={"limit": 2}))
    assert [each["agentId"] for each in first["receipts"]] == agents[:2]
    rest = answer(relay.get(f"/messages/{sent}/receipts", params={"limit": 2, "after": first["next"]}))
    assert [each["agentId"] for each in rest["receipts"]] == agents[2:]
    assert "next" not in rest


def test_a_message_to_an_unregistered_id_has_a_queued_receipt(relay: Relay) -> None:
    nobody = unique("late")
    sent = make_message(relay, to=nobody)["id"]
    assert receipts(relay, sent)[nobody]["state"] == "queued"


def test_a_receipt_outlives_its_agent(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent)["id"]
    read(relay, sent, agent)
    relay.delete(f"/agents/{agent}")
    assert receipts(relay, sent)[agent]["state"] == "read"


def test_given_back_work_is_nobodys_in_its_receipts(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    claim(relay, work, one)
    release(relay, work, one)
    claim(relay, work, two)
    found = receipts(relay, work)
    assert [found[agent]["state"] for agent in (one, two)] == ["queued", "claimed"]


def test_only_a_recipients_adapter_reports_and_only_what_adapters_know(relay: Relay) -> None:
    agent, other = make_agent(relay), make_agent(relay)
    sent = make_message(relay, to=agent)["id"]
    path, good = f"/messages/{sent}/receipts", {"agentId": agent, "state": "offered", "adapter": "tmux"}
    problem(relay.post(path, good | {"agentId": other}), 403, "not-a-recipient")
    problem(relay.post(path, good | {"agentId": unique()}), 404, "agent-not-found")
    for field, value in (("state", "read"), ("state", "queued"), ("adapter", ""), ("adapter", None), ("at", "now")):
        problem(relay.post(path, good | {field: value}), 422, "invalid", field=field)
    for field in good:
        problem(relay.post(path, {k: v for k, v in good.items() if k != field}), 422, "invalid", field=field)
    problem(relay.get(f"/messages/{2**62}/receipts"), 404, "message-not-found")
    problem(relay.post(f"/messages/{2**62}/receipts", good), 404, "message-not-found")
