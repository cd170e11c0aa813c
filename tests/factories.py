"""What tests are made of: relay processes, agents, messages, event streams, and waiting with a deadline.

Everything here speaks plain HTTP to a real process; the project's own client is not used, so that the wire itself is
what is tested.
"""

from __future__ import annotations

import http.client
import importlib.util
import itertools
import json
import os
import queue
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from app import model
from app.config import Settings
from app.server.clock import Clock
from app.server.services import agents, messages
from app.server.services import inbox as inbox_service
from app.server.services.bus import Bus
from app.server.services.integrations import Integrations
from app.server.services.presence import Presence
from app.server.store import agents as agent_store
from app.server.store import events as event_store
from app.server.store.engine import Store

ROOT = Path(__file__).resolve().parent.parent
#: Generous: two cores, shared with others.
DEADLINE_S = 30.0

Json = dict[str, Any]

_run = secrets.token_hex(3)
_numbers = itertools.count(1)


def unique(prefix: str = "x") -> str:
    """A name that no other test uses."""
    return f"{prefix}-{_run}-{next(_numbers)}"


def wait_until(true: Callable[[], object], what: str = "", *, timeout_s: float = DEADLINE_S) -> None:
    """Look again and again, and fail when the time is up."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what or true}"
        pause.wait(0.01)


# -- relay processes ---------------------------------------------------------------------------------------------------

#: Serves as ``python -m app`` does; only where the command line is not there.
_RUNNER = """
import sys
from app.config import load_settings
from app.logs import setup_logging
from app.server.run import serve
setup_logging()
sys.exit(serve(load_settings(flags={"port": int(sys.argv[2]), "db": sys.argv[4]})))
"""
_LISTENING = re.compile(r"listening on (http://\S+)")


class Relay:
    """A relay process with a home of its own. Any other attribute than these is for its own use.

    :ivar url: ``http://127.0.0.1:<port>``; ``api`` is that with ``/api``.
    """

    def __init__(self, folder: Path, *, db: Path | None = None, **settings: object) -> None:
        """:param settings: environment variables, e.g. ``STALE_TTL_MS=200``."""
        self.folder = folder
        self.db = db or folder / "relay.db"
        self.settings = {name: str(value) for name, value in settings.items()}
        self.url = ""
        self.port = 0
        self.log_path = folder / "relay.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """What the process has written so far, all its runs."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def environ(self) -> dict[str, str]:
        """A clean environment: nothing of the caller's but where programs are."""
        home = self.folder / "home"
        places = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "STATE", "CACHE")}
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "XDG_BIN_HOME": str(home / "bin"),
            **places,
            **self.settings,
        }

    def command(self) -> list[str]:
        start = ["-m", "app"] if importlib.util.find_spec("app.__main__") else ["-c", _RUNNER]
        return [sys.executable, *start, "--port", str(self.port), "--db", str(self.db)]

    def start(self) -> Self:
        """Start, and wait until it listens; started again it listens on the same port."""
        assert self.process is None, "still running"
        for place in ("home", "run"):
            (self.folder / place).mkdir(parents=True, exist_ok=True, mode=0o700)
        before = len(self.log)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        listening: list[str] = []

        def ready() -> bool:
            assert self.process is not None
            listening.extend(_LISTENING.findall(self.log[before:]))
            assert listening or self.process.poll() is None, f"exit {self.process.returncode}:\n{self.log[before:]}"
            return bool(listening)

        try:
            wait_until(ready, "the relay listens")
        except AssertionError:
            self.end()
            raise AssertionError(f"the relay did not start:\n{self.log[before:]}") from None
        self.url = listening[0].rstrip("/")
        self.port = int(self.url.rpartition(":")[2])
        return self

    def stop(self, timeout_s: float = DEADLINE_S) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._wait(timeout_s)

    def kill(self) -> int:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        return self._wait(DEADLINE_S)

    def restart(self) -> Self:
        """Stop in good order, and start again on the same database and port."""
        assert self.stop() == 0, self.log
        return self.start()

    def end(self) -> None:
        """Whatever state it is in, it is gone after this."""
        if self.process is not None:
            self.process.kill()
            self._wait(DEADLINE_S)
        self._http.close()

    def _wait(self, timeout_s: float) -> int:
        assert self.process is not None
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the relay does not stop within {timeout_s} s:\n{self.log}") from None
        self.process = None
        self._http.close()
        self._http = requests.Session()
        self._http.trust_env = False
        return status

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """One call; ``path`` is below ``/api``, or with a leading ``//`` below the root."""
        more.setdefault("timeout", DEADLINE_S)
        more.setdefault("allow_redirects", False)
        url = self.url + path[1:] if path.startswith("//") else self.api + path
        return self._http.request(method, url, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> requests.Response:
        return self.ask("POST", path, json=json, **more)

    def patch(self, path: str, json: Any = None, **more: Any) -> requests.Response:
        return self.ask("PATCH", path, json=json, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        return self.ask("DELETE", path, **more)

    def raw(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are, and read the answer to its end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as sock:
            sock.sendall(data)
            response = http.client.HTTPResponse(sock)
            response.begin()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()

    def open(self, path: str, **headers: str) -> EventStream:
        """An event stream: ``relay.open("/events?for=alice")``; header names with ``_`` for ``-``."""
        return EventStream(self.port, f"/api{path}", {k.replace("_", "-"): v for k, v in headers.items()})


def answer(response: requests.Response, status: int = 200) -> Any:
    """The answer's JSON, once its status and type are checked."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    assert response.headers["Content-Type"] == "application/json", response.headers
    return response.json()


def problem(response: requests.Response, status: int, code: str, *, field: str | None = None) -> Json:
    """The answer's problem document, once its shape is checked."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    assert response.headers["Content-Type"] == "application/problem+json"
    document: Json = response.json()
    assert document["status"] == status
    assert document["code"] == code, document
    for name in ("type", "title", "detail", "requestId"):
        assert isinstance(document[name], str), name
        assert document[name], name
    assert document["type"].endswith(f"#{code}")
    assert document["requestId"] == response.headers["X-Request-Id"]
    if field is not None:
        fields = [error["field"] for error in document["errors"]]
        assert field in fields, document
        assert all(error["message"] for error in document["errors"])
    return document


# -- agents and messages -----------------------------------------------------------------------------------------------


def make_agent(relay: Relay, **fields: Any) -> str:
    """Register an agent; its id."""
    agent_id: str = fields.setdefault("id", unique("agent"))
    response = relay.post("/agents", fields)
    assert response.status_code in {200, 201}, response.text
    return agent_id


def make_message(relay: Relay, *, to: str, **fields: Any) -> Json:
    """Send a message, from ``human`` unless said otherwise; the answer."""
    if "from_" in fields:
        fields["from"] = fields.pop("from_")
    sent: Json = answer(relay.post("/messages", {"from": "human", "to": to, "body": "hello"} | fields), 201)
    return sent


def make_work(relay: Relay, *, to: str, **fields: Any) -> int:
    """Send a claimable message; its id."""
    return int(make_message(relay, to=to, claimable=True, **fields)["id"])


def card(relay: Relay, agent_id: str) -> Json:
    """An agent's card."""
    found: Json = answer(relay.get(f"/agents/{agent_id}"))
    return found


def inbox(relay: Relay, agent_id: str, **query: Any) -> list[Json]:
    """One page of an inbox, without being a sign of life."""
    params = {"for": agent_id, "peek": "true"} | query
    found: list[Json] = answer(relay.get("/messages", params=params))["messages"]
    return found


def unread_ids(relay: Relay, agent_id: str, **query: Any) -> list[int]:
    """Ids of what an agent has not read."""
    return [message["id"] for message in inbox(relay, agent_id, unread="true", limit=500, **query)]


def inbox_ids(relay: Relay, agent_id: str, **query: Any) -> list[int]:
    """Ids of an agent's inbox."""
    return [message["id"] for message in inbox(relay, agent_id, limit=500, **query)]


def read(relay: Relay, message_id: int, agent_id: str) -> Json:
    """Mark as read."""
    mark: Json = answer(relay.post(f"/messages/{message_id}/read", {"agentId": agent_id}))
    return mark


def claim(relay: Relay, message_id: int, agent_id: str) -> Json:
    """Claim, and expect to get it."""
    message: Json = answer(relay.post(f"/messages/{message_id}/claim", {"agentId": agent_id}))
    return message


def release(relay: Relay, message_id: int, agent_id: str) -> Json:
    """Give a claim back."""
    message: Json = answer(relay.post(f"/messages/{message_id}/release", {"agentId": agent_id}))
    return message


# -- Server-Sent Events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """One event as it came: ``lines`` are its lines in order."""

    id: int
    name: str
    data: Any
    lines: tuple[str, ...]


class EventStream:
    """A reader of Server-Sent Events on a bare socket; every read has a deadline."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        self.comments = 0
        self._left = b""
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{k}: {v}" for k, v in headers.items())]
        try:
            self._begin("\r\n".join([*lines, "", ""]).encode())
        except BaseException:
            self._sock.close()
            raise

    def _begin(self, request: bytes) -> None:
        self._sock.sendall(request)
        head = self._block(b"\r\n\r\n", DEADLINE_S).decode("latin-1").split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
        if self.status == 200:
            # The first comment: the stream is in the hub's hands now, and nothing that happens is missed.
            assert self._block(b"\n\n", DEADLINE_S).startswith(b":")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def next(self, timeout_s: float = DEADLINE_S) -> Event:
        """The next event; comments are counted and passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            lines = tuple(self._block(b"\n\n", deadline - time.monotonic()).decode().split("\n"))
            if all(line.startswith(":") for line in lines):
                self.comments += 1
                continue
            fields = dict(line.split(": ", 1) for line in lines)
            return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]), lines)

    def take(self, count: int) -> list[Event]:
        """The next so many events."""
        return [self.next() for _ in range(count)]

    def until(self, true: Callable[[Event], object]) -> list[Event]:
        """All events up to the first that is meant."""
        found = [self.next()]
        while not true(found[-1]):
            found.append(self.next())
        return found

    def until_message(self, message_id: int) -> list[Event]:
        """All events up to the announcement of a message."""
        return self.until(lambda event: event.name == "message.new" and event.data["id"] == message_id)

    def body(self) -> bytes:
        """The rest, of an answer that has a Content-Length."""
        size = int(self.headers["content-length"])
        while len(self._left) < size:
            self._left += self._sock.recv(65536)
        return self._left

    def ended(self, timeout_s: float = DEADLINE_S) -> bool:
        """Read to the end; whether the relay has closed the stream."""
        self._sock.settimeout(timeout_s)
        try:
            while self._sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def wait_for_comment(self, timeout_s: float) -> float:
        """Seconds until the next comment."""
        before = time.monotonic()
        assert self._block(b"\n\n", timeout_s).startswith(b":")
        return time.monotonic() - before

    def _block(self, end: bytes, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        while end not in self._left:
            self._sock.settimeout(max(0.01, deadline - time.monotonic()))
            data = self._sock.recv(65536)
            if not data:
                raise EOFError(f"the stream has ended, with {self._left!r} left")
            self._left += data
        block, _, self._left = self._left.partition(end)
        return block


def names(events: list[Event]) -> list[str]:
    """What happened, in order."""
    return [event.name for event in events]


def announced(events: list[Event]) -> list[int]:
    """Ids of the messages that were announced, in order."""
    return [event.data["id"] for event in events if event.name == "message.new"]


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(0…count-1)`` at once, each in a thread that starts with the others; the results in order."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []
    ready = threading.Barrier(count)

    def run(index: int) -> None:
        try:
            ready.wait(DEADLINE_S)
            results[index] = work(index)
        except BaseException as exc:  # noqa: BLE001 - shown by the test's own thread
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(index,), name=f"test-{index}") for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE_S)
        assert not thread.is_alive(), "a thread of the test hangs"
    if errors:
        raise errors[0]
    return results


