"""Copies of a database in use: new files beside others, and a verified copy that has no name any more."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.errors import StorageFull, Unavailable
from app.server.store import sqlite

#: How the copies of :func:`make_copy` end while they have a name.
_SUFFIX = ".backup"


@contextlib.contextmanager
def beside(target: Path, *, suffix: str) -> Iterator[Path]:
    """A new file in the folder of another, ours alone to read; gone afterwards unless it was moved.

    :raises OSError: the folder cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=suffix)
    os.close(handle)
    new = Path(name)
    try:
        yield new
    finally:
        for path in (new, *companions(new), new.with_name(f"{new.name}-journal")):
            path.unlink(missing_ok=True)


def companions(database: Path) -> tuple[Path, Path]:
    """Where SQLite keeps the write-ahead log and its index."""
    return database.with_name(f"{database.name}-wal"), database.with_name(f"{database.name}-shm")


def make_copy(database: Path) -> int:
    """Copy a database while it is in use, and read the copy through.

    :returns: a descriptor to read it by. Its name is gone already: whatever ends the reader ends the file.
    :raises StorageFull: there is no room for it.
    :raises Unavailable: the database cannot be read, or the copy is not sound.
    """
    try:
        # Looked at first: a copy that fills the disk would refuse everybody's messages until it fails itself.
        if shutil.disk_usage(database.parent).free < sqlite.database_bytes(database):
            raise _no_room(database)
        with beside(database, suffix=_SUFFIX) as new:
            sqlite.backup(database, new)
            problem = sqlite.verify(new)
            if problem is not None:
                raise Unavailable(f"The copy is not sound ({problem}): the database may be damaged.")
            # Windows removes what is open only where it was opened for that.
            return os.open(new, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_TEMPORARY", 0))
    except Exception as exc:
        known = sqlite.translate(exc)
        if isinstance(known, StorageFull) or (isinstance(exc, OSError) and exc.errno in _FULL):
            raise _no_room(database) from exc
        if isinstance(exc, OSError):
            raise Unavailable(f"The folder of the database cannot be written: {exc.strerror}.") from exc
        if known is not None:
            raise known from exc
        raise


_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def _no_room(database: Path) -> StorageFull:
    megabytes = sqlite.database_bytes(database) / 1e6
    return StorageFull(f"The copy, {megabytes:.1f} MB, finds no room beside the database: free some space.")


def clear_leftovers(database: Path) -> None:
    """Remove copies that were being made when the process was killed. Only for whoever holds the database's lock."""
    for path in database.parent.glob(f".{glob.escape(database.name)}.*{_SUFFIX}*"):
        with contextlib.suppress(OSError):
            path.unlink()
