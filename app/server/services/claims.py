"""Claims: one agent takes a message, gives it back, or loses it by going away."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from app.errors import (
    AgentNotFound,
    ClaimConflict,
    MessageExpired,
    NotARecipient,
    NotClaimable,
    NotClaimant,
)
from app.model import HUMAN, SYSTEM, Message, Task
from app.server.events import MessageClaimed, MessageNew, MessageReleased
from app.server.services import tasks
from app.server.services.bus import Bus, authorise
from app.server.store import activity, inbox, receipts
from app.server.store import events as log
from app.server.store import messages as store
from app.server.store import tasks as task_store

logger = logging.getLogger(__name__)


def claim(bus: Bus, message_id: int, *, agent_id: str, secret: str | None) -> Message:
    """Claim a message for an agent. To the agent that already holds it the answer is the same again.

    :raises ClaimConflict: another agent holds it (``claimedBy``).
    :raises NotARecipient: the target does not include this agent.
    :raises NotClaimable: it is not work.
    :raises MessageExpired: too late.
    """
    try:
        return _claim(bus, message_id, agent_id=agent_id, secret=secret)
    except ClaimConflict as conflict:
        bus.losses.note(message_id, agent_id=agent_id, holder=conflict.extras["claimedBy"])
        raise


def _claim(bus: Bus, message_id: int, *, agent_id: str, secret: str | None) -> Message:
    with bus.store.read() as connection:
        # Who comes too late need not wait for the disk to hear of it. The one who is granted is decided below.
        _authorise(connection, agent_id, secret=secret)
        message = store.get(connection, message_id)
        if message.claimed_by is not None:
            return _explain(connection, message, agent_id=agent_id)

    def operation(connection: Connection) -> Message:
        _authorise(connection, agent_id, secret=secret)
        now = bus.clock.now_ms()
        message = store.try_claim(connection, message_id, agent_id=agent_id, now_ms=now)
        if message is None:
            return _explain(connection, store.get(connection, message_id), agent_id=agent_id)
        receipts.note_claim(connection, message_id, agent_id=agent_id, now_ms=now)
        activity.count_claim(connection, now_ms=now)
        event = MessageClaimed(
            message_id=message_id, agent_id=agent_id, topic=message.to, sender=message.from_, data=(agent_id, now)
        )
        log.append(connection, [event], now_ms=now)
        if message.task_id is not None:
            tasks.note_claim(bus, connection, message.task_id, agent_id=agent_id, now_ms=now)
        logger.info("claimed", extra={"action": "message.claimed", "message_id": message_id, "agent": agent_id})
        return message

    return bus.store.write(operation)


def _authorise(connection: Connection, agent_id: str, *, secret: str | None) -> None:
    try:
        authorise(connection, agent_id, secret=secret)
    except AgentNotFound as exc:
        raise NotARecipient(f"{agent_id} is not registered, so it receives nothing: register it first.") from exc


def _explain(connection: Connection, message: Message, *, agent_id: str) -> Message:
    """Why a claim is not granted; or that the message is this agent's already."""
    if message.task_id is not None:
        task = task_store.find(connection, message.task_id)
        if task is not None and not task.is_active:
            raise tasks.closed(task)
    if message.claimed_by == agent_id:
        return message
    if not message.claimable:
        raise NotClaimable(f"Message {message.id} was not sent as claimable.")
    if not store.is_recipient(connection, message, agent_id=agent_id):
        raise NotARecipient(f"Message {message.id} went to {message.to}, which does not include {agent_id}.")
    if message.claimed_by is not None:
        raise ClaimConflict(f"Message {message.id} is held by {message.claimed_by}.", claimedBy=message.claimed_by)
    raise MessageExpired(f"Message {message.id} expired at {message.expires_at}.")


def claim_task(bus: Bus, task_id: int, *, agent_id: str, secret: str | None) -> Task:
    """Claim a task by its message.

    :raises MessageClosed: the task is closed.
    """
    with bus.store.read() as connection:
        task = task_store.get(connection, task_id)
    if not task.is_active:
        raise tasks.closed(task)  # its message may be gone by now
    claim(bus, task_id, agent_id=agent_id, secret=secret)
    return tasks.get(bus, task_id)


def release_task(bus: Bus, task_id: int, *, agent_id: str, secret: str | None) -> Task:
    """Give a task back by its message.

    :raises StatusConflict: the task is closed.
    """
    with bus.store.read() as connection:
        task_store.get(connection, task_id)
        tasks.check_release(connection, task_id)
    release(bus, task_id, agent_id=agent_id, secret=secret)
    return tasks.get(bus, task_id)


def release(bus: Bus, message_id: int, *, agent_id: str, secret: str | None) -> Message:
    """Give a claim back; the work is announced anew. A human may take it from any agent.

    :raises NotClaimant: this agent does not hold it.
    """

    def operation(connection: Connection) -> Message:
        authorise(connection, agent_id, secret=secret)
        message = store.get(connection, message_id)
        if message.task_id is not None:
            tasks.check_release(connection, message.task_id)
        holder = message.claimed_by if agent_id == HUMAN and message.claimed_by else agent_id
        released = store.try_release(connection, message_id, agent_id=holder)
        if released is None:
            held = f"held by {message.claimed_by}" if message.claimed_by else "held by nobody"
            raise NotClaimant(f"{agent_id} does not hold message {message_id}: it is {held}.")
        now = bus.clock.now_ms()
        _announce(connection, released, holder=holder, now_ms=now)
        if released.task_id is not None:
            tasks.note_release(bus, connection, released.task_id, actor=agent_id, now_ms=now)
        return released

    return bus.store.write(operation)


def release_all(bus: Bus, connection: Connection, agent_id: str, *, why: str) -> int:
    """Inside a transaction: give back all that an agent holds, because it is gone.

    :param why: for the histories of tasks.
    :returns: how many claims that were.
    """
    now = bus.clock.now_ms()
    held = store.list_held_ids(connection, agent_id, now_ms=now)
    for message_id in held:
        task = task_store.find(connection, message_id)  # a task has its message's id
        if task is not None and not task.is_active:
            continue
        released = store.try_release(connection, message_id, agent_id=agent_id)
        if released is None:
            continue
        _announce(connection, released, holder=agent_id, now_ms=now)
        if released.task_id is not None:
            tasks.note_release(bus, connection, released.task_id, actor=SYSTEM, now_ms=now, note=why)
    return len(held)


def _announce(connection: Connection, message: Message, *, holder: str, now_ms: int) -> None:
    """Unread again for everyone it went to, and told to those who listen, under the same message id."""
    inbox.make_unread(connection, message.id, target=message.to)
    logger.info("released", extra={"action": "message.released", "message_id": message.id})
    about = {"message_id": message.id, "topic": message.to, "sender": message.from_}
    log.append(connection, [MessageReleased(**about, agent_id=holder), MessageNew(**about)], now_ms=now_ms)  # type: ignore[arg-type]
