"""WebSockets: 200 agents that send and receive, and 16 of them that send all they can."""

from __future__ import annotations

import json
import time

from bench import floors, stats
from bench.http import flood, register, request_bytes
from bench.report import Figure
from bench.scenarios.base import Run, agent_ids
from bench.websocket import Sockets

COUNT, SENDERS = 200, 16
#: Frames that a sender has under way: it does not wait for one answer before it sends the next.
WINDOW = 8
_TIMEOUT_S = 20.0
_ROUNDS = 3


def run(run: Run) -> list[Figure]:
    """Everybody to the next; then 16 to the other 184."""
    seconds = run.pick(2.0, 0.7)
    bare: list[float] = []
    full: list[tuple[float, float, float]] = []
    lone: list[float] = []
    single = request_bytes("POST", "/", floors.BODY)
    agents = agent_ids(COUNT)
    with run.relay() as relay, floors.server(run.home(), "waitress") as waitress:
        register(relay.address, [{"id": agent} for agent in agents])
        with Sockets(relay.address, COUNT) as sockets:
            for number, agent in enumerate(agents):
                sockets.send(number, json.dumps({"op": "hello", "ref": 0, "agentId": agent, "since": 0}).encode())
            _await(sockets, [b'"ok":true'] * COUNT)
            for number in range(COUNT):
                to = agents[(number + 1) % COUNT]
                body = f"from-{number}."
                sockets.send(number, json.dumps({"op": "send", "ref": 1, "to": to, "body": body}).encode())
            received = _await(sockets, [f"from-{(number - 1) % COUNT}.".encode() for number in range(COUNT)])
            _flat_out(sockets, agents, window=WINDOW, seconds=0.5)
            for _ in range(_ROUNDS):
                bare.append(flood(waitress, single, seconds=seconds / 2).per_s)
                full.append(_flat_out(sockets, agents, window=WINDOW, seconds=seconds))
                lone.append(_flat_out(sockets, agents, window=1, seconds=seconds)[0])
            threads = relay.threads()
            rss = relay.rss_bytes() / 1e6
    sends, deliveries, own = (stats.median(each[index] for each in full) for index in range(3))
    return [
        Figure(
            name=f"agents, of {COUNT}, that sent and received",
            value=received,
            unit="agents",
            target=COUNT,
            at_least=True,
        ),
        Figure(
            name=f"{SENDERS} flat out, {WINDOW} sends under way each",
            value=sends,
            unit="sends/s",
            target=3_000,
            at_least=True,
            floor=stats.median(bare),
            floor_name="bare waitress",
        ),
        Figure(name="delivered meanwhile to the others", value=deliveries, unit="messages/s"),
        Figure(
            name=f"{SENDERS} that wait for each answer",
            value=stats.median(lone),
            unit="sends/s",
            floor=stats.median(bare),
            floor_name="bare waitress",
        ),
        Figure(name="load maker's processor", value=own, unit="%"),
        Figure(name="threads", value=threads, unit="threads"),
        Figure(name="resident memory", value=rss, unit="MB"),
    ]


def _await(sockets: Sockets, wanted: list[bytes]) -> int:
    """How many connections got a frame with what they wait for."""
    done: set[int] = set()
    deadline = time.perf_counter() + _TIMEOUT_S
    while len(done) < len(wanted) and time.perf_counter() < deadline:
        done |= {number for number, payload in sockets.receive(0.5) if wanted[number] in payload}
    return len(done)


def _flat_out(sockets: Sockets, agents: list[str], *, window: int, seconds: float) -> tuple[float, float, float]:
    """Sends answered a second, deliveries a second, and the percentage of a processor that making them took."""
    clock = time.perf_counter
    targets = agents[SENDERS:]
    payloads = [json.dumps({"op": "send", "ref": 2, "to": to, "body": "x" * 120}).encode() for to in targets]
    answered = delivered = under_way = following = 0
    cpu, begun = time.process_time(), clock()
    for number in range(SENDERS):
        for _ in range(window):
            sockets.send(number, payloads[following % len(payloads)])
            following += 1
            under_way += 1
    sent_in_time = 0
    while under_way:
        running = clock() - begun < seconds
        for number, payload in sockets.receive(_TIMEOUT_S):
            if payload.startswith(b'{"event"'):
                delivered += number >= SENDERS
                continue
            if b'"ok":true' not in payload[:40]:
                raise RuntimeError(f"a send failed: {payload[:300]!r}")
            answered += 1
            if running:
                sockets.send(number, payloads[following % len(payloads)])
                following += 1
            else:
                under_way -= 1
        if running:
            sent_in_time = answered
    took = clock() - begun
    used = (time.process_time() - cpu) / took * 100
    for _ in range(5):
        delivered += sum(number >= SENDERS for number, _ in sockets.receive(0.2))
    assert sent_in_time
    return answered / took, delivered / took, used
