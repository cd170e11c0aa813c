"""Settings: one table drives flags, environment, the managed env file and docs/settings.md.

A value comes from the first of flag, environment (``X``, or for secrets ``X_FILE``), env file and default that has one;
blank counts as unset. Everything is parsed and checked at start, and a bad value is one line that names the variable,
the problem and an example. Kept free of heavy imports: the command line starts through here. The table itself is
:mod:`app.config_table`, the meaning of each kind of value :mod:`app.config_values`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from app import config_values as values
from app import envfile, paths
from app.config_table import SETTINGS, Group, Setting
from app.errors import RelayError
from app.integrations import Integration, check_shared_token

__all__ = [
    "SETTINGS",
    "ClientSettings",
    "ConfigError",
    "Group",
    "Setting",
    "Settings",
    "load_client_settings",
    "load_settings",
    "render_settings_table",
]


class ConfigError(RelayError):
    """A setting is not valid."""

    code: ClassVar[str] = "bad-setting"
    title: ClassVar[str] = "Bad setting"

    @classmethod
    def of(cls, setting: Setting, problem: str, *, source: str = "") -> ConfigError:
        """One line: the variable, where its value came from, the problem, an example."""
        origin = f" (from {source})" if source and source != "environment" else ""
        return cls(f"{setting.name}{origin}: {problem}; example: {setting.name}={setting.example}")


_ROWS: Mapping[tuple[str, str], Setting] = {(row.group, row.name): row for row in SETTINGS}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the server runs with. The defaults are the table's, so that tests name only what they change."""

    db_path: Path
    port: int = 4850
    host: str = "127.0.0.1"
    database_url: str | None = field(default=None, repr=False)
    stale_ttl_ms: int = 120_000
    offline_prune_ms: int = 86_400_000
    reap_interval_ms: int = 60_000
    retention_days: int = 30
    token: str | None = field(default=None, repr=False)
    #: SHA-256 of the token in lower-case hex, from the state file; None wherever ``token`` is known.
    token_sha256: str | None = field(default=None, repr=False)
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    allow_unauth: bool = False
    tailnet: bool = False
    #: Of the environment; those of the file are read again when it changes (:mod:`app.server.services.integrations`).
    integrations: tuple[Integration, ...] = ()
    integration_rate_limit_per_minute: int = 120
    manager: str | None = None
    #: Field name -> "flag --port", "environment", "file PATH", "env file", "state file" or "default".
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """What commands and agents run with."""

    url: str = "http://127.0.0.1:4850"
    #: From environment or env file; the keyring is asked only when a relay wants a token (:mod:`app.token`).
    token: str | None = field(default=None, repr=False)
    capabilities: tuple[str, ...] = ("chat",)
    agent_id: str | None = None


