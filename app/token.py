"""The shared token for clients: environment, OS keyring, managed env file. The server never imports this.

The three places can be asked one by one. A client that wants to be quick tries without the keyring first, and asks it
only when the relay answers 401: opening a keyring may cost a quarter of a second, and a locked one may show a dialog.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app import config, config_values

SERVICE = "agent-relay"
USERNAME = "token"
KEYRING_TIMEOUT_S = 2.0


class Source(StrEnum):
    """Where a token came from."""

    ENVIRONMENT = "environment"  # AGENT_RELAY_TOKEN, or the file that AGENT_RELAY_TOKEN_FILE names
    KEYRING = "keyring"
    ENV_FILE = "env file"
    NONE = "none"  # none was found


@dataclass(frozen=True, kw_only=True)
class FoundToken:
    """A token, or why there is none."""

    token: str | None = field(default=None, repr=False)
    source: Source = Source.NONE
    #: What kept a place from answering, for a person; None when all is well, also when there simply is no token.
    problem: str | None = None


def find_token(environ: Mapping[str, str] | None = None, *, skip_keyring: bool = False) -> FoundToken:
    """The first token of environment, keyring and env file.

    :raises ConfigError: if the environment or the env file has a bad one.
    """
    found = environment_token(environ)
    if found.token is not None:
        return found
    keyring = FoundToken() if skip_keyring else keyring_token()
    if keyring.token is not None:
        return keyring
    found = env_file_token()
    return FoundToken(token=found.token, source=found.source, problem=keyring.problem)


def environment_token(environ: Mapping[str, str] | None = None) -> FoundToken:
    """The token that ``AGENT_RELAY_TOKEN`` or ``AGENT_RELAY_TOKEN_FILE`` gives.

    :raises ConfigError: if it is bad.
    """
    row = config.setting("AGENT_RELAY_TOKEN", group="client")
    found = config.environment_value(row, os.environ if environ is None else environ)
    return FoundToken(token=found[0], source=Source.ENVIRONMENT) if found else FoundToken()


def env_file_token() -> FoundToken:
    """The token in the managed env file.

    :raises ConfigError: if it, or the file, is bad.
    """
    found = config.env_file_value(config.setting("AGENT_RELAY_TOKEN", group="client"))
    return FoundToken(token=found[0], source=Source.ENV_FILE) if found else FoundToken()


def keyring_token(*, timeout_s: float = KEYRING_TIMEOUT_S) -> FoundToken:
    """The token in the OS keyring; never hangs and never raises.

    The question is asked in a thread of its own, which is left behind when it does not answer in time: a locked keyring
    may be showing a dialog that nobody sees.

    :param timeout_s: seconds before giving up, the import of keyring included.
    """
    answers: list[FoundToken] = []
    worker = threading.Thread(target=lambda: answers.append(_ask_keyring()), name="keyring", daemon=True)
    worker.start()
    worker.join(timeout_s)
    if answers:
        return answers[0]
    return FoundToken(
        problem=f"the keyring did not answer within {timeout_s:g} s; it may be locked and waiting for its password"
    )


def _ask_keyring() -> FoundToken:
    try:
        import keyring
        import keyring.errors
    except Exception as exc:  # noqa: BLE001 - a backend may raise anything while it is being found
        return FoundToken(problem=f"the keyring cannot be used: {_reason(exc)}")
    try:
        stored = keyring.get_password(SERVICE, USERNAME)
    except keyring.errors.KeyringLocked as exc:
        return FoundToken(problem=f"the keyring is locked: {_reason(exc)}")
    except keyring.errors.NoKeyringError:
        return FoundToken(problem="this session has no keyring")
    except Exception as exc:  # noqa: BLE001 - on Windows not even a KeyringError: pywintypes.error
        return FoundToken(problem=f"the keyring failed: {_reason(exc)}")
    if not stored:
        return FoundToken()
    try:
        return FoundToken(token=config_values.token(stored), source=Source.KEYRING)
    except ValueError as exc:
        return FoundToken(problem=f"the token in the keyring {exc}")


def _reason(exc: Exception) -> str:
    """An exception as one line."""
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
