"""The examples in the docs, run for real.

Every ``sh`` block of a document is run, in order, against one fresh relay; the ``text`` or ``json`` block right behind
it is what it printed. A comment before a block makes an exception::

    <!-- not run -->            a block that would install or serve
    <!-- runs beside -->        a command that goes on while the following ones run
    <!-- it has shown -->       what that command has printed by now
    <!-- save as receiver.py -->  a file that a later command needs

The relay has the integration ``ops``, whose callbacks are answered; a document may run a receiver of its own on the
documented port. A token or secret that a command prints, and that later ones use, is in the document another than in
this run, and changed for it. What differs from run to run (times, secrets, sizes) is compared by its kind.
``python -m tests.docs.examples`` writes the outputs of today into the documents.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.factories import ROOT, Json, Relay, wait_until

DOCUMENTS = (
    "README.md", "docs/quickstart.md", "docs/http-api.md", "docs/events.md", "docs/errors.md", "docs/integrations.md",
)  # fmt: skip
DOCUMENTED_URL = "http://127.0.0.1:4850"
#: Where the documents' own receiver of callbacks listens.
DOCUMENTED_PORT = "4870"
DOCUMENTED_CONFIG = "~/.config/"
COMMANDS = {"agent-relay": f"'{sys.executable}' -m app", "python": f"'{sys.executable}'"}

#: What the documents take as given.
INTEGRATION = {
    "name": "ops",
    "token": "ops-example-token",
    "scopes": ["tasks:create", "tasks:read"],
    "targets": ["tag:ops"],
    "channels": ["alerts"],
}

_BLOCK = re.compile(r"(?:<!-- (?P<mark>[a-z .]+) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```\n", re.DOTALL)
_SAVE_AS = "save as "
_COMMAND = re.compile(r"\.venv/bin/(agent-relay|python)\b")
_MADE_SECRET = re.compile(r"\b(?:art_[\w-]+|whsec_[\w+/]+=*)")
_VARIES = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3}Z)?"), "INSTANT"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\bjust now\b|\b\d+ (s|min)( ago)?\b"), "AGO"),
    (re.compile(r'"(code|token|agentSecret|instance)":"[\w-]+"'), r'"\1":"SECRET"'),
    (re.compile(r'"(requestId|webhookId)":"[\w-]+"'), r'"\1":"ID"'),
    (re.compile(r'"(messages|claims|lostClaims)":\[[\d,]+\]'), r'"\1":[N]'),  # by the minute
    (re.compile(r'"(uptimeS|databaseBytes|durationMs)":[\d.]+'), r'"\1":N'),
    (re.compile(r"\b\d+ (ms\b|of 120 calls\b)"), r"N \1"),
    (_MADE_SECRET, "SECRET"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), DOCUMENTED_URL),
)


@dataclass
class Block:
    """One fenced block and where its body stands."""

    mark: str
    kind: str
    body: str
    start: int
    end: int


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a document."""
    for match in _BLOCK.finditer(text):
        yield Block(match["mark"] or "", match["kind"], match["body"], match.start("body"), match.end("body"))


