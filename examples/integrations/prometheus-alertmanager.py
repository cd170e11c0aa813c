#!/usr/bin/env python3
"""Alerts of a Prometheus Alertmanager become tasks of Agent Relay: prometheus-alertmanager.py < payload.json

Reads one webhook payload (version "4"), as https://prometheus.io/docs/alerting/latest/configuration/#webhook_config has
it, on stdin. Each alert is one event: firing ones make a task or are counted, resolved ones close theirs. Python 3.9 or
newer, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

# -- the same in every connector of this folder that reads stdin -------------------------------------------------------

TIMEOUT_S = 15
ATTEMPTS = 3
#: Where the relay says how long to wait, and it is longer than this, it is given up at once.
MAX_WAIT_S = 60
MAX_PAYLOAD_BYTES = 25 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024
MAX_BODY_CHARACTERS = 100_000

TOKEN = "AGENT_RELAY_INTEGRATION_TOKEN"  # noqa: S105 - a variable's name


class Wrong(Exception):
    """Wrong use or malformed input: nothing was sent."""


class Failed(Exception):
    """The relay cannot be reached, or refused it."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise Wrong(f"{message}; see --help")


@dataclass(frozen=True)
class Relay:
    """Where events go."""

    url: str
    token: str = field(repr=False)
    opener: urllib.request.OpenerDirector


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token is for the relay alone, and not for whoever it may point to."""

    def redirect_request(self, *_: Any) -> None:
        return None


def find_relay() -> Relay:
    """The relay and the token that the environment names."""
    token, file = (os.environ.get(name, "").strip() for name in (TOKEN, f"{TOKEN}_FILE"))
    if token and file:
        raise Wrong(f"{TOKEN} and {TOKEN}_FILE are both set: set one of them")
    if file:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            raise Wrong(f"{TOKEN}_FILE: cannot read {file}: {getattr(exc, 'strerror', None) or 'not text'}") from None
        if not token:
            raise Wrong(f"{TOKEN}_FILE: the file is empty")
    if not token:
        raise Wrong(f"{TOKEN} is not set: give it the token that 'agent-relay integrations add' shows")
    if not re.fullmatch(r"[\x21-\x7e]{1,1024}", token):
        raise Wrong(f"{TOKEN} must be visible ASCII characters without spaces")
    url = os.environ.get("AGENT_RELAY_URL", "").strip().rstrip("/") or "http://127.0.0.1:4850"
    try:
        host = web_host(url)
    except ValueError:
        host = ""
    if not re.fullmatch(r"https?://[][A-Za-z0-9.:_-]+", url) or not host:
        raise Wrong("AGENT_RELAY_URL must be http://host:port or https://host:port")
    handlers: list[urllib.request.BaseHandler] = [NoRedirect()]
    if host in {"localhost", "::1"} or host.startswith("127."):
        # A proxy has no way to this machine's own loopback, and must not see the token.
        handlers.append(urllib.request.ProxyHandler({}))
    return Relay(url=url, token=token, opener=urllib.request.build_opener(*handlers))


def web_host(url: str) -> str:
    """The host of an http or https address.

    :raises ValueError: it is no such address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError(url)
    return parts.hostname


def as_link(url: str | None) -> str | None:
    """A link that the relay takes, or None: better a task without a link than no task."""
    if url is None or not re.fullmatch(r"[\x21-\x7e]{1,2048}", url) or re.search(r"[<>\"'`\\^{}|]", url):
        return None
    try:
        web_host(url)
    except ValueError:
        return None
    return None if "@" in urlsplit(url).netloc else url


