"""What happened to messages, tasks and agents, row by row: each list has an index and an end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, bindparam, text

from app.model import InboxMessage
from app.server.store.messages import MESSAGE_COLUMNS, message_from_row

#: Receipts, claims and attempts that one timeline looks at, of the oldest messages first.
ROWS = 5_000

_MESSAGE_COLUMNS = ", ".join(
    f"substr({column.name}, 1, :chars) AS {column.name}" if column.name in {"subject", "body"} else column.name
    for column in MESSAGE_COLUMNS
)
_OF_THREAD = text(f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE thread_id = :thread ORDER BY id LIMIT :limit")
_OF_AGENT = text(
    f"""SELECT {_MESSAGE_COLUMNS} FROM messages WHERE sender = :agent AND id < :before
    UNION ALL SELECT {_MESSAGE_COLUMNS} FROM messages WHERE target = :agent AND sender <> :agent AND id < :before
    ORDER BY id DESC LIMIT :limit"""
)
_CLAIM_COLUMNS = "seq, type, message_id, agent_id, created_at"
_CLAIMS = text(
    f"""SELECT {_CLAIM_COLUMNS} FROM events WHERE message_id IN :ids
    AND type IN ('message.claimed', 'message.released') ORDER BY message_id, seq LIMIT :limit"""
).bindparams(bindparam("ids", expanding=True))
_CLAIMS_BY = text(
    f"""SELECT {_CLAIM_COLUMNS} FROM events WHERE agent_id = :agent
    AND type IN ('message.claimed', 'message.released') AND seq < :before ORDER BY seq DESC LIMIT :limit"""
)
_RECEIPTS = text(
    """SELECT message_id, agent_id, delivered_at, delivered_by, read_at, lost_at, lost_to FROM receipts
    WHERE message_id IN :ids ORDER BY message_id, agent_id LIMIT :limit"""
).bindparams(bindparam("ids", expanding=True))
_ATTEMPTS = text(
    """SELECT d.id, d.integration, d.event, a.number, a.at, a.status, a.error FROM deliveries d
    CROSS JOIN attempts a ON a.delivery_id = d.id WHERE d.task_id = :task ORDER BY d.id, a.number LIMIT :limit"""
)


class ClaimEvent(Struct, frozen=True):
    """A message was claimed, or given back by whoever held it."""

    seq: int
    type: str
    message_id: int
    #: None where it was released before this was noted
    agent_id: str | None
    at: int


class ReceiptRow(Struct, frozen=True):
    """What happened between a message and a recipient, as far as timelines show it."""

    message_id: int
    agent_id: str
    delivered_at: int | None
    delivered_by: str | None
    read_at: int | None
    lost_at: int | None
    lost_to: str | None


class AttemptEvent(Struct, frozen=True):
    """A callback was tried."""

    delivery_id: int
    integration: str
    event: str
    number: int
    at: int
    status: int | None
    error: str | None


def list_thread(connection: Connection, thread_id: int, *, limit: int, chars: int) -> list[InboxMessage]:
    """A conversation, oldest first, of each text only the beginning."""
    rows = connection.execute(_OF_THREAD, {"thread": thread_id, "limit": limit, "chars": chars})
    return [message_from_row(row) for row in rows]


def list_messages_of(
    connection: Connection, agent_id: str, *, before: int, limit: int, chars: int
) -> list[InboxMessage]:
    """What an agent sent, and what was sent to it alone, newest first, of each text only the beginning."""
    rows = connection.execute(_OF_AGENT, {"agent": agent_id, "before": before, "limit": limit, "chars": chars})
    return [message_from_row(row) for row in rows]


def list_claims(connection: Connection, message_ids: Sequence[int]) -> list[ClaimEvent]:
    """Claims and releases of these messages, in the order of messages."""
    rows: Iterable[Any] = connection.execute(_CLAIMS, {"ids": message_ids, "limit": ROWS})
    return [ClaimEvent(*row) for row in rows]


def list_claims_by(connection: Connection, agent_id: str, *, before: int, limit: int) -> list[ClaimEvent]:
    """What an agent claimed and gave back, newest first."""
    rows: Iterable[Any] = connection.execute(_CLAIMS_BY, {"agent": agent_id, "before": before, "limit": limit})
    return [ClaimEvent(*row) for row in rows]


def list_receipts(connection: Connection, message_ids: Sequence[int]) -> list[ReceiptRow]:
    """Receipts of these messages, in the order of messages."""
    rows: Iterable[Any] = connection.execute(_RECEIPTS, {"ids": message_ids, "limit": ROWS})
    return [ReceiptRow(*row) for row in rows]


def list_attempts(connection: Connection, task_id: int) -> list[AttemptEvent]:
    """Attempts to tell of a task, in the order of its changes."""
    rows: Iterable[Any] = connection.execute(_ATTEMPTS, {"task": task_id, "limit": ROWS})
    return [AttemptEvent(*row) for row in rows]
