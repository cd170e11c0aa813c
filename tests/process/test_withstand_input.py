"""Hostile input: whatever comes, the answer is a problem document below 500, and the service goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.process._relay import Answer, Relay, parse_answers, read_to_end
from tests.process.conftest import MakeRelay

MIB = 1 << 20
SECRET_BODY = "the-text-that-no-log-may-hold"
TOKEN = "a-token-that-no-log-may-hold"
MAX_ID = 2**63 - 1
POST = b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.fixture
def relay(module_relay: Relay) -> Iterator[Relay]:
    module_relay.register("alice", tags=["t"])
    yield module_relay
    module_relay.is_well()


def refused(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The problem that this answer must be."""
    assert 400 <= answer.status < 500, answer
    if statuses:
        assert answer.status in statuses, answer
    return answer.problem()


def raw(relay: Relay, data: bytes, *, shut: bool = True) -> bytes:
    """What these bytes are answered with."""
    with contextlib.closing(relay.connect()) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)
            if shut:
                sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def message(**fields: Any) -> bytes:
    return json.dumps({"from": "human", "to": "alice", "body": SECRET_BODY} | fields).encode()


def count(relay: Relay) -> int:
    found: int = relay.ok("GET", "/api/stats")["messages"]
    return found


# -- bodies ------------------------------------------------------------------------------------------------------------

NOT_JSON = {
    "empty string": b'""',
    "cut off": message()[:-5],
    "two documents": message() + message(),
    "trailing comma": b'{"from":"human","to":"alice","body":"x",}',
    "single quotes": b"{'from':'human','to':'alice','body':'x'}",
    "NaN": b'{"from":"human","to":"alice","body":"x","meta":{"n":NaN}}',
    "byte order mark": b"\xef\xbb\xbf" + message(),
    "UTF-16": message().decode().encode("utf-16"),
    "Latin-1": '{"from":"human","to":"alice","body":"é"}'.encode("latin-1"),
    "overlong UTF-8": b'{"from":"human","to":"alice","body":"\xc0\xaf"}',
    "surrogates in UTF-8": b'{"from":"human","to":"alice","body":"\xed\xa0\x80"}',
    "half a character": b'{"from":"human","to":"alice","body":"\xe2\x82"}',
    "raw control character": b'{"from":"human","to":"alice","body":"a\x01b"}',
    "lone surrogate": b'{"from":"human","to":"alice","body":"\\ud800"}',
    "lone low surrogate": b'{"from":"human","to":"alice","body":"\\udc00 x"}',
    "lone surrogate in meta": b'{"from":"human","to":"alice","body":"x","meta":{"\\ud800":1}}',
    "deep array": b"[" * 100_000,
    "deep closed array": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"meta":' * 50_000,
    "deep meta": b'{"from":"human","to":"alice","body":"x","meta":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
    "NUL bytes": b"\0" * 100,
    "binary": bytes(range(256)),
    "a form": b"from=human&to=alice&body=x",
    "long number": b'{"from":"human","to":"alice","body":"x","replyTo":' + b"9" * 5_000 + b"}",
    "exponent": b'{"from":"human","to":"alice","body":"x","replyTo":1e400}',
}


#: A heartbeat ignores keys that it does not know, and so does not look into their values.
PASSED_OVER = {"lone surrogate in meta", "exponent", "long number"}


@pytest.mark.parametrize("path", ["/api/messages", "/api/agents", "/api/agents/alice/heartbeat", "/api/messages/read"])
def test_what_is_no_json_is_refused(relay: Relay, path: str) -> None:
    before = count(relay)
    for name, body in NOT_JSON.items():
        answer = relay.http("POST", path, body)
        if path.endswith("heartbeat") and name in PASSED_OVER and answer.status == 200:
            continue
        assert answer.status in {400, 422}, (name, answer)
        assert SECRET_BODY not in answer.problem()["detail"]
    assert count(relay) == before
    assert SECRET_BODY not in relay.log


