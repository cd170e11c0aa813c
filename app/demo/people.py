"""The pretend agents, made from the words of :mod:`app.demo.world` and a seed: the same seed, the same agents."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from app.demo import world
from app.model import BROADCAST, ReportedStatus, WakePath

_PROJECTS = {project.name: project for project in world.PROJECTS}


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One pretend agent."""

    id: str
    host: str
    rig: str
    project: world.Project
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    capabilities: tuple[str, ...]
    version: str
    branch: str
    prompt_chars: int
    status: ReportedStatus
    ready: bool
    #: how many minutes ago its ways to be woken have proved themselves; None for never
    proved_min: tuple[int | None, ...]

    def receives(self, target: str) -> bool:
        """Whether a message to this target is for it."""
        kind, colon, name = target.partition(":")
        if not colon:
            return target in {self.id, BROADCAST}
        return name in {"tag": self.tags, "cap": self.capabilities, "label": self.labels}.get(kind, ())

    def card(self) -> dict[str, Any]:
        """What it registers with."""
        now = datetime.now(UTC)
        paths = [
            WakePath(
                name=name,
                armed=minutes is not None,
                last_proved_at=None if minutes is None else (now - timedelta(minutes=minutes)).isoformat(),
            )
            for name, minutes in zip(world.WAKE_PATHS[self.rig], self.proved_min, strict=True)
        ]
        return {
            "labels": self.labels,
            "tags": self.tags,
            "capabilities": self.capabilities,
            "status": self.status,
            "ready": self.ready,
            "rig": self.rig,
            "project": self.project.name,
            "host": self.host,
            "version": self.version,
            "meta": {"branch": self.branch, "cwd": f"~/src/{self.project.name}"},
            "wake_paths": paths,
            "prompt_chars": self.prompt_chars,
        }


def make_cast(count: int, *, seed: int) -> list[Agent]:
    """So many agents; the first dozen are always the same, but for their hashes."""
    return [make_agent(number, seed=seed) for number in range(count)]


def make_agent(number: int, *, seed: int) -> Agent:
    """The agent of this number."""
    rng = Random(f"{seed}/agent/{number}")  # noqa: S311 - a pretend world, no secret
    if number < len(world.CAST):
        role = world.CAST[number]
    else:
        project = rng.choice(world.PROJECTS)
        role = world.Role(
            rng.choice(world.HOSTS),
            rng.choice(world.RIGS),
            project.name,
            (),
            (project.tag,),
            ("chat", *rng.sample(world.CAPABILITIES, rng.choice((1, 2, 2, 3)))),
        )
    digest = hashlib.sha256(f"{seed}/{number}/{role.host}".encode()).hexdigest()[:8]
    return Agent(
        id=f"{role.host}-{role.rig}-{role.project}-{digest}",
        host=role.host,
        rig=role.rig,
        project=_PROJECTS[role.project],
        labels=role.labels,
        tags=role.tags,
        capabilities=role.capabilities,
        version=rng.choice(world.VERSIONS[role.rig]),
        branch=rng.choice(world.BRANCHES),
        prompt_chars=rng.randrange(900, 5200),
        status=rng.choice((ReportedStatus.ONLINE, ReportedStatus.ONLINE, ReportedStatus.BUSY, ReportedStatus.IDLE)),
        # A whole world that takes no work would stand still; one in ten is enough to be seen.
        ready=number % 10 != 7,
        proved_min=tuple(rng.choice((0, 1, 4, 11, 38, None)) for _ in world.WAKE_PATHS[role.rig]),
    )


def words(agent: Agent, rng: Random) -> dict[str, str]:
    """Values for the placeholders of one conversation."""
    return {
        "file": rng.choice(agent.project.files),
        "symbol": rng.choice(agent.project.symbols),
        "table": rng.choice(agent.project.tables),
        "branch": agent.branch,
        "project": agent.project.name,
        "n": str(rng.randrange(6, 90)),
        "ms": str(rng.randrange(110, 960)),
        "version": f"3.{rng.randrange(1, 12)}",
    }


def filled(text: str, values: dict[str, str]) -> str:
    """A text with its placeholders filled; other braces are code and stay."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def recipients(cast: Sequence[Agent], target: str, *, but: str = "") -> list[Agent]:
    """Those of the cast whom a message reaches."""
    return [agent for agent in cast if agent.id != but and agent.receives(target)]
