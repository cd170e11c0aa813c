"""Messages: sending, history, threads, deletion."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from sqlalchemy import Connection

from app.errors import Forbidden, IdempotencyConflict, Invalid, MessageNotFound, RelayError, TaskActive
from app.integrations import Integration
from app.model import (
    AGENT_ID_PATTERN,
    BROADCAST,
    HUMAN,
    SYSTEM,
    InboxMessage,
    Kind,
    Message,
    MessageList,
    MessageQuery,
    SendMessage,
    SentMessage,
)
from app.server.clock import rfc3339, rfc3339_or_none
from app.server.events import MessageDeleted
from app.server.services import agents, search
from app.server.services.bus import Bus, check_secret
from app.server.services.checks import check_depth
from app.server.services.directory import Directory, is_direct
from app.server.services.integrations import check_reach
from app.server.store import events as log
from app.server.store import idempotency, sqlite
from app.server.store import messages as store
from app.server.store import tasks as task_store
from app.server.store.messages import NewMessage

IDEMPOTENCY_MS = 24 * 3600 * 1000

_AGENT_ID = re.compile(AGENT_ID_PATTERN)
_PREFIXES = ("tag:", "cap:", "label:")


class Submission(Struct, frozen=True, kw_only=True):
    """One call's messages: all are taken, or none."""

    directory: Directory
    requests: list[SendMessage]
    #: an array was sent, if only of one
    batch: bool
    agent_secret: str | None
    key_sha256: bytes | None
    request_sha256: bytes | None
    now_ms: int


class _Context(Struct, frozen=True, kw_only=True):
    """What a group of submissions has to know, looked up for all of them at once."""

    directory: Directory
    threads: dict[int, int]
    used_keys: dict[bytes, idempotency.KeyRow]


def submit(
    bus: Bus, submission: Submission, done: Callable[[list[SentMessage] | None, BaseException | None], None]
) -> None:
    """Take messages, all or nothing; when ``done`` hears of them they are on disk.

    ``done`` may get :class:`Invalid` (a field is wrong; ``errors`` says which, as ``[3].to`` in a batch),
    :class:`IdempotencyConflict` (the key was used for something else) or :class:`StorageFull`.
    """

    def told(sent: list[SentMessage] | None, error: BaseException | None) -> None:
        for sender in {message.from_ for message in sent or ()}:
            agents.note_life(bus, sender)
        done(sent, error)

    bus.store.write_merged(_send_group, submission, told)


def prepare(
    bus: Bus,
    requests: list[SendMessage],
    *,
    agent_secret: str | None,
    batch: bool = False,
    idempotency_key: str | None = None,
    integration: Integration | None = None,
) -> Submission:
    """Check what can be checked of messages by themselves.

    :param batch: they came as an array.
    :param integration: whose token came with them; they stay within its targets and channels.
    :raises Invalid: a field is wrong.
    :raises Forbidden: somebody would speak as the relay.
    """
    for index, request in enumerate(requests):
        prefix = f"[{index}]." if batch else ""
        _check(request, prefix=prefix)
        if integration is not None:
            if request.from_ == HUMAN:
                raise Forbidden(f"{integration.name} is not a person: send as a registered agent, not as human.")
            check_reach(integration, target=request.to, channel=request.channel, prefix=prefix)
    key = None
    if idempotency_key is not None:
        key = hashlib.sha256(f"{requests[0].from_}\0{idempotency_key}".encode()).digest()
    return Submission(
        directory=bus.directory,
        requests=requests,
        batch=batch,
        agent_secret=agent_secret,
        key_sha256=key,
        request_sha256=None
        if key is None
        else hashlib.sha256(msgspec.json.encode([batch, requests], order="deterministic")).digest(),
        now_ms=bus.clock.now_ms(),
    )


def _check(request: SendMessage, *, prefix: str) -> None:
    if request.from_ == SYSTEM:
        raise Forbidden("Only the relay itself speaks as system: send as a registered agent or as human.")
    if request.from_ == BROADCAST:
        raise Invalid.field(f"{prefix}from", "must be a registered agent or human, not broadcast")
    check_target(request.to, field=f"{prefix}to")
    if request.meta:
        check_depth(request.meta, field=f"{prefix}meta")


def check_target(target: str, *, field: str) -> None:
    """Where a message may go.

    :raises Invalid: nowhere like that.
    """
    if target.startswith(_PREFIXES):
        if target in _PREFIXES:
            raise Invalid.field(field, f"nothing follows {target}: name a tag, capability or label")
        return
    if ":" in target:
        prefix = target.split(":", 1)[0]
        raise Invalid.field(
            field, f"unknown kind of target {prefix + ':'!r}: use an agent id, tag:, cap:, label: or broadcast"
        )
    if target == SYSTEM or not _AGENT_ID.search(target):
        raise Invalid.field(
            field, "must be an agent id (1-128 of A-Z a-z 0-9 . _ @ -), tag:x, cap:x, label:x or broadcast"
        )


