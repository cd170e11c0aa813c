"""Agents come, say what they are, go quiet and leave."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET, UnsetType, structs
from sqlalchemy import Connection

from app import __version__
from app.errors import AgentNotFound, Invalid
from app.model import (
    BROADCAST,
    HUMAN,
    RESERVED_IDS,
    AgentCard,
    AgentList,
    AgentQuery,
    Heartbeat,
    HeartbeatAnswer,
    PatchAgent,
    RegisterAgent,
    RegisteredAgent,
    Status,
)
from app.server.events import AgentRegistered, AgentRemoved, AgentStatus, MessageNew
from app.server.services import claims
from app.server.services.bus import Bus, authorise, check_secret, sha256, unique
from app.server.services.checks import check_depth
from app.server.store import agents as store
from app.server.store import events as log
from app.server.store import inbox, sqlite
from app.server.store import messages as message_store
from app.server.store.agents import AgentRow, Subscription

logger = logging.getLogger(__name__)

MAX_META_BYTES = 16 * 1024
#: Of the open work under a new tag, so much is announced; the rest stands in the inbox.
MAX_ANNOUNCED = 500


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a registration did."""

    created: bool
    card: RegisteredAgent


def register(bus: Bus, request: RegisterAgent, *, secret: str | None, ignored: list[str]) -> Registration:
    """Register an agent, or refresh the one of this id.

    :param secret: the agent secret that came with the call.
    :param ignored: keys of the request that this version does not know.
    """
    if request.id in RESERVED_IDS:
        raise Invalid.field("id", f"must not be one of {', '.join(sorted(RESERVED_IDS))}: choose another id")
    _check_meta(request.meta)
    issued = secrets.token_urlsafe(32) if request.issue_secret else None

    def operation(connection: Connection) -> Registration:
        now = bus.clock.now_ms()
        row = store.find(connection, request.id)
        created = row is None
        if row is None:
            row = _newcomer(request.id, now_ms=now)
            store.insert_agent(connection, row)
        else:
            check_secret(request.id, wanted=row.secret_sha256, given=secret)
        before = None if created else _card(bus, connection, row)
        changes = _changes(request) | {"last_seen_at": now}
        changes["status"] = changes.get("reported_status", row.reported_status)
        if issued is not None:
            changes["secret_sha256"] = sha256(issued)
        store.update_agent(connection, request.id, **changes)
        gained = _subscribe(connection, request.id, request, by_human=False)
        if gained is not None or issued is not None:
            bus.directory.forget()
        card = _load_card(bus, connection, request.id)
        if created:
            log.append(connection, [AgentRegistered(agent_id=request.id, data=card)], now_ms=now)
            logger.info("agent registered", extra={"action": "agent.registered", "agent": request.id})
        else:
            if _shown(card) != _shown(before):
                log.append(connection, [AgentStatus(agent_id=request.id, data=card)], now_ms=now)
            _announce_work(connection, request.id, gained or [], now_ms=now)
        answer = RegisteredAgent(
            **structs.asdict(card),
            ignored=ignored,
            cursor=message_store.newest_id(connection),
            server_version=__version__,
            agent_secret=UNSET if issued is None else issued,
        )
        return Registration(created=created, card=answer)

    done = bus.store.write(operation)
    bus.presence.touch(request.id)
    bus.presence.set_status(request.id, done.card.status)
    return done


def _newcomer(agent_id: str, *, now_ms: int) -> AgentRow:
    return AgentRow(
        id=agent_id,
        status=Status.ONLINE,
        reported_status=Status.ONLINE.value,
        ready=True,
        rig=None,
        project=None,
        host=None,
        version=None,
        meta="{}",
        wake_paths="[]",
        prompt_chars=0,
        secret_sha256=None,
        registered_at=now_ms,
        last_seen_at=now_ms,
    )


def heartbeat(
    bus: Bus, agent_id: str, request: Heartbeat, *, secret: str | None, ignored: list[str]
) -> HeartbeatAnswer:
    """Take a sign of life, and what it carries."""
    changes = _changes(request)
    if not changes:
        with bus.store.read() as connection:
            authorise(connection, agent_id, secret=secret)
        sign_of_life(bus, agent_id)
        with bus.store.read() as connection:
            card = _load_card(bus, connection, agent_id)
    else:
        card = _change(bus, agent_id, changes, secret=secret, in_its_name=True)
    return HeartbeatAnswer(**structs.asdict(card), ignored=ignored)


def patch(bus: Bus, agent_id: str, request: PatchAgent, *, secret: str | None) -> AgentCard:
    """Change an agent: by its own hand where its secret comes with the call, else by a human's."""
    _check_meta(request.meta)
    return _change(bus, agent_id, _changes(request), secret=secret, in_its_name=False, terms=request)