WRONG = {
    "no object": b"42",
    "null": b"null",
    "a string": b'"hello"',
    "an empty batch": b"[]",
    "a batch in a batch": b"[[]]",
    "a batch with null": b"[null]",
    "1,001 messages": b"[" + b",".join([message(body="x")] * 1_001) + b"]",
    "nothing given": b"{}",
    "unknown key": message(boddy="x"),
    "unknown empty key": message(**{"": 1}),
    "unknown key with a line break": message(**{"a\r\nb": 1}),
    "body a number": message(body=1),
    "body null": message(body=None),
    "body a list": message(body=["x"]),
    "body empty": message(body=""),
    "body with NUL": message(body="a\0b"),
    "from a number": message(**{"from": 1}),
    "from broadcast": message(**{"from": "broadcast"}),
    "from nobody": message(**{"from": "nobody"}),
    "from with a line break": message(**{"from": "alice\n"}),
    "from with a slash": message(**{"from": "../alice"}),
    "to empty": message(to=""),
    "to unknown prefix": message(to="group:x"),
    "to nothing": message(to="tag:"),
    "to with NUL": message(to="tag:a\0b"),
    "to too long": message(to="a" * 129),
    "to a list": message(to=["alice"]),
    "to system": message(to="system"),
    "replyTo zero": message(replyTo=0),
    "replyTo negative": message(replyTo=-1),
    "replyTo a string": message(replyTo="1"),
    "replyTo a fraction": message(replyTo=1.5),
    "replyTo true": message(replyTo=True),
    "replyTo nothing": message(replyTo=999_999),
    "replyTo 2^63-1": message(replyTo=MAX_ID),
    "replyTo 2^63": message(replyTo=MAX_ID + 1),
    "replyTo 2^64": message(replyTo=2**64),
    "replyTo -2^63": message(replyTo=-(2**63)),
    "claimable a string": message(claimable="yes"),
    "claimable a number": message(claimable=1),
    "priority unknown": message(priority="highest"),
    "meta a list": message(meta=[]),
    "meta null": message(meta=None),
    "expiresInMs zero": message(expiresInMs=0),
    "expiresInMs negative": message(expiresInMs=-5),
    "expiresInMs for ever": message(expiresInMs=MAX_ID),
    "subject too long": message(subject="x" * 1_001),
}


def test_what_is_wrong_is_named(relay: Relay) -> None:
    before = count(relay)
    for name, body in WRONG.items():
        problem = refused(relay.http("POST", "/api/messages", body), 422)
        assert problem["errors"], name
        assert problem["code"] == "invalid"
        assert all(error["field"] for error in problem["errors"]), name
    refused(relay.http("POST", "/api/messages", message(**{"from": "system"})), 403)
    assert count(relay) == before
    assert SECRET_BODY not in relay.log


def test_unknown_keys_of_a_registration_are_ignored_and_listed(relay: Relay) -> None:
    odd = {"id": "bob", "zzz": 1, "": 2, "a\r\nb: c": 3, "\x7f": [[[]]]}
    assert set(relay.ok("POST", "/api/agents", odd)["ignored"]) == set(odd) - {"id"}
    refused(relay.http("PATCH", "/api/agents/bob", {"zzz": 1}), 422)


def test_text_of_every_script_comes_back_as_it_went_in(relay: Relay) -> None:
    texts = [
        "\U0001f600 e\u0301 \u202e \u2028 \ufeff \uffff",
        "\x01\x1f\x7f\x85",
        "'; DROP TABLE messages; --",
        "a\r\n\tb",
        "%00%s{0}$x",
    ]
    for text in texts:
        sent = relay.ok("POST", "/api/messages", {"from": "human", "to": "alice", "body": text, "meta": {text: text}})
        found = relay.ok("GET", f"/api/messages/{sent['id']}")
        assert (found["body"], found["meta"]) == (text, {text: text})
    for text in texts:
        assert relay.http("GET", f"/api/messages?q={http_quote(text)}").status == 200


