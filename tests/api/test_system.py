"""The relay about itself: health, stats, the API document, start and stop."""

from __future__ import annotations

import json
import stat
import time

from tests.conftest import MakeRelay
from tests.factories import Relay, answer, claim, make_agent, make_message, make_work, read


def test_healthz_names_the_app_the_instance_and_the_version(relay: Relay) -> None:
    health = answer(relay.get("/healthz"))
    assert set(health) == {"app", "instance", "version", "manager", "status"}
    assert (health["app"], health["manager"], health["status"]) == ("agent-relay", None, "ok")
    assert answer(relay.get("/stats"))["instance"] == health["instance"]


def test_each_run_is_another_instance(make_relay: MakeRelay) -> None:
    relay = make_relay()
    before = answer(relay.get("/healthz"))["instance"]
    assert answer(relay.restart().get("/healthz"))["instance"] != before


def test_stats_count(make_relay: MakeRelay) -> None:
    relay = make_relay()
    empty = answer(relay.get("/stats"))
    assert (empty["messages"], empty["claimableOpen"], empty["unreadHuman"], empty["eventSeq"]) == (0, 0, 0, 0)
    assert empty["agents"] == {"online": 0, "idle": 0, "busy": 0, "stale": 0, "offline": 0}
    one = make_agent(relay, status="busy")
    make_agent(relay)
    first, second = (make_message(relay, from_=one, to="human")["id"] for _ in range(2))
    read(relay, first, "human")
    held, _ = make_work(relay, to=one), make_work(relay, to=one)
    claim(relay, held, one)
    relay.delete(f"/messages/{first}")
    stats = answer(relay.get("/stats"))
    assert (stats["messages"], stats["claimableOpen"], stats["unreadHuman"]) == (3, 1, 1)
    assert stats["agents"] == {"online": 1, "idle": 0, "busy": 1, "stale": 0, "offline": 0}
    assert stats["eventSeq"] == 9  # two agents, four messages, one read, one claim, one deletion
    assert stats["eventFloor"] == 0
    assert stats["databaseBytes"] > 0
    assert stats["live"] == {"sse": 0, "websocket": 0, "longPoll": 0}
    assert 0 <= stats["uptimeS"] < 60
    assert stats["version"] == answer(relay.get("/healthz"))["version"]
    assert second


def test_the_api_document_names_every_route_of_the_contract(relay: Relay) -> None:
    document = answer(relay.get("/openapi.json"))
    assert document["openapi"].startswith("3.1")
    wanted = {
        "/api/agents": {"get", "post"}, "/api/agents/{agent_id}": {"get", "patch", "delete"},
        "/api/agents/{agent_id}/heartbeat": {"post"}, "/api/messages": {"get", "post"}, "/api/messages/cursor": {"get"},
        "/api/messages/read": {"post"}, "/api/messages/{message_id}": {"get", "delete"},
        "/api/messages/{message_id}/thread": {"get"}, "/api/messages/{message_id}/read": {"post"},
        "/api/messages/{message_id}/receipts": {"get", "post"}, "/api/messages/{message_id}/claim": {"post"},
        "/api/messages/{message_id}/release": {"post"}, "/api/events": {"get"}, "/api/stats": {"get"},
        "/api/healthz": {"get"},
        "/api/session": {"delete"}, "/api/session/code": {"post"}, "/api/session/redeem": {"post"},
    }  # fmt: skip
    for path, methods in wanted.items():
        assert methods <= set(document["paths"][path]), path
    references = set(json.dumps(document).split('"$ref": "')[1:])
    for reference in {each.partition('"')[0] for each in references}:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference


def test_metrics_are_prometheus_text_with_our_names(relay: Relay) -> None:
    found = relay.get("/metrics")
    assert found.status_code == 200
    assert found.headers["Content-Type"].startswith("text/plain")
    values = [line for line in found.text.splitlines() if line and not line.startswith("#")]
    assert values
    assert all(line.startswith("agent_relay_") for line in values), values


def test_sigterm_ends_a_relay_well_within_three_seconds_and_tidily(make_relay: MakeRelay) -> None:
    relay = make_relay()
    make_message(relay, to="human")
    runtime = relay.folder / "run" / "agent-relay" / "relay.json"
    said = json.loads(runtime.read_bytes())
    assert (said["pid"], said["port"]) == (relay.pid, relay.port)
    assert said["instance"] == answer(relay.get("/healthz"))["instance"]
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o600
    with relay.open("/events"):
        before = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - before < 3
    assert not runtime.exists()
    wal = relay.db.with_name(relay.db.name + "-wal")
    assert not wal.exists() or wal.stat().st_size == 0
