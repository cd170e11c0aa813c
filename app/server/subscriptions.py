"""Who listens to what: streams by the targets that they receive, by their agent, and those that observe everything.

Belongs to the hub, and is touched only by whoever has its turn, except where a method says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.server.store.events import LogEntry
from app.server.streams import Stream


class Subscriptions:
    """Indexes over streams: an event costs as much as it has listeners."""

    def __init__(self) -> None:
        self._observers: set[Stream] = set()
        self._by_topic: dict[str, set[Stream]] = {}
        self._by_agent: dict[str, set[Stream]] = {}

    def observe(self, stream: Stream) -> None:
        """Have a stream hear everything."""
        self._observers.add(stream)

    def file(self, stream: Stream, *, agent_id: str, topics: frozenset[str]) -> None:
        """File a stream under what its agent receives now."""
        for topic in topics - stream.topics:
            self._by_topic.setdefault(topic, set()).add(stream)
        for topic in stream.topics - topics:
            _take_out(self._by_topic, topic, stream)
        self._by_agent.setdefault(agent_id, set()).add(stream)
        stream.topics = topics

    def forget(self, stream: Stream) -> None:
        """Take a stream out of every index."""
        self._observers.discard(stream)
        for topic in stream.topics:
            _take_out(self._by_topic, topic, stream)
        stream.topics = frozenset()
        if stream.agent_id is not None:
            _take_out(self._by_agent, stream.agent_id, stream)

    def concerned(self, entry: LogEntry) -> Sequence[Stream]:
        """Who hears of an event, each once."""
        if entry.topic is None:
            return (*self._observers, *self._by_agent.get(entry.agent_id or "", ()))
        streams = self._by_topic.get(entry.topic, set())
        senders = self._by_agent.get(entry.sender or "")
        return (*self._observers, *(senders.union(streams) if senders else streams))

    def of_agent(self, agent_id: str | None) -> Sequence[Stream]:
        """An agent's own streams."""
        return tuple(self._by_agent.get(agent_id or "", ()))

    def live_agents(self) -> frozenset[str]:
        """Agents that have something open that shows their life. From any thread."""
        return frozenset(
            agent_id for agent_id, streams in tuple(self._by_agent.items()) if any(s.shows_life for s in tuple(streams))
        )


def _take_out(index: dict[str, set[Stream]], key: str, stream: Stream) -> None:
    streams = index.get(key)
    if streams is not None:
        streams.discard(stream)
        if not streams:
            del index[key]