def http_quote(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def test_numbers_of_any_size_in_meta_do_not_break_the_store(relay: Relay) -> None:
    for number in (b"1" * 400, b"-" + b"9" * 4_000, b"1e400", b"1E-400", b"0.1" + b"1" * 5_000, b"9223372036854775808"):
        body = b'{"from":"human","to":"alice","body":"x","meta":{"n":' + number + b"}}"
        answer = relay.http("POST", "/api/messages", body)
        assert answer.status in {201, 400, 422}, (number[:20], answer)
        if answer.status == 201:
            assert relay.http("GET", f"/api/messages/{answer.json()['id']}").status == 200
    assert relay.http("GET", "/api/messages?for=alice").status == 200


def test_nesting_that_is_taken_can_be_read_back(relay: Relay) -> None:
    """Whatever depth the door lets in must not break a later answer, or the log that everyone replays."""
    for depth in (10, 100, 400, 900, 1_000, 2_000, 20_000):
        nested = b'{"a":' * depth + b"1" + b"}" * depth
        answer = relay.http("POST", "/api/messages", b'{"from":"human","to":"alice","body":"x","meta":' + nested + b"}")
        assert answer.status in {201, 400, 422}, (depth, answer.status)
        if answer.status == 201:
            assert relay.http("GET", f"/api/messages/{answer.json()['id']}").status == 200, depth
        answer = relay.http("PATCH", "/api/agents/alice", b'{"meta":' + nested + b"}")
        assert answer.status in {200, 400, 422}, (depth, answer.status)
        assert relay.http("GET", "/api/agents").status == 200, depth
    assert relay.http("GET", "/api/messages?for=alice").status == 200


# -- sizes -------------------------------------------------------------------------------------------------------------


def test_a_body_of_a_mebibyte_is_taken_and_one_byte_more_is_not(relay: Relay) -> None:
    before = count(relay)
    frame = len(message(body=""))
    assert relay.http("POST", "/api/messages", message(body="x" * (MIB - frame))).status == 201
    assert (
        refused(relay.http("POST", "/api/messages", message(body="x" * (MIB - frame + 1))), 413)["code"] == "too-large"
    )
    assert count(relay) == before + 1


def test_a_huge_body_is_refused_before_it_is_sent(relay: Relay) -> None:
    head = POST + b"Content-Length: %d\r\n\r\n"
    for size in (MIB + 1, 10**12, 2**63, 2**64, 10**30):
        (answer,) = parse_answers(raw(relay, head % size, shut=False))
        refused(answer, 400, 413)


def test_a_huge_chunked_body_is_refused(relay: Relay) -> None:
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    (answer,) = parse_answers(raw(relay, head + chunk * 40 + b"0\r\n\r\n"))
    assert refused(answer, 413)["code"] == "too-large"
    (answer,) = parse_answers(raw(relay, head + b"7fffffffffffffff\r\n" + b"x" * (2 * MIB), shut=False))
    refused(answer, 413)
    assert relay.rss_bytes() < 200 * MIB


def test_a_chunked_body_is_a_body(relay: Relay) -> None:
    head = b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    before = count(relay)
    body = message()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    (answer,) = parse_answers(raw(relay, head + b"Content-Type: application/json\r\n\r\n" + chunks, shut=False))
    assert answer.status == 201
    (answer,) = parse_answers(raw(relay, head + b"Content-Type: text/plain\r\n\r\n" + chunks, shut=False))
    refused(answer, 415)
    (answer,) = parse_answers(raw(relay, head + b"\r\n" + chunks, shut=False))
    refused(answer, 415)
    assert count(relay) == before + 1


def test_huge_headers_are_refused(relay: Relay) -> None:
    for head in (
        b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\nX-Huge: " + b"x" * (1 << 17) + b"\r\n\r\n",
        b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /api/messages?q=" + b"x" * (1 << 17) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"x" * (1 << 18),
    ):
        (answer,) = parse_answers(raw(relay, head, shut=False))
        refused(answer, 400, 414, 431)


# -- paths and queries -------------------------------------------------------------------------------------------------

NUMBERS = [0, -1, 1, MAX_ID - 1, MAX_ID, MAX_ID + 1, 2**64 - 1, 2**64, 10**40, -(2**63), -(2**63) - 1]
NO_NUMBERS = [
    "nan", "NaN", "inf", "-inf", "Infinity", "1e400", "0x10", "1.5", "", " 1", "1_0", "٣", "²", "true", "%00",
    "1%00", "%20",
]  # fmt: skip


def test_ids_at_the_edge_of_64_bits_in_paths(make_relay: MakeRelay) -> None:
    relay = make_relay()
    relay.register("alice")
    for number in [str(number) for number in NUMBERS] + NO_NUMBERS + ["00", "9" * 5_000]:
        text = number if "%" in number else http_quote(number)
        for method, suffix, body in (
            ("GET", "", None), ("GET", "/thread", None), ("GET", "/receipts", None), ("DELETE", "", None),
            ("POST", "/claim", {"agentId": "alice"}), ("POST", "/release", {"agentId": "alice"}),
            ("POST", "/read", {"agentId": "alice"}),
            ("POST", "/receipts", {"agentId": "alice", "state": "offered", "adapter": "a"}),
        ):  # fmt: skip
            path = f"/api/messages/{text}{suffix}"
            if path in {"/api/messages/", "/api/messages"}:
                continue
            refused(relay.http(method, path, body), 404, 405)
    relay.is_well()


def test_numbers_in_queries(relay: Relay) -> None:
    for name in ("limit", "before", "thread", "for=alice&limit", "for=alice&sinceId"):
        for number in NUMBERS:
            answer = relay.http("GET", f"/api/messages?{name}={number}")
            low, high = (1, 500) if name.endswith("limit") else (int(not name.endswith("Id")), MAX_ID)
            fits = low <= number <= high
            assert answer.status == (200 if fits else 422), (name, number, answer)
            if not fits:
                assert answer.problem()["errors"][0]["field"] == name.rpartition("&")[2]
        for text in NO_NUMBERS:
            refused(relay.http("GET", f"/api/messages?{name}={text if '%' in text else http_quote(text)}"), 422)
    for number in NUMBERS:
        answer = relay.http("POST", "/api/messages/read", {"agentId": "alice", "upTo": number})
        assert answer.status == (200 if 0 <= number <= MAX_ID else 422), (number, answer)


def test_waiting_for_no_time_at_all(relay: Relay) -> None:
    relay.register("bob")
    for wait in ("nan", "-nan", "inf", "-inf", "1e999", "-1", "60.001", "61", "1e9", "abc", "", "0x1", "1_0"):
        refused(relay.http("GET", f"/api/messages?for=alice&wait={wait}"), 422)
    for wait in ("0", "0.0", "-0.0", "1e-9", "0.01"):
        assert relay.ok("GET", f"/api/messages?for=bob&wait={wait}")["messages"] == []
    for since in ("nan", "-1", str(2**63), "x", ""):
        refused(relay.http("GET", f"/api/events?since={since}"), 422)
        if since.isascii() and since:
            refused(relay.http("GET", "/api/events", None, Last_Event_ID=since), 422)


def test_queries_that_make_no_sense(relay: Relay) -> None:
    for query in (
        "limit=5&limit=x", "unknown=1", "for=", "for=%00", "for=" + "a" * 200, "for=nobody", "for=alice&q=x", "wait=5",
        "q=%00", "q=%ff", "q=" + "a" * 501, "to=", "=", "&&&", "for=alice&unread=maybe", "%=%", "q=%zz",
        "channel=%00", "from=%00", "to=tag:%00", "channel=%ed%a0%80", "thread=-1",
    ):  # fmt: skip
        answer = relay.http("GET", f"/api/messages?{query}")
        assert answer.status < 500, (query, answer)
        if answer.status != 200:
            answer.problem()
    for words in ('"', '""', '"a', "*", "NEAR(", "a AND", "body:x", "^", "-", "(", "{x}:", "a" * 500, "\U0001f600"):
        assert relay.http("GET", f"/api/messages?q={http_quote(words)[:1500]}").status == 200, words
    for query in ("status=sleeping", "ready=perhaps", "tag=", "label=%00", "after=%00", "limit=0"):
        answer = relay.http("GET", f"/api/agents?{query}")
        assert answer.status < 500, (query, answer)
        if answer.status != 200:
            answer.problem()


PATHS = [
    "/api/../api/stats", "/api/..%2f..%2fetc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/api//stats",
    "//api/stats", "/api/stats/", "/api/stats//", "/api/./stats", "/api/messages//1", "/api/%00", "/%",
    "/%zz", "/%c0%ae",
    "/api/messages/1;x=1", "/api/agents/%2e%2e", "/api/agents/..", "/api/agents/a%2fb", "/api/agents/%ff",
    "/api/agents/%00",
    "/api/agents/a%0d%0aSet-Cookie:%20x=1", "/api/%ed%a0%80", "/static/../app/config.py", "/static/..%2fapp/config.py",
    "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/api/agents/" + "a" * 5_000, "/api\\stats",
    "/API/stats", "/api/Stats",
    "http://localhost/api/nothing", "http://evil.example/api/stats", "*", "stats", "?", "#",
    "/api/stats%3f", "/api/stats%23",
]  # fmt: skip


def test_odd_paths_are_refused_and_go_round_no_token(make_relay: MakeRelay) -> None:
    relay = make_relay(AGENT_RELAY_TOKEN=TOKEN)
    for path in PATHS:
        for method in ("GET", "POST", "DELETE"):
            length = "Content-Length: 0\r\n" if method == "POST" else ""
            request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}Connection: close\r\n\r\n"
            (answer,) = parse_answers(raw(relay, request.encode("latin-1"), shut=False))
            assert answer.status < 500, (path, answer)
            assert b"root:" not in answer.body
            assert b"from __future__" not in answer.body
            assert "set-cookie" not in answer.headers
            if path in {"?", "#"} and method == "GET":
                assert (answer.status, answer.headers["location"]) == (308, "http://localhost/")
                continue
            assert answer.status in {400, 401, 403, 404, 405}, (path, answer)
            answer.problem()
    relay.is_well()


