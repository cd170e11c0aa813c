"""``agent-relay integrations``, as whole processes, with the relay that reads what they write."""

from __future__ import annotations

import base64
import json
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook, WebhookVerificationError

from tests.conftest import MakeRelay
from tests.factories import Json, Relay, answer, in_threads, make_agent, unique, wait_until
from tests.integrations import Call, Reply, configured, get_task, history, make_integration, receiving
from tests.process.test_cli import ok, on_terminal, run

TOKEN = re.compile(r"art_[A-Za-z0-9_-]{43}")
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32}")
REFUSED: Reply = (500, b"no \x1b[2Jthanks\nsecond line", {})


@pytest.fixture
def own(make_relay: MakeRelay) -> Relay:
    """A relay whose config folder is the test's own."""
    return make_relay()


def file_of(relay: Relay) -> Path:
    return Path(relay.environ["XDG_CONFIG_HOME"]) / "agent-relay" / "integrations.json"


def stored(relay: Relay) -> dict[str, Json]:
    """What the file holds, by name."""
    return {entry["name"]: entry for entry in json.loads(file_of(relay).read_text())}


def add(relay: Relay, name: str, *more: str, **given: Any) -> Json:
    """Make an integration for a tag and a channel; what is printed as JSON."""
    made: Json = json.loads(
        ok(relay, "integrations", "add", name, "--target", "tag:ops", "--channel", "alerts", "--json", *more, **given)
    )
    return made


def post(relay: Relay, token: str, **fields: Any) -> requests.Response:
    event = {"type": "t", "severity": "info", "title": "x"} | fields
    return relay.post("/integrations/events", event, headers={"Authorization": f"Bearer {token}"})


def failed(relay: Relay, *args: str, code: int = 1, **more: Any) -> str:
    """The one line of a command that must fail."""
    done = run(relay, "integrations", *args, **more)
    assert (done.returncode, done.stdout) == (code, ""), done
    if code == 1:
        assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# -- add ---------------------------------------------------------------------------------------------------------------


def test_a_new_integration_works_at_once_and_its_secrets_are_shown_once(own: Relay) -> None:
    shown = ok(own, "integrations", "add", "grafana", "--target", "tag:ops", "--channel", "alerts",
               "--callback-url", "https://user:hidden@hooks.example:8443/secret-path?key=hidden")  # fmt: skip
    (token,) = TOKEN.findall(shown)
    (secret,) = SECRET.findall(shown)
    assert "shown only now" in shown
    assert str(file_of(own)) in shown
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 24
    assert stored(own) == {
        "grafana": {
            "name": "grafana",
            "token": token,
            "scopes": ["tasks:create"],
            "targets": ["tag:ops"],
            "channels": ["alerts"],
            "callbackUrl": "https://user:hidden@hooks.example:8443/secret-path?key=hidden",
            "callbackSecret": secret,
        }
    }
    assert stat.S_IMODE(file_of(own).stat().st_mode) == 0o600
    assert answer(post(own, token), 201)["task"]["source"] == "grafana"
    for args in (["list"], ["list", "--json"]):
        listed = ok(own, "integrations", *args)
        assert "https://hooks.example:8443" in listed
        for hidden in (token, secret, "hidden", "secret-path", "user:"):
            assert hidden not in listed


def test_what_it_may_is_taken_from_options_repeated_or_with_commas(own: Relay) -> None:
    made = add(own, "ci server", "--target", "label:Back End,cap:x", "--target", "alice", "--channel", "b, c",
               "--scope", "tasks:create,tasks:read", "--scope", "messages:send")  # fmt: skip
    assert made["targets"] == ["tag:ops", "label:Back End", "cap:x", "alice"]
    assert made["channels"] == ["alerts", "b", "c"]
    assert made["scopes"] == ["tasks:create", "tasks:read", "messages:send"]
    assert TOKEN.fullmatch(made["token"])
    assert "callbackSecret" not in made
    everything = json.loads(
        ok(own, "integrations", "add", "all", "--target", "*", "--channel", "*", "--scope", "*", "--json")
    )
    assert [everything[name] for name in ("scopes", "targets", "channels")] == [["*"]] * 3
    assert answer(post(own, everything["token"], target="bob", channel="any"), 201)["created"]


