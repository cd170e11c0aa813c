"""Agents and what they subscribe to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.sql import Select

from app.model import AgentCard, Status, WakePath, decoder_of
from app.server.clock import rfc3339
from app.server.store import inbox, sqlite
from app.server.store.schema import agents, messages, read_marks, subscriptions


class AgentRow(Struct, kw_only=True):
    """An agent as stored."""

    id: str
    status: Status
    reported_status: str
    ready: bool
    rig: str | None
    project: str | None
    host: str | None
    version: str | None
    meta: str
    wake_paths: str
    prompt_chars: int
    secret_sha256: bytes | None
    registered_at: int
    last_seen_at: int


class Subscription(Struct, kw_only=True, frozen=True):
    """One thing that an agent receives."""

    agent_id: str
    topic: str
    position: int
    by_client: bool
    by_human: bool
    since_id: int


_GET = select(*agents.c).where(agents.c.id == bindparam("id"))
_INSERT = insert(agents)
_wake_paths = decoder_of(list[WakePath]).decode
_UPDATE = update(agents).where(agents.c.id == bindparam("agent"))
_DELETE = delete(agents).where(agents.c.id == bindparam("agent"))
_SUBSCRIPTIONS = (
    select(*subscriptions.c)
    .where(subscriptions.c.agent_id.in_(bindparam("ids", expanding=True)))
    .order_by(subscriptions.c.agent_id, subscriptions.c.position)
)
_TOPICS = select(subscriptions.c.topic).where(subscriptions.c.agent_id == bindparam("agent"))
_DELETE_SUBSCRIPTIONS = delete(subscriptions).where(subscriptions.c.agent_id == bindparam("agent"))
_COUNT_SUBSCRIBERS = (
    select(subscriptions.c.topic, func.count())
    .where(subscriptions.c.topic.in_(bindparam("topics", expanding=True)))
    .group_by(subscriptions.c.topic)
)
_MEMBERSHIPS = select(subscriptions.c.agent_id, subscriptions.c.topic).where(
    subscriptions.c.agent_id.in_(bindparam("ids", expanding=True)),
    subscriptions.c.topic.in_(bindparam("topics", expanding=True)),
)
_BY_STATUS = select(agents.c.status, func.count()).group_by(agents.c.status)
_PRESENCE = select(agents.c.id, agents.c.status, agents.c.last_seen_at)
_SEEN = update(agents).where(agents.c.id == bindparam("agent")).values(last_seen_at=bindparam("seen"))


def _row(row: Sequence[Any]) -> AgentRow:
    values = dict(zip(AgentRow.__struct_fields__, row, strict=True))
    values["status"] = Status(values["status"])
    values["ready"] = bool(values["ready"])
    return AgentRow(**values)


def find(connection: Connection, agent_id: str) -> AgentRow | None:
    """One agent, if it is registered."""
    row = connection.execute(_GET, {"id": agent_id}).first()
    return None if row is None else _row(tuple(row))


def insert_agent(connection: Connection, row: AgentRow) -> None:
    """Add an agent."""
    connection.execute(_INSERT, msgspec.structs.asdict(row))


def update_agent(connection: Connection, agent_id: str, **values: object) -> None:
    """Change columns of an agent."""
    if values:
        connection.execute(_UPDATE.values(**values), {"agent": agent_id})


def delete_agent(connection: Connection, agent_id: str) -> None:
    """Remove an agent and its subscriptions. What it has read stays, for it may come back."""
    connection.execute(_DELETE, {"agent": agent_id})
    connection.execute(_DELETE_SUBSCRIPTIONS, {"agent": agent_id})


def secrets(connection: Connection, ids: Iterable[str]) -> dict[str, bytes | None]:
    """For each of these agents that is registered, the hash of its secret, if it has one."""
    return dict(sqlite.secrets(connection, list(ids)))


def subscriptions_of(connection: Connection, ids: Iterable[str]) -> dict[str, list[Subscription]]:
    """Subscriptions by agent, in the order of the card."""
    found: dict[str, list[Subscription]] = {}
    for row in connection.execute(_SUBSCRIPTIONS, {"ids": list(ids)}):
        values: dict[str, Any] = dict(zip(Subscription.__struct_fields__, row, strict=True))
        values["by_client"], values["by_human"] = bool(values["by_client"]), bool(values["by_human"])
        found.setdefault(row[0], []).append(Subscription(**values))
    return found


def topics_of(connection: Connection, agent_id: str) -> frozenset[str]:
    """What an agent receives."""
    return frozenset(connection.execute(_TOPICS, {"agent": agent_id}).scalars())


def replace_subscriptions(connection: Connection, agent_id: str, new: Sequence[Subscription]) -> None:
    """Set what an agent receives."""
    connection.execute(_DELETE_SUBSCRIPTIONS, {"agent": agent_id})
    connection.execute(insert(subscriptions), [msgspec.structs.asdict(s) for s in new])


def count_subscribers(connection: Connection, topics: Iterable[str]) -> dict[str, int]:
    """How many agents receive what is sent to each target."""
    return {row[0]: row[1] for row in connection.execute(_COUNT_SUBSCRIBERS, {"topics": list(topics)})}


def memberships(connection: Connection, ids: Iterable[str], topics: Iterable[str]) -> set[tuple[str, str]]:
    """Which of these agents receive which of these targets."""
    rows = connection.execute(_MEMBERSHIPS, {"ids": list(ids), "topics": list(topics)})
    return {(row[0], row[1]) for row in rows}


def count_by_status(connection: Connection) -> dict[str, int]:
    """Agents by status, every status named."""
    found = {row[0]: row[1] for row in connection.execute(_BY_STATUS)}
    return {status.value: found.get(status.value, 0) for status in Status}


def presence(connection: Connection) -> list[tuple[str, Status, int]]:
    """Every agent's id, status and last stored sign of life."""
    return [(row[0], Status(row[1]), row[2]) for row in connection.execute(_PRESENCE)]