# -- HTTP itself -------------------------------------------------------------------------------------------------------


def test_every_method_on_everything(relay: Relay) -> None:
    document = relay.ok("GET", "/api/openapi.json")
    paths = [path.replace("{agent_id}", "alice").replace("{message_id}", "1") for path in document["paths"]]
    assert "/api/messages/1/claim" in paths, paths
    for path in [*paths, "/api", "/api/", "/", "/nothing", "/api/nothing"]:
        for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "CONNECT", "PROPFIND", "get", "X" * 100):
            request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answers = parse_answers(raw(relay, request.encode(), shut=False), methods=iter([method]))
            assert len(answers) == 1, (method, path)
            answer = answers[0]
            assert answer.status < 500, (method, path, answer)
            if method == "HEAD":
                assert answer.body == b""
            elif answer.status >= 400:
                answer.problem()
            if answer.status == 405:
                assert answer.headers["allow"], (method, path)
    # Nobody is left hanging on a stream, or deleted.
    relay.is_well()
    assert relay.http("GET", "/api/agents/alice").status == 200


BAD_REQUESTS = {
    "no version": b"GET /api/stats\r\n\r\n",
    "two spaces": b"GET  /api/stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "version 9": b"GET /api/stats HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "header without colon": GET + b"nonsense\r\n\r\n",
    "space before colon": GET + b"X : y\r\n\r\n",
    "folded header": GET + b"X: y\r\n z\r\n\r\n",
    "bare CR": GET + b"X: a\rb\r\n\r\n",
    "NUL in header": GET + b"X: a\0b\r\n\r\n",
    "bytes in header": GET + b"X-Agent-Relay-Agent-Secret: \xff\xfe\r\n\r\n",
    "bytes in host": b"GET /api/stats HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    "two hosts": GET + b"Host: evil.example\r\n\r\n",
    "host with a user": b"GET /api/stats HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n",
    "host of brackets": b"GET /api/stats HTTP/1.1\r\nHost: [\r\n\r\n",
    "empty host": b"GET /api/stats HTTP/1.1\r\nHost:\r\n\r\n",
    "no host": b"GET /api/stats HTTP/1.1\r\n\r\n",
    "HTTP/1.0 without host": b"GET /api/stats HTTP/1.0\r\n\r\n",
    "bytes in path": b"GET /api/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bad address": b"GET http://[x/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "unknown expectation": POST + b"Expect: 999-odd\r\nContent-Length: 0\r\n\r\n",
    "bad credentials": GET + b"Authorization: Bearer \xe9\r\n\r\n",
    "bad key": POST + b"Idempotency-Key: \xff\r\nContent-Length: 2\r\n\r\n{}",
    "bad origin": GET + b"Origin: \xff\0\r\n\r\n",
    "upgrade to nothing": b"GET /api/stats HTTP/1.1\r\n" + UPGRADE + b"\r\n",
    "upgrade to h2c": GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
    "websocket without a key": b"GET /api/ws HTTP/1.1\r\n" + UPGRADE + b"\r\n",
    "websocket of version 99": b"GET /api/ws HTTP/1.1\r\n"
    + UPGRADE
    + b"Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "websocket with a short key": b"GET /api/ws HTTP/1.1\r\n"
    + UPGRADE
    + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n",
}
#: These are fine, or at least harmless, and may be answered 200.
HARMLESS = {"version 9", "bytes in header", "bad credentials", "upgrade to h2c", "folded header"}


