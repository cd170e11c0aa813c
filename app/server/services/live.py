"""What the live hub reads: the log, unread inboxes, subscriptions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.model import InboxMessage
from app.server.services.bus import Bus
from app.server.store import agents as agent_store
from app.server.store import events as log
from app.server.store import inbox
from app.server.store.events import LogEntry

_encode = msgspec.json.Encoder().encode


class LiveSource:
    """The hub's view of the bus (:class:`app.server.hub.Source`)."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def head(self) -> int:
        """The newest sequence number."""
        return self._bus.store.head()

    def floor(self) -> int:
        """Replay works from here on."""
        with self._bus.store.read() as connection:
            return log.floor(connection)

    def page(self, *, after: int, upto: int, limit: int, agent_id: str | None) -> list[LogEntry]:
        """Events in ``(after, upto]``, for everyone or as far as they concern one agent."""
        with self._bus.store.read() as connection:
            return log.tail(connection, after=after, upto=upto, limit=limit, agent_id=agent_id)

    def unread(self, agent_id: str, *, after: int, upto: int, limit: int) -> list[LogEntry]:
        """An agent's unread inbox in ``(after, upto]``, under the ids of the events that first announced it."""
        with self._bus.store.read() as connection:
            found = inbox.list_messages(
                connection, agent_id, unread=True, since=after, limit=limit, now_ms=self._bus.clock.now_ms(), upto=upto
            )
        return _announced([message for message in found if message.id <= upto])

    def topics(self, agent_id: str) -> frozenset[str]:
        """What an agent receives."""
        with self._bus.store.read() as connection:
            return agent_store.topics_of(connection, agent_id)


def _announced(found: Sequence[InboxMessage]) -> list[LogEntry]:
    entries: list[LogEntry] = []
    for message in found:
        message.read = msgspec.UNSET
        entries.append(
            LogEntry(message.id, "message.new", None, message.to, message.from_, message.id, _encode(message))
        )
    return entries
