"""Outside systems put work in: how fast, how exactly, and what a dead receiver of callbacks costs everybody else."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from bench import stats
from bench.http import Caller, Load, drive, request_bytes
from bench.process import Address, Relay
from bench.report import Figure
from bench.scenarios.base import Run

POSTERS = 16
KEYS = 500
_TOKEN = "bench-integration-token"  # noqa: S105 - of a relay that lives for this run
_HEADERS = (("Authorization", f"Bearer {_TOKEN}"),)


def run(run: Run) -> list[Figure]:
    """Dedupe under load, then latency beside a dead receiver."""
    return [*_dedupe(run), *_dead_receiver(run)]


def _settings(callback_url: str | None = None) -> dict[str, str]:
    entry: dict[str, object] = {"name": "bench", "token": _TOKEN, "scopes": "*", "targets": "*", "channels": "*"}
    if callback_url is not None:
        entry["callbackUrl"] = callback_url
    return {
        "AGENT_RELAY_INTEGRATIONS": json.dumps([entry]),
        "AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE": "1000000",
    }


def _event(key: str) -> bytes:
    event = {
        "type": "check",
        "severity": "warning",
        "dedupeKey": key,
        "title": f"{key} does not answer",
        "body": "x" * 120,
        "target": "tag:ops",
        "channel": "alerts",
    }
    return request_bytes("POST", "/api/integrations/events", event, _HEADERS)


def _post_events(address: Address, keys: Sequence[Iterable[int]]) -> tuple[Load, Counter[str]]:
    """Each poster the events of its keys; and what was answered."""
    event = functools.cache(lambda key: _event(f"host-{key}"))
    said: Counter[str] = Counter()

    def note(_connection: int, _number: int, _status: int, body: bytes) -> None:
        said["created" if b'"created":true' in body else "deduped" if b'"deduped":true' in body else "else"] += 1

    load = drive(address, [map(event, of_poster) for of_poster in keys], on_answer=note)
    return load.expect(200, 201), said


def _dedupe(run: Run) -> list[Figure]:
    each = run.pick(5_000, 500)
    with Relay(run.home(), settings=_settings()) as relay, Caller(relay.address) as caller:
        # Every poster comes by every key, some of them at the same time.
        keys = [[(number * 7 + poster // 4 * 31) % KEYS for number in range(each)] for poster in range(POSTERS)]
        load, said = _post_events(relay.address, keys)
        tasks = caller.call("GET", "/api/tasks?limit=500")["tasks"]
        messages = caller.call("GET", "/api/messages?limit=500")["messages"]
        more = caller.call("GET", "/api/messages?limit=1&before=" + str(min(m["id"] for m in messages)))["messages"]
    counted = sum(task["occurrenceCount"] for task in tasks)
    one_each = {task["messageId"] for task in tasks} == {m["id"] for m in messages if m["claimable"]} and not more
    return [
        Figure(name="events over 500 keys, 16 connections", value=load.per_s, unit="events/s", target=1_000,
               at_least=True),
        Figure(name="tasks that they made", value=len(tasks), unit="tasks", target=KEYS),
        Figure(name="tasks said to be new", value=said["created"], unit="tasks", target=KEYS),
        Figure(name="events that are not counted", value=POSTERS * each - counted, unit="events", target=0),
        Figure(name="tasks with one claimable message", value=len(tasks) if one_each else 0, unit="tasks",
               target=KEYS, at_least=True),
        Figure(name="relay's time to the answer, p50", value=stats.median(load.latencies_s) * 1000, unit="ms"),
    ]  # fmt: skip


def _dead_receiver(run: Run) -> list[Figure]:
    """Two relays with the same tasks; one of them has to tell of each to a host that does not answer."""
    count = run.pick(10_000, 1_000)
    figures: list[Figure] = []
    for name, dead in (("refuses", _refuses), ("stays silent", _stays_silent)):
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(dead())
            relays = [stack.enter_context(Relay(run.home(), settings=_settings(callback))) for callback in (None, url)]
            for relay in relays:
                _post_events(relay.address, [range(poster, count, POSTERS) for poster in range(POSTERS)])
            callers = [stack.enter_context(Caller(relay.address)) for relay in relays]
            pending = callers[1].call("GET", "/api/stats")["callbacks"]["pending"]
            time.sleep(run.pick(3.0, 1.0))  # what follows a flood of events is not what is measured
            without, beside = _latencies(callers, rounds=run.pick(3_000, 300))
        figures.append(
            Figure(
                name=f"API beside {pending:,} callbacks to a host that {name}, p99",
                value=stats.percentile(beside, 99) * 1000,
                unit="ms",
                target=1.5,
                by_ratio=True,
                floor=stats.percentile(without, 99) * 1000,
                floor_name="none pending",
            )
        )
    return figures


def _latencies(callers: list[Caller], *, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of sends and looks on either side, in turns."""
    took: tuple[list[float], list[float]] = ([], [])
    message = {"from": "human", "to": "agent-1", "body": "x" * 120}
    for number in range(-20, rounds):
        for caller, times in zip(callers, took, strict=True):
            begun = time.perf_counter()
            if number % 2:
                caller.call("POST", "/api/messages", message)
            else:
                caller.call("GET", "/api/tasks?limit=20")
            if number >= 0:
                times.append(time.perf_counter() - begun)
    return took


@contextlib.contextmanager
def _refuses() -> Iterator[str]:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def _stays_silent() -> Iterator[str]:
    """A listener whose queue is full: further attempts to connect are not even refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
