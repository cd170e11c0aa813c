"""The store: where connections come from, how writing is done, and what a database must be to be opened."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from app.errors import StartError
from app.server.store import events, sqlite
from app.server.store.backup import clear_leftovers
from app.server.store.lock import DatabaseLock
from app.server.store.schema import FIRST_ROWS, metadata
from app.server.store.writer import Done, Merged, Writer

T = TypeVar("T")

#: The newest migration. A test holds it against the migrations folder; comparing here spares a start the import of
#: Alembic.
SCHEMA_HEAD = "0003"

_MIGRATIONS = Path(__file__).parent / "migrations"


class Store:
    """A durable store in one SQLite file. Safe to use from any thread.

    :raises StartError: the file cannot be used; it is then left as it was.
    """

    def __init__(self, path: Path, *, readers: int = 16) -> None:
        """:param readers: connections kept for reading; more are made while they are needed."""
        self.path = path
        #: rung after each commit; the live hub puts its bell here
        self.on_commit: Callable[[], None] = lambda: None
        #: has a function run by another thread; the server puts its workers here
        self.soon: Callable[[Callable[[], None]], None] = lambda fn: threading.Thread(target=fn).start()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise StartError(f"the folder {path.parent} of the database cannot be made: {exc.strerror}") from exc
        self._lock = DatabaseLock(path)
        self._engines = contextlib.ExitStack()
        self._engines.callback(self._lock.release)
        try:
            with sqlite.start_errors(path):
                self._open(readers)
        except BaseException:
            self._engines.close()
            raise

    def _open(self, readers: int) -> None:
        if sqlite.holds_something(self.path):
            self._inspect()
        else:
            self.path.touch(mode=0o600)  # what agents tell each other is for this user alone; -wal and -shm follow it
        self._write_engine = sqlite.writer_engine(self.path)
        self._engines.callback(self._write_engine.dispose)
        with self._write_engine.connect() as connection:
            sqlite.prepare(connection)
            _migrate(connection, self.path)
            # A write that changes nothing: a read-only or full disk shows at the start, not at the first message.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.execute(text("UPDATE counters SET value = value"))
            connection.exec_driver_sql("COMMIT")
        clear_leftovers(self.path)
        self._read_engine = sqlite.reader_engine(self.path, pool_size=readers)
        self._engines.callback(self._read_engine.dispose)
        self._writer = Writer(self._write_engine, on_commit=lambda: self.on_commit(), soon=lambda fn: self.soon(fn))

    def _inspect(self) -> None:
        """Look before touching: even closing a connection that may write folds a leftover log into a damaged file."""
        engine = sqlite.inspector_engine(self.path)
        try:
            with engine.connect() as connection:
                sqlite.check_integrity(connection, path=self.path)
                _find_revision(connection, self.path)
        finally:
            engine.dispose()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Finish the writes that wait, checkpoint and close."""
        self._writer.stop(timeout_s)
        self._engines.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that only reads; each statement sees the newest commit.

        :raises Unavailable: the database does not answer.
        """
        try:
            with self._read_engine.connect() as connection:
                yield connection
        except DBAPIError as exc:
            known = sqlite.translate(exc)
            if known is None:
                raise
            raise known from exc

    def write(self, operation: Callable[[Connection], T]) -> T:
        """See :meth:`Writer.do`."""
        return self._writer.do(operation)

    def write_merged(self, merged: Merged, item: Any, done: Done) -> None:
        """See :meth:`Writer.do_merged`."""
        self._writer.do_merged(merged, item, done)

    @property
    def commits(self) -> int:
        """Transactions written since the start."""
        return self._writer.commits

    @property
    def operations(self) -> int:
        """Operations that they carried."""
        return self._writer.operations

    def head(self) -> int:
        """The newest sequence number."""
        with self.read() as connection:
            return events.head(connection)

    def size_bytes(self) -> int:
        """Size on disk."""
        return sqlite.database_bytes(self.path)


def _migrate(connection: Connection, path: Path) -> None:
    """Bring the database to the schema of this version.

    A new one is made from the schema as it stands, which spares a first start the import of Alembic (170 ms and 9 MB
    here); a test holds that against what the migrations arrive at.
    """
    found = _find_revision(connection, path)
    if found is None:
        _create(connection)
    elif found != SCHEMA_HEAD:
        _upgrade(connection)


def _find_revision(connection: Connection, path: Path) -> str | None:
    """The schema of a database, once it is known for one of ours; None where there is nothing in it yet.

    :raises StartError: it belongs to another program, or to a newer version of this one.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StartError(
            f"{path} is a database of another program (it has no alembic_version table); choose another DB_PATH"
        )
    found: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none() or "unknown"
    # By their names, 0001_first_schema.py: asking Alembic would import it at every start.
    if found not in {script.name.partition("_")[0] for script in (_MIGRATIONS / "versions").glob("*.py")}:
        raise StartError(
            f"the database {path} was written by a newer version (schema {found}, this one knows {SCHEMA_HEAD}); "
            "update agent-relay, or restore a backup made before the update"
        )
    return found


def _create(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    metadata.create_all(connection)
    for table, rows in FIRST_ROWS.items():
        connection.execute(metadata.tables[table].insert(), rows)
    for statement in sqlite.SEARCH_DDL:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": SCHEMA_HEAD})
    connection.exec_driver_sql("COMMIT")


def _upgrade(connection: Connection, *, to: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    command.upgrade(config, to)
    connection.exec_driver_sql("COMMIT")
