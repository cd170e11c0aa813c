"""What any store must do for tasks and their callbacks: as :mod:`tests.store.test_contract`, one suite for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from app.errors import MessageClosed
from app.integrations import Integration
from app.model import (
    DeliveryQuery,
    DeliveryState,
    IngestAnswer,
    IntegrationEvent,
    SetTaskStatus,
    Task,
    TaskEventQuery,
    TaskStatus,
)
from app.server.services import agents, callbacks, claims, ingress, tasks
from app.server.store import callbacks as outbox
from app.server.store import events as log
from app.server.store import tasks as task_store
from app.server.store.callbacks import AttemptRow
from app.server.store.schema import tasks as tasks_table
from app.server.workers import retention
from tests.factories import FakeClock, Home, in_threads, wait_until
from tests.store.test_contract import DAY_MS, count

OPS = Integration(
    name="ops", token="t", scopes=("*",), targets=("*",), channels=("*",), callback_url="http://127.0.0.1:9/"
)
FAILED = AttemptRow(at=0, duration_ms=1, status=500, error="no", response="")
FINE = AttemptRow(at=0, duration_ms=1, status=204, error=None, response="")


def prepared(home: Home, fields: dict[str, Any]) -> ingress.Submission:
    """An event as the route finds it good."""
    event = {"type": "t", "severity": "info", "title": "x", "target": "tag:crew", "channel": "c"} | fields
    return ingress.prepare(home.bus, OPS, msgspec.convert(event, IntegrationEvent))


def ingest(home: Home, **fields: Any) -> IngestAnswer:
    """Take an event, as the route does."""
    submission = prepared(home, fields)
    told: list[Any] = []
    ingress.submit(home.bus, submission, lambda answer, error: told.append(answer or error))
    wait_until(lambda: told, "the event is stored")
    if isinstance(told[0], BaseException):
        raise told[0]
    answer: IngestAnswer = told[0]
    return answer


def make(home: Home, **fields: Any) -> Task:
    task = ingest(home, **fields).task
    assert task is not None
    return task


def due(home: Home) -> list[int]:
    with home.store.read() as connection:
        found = outbox.list_due(connection, "ops", now_ms=home.clock.now_ms(), limit=100)
    return [each.id for each in found]


def states(home: Home) -> list[str]:
    found = callbacks.list_callbacks(home.bus, DeliveryQuery(limit=500)).callbacks
    return [delivery.state.value for delivery in reversed(found)]


def move(home: Home, task_id: int, status: str) -> Task:
    return tasks.set_status(home.bus, task_id, SetTaskStatus(status=TaskStatus(status)), agent_secret=None)


class TaskContract:
    """Subclass it with a ``home`` fixture, on a clock that goes when told, for another database."""

    def test_one_active_task_for_each_key_is_held_by_the_database_itself(self, home: Home) -> None:
        first = make(home, dedupeKey="k")
        with home.store.read() as connection:
            row = task_store.get(connection, first.id)
        values = {name: getattr(row, name) for name in row.__struct_fields__} | {"id": first.id + 1_000}
        with pytest.raises(IntegrityError):
            home.store.write(lambda connection: connection.execute(insert(tasks_table), values))
        move(home, first.id, "cancelled")
        home.store.write(lambda connection: connection.execute(insert(tasks_table), values))

    def test_events_that_are_stored_together_see_each_other(self, home: Home) -> None:
        """Of one group: new, again, over, new again, under one key; and another thing beside it."""
        go: list[Any] = []
        pending: list[dict[str, Any]] = [
            {"dedupeKey": "k"}, {"dedupeKey": "k", "severity": "error"}, {"dedupeKey": "k", "status": "resolved"},
            {"dedupeKey": "k", "status": "resolved"}, {"dedupeKey": "k"}, {"dedupeKey": "other"},
        ]  # fmt: skip

        def submit_all(_connection: Any) -> None:
            for fields in pending:
                ingress.submit(home.bus, prepared(home, fields), lambda answer, error: go.append(answer or error))

        commits = home.store.commits
        home.store.write(submit_all)
        wait_until(lambda: len(go) == len(pending), "all are stored")
        assert home.store.commits - commits == 2
        assert [(a.created, a.deduped, a.task and a.task.status.value) for a in go] == [
            (True, False, "open"),
            (False, True, "open"),
            (False, False, "done"),
            (False, False, None),
            (True, False, "open"),
            (True, False, "open"),
        ]
        first, again, over, _, anew, other = (answer.task for answer in go)
        assert first.id == again.id == over.id < anew.id < other.id
        assert (first.severity, again.severity, over.severity) == ("info", "error", "error")
        assert (first.occurrence_count, again.occurrence_count) == (1, 2)
        home.register("ann", tags=["crew"])
        assert [message.id for message in home.inbox("ann", unread=True)] == [anew.id, other.id]
        with pytest.raises(MessageClosed):
            claims.claim(home.bus, first.id, agent_id="ann", secret=None)
        events = tasks.list_history(home.bus, first.id, TaskEventQuery()).events
        assert [event.event for event in events] == ["task.created", "task.updated", "task.status"]
        with home.store.read() as connection:
            numbers = [entry.seq for entry in log.tail(connection, after=0, upto=2**62, limit=99)]
            assert numbers == list(range(1, log.head(connection) + 1))

    def test_a_closed_task_stays_closed_when_the_clock_is_set_back(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        home.register("ann", tags=["crew"])
        home.register("bob", tags=["crew"])
        free, held = make(home), make(home)
        claims.claim(home.bus, held.id, agent_id="ann", secret=None)
        for task in (free, held):
            clock.advance(60_000)
            move(home, task.id, "cancelled")
        clock.set_wall(-3_600_000)
        for task in (free, held):
            for claim in (claims.claim, claims.claim_task):
                with pytest.raises(MessageClosed):
                    claim(home.bus, task.id, agent_id="bob", secret=None)
        agents.remove(home.bus, "ann", secret=None)
        for task in (free, held):
            assert tasks.get(home.bus, task.id).status == "cancelled"
            assert tasks.list_history(home.bus, task.id, TaskEventQuery()).events[-1].status == "cancelled"

    def test_what_is_told_keeps_its_pause_and_its_day_when_the_clock_is_set(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        (old,) = [make(home).id + 1]
        callbacks.record(home.bus, old, FAILED, delivered=False)
        for jump_ms, pause_ms in ((8 * 3_600_000, 1_300), (-48 * 3_600_000, 2_500)):
            clock.set_wall(jump_ms)
            new = make(home).id + 1
            assert due(home) == [new]
            clock.advance(pause_ms)
            assert due(home) == [new, old]
            callbacks.record(home.bus, new, FINE, delivered=True)
            assert callbacks.record(home.bus, old, FAILED, delivered=False) is DeliveryState.PENDING

    def test_a_task_that_fails_to_be_stored_leaves_nothing_behind(self, home: Home) -> None:
        agent = home.register("ann", tags=["crew"])
        task = make(home)

        def fail(connection: Any) -> None:
            tasks.note_claim(home.bus, connection, task.id, agent_id=agent.id, now_ms=1)
            raise ValueError("no")

        before = {table: count(home, table) for table in ("events", "task_events", "deliveries")}
        with pytest.raises(ValueError, match="no"):
            home.store.write(fail)
        assert {table: count(home, table) for table in before} == before
        assert tasks.get(home.bus, task.id) == task

    # -- the outbox --------------------------------------------------------------------------------------------------

    def test_of_each_task_the_first_pending_callback_alone_is_due(self, home: Home) -> None:
        home.register("ann", tags=["crew"])
        one, two = make(home), make(home)
        claims.claim(home.bus, one.id, agent_id="ann", secret=None)
        move(home, one.id, "done")
        assert due(home) == [one.id + 1, two.id + 1]
        callbacks.record(home.bus, one.id + 1, FINE, delivered=True)
        first, second = due(home)
        assert first == two.id + 1
        callbacks.record(home.bus, second, FAILED, delivered=False)
        assert due(home) == [two.id + 1]
        assert states(home) == ["delivered", "pending", "pending", "pending"]

    def test_pauses_double_from_a_second_to_three_hours_and_vary_by_a_fifth(self) -> None:
        for failures, wanted_s in (
            (1, 1),
            (2, 2),
            (3, 4),
            (4, 8),
            (12, 2_048),
            (14, 8_192),
            (15, 10_800),
            (99, 10_800),
        ):
            pauses = [callbacks.pause_ms(failures) for _ in range(200)]
            assert 0.8 * wanted_s * 1000 <= min(pauses) < 0.9 * wanted_s * 1000
            assert 1.1 * wanted_s * 1000 < max(pauses) <= 1.2 * wanted_s * 1000

    def test_a_callback_that_fails_for_a_day_is_dead_and_lets_the_next_go(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        task = make(home)
        move(home, task.id, "cancelled")
        begun, tries = clock.ms, 0
        (delivery,) = due(home)
        while states(home)[0] == "pending":
            with home.store.read() as connection:
                next_at = outbox.next_due_at(connection, "ops", after_ms=0)
            assert next_at is not None
            clock.ms = max(clock.ms, next_at)
            assert due(home) == [delivery]
            callbacks.record(home.bus, delivery, FAILED, delivered=False)
            tries += 1
        assert clock.ms - begun == callbacks.GIVE_UP_MS
        assert 18 <= tries <= 25
        assert states(home) == ["dead", "pending"]
        assert due(home) == [delivery + 1]

    def test_what_was_done_with_is_tried_anew_once_and_what_is_pending_goes_on(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        task = make(home)
        (delivery,) = due(home)
        assert callbacks.record(home.bus, delivery, FAILED, delivered=False) is DeliveryState.PENDING
        assert due(home) == []
        assert callbacks.redeliver(home.bus, delivery).state is DeliveryState.PENDING
        assert due(home) == [delivery]
        assert callbacks.record(home.bus, delivery, FAILED, delivered=False) is DeliveryState.PENDING
        clock.advance(callbacks.GIVE_UP_MS)
        assert callbacks.record(home.bus, delivery, FAILED, delivered=False) is DeliveryState.DEAD
        again = callbacks.redeliver(home.bus, delivery)
        assert (again.state, len(again.attempts)) == (DeliveryState.PENDING, 3)
        move(home, task.id, "cancelled")
        assert due(home) == [delivery]
        assert callbacks.record(home.bus, delivery, FAILED, delivered=False) is DeliveryState.DEAD
        assert due(home) == [delivery + 1 + 3]

    def test_news_that_wait_are_redelivered_by_their_turn(self, home: Home) -> None:
        task = make(home)
        (first,) = due(home)
        callbacks.record(home.bus, first, FAILED, delivered=False)
        move(home, task.id, "cancelled")
        assert due(home) == []
        waiting = callbacks.list_callbacks(home.bus, DeliveryQuery()).callbacks[0]
        assert callbacks.redeliver(home.bus, waiting.id).next_attempt_at is None
        assert due(home) == [first]

    def test_what_was_delivered_once_stays_delivered(self, home: Home) -> None:
        make(home)
        (delivery,) = due(home)
        callbacks.record(home.bus, delivery, FINE, delivered=True)
        callbacks.redeliver(home.bus, delivery)
        assert callbacks.record(home.bus, delivery, FAILED, delivered=False) is DeliveryState.DELIVERED
        assert [a.status for a in callbacks.list_callbacks(home.bus, DeliveryQuery()).callbacks[0].attempts] == [
            204,
            500,
        ]

    def test_what_nobody_could_be_told_for_a_day_is_dead_without_another_try(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        for _ in range(7):
            make(home)
        callbacks.give_up_overdue(home.bus, "ops", limit=5)
        assert states(home).count("pending") == 7
        clock.advance(callbacks.GIVE_UP_MS + callbacks.LAST_TRY_MS + 1)
        late = make(home).id + 1
        callbacks.give_up_overdue(home.bus, "ops", limit=5)
        assert states(home).count("dead") == 5
        callbacks.give_up_overdue(home.bus, "ops", limit=5)
        assert due(home) == [late]

    def test_what_is_asked_for_anew_waits_for_its_try_and_then_is_what_it_was(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        make(home)
        (delivery,) = due(home)
        callbacks.record(home.bus, delivery, FINE, delivered=True)
        callbacks.redeliver(home.bus, delivery)
        clock.advance(60_000)
        callbacks.give_up_overdue(home.bus, "ops", limit=5)
        assert states(home) == ["pending"]
        clock.advance(callbacks.LAST_TRY_MS)
        callbacks.give_up_overdue(home.bus, "ops", limit=5)
        assert states(home) == ["delivered"]

    # -- retention ---------------------------------------------------------------------------------------------------

    def test_closed_tasks_go_with_all_that_is_theirs_and_active_ones_stay_with_theirs(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        home.register("ann", tags=["crew"])
        closed = [make(home, dedupeKey=f"k{n}") for n in range(45)]
        kept = make(home, dedupeKey="kept")
        for task in closed:
            move(home, task.id, "cancelled")
        (delivery, *_) = due(home)
        callbacks.record(home.bus, delivery, FINE, delivered=True)
        clock.advance(31 * DAY_MS)
        late = make(home, dedupeKey="late")
        retention.sweep(home.bus)
        assert count(home, "tasks") == count(home, "messages") == home.counter("messages") == 2
        assert count(home, "task_events") == count(home, "deliveries") == 2
        assert count(home, "attempts") == 0
        assert [message.id for message in home.inbox("ann", unread=True)] == [kept.id, late.id]
        assert ingest(home, dedupeKey="kept").deduped
        assert len(tasks.list_history(home.bus, kept.id, TaskEventQuery()).events) == 2
        claims.claim(home.bus, kept.id, agent_id="ann", secret=None)
        assert tasks.get(home.bus, kept.id).claimed_by == "ann"

    def test_a_task_closed_lately_outlives_its_old_message(self, home: Home) -> None:
        clock = home.clock
        assert isinstance(clock, FakeClock)
        task = make(home)
        clock.advance(31 * DAY_MS)
        move(home, task.id, "cancelled")
        retention.sweep(home.bus)
        assert (count(home, "messages"), count(home, "tasks")) == (0, 1)
        assert tasks.get(home.bus, task.id).status == "cancelled"
        clock.advance(31 * DAY_MS)
        retention.sweep(home.bus)
        assert count(home, "tasks") == 0

    def test_moves_that_race_are_decided_one_after_the_other(self, home: Home) -> None:
        home.register("ann", tags=["crew"])
        task = make(home)
        claims.claim(home.bus, task.id, agent_id="ann", secret=None)
        ends = ["done", "failed", "cancelled"]

        def end(n: int) -> str | None:
            try:
                return move(home, task.id, ends[n % 3]).status.value
            except Exception:  # noqa: BLE001 - lost
                return None

        won = {status for status in in_threads(9, end) if status}
        assert len(won) == 1
        moments = tasks.list_history(home.bus, task.id, TaskEventQuery()).events
        assert [moment.event for moment in moments] == ["task.created", "task.claimed", "task.status"]


class TestSqlite(TaskContract):
    @pytest.fixture
    def home(self, make_home: Callable[..., Home]) -> Home:
        return make_home(clock=FakeClock(), integrations=(OPS,))
