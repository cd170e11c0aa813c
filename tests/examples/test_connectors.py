"""The connectors that users copy, each as the process that a user starts, against a real relay."""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.connectors import (
    CONNECTORS,
    FOLDER,
    PYTHON,
    SHELL,
    Done,
    Use,
    address,
    closing,
    dedupe_key,
    front,
    opening,
    refused,
    run_all,
    tasks_of,
    to_json,
)
from tests.factories import Relay, answer, unique
from tests.integrations import Call, Reply, get_task, history, receiving

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("sh")), reason="the connectors need a shell and curl"
)


# -- what all of them do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_thing_opens_a_task_is_counted_and_closed_and_opens_another(bus: Relay, connector: str) -> None:
    key = unique("key")
    first = opening(connector, key).run(bus.url).task_id
    counted = [opening(connector, key).run(bus.url) for _ in range(2)]
    assert [done.out for done in counted] == [f"task {first} counted ({times} times now)\n" for times in (2, 3)]
    assert closing(connector, key).run(bus.url) == Done(0, f"task {first} resolved\n", "")
    assert closing(connector, key).run(bus.url) == Done(0, "nothing to resolve\n", "")
    second = opening(connector, key).run(bus.url).task_id
    assert second > first

    tasks = {task["id"]: task for task in tasks_of(bus, "ops") if task["dedupeKey"] == dedupe_key(connector, key)}
    assert {name: (task["status"], task["occurrenceCount"]) for name, task in tasks.items()} == {
        first: ("done", 3),
        second: ("open", 1),
    }
    assert [moment["event"] for moment in history(bus, first)] == [
        "task.created", "task.updated", "task.updated", "task.status",
    ]  # fmt: skip
    assert history(bus, first)[-1]["by"] == "ops"
    messages = answer(bus.get("/messages", params={"to": "tag:ops"}))["messages"]
    announced = [message["taskId"] for message in messages if message["taskId"] in tasks]
    assert announced == [second, first], "each task is announced once"


@pytest.mark.parametrize("connector", CONNECTORS)
def test_target_and_channel_are_the_only_ones_or_those_that_are_named(bus: Relay, connector: str) -> None:
    use = opening(connector, unique("key"))
    task = get_task(bus, use.run(bus.url).task_id)
    assert (task["target"], task["channel"]) == ("tag:ops", "alerts")
    refused(use.run(bus.url, token="two-token"), 1, "target: is required: two may use tag:a, tag:b")
    named = Use(connector, [*use.args, "--target", "tag:b", "--channel=y"], use.stdin)
    task = get_task(bus, named.run(bus.url, token="two-token").task_id)
    assert (task["source"], task["target"], task["channel"]) == ("two", "tag:b", "y")
    beyond = Use(connector, [*use.args, "--target", "tag:c", "--channel", "y"], use.stdin)
    refused(beyond.run(bus.url, token="two-token"), 1, "403", "tag:c is not open to it")


