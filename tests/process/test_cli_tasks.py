"""The commands about tasks, as whole processes against real relays."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.cli.text import width
from tests.conftest import MakeRelay
from tests.factories import Json, Relay, answer, claim, make_agent, unique
from tests.integrations import (
    configured,
    get_task,
    history,
    make_integration,
    make_task,
    move,
    post_event,
    receiving,
    resolve,
)
from tests.process.test_cli import Watch, ok, on_terminal, run

#: Escape sequences, a title set, C1, a turn of direction, an invisible space, and lines that look like ours.
HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202eevil\u2066 \r over\x7f \u200b\n#1  done · hers\n\tb\u00e9 🎉 漢字"
_STYLES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def bus(make_module_relay: MakeRelay) -> Relay:
    """A relay with some integrations."""
    return make_module_relay(**configured(make_integration(), make_integration("ci")))


@pytest.fixture
def own(make_relay: MakeRelay) -> Relay:
    """As ``bus``, for one test alone."""
    return make_relay(**configured(make_integration(), make_integration("ci")))


def claimed_task(relay: Relay, **fields: object) -> tuple[int, str]:
    """A task that an agent has claimed; both."""
    agent = make_agent(relay)
    task_id: int = make_task(relay, target=agent, **fields)["id"]
    claim(relay, task_id, agent)
    return task_id, agent


def shown_safely(text: str) -> None:
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


# -- the list ----------------------------------------------------------------------------------------------------------


def test_active_tasks_in_columns_newest_first(own: Relay) -> None:
    assert ok(own, "tasks") == "No active tasks.\n"
    assert ok(own, "tasks", "--all") == "No tasks.\n"
    make_agent(own, id="bob", tags=["ops"])
    first = make_task(own, target="tag:ops", title="Disk full on web1", severity="critical", dedupeKey="disk")["id"]
    post_event(own, target="tag:ops", dedupeKey="disk", status=200)
    second = make_task(own, source="ci", target="tag:ci", title="Build failed", severity="error")["id"]
    gone = make_task(own, target="tag:ops", title="Over", dedupeKey="over")["id"]
    resolve(own, "over")
    claim(own, first, "bob")
    move(own, first, "in_progress", agentId="bob", progress=40)
    lines = ok(own, "tasks").splitlines()
    assert lines[0].split() == ["ID", "STATUS", "SEVERITY", "TITLE", "SOURCE", "TARGET/BY", "COUNT", "AGE"]
    assert [re.split(r"  +", line) for line in lines[1:]] == [
        [f"#{second}", "open", "error", "Build failed", "ci", "tag:ci", "now"],
        [f"#{first}", "in_progress 40%", "critical", "Disk full on web1", "ops", "by bob", "×2", "now"],
    ]
    found = json.loads(ok(own, "tasks", "--all", "--json"))
    assert found == {"tasks": answer(own.get("/tasks"))["tasks"]}
    assert [task["id"] for task in found["tasks"]] == [gone, second, first]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], ["b", "a"]),
        (["--all"], ["d", "c", "b", "a"]),
        (["--status", "done"], ["c"]),
        (["--status", "open,cancelled"], ["d", "b"]),
        (["--status", "open", "--status", "done, claimed"], ["c", "b", "a"]),
        (["--source", "ci"], ["b"]),
        (["--all", "--target", "tag:d"], ["d"]),
        (["--target", "tag:d"], []),
    ],
)
def test_tasks_are_chosen(chosen: Relay, args: list[str], expected: list[str]) -> None:
    found = json.loads(ok(chosen, "tasks", "--json", *args))["tasks"]
    assert [task["title"] for task in found] == expected


@pytest.fixture(scope="module")
def chosen(make_module_relay: MakeRelay) -> Relay:
    """``a`` is claimed, ``b`` open and of another source, ``c`` done, ``d`` cancelled and for another target."""
    relay = make_module_relay(**configured(make_integration(), make_integration("ci")))
    agent = make_agent(relay, tags=["t"])
    claim(relay, make_task(relay, title="a", target="tag:t")["id"], agent)
    make_task(relay, title="b", target="tag:t", source="ci")
    make_task(relay, title="c", target="tag:t", dedupeKey="c")
    resolve(relay, "c")
    move(relay, make_task(relay, title="d", target="tag:d")["id"], "cancelled")
    return relay


def test_more_tasks_than_a_page_are_all_listed(own: Relay) -> None:
    made = [make_task(own)["id"] for _ in range(505)]
    assert [int(line.split()[0][1:]) for line in ok(own, "tasks").splitlines()[1:]] == made[::-1]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_the_terminal(own: Relay, columns: int) -> None:
    agent = make_agent(own, id="workstation-7-parser-3fa9c2d1", tags=["backend-operations"])
    make_task(own, title="漢字 and words " * 30, target="tag:backend-operations")
    busy = make_task(own, title="x" * 300, target="tag:backend-operations", severity="critical", dedupeKey="k")["id"]
    post_event(own, dedupeKey="k", status=200)
    claim(own, busy, agent)
    move(own, busy, "in_progress", agentId=agent, progress=100)
    code, shown = on_terminal(own, "tasks", COLUMNS=str(columns))
    assert code == 0
    assert "\x1b[31m\x1b[1mcritical" in shown
    lines = _STYLES.sub("", shown).splitlines()
    assert len(lines) == 3
    assert max(map(width, lines)) <= columns
    assert "…" in lines[1]
    assert "100%" in lines[1]


# -- one task ----------------------------------------------------------------------------------------------------------


def test_a_task_is_shown_whole_with_its_history(own: Relay) -> None:
    make_agent(own, id="bob", tags=["ops"])
    task_id = make_task(
        own,
        type="disk.full",
        severity="error",
        title="Disk full on web1",
        body="/var is at 97 %\nand grows",
        target="tag:ops",
        channel="alerts",
        dedupeKey="web1:/var",
        externalUrl="https://grafana.example/d/1",
        metadata={"host": "web1"},
    )["id"]
    post_event(own, dedupeKey="web1:/var", severity="critical", status=200)
    claim(own, task_id, "bob")
    move(own, task_id, "in_progress", agentId="bob", progress=40, note="looking\nclosely")
    move(own, task_id, "blocked", agentId="bob")
    move(own, task_id, "blocked", agentId="bob", note="still waiting")
    own.post(f"/tasks/{task_id}/release", {"agentId": "bob"})
    claim(own, task_id, "bob")
    move(own, task_id, "done", agentId="bob", result={"freed": "12 GB"})
    lines = ok(own, "task", str(task_id)).splitlines()
    assert lines[0] == f"#{task_id}  Disk full on web1"
    assert lines[1] == "    critical  ·  done  ·  was held by bob  ·  seen 2 times"
    text = "\n".join(lines)
    for said in (
        "source      ops  ·  disk.full",
        "target      tag:ops  ·  in alerts",
        "link        https://grafana.example/d/1",
        "dedupe key  web1:/var",
        'metadata    {"host":"web1"}',
        "body        /var is at 97 %\n                and grows",
        'result      {"freed":"12 GB"}',
    ):
        assert f"    {said}\n" in text
    told = [re.sub(r"^\d{4}-\S+ \S+", "", line[16:]) for line in lines[_at(lines, "history") :]]
    assert [line.strip() for line in told] == [
        "created by ops",
        "seen again by ops, ×2, now critical",
        "claimed by bob",
        "in_progress 40% by bob", "looking", "closely",
        "blocked 40% by bob",
        "note by bob", "still waiting",
        "released by bob",
        "claimed by bob",
        "done by bob",
    ]  # fmt: skip
    both = json.loads(ok(own, "task", str(task_id), "--json"))
    assert both == {"task": get_task(own, task_id), "events": history(own, task_id)}


def _at(lines: list[str], name: str) -> int:
    return next(index for index, line in enumerate(lines) if line.strip().startswith(name))


def test_a_task_that_is_resolved_says_by_whom(bus: Relay) -> None:
    key = unique("key")
    task_id = make_task(bus, dedupeKey=key)["id"]
    resolve(bus, key)
    assert "done: resolved by ops" in ok(bus, "task", str(task_id))


def test_what_integrations_and_agents_write_cannot_drive_the_terminal(bus: Relay) -> None:
    title, target = HOSTILE, f"tag:{unique()}"
    agent = make_agent(bus, tags=[target[4:]])
    key = f"{unique()}\x1b[1m\n"
    task_id = str(
        make_task(
            bus, title=title, body=HOSTILE, target=target, type="t\x1b[1m", dedupeKey=key, channel="c\x9b\n#2",
            metadata={"\u202e": HOSTILE},
        )["id"]
    )  # fmt: skip
    hers = make_agent(bus, tags=[target[4:]])
    outputs = [
        ok(bus, "claim", task_id, "--as", agent),
        ok(bus, "progress", task_id, "5", "--note", HOSTILE.replace("\0", ""), "--as", agent),
        ok(bus, "tasks", "--target", target),
        ok(bus, "release", task_id, "--as", agent),
        ok(bus, "claim", task_id, "--as", hers),
        ok(bus, "done", task_id, "--as", hers, "--result", HOSTILE),
        ok(bus, "task", task_id),
        ok(bus, "show", task_id),
        ok(bus, "task", task_id, "--json"),
        ok(bus, "tasks", "--all", "--target", target, "--json"),
    ]
    for shown in outputs:
        shown_safely(shown)
        assert "bé 🎉 漢字" in shown or "b\\u00e9" in shown
    whole = outputs[6].splitlines()
    # Whatever looks like ours stands further in than ours does.
    assert [line for line in whole if "#1  done · hers" in line and not line.startswith(" " * 16)] == whole[:1]
    assert json.loads(outputs[8])["task"]["result"] == HOSTILE
    code, shown = on_terminal(bus, "tasks", "--all", "--target", target)
    assert code == 0
    shown_safely(_STYLES.sub("", shown))


# -- moves -------------------------------------------------------------------------------------------------------------


def test_work_from_its_claim_to_its_end(bus: Relay) -> None:
    tag = unique("tag")
    agent = make_agent(bus, tags=[tag])
    number = str(make_task(bus, target=f"tag:{tag}", title="Disk full on web1")["id"])
    assert ok(bus, "claim", number, "--as", agent) == f"#{number} claimed by {agent} · task: Disk full on web1\n"
    assert ok(bus, "release", number, "--as", agent) == f"#{number} released · task: Disk full on web1\n"
    ok(bus, "claim", number, AGENT_RELAY_AGENT_ID=agent)
    assert ok(bus, "progress", number, "0", "--as", agent) == f"#{number} in_progress 0% · Disk full on web1\n"
    move(bus, int(number), "blocked", agentId=agent)
    shown = ok(bus, "progress", number, "70", "--note", "nearly", "--as", agent, "--json")
    assert json.loads(shown) == get_task(bus, int(number))
    assert ok(bus, "done", number, "--result", "ok", "--as", agent) == f"#{number} done · Disk full on web1\n"
    task = get_task(bus, int(number))
    assert (task["status"], task["result"], task["progress"]) == ("done", "ok", 70)
    assert [(each["by"], each["note"]) for each in history(bus, int(number)) if each["note"]] == [(agent, "nearly")]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("plain words", "plain words"),
        ('{"a": [1, null, "ü"]}', {"a": [1, None, "ü"]}),
        (" [1, 2]\n", [1, 2]),
        ('{"a": NaN}', '{"a": NaN}'),
        ("[not json", "[not json"),
        ("12", "12"),
        ("null", "null"),
        ('"quoted"', '"quoted"'),
        ("", ""),
    ],
)
def test_a_result_is_json_only_where_it_is_an_object_or_an_array(bus: Relay, given: str, stored: object) -> None:
    task_id, agent = claimed_task(bus)
    if given:
        assert json.loads(ok(bus, "fail", str(task_id), "--result", given, "--as", agent, "--json"))["result"] == stored
    assert ok(bus, "fail", str(task_id), "--result", "-", "--as", agent, stdin=given)
    task = get_task(bus, task_id)
    assert (task["status"], task["result"]) == ("failed", stored)


def test_a_last_line_break_of_standard_input_is_not_the_results(bus: Relay) -> None:
    task_id, agent = claimed_task(bus)
    ok(bus, "done", str(task_id), "--result", "-", "--as", agent, stdin="line one\nline two\n")
    assert get_task(bus, task_id)["result"] == "line one\nline two"
    done = run(bus, "done", str(task_id), "--result", "-", "--as", agent, stdin=b"\xff\xfe")
    assert done.returncode == 1
    assert "UTF-8" in done.stderr


def test_who_may_not_is_told_why_in_one_line(bus: Relay) -> None:
    task_id, agent = claimed_task(bus)
    another = make_agent(bus)
    free = make_task(bus, target=agent)["id"]
    closed, holder = claimed_task(bus)
    move(bus, closed, "failed", agentId=holder)
    for args, said in (
        (["done", str(task_id), "--as", another], f"held by {agent}"),
        (["done", str(free), "--as", agent], "held by nobody"),
        (["progress", str(closed), "5", "--as", holder], f"Task {closed} is failed already, and stays so."),
        (["done", str(closed), "--as", holder], f"Task {closed} is failed already, and stays so."),
        (["claim", str(closed), "--as", holder], f"Task {closed} is failed"),
        (["claim", str(task_id), "--as", another], another),
        (["task", "999999999"], "No task has"),
        (["fail", "999999999", "--as", agent], "No task has"),
        (["done", str(task_id), "--as", unique("nobody")], "registered"),
        (["done", str(task_id), "--result", "x" * 70_000, "--as", agent], "64 KiB"),
        (["done", str(task_id), "--note", "x" * 4_001, "--as", agent], "note"),
    ):
        done = run(bus, *args)
        assert (done.returncode, done.stdout) == (1, ""), args
        assert done.stderr.startswith("agent-relay: "), args
        assert done.stderr.count("\n") == 1
        assert said in done.stderr
    assert get_task(bus, task_id)["status"] == "claimed"


def test_a_note_that_is_no_text_is_one_line(bus: Relay) -> None:
    task_id, agent = claimed_task(bus)
    done = run(bus, "done", str(task_id), "--as", agent, "--note", "\udcff")
    assert done.returncode == 1
    assert done.stderr == "agent-relay: what was given is not UTF-8 text\n"


def test_a_person_at_a_terminal_moves_any_task(bus: Relay) -> None:
    task_id, agent = claimed_task(bus, title="by hand")
    code, shown = on_terminal(bus, "progress", str(task_id), "50")
    assert (code, shown) == (0, f"#{task_id} in_progress 50% · by hand\n")
    assert history(bus, task_id)[-1]["by"] == "human"
    assert get_task(bus, task_id)["claimedBy"] == agent
    free = make_task(bus, target=agent)["id"]
    code, shown = on_terminal(bus, "done", str(free))
    assert code == 1
    assert f"Task {free} is open: nobody has it. Take it first: agent-relay claim {free}" in shown


@pytest.mark.parametrize("args", [["done", "1"], ["fail", "1"], ["progress", "1", "5"]])
def test_nobody_else_is_human(bus: Relay, args: list[str]) -> None:
    for given in ([], ["--as", "human"]):
        done = run(bus, *args, *given)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--as" in done.stderr
        code, shown = on_terminal(bus, *args, *given, CLAUDECODE="1")
        assert code == 2
        assert "CLAUDECODE" in shown


@pytest.mark.parametrize(
    "args",
    [
        ["tasks", "--status", "finished"],
        ["tasks", "--all", "--status", "open"],
        ["tasks", "1"],
        ["task", "zero"],
        ["task", "0"],
        ["progress", "1", "101", "--as", "a"],
        ["progress", "1", "-1", "--as", "a"],
        ["progress", "1", "half", "--as", "a"],
        ["progress", "1", "--as", "a"],
        ["done", "--as", "a"],
        ["done", "1", "--as", "a b"],
    ],
)
def test_wrong_use_exits_with_2(bus: Relay, args: list[str]) -> None:
    done = run(bus, *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


@pytest.mark.parametrize("args", [["tasks"], ["tasks", "--watch"], ["task", "1"], ["done", "1", "--as", "a"]])
def test_a_relay_that_is_not_there_is_one_line(bus: Relay, args: list[str]) -> None:
    done = run(bus, *args, AGENT_RELAY_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "http://127.0.0.1:9" in done.stderr


# -- live --------------------------------------------------------------------------------------------------------------


def test_watch_lists_tasks_and_then_shows_what_happens_over_a_restart(own: Relay, tmp_path: Path) -> None:
    make_agent(own, id="bob", tags=["ops"])
    before = make_task(own, target="tag:ops", title="from before")["id"]
    watch = Watch(own, tmp_path, "--watch", command="tasks")
    try:
        watch.listening()
        task_id = make_task(own, target="tag:ops", title=f"it\x1b[2J happens {HOSTILE}", dedupeKey="k")["id"]
        post_event(own, dedupeKey="k", status=200)
        claim(own, task_id, "bob")
        own.post("/messages", {"from": "human", "to": "bob", "body": "no task"})
        watch.wait_for("claimed by bob")
        own.kill()
        watch.wait_for("the relay is gone")
        own.start()
        move(own, task_id, "in_progress", agentId="bob", progress=40)
        move(own, task_id, "in_progress", agentId="bob", note="going on")
        own.post(f"/tasks/{task_id}/release", {"agentId": "bob"})
        resolve(own, "k")
        watch.wait_for(f"#{task_id}  done")
        assert watch.interrupt() == 0
        lines = watch.shown.splitlines()
        shown_safely(watch.shown)
        assert lines[0].startswith("ID ")
        assert lines[1].startswith(f"#{before}  open")
        assert lines[2] == "-- live, Ctrl-C ends --"
        live = [line[10:].partition("  it\\x1b[2J")[0].rstrip() for line in lines[3:] if re.match(r"\d\d:", line)]
        assert [line.partition("  [")[0].rstrip() for line in live] == [
            f"#{task_id}  new for tag:ops",
            f"#{task_id}  seen again, ×2",
            f"#{task_id}  claimed by bob",
            f"#{task_id}  in_progress 40%",
            f"#{task_id}  in_progress 40%",
            f"#{task_id}  open again",
            f"#{task_id}  done",
        ]
        assert "[warning, from ops]" in watch.shown
        assert "agent-relay: connected again" in lines
    finally:
        watch.end()


def test_watch_as_json_is_one_line_for_each_event_of_a_task(own: Relay, tmp_path: Path) -> None:
    make_task(own, title="from before")
    watch = Watch(own, tmp_path, "--watch", "--json", "--source", "ci", command="tasks")
    try:
        watch.listening()
        make_task(own, title="of another")
        ours = [make_task(own, source="ci", title=f"hers {HOSTILE}")["id"]]
        own.kill()
        watch.wait_for("the relay is gone")
        own.start()
        ours.append(make_task(own, source="ci", title="afterwards")["id"])
        move(own, ours[1], "cancelled")
        watch.wait_for('"cancelled"')
        assert watch.interrupt() == 0
        shown_safely(watch.shown)
        events: list[Json] = [json.loads(line) for line in watch.shown.splitlines() if line.startswith("{")]
        assert [(each["event"], each["data"]["id"]) for each in events] == [
            ("task.created", ours[0]),
            ("task.created", ours[1]),
            ("task.status", ours[1]),
        ]
        assert events[0]["id"] < events[1]["id"] < events[2]["id"]
        assert events[2]["data"] == get_task(own, ours[1])
    finally:
        watch.end()


def test_a_status_chooses_among_what_happens_too(own: Relay, tmp_path: Path) -> None:
    watch = Watch(own, tmp_path, "--watch", "--status", "done,cancelled", command="tasks")
    try:
        watch.listening()
        task_id = make_task(own)["id"]
        move(own, task_id, "cancelled")
        watch.wait_for(f"#{task_id}  cancelled")
        assert watch.interrupt() == 0
        assert "new for" not in watch.shown
        assert watch.shown.startswith("No tasks.\n")
    finally:
        watch.end()


def test_a_relay_with_another_database_is_noticed(own: Relay, tmp_path: Path) -> None:
    for _ in range(3):
        make_task(own)
    watch = Watch(own, tmp_path, "--watch", command="tasks")
    try:
        watch.listening()
        own.kill()
        for file in own.folder.glob("relay.db*"):
            file.unlink()
        own.start()
        watch.wait_for("some events were missed while away; agent-relay tasks shows how things stand")
        task_id = make_task(own)["id"]
        watch.wait_for(f"#{task_id}  new for")
        assert watch.interrupt() == 0
    finally:
        watch.end()


def test_the_watch_of_everything_shows_tasks_and_callbacks(make_relay: MakeRelay, tmp_path: Path) -> None:
    with receiving() as receiver:
        relay = make_relay(**configured(make_integration(callbackUrl=receiver.url)))
        watch = Watch(relay, tmp_path)
        try:
            watch.listening()
            task_id = make_task(relay, target="tag:ops", title="Disk full")["id"]
            watch.wait_for("callback task.created")
            assert watch.interrupt() == 0
            lines = [re.sub(r"  +", "  ", line[10:]) for line in watch.shown.splitlines()]
            assert f"task #{task_id}  new for tag:ops  [warning, from ops] Disk full" in lines
            assert f"callback task.created of #{task_id}  ops: answered 204" in lines
        finally:
            watch.end()
