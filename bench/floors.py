"""What the machine can do at all: floors that the relay's figures are held against, measured in the same run.

``python -m bench.floors waitress`` and ``… echo FILE`` are the servers among them, each in a process of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from bench import stats
from bench.http import connect, request_bytes
from bench.process import ROOT, Address, child_env, rss_bytes

#: About what a send and its answer take on the wire.
BODY = {"from": "agent-0", "to": "agent-1", "body": "x" * 120}
_ANSWER = b'{"answer":"' + b"y" * 360 + b'"}'
_ROW = ("agent-0", "agent-1", "x" * 120, 1_700_000_000_000)


@contextlib.contextmanager
def server(home: Path, *argv: str) -> Iterator[Address]:
    """One of this module's servers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.floors", *argv], cwd=ROOT, env=child_env(home), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield "127.0.0.1", int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def echo_s(address: Address, *, rounds: int) -> list[float]:
    """Seconds from sending a message to having it back, after the other side has put it on disk."""
    message = request_bytes("POST", "/api/messages", BODY)
    took: list[float] = []
    with connect(address) as sock:
        for _ in range(rounds):
            begun = time.perf_counter()
            sock.sendall(message)
            sock.recv(4096)
            took.append(time.perf_counter() - begun)
    return took


def sqlite_per_s(folder: Path, *, batch: int, seconds: float) -> float:
    """Rows a second of plain sqlite3 with the relay's durability: WAL, ``synchronous=FULL``."""
    with contextlib.closing(sqlite3.connect(folder / f"raw-{batch}.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, sender, target, body, at)")
        rows, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO t (sender, target, body, at) VALUES (?, ?, ?, ?)", [_ROW] * batch)
            connection.execute("COMMIT")
            rows += batch
        return rows / (time.perf_counter() - begun)


def python_start_s(home: Path, *, rounds: int) -> float:
    """Median of a bare interpreter's whole life."""
    return stats.median(command_s([sys.executable, "-c", "pass"], env=child_env(home)) for _ in range(rounds))


def command_s(argv: list[str], *, env: dict[str, str]) -> float:
    """A whole command, from its start to its end."""
    begun = time.perf_counter()
    subprocess.run(argv, cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def python_rss_bytes(home: Path) -> int:
    """Resident memory of a bare interpreter."""
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env=child_env(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        return rss_bytes(process.pid)
    finally:
        process.kill()
        process.communicate()


# -- the servers -------------------------------------------------------------------------------------------------------


def _app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    stream: IO[bytes] = environ["wsgi.input"]
    stream.read()
    start_response("201 Created", [("Content-Type", "application/json"), ("Content-Length", str(len(_ANSWER)))])
    return [_ANSWER]


def _serve_waitress() -> None:
    from waitress.server import create_server

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns of each request that has to wait
    made = create_server(_app, host="127.0.0.1", port=0, threads=16)
    print(made.effective_port, flush=True)
    made.run()


def _serve_echo(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, path.open("ab", buffering=0) as file:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock:
                while data := sock.recv(4096):
                    file.write(data)
                    os.fsync(file.fileno())
                    sock.sendall(data)


if __name__ == "__main__":
    if sys.argv[1] == "waitress":
        _serve_waitress()
    else:
        _serve_echo(Path(sys.argv[2]))
