"""Claims: one agent takes a message, gives it back, or loses it by going away."""

from __future__ import annotations

from sqlalchemy import Connection

from app.errors import AgentNotFound, ClaimConflict, MessageExpired, NotARecipient, NotClaimable, NotClaimant
from app.model import Message
from app.server.clock import rfc3339
from app.server.events import MessageClaimed, MessageNew, MessageReleased
from app.server.services.bus import HUMAN, Bus, authorise
from app.server.store import events as log
from app.server.store import inbox, receipts
from app.server.store import messages as store


def claim(bus: Bus, message_id: int, *, agent_id: str, secret: str | None) -> Message:
    """Claim a message for an agent. To the agent that already holds it the answer is the same again.

    :raises ClaimConflict: another agent holds it (``claimedBy``).
    :raises NotARecipient: the target does not include this agent.
    :raises NotClaimable: it is not work.
    :raises MessageExpired: too late.
    """

    def operation(connection: Connection) -> Message:
        try:
            authorise(connection, agent_id, secret=secret)
        except AgentNotFound as exc:
            raise NotARecipient(f"{agent_id} is not registered, so it receives nothing: register it first.") from exc
        now = bus.clock.now_ms()
        message = store.try_claim(connection, message_id, agent_id=agent_id, now_ms=now)
        if message is None:
            return _explain(connection, message_id, agent_id=agent_id, now_ms=now)
        receipts.note_claim(connection, message_id, agent_id=agent_id, now_ms=now)
        event = MessageClaimed(
            message_id=message_id, agent_id=agent_id, topic=message.to, sender=message.from_, data=(agent_id, now)
        )
        log.append(connection, [event], now_ms=now)
        return message

    return bus.store.write(operation)


def _explain(connection: Connection, message_id: int, *, agent_id: str, now_ms: int) -> Message:
    """Why a claim was not granted; or that it is this agent's already."""
    message = store.get(connection, message_id)
    if message.claimed_by == agent_id:
        return message
    if not message.claimable:
        raise NotClaimable(f"Message {message_id} was not sent as claimable.")
    if not store.is_recipient(connection, message, agent_id=agent_id):
        raise NotARecipient(f"Message {message_id} went to {message.to}, which does not include {agent_id}.")
    if message.claimed_by is not None:
        raise ClaimConflict(f"Message {message_id} is held by {message.claimed_by}.", claimedBy=message.claimed_by)
    raise MessageExpired(f"Message {message_id} expired at {message.expires_at or rfc3339(now_ms)}.")


def release(bus: Bus, message_id: int, *, agent_id: str, secret: str | None) -> Message:
    """Give a claim back; the work is announced anew. A human may take it from any agent.

    :raises NotClaimant: this agent does not hold it.
    """

    def operation(connection: Connection) -> Message:
        authorise(connection, agent_id, secret=secret)
        message = store.get(connection, message_id)
        holder = message.claimed_by if agent_id == HUMAN and message.claimed_by else agent_id
        released = store.try_release(connection, message_id, agent_id=holder)
        if released is None:
            held = f"held by {message.claimed_by}" if message.claimed_by else "held by nobody"
            raise NotClaimant(f"{agent_id} does not hold message {message_id}: it is {held}.")
        _announce(connection, released, now_ms=bus.clock.now_ms())
        return released

    return bus.store.write(operation)


def release_all(connection: Connection, agent_id: str, *, now_ms: int) -> int:
    """Inside a transaction: give back all that an agent holds, because it is gone.

    :returns: how many claims that were.
    """
    held = store.list_held_ids(connection, agent_id)
    for message_id in held:
        released = store.try_release(connection, message_id, agent_id=agent_id)
        if released is not None:
            _announce(connection, released, now_ms=now_ms)
    return len(held)


def _announce(connection: Connection, message: Message, *, now_ms: int) -> None:
    """Unread again for everyone it went to, and told to those who listen, under the same message id."""
    inbox.make_unread(connection, message.id, target=message.to)
    about = {"message_id": message.id, "topic": message.to, "sender": message.from_}
    log.append(connection, [MessageReleased(**about), MessageNew(**about)], now_ms=now_ms)  # type: ignore[arg-type]
