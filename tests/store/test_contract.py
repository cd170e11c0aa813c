"""What any store must do: one suite, and a subclass for each kind of database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from app.errors import ClaimConflict, IdempotencyConflict, Invalid, Unauthorized, Unavailable
from app.model import MessageQuery
from app.server.events import MessageDeleted
from app.server.services import agents, claims, inbox, messages, sessions
from app.server.store import events as log
from app.server.store import messages as message_store
from app.server.workers import retention
from tests.factories import DEADLINE_S, FakeClock, Home, in_threads, wait_until

DAY_MS = 24 * 3600 * 1000
TOKEN = b"t" * 32


def note(connection: Connection) -> int:
    """A write that costs one event."""
    return log.append(connection, [MessageDeleted(data={})], now_ms=0)


def count(home: Home, table: str) -> int:
    with home.store.read() as connection:
        return int(connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one())  # noqa: S608 - ours


class StoreContract:
    """Subclass it with a ``home`` fixture for another database."""

    # -- writing -----------------------------------------------------------------------------------------------------

    def _group(self, home: Home, operations: list[Callable[[Connection], Any]]) -> list[Any]:
        """Have operations wait together, so that they are written together; their results or errors."""
        go, busy = threading.Event(), threading.Event()

        def block(connection: Connection) -> None:
            busy.set()
            assert go.wait(DEADLINE_S)

        def work(index: int) -> Any:
            if index == 0:
                return home.store.write(block)
            assert busy.wait(DEADLINE_S)
            if index == len(operations) + 1:
                wait_until(lambda: len(home.store._writer._queue) == len(operations), "all of them wait")
                go.set()
                return None
            try:
                return home.store.write(operations[index - 1])
            except Exception as exc:  # noqa: BLE001 - it is the result here
                return exc

        return in_threads(len(operations) + 2, work)[1:-1]

    def test_operations_that_wait_together_share_one_commit(self, home: Home) -> None:
        before = home.store.commits
        seqs = self._group(home, [note] * 20)
        assert home.store.commits - before == 2  # the one that was under way, and the rest
        assert sorted(seqs) == list(range(min(seqs), min(seqs) + 20))

    def test_an_operation_that_fails_undoes_itself_and_nobody_else(self, home: Home) -> None:
        def fail(connection: Connection) -> None:
            note(connection)
            raise Invalid("no")

        def crash(connection: Connection) -> None:
            note(connection)
            connection.execute(text("SELECT * FROM no_such_table"))

        before = home.counter("seq")
        results = self._group(home, [note, fail, note, crash, note])
        assert [type(result).__name__ for result in results] == ["int", "Invalid", "int", "OperationalError", "int"]
        assert home.counter("seq") == before + 3
        assert count(home, "events") == 3

    def test_an_operation_that_fails_alone_leaves_nothing(self, home: Home) -> None:
        def fail(connection: Connection) -> None:
            note(connection)
            raise Invalid("no")

        with pytest.raises(Invalid):
            home.store.write(fail)
        assert (home.counter("seq"), count(home, "events")) == (0, 0)
        assert home.store.write(note) == 1

    def test_the_bell_rings_when_the_commit_can_be_read(self, home: Home) -> None:
        seen: list[int] = []
        home.store.on_commit = lambda: seen.append(home.store.head())
        assert [home.store.write(note) for _ in range(3)] == [1, 2, 3]
        assert seen == [1, 2, 3]

    def test_numbers_are_given_in_the_order_of_commits_and_a_reader_never_sees_a_gap(self, home: Home) -> None:
        stop = threading.Event()

        def follow() -> list[int]:
            seen: list[int] = []
            while True:
                last = stop.is_set()
                with home.store.read() as connection:
                    page = log.tail(connection, after=seen[-1] if seen else 0, upto=2**62, limit=1000)
                seen.extend(entry.seq for entry in page)
                if last and not page:
                    return seen

        def work(index: int) -> Any:
            if index == 0:
                return follow()
            try:
                for n in range(40):
                    home.store.write(note) if n % 2 else home.send("human", "human")
            finally:
                if index == 1:
                    in_flight.wait(DEADLINE_S)
                    stop.set()
                else:
                    in_flight.wait(DEADLINE_S)
            return None

        in_flight = threading.Barrier(6)
        seen = in_threads(7, work)[0]
        assert seen == list(range(1, 6 * 40 + 1))

    def test_a_stopped_store_takes_nothing_more(self, home: Home) -> None:
        home.close()
        with pytest.raises(Unavailable):
            home.store.write(note)
        home.open()

    def test_what_was_written_is_there_after_opening_again(self, home: Home) -> None:
        home.register("ann", tags=["x"])
        sent = [home.send("human", to) for to in ("ann", "tag:x", "broadcast")]
        home.close()
        home.open()
        assert [message.id for message in home.inbox("ann", unread=True)] == sent
        assert home.send("human", "ann") > sent[-1]

    # -- sends, grouped ----------------------------------------------------------------------------------------------

    def test_concurrent_sends_are_answered_each_with_its_own(self, home: Home) -> None:
        home.register("ann")

        def send(n: int) -> list[tuple[str, str]]:
            found = []
            for i in range(20):
                [answer] = home.send_batch([{"from_": "human", "to": "ann", "body": f"{n}.{i}"}])
                found.append((f"{n}.{i}", answer.body))
            return found

        for pairs in in_threads(8, send):
            assert all(wanted == got for wanted, got in pairs)
        bodies = [message.body for message in home.inbox("ann")]
        assert len(bodies) == len(set(bodies)) == 160
        for n in range(8):
            assert [body for body in bodies if body.startswith(f"{n}.")] == [f"{n}.{i}" for i in range(20)]

    def test_a_bad_send_among_good_ones_hurts_only_itself(self, home: Home) -> None:
        home.register("ann")

        def send(n: int) -> bool:
            sender = "nobody" if n % 3 == 0 else "human"
            try:
                home.send(sender, "ann")
            except Invalid:
                return False
            return True

        assert in_threads(12, send) == [n % 3 != 0 for n in range(12)]
        assert len(home.inbox("ann")) == 8 == home.counter("messages")

    def test_one_key_used_at_once_makes_one_message(self, home: Home) -> None:
        """However the calls fall into groups: the same call gets the same answer."""
        message = {"from_": "human", "to": "human", "body": "x"}
        for round_ in range(10):
            ids = in_threads(8, lambda _, r=round_: home.send_batch([message], key=f"k{r}")[0].id)  # type: ignore[misc]
            assert len(set(ids)) == 1
        with pytest.raises(IdempotencyConflict):
            home.send_batch([message | {"body": "y"}], key="k0")
        assert home.counter("messages") == 10

    def test_a_key_is_forgotten_after_a_day(self, clocked: Home) -> None:
        message = {"from_": "human", "to": "human", "body": "x"}
        [first] = clocked.send_batch([message], key="k")
        self._advance(clocked, DAY_MS - 1)
        assert clocked.send_batch([message], key="k")[0].id == first.id
        self._advance(clocked, 2)
        assert clocked.send_batch([message], key="k")[0].id > first.id

    def test_a_directory_of_agents_is_never_out_of_date(self, home: Home) -> None:
        for _ in range(3):
            with pytest.raises(Invalid):
                home.send("ann", "human")
            assert home.send_batch([{"from_": "human", "to": "tag:x", "body": "b"}])[0].recipients == 0
            home.register("ann", tags=["x"])
            assert home.send_batch([{"from_": "human", "to": "tag:x", "body": "b"}])[0].recipients == 1
            assert home.send_batch([{"from_": "ann", "to": "tag:x", "body": "b"}])[0].recipients == 0
            home.register("ann", tags=[])
            assert home.send_batch([{"from_": "ann", "to": "tag:x", "body": "b"}])[0].recipients == 0
            agents.remove(home.bus, "ann", secret=None)

    # -- claims ------------------------------------------------------------------------------------------------------

    def test_of_many_claims_at_once_one_is_granted(self, home: Home) -> None:
        ids = [f"agent-{n}" for n in range(10)]
        for agent in ids:
            home.register(agent, tags=["x"])
        for _ in range(5):
            work = home.send("human", "tag:x", claimable=True)

            def race(n: int, work: int = work) -> str | None:
                try:
                    return claims.claim(home.bus, work, agent_id=ids[n], secret=None).claimed_by
                except ClaimConflict:
                    return None

            granted = [agent for agent in in_threads(10, race) if agent]
            assert granted == [messages.get(home.bus, work).claimed_by]

    # -- retention ---------------------------------------------------------------------------------------------------

    def test_retention_deletes_what_is_old_in_steps_and_keeps_the_counts_exact(self, clocked: Home) -> None:
        clocked.register("ann")
        old = self._fill(clocked, 1200)
        inbox.read_up_to(clocked.bus, agent_id="ann", up_to=old[-1], agent_secret=None)
        self._advance(clocked, 30 * DAY_MS + 1)
        young = [clocked.send("human", "ann") for _ in range(3)]
        before = clocked.store.commits
        retention.sweep(clocked.bus)
        assert clocked.store.commits - before >= 3 + 5  # 1,200 messages and 2,402 events in steps of 500
        assert [message.id for message in clocked.inbox("ann")] == young
        assert clocked.counter("messages") == count(clocked, "messages") == 3
        assert count(clocked, "receipts") == 0
        assert clocked.counter("floor") == young[0] - 1
        with clocked.store.read() as connection:
            assert [entry.seq for entry in log.tail(connection, after=0, upto=2**62, limit=99)] == young
        assert clocked.send("human", "ann") > young[-1]

    def test_what_is_searched_for_is_not_found_after_retention(self, clocked: Home) -> None:
        clocked.send("human", "human", body="haystack needle")
        query = MessageQuery(q="needle")
        assert len(messages.list_history(clocked.bus, query).messages) == 1
        self._advance(clocked, 31 * DAY_MS)
        retention.sweep(clocked.bus)
        late = clocked.send("human", "human", body="another needle")
        assert [message.id for message in messages.list_history(clocked.bus, query).messages] == [late]

    def test_nothing_is_deleted_before_its_day(self, clocked: Home) -> None:
        sent = self._fill(clocked, 3)
        self._advance(clocked, 30 * DAY_MS)
        retention.sweep(clocked.bus)
        assert count(clocked, "messages") == len(sent)
        assert clocked.counter("floor") == 0

    def test_retention_goes_by_age_also_where_the_clock_was_set_back(self, clocked: Home) -> None:
        self._advance(clocked, 10 * DAY_MS)
        newer = clocked.send("human", "human")
        self._advance(clocked, -10 * DAY_MS)
        clocked.send("human", "human")
        self._advance(clocked, 31 * DAY_MS)
        retention.sweep(clocked.bus)
        with clocked.store.read() as connection:
            assert set(message_store.list_by_ids(connection, range(1, 9))) == {newer}

    def test_used_keys_and_sessions_age_too(self, clocked: Home) -> None:
        clocked.send_batch([{"from_": "human", "to": "human", "body": "x"}], key="k")
        sessions.create_code(clocked.bus, token_sha256=TOKEN)
        retention.sweep(clocked.bus)
        assert (count(clocked, "idempotency"), count(clocked, "sessions")) == (1, 1)
        self._advance(clocked, DAY_MS + 1)
        retention.sweep(clocked.bus)
        assert (count(clocked, "idempotency"), count(clocked, "sessions")) == (0, 0)

    # -- sessions ----------------------------------------------------------------------------------------------------

    def test_a_code_is_good_for_thirty_seconds_and_one_use(self, clocked: Home) -> None:
        bus = clocked.bus
        for wait_ms, good in ((0, True), (29_999, True), (30_000, False)):
            code = sessions.create_code(bus, token_sha256=TOKEN).code
            self._advance(clocked, wait_ms)
            if good:
                sessions.redeem(bus, code, token_sha256=TOKEN)
            for token in (TOKEN, b"other"):
                with pytest.raises(Unauthorized):
                    sessions.redeem(bus, code, token_sha256=token)

    def test_a_session_lives_thirty_days_unless_signed_out_or_the_token_is_new(self, clocked: Home) -> None:
        bus = clocked.bus
        kept, out = (
            sessions.redeem(bus, sessions.create_code(bus, token_sha256=TOKEN).code, token_sha256=TOKEN).token
            for _ in range(2)
        )
        assert sessions.is_live(bus, kept, token_sha256=TOKEN)
        assert not sessions.is_live(bus, kept, token_sha256=b"new")
        sessions.sign_out(bus, out)
        assert not sessions.is_live(bus, out, token_sha256=TOKEN)
        self._advance(clocked, 30 * DAY_MS - 1)
        assert sessions.is_live(bus, kept, token_sha256=TOKEN)
        self._advance(clocked, 1)
        assert not sessions.is_live(bus, kept, token_sha256=TOKEN)

    def test_a_code_is_no_session_and_a_session_is_no_code(self, clocked: Home) -> None:
        bus = clocked.bus
        code = sessions.create_code(bus, token_sha256=TOKEN).code
        assert not sessions.is_live(bus, code, token_sha256=TOKEN)
        token = sessions.redeem(bus, code, token_sha256=TOKEN).token
        with pytest.raises(Unauthorized):
            sessions.redeem(bus, token, token_sha256=TOKEN)

    def test_of_one_code_used_at_once_one_session_is_made(self, home: Home) -> None:
        code = sessions.create_code(home.bus, token_sha256=TOKEN).code

        def redeem(_: int) -> bool:
            try:
                sessions.redeem(home.bus, code, token_sha256=TOKEN)
            except Unauthorized:
                return False
            return True

        assert sorted(in_threads(8, redeem)) == [False] * 7 + [True]

    # -- helpers -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _advance(home: Home, ms: int) -> None:
        assert isinstance(home.clock, FakeClock)
        home.clock.advance(ms)

    @staticmethod
    def _fill(home: Home, number: int) -> list[int]:
        batch: list[dict[str, Any]] = [{"from_": "human", "to": "ann", "body": "x"}] * number
        return [sent.id for sent in home.send_batch(batch)]


class TestSqlite(StoreContract):
    @pytest.fixture
    def home(self, make_home: Callable[..., Home]) -> Home:
        return make_home()

    @pytest.fixture
    def clocked(self, make_home: Callable[..., Home]) -> Home:
        return make_home(clock=FakeClock())