def set_last_seen(connection: Connection, seen_at: dict[str, int]) -> None:
    """Store signs of life."""
    if seen_at:
        connection.execute(_SEEN, [{"agent": agent, "seen": at} for agent, at in seen_at.items()])


def list_page(
    connection: Connection,
    *,
    status: Status | None,
    ready: bool | None,
    topics: Sequence[str],
    after: str | None,
    limit: int,
) -> list[AgentRow]:
    """Agents by id that match everything given."""
    statement: Select[Any] = select(*agents.c).order_by(agents.c.id).limit(limit)
    if status is not None:
        statement = statement.where(agents.c.status == status.value)
    if ready is not None:
        statement = statement.where(agents.c.ready == ready)
    if after is not None:
        statement = statement.where(agents.c.id > after)
    for topic in topics:
        statement = statement.where(
            agents.c.id.in_(select(subscriptions.c.agent_id).where(subscriptions.c.topic == topic))
        )
    return [_row(tuple(row)) for row in connection.execute(statement)]


def cards(connection: Connection, rows: Sequence[AgentRow], *, now_ms: int) -> list[AgentCard]:
    """The cards of these agents."""
    ids = [row.id for row in rows]
    subscribed = subscriptions_of(connection, ids)
    unread = inbox.count_unread(connection, ids, now_ms=now_ms)
    return [_card(row, subscribed.get(row.id, []), unread.get(row.id, 0)) for row in rows]


def _card(row: AgentRow, subscribed: Sequence[Subscription], unread: int) -> AgentCard:
    def values(prefix: str) -> list[str]:
        return [s.topic.removeprefix(prefix) for s in subscribed if s.topic.startswith(prefix)]

    return AgentCard(
        id=row.id,
        labels=values("label:"),
        tags=values("tag:"),
        capabilities=values("cap:"),
        status=row.status,
        ready=row.ready,
        rig=row.rig,
        project=row.project,
        host=row.host,
        version=row.version,
        meta=msgspec.json.decode(row.meta),
        wake_paths=_wake_paths(row.wake_paths),
        prompt_chars=row.prompt_chars,
        registered_at=rfc3339(row.registered_at),
        last_seen_at=rfc3339(row.last_seen_at),
        unread=unread,
    )


_FORGET_MARKS = delete(read_marks).where(
    read_marks.c.up_to < select(func.coalesce(func.min(messages.c.id), 0)).scalar_subquery(),
    read_marks.c.agent_id.not_in(select(agents.c.id)),
)


def forget_marks(connection: Connection) -> None:
    """Drop read marks of absent agents that no message is left for."""
    connection.execute(_FORGET_MARKS)
