"""Log lines: their shape, and what never gets into them."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import logs
from app.logs import LineFormatter, redact, scrub, setup_logging

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) \S+ action=\S+.*")

logger = logging.getLogger("app.test")


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(logs, "_secrets", ())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    setup_logging(stream=stream)
    return stream


def test_a_line_has_time_level_logger_action_fields_and_message(out: io.StringIO) -> None:
    extra = {"action": "message.sent", "messageId": 42, "to": "tag:a b", "queued": True, "replyTo": None, "subject": ""}
    logger.info("sent in %d ms", 3, extra=extra)
    line = out.getvalue().rstrip("\n")
    assert LINE.fullmatch(line)
    assert line.split(" ", 1)[1] == (
        'INFO app.test action=message.sent messageId=42 to="tag:a b" queued=true replyTo=null subject="" sent in 3 ms'
    )


def test_json_lines_hold_the_same() -> None:
    out = io.StringIO()
    setup_logging("debug", json=True, stream=out)
    logger.debug("sent\n", extra={"action": "message.sent", "messageId": 42, "to": "\u2028"})
    entry = json.loads(out.getvalue())
    assert LINE.fullmatch(f"{entry.pop('time')} DEBUG x action=x")
    assert entry == {
        "level": "DEBUG", "logger": "app.test", "action": "message.sent", "message": "sent\n", "messageId": 42,
        "to": "\u2028",
    }  # fmt: skip
    assert len(out.getvalue().splitlines()) == 1


def test_the_level_holds_and_a_second_setup_replaces_the_first(out: io.StringIO) -> None:
    second = io.StringIO()
    setup_logging("WARNING", stream=second)
    logger.info("quiet")
    logger.warning("loud")
    assert out.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        setup_logging("loud")


@given(st.text(), st.text(), st.text(min_size=1))
def test_no_text_forges_a_line(message: str, value: str, name: str) -> None:
    record = logging.makeLogRecord({"msg": "%s", "args": (message,), "name": name, "action": "x", "extra_field": value})
    line = LineFormatter().format(record)
    assert len(line.splitlines()) <= 1
    assert line.isprintable()


def test_an_exception_brings_its_traceback_indented(out: io.StringIO) -> None:
    try:
        raise RuntimeError("first\n2026-01-01T00:00:00.000Z INFO forged action=x \x1b[2J")
    except RuntimeError:
        logger.exception("failed", extra={"action": "request.failed"})
    first, *rest = out.getvalue().splitlines()
    assert LINE.fullmatch(first)
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    logger.error("no exception", exc_info=True)  # noqa: LOG014 - that is the point
    assert "Traceback" not in out.getvalue().splitlines()[-1]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRET", "authorization=SECRET", "{'Authorization': 'Bearer SECRET'}", "bearer  SECRET",
        "Authorization: Basic SECRET", "[('X-Agent-Relay-Token', 'SECRET')]", "x-agent-relay-token: SECRET",
        "X-Agent-Relay-Agent-Secret=SECRET", '{"X-Agent-Relay-Token": "SECRET"}', "AGENT_RELAY_TOKEN=SECRET",
        "AGENT_RELAY_TOKEN='SECRET'", '"AGENT_RELAY_TOKEN": "SECRET"', "whsec_SECRET==", '{"token": "SECRET"}',
        '"agentSecret":"SECRET"', r'{\"callbackSecret\": \"SECRET\"}', "GET /x?token=SECRET&y=1", "access_token=SECRET",
        "postgresql://relay:SECRET@db/relay", "{'token': 'SECRET'}",
    ],
)  # fmt: skip
def test_known_shapes_of_secrets_are_masked(text: str) -> None:
    assert "SECRET" not in scrub(text)
    assert logs.MASK in scrub(text)


@pytest.mark.parametrize("text", ["", "tokens 5", "http://127.0.0.1:4850/api", "a secret was issued", "to=tag:backend"])
def test_ordinary_text_stays(text: str) -> None:
    assert scrub(text) == text


def test_a_registered_secret_is_masked_everywhere(out: io.StringIO) -> None:
    secret = 'pa"ss\\word'
    redact(secret)
    redact(f"{secret}-longer")
    redact("abc")  # too short to be one
    try:
        raise RuntimeError(f"with {secret}-longer")
    except RuntimeError:
        logger.exception("a %s and abc", secret, extra={"note": f"x{secret}"})
    text = out.getvalue()
    assert "word" not in text.replace("password", "")
    assert "-longer" not in text.replace('f"with {secret}-longer"', "")
    assert "and abc" in text


def test_fields_whose_name_says_secret_are_masked(out: io.StringIO) -> None:
    logger.info("x", extra={"agentSecret": "one", "token": "two", "Authorization": "three", "promptTokens": 7})
    text = out.getvalue()
    assert all(word not in text for word in ("one", "two", "three"))
    assert "promptTokens=7" in text


def test_a_line_that_cannot_be_formatted_says_where_and_not_what(
    out: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, logs._Handler)]
    logger.info("%d", "swordfish")
    error = capsys.readouterr().err
    assert "logging failed with TypeError" in error
    assert "test_logs.py" in error
    assert "swordfish" not in error + out.getvalue()
