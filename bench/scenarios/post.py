"""``POST /api/messages``: how many messages a second are on disk and answered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from bench import floors, stats
from bench.http import Load, drive, register, request_bytes
from bench.process import Address
from bench.report import Figure
from bench.scenarios.base import Run, agent_ids

CONNECTIONS = 16
BATCH = 500
_ROUNDS = 3


def run(run: Run) -> list[Figure]:
    """Single messages from 16 connections, with and without a key, and arrays of 500."""
    seconds = run.pick(2.0, 0.7)
    single = request_bytes("POST", "/api/messages", floors.BODY)
    array = request_bytes("POST", "/api/messages", [floors.BODY] * BATCH)
    bare, commits, rows = [], [], []
    plain, keyed, lone, arrays = [], [], [], []
    spent = 0.0
    with run.relay() as relay, run.relay() as other, floors.server(run.home(), "waitress") as waitress:
        for address in (relay.address, other.address):
            register(address, [{"id": agent} for agent in agent_ids(20)])
        _flood(relay.address, single, seconds=0.5)
        # In turns with the floors, so that what disturbs one disturbs the other too.
        for _ in range(_ROUNDS):
            bare.append(_flood(waitress, single, seconds=seconds).per_s)
            cpu = relay.cpu_s()
            plain.append(_flood(relay.address, single, seconds=seconds))
            keyed.append(drive(relay.address, [_keyed() for _ in range(CONNECTIONS)], seconds=seconds).expect(201))
            spent += relay.cpu_s() - cpu
            commits.append(floors.sqlite_per_s(run.home(), batch=1, seconds=seconds / 2))
            lone.append(_flood(relay.address, single, seconds=seconds, connections=1))
            rows.append(floors.sqlite_per_s(run.home(), batch=BATCH, seconds=seconds / 2))
            arrays.append(_flood(other.address, array, seconds=seconds))
    total = sum(load.answers for load in (*plain, *keyed))
    return [
        Figure(
            name="16 connections",
            value=_per_s(plain),
            unit="messages/s",
            target=1_500,
            at_least=True,
            floor=stats.median(bare),
            floor_name="bare waitress",
        ),
        Figure(
            name="the same, with an Idempotency-Key each",
            value=_per_s(keyed),
            unit="messages/s",
            floor=stats.median(bare),
            floor_name="bare waitress",
        ),
        Figure(name="16 connections, time to the answer, p50", value=_latency_ms(plain, 50), unit="ms"),
        Figure(name="16 connections, time to the answer, p99", value=_latency_ms(plain, 99), unit="ms"),
        Figure(
            name="one connection",
            value=_per_s(lone),
            unit="messages/s",
            floor=stats.median(commits),
            floor_name="sqlite3, one row a commit",
        ),
        Figure(name="relay's processor time a message", value=spent / total * 1e6, unit="µs"),
        Figure(
            name="load maker's processor time a message",
            value=sum(load.own_cpu_s for load in (*plain, *keyed)) / total * 1e6,
            unit="µs",
        ),
        Figure(
            name=f"array of {BATCH}",
            value=_per_s(arrays) * BATCH,
            unit="messages/s",
            target=20_000,
            at_least=True,
            floor=stats.median(rows),
            floor_name=f"sqlite3, {BATCH} rows a commit",
        ),
    ]


def _flood(address: Address, request: bytes, *, seconds: float, connections: int = CONNECTIONS) -> Load:
    return drive(address, [itertools.repeat(request) for _ in range(connections)], seconds=seconds).expect(201)


def _per_s(loads: list[Load]) -> float:
    return stats.median(load.per_s for load in loads)


def _latency_ms(loads: list[Load], percent: float) -> float:
    return stats.percentile((s for load in loads for s in load.latencies_s), percent) * 1000


_keys = itertools.count()


def _keyed() -> Iterator[bytes]:
    """Requests that differ in their key only."""
    request = request_bytes("POST", "/api/messages", floors.BODY, [("Idempotency-Key", "@")])
    before, _, after = request.partition(b"@")
    while True:
        yield b"%skey-%d%s" % (before, next(_keys), after)
