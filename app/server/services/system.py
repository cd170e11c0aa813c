"""The relay about itself."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from app import __version__
from app.model import HUMAN, Health, LiveStreams, Stats
from app.server.services.bus import Bus
from app.server.store import agents as agent_store
from app.server.store import callbacks as callback_store
from app.server.store import events as log
from app.server.store import inbox, stats
from app.server.store import tasks as task_store


def get_stats(bus: Bus, *, uptime_s: float, live: Mapping[str, int]) -> Stats:
    """Counts; their cost does not grow with history."""
    with bus.store.read() as connection:
        return Stats(
            version=__version__,
            instance=bus.instance,
            uptime_s=round(uptime_s, 3),
            agents=agent_store.count_by_status(connection),
            messages=log.counter(connection, "messages"),
            claimable_open=stats.count_open(connection, now_ms=bus.clock.now_ms()),
            unread_human=_unread_human(bus, connection),
            tasks=task_store.count_active(connection),
            callbacks=callback_store.count_undelivered(connection),
            live=LiveStreams(sse=live["sse"], websocket=live["websocket"], long_poll=live["long_poll"]),
            event_seq=log.head(connection),
            event_floor=log.floor(connection),
            database_bytes=bus.store.size_bytes(),
        )


def _unread_human(bus: Bus, connection: Connection) -> int:
    return inbox.count_unread(connection, [HUMAN], now_ms=bus.clock.now_ms()).get(HUMAN, 0)


def check_health(bus: Bus) -> Health:
    """Proof that the database answers.

    :raises Unavailable: it does not.
    """
    with bus.store.read() as connection:
        log.head(connection)
    return Health(
        app="agent-relay", instance=bus.instance, version=__version__, manager=bus.settings.manager, status="ok"
    )
