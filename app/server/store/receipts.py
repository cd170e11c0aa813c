"""Receipts: what happened between one message and each of its recipients."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from app.model import Message, Receipt, ReceiptState
from app.server.clock import rfc3339_or_none

_LIST = text(
    """SELECT a.agent_id, q.offered_at, q.offered_by, q.delivered_at, q.delivered_by, q.read_at, q.claimed_at,
    q.lost_at, q.lost_to
    FROM (SELECT agent_id FROM subscriptions WHERE topic = :target AND agent_id <> :sender
        UNION SELECT agent_id FROM receipts WHERE message_id = :message) AS a
    LEFT JOIN receipts q ON q.message_id = :message AND q.agent_id = a.agent_id
    WHERE a.agent_id > :after ORDER BY a.agent_id LIMIT :limit"""
)
_GET = text(
    """SELECT agent_id, offered_at, offered_by, delivered_at, delivered_by, read_at, claimed_at, lost_at, lost_to
    FROM receipts
    WHERE message_id = :message AND agent_id = :agent"""
)
_OFFERED = text(
    """INSERT INTO receipts (message_id, agent_id, offered_at, offered_by) VALUES (:message, :agent, :now, :adapter)
    ON CONFLICT (message_id, agent_id) DO UPDATE SET offered_at = excluded.offered_at, offered_by = excluded.offered_by
    WHERE receipts.offered_at IS NULL"""
)
_DELIVERED = text(
    """INSERT INTO receipts (message_id, agent_id, delivered_at, delivered_by) VALUES (:message, :agent, :now, :adapter)
    ON CONFLICT (message_id, agent_id) DO UPDATE SET delivered_at = excluded.delivered_at,
    delivered_by = excluded.delivered_by WHERE receipts.delivered_at IS NULL"""
)
_CLAIMED = text(
    """INSERT INTO receipts (message_id, agent_id, claimed_at) VALUES (:message, :agent, :now)
    ON CONFLICT (message_id, agent_id) DO UPDATE SET claimed_at = excluded.claimed_at"""
)


def report(
    connection: Connection, message_id: int, *, agent_id: str, state: ReceiptState, adapter: str, now_ms: int
) -> None:
    """Note an adapter's report; the first report of a state stays."""
    statement = _OFFERED if state is ReceiptState.OFFERED else _DELIVERED
    connection.execute(statement, {"message": message_id, "agent": agent_id, "now": now_ms, "adapter": adapter})


def note_claim(connection: Connection, message_id: int, *, agent_id: str, now_ms: int) -> None:
    """Note when an agent last claimed the message."""
    connection.execute(_CLAIMED, {"message": message_id, "agent": agent_id, "now": now_ms})


def list_receipts(connection: Connection, message: Message, *, after: str, limit: int) -> list[Receipt]:
    """Recipients by id: those that the target reaches now, and those that something happened with."""
    params = {"message": message.id, "target": message.to, "sender": message.from_, "after": after, "limit": limit}
    rows: list[Any] = list(connection.execute(_LIST, params))
    if not rows and not after and ":" not in message.to and message.to not in {"broadcast", message.from_}:
        rows = [(message.to, *[None] * 8)]  # not registered yet: waiting for it
    return [_receipt(message, *row) for row in rows]


def get(connection: Connection, message: Message, *, agent_id: str) -> Receipt:
    """One agent's receipt."""
    row: Any = connection.execute(_GET, {"message": message.id, "agent": agent_id}).one()
    return _receipt(message, *row)


def _receipt(
    message: Message,
    agent_id: str,
    offered_at: int | None,
    offered_by: str | None,
    delivered_at: int | None,
    delivered_by: str | None,
    read_at: int | None,
    claimed_at: int | None,
    lost_at: int | None,
    lost_to: str | None,
) -> Receipt:
    state = ReceiptState.QUEUED
    for reached, at in (
        (ReceiptState.OFFERED, offered_at),
        (ReceiptState.DELIVERED, delivered_at),
        (ReceiptState.READ, read_at),
        (ReceiptState.CLAIMED, claimed_at),
    ):
        state = reached if at is not None else state
    return Receipt(
        agent_id=agent_id,
        state=state,
        queued_at=message.created_at,
        offered_at=rfc3339_or_none(offered_at),
        offered_by=offered_by,
        delivered_at=rfc3339_or_none(delivered_at),
        delivered_by=delivered_by,
        read_at=rfc3339_or_none(read_at),
        claimed_at=rfc3339_or_none(claimed_at),
        lost_at=rfc3339_or_none(lost_at),
        lost_to=lost_to,
    )
