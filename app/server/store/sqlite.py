"""Everything that only SQLite knows: pragmas, the one-statement bulk insert, full-text search, backup, its errors.

The rest of the store speaks SQLAlchemy Core that PostgreSQL understands too.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Engine, Table, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from app.errors import RelayError, StartError, StorageFull, Unavailable

#: How long a statement waits for a lock that another program holds on our file.
BUSY_TIMEOUT_MS = 2_000
#: Page cache per connection. Small: the kernel's page cache serves all connections alike, and idle memory counts.
CACHE_KIB = 1_024


def writer_engine(path: Path) -> Engine:
    """The one connection that writes. The caller alone begins and ends its transactions."""
    return _engine(path, pool_size=1, read_only=False)


def reader_engine(path: Path, *, pool_size: int) -> Engine:
    """Connections that only read, beside the writer (WAL)."""
    return _engine(path, pool_size=pool_size, read_only=True)


def inspector_engine(path: Path) -> Engine:
    """A connection that leaves the file as it is, even when it is closed."""
    return _engine(path, pool_size=1, read_only=True, mode="ro")


def _engine(path: Path, *, pool_size: int, read_only: bool, mode: str = "rwc") -> Engine:
    address = f"{path.absolute().as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        # isolation_level None: no hidden BEGIN. Readers see each statement's own snapshot, the writer says BEGIN
        # itself.
        connection = sqlite3.connect(
            address,
            uri=True,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    return create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=64,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # what people write to each other does not belong into a log
    )


def prepare(connection: Connection) -> None:
    """Durable settings of the writing connection. WAL is a property of the file and stays."""
    mode: str = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
    if mode != "wal":
        raise StartError(f"the database cannot use write-ahead logging here (journal mode {mode}): use a local disk")
    # FULL: what was acknowledged survives a power cut, not only a crash (https://sqlite.org/pragma.html#pragma_synchronous).
    connection.exec_driver_sql("PRAGMA synchronous = FULL")
    # 4 MiB between checkpoints; the default of 1,000 pages makes the writer stop for one more often than it need.
    connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 2000")
    connection.exec_driver_sql("PRAGMA journal_size_limit = 33554432")


def checkpoint(connection: Connection) -> None:
    """Fold the write-ahead log into the database file and empty it."""
    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


#: How every SQLite file begins (https://sqlite.org/fileformat.html#magic_header_string).
_MAGIC = b"SQLite format 3\0"


def holds_something(path: Path) -> bool:
    """Whether there is a database to be looked at; a missing or an empty file is to become one.

    :raises StartError: it is a file of another kind. SQLite itself takes one of a few bytes for empty.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise StartError(
                f"the database {path} cannot be used: it is not a database; restore a backup, or choose another "
                "DB_PATH. The file was not changed."
            )
    return True


def check_integrity(connection: Connection, *, path: Path, budget_pages: int = 4_096) -> None:
    """Refuse a damaged file early. Large files are not read through at every start: :func:`verify` does that."""
    pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    if pages <= budget_pages:
        found: str = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise StartError(f"the database {path} is damaged ({found}); restore a backup, the file was not changed")


def insert_many(
    connection: Connection,
    table: Table,
    rows: Sequence[Any],
    columns: Sequence[str],
    *,
    key: str = "",
    replace: Sequence[str] = (),
    add: Sequence[str] = (),
) -> None:
    """Insert rows with one statement and so one trip through SQLite.

    Each call into SQLite gives the interpreter lock away and must win it back under load, which costs more than the
    insert (measured: row by row 780 commits/s, one statement 1,790/s). Every value must be JSON, and each row a tuple
    or an array-like Struct.

    :param key: a unique column, or several with commas between: where that is there already, the columns ``replace``
        of that row are changed instead. An index costs only where one of them is in it, changed or not.
    :param add: columns that are added to instead.
    """
    if not rows:
        return
    lone = len(rows) == 1  # spared the way through JSON
    sql = _insert_sql(table.name, tuple(columns), key, tuple(replace), tuple(add), lone)
    if lone:
        row = rows[0]
        _run(connection, sql, msgspec.structs.astuple(row) if isinstance(row, msgspec.Struct) else row)
    else:
        _run(connection, sql, (msgspec.json.encode(rows).decode(),))


def announce(connection: Connection, *, first_id: int, last_id: int) -> None:
    """Write the ``message.new`` events of messages just stored, under the messages' own ids."""
    _run(connection, _ANNOUNCE, (first_id, last_id))


_ANNOUNCE = (
    "INSERT INTO events (seq, type, message_id, topic, sender, created_at) "
    "SELECT id, 'message.new', id, target, sender, created_at FROM messages WHERE id BETWEEN ? AND ?"
)


