"""Every error has the one shape, whoever answers it; every answer has the security headers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.factories import Relay, answer, make_agent, make_message, problem

SECURITY = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@pytest.mark.parametrize(
    "path", ["/nothing", "/agents/a/b/c", "/messages/1/nothing", "/agents/", "//nothing-at-the-root"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT"])
def test_an_unknown_path_is_404(relay: Relay, method: str, path: str) -> None:
    found = problem(relay.ask(method, path), 404, "not-found")
    assert found["instance"] == (path[1:] if path.startswith("//") else f"/api{path}")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/agents", {"GET", "POST"}), ("DELETE", "/messages", {"GET", "POST"}),
        ("POST", "/messages/cursor", {"GET"}),
        ("POST", "/messages/1", {"GET", "DELETE"}), ("PUT", "/agents/a", {"GET", "PATCH", "DELETE"}),
        ("GET", "/messages/1/claim", {"POST"}), ("DELETE", "/messages/1/receipts", {"GET", "POST"}),
        ("POST", "/stats", {"GET"}),
        ("POST", "/healthz", {"GET"}), ("GET", "/agents/a/heartbeat", {"POST"}), ("GET", "/session", {"DELETE"}),
        ("POST", "/events", {"GET"}), ("BREW", "/agents", {"GET", "POST"}),
    ],
)  # fmt: skip
def test_a_wrong_method_is_405_and_names_the_right_ones(
    relay: Relay, method: str, path: str, allowed: set[str]
) -> None:
    refused = relay.ask(method, path)
    problem(refused, 405, "method-not-allowed")
    assert set(refused.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[", b"nonsense", b"{'from': 'human'}", b'{"from": }', b"\xff\xfe", b'{"from": "\xff"}',
        b'{"a": NaN}',
        b"[" * 100_000, b'{"meta":' * 50_000, b'"\\ud800"', b'{"from": "human", "to": "human", "body": "\\ud800"}',
        b"{} trailing", b'{"n": 1e999}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/messages", "/agents", "/messages/read", "/session/redeem", "/agents/x/heartbeat"])
def test_broken_json_is_400_or_422_and_never_an_internal_error(relay: Relay, path: str, body: bytes) -> None:
    refused = relay.post(path, data=body, headers={"Content-Type": "application/json"})
    assert refused.status_code in ({400, 422, 404} if path.endswith("heartbeat") else {400, 422})
    problem(refused, refused.status_code, refused.json()["code"])


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "",
        None,
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/messages"), ("POST", "/agents"), ("PATCH", "/agents/a"), ("GET", "/stats")]
)
def test_a_body_of_another_type_is_415(relay: Relay, method: str, path: str, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    body = json.dumps({"from": "human", "to": "human", "body": "x"}).encode()
    problem(relay.ask(method, path, data=body, headers=headers), 415, "unsupported-media-type")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_under_its_names_is_taken(relay: Relay, kind: str) -> None:
    body = json.dumps({"from": "human", "to": "human", "body": "ü"}).encode()
    assert relay.post("/messages", data=body, headers={"Content-Type": kind}).status_code == 201


def test_an_empty_body_needs_no_type(relay: Relay) -> None:
    agent = make_agent(relay)
    assert relay.ask("POST", f"/agents/{agent}/heartbeat").status_code == 200
    assert relay.ask("POST", "/session/code", headers={"Content-Length": "0"}).status_code == 201


def test_a_chunked_body_is_checked_and_read_like_any_other(relay: Relay) -> None:
    head = f"POST /api/messages HTTP/1.1\r\nHost: 127.0.0.1:{relay.port}\r\nConnection: close\r\n"
    head += "Transfer-Encoding: chunked\r\n"
    body = b'{"from":"human","to":"human","body":"chunky"}'
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    status, headers, sent = relay.raw(f"{head}Content-Type: application/json\r\n\r\n".encode() + chunks)
    assert (status, json.loads(sent)["body"]) == (201, "chunky")
    status, headers, refused = relay.raw(f"{head}Content-Type: text/plain\r\n\r\n".encode() + chunks)
    assert (status, headers["content-type"]) == (415, "application/problem+json")
    assert json.loads(refused)["code"] == "unsupported-media-type"


@pytest.mark.parametrize("path", ["/messages", "/agents", "/agents/x", "/nothing"])
def test_a_body_over_a_mebibyte_is_413(relay: Relay, path: str) -> None:
    body = b'{"x":"' + b"x" * 2**20 + b'"}'
    headers = {"Content-Type": "application/json", "Connection": "close"}
    problem(relay.ask("POST", path, data=body, headers=headers), 413, "too-large")


def test_headers_that_are_too_large_are_431(relay: Relay) -> None:
    status, headers, body = relay.raw(
        b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"
    )
    assert (status, headers["content-type"], json.loads(body)["code"]) == (
        431,
        "application/problem+json",
        "headers-too-large",
    )


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET http://[x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/stats HTTP/1.1\r\nHost : x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_400_problem(relay: Relay, request_: bytes) -> None:
    status, headers, body = relay.raw(request_)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    document = json.loads(body)
    assert (document["status"], document["code"]) == (400, "malformed")
    assert document["requestId"] == headers["x-request-id"]


@pytest.mark.parametrize("path", ["/messages", "/agents"])
def test_unknown_keys_are_named_with_the_known_ones(relay: Relay, path: str) -> None:
    if path == "/agents":
        assert answer(relay.post(path, {"id": make_agent(relay), "bdoy": 1}))["ignored"] == ["bdoy"]
        return
    document = problem(
        relay.post(path, {"from": "human", "to": "human", "bdoy": "x", "body": "x"}), 422, "invalid", field="bdoy"
    )
    assert "body" in document["errors"][0]["message"]


def test_an_error_repeats_nothing_secret(relay: Relay) -> None:
    text = relay.post("/messages", {"from": "human", "to": "bad target", "body": "my-private-body"}).text
    assert "my-private-body" not in text


def calls(relay: Relay) -> list[tuple[str, str, Any]]:
    sent = make_message(relay, to="human")["id"]
    return [
        ("GET", "/stats", None), ("GET", "/healthz", None), ("GET", "/agents", None),
        ("GET", f"/messages/{sent}", None),
        ("POST", "/messages", {"from": "human", "to": "human", "body": "x"}), ("DELETE", f"/messages/{sent}", None),
        ("GET", "/nothing", None), ("PUT", "/agents", None), ("POST", "/messages", {}), ("HEAD", "/stats", None),
        ("GET", "/messages?for=human&sinceId=9007199254740991&wait=0.05", None), ("GET", "/openapi.json", None),
        ("OPTIONS", "/agents", None),
    ]  # fmt: skip


def test_every_answer_has_the_security_headers_once_and_a_request_id(relay: Relay) -> None:
    ids = set()
    for method, path, body in calls(relay):
        response = relay.ask(method, path, json=body)
        for name, value in SECURITY.items():
            assert response.headers[name] == value, (method, path, name)
        ids.add(response.headers["X-Request-Id"])
        assert "Server" not in response.headers
    assert len(ids) == len(calls(relay))


def test_head_answers_as_get_without_a_body(relay: Relay) -> None:
    for path in ("/stats", "/agents", "/nothing", "/messages"):
        got, head = relay.get(path), relay.ask("HEAD", path)
        assert (head.status_code, head.headers["Content-Type"]) == (got.status_code, got.headers["Content-Type"])
        assert head.content == b""
