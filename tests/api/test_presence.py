"""Presence: the quiet turn stale and offline, any sign of life brings them back, the long gone are dropped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import MakeRelay
from tests.factories import (
    Relay,
    answer,
    card,
    claim,
    make_agent,
    make_message,
    make_work,
    names,
    problem,
    read,
    unread_ids,
    wait_until,
)

#: Long enough that a call comes back before the agent is stale again, short enough to wait for.
STALE_MS = 700


def status(relay: Relay, agent: str) -> str:
    return str(card(relay, agent)["status"])


def is_(relay: Relay, agent: str, *wanted: str) -> Callable[[], bool]:
    return lambda: status(relay, agent) in wanted


@pytest.fixture
def quick(make_relay: MakeRelay) -> Relay:
    return make_relay(STALE_TTL_MS=STALE_MS, REAP_INTERVAL_MS=50)


def test_the_quiet_become_stale_then_offline_and_events_say_so(quick: Relay) -> None:
    with quick.open("/events") as stream:
        agent = make_agent(quick, status="busy")
        events = [
            event for event in stream.until(lambda e: e.data.get("status") == "offline") if event.data["id"] == agent
        ]
    assert [(event.name, event.data["status"]) for event in events] == [
        ("agent.registered", "busy"), ("agent.status", "stale"), ("agent.status", "offline"),
    ]  # fmt: skip
    assert status(quick, agent) == "offline"
    assert [each["id"] for each in answer(quick.get("/agents?status=offline"))["agents"]] == [agent]
    assert answer(quick.get("/stats"))["agents"]["offline"] == 1


def test_every_call_in_an_agents_name_brings_it_back(quick: Relay) -> None:
    signs: dict[str, Callable[[str, int, int], object]] = {
        "register": lambda a, m, w: quick.post("/agents", {"id": a}),
        "heartbeat": lambda a, m, w: quick.post(f"/agents/{a}/heartbeat"),
        "heartbeat with a status": lambda a, m, w: quick.post(f"/agents/{a}/heartbeat", {"status": "busy"}),
        "send": lambda a, m, w: make_message(quick, from_=a, to="human"),
        "send in a batch": lambda a, m, w: quick.post("/messages", [{"from": a, "to": "human", "body": "x"}] * 2),
        "inbox": lambda a, m, w: quick.get("/messages", params={"for": a}),
        "long poll": lambda a, m, w: quick.get("/messages", params={"for": a, "unread": "true", "wait": 1}),
        "read": lambda a, m, w: read(quick, m, a),
        "read up to": lambda a, m, w: quick.post("/messages/read", {"agentId": a, "upTo": m}),
        "receipt": lambda a, m, w: quick.post(
            f"/messages/{m}/receipts", {"agentId": a, "state": "offered", "adapter": "t"}
        ),
        "claim": lambda a, m, w: claim(quick, w, a),
        "stream": lambda a, m, w: quick.open(f"/events?for={a}").close(),
    }
    agents = {name: make_agent(quick, status="busy") for name in signs}
    mail = {name: (make_message(quick, to=a)["id"], make_work(quick, to=a)) for name, a in agents.items()}
    for agent in agents.values():
        wait_until(is_(quick, agent, "stale", "offline"), "all are quiet")
    for name, sign in signs.items():
        seen = answer(quick.get("/stats"))["eventSeq"]
        sign(agents[name], *mail[name])
        shown = status(quick, agents[name])
        end = make_message(quick, to="nobody")["id"]
        with quick.open(f"/events?since={seen}") as stream:
            events = stream.until_message(end)
        back = [e.data["status"] for e in events if e.name == "agent.status" and e.data["id"] == agents[name]]
        assert back[:1] == ["busy"], (name, shown)


def test_peeking_and_looking_at_an_agent_are_no_signs_of_life(quick: Relay) -> None:
    agent = make_agent(quick)
    sent = make_message(quick, to=agent)["id"]

    def look() -> bool:
        quick.get("/messages", params={"for": agent, "peek": "true"})
        quick.get(f"/agents/{agent}")
        quick.get(f"/messages/{sent}/receipts")
        quick.patch(f"/agents/{agent}", {"meta": {}})
        return status(quick, agent) == "offline"

    wait_until(look, "it goes offline under all eyes")


def test_a_peeking_long_poll_is_no_sign_of_life(quick: Relay) -> None:
    agent = make_agent(quick)
    query = {"for": agent, "unread": "true", "peek": "true", "wait": 4 * STALE_MS / 1000}
    assert answer(quick.get("/messages", params=query))["messages"] == []
    assert status(quick, agent) != "online"


def test_a_live_stream_keeps_its_agent_alive(quick: Relay) -> None:
    streaming, other = make_agent(quick), make_agent(quick)
    with quick.open(f"/events?for={streaming}") as stream:
        wait_until(is_(quick, other, "offline"), "the other has long been quiet")
        assert status(quick, streaming) == "online"
        assert "agent.status" not in names(stream.until_message(make_message(quick, to=streaming)["id"]))
    wait_until(is_(quick, streaming, "offline"), "and without it goes")


def test_a_waiting_long_poll_keeps_its_agent_alive(quick: Relay) -> None:
    agent = make_agent(quick)
    seen = answer(quick.get("/stats"))["eventSeq"]
    quick.get("/messages", params={"for": agent, "unread": "true", "wait": 4 * STALE_MS / 1000})
    assert status(quick, agent) == "online"
    with quick.open(f"/events?for={agent}&since={seen}") as stream:
        assert names(stream.until_message(make_message(quick, to=agent)["id"])) == ["message.new"]


def test_an_offline_agents_work_is_released_announced_and_claimed_by_another(quick: Relay) -> None:
    gone, other = make_agent(quick, tags=["x"]), make_agent(quick, tags=["x"])
    work = make_work(quick, to="tag:x")
    claim(quick, work, gone)
    with quick.open(f"/events?for={other}") as stream:
        events = stream.until_message(work)
        assert names(events)[-2:] == ["message.released", "message.new"]
        assert status(quick, gone) == "offline"
        assert unread_ids(quick, other) == [work]
        assert claim(quick, work, other)["claimedBy"] == other
    refused = quick.post(f"/messages/{work}/claim", {"agentId": gone})
    assert problem(refused, 409, "claim-conflict")["claimedBy"] == other


def test_a_stale_agent_keeps_its_claims(make_relay: MakeRelay) -> None:
    relay = make_relay(STALE_TTL_MS=1500, REAP_INTERVAL_MS=50)
    agent = make_agent(relay)
    work = make_work(relay, to=agent)
    claim(relay, work, agent)
    wait_until(is_(relay, agent, "stale"), "it is stale")
    assert answer(relay.get(f"/messages/{work}"))["claimedBy"] == agent


def test_the_long_gone_are_dropped_and_the_rest_stay(make_relay: MakeRelay) -> None:
    relay = make_relay(STALE_TTL_MS=200, REAP_INTERVAL_MS=40, OFFLINE_PRUNE_MS=300)
    agent, alive = make_agent(relay), make_agent(relay)
    with relay.open("/events") as observer, relay.open(f"/events?for={alive}"):
        removed = observer.until(lambda event: event.name == "agent.removed")[-1]
    assert removed.data["id"] == agent
    assert removed.data["status"] == "offline"
    problem(relay.get(f"/agents/{agent}"), 404, "agent-not-found")
    assert relay.get(f"/agents/{alive}").status_code == 200


def test_a_restart_gives_the_living_their_full_time_and_the_offline_stay_so(make_relay: MakeRelay) -> None:
    relay = make_relay(STALE_TTL_MS=150, REAP_INTERVAL_MS=40)
    gone = make_agent(relay)
    wait_until(is_(relay, gone, "offline"))
    relay.settings["STALE_TTL_MS"] = "60000"
    relay.stop()
    relay.start()
    alive = make_agent(relay)
    relay.restart()
    assert status(relay, gone) == "offline"
    assert status(relay, alive) == "online"
