"""The event stream: everything, or what concerns one agent; replay, reset, gaining and losing targets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeRelay
from tests.factories import (
    Event,
    EventStream,
    Relay,
    announced,
    answer,
    card,
    claim,
    make_agent,
    make_message,
    make_work,
    names,
    problem,
    read,
    release,
    unique,
    wait_until,
)


def mine(events: list[Event], *ids: object) -> list[Event]:
    """Of what a shared relay tells, what is about these."""
    keys = ("id", "messageId", "agentId")
    return [event for event in events if {event.data.get(key) for key in keys} & set(ids)]


def test_a_stream_has_the_headers_of_one_and_the_security_headers(relay: Relay) -> None:
    with relay.open("/events") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["x-content-type-options"] == "nosniff"
        assert stream.headers["x-request-id"]
        assert "content-length" not in stream.headers


def test_lines_come_as_id_event_data_and_the_data_is_one_line(relay: Relay) -> None:
    agent = make_agent(relay)
    with relay.open(f"/events?for={agent}") as stream:
        sent = make_message(relay, to=agent, body="one\ntwo\r\nthree\u2028four")
        event = stream.next()
    assert [line.partition(":")[0] for line in event.lines] == ["id", "event", "data"]
    assert (event.id, event.name) == (sent["id"], "message.new")
    assert event.data["body"] == "one\ntwo\r\nthree\u2028four"


def test_everything_that_happens_is_told_in_order_with_growing_ids(relay: Relay) -> None:
    with relay.open("/events") as stream:
        agent = make_agent(relay)
        work = make_work(relay, to=agent)
        read(relay, work, agent)
        claimed = claim(relay, work, agent)
        relay.patch(f"/agents/{agent}", {"ready": False})
        freed = release(relay, work, agent)
        last = card(relay, agent)
        relay.delete(f"/messages/{work}")
        relay.delete(f"/agents/{agent}")
        events = stream.until(lambda event: event.name == "agent.removed" and event.data["id"] == agent)
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))
    found = mine(events, agent, work)
    told = [event.name for event in found if event.name != "agent.status"]
    # The announcements of a message that is deleted before they are read are not told any more.
    assert [name for name in told if not name.startswith("message.")] == ["agent.registered", "agent.removed"]
    assert "message.deleted" in told
    by_name = {event.name: event.data for event in found}
    assert by_name["agent.removed"]["id"] == last["id"]
    assert by_name["message.deleted"]["body"] == ""
    del claimed, freed


def test_each_event_carries_what_the_api_shows(relay: Relay) -> None:
    agent = make_agent(relay)
    with relay.open("/events") as stream:

        def told(name: str) -> Any:
            return mine(stream.until(lambda event: event.name == name and mine([event], agent, work)), agent, work)[
                -1
            ].data

        sent = make_message(relay, to=agent, claimable=True)
        work = sent["id"]
        assert told("message.new") == {k: v for k, v in sent.items() if k not in {"queued", "recipients"}}
        mark = read(relay, work, agent)
        assert told("message.read") == mark
        got = claim(relay, work, agent)
        assert told("message.claimed") == got
        freed = release(relay, work, agent)
        assert told("message.released") == freed
        assert told("message.new") == freed
        changed = answer(relay.patch(f"/agents/{agent}", {"meta": {"x": 1}}))
        assert {k: v for k, v in told("agent.status").items() if k != "lastSeenAt"} == {
            k: v for k, v in changed.items() if k != "lastSeenAt"
        }
        relay.delete(f"/messages/{work}")
        assert told("message.deleted")["id"] == work


def test_what_changes_nothing_is_no_event(relay: Relay) -> None:
    agent = make_agent(relay, tags=["t"])
    sent = make_message(relay, to=agent, claimable=True)["id"]
    read(relay, sent, agent)
    claim(relay, sent, agent)
    with relay.open(f"/events?for={agent}") as stream:
        relay.post("/agents", {"id": agent, "tags": ["t"]})
        relay.post(f"/agents/{agent}/heartbeat", {"status": "online"})
        relay.post(f"/agents/{agent}/heartbeat")
        relay.patch(f"/agents/{agent}", {"ready": True})
        read(relay, sent, agent)
        claim(relay, sent, agent)
        relay.post("/messages/read", {"agentId": agent, "upTo": sent})
        assert names(stream.until_message(make_message(relay, to=agent)["id"])) == ["message.new"]


# -- one agent's stream ------------------------------------------------------------------------------------------------


def test_an_agents_stream_begins_with_its_unread_inbox_under_the_original_ids(relay: Relay) -> None:
    tag = unique("tag")
    old_work = make_work(relay, to=f"tag:{tag}")
    agent = make_agent(relay, tags=[tag])
    first, seen, third = (make_message(relay, to=to)["id"] for to in (agent, agent, f"tag:{tag}"))
    read(relay, seen, agent)
    taken = make_work(relay, to=f"tag:{tag}")
    claim(relay, taken, make_agent(relay, tags=[tag]))
    with relay.open(f"/events?for={agent}") as stream:
        live = make_message(relay, to=agent)["id"]
        events = stream.until_message(live)
    assert [(event.id, event.data["id"]) for event in events] == [(n, n) for n in (old_work, first, third, live)]
    assert all("read" not in event.data for event in events)


def test_a_long_unread_inbox_comes_whole_and_in_order(relay: Relay) -> None:
    tag = unique("tag")
    agent = make_agent(relay, tags=[tag])
    batch = [{"from": "human", "to": agent if n % 3 else f"tag:{tag}", "body": str(n)} for n in range(300)]
    ids = [message["id"] for message in answer(relay.post("/messages", batch), 201)["messages"]]
    with relay.open(f"/events?for={agent}") as stream:
        assert announced(stream.take(300)) == ids
        live = make_message(relay, to=agent)["id"]
        assert announced(stream.until_message(live)) == [live]


def test_an_agents_stream_tells_what_concerns_it_and_nothing_else(relay: Relay) -> None:
    tag = unique("tag")
    agent, peer, stranger = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag]), make_agent(relay)
    with relay.open(f"/events?for={agent}") as stream:
        direct = make_message(relay, from_=stranger, to=agent)["id"]
        make_message(relay, from_=peer, to=stranger)
        make_message(relay, to=f"tag:{tag.upper()}")
        own = make_message(relay, from_=agent, to=stranger)["id"]
        read(relay, own, stranger)
        relay.patch(f"/agents/{peer}", {"ready": False})
        relay.patch(f"/agents/{agent}", {"ready": False})
        work = make_work(relay, to=f"tag:{tag}")
        claim(relay, work, peer)
        last = make_message(relay, to="broadcast")["id"]
        events = stream.until_message(last)
    told = [(event.name, event.data.get("id", event.data.get("messageId"))) for event in events]
    told = [(name, about) for name, about in told if about in {direct, own, work, last, agent, peer, stranger}]
    assert told == [
        ("message.new", direct), ("message.new", own), ("message.read", own), ("agent.status", agent),
        ("message.new", work), ("message.claimed", work), ("message.new", last),
    ]  # fmt: skip


def test_a_gained_tag_brings_its_open_work_and_its_news_and_a_lost_one_nothing_more(relay: Relay) -> None:
    tag = unique("tag")
    open_work, taken = make_work(relay, to=f"tag:{tag}"), make_work(relay, to=f"tag:{tag}")
    make_message(relay, to=f"tag:{tag}")
    claim(relay, taken, make_agent(relay, tags=[tag]))
    agent = make_agent(relay)
    with relay.open(f"/events?for={agent}") as stream:
        stream.until_message(make_message(relay, to=agent)["id"])  # past its first look into the inbox
        make_agent(relay, id=agent, tags=[tag])
        news = make_message(relay, to=f"tag:{tag}")["id"]
        assert announced(stream.until_message(news)) == [open_work, news]
        make_agent(relay, id=agent, tags=[])
        make_message(relay, to=f"tag:{tag}")
        direct = make_message(relay, to=agent)["id"]
        assert announced(stream.until_message(direct)) == [direct]


def test_a_removed_agents_streams_end_after_saying_so(relay: Relay) -> None:
    agent = make_agent(relay)
    with relay.open(f"/events?for={agent}") as one, relay.open(f"/events?for={agent}") as two:
        relay.delete(f"/agents/{agent}")
        for stream in (one, two):
            assert stream.next().name == "agent.removed"
            assert stream.ended()


def test_the_human_has_a_stream_too(relay: Relay) -> None:
    agent = make_agent(relay)
    relay.post("/messages/read", {"agentId": "human", "upTo": 2**62})
    with relay.open("/events?for=human") as stream:
        sent = make_message(relay, from_=agent, to="human")["id"]
        assert announced(stream.until_message(sent))[-1] == sent
        said = make_message(relay, to=agent)["id"]
        assert stream.until_message(said)[-1].data["from"] == "human"


@pytest.mark.parametrize(
    "query", ["?for=nobody-there", "?for=", "?since=x", "?since=-1", "?since=9223372036854775808", "?x=1"]
)
def test_a_stream_that_cannot_be_is_a_plain_problem(relay: Relay, query: str) -> None:
    if query == "?for=nobody-there":
        problem(relay.get(f"/events{query}"), 404, "agent-not-found")
    else:
        problem(relay.get(f"/events{query}"), 422, "invalid", field=query[1:].partition("=")[0])


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9223372036854775808", "9" * 400, "¹"])
def test_a_bad_last_event_id_is_refused(relay: Relay, value: str) -> None:
    response = relay.get("/events", headers={"Last-Event-ID": value.encode()}, stream=True)
    problem(response, 422, "invalid", field="Last-Event-ID")


def test_many_streams_are_counted_and_counted_down(own_relay: Relay) -> None:
    streams = [own_relay.open("/events") for _ in range(20)]
    wait_until(lambda: answer(own_relay.get("/stats"))["live"]["sse"] == 20, "all are counted")
    sent = make_message(own_relay, to="human")["id"]
    for stream in streams:
        assert stream.until_message(sent)
        stream.close()
    wait_until(lambda: answer(own_relay.get("/stats"))["live"]["sse"] == 0, "all are gone")


# -- replay ------------------------------------------------------------------------------------------------------------


def test_a_returning_listener_gets_only_what_came_later(relay: Relay) -> None:
    agent = make_agent(relay)
    ids = [make_message(relay, to=agent)["id"] for _ in range(4)]
    for headers, query in (({"Last_Event_ID": str(ids[1])}, ""), ({}, f"&since={ids[1]}")):
        with relay.open(f"/events?for={agent}{query}", **headers) as stream:
            ids.append(make_message(relay, to=agent)["id"])
            assert announced(stream.until_message(ids[-1])) == ids[2:]


def test_the_header_goes_before_the_query(relay: Relay) -> None:
    agent = make_agent(relay)
    ids = [make_message(relay, to=agent)["id"] for _ in range(3)]
    with relay.open(f"/events?for={agent}&since={ids[0]}", Last_Event_ID=str(ids[1])) as stream:
        assert announced(stream.take(1)) == ids[2:]


def test_replay_of_everything_tells_each_event_as_it_was_told(relay: Relay) -> None:
    before = answer(relay.get("/stats"))["eventSeq"]
    with relay.open(f"/events?since={before}") as live:
        agent = make_agent(relay)
        work = make_work(relay, to=agent)
        claim(relay, work, agent)
        release(relay, work, agent)
        end = make_message(relay, to=agent)["id"]
        told = live.until_message(end)
    with relay.open(f"/events?since={before}") as replay:
        assert replay.until_message(end) == told
    assert [event.data["claimedBy"] for event in mine(told, work)] == [None, agent, None, None]


def test_replay_for_an_agent_tells_what_it_would_have_been_told(relay: Relay) -> None:
    tag = unique("tag")
    agent, peer = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    before = answer(relay.get("/stats"))["eventSeq"]
    with relay.open(f"/events?for={agent}&since={before}") as live:
        work = make_work(relay, to=f"tag:{tag}")
        claim(relay, work, peer)
        make_message(relay, to=peer)
        relay.patch(f"/agents/{agent}", {"ready": False})
        own = make_message(relay, from_=agent, to="human")["id"]
        read(relay, own, "human")
        end = make_message(relay, to=agent)["id"]
        told = mine(live.until_message(end), work, own, agent, end)
    with relay.open(f"/events?for={agent}&since={before}") as replay:
        assert mine(replay.until_message(end), work, own, agent, end) == told
    assert names(told) == [
        "message.new",
        "message.claimed",
        "agent.status",
        "message.new",
        "message.read",
        "message.new",
    ]


def test_a_listener_that_comes_with_the_id_of_its_own_send_is_not_reset(relay: Relay) -> None:
    agent = make_agent(relay)
    for _ in range(60):
        sent = make_message(relay, to=agent)["id"]
        with relay.open(f"/events?since={sent}") as stream:
            assert "reset" not in names(stream.until_message(make_message(relay, to=agent)["id"]))


def test_an_id_of_the_future_is_a_reset(relay: Relay) -> None:
    agent = make_agent(relay)
    waiting = make_message(relay, to=agent)["id"]
    with relay.open(f"/events?for={agent}", Last_Event_ID=str(2**62)) as stream:
        first = stream.next()
        assert first.name == "reset"
        assert first.id >= waiting
        assert announced([stream.next()]) == [waiting]


def test_a_stream_goes_on_over_a_restart_by_its_last_id(make_relay: MakeRelay) -> None:
    relay = make_relay()
    agent = make_agent(relay)
    with relay.open(f"/events?for={agent}") as stream:
        first = make_message(relay, to=agent)["id"]
        last = stream.until_message(first)[-1].id
        second = make_message(relay, to=agent)["id"]
        relay.kill()
    relay.start()
    with relay.open(f"/events?for={agent}", Last_Event_ID=str(last)) as stream:
        assert announced(stream.until_message(second)) == [second]
    with relay.open(f"/events?for={agent}") as stream:
        assert announced(stream.take(2)) == [first, second]


def test_a_stop_ends_streams_within_three_seconds(make_relay: MakeRelay) -> None:
    relay = make_relay()
    streams: list[EventStream] = [relay.open("/events") for _ in range(10)]
    assert relay.stop() == 0
    for stream in streams:
        assert stream.ended()
        stream.close()


def test_a_comment_goes_out_every_15_seconds(relay: Relay) -> None:
    with relay.open(f"/events?for={make_agent(relay)}") as stream:
        assert stream.wait_for_comment(25) < 17


@pytest.mark.parametrize("of_one", [False, True])
def test_a_replay_goes_on_behind_what_was_deleted(own_relay: Relay, of_one: bool) -> None:
    """A page in which something is left out is not the end of the log (#3)."""
    make_agent(own_relay, id="bob")
    batch = [{"from": "human", "to": "bob", "body": "x"}] * 300
    sent = [message["id"] for message in answer(own_relay.post("/messages", batch), 201)["messages"]]
    gone = [*sent[10:11], *sent[100:180]]
    for message_id in gone:
        assert own_relay.delete(f"/messages/{message_id}").status_code == 204
    last = make_message(own_relay, to="bob")["id"]
    with own_relay.open("/events?since=0" + ("&for=bob" if of_one else "")) as stream:
        seen = [event.data["id"] for event in stream.until_message(last) if event.name == "message.new"]
    assert seen == [message_id for message_id in [*sent, last] if message_id not in gone]
