"""What an inbox holds, in which order, and what is unread."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeRelay
from tests.factories import (
    Relay,
    answer,
    card,
    claim,
    inbox,
    inbox_ids,
    make_agent,
    make_message,
    make_work,
    pages,
    problem,
    read,
    release,
    unique,
    unread_ids,
    wait_until,
)


def retag(relay: Relay, agent: str, *tags: str) -> None:
    make_agent(relay, id=agent, tags=list(tags))


def test_direct_messages_are_held_however_old(relay: Relay) -> None:
    agent = unique("agent")
    old = make_message(relay, to=agent)["id"]
    make_agent(relay, id=agent)
    assert inbox_ids(relay, agent) == [old]


@pytest.mark.parametrize("kind", ["tags", "capabilities", "labels", "broadcast"])
def test_fan_out_counts_from_registration_on(relay: Relay, kind: str) -> None:
    word = unique("word")
    target = {
        "tags": f"tag:{word}",
        "capabilities": f"cap:{word}",
        "labels": f"label:{word}",
        "broadcast": "broadcast",
    }[kind]
    before = make_message(relay, to=target)["id"]
    agent = make_agent(relay, **({} if kind == "broadcast" else {kind: [word]}))
    after = make_message(relay, to=target)["id"]
    found = inbox_ids(relay, agent)
    assert before not in found
    assert after in found


def test_fan_out_counts_from_when_a_tag_was_gained(relay: Relay) -> None:
    tag, other = unique("tag"), unique("tag")
    agent = make_agent(relay, tags=[other])
    missed = make_message(relay, to=f"tag:{tag}")["id"]
    retag(relay, agent, other, tag)
    got = make_message(relay, to=f"tag:{tag}")["id"]
    retag(relay, agent, tag, other)  # in another order is not anew
    make_agent(relay, id=agent, project="p")
    assert inbox_ids(relay, agent) == [got]
    assert missed not in unread_ids(relay, agent)


def test_what_a_lost_tag_brought_is_gone_and_a_regained_tag_begins_anew(relay: Relay) -> None:
    tag = unique("tag")
    agent = make_agent(relay, tags=[tag])
    first = make_message(relay, to=f"tag:{tag}")["id"]
    assert inbox_ids(relay, agent) == [first]
    retag(relay, agent)
    assert inbox_ids(relay, agent) == []
    make_message(relay, to=f"tag:{tag}")
    retag(relay, agent, tag)
    assert inbox_ids(relay, agent) == []
    last = make_message(relay, to=f"tag:{tag}")["id"]
    assert inbox_ids(relay, agent) == [last]


def test_old_work_that_nobody_holds_reaches_whoever_gains_its_target(relay: Relay) -> None:
    tag = unique("tag")
    holder = make_agent(relay, tags=[tag])
    old = make_work(relay, to=f"tag:{tag}")
    taken = make_work(relay, to=f"tag:{tag}")
    news = make_message(relay, to=f"tag:{tag}")["id"]
    claim(relay, taken, holder)
    late = make_agent(relay, tags=[tag])
    assert inbox_ids(relay, late) == [old]
    assert card(relay, late)["unread"] == 1
    release(relay, taken, holder)
    assert unread_ids(relay, late) == [old, taken]
    assert news not in inbox_ids(relay, late)


def test_old_work_that_was_claimed_stays_with_its_holder_and_counts_until_read(relay: Relay) -> None:
    tag = unique("tag")
    old = make_work(relay, to=f"tag:{tag}")
    agent = make_agent(relay, tags=[tag])
    claim(relay, old, agent)
    assert inbox_ids(relay, agent) == [old]
    assert unread_ids(relay, agent) == [old]
    assert card(relay, agent)["unread"] == 1
    read(relay, old, agent)
    assert unread_ids(relay, agent) == []
    assert card(relay, agent)["unread"] == 0


def test_claimed_work_is_no_longer_unread_for_the_others_but_still_in_their_inbox(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = make_work(relay, to=f"tag:{tag}")
    claim(relay, work, one)
    assert unread_ids(relay, one) == [work]
    assert unread_ids(relay, two) == []
    assert (card(relay, one)["unread"], card(relay, two)["unread"]) == (1, 0)
    assert inbox_ids(relay, two) == [work]


def test_an_agents_own_messages_are_not_in_its_inbox(relay: Relay) -> None:
    tag = unique("tag")
    agent = make_agent(relay, tags=[tag])
    for target in (agent, f"tag:{tag}", "broadcast"):
        own = make_message(relay, from_=agent, to=target)["id"]
        assert own not in inbox_ids(relay, agent)
    assert make_work(relay, from_=agent, to=f"tag:{tag}") not in inbox_ids(relay, agent)
    assert card(relay, agent)["unread"] == 0


def test_a_message_that_matches_twice_comes_once(relay: Relay) -> None:
    word = unique("word")
    agent = make_agent(relay, tags=[word], capabilities=[word], labels=[word])
    sent = [make_message(relay, to=f"{prefix}:{word}")["id"] for prefix in ("tag", "cap", "label")]
    assert inbox_ids(relay, agent) == sent


def test_an_inbox_is_oldest_first_over_all_targets(relay: Relay) -> None:
    tag = unique("tag")
    agent = make_agent(relay, tags=[tag])
    sent = [make_message(relay, to=target)["id"] for target in (f"tag:{tag}", agent, f"tag:{tag}", agent, f"tag:{tag}")]
    assert inbox_ids(relay, agent) == sent


def test_reading_a_list_consumes_nothing(relay: Relay) -> None:
    agent = make_agent(relay)
    sent = make_message(relay, to=agent)["id"]
    for query in ({}, {"peek": "true"}, {"unread": "true"}):
        for _ in range(2):
            found = answer(relay.get("/messages", params={"for": agent} | query))["messages"]
            assert [(each["id"], each["read"]) for each in found] == [(sent, False)]


def test_read_messages_stay_in_the_inbox_as_read(relay: Relay) -> None:
    agent = make_agent(relay)
    one, two = (make_message(relay, to=agent)["id"] for _ in range(2))
    read(relay, one, agent)
    assert [(each["id"], each["read"]) for each in inbox(relay, agent)] == [(one, True), (two, False)]
    assert unread_ids(relay, agent) == [two]
    assert card(relay, agent)["unread"] == 1


def test_reading_marks_for_one_agent_only(relay: Relay) -> None:
    tag = unique("tag")
    one, two = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    sent = make_message(relay, to=f"tag:{tag}")["id"]
    read(relay, sent, one)
    assert unread_ids(relay, one) == []
    assert unread_ids(relay, two) == [sent]


def test_reading_out_of_order_leaves_the_older_unread(relay: Relay) -> None:
    agent = make_agent(relay)
    ids = [make_message(relay, to=agent)["id"] for _ in range(5)]
    for n in (4, 2, 0):
        read(relay, ids[n], agent)
    assert unread_ids(relay, agent) == [ids[1], ids[3]]
    read(relay, ids[1], agent)
    assert unread_ids(relay, agent) == [ids[3]]


def test_announced_anew_work_is_unread_again_for_those_who_had_read_it(relay: Relay) -> None:
    tag = unique("tag")
    one, two, three = (make_agent(relay, tags=[tag]) for _ in range(3))
    work = make_work(relay, to=f"tag:{tag}")
    for agent in (one, two):
        read(relay, work, agent)
    make_message(relay, to=f"tag:{tag}")
    answer(relay.post("/messages/read", {"agentId": two, "upTo": 2**62}))
    claim(relay, work, one)
    release(relay, work, one)
    for agent in (one, two, three):
        assert work in unread_ids(relay, agent), agent
    assert card(relay, two)["unread"] == 1


def test_since_id_and_limit_walk_an_inbox(relay: Relay) -> None:
    tag = unique("tag")
    agent = make_agent(relay, tags=[tag])
    ids = [make_message(relay, to=agent if n % 2 else f"tag:{tag}")["id"] for n in range(7)]

    def ask(since: Any) -> dict[str, Any]:
        query = {"for": agent, "limit": 3} | ({} if since is None else {"sinceId": since})
        found: dict[str, Any] = answer(relay.get("/messages", params=query))
        return found

    found = [[message["id"] for message in page] for page in pages(ask, "messages")]
    assert found == [ids[:3], ids[3:6], ids[6:]]
    assert inbox_ids(relay, agent, sinceId=ids[4]) == ids[5:]
    assert inbox_ids(relay, agent, sinceId=2**63 - 1) == []


def test_a_full_last_page_names_no_next(relay: Relay) -> None:
    agent = make_agent(relay)
    for _ in range(3):
        make_message(relay, to=agent)
    assert "next" not in answer(relay.get("/messages", params={"for": agent, "limit": 3}))


@pytest.mark.parametrize("value", ["-1", "x", "", str(2**63), "1.5"])
def test_a_since_id_is_a_whole_number(relay: Relay, value: str) -> None:
    problem(relay.get(f"/messages?for=human&sinceId={value}"), 422, "invalid", field="sinceId")


@pytest.mark.parametrize("name", ["before", "from", "to", "channel", "thread", "q"])
def test_filters_of_history_are_refused_for_an_inbox(relay: Relay, name: str) -> None:
    problem(relay.get(f"/messages?for=human&{name}=1"), 422, "invalid", field=name)


@pytest.mark.parametrize("query", ["unread=true", "sinceId=1", "peek=true", "wait=1"])
def test_an_inbox_needs_its_agent(relay: Relay, query: str) -> None:
    problem(relay.get(f"/messages?{query}"), 422, "invalid", field="for")


def test_unread_mail_survives_a_crash_and_comes_again_under_the_same_id(make_relay: MakeRelay) -> None:
    relay = make_relay()
    agent = make_agent(relay, tags=["x"])
    ids = [make_message(relay, to=target)["id"] for target in (agent, "tag:x", "broadcast")]
    read(relay, ids[0], agent)
    relay.kill()
    relay.start()
    assert unread_ids(relay, agent) == ids[1:]
    assert [message["read"] for message in inbox(relay, agent)] == [True, False, False]
    assert make_message(relay, to=agent)["id"] > ids[-1]


def test_read_marks_outlive_a_pruned_agent(make_relay: MakeRelay) -> None:
    relay = make_relay(STALE_TTL_MS=100, OFFLINE_PRUNE_MS=1, REAP_INTERVAL_MS=30)
    agent = make_agent(relay, tags=["x"])
    seen, unseen = (make_message(relay, to=agent)["id"] for _ in range(2))
    work = make_work(relay, to="tag:x")
    for each in (seen, work):
        read(relay, each, agent)
    wait_until(lambda: relay.get(f"/agents/{agent}").status_code == 404, "it is pruned")
    make_agent(relay, id=agent, tags=["x"])
    assert unread_ids(relay, agent) == [unseen]
    assert inbox_ids(relay, agent) == [seen, unseen, work]
