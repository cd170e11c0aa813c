"""``integrations.json`` as commands change it: as a whole, under a lock, and never when it is broken.

What the file holds is :mod:`app.integrations`' matter.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click

from app import config_values, paths
from app import integrations as store
from app.integrations import Integration

VARIABLE = "AGENT_RELAY_INTEGRATIONS"
#: The file as the place that an integration comes from.
NAME = "integrations.json"


def read() -> tuple[Integration, ...]:
    """
    :raises click.ClickException: the file is broken.
    """
    try:
        return store.read(paths.integrations_file())
    except ValueError as exc:
        raise click.ClickException(str(exc)) from None


def from_environment() -> tuple[tuple[Integration, ...], str]:
    """Those of the variable, and where it is set; as this shell sees it, which a relay's service may not.

    :raises ConfigError: it is bad.
    """
    from app import config

    row = config.setting(VARIABLE)
    found = config.environment_value(row, os.environ)
    if found is None:
        found = config.env_file_value(row) or ((), "")
        if found[1] == "env file":
            return found[0], f"env file {paths.env_file()}"
    return found


@contextlib.contextmanager
def changing() -> Iterator[list[Integration]]:
    """The file's integrations, to be changed in place; written when the block ends well.

    One process at a time: what another wrote meanwhile is never lost.
    """
    path = paths.integrations_file().resolve()
    try:
        with _locked(path.with_name(f"{path.name}.lock")):
            found = list(read())
            yield found
            store.write(path, found)
    except OSError as exc:
        raise click.ClickException(f"cannot write {path}: {exc.strerror or exc}") from exc


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system frees with the process; the file stays, for removing it would race with the next."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def index_of(name: str, found: Sequence[Integration]) -> int:
    """Where in the file it stands.

    :raises click.ClickException: it does not.
    """
    names = [entry.name for entry in found]
    if name in names:
        return names.index(name)
    given, where = from_environment()
    if name in {entry.name for entry in given}:
        raise click.ClickException(f"{name} is set in {VARIABLE} ({where}): change it there")
    say_unknown(name, (*given, *found))


def refuse_known(name: str, found: Sequence[Integration]) -> None:
    """
    :raises click.ClickException: the name is taken.
    """
    given, where = from_environment()
    for entries, place in ((found, str(paths.integrations_file())), (given, f"{VARIABLE} ({where})")):
        if name in {entry.name for entry in entries}:
            mend = f"; for a new token: agent-relay integrations rotate {quoted(name)}" if entries is found else ""
            raise click.ClickException(f"{name} exists already, in {place}: choose another name{mend}")


def say_unknown(name: str, found: Sequence[Integration]) -> NoReturn:
    """
    :raises click.ClickException: there is none of this name.
    """
    known = ", ".join(sorted(entry.name for entry in found))
    there_are = f"there are: {known}" if known else "there are none yet"
    raise click.ClickException(f"there is no integration {config_values.shown(name)}; {there_are}")


def quoted(name: str) -> str:
    """A name as a shell takes it."""
    import shlex

    return shlex.quote(name)