def load_settings(*, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Everything that the server runs with, checked; client and Codex variables are checked too.

    :param flags: by field name (``db_path``) or flag name (``db``); None and missing mean "not given".
    :param environ: instead of ``os.environ``; the places of env file and state file follow ``os.environ`` all the same.
    :raises ConfigError: for the first bad value.
    """
    environ = os.environ if environ is None else environ
    layers = _Layers(flags=flags or {}, environ=environ, env_file=read_env_file())
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for row in SETTINGS:
        value, source = layers.value(row)
        if row.group == "server":
            found[row.field], sources[row.field] = value, source
    found["db_path"] = found["db_path"] or paths.default_db_path()
    for name in ("cors_origins", "allowed_hosts"):
        found[name] = found[name] or ()
    for name in ("allow_unauth", "tailnet"):
        found[name] = bool(found[name])
    found["token_sha256"] = None
    if found["token"] is None:
        found["token_sha256"] = _stored_token_hash(paths.state_file())
        sources["token"] = sources["token_sha256"] = "state file" if found["token_sha256"] else "default"
    if found["manager"] == "systemd" and environ.get("SYSTEMD_EXEC_PID") != str(os.getpid()):
        # Inherited from a shell or desktop that runs under systemd, as every terminal there does.
        found["manager"], sources["manager"] = None, "default"
    settings = Settings(**found, sources=sources)
    _check_together(settings)
    return settings


def load_client_settings(environ: Mapping[str, str] | None = None) -> ClientSettings:
    """What commands and agents run with.

    :raises ConfigError: for the first bad value.
    """
    layers = _Layers(flags={}, environ=os.environ if environ is None else environ, env_file=read_env_file())
    found: dict[str, Any] = {row.field: layers.value(row)[0] for row in SETTINGS if row.group == "client"}
    return ClientSettings(**found)


def setting(name: str, *, group: Group = "server") -> Setting:
    """The row of a variable."""
    return _ROWS[group, name]


def environment_value(row: Setting, environ: Mapping[str, str]) -> tuple[Any, str] | None:
    """A variable's value in the environment alone (``X`` or ``X_FILE``), parsed, and its source; None if unset.

    :raises ConfigError: if it is bad, or both are set.
    """
    return _parsed(row, _read(row, environ, source="environment"))


def env_file_value(row: Setting) -> tuple[Any, str] | None:
    """The same in the managed env file alone."""
    return _parsed(row, _read(row, read_env_file(), source="env file"))


def read_env_file() -> dict[str, str]:
    """The managed env file's lines that name a known variable; a warning if it keeps a secret that others can read."""
    path = paths.env_file()
    try:
        content = envfile.read(path)
    except ValueError as exc:
        raise ConfigError(f"env file {path}: {exc}; example: PORT=4850") from exc
    known = {row.name for row in SETTINGS} | {f"{row.name}_FILE" for row in SETTINGS if row.secret}
    found = {name: value for name, value in content.items() if name in known}
    if any(row.secret and found.get(row.name) for row in SETTINGS) and _open_to_others(path):
        import logging

        logging.getLogger(__name__).warning(
            "others on this machine can read the env file %s, which holds a secret; mend it with: chmod 600 '%s'",
            path, path, extra={"action": "config.env_file_open"},
        )  # fmt: skip
    return found


class _Layers:
    """The sources of values, in their order."""

    def __init__(self, *, flags: Mapping[str, object], environ: Mapping[str, str], env_file: Mapping[str, str]) -> None:
        by_flag = {row.flag.removeprefix("--"): row.field for row in SETTINGS if row.group == "server" and row.flag}
        self.flags = {by_flag.get(name, name): value for name, value in flags.items() if value is not None}
        unknown = self.flags.keys() - {row.field for row in SETTINGS if row.group == "server"}
        if unknown:
            raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
        self.environ, self.env_file = environ, env_file

    def value(self, row: Setting) -> tuple[Any, str]:
        """The parsed value, None if unset everywhere, and its source."""
        flag = self.flags.get(row.field) if row.group == "server" else None
        given = (
            # A flag is never blank by accident: its text is parsed as it is.
            (str(flag).strip(), f"flag {row.flag}") if flag is not None
            else _read(row, self.environ, source="environment")
            or _read(row, self.env_file, source="env file")
            or (row.default, "default")
        )  # fmt: skip
        if given == ("", "default"):
            return None, "default"
        return _parsed(row, given) or (None, "default")


def _read(row: Setting, variables: Mapping[str, str], *, source: str) -> tuple[str, str] | None:
    """A variable's text and source in one set of variables; None if it is unset or blank."""
    text = variables.get(row.name, "").strip()
    file = variables.get(f"{row.name}_FILE", "").strip() if row.secret else ""
    if text and file:
        raise ConfigError.of(row, f"is set together with {row.name}_FILE; set one of them", source=source)
    if not file:
        return (text, source) if text else None
    try:
        content = Path(file).expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, RuntimeError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "it is not UTF-8 text"
        problem = f"cannot read {values.shown(file)}: {reason}"
    else:
        problem = "" if content else f"the file {values.shown(file)} is empty"
    if problem:
        # Never taken as "unset": a secret that could not be read must not start an open relay.
        example = f"{row.name}_FILE=/run/secrets/{row.name.lower()}"
        raise ConfigError(f"{row.name}_FILE (from {source}): {problem}; example: {example}")
    return content, f"file {file}"


def _parsed(row: Setting, given: tuple[str, str] | None) -> tuple[Any, str] | None:
    if given is None:
        return None
    text, source = given
    try:
        return row.parse(text), source
    except ValueError as exc:
        raise ConfigError.of(row, str(exc), source=source) from None


def _check_together(settings: Settings) -> None:
    """Rules that span several settings."""
    has_token = bool(settings.token or settings.token_sha256)
    if not has_token and not settings.allow_unauth and not values.is_loopback(settings.host):
        problem = (
            f"{settings.host} can be reached from other machines, and there is no token; set AGENT_RELAY_TOKEN, or stay"
            " on loopback, or open the relay to everyone there with AGENT_RELAY_ALLOW_UNAUTH=1"
        )
        raise ConfigError.of(setting("HOST"), problem, source=settings.sources.get("host", ""))
    if "*" in settings.cors_origins and not has_token:
        problem = "* lets every web page in, and there is no token; set AGENT_RELAY_TOKEN, or name the origins"
        raise ConfigError.of(setting("AGENT_RELAY_CORS_ORIGINS"), problem)
    if settings.tailnet and not has_token:
        example = "AGENT_RELAY_TOKEN=a-long-random-text"
        raise ConfigError(f"AGENT_RELAY_TAILNET: needs a token; set AGENT_RELAY_TOKEN; example: {example}")
    if settings.tailnet:
        raise ConfigError(
            "AGENT_RELAY_TAILNET: this version cannot listen on the tailnet by itself; unset it, and set HOST to the"
            " tailnet address, with a token; example: HOST=100.64.0.1"
        )
    if settings.database_url:
        raise ConfigError(
            "AGENT_RELAY_DATABASE_URL: PostgreSQL is not supported by this version; unset it to use the SQLite file of"
            " DB_PATH"
        )
    try:
        check_shared_token(settings.integrations, token=settings.token, token_sha256=settings.token_sha256)
    except ValueError as exc:
        raise ConfigError.of(setting("AGENT_RELAY_INTEGRATIONS"), str(exc)) from None


def _stored_token_hash(path: Path) -> str | None:
    """The token's hash in the state file; None if there is no file or no hash in it.

    :raises ConfigError: if the file is not ours alone or not as we write it: it must never silently mean "no token".
    """
    import json
    import re

    example = '{"tokenSha256": "<64 hex digits>"}'
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"state file {path}: cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"state file {path}: is not valid JSON; example: {example}") from exc
    if _open_to_others(path):
        raise ConfigError(
            f"state file {path}: others on this machine can read or write it; mend it with: chmod 600 '{path}'"
        )
    if not isinstance(data, dict):
        raise ConfigError(f"state file {path}: must be a JSON object; example: {example}")
    stored = data.get("tokenSha256")
    if stored is not None and not (isinstance(stored, str) and re.fullmatch(r"[0-9a-f]{64}", stored)):
        raise ConfigError(f"state file {path}: tokenSha256 must be 64 hex digits in lower case; example: {example}")
    return stored


def _open_to_others(path: Path) -> bool:
    return os.name == "posix" and bool(path.stat().st_mode & 0o077)


def render_settings_table() -> str:
    """The Markdown tables of docs/settings.md, from the same rows."""
    return "\n".join(_table_lines())


def _table_lines() -> Iterator[str]:
    titles: dict[Group, str] = {"server": "The relay", "client": "Commands and agents", "codex": "Codex"}
    for group, title in titles.items():
        yield from (f"### {title}", "", "| variable | flag | default | meaning |", "|---|---|---|---|")
        for row in SETTINGS:
            if row.group == group:
                name = f"`{row.name}`" + (f" or `{row.name}_FILE`" if row.secret else "")
                flag = f"`{row.flag}`" if row.flag else ""
                default = row.default_help or (f"`{row.default}`" if row.default else "unset")
                unit = f" {row.unit}" if row.unit else ""
                example = "" if row.example == row.default else f"; for example `{row.example}`"
                yield f"| {name} | {flag} | {default}{unit} | {row.help}{example} |"
        yield ""


if __name__ == "__main__":
    sys.stdout.write(render_settings_table() + "\n")