def allocate_ids(connection: Connection, count: int) -> int:
    """Take numbers for new messages and count these messages, in one statement.

    :returns: the first number.
    """
    for name, value in _run(connection, _ALLOCATE, (count,)).fetchall():
        if name == "seq":
            return int(value) - count + 1
    raise LookupError("the counter seq is missing")


_ALLOCATE = "UPDATE counters SET value = value + ? WHERE name IN ('seq', 'messages') RETURNING name, value"


def secrets(connection: Connection, ids: list[str]) -> list[tuple[str, bytes | None]]:
    """Of these agents, those that are registered, with the hash of their secret: asked for each direct message."""
    sql = "SELECT id, secret_sha256 FROM agents WHERE id IN (SELECT value FROM json_each(?))"
    return _run(connection, sql, (as_json(ids),)).fetchall()


def active_tasks(connection: Connection, keys: list[tuple[str, str]], *, columns: Sequence[str]) -> list[Any]:
    """The active tasks of these (source, dedupe key) pairs, each found through the unique index of active tasks."""
    sql = (
        f"SELECT {', '.join(f't.{name}' for name in columns)} FROM json_each(?) k "
        "JOIN tasks t ON t.source = json_extract(k.value, '$[0]') AND t.dedupe_key = json_extract(k.value, '$[1]') "
        "WHERE t.closed_at IS NULL"
    )
    return _run(connection, sql, (as_json(keys),)).fetchall()


def tail(connection: Connection, *, columns: str, where: str, after: int, upto: int, limit: int) -> list[Any]:
    """The log from ``after`` to ``upto`` with its messages, as the hub reads it after each commit."""
    sql = (
        f"SELECT {columns} FROM events LEFT JOIN messages ON messages.id = events.message_id "
        f"WHERE events.seq > ? AND events.seq <= ? AND {where} ORDER BY events.seq LIMIT ?"
    )
    return _run(connection, sql, (after, upto, limit)).fetchall()


def _run(connection: Connection, sql: str, parameters: tuple[object, ...]) -> sqlite3.Cursor:
    """Straight to the driver: on the hot path SQLAlchemy costs more than SQLite (measured: 46 against 8 µs)."""
    return cast("sqlite3.Cursor", connection.connection.driver_connection.execute(sql, parameters))  # type: ignore[union-attr]


@cache
def _insert_sql(
    table: str, columns: tuple[str, ...], key: str, replace: tuple[str, ...], add: tuple[str, ...], lone: bool
) -> str:
    if lone:
        source = f"VALUES ({', '.join('?' * len(columns))})"
    else:
        picks = ", ".join(f"json_extract(value, '$[{i}]')" for i in range(len(columns)))
        # "WHERE true": or the parser takes ON for a join's (https://sqlite.org/lang_upsert.html#parsing_ambiguity).
        source = f"SELECT {picks} FROM json_each(?) WHERE true"
    sql = f"INSERT INTO {table} ({', '.join(columns)}) {source}"
    if key:
        changes = ", ".join(
            [f"{name} = excluded.{name}" for name in replace]
            + [f"{name} = {table}.{name} + excluded.{name}" for name in add]
        )
        sql += f" ON CONFLICT ({key}) DO UPDATE SET {changes}"
    return sql


# -- full-text search --------------------------------------------------------------------------------------------------

#: Messages are indexed after the fact, up to this counter: the hot path does not pay for search.
SEARCH_COUNTER = "searchable"

#: An external-content index must be told the old text, and only of rows that it holds.
SEARCH_DDL = (
    "CREATE VIRTUAL TABLE messages_fts USING fts5"
    "(subject, body, content='messages', content_rowid='id', tokenize=\"unicode61 remove_diacritics 2\")",
    "CREATE TRIGGER messages_fts_delete BEFORE DELETE ON messages "
    f"WHEN old.id <= (SELECT value FROM counters WHERE name = '{SEARCH_COUNTER}') BEGIN "
    "INSERT INTO messages_fts(messages_fts, rowid, subject, body) "
    "VALUES ('delete', old.id, old.subject, old.body); END",
    f"INSERT INTO counters(name, value) VALUES ('{SEARCH_COUNTER}', 0)",
)

_INDEX_NEXT = text(
    "INSERT INTO messages_fts(rowid, subject, body) SELECT id, subject, body FROM messages "
    f"WHERE id > (SELECT value FROM counters WHERE name = '{SEARCH_COUNTER}') AND id <= :upto"
)
_NEXT_BOUND = text(
    "SELECT max(id) FROM (SELECT id FROM messages "
    f"WHERE id > (SELECT value FROM counters WHERE name = '{SEARCH_COUNTER}') ORDER BY id LIMIT :limit)"
)
_SET_SEARCHABLE = text(f"UPDATE counters SET value = :upto WHERE name = '{SEARCH_COUNTER}'")

