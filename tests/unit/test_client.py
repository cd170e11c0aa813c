"""The client without a relay: the event parser, requests and problem documents."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import errors
from app.client import RelayClient, RelayProblem
from app.client_calls import compact
from app.client_http import problem_of, retry_after_s, target_of
from app.client_live import MAX_EVENT_BYTES, Frame, LiveEvent, SseParser
from app.client_transport import Answer
from app.model import Priority, RegisterAgent, SendMessage

URL = "http://127.0.0.1:4850"

STREAM = (
    b"\xef\xbb\xbf: welcome\n\n"
    b'id: 7\nevent: message.new\ndata: {"body":"gr\xc3\xbc\xc3\x9fe \xf0\x9f\x8e\x89"}\n\n'
    b"id: 8\r\nevent: a\r\ndata: one\r\ndata:two\r\ndata\r\n\r\n"
    b"retry: 5\rdata: plain\r\r"
    b"id: 9\n\n"
    b"event: no data\n\n"
    b"id: nul\0\ndata:  two spaces\nunknown: x\n\n"
    b"data: never finished"
)
FRAMES = [
    Frame("message.new", "7", '{"body":"grüße 🎉"}'),
    Frame("a", "8", "one\ntwo\n"),
    Frame("message", "8", "plain"),
    Frame("message", "9", " two spaces"),
]


def parsed(pieces: list[bytes]) -> list[Frame]:
    parser = SseParser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


def test_events_are_parsed_from_one_piece() -> None:
    assert parsed([STREAM]) == FRAMES


def test_events_are_parsed_byte_by_byte() -> None:
    assert parsed([STREAM[i : i + 1] for i in range(len(STREAM))]) == FRAMES


@given(st.sets(st.integers(0, len(STREAM))))
def test_events_are_parsed_wherever_the_bytes_are_cut(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert parsed([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == FRAMES


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_give_the_same_events_however_they_are_cut(pieces: list[bytes]) -> None:
    assert parsed(pieces) == parsed([b"".join(pieces)])


def test_an_empty_piece_between_the_halves_of_a_line_end_changes_nothing() -> None:
    assert parsed([b"data: x\r", b"", b"\n\r", b"", b"\n"]) == [Frame("message", "", "x")]


def test_an_id_without_data_moves_the_place_to_resume_from() -> None:
    parser = SseParser()
    assert list(parser.feed(b"id: 12\n\n")) == []
    assert parser.last_id == "12"


def test_an_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    parser = SseParser()
    chunk = b"data: " + b"x" * 65_536
    for _ in range(MAX_EVENT_BYTES // len(chunk)):
        assert list(parser.feed(chunk)) == []
    with pytest.raises(ValueError, match="larger"):
        list(parser.feed(chunk))


def test_a_request_says_only_what_differs_from_the_defaults() -> None:
    message = SendMessage(from_="a", to="b", body="c", priority=Priority.HIGH, reply_to=3)
    assert compact(message) == {"from": "a", "to": "b", "body": "c", "priority": Priority.HIGH, "replyTo": 3}
    assert compact(SendMessage(from_="a", to="b", body="c")) == {"from": "a", "to": "b", "body": "c"}
    # null takes a value away, absence leaves it.
    assert compact(RegisterAgent(id="a", rig=None)) == {"id": "a", "rig": None}


def test_a_query_leaves_out_what_is_not_given_and_quotes_the_rest() -> None:
    target = target_of("/messages", {"for": "a b&c", "unread": True, "q": None, "limit": 5})
    assert target == "/api/messages?for=a%20b%26c&unread=true&limit=5"


class Headers(dict[str, str]):
    def get(self, name: str, /) -> str | None:  # type: ignore[override]
        return dict.get(self, name)


def problem(status: int, document: object, **headers: str) -> errors.RelayError:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    given_headers = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return problem_of(Answer(status, given_headers, body), url=URL)


def test_a_problem_becomes_the_error_of_its_code_with_all_it_says() -> None:
    document = {
        "type": "x",
        "title": "Already claimed",
        "status": 409,
        "code": "claim-conflict",
        "detail": "Message 4 is held by bob.",
        "requestId": "r1",
        "claimedBy": "bob",
    }
    error = problem(409, document)
    assert type(error) is errors.ClaimConflict
    assert error.detail == "Message 4 is held by bob."
    assert error.extras == {"claimedBy": "bob", "requestId": "r1"}


def test_every_code_of_the_catalogue_is_recognised() -> None:
    for cls in errors.catalogue():
        error = problem(cls.status, {"title": "t", "status": cls.status, "code": cls.code, "detail": "d"})
        assert error.code == cls.code
        assert error.status == cls.status


def test_field_errors_and_retry_after_come_along() -> None:
    document = {"title": "t", "code": "invalid", "detail": "d", "errors": [{"field": "to", "message": "bad"}]}
    error = problem(422, document, Retry_After="3")
    assert error.errors == [{"field": "to", "message": "bad"}]
    assert error.headers == {"Retry-After": "3"}


def test_an_unknown_code_keeps_its_own_status_and_code() -> None:
    error = problem(418, {"title": "Teapot", "status": 418, "code": "teapot", "detail": "short and stout", "self": 1})
    assert isinstance(error, RelayProblem)
    assert (error.status, error.code, error.title, str(error)) == (418, "teapot", "Teapot", "short and stout")


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"", b"\xff\xfe", b"[]", b'{"code": "x"}'])
def test_an_error_of_something_else_is_named_as_such(body: bytes) -> None:
    error = problem(502, body)
    assert error.status == 502
    assert error.code == "http-502"
    assert URL in error.detail


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0), ("²", 0.0)]
)
def test_retry_after(text: str, seconds: float) -> None:
    assert retry_after_s(Answer(503, Headers({"Retry-After": text}), b"")) == seconds


@pytest.mark.parametrize("url", ["127.0.0.1:4850", "ftp://x", "http://x/path", "http://user@x", ""])
def test_what_is_no_address_of_a_relay_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        RelayClient(url)


def test_a_token_that_would_forge_a_header_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        RelayClient(URL, token="a\r\nX-Evil: 1")
    with pytest.raises(ValueError, match="visible ASCII"):
        RelayClient(URL, agent_secret="a b")


def test_the_message_of_an_event() -> None:
    data = {
        "id": 1, "from": "a", "to": "b", "subject": None, "body": "c", "channel": None, "kind": "message",
        "threadId": 1, "replyTo": None, "claimable": False, "claimedBy": None, "claimedAt": None, "priority": "normal",
        "meta": {}, "taskId": None, "verified": False, "createdAt": "2026-01-01T00:00:00.000Z",
        "expiresAt": None, "newKey": 5,
    }  # fmt: skip
    message = LiveEvent(event="message.new", id=1, data=data).message
    assert message is not None
    assert message.body == "c"
    assert LiveEvent(event="message.read", id=2, data={"messageId": 1}).message is None
    assert LiveEvent(event="agent.status", id=3, data={}).message is None
    with pytest.raises(errors.RelayError):
        _ = LiveEvent(event="message.new", id=4, data={}).message


def test_importing_the_client_leaves_requests_alone() -> None:
    code = "import sys, app.client, app.client_live; print({'requests', 'urllib3', 'keyring'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_events_are_plain_data() -> None:
    event = LiveEvent(event="reset", id=4, data={"cursor": 4})
    assert msgspec.json.decode(msgspec.json.encode(event)) == {"event": "reset", "id": 4, "data": {"cursor": 4}}
