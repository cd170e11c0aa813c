"""What only the SQLite store has: its schema's two ways to be, its files, its query plans."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, inspect, text

from app.errors import StartError
from app.model import (
    ActivityQuery,
    AgentQuery,
    AgentTimelineQuery,
    AttentionQuery,
    DeliveryQuery,
    DeliveryState,
    MessageQuery,
    PresenceQuery,
    ReceiptState,
    SetTaskStatus,
    TaskEventQuery,
    TaskQuery,
    TaskStatus,
    ThreadListQuery,
    TrafficQuery,
)
from app.server.services import agents, callbacks, claims, inbox, live, messages, overview, system, tasks, timeline
from app.server.services.bus import Bus
from app.server.services.integrations import list_integrations
from app.server.services.tally import Tally
from app.server.store import activity, sqlite
from app.server.store import callbacks as outbox
from app.server.store import engine as engine_module
from app.server.store.engine import SCHEMA_HEAD, Store
from app.server.store.retention import delete_old_tasks
from app.server.workers import reaper, retention
from tests.factories import Home
from tests.store.test_task_contract import FAILED, FINE, OPS, ingest, make


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


def described(connection: Connection) -> dict[str, Any]:
    """A database's schema and first rows, as far as it matters."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        columns = [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(table)]
        indexes = sorted((str(i["name"]), i["column_names"], i["unique"]) for i in inspector.get_indexes(table))
        found[table] = (columns, inspector.get_pk_constraint(table)["constrained_columns"], indexes)
        if not table.startswith("messages_fts"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608 - names of ours
            found[f"rows of {table}"] = sorted(map(tuple, rows))
    others = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql NOT NULL"
    )
    found["sql"] = {str(name): " ".join(str(sql).split()) for name, sql in others}
    virtual: str = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'messages_fts'").scalar_one()
    found["search"] = " ".join(virtual.split())
    return found


def test_the_migrations_end_at_the_schema_that_a_new_database_gets(tmp_path: Path) -> None:
    fresh = Store(tmp_path / "fresh.db")
    with fresh.read() as connection:
        wanted = described(connection)
    fresh.stop()
    migrated = sqlite.writer_engine(tmp_path / "migrated.db")
    with migrated.connect() as connection:
        engine_module._upgrade(connection)
        found = described(connection)
    migrated.dispose()
    assert found.keys() == wanted.keys()
    for part, content in wanted.items():
        assert found[part] == content, part


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_all_that_is_in_it(db: Path) -> None:
    old = sqlite.writer_engine(db)
    with old.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        engine_module._upgrade(connection, to="0001")
        connection.exec_driver_sql(
            "INSERT INTO messages (id, sender, target, body, kind, thread_id, claimable, priority, meta, verified, "
            "created_at) VALUES (1, 'ann', 'human', 'from before', 'message', 1, 0, 'normal', '{}', 0, 1)"
        )
        connection.exec_driver_sql("UPDATE counters SET value = 1 WHERE name IN ('seq', 'messages')")
    old.dispose()
    home = Home(db, integrations=(OPS,))
    try:
        assert [message.body for message in home.inbox("human")] == ["from before"]
        task = make(home, dedupeKey="k")
        assert task.id == 2
        assert ingest(home, dedupeKey="k").deduped
        home.store.stop()
        home.open()
        assert ingest(home, dedupeKey="k").task == tasks.get(home.bus, task.id)
        assert tasks.get(home.bus, task.id).occurrence_count == 3
    finally:
        home.close()


