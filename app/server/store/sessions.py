"""One-time codes and sessions; only hashes of them are stored."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from app.server.store.schema import sessions

_TAKE = (
    delete(sessions)
    .where(
        sessions.c.secret_sha256 == bindparam("secret"),
        sessions.c.kind == "code",
        sessions.c.token_sha256 == bindparam("token"),
    )
    .returning(sessions.c.expires_at)
)
_LIVE = select(sessions.c.expires_at).where(
    sessions.c.secret_sha256 == bindparam("secret"),
    sessions.c.kind == "session",
    sessions.c.token_sha256 == bindparam("token"),
    sessions.c.expires_at > bindparam("now"),
)


def insert_secret(
    connection: Connection, *, kind: str, secret_sha256: bytes, token_sha256: bytes, expires_at: int
) -> None:
    """Keep a code or a session, made under a shared token."""
    connection.execute(
        insert(sessions),
        {"secret_sha256": secret_sha256, "kind": kind, "token_sha256": token_sha256, "expires_at": expires_at},
    )


def try_take_code(connection: Connection, *, secret_sha256: bytes, token_sha256: bytes, now_ms: int) -> bool:
    """Use a code up.

    :returns: whether it was there and still good.
    """
    row = connection.execute(_TAKE, {"secret": secret_sha256, "token": token_sha256}).first()
    return row is not None and row[0] > now_ms


def is_live(connection: Connection, *, secret_sha256: bytes, token_sha256: bytes, now_ms: int) -> bool:
    """Whether a session is signed in under the token of today."""
    params = {"secret": secret_sha256, "token": token_sha256, "now": now_ms}
    return connection.execute(_LIVE, params).first() is not None


def delete_session(connection: Connection, *, secret_sha256: bytes) -> bool:
    """Sign a session out.

    :returns: whether there was one.
    """
    return connection.execute(delete(sessions).where(sessions.c.secret_sha256 == secret_sha256)).rowcount > 0


def delete_stale(connection: Connection, *, now_ms: int, token_sha256: bytes | None) -> None:
    """Drop what has expired, and everything made under another shared token."""
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now_ms))
    if token_sha256 is not None:
        connection.execute(delete(sessions).where(sessions.c.token_sha256 != token_sha256))
