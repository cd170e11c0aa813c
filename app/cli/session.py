"""What commands that talk to a relay share: which relay, with which token, in whose name; and JSON out."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from app.client import RelayClient
from app.model import HUMAN

F = TypeVar("F", bound=Callable[..., Any])

#: Set in the shells of coding agents: whoever runs a command there is not the human.
AGENT_SESSION_VARIABLES = (
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CODEX_THREAD_ID",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "AGENT_RELAY_CODEX_RUN_ID",
    "GEMINI_CLI",
    "CURSOR_AGENT",
)
_AGENT_ID = re.compile(r"[A-Za-z0-9._@-]{1,128}")

as_json = click.option("--json", "json_", is_flag=True, help="Print the relay's own JSON.")


def identity_option(name: str, help_text: str) -> Callable[[F], F]:
    """``--as`` or ``--for``; the parameter is called ``identity``."""
    return click.option(name, "identity", metavar="ID", callback=_checked_id, help=help_text)


def _checked_id(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not _AGENT_ID.fullmatch(value) or value in {"broadcast", "system"}):
        raise click.BadParameter("must be an agent id: 1-128 of A-Z a-z 0-9 . _ @ -")
    return value


#: In whose name the command acts.
acting_as = identity_option("--as", "Whose name to act in; else AGENT_RELAY_AGENT_ID, else human at a terminal.")


def whoami(identity: str | None, *, option: str, body_on_stdin: bool = False) -> str:
    """In whose name a command acts.

    :param identity: what the option said.
    :param body_on_stdin: standard input is taken by a text; the terminal is then looked for at the outputs.
    :raises click.UsageError: nobody's: exit 2.
    """
    found = identity or configured_identity()
    if found is not None and found != HUMAN:
        return found
    session = next((name for name in AGENT_SESSION_VARIABLES if os.environ.get(name, "").strip()), None)
    if session is not None:
        why = f"this is an agent's session ({session} is set), and only a person at a terminal acts as human"
    elif not _on_terminal(body_on_stdin=body_on_stdin):
        why = "this is no terminal, and only a person at a terminal acts as human"
    else:
        return HUMAN
    raise click.UsageError(f"In whose name? Give {option} ID or set AGENT_RELAY_AGENT_ID: {why}.")


def configured_identity() -> str | None:
    """The agent that the environment or the env file names."""
    from app.config import load_client_settings

    return load_client_settings().agent_id


def _on_terminal(*, body_on_stdin: bool) -> bool:
    streams = (sys.stdout, sys.stderr) if body_on_stdin else (sys.stdin,)
    return all(stream is not None and stream.isatty() for stream in streams)


def standard_input() -> str:
    """The text on it, without the line break that ends it, which ``echo`` adds."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise click.ClickException("what came on standard input is not UTF-8 text") from exc
    return text.removesuffix("\n").removesuffix("\r")


def connect(*, as_agent: str | None = None, integration_token: str | None = None) -> RelayClient:
    """A client of the relay that the settings name.

    :param as_agent: the agent in whose name calls are made; only then its secret goes along.
    :param integration_token: call with this one instead of the shared token, and each call once.
    """
    from app.config import load_client_settings

    settings = load_client_settings()
    if integration_token is not None:
        return RelayClient(_url(settings.url), token=integration_token, retries=0, one_shot=True)
    return RelayClient(
        _url(settings.url),
        token=settings.token,
        agent_secret=_agent_secret(os.environ) if as_agent not in {None, HUMAN} else None,
        retries=2,
        ask_token=_keyring_token,
        one_shot=True,
    )


def _url(configured: str) -> str:
    """Where the relay is: as set, else where the running one says it is."""
    from app import config, paths

    row = config.setting("AGENT_RELAY_URL", group="client")
    if configured != row.default or config.environment_value(row, os.environ) or config.env_file_value(row):
        return configured
    try:
        port = json.loads(paths.runtime_file().read_bytes())["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return configured
    return f"http://127.0.0.1:{port}" if isinstance(port, int) and 0 < port < 65536 else configured


def _agent_secret(environ: Mapping[str, str]) -> str | None:
    """The secret of the agent in whose name a command acts: from the environment alone, never an argument."""
    from pathlib import Path

    from app import config_values
    from app.config import ConfigError

    name = "AGENT_RELAY_AGENT_SECRET"
    text, file = environ.get(name, "").strip(), environ.get(f"{name}_FILE", "").strip()
    if text and file:
        raise ConfigError(f"{name}: is set together with {name}_FILE; set one of them")
    if file:
        try:
            text = Path(file).expanduser().read_text(encoding="utf-8-sig").strip()
        except (OSError, ValueError, RuntimeError) as exc:
            raise ConfigError(f"{name}_FILE: cannot read {config_values.shown(file)}") from exc
        if not text:
            raise ConfigError(f"{name}_FILE: the file {config_values.shown(file)} is empty")
    if not text:
        return None
    try:
        return config_values.token(text)
    except ValueError as exc:
        raise ConfigError(f"{name}: {exc}") from None


def _keyring_token() -> str | None:
    """After a 401: the token in the OS keyring, which is too slow to be asked each time."""
    from app.token import keyring_token

    found = keyring_token()
    if found.token is None and found.problem is not None:
        click.echo(f"agent-relay: {found.problem}", err=True)
    return found.token


def print_json(answer: object) -> None:
    """A wire object, readable."""
    import msgspec

    from app.cli.text import json_text

    click.echo(json_text(msgspec.json.format(msgspec.json.encode(answer), indent=2)))


def print_json_line(answer: object) -> None:
    """A wire object on one line."""
    import msgspec

    from app.cli.text import json_text

    click.echo(json_text(msgspec.json.encode(answer)))
