"""A database that cannot be used: one clear line, exit 1, and not a byte of it changed."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process._relay import Connection, Relay, wait_until
from tests.process.conftest import MakeRelay

PAGE = 4096


def fingerprints(folder: Path) -> dict[str, str]:
    """The database and its write-ahead log, if that holds anything."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name == "relay.db" or (path.name == "relay.db-wal" and path.stat().st_size)
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with messages in it, that no relay uses."""
    folder = tmp_path_factory.mktemp("template")
    relay = Relay(folder, db=folder / "data" / "relay.db").start()
    try:
        relay.register("alice", tags=["t"])
        for number in range(20):
            relay.tell("alice", f"{number} {'x' * 3_000}")
        assert relay.stop() == 0
    finally:
        relay.end()
    left = {path.name for path in relay.db.parent.iterdir()}
    assert left == {"relay.db", "relay.db.lock"}, "the end leaves one plain file"
    return relay.db


@pytest.fixture
def used(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "data"
    folder.mkdir()
    return Path(shutil.copy(template, folder / "relay.db"))


def refuse(make_relay: MakeRelay, db: Path, *words: str) -> str:
    """A relay on this database does not start, says why in one line, and changes nothing."""
    before = fingerprints(db.parent)
    line = make_relay(db=db, start=False).fail_to_start()
    assert str(db.name) in line or str(db.parent) in line, line
    assert any(word in line for word in words), line
    assert "Traceback" not in line
    assert "unexpected" not in line, line
    assert fingerprints(db.parent) == before
    return line


#: Another process: the locks of this one would end with the first reading of the file (POSIX).
_LOCKER = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("PRAGMA journal_mode = " + sys.argv[2]).fetchone()
other.execute(sys.argv[3])
print("locked", flush=True)
sys.stdin.readline()
other.execute("ROLLBACK")
"""