@pytest.mark.parametrize("token", [None, TOKEN])
def test_requests_that_are_no_http(make_relay: MakeRelay, token: str | None) -> None:
    relay = make_relay(AGENT_RELAY_TOKEN=token or "")  # blank counts as unset
    for name, request in BAD_REQUESTS.items():
        answers = parse_answers(raw(relay, request))
        # HTTP/2's preface is two requests to HTTP/1.
        assert 1 <= len(answers) <= 2, name
        for answer in answers:
            assert answer.status < 500, (name, answer)
            assert "set-cookie" not in answer.headers
            if answer.status >= 400:
                answer.problem()
            else:
                assert name in HARMLESS, (name, answer)
    relay.is_well()
    log = relay.log
    assert TOKEN not in log
    assert all(line.isprintable() for line in log.splitlines())


SMUGGLED = (
    b"POST /api/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (
        len(message()),
        message(),
    )
)
HEAD = b"POST /api/agents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SMUGGLERS = {
    "CL and TE": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE and CL": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 400\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two CL": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + SMUGGLED,
    "CL list": HEAD + b"Content-Length: 2, 2\r\n\r\n{}" + SMUGGLED,
    "negative CL": HEAD + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "signed CL": HEAD + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
    "hexadecimal CL": HEAD + b"Content-Length: 0x2\r\n\r\n{}" + SMUGGLED,
    "underscored CL": HEAD + b"Content-Length: 1_0\r\n\r\n{}" + SMUGGLED,
    "long CL": HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{}" + SMUGGLED,
    "two TE": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "unknown TE": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with a tab": HEAD + b"Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with a space": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE in HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "negative chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n" + SMUGGLED,
    "hexadecimal chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "no chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk of words": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk without end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n" + SMUGGLED,
    "huge chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "long chunk extension": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n2;"
    + b"x" * 100_000
    + b"\r\n{}\r\n0\r\n\r\n"
    + SMUGGLED,
    "bare LF chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + SMUGGLED,
}


