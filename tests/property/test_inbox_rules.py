"""The contract's inbox rules, as a model that is obviously right, against the real store and services."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.errors import (
    ClaimConflict,
    Invalid,
    MessageExpired,
    MessageNotFound,
    NotARecipient,
    NotClaimable,
    NotClaimant,
    RelayError,
)
from app.model import Status
from app.server.services import agents, claims, inbox, messages
from app.server.store import messages as message_store
from app.server.workers import reaper, retention
from tests.factories import FakeClock, Home

TTL_MS = 1_000
PRUNE_MS = 10_000
DAY_MS = 24 * 3600 * 1000

AGENTS = ("ann", "bob", "cid")
ANYBODY = (*AGENTS, "human")
TAGS: tuple[list[str], ...] = (["x"], ["x", "y"], ["y"], [])
TARGETS = ("tag:x", "ann", "tag:x", "bob", "tag:y", "cid", "cap:x", "broadcast", "human", "dan")
#: Which of the messages so far, newest first; what is too large wraps around.
PICK = range(5)

#: What may happen: how often, and with what.
STEPS: dict[str, tuple[int, tuple[Sequence[Any], ...]]] = {
    "send": (8, (ANYBODY, TARGETS, (False, True), (None, None, None, 400, 5_000))),
    "read": (4, (ANYBODY, PICK)),
    "read_up_to": (2, (ANYBODY, PICK)),
    "claim": (5, (ANYBODY, PICK, (True, True, True, False))),
    "release": (2, (PICK,)),
    "release_what_another_holds": (1, (AGENTS, PICK)),
    "register": (4, (AGENTS, TAGS, TAGS)),
    "advance": (3, ((1, 400, 400, TTL_MS, TTL_MS, 3 * TTL_MS, 5_000, 3 * TTL_MS + PRUNE_MS),)),
    "reap": (2, ()),
    "sign_of_life": (3, (AGENTS,)),
    "remove": (1, (AGENTS,)),
    "delete": (1, (PICK,)),
    "restart": (1, ()),
    "retain": (1, ((0, 0, 0, 0, 29, 31),)),
}
ANY_STEP = st.one_of([st.tuples(st.just(name), *map(st.sampled_from, values)) for name, (_, values) in STEPS.items()])


@dataclass
class Sent:
    id: int
    sender: str
    target: str
    claimable: bool
    created_at: int
    expires_at: int | None
    claimed_by: str | None = None


@dataclass
class Agent:
    seen_at: int
    status: Status = Status.ONLINE
    #: what it receives -> the newest message id when that began
    since: dict[str, int] = field(default_factory=dict)


class InboxRules(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.clock = FakeClock()
        self.home = Home(
            Path(folder) / "relay.db",
            clock=self.clock,
            stale_ttl_ms=TTL_MS,
            offline_prune_ms=PRUNE_MS,
            reap_interval_ms=100,
        )
        self.sent: dict[int, Sent] = {}
        self.newest = 0
        self.agents: dict[str, Agent] = {"human": Agent(seen_at=0, since={"human": 0})}
        self.read_by: set[tuple[str, int]] = set()

    def teardown(self) -> None:
        self.home.close()
        self.stack.close()

    # -- the model ---------------------------------------------------------------------------------------------------

    def is_recipient(self, agent_id: str, message: Sent) -> bool:
        agent = self.agents.get(agent_id)
        return agent is not None and message.target in agent.since and message.sender != agent_id

    def is_expired(self, message: Sent) -> bool:
        return message.expires_at is not None and message.expires_at <= self.clock.ms

    def holds(self, agent_id: str, message: Sent) -> bool:
        """Whether a message is in an agent's inbox."""
        if not self.is_recipient(agent_id, message) or self.is_expired(message):
            return False
        if message.target == agent_id or message.id > self.agents[agent_id].since[message.target]:
            return True
        return message.claimable and message.claimed_by in {None, agent_id}

    def is_unread(self, agent_id: str, message: Sent) -> bool:
        elsewhere = message.claimed_by not in {None, agent_id}
        return self.holds(agent_id, message) and not elsewhere and (agent_id, message.id) not in self.read_by

    def inbox(self, agent_id: str) -> list[Sent]:
        return [message for message in self.sent.values() if self.holds(agent_id, message)]

    def unread(self, agent_id: str) -> list[int]:
        return [message.id for message in self.sent.values() if self.is_unread(agent_id, message)]

    def free(self, agent_id: str) -> None:
        for message in self.sent.values():
            if message.claimed_by == agent_id:
                self.announce_anew(message)

    def announce_anew(self, message: Sent) -> None:
        message.claimed_by = None
        self.read_by = {(agent, message_id) for agent, message_id in self.read_by if message_id != message.id}

    def alive(self, agent_id: str) -> None:
        """A sign of life, as the routes give it."""
        agents.sign_of_life(self.home.bus, agent_id)
        agent = self.agents[agent_id]
        agent.seen_at, agent.status = self.clock.ms, Status.ONLINE

    def pick(self, number: int, among: list[Sent] | None = None) -> Sent | None:
        known = list(self.sent.values()) if among is None else among
        return known[-1 - number % len(known)] if known else None

    # -- what happens ------------------------------------------------------------------------------------------------

    @initialize()
    def first(self) -> None:
        self.register("ann", ["x"], [])
        self.register("bob", ["x", "y"], ["x"])

    @rule(step=ANY_STEP)
    def happens(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])

    def register(self, agent: str, tags: list[str], caps: list[str]) -> None:
        known = self.agents.get(agent)
        card = self.home.register(agent, tags=tags, capabilities=caps)
        held = known.since if known else {agent: 0}
        topics = [agent, "broadcast", *(f"tag:{tag}" for tag in tags), *(f"cap:{cap}" for cap in caps)]
        since = {topic: held.get(topic, self.newest) for topic in topics}
        self.agents[agent] = Agent(seen_at=self.clock.ms, since=since)
        assert card.unread == len(self.unread(agent))

    def send(self, sender: str, to: str, claimable: bool, expires: int | None) -> None:
        fields = {"from_": sender, "to": to, "body": "x", "claimable": claimable, "expires_in_ms": expires}
        if sender not in self.agents:
            with pytest.raises(Invalid):
                self.home.send_batch([fields])
            return
        [answer] = self.home.send_batch([fields])
        assert answer.id > self.newest
        self.newest = answer.id
        expires_at = None if expires is None else self.clock.ms + expires
        message = Sent(answer.id, sender, to, claimable, self.clock.ms, expires_at)
        self.sent[answer.id] = message
        assert answer.recipients == sum(self.is_recipient(agent, message) for agent in self.agents)
        assert answer.queued == (to == "dan" or (to in {"ann", "bob", "cid"} and to not in self.agents))
        if sender != "human":
            self.agents[sender].seen_at, self.agents[sender].status = self.clock.ms, Status.ONLINE

    def read(self, agent: str, number: int) -> None:
        message = self.pick(number)
        if message is None or agent not in self.agents:
            return
        if not self.is_recipient(agent, message):
            with pytest.raises(NotARecipient):
                inbox.read(self.home.bus, message.id, agent_id=agent, agent_secret=None)
            return
        inbox.read(self.home.bus, message.id, agent_id=agent, agent_secret=None)
        self.read_by.add((agent, message.id))
        self.alive(agent)

    def read_up_to(self, agent: str, number: int) -> None:
        message = self.pick(number)
        if message is None or agent not in self.agents:
            return
        expected = [message_id for message_id in self.unread(agent) if message_id <= message.id]
        done = inbox.read_up_to(self.home.bus, agent_id=agent, up_to=message.id, agent_secret=None)
        assert done.marked == len(expected)
        self.read_by |= {(agent, message_id) for message_id in expected}
        self.alive(agent)

    def claim(self, agent: str, number: int, work: bool) -> None:
        message = self.pick(number, [m for m in self.sent.values() if m.claimable] if work else None)
        if message is None:
            return
        expected: type[RelayError] | None = None
        if agent not in self.agents:
            expected = NotARecipient
        elif message.claimed_by == agent:
            expected = None
        elif not message.claimable:
            expected = NotClaimable
        elif not self.is_recipient(agent, message):
            expected = NotARecipient
        elif message.claimed_by is not None:
            expected = ClaimConflict
        elif self.is_expired(message):
            expected = MessageExpired
        if expected is not None:
            with pytest.raises(expected):
                claims.claim(self.home.bus, message.id, agent_id=agent, secret=None)
            return
        assert claims.claim(self.home.bus, message.id, agent_id=agent, secret=None).claimed_by == agent
        message.claimed_by = agent
        self.alive(agent)

    def release_what_another_holds(self, agent: str, number: int) -> None:
        message = self.pick(number)
        if message is not None and agent in self.agents and message.claimed_by != agent:
            with pytest.raises(NotClaimant):
                claims.release(self.home.bus, message.id, agent_id=agent, secret=None)

    def release(self, number: int) -> None:
        message = self.pick(number, [m for m in self.sent.values() if m.claimed_by not in {None, "human"}])
        if message is None:
            return
        agent = str(message.claimed_by)
        assert claims.release(self.home.bus, message.id, agent_id=agent, secret=None).claimed_by is None
        self.announce_anew(message)
        self.alive(agent)

    def delete(self, number: int) -> None:
        message = self.pick(number)
        if message is None:
            return
        messages.delete(self.home.bus, message.id)
        self.forget([message.id])
        with pytest.raises(MessageNotFound):
            messages.get(self.home.bus, message.id)

    def forget(self, ids: list[int]) -> None:
        for message_id in ids:
            del self.sent[message_id]
        self.read_by = {(agent, message_id) for agent, message_id in self.read_by if message_id not in ids}

    def remove(self, agent: str) -> None:
        if agent in self.agents:
            agents.remove(self.home.bus, agent, secret=None)
            del self.agents[agent]
            self.free(agent)

    def advance(self, ms: int) -> None:
        self.clock.advance(ms)

    def reap(self) -> None:
        reaper.reap(self.home.bus, frozenset())
        for agent_id, agent in list(self.agents.items()):
            silent = self.clock.ms - agent.seen_at
            if agent_id == "human":
                continue
            if silent >= 3 * TTL_MS:
                if agent.status is Status.OFFLINE and silent >= 3 * TTL_MS + PRUNE_MS:
                    del self.agents[agent_id]
                elif agent.status is not Status.OFFLINE:
                    agent.status = Status.OFFLINE
                    self.free(agent_id)
            elif silent >= TTL_MS and agent.status is not Status.OFFLINE:
                agent.status = Status.STALE

    def restart(self) -> None:
        self.home.close()
        self.home.open()
        for agent in self.agents.values():
            if agent.status is not Status.OFFLINE:
                agent.seen_at = self.clock.ms  # it was the relay that was away

    def sign_of_life(self, agent: str) -> None:
        if agent in self.agents:
            self.alive(agent)

    def retain(self, days: int) -> None:
        self.clock.advance(days * DAY_MS)
        retention.sweep(self.home.bus)
        cutoff = self.clock.ms - 30 * DAY_MS
        self.forget([message.id for message in self.sent.values() if message.created_at < cutoff])

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def inboxes_are_the_models(self) -> None:
        for agent in self.agents:
            found = self.home.inbox(agent)
            assert [message.id for message in found] == [message.id for message in self.inbox(agent)], agent
            marks = {message.id: message.read for message in found}
            assert marks == {message_id: (agent, message_id) in self.read_by for message_id in marks}, agent
            assert [message.id for message in self.home.inbox(agent, unread=True)] == self.unread(agent), agent
            assert [message.id for message in self.home.inbox(agent, limit=2)] == [m.id for m in self.inbox(agent)][:2]

    @invariant()
    def cards_tell_the_truth(self) -> None:
        for agent_id, agent in self.agents.items():
            if agent_id != "human":
                card = agents.get(self.home.bus, agent_id)
                assert (card.unread, card.status) == (len(self.unread(agent_id)), agent.status), agent_id

    @invariant()
    def nothing_acknowledged_is_lost_and_claims_are_the_models(self) -> None:
        with self.home.store.read() as connection:
            found = message_store.list_by_ids(connection, self.sent)
        assert {m.id: (m.from_, m.to, m.claimed_by) for m in found.values()} == {
            m.id: (m.sender, m.target, m.claimed_by) for m in self.sent.values()
        }
        assert self.home.counter("messages") == len(self.sent)

    @invariant()
    def receipts_say_who_has_read_and_who_holds(self) -> None:
        for message in list(self.sent.values())[-3:]:
            listed = inbox.list_receipts(self.home.bus, message.id, after=None, limit=50).receipts
            assert {r.agent_id for r in listed if r.read_at} == {a for a, m in self.read_by if m == message.id}
            holders = {r.agent_id for r in listed if r.claimed_at}
            assert holders == ({message.claimed_by} if message.claimed_by else set())


TestInboxRules = InboxRules.TestCase
TestInboxRules.settings = settings(max_examples=10, stateful_step_count=25)


@pytest.mark.parametrize("seed", range(16))
def test_long_walks(seed: int) -> None:
    """Steps drawn evenly: hypothesis prefers simple runs, in which little of this comes together."""
    random = Random(seed)  # noqa: S311 - a walk, no secret
    names, weights = list(STEPS), [often for often, _ in STEPS.values()]
    walk: list[tuple[Any, ...]] = []
    machine = InboxRules()
    try:
        machine.first()
        for name in random.choices(names, weights, k=80):
            walk.append((name, *map(random.choice, STEPS[name][1])))
            machine.happens(walk[-1])
            machine.inboxes_are_the_models()
            machine.cards_tell_the_truth()
            machine.nothing_acknowledged_is_lost_and_claims_are_the_models()
            machine.receipts_say_who_has_read_and_who_holds()
    except Exception as exc:
        exc.add_note("\n".join(map(str, walk)))
        raise
    finally:
        machine.teardown()