def test_an_unsigned_callback_and_an_address_from_standard_input(own: Relay) -> None:
    made = add(own, "a", "--callback-url", "-", "--no-secret", stdin="http://user:hidden@127.0.0.1:9/x\n")
    assert (made["callbackHost"], made["signed"]) == ("http://127.0.0.1:9", False)
    assert "hidden" not in json.dumps(made)
    assert stored(own)["a"]["callbackUrl"] == "http://user:hidden@127.0.0.1:9/x"
    assert "callbackSecret" not in stored(own)["a"]
    assert "http://127.0.0.1:9, unsigned" in ok(own, "integrations", "list")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["n", "--channel", "c"], "'--target': say whom its tasks may go to"),
        (["n", "--target", "a"], "'--channel': say which channels"),
        (["n", "--target", " ,", "--channel", "c"], "'--target': say whom"),
        (["n", "--target", "word:x", "--channel", "c"], "'--target': must be agent ids, tag:x"),
        (["n", "--target", "tag:", "--channel", "c"], "'--target': must be agent ids, tag:x"),
        (["n", "--target", "*", "--target", "a", "--channel", "c"], "'--target': must be either * alone or a list"),
        (["n", "--target", "system", "--channel", "c"], "'--target': "),
        (["n", "--target", "a", "--channel", "c\u202e"], "'--channel': must not hold line breaks or control"),
        (["n", "--target", "a", "--channel", "c", "--scope", "everything"], "'--scope': must be one of: tasks:create"),
        (["n", "--target", "a", "--channel", "c", "--callback-url", "ftp://hidden@x"], "'--callback-url': must be an"),
        (["n", "--target", "a", "--channel", "c", "--callback-url", "http://"], "'--callback-url': must be an http"),
        (["n", "--target", "a", "--channel", "c", "--no-secret"], "--no-secret is about callbacks"),
        ([" n", "--target", "a", "--channel", "c"], "'NAME': must be a text of 1 to 128 characters"),
        (["n\x1b[1m", "--target", "a", "--channel", "c"], "'NAME': must not hold line breaks or control"),
        (["n" * 129, "--target", "a", "--channel", "c"], "'NAME': must be a text of 1 to 128 characters"),
        (["--target", "a", "--channel", "c"], "Missing argument 'NAME'"),
    ],
)
def test_wrong_use_names_the_option_and_the_problem(relay: Relay, args: list[str], said: str) -> None:
    shown = failed(relay, "add", *args, code=2)
    assert said in shown
    assert "hidden" not in shown
    assert "\x1b" not in shown
    assert not file_of(relay).exists()


def test_a_name_is_given_once_in_file_and_environment(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration("ops")))
    add(relay, "grafana")
    before = file_of(relay).read_bytes()
    assert str(file_of(relay)) in failed(relay, "add", "grafana", "--target", "a", "--channel", "b")
    assert "AGENT_RELAY_INTEGRATIONS" in failed(relay, "add", "ops", "--target", "a", "--channel", "b")
    assert file_of(relay).read_bytes() == before


def test_those_that_are_added_at_the_same_time_are_all_kept(own: Relay) -> None:
    made = in_threads(8, lambda index: add(own, f"n{index}"))
    assert {name: entry["token"] for name, entry in stored(own).items()} == {
        each["name"]: each["token"] for each in made
    }
    assert len(stored(own)) == 8
    for each in made:
        assert post(own, each["token"]).status_code == 201


# -- list --------------------------------------------------------------------------------------------------------------