def read_payload() -> dict[str, Any]:
    """The JSON object on stdin, in which every text can be sent on."""
    if sys.stdin is None or sys.stdin.isatty():
        raise Wrong("stdin is a terminal or closed: give it the webhook's JSON, e.g. with < payload.json")
    data = sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
    if len(data) > MAX_PAYLOAD_BYTES:
        raise Wrong(f"stdin holds more than {MAX_PAYLOAD_BYTES // 1024 // 1024} MiB: that is no webhook's payload")
    if not data.strip():
        raise Wrong("stdin is empty: give it the webhook's JSON")
    try:
        payload = sendable(json.loads(data.decode("utf-8-sig"), parse_constant=no_number))
    except RecursionError:
        raise Wrong("stdin is not the JSON of a webhook: it is nested too deeply") from None
    except UnicodeDecodeError:
        raise Wrong("stdin is not UTF-8 text: give it the webhook's JSON as it came") from None
    except json.JSONDecodeError as exc:
        raise Wrong(f"stdin is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from None
    except ValueError as exc:
        raise Wrong(f"stdin is not JSON: {exc}") from None
    if not isinstance(payload, dict):
        raise Wrong(f"stdin must be a JSON object, not {kind_of(payload)}")
    return payload


def no_number(word: str) -> NoReturn:
    """NaN and Infinity, which Python would take and no relay does."""
    raise ValueError(f"{word} is no number")


def sendable(value: Any) -> Any:
    """The same without NUL and halves of surrogate pairs, which JSON can write and the relay refuses."""
    if isinstance(value, str):
        return re.sub("[\x00\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [sendable(each) for each in value]
    if isinstance(value, dict):
        return {sendable(key): sendable(each) for key, each in value.items()}
    return value


def kind_of(value: object) -> str:
    """What JSON calls a value of this kind."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a whole number"}
    return "null" if value is None else names.get(type(value), "a number")


def member(data: dict[str, Any], key: str, kind: type[T], *, where: str = "") -> T:
    """A member that must be there, and of this kind."""
    path = f"{where}.{key}" if where else key
    if key not in data:
        raise Wrong(f"{path} is missing")
    # type() and not isinstance(): true is no whole number.
    if type(data[key]) is not kind:
        raise Wrong(f"{path} must be {kind_of(kind())}, not {kind_of(data[key])}")
    found: T = data[key]
    return found


def optional(data: dict[str, Any], key: str, kind: type[T], *, where: str = "") -> T | None:
    """A member that may be missing or null."""
    return None if data.get(key) is None else member(data, key, kind, where=where)


def shorten(text: str, most: int) -> str:
    """At most so many characters, and a sign where some were taken off."""
    return text if len(text) <= most else text[: most - 1] + "…"


def encode(value: object) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    """What of it fits: texts get shorter until it does, and ``shortened`` says so."""

    def cut(value: Any, most: int) -> Any:
        if isinstance(value, dict):
            return {shorten(key, most): cut(each, most) for key, each in value.items()}
        if isinstance(value, list):
            return [cut(each, most) for each in value]
        return shorten(value, most) if isinstance(value, str) else value

    if len(encode(metadata)) <= MAX_METADATA_BYTES:
        return metadata
    for most in (2_000, 500, 100, 20):
        shorter = {**cut(metadata, most), "shortened": True}
        if len(encode(shorter)) <= MAX_METADATA_BYTES:
            return shorter
    return {"shortened": True}


def send(relay: Relay, event: dict[str, Any]) -> str:
    """Send an event; what became of it. Sent twice it is counted twice, and makes no second task."""
    request = urllib.request.Request(
        f"{relay.url}/api/integrations/events",
        data=encode({key: value for key, value in event.items() if value is not None}),
        headers={"Authorization": f"Bearer {relay.token}", "Content-Type": "application/json"},
        method="POST",
    )
    for attempt in range(1, ATTEMPTS + 1):
        wait_s = attempt
        try:
            status, headers, answer = call(relay, request)
        except (OSError, http.client.HTTPException) as exc:
            reason = getattr(exc, "reason", exc)
            said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            problem = f"no answer from the relay at {relay.url}: {said}"
        else:
            if status in {200, 201}:
                return outcome(relay, answer)
            problem = f"the relay at {relay.url} refused it ({status}): {detail(answer)}"
            if status != 429 and status < 500:
                break
            after = headers.get("Retry-After", "")
            wait_s = int(after) if re.fullmatch(r"[0-9]{1,5}", after) else attempt
        if attempt == ATTEMPTS or wait_s > MAX_WAIT_S:
            break
        time.sleep(wait_s)
    raise Failed(problem)


def call(relay: Relay, request: urllib.request.Request) -> tuple[int, Message, bytes]:
    """One call: status, headers and body of the answer, whatever the status."""
    most = 4 * 1024 * 1024
    try:
        with relay.opener.open(request, timeout=TIMEOUT_S) as response:
            return response.status, response.headers, response.read(most)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers, refusal.read(most)


def outcome(relay: Relay, answer: bytes) -> str:
    """What a good answer says, in a few words."""
    try:
        found = json.loads(answer)
        created, deduped, task = found["created"], found["deduped"], found["task"]
        if task is None:
            return "nothing to resolve"
        name = f"task {int(task['id'])}"
        if created:
            return f"{name} created"
        return f"{name} counted ({int(task['occurrenceCount'])} times now)" if deduped else f"{name} resolved"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise Failed(f"what answers at {relay.url} is not a relay") from None


def detail(answer: bytes) -> str:
    """Why the relay refused it."""
    try:
        found = json.loads(answer)["detail"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    return found if isinstance(found, str) else "it does not say why"


def say(to: int, text: str) -> None:
    """One line, whatever is in it."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    # Past Python's own buffers: when nobody listens any more, that is no reason to stop.
    with contextlib.suppress(OSError):
        os.write(to, f"{shorten(line, 2_000)}\n".encode("utf-8", "replace"))


def run(main: Callable[[], None]) -> int:
    """The program's exit status."""
    name = Path(sys.argv[0]).stem
    try:
        main()
    except Wrong as exc:
        say(2, f"{name}: {exc}")
        return 2
    except Failed as exc:
        say(2, f"{name}: {exc}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


# ----------------------------------------------------------------------------------------------------------------------

#: The label ``severity`` in the words that people use; anything else, or none, is a warning.
SEVERITIES = {
    "critical": "critical",
    "page": "critical",
    "emergency": "critical",
    "fatal": "critical",
    "error": "error",
    "major": "error",
    "high": "error",
    "warning": "warning",
    "warn": "warning",
    "minor": "warning",
    "medium": "warning",
    "info": "info",
    "informational": "info",
    "notice": "info",
    "low": "info",
    "debug": "info",
    "none": "info",
}


def events_of(payload: dict[str, Any], *, target: str | None, channel: str | None) -> list[dict[str, Any]]:
    """One event for each alert; every alert is looked at before the first is sent."""
    version = member(payload, "version", str)
    if version != "4":
        raise Wrong(f'version must be "4", not "{shorten(version, 20)}": this is not what Alertmanager sends today')
    events = []
    for number, alert in enumerate(member(payload, "alerts", list)):
        where = f"alerts[{number}]"
        if not isinstance(alert, dict):
            raise Wrong(f"{where} must be an object, not {kind_of(alert)}")
        events.append({**event_of(alert, where), "target": target, "channel": channel})
    return events


def event_of(alert: dict[str, Any], where: str) -> dict[str, Any]:
    """What the relay is told of one alert."""
    status = member(alert, "status", str, where=where)
    if status not in {"firing", "resolved"}:
        raise Wrong(f'{where}.status must be "firing" or "resolved", not "{shorten(status, 20)}"')
    labels = texts(member(alert, "labels", dict, where=where), f"{where}.labels")
    annotations = texts(optional(alert, "annotations", dict, where=where) or {}, f"{where}.annotations")
    starts_at = optional(alert, "startsAt", str, where=where)
    link = as_link(optional(alert, "generatorURL", str, where=where))
    key = optional(alert, "fingerprint", str, where=where) or ""
    if not 1 <= len(key) <= 256:
        key = fingerprint(labels, where)
    title = annotations.get("summary", "").strip() or labels.get("alertname", "").strip() or "An alert without a name"
    told = [annotations.get("description", "").strip(), "\n".join(f"{name}: {labels[name]}" for name in sorted(labels))]
    return {
        "type": "prometheus.alert",
        "severity": SEVERITIES.get(labels.get("severity", "").strip().lower(), "warning"),
        "dedupeKey": key,
        "title": shorten(title, 1_000),
        "body": shorten("\n\n".join(part for part in told if part), MAX_BODY_CHARACTERS),
        "externalUrl": link,
        "metadata": bounded({"labels": labels, "annotations": annotations, "startsAt": starts_at}),
        "status": "resolved" if status == "resolved" else "open",
    }


def texts(found: dict[str, Any], where: str) -> dict[str, str]:
    """Labels or annotations, in which every value is a text."""
    return {name: member(found, name, str, where=where) for name in found}


def fingerprint(labels: dict[str, str], where: str) -> str:
    """What tells an alert from others where Alertmanager does not say it: its labels, as there."""
    if not labels:
        raise Wrong(f"{where} has neither a fingerprint nor labels: nothing tells it from other alerts")
    return "labels-" + hashlib.sha256(encode(sorted(labels.items()))).hexdigest()


def main() -> None:
    """Send what is on stdin."""
    parser = Parser(
        description='Reads a webhook payload of Alertmanager (version "4") on stdin, and makes, counts or closes a '
        "task of Agent Relay for each alert.",
        epilog=f"Environment: {TOKEN} or {TOKEN}_FILE, and AGENT_RELAY_URL (http://127.0.0.1:4850). "
        "Exit status: 0 done; 1 the relay cannot be reached or refused it; 2 wrong use, nothing was sent.",
        allow_abbrev=False,
    )
    parser.add_argument("--target", help="who gets it: an agent id, tag:x, cap:x, label:x or broadcast")
    parser.add_argument("--channel", help="both default to the integration's only one")
    options = parser.parse_args()
    relay = find_relay()
    payload = read_payload()
    events = events_of(payload, target=sendable(options.target), channel=sendable(options.channel))
    left_out = optional(payload, "truncatedAlerts", int) or 0
    for number, event in enumerate(events, start=1):
        try:
            say(1, send(relay, event))
        except Failed as exc:
            # Those before it were sent: to send them all again counts them once more, and does no harm.
            which = f" (alert {number} of {len(events)})" if len(events) > 1 else ""
            raise Failed(f"{exc}{which}") from None
    if not events:
        say(1, "no alerts")
    if left_out > 0:
        say(1, f"{left_out} more alerts were left out by Alertmanager (max_alerts)")


if __name__ == "__main__":
    sys.exit(run(main))