def test_no_request_is_smuggled_in_another(relay: Relay) -> None:
    """After a request whose end is in doubt nothing that follows on the connection is taken for one."""
    for name, data in SMUGGLERS.items():
        answers = parse_answers(raw(relay, data))
        # Where more of a chunk is to come, the end of the connection is its answer.
        assert answers or name == "huge chunk", name
        for answer in answers:
            assert answer.status < 500, (name, answer)
            if answer.status >= 400:
                answer.problem()
        # The end of the one with an extension is clear to everyone, so that what follows is no surprise.
        assert len(answers) <= 1 + (name == "long chunk extension"), (name, answers)


def test_pipelined_requests_are_answered_in_order(relay: Relay) -> None:
    paths = ["/api/healthz", "/api/nothing", "/api/agents/alice", "/api/stats"] * 10
    data = b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths)
    data += b"GET /api/messages/cursor HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answers = parse_answers(raw(relay, data, shut=False))
    assert [answer.status for answer in answers] == [200, 404, 200, 200] * 10 + [200]
    assert answers[2].json()["id"] == "alice"
    assert "cursor" in answers[-1].json()


def test_header_injection_has_no_way_in(make_relay: MakeRelay) -> None:
    relay = make_relay(AGENT_RELAY_CORS_ORIGINS="http://board.example")
    for name, value in (
        ("Origin", "http://board.example\tX-Injected: 1"),
        ("Origin", "http://board.example\u0085Injected: 1"),
        ("X-Request-Id", "a\tb"),
        ("Idempotency-Key", "\u0085" * 300),
    ):
        request = f"GET /api/agents/x%0d%0aInjected:%201 HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n\r\n".encode(
            "latin-1"
        )
        for answer in parse_answers(raw(relay, request)):
            answer.problem()
            assert "injected" not in answer.headers
            assert "x-injected" not in answer.headers
    answer = relay.http("POST", "/api/agents", {"id": "x\r\nInjected: 1"})
    refused(answer, 422)
    assert "injected" not in answer.headers
    assert "\nInjected" not in relay.log