def test_the_newest_migration_is_the_schemas_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(engine_module._MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [SCHEMA_HEAD]
    for script in scripts.walk_revisions():
        assert re.match(rf"^{script.revision}_[a-z0-9_]+\.py$", Path(script.path).name)
        assert re.match(r"^\d{4}$", script.revision)


def refused(db: Path, words: str) -> None:
    before = db.read_bytes()
    with pytest.raises(StartError, match=words):
        Store(db)
    assert db.read_bytes() == before
    assert not [p for p in db.parent.iterdir() if p.name.endswith(("-wal", "-journal")) and p.stat().st_size]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(db: Path) -> None:
    Store(db).stop()
    with closing(sqlite3.connect(db)) as connection:
        with connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    refused(db, "newer version .schema 9999")


def test_a_database_of_another_program_is_refused_and_left_alone(db: Path) -> None:
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("CREATE TABLE recipes (id INTEGER PRIMARY KEY, title TEXT)")
    refused(db, "another program")


def test_a_file_that_is_no_database_is_refused_and_left_alone(db: Path) -> None:
    db.write_bytes(b"Dear diary, " * 1000)
    refused(db, str(db))


def test_a_second_store_on_one_file_is_refused_until_the_first_ends(db: Path) -> None:
    first = Store(db)
    with pytest.raises(StartError, match=r"another relay \(pid \d+\) uses the database"):
        Store(db)
    first.stop()
    Store(db).stop()


def test_after_a_stop_the_log_is_folded_into_the_file(db: Path) -> None:
    home = Home(db)
    home.send("human", "human")
    home.close()
    assert not db.with_name("relay.db-wal").exists() or not db.with_name("relay.db-wal").stat().st_size
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM messages").fetchone() == (1,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_commits_are_durable_and_readers_cannot_write(make_home: Callable[..., Home]) -> None:
    home = make_home()
    assert home.store.write(lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar_one()) == 2
    assert home.store.write(lambda c: c.exec_driver_sql("PRAGMA journal_mode").scalar_one()) == "wal"
    with home.store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1


# -- query plans -------------------------------------------------------------------------------------------------------

#: A walk over a whole table that grows, or over an index of it; the partial ones hold only work that is open or held.
_WALK = re.compile(
    r"^SCAN (messages|[mxcp]|newer|answer|events|later|receipts|q|activity|traffic)\b"
    r"(?! USING (COVERING )?INDEX ix_messages_(open|held))"
)


@contextmanager
def statements(home: Home) -> Iterator[list[tuple[str, Any]]]:
    """What goes to SQLite meanwhile, through SQLAlchemy or straight to the driver."""
    seen: list[tuple[str, Any]] = []
    run = sqlite._run

    def note_straight(connection: Any, sql: str, parameters: Any) -> Any:
        seen.append((sql, parameters))
        return run(connection, sql, parameters)

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        seen.append((statement, parameters[0] if many else parameters))

    engines = (home.store._read_engine, home.store._write_engine)
    for each in engines:
        event.listen(each, "before_cursor_execute", note)
    sqlite._run = note_straight
    yield seen
    sqlite._run = run
    for each in engines:
        event.remove(each, "before_cursor_execute", note)


def walks(home: Home, work: Callable[[], object]) -> list[str]:
    """Steps of the query plans of some work that go over everything."""
    with statements(home) as seen:
        work()
    found: list[str] = []
    with home.store.read() as connection:
        for statement, parameters in seen:
            if not statement.lstrip().upper().startswith(("SELECT", "WITH", "UPDATE", "DELETE", "INSERT")):
                continue
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            found += [f"{row[-1]}  <-  {statement}" for row in plan if _WALK.match(str(row[-1]))]
    assert seen, "nothing was asked of the database"
    return found


def test_nothing_that_is_done_often_goes_over_all_of_history(make_home: Callable[..., Home]) -> None:
    home = make_home(integrations=(OPS,))
    bus = home.bus
    home.register("ann", tags=["x", "y", "crew"], capabilities=["c"], labels=["l"])
    home.register("bob", tags=["x"])
    task_id = make(home).id

    def due() -> None:
        with home.store.read() as connection:
            outbox.list_due(connection, "ops", now_ms=2**53, limit=4)
            outbox.next_due_at(connection, "ops", after_ms=0)

    ids = [home.send("human", to, claimable=True, channel="c") for to in ("ann", "tag:x", "broadcast", "tag:x")]
    source = live.LiveSource(bus)
    name = {"agent_id": "ann", "agent_secret": None}
    often: dict[str, Callable[[], object]] = {
        "inbox": lambda: home.inbox("ann"),
        "unread inbox": lambda: home.inbox("ann", unread=True),
        "card": lambda: agents.get(bus, "ann"),
        "list of cards": lambda: agents.list_agents(bus, AgentQuery(tag="x")),
        "register": lambda: home.register("ann", tags=["x", "crew"]),
        "send": lambda: home.send("bob", "tag:x", reply_to=ids[0]),
        "read": lambda: inbox.read(bus, ids[0], **name),  # type: ignore[arg-type]
        "claim": lambda: claims.claim(bus, ids[1], agent_id="ann", secret=None),
        "inbox with a claim": lambda: home.inbox("ann", unread=True),
        "release": lambda: claims.release(bus, ids[1], agent_id="ann", secret=None),
        "read up to": lambda: inbox.read_up_to(bus, up_to=ids[-1], **name),  # type: ignore[arg-type]
        "receipts": lambda: inbox.list_receipts(bus, ids[1], after=None, limit=50),
        "report": lambda: inbox.report_receipt(bus, ids[1], state=ReceiptState.OFFERED, adapter="t", **name),  # type: ignore[arg-type]
        "thread": lambda: messages.list_thread(bus, ids[0], since=0, limit=50),
        "history of a sender": lambda: messages.list_history(bus, MessageQuery(from_="human")),
        "history of a target": lambda: messages.list_history(bus, MessageQuery(to="ann")),
        "history of a channel": lambda: messages.list_history(bus, MessageQuery(channel="c")),
        "history of a thread": lambda: messages.list_history(bus, MessageQuery(thread=ids[0])),
        "history of a claimant": lambda: messages.list_history(bus, MessageQuery(claimedBy="ann")),
        "older history": lambda: messages.list_history(bus, MessageQuery(before=ids[-1])),
        "search": lambda: messages.list_history(bus, MessageQuery(q="word")),
        "cursor": lambda: messages.cursor(bus),
        "stats": lambda: system.get_stats(bus, uptime_s=1, live={"sse": 0, "websocket": 0, "long_poll": 0}),
        "live page": lambda: source.page(after=1, upto=99, limit=50, agent_id=None),
        "live page of one": lambda: source.page(after=1, upto=99, limit=50, agent_id="ann"),
        "live inbox": lambda: source.unread("ann", after=0, upto=99, limit=50),
        "delete": lambda: messages.delete(bus, ids[0]),
        "reap": lambda: reaper.reap(bus, frozenset({"ann"})),
        "event": lambda: ingest(home, dedupeKey="k"),
        "event again": lambda: ingest(home, dedupeKey="k"),
        "event resolved": lambda: ingest(home, dedupeKey="k", status="resolved"),
        "task claim": lambda: claims.claim_task(bus, task_id, agent_id="ann", secret=None),
        "task release": lambda: claims.release_task(bus, task_id, agent_id="ann", secret=None),
        "task status": lambda: tasks.set_status(
            bus, task_id, SetTaskStatus(status=TaskStatus.CANCELLED), agent_secret=None
        ),
        "task": lambda: tasks.get(bus, task_id),
        "task history": lambda: tasks.list_history(bus, task_id, TaskEventQuery()),
        "active tasks": lambda: tasks.list_tasks(bus, TaskQuery(status="open,claimed,in_progress,blocked")),
        "closed tasks": lambda: tasks.list_tasks(bus, TaskQuery(status="done")),
        "tasks of a source": lambda: tasks.list_tasks(bus, TaskQuery(source="ops")),
        "tasks of a target": lambda: tasks.list_tasks(bus, TaskQuery(target="tag:crew")),
        "tasks of a claimant": lambda: tasks.list_tasks(bus, TaskQuery(claimedBy="ann")),
        "older tasks": lambda: tasks.list_tasks(bus, TaskQuery(before=99)),
        "search of tasks": lambda: tasks.list_tasks(bus, TaskQuery(q="word")),
        "due callbacks": due,
        "callback": lambda: callbacks.record(bus, task_id + 1, FAILED, delivered=False),
        "callback delivered": lambda: callbacks.record(bus, task_id + 1, FINE, delivered=True),
        "callbacks of a task": lambda: callbacks.list_callbacks(bus, DeliveryQuery(task=task_id)),
        "callbacks of an integration": lambda: callbacks.list_callbacks(bus, DeliveryQuery(integration="ops")),
        "dead callbacks": lambda: callbacks.list_callbacks(bus, DeliveryQuery(state=DeliveryState.DEAD)),
        "redeliver": lambda: callbacks.redeliver(bus, task_id + 1),
        "integrations": lambda: list_integrations(bus, Tally(home.clock)),
        "activity": lambda: overview.get_activity(bus, ActivityQuery()),
        "traffic": lambda: overview.get_traffic(bus, TrafficQuery()),
        "threads": lambda: overview.list_threads(bus, ThreadListQuery()),
        "older threads": lambda: overview.list_threads(bus, ThreadListQuery(before=ids[-1])),
        "threads of a sender": lambda: overview.list_threads(bus, ThreadListQuery(from_="human")),
        "threads of a target": lambda: overview.list_threads(bus, ThreadListQuery(to="tag:x")),
        "threads of an agent": lambda: overview.list_threads(bus, ThreadListQuery(agent="ann")),
        "threads of a channel": lambda: overview.list_threads(bus, ThreadListQuery(channel="c", to="ann")),
        "search of threads": lambda: overview.list_threads(bus, ThreadListQuery(q="word", channel="c")),
        "threads with open work": lambda: overview.list_threads(bus, ThreadListQuery(open=True)),
        "unread threads": lambda: overview.list_threads(bus, ThreadListQuery(unread=True)),
        "attention": lambda: overview.get_attention(bus, AttentionQuery()),
        "presence": lambda: overview.list_presence(bus, PresenceQuery()),
        "timeline of a message": lambda: timeline.of_message(bus, ids[1]),
        "timeline of a task": lambda: timeline.of_task(bus, task_id),
        "timeline of an agent": lambda: timeline.of_agent(bus, "ann", AgentTimelineQuery()),
        "sweep of counts": lambda: home.store.write(lambda c: activity.delete_some(c, cutoff_ms=0, limit=9)),
        "sweep of tasks": lambda: home.store.write(lambda c: delete_old_tasks(c, cutoff_ms=0, limit=9)),
        "remove": lambda: agents.remove(bus, "bob", secret=None),
    }
    found = {what: walks(home, work) for what, work in often.items()}
    assert {what: steps for what, steps in found.items() if steps} == {}


@pytest.mark.parametrize(
    ("index", "ask"),
    [
        ("ix_messages_answers (thread_id=? AND sender=?", lambda bus: overview.get_attention(bus, AttentionQuery())),
        ("ix_events_released (type=?", lambda bus: overview.get_attention(bus, AttentionQuery())),
        ("ix_events_claim (message_id=? AND seq>?", lambda bus: overview.get_attention(bus, AttentionQuery())),
        ("ix_events_claim (message_id=?", lambda bus: timeline.of_message(bus, 2)),
        ("ix_events_claimant (agent_id=?", lambda bus: timeline.of_agent(bus, "ann", AgentTimelineQuery())),
        ("ix_receipts_lost (agent_id=?", lambda bus: timeline.of_agent(bus, "ann", AgentTimelineQuery())),
        ("ix_events_agent (agent_id=?", lambda bus: overview.list_presence(bus, PresenceQuery())),
        ("ix_messages_held (claimed_by=?", lambda bus: messages.list_history(bus, MessageQuery(claimedBy="ann"))),
        ("ix_messages_thread (thread_id=? AND id>?", lambda bus: overview.list_threads(bus, ThreadListQuery())),
        (
            "SCAN messages USING INDEX ix_messages_open",
            lambda bus: overview.list_threads(bus, ThreadListQuery(open=True)),
        ),
        ("MERGE (UNION ALL)", lambda bus: overview.list_threads(bus, ThreadListQuery(agent="ann"))),
    ],
)
def test_what_overviews_ask_has_an_index_of_its_own(
    make_home: Callable[..., Home], index: str, ask: Callable[[Bus], object]
) -> None:
    home = make_home()
    home.register("ann")
    home.send("human", "ann")
    with statements(home) as seen:
        ask(home.bus)
    with home.store.read() as connection:
        plans = [
            str(row[-1])
            for statement, parameters in seen
            if statement.lstrip().startswith(("SELECT", "WITH"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert any(index in step for step in plans), plans


def test_old_open_work_is_found_by_an_index_of_open_work(make_home: Callable[..., Home]) -> None:
    """Not by going over all that was ever sent to the target (#2)."""
    home = make_home()
    home.register("ann", tags=["x"])
    with statements(home) as seen:
        home.inbox("ann")
        home.inbox("ann", unread=True)
        agents.get(home.bus, "ann")
        inbox.read_up_to(home.bus, agent_id="ann", up_to=9, agent_secret=None)
    with home.store.read() as connection:
        asking = [(s, p) for s, p in seen if s.startswith("SELECT") and "x.claimable AND x.claimed_by IS NULL" in s]
        assert len(asking) >= 4
        for statement, parameters in asking:
            plan = [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            assert any("ix_messages_open (target=? AND claimed_by=?" in step for step in plan), (plan, statement)


def test_history_is_walked_from_its_end_and_sweeps_by_their_ids(make_home: Callable[..., Home]) -> None:
    home = make_home()
    with statements(home) as seen:
        messages.list_history(home.bus, MessageQuery())
        retention.sweep(home.bus)
    with home.store.read() as connection:
        for statement, parameters in seen:
            if statement.startswith(("SELECT", "DELETE")) and "messages" in statement:
                plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                assert not [step for step in plan if "TEMP B-TREE" in step], (plan, statement)


def test_what_integrations_have_is_counted_by_index(make_home: Callable[..., Home]) -> None:
    home = make_home(integrations=(OPS,))
    make(home)
    with statements(home) as seen:
        list_integrations(home.bus, Tally(home.clock))
    with home.store.read() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all() for sql, parameters in seen]
    steps = [str(row[-1]) for plan in plans for row in plan if re.match("S(CAN|EARCH) (tasks|deliveries)", row[-1])]
    assert {re.sub(r"^SEARCH \w+ USING (COVERING )?INDEX ", "", step) for step in steps} == {
        "ix_deliveries_due (integration=? AND next_at=?)",
        "ix_deliveries_due (integration=? AND next_at>?)",
        "ix_deliveries_state (state=?)",
        "ix_tasks_source (source=?)",
        "ux_tasks_active (source=? AND dedupe_key=?)",
        "ux_tasks_active (source=? AND dedupe_key>?)",
    }


def test_the_plan_checker_sees_a_walk(make_home: Callable[..., Home]) -> None:
    home = make_home()

    def walk() -> None:
        with home.store.read() as connection:
            connection.execute(text("SELECT * FROM messages WHERE body = 'x'")).all()

    assert walks(home, walk)
