"""Full text: messages are made searchable after the fact, and before somebody searches."""

from __future__ import annotations

from app.server.services.bus import Bus
from app.server.store import sqlite

#: Messages made searchable in one transaction.
STEP = 1_000


def catch_up(bus: Bus) -> None:
    """Index what has not been indexed yet, in steps that let others write in between."""
    with bus.store.read() as connection:
        behind = sqlite.search_behind(connection)
    while behind:
        behind = bus.store.write(lambda connection: sqlite.index_next(connection, limit=STEP))
