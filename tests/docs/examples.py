"""The examples in the docs, run for real.

Every ``sh`` block of a document is run, in order, against one fresh relay; the ``text`` or ``json`` block right behind
it is what it printed. A comment before a block makes an exception::

    <!-- not run -->            a block that would install or serve
    <!-- runs beside -->        a command that goes on while the following ones run
    <!-- it has shown -->       what that command has printed by now

What differs from run to run (times, secrets, sizes) is compared by its kind. ``python -m tests.docs.examples`` writes
the outputs of today into the documents.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.factories import ROOT, Relay, wait_until

DOCUMENTS = ("README.md", "docs/quickstart.md", "docs/http-api.md", "docs/events.md", "docs/errors.md")
DOCUMENTED_URL = "http://127.0.0.1:4850"
COMMAND = ".venv/bin/agent-relay"

_BLOCK = re.compile(r"(?:<!-- (?P<mark>[a-z ]+) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```\n", re.DOTALL)
_VARIES = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3}Z)?"), "INSTANT"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\bjust now\b|\b\d+ (s|min) ago\b"), "AGO"),
    (re.compile(r'"(code|token|agentSecret|instance)":"[\w-]+"'), r'"\1":"SECRET"'),
    (re.compile(r'"requestId":"[\w-]+"'), '"requestId":"ID"'),
    (re.compile(r'"(uptimeS|databaseBytes)":[\d.]+'), r'"\1":N'),
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


def outputs(text: str, relay: Relay) -> Iterator[tuple[Block, Block, str]]:
    """Run a document; each command that has an output block, that block, and what was printed."""
    beside: tuple[Block, subprocess.Popen[bytes], Path] | None = None
    ran: tuple[Block, str] | None = None
    try:
        for block in blocks(text):
            if block.mark == "it has shown":
                assert beside is not None, block.body
                yield beside[0], block, _shown(beside[2], block.body.count("\n"))
            elif block.kind != "sh":
                if ran is not None and not text[ran[0].end : block.start - len(block.kind) - 1].strip("`\n"):
                    yield ran[0], block, ran[1]
                ran = None
            elif block.mark == "runs beside":
                beside = (block, *_start(block, relay))
            elif block.mark != "not run":
                ran = (block, _run(block, relay))
    finally:
        if beside is not None:
            beside[1].terminate()
            beside[1].wait()


def _script(block: Block, relay: Relay) -> list[str]:
    body = block.body.replace(DOCUMENTED_URL, relay.url).replace(COMMAND, f"'{sys.executable}' -m app")
    return ["sh", "-c", body]


def _run(block: Block, relay: Relay) -> str:
    done = subprocess.run(
        _script(block, relay), env=relay.environ, cwd=relay.folder, capture_output=True, timeout=60, check=False
    )
    return (done.stdout + done.stderr).decode().replace(relay.url, DOCUMENTED_URL).rstrip("\n") + "\n"


def _start(block: Block, relay: Relay) -> tuple[subprocess.Popen[bytes], Path]:
    """A listener; back when it listens."""
    output = relay.folder / "beside.out"
    before = _listeners(relay)
    with output.open("wb") as file:
        script = _script(block, relay)
        script[-1] = f"exec {script[-1]}"
        process = subprocess.Popen(script, env=relay.environ, cwd=relay.folder, stdout=file, stderr=file)
    wait_until(lambda: _listeners(relay) > before or process.poll() is not None, "the command beside listens")
    return process, output


def _listeners(relay: Relay) -> int:
    return int(relay.get("/stats").json()["live"]["sse"])


def _shown(output: Path, lines: int) -> str:
    """What the command beside has printed, once it is as much as is expected."""
    wait_until(lambda: output.read_bytes().count(b"\n") >= max(lines, 1), f"{lines} lines: {output.read_text()}")
    return output.read_text()


def main() -> None:
    """Write today's outputs into the documents."""
    for name in DOCUMENTS:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            relay = Relay(Path(folder)).start()
            try:
                found = list(outputs(text, relay))
            finally:
                relay.end()
        for _, block, output in reversed(found):
            if alike(output) != alike(block.body):
                text = text[: block.start] + output + text[block.end :]
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
