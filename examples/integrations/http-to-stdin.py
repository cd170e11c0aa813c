#!/usr/bin/env python3
"""Gives the body of each HTTP POST to a command, on stdin: http-to-stdin.py [--port 9095] COMMAND [ARGUMENT ...]

A door for connectors that read a webhook's payload on stdin. It listens on this machine alone unless told otherwise.
With HTTP_TO_STDIN_SECRET, or HTTP_TO_STDIN_SECRET_FILE, a call must show that it knows it: as a Bearer token, as
Alertmanager sends one, or by the signature X-Hub-Signature-256, as GitHub does. Python 3.9 or newer, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAX_BODY_BYTES = 25 * 1024 * 1024
COMMAND_TIMEOUT_S = 300
#: By the command's exit status. Alertmanager sends again what is answered with 5xx, and gives up what is with 4xx.
ANSWERS = {0: 200, 2: 422}
OTHERWISE = 502

SECRET = "HTTP_TO_STDIN_SECRET"  # noqa: S105 - a variable's name


def find_secret() -> bytes | None:
    """The secret, or None where none is asked for.

    :raises ValueError: it is set twice, cannot be read, or is empty.
    """
    secret, file = (os.environ.pop(name, "").strip() for name in (SECRET, f"{SECRET}_FILE"))
    if secret and file:
        raise ValueError(f"{SECRET} and {SECRET}_FILE are both set: set one of them")
    if file:
        try:
            secret = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            raise ValueError(f"{SECRET}_FILE cannot be read: {getattr(exc, 'strerror', None) or 'not text'}") from None
        if not secret:
            raise ValueError(f"{SECRET}_FILE: the file is empty")
    return secret.encode("utf-8", "surrogateescape") or None


class Door(BaseHTTPRequestHandler):
    """One call, one run of the command."""

    command_line: list[str]
    secret: bytes | None
    timeout = 30

    def do_POST(self) -> None:
        if "Origin" in self.headers:
            return self.answer(403, "not for web pages")  # a page that the browser of this machine shows can get here
        size = self.headers.get("Content-Length", "")
        if not (size.isascii() and size.isdigit()):
            return self.answer(411, "send a Content-Length")
        if len(size) > 12 or int(size) > MAX_BODY_BYTES:
            return self.answer(413, f"more than {MAX_BODY_BYTES // 1024 // 1024} MiB")
        body = self.rfile.read(int(size))
        if len(body) < int(size):
            return self.answer(400, "broken off")
        if not self.may(body):
            return self.answer(403, "the secret is missing or wrong")
        try:
            done = subprocess.run(
                self.command_line,
                input=body,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return self.answer(504, f"not done within {COMMAND_TIMEOUT_S} s")
        except OSError as exc:
            return self.answer(500, f"{self.command_line[0]}: {exc.strerror}")
        return self.answer(ANSWERS.get(done.returncode, OTHERWISE), done.stdout.decode("utf-8", "replace").strip())

    def may(self, body: bytes) -> bool:
        """Whether the caller knows the secret."""
        if self.secret is None:
            return True
        digest = hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        shown = (("Authorization", b"Bearer " + self.secret), ("X-Hub-Signature-256", f"sha256={digest}".encode()))
        return any(
            hmac.compare_digest(self.headers.get(name, "").encode("latin-1", "replace"), expected)
            for name, expected in shown
        )

    def answer(self, status: int, text: str) -> None:
        """Say it to the caller, and here."""
        line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
        print(f"{status}  {line}", flush=True)
        body = f"{text}\n".encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(OSError):  # the caller has hung up; the command has run all the same
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """One line a call is enough."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Gives the body of each HTTP POST to a command, on stdin. Answers 200 where it exits with 0, 422 "
        "with 2, and else 502.",
        epilog=f"Environment: {SECRET} or {SECRET}_FILE, what a call must know; needed where others reach it.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (127.0.0.1)")
    parser.add_argument("--port", type=int, default=9095, help="(9095)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        secret = find_secret()
        if not command:
            raise ValueError("which command? see --help")
        if secret is None and options.host not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError(f"others can reach {options.host}: set {SECRET}")
    except ValueError as exc:
        print(f"http-to-stdin: {exc}", file=sys.stderr)
        return 2
    handler = type("Handler", (Door,), {"command_line": command, "secret": secret})
    try:
        server = ThreadingHTTPServer((options.host, options.port), handler)
    except (OSError, OverflowError) as exc:
        print(f"http-to-stdin: cannot listen on {options.host}, port {options.port}: {exc}", file=sys.stderr)
        return 1
    print(f"listening on http://{options.host}:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
