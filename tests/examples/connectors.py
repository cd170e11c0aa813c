"""What tests of the connectors are made of: starting them as a user does, and payloads.

The payloads have the fields that the vendors document:

* Prometheus, "Alerting: Configuration", ``<webhook_config>``:
  https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
* GitHub Docs, "Webhook events and payloads", ``issues``:
  https://docs.github.com/en/webhooks/webhook-events-and-payloads#issues
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.factories import DEADLINE_S, ROOT, Json, Relay, answer
from tests.integrations import Call, Receiver, Reply, receiving

FOLDER = ROOT / "examples" / "integrations"
SHELL = ("ops-alert.sh", "support-ticket.sh")
PYTHON = ("prometheus-alertmanager.py", "github-issue.py")
CONNECTORS = SHELL + PYTHON
OPS_TOKEN = "ops-token"

# -- running them ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """What a connector left."""

    status: int
    out: str
    err: str

    @property
    def task_ids(self) -> list[int]:
        """The tasks that it made, and nothing else came of it."""
        assert (self.status, self.err) == (0, ""), self
        assert re.fullmatch(r"(task \d+ created\n)+", self.out), self
        return [int(number) for number in re.findall(r"\d+", self.out)]

    @property
    def task_id(self) -> int:
        """The only task that it made."""
        (task_id,) = self.task_ids
        return task_id


@dataclass(frozen=True)
class Use:
    """One way to start a connector."""

    connector: str
    args: Sequence[str | bytes] = ()
    stdin: bytes = b""

    def run(
        self,
        url: str,
        *,
        token: str = OPS_TOKEN,
        shell: str | None = None,
        more: Mapping[str, str] | None = None,
        **environ: str,
    ) -> Done:
        """Run it, as a user's shell would, in an environment that has nothing but what it needs."""
        path = str(FOLDER / self.connector)
        given_environ = {
            # `env python3` finds the Python of these tests.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONWARNINGS": "error",
            "AGENT_RELAY_URL": url,
            "AGENT_RELAY_INTEGRATION_TOKEN": token,
            **(more or {}),
            **environ,
        }
        done = subprocess.run(
            [*([shell] if shell else []), path, *self.args],
            input=self.stdin,
            capture_output=True,
            env={name: value for name, value in given_environ.items() if value},
            timeout=DEADLINE_S,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err
        assert not token or token not in out + err, "the token is printed"
        return Done(done.returncode, out, err)


def refused(done: Done, status: int, *said: str) -> None:
    """It said in one line on stderr what is wrong, and nothing else."""
    assert done.status == status, done
    assert done.out == "", done
    assert re.fullmatch(r"[^\n]+\n", done.err), done
    for text in said:
        assert text in done.err, done


def opening(connector: str, key: str) -> Use:
    """A use that opens a task of this key, or has it counted."""
    if connector == "ops-alert.sh":
        return Use(connector, ["--key", key, "--severity", "error", "--title", "Disk full"])
    if connector == "support-ticket.sh":
        return Use(connector, ["--ticket", key, "--title", "Cannot log in", "--priority", "high"])
    if connector == "github-issue.py":
        return github("opened", key)
    return alertmanager(make_alert(key))


def closing(connector: str, key: str) -> Use:
    """A use that closes the task of this key."""
    if connector == "ops-alert.sh":
        return Use(connector, ["--key", key, "--resolved"])
    if connector == "support-ticket.sh":
        return Use(connector, ["--ticket", key, "--closed"])
    if connector == "github-issue.py":
        return github("closed", key, state="closed")
    return alertmanager(make_alert(key, status="resolved", endsAt="2026-03-01T12:30:00Z"))


def dedupe_key(connector: str, key: str) -> str:
    """The relay's key for it."""
    return {"support-ticket.sh": f"ticket-{key}", "github-issue.py": f"octo-org/{key}#7"}.get(connector, key)


def run_all(uses: Sequence[Use], url: str, **settings: str) -> list[Done]:
    """Some at once: each takes its time to start, or waits before it tries again."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda use: use.run(url, **settings), uses))


def tasks_of(bus: Relay, source: str) -> list[Json]:
    """The tasks of an integration."""
    found: list[Json] = answer(bus.get("/tasks", params={"source": source, "limit": 500}))["tasks"]
    return found


def to_json(value: object) -> bytes:
    return json.dumps(value).encode()


# -- payloads as their vendors document them ---------------------------------------------------------------------------


def make_alert(fingerprint: object = "1a30ba71cca2921f", **fields: Any) -> Json:
    """One alert of an Alertmanager's payload; a field that is None is left out."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "DiskFull", "instance": "web1:9100", "job": "node", "severity": "critical"},
        "annotations": {"summary": "Disk full on web1", "description": "/var is at 97 %."},
        "startsAt": "2026-03-01T12:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=node_filesystem_avail_bytes+%3C+5&g0.tab=1",
        "fingerprint": fingerprint,
    } | fields
    return {name: value for name, value in alert.items() if value is not None}