def alike(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, kind in _VARIES:
        text = pattern.sub(kind, text)
    return text


@contextmanager
def running(start: Callable[..., Relay]) -> Iterator[Relay]:
    """A relay as the documents take it to be: with an integration, and somebody who answers its callbacks.

    :param start: takes settings, and answers a relay that runs.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        integration = INTEGRATION | {"callbackUrl": f"http://127.0.0.1:{server.server_port}/callbacks"}
        yield start(AGENT_RELAY_INTEGRATIONS=json.dumps([integration]))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def outputs(text: str, relay: Relay) -> Iterator[tuple[Block, Block, str]]:
    """Run a document; each command that has an output block, that block, and what was printed."""
    document = _Document(relay)
    beside: list[tuple[Block, subprocess.Popen[bytes], Path]] = []
    ran: tuple[Block, str] | None = None
    try:
        for block in blocks(text):
            if block.mark == "it has shown":
                document.settle()
                command, _, output = beside[-1]
                yield command, block, document.undo(_shown(output, block.body.count("\n")))
            elif block.mark.startswith(_SAVE_AS):
                (relay.folder / block.mark.removeprefix(_SAVE_AS)).write_text(document.fit(block.body))
            elif block.kind != "sh":
                if ran is not None and not text[ran[0].end : block.start - len(block.kind) - 1].strip("`\n"):
                    yield ran[0], block, document.learn(block.body, ran[1])
                ran = None
            elif block.mark == "runs beside":
                output = relay.folder / f"beside-{len(beside)}.out"
                beside.append((block, document.start(block, output), output))
            elif block.mark != "not run":
                document.settle()
                ran = (block, document.run(block))
    finally:
        for _, process, _ in beside:
            process.terminate()
            process.wait()


class _Document:
    """Where a document's commands run."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self._config = f"{relay.environ['XDG_CONFIG_HOME']}/"
        #: of this run, by those that the document shows
        self._secrets: dict[str, str] = {}

    def learn(self, shown: str, printed: str) -> str:
        """Which secrets of this run stand for those that the document shows; what was printed, with the latter."""
        for documented, secret in zip(_MADE_SECRET.findall(shown), _MADE_SECRET.findall(printed), strict=False):
            self._secrets[documented] = secret
            printed = printed.replace(secret, documented)
        return printed

    def fit(self, body: str) -> str:
        """What the document says, for this relay."""
        body = body.replace(DOCUMENTED_URL, self._relay.url).replace(DOCUMENTED_CONFIG, self._config)
        body = re.sub(r"(?m)(?:^|(?<= ))(?=examples/)", f"{ROOT}/", body)
        for shown, secret in self._secrets.items():
            body = body.replace(shown, secret)
        return re.sub(rf"\b{DOCUMENTED_PORT}\b", self._port, body)

    def undo(self, printed: str) -> str:
        """What was printed, for the document."""
        printed = printed.replace(self._relay.url, DOCUMENTED_URL).replace(self._config, DOCUMENTED_CONFIG)
        return re.sub(rf"\b{self._port}\b", DOCUMENTED_PORT, printed)

    def settle(self) -> None:
        """Callbacks have numbers in the log too: wait until those that are due are made."""
        wait_until(lambda: self._stats()["callbacks"]["pending"] == 0, "its callbacks are made")

    def run(self, block: Block) -> str:
        """What a block prints."""
        environ, folder = self._relay.environ, self._relay.folder
        done = subprocess.run(
            self._script(block), env=environ, cwd=folder, capture_output=True, timeout=60, check=False
        )
        return self.undo((done.stdout + done.stderr).decode()).rstrip("\n") + "\n"

    def start(self, block: Block, output: Path) -> subprocess.Popen[bytes]:
        """A command that goes on; back when it listens, to the relay or on the documented port."""
        before = self._listeners()
        with output.open("wb") as file:
            script = self._script(block)
            script[-1] = f"exec {script[-1]}"
            process = subprocess.Popen(
                script, env=self._relay.environ, cwd=self._relay.folder, stdout=file, stderr=file
            )

        def ready() -> bool:
            return self._listeners() > before or self._has_receiver() or process.poll() is not None

        try:
            wait_until(ready, "the command beside listens")
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def _script(self, block: Block) -> list[str]:
        return ["sh", "-c", _COMMAND.sub(lambda match: COMMANDS[match[1]], self.fit(block.body))]

    def _has_receiver(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(self._port)), timeout=1).close()
        except OSError:
            return False
        return True

    def _stats(self) -> Json:
        found: Json = self._relay.get("/stats").json()
        return found

    def _listeners(self) -> int:
        return int(self._stats()["live"]["sse"])


def _shown(output: Path, lines: int) -> str:
    """What the command beside has printed, once it is as much as is expected."""
    wait_until(lambda: output.read_bytes().count(b"\n") >= max(lines, 1), f"{lines} lines: {output.read_text()}")
    return output.read_text()


def main() -> None:
    """Write today's outputs into the documents."""
    for name in DOCUMENTS:
        path = ROOT / name
        with tempfile.TemporaryDirectory() as folder:
            text = _anew(path.read_text(encoding="utf-8"), Path(folder))
        path.write_text(text, encoding="utf-8")


def _anew(text: str, folder: Path) -> str:
    """A document with the outputs of today."""
    with running(lambda **settings: Relay(folder, **settings).start()) as relay:
        try:
            found = list(outputs(text, relay))
        finally:
            relay.end()
    for _, block, output in reversed(found):
        if alike(output) != alike(block.body):
            text = text[: block.start] + output + text[block.end :]
    return text


if __name__ == "__main__":
    main()
