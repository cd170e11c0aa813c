"""The database as a download, taken while the relay is at work."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import MakeRelay
from tests.factories import DEADLINE_S, Relay, answer, make_message, problem, wait_until
from tests.integrations import bearer, configured, make_integration


def names_beside(relay: Relay) -> set[str]:
    """What is in the database's folder, but for what SQLite keeps there."""
    return {path.name for path in relay.db.parent.iterdir() if not path.name.startswith("relay.db")}


def open_copies(relay: Relay) -> list[str]:
    """Files without a name that the relay holds open."""
    found: list[str] = []
    for entry in Path(f"/proc/{relay.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = str(entry.readlink())
            found += [target] if target.endswith(".backup (deleted)") else []
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="NOT TESTED: there is no /proc here")


def bodies(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [row[0] for row in connection.execute("SELECT body FROM messages ORDER BY id")]


@contextlib.contextmanager
def fetching(relay: Relay) -> Iterator[socket.socket]:
    """A download that stands still: more is to come than sockets hold."""
    for _ in range(20):
        make_message(relay, to="somebody", body="x" * 900_000)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.settimeout(DEADLINE_S)
        sock.connect(("127.0.0.1", relay.port))
        sock.sendall(f"GET /api/backup HTTP/1.1\r\nHost: 127.0.0.1:{relay.port}\r\n\r\n".encode())
        assert sock.recv(12) == b"HTTP/1.1 200"
        yield sock


def test_a_backup_is_a_file_with_a_name_and_a_length(own_relay: Relay) -> None:
    make_message(own_relay, to="bob", body="kept")
    response = own_relay.get("/backup")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/vnd.sqlite3"
    disposition = response.headers["Content-Disposition"]
    assert re.fullmatch(r'attachment; filename="agent-relay-\d{8}-\d{6}\.db"', disposition), disposition
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content.startswith(b"SQLite format 3\0")
    assert names_beside(own_relay) == {"home", "run", "relay.log"}
    head = own_relay.ask("HEAD", "/backup")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(response.content)
    assert own_relay.get("/backup").status_code == 200  # the turn was given back


def test_a_backup_taken_while_messages_are_sent_is_whole_and_can_be_restored(own_relay: Relay, tmp_path: Path) -> None:
    acknowledged: list[str] = []
    under_way, over = threading.Event(), threading.Event()

    def send() -> None:
        with requests.Session() as session:
            while not over.is_set():
                body = f"{len(acknowledged)} {'x' * 3_000}"
                sent = session.post(f"{own_relay.api}/messages", json={"from": "human", "to": "bob", "body": body})
                assert sent.status_code == 201, sent.text
                acknowledged.append(body)
                if len(acknowledged) == 50:
                    under_way.set()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert under_way.wait(DEADLINE_S)
        copies: list[tuple[int, bytes]] = []
        for _ in range(3):
            before = len(acknowledged)
            response = own_relay.get("/backup")
            assert response.status_code == 200, response.text
            copies.append((before, response.content))
    finally:
        over.set()
        sender.join(DEADLINE_S)
    for number, (before, content) in enumerate(copies):
        file = tmp_path / f"copy-{number}.db"
        file.write_bytes(content)
        found = bodies(file)
        assert len(found) >= before
        assert found == acknowledged[: len(found)]
    restored = tmp_path / "restored.db"
    done = subprocess.run(
        [sys.executable, "-m", "app", "restore", str(file), "--db", str(restored)],
        env=own_relay.environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert bodies(restored) == found


@needs_proc
def test_a_client_that_hangs_up_midway_leaves_nothing(own_relay: Relay) -> None:
    with fetching(own_relay):
        assert len(open_copies(own_relay)) == 1
        assert names_beside(own_relay) == {"home", "run", "relay.log"}  # it has no name any more
    wait_until(lambda: not open_copies(own_relay), "the copy is let go")
    assert own_relay.get("/backup").status_code == 200
    wait_until(lambda: not open_copies(own_relay), "and so is the next")


@needs_proc
def test_a_client_that_hangs_up_before_the_answer_leaves_nothing(own_relay: Relay) -> None:
    make_message(own_relay, to="somebody", body="x" * 900_000)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", own_relay.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a goodbye
            sock.sendall(f"GET /api/backup HTTP/1.1\r\nHost: 127.0.0.1:{own_relay.port}\r\n\r\n".encode())
    wait_until(lambda: own_relay.get("/backup").status_code == 200, "the turn is given back")
    wait_until(lambda: not open_copies(own_relay), "the copy is let go")
    assert names_beside(own_relay) == {"home", "run", "relay.log"}


def test_there_is_one_at_a_time_and_everybody_else_is_served(own_relay: Relay) -> None:
    with fetching(own_relay) as sock:
        for method in ("GET", "HEAD", "GET"):
            refused = own_relay.ask(method, "/backup")
            assert refused.status_code == 409
            assert int(refused.headers["Retry-After"]) > 0
        assert problem(refused, 409, "backup-running")["detail"]
        for _ in range(20):  # more than there are workers
            answer(own_relay.get("/stats"))
        make_message(own_relay, to="bob")
        with sock.makefile("rb") as rest:
            rest.readline()  # of the status line, what is left
            length = int(http.client.parse_headers(rest)["Content-Length"])
            assert len(rest.read(length)) == length
        # Who has it all may ask again at once.
        assert own_relay.get("/backup").status_code == 200


def test_a_relay_that_was_killed_tidies_up_at_its_next_start(own_relay: Relay) -> None:
    own_relay.kill()
    left = [own_relay.db.with_name(f".relay.db.abc123.backup{end}") for end in ("", "-journal", "-wal", "-shm")]
    others = [own_relay.db.with_name(name) for name in (".relay.db.abc123.new", ".other.db.abc.backup", "mine.backup")]
    for path in (*left, *others):
        path.write_bytes(b"x")
    own_relay.start()
    assert [path.name for path in left if path.exists()] == []
    assert all(path.exists() for path in others)


def test_a_stopping_relay_does_not_wait_for_a_reader(own_relay: Relay) -> None:
    with fetching(own_relay):
        assert own_relay.stop(10) == 0
    assert names_beside(own_relay) == {"home", "run", "relay.log"}


def test_a_backup_is_for_whoever_may_do_everything(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration(), AGENT_RELAY_TOKEN="shared"))
    problem(relay.get("/backup"), 401, "unauthorized")
    problem(relay.get("/backup", headers=bearer()), 403, "out-of-scope")
    shared = {"X-Agent-Relay-Token": "shared"}
    problem(relay.post("/backup", {}, headers=shared), 405, "method-not-allowed")
    assert relay.get("/backup", headers=shared).status_code == 200
