"""The contract's rules for tasks, as a model that is obviously right, against the real store and services."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from app.errors import ClaimConflict, MessageClosed, NotClaimant, RelayError, StatusConflict
from app.integrations import Integration
from app.model import DeliveryQuery, IntegrationEvent, SetTaskStatus, TaskEventQuery
from app.server.services import agents, callbacks, claims, ingress, messages, tasks
from app.server.store import callbacks as outbox
from app.server.store.callbacks import AttemptRow
from app.server.workers import reaper
from tests.factories import FakeClock, Home, wait_until

TTL_MS = 1_000
AGENTS = ("ann", "bob", "cid")
KEYS = (None, "disk", "load")
SEVERITIES = ("info", "warning", "error", "critical")
STATUSES = ("open", "claimed", "in_progress", "blocked", "done", "failed", "cancelled")
ENDS = frozenset({"done", "failed", "cancelled"})
MOVES = {
    "open": {"cancelled"},
    "claimed": {"in_progress", "blocked"} | ENDS,
    "in_progress": {"blocked"} | ENDS,
    "blocked": {"in_progress"} | ENDS,
}
OPS = Integration(
    name="ops", token="t", scopes=("*",), targets=("*",), channels=("*",), callback_url="http://127.0.0.1:9/"
)
#: What may happen: how often, and with what.
STEPS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "event": (6, (KEYS, SEVERITIES)),
    "resolve": (2, (KEYS[1:],)),
    "claim": (6, (AGENTS, range(4), (True, False))),
    "release": (2, ((*AGENTS, "human"), range(4), (True, False))),
    "move": (7, ((*AGENTS, None), range(4), STATUSES)),
    "leave": (1, (AGENTS,)),
    "come": (2, (AGENTS,)),
    "time_passes": (1, ((400, TTL_MS, 3 * TTL_MS),)),
    "deliver": (4, ((True, True, False),)),
    "restart": (1, ()),
}


@dataclass
class Known:
    """A task as it should stand."""

    id: int
    key: str | None
    severity: str
    status: str = "open"
    holder: str | None = None
    count: int = 1
    #: (event, status) of every change
    history: list[tuple[str, str]] = field(default_factory=lambda: [("task.created", "open")])

    @property
    def active(self) -> bool:
        return self.status not in ENDS

    def moves(self, event: str, status: str) -> None:
        self.status = status
        self.history.append((event, status))


class TaskRules:
    """The model, and what is done to both sides."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.home = Home(
            folder / "relay.db", clock=self.clock, stale_ttl_ms=TTL_MS, offline_prune_ms=10**9, integrations=(OPS,)
        )
        self.tasks: dict[int, Known] = {}
        self.here: set[str] = set()
        #: (task, event, status) as the integration was told, in order
        self.told: list[tuple[int, str, str]] = []
        for agent in AGENTS:
            self.come(agent)

    def pick(self, index: int) -> Known | None:
        """One of the tasks so far, the newest first."""
        known = list(self.tasks.values())[::-1]
        return known[index % len(known)] if known else None

    def ingest(self, **fields: Any) -> Any:
        event = {"type": "t", "severity": "info", "title": "x", "target": "tag:crew", "channel": "c"} | fields
        event = {name: value for name, value in event.items() if value is not None}
        got: list[Any] = []
        submission = ingress.prepare(self.home.bus, OPS, msgspec.convert(event, IntegrationEvent))
        ingress.submit(self.home.bus, submission, lambda answer, error: got.append((answer, error)))
        wait_until(lambda: got, "the event is stored")
        assert got[0][1] is None
        return got[0][0]

    def active_with(self, key: str | None) -> Known | None:
        return next((k for k in self.tasks.values() if key is not None and k.key == key and k.active), None)

    # -- steps -------------------------------------------------------------------------------------------------------

    def event(self, key: str | None, severity: str) -> None:
        known = self.active_with(key)
        answer = self.ingest(dedupeKey=key, severity=severity)
        assert (answer.created, answer.deduped) == (known is None, known is not None)
        if known is None:
            assert answer.task.id > max(self.tasks, default=0)
            self.tasks[answer.task.id] = Known(id=answer.task.id, key=key, severity=severity)
        else:
            assert answer.task.id == known.id
            known.count += 1
            known.severity = max(known.severity, severity, key=SEVERITIES.index)
            known.history.append(("task.updated", known.status))

    def resolve(self, key: str) -> None:
        known = self.active_with(key)
        answer = self.ingest(dedupeKey=key, status="resolved")
        assert (answer.task.id if answer.task else None) == (known.id if known else None)
        if known is not None:
            known.moves("task.status", "done")

    def claim(self, agent: str, index: int, by_message: bool) -> None:
        known = self.pick(index)
        if known is None or agent not in self.here:
            return
        wanted: type[RelayError] | None = None
        if not known.active:
            wanted = MessageClosed
        elif known.holder not in {None, agent}:
            wanted = ClaimConflict
        with contextlib.nullcontext() if wanted is None else pytest.raises(wanted):
            message = claims.claim(self.home.bus, known.id, agent_id=agent, secret=None)
            assert message.claimed_by == agent
        if by_message:
            agents.sign_of_life(self.home.bus, agent)
        if wanted is None and known.holder is None:
            known.holder = agent
            known.moves("task.claimed", "claimed")

    def release(self, agent: str, index: int, by_message: bool) -> None:
        known = self.pick(index)
        if known is None or (agent != "human" and agent not in self.here):
            return
        wanted: type[RelayError] | None = None
        if not known.active:
            wanted = StatusConflict
        elif known.holder is None or agent not in {"human", known.holder}:
            wanted = NotClaimant
        with contextlib.nullcontext() if wanted is None else pytest.raises(wanted):
            claims.release(self.home.bus, known.id, agent_id=agent, secret=None)
        if wanted is None:
            known.holder = None
            known.moves("task.status", "open")

    def move(self, agent: str | None, index: int, status: str) -> None:
        known = self.pick(index)
        if known is None or (agent is not None and agent not in self.here):
            return
        wanted: type[RelayError] | None = None
        if agent is not None and agent != known.holder:
            wanted = NotClaimant
        elif status != known.status and status not in MOVES.get(known.status, set()):
            wanted = StatusConflict
        request = {"status": status} | ({} if agent is None else {"agentId": agent})
        with contextlib.nullcontext() if wanted is None else pytest.raises(wanted):
            tasks.set_status(self.home.bus, known.id, msgspec.convert(request, SetTaskStatus), agent_secret=None)
        if wanted is None and status != known.status:
            known.moves("task.status", status)

    def leave(self, agent: str) -> None:
        if agent in self.here:
            agents.remove(self.home.bus, agent, secret=None)
            self.is_gone(agent)

    def is_gone(self, agent: str) -> None:
        self.here.discard(agent)
        for known in self.tasks.values():
            if known.holder == agent and known.active:
                known.holder = None
                known.moves("task.status", "open")

    def come(self, agent: str) -> None:
        self.home.register(agent, tags=["crew"])
        self.here.add(agent)

    def time_passes(self, ms: int) -> None:
        self.clock.advance(ms)
        before = {agent: self.home.bus.presence.silent_s(agent) * 1000 for agent in self.here}
        reaper.reap(self.home.bus, frozenset())
        for agent, silent_ms in before.items():
            if silent_ms >= 3 * TTL_MS:
                self.is_gone(agent)

    def deliver(self, delivered: bool) -> None:
        with self.home.store.read() as connection:
            due = outbox.list_due(connection, "ops", now_ms=self.clock.ms, limit=1)
        for each in due:
            error = None if delivered else "no"
            attempt = AttemptRow(at=self.clock.ms, duration_ms=1, status=None, error=error, response=None)
            callbacks.record(self.home.bus, each.id, attempt, delivered=delivered)
            if delivered:
                self.told.append((each.task_id, each.event, msgspec.json.decode(each.task)["status"]))

    def restart(self) -> None:
        self.home.close()
        self.home.open()

    # -- what always holds -------------------------------------------------------------------------------------------

    def check(self) -> None:
        for known in self.tasks.values():
            task, message = tasks.get(self.home.bus, known.id), messages.get(self.home.bus, known.id)
            assert (task.status, task.claimed_by) == (known.status, known.holder)
            assert message.claimed_by == known.holder
            assert (task.severity, task.occurrence_count) == (known.severity, known.count)
            assert (task.closed_at is None) == (message.expires_at is None) == known.active
            found = tasks.list_history(self.home.bus, known.id, TaskEventQuery(limit=500)).events
            assert [(moment.event, moment.status.value) for moment in found] == known.history
        for agent in self.here:
            unread = {message.id for message in self.home.inbox(agent, unread=True)}
            assert unread == {k.id for k in self.tasks.values() if k.active and k.holder in {None, agent}}

    def check_callbacks(self) -> None:
        """What was told of each task is the beginning of its history, in order; the rest is still to come."""
        found = callbacks.list_callbacks(self.home.bus, DeliveryQuery(limit=500)).callbacks
        for known in self.tasks.values():
            wanted = [each for each in known.history if each[0] != "task.updated"]
            told = [(event, status) for task_id, event, status in self.told if task_id == known.id]
            assert told == wanted[: len(told)]
            mine = [delivery for delivery in found if delivery.task_id == known.id]
            assert len(mine) == len(wanted)
            assert sum(delivery.state == "delivered" for delivery in mine) == len(told)


@pytest.mark.parametrize("seed", range(24))
def test_long_walks(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a walk, no secret
    names, weights = list(STEPS), [often for often, _ in STEPS.values()]
    walk: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        rules = TaskRules(Path(folder))
        try:
            for name in random.choices(names, weights, k=70):
                walk.append((name, *map(random.choice, STEPS[name][1])))
                getattr(rules, name)(*walk[-1][1:])
                rules.check()
            rules.check_callbacks()
        except BaseException as exc:
            exc.add_note("\n".join(map(str, walk)))
            raise
        finally:
            rules.home.close()
