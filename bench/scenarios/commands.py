"""Whole commands, from the shell's point of view."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import floors, stats
from bench.http import register
from bench.process import child_env
from bench.report import Figure
from bench.scenarios.base import Run


def run(run: Run) -> list[Figure]:
    """The median of several, warm."""
    rounds = run.pick(10, 4)
    script = Path(sys.executable).with_name("agent-relay")
    with run.relay() as relay:
        env = child_env(relay.home) | {"AGENT_RELAY_URL": f"http://127.0.0.1:{relay.address[1]}"}
        register(relay.address, [{"id": "alice"}, {"id": "bob"}])
        version: list[float] = []
        send: list[float] = []
        bare: list[float] = []
        for number in range(-2, rounds):
            took = floors.command_s([str(script), "--version"], env=env)
            sent = floors.command_s([str(script), "send", "bob", "hello", "--as", "alice"], env=env)
            python = floors.command_s([sys.executable, "-c", "pass"], env=env)
            if number >= 0:  # those before it warm the caches
                version.append(took * 1000)
                send.append(sent * 1000)
                bare.append(python * 1000)
    floor, name = stats.median(bare), "bare interpreter"
    return [
        Figure(
            name="agent-relay --version",
            value=stats.median(version),
            unit="ms",
            target=100,
            floor=floor,
            floor_name=name,
        ),
        Figure(
            name="agent-relay send …", value=stats.median(send), unit="ms", target=250, floor=floor, floor_name=name
        ),
    ]