SEARCH_MATCH = "messages_fts MATCH :search_query"
#: Ids of messages that match, for use inside ``messages.id IN (…)``.
SEARCH_IDS = text(f"SELECT rowid FROM messages_fts WHERE {SEARCH_MATCH}")


def index_next(connection: Connection, *, limit: int) -> bool:
    """Make the next messages searchable.

    :returns: whether there may be more.
    """
    upto: int | None = connection.execute(_NEXT_BOUND, {"limit": limit}).scalar_one()
    if upto is None:
        return False
    connection.execute(_INDEX_NEXT, {"upto": upto})
    connection.execute(_SET_SEARCHABLE, {"upto": upto})
    return True


def search_behind(connection: Connection) -> bool:
    """Whether a message waits to be made searchable."""
    return connection.execute(_NEXT_BOUND, {"limit": 1}).scalar_one() is not None


def search_expression(words: str) -> str:
    """A query in people's words as an FTS5 expression: each word must occur, the last may be a beginning.

    Every word is quoted, so that no character of it is FTS5 syntax. "a phrase" in double quotes stays together.
    """
    parts: list[str] = []
    for index, piece in enumerate(words.split('"')):
        if index % 2:
            parts.append(f'"{piece}"') if piece.strip() else None
        else:
            parts.extend(f'"{word}"' for word in piece.split())
    if parts and not words.rstrip().endswith('"'):
        parts[-1] += "*"
    return " ".join(parts)


# -- backup ------------------------------------------------------------------------------------------------------------


def backup(source: Path, target: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy a live database, page by page and consistent, into a new file.

    :param progress: told (pages done, pages in all).
    """
    with (
        contextlib.closing(_open(source)) as from_connection,
        contextlib.closing(sqlite3.connect(target)) as to_connection,
    ):
        # One snapshot for the whole copy: without it SQLite begins anew at each commit of the relay, and under load it
        # never comes to an end (measured: 54 s against 0.4 s).
        from_connection.execute("BEGIN")
        from_connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        from_connection.backup(
            to_connection,
            pages=4_096,
            progress=(lambda _status, remaining, total: progress(total - remaining, total)) if progress else None,
            sleep=0.005,
        )
        # One plain file, without -wal and -shm beside it.
        to_connection.execute("PRAGMA journal_mode = DELETE")


def verify(path: Path) -> str | None:
    """Read a database file through.

    :returns: what is wrong with it, or None.
    """
    try:
        with contextlib.closing(_open(path)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"alembic_version", "messages", "events"} <= tables:
                return "it is not an Agent Relay database"
            found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            return None if found == "ok" else str(found)
    except sqlite3.DatabaseError as exc:
        return str(exc)


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise sqlite3.OperationalError("no such file")
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)


# -- errors ------------------------------------------------------------------------------------------------------------


def translate(exc: BaseException) -> RelayError | None:
    """What a failure of SQLite means to a caller, or None where it is our own mistake."""
    original = exc.orig if isinstance(exc, DBAPIError) else exc
    if not isinstance(original, sqlite3.Error):
        return None
    # Extended result codes keep the primary code in the low byte (https://sqlite.org/rescode.html).
    code = cast("int", getattr(original, "sqlite_errorcode", 0)) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StorageFull()
    if code in _UNAVAILABLE:
        return Unavailable(f"The database does not answer: {_UNAVAILABLE[code]}.", headers={"Retry-After": "1"})
    return None


_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "it is locked",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
    sqlite3.SQLITE_CANTOPEN: "its file cannot be opened",
    sqlite3.SQLITE_CORRUPT: "its file is damaged; restore a backup",
    sqlite3.SQLITE_NOTADB: "its file is not a database",
    sqlite3.SQLITE_PERM: "its file may not be accessed",
}


@contextlib.contextmanager
def start_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's failures at the start into one clear line."""
    try:
        yield
    except DBAPIError as exc:
        known = translate(exc)
        reason = known.detail if known else str(exc.orig)
        raise StartError(f"the database {path} cannot be used: {reason} The file was not changed.") from exc
    except sqlite3.Error as exc:
        raise StartError(f"the database {path} cannot be used: {exc}. The file was not changed.") from exc
    except OSError as exc:
        raise StartError(f"the database {path} cannot be used: {exc.strerror}. The file was not changed.") from exc


def database_bytes(path: Path) -> int:
    """Size on disk, write-ahead log included."""
    return sum(p.stat().st_size for p in (path, path.with_name(path.name + "-wal")) if p.exists())


def as_json(value: Any) -> str:
    """JSON text for a column."""
    return msgspec.json.encode(value).decode()
