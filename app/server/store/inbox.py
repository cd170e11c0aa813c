"""Inboxes: which messages an agent receives, which of them it has not read, and the marks that keep both cheap.

An inbox is a merge of index ranges ``(target, id)``, one for each of the agent's subscriptions, so its cost depends on
what is new and not on how much history there is. It holds, as the contract says: everything sent to the agent itself;
fan-out sent since it subscribed; and older claimable fan-out that nobody, or the agent itself, holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, TextClause, bindparam, text, update

from app.model import InboxMessage
from app.server.store.messages import message_from_row, within_budget
from app.server.store.schema import messages, read_marks

#: Counting unread messages stops here.
UNREAD_COUNT_LIMIT = 10_000

_COLUMNS = ", ".join(f"m.{column.name}" for column in messages.c)


def _larger(a: str, b: str) -> str:
    """The larger of two expressions: scalar max() is SQLite's name for it, GREATEST() PostgreSQL's."""
    return f"CASE WHEN {a} > {b} THEN {a} ELSE {b} END"


_MARK = "COALESCE(r.up_to, 0)"
_SUBSCRIPTIONS = (
    "subscriptions s LEFT JOIN read_marks r ON r.agent_id = s.agent_id AND r.topic = s.topic"  # the mark may be missing
)
_THERE = "x.sender <> s.agent_id AND (x.expires_at IS NULL OR x.expires_at > :now)"
_NOT_READ = """NOT EXISTS (SELECT 1 FROM receipts q
    WHERE q.message_id = x.id AND q.agent_id = s.agent_id AND q.read_at IS NOT NULL)"""
_NOT_ELSEWHERE = "(NOT x.claimable OR x.claimed_by IS NULL OR x.claimed_by = s.agent_id)"

#: Ids under one subscription ``s`` (with its mark ``r``), as correlated subqueries, each one range of one index.
_ALL_NEW = f"""SELECT x.id FROM messages x WHERE x.target = s.topic AND x.id > {_larger("s.since_id", ":since")}
    AND x.id <= :upto AND {_THERE}"""
_ALL_OPEN = f"""SELECT x.id FROM messages x WHERE x.target = s.topic AND x.claimable AND x.claimed_by IS NULL
    AND x.id > :since AND x.id <= s.since_id AND {_THERE}"""
_UNREAD_NEW = f"""SELECT x.id FROM messages x WHERE x.target = s.topic
    AND x.id > {_larger(_MARK, "(" + _larger("s.since_id", ":since") + ")")}
    AND x.id <= :upto AND {_THERE} AND {_NOT_ELSEWHERE} AND {_NOT_READ}"""
_UNREAD_OPEN = f"""SELECT x.id FROM messages x WHERE x.target = s.topic AND x.claimable AND x.claimed_by IS NULL
    AND x.id > {_larger(_MARK, ":since")} AND x.id <= s.since_id AND {_THERE} AND {_NOT_READ}"""
#: What the agent itself holds of the fan-out before its subscription; few, so the index of held messages leads.
_HELD_FROM = "messages x JOIN subscriptions s ON s.agent_id = x.claimed_by AND s.topic = x.target"
_HELD = f"""SELECT x.id FROM {_HELD_FROM}
    WHERE x.claimed_by = :agent AND x.id > :since AND x.id <= s.since_id AND {_THERE}"""


def _merge(*branches: str, held: str) -> TextClause:
    parts = [
        f"SELECT m.id FROM {_SUBSCRIPTIONS} JOIN messages m ON m.id IN ({branch} ORDER BY x.id LIMIT :limit) "
        "WHERE s.agent_id = :agent"
        for branch in branches
    ]
    parts.append(held)
    return text(
        f"SELECT {_COLUMNS}, q.read_at FROM ({' UNION ALL '.join(parts)} ORDER BY id LIMIT :limit) AS page "
        "JOIN messages m ON m.id = page.id "
        "LEFT JOIN receipts q ON q.message_id = m.id AND q.agent_id = :agent ORDER BY m.id"
    )


_ALL = _merge(_ALL_NEW, _ALL_OPEN, held=_HELD)
_UNREAD = _merge(_UNREAD_NEW, _UNREAD_OPEN, held=f"{_HELD} AND {_NOT_READ}")

_COUNT = text(
    f"""SELECT agent_id, SUM(count) FROM (
        SELECT s.agent_id AS agent_id, (SELECT COUNT(*) FROM ({_UNREAD_NEW} LIMIT :limit) AS n)
            + (SELECT COUNT(*) FROM ({_UNREAD_OPEN} LIMIT :limit) AS o) AS count
        FROM {_SUBSCRIPTIONS} WHERE s.agent_id IN :agents
        UNION ALL SELECT x.claimed_by, 1 FROM {_HELD_FROM}
            WHERE x.claimed_by IN :agents AND x.id <= s.since_id AND {_THERE} AND {_NOT_READ}
        ) AS parts GROUP BY agent_id"""
).bindparams(bindparam("agents", expanding=True))
_FIRST_UNREAD = text(
    f"""SELECT s.topic, (SELECT MIN(id) FROM (SELECT * FROM ({_UNREAD_NEW} ORDER BY x.id LIMIT 1) AS n
        UNION ALL SELECT * FROM ({_UNREAD_OPEN} ORDER BY x.id LIMIT 1) AS o) AS f)
        FROM {_SUBSCRIPTIONS} WHERE s.agent_id = :agent AND (:topic IS NULL OR s.topic = :topic)"""
)
_OPEN_UNDER = text(
    f"""SELECT {_COLUMNS} FROM {_SUBSCRIPTIONS} JOIN messages m ON m.id IN ({_UNREAD_OPEN} ORDER BY x.id LIMIT :limit)
        WHERE s.agent_id = :agent AND s.topic = :topic ORDER BY m.id"""
)

_MARK_READ = text(
    """INSERT INTO receipts (message_id, agent_id, read_at) VALUES (:message, :agent, :now)
    ON CONFLICT (message_id, agent_id) DO UPDATE SET read_at = excluded.read_at WHERE receipts.read_at IS NULL
    RETURNING message_id"""
)
_READ_AT = text("SELECT read_at FROM receipts WHERE message_id = :message AND agent_id = :agent")
_SET_MARK = text(
    """INSERT INTO read_marks (agent_id, topic, up_to) VALUES (:agent, :topic, :up_to)
    ON CONFLICT (agent_id, topic) DO UPDATE SET up_to = excluded.up_to WHERE read_marks.up_to < excluded.up_to"""
)
_LOWER_MARKS = (
    update(read_marks)
    .where(read_marks.c.topic == bindparam("target"), read_marks.c.up_to >= bindparam("message"))
    .values(up_to=bindparam("below"))
)
_UNREAD_AGAIN = text("UPDATE receipts SET read_at = NULL, claimed_at = NULL WHERE message_id = :message")

_FOREVER = 2**63 - 1


def list_messages(
    connection: Connection,
    agent_id: str,
    *,
    unread: bool,
    since: int,
    limit: int,
    now_ms: int,
    upto: int = _FOREVER,
) -> list[InboxMessage]:
    """An inbox, oldest first, with ``read`` set."""
    params = {"agent": agent_id, "since": since, "limit": limit, "now": now_ms, "upto": upto}
    return within_budget(connection.execute(_UNREAD if unread else _ALL, params))


def list_open_under(
    connection: Connection, agent_id: str, *, topic: str, limit: int, now_ms: int
) -> list[InboxMessage]:
    """Unread work that a new subscription brings with it: claimable, held by nobody, older than the subscription."""
    params = {"agent": agent_id, "topic": topic, "since": 0, "limit": limit, "now": now_ms}
    return [message_from_row(row) for row in connection.execute(_OPEN_UNDER, params)]


def count_unread(connection: Connection, agent_ids: Sequence[str], *, now_ms: int) -> dict[str, int]:
    """Unread messages of each agent; counting stops at :data:`UNREAD_COUNT_LIMIT` a subscription."""
    if not agent_ids:
        return {}
    params = {"agents": list(agent_ids), "since": 0, "limit": UNREAD_COUNT_LIMIT, "now": now_ms, "upto": _FOREVER}
    return {row[0]: min(row[1], UNREAD_COUNT_LIMIT) for row in connection.execute(_COUNT, params)}


def try_mark_read(connection: Connection, agent_id: str, message_id: int, *, now_ms: int) -> bool:
    """Note that a message was read.

    :returns: whether it had not been.
    """
    row = connection.execute(_MARK_READ, {"agent": agent_id, "message": message_id, "now": now_ms}).first()
    return row is not None


def read_at(connection: Connection, agent_id: str, message_id: int) -> int:
    """When a message that was read was read."""
    at: int = connection.execute(_READ_AT, {"agent": agent_id, "message": message_id}).scalar_one()
    return at


def advance_marks(connection: Connection, agent_id: str, *, head: int, now_ms: int, topic: str | None = None) -> None:
    """Raise the agent's low-water marks, or the one of ``topic``, to just below what is still unread.

    :param head: the newest sequence number: where a mark goes when nothing is unread.
    """
    params: dict[str, object] = {"agent": agent_id, "since": 0, "now": now_ms, "upto": _FOREVER, "topic": topic}
    found: list[Any] = list(connection.execute(_FIRST_UNREAD, params))
    for marked, first_unread in found:
        up_to = head if first_unread is None else first_unread - 1
        connection.execute(_SET_MARK, {"agent": agent_id, "topic": marked, "up_to": up_to})


def make_unread(connection: Connection, message_id: int, *, target: str) -> None:
    """Forget who has read a message, and who held it: it is announced anew."""
    connection.execute(_UNREAD_AGAIN, {"message": message_id})
    connection.execute(_LOWER_MARKS, {"target": target, "message": message_id, "below": message_id - 1})