def remove(bus: Bus, agent_id: str, *, secret: str | None) -> None:
    """The agent leaves: its claims are released, what it has read is remembered.

    :raises AgentSecretRequired: it has a secret, this is not it, and it is not offline: its name cannot be taken over.
    """

    def operation(connection: Connection) -> None:
        row = _get(connection, agent_id)
        if row.status is not Status.OFFLINE:
            check_secret(agent_id, wanted=row.secret_sha256, given=secret)
        remove_row(bus, connection, row)

    bus.store.write(operation)
    bus.presence.forget(agent_id)


def remove_row(bus: Bus, connection: Connection, row: AgentRow) -> None:
    """Inside a transaction: remove an agent and give its work back."""
    now = bus.clock.now_ms()
    card = _card(bus, connection, row)
    claims.release_all(bus, connection, row.id, why=f"{row.id} has left")
    store.delete_agent(connection, row.id)
    bus.directory.forget()
    log.append(connection, [AgentRemoved(agent_id=row.id, data=card)], now_ms=now)
    logger.info("agent removed", extra={"action": "agent.removed", "agent": row.id})


def get(bus: Bus, agent_id: str) -> AgentCard:
    """One card."""
    with bus.store.read() as connection:
        return _load_card(bus, connection, agent_id)


def list_agents(bus: Bus, query: AgentQuery) -> AgentList:
    """A page of cards, by id."""
    topics = [
        f"{prefix}:{value}"
        for prefix, value in (("tag", query.tag), ("cap", query.cap), ("label", query.label))
        if value is not None
    ]
    with bus.store.read() as connection:
        rows = store.list_page(
            connection,
            status=query.status,
            ready=query.ready,
            topics=topics,
            after=query.after,
            limit=query.limit + 1,
        )
        page = rows[: query.limit]
        cards = store.cards(connection, [_fresh(bus, row) for row in page], now_ms=bus.clock.now_ms())
    return AgentList(agents=cards, next=page[-1].id if len(rows) > query.limit else UNSET)


def sign_of_life(bus: Bus, agent_id: str) -> None:
    """Note that an agent did something; bring it back if it was taken for gone."""
    if agent_id != HUMAN and bus.presence.touch(agent_id):
        _bring_back(bus, agent_id)


def note_life(bus: Bus, agent_id: str) -> None:
    """As :func:`sign_of_life`, without waiting: for those who must not write themselves."""
    if agent_id != HUMAN and bus.presence.touch(agent_id):
        bus.store.soon(lambda: _bring_back(bus, agent_id))


def _bring_back(bus: Bus, agent_id: str) -> None:
    def operation(connection: Connection) -> None:
        row = store.find(connection, agent_id)
        if row is not None:
            set_status(bus, connection, row, Status(row.reported_status))

    bus.store.write(operation)
    bus.presence.set_status(agent_id, Status.ONLINE)


def set_status(bus: Bus, connection: Connection, row: AgentRow, status: Status) -> None:
    """Inside a transaction: change what the card shows, and tell."""
    if row.status is status:
        return
    now = bus.clock.now_ms()
    last_seen_at = bus.presence.last_seen_at(row.id, stored=row.last_seen_at)
    store.update_agent(connection, row.id, status=status.value, last_seen_at=last_seen_at)
    card = _load_card(bus, connection, row.id)
    log.append(connection, [AgentStatus(agent_id=row.id, data=card)], now_ms=now)


def _change(
    bus: Bus,
    agent_id: str,
    changes: dict[str, object],
    *,
    secret: str | None,
    in_its_name: bool,
    terms: PatchAgent | None = None,
) -> AgentCard:
    def operation(connection: Connection) -> AgentCard:
        row = _get(connection, agent_id)
        if in_its_name or secret is not None:
            check_secret(agent_id, wanted=row.secret_sha256, given=secret)
        by_human = secret is None or row.secret_sha256 is None
        before = _card(bus, connection, row)
        values = dict(changes)
        if in_its_name or "reported_status" in values:
            values["status"] = values.get("reported_status", row.reported_status)
        if in_its_name:
            values["last_seen_at"] = bus.clock.now_ms()
        store.update_agent(connection, agent_id, **values)
        gained = None if terms is None else _subscribe(connection, agent_id, terms, by_human=by_human)
        if gained is not None:
            bus.directory.forget()
        card = _load_card(bus, connection, agent_id)
        now = bus.clock.now_ms()
        if _shown(card) != _shown(before):
            log.append(connection, [AgentStatus(agent_id=agent_id, data=card)], now_ms=now)
        _announce_work(connection, agent_id, gained or [], now_ms=now)
        return card

    card = bus.store.write(operation)
    if in_its_name:
        bus.presence.touch(agent_id)
    bus.presence.set_status(agent_id, card.status)
    return card


