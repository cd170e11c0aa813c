"""``agent-relay demo``: the real command, what it shows, what it leaves alone, and what is left of it."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from app.demo.child import PREFIX, environment
from tests.factories import ROOT, wait_until

Demo = Callable[..., "Running"]
_URL = re.compile(r"Dashboard: (http://\S+)")
_FOLDER = re.compile(r"in (/\S+);")


class Running:
    """A demo under test, in a home of its own."""

    def __init__(self, place: Path, *args: str) -> None:
        self.home, self.temporary = place / "home", place / "tmp"
        for folder in (self.home, self.temporary):
            folder.mkdir(parents=True)
        self.log_path = place / "demo.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "demo", "--no-browser", *args],
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.home),
                    "TMPDIR": str(self.temporary),
                    "PYTHONPATH": str(ROOT),
                    # What the user has set for a relay of their own is none of the demo's.
                    "AGENT_RELAY_TOKEN": "the-users-own-token",
                    "DB_PATH": str(self.home / "own.db"),
                    "PORT": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def url(self) -> str:
        """Once it is there."""

        def there() -> bool:
            assert self.process.poll() is None, self.log
            return _URL.search(self.log) is not None

        wait_until(there, "the demo says where it is", timeout_s=60)
        found = _URL.search(self.log)
        assert found is not None
        return found[1]

    def get(self, path: str) -> Any:
        return requests.get(f"{self.url()}/api{path}", timeout=10).json()

    def relay_pid(self) -> int:
        """Of its child."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        children = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
        assert len(children) == 1, children
        return children[0]

    def left(self) -> list[str]:
        return [path.name for path in self.temporary.iterdir() if path.name.startswith(PREFIX)]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """``demo("--agents", "3")``: started; it ends with the test."""
    made: list[Running] = []

    def make(*args: str) -> Running:
        made.append(Running(tmp_path / f"demo-{len(made)}", *args))
        return made[-1]

    yield make
    for each in made:
        if each.process.poll() is None:
            each.process.terminate()
        each.process.wait(30)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def test_it_is_lively_answers_the_human_and_leaves_nothing(demo: Demo) -> None:
    running = demo("--messages", "60", "--pace", "6")
    before = fingerprint(running.home)
    url = running.url()
    assert "your own relay and its data are not touched" in running.log
    agents = running.get("/agents")["agents"]
    assert len(agents) == 12
    assert all(re.fullmatch(r"[a-z-]+-(claude|codex|script)-[a-z]+-[0-9a-f]{8}", agent["id"]) for agent in agents)
    first = running.get("/stats")
    assert first["messages"] > 60
    assert first["unreadHuman"] > 0
    assert first["callbacks"]["dead"] > 0
    assert len(running.get("/integrations")["integrations"]) == 3
    assert {"done", "failed"} <= {task["status"] for task in running.get("/tasks?limit=100")["tasks"]}
    assert sum(running.get("/activity")["lostClaims"]) > 0
    chatty = next(agent["id"] for agent in agents if "chat" in agent["capabilities"])
    message = {"from": "human", "to": chatty, "subject": "Status?", "body": "How far are you?"}
    sent = requests.post(f"{url}/api/messages", json=message, timeout=10).json()

    def answered() -> bool:
        thread = running.get(f"/messages/{sent['id']}/thread")["messages"]
        return any(reply["from"] == chatty and reply["to"] == "human" for reply in thread)

    wait_until(answered, "the agent answers the human")
    wait_until(lambda: running.get("/stats")["messages"] > first["messages"] + 10, "it goes on")
    wait_until(lambda: running.get("/stats")["live"]["sse"] == 1, "it listens")
    relay = running.relay_pid()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 0
    assert running.log.endswith("The demo is over; its data is gone.\n")
    assert "Traceback" not in running.log
    assert not alive(relay)
    assert running.left() == []
    assert fingerprint(running.home) == before


