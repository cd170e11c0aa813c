"""Claims: one agent gets the work, keeps it while it lives, and gives it back."""

from __future__ import annotations

import pytest

from tests.factories import (
    Relay,
    announced,
    answer,
    claim,
    in_threads,
    inbox,
    make_agent,
    make_message,
    make_work,
    names,
    problem,
    read,
    release,
    unique,
    unread_ids,
    wait_until,
)


def ask(relay: Relay, message_id: int, agent: str, what: str = "claim"):  # type: ignore[no-untyped-def]
    return relay.post(f"/messages/{message_id}/{what}", {"agentId": agent})


def test_a_claim_is_granted_to_one_and_to_that_one_again(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    got = claim(relay, work, one)
    assert got["claimedBy"] == one
    assert got["claimedAt"] >= got["createdAt"]
    assert claim(relay, work, one) == got
    refused = problem(ask(relay, work, two), 409, "claim-conflict")
    assert refused["claimedBy"] == one
    assert answer(relay.get(f"/messages/{work}"))["claimedBy"] == one


def test_of_many_who_race_for_work_each_piece_goes_to_exactly_one(relay: Relay) -> None:
    tag = unique("tag")
    agents = [make_agent(relay, tags=[tag]) for _ in range(12)]
    batch = [{"from": "human", "to": f"tag:{tag}", "body": "x", "claimable": True}] * 20
    work = [message["id"] for message in answer(relay.post("/messages", batch), 201)["messages"]]

    def race(n: int) -> list[int]:
        granted = []
        for message_id in work[n:] + work[:n]:
            response = ask(relay, message_id, agents[n])
            if response.status_code == 200:
                assert response.json()["claimedBy"] == agents[n]
                granted.append(message_id)
            else:
                assert problem(response, 409, "claim-conflict")["claimedBy"] in set(agents) - {agents[n]}
        return granted

    granted = in_threads(len(agents), race)
    assert sorted(each for ids in granted for each in ids) == work
    for agent, ids in zip(agents, granted, strict=True):
        assert unread_ids(relay, agent) == sorted(ids)


def test_only_a_recipient_claims(relay: Relay) -> None:
    tag = unique("tag")
    stranger, sender = make_agent(relay), make_agent(relay, tags=[tag])
    work = make_work(relay, from_=sender, to=f"tag:{tag}")
    for who in (stranger, sender, "human", unique("nobody")):
        problem(ask(relay, work, who), 403, "not-a-recipient")
    assert answer(relay.get(f"/messages/{work}"))["claimedBy"] is None


def test_work_for_one_agent_is_claimed_by_that_agent(relay: Relay) -> None:
    agent = make_agent(relay)
    assert claim(relay, make_work(relay, to=agent), agent)["claimedBy"] == agent
    assert claim(relay, make_work(relay, from_=agent, to="human"), "human")["claimedBy"] == "human"


def test_what_is_not_claimable_is_422(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent)["id"]
    problem(ask(relay, sent, agent), 422, "not-claimable")


def test_what_has_expired_is_410(relay: Relay) -> None:
    agent = make_agent(relay)
    work = make_work(relay, to=agent, expiresInMs=1)
    wait_until(lambda: unread_ids(relay, agent) == [])
    problem(ask(relay, work, agent), 410, "message-expired")


def test_a_claim_outlives_the_messages_expiry(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}", expiresInMs=400)
    claim(relay, work, one)
    fresh = make_work(relay, to=f"tag:{tag}", expiresInMs=1)
    wait_until(lambda: ask(relay, fresh, two).status_code == 410)
    wait_until(lambda: answer(relay.get(f"/messages/{work}"))["expiresAt"] < make_message(relay, to=one)["createdAt"])
    assert claim(relay, work, one)["claimedBy"] == one
    problem(ask(relay, work, two), 409, "claim-conflict")


def test_an_unknown_message_is_404(relay: Relay) -> None:
    agent = make_agent(relay)
    for what in ("claim", "release"):
        problem(ask(relay, 2**62, agent, what), 404, "message-not-found")


@pytest.mark.parametrize("what", ["claim", "release", "read"])
def test_the_agent_must_be_named_and_nothing_else(relay: Relay, what: str) -> None:
    work = make_work(relay, to="human")
    problem(relay.post(f"/messages/{work}/{what}", {}), 422, "invalid", field="agentId")
    problem(relay.post(f"/messages/{work}/{what}"), 422, "invalid", field="agentId")
    problem(relay.post(f"/messages/{work}/{what}", {"agentId": "human", "force": True}), 422, "invalid", field="force")
    problem(relay.post(f"/messages/{work}/{what}", {"agentid": "human"}), 422, "invalid")


def test_released_work_is_announced_anew_and_may_be_claimed_by_another(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    read(relay, work, two)
    claim(relay, work, one)
    with relay.open(f"/events?for={two}") as stream:
        freed = release(relay, work, one)
        assert (freed["claimedBy"], freed["claimedAt"]) == (None, None)
        events = stream.until_message(work)
        assert names(events)[-2:] == ["message.released", "message.new"]
        assert events[-1].id > events[-2].id > work
        assert {event.data["claimedBy"] for event in events[-2:]} == {None}
        assert announced(events) == [work]
    assert unread_ids(relay, two) == [work]
    assert [message["read"] for message in inbox(relay, two)] == [False]
    assert claim(relay, work, two)["claimedBy"] == two


def test_only_the_claimant_or_a_human_gives_work_back(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    problem(ask(relay, work, one, "release"), 403, "not-claimant")
    claim(relay, work, one)
    problem(ask(relay, work, two, "release"), 403, "not-claimant")
    assert release(relay, work, "human")["claimedBy"] is None
    problem(ask(relay, work, "human", "release"), 403, "not-claimant")


def test_a_holder_that_loses_the_tag_keeps_its_claim_and_can_give_it_back(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    claim(relay, work, one)
    make_agent(relay, id=one, tags=[])
    assert claim(relay, work, one)["claimedBy"] == one
    problem(ask(relay, work, two), 409, "claim-conflict")
    release(relay, work, one)
    problem(ask(relay, work, one), 403, "not-a-recipient")
    assert unread_ids(relay, two) == [work]
