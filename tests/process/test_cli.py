"""The command line, as whole processes against real relays, on a pseudo-terminal where it matters."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import __version__
from app.cli import COMMANDS
from app.server.store.lock import DatabaseLock
from tests.factories import DEADLINE_S, Relay, answer, card, make_agent, make_message, make_work, unique, wait_until

COMMAND = [sys.executable, "-m", "app"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Relay]:
    """A relay of the test's own."""
    relay = Relay(tmp_path / "relay").start()
    yield relay
    relay.end()
    assert "Traceback" not in relay.log, relay.log


def environment(relay: Relay, **more: str) -> dict[str, str]:
    return relay.environ | {"AGENT_RELAY_URL": relay.url, "COLUMNS": "100"} | more


def run(relay: Relay, *args: str, stdin: str | bytes | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """A whole command, without a terminal."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*COMMAND, *args],
        env=environment(relay, **environ),
        input=data if data is not None else b"",
        capture_output=True,
        timeout=DEADLINE_S,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return subprocess.CompletedProcess(args, done.returncode, done.stdout.decode(), done.stderr.decode())


def ok(relay: Relay, *args: str, **more: Any) -> str:
    """The output of a command that must go well."""
    done = run(relay, *args, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_terminal(relay: Relay, *args: str, keys: str = "", **environ: str) -> tuple[int, str]:
    """A whole command on a terminal, where these keys are pressed: exit code and what is shown."""
    leader, follower = pty.openpty()
    try:
        os.write(leader, keys.encode())
        process = subprocess.Popen(
            [*COMMAND, *args], env=environment(relay, **environ), stdin=follower, stdout=follower, stderr=follower
        )
        os.close(follower)
        shown = b""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.05)[0]:
                try:
                    data = os.read(leader, 65536)
                except OSError:  # Linux: the other side has closed
                    break
                if not data:
                    break
                shown += data
        return process.wait(DEADLINE_S), shown.decode().replace("\r\n", "\n")
    finally:
        os.close(leader)


# -- the whole ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--version"], ["agents", "--help"], ["-h"], ["send", "-h"]])
def test_help_and_version_need_no_relay(relay: Relay, args: list[str]) -> None:
    shown = ok(relay, *args, AGENT_RELAY_URL="http://127.0.0.1:9")
    assert "Usage" in shown or shown == f"agent-relay {__version__}\n"


def test_help_names_every_command(relay: Relay) -> None:
    shown = ok(relay, "--help")
    for name in COMMANDS:
        assert f"\n  {name} " in shown
        assert f"Usage: agent-relay {name} " in ok(relay, name, "--help")


def test_version_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['agent-relay', '--version']; from app.__main__ import main; main();"
        "print({'click', 'msgspec', 'requests', 'flask', 'http.client'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [f"agent-relay {__version__}", "set()"]


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["send", "bob"],
        ["send", "bob", "x", "--priority", "mild", "--as", "a"],
        ["show", "zero"],
        ["show", "0"],
        ["inbox", "--for", "a b"],
        ["send", "bob", "x", "--as", "system"],
        ["--port", "5000", "agents"],
        ["--port", "99999"],
        ["send", "bob", "", "--as", "alice"],
    ],
)
def test_wrong_use_exits_with_2(relay: Relay, args: list[str]) -> None:
    done = run(relay, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


def test_a_relay_that_is_not_there_is_one_line_with_the_mend(relay: Relay) -> None:
    for args in (["agents"], ["watch"], ["send", "bob", "x", "--as", "alice"]):
        done = run(relay, *args, AGENT_RELAY_URL="http://127.0.0.1:9")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert "http://127.0.0.1:9" in done.stderr
        assert "start it with agent-relay" in done.stderr


@pytest.mark.parametrize(
    ("args", "environ"),
    [
        (["agents"], {"AGENT_RELAY_URL": "nonsense"}),
        (["inbox"], {"AGENT_RELAY_AGENT_ID": "human"}),
        ([], {"PORT": "many"}),
        ([], {"HOST": "0.0.0.0"}),
        (["inbox", "--for", "a"], {"AGENT_RELAY_AGENT_SECRET": "a b"}),
        (["inbox", "--for", "a"], {"AGENT_RELAY_AGENT_SECRET_FILE": "/nowhere"}),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(relay: Relay, args: list[str], environ: dict[str, str]) -> None:
    done = run(relay, *args, **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("agent-relay: ")
    assert next(iter(environ)) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line(relay: Relay, tmp_path: Path) -> None:
    done = run(relay, "--port", str(relay.port), "--db", str(tmp_path / "other.db"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("agent-relay: ")
    assert str(relay.port) in done.stderr


def test_an_unexpected_error_shows_its_traceback_only_when_asked(relay: Relay) -> None:
    code = (
        "import sys; from app import cli; from app.cli import agents;"
        "agents.agents.callback = lambda **_: 1 / 0; sys.exit(cli.run(['agents']))"
    )
    for debug in ("", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(relay, AGENT_RELAY_DEBUG=debug),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is bool(debug)
        assert debug or "AGENT_RELAY_DEBUG=1" in done.stderr


def test_a_reader_that_stops_reading_is_no_error(bus: Relay) -> None:
    make_agent(bus, id="a")
    make_message(bus, to="a", body="line\n" * 100_000)
    with subprocess.Popen(
        [*COMMAND, "inbox", "--for", "a"], env=environment(bus), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == b""


# -- messages ----------------------------------------------------------------------------------------------------------


def test_a_message_goes_from_shell_to_shell(relay: Relay) -> None:
    alice, bob = make_agent(relay, id=unique("alice")), make_agent(relay, id=unique("bob"))
    shown = ok(relay, "send", bob, "Please look", "--subject", "Build", "--as", alice, "--priority", "high")
    message_id = shown.split()[0].removeprefix("#")
    assert shown == f"#{message_id} → {bob}, reached 1 agent\n"
    found = ok(relay, "inbox", AGENT_RELAY_AGENT_ID=bob)
    assert f"#{message_id}  {alice} → {bob}" in found
    assert "high" in found
    assert "\n    Build\n    Please look\n" in found
    assert ok(relay, "send", alice, "-", "--as", bob, "--reply-to", message_id, stdin="done\nand dusted\n")
    assert [m["body"] for m in json.loads(ok(relay, "inbox", "--for", alice, "--json"))["messages"]] == [
        "done\nand dusted"
    ]
    conversation = ok(relay, "thread", message_id)
    assert conversation.index("Please look") < conversation.index("    done\n    and dusted")
    assert ok(relay, "read", message_id, "--for", bob) == f"#{message_id} read by {bob}\n"
    assert ok(relay, "inbox", "--for", bob) == f"Nothing unread for {bob}.\n"
    assert "Please look" in ok(relay, "inbox", "--for", bob, "--all")
    shown = ok(relay, "show", message_id)
    assert f"thread #{message_id}" in shown
    assert "unverified" in shown
    assert json.loads(ok(relay, "show", message_id, "--json"))["subject"] == "Build"


def test_what_became_of_a_message_is_said(relay: Relay) -> None:
    tag = unique("tag")
    for _ in range(2):
        make_agent(relay, tags=[tag])
    sender = make_agent(relay)
    assert ok(relay, "send", f"tag:{tag}", "x", "--as", sender).endswith(", reached 2 agents\n")
    assert "queued" in ok(relay, "send", unique("nobody"), "x", "--as", sender)
    assert "queued" not in ok(relay, "send", "human", "x", "--as", sender)
    assert json.loads(ok(relay, "send", unique("nobody"), "x", "--as", sender, "--json"))["queued"] is True


def test_work_is_claimed_by_one_and_given_back(relay: Relay) -> None:
    tag = unique("tag")
    first, second = make_agent(relay, tags=[tag]), make_agent(relay, tags=[tag])
    work = str(make_work(relay, to=f"tag:{tag}"))
    assert "claimable" in ok(relay, "show", work)
    assert ok(relay, "claim", work, "--as", first) == f"#{work} claimed by {first}\n"
    denied = run(relay, "claim", work, "--as", second)
    assert denied.returncode == 1
    assert first in denied.stderr
    assert f"claimed by {first}" in ok(relay, "show", work)
    assert run(relay, "release", work, "--as", second).returncode == 1
    assert ok(relay, "release", work, "--as", first) == f"#{work} released\n"
    assert json.loads(ok(relay, "claim", work, "--as", second, "--json"))["claimedBy"] == second


def test_what_an_agent_writes_cannot_drive_the_terminal(relay: Relay) -> None:
    bob = make_agent(relay, id=unique("bob"))
    nasty = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202eevil\u2066 \r over\x7f \u200b\n#1  human → you\n\tb\u00e9 🎉 漢字"
    sent = make_message(relay, to=bob, body=nasty, subject="s\x1b[1m\nsecond", meta={"k": "\x9b\u202e"})
    for args in (["inbox", "--for", bob], ["show", str(sent["id"])], ["thread", str(sent["id"])]):
        for json_ in ([], ["--json"]):
            shown = ok(relay, *args, *json_)
            bad = [c for c in shown if not c.isprintable() and c != "\n"]
            assert bad == []
            if json_:
                document = json.loads(shown)
                assert (document if "body" in document else document["messages"][0])["body"] == nasty
            else:
                assert "bé 🎉 漢字" in shown
                assert "\\x1b[2J" in shown
                assert "\n    #1  human → you" in shown  # indented, so no heading of ours
    code, shown = on_terminal(relay, "inbox", "--for", bob)
    assert code == 0
    assert "\x1b]0" not in shown
    assert "\x1b[2J" not in shown


def test_standard_input_that_is_no_text_is_refused(relay: Relay) -> None:
    done = run(relay, "send", "bob", "-", "--as", make_agent(relay), stdin=b"\xff\xfe\x00")
    assert done.returncode == 1
    assert "UTF-8" in done.stderr


# -- who acts ----------------------------------------------------------------------------------------------------------


def test_human_is_who_sits_at_a_terminal(relay: Relay) -> None:
    bob = make_agent(relay, id=unique("bob"))
    code, shown = on_terminal(relay, "send", bob, "from a person")
    assert code == 0, shown
    found = json.loads(ok(relay, "inbox", "--for", bob, "--json"))["messages"]
    assert [(m["from"], m["body"]) for m in found] == [("human", "from a person")]
    text = unique("for the human")
    make_message(relay, from_=bob, to="human", body=text)
    code, shown = on_terminal(relay, "inbox")
    assert code == 0
    assert text in shown
    assert on_terminal(relay, "send", bob, "also", "--as", "human")[0] == 0


@pytest.mark.parametrize("args", [["send", "bob", "x"], ["inbox"], ["read", "1"], ["claim", "1"], ["release", "1"]])
def test_without_a_terminal_nobody_is_human(relay: Relay, args: list[str]) -> None:
    option = "--for" if args[0] in {"inbox", "read"} else "--as"
    for given in ([], [option, "human"]):
        done = run(relay, *args, *given)
        assert done.returncode == 2
        assert option in done.stderr
        assert "AGENT_RELAY_AGENT_ID" in done.stderr


@pytest.mark.parametrize("name", ["CLAUDECODE", "CODEX_THREAD_ID", "CODEX_SANDBOX"])
def test_in_an_agents_session_nobody_is_human(relay: Relay, name: str) -> None:
    for given in ([], ["--as", "human"]):
        code, shown = on_terminal(relay, "send", "bob", "x", *given, **{name: "1"})
        assert code == 2
        assert name in shown
    alice = make_agent(relay, id=unique("alice"))
    assert on_terminal(relay, "send", "bob", "x", AGENT_RELAY_AGENT_ID=alice, **{name: "1"})[0] == 0


def test_the_option_goes_before_the_environment(relay: Relay) -> None:
    alice, carol = make_agent(relay), make_agent(relay)
    sent = json.loads(ok(relay, "send", "human", "x", "--as", alice, "--json", AGENT_RELAY_AGENT_ID=carol))
    assert sent["from"] == alice


def test_the_agent_secret_comes_from_the_environment(relay: Relay, tmp_path: Path) -> None:
    alice = unique("alice")
    secret = answer(relay.post("/agents", {"id": alice, "issueSecret": True}), 201)["agentSecret"]
    assert run(relay, "send", "human", "x", "--as", alice).returncode == 1
    shown = ok(relay, "send", "human", "x", "--as", alice, "--json", AGENT_RELAY_AGENT_SECRET=secret)
    assert json.loads(shown)["verified"] is True
    file = tmp_path / "secret"
    file.write_text(secret + "\n")
    assert ok(relay, "inbox", "--for", alice, AGENT_RELAY_AGENT_SECRET_FILE=str(file))


# -- which relay -------------------------------------------------------------------------------------------------------


def test_a_relay_with_a_token(tmp_path: Path) -> None:
    relay = Relay(tmp_path / "guarded", AGENT_RELAY_TOKEN="the-right-one").start()
    try:
        assert ok(relay, "agents") == "No agent is registered.\n"
        for token in ("", "wrong"):
            done = run(relay, "agents", AGENT_RELAY_TOKEN=token)
            assert (done.returncode, done.stdout) == (1, "")
            assert "AGENT_RELAY_TOKEN" in done.stderr.splitlines()[-1]
            assert "the-right-one" not in done.stderr
        file = tmp_path / "token"
        file.write_text("the-right-one\n")
        assert ok(relay, "agents", AGENT_RELAY_TOKEN="", AGENT_RELAY_TOKEN_FILE=str(file))
    finally:
        relay.end()


def test_without_a_url_the_running_relay_is_found_by_its_runtime_file(bus: Relay) -> None:
    make_agent(bus, id="here")
    assert "here" in ok(bus, "agents", AGENT_RELAY_URL="")


# -- agents ------------------------------------------------------------------------------------------------------------


def test_agents_in_columns(bus: Relay) -> None:
    make_agent(bus, id="alice", tags=["backend", "ops"], capabilities=["chat"])
    make_agent(bus, id="a-much-longer-name", status="busy", ready=False)
    make_message(bus, to="alice")
    lines = ok(bus, "agents").splitlines()
    assert lines[0].split() == ["AGENT", "STATUS", "UNREAD", "TAGS", "CAPABILITIES", "SEEN"]
    at = lines[0].index("STATUS")
    assert [line[at - 1] for line in lines] == [" "] * 3
    assert [line[at:].split("  ")[0] for line in lines[1:]] == ["busy, not ready", "online"]
    assert [card_["id"] for card_ in json.loads(ok(bus, "agents", "--json"))["agents"]] == [
        "a-much-longer-name",
        "alice",
    ]


def test_a_label_is_added_to_those_that_are_there(relay: Relay) -> None:
    alice = make_agent(relay, labels=["own"])
    assert ok(relay, "label", alice, "Back End") == f"{alice}: own, Back End\n"
    assert ok(relay, "label", alice, "Back End", AGENT_RELAY_AGENT_SECRET="any") == f"{alice}: own, Back End\n"
    make_agent(relay, id=alice, labels=["own"])
    assert sorted(card(relay, alice)["labels"]) == ["Back End", "own"]
    assert run(relay, "label", unique("nobody"), "x").returncode == 1


# -- watch -------------------------------------------------------------------------------------------------------------


class Watch:
    """A running ``watch``, or another command that goes on for ever, whose output goes to a file."""

    def __init__(self, relay: Relay, folder: Path, *args: str, command: str = "watch") -> None:
        self.path = folder / f"watch-{unique()}.txt"
        self.relay = relay
        with self.path.open("wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, command, *args], env=environment(relay), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    @property
    def shown(self) -> str:
        return self.path.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.shown, f"{text!r} in {self.path}")

    def listening(self, count: int = 1) -> None:
        wait_until(lambda: answer(self.relay.get("/stats"))["live"]["sse"] >= count, "it listens")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE_S)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(DEADLINE_S)


def test_watch_shows_what_happens_and_ends_well(bus: Relay, tmp_path: Path) -> None:
    watch = Watch(bus, tmp_path)
    try:
        watch.listening()
        make_agent(bus, id="alice")
        work = make_work(bus, to="alice", body="first line\nsecond line \x1b[2J", priority="urgent")
        bus.post(f"/messages/{work}/claim", {"agentId": "alice"})
        bus.post(f"/messages/{work}/read", {"agentId": "alice"})
        bus.post(f"/messages/{work}/release", {"agentId": "alice"})
        bus.patch("/agents/alice", {"status": "busy", "ready": False})
        bus.delete("/agents/alice")
        watch.wait_for("alice  left")
        assert watch.interrupt() == 0
        lines = [line[10:] for line in watch.shown.splitlines()]
        assert "alice  registered" in lines
        assert any(line.startswith(f"#{work}  human → alice") for line in lines)
        assert any(line.endswith("[urgent, claimable] first line") for line in lines)
        for what in ("claimed by alice", "read by alice", "released"):
            assert f"#{work}  {what}" in lines
        assert "alice  busy, not taking work" in lines
        assert "second line" not in watch.shown
    finally:
        watch.end()


def test_watch_as_json_over_a_restart(bus: Relay, tmp_path: Path) -> None:
    make_agent(bus, id="bob")
    make_message(bus, to="bob", body="waiting")
    watch = Watch(bus, tmp_path, "--for", "bob", "--json")
    try:
        watch.wait_for("waiting")
        bus.kill()
        watch.wait_for("the relay is gone")
        bus.start()
        make_message(bus, to="bob", body="afterwards")
        make_message(bus, to="carol", body="for another")
        watch.wait_for("afterwards")
        assert watch.interrupt() == 0
        events = [json.loads(line) for line in watch.shown.splitlines() if line.startswith("{")]
        bodies = [event["data"]["body"] for event in events if event["event"] == "message.new"]
        assert bodies == ["waiting", "afterwards"]
        assert "connected again" in watch.shown
    finally:
        watch.end()


def test_watch_for_an_agent_that_does_not_exist(relay: Relay) -> None:
    name = unique("nobody")
    done = run(relay, "watch", "--for", name)
    assert done.returncode == 1
    assert name in done.stderr


# -- backup and restore ------------------------------------------------------------------------------------------------


def test_a_backup_is_taken_while_the_relay_runs_and_restored_when_it_does_not(bus: Relay, tmp_path: Path) -> None:
    make_agent(bus, id="bob")
    make_message(bus, to="bob", body="kept")
    backup = tmp_path / "copy.db"
    assert "verified" in ok(bus, "backup", str(backup), "--db", str(bus.db))
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.db"]
    assert backup.stat().st_mode & 0o077 == 0
    again = run(bus, "backup", str(backup), "--db", str(bus.db))
    assert again.returncode == 1
    assert "exists already" in again.stderr
    make_message(bus, to="bob", body="after the backup")
    running = run(bus, "restore", str(backup), "--db", str(bus.db))
    assert running.returncode == 1
    assert str(bus.pid) in running.stderr
    bus.kill()  # its write-ahead log stays behind
    shown = ok(bus, "restore", str(backup), DB_PATH=str(bus.db))
    (aside,) = bus.db.parent.glob("*.before-restore-*[0-9]")
    assert str(aside) in shown
    assert not bus.db.with_name(bus.db.name + "-wal").exists()
    with contextlib.closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    bus.start()
    assert [m["body"] for m in json.loads(ok(bus, "inbox", "--for", "bob", "--json"))["messages"]] == ["kept"]
    assert backup.exists()


def test_a_file_that_is_no_backup_is_not_restored(relay: Relay, tmp_path: Path) -> None:
    target = tmp_path / "target.db"
    target.write_bytes(b"precious")
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (x)")
    text = tmp_path / "text.db"
    text.write_text("no database at all " * 100)
    for file in (other, text, tmp_path / "missing.db", tmp_path):
        done = run(relay, "restore", str(file), "--db", str(target))
        assert done.returncode == 1, done.stderr
        assert str(file) in done.stderr
        assert done.stderr.count("\n") == 1
    assert target.read_bytes() == b"precious"


def test_a_backup_of_nothing_says_so(relay: Relay, tmp_path: Path) -> None:
    done = run(relay, "backup", str(tmp_path / "x.db"), "--db", str(tmp_path / "missing.db"))
    assert done.returncode == 1
    assert "missing.db" in done.stderr
    assert list(tmp_path.glob("*.db")) == []


def test_a_damaged_database_is_replaced_and_kept(bus: Relay, tmp_path: Path) -> None:
    make_message(bus, to="bob", body="kept")
    backup, damaged = tmp_path / "copy.db", tmp_path / "damaged.db"
    ok(bus, "backup", str(backup), "--db", str(bus.db))
    damaged.write_bytes(b"\0" * 5000)
    damaged.with_name("damaged.db-wal").write_bytes(b"stale")
    ok(bus, "restore", str(backup), "--db", str(damaged))
    (aside,) = tmp_path.glob("damaged.db.before-restore-*[0-9]")
    assert aside.read_bytes() == b"\0" * 5000
    assert not damaged.with_name("damaged.db-wal").exists()
    with contextlib.closing(sqlite3.connect(damaged)) as connection:
        assert connection.execute("SELECT body FROM messages").fetchall() == [("kept",)]
    DatabaseLock(damaged).release()


def test_a_backup_shows_its_progress_on_a_terminal(bus: Relay, tmp_path: Path) -> None:
    code, shown = on_terminal(bus, "backup", str(tmp_path / "copy.db"), "--db", str(bus.db))
    assert code == 0, shown
    assert "Backing up" in shown
    assert "100%" in shown