def test_a_demo_that_is_killed_takes_its_relay_with_it(demo: Demo) -> None:
    running = demo("--agents", "2", "--messages", "0")
    running.url()
    relay = running.relay_pid()
    running.process.kill()
    running.process.wait(10)
    wait_until(lambda: not alive(relay), "its relay ends")
    wait_until(lambda: not running.left(), "its folder goes with it")


def test_a_task_that_waits_for_the_human_goes_on_once_there_is_an_answer(demo: Demo) -> None:
    running = demo("--messages", "0")
    url = running.url()
    task = running.get("/tasks?status=blocked")["tasks"][0]
    found = running.get("/messages?to=human&limit=100")["messages"]
    question = next(message for message in found if f"task {task['id']}:" in message["body"])
    answer = {"from": "human", "to": question["from"], "body": "In the new period.", "replyTo": question["id"]}
    assert requests.post(f"{url}/api/messages", json=answer, timeout=10).status_code == 201

    def goes_on() -> bool:
        return bool(running.get(f"/tasks/{task['id']}")["status"] in {"in_progress", "done"})

    wait_until(goes_on, "the task goes on")


def test_the_browser_is_opened_for_whoever_sits_at_a_terminal(tmp_path: Path) -> None:
    """A real pseudo-terminal, and a program of our own in the browser's place."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{opened}.new"; mv "{opened}.new" "{opened}"\n')
    browser.chmod(0o700)
    (tmp_path / "tmp").mkdir()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "demo", "--agents", "1", "--messages", "0"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path / "tmp"),
            "PYTHONPATH": str(ROOT),
            "DISPLAY": ":99",
            "BROWSER": f"{browser} %s",
        },
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    try:
        wait_until(opened.exists, "the browser is called", timeout_s=60)
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/?", opened.read_text())
    finally:
        process.terminate()
        assert process.wait(30) == 0
        os.close(theirs)
        os.close(ours)


def test_a_relay_that_ends_by_itself_ends_the_demo(demo: Demo) -> None:
    running = demo("--agents", "2", "--messages", "0")
    running.url()
    os.kill(running.relay_pid(), signal.SIGKILL)
    assert running.process.wait(30) == 1
    assert "agent-relay: The demo's relay ended by itself" in running.log
    assert "Traceback" not in running.log
    assert running.left() == []


def test_a_long_history_is_filled_in_batches_and_said(demo: Demo) -> None:
    running = demo("--agents", "40", "--messages", "20000")
    running.url()
    stats = running.get("/stats")
    assert stats["messages"] >= 20_000
    assert sum(stats["agents"].values()) == 40


def test_a_port_that_is_taken_is_said(demo: Demo) -> None:
    taken = demo("--agents", "1", "--messages", "0")
    port = taken.url().rpartition(":")[2]
    second = demo("--port", port)
    assert second.process.wait(30) == 1
    assert port in second.log
    assert "Traceback" not in second.log
    assert second.left() == []


@pytest.mark.parametrize(
    ("args", "said"),
    [(["--agents", "0"], "--agents"), (["--agents", "201"], "--agents"), (["--pace", "x"], "--pace"), (["--x"], "--x")],
)
def test_wrong_options_are_named(demo: Demo, args: list[str], said: str) -> None:
    running = demo(*args)
    assert running.process.wait(30) == 2
    assert said in running.log
    assert running.left() == []


def test_nothing_that_leads_to_the_users_own_is_handed_on(tmp_path: Path) -> None:
    own = {
        "AGENT_RELAY_TOKEN": "x", "AGENT_RELAY_DATABASE_URL": "x", "AGENT_RELAY_INTEGRATIONS": "[]", "PORT": "1",
        "HOST": "0.0.0.0", "DB_PATH": "/x", "XDG_CONFIG_HOME": "/x", "HOME": "/x", "NOTIFY_SOCKET": "/x", "LANG": "C",
    }  # fmt: skip
    given = environment(tmp_path, own)
    assert given["LANG"] == "C"
    assert {name for name in given if given[name] == own.get(name)} == {"LANG"}
