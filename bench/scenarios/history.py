"""What a long history costs: the same calls on 1,000 and on 1,000,000 old messages, in turns."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import time
from pathlib import Path

from bench import stats
from bench.http import Caller
from bench.process import Relay
from bench.report import Figure
from bench.scenarios.base import Run, agent_ids

AGENTS, OLD = 50, 1_000
_TEAMS = 5
#: Of 100 messages, how many go to one agent and how many to a team; the rest to everybody.
_DIRECT, _TEAM = 92, 6
_PATHS = {
    "inbox poll, nothing unread": "/api/messages?for=agent-1&unread=true",
    "inbox poll, 3 unread": "/api/messages?for=agent-2&unread=true",
    "inbox poll of a newcomer, nothing unread": "/api/messages?for=newcomer&unread=true",
    "history page": "/api/messages?limit=50",
    "stats": "/api/stats",
    "agents": "/api/agents?limit=50",
}


def run(run: Run) -> list[Figure]:
    """Ratios of medians."""
    times = run.pick(1_000, 100)
    small_home, large_home = run.home(), run.home()
    _make(small_home)
    large = large_home / "relay.db"
    shutil.copy(small_home / "relay.db", large)
    begun = time.perf_counter()
    multiply(large, times=times)
    filling_s = time.perf_counter() - begun
    size = large.stat().st_size / 1e6
    with contextlib.ExitStack() as stack:
        callers = []
        for home in (small_home, large_home):
            relay = stack.enter_context(Relay(home))
            callers.append(stack.enter_context(Caller(relay.address)))
        for caller in callers:
            caller.call("POST", "/api/agents", {"id": "newcomer", "tags": ["team-1"]})
            for number in range(3):
                caller.call("POST", "/api/messages", {"from": "human", "to": "agent-2", "body": f"news {number}"})
        time.sleep(run.pick(3.0, 1.0))  # what a relay does after its start is not what is measured
        found = {name: _compare(callers, path, rounds=run.pick(300, 100)) for name, path in _PATHS.items()}
    total = OLD * times
    figures = [
        Figure(
            name=f"{name}, {total:,} messages",
            value=slow * 1000,
            unit="ms",
            target=1.5,
            by_ratio=True,
            floor=fast * 1000,
            floor_name=f"{OLD:,} messages",
        )
        for name, (fast, slow) in found.items()
    ]
    figures.append(Figure(name="size of the larger database", value=size, unit="MB"))
    figures.append(Figure(name="time to fill it, outside the relay", value=filling_s, unit="s"))
    return figures


def _compare(callers: list[Caller], path: str, *, rounds: int) -> tuple[float, float]:
    """Median seconds on either side."""
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(-10, rounds):
        for caller, times in zip(callers, took, strict=True):
            begun = time.perf_counter()
            caller.call("GET", path)
            if number >= 0:
                times.append(time.perf_counter() - begun)
    return stats.median(took[0]), stats.median(took[1])


def _make(home: Path) -> None:
    """The smaller history, through the API: sent, threaded, claimed, and read by everybody it went to."""
    dice = random.Random(1)  # noqa: S311 - the same history each time
    agents = agent_ids(AGENTS)
    with Relay(home) as relay, Caller(relay.address) as caller:
        for number, agent in enumerate(agents):
            caller.call(
                "POST", "/api/agents", {"id": agent, "tags": [f"team-{number % _TEAMS}"], "labels": ["old hand"]}
            )
        roots: list[int] = []
        for _ in range(OLD // 100):
            batch = []
            for number in range(100):
                message: dict[str, object] = {
                    "from": dice.choice(agents),
                    "to": "broadcast",
                    "body": "word " * dice.randint(5, 60),
                }
                if number < _DIRECT:
                    message["to"] = dice.choice(agents)
                elif number < _DIRECT + _TEAM:
                    message["to"] = f"tag:team-{dice.randrange(_TEAMS)}"
                if roots and number % 4 == 0:
                    message |= {"replyTo": dice.choice(roots[-50:])}
                batch.append(message)
            roots += [message["id"] for message in caller.call("POST", "/api/messages", batch)["messages"]]
        for agent in agents:
            caller.call("POST", "/api/messages/read", {"agentId": agent, "upTo": roots[-1]})


def multiply(path: Path, *, times: int) -> None:
    """Repeat a stopped relay's history ``times`` times, each under higher ids, all of it as read as the first.

    Through the API it would take an hour of reading marks alone; this does what that would leave behind.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        run = connection.execute
        run("PRAGMA synchronous = OFF")
        run("PRAGMA cache_size = -262144")
        run("BEGIN")
        span = run("SELECT value FROM counters WHERE name = 'seq'").fetchone()[0]
        run(
            "CREATE TEMP TABLE n AS "
            "WITH RECURSIVE c(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c WHERE k + 1 < ?) SELECT k FROM c",
            (times,),
        )
        _repeat(connection, "messages", ("id", "thread_id", "reply_to"), span=span)
        _repeat(connection, "events", ("seq", "message_id"), span=span, where="message_id IS NOT NULL")
        _repeat(connection, "receipts", ("message_id",), span=span)
        run("UPDATE read_marks SET up_to = ?", (span * times,))
        run("UPDATE counters SET value = value * ? WHERE name IN ('seq', 'messages')", (times,))
        # As if it had all been made searchable when it came: else the relay would begin with that.
        run("UPDATE counters SET value = ? WHERE name = 'searchable'", (span * times,))
        run("COMMIT")
        run("DROP TABLE temp.n")
        run("PRAGMA wal_checkpoint(TRUNCATE)")


def _repeat(
    connection: sqlite3.Connection, table: str, shifted: tuple[str, ...], *, span: int, where: str = "1"
) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    picks = ", ".join(f"s.{column} + n.k * {span}" if column in shifted else f"s.{column}" for column in columns)
    connection.execute(f"CREATE TEMP TABLE s AS SELECT * FROM {table} WHERE {where}")  # noqa: S608 - our own words
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {picks} FROM temp.n CROSS JOIN temp.s ORDER BY n.k, s.rowid"  # noqa: S608
    )
    connection.execute("DROP TABLE temp.s")