def _send_group(connection: Connection, submissions: list[Any]) -> Sequence[Any]:
    """Everything that waited, in one go: a fixed number of statements, whatever the number of messages."""
    context = _look_up(connection, submissions)
    outcomes: list[Any] = []
    accepted: list[tuple[int, Submission]] = []
    total = 0
    first_with: dict[bytes, int] = {}
    twins: list[tuple[int, int]] = []
    for index, submission in enumerate(submissions):
        key = submission.key_sha256
        try:
            _check_secrets(submission, context)
            earlier = _replay(connection, submission, context)
            if earlier is None and key is not None and key in first_with:
                # The same call again before the first is answered: it gets what the first gets.
                if submissions[first_with[key]].request_sha256 != submission.request_sha256:
                    raise IdempotencyConflict
                twins.append((index, first_with[key]))
                outcomes.append(None)
                continue
            outcomes.append(_authorise(submission, context) if earlier is None else earlier)
        except RelayError as exc:
            outcomes.append(exc)
            continue
        if earlier is None:
            accepted.append((index, submission))
            total += len(submission.requests)
            if key is not None:
                first_with[key] = index
    if accepted:
        _store(connection, accepted, outcomes, context, first_id=sqlite.allocate_ids(connection, total))
    for index, first in twins:
        outcomes[index] = outcomes[first]
    return outcomes


def _look_up(connection: Connection, submissions: Sequence[Submission]) -> _Context:
    requests = [request for submission in submissions for request in submission.requests]
    directory = submissions[0].directory
    directory.look_up(connection, {(r.from_, r.to) for r in requests})
    parents = {r.reply_to for r in requests if r.reply_to is not None}
    keys = {s.key_sha256: s.now_ms for s in submissions if s.key_sha256 is not None}
    return _Context(
        directory=directory,
        threads=store.thread_ids(connection, parents) if parents else {},
        used_keys=idempotency.find(connection, keys, since_ms=min(keys.values()) - IDEMPOTENCY_MS) if keys else {},
    )


def _replay(connection: Connection, submission: Submission, context: _Context) -> list[SentMessage] | None:
    """The first answer to this Idempotency-Key, if there was one."""
    used = context.used_keys.get(submission.key_sha256) if submission.key_sha256 is not None else None
    if used is None:
        return None
    if used.request_sha256 != submission.request_sha256:
        raise IdempotencyConflict
    made = msgspec.json.decode(used.answer, type=list[tuple[int, bool, int]])
    found = store.list_by_ids(connection, [message_id for message_id, _, _ in made])
    answers: list[SentMessage] = []
    for message_id, queued, recipients in made:
        message = found.get(message_id)
        if message is None:
            raise MessageNotFound(f"This Idempotency-Key made message {message_id}, which has been deleted since.")
        first = {name: getattr(message, name) for name in Message.__struct_fields__}
        first |= {"claimed_by": None, "claimed_at": None}
        answers.append(SentMessage(**first, queued=queued, recipients=recipients))
    return answers


def _check_secrets(submission: Submission, context: _Context) -> None:
    """Even what was answered before is answered again only to whoever may speak for the sender."""
    for sender in {request.from_ for request in submission.requests}:
        if sender != HUMAN and context.directory.is_registered(sender):
            check_secret(sender, wanted=context.directory.secret(sender), given=submission.agent_secret)


def _authorise(submission: Submission, context: _Context) -> list[bool]:
    """Check each message's sender and thread; for each message, whether its sender is proven."""
    verified: list[bool] = []
    for index, request in enumerate(submission.requests):
        prefix = f"[{index}]." if submission.batch else ""
        if request.from_ == HUMAN:
            verified.append(False)
        elif not context.directory.is_registered(request.from_):
            raise Invalid.field(
                f"{prefix}from", f"{request.from_} is not registered: POST /api/agents first, or send as human"
            )
        else:
            verified.append(context.directory.secret(request.from_) is not None)
        if request.reply_to is not None and request.reply_to not in context.threads:
            raise Invalid.field(
                f"{prefix}replyTo", f"there is no message {request.reply_to}: leave it out, or name another"
            )
    return verified


