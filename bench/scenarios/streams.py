"""Thousands of agents that listen: what each costs, and how fast a message reaches one or all of them."""

from __future__ import annotations

import gc
import time

from bench import floors, stats
from bench.http import Caller, register, request_bytes
from bench.live import Listeners, raise_descriptor_limit
from bench.process import Address
from bench.report import Figure
from bench.scenarios.base import Run, agent_ids

#: Descriptors that neither side needs for its streams.
_SPARE = 300


def run(run: Run) -> list[Figure]:
    """5,000 live streams, each of a registered agent."""
    count = min(run.pick(5_000, 1_000), raise_descriptor_limit() - _SPARE)
    with run.relay() as relay, Listeners(relay.address) as listeners:
        registered = register(relay.address, [{"id": agent} for agent in agent_ids(count)])
        time.sleep(0.5)
        rss = relay.rss_bytes()
        opened_s = listeners.open(agent_ids(count))
        listeners.drain()
        broadcasts = _broadcasts(relay.address, listeners, count=count, rounds=run.pick(15, 5))
        time.sleep(0.5)
        rss = relay.rss_bytes() - rss
        threads = relay.threads()
        with floors.server(run.home(), "echo", str(run.folder / "echo")) as echo:
            # In turns, so that what disturbs one disturbs the other too.
            direct: list[float] = []
            echoed: list[float] = []
            for _ in range(run.pick(10, 4)):
                echoed += floors.echo_s(echo, rounds=50)
                direct += _direct(relay.address, listeners, count=count, rounds=50, base=len(direct))
    p50, p99 = stats.median(direct) * 1000, stats.percentile(direct, 99) * 1000
    floor50, floor99 = stats.median(echoed) * 1000, stats.percentile(echoed, 99) * 1000
    name = "TCP echo with fsync"
    return [
        Figure(name=f"resident memory, {count:,} streams", value=rss / count / 1024, unit="KB each", target=6),
        Figure(name="threads", value=threads, unit="threads", target=60),
        Figure(
            name="broadcast, until the last has it (median)",
            value=stats.median(broadcasts) / count * 1e6,
            unit="µs/agent",
            target=60,
        ),
        Figure(
            name="direct message to delivery, p50",
            value=p50,
            unit="ms",
            target=6,
            by_ratio=True,
            floor=floor50,
            floor_name=name,
        ),
        Figure(name="direct message to delivery, p99", value=p99, unit="ms", floor=floor99, floor_name=name),
        Figure(name="registrations", value=registered.per_s, unit="agents/s"),
        Figure(name="streams opened", value=count / opened_s, unit="streams/s"),
    ]


def _broadcasts(address: Address, listeners: Listeners, *, count: int, rounds: int) -> list[float]:
    """Seconds from sending to the last delivery."""
    took: list[float] = []
    with Caller(address) as caller:
        for number in range(rounds):
            marker = f"broadcast-{number}."
            request = request_bytes("POST", "/api/messages", {"from": "human", "to": "broadcast", "body": marker})
            gc.collect()
            begun = time.perf_counter()
            caller.sock.sendall(request)
            took.append(listeners.wait(marker.encode(), count=count)[-1] - begun)
            caller.receive()
            listeners.drain(0.1)
    return took


def _direct(address: Address, listeners: Listeners, *, count: int, rounds: int, base: int) -> list[float]:
    """Seconds from sending to delivery, to one agent after the other."""
    took: list[float] = []
    with Caller(address) as caller:
        for number in range(base, base + rounds):
            marker = f"direct-{number}."
            to = f"agent-{number * 7 % count}"
            request = request_bytes("POST", "/api/messages", {"from": "human", "to": to, "body": marker + "x" * 100})
            begun = time.perf_counter()
            caller.sock.sendall(request)
            took.append(listeners.wait(marker.encode(), count=1)[0] - begun)
            caller.receive()
    return took
