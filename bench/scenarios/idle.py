"""What a relay costs that has nothing to do, and how soon it is there."""

from __future__ import annotations

import time

from bench import floors, stats
from bench.http import Caller, register
from bench.live import Listeners
from bench.process import Relay
from bench.report import Figure
from bench.scenarios.base import Run, agent_ids

_STREAMS = 100


def run(run: Run) -> list[Figure]:
    """Memory, processor time, and the start."""
    rounds, rest_s = run.pick(5, 2), run.pick(20.0, 4.0)
    fresh: list[float] = []
    again: list[float] = []
    for _ in range(rounds):
        with run.relay() as relay:
            fresh.append(relay.start_s)
            home = relay.home
        with Relay(home) as relay:
            again.append(relay.start_s)
    bare = floors.python_rss_bytes(run.home()) / 1e6
    start = floors.python_start_s(run.home(), rounds=rounds)
    with run.relay() as relay:
        time.sleep(1.0)
        rss = relay.rss_bytes() / 1e6
        cpu = _cpu_percent(relay, rest_s)
        _use(relay)
        used = relay.rss_bytes() / 1e6
        with Listeners(relay.address) as listeners:
            listeners.open(agent_ids(_STREAMS))
            listeners.drain()
            streaming = _cpu_percent(relay, rest_s)
    name = "bare interpreter"
    return [
        Figure(name="resident memory after the start", value=rss, unit="MB", target=60, floor=bare, floor_name=name),
        Figure(name="resident memory after light use", value=used, unit="MB", floor=bare, floor_name=name),
        Figure(name=f"processor over {rest_s:.0f} s", value=cpu, unit="%", target=0.2),
        Figure(name=f"the same with {_STREAMS} streams", value=streaming, unit="%", target=0.2),
        Figure(
            name="start to first 200, fresh database",
            value=stats.median(fresh),
            unit="s",
            target=0.8,
            floor=start,
            floor_name=name,
        ),
        Figure(
            name="start to first 200, existing database",
            value=stats.median(again),
            unit="s",
            target=0.8,
            floor=start,
            floor_name=name,
        ),
    ]


def _cpu_percent(relay: Relay, seconds: float) -> float:
    time.sleep(1.0)
    before, begun = relay.cpu_s(), time.perf_counter()
    time.sleep(seconds)
    return (relay.cpu_s() - before) / (time.perf_counter() - begun) * 100


def _use(relay: Relay) -> None:
    """A little of everything."""
    register(relay.address, [{"id": agent} for agent in agent_ids(_STREAMS)])
    with Caller(relay.address) as caller:
        for number in range(50):
            sent = caller.call("POST", "/api/messages", {"from": "agent-0", "to": "agent-1", "body": f"hello {number}"})
            caller.call("GET", "/api/messages?for=agent-1&unread=true")
            caller.call("POST", f"/api/messages/{sent['id']}/read", {"agentId": "agent-1"})
        for path in ("/api/messages", "/api/stats", "/api/agents", "/api/healthz"):
            caller.call("GET", path)
