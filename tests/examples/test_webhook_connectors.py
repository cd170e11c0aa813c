"""The connectors that read a vendor's webhook on stdin, and the door before them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.examples.connectors import (
    FOLDER,
    PYTHON,
    Done,
    Use,
    address,
    alertmanager,
    closing,
    dedupe_key,
    front,
    github,
    make_alert,
    make_issues_event,
    make_notification,
    opening,
    refused,
    run_all,
    tasks_of,
    to_json,
)
from tests.factories import DEADLINE_S, Json, Relay, unique
from tests.integrations import Call, Reply, get_task, history

# -- Alertmanager ------------------------------------------------------------------------------------------------------


def test_each_alert_of_a_group_is_a_task(bus: Relay) -> None:
    one, two, three = (unique("fp") for _ in range(3))
    opened = alertmanager(make_alert(one), make_alert(two)).run(bus.url)
    first, second = opened.task_ids
    mixed = alertmanager(make_alert(one), make_alert(two, status="resolved"), make_alert(three)).run(bus.url)
    lines = mixed.out.splitlines()
    assert lines[:2] == [f"task {first} counted (2 times now)", f"task {second} resolved"]
    assert re.fullmatch(r"task \d+ created", lines[2])
    assert [get_task(bus, task_id)["status"] for task_id in (first, second)] == ["open", "done"]


def test_an_alert_becomes_what_people_look_for(bus: Relay) -> None:
    key = unique("fp")
    alert = make_alert(key)
    task = get_task(bus, alertmanager(alert).run(bus.url).task_id)
    expected = {
        "type": "prometheus.alert",
        "severity": "critical",
        "dedupeKey": key,
        "title": "Disk full on web1",
        "body": "/var is at 97 %.\n\nalertname: DiskFull\ninstance: web1:9100\njob: node\nseverity: critical",
        "externalUrl": alert["generatorURL"],
        "metadata": {name: alert[name] for name in ("labels", "annotations", "startsAt")},
    }
    assert {name: task[name] for name in expected} == expected
    worse = alertmanager(make_alert(key, annotations={"description": "/var is full."})).run(bus.url)
    assert worse.out == f"task {task['id']} counted (2 times now)\n"
    assert get_task(bus, task["id"])["body"].startswith("/var is full.\n")
    alertmanager(make_alert(key, status="resolved")).run(bus.url)
    assert history(bus, task["id"])[-1]["occurrence"]["title"] == "Disk full on web1"


def test_the_label_severity_is_the_tasks(bus: Relay) -> None:
    expected = {
        "critical": "critical", "page": "critical", "Error": "error", "HIGH": "error", "warning": "warning",
        "info": "info", "none": "info", "purple": "warning", "": "warning", None: "warning",
    }  # fmt: skip
    labels = [{"alertname": "X"} | ({} if label is None else {"severity": label}) for label in expected]
    done = alertmanager(*(make_alert(unique("fp"), labels=each) for each in labels)).run(bus.url)
    tasks = [get_task(bus, task_id) for task_id in done.task_ids]
    assert [task["severity"] for task in tasks] == list(expected.values())


def test_an_alert_without_a_summary_is_called_by_its_name(bus: Relay) -> None:
    for fields, title in (
        ({"annotations": {}}, "DiskFull"),
        ({"annotations": None}, "DiskFull"),
        ({"annotations": {"summary": " "}}, "DiskFull"),
        ({"annotations": {}, "labels": {"job": "node"}}, "An alert without a name"),
        ({"annotations": {"summary": "ü" * 2_000}}, "ü" * 999 + "…"),
    ):
        task = get_task(bus, alertmanager(make_alert(unique("fp"), **fields)).run(bus.url).task_id)
        assert task["title"] == title


@pytest.mark.parametrize("fingerprint", [None, "", "f" * 257])
def test_without_a_fingerprint_the_labels_tell_alerts_apart(bus: Relay, fingerprint: str | None) -> None:
    name = unique("alert")
    labels = {"alertname": name, "instance": "web1", "job": "node"}
    task_id = alertmanager(make_alert(fingerprint=fingerprint, labels=labels)).run(bus.url).task_id
    turned = dict(reversed(labels.items()))
    again = alertmanager(make_alert(fingerprint=fingerprint, labels=turned)).run(bus.url)
    assert again.out == f"task {task_id} counted (2 times now)\n"
    other = alertmanager(make_alert(fingerprint=fingerprint, labels=labels | {"instance": "web2"}))
    assert other.run(bus.url).task_id > task_id
    resolved = alertmanager(make_alert(fingerprint=fingerprint, labels=labels, status="resolved"))
    assert resolved.run(bus.url).out == f"task {task_id} resolved\n"


def test_a_link_that_the_relay_would_refuse_is_left_out(bus: Relay) -> None:
    links = [
        None, "", "prometheus", "javascript:alert(1)", "ftp://a/", "http://", "http://a:99999/", "http://a:0/", "http://[/",
        "http://u:p@a/", "http://@a/", "http://a/ b", "http://a/{x}", "http://a/\u00fc", "http://a/" + "x" * 2_048,
    ]  # fmt: skip
    good = "HTTPS://prometheus.example:9090/graph?g0.expr=x+%3E+1#@top"
    done = alertmanager(*(make_alert(unique("fp"), generatorURL=link) for link in [*links, good])).run(bus.url)
    assert [get_task(bus, task_id)["externalUrl"] for task_id in done.task_ids] == [None] * len(links) + [good]


@pytest.mark.parametrize(
    "labels",
    [
        {"alertname": "X", "a": "x" * 100_000},
        {"alertname": "X"} | {f"label{number}": "ü" * 300 for number in range(50)},
        {f"label{number}": "x" for number in range(5_000)},
        {"alertname": "\x01" * 5_000},
    ],
)
def test_large_labels_are_shortened_and_the_alert_arrives(bus: Relay, labels: Json) -> None:
    task = get_task(bus, alertmanager(make_alert(unique("fp"), labels=labels)).run(bus.url).task_id)
    assert task["metadata"]["shortened"] is True
    assert len(json.dumps(task["metadata"], ensure_ascii=False).encode()) <= 17_000
    assert len(task["body"]) <= 100_000


def test_texts_that_the_relay_refuses_are_replaced_and_the_alert_arrives(bus: Relay) -> None:
    payload = make_notification(make_alert(unique("fp"), annotations={"summary": "HALF", "NUL": "x\0"}))
    stdin = json.dumps(payload).replace("HALF", r"half \ud83d of it").encode()
    task = get_task(bus, Use("prometheus-alertmanager.py", (), stdin).run(bus.url).task_id)
    assert task["title"] == "half \ufffd of it"
    assert task["metadata"]["annotations"]["NUL"] == "x\ufffd"


def test_what_alertmanager_left_out_is_said(bus: Relay) -> None:
    done = alertmanager(make_alert(unique("fp")), truncatedAlerts=3).run(bus.url)
    assert done.out.splitlines()[1:] == ["3 more alerts were left out by Alertmanager (max_alerts)"]
    assert alertmanager(truncatedAlerts=None).run(bus.url) == Done(0, "no alerts\n", "")


def test_a_refusal_in_the_middle_is_said_with_what_was_done(bus: Relay) -> None:
    one, two, three = (unique("fp") for _ in range(3))

    def spoil(call: Call, _count: int) -> Reply | None:
        return (403, b'{"detail": "No."}', {}) if json.loads(call.body)["dedupeKey"] == two else None

    with front(bus, spoil) as receiver:
        done = alertmanager(*(make_alert(key) for key in (one, two, three))).run(address(receiver))
    assert done.status == 1
    assert re.fullmatch(r"task \d+ created\n", done.out)
    assert re.fullmatch(r"prometheus-alertmanager: .* \(403\): No\. \(alert 2 of 3\)\n", done.err), done
    assert len(receiver.calls) == 2


DEEP = b'{"version": "4", "alerts": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
#: Bytes that are no payload of anything, and what is said of them.
NO_PAYLOAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "stdin is empty"),
    "blank": (b" \n", "stdin is empty"),
    "text": (b"hello", "stdin is not JSON: Expecting value at line 1, column 1"),
    "cut off": (b'{"version": "4", "alerts": [', "stdin is not JSON"),
    "two objects": (b"{} {}", "stdin is not JSON"),
    "a form": (b"payload=%7B%7D", "stdin is not JSON"),
    "NaN": (b'{"version": NaN}', "NaN is no number"),
    "Infinity": (b'{"x": -Infinity}', "-Infinity is no number"),
    "list": (b"[]", "stdin must be a JSON object, not a list"),
    "null": (b"null", "stdin must be a JSON object, not null"),
    "number": (b"4", "stdin must be a JSON object, not a whole number"),
    "Latin-1": (b'{"version": "\xfc"}', "stdin is not UTF-8"),
    "UTF-16": ('{"version": "4"}'.encode("utf-16"), "stdin is not UTF-8"),
    "too deep": (DEEP, "nested too deeply"),
    "deep in what is not looked at": (b'{"x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested too deeply"),
    "a long number": (b'{"x": ' + b"9" * 5_000 + b"}", ""),
    "huge": (b" " * (25 * 1024 * 1024 + 1), "more than 25 MiB"),
}


@pytest.mark.parametrize(("stdin", "said"), NO_PAYLOAD.values(), ids=NO_PAYLOAD)
def test_what_is_no_payload_is_not_sent(bus: Relay, stdin: bytes, said: str) -> None:
    for done in run_all([Use(connector, (), stdin) for connector in PYTHON], bus.url, token="quiet-token"):
        refused(done, 2, said)
    assert tasks_of(bus, "quiet") == []


GOOD = make_alert()
WRONG_NOTIFICATIONS: dict[str, tuple[Json, str]] = {
    "no version": (make_notification(GOOD, version=None), "version is missing"),
    "version 3": (make_notification(GOOD, version="3"), 'version must be "4"'),
    "version of a kind": (make_notification(GOOD, version=4), "version must be text, not a whole number"),
    "no alerts": (make_notification(alerts=None), "alerts is missing"),
    "alerts of a kind": (make_notification(alerts={}), "alerts must be a list, not an object"),
    "an alert of a kind": (make_notification("x"), "alerts[0] must be an object, not text"),
    "no status": (make_notification(make_alert(status=None)), "alerts[0].status is missing"),
    "status": (make_notification(make_alert(status="x\ny")), 'alerts[0].status must be "firing" or "resolved"'),
    "no labels": (make_notification(make_alert(labels=None)), "alerts[0].labels is missing"),
    "labels of a kind": (make_notification(make_alert(labels=[])), "alerts[0].labels must be an object, not a list"),
    "a label of a kind": (
        make_notification(make_alert(labels={"a": 1.5})),
        "alerts[0].labels.a must be text, not a nu",
    ),
    "annotations of a kind": (
        make_notification(make_alert(annotations="x")),
        "alerts[0].annotations must be an object",
    ),
    "an annotation of a kind": (make_notification(make_alert(annotations={"a": None})), "alerts[0].annotations.a must"),
    "link of a kind": (make_notification(make_alert(generatorURL=1)), "alerts[0].generatorURL must be text"),
    "fingerprint of a kind": (make_notification(make_alert(fingerprint=1)), "alerts[0].fingerprint must be text"),
    "start of a kind": (make_notification(make_alert(startsAt=True)), "alerts[0].startsAt must be text, not true or"),
    "nothing that names it": (make_notification(make_alert("", labels={})), "neither a fingerprint nor labels"),
    "count of a kind": (make_notification(GOOD, truncatedAlerts="3"), "truncatedAlerts must be a whole number"),
    "count that is true": (make_notification(GOOD, truncatedAlerts=True), "truncatedAlerts must be a whole number"),
    "the second one": (make_notification(GOOD, make_alert(status="x")), "alerts[1].status must be"),
    "the last one": (make_notification(*[GOOD] * 9, {}), "alerts[9].status is missing"),
}


@pytest.mark.parametrize(("payload", "said"), WRONG_NOTIFICATIONS.values(), ids=WRONG_NOTIFICATIONS)
def test_nothing_of_a_malformed_notification_is_sent(bus: Relay, payload: Json, said: str) -> None:
    done = Use("prometheus-alertmanager.py", (), to_json(payload)).run(bus.url, token="quiet-token")
    refused(done, 2, "prometheus-alertmanager: ", said)
    assert tasks_of(bus, "quiet") == []


# -- GitHub ------------------------------------------------------------------------------------------------------------


def test_an_issue_becomes_what_people_look_for(bus: Relay) -> None:
    repository = unique("repo")
    task = get_task(bus, github("opened", repository).run(bus.url).task_id)
    expected = {
        "type": "github.issue",
        "severity": "error",
        "dedupeKey": f"octo-org/{repository}#7",
        "title": "Spelling error in the README",
        "body": "It says 'committ'.",
        "externalUrl": "https://github.com/octo-org/hello/issues/7",
        "metadata": {
            "repository": f"octo-org/{repository}",
            "number": 7,
            "title": "Spelling error in the README",
            "author": "octocat",
            "labels": ["bug"],
        },
    }
    assert {name: task[name] for name in expected} == expected


def test_an_edited_issue_brings_its_task_up_to_date(bus: Relay) -> None:
    repository = unique("repo")
    task_id = github("opened", repository).run(bus.url).task_id
    labels = [{"name": "bug"}, {"name": "critical"}]
    edited = github("edited", repository, body="And 'teh'.", title="Two errors", labels=labels).run(bus.url)
    assert edited.out == f"task {task_id} counted (2 times now)\n"
    task = get_task(bus, task_id)
    assert (task["body"], task["severity"]) == ("And 'teh'.", "critical")
    assert (task["metadata"]["title"], task["metadata"]["labels"]) == ("Two errors", ["bug", "critical"])
    for nothing in (None, ...):
        assert github("edited", repository, body=nothing).run(bus.url).status == 0
        assert get_task(bus, task_id)["body"] == ""
    assert [moment["event"] for moment in history(bus, task_id)] == ["task.created"] + ["task.updated"] * 3


def test_an_issue_that_is_reopened_opens_another_task(bus: Relay) -> None:
    repository = unique("repo")
    first = github("opened", repository).run(bus.url).task_id
    assert github("closed", repository, state="closed").run(bus.url).out == f"task {first} resolved\n"
    assert get_task(bus, first)["status"] == "done"
    assert github("edited", repository, state="closed").run(bus.url).out == "ignored: edited, and closed\n"
    second = github("reopened", repository).run(bus.url).task_id
    assert second > first
    assert github("reopened", repository).run(bus.url).out == f"task {second} counted (2 times now)\n"
    assert github("closed", repository, state="closed").run(bus.url).out == f"task {second} resolved\n"
    assert github("closed", repository, state="closed").run(bus.url).out == "nothing to resolve\n"


def test_the_worst_label_is_the_severity(bus: Relay) -> None:
    expected: tuple[tuple[list[str], str], ...] = (
        ([], "warning"), (["bug"], "error"), (["Critical"], "critical"), (["question", "bug"], "error"),
        (["type: bug", "priority/critical"], "critical"), (["documentation"], "info"), (["debugging"], "warning"),
        (["good first issue"], "warning"), (["security"], "critical"), (["enhancement", "help wanted"], "info"),
    )  # fmt: skip
    labels = [[{"name": name} for name in names] for names, _ in expected]
    done = run_all([github("opened", unique("repo"), labels=each) for each in labels], bus.url)
    assert [get_task(bus, each.task_id)["severity"] for each in done] == [severity for _, severity in expected]


PING = {
    "zen": "Anything added dilutes everything else.",
    "hook_id": 109948940,
    "hook": {"type": "Repository", "id": 109948940, "events": ["issues"], "active": True},
    "repository": {"full_name": "octo-org/hello"},
}
#: Actions of an `issues` event that change nothing here, and what else GitHub may send to the same address.
IGNORED: dict[str, tuple[Json, str]] = {
    **{
        action: (make_issues_event(action), f"ignored: {action}\n")
        for action in ("assigned", "deleted", "labeled", "locked", "milestoned", "pinned", "transferred", "unlabeled")
    },
    "a ping": (PING, "ignored: a ping\n"),
    "a comment": (make_issues_event("edited") | {"comment": {"id": 1}}, "ignored: a comment\n"),
    "an action of two lines": (make_issues_event("a\nb\x1b"), "ignored: a b?\n"),
    "an issue that came closed": (make_issues_event("opened", state="closed"), "ignored: opened, and closed\n"),
}


@pytest.mark.parametrize(("payload", "said"), IGNORED.values(), ids=IGNORED)
def test_other_actions_are_ignored(bus: Relay, payload: Json, said: str) -> None:
    done = Use("github-issue.py", (), to_json(payload)).run(bus.url, token="quiet-token")
    assert done == Done(0, said, "")
    assert tasks_of(bus, "quiet") == []


def without(name: str) -> Json:
    return {key: value for key, value in make_issues_event("opened").items() if key != name}


WRONG_ISSUES: dict[str, tuple[Json, str]] = {
    "no action": (without("action"), "action is missing"),
    "action of a kind": (make_issues_event(1), "action must be text, not a whole number"),
    "no issue": (without("issue"), "issue is missing"),
    "issue of a kind": (make_issues_event("opened") | {"issue": []}, "issue must be an object, not a list"),
    "no repository": (without("repository"), "repository is missing"),
    "no name": (make_issues_event("opened") | {"repository": {}}, "repository.full_name is missing"),
    "empty name": (make_issues_event("opened") | {"repository": {"full_name": ""}}, "repository.full_name must be"),
    "long name": (make_issues_event("opened", "r" * 300), "repository.full_name must be"),
    "no number": (make_issues_event("opened", number=...), "issue.number is missing"),
    "number as text": (make_issues_event("opened", number="7"), "issue.number must be a whole number, not text"),
    "number as true": (make_issues_event("opened", number=True), "issue.number must be a whole number, not true or"),
    "number as a fraction": (make_issues_event("opened", number=7.0), "issue.number must be a whole number, not a num"),
    "no issue's number": (make_issues_event("opened", number=0), "issue.number must be the number of an issue"),
    "no title": (make_issues_event("opened", title=...), "issue.title is missing"),
    "title of a kind": (make_issues_event("opened", title=None), "issue.title must be text, not null"),
    "body of a kind": (make_issues_event("opened", body={}), "issue.body must be text, not an object"),
    "no link": (make_issues_event("opened", html_url=...), "issue.html_url is missing"),
    "labels of a kind": (make_issues_event("opened", labels={"a": 1}), "issue.labels must be a list"),
    "a label of a kind": (make_issues_event("opened", labels=["bug"]), "issue.labels[0] must be an object, not text"),
    "a label without a name": (make_issues_event("opened", labels=[{}]), "issue.labels[0].name is missing"),
    "user of a kind": (make_issues_event("opened", user="octocat"), "issue.user must be an object"),
    "state of a kind": (make_issues_event("opened", state=1), "issue.state must be text"),
}


@pytest.mark.parametrize(("payload", "said"), WRONG_ISSUES.values(), ids=WRONG_ISSUES)
def test_a_malformed_issue_is_not_sent(bus: Relay, payload: Json, said: str) -> None:
    done = Use("github-issue.py", (), to_json(payload)).run(bus.url, token="quiet-token")
    refused(done, 2, "github-issue: ", said)
    assert tasks_of(bus, "quiet") == []


def test_an_issue_without_what_may_be_missing_arrives(bus: Relay) -> None:
    missing: dict[str, Any] = dict.fromkeys(("body", "labels", "state", "user"), ...)
    use = github("opened", unique("repo"), title=" ", html_url="github", **missing)
    task = get_task(bus, use.run(bus.url).task_id)
    assert (task["title"], task["body"], task["externalUrl"]) == (task["dedupeKey"], "", None)


def test_a_large_issue_is_shortened_and_arrives(bus: Relay) -> None:
    labels = [{"name": "ü" * 300} for _ in range(100)]
    use = github("opened", unique("repo"), title="x" * 5_000, body="\x01" * 300_000, labels=labels)
    task = get_task(bus, use.run(bus.url).task_id)
    assert (len(task["title"]), len(task["body"])) == (1_000, 100_000)
    assert task["metadata"]["shortened"] is True


# -- from HTTP to stdin ------------------------------------------------------------------------------------------------


@contextmanager
def door(*command: str, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """``http-to-stdin.py`` before a command; its address."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    process = subprocess.Popen(
        [str(FOLDER / "http-to-stdin.py"), "--port", "0", *command],
        stdout=subprocess.PIPE,
        env={"PATH": path, "PYTHONWARNINGS": "error", **(environ or {})},
    )
    try:
        assert process.stdout is not None
        listening = re.fullmatch(rb"listening on (http://127\.0\.0\.1:\d+/)\n", process.stdout.readline())
        assert listening
        yield listening[1].decode()
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
        if process.stdout is not None:
            process.stdout.close()


