"""How much happens: counts by the minute, and who writes to whom, kept in the transactions that they count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, select, text

from app.server.store import sqlite
from app.server.store.schema import activity, messages, receipts, traffic

MINUTE_MS = 60_000
#: A stretch of :data:`traffic`.
BUCKET_MS = 10 * MINUTE_MS

#: A message's sender, target and instant.
Sent = tuple[str, str, int]
#: A message's id, who wanted it, who held it, and when.
Loss = tuple[int, str, str, int]

_RANGE = select(*activity.c).where(
    activity.c.minute_at >= bindparam("since"), activity.c.minute_at <= bindparam("upto")
)
_TRAFFIC = text(
    """SELECT sender, target, SUM(messages) AS sum FROM traffic WHERE bucket_at >= :since AND bucket_at <= :upto
    GROUP BY sender, target ORDER BY sum DESC, sender, target LIMIT :limit"""
)
_BUCKETS = text(
    """SELECT bucket_at, SUM(messages) FROM traffic WHERE bucket_at >= :since AND bucket_at <= :upto
    GROUP BY bucket_at ORDER BY bucket_at"""
)


def count_messages(connection: Connection, sent: Iterable[Sent]) -> None:
    """Inside the transaction that stores them: count messages, with a fixed number of statements."""
    minutes: Counter[int] = Counter()
    ways: Counter[tuple[int, str, str]] = Counter()
    for (sender, target, at), count in Counter(sent).items():  # counted without a step of Python for each
        minutes[at - at % MINUTE_MS] += count
        ways[at - at % BUCKET_MS, sender, target] += count
    _add(connection, [(minute, count, 0, 0) for minute, count in minutes.items()])
    rows = [(*way, count) for way, count in ways.items()]
    sqlite.insert_many(connection, traffic, rows, _WAYS, key="bucket_at, sender, target", add=("messages",))


_WAYS = tuple(traffic.c.keys())
_COUNTS = tuple(activity.c.keys())


def _add(connection: Connection, counts: Sequence[tuple[int, int, int, int]]) -> None:
    """Add to minutes: (minute, messages, claims, lost claims)."""
    sqlite.insert_many(connection, activity, counts, _COUNTS, key="minute_at", add=_COUNTS[1:])


def count_claim(connection: Connection, *, now_ms: int) -> None:
    """Inside the transaction that grants it: count a claim."""
    _add(connection, [(now_ms - now_ms % MINUTE_MS, 0, 1, 0)])


def note_losses(connection: Connection, losses: Sequence[Loss]) -> None:
    """Note who came too late, in the receipts and in the counts; of messages that are gone nothing is noted."""
    there: set[int] = set(connection.execute(_THERE, {"ids": [loss[0] for loss in losses]}).scalars())
    noted = [loss for loss in losses if loss[0] in there]
    sqlite.insert_many(connection, receipts, noted, _LOSS, key="message_id, agent_id", replace=_LOSS[2:])
    minutes = Counter(at - at % MINUTE_MS for *_, at in noted)
    _add(connection, [(minute, 0, 0, count) for minute, count in minutes.items()])


_LOSS = ("message_id", "agent_id", "lost_to", "lost_at")
_THERE = select(messages.c.id).where(messages.c.id.in_(bindparam("ids", expanding=True)))


def list_minutes(connection: Connection, *, since_ms: int, upto_ms: int) -> list[tuple[int, int, int, int]]:
    """(minute, messages, claims, lost claims) of the minutes in which something happened."""
    rows = connection.execute(_RANGE, {"since": since_ms, "upto": upto_ms})
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def list_traffic(connection: Connection, *, since_ms: int, upto_ms: int, limit: int) -> list[tuple[str, str, int]]:
    """(sender, target, messages), the busiest first, of the stretches that began within a span."""
    rows = connection.execute(_TRAFFIC, {"since": since_ms, "upto": upto_ms, "limit": limit})
    return [(row[0], row[1], row[2]) for row in rows]


def list_buckets(connection: Connection, *, since_ms: int, upto_ms: int) -> list[tuple[int, int]]:
    """(beginning, messages) of the stretches that began within a span, oldest first."""
    return [(row[0], row[1]) for row in connection.execute(_BUCKETS, {"since": since_ms, "upto": upto_ms})]


_OLD_MINUTES = delete(activity).where(
    activity.c.minute_at.in_(
        select(activity.c.minute_at)
        .where(activity.c.minute_at < bindparam("cutoff"))
        .order_by(activity.c.minute_at)
        .limit(bindparam("limit"))
    )
)
_OLD_TRAFFIC = text(
    """DELETE FROM traffic WHERE (bucket_at, sender, target) IN (SELECT bucket_at, sender, target FROM traffic
    WHERE bucket_at < :cutoff ORDER BY bucket_at, sender, target LIMIT :limit)"""
)


def delete_some(connection: Connection, *, cutoff_ms: int, limit: int) -> bool:
    """Delete the oldest counts, as far as they are older than the cut-off.

    :returns: whether there may be more.
    """
    params = {"cutoff": cutoff_ms, "limit": limit}
    minutes = connection.execute(_OLD_MINUTES, params).rowcount
    return max(minutes, connection.execute(_OLD_TRAFFIC, params).rowcount) == limit


_LOST_BY = (
    select(receipts.c.message_id, receipts.c.lost_at, receipts.c.lost_to)
    .where(
        receipts.c.agent_id == bindparam("agent"),
        receipts.c.lost_at.is_not(None),
        text("(lost_at, message_id) < (:at, :message)"),
    )
    .order_by(receipts.c.lost_at.desc(), receipts.c.message_id.desc())
    .limit(bindparam("limit"))
)


def list_losses(
    connection: Connection, agent_id: str, *, before: tuple[int, int], limit: int
) -> list[tuple[int, int, str]]:
    """(message id, instant, holder) of an agent's lost claims, newest first.

    :param before: (instant, message id) of the last one that was seen.
    """
    params = {"agent": agent_id, "at": before[0], "message": before[1], "limit": limit}
    return [(row[0], row[1], row[2]) for row in connection.execute(_LOST_BY, params)]