def test_the_list_says_where_each_comes_from(make_relay: MakeRelay) -> None:
    relay = make_relay(**configured(make_integration("ops", targets=["tag:a", "tag:b"])))
    add(relay, "grafana", "--callback-url", "https://hooks.example/x")
    lines = [re.split("  +", line) for line in ok(relay, "integrations", "list").splitlines()]
    assert lines == [
        ["NAME", "SCOPES", "TARGETS", "CHANNELS", "CALLBACK", "FROM"],
        ["grafana", "tasks:create", "tag:ops", "alerts", "https://hooks.example", "integrations.json"],
        ["ops", "all", "tag:a, tag:b", "all", "AGENT_RELAY_INTEGRATIONS"],
    ]
    found = json.loads(ok(relay, "integrations", "list", "--json"))["integrations"]
    assert found == [
        {"name": "ops", "scopes": ["*"], "targets": ["tag:a", "tag:b"], "channels": ["*"], "callbackHost": None,
         "signed": False, "source": "AGENT_RELAY_INTEGRATIONS"},
        {"name": "grafana", "scopes": ["tasks:create"], "targets": ["tag:ops"], "channels": ["alerts"],
         "callbackHost": "https://hooks.example", "signed": True, "source": "integrations.json"},
    ]  # fmt: skip


def test_without_any_the_list_says_how_to_make_one(own: Relay) -> None:
    assert "agent-relay integrations add" in ok(own, "integrations", "list")
    assert json.loads(ok(own, "integrations", "list", "--json")) == {"integrations": []}
    assert not file_of(own).exists()


def test_file_and_environment_that_do_not_go_together_are_listed_and_named(own: Relay) -> None:
    add(own, "ops")
    given = json.dumps([make_integration("ops")])
    done = run(own, "integrations", "list", AGENT_RELAY_INTEGRATIONS=given)
    assert done.returncode == 1
    assert done.stdout.count("\nops ") == 2
    assert done.stderr.count("\n") == 1
    assert "two integrations are named" in done.stderr
    ok(own, "integrations", "remove", "ops", "--yes", AGENT_RELAY_INTEGRATIONS=given)
    assert stored(own) == {}


BROKEN = {
    "no JSON": b'[{"name": "hidden"',
    "no array": b'{"hidden": 1}',
    "an unknown key": b'[{"name": "a", "token": "hidden", "scope": []}]',
    "no UTF-8": b'["\xff"]',
}