def post(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    came = requests.post(url, data=body, headers=headers, timeout=DEADLINE_S)
    return came.status_code, came.text


@pytest.mark.parametrize("connector", PYTHON)
def test_a_webhook_goes_through_the_door_to_its_connector(bus: Relay, connector: str) -> None:
    key = unique("key")
    environ = {"AGENT_RELAY_URL": bus.url, "AGENT_RELAY_INTEGRATION_TOKEN": "ops-token"}
    with door(str(FOLDER / connector), environ=environ) as url:
        status, said = post(url, opening(connector, key).stdin)
        assert status == 200
        made = re.fullmatch(r"task (\d+) created\n", said)
        assert made, said
        assert post(url, closing(connector, key).stdin) == (200, f"task {made[1]} resolved\n")
        assert post(url, b"{}")[0] == 422
    assert get_task(bus, int(made[1]))["dedupeKey"] == dedupe_key(connector, key)


def test_the_doors_answer_is_the_commands_exit_status() -> None:
    with door("sh", "-c", 'read -r status; echo "was $status"; exit "$status"') as url:
        assert post(url, b"0\n") == (200, "was 0\n")
        assert post(url, b"1\n") == (502, "was 1\n")
        assert post(url, b"2\n") == (422, "was 2\n")
        assert requests.get(url, timeout=DEADLINE_S).status_code == 501
        assert post(url, b"0\n", Origin="http://evil.example")[0] == 403
        assert post(url, b"", **{"Content-Length": "99999999999"})[0] == 413
        assert requests.post(url, data=iter([b"0"]), timeout=DEADLINE_S).status_code == 411
    with door("/no/such/command") as url:
        assert post(url, b"")[0] == 500


def test_the_door_asks_for_its_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a-secret\n")
    body = b'{"zen": "Keep it logically awesome."}'
    good = "sha256=" + hmac.new(b"a-secret", body, hashlib.sha256).hexdigest()
    with door("--", "sh", "-c", "cat; env", environ={"HTTP_TO_STDIN_SECRET_FILE": str(file)}) as url:
        for headers in (
            {},
            {"Authorization": "Bearer other"},
            {"Authorization": "a-secret"},
            {"X-Hub-Signature-256": good[:-1]},
            {"X-Hub-Signature-256": "sha256="},
            {"X-Hub-Signature-256": good.replace("sha256", "sha1")},
        ):
            assert post(url, body, **headers) == (403, "the secret is missing or wrong\n")
        assert post(url, body + b" ", **{"X-Hub-Signature-256": good})[0] == 403
        for headers in ({"Authorization": "Bearer a-secret"}, {"X-Hub-Signature-256": good}):
            status, said = post(url, body, **headers)
            assert (status, said.startswith(body.decode())) == (200, True)
            assert "HTTP_TO_STDIN_SECRET" not in said


@pytest.mark.parametrize(
    ("args", "environ", "said"),
    [
        ([], {}, "which command?"),
        (["--host", "0.0.0.0", "cat"], {}, "set HTTP_TO_STDIN_SECRET"),
        (["cat"], {"HTTP_TO_STDIN_SECRET_FILE": "/no/such/file"}, "HTTP_TO_STDIN_SECRET_FILE cannot be read"),
        (["cat"], {"HTTP_TO_STDIN_SECRET_FILE": "/dev/null"}, "the file is empty"),
        (["cat"], {"HTTP_TO_STDIN_SECRET_FILE": "/dev/null", "HTTP_TO_STDIN_SECRET": "x"}, "set one of them"),
    ],
)
def test_a_door_that_is_set_up_wrong_does_not_open(args: list[str], environ: dict[str, str], said: str) -> None:
    refused(Use("http-to-stdin.py", args).run("", token="", more=environ), 2, "http-to-stdin: ", said)
