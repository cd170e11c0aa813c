"""The receiver that is there to be copied, told by a real relay."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import MakeRelay
from tests.factories import ROOT, answer, make_agent, wait_until
from tests.integrations import SECRET, configured, deliveries, make_integration, make_task, move

SCRIPT = ROOT / "examples" / "integrations" / "receive-callbacks.py"


@contextlib.contextmanager
def running(folder: Path, *args: str, **environ: str) -> Iterator[tuple[str, Path]]:
    """The receiver, its address, and the file with what it prints."""
    output = folder / "received"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--port", "0", *args], env=os.environ | environ, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: b"listening on" in output.read_bytes(), "it listens")
        yield output.read_text().split()[-1], output
    finally:
        process.terminate()
        process.wait()


def test_it_prints_a_line_for_each_callback(make_relay: MakeRelay, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    with running(tmp_path, AGENT_RELAY_CALLBACK_SECRET_FILE=str(secret)) as (url, output):
        relay = make_relay(**configured(make_integration(callbackUrl=url, callbackSecret=SECRET)))
        agent = make_agent(relay, id="bob", tags=["crew"])
        task_id = make_task(relay, target="tag:crew", title="Disk \u001b[31mfull\u202e")["id"]
        answer(relay.post(f"/tasks/{task_id}/claim", {"agentId": agent}))
        move(relay, task_id, "done", agentId=agent, result="3 GB freed")
        wait_until(lambda: not deliveries(relay, state="pending"), "all is told")
        (last,) = deliveries(relay)[-1:]
        answer(relay.post(f"/callbacks/{last['id']}/redeliver"))
        wait_until(lambda: not deliveries(relay, state="pending"), "it is told again")
        assert output.read_text().splitlines()[1:] == [
            f"task.created  #{task_id}  open  nobody  Disk ?[31mfull?",
            f"task.claimed  #{task_id}  claimed  bob  Disk ?[31mfull?",
            f'task.status   #{task_id}  done  bob  Disk ?[31mfull?  result: "3 GB freed"',
        ]


def signed(body: bytes, *, at: int, key: bytes) -> dict[str, str]:
    digest = hmac.new(key, b"msg_1.%d." % at + body, hashlib.sha256).digest()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": "v1a,xyz v1," + base64.b64encode(digest).decode(),
    }


def test_it_takes_only_what_is_signed_and_new(tmp_path: Path) -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    body = b'{"event":"task.created","task":{"id":1,"status":"open","claimedBy":null,"title":"x","result":null}}'
    now = int(time.time())
    with running(tmp_path, AGENT_RELAY_CALLBACK_SECRET=SECRET) as (url, _):

        def status(data: bytes, headers: dict[str, str]) -> int:
            return requests.post(url, data=data, headers=headers, timeout=10).status_code

        assert status(body, signed(body, at=now, key=key)) == 204
        assert status(body + b" ", signed(body, at=now, key=key)) == 401
        assert status(body, signed(body, at=now, key=b"other")) == 401
        assert status(body, signed(body, at=now - 301, key=key)) == 401
        assert status(body, {}) == 401
        assert status(b"[]", signed(b"[]", at=now, key=key)) == 400


@pytest.mark.parametrize("secret", ["hunter22", "whsec_***"])
def test_a_bad_secret_is_one_line(secret: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--port", "0"],
        env=os.environ | {"AGENT_RELAY_CALLBACK_SECRET": secret},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert secret not in done.stderr
