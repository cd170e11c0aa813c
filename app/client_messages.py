"""The client's calls about messages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UnsetType

from app.client_calls import PAGE, Calls, compact
from app.client_http import BadAnswer, Query
from app.model import (
    AgentRef,
    CursorAnswer,
    InboxMessage,
    Message,
    MessageList,
    Priority,
    ReadMark,
    ReadUpTo,
    ReadUpToAnswer,
    Receipt,
    ReceiptList,
    ReportedReceipt,
    ReportReceipt,
    SendMessage,
    SentBatch,
    SentMessage,
)


class MessageCalls(Calls):
    """Send, look, read, claim."""

    def send(
        self,
        to: str,
        *,
        from_: str,
        body: str,
        subject: str | None = None,
        channel: str | None = None,
        reply_to: int | None = None,
        claimable: bool = False,
        priority: Priority = Priority.NORMAL,
        meta: Mapping[str, Any] | None = None,
        expires_in_ms: int | None = None,
        idempotency_key: str | None = None,
    ) -> SentMessage:
        """Send a message; when this returns, the relay has it on disk.

        :param idempotency_key: one of the caller's own, for a send that it may repeat itself (24 h).
        """
        message = SendMessage(
            from_=from_,
            to=to,
            body=body,
            subject=subject,
            channel=channel,
            reply_to=reply_to,
            claimable=claimable,
            priority=priority,
            meta=dict(meta or {}),
            expires_in_ms=expires_in_ms,
        )
        return self._post("/messages", SentMessage, body=message, headers=_key(idempotency_key))

    def send_batch(self, messages: Sequence[SendMessage], *, idempotency_key: str | None = None) -> list[SentMessage]:
        """Send 1-1,000 messages, all or nothing."""
        body = msgspec.json.encode([compact(message) for message in messages])
        answer = self._caller.call("POST", "/messages", body=body, headers=_key(idempotency_key))
        return self._decode(answer, SentBatch).messages

    def inbox(
        self,
        agent_id: str,
        *,
        unread: bool = True,
        since_id: int = 0,
        limit: int = 50,
        wait_s: float = 0.0,
        peek: bool = False,
    ) -> MessageList:
        """A page of an agent's inbox, oldest first; ``next`` is the following page's ``since_id``.

        :param wait_s: wait up to this long (60 at most) for the first message.
        :param peek: look without being taken for the agent.
        """
        query: Query = {
            "for": agent_id,
            "unread": unread or None,
            "sinceId": since_id or None,
            "limit": limit,
            "wait": wait_s or None,
            "peek": peek or None,
        }
        return self._decode(self._caller.call("GET", "/messages", query=query, wait_s=wait_s), MessageList)

    def history(
        self,
        *,
        before: int | None = None,
        from_: str | None = None,
        to: str | None = None,
        channel: str | None = None,
        thread: int | None = None,
        q: str | None = None,
        limit: int = 50,
    ) -> MessageList:
        """A page of all messages, newest first; ``next`` is the following page's ``before``.

        :param q: full text.
        """
        query: Query = {
            "before": before,
            "from": from_,
            "to": to,
            "channel": channel,
            "thread": thread,
            "q": q,
            "limit": limit,
        }
        return self._get("/messages", MessageList, query=query)

    def cursor(self) -> int:
        """The newest message's id: where a poller starts."""
        return self._get("/messages/cursor", CursorAnswer).cursor

    def get_message(self, message_id: int) -> Message:
        """One message.

        :raises MessageNotFound: there is none.
        """
        return self._get(f"/messages/{message_id:d}", Message)

    def thread(self, message_id: int) -> Iterator[InboxMessage]:
        """The whole conversation of a message, oldest first, fetched page by page."""
        since: int | UnsetType = 0
        while not isinstance(since, UnsetType):
            query: Query = {"sinceId": since, "limit": PAGE}
            page = self._get(f"/messages/{message_id:d}/thread", MessageList, query=query)
            yield from page.messages
            since = page.next

    def read(self, message_id: int, *, agent_id: str) -> ReadMark:
        """Mark a message as read by an agent; doing it again changes nothing."""
        return self._post(f"/messages/{message_id:d}/read", ReadMark, body=AgentRef(agent_id=agent_id))

    def read_up_to(self, message_id: int, *, agent_id: str) -> ReadUpToAnswer:
        """Mark everything up to an id as read by an agent."""
        return self._post("/messages/read", ReadUpToAnswer, body=ReadUpTo(agent_id=agent_id, up_to=message_id))

    def receipts(self, message_id: int) -> Iterator[Receipt]:
        """What became of a message with each recipient, by agent id, fetched page by page."""
        after: str | None | UnsetType = None
        while not isinstance(after, UnsetType):
            query: Query = {"after": after, "limit": PAGE}
            page = self._get(f"/messages/{message_id:d}/receipts", ReceiptList, query=query)
            yield from page.receipts
            after = page.next

    def report_receipt(self, message_id: int, *, agent_id: str, state: ReportedReceipt, adapter: str) -> Receipt:
        """An adapter has offered or delivered a message to its agent; answers the agent's receipt."""
        request = ReportReceipt(agent_id=agent_id, state=state, adapter=adapter)
        answer = self._post(f"/messages/{message_id:d}/receipts", ReceiptList, body=request)
        for receipt in answer.receipts:
            if receipt.agent_id == agent_id:
                return receipt
        raise BadAnswer(f"{self._caller.url} answered no receipt of {agent_id}.")

    def claim(self, message_id: int, *, agent_id: str) -> Message:
        """Claim a message; to the agent that holds it, the same answer again.

        :raises ClaimConflict: another agent holds it: ``extras["claimedBy"]``.
        """
        return self._post(f"/messages/{message_id:d}/claim", Message, body=AgentRef(agent_id=agent_id))

    def release(self, message_id: int, *, agent_id: str) -> Message:
        """Give a claim back. Not tried again after a lost connection: by then another may hold it.

        :raises NotClaimant: the agent does not hold it.
        """
        path = f"/messages/{message_id:d}/release"
        return self._post(path, Message, body=AgentRef(agent_id=agent_id), repeatable=False)

    def delete_message(self, message_id: int) -> None:
        """Remove a message from history."""
        self._caller.call("DELETE", f"/messages/{message_id:d}")


def _key(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or os.urandom(16).hex()}
