"""Who is alive: signs of life in memory, on the monotonic clock, so that a jump of the wall clock kills nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from app.model import Status
from app.server.clock import Clock

_AWAY = frozenset({Status.STALE, Status.OFFLINE})


class Presence:
    """Last sign of life of each agent. Safe to use from any thread.

    The database gets these times only now and then (:meth:`take_unsaved`): a poll must not cost a disk write.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: agent id -> (monotonic seconds, wall milliseconds)
        self._seen: dict[str, tuple[float, int]] = {}
        self._away: set[str] = set()
        self._unsaved: set[str] = set()

    def load(self, known: Iterable[tuple[str, Status, int]]) -> None:
        """Begin with what the database knows.

        Whoever was not offline gets its full time from now on: it was the relay that was away. For an offline agent the
        time since its last sign of life goes on counting, across a restart.
        """
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        with self._lock:
            for agent_id, status, last_seen_at in known:
                gone_s = max(0, now_ms - last_seen_at) / 1000 if status is Status.OFFLINE else 0.0
                self._seen[agent_id] = (now_s - gone_s, last_seen_at)
                if status in _AWAY:
                    self._away.add(agent_id)

    def touch(self, agent_id: str) -> bool:
        """Note a sign of life.

        :returns: whether the agent was taken for stale or offline, so that its status must be changed back.
        """
        self._seen[agent_id] = (self._clock.monotonic_s(), self._clock.now_ms())
        self._unsaved.add(agent_id)
        return agent_id in self._away

    def set_status(self, agent_id: str, status: Status) -> None:
        """Follow what the database now says."""
        with self._lock:
            (self._away.add if status in _AWAY else self._away.discard)(agent_id)

    def forget(self, agent_id: str) -> None:
        """The agent is no longer registered."""
        with self._lock:
            self._seen.pop(agent_id, None)
            self._away.discard(agent_id)
            self._unsaved.discard(agent_id)

    def silent_s(self, agent_id: str) -> float:
        """Seconds since the last sign of life."""
        seen = self._seen.get(agent_id)
        return 0.0 if seen is None else self._clock.monotonic_s() - seen[0]

    def last_seen_at(self, agent_id: str, *, stored: int) -> int:
        """The last sign of life on the wall clock, in milliseconds."""
        seen = self._seen.get(agent_id)
        return stored if seen is None else max(stored, seen[1])

    def take_unsaved(self) -> dict[str, int]:
        """Signs of life that the database has not seen yet."""
        with self._lock:
            unsaved, self._unsaved = self._unsaved, set()
        return {agent_id: self._seen[agent_id][1] for agent_id in unsaved if agent_id in self._seen}
