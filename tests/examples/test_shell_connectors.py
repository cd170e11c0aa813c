"""The connectors in shell: every text arrives as it was, and the token stays out of sight."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples.connectors import (
    FOLDER,
    SHELL,
    Use,
    opening,
    refused,
    tasks_of,
)
from tests.factories import DEADLINE_S, Relay, unique
from tests.integrations import get_task

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("sh")), reason="the connectors need a shell and curl"
)


# -- the shell scripts -------------------------------------------------------------------------------------------------

#: Each that there is, once: sh is mostly one of the others.
SHELLS = {
    os.path.realpath(path): shell
    for shell in ("sh", "dash", "bash", "ksh", "mksh", "ash")
    if (path := shutil.which(shell))
}.values()

NASTY = [
    '"', "\\", "\\\\n", '\\"', "'", "''quoted''", "a\nb", "ends so\n\n", "\n", "\t", "a\r\nb", " around ",
    "".join(map(chr, range(1, 32))), "\x7f", "\x80\x9f", "é", "Größe 97 %", "日本語", "😀 𝄞", "\u2028\u2029", "\ufeffx",
    "\ufffd\uffff", "\ud7ff\ue000", "\U0010ffff", "e\u0301", "$HOME ${x} `id` $(id) \\$", "%s %d %% %n", "-n", "-e \\c",
    "--title", "*", "!x", "#", "a;b|c&d", "{}", '{"created":true}', '","status":"resolved', "TOKEN\nEVENT\n",
    "status:200", "]]></x>", "x" * 1_000, "ü" * 1_000,
]  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_every_text_arrives_as_it_was(bus: Relay, shell: str) -> None:
    for text in NASTY:
        key = f"{unique('key')} {text}"[:256]
        use = Use("ops-alert.sh", ["--key", key, "--severity=info", "--title", text, "--body", "-"], text.encode())
        task = get_task(bus, use.run(bus.url, shell=shell).task_id)
        assert (task["title"], task["body"], task["dedupeKey"]) == (text, text, key)


def test_every_text_of_a_ticket_arrives_as_it_was(bus: Relay) -> None:
    for text in NASTY:
        ticket = f"{unique('key')} {text}"[:249]
        use = Use("support-ticket.sh", ["--ticket", ticket, "--title", text, f"--customer={text}", f"--body=.{text}"])
        task = get_task(bus, use.run(bus.url).task_id)
        assert task["metadata"] == {"ticket": ticket, "priority": "normal", "customer": text}
        assert (task["title"], task["body"], task["dedupeKey"]) == (text, f".{text}", f"ticket-{ticket}")


@settings(max_examples=25)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60))
def test_any_text_arrives_as_it_was(bus: Relay, text: str) -> None:
    use = Use("ops-alert.sh", ["--key", unique("key"), "--severity=info", f"--title={text}", "--body=-"], text.encode())
    task = get_task(bus, use.run(bus.url).task_id)
    assert (task["title"], task["body"]) == (text, text)


def test_a_large_text_arrives_as_it_was(bus: Relay) -> None:
    text = 'A line with "quotes", \\ and ü.\n' * 10_000
    use = Use("ops-alert.sh", ["--key", unique("key"), "--severity=info", "--title=Log", "--body=-"], text.encode())
    assert get_task(bus, use.run(bus.url).task_id)["body"] == text


def test_an_alert_has_what_was_given(bus: Relay) -> None:
    link = "https://grafana.example/d/1?x=y&z=%20#top"
    args = [
        "--key", unique("key"), "--severity", "critical", "--title", "Disk full on web1", "--body", "97 %",
        "--url", link, "--type", "disk.full",
    ]  # fmt: skip
    task = get_task(bus, Use("ops-alert.sh", args).run(bus.url).task_id)
    expected = {"severity": "critical", "title": "Disk full on web1", "body": "97 %", "externalUrl": link}
    assert {name: task[name] for name in expected} == expected
    assert (task["type"], task["source"], task["metadata"]) == ("disk.full", "ops", {})


def test_an_alert_needs_no_more_than_key_severity_and_title(bus: Relay) -> None:
    task = get_task(bus, opening("ops-alert.sh", unique("key")).run(bus.url).task_id)
    assert (task["type"], task["body"], task["externalUrl"]) == ("ops.alert", None, None)


@pytest.mark.parametrize(
    ("priority", "severity"), [("low", "info"), ("normal", "warning"), ("high", "error"), ("urgent", "critical")]
)
def test_a_tickets_priority_is_the_tasks_severity(bus: Relay, priority: str, severity: str) -> None:
    number = unique("4711")
    args = ["--ticket", number, "--title", "Cannot log in", "--priority", priority, "--customer", "ACME"]
    task = get_task(bus, Use("support-ticket.sh", [*args, "--url", "https://desk.example/4711"]).run(bus.url).task_id)
    assert (task["severity"], task["type"]) == (severity, "support.ticket")
    assert task["metadata"] == {"ticket": number, "priority": priority, "customer": "ACME"}
    assert task["externalUrl"] == "https://desk.example/4711"


def test_variables_of_the_environment_are_no_options(bus: Relay) -> None:
    names = ("key", "severity", "title", "body", "target", "channel", "url", "type", "status", "customer", "priority",
             "event", "json", "answer", "token", "pause", "option", "ticket", "metadata")  # fmt: skip
    stray = dict.fromkeys(names, "stray")
    for connector in SHELL:
        task = get_task(bus, opening(connector, unique("key")).run(bus.url, more=stray).task_id)
        assert "stray" not in json.dumps(task)


SOUND = ["--key", "k", "--severity", "error", "--title", "t"]
WRONG_ALERTS: dict[str, tuple[Sequence[str | bytes], bytes, str]] = {
    "nothing": ([], b"", "--key is missing"),
    "no key": (["--severity", "error", "--title", "t"], b"", "--key is missing"),
    "empty key": ([*SOUND, "--key", ""], b"", "--key must not be empty"),
    "long key": ([*SOUND, "--key", "k" * 257], b"", "--key must be at most 256"),
    "no severity": (["--key", "k", "--title", "t"], b"", "--severity is missing"),
    "severity": ([*SOUND, "--severity", "bad\nly"], b"", "--severity must be info, warning, error or critical"),
    "empty severity": ([*SOUND, "--severity", ""], b"", "--severity must be"),
    "no title": (["--key", "k", "--severity", "error"], b"", "--title is missing"),
    "empty title": ([*SOUND, "--title="], b"", "--title must not be empty"),
    "long title": ([*SOUND, "--title", "ü" * 1_001], b"", "--title must be at most 1000"),
    "title of other bytes": ([*SOUND, "--title", b"M\xfcnchen"], b"", "--title must be UTF-8"),
    "overlong UTF-8": ([*SOUND, "--title", b"\xc0\xaf"], b"", "--title must be UTF-8"),
    "half a surrogate pair": ([*SOUND, "--title", b"\xed\xa0\x80"], b"", "--title must be UTF-8"),
    "beyond Unicode": ([*SOUND, "--title", b"\xf4\x90\x80\x80"], b"", "--title must be UTF-8"),
    "a character cut off": ([*SOUND, "--title", b"caf\xc3"], b"", "--title must be UTF-8"),
    "empty stdin": ([*SOUND, "--body", "-"], b"", "--body (from stdin) must not be empty"),
    "NUL": ([*SOUND, "--body", "-"], b"a\0b", "NUL"),
    "stdin of other bytes": ([*SOUND, "--body", "-"], b"\xff\xfe", "--body (from stdin) must be UTF-8"),
    "huge stdin": ([*SOUND, "--body", "-"], b"x" * 5_000_000, "must be at most 1000000"),
    "an event over 1 MiB": ([*SOUND, "--body", "-"], "ü".encode() * 200_000, "larger than 1 MiB"),
    "no link": ([*SOUND, "--url", "grafana"], b"", "--url must be an http:// or https:// address"),
    "another scheme": ([*SOUND, "--url", "javascript:alert(1)"], b"", "--url must be an http:// or https://"),
    "link with a space": ([*SOUND, "--url", "http://a/b c"], b"", "percent-encoded"),
    "link with a quote": ([*SOUND, "--url", "http://a/'"], b"", "percent-encoded"),
    "link with brackets": ([*SOUND, "--url", "http://a/<b>"], b"", "percent-encoded"),
    "link with a password": ([*SOUND, "--url", "http://u:p@a/"], b"", "must not hold a user name or password"),
    "resolved with a value": ([*SOUND, "--resolved=yes"], b"", "unknown option"),
    "long type": ([*SOUND, "--type", "t" * 129], b"", "--type must be at most 128"),
    "long channel": ([*SOUND, "--channel", "c" * 129], b"", "--channel must be at most 128"),
    "long target": ([*SOUND, "--target", "tag:" + "c" * 157], b"", "--target must be at most 160"),
}


@pytest.mark.parametrize(("args", "stdin", "said"), WRONG_ALERTS.values(), ids=WRONG_ALERTS)
def test_a_wrong_alert_is_not_sent(bus: Relay, args: Sequence[str | bytes], stdin: bytes, said: str) -> None:
    refused(Use("ops-alert.sh", args, stdin).run(bus.url, token="quiet-token"), 2, "ops-alert: ", said)
    assert tasks_of(bus, "quiet") == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--title", "t"], "--ticket is missing"),
        (["--ticket", "", "--title", "t"], "--ticket is missing"),
        (["--ticket", "7" * 250, "--title", "t"], "--ticket must be at most 249"),
        (["--ticket", "7"], "--title is missing"),
        (["--ticket", "7", "--title", "t", "--priority", "critical"], "--priority must be low, normal, high or urgent"),
        (["--ticket", "7", "--title", "t", "--customer", ""], "--customer must not be empty"),
        (["--ticket", "7", "--title", "t", "--customer", b"\xff"], "--customer must be UTF-8"),
        (["--ticket", "7", "--title", "t", "--url", "desk"], "--url must be"),
        (["--ticket", "7", "--title", "t", "--body", "-"], "--body (from stdin) must not be empty"),
    ],
)
def test_a_wrong_ticket_is_not_sent(bus: Relay, args: Sequence[str | bytes], said: str) -> None:
    refused(Use("support-ticket.sh", args).run(bus.url, token="quiet-token"), 2, "support-ticket: ", said)
    assert tasks_of(bus, "quiet") == []


@pytest.mark.parametrize("connector", SHELL)
def test_the_token_is_in_no_commands_arguments(bus: Relay, connector: str, tmp_path: Path) -> None:
    """Every command that the script starts is written down on its way to the real one."""
    log = tmp_path / "arguments"
    for command in ("awk", "cat", "curl", "cut", "od", "printf", "sed", "sleep", "tail", "tr", "grep", "mktemp"):
        real = shutil.which(command)
        if real is not None:
            wrapper = tmp_path / command
            wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" {command} "$@" >>\'{log}\'\nexec \'{real}\' "$@"\n')
            wrapper.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PATH", os.defpath)])
    file = tmp_path / "token"
    file.write_text("ops-token")
    use = opening(connector, unique("key"))
    assert use.run(bus.url, PATH=path).task_id
    assert use.run(bus.url, PATH=path, token="", AGENT_RELAY_INTEGRATION_TOKEN_FILE=str(file)).status == 0
    said = log.read_text()
    assert said.splitlines().count("curl") == 2
    assert "ops-token" not in said


@pytest.mark.parametrize("connector", SHELL)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_can_read_it(connector: str, shell: str) -> None:
    done = subprocess.run([shell, "-n", str(FOLDER / connector)], capture_output=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
