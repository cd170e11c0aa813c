"""Inboxes: what an agent receives, what it has read, and what became of a message with each recipient."""

from __future__ import annotations

from typing import cast

from msgspec import UNSET
from sqlalchemy import Connection

from app.errors import NotARecipient
from app.model import Message, MessageList, MessageQuery, ReadMark, ReadUpToAnswer, ReceiptList, ReceiptState
from app.server.clock import rfc3339
from app.server.events import MessageRead
from app.server.services import messages
from app.server.services.bus import Bus, authorise
from app.server.store import events as log
from app.server.store import inbox as store
from app.server.store import messages as message_store
from app.server.store import receipts

#: How many messages one transaction of :func:`read_up_to` marks, so that a long inbox does not hold up the others.
READ_CHUNK = 500


def list_inbox(bus: Bus, query: MessageQuery, *, agent_secret: str | None) -> MessageList:
    """A page of an agent's inbox, oldest first."""
    agent_id = cast("str", query.for_)
    with bus.store.read() as connection:
        authorise(connection, agent_id, secret=agent_secret)
        found = store.list_messages(
            connection,
            agent_id,
            unread=query.unread,
            since=query.sinceId,
            limit=query.limit + 1,
            now_ms=bus.clock.now_ms(),
        )
    return messages.page(found, query.limit)


def read(bus: Bus, message_id: int, *, agent_id: str, agent_secret: str | None) -> ReadMark:
    """Mark one message as read by an agent. Doing it again changes nothing."""

    def operation(connection: Connection) -> ReadMark:
        authorise(connection, agent_id, secret=agent_secret)
        message = message_store.get(connection, message_id)
        if not message_store.is_recipient(connection, message, agent_id=agent_id):
            raise NotARecipient(f"Message {message_id} went to {message.to}, which does not include {agent_id}.")
        now = bus.clock.now_ms()
        if store.try_mark_read(connection, agent_id, message_id, now_ms=now):
            log.append(connection, [_read_event(message, agent_id, now)], now_ms=now)
            store.advance_marks(connection, agent_id, head=log.head(connection), now_ms=now, topic=message.to)
        else:
            now = store.read_at(connection, agent_id, message_id)
        return ReadMark(message_id=message_id, agent_id=agent_id, at=rfc3339(now))

    return bus.store.write(operation)


def read_up_to(bus: Bus, *, agent_id: str, up_to: int, agent_secret: str | None) -> ReadUpToAnswer:
    """Mark everything up to an id as read by an agent. Doing it again changes nothing."""

    def operation(connection: Connection) -> int:
        authorise(connection, agent_id, secret=agent_secret)
        now = bus.clock.now_ms()
        unread = store.list_messages(
            connection, agent_id, unread=True, since=0, limit=READ_CHUNK, now_ms=now, upto=up_to
        )
        unread = [message for message in unread if message.id <= up_to]
        for message in unread:
            store.try_mark_read(connection, agent_id, message.id, now_ms=now)
        if unread:
            log.append(connection, [_read_event(message, agent_id, now) for message in unread], now_ms=now)
            store.advance_marks(connection, agent_id, head=log.head(connection), now_ms=now)
        return len(unread)

    marked = 0
    while chunk := bus.store.write(operation):
        marked += chunk
    return ReadUpToAnswer(agent_id=agent_id, up_to=up_to, marked=marked)


def _read_event(message: Message, agent_id: str, now_ms: int) -> MessageRead:
    data = {"messageId": message.id, "agentId": agent_id, "at": rfc3339(now_ms)}
    return MessageRead(message_id=message.id, agent_id=agent_id, topic=message.to, sender=message.from_, data=data)


def list_receipts(bus: Bus, message_id: int, *, after: str | None, limit: int) -> ReceiptList:
    """A page of what became of a message with each recipient, by agent id."""
    with bus.store.read() as connection:
        message = message_store.get(connection, message_id)
        found = receipts.list_receipts(connection, message, after=after or "", limit=limit + 1)
    return ReceiptList(receipts=found[:limit], next=found[limit - 1].agent_id if len(found) > limit else UNSET)


def report_receipt(
    bus: Bus, message_id: int, *, agent_id: str, state: ReceiptState, adapter: str, agent_secret: str | None
) -> ReceiptList:
    """Note that an adapter has offered or delivered a message to its agent; the agent's receipt is answered."""

    def operation(connection: Connection) -> ReceiptList:
        authorise(connection, agent_id, secret=agent_secret)
        message = message_store.get(connection, message_id)
        if not message_store.is_recipient(connection, message, agent_id=agent_id):
            raise NotARecipient(f"Message {message_id} went to {message.to}, which does not include {agent_id}.")
        now = bus.clock.now_ms()
        receipts.report(connection, message_id, agent_id=agent_id, state=state, adapter=adapter, now_ms=now)
        return ReceiptList(receipts=[receipts.get(connection, message, agent_id=agent_id)])

    return bus.store.write(operation)
