"""Logging: one line per event, readable by people and by machines, and without secrets.

A line is ``time level logger action=… key=value … message``; with ``json=True`` the same as one JSON object. Callers
give a stable ``action`` and further fields through ``extra={"action": "message.sent", "messageId": 42}``. Values and
messages have their control characters escaped, so that no text from outside can forge a line; a traceback, which only
an exception brings, follows in indented lines.

Tokens and secrets are taken out of everything, tracebacks included: the known shapes, fields whose name says secret,
and each text given to :func:`redact`. **Message bodies are never logged**: that is the callers' duty, for no filter can
know one. Standard library only.
"""

from __future__ import annotations

import json as _json
import logging
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

MASK = "[redacted]"

#: Shorter texts would mask half the log, and protect nothing.
_MIN_SECRET = 4

_secrets: tuple[str, ...] = ()
_secrets_lock = threading.Lock()

#: Between a secret's name and its value: ``: ``, ``=``, ``', '`` (a header as a tuple), ``": "`` (JSON, even escaped).
_BETWEEN = r"""(?:\\?["'])?\s*[:=,]\s*(?:b?\\?["'])?"""
_VALUE = r"""[^\s"'\\,;&<>]+"""
#: What every shape below holds one of; most lines hold none and are done after one look.
_HINT = re.compile(r"(?i)bearer|authorization|token|secret|whsec_|passw|://")
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"(?i)\b(authorization{_BETWEEN})(?:(?:bearer|basic)\s+)?{_VALUE}"), rf"\1{MASK}"),
    (re.compile(rf"(?i)\b(bearer\s+){_VALUE}"), rf"\1{MASK}"),
    (re.compile(rf"(?i)\b(x-agent-relay-(?:agent-)?(?:token|secret){_BETWEEN}){_VALUE}"), rf"\1{MASK}"),
    (re.compile(rf"\b(AGENT_RELAY_TOKEN{_BETWEEN}){_VALUE}"), rf"\1{MASK}"),
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), f"whsec_{MASK}"),
    (re.compile(rf"(?i)\b((?:access_?|api_?)?(?:token|secret|password)\s*=\s*){_VALUE}"), rf"\1{MASK}"),
    (
        re.compile(
            r"""(?i)(\\?["'](?:token|agentSecret|callbackSecret|secret|password)\\?["']\s*:\s*\\?["'])[^"'\\]+"""
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+@"), rf"\1{MASK}@"),
)
_SECRET_FIELD = re.compile(r"(?i)(token|secret|password|authorization|cookie)$")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def redact(secret: str) -> None:
    """From now on, mask this text wherever it would be logged. Safe from any thread."""
    global _secrets
    if len(secret) < _MIN_SECRET:
        return
    with _secrets_lock:
        # The longest first, so that a secret which contains another goes as a whole.
        _secrets = tuple(sorted({*_secrets, secret}, key=len, reverse=True))


def scrub(text: str) -> str:
    """The text without secrets."""
    for secret in _secrets:
        text = text.replace(secret, MASK)
    if _HINT.search(text):
        for shape, masked in _SHAPES:
            text = shape.sub(masked, text)
    return text


def setup_logging(level: str = "INFO", *, json: bool = False, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error) from here on; a second call replaces the first.

    :raises ValueError: for a level that logging does not know.
    """
    handler = _Handler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if json else LineFormatter())
    root = logging.getLogger()
    root.setLevel(level.upper())
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings name whole addresses, keys in them included


class LineFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO app.server.run action=relay.started port=4850 message``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        parts = [_time(record), record.levelname, _escaped(record.name), f"action={_quoted(_action(record))}"]
        parts += [f"{_escaped(key)}={_quoted(value)}" for key, value in fields.items()]
        parts.append(_escaped(scrub(record.getMessage())))
        line = " ".join(parts)
        for text in _traceback(record, self):
            line += "".join(f"\n    {_escaped(part)}" for part in text.splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """The same as one JSON object per line: ``time, level, logger, action, message``, the fields, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "action": _action(record),
            "message": scrub(record.getMessage()),
        }
        entry |= {key: value for key, value in _fields(record).items() if key not in entry}
        if found := _traceback(record, self):
            entry["exception"] = "\n".join(found)
        # ASCII: no line separator of any script gets through as it is.
        return _json.dumps(entry, default=str)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be formatted or written: say where, and not what, for that would bypass the masking."""
        kind = getattr(sys.exc_info()[0], "__name__", "error")
        try:
            sys.stderr.write(f"logging failed with {kind} for {record.pathname}:{record.lineno}\n")
        except (OSError, ValueError):
            return  # standard error itself is gone: nobody is left to tell


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _action(record: logging.LogRecord) -> str:
    return str(getattr(record, "action", "log"))


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """What ``extra`` brought beside the action, masked. Numbers and booleans stay what they are."""
    found: dict[str, Any] = {}
    for key, value in vars(record).items():
        if key in _STANDARD or key == "action":
            continue
        if value is None or isinstance(value, bool | int | float):
            found[key] = value
        else:
            found[key] = MASK if _SECRET_FIELD.search(key) else scrub(str(value))
    return found


def _traceback(record: logging.LogRecord, formatter: logging.Formatter) -> list[str]:
    """The exception's and the stack's text, masked; ``exc_text``, which other handlers share, stays untouched."""
    found = []
    if record.exc_info and record.exc_info[1] is not None:
        found.append(scrub(formatter.formatException(record.exc_info)))
    if record.stack_info:
        found.append(scrub(formatter.formatStack(record.stack_info)))
    return found


def _quoted(value: object) -> str:
    text = _json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    escaped = _escaped(text)
    if escaped == text and text and not re.search(r"""[\s"'=]""", text):
        return text
    return '"' + escaped.replace('"', '\\"') + '"'


def _escaped(text: str) -> str:
    """Everything unprintable (control, line separator, text direction) and backslashes as Python escapes."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
