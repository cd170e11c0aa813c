#!/usr/bin/env python3
"""Receives an Agent Relay's callbacks and prints a line for each: receive-callbacks.py [--port 4870]

With AGENT_RELAY_CALLBACK_SECRET (whsec_…), or AGENT_RELAY_CALLBACK_SECRET_FILE, only what is signed with it is taken
(https://www.standardwebhooks.com). A beginning for a receiver of your own. Python 3.9 or newer, and nothing else.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

#: A signature is good for so long: a call that was recorded and is played back later is refused.
TOLERANCE_S = 300


def secret_key() -> bytes | None:
    """The bytes of the secret, or None where callbacks are not signed."""
    secret = os.environ.get("AGENT_RELAY_CALLBACK_SECRET", "").strip()
    file = os.environ.get("AGENT_RELAY_CALLBACK_SECRET_FILE", "").strip()
    if file:
        secret = Path(file).read_text(encoding="utf-8").strip()
    if not secret:
        return None
    if not secret.startswith("whsec_"):
        raise ValueError("the callback secret must begin with whsec_")
    return base64.b64decode(secret[len("whsec_") :], validate=True)


def is_signed(body: bytes, headers: Any, key: bytes) -> bool:
    """Whether the call comes from who knows the secret, and from now."""
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (at.isascii() and at.isdigit()) or abs(time.time() - int(at)) > TOLERANCE_S:
        return False
    digest = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").encode("latin-1", "replace").split()
    return any(hmac.compare_digest(expected, each) for each in given)


def make_handler(key: bytes | None) -> type[BaseHTTPRequestHandler]:
    """What answers each call."""
    #: A callback may come twice, under the same webhook-id, and is acted on once. A real receiver keeps these on disk.
    seen: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            size = self.headers.get("Content-Length", "")
            body = self.rfile.read(int(size)) if size.isdigit() else b""
            if key is not None and not is_signed(body, self.headers, key):
                self.answer(401)
                return
            try:
                call = json.loads(body)
                line = describe(call["event"], call["task"])
            except (ValueError, KeyError, TypeError, AttributeError):
                self.answer(400)
                return
            name = self.headers.get("webhook-id", "")
            if name not in seen:
                seen.add(name)
                print(line, flush=True)
            self.answer(204)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """One line a callback is enough."""

    return Handler


def describe(event: str, task: dict[str, Any]) -> str:
    """A line that a terminal can be trusted with."""
    words = [event.ljust(12), f"#{task['id']}", task["status"], task["claimedBy"] or "nobody", task["title"]]
    if task["result"] is not None:
        words.append(f"result: {json.dumps(task['result'])}")
    return "  ".join("".join(c if c.isprintable() else "?" for c in word) for word in words)


def main() -> int:
    parser = argparse.ArgumentParser(description="Receive an Agent Relay's callbacks and print a line for each.")
    parser.add_argument("--port", type=int, default=4870)
    port = parser.parse_args().port
    try:
        server = HTTPServer(("127.0.0.1", port), make_handler(secret_key()))
    except (OSError, ValueError, OverflowError) as exc:
        print(f"receive-callbacks: {exc}", file=sys.stderr)
        return 1
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
