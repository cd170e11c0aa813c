"""Idempotency keys: what was asked under a key, and what it made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from sqlalchemy import Connection, bindparam, delete, insert, select

from app.server.store.schema import idempotency


class KeyRow(Struct, frozen=True):
    """One used key."""

    key_sha256: bytes
    request_sha256: bytes
    #: JSON: for each message its id, whether it was queued, and how many agents it reached
    answer: bytes
    created_at: int


_FIND = select(*idempotency.c).where(
    idempotency.c.key_sha256.in_(bindparam("keys", expanding=True)), idempotency.c.created_at > bindparam("since")
)
_INSERT = insert(idempotency)
_OLD = select(idempotency.c.key_sha256).where(idempotency.c.created_at <= bindparam("until")).limit(bindparam("limit"))
_DROP = delete(idempotency).where(idempotency.c.key_sha256.in_(bindparam("keys", expanding=True)))


def find(connection: Connection, keys: Iterable[bytes], *, since_ms: int) -> dict[bytes, KeyRow]:
    """Those keys that were used after ``since_ms``."""
    rows = connection.execute(_FIND, {"keys": list(keys), "since": since_ms})
    return {row[0]: KeyRow(row[0], row[1], row[2], row[3]) for row in rows}


def put(connection: Connection, rows: Sequence[KeyRow]) -> None:
    """Note used keys; a forgotten key of the same name gives way."""
    connection.execute(_DROP, {"keys": [row.key_sha256 for row in rows]})
    names = KeyRow.__struct_fields__
    connection.execute(
        _INSERT, [dict(zip(names, (r.key_sha256, r.request_sha256, r.answer, r.created_at), strict=True)) for r in rows]
    )


def delete_some(connection: Connection, *, until_ms: int, limit: int) -> int:
    """Forget old keys.

    :returns: how many were forgotten.
    """
    keys: list[bytes] = list(connection.execute(_OLD, {"until": until_ms, "limit": limit}).scalars())
    if keys:
        connection.execute(_DROP, {"keys": keys})
    return len(keys)
