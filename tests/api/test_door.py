"""Who gets in: Host, Origin, Sec-Fetch-Site, tokens, CORS, browser sessions."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MakeRelay
from tests.factories import Relay, answer, make_message, problem, unique

TOKEN = "correct-horse-battery-staple-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


LOCKED: dict[str, Any] = {
    "AGENT_RELAY_TOKEN": TOKEN,
    "AGENT_RELAY_CORS_ORIGINS": "https://board.example, http://localhost:5173",
    "AGENT_RELAY_ALLOWED_HOSTS": "relay.example",
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay with a token, two foreign origins and one more host name."""
    relay = Relay(tmp_path_factory.mktemp("locked"), **LOCKED).start()
    yield relay
    relay.end()
    assert "Traceback" not in relay.log, relay.log


def send(relay: Relay, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return relay.post("/messages", {"from": "human", "to": "human", "body": "x"}, headers=named)


def read(relay: Relay, **headers: str) -> Any:
    return relay.get("/stats", headers={name.replace("_", "-"): value for name, value in headers.items()})


# -- Host --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [
    "127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:4850", "localhost.", "[::1]", "[::1]:80",
    "192.168.1.7:4850", "100.64.0.1",
    socket.gethostname(), f"{socket.gethostname()}:9",
])  # fmt: skip
def test_ip_literals_and_own_names_are_answered(relay: Relay, host: str) -> None:
    assert read(relay, Host=host).status_code == 200
    assert send(relay, Host=host).status_code == 201


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:4850", "127.0.0.1.evil.example", "localhost.evil.example", "relay.example",
    "127.1", "0x7f.1", "", "@localhost",
])  # fmt: skip
def test_another_host_is_refused_on_reads_writes_and_the_page_alike(relay: Relay, host: str) -> None:
    for path in ("/api/stats", "/api/healthz", "/api/events", "/", "/nothing"):
        status, headers, body = relay.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert (status, headers["content-type"]) == (403, "application/problem+json"), path
        assert json.loads(body)["code"] == "host-refused"
    if host:
        problem(send(relay, Host=host), 403, "host-refused")


def test_a_request_without_a_host_is_refused(relay: Relay) -> None:
    status, _, body = relay.raw(b"GET /api/stats HTTP/1.0\r\n\r\n")
    assert (status, json.loads(body)["code"]) == (403, "host-refused")


def test_a_named_host_is_answered(locked: Relay) -> None:
    assert read(locked, Host="Relay.Example:443", **BEARER).status_code == 200
    problem(read(locked, Host="other.example", **BEARER), 403, "host-refused")


# -- Origin and Sec-Fetch-Site -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "file://", "", "HTTP://127.0.0.1"],
)
def test_a_page_of_another_origin_is_refused_on_reads_and_writes(relay: Relay, origin: str) -> None:
    for refused in (
        read(relay, Origin=origin),
        send(relay, Origin=origin),
        relay.get("/events", headers={"Origin": origin}),
    ):
        problem(refused, 403, "origin-refused")
        assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_another_sites_fetch_is_refused(relay: Relay, site: str) -> None:
    for refused in (read(relay, Sec_Fetch_Site=site), send(relay, Sec_Fetch_Site=site)):
        problem(refused, 403, "origin-refused")


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_relays_own_page_is_let_in(relay: Relay, site: str) -> None:
    own = f"http://127.0.0.1:{relay.port}"
    for headers in ({"Origin": own}, {"Sec_Fetch_Site": site}, {"Origin": own, "Sec_Fetch_Site": site}):
        assert read(relay, **headers).status_code == 200
        assert send(relay, **headers).status_code == 201
    assert read(relay, Host="localhost:77", Origin="http://localhost:77").status_code == 200


def test_a_refused_preflight_says_nothing_of_what_is_allowed(relay: Relay) -> None:
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    refused = relay.ask("OPTIONS", "/messages", headers=asks)
    problem(refused, 403, "origin-refused")
    assert not [name for name in refused.headers if name.lower().startswith("access-control-")]


