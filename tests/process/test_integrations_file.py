"""integrations.json beside a running relay: read again when it changes, and never half."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.conftest import MakeRelay
from tests.factories import Relay, in_threads, wait_until
from tests.integrations import (
    bearer,
    configured,
    deliveries,
    make_event,
    make_integration,
    make_task,
    receiving,
    resolve,
)
from tests.process._relay import Connection


def write_file(relay: Relay, text: str) -> Path:
    path = Path(relay.environ["XDG_CONFIG_HOME"]) / "agent-relay" / "integrations.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(path)
    return path


def status(relay: Relay, name: str) -> int:
    event = {"type": "t", "severity": "info", "title": "x", "target": "tag:x", "channel": "c"}
    return int(relay.post("/integrations/events", event, headers=bearer(name)).status_code)


def test_the_file_is_read_again_when_it_changes_and_a_broken_edit_keeps_the_old_set(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration("env")))
    assert status(relay, "file") == 401
    path = write_file(relay, json.dumps([make_integration("file")]))
    assert (status(relay, "file"), status(relay, "env")) == (201, 201)
    broken = [
        "[{",
        '{"name": "file"}',
        json.dumps([make_integration("file", scopes=["tasks:destroy"])]),
        json.dumps([make_integration("file", targets=["team:x"])]),
        json.dumps([make_integration("env", token="other")]),
        json.dumps([make_integration("file"), make_integration("file", token="b")]),
        "",
        json.dumps([make_integration("file", callbackUrl="http://a..b/")]),
    ]
    for text in broken:
        before = relay.log.count("integrations.broken")
        write_file(relay, text)
        assert (status(relay, "file"), status(relay, "env")) == (201, 201), text
        assert relay.log.count("integrations.broken") == before + 1
    assert 'entry 1 ("file"): scopes must be one of' in relay.log
    assert 'entry 1 ("file"): targets must be' in relay.log
    write_file(relay, json.dumps([make_integration("file")]))
    path.chmod(0o644)
    assert status(relay, "file") == 201
    assert "chmod 600" in relay.log
    write_file(relay, json.dumps([make_integration("new")]))
    assert (status(relay, "file"), status(relay, "new"), status(relay, "env")) == (401, 201, 201)
    path.unlink()
    assert (status(relay, "new"), status(relay, "env")) == (401, 201)
    assert "file-token" not in relay.log


def test_a_token_that_was_just_added_is_known_to_all_who_bring_it_at_once(make_relay: MakeRelay) -> None:
    relay = make_relay()
    for number in range(3):
        names = [f"n{number}-{i}" for i in range(2_000)]  # long enough to be read that all come meanwhile
        write_file(relay, json.dumps([make_integration(name) for name in names]))
        connections = [Connection(relay.port) for _ in range(6)]
        start = threading.Barrier(6)

        def ask(n: int, names: list[str] = names, start: threading.Barrier = start) -> int:
            start.wait()
            return connections[n].http("POST", "/api/integrations/events", make_event(), **bearer(names[n])).status  # noqa: B023

        assert in_threads(6, ask) == [201] * 6
        for connection in connections:
            connection.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        (json.dumps([make_integration("env", token="x")]), 'two integrations are named "env"'),
        (json.dumps([make_integration("other", token="env-token")]), "the same token"),
        (json.dumps([make_integration("other", token="shared")]), "the shared token"),
        (json.dumps([make_integration(scopes=["tasks:destroy"])]), 'entry 1 ("ops"): scopes must be one of'),
    ],
)
def test_a_broken_file_stops_the_start_with_one_line(make_relay: MakeRelay, text: str, message: str) -> None:
    relay = make_relay(**configured(make_integration("env"), AGENT_RELAY_TOKEN="shared"))
    assert relay.stop() == 0
    path = write_file(relay, text)
    before = len(relay.log)
    with pytest.raises(AssertionError):
        relay.start()
    (line,) = relay.log[before:].splitlines()
    assert message in line
    assert str(path) in line
    assert path.read_text() == text


def test_callbacks_follow_the_file(make_relay: MakeRelay) -> None:
    with receiving() as one, receiving() as two:
        relay = make_relay()
        write_file(relay, json.dumps([make_integration("file", callbackUrl=one.url)]))
        first = make_task(relay, source="file", dedupeKey="k")["id"]
        wait_until(lambda: not deliveries(relay, state="pending"), "one is told")
        write_file(relay, json.dumps([make_integration("file", callbackUrl=two.url)]))
        resolve(relay, "k", source="file")
        wait_until(lambda: not deliveries(relay, state="pending"), "two is told")
        assert [call.event for call in one.of_task(first)] == ["task.created"]
        assert [call.event for call in two.of_task(first)] == ["task.status"]
