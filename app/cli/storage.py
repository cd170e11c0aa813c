"""Commands about the database file: back it up while the relay runs, and put a backup in its place."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import click

_db = click.option("--db", metavar="FILE", help="The relay's SQLite file; else DB_PATH, else the default one.")
_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))


@click.command()
@_file
@_db
def backup(*, file: Path, db: str | None) -> None:
    """Copy the database into FILE, also while the relay runs. FILE must not exist."""
    from app.server.store import sqlite

    source, target = _database(db), file.expanduser().absolute()
    if not source.exists():
        raise click.ClickException(f"there is no database {source} yet: nothing to back up")
    if os.path.lexists(target):
        raise click.ClickException(f"{target} exists already: choose another name; a backup never overwrites")
    with _beside(target) as new:
        _copy(source, new, what="Backing up")
        problem = sqlite.verify(new)
        if problem is not None:
            raise click.ClickException(f"the copy is not sound ({problem}); is the database {source} damaged?")
        _sync(new)
        size = new.stat().st_size
        try:
            os.link(new, target)  # unlike a rename it never replaces what came into being meanwhile
        except FileExistsError:
            raise click.ClickException(f"{target} exists already: a backup never overwrites") from None
        except OSError:
            new.replace(target)  # a file system without hard links
    _sync_folder(target.parent)
    click.echo(f"{target}: {_megabytes(size)}, verified")


@click.command()
@_file
@_db
def restore(*, file: Path, db: str | None) -> None:
    """Put the backup FILE in the database's place. The relay must not run; the present database is kept aside."""
    from app.server.store import sqlite
    from app.server.store.lock import DatabaseLock

    source, target = file.expanduser().absolute(), _database(db)
    problem = sqlite.verify(source)
    if problem is not None:
        raise click.ClickException(f"{source} cannot be restored: {problem}")
    if target.exists() and source.samefile(target):
        raise click.ClickException(f"{source} is the database itself")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DatabaseLock(target)
    try:
        with _beside(target) as new:
            _copy(source, new, what="Restoring")
            problem = sqlite.verify(new)
            if problem is not None:
                raise click.ClickException(f"the copy of {source} is not sound: {problem}")
            _sync(new)
            kept = _keep_aside(target)
            new.replace(target)
            _sync_folder(target.parent)
    finally:
        lock.release()
    click.echo(f"{target}: restored from {source}")
    if kept is not None:
        click.echo(f"The database that was there before is {kept}.")


def _database(db: str | None) -> Path:
    from app.config import load_settings

    return load_settings(flags={"db": db}).db_path


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new file in the folder of another; gone afterwards unless it was moved."""
    from app.server.store.backup import beside

    with contextlib.ExitStack() as stack:
        try:
            new = stack.enter_context(beside(target, suffix=".new"))
        except OSError as exc:
            raise click.ClickException(f"cannot write to the folder {target.parent}: {exc.strerror}") from exc
        yield new


def _copy(source: Path, target: Path, *, what: str) -> None:
    import sqlite3

    from app.server.store import sqlite

    try:
        with _progress(what) as progress:
            sqlite.backup(source, target, progress=progress)
    except sqlite3.Error as exc:
        raise click.ClickException(f"{source} cannot be copied: {exc}") from exc


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=what, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(max(done - bar.pos, 0))

        yield progress


def _keep_aside(target: Path) -> Path | None:
    """Give the present database a second name, with its write-ahead log folded in, and clear its companions away.

    The first name stays until the new file takes it, so that a crash leaves one of the two databases there.
    """
    from app.server.store.backup import companions

    if not target.exists():
        return None
    _fold_log(target)
    base = target.with_name(f"{target.name}.before-restore-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    kept, number = base, 1
    while os.path.lexists(kept):
        number += 1
        kept = base.with_name(f"{base.name}-{number}")
    wal, shm = companions(target)
    if wal.exists():
        # Only where it could not be folded in (a damaged database): it must not be read into the new one.
        wal.replace(companions(kept)[0])
    shm.unlink(missing_ok=True)
    try:
        os.link(target, kept)
    except OSError:
        target.replace(kept)  # a file system without hard links
    _sync_folder(target.parent)
    return kept


def _fold_log(database: Path) -> None:
    from sqlalchemy.exc import DBAPIError

    from app.server.store import sqlite

    engine = sqlite.writer_engine(database)
    try:
        with engine.connect() as connection:
            sqlite.checkpoint(connection)
    except DBAPIError:
        return  # damaged: perhaps why it is replaced; it is kept as it is
    finally:
        engine.dispose()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Make names durable; Windows cannot open a folder, and needs no such thing."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB"
