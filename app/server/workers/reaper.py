"""Looks after presence: who has gone quiet, whose claims are free again, whose card is dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import Connection

from app.model import Status
from app.server.services import agents, claims
from app.server.services.bus import Bus
from app.server.store import agents as store
from app.server.workers.periodic import Periodic

logger = logging.getLogger(__name__)

#: Silent for this many times STALE_TTL_MS: offline.
OFFLINE_FACTOR = 3


def make_reaper(bus: Bus, *, live_agents: Callable[[], frozenset[str]]) -> Periodic:
    """The worker that calls :func:`reap` every REAP_INTERVAL_MS."""
    return Periodic("reaper", lambda: reap(bus, live_agents()), interval_s=bus.settings.reap_interval_ms / 1000)


def reap(bus: Bus, live_agents: frozenset[str]) -> None:
    """One look at everyone.

    :param live_agents: those with an open stream, whose life needs no other sign.
    """
    for agent_id in live_agents:
        agents.sign_of_life(bus, agent_id)
    with bus.store.read() as connection:
        everyone = store.presence(connection)
    for agent_id, status, _ in everyone:
        wanted = _judge(bus, agent_id, status)
        if wanted is not status:
            bus.store.write(lambda connection, agent_id=agent_id: _apply(bus, connection, agent_id))  # type: ignore[misc]
    unsaved = bus.presence.take_unsaved()
    if unsaved:
        bus.store.write(lambda connection: store.set_last_seen(connection, unsaved))


def _judge(bus: Bus, agent_id: str, status: Status) -> Status | None:
    """What an agent's silence makes of it; None: it is dropped."""
    silent_ms = bus.presence.silent_s(agent_id) * 1000
    if silent_ms >= OFFLINE_FACTOR * bus.settings.stale_ttl_ms:
        offline_ms = silent_ms - OFFLINE_FACTOR * bus.settings.stale_ttl_ms
        gone = status is Status.OFFLINE and offline_ms >= bus.settings.offline_prune_ms
        return None if gone else Status.OFFLINE
    if silent_ms >= bus.settings.stale_ttl_ms:
        return Status.STALE if status is not Status.OFFLINE else status
    return status


def _apply(bus: Bus, connection: Connection, agent_id: str) -> None:
    """Inside the transaction, where nothing can change meanwhile, judge again and act."""
    row = store.find(connection, agent_id)
    if row is None:
        return
    wanted = _judge(bus, agent_id, row.status)
    if wanted is None:
        agents.remove_row(bus, connection, row)
        bus.presence.forget(agent_id)
        logger.info("dropped a long offline agent", extra={"action": "agent.pruned", "agent": agent_id})
        return
    agents.set_status(bus, connection, row, wanted)
    bus.presence.set_status(agent_id, wanted)
    if wanted is Status.OFFLINE and row.status is not Status.OFFLINE:
        released = claims.release_all(bus, connection, agent_id, why=f"{agent_id} went offline")
        logger.info("agent is offline", extra={"action": "agent.offline", "agent": agent_id, "released": released})
