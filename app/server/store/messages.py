"""Messages: rows in and out, history, threads, and the one statement that decides a claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.sql import Select

from app.errors import MessageNotFound
from app.model import InboxMessage, Kind, Message, Priority
from app.server.clock import rfc3339, rfc3339_or_none
from app.server.store import activity, sqlite
from app.server.store.schema import messages, receipts, subscriptions

#: In the order that :func:`message_from_row` takes them.
MESSAGE_COLUMNS = tuple(messages.c)
#: Text in one page of messages.
PAGE_CHARS = 8 << 20
_KINDS = {kind.value: kind for kind in Kind}
_PRIORITIES = {priority.value: priority for priority in Priority}


class NewMessage(Struct, frozen=True, kw_only=True, array_like=True):
    """A message about to be stored."""

    id: int
    sender: str
    target: str
    subject: str | None
    body: str
    channel: str | None
    kind: str
    thread_id: int
    reply_to: int | None
    claimable: bool
    priority: str
    meta: str
    task_id: int | None
    verified: bool
    created_at: int
    expires_at: int | None


def message_from_row(row: Sequence[Any]) -> InboxMessage:
    """The wire's message from ``MESSAGE_COLUMNS``, and from one more column whether it was read, if there is one."""
    return InboxMessage(
        id=row[0],
        from_=row[1],
        to=row[2],
        subject=row[3],
        body=row[4],
        channel=row[5],
        kind=_KINDS[row[6]],
        thread_id=row[7],
        reply_to=row[8],
        claimable=bool(row[9]),
        claimed_by=row[10],
        claimed_at=rfc3339_or_none(row[11]),
        priority=_PRIORITIES[row[12]],
        meta=msgspec.Raw(row[13].encode()),
        task_id=row[14],
        verified=bool(row[15]),
        created_at=rfc3339(row[16]),
        expires_at=rfc3339_or_none(row[17]),
        read=row[18] is not None if len(row) > 18 else msgspec.UNSET,
    )


def within_budget(rows: Iterable[Any]) -> list[InboxMessage]:
    """Messages from rows, as many as a page may hold: a few large ones fill it as well as many small ones.

    A page that ends for its size holds more than :data:`PAGE_CHARS` of text, which tells its reader that there is more.
    """
    page: list[InboxMessage] = []
    size = 0
    for row in rows:
        page.append(message_from_row(row))
        size += len(page[-1].body)
        if size > PAGE_CHARS:
            break
    return page


def insert(connection: Connection, new: Sequence[NewMessage]) -> None:
    """Store messages and count them, with a fixed number of statements however many they are."""
    sqlite.insert_many(connection, messages, new, _INSERT_NAMES)
    activity.count_messages(connection, map(_SENT, new))


_SENT = attrgetter("sender", "target", "created_at")
_INSERT_NAMES = NewMessage.__struct_fields__
_BY_ID = select(*MESSAGE_COLUMNS).where(messages.c.id == bindparam("id"))
_BY_IDS = select(*MESSAGE_COLUMNS).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_THREADS = select(messages.c.id, messages.c.thread_id).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_NEWEST = select(func.max(messages.c.id))


def get(connection: Connection, message_id: int) -> InboxMessage:
    """One message.

    :raises MessageNotFound: it does not exist, or no longer.
    """
    row = connection.execute(_BY_ID, {"id": message_id}).first()
    if row is None:
        raise MessageNotFound(f"No message has the id {message_id}; it may have been deleted or have aged out.")
    return message_from_row(row)


def list_by_ids(connection: Connection, ids: Iterable[int]) -> dict[int, InboxMessage]:
    """Those that still exist."""
    return {row[0]: message_from_row(row) for row in connection.execute(_BY_IDS, {"ids": list(ids)})}


def thread_ids(connection: Connection, ids: Iterable[int]) -> dict[int, int]:
    """The thread of each message that exists."""
    return {row[0]: row[1] for row in connection.execute(_THREADS, {"ids": list(ids)})}


def newest_id(connection: Connection) -> int:
    """The newest message's id, or 0."""
    return connection.execute(_NEWEST).scalar_one() or 0