@pytest.mark.parametrize("connector", CONNECTORS)
def test_the_token_comes_from_environment_or_file(bus: Relay, connector: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    use = opening(connector, unique("key"))
    file.write_text("ops-token\r\n")
    assert use.run(bus.url, AGENT_RELAY_INTEGRATION_TOKEN="", AGENT_RELAY_INTEGRATION_TOKEN_FILE=str(file)).task_id
    both = use.run(bus.url, AGENT_RELAY_INTEGRATION_TOKEN_FILE=str(file))
    refused(both, 2, "AGENT_RELAY_INTEGRATION_TOKEN_FILE", "set one of them")
    refused(use.run(bus.url, token=""), 2, "AGENT_RELAY_INTEGRATION_TOKEN is not set")
    refused(use.run(bus.url, token="two words"), 2, "visible ASCII")
    for content in (None, "", "\n"):
        file.unlink() if content is None else file.write_text(content)
        empty = use.run(bus.url, token="", AGENT_RELAY_INTEGRATION_TOKEN_FILE=str(file))
        refused(empty, 2, "AGENT_RELAY_INTEGRATION_TOKEN_FILE")


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_wrong_token_is_refused_with_the_relays_words(bus: Relay, connector: str) -> None:
    use = opening(connector, unique("key"))
    refused(use.run(bus.url, token="not-a-token"), 1, bus.url, "401", "send the integration's own token")


@pytest.mark.parametrize("url", ["relay", "ftp://127.0.0.1", "http://", "http://127.0.0.1/x", "http://u:p@127.0.0.1"])
def test_an_address_that_is_none_is_wrong_use(url: str) -> None:
    for done in run_all([opening(connector, "key") for connector in CONNECTORS], url):
        refused(done, 2, "AGENT_RELAY_URL", "http://host:port")


@pytest.mark.parametrize("connector", CONNECTORS)
def test_help_says_what_there_is(connector: str) -> None:
    for option in ("-h", "--help"):
        done = Use(connector, [option]).run("", token="")
        assert (done.status, done.err) == (0, "")
        for word in ("--target", "--channel", "AGENT_RELAY_INTEGRATION_TOKEN_FILE", "AGENT_RELAY_URL"):
            assert word in done.out


@pytest.mark.parametrize("connector", CONNECTORS)
def test_options_that_there_are_not_are_wrong_use(bus: Relay, connector: str) -> None:
    for args in (["--bogus"], ["--bogus=1"], ["stray\nline"], ["--target"], ["-x"]):
        use = opening(connector, "key")
        refused(Use(connector, [*use.args, *args], use.stdin).run(bus.url, token="quiet-token"), 2, "--help")
    assert tasks_of(bus, "quiet") == []


# -- when the relay does not answer ------------------------------------------------------------------------------------


def hang_up(_call: Call, count: int) -> Reply | None:
    if count == 1:
        raise ConnectionError
    return None


def once(status: int, **headers: str) -> Callable[[Call, int], Reply | None]:
    return lambda _call, count: (status, b"", headers) if count == 1 else None


PASSING = {"503": once(503), "429": once(429, **{"Retry-After": "1"}), "hang up": hang_up}


@pytest.mark.parametrize("spoil", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(bus: Relay, spoil: Callable[[Call, int], Reply | None]) -> None:
    with front(bus, spoil) as receiver:
        for done in run_all([opening(connector, unique("key")) for connector in CONNECTORS], address(receiver)):
            assert get_task(bus, done.task_id)["occurrenceCount"] == 1
        assert len(receiver.calls) == 2 * len(CONNECTORS)


def test_an_answer_that_was_lost_makes_no_second_task(bus: Relay) -> None:
    with front(bus, hang_up, forward_first=True) as receiver:
        for done in run_all([opening(connector, unique("key")) for connector in CONNECTORS], address(receiver)):
            assert re.fullmatch(r"task \d+ counted \(2 times now\)\n", done.out), done


def test_what_does_not_pass_is_given_up_after_three_attempts(bus: Relay) -> None:
    problem = to_json({"status": 507, "detail": 'The disk is "full":\nfree some space.'})
    with front(bus, lambda *_: (507, problem, {"Content-Type": "application/problem+json"})) as receiver:
        for done in run_all([opening(connector, unique("key")) for connector in CONNECTORS], address(receiver)):
            refused(done, 1, "507", 'The disk is "full": free some space.')
        assert len(receiver.calls) == 3 * len(CONNECTORS)


def test_a_relay_that_is_not_there_is_said_in_one_line() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and listens not: whoever connects is refused
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for done in run_all([opening(connector, "key") for connector in CONNECTORS], url):
            refused(done, 1, "no answer from the relay", url)


AT_ONCE: dict[str, tuple[Reply, str]] = {
    "too long a wait": ((429, to_json({"detail": "Try again in 61 s."}), {"Retry-After": "61"}), "Try again in 61 s."),
    "refused": ((403, to_json({"detail": "No."}), {}), "(403): No."),
    "redirect": ((307, b"", {"Location": "http://127.0.0.1:1/"}), "307"),
    "html": ((404, b"<h1>not here</h1>", {}), "404"),
    "another server": ((200, b"<h1>hello</h1>", {}), "is not a relay"),
    "another API": ((200, b'{"ok": true}', {}), "is not a relay"),
    "no object": ((200, b"[1]", {}), "is not a relay"),
}


@pytest.mark.parametrize(("reply", "said"), AT_ONCE.values(), ids=AT_ONCE)
def test_an_answer_that_will_not_change_is_not_asked_for_again(bus: Relay, reply: Reply, said: str) -> None:
    with front(bus, lambda *_: reply) as receiver:
        for done in run_all([opening(connector, unique("key")) for connector in CONNECTORS], address(receiver)):
            refused(done, 1, said)
        assert len(receiver.calls) == len(CONNECTORS)


def test_no_proxy_gets_the_token_of_a_relay_on_this_machine(bus: Relay) -> None:
    with receiving() as proxy:
        for done in run_all(
            [opening(connector, unique("key")) for connector in CONNECTORS],
            bus.url,
            http_proxy=address(proxy),
            HTTP_PROXY=address(proxy),
            all_proxy=address(proxy),
        ):
            assert done.task_id
        assert proxy.calls == []


# -- the files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [SHELL, PYTHON], ids=["shell", "python"])
def test_what_connectors_share_is_the_same_text(group: tuple[str, ...]) -> None:
    """Each is copied alone, so each has all of it."""
    texts = [(FOLDER / connector).read_text(encoding="utf-8") for connector in group]
    shared = {match[0] for text in texts if (match := re.search(r"(?ms)^# -- the same in .*?^# -{100,}$", text))}
    assert len(shared) == 1
    assert shared.pop().count("\n") > 150


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.*")), ids=lambda path: path.name)
def test_a_connector_can_be_started_and_is_in_the_readme(path: Path) -> None:
    if path.suffix == ".md":
        return
    assert os.access(path, os.X_OK)
    assert path.name in (FOLDER / "README.md").read_text(encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        assert text.startswith("#!/usr/bin/env python3\n")
        ast.parse(text, feature_version=(3, 9))
    else:
        assert text.startswith("#!/bin/sh\n")
