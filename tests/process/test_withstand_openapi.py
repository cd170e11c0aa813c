"""A thousand generated requests against the relay's own OpenAPI document."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integrations import bearer, configured, make_integration, make_task
from tests.process._relay import Relay
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

[[operations]]
include-tag = "tasks"
parameters = { task_id = [6, 8, 3, 9223372036854775807] }

[[operations]]
include-tag = "integrations"
parameters = { name = ["ops", "nobody", "a/b ü"] }

[[operations]]
include-tag = "callbacks"
parameters = { delivery_id = [7, 8, 9223372036854775807] }
"""

#: What must hold of each answer: no 5xx, and the status, type and shape that the document says.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture
def relay(make_relay: MakeRelay) -> Relay:
    """A relay with a little of everything, and an integration that is told at a port where nobody listens."""
    relay = make_relay(**configured(make_integration(callbackUrl="http://127.0.0.1:9/")))
    relay.register("alice", tags=["t"])
    relay.register("b.o-b")
    for _ in range(3):
        relay.tell("tag:t", "work", claimable=True)
    for _ in range(2):
        make_task(relay, target="tag:t")
    return relay


def test_a_thousand_generated_requests_are_answered_as_the_document_says(relay: Relay, tmp_path: Path) -> None:
    assert generate(relay, tmp_path, "--exclude-path=/api/events") >= CASES  # a stream has no end


def test_generated_events_of_an_integration_are_answered_as_the_document_says(relay: Relay, tmp_path: Path) -> None:
    """With its token, which the other run has not."""
    header = f"--header=Authorization: {bearer()['Authorization']}"
    assert generate(relay, tmp_path, header, "--include-path=/api/integrations/events", "--include-tag=tasks") >= 150


def generate(relay: Relay, tmp_path: Path, *options: str) -> int:
    """Ask, and hold the answers against the document; how often it was asked."""
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    (tmp_path / "openapi.json").write_bytes(relay.http("GET", "/api/openapi.json").body)
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", f"--url={relay.url}",
            *options, "--phases=examples,coverage,fuzzing", "--max-examples=3", f"--seed={SEED}", f"--checks={CHECKS}",
            "--no-color", "--continue-on-failure", "--request-timeout=20",
        ],
        cwd=tmp_path, env=relay.environ, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases, done.stdout
    relay.is_well()
    assert " ERROR " not in relay.log, relay.log
    return int(cases[1])