def test_neither_text_nor_token_gets_into_the_log(make_relay: MakeRelay) -> None:
    relay = make_relay(AGENT_RELAY_TOKEN=TOKEN)
    wrong = "another-token-that-no-log-may-hold"
    entry = {"X_Agent_Relay_Token": TOKEN}
    refused(relay.http("GET", "/api/stats"), 401)
    refused(relay.http("GET", "/api/stats", None, Authorization=f"Bearer {wrong}"), 401)
    refused(relay.http("GET", f"/api/stats?token={TOKEN}"), 401, 422)
    secret = relay.ok("POST", "/api/agents", {"id": "alice", "issueSecret": True}, **entry)["agentSecret"]
    for body in (message(), message(boddy=1), message()[:-1], b"\xff" + message(), message(body=SECRET_BODY + "\0")):
        relay.http("POST", "/api/messages", body, **entry)
    refused(relay.http("GET", "/api/messages?for=alice", None, **entry), 403)
    assert relay.ok("GET", "/api/messages?for=alice", None, X_Agent_Relay_Agent_Secret=secret, **entry)["messages"]
    code = relay.ok("POST", "/api/session/code", None, **entry)["code"]
    session = relay.ok("POST", "/api/session/redeem", {"code": code})["token"]
    relay.ok("GET", "/api/stats", None, Authorization=f"Bearer {session}")
    relay.ok("GET", f"/api/messages?q={SECRET_BODY}", None, **entry)
    assert relay.stop() == 0
    log = relay.log
    for word in (TOKEN, wrong, SECRET_BODY, secret, code, session):
        assert word not in log


def test_a_connection_that_is_misused_does_not_harm_the_next(relay: Relay) -> None:
    for _ in range(30):
        with contextlib.closing(relay.connect()) as sock:
            sock.sendall(b"GET /api/stats HTTP/1.1\r\nHost: loc")
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=10)
        connection.request("POST", "/api/messages", message(), {"Content-Type": "application/json"})
        connection.close()  # gone before the answer
    relay.is_well()
