"""Counts for the relay's own report."""

from __future__ import annotations

from sqlalchemy import Connection, text

#: Counting open work stops here.
COUNT_LIMIT = 10_000

_OPEN = text(
    "SELECT COUNT(*) FROM (SELECT 1 FROM messages WHERE claimable AND claimed_by IS NULL "
    "AND (expires_at IS NULL OR expires_at > :now) LIMIT :limit) AS found"
)


def count_open(connection: Connection, *, now_ms: int) -> int:
    """Claimable messages that nobody holds."""
    count: int = connection.execute(_OPEN, {"now": now_ms, "limit": COUNT_LIMIT}).scalar_one()
    return count
