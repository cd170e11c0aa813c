"""Views of the whole bus: what they count is what happened, and every conversation is there once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MakeRelay
from tests.factories import (
    Json,
    Relay,
    answer,
    claim,
    in_threads,
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
from tests.integrations import bearer, configured, make_integration, make_task

VIEWS = ("/activity", "/traffic", "/threads", "/attention", "/presence")


@pytest.fixture
def own(make_relay: MakeRelay) -> Relay:
    """A relay with an integration, and nobody else on it."""
    return make_relay(**configured(make_integration()))


def activity(relay: Relay, **query: Any) -> Json:
    found: Json = answer(relay.get("/activity", params=query))
    return found


def threads(relay: Relay, **query: Any) -> list[Json]:
    found: list[Json] = answer(relay.get("/threads", params=query))["threads"]
    return found


def ids(found: list[Json]) -> list[int]:
    return [each["id"] for each in found]


def receipts(relay: Relay, message_id: int) -> dict[str, Json]:
    found = answer(relay.get(f"/messages/{message_id}/receipts", params={"limit": 500}))["receipts"]
    return {receipt["agentId"]: receipt for receipt in found}


def lose(relay: Relay, message_id: int, agent: str) -> Json:
    return problem(relay.post(f"/messages/{message_id}/claim", {"agentId": agent}), 409, "claim-conflict")


def crew(relay: Relay, count: int) -> tuple[str, list[str]]:
    """A target, and so many agents that receive what is sent there."""
    tag = unique("tag")
    return f"tag:{tag}", [make_agent(relay, tags=[tag]) for _ in range(count)]


# Lost claims


def test_a_lost_claim_stands_in_the_receipt_and_changes_no_state(relay: Relay) -> None:
    target, (one, two, three) = crew(relay, 3)
    work = make_work(relay, to=target)
    claim(relay, work, one)
    read(relay, work, two)
    lose(relay, work, two)
    wait_until(lambda: receipts(relay, work)[two]["lostTo"], "the loss is noted")
    found = receipts(relay, work)
    assert (found[two]["state"], found[two]["lostTo"]) == ("read", one)
    assert found[two]["lostAt"] >= found[one]["claimedAt"]
    assert (found[three]["state"], found[three]["lostAt"], found[three]["lostTo"]) == ("queued", None, None)
    assert (found[one]["state"], found[one]["lostAt"]) == ("claimed", None)
    release(relay, work, one)
    claim(relay, work, two)
    assert receipts(relay, work)[two]["state"] == "claimed"
    lose(relay, work, one)
    wait_until(lambda: receipts(relay, work)[one]["lostTo"] == two, "the loss is noted")


def test_of_many_who_lose_at_once_each_has_it_in_its_receipt(own: Relay) -> None:
    target, agents = crew(own, 16)
    work = [make_work(own, to=target) for _ in range(10)]

    def race(n: int) -> int:
        asked = [own.post(f"/messages/{message_id}/claim", {"agentId": agents[n]}).status_code for message_id in work]
        assert set(asked) <= {200, 409}
        return asked.count(409)

    lost = sum(in_threads(16, race))
    assert lost == 10 * 15

    def noted() -> int:
        return sum(1 for message_id in work for receipt in receipts(own, message_id).values() if receipt["lostAt"])

    wait_until(lambda: noted() == lost, "every loss is noted")
    for message_id in work:
        holder = answer(own.get(f"/messages/{message_id}"))["claimedBy"]
        for agent, receipt in receipts(own, message_id).items():
            assert (receipt["lostTo"], receipt["state"]) == (
                (None, "claimed") if agent == holder else (holder, "queued")
            )
    wait_until(lambda: sum(activity(own)["lostClaims"]) == lost, "every loss is counted")
    assert sum(activity(own)["claims"]) == 10


def test_who_hammers_is_noted_now_and_then(own: Relay) -> None:
    target, (one, two) = crew(own, 2)
    work = make_work(own, to=target)
    claim(own, work, one)
    begun = own.get("/metrics").text
    for _ in range(300):
        lose(own, work, two)
    wait_until(lambda: receipts(own, work)[two]["lostTo"], "the loss is noted")
    assert 1 <= sum(activity(own)["lostClaims"]) < 100, begun


def test_what_was_lost_before_a_stop_is_noted_after_it(own: Relay) -> None:
    target, (one, two) = crew(own, 2)
    work = make_work(own, to=target)
    claim(own, work, one)
    lose(own, work, two)
    own.restart()
    assert receipts(own, work)[two]["lostTo"] == one


# Activity and traffic


def test_activity_is_dense_and_sums_up_to_what_happened_over_a_kill(own: Relay) -> None:
    target, agents = crew(own, 2)
    assert activity(own, minutes=1)["messages"] == [0]

    def send(n: int) -> int:
        for _ in range(20):
            make_message(own, to=target, from_=agents[n % 2])
        batch = [{"from": "human", "to": "broadcast", "body": "x"}] * 7
        answer(own.post("/messages", batch), 201)
        return 27

    sent = sum(in_threads(8, send))
    make_task(own, target=target)
    work = make_work(own, to=target)
    claim(own, work, agents[0])
    own.kill()
    own.start()
    for minutes in (5, 60, 1440):
        found = activity(own, minutes=minutes)
        assert found["minutes"] == minutes == len(found["messages"]) == len(found["claims"]) == len(found["lostClaims"])
        assert sum(found["messages"]) == sent + 2
        assert sum(found["claims"]) == 1
        assert found["from"].endswith(":00.000Z")
        assert found["from"] < found["to"]
    release(own, work, agents[0])  # announced anew: the same message
    assert sum(activity(own)["messages"]) == sent + 2
    traffic = answer(own.get("/traffic"))
    flows = traffic["cells"]
    assert sum(bucket["messages"] for bucket in traffic["buckets"]) == sent + 2
    assert (traffic["bucketS"], traffic["truncated"]) == (600, False)
    assert sum(flow["messages"] for flow in flows) == sent + 2
    assert {(f["from"], f["to"]): f["messages"] for f in flows} == {
        (agents[0], target): 80,
        (agents[1], target): 80,
        ("human", "broadcast"): 56,
        ("human", target): 1,
        ("system", target): 1,
    }
    newest = traffic["buckets"][-1]["at"]
    assert answer(own.get(f"/traffic?since={newest}"))["buckets"] == traffic["buckets"][-1:]
    assert answer(own.get("/traffic?until=2020-01-01T00:00:00.000Z"))["cells"] == []


# Threads


def test_a_thread_is_named_by_its_root_and_shows_its_newest_message(relay: Relay) -> None:
    one, two = make_agent(relay), make_agent(relay)
    root = make_message(relay, to=two, from_=one, subject="Plan", channel=unique("c"))
    make_message(relay, to=one, from_=two, replyTo=root["id"])
    last = make_message(relay, to="human", from_=one, replyTo=root["id"])
    [found] = threads(relay, agent=one)
    assert found == {
        "id": root["id"],
        "subject": "Plan",
        "channel": root["channel"],
        "from": one,
        "to": two,
        "taskId": None,
        "count": 3,
        "participants": [one, two],
        "startedAt": root["createdAt"],
        "unread": 1,
        "last": answer(relay.get(f"/messages/{last['id']}")),
    }
    read(relay, last["id"], "human")
    assert threads(relay, agent=one)[0]["unread"] == 0
    answer_204 = relay.delete(f"/messages/{root['id']}")
    assert answer_204.status_code == 204
    [found] = threads(relay, agent=one)
    assert (found["id"], found["subject"], found["from"], found["count"]) == (root["id"], None, two, 2)


def test_threads_are_filtered_by_their_messages_and_ordered_by_the_newest_that_matches(relay: Relay) -> None:
    one, two, word = make_agent(relay), make_agent(relay), unique("word").replace("-", "")
    a = make_message(relay, to=two, from_=one, body=f"about {word}", channel=word)["id"]
    b = make_message(relay, to=two, from_=one, body="other", channel=word)["id"]
    late = make_message(relay, to=one, from_=two, replyTo=a)["id"]
    assert ids(threads(relay, channel=word)) == [b, a]  # the reply has no channel
    assert ids(threads(relay, agent=two)) == [a, b]
    assert threads(relay, agent=two)[0]["last"]["id"] == late
    assert [(t["id"], t["last"]["id"]) for t in threads(relay, **{"from": one})] == [(b, b), (a, a)]
    assert ids(threads(relay, to=one)) == [a]
    assert ids(threads(relay, q=word)) == [a]
    assert ids(threads(relay, q=word, channel=word, agent=one, to=two)) == [a]
    assert threads(relay, q=word, to=one) == []
    assert threads(relay, q='"') == []
    assert threads(relay, agent=one, unread="true") == []
    mail = make_message(relay, to="human", from_=one, replyTo=b)["id"]
    assert [(t["id"], t["last"]["id"]) for t in threads(relay, agent=one, unread="true")] == [(b, mail)]
    work, done, over = (make_work(relay, to=two, from_=one, **more) for more in ({}, {}, {"expiresInMs": 1}))
    claim(relay, done, two)
    wait_until(lambda: relay.post(f"/messages/{over}/claim", {"agentId": two}).status_code == 410, "it expires")
    assert ids(threads(relay, agent=one, open="true")) == [work]


@pytest.mark.parametrize("query", [{}, {"q": "x"}, {"agent": "ann"}, {"from": "ann"}, {"to": "ben"}])
def test_by_pages_every_thread_comes_once_though_others_write_meanwhile(own: Relay, query: Json) -> None:
    make_agent(own, id="ann")
    make_agent(own, id="ben")
    roots: list[int] = []
    for n in range(30):
        more = {"replyTo": roots[n % len(roots)]} if n % 3 == 2 else {}
        sent = make_message(own, to="ben", from_="ann", body="x", **more)
        if not more:
            roots.append(sent["id"])

    def ask(before: Any) -> Json:
        make_message(own, to="human", from_="human", body="y")
        more = {} if before is None else {"before": before}
        found: Json = answer(own.get("/threads", params=query | {"limit": 3} | more))
        return found

    seen = [thread for page in pages(ask, "threads") for thread in page if thread["from"] == "ann"]
    assert sorted(ids(seen)) == roots
    newest = [thread["last"]["id"] for thread in seen]
    assert newest == sorted(newest, reverse=True)


# Attention


def test_a_message_to_a_human_waits_until_it_is_read_or_answered(own: Relay) -> None:
    ann = make_agent(own)
    mail = [make_message(own, to="human", from_=ann)["id"] for _ in range(4)]
    make_message(own, to=ann)

    def waiting() -> list[int]:
        found = answer(own.get("/attention"))
        assert found["counts"]["messages"] == len(found["messages"])
        return ids(found["messages"])

    assert waiting() == mail[::-1]
    read(own, mail[0], "human")
    assert waiting() == [mail[3], mail[2], mail[1]]
    make_message(own, to=ann, replyTo=mail[1])
    assert waiting() == [mail[3], mail[2]]
    again = make_message(own, to="human", from_=ann, replyTo=mail[1])["id"]
    assert waiting() == [again, mail[3], mail[2]]
    found = answer(own.get("/attention?limit=1"))
    assert (ids(found["messages"]), found["counts"]["messages"]) == ([again], 3)


def test_work_that_was_given_back_waits_until_somebody_takes_it(own: Relay) -> None:
    target, (one, two) = crew(own, 2)
    first, second = make_work(own, to=target), make_work(own, to=target)
    make_work(own, to=target)  # nobody had it

    def waiting() -> list[int]:
        found = answer(own.get("/attention"))
        assert found["counts"]["releasedWork"] == len(found["releasedWork"])
        return ids(found["releasedWork"])

    claim(own, first, one)
    claim(own, second, one)
    assert waiting() == []
    release(own, second, one)
    release(own, first, one)
    assert waiting() == [first, second]
    claim(own, first, two)
    assert waiting() == [second]
    assert own.delete(f"/agents/{two}").status_code == 204
    assert waiting() == [first, second]


def test_blocked_tasks_wait(own: Relay) -> None:
    target, (one,) = crew(own, 1)
    task = make_task(own, target=target)["id"]
    claim(own, task, one)
    answer(own.patch(f"/tasks/{task}/status", {"status": "blocked", "agentId": one}))
    found = answer(own.get("/attention"))
    assert (ids(found["blockedTasks"]), found["counts"]["blockedTasks"]) == ([task], 1)
    assert (found["deadCallbacks"], found["counts"]["deadCallbacks"]) == ([], 0)
    answer(own.patch(f"/tasks/{task}/status", {"status": "in_progress", "agentId": one}))
    assert answer(own.get("/attention"))["blockedTasks"] == []


# Presence


def test_presence_tells_each_change_of_status_and_nothing_else(relay: Relay) -> None:
    one = make_agent(relay, id=unique("presence"))
    for fields in ({"status": "busy"}, {"promptChars": 5}, {"ready": False}, {"status": "idle"}):
        answer(relay.post(f"/agents/{one}/heartbeat", fields))
    [found] = [each for page in _presence(relay) for each in page if each["id"] == one]
    assert [change["status"] for change in found["changes"]] == ["online", "busy", "idle"]
    at = [change["at"] for change in found["changes"]]
    assert at == sorted(at)
    assert at[0] == answer(relay.get(f"/agents/{one}"))["registeredAt"]
    relay.delete(f"/agents/{one}")
    assert one not in [each["id"] for page in _presence(relay) for each in page]
    make_agent(relay, id=one)
    [found] = [each for page in _presence(relay) for each in page if each["id"] == one]
    assert [change["status"] for change in found["changes"]] == ["online"]


def _presence(relay: Relay) -> Iterator[list[Json]]:
    def ask(after: Any) -> Json:
        found: Json = answer(relay.get("/presence", params={} if after is None else {"after": after}))
        return found

    return pages(ask, "agents")


# Bad input, and who may ask


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/activity?minutes=0", "minutes"),
        ("/activity?minutes=1441", "minutes"),
        ("/activity?minutes=x", "minutes"),
        ("/activity?hours=1", "hours"),
        ("/traffic?since=yesterday", "since"),
        ("/traffic?until=2026-01-01T00:00:00", "until"),
        ("/threads?limit=0", "limit"),
        ("/threads?before=0", "before"),
        ("/threads?q=", "q"),
        ("/threads?unread=maybe", "unread"),
        ("/threads?agent=", "agent"),
        ("/attention?limit=101", "limit"),
        ("/presence?minutes=1441", "minutes"),
        ("/presence?after=", "after"),
        ("/messages?for=ann&claimedBy=ann", "claimedBy"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(relay: Relay, path: str, field: str) -> None:
    problem(relay.get(path), 422, "invalid", field=field)


@pytest.mark.parametrize("path", [*VIEWS, "/messages/1/timeline", "/tasks/1/timeline", "/agents/ann/timeline"])
def test_no_integration_sees_the_whole(own: Relay, path: str) -> None:
    problem(own.get(path, headers=bearer()), 403, "out-of-scope")


def test_history_can_be_asked_for_what_somebody_holds(relay: Relay) -> None:
    target, (one, two) = crew(relay, 2)
    work = [make_work(relay, to=target) for _ in range(3)]
    for message_id in work[:2]:
        claim(relay, message_id, one)
    claim(relay, work[2], two)
    found = answer(relay.get("/messages", params={"claimedBy": one}))["messages"]
    assert ids(found) == [work[1], work[0]]
    assert ids(answer(relay.get("/messages", params={"claimedBy": one, "limit": 1}))["messages"]) == [work[1]]
    release(relay, work[1], one)
    assert ids(answer(relay.get("/messages", params={"claimedBy": one}))["messages"]) == [work[0]]
