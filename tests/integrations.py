"""What tests of tasks are made of: integrations, events, tasks, and a receiver of callbacks that does as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.factories import Json, Relay, answer, unique, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def make_integration(name: str = "ops", **fields: Any) -> Json:
    """An entry of AGENT_RELAY_INTEGRATIONS that may do everything, unless said otherwise."""
    return {"name": name, "token": f"{name}-token", "scopes": ["*"], "targets": ["*"], "channels": ["*"]} | fields


def configured(*entries: Json, **settings: Any) -> Json:
    """Settings of a relay with these integrations, which may call as often as they like."""
    return {
        "AGENT_RELAY_INTEGRATIONS": json.dumps(entries),
        "AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE": 1_000_000,
    } | settings


def bearer(name: str = "ops") -> dict[str, str]:
    """The header with an integration's token."""
    return {"Authorization": f"Bearer {name}-token"}


def make_event(**fields: Any) -> Json:
    """An event for a tag of its own, unless said otherwise."""
    event = {"type": "check", "severity": "warning", "title": "It does not answer"}
    return event | {"target": f"tag:{unique('ops')}", "channel": "alerts"} | fields


def post_event(relay: Relay, *, source: str = "ops", status: int = 201, **fields: Any) -> Json:
    """Send an event; the answer."""
    found: Json = answer(relay.post("/integrations/events", make_event(**fields), headers=bearer(source)), status)
    return found


def make_task(relay: Relay, **fields: Any) -> Json:
    """A new task."""
    made = post_event(relay, **fields)
    assert (made["created"], made["deduped"]) == (True, False)
    task: Json = made["task"]
    return task


def resolve(relay: Relay, key: str, *, source: str = "ops") -> Json:
    """Say that it is over; the answer."""
    event = {"status": "resolved", "dedupeKey": key}
    found: Json = answer(relay.post("/integrations/events", event, headers=bearer(source)))
    return found


def get_task(relay: Relay, task_id: int) -> Json:
    """A task as it stands."""
    found: Json = answer(relay.get(f"/tasks/{task_id}"))
    return found


def history(relay: Relay, task_id: int) -> list[Json]:
    """A task's history."""
    found: list[Json] = answer(relay.get(f"/tasks/{task_id}/events", params={"limit": 500}))["events"]
    return found


def move(relay: Relay, task_id: int, status: str, **fields: Any) -> Json:
    """Set a task's status."""
    found: Json = answer(relay.patch(f"/tasks/{task_id}/status", {"status": status} | fields))
    return found


def deliveries(relay: Relay, **query: Any) -> list[Json]:
    """Callbacks, oldest first."""
    found: list[Json] = answer(relay.get("/callbacks", params={"limit": 500} | query))["callbacks"]
    return found[::-1]


@dataclass(frozen=True)
class Call:
    """One callback as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> str:
        return str(json.loads(self.body)["event"])

    @property
    def task(self) -> Json:
        task: Json = json.loads(self.body)["task"]
        return task


#: Status, body, further headers.
Reply = tuple[int, bytes, dict[str, str]]
OK: Reply = (204, b"", {})


@dataclass
class Receiver:
    """A receiver of callbacks.

    :ivar reply: what it answers to a call; it may block, or raise ConnectionError to hang up.
    """

    reply: Callable[[Call], Reply] = lambda _call: OK
    calls: list[Call] = field(default_factory=list)
    port: int = 0
    #: whoever waits in ``reply`` may go
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/callbacks"

    def wait_for(self, count: int, *, timeout_s: float = 30.0) -> list[Call]:
        """Calls, once there are so many."""
        wait_until(lambda: len(self.calls) >= count, f"{count} callbacks, not {len(self.calls)}", timeout_s=timeout_s)
        return list(self.calls)

    def of_task(self, task_id: int) -> list[Call]:
        """Calls about one task."""
        return [call for call in self.calls if call.task["id"] == task_id]


@contextmanager
def receiving(reply: Callable[[Call], Reply] = lambda _call: OK, *, port: int = 0) -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            body = self.rfile.read(size)
            if len(body) < size:  # the relay was killed while it sent
                self.close_connection = True
                return
            call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.calls.append(call)
            try:
                status, data, headers = receiver.reply(call)
            except ConnectionError:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: object) -> None:
            """A relay that was killed has hung up."""

    with Server(("127.0.0.1", port), Handler) as server:
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.over.set()
            server.shutdown()
            thread.join()