@pytest.mark.parametrize("kind", [*BROKEN, "open to others"])
def test_a_broken_file_is_named_and_never_changed(relay: Relay, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "agent-relay" / "integrations.json"
    file.parent.mkdir()
    file.write_bytes(BROKEN.get(kind, b"[]"))
    file.chmod(0o644 if kind == "open to others" else 0o600)
    before = file.read_bytes(), file.stat().st_mtime_ns
    for args in (
        ["list"],
        ["add", "b", "--target", "a", "--channel", "c"],
        ["rotate", "a"],
        ["remove", "a", "--yes"],
        ["test", "a"],
    ):
        line = failed(relay, *args, XDG_CONFIG_HOME=str(tmp_path))
        assert str(file) in line
        assert "hidden" not in line
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert [path.name for path in file.parent.iterdir() if "lock" not in path.name] == ["integrations.json"]


def test_a_folder_that_cannot_be_written_is_one_line(relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "agent-relay").write_text("in the way")
    line = failed(relay, "add", "b", "--target", "a", "--channel", "c", XDG_CONFIG_HOME=str(tmp_path))
    assert "cannot" in line
    assert str(tmp_path) in line


def test_a_bad_variable_is_one_line(relay: Relay) -> None:
    for args in (["list"], ["add", "b", "--target", "a", "--channel", "c"], ["test", "b"]):
        line = failed(relay, *args, AGENT_RELAY_INTEGRATIONS='[{"token": "hidden"}]')
        assert line.startswith("agent-relay: AGENT_RELAY_INTEGRATIONS: ")
        assert "hidden" not in line.partition("; example")[0]


# -- rotate and remove -------------------------------------------------------------------------------------------------


def test_a_new_token_ends_the_old_one(own: Relay) -> None:
    before = add(own, "grafana", "--callback-url", "http://127.0.0.1:9/")
    assert post(own, before["token"]).status_code == 201
    shown = ok(own, "integrations", "rotate", "grafana")
    (token,) = TOKEN.findall(shown)
    assert "the old one stops working now" in shown
    assert "shown only now" in shown
    assert SECRET.search(shown) is None
    assert stored(own)["grafana"]["callbackSecret"] == before["callbackSecret"]
    assert post(own, before["token"]).status_code == 401
    assert post(own, token).status_code == 201
    again = json.loads(ok(own, "integrations", "rotate", "grafana", "--json"))
    assert again["token"] not in {token, before["token"]}
    assert "callbackSecret" not in again


def test_a_new_callback_secret_signs_from_now_on(own: Relay) -> None:
    with receiving() as receiver:
        made = add(own, "grafana", "--callback-url", receiver.url)
        post(own, made["token"])
        shown = ok(own, "integrations", "rotate", "grafana", "--callback-secret") if receiver.wait_for(1) else ""
        (secret,) = SECRET.findall(shown)
        assert TOKEN.search(shown) is None
        assert post(own, made["token"]).status_code == 201
        first, second = receiver.wait_for(2)
        Webhook(made["callbackSecret"]).verify(first.body, first.headers)
        Webhook(secret).verify(second.body, second.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(made["callbackSecret"]).verify(second.body, second.headers)


def test_a_callback_secret_needs_a_callback(own: Relay) -> None:
    add(own, "plain")
    assert "no callback URL" in failed(own, "rotate", "plain", "--callback-secret")
    add(own, "unsigned", "--callback-url", "http://127.0.0.1:9/", "--no-secret")
    shown = ok(own, "integrations", "rotate", "unsigned", "--callback-secret")
    assert "signed from now on" in shown
    assert stored(own)["unsigned"]["callbackSecret"] in shown


def test_one_from_the_environment_is_changed_where_it_is_set(own: Relay, tmp_path: Path) -> None:
    given = json.dumps([make_integration("ops")])
    file = tmp_path / "given.json"
    file.write_text(given)
    env_file = file_of(own).with_name("relay.env")
    env_file.parent.mkdir(parents=True, exist_ok=True)
    places: list[tuple[dict[str, Any], str]] = [
        ({"AGENT_RELAY_INTEGRATIONS": given}, "environment"),
        ({"AGENT_RELAY_INTEGRATIONS_FILE": str(file)}, str(file)),
        ({}, str(env_file)),
    ]
    for environ, where in places:
        if not environ:
            env_file.write_text(f"AGENT_RELAY_INTEGRATIONS='{given}'\n")
            env_file.chmod(0o600)
        for args in (["rotate", "ops"], ["remove", "ops", "--yes"]):
            line = failed(own, *args, **environ)
            assert "AGENT_RELAY_INTEGRATIONS" in line
            assert where in line
            assert "ops-token" not in line


def test_what_is_not_there_is_named_with_what_is(own: Relay) -> None:
    assert "there are none yet" in failed(own, "rotate", "nobody")
    add(own, "grafana")
    for args in (["rotate", "nobody"], ["remove", "nobody"], ["remove", "nobody", "--yes"], ["test", "nobody"]):
        assert "there are: grafana" in failed(own, *args)
    assert "\x1b" not in failed(own, "rotate", "no\x1b[2Jbody")


def test_removing_asks_at_a_terminal_and_needs_yes_elsewhere(own: Relay) -> None:
    tokens = {name: add(own, name)["token"] for name in ("a", "b", "c")}
    assert "--yes" in failed(own, "remove", "a")
    assert ok(own, "integrations", "remove", "a", "--yes") == "a is removed; its token stops working now.\n"
    assert [post(own, token).status_code for token in tokens.values()] == [401, 201, 201]
    code, shown = on_terminal(own, "integrations", "remove", "b", keys="y\n")
    assert code == 0, shown
    assert "Remove b?" in shown
    code, shown = on_terminal(own, "integrations", "remove", "c", keys="n\n")
    assert code == 1
    assert "c stays as it is" in shown
    assert list(stored(own)) == ["c"]
    assert stat.S_IMODE(file_of(own).stat().st_mode) == 0o600


# -- test --------------------------------------------------------------------------------------------------------------


def test_a_test_makes_a_task_and_closes_it_again(own: Relay) -> None:
    add(own, "grafana")
    shown = ok(own, "integrations", "test", "grafana")
    task = answer(own.get("/tasks"))["tasks"][0]
    assert shown.splitlines() == [
        f"#{task['id']} made for tag:ops in alerts, at {own.url}",
        f"#{task['id']} closed again",
        "grafana works.",
    ]
    assert (task["type"], task["severity"], task["status"]) == ("agent-relay.test", "info", "done")
    assert [each["by"] for each in history(own, task["id"])] == ["grafana", "grafana"]
    again = json.loads(ok(own, "integrations", "test", "grafana", "--json"))
    assert (again["ok"], again["problem"], again["callbacks"]) == (True, None, [])
    assert again["task"] == get_task(own, again["task"]["id"])
    assert again["task"]["dedupeKey"] != task["dedupeKey"]


def test_a_test_goes_where_it_is_told_and_else_where_it_disturbs_least(own: Relay) -> None:
    ok(own, "integrations", "add", "all", "--target", "*", "--channel", "*")
    assert "made for human in test, at" in ok(own, "integrations", "test", "all")
    shown = ok(own, "integrations", "test", "all", "--target", "tag:x", "--channel", "elsewhere")
    assert "made for tag:x in elsewhere, at" in shown


def test_a_test_sees_its_callbacks_arrive_signed(own: Relay) -> None:
    with receiving() as receiver:
        secret = add(own, "grafana", "--callback-url", receiver.url)["callbackSecret"]
        shown = ok(own, "integrations", "test", "grafana")
        calls = receiver.wait_for(2)
        assert [call.event for call in calls] == ["task.created", "task.status"]
        for call in calls:
            assert Webhook(secret).verify(call.body, call.headers)
        lines = [re.sub(r"\d+ ms", "N ms", line) for line in shown.splitlines()]
        assert lines[2:] == [
            "    callback task.created   answered 204 · N ms",
            "    callback task.status    answered 204 · N ms",
            "grafana works.",
        ]


def test_a_callback_that_arrives_at_the_second_attempt_has_arrived(own: Relay) -> None:
    calls: list[Call] = []

    def reply(call: Call) -> Reply:
        calls.append(call)
        return (204, b"", {}) if len(calls) > 1 else REFUSED

    with receiving(reply) as receiver:
        add(own, "grafana", "--callback-url", receiver.url)
        shown = ok(own, "integrations", "test", "grafana")
    assert "the receiver answered 500: no \\x1b[2Jthanks · " in shown
    assert re.search(r"callback task\.created   answered 204 · \d+ ms · attempt 2\n", shown)
    assert "\x1b" not in shown


def test_callbacks_that_do_not_arrive_fail_the_test(own: Relay) -> None:
    with receiving(lambda _call: REFUSED) as refusing:
        add(own, "refused", "--callback-url", refusing.url)
        add(own, "dead", "--callback-url", "http://user:hidden@127.0.0.1:9/hidden")

        def trial(index: int) -> tuple[int, str, str, float]:
            begun = time.monotonic()
            done = run(own, "integrations", "test", *(["refused"], ["dead", "--json"])[index])
            return done.returncode, done.stdout, done.stderr, time.monotonic() - begun

        refused, dead = in_threads(2, trial)
    for code, _, line, took_s in (refused, dead):
        assert code == 1
        assert line == "Error: 0 of 2 callbacks were delivered within 15 s; the relay goes on trying for a day\n"
        assert 15 <= took_s < 25
    assert refused[1].count("the receiver answered 500: no \\x1b[2Jthanks") >= 3
    found = json.loads(dead[1])
    assert found["ok"] is False
    assert found["problem"] in dead[2]
    assert [each["state"] for each in found["callbacks"]] == ["pending", "pending"]
    assert "could not be reached" in found["callbacks"][0]["attempts"][0]["error"]
    assert "hidden" not in dead[1] + dead[2]


def test_a_relay_with_another_set_of_integrations_says_so(own: Relay, make_relay: MakeRelay) -> None:
    add(own, "grafana")
    for relay in (make_relay(), make_relay(AGENT_RELAY_TOKEN="shared")):
        line = failed(own, "test", "grafana", AGENT_RELAY_URL=relay.url)
        assert "does not know this token" in line
        assert str(file_of(own)) in line
        assert relay.url in line
    # The same token there, without the callback address.
    there = make_relay()
    entry = stored(own)["grafana"]
    file_of(there).parent.mkdir(parents=True, exist_ok=True)
    file_of(there).write_text(json.dumps([entry]))
    file_of(there).chmod(0o600)
    file_of(own).write_text(json.dumps([entry | {"callbackUrl": "http://127.0.0.1:9/"}]))
    done = run(own, "integrations", "test", "grafana", AGENT_RELAY_URL=there.url)
    assert done.returncode == 1
    assert done.stderr == "Error: there was no callback: the relay knows grafana without a callbackUrl\n"


def test_a_test_that_cannot_be_made_is_one_line(make_relay: MakeRelay) -> None:
    relay = make_relay(
        AGENT_RELAY_INTEGRATIONS=json.dumps(
            [
                make_integration("ops", targets=["tag:a", "tag:b"], channels=["x"]),
                make_integration("reader", scopes=["tasks:read"]),
            ]
        ),
        AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE=5,
    )
    assert "http://127.0.0.1:9" in failed(relay, "test", "ops", AGENT_RELAY_URL="http://127.0.0.1:9")
    assert "tag:other is not open to it" in failed(relay, "test", "ops", "--target", "tag:other")
    assert "y is not open to it" in failed(relay, "test", "ops", "--channel", "y")
    assert "needs the scope tasks:create" in failed(relay, "test", "reader")
    assert "unknown kind of target" in failed(relay, "test", "ops", "--target", "word:x")
    # Three of five are used up: one whole test goes, and no further one.
    assert "made for tag:a in x" in ok(relay, "integrations", "test", "ops")
    line = failed(relay, "test", "ops")
    assert "may call 5 times a minute" in line
    assert "try again in" in line


def test_a_test_that_cannot_close_its_task_says_so(make_relay: MakeRelay) -> None:
    relay = make_relay(
        AGENT_RELAY_INTEGRATIONS=json.dumps([make_integration("ops")]), AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE=1
    )
    done = run(relay, "integrations", "test", "ops")
    assert done.returncode == 1
    task = answer(relay.get("/tasks"))["tasks"][0]
    assert task["status"] == "open"
    assert done.stdout.startswith(f"#{task['id']} made for human")
    assert done.stderr.startswith(f"Error: task {task['id']} stays open: The integration ops may call 1 times")


def test_with_a_shared_token_each_call_carries_its_own(make_relay: MakeRelay) -> None:
    with receiving() as receiver:
        relay = make_relay(AGENT_RELAY_TOKEN="shared")
        made = add(relay, "grafana", "--callback-url", receiver.url)
        assert "grafana works." in ok(relay, "integrations", "test", "grafana")
        # Without it the task is made, but what became of the callbacks cannot be seen.
        done = run(relay, "integrations", "test", "grafana", AGENT_RELAY_TOKEN="")
        assert done.returncode == 1
        assert "cannot be seen" in done.stderr
        assert "AGENT_RELAY_TOKEN" in done.stderr
    assert made["token"] not in relay.log


def test_an_agent_sees_the_test_for_a_moment(own: Relay) -> None:
    bob = make_agent(own, id=unique("bob"), tags=["ops"])
    add(own, "grafana")
    with own.open(f"/events?for={bob}") as stream:
        ok(own, "integrations", "test", "grafana")
        events = stream.until(lambda event: event.name == "task.status")
    (message,) = [event.data for event in events if event.name == "message.new"]
    assert "there is nothing to do" in message["body"]
    wait_until(lambda: answer(own.get("/messages", params={"for": bob, "unread": "true"}))["messages"] == [], "closed")


def test_nothing_but_the_file_holds_a_secret(own: Relay) -> None:
    add(own, "grafana")
    lock = file_of(own).with_name("integrations.json.lock")
    assert sorted(file_of(own).parent.iterdir()) == [file_of(own), lock]
    assert lock.read_bytes() == b""