@contextlib.contextmanager
def locked(db: Path, *, journal: str, how: str) -> Iterator[None]:
    """Another program holds a lock."""
    command = [sys.executable, "-c", _LOCKER, str(db), journal, how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "locked\n"
            yield
            other.communicate("\n", timeout=20)
        finally:
            other.kill()


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_a_locked_database_is_refused(make_relay: MakeRelay, used: Path, journal: str) -> None:
    with locked(used, journal=journal, how="BEGIN EXCLUSIVE"):
        line = make_relay(db=used, start=False).fail_to_start()
        assert str(used) in line
        assert "locked" in line
    make_relay(db=used).is_well()


def test_a_lock_taken_while_it_runs_is_a_503_and_passes(make_relay: MakeRelay, used: Path) -> None:
    relay = make_relay(db=used)
    with locked(used, journal="WAL", how="BEGIN IMMEDIATE"):
        answer = relay.http("POST", "/api/messages", {"from": "human", "to": "alice", "body": "x"})
        assert answer.status == 503
        assert answer.problem()["code"] == "unavailable"
        assert answer.headers["retry-after"]
        assert relay.http("GET", "/api/messages").status == 200
    relay.tell("alice", "after")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Make a folder read-only by mounting it so: root is stopped by nothing less."""
    mounted: list[Path] = []

    def make(folder: Path) -> None:
        for options in (["--bind", str(folder), str(folder)], ["-o", "remount,ro,bind", str(folder)]):
            done = subprocess.run(["mount", *options], capture_output=True, text=True, timeout=20, check=False)
            if done.returncode:
                pytest.skip(f"NOT TESTED: nothing can be mounted here (root needed): {done.stderr.strip()}")
            if folder not in mounted:
                mounted.append(folder)

    if not shutil.which("mount"):
        pytest.skip("NOT TESTED: there is no mount here")
    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, timeout=20, check=True)


def test_a_read_only_folder_is_refused(make_relay: MakeRelay, used: Path, read_only: Callable[[Path], None]) -> None:
    read_only(used.parent)
    assert "Read-only file system" in refuse(make_relay, used, "Read-only file system")


def test_a_read_only_file_is_refused(make_relay: MakeRelay, used: Path) -> None:
    """The file alone is read-only, and its folder is not. Root may write it all the same, so it is made immutable."""
    before = fingerprints(used.parent)
    done = subprocess.run(
        ["mount", "--bind", "-o", "ro", str(used), str(used)], capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode:
        pytest.skip(f"NOT TESTED: nothing can be mounted here (root needed): {done.stderr.strip()}")
    try:
        line = make_relay(db=used, start=False).fail_to_start()
    finally:
        subprocess.run(["umount", "--lazy", str(used)], capture_output=True, timeout=20, check=True)
    assert "read-only" in line or "readonly" in line or "Read-only" in line, line
    assert fingerprints(used.parent)["relay.db"] == before["relay.db"]


def garbage(size: int) -> bytes:
    return (hashlib.sha512(b"garbage").digest() * (size // 64 + 1))[:size]


def test_garbage_is_refused(make_relay: MakeRelay, tmp_path: Path) -> None:
    for number, content in enumerate(
        (b"x", garbage(100), garbage(50_000), b"\0" * 8_192, b"SQLite format 3\0" + garbage(8_192 - 16))
    ):
        folder = tmp_path / f"garbage-{number}"
        folder.mkdir()
        (folder / "relay.db").write_bytes(content)
        refuse(make_relay, folder / "relay.db", "not a database", "damaged")


def test_a_damaged_header_is_refused(make_relay: MakeRelay, used: Path) -> None:
    content = bytearray(used.read_bytes())
    content[:16] = garbage(16)
    used.write_bytes(content)
    refuse(make_relay, used, "not a database", "damaged")


@pytest.mark.parametrize("which", ["first", "middle", "most", "end cut off", "half cut off"])
def test_damaged_pages_are_refused(make_relay: MakeRelay, used: Path, which: str) -> None:
    content = bytearray(used.read_bytes())
    pages = len(content) // PAGE
    assert pages > 20
    match which:
        case "first":
            content[100:PAGE] = garbage(PAGE - 100)
        case "middle":
            # Somewhere in a table or an index; a page of free text alone would not be noticed by anyone.
            for page in range(2, 12):
                content[page * PAGE : (page + 1) * PAGE] = garbage(PAGE)
        case "most":
            content[PAGE:] = garbage(len(content) - PAGE)
        case "end cut off":
            del content[-PAGE:]
        case "half cut off":
            del content[len(content) // 2 :]
    used.write_bytes(content)
    refuse(make_relay, used, "damaged", "not a database")


def test_a_log_left_by_a_kill_is_not_folded_into_a_damaged_file(make_relay: MakeRelay, tmp_path: Path) -> None:
    db = tmp_path / "data" / "relay.db"
    relay = make_relay(db=db)
    relay.tell("alice", "x" * 100_000)
    with contextlib.closing(sqlite3.connect(db)) as other:
        wait_until(lambda: other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "a checkpoint")
        relay.tell("alice", "in the log alone")
        relay.kill()
        content = bytearray(db.read_bytes())
        content[2 * PAGE : 20 * PAGE] = garbage(18 * PAGE)
        db.write_bytes(content)
        assert set(fingerprints(db.parent)) == {"relay.db", "relay.db-wal"}
        log = (db.parent / "relay.db-wal").read_bytes()
    # Closing the last connection, as was just done, folds the log in; put both back.
    db.write_bytes(content)
    (db.parent / "relay.db-wal").write_bytes(log)
    refuse(make_relay, db, "damaged", "not a database")


def test_an_empty_file_becomes_a_new_database(make_relay: MakeRelay, tmp_path: Path) -> None:
    db = tmp_path / "relay.db"
    db.touch()
    relay = make_relay(db=db)
    relay.tell("alice", "first")
    assert relay.stop() == 0
    assert db.read_bytes().startswith(b"SQLite format 3\0")


def test_the_database_of_another_program_is_refused(make_relay: MakeRelay, tmp_path: Path) -> None:
    db = tmp_path / "other" / "relay.db"
    db.parent.mkdir()
    with contextlib.closing(sqlite3.connect(db)) as other:
        other.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, body TEXT)")
        other.execute("INSERT INTO messages (body) VALUES ('mine')")
        other.commit()
    refuse(make_relay, db, "another program")


def test_a_database_of_a_newer_version_is_refused(make_relay: MakeRelay, used: Path) -> None:
    with contextlib.closing(sqlite3.connect(used)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
    refuse(make_relay, used, "newer version")


def test_what_is_no_file_is_refused(make_relay: MakeRelay, tmp_path: Path) -> None:
    folder = tmp_path / "relay.db"
    folder.mkdir()
    line = make_relay(db=folder, start=False).fail_to_start()
    assert "relay.db" in line
    assert "unexpected" not in line, line
    below = tmp_path / "file"
    below.write_bytes(b"x")
    line = make_relay(db=below / "relay.db", start=False).fail_to_start()
    assert "unexpected" not in line, line
    assert below.read_bytes() == b"x"


def test_damage_while_it_runs_is_a_503_and_is_not_written_over(make_relay: MakeRelay, used: Path) -> None:
    relay = make_relay(db=used)
    relay.tell("alice", "before")
    # Out of the write-ahead log and of every cache: the next read meets the file.
    with contextlib.closing(sqlite3.connect(used)) as other:
        wait_until(lambda: other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "a checkpoint")
    size = used.stat().st_size
    with used.open("r+b") as file:
        file.seek(PAGE)
        file.write(garbage(size - PAGE))
    damaged = fingerprints(used.parent)["relay.db"]

    reads = ("/api/messages?limit=500", "/api/messages?for=alice", "/api/messages/5", "/api/agents")
    message = {"from": "human", "to": "alice", "body": "after"}
    with contextlib.closing(Connection(relay.port)) as connection:
        statuses = [status_of(connection, "GET", path) for path in reads * 10]
        statuses += [status_of(connection, "POST", "/api/messages", message) for _ in range(10)]
        statuses += [status_of(connection, "GET", path) for path in reads * 10]
    assert set(statuses) <= {200, 503}, statuses
    assert 503 in statuses
    assert relay.runs()
    assert "Traceback" not in relay.log
    assert fingerprints(used.parent)["relay.db"] == damaged
    relay.kill()
    refuse(make_relay, used, "damaged", "not a database")


def status_of(connection: Connection, method: str, path: str, body: object = None) -> int:
    answer = connection.http(method, path, body)
    if answer.status == 503:
        assert answer.problem()["code"] == "unavailable"
    return answer.status


def test_a_second_relay_on_the_same_database_is_refused(make_relay: MakeRelay) -> None:
    first = make_relay()
    second = make_relay(db=first.db, start=False)
    line = second.fail_to_start()
    assert f"another relay (pid {first.pid})" in line
    assert str(first.db) in line
    first.is_well()
    first.kill()
    # The dead hold no lock.
    relay: Relay = second.start()
    relay.is_well()