def pages(ask: Callable[[Any], Json], key: str) -> Iterator[list[Json]]:
    """Walk a list by its ``next``; ``ask`` gets None first."""
    at: Any = None
    while True:
        page = ask(at)
        yield page[key]
        if "next" not in page:
            return
        at = page["next"]


# -- a bus in this process ---------------------------------------------------------------------------------------------


class FakeClock(Clock):
    """A clock that goes only when told. Starts in 2026."""

    def __init__(self) -> None:
        self.ms = 1_770_000_000_000
        self._wall_ahead_ms = 0

    def now_ms(self) -> int:
        return self.ms + self._wall_ahead_ms

    def set_wall(self, ahead_ms: int) -> None:
        """Set the wall clock, and it alone, so far ahead of where it began."""
        self._wall_ahead_ms = ahead_ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def advance(self, ms: int) -> None:
        self.ms += ms


class Home:
    """A real store with the services on it, without HTTP; closed and opened again it is a relay that was restarted."""

    def __init__(self, db: Path, *, clock: Clock | None = None, **settings: Any) -> None:
        self.db = db
        self.clock = clock or Clock()
        self.settings = Settings(db_path=db, **settings)
        self._helpers: list[threading.Thread] = []
        self.open()

    def open(self) -> None:
        self.store = Store(self.db, readers=2)
        self.store.soon = self._soon
        self.bus = Bus(
            settings=self.settings,
            store=self.store,
            clock=self.clock,
            presence=Presence(self.clock),
            integrations=Integrations(self.settings, path=None),
        )
        with self.store.read() as connection:
            self.bus.presence.load(agent_store.presence(connection))

    def close(self) -> None:
        self.settle()
        self.store.stop(10)

    def _soon(self, work: Callable[[], None]) -> None:
        helper = threading.Thread(target=work)
        helper.start()
        self._helpers.append(helper)

    def settle(self) -> None:
        """Wait for what runs after an answer."""
        while self._helpers:
            self._helpers.pop().join(DEADLINE_S)

    def register(self, agent_id: str, **fields: Any) -> model.RegisteredAgent:
        return agents.register(self.bus, model.RegisterAgent(id=agent_id, **fields), secret=None, ignored=[]).card

    def send(self, sender: str, to: str, **fields: Any) -> int:
        return self.send_batch([{"from_": sender, "to": to, "body": "x"} | fields])[0].id

    def send_batch(self, batch: list[Json], *, key: str | None = None) -> list[model.SentMessage]:
        requests = [model.SendMessage(**fields) for fields in batch]
        submission = messages.prepare(self.bus, requests, agent_secret=None, batch=True, idempotency_key=key)
        told: queue.SimpleQueue[tuple[list[model.SentMessage] | None, BaseException | None]] = queue.SimpleQueue()
        messages.submit(self.bus, submission, lambda sent, error: told.put((sent, error)))
        sent, error = told.get(timeout=DEADLINE_S)
        self.settle()
        if error is not None:
            raise error
        assert sent is not None
        return sent

    def inbox(self, agent_id: str, *, unread: bool = False, limit: int = 500) -> list[model.InboxMessage]:
        query = model.MessageQuery(for_=agent_id, unread=unread, limit=limit)
        return inbox_service.list_inbox(self.bus, query, agent_secret=None).messages

    def counter(self, name: str) -> int:
        with self.store.read() as connection:
            return event_store.counter(connection, name)