def _changes(request: RegisterAgent | Heartbeat | PatchAgent) -> dict[str, object]:
    """Columns that a request sets; keys that it leaves out stay."""
    changes: dict[str, object] = {}
    for name in ("ready", "rig", "project", "host", "version", "prompt_chars"):
        value = getattr(request, name, UNSET)
        if value is not UNSET:
            changes[name] = value
    if request.status is not UNSET:
        changes["reported_status"] = request.status.value
    for name in ("meta", "wake_paths"):
        value = getattr(request, name, UNSET)
        if value is not UNSET:
            changes[name] = sqlite.as_json(value)
    return changes


def _check_meta(meta: Mapping[str, object] | UnsetType) -> None:
    if meta is not UNSET:
        check_depth(meta, field="meta")
    if meta is not UNSET and len(sqlite.as_json(meta)) > MAX_META_BYTES:
        raise Invalid.field("meta", "must be at most 16 KiB of JSON: keep large things elsewhere and link to them")


def _subscribe(
    connection: Connection, agent_id: str, request: RegisterAgent | PatchAgent, *, by_human: bool
) -> list[str] | None:
    """Work out what the agent receives after a request, and store it if that differs from what it receives now.

    :returns: the targets that are new to it, or None where nothing differs.
    """
    current = store.subscriptions_of(connection, [agent_id]).get(agent_id, [])
    wanted: dict[str, tuple[bool, bool]] = {agent_id: (True, False), BROADCAST: (True, False)}
    for prefix, given in (("tag:", request.tags), ("cap:", request.capabilities), ("label:", request.labels)):
        held = {s.topic: (s.by_client, s.by_human) for s in current if s.topic.startswith(prefix)}
        if given is UNSET:
            wanted |= held
        elif prefix == "label:":
            wanted |= _merge_labels(held, [prefix + value for value in given], by_human=by_human)
        else:
            wanted |= {prefix + value: (True, False) for value in unique(given)}
    since = {s.topic: s.since_id for s in current}
    head = log.head(connection)
    new = [
        Subscription(
            agent_id=agent_id,
            topic=topic,
            position=position,
            by_client=by_client,
            by_human=human,
            # All direct mail is the agent's, however old; fan-out counts from the subscription on.
            since_id=since.get(topic, 0 if topic == agent_id else head),
        )
        for position, (topic, (by_client, human)) in enumerate(wanted.items())
    ]
    if new == current:
        return None
    store.replace_subscriptions(connection, agent_id, new)
    return [s.topic for s in new if s.topic not in since]


def _announce_work(connection: Connection, agent_id: str, topics: Sequence[str], *, now_ms: int) -> None:
    """Tell an agent, and it alone, of the open work that its new tags, capabilities and labels bring.

    It stands in the log like everything else, so that a stream that is away for the moment finds it there.
    """
    for topic in topics:
        work = inbox.list_open_under(connection, agent_id, topic=topic, limit=MAX_ANNOUNCED, now_ms=now_ms)
        if work:
            news = [MessageNew(message_id=message.id, agent_id=agent_id, sender=message.from_) for message in work]
            log.append(connection, news, now_ms=now_ms)


def _merge_labels(
    held: Mapping[str, tuple[bool, bool]], given: Iterable[str], *, by_human: bool
) -> dict[str, tuple[bool, bool]]:
    """The union of a client's and a human's labels; a client never removes a human's."""
    topics = unique(given)
    if by_human:
        # Who edits a card sends back what is on it: a label that is the client's own stays the client's.
        return {topic: held.get(topic, (False, True)) for topic in topics}
    kept = {topic: (False, True) for topic, (_, human) in held.items() if human and topic not in topics}
    return {topic: (True, held.get(topic, (False, False))[1]) for topic in topics} | kept


def _get(connection: Connection, agent_id: str) -> AgentRow:
    row = store.find(connection, agent_id)
    if row is None:
        raise AgentNotFound(f"No agent {agent_id} is registered; register it with POST /api/agents.")
    return row


def _fresh(bus: Bus, row: AgentRow) -> AgentRow:
    row.last_seen_at = bus.presence.last_seen_at(row.id, stored=row.last_seen_at)
    return row


def _card(bus: Bus, connection: Connection, row: AgentRow) -> AgentCard:
    return store.cards(connection, [_fresh(bus, row)], now_ms=bus.clock.now_ms())[0]


def _load_card(bus: Bus, connection: Connection, agent_id: str) -> AgentCard:
    return _card(bus, connection, _get(connection, agent_id))


def _shown(card: AgentCard | None) -> dict[str, object]:
    """What of a card is worth an event: a mere sign of life is not."""
    if card is None:
        return {}
    return {k: v for k, v in structs.asdict(card).items() if k not in {"last_seen_at", "unread"}}
