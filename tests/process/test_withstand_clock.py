"""The wall clock jumps back an hour and forward a day, under a running relay."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integrations import configured, deliveries, make_integration, make_task, receiving
from tests.process._relay import EventStream, Relay, WebSocket, wait_until
from tests.process.conftest import MakeRelay

LIBRARIES = [path for folder in Path("/usr/lib").glob("*/faketime") for path in folder.glob("libfaketimeMT.so.1")]

pytestmark = pytest.mark.skipif(
    not LIBRARIES, reason="NOT TESTED: there is no libfaketime (apt-get install libfaketime)"
)

HOUR_S = 3_600
DAY_S = 24 * HOUR_S

Jump = Callable[[int], None]
MakeClock = Callable[..., "tuple[Relay, Jump]"]


@pytest.fixture
def make_clock(make_relay: MakeRelay, tmp_path: Path) -> MakeClock:
    """A relay that looks often, and what sets its wall clock. Its monotonic clock stays true."""
    return functools.partial(_clocked, make_relay, tmp_path / "clock")


@pytest.fixture
def clock(make_clock: MakeClock) -> tuple[Relay, Jump]:
    return make_clock()


def _clocked(make_relay: MakeRelay, file: Path, **settings: Any) -> tuple[Relay, Jump]:
    def jump(seconds: int) -> None:
        new = file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(file)
        expected = datetime.now().timestamp() + seconds  # noqa: DTZ005
        wait_until(lambda: abs(now_s(relay) - expected) < 60, "the clock has jumped")

    file.write_text("+0\n")
    relay = make_relay(
        LD_PRELOAD=LIBRARIES[0],
        FAKETIME_TIMESTAMP_FILE=file,
        FAKETIME_NO_CACHE=1,
        FAKETIME_DONT_FAKE_MONOTONIC=1,
        STALE_TTL_MS=2_000,
        REAP_INTERVAL_MS=100,
        **settings,
    )
    return relay, jump


def now_s(relay: Relay) -> float:
    """The relay's own wall clock."""
    sent = relay.ok("POST", "/api/messages", {"from": "human", "to": "clock", "body": "what time is it?"})
    return datetime.fromisoformat(sent["createdAt"]).timestamp()


@pytest.mark.parametrize("seconds", [-HOUR_S, DAY_S, -3 * DAY_S])
def test_a_jump_of_the_clock_costs_nobody_anything(clock: tuple[Relay, Jump], seconds: int) -> None:
    relay, jump = clock
    for name in ("worker", "listener", "socket"):
        relay.register(name, tags=["w"])
    work = relay.tell("tag:w", "work", claimable=True)
    relay.ok("POST", f"/api/messages/{work}/claim", {"agentId": "worker"})
    lasting = relay.tell("listener", "for a week", expiresInMs=7 * DAY_S * 1000)
    brief = relay.tell("listener", "for two hours", expiresInMs=2 * HOUR_S * 1000)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.3):
            relay.ok("POST", "/api/agents/worker/heartbeat")

    beating = threading.Thread(target=beat)
    with (
        contextlib.closing(EventStream(relay.port, "?for=listener")) as stream,
        contextlib.closing(WebSocket(relay.port)) as ws,
    ):
        assert ws.call("hello", agentId="socket")["ok"]
        beating.start()
        try:
            ids = [relay.tell("listener", "before")]
            jump(seconds)
            ids += [relay.tell("listener", f"after {number}") for number in range(5)]
            assert ids == sorted(set(ids)), "ids do not grow"

            # Long enough for everyone to be looked at, many times over.
            seen: list[dict[str, str]] = []
            pause = threading.Event()
            for _ in range(10):
                pause.wait(0.1)
                seen.append({card["id"]: card["status"] for card in relay.ok("GET", "/api/agents")["agents"]})
            assert all(set(statuses.values()) == {"online"} for statuses in seen), seen
            assert relay.ok("GET", f"/api/messages/{work}")["claimedBy"] == "worker"

            # The streams live, and everything comes in order.
            heard: list[Any] = []
            while not heard or heard[-1] != ids[-1]:
                event = stream.next()
                if event.type == "message.new":
                    heard.append(event.data["id"])
            assert heard == sorted(heard)
            assert set(ids) <= set(heard)
            sent = ws.call("send", to="listener", body="by socket")
            assert sent["ok"]
            assert sent["result"]["id"] > ids[-1]
        finally:
            done.set()
            beating.join()

    inbox = relay.ok("GET", "/api/messages?for=listener&limit=500")["messages"]
    found = [message["id"] for message in inbox]
    assert found == sorted(found)
    assert set(ids) <= set(found)
    # Expiry is a time of the wall clock, and goes with it.
    assert lasting in found
    assert (brief in found) == (seconds < 2 * HOUR_S)
    history = [message["id"] for message in relay.ok("GET", "/api/messages?limit=500")["messages"]]
    assert history == sorted(history, reverse=True)
    # Who is silent from now on goes, by the clock that did not jump.
    wait_until(lambda: relay.ok("GET", "/api/agents/worker")["status"] != "online", "silence is noticed")
    assert relay.stop() == 0


@pytest.mark.parametrize("seconds", [-HOUR_S, 3 * DAY_S])
def test_callbacks_are_tried_and_given_up_by_the_clock_that_did_not_jump(make_clock: MakeClock, seconds: int) -> None:
    with receiving(lambda _call: (204 if len(receiver.calls) > 3 else 500, b"", {})) as receiver:
        relay, jump = make_clock(**configured(make_integration(callbackUrl=receiver.url)))
        make_task(relay, dedupeKey="k")
        receiver.wait_for(2)
        jump(seconds)
        wait_until(lambda: deliveries(relay, state="delivered"), "it is delivered")
        assert len(deliveries(relay)[0]["attempts"]) == 4


def test_a_clock_that_went_back_over_a_restart_keeps_ids_growing(clock: tuple[Relay, Jump]) -> None:
    relay, jump = clock
    relay.register("alice")
    first = [relay.tell("alice", "first") for _ in range(3)]
    assert relay.stop() == 0
    (Path(relay.settings["FAKETIME_TIMESTAMP_FILE"])).write_text(f"-{HOUR_S}\n")
    relay.start()
    second = [relay.tell("alice", "second") for _ in range(3)]
    assert min(second) > max(first)
    assert relay.ok("GET", "/api/agents/alice")["status"] == "online"
    jump(0)
    assert relay.tell("alice", "third") > max(second)
    with contextlib.closing(EventStream(relay.port, f"?since={first[0]}")) as log:
        ids = [log.next().id for _ in range(6)]
    assert ids == sorted(ids)
