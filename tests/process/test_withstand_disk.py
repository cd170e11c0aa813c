"""A full disk: a tmpfs of a few megabytes, filled to the last byte."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import StorageFull
from app.server.services import backup
from tests.integrations import bearer, configured, deliveries, make_event, make_integration, receiving
from tests.process._relay import Connection, EventStream, Relay, wait_for_more, wait_until
from tests.process.conftest import MakeRelay

MIB = 1 << 20

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mount]:
    """Mount a small tmpfs; it is gone after the test."""
    mounted: list[Path] = []

    def mount_(size: int = 4 * MIB) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "agent-relay-test", str(place)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"NOT TESTED: a tmpfs cannot be mounted here (root needed): {done.stderr.strip()}")
        mounted.append(place)
        return place

    request.getfixturevalue("make_relay")  # so that the relays are gone before their disks
    yield mount_
    for place in mounted:
        # A relay that the test left behind still has files open there.
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True, timeout=20, check=True)


@pytest.fixture(autouse=True)
def _tools() -> None:
    if not shutil.which("mount"):
        pytest.skip("NOT TESTED: there is no mount here")


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all the space there is, but for ``leave`` bytes."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (64 * 1024, 4096):
            try:
                while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > leave:
                    file.write(b"x" * size)
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise
    return filler


def send(connection: Connection, body: str, **more: Any) -> tuple[int, dict[str, Any]]:
    answer = connection.http("POST", "/api/messages", {"from": "human", "to": "alice", "body": body, **more})
    return answer.status, answer.json() if answer.status == 201 else answer.problem()


def bodies(relay: Relay) -> list[str]:
    with contextlib.closing(Connection(relay.port)) as connection:
        found: list[str] = []
        query = "limit=500"
        while True:
            page = connection.http("GET", f"/api/messages?{query}").json()
            found += [message["body"] for message in page["messages"]]
            if "next" not in page:
                return found[::-1]
            query = f"limit=500&before={page['next']}"


def test_a_full_disk_is_a_507_and_goes_away_with_the_disk(mount: Mount, make_relay: MakeRelay) -> None:
    disk = mount()
    relay = make_relay(db=disk / "relay.db")
    relay.register("alice")
    relay.register("worker", tags=["w"])
    work = relay.tell("tag:w", "work", claimable=True)
    acknowledged = ["work"]
    text = "x" * 20_000
    with (
        contextlib.closing(Connection(relay.port)) as connection,
        contextlib.closing(EventStream(relay.port)) as stream,
    ):
        filler = fill(disk, leave=256 * 1024)
        refused: dict[str, Any] = {}
        for number in range(500):
            body = f"{number} {text}"
            status, answer = send(connection, body)
            if status != 201:
                assert status == 507, answer
                refused = answer
                break
            acknowledged.append(body)
        assert refused["code"] == "storage-full"
        fill(disk)

        # Still full: nothing is taken, in whatever way it comes, and everything can be read.
        batch = [{"from": "human", "to": "alice", "body": f"batch {n} {text}"} for n in range(20)]
        for _ in range(3):
            assert send(connection, f"refused {text}")[0] == 507
            assert connection.http("POST", "/api/messages", batch).problem()["code"] == "storage-full"
            assert connection.http("GET", "/api/healthz").status == 200
            assert connection.http("GET", "/api/messages?for=alice&unread=true").status == 200
            assert connection.http("GET", "/api/agents/alice").json()["id"] == "alice"
            assert connection.http("GET", "/api/stats").json()["messages"] == len(acknowledged)
        assert bodies(relay) == acknowledged
        claim = connection.http("POST", f"/api/messages/{work}/claim", {"agentId": "worker"})
        assert claim.status in {200, 507}

        # Space again: it works again, without a restart.
        filler.unlink()
        if claim.status == 507:
            claim = connection.http("POST", f"/api/messages/{work}/claim", {"agentId": "worker"})
        assert (claim.status, claim.json()["claimedBy"]) == (200, "worker")
        for number in range(5):
            body = f"again {number}"
            assert send(connection, body)[0] == 201
            acknowledged.append(body)
        assert bodies(relay) == acknowledged
        # Listeners were told of what was stored, and of nothing else.
        heard: list[str] = []
        while len(heard) < len(acknowledged) - 1:
            event = stream.next()
            if event.type == "message.new":
                heard.append(event.data["body"])
        assert heard == acknowledged[1:]
    relay.kill()
    relay.start()
    assert bodies(relay) == acknowledged
    assert relay.stop() == 0


def test_what_writers_are_told_is_true_while_the_disk_fills_up_and_empties(mount: Mount, make_relay: MakeRelay) -> None:
    disk = mount(6 * MIB)
    relay = make_relay(db=disk / "relay.db")
    acknowledged: list[set[str]] = [set() for _ in range(4)]
    refused: list[set[str]] = [set() for _ in range(4)]
    odd: list[object] = []
    done = threading.Event()

    def write(number: int) -> None:
        count = 0
        with contextlib.closing(Connection(relay.port)) as connection:
            while not done.is_set():
                body = f"{number}/{count} {'x' * 3_000}"
                status, answer = send(connection, body)
                if status == 201:
                    acknowledged[number].add(body)
                elif answer["code"] == "storage-full":
                    refused[number].add(body)
                else:
                    odd.append(answer)
                count += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            filler = fill(disk)
            wait_for_more(lambda: sum(map(len, refused)), 8, "the disk is full")
            filler.unlink()
            wait_for_more(lambda: sum(map(len, acknowledged)), 8, "there is space again")
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert not odd
    stored = bodies(relay)
    assert len(stored) == len(set(stored))
    assert set(stored) == set().union(*acknowledged)
    assert relay.stop() == 0


def test_a_disk_that_is_full_at_the_start_is_one_line(mount: Mount, make_relay: MakeRelay) -> None:
    disk = mount(1 * MIB)
    relay = make_relay(db=disk / "relay.db", start=False)
    filler = fill(disk)
    line = relay.fail_to_start()
    assert "disk is full" in line.lower() or "no space" in line.lower(), line
    assert str(disk) in line
    filler.unlink()
    shutil.rmtree(disk / "filler", ignore_errors=True)
    relay.process = None


def test_a_database_on_a_full_disk_can_be_read_once_there_is_space(mount: Mount, make_relay: MakeRelay) -> None:
    disk = mount()
    relay = make_relay(db=disk / "relay.db")
    relay.tell("alice", "before")
    relay.kill()
    filler = fill(disk)
    log = relay.log
    # Full, but nothing of ours need be written: either it serves, or it says why not.
    try:
        relay.start()
    except AssertionError:
        said = relay.log[len(log) :].splitlines()
        assert len(said) == 1, said
        assert "full" in said[0]
        relay.process = None
    else:
        assert bodies(relay) == ["before"]
        relay.stop()
    filler.unlink()
    relay.start()
    assert bodies(relay) == ["before"]
    relay.tell("alice", "after")
    assert bodies(relay) == ["before", "after"]


def test_events_and_callbacks_on_a_full_disk_are_refused_or_told_and_none_is_lost(
    mount: Mount, make_relay: MakeRelay
) -> None:
    disk = mount()
    with receiving() as receiver:
        relay = make_relay(db=disk / "relay.db", **configured(make_integration(callbackUrl=receiver.url)))

        def post(number: int) -> int:
            event = make_event(dedupeKey=f"key-{number % 40}", body="x" * 20_000, target="tag:ops")
            answer = relay.http("POST", "/api/integrations/events", event, **bearer())
            assert answer.status in {200, 201} or answer.problem()["code"] == "storage-full"
            return answer.status

        filler = fill(disk, leave=512 * 1024)
        said = [post(number) for number in range(200)]
        fill(disk)
        said += [post(number) for number in range(200, 210)]
        assert said[-3:] == [507] * 3
        calls = len(receiver.calls)
        filler.unlink()
        said.append(post(0))
        assert said[-1] in {200, 201}
        wait_until(lambda: not deliveries(relay, state="pending"), "every callback is written down", timeout_s=60)
        tasks = relay.ok("GET", "/api/tasks?limit=500")["tasks"]
        assert len(tasks) == said.count(201)
        assert sum(task["occurrenceCount"] for task in tasks) == said.count(201) + said.count(200)
        assert {call.task["id"] for call in receiver.calls} == {task["id"] for task in tasks}
        # What could not be written down was made again, but not over and over.
        assert calls < len(tasks) + 40
        relay.kill()
        relay.start()
        assert relay.ok("GET", "/api/tasks?limit=500")["tasks"] == tasks
    assert relay.stop() == 0


def test_a_backup_that_finds_no_room_is_a_507_and_leaves_nothing(mount: Mount, make_relay: MakeRelay) -> None:
    disk = mount()
    relay = make_relay(db=disk / "relay.db")
    relay.tell("alice", "kept " + "x" * 500_000)
    filler = fill(disk, leave=64 * 1024)
    before = sorted(path.name for path in disk.iterdir())
    for _ in range(3):  # each gives its turn back
        assert relay.http("GET", "/api/backup").problem()["code"] == "storage-full"
    assert sorted(path.name for path in disk.iterdir()) == before
    filler.unlink()
    assert relay.http("GET", "/api/backup").status == 200
    assert relay.stop() == 0


def test_a_disk_that_fills_up_while_a_copy_is_made_leaves_nothing(
    mount: Mount, make_home: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mount()
    home = make_home(db=disk / "relay.db")
    home.send("human", "alice", body="x" * 500_000)
    fill(disk, leave=64 * 1024)
    before = sorted(path.name for path in disk.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(MIB, 0, MIB))
    for _ in range(2):
        with pytest.raises(StorageFull):
            backup.make(home.bus)
    assert sorted(path.name for path in disk.iterdir()) == before