def list_history(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    sender: str | None = None,
    target: str | None = None,
    channel: str | None = None,
    thread: int | None = None,
    claimed_by: str | None = None,
    words: str | None = None,
) -> list[InboxMessage]:
    """Messages, newest first, that match everything given."""
    statement: Select[Any] = select(*MESSAGE_COLUMNS).order_by(messages.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(messages.c.id < before)
    for column, value in (
        (messages.c.sender, sender),
        (messages.c.target, target),
        (messages.c.channel, channel),
        (messages.c.thread_id, thread),
        (messages.c.claimed_by, claimed_by),
    ):
        if value is not None:
            statement = statement.where(column == value)
    params: dict[str, object] = {}
    if words is not None:
        expression = sqlite.search_expression(words)
        if not expression:
            return []
        statement = statement.where(messages.c.id.in_(sqlite.SEARCH_IDS))
        params["search_query"] = expression
    return within_budget(connection.execute(statement, params))


_THREAD = (
    select(*MESSAGE_COLUMNS)
    .where(messages.c.thread_id == bindparam("thread_id"), messages.c.id > bindparam("since"))
    .order_by(messages.c.id)
    .limit(bindparam("limit"))
)


def list_thread(connection: Connection, thread_id: int, *, since: int, limit: int) -> list[InboxMessage]:
    """A conversation, oldest first."""
    rows = connection.execute(_THREAD, {"thread_id": thread_id, "since": since, "limit": limit})
    return within_budget(rows)


# -- claims ------------------------------------------------------------------------------------------------------------

_CLAIM = (
    update(messages)
    .where(
        messages.c.id == bindparam("message"),
        messages.c.claimable,
        messages.c.claimed_by.is_(None),
        messages.c.sender != bindparam("agent"),
        or_(messages.c.expires_at.is_(None), messages.c.expires_at > bindparam("now")),
        select(subscriptions.c.topic)
        .where(subscriptions.c.agent_id == bindparam("agent"), subscriptions.c.topic == messages.c.target)
        .exists(),
    )
    .values(claimed_by=bindparam("agent"), claimed_at=bindparam("now"))
    .returning(*MESSAGE_COLUMNS)
)
_RELEASE = (
    update(messages)
    .where(messages.c.id == bindparam("message"), messages.c.claimed_by == bindparam("agent"))
    .values(claimed_by=None, claimed_at=None)
    .returning(*MESSAGE_COLUMNS)
)
_HELD = (
    select(messages.c.id)
    .where(
        messages.c.claimed_by == bindparam("agent"),
        or_(messages.c.expires_at.is_(None), messages.c.expires_at > bindparam("now")),
    )
    .order_by(messages.c.id)
)
_CLOSE = update(messages).where(messages.c.id == bindparam("message")).values(expires_at=bindparam("now"))
_DELETE = delete(messages).where(messages.c.id == bindparam("message")).returning(*MESSAGE_COLUMNS)
_DELETE_RECEIPTS = delete(receipts).where(receipts.c.message_id == bindparam("message"))
_IS_RECIPIENT = select(subscriptions.c.topic).where(
    and_(subscriptions.c.agent_id == bindparam("agent"), subscriptions.c.topic == bindparam("target"))
)


def try_claim(connection: Connection, message_id: int, *, agent_id: str, now_ms: int) -> InboxMessage | None:
    """Claim, or lose: this one statement decides a race, and nothing is looked up before it."""
    row = connection.execute(_CLAIM, {"message": message_id, "agent": agent_id, "now": now_ms}).first()
    return None if row is None else message_from_row(row)


def try_release(connection: Connection, message_id: int, *, agent_id: str) -> InboxMessage | None:
    """Give a claim back, if this agent holds it."""
    row = connection.execute(_RELEASE, {"message": message_id, "agent": agent_id}).first()
    return None if row is None else message_from_row(row)


def list_held_ids(connection: Connection, agent_id: str, *, now_ms: int) -> list[int]:
    """Messages that this agent has claimed and that have not expired."""
    return list(connection.execute(_HELD, {"agent": agent_id, "now": now_ms}).scalars())


def close(connection: Connection, message_id: int, *, now_ms: int) -> None:
    """Nobody can claim a message any more, and it leaves the inboxes: it expires now."""
    connection.execute(_CLOSE, {"message": message_id, "now": now_ms})


def try_delete(connection: Connection, message_id: int) -> InboxMessage | None:
    """Remove a message and what happened to it."""
    row = connection.execute(_DELETE, {"message": message_id}).first()
    if row is None:
        return None
    connection.execute(_DELETE_RECEIPTS, {"message": message_id})
    return message_from_row(row)


def is_recipient(connection: Connection, message: Message, *, agent_id: str) -> bool:
    """Whether a message's target includes this agent."""
    if message.from_ == agent_id:
        return False
    return connection.execute(_IS_RECIPIENT, {"agent": agent_id, "target": message.to}).first() is not None