def _store(
    connection: Connection,
    accepted: Sequence[tuple[int, Submission]],
    outcomes: list[Any],
    context: _Context,
    *,
    first_id: int,
) -> None:
    """Write the accepted submissions and put their answers into ``outcomes``."""
    rows: list[NewMessage] = []
    keys: list[idempotency.KeyRow] = []
    for index, submission in accepted:
        answers: list[SentMessage] = []
        for request, verified in zip(submission.requests, outcomes[index], strict=True):
            row = _new_message(request, verified, context, message_id=first_id + len(rows), now_ms=submission.now_ms)
            rows.append(row)
            answers.append(_sent(request, row, context))
        outcomes[index] = answers
        if submission.key_sha256 is not None and submission.request_sha256 is not None:
            made = [(a.id, a.queued, a.recipients) for a in answers]
            answer = msgspec.json.encode(made)
            keys.append(idempotency.KeyRow(submission.key_sha256, submission.request_sha256, answer, submission.now_ms))
    store.insert(connection, rows)
    sqlite.announce(connection, first_id=first_id, last_id=rows[-1].id)
    if keys:
        idempotency.put(connection, keys)


def _new_message(
    request: SendMessage, verified: bool, context: _Context, *, message_id: int, now_ms: int
) -> NewMessage:
    return NewMessage(
        id=message_id,
        sender=request.from_,
        target=request.to,
        subject=request.subject,
        body=request.body,
        channel=request.channel,
        kind=Kind.MESSAGE.value,
        thread_id=message_id if request.reply_to is None else context.threads[request.reply_to],
        reply_to=request.reply_to,
        claimable=request.claimable,
        priority=request.priority.value,
        meta=sqlite.as_json(request.meta) if request.meta else "{}",
        task_id=None,
        verified=verified,
        created_at=now_ms,
        expires_at=None if request.expires_in_ms is None else now_ms + request.expires_in_ms,
    )


def _sent(request: SendMessage, row: NewMessage, context: _Context) -> SentMessage:
    return SentMessage(
        id=row.id,
        from_=row.sender,
        to=row.target,
        subject=row.subject,
        body=row.body,
        channel=row.channel,
        kind=Kind.MESSAGE,
        thread_id=row.thread_id,
        reply_to=row.reply_to,
        claimable=row.claimable,
        claimed_by=None,
        claimed_at=None,
        priority=request.priority,
        meta=request.meta,
        task_id=None,
        verified=row.verified,
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339_or_none(row.expires_at),
        queued=is_direct(request.to) and not context.directory.is_there(request.to),
        recipients=context.directory.recipients(request.from_, request.to),
    )


def list_history(bus: Bus, query: MessageQuery) -> MessageList:
    """A page of all messages, newest first."""
    if query.q is not None:
        search.catch_up(bus)
    with bus.store.read() as connection:
        found = store.list_history(
            connection,
            limit=query.limit + 1,
            before=query.before,
            sender=query.from_,
            target=query.to,
            channel=query.channel,
            thread=query.thread,
            claimed_by=query.claimedBy,
            words=query.q,
        )
    return page(found, query.limit)


def page(found: list[InboxMessage], limit: int) -> MessageList:
    more = len(found) > limit or sum(len(message.body) for message in found) > store.PAGE_CHARS
    return MessageList(messages=found[:limit], next=found[:limit][-1].id if more else UNSET)


def get(bus: Bus, message_id: int) -> Message:
    """One message."""
    with bus.store.read() as connection:
        return store.get(connection, message_id)


def cursor(bus: Bus) -> int:
    """The newest message's id, or 0."""
    with bus.store.read() as connection:
        return store.newest_id(connection)


def list_thread(bus: Bus, message_id: int, *, since: int, limit: int) -> MessageList:
    """A page of the conversation that a message belongs to, oldest first."""
    with bus.store.read() as connection:
        thread_id = store.thread_ids(connection, [message_id]).get(message_id)
        # The root may be gone while its replies stay: its id still names the thread.
        found = store.list_thread(connection, thread_id or message_id, since=since, limit=limit + 1)
    if not found and thread_id is None:
        raise MessageNotFound(f"No message has the id {message_id}; it may have been deleted or have aged out.")
    return page(found, limit)


def delete(bus: Bus, message_id: int) -> None:
    """Remove a message from history; of the event log its text goes too."""

    def operation(connection: Connection) -> None:
        if (task := task_store.find(connection, message_id)) is not None and task.is_active:
            raise TaskActive(f"Message {message_id} belongs to task {task.id}, which is {task.status}: close it first.")
        gone = store.try_delete(connection, message_id)
        if gone is None:
            raise MessageNotFound(f"No message has the id {message_id}; it may have been deleted or have aged out.")
        gone.body, gone.subject, gone.meta = "", None, {}
        event = MessageDeleted(message_id=message_id, topic=gone.to, sender=gone.from_, data=gone)
        log.append(connection, [event], now_ms=bus.clock.now_ms())
        log.add_to_counter(connection, "messages", -1)

    bus.store.write(operation)