def make_notification(*alerts: object, **fields: Any) -> Json:
    """An Alertmanager's payload."""
    firing = any(isinstance(each, dict) and each.get("status") == "firing" for each in alerts)
    payload = {
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "agent-relay",
        "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": {"alertname": "DiskFull", "job": "node"},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": list(alerts),
    } | fields
    return {name: value for name, value in payload.items() if value is not None}


def alertmanager(*alerts: object, args: Sequence[str] = (), **fields: Any) -> Use:
    return Use("prometheus-alertmanager.py", args, to_json(make_notification(*alerts, **fields)))


def make_issue(**fields: Any) -> Json:
    """An issue of GitHub's payload; a field that is ``...`` is left out."""
    issue = {
        "url": "https://api.github.com/repos/octo-org/hello/issues/7",
        "html_url": "https://github.com/octo-org/hello/issues/7",
        "id": 444500041,
        "node_id": "MDU6SXNzdWU0NDQ1MDAwNDE=",
        "number": 7,
        "title": "Spelling error in the README",
        "user": {"login": "octocat", "id": 21031067, "type": "User"},
        "labels": [{"id": 1362934389, "name": "bug", "color": "d73a4a", "default": True, "description": None}],
        "state": "open",
        "locked": False,
        "assignees": [],
        "milestone": None,
        "comments": 0,
        "created_at": "2026-03-01T15:20:18Z",
        "closed_at": None,
        "author_association": "OWNER",
        "body": "It says 'committ'.",
    } | fields
    return {name: value for name, value in issue.items() if value is not ...}


def make_issues_event(action: object, repository: str = "hello", **fields: Any) -> Json:
    """GitHub's payload of an ``issues`` event."""
    return {
        "action": action,
        "issue": make_issue(**fields),
        "repository": {"id": 186853002, "name": repository, "full_name": f"octo-org/{repository}", "private": False},
        "sender": {"login": "octocat", "id": 21031067, "type": "User"},
    }


def github(action: str, repository: str, args: Sequence[str] = (), **fields: Any) -> Use:
    return Use("github-issue.py", args, to_json(make_issues_event(action, repository, **fields)))


# -- a relay that is not well ------------------------------------------------------------------------------------------


@contextmanager
def front(bus: Relay, spoil: Callable[[Call, int], Reply | None], *, forward_first: bool = False) -> Iterator[Receiver]:
    """Stands before the relay and spoils calls.

    :param spoil: gets a call, and the how manieth of its thing it is; None lets it through.
    :param forward_first: the relay gets it all the same; only its answer is lost.
    """
    calls: dict[str, int] = {}
    lock = threading.Lock()

    def forward(call: Call) -> Reply:
        headers = {name: call.headers[name] for name in ("authorization", "content-type")}
        came = requests.post(f"{bus.url}{call.path}", data=call.body, headers=headers, timeout=DEADLINE_S)
        return came.status_code, came.content, {"Content-Type": came.headers["Content-Type"]}

    def reply(call: Call) -> Reply:
        key = json.loads(call.body)["dedupeKey"]
        with lock:
            calls[key] = calls.get(key, 0) + 1
            count = calls[key]
        if forward_first:
            came = forward(call)
            return spoil(call, count) or came
        return spoil(call, count) or forward(call)

    with receiving(reply) as receiver:
        yield receiver


def address(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.port}"
