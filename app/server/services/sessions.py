"""Signing a browser in without typing the token: a one-time code in a URL's fragment, changed for a session."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection

from app.errors import Unauthorized
from app.model import Session, SessionCode
from app.server.clock import rfc3339
from app.server.services.bus import Bus, sha256
from app.server.store import sessions as store

CODE_TTL_MS = 30 * 1000
SESSION_TTL_MS = 30 * 24 * 3600 * 1000

#: What codes and sessions are filed under where no shared token is set.
_NO_TOKEN = b""


def create_code(bus: Bus, *, token_sha256: bytes | None) -> SessionCode:
    """A code for 30 s and one use.

    :param token_sha256: the shared token of today: a new one makes the code worthless.
    """
    code = secrets.token_urlsafe(24)
    now = bus.clock.now_ms()
    expires_at = now + CODE_TTL_MS

    def operation(connection: Connection) -> None:
        store.delete_stale(connection, now_ms=now, token_sha256=token_sha256)
        store.insert_secret(
            connection,
            kind="code",
            secret_sha256=sha256(code),
            token_sha256=token_sha256 or _NO_TOKEN,
            expires_at=expires_at,
        )

    bus.store.write(operation)
    return SessionCode(code=code, expires_at=rfc3339(expires_at))


def redeem(bus: Bus, code: str, *, token_sha256: bytes | None) -> Session:
    """Change a code for a session token.

    :raises Unauthorized: the code is unknown, used up, too old, or made under another shared token.
    """
    token = secrets.token_urlsafe(32)
    now = bus.clock.now_ms()
    expires_at = now + SESSION_TTL_MS

    def operation(connection: Connection) -> bool:
        filed = token_sha256 or _NO_TOKEN
        if not store.try_take_code(connection, secret_sha256=sha256(code), token_sha256=filed, now_ms=now):
            return False
        store.insert_secret(
            connection, kind="session", secret_sha256=sha256(token), token_sha256=filed, expires_at=expires_at
        )
        return True

    if not bus.store.write(operation):
        raise Unauthorized("This code is unknown, used or older than 30 s: open the dashboard anew for another one.")
    return Session(token=token, expires_at=rfc3339(expires_at))


def is_live(bus: Bus, token: str, *, token_sha256: bytes) -> bool:
    """Whether a presented token is a session of today's shared token."""
    with bus.store.read() as connection:
        return store.is_live(
            connection, secret_sha256=sha256(token), token_sha256=token_sha256, now_ms=bus.clock.now_ms()
        )


def sign_out(bus: Bus, token: str) -> bool:
    """End a session.

    :returns: whether the token was one's; any other is left alone.
    """
    return bus.store.write(lambda connection: store.delete_session(connection, secret_sha256=sha256(token)))
