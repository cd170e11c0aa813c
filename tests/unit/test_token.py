"""Where clients find the token. Keyrings are real backends of the keyring package, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from app import paths, token
from app.config import ConfigError
from app.token import FoundToken, Source


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AGENT_RELAY_TOKEN", raising=False)
    monkeypatch.delenv("AGENT_RELAY_TOKEN_FILE", raising=False)


def with_keyring(get_password: str, *, call: str = "find_token()") -> tuple[dict[str, Any], float]:
    """What a process whose keyring answers like that finds, and how long the whole process took (seconds)."""
    code = textwrap.dedent(
        """
        import json, sys, time
        import keyring, keyring.backend, keyring.errors
        from app import token

        class Backend(keyring.backend.KeyringBackend):
            priority = 1
            def get_password(self, service, username):
                {body}
            def set_password(self, service, username, password): ...
            def delete_password(self, service, username): ...

        keyring.set_keyring(Backend())
        found = token.{call}
        print(json.dumps([found.token, found.source, found.problem]))
        """
    ).format(body=get_password, call=call)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    found = dict(zip(("token", "source", "problem"), json.loads(done.stdout), strict=True))
    return found, time.monotonic() - start


def write_env_file(text: str) -> None:
    paths.atomic_write(paths.env_file(), text.encode())


def test_the_keyrings_entry_is_named_by_service_and_user() -> None:
    found, _ = with_keyring('return "kept" if (service, username) == ("agent-relay", "token") else None')
    assert found == {"token": "kept", "source": "keyring", "problem": None}


def test_the_environment_goes_first_and_the_keyring_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_RELAY_TOKEN", "own")
    code = "import sys; from app import token; print(token.find_token().token, 'keyring' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["own", "False"]


def test_the_keyring_goes_before_the_env_file() -> None:
    write_env_file("AGENT_RELAY_TOKEN=written\n")
    found, _ = with_keyring('return "kept"')
    assert found["token"] == "kept"
    found, _ = with_keyring("return None")
    assert found == {"token": "written", "source": "env file", "problem": None}
    found, _ = with_keyring('return "kept"', call="find_token(skip_keyring=True)")
    assert found["token"] == "written"


def test_an_empty_keyring_is_no_problem() -> None:
    found, _ = with_keyring("return None")
    assert found == {"token": None, "source": "none", "problem": None}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('raise keyring.errors.KeyringLocked("no\\nprompt")', "the keyring is locked: KeyringLocked: no prompt"),
        ("raise keyring.errors.NoKeyringError()", "this session has no keyring"),
        ("raise keyring.errors.InitError('broken')", "the keyring failed: InitError: broken"),
        ("raise OSError(5, 'not a keyring error')", "the keyring failed: OSError: [Errno 5] not a keyring error"),
        ("return 'two words'", "the token in the keyring must be"),
    ],
)
def test_a_failing_keyring_is_said_and_the_env_file_asked(body: str, problem: str) -> None:
    write_env_file("AGENT_RELAY_TOKEN=written\n")
    found, _ = with_keyring(body)
    assert found["problem"].startswith(problem)
    assert (found["token"], found["source"]) == ("written", "env file")


def test_a_keyring_that_hangs_is_left_behind() -> None:
    found, took = with_keyring("time.sleep(60)", call="keyring_token(timeout_s=0.3)")
    assert "did not answer within 0.3 s" in found["problem"]
    assert took < 20
    assert token.KEYRING_TIMEOUT_S == 2.0


def test_without_any_keyring_service_it_is_said() -> None:
    code = "from app import token; print(token.keyring_token().problem)"
    environ = dict(os.environ) | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.strip() == "this session has no keyring"


def test_places_can_be_asked_one_by_one(tmp_path: Path) -> None:
    write_env_file("export AGENT_RELAY_TOKEN='written'\n")
    (tmp_path / "secret").write_text("filed\n", encoding="utf-8")
    assert token.environment_token({}) == FoundToken()
    assert token.environment_token({"AGENT_RELAY_TOKEN": " "}) == FoundToken()
    assert token.environment_token({"AGENT_RELAY_TOKEN_FILE": str(tmp_path / "secret")}).token == "filed"
    assert token.env_file_token() == FoundToken(token="written", source=Source.ENV_FILE)


def test_a_bad_token_is_named_and_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"^AGENT_RELAY_TOKEN: ") as caught:
        token.environment_token({"AGENT_RELAY_TOKEN": "two words"})
    assert "two words" not in str(caught.value)


def test_a_found_token_does_not_show_itself() -> None:
    assert "swordfish" not in repr(FoundToken(token="swordfish", source=Source.KEYRING))
