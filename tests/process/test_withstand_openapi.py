"""A thousand generated requests against the relay's own OpenAPI document."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.process.conftest import MakeRelay

CASES = 1_000
SEED = 4850

#: Two of the ids exist, so that routes about one agent or message are met with both.
_CONFIG = """
[generation]
database = "none"

[[operations]]
include-tag = "agents"
parameters = { agent_id = ["alice", "b.o-b", "nobody"] }

[[operations]]
include-tag = "messages"
parameters = { message_id = [3, 4, 5, 9223372036854775807] }
"""

#: What must hold of each answer: no 5xx, and the status, type and shape that the document says.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_a_thousand_generated_requests_are_answered_as_the_document_says(make_relay: MakeRelay, tmp_path: Path) -> None:
    relay = make_relay()
    relay.register("alice", tags=["t"])
    relay.register("b.o-b")
    for _ in range(3):
        relay.tell("tag:t", "work", claimable=True)
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{relay.url}/api/openapi.json",
            "--exclude-path=/api/events",  # has no end
            "--phases=examples,coverage,fuzzing", "--max-examples=3", f"--seed={SEED}", f"--checks={CHECKS}",
            "--no-color", "--continue-on-failure", "--request-timeout=20",
        ],
        cwd=tmp_path, env=relay.environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases, done.stdout
    assert int(cases[1]) >= CASES, cases[0]
    relay.is_well()
    assert " ERROR " not in relay.log, relay.log