# -- CORS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["https://board.example", "http://localhost:5173"])
def test_a_named_origin_reads_and_writes_once_it_has_the_token(locked: Relay, origin: str) -> None:
    for got, status in (
        (read(locked, Origin=origin, Sec_Fetch_Site="cross-site", **BEARER), 200),
        (send(locked, Origin=origin, Sec_Fetch_Site="cross-site", **BEARER), 201),
        (read(locked, Origin=origin), 401),
        (locked.get("/nothing", headers={"Origin": origin} | BEARER), 404),
    ):
        assert got.status_code == status
        assert got.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in got.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in got.headers
    with locked.open("/events", Origin=origin, Authorization=f"Bearer {TOKEN}") as stream:
        assert stream.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "origin",
    ["https://board.example.evil", "http://board.example", "https://board.example:444", "https://BOARD.example"],
)
def test_a_nearly_named_origin_is_refused(locked: Relay, origin: str) -> None:
    problem(read(locked, Origin=origin, **BEARER), 403, "origin-refused")


def test_a_preflight_of_a_named_origin_needs_no_token_and_says_what_is_allowed(locked: Relay) -> None:
    asks = {
        "Origin": "https://board.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = locked.ask("OPTIONS", "/agents/x", headers=asks)
    assert (allowed.status_code, allowed.content) == (204, b"")
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(allowed.headers["Access-Control-Allow-Methods"].split(", "))
    names = {name.strip().lower() for name in allowed.headers["Access-Control-Allow-Headers"].split(",")}
    assert {
        "authorization",
        "content-type",
        "x-agent-relay-token",
        "x-agent-relay-agent-secret",
        "idempotency-key",
        "last-event-id",
    } <= names


def test_any_origin_may_be_let_in_but_only_with_a_token(make_relay: MakeRelay) -> None:
    relay = make_relay(AGENT_RELAY_TOKEN=TOKEN, AGENT_RELAY_CORS_ORIGINS="*")
    assert read(relay, Origin="https://anything.example", **BEARER).status_code == 200
    problem(read(relay, Origin="https://anything.example"), 401, "unauthorized")
    problem(read(relay, Origin="null", **BEARER), 403, "origin-refused")
    with pytest.raises(AssertionError, match="AGENT_RELAY_CORS_ORIGINS"):
        make_relay(AGENT_RELAY_CORS_ORIGINS="*")


# -- token -------------------------------------------------------------------------------------------------------------


def test_with_a_token_every_call_needs_it_on_loopback_too(locked: Relay) -> None:
    calls = [
        ("GET", "/stats"), ("GET", "/agents"), ("GET", "/messages"), ("GET", "/messages/cursor"),
        ("GET", "/messages/1"), ("GET", "/events"),
        ("POST", "/messages"), ("POST", "/agents"), ("DELETE", "/messages/1"), ("POST", "/session/code"),
        ("DELETE", "/session"),
        ("GET", "/nothing"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("PUT", "/agents"), ("OPTIONS", "/agents"),
    ]  # fmt: skip
    for method, path in calls:
        refused = locked.ask(method, path)
        problem(refused, 401, "unauthorized")
        assert refused.headers["WWW-Authenticate"] == "Bearer", path
    assert locked.get("/healthz").status_code == 200
    assert TOKEN not in locked.log


def test_the_token_is_taken_from_either_header(locked: Relay) -> None:
    for headers in (BEARER, {"Authorization": f"bearer {TOKEN}"}, {"X_Agent_Relay_Token": TOKEN}):
        assert read(locked, **headers).status_code == 200
        assert send(locked, **headers).status_code == 201


@pytest.mark.parametrize("headers", [
    {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": TOKEN},
    {"Authorization": f"Basic {TOKEN}"},
    {"X_Agent_Relay_Token": "wrong"}, {"X_Agent_Relay_Token": TOKEN + "x"}, {"X_Agent_Relay_Token": TOKEN[:-1]},
    {"X_Agent_Relay_Token": TOKEN.upper()},
    {"Authorization": "Bearer wrong", "X_Agent_Relay_Token": TOKEN}, {"Authorization": "Bearer \u00e9"},
])  # fmt: skip
def test_another_token_is_refused(locked: Relay, headers: dict[str, str]) -> None:
    problem(read(locked, **{name: value.encode("latin-1") for name, value in headers.items()}), 401, "unauthorized")  # type: ignore[arg-type]


def test_a_token_in_the_query_is_worth_nothing(locked: Relay) -> None:
    for name in ("token", "access_token"):
        problem(locked.get(f"/stats?{name}={TOKEN}"), 401, "unauthorized")


def test_without_a_token_none_is_asked_and_any_is_ignored(relay: Relay) -> None:
    assert read(relay, **BEARER).status_code == 200


def test_a_blank_token_counts_as_unset(make_relay: MakeRelay) -> None:
    assert make_relay(AGENT_RELAY_TOKEN="").get("/stats").status_code == 200


def test_an_open_bind_without_a_token_refuses_to_start(make_relay: MakeRelay) -> None:
    with pytest.raises(AssertionError, match="AGENT_RELAY_TOKEN"):
        make_relay(HOST="0.0.0.0")


# -- sessions ----------------------------------------------------------------------------------------------------------


def new_code(relay: Relay) -> str:
    return str(answer(relay.post("/session/code", headers=BEARER), 201)["code"])


def redeem(relay: Relay, code: str) -> dict[str, str]:
    """A session's header, for a code."""
    return {"Authorization": f"Bearer {answer(relay.post('/session/redeem', {'code': code}), 201)['token']}"}


def test_a_code_makes_a_session_once_and_the_session_is_used_like_the_token(locked: Relay) -> None:
    code = new_code(locked)
    session = redeem(locked, code)
    for again in (code, "wrong", TOKEN, code + "x"):
        problem(locked.post("/session/redeem", {"code": again}), 401, "unauthorized")
    assert locked.get("/stats", headers=session).status_code == 200
    assert locked.post("/messages", {"from": "human", "to": "human", "body": "x"}, headers=session).status_code == 201
    assert locked.get("/stats", headers={"X-Agent-Relay-Token": session["Authorization"][7:]}).status_code == 200
    with locked.open("/events", **session) as stream:
        assert stream.status == 200
    for secret in (code, session["Authorization"][7:]):
        assert secret not in locked.log


def test_signing_out_ends_that_session_alone(locked: Relay) -> None:
    one, two = (redeem(locked, new_code(locked)) for _ in range(2))
    with locked.open("/events", **one) as ends, locked.open("/events", **two) as stays:
        assert locked.delete("/session", headers=one).status_code == 204
        assert ends.ended()
        assert not stays.ended(timeout_s=0.2)
    problem(locked.get("/stats", headers=one), 401, "unauthorized")
    problem(locked.delete("/session", headers=one), 401, "unauthorized")
    assert locked.get("/stats", headers=two).status_code == 200
    assert locked.delete("/session", headers=BEARER).status_code == 204
    assert read(locked, **BEARER).status_code == 200


@pytest.mark.parametrize("body", [{}, {"code": ""}, {"code": 7}, {"code": "x" * 129}, {"code": "x", "y": 1}])
def test_a_bad_redemption_is_422(relay: Relay, body: dict[str, Any]) -> None:
    problem(relay.post("/session/redeem", body), 422, "invalid")


def test_redeeming_needs_no_token_but_minds_host_and_origin(locked: Relay) -> None:
    code = new_code(locked)
    problem(
        locked.post("/session/redeem", {"code": code}, headers={"Origin": "https://evil.example"}),
        403,
        "origin-refused",
    )
    problem(locked.post("/session/redeem", {"code": code}, headers={"Host": "evil.example"}), 403, "host-refused")
    assert redeem(locked, code)


def test_a_session_lives_over_a_restart_and_ends_with_the_token(make_relay: MakeRelay) -> None:
    locked = make_relay(**LOCKED)
    session, unused = redeem(locked, new_code(locked)), new_code(locked)
    locked.restart()
    assert locked.get("/stats", headers=session).status_code == 200
    locked.settings["AGENT_RELAY_TOKEN"] = unique("another-token")
    locked.restart()
    problem(locked.get("/stats", headers=session), 401, "unauthorized")
    problem(locked.get("/stats", headers=BEARER), 401, "unauthorized")
    problem(locked.post("/session/redeem", {"code": unused}), 401, "unauthorized")


def test_a_session_of_an_open_relay_is_no_token_of_a_locked_one(make_relay: MakeRelay) -> None:
    relay = make_relay()
    make_message(relay, to="human")
    code = answer(relay.post("/session/code"), 201)["code"]
    token = answer(relay.post("/session/redeem", {"code": code}), 201)["token"]
    relay.settings["AGENT_RELAY_TOKEN"] = TOKEN
    relay.restart()
    problem(read(relay, X_Agent_Relay_Token=token), 401, "unauthorized")
