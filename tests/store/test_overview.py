"""Counting and looking over the whole bus, on a real store: what ages, what is bounded, what is not noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.errors import ClaimConflict
from app.model import (
    ActivityQuery,
    AgentTimelineQuery,
    AttentionQuery,
    PresenceQuery,
    ReceiptList,
    ReportedStatus,
    Thread,
    ThreadListQuery,
    TrafficQuery,
)
from app.server.services import agents, claims, inbox, losses, messages, overview, timeline
from app.server.store import engine as engine_module
from app.server.store import sqlite
from app.server.workers import reaper, retention
from tests.factories import FakeClock, Home, in_threads
from tests.store.test_contract import DAY_MS, count

MINUTE_MS = 60_000


@pytest.fixture
def home(make_home: Callable[..., Home]) -> Home:
    return make_home(clock=FakeClock())


def advance(home: Home, ms: int) -> None:
    assert isinstance(home.clock, FakeClock)
    home.clock.advance(ms)


def work(home: Home) -> int:
    """Work that ``ann`` holds and ``ben`` would like."""
    for agent in ("ann", "ben"):
        home.register(agent, tags=["x"])
    message_id = home.send("human", "tag:x", claimable=True)
    claims.claim(home.bus, message_id, agent_id="ann", secret=None)
    return message_id


def lose(home: Home, message_id: int, agent: str = "ben") -> None:
    with pytest.raises(ClaimConflict):
        claims.claim(home.bus, message_id, agent_id=agent, secret=None)


def receipts(home: Home, message_id: int) -> ReceiptList:
    return inbox.list_receipts(home.bus, message_id, after=None, limit=500)


def lost_claims(home: Home) -> int:
    return sum(overview.get_activity(home.bus, ActivityQuery()).lost_claims)


# Lost claims


def test_a_loser_waits_for_no_disk_and_is_noted_once_a_second(home: Home) -> None:
    message_id = work(home)
    before = home.store.commits
    for _ in range(50):
        lose(home, message_id)
    assert home.store.commits == before
    home.bus.losses.write()
    assert home.store.commits == before + 1
    assert (lost_claims(home), count(home, "receipts")) == (1, 2)
    lose(home, message_id)  # within the second: not even after it was written
    home.bus.losses.write()
    assert (lost_claims(home), home.store.commits) == (1, before + 1)
    first = receipts(home, message_id).receipts[1].lost_at
    advance(home, 1_000)
    lose(home, message_id)
    home.bus.losses.write()
    assert lost_claims(home) == 2
    again = receipts(home, message_id).receipts[1].lost_at
    assert first is not None
    assert again is not None
    assert again > first


def test_all_that_lost_meanwhile_are_written_together(home: Home) -> None:
    message_id = work(home)
    crew = [f"agent-{n}" for n in range(100)]
    for agent in crew:
        home.register(agent, tags=["x"])

    def race(n: int) -> None:
        for agent in crew[n::10]:
            lose(home, message_id, agent)

    in_threads(10, race)
    before = home.store.commits
    home.bus.losses.write()
    assert home.store.commits == before + 1
    lost = [receipt.agent_id for receipt in receipts(home, message_id).receipts if receipt.lost_to == "ann"]
    assert lost == sorted(crew)
    assert lost_claims(home) == 100


def test_losers_fill_neither_memory_nor_the_disk(home: Home) -> None:
    message_id = work(home)
    for n in range(losses.MAX_NOTED + 100):
        home.bus.losses.note(message_id, agent_id=f"agent-{n}", holder="ann")
    home.bus.losses.write()
    assert lost_claims(home) == losses.MAX_NOTED
    home.bus.losses.note(message_id, agent_id="late", holder="ann")
    home.bus.losses.write()
    assert lost_claims(home) == losses.MAX_NOTED
    advance(home, 1_000)
    home.bus.losses.note(message_id, agent_id="late", holder="ann")
    home.bus.losses.write()
    assert lost_claims(home) == losses.MAX_NOTED + 1


def test_of_a_message_that_is_gone_no_loss_is_noted(home: Home) -> None:
    message_id = work(home)
    lose(home, message_id)
    messages.delete(home.bus, message_id)
    home.bus.losses.write()
    assert (count(home, "receipts"), lost_claims(home)) == (0, 0)


def test_a_store_that_has_stopped_costs_no_more_than_the_note(home: Home) -> None:
    message_id = work(home)
    lose(home, message_id)
    home.close()
    home.bus.losses.write()  # says so in the log, and raises nothing
    home.open()
    assert lost_claims(home) == 0


# Counts


def test_counts_fall_into_their_minutes(home: Home) -> None:
    advance(home, -(home.clock.now_ms() % MINUTE_MS))
    home.register("ann")
    for minute in range(3):
        for _ in range(minute + 1):
            home.send("human", "ann")
        advance(home, MINUTE_MS)
    assert overview.get_activity(home.bus, ActivityQuery(minutes=5)).messages == [0, 1, 2, 3, 0]
    assert overview.get_activity(home.bus, ActivityQuery(minutes=2)).messages == [3, 0]
    advance(home, 24 * 60 * MINUTE_MS)
    assert sum(overview.get_activity(home.bus, ActivityQuery(minutes=1440)).messages) == 0


def test_counts_age_in_steps_as_everything_does(home: Home) -> None:
    home.register("ann")
    batch: list[dict[str, Any]] = [{"from_": "human", "to": f"nobody-{n}", "body": "x"} for n in range(1000)]
    home.send_batch(batch)
    advance(home, 20 * MINUTE_MS)
    home.send("human", "ann")
    assert (count(home, "activity"), count(home, "traffic")) == (2, 1001)
    advance(home, 30 * DAY_MS - 10 * MINUTE_MS)
    retention.sweep(home.bus)
    assert (count(home, "activity"), count(home, "traffic")) == (1, 1)
    advance(home, DAY_MS)
    retention.sweep(home.bus)
    assert (count(home, "activity"), count(home, "traffic")) == (0, 0)


def test_a_send_that_fails_is_not_counted(home: Home) -> None:
    home.register("ann")
    with pytest.raises(Exception, match="not registered"):
        home.send_batch([{"from_": "ann", "to": "ann", "body": "x"}, {"from_": "nobody", "to": "ann", "body": "x"}])
    home.send_batch([{"from_": "ann", "to": "ann", "body": "x"}], key="k")
    home.send_batch([{"from_": "ann", "to": "ann", "body": "x"}], key="k")
    assert sum(overview.get_activity(home.bus, ActivityQuery()).messages) == 1
    assert [flow.messages for flow in overview.get_traffic(home.bus, TrafficQuery()).cells] == [1]


def test_an_old_database_is_counted_when_it_is_brought_up_to_date(tmp_path: Path) -> None:
    db = tmp_path / "old.db"
    clock = FakeClock()
    old = sqlite.writer_engine(db)
    with old.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        engine_module._upgrade(connection, to="0002")
        for number in (1, 2, 3):
            connection.execute(
                text(
                    "INSERT INTO messages (id, sender, target, body, kind, thread_id, claimable, priority, meta, "
                    "verified, created_at) VALUES (:id, 'ann', 'human', 'x', 'message', 1, 1, 'normal', '{}', 0, :at)"
                ),
                {"id": number, "at": clock.now_ms()},
            )
        for seq, kind, agent in ((4, "claimed", "ben"), (5, "released", None)):
            connection.execute(
                text(
                    "INSERT INTO events (seq, type, message_id, agent_id, topic, created_at) "
                    "VALUES (:seq, :type, 1, :agent, 'human', :at)"
                ),
                {"seq": seq, "type": f"message.{kind}", "agent": agent, "at": clock.now_ms() + seq},
            )
        connection.exec_driver_sql("UPDATE counters SET value = 5 WHERE name = 'seq'")
        connection.exec_driver_sql("UPDATE counters SET value = 3 WHERE name = 'messages'")
    old.dispose()
    home = Home(db, clock=clock)
    try:
        found = overview.get_activity(home.bus, ActivityQuery())
        assert (sum(found.messages), sum(found.claims)) == (3, 1)
        [flow] = overview.get_traffic(home.bus, TrafficQuery()).cells
        assert (flow.from_, flow.to, flow.messages) == ("ann", "human", 3)
        told = [(e.event, e.by) for e in timeline.of_message(home.bus, 1).entries if e.lane == "claim"]
        assert told == [("message.claimed", "ben"), ("message.released", "ben")]  # who had it, though it did not say so
    finally:
        home.close()


# Walks that have an end


def walk(home: Home, **query: Any) -> tuple[list[Thread], int]:
    """All threads, and in how many pages they came."""
    found: list[Thread] = []
    before, rounds = None, 0
    while True:
        page = overview.list_threads(home.bus, ThreadListQuery(before=before, **query))
        rounds += 1
        found += page.threads
        if not isinstance(page.next, int):
            return found, rounds
        assert before is None or page.next < before
        before = page.next


def test_behind_a_thread_of_thousands_the_others_are_found(home: Home) -> None:
    home.register("ann")
    home.register("ben")
    quiet = [home.send("ann", "ben") for _ in range(3)]
    root = home.send("ben", "ann")
    for _ in range(11):
        home.send_batch([{"from_": "ben", "to": "ann", "body": "x", "reply_to": root}] * 1000)
    found, rounds = walk(home)
    assert [thread.id for thread in found] == [root, *quiet[::-1]]
    assert found[0].count == 10_000  # where counting stops
    assert rounds == 3
    for query in ({"agent": "ann"}, {"q": "x"}):
        assert [thread.id for thread in walk(home, **query)[0]] == [root, *quiet[::-1]]
    assert [thread.id for thread in walk(home, from_="ann")[0]] == quiet[::-1]
    assert [thread.id for thread in walk(home, from_="ben", to="ben")[0]] == []


def test_of_a_crowd_twelve_participants_are_named(home: Home) -> None:
    for n in range(15):
        home.register(f"agent-{n}")
    root = home.send("agent-0", "broadcast")
    for n in range(15):
        home.send(f"agent-{n}", "broadcast", reply_to=root)
    [thread] = overview.list_threads(home.bus, ThreadListQuery()).threads
    assert thread.participants == [f"agent-{n}" for n in range(12)]


def test_counting_what_waits_stops_at_a_thousand(home: Home) -> None:
    home.register("ann")
    for _ in range(2):
        home.send_batch([{"from_": "ann", "to": "human", "body": "x"}] * 600)
    found = overview.get_attention(home.bus, AttentionQuery(limit=1))
    assert (len(found.messages), found.counts.messages) == (1, 1_000)
    inbox.read_up_to(home.bus, agent_id="human", up_to=2**62, agent_secret=None)
    assert overview.get_attention(home.bus, AttentionQuery()).counts.messages == 0


def test_expired_mail_and_work_wait_for_nobody(home: Home) -> None:
    home.register("ann", tags=["x"])
    home.send("ann", "human", expires_in_ms=1_000)
    message_id = home.send("human", "tag:x", claimable=True, expires_in_ms=1_000)
    claims.claim(home.bus, message_id, agent_id="ann", secret=None)
    claims.release(home.bus, message_id, agent_id="ann", secret=None)
    before = overview.get_attention(home.bus, AttentionQuery()).counts
    assert (before.messages, before.released_work) == (1, 1)
    advance(home, 1_000)
    after = overview.get_attention(home.bus, AttentionQuery()).counts
    assert (after.messages, after.released_work) == (0, 0)


# Presence


def presence(home: Home, minutes: int = 60) -> dict[str, list[str]]:
    found = overview.list_presence(home.bus, PresenceQuery(minutes=minutes))
    assert all(found.from_ <= change.at <= found.to for agent in found.agents for change in agent.changes)
    return {agent.id: [change.status.value for change in agent.changes] for agent in found.agents}


def test_presence_begins_with_what_held_when_the_window_began(home: Home) -> None:
    home.register("ann")
    advance(home, home.settings.stale_ttl_ms)
    reaper.reap(home.bus, frozenset())
    advance(home, 3 * home.settings.stale_ttl_ms)
    reaper.reap(home.bus, frozenset())
    assert presence(home) == {"ann": ["online", "stale", "offline"]}
    advance(home, 30 * MINUTE_MS)
    agents.sign_of_life(home.bus, "ann")
    assert presence(home, minutes=20) == {"ann": ["offline", "online"]}
    advance(home, 30 * MINUTE_MS)
    assert presence(home, minutes=20) == {"ann": ["online"]}
    advance(home, 29 * DAY_MS)
    agents.sign_of_life(home.bus, "ann")
    retention.sweep(home.bus)
    advance(home, 2 * DAY_MS)
    retention.sweep(home.bus)  # of its events none is left
    assert presence(home, minutes=20) == {"ann": ["online"]}


def test_of_many_changes_the_newest_are_told(home: Home) -> None:
    home.register("ann")
    for n in range(300):
        home.register("ann", status=ReportedStatus.IDLE if n % 2 else ReportedStatus.BUSY)
        advance(home, 1_000)
    found = presence(home)["ann"]
    assert len(found) == overview.MAX_CHANGES
    assert found[-1] == "idle"


def test_an_agents_timeline_ends_early_where_nothing_but_its_card_changed_and_goes_on(home: Home) -> None:
    home.register("ann")
    for n in range(1_200):
        home.register("ann", prompt_chars=n + 1)
    first = timeline.of_agent(home.bus, "ann", AgentTimelineQuery())
    assert first.entries == []
    assert isinstance(first.next, str)
    second = timeline.of_agent(home.bus, "ann", AgentTimelineQuery(before=first.next))
    assert [entry.event for entry in second.entries] == ["agent.registered"]
    assert not isinstance(second.next, str)
