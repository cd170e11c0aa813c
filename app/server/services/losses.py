"""Who came too late for a claim: remembered for a moment, and written down behind the loser's back.

A loser has its answer before anything is written: it waits for no disk, and a race is not slowed by its losers. What
waits here is written a little later, all of it together, however many lost; so a lost claim may be lost itself
when the relay is killed right after the answer. Nothing depends on it but what people are shown.
"""

from __future__ import annotations

import logging
import threading

from app.errors import RelayError
from app.server.clock import Clock
from app.server.store import activity
from app.server.store.engine import Store

logger = logging.getLogger(__name__)

#: Who asks again and again is noted so often.
AGAIN_S = 1.0
#: More than this within that time is not noted: losers that hammer must not fill the memory.
MAX_NOTED = 10_000
#: In one transaction: a sender may have to wait for it.
STEP = 500


class Losses:
    """Lost claims that are not on disk yet, one for each message and agent. Safe to use from any thread."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        #: (message, agent) -> (holder, milliseconds)
        self._waiting: dict[tuple[int, str], tuple[str, int]] = {}
        #: when a loss was last noted, on the monotonic clock; the oldest first
        self._noted: dict[tuple[int, str], float] = {}
        #: set when there is something to write
        self.wake = threading.Event()

    def note(self, message_id: int, *, agent_id: str, holder: str) -> None:
        """Note that an agent wanted what another holds. Returns at once; the same within a second is not noted."""
        key, now_s = (message_id, agent_id), self._clock.monotonic_s()
        with self._lock:
            self._forget(now_s)
            if key in self._noted or max(len(self._noted), len(self._waiting)) >= MAX_NOTED:
                return
            self._noted[key] = now_s
            self._waiting[key] = (holder, self._clock.now_ms())
        self.wake.set()

    def _forget(self, now_s: float) -> None:
        while self._noted:
            oldest = next(iter(self._noted))
            if now_s - self._noted[oldest] < AGAIN_S:
                return
            del self._noted[oldest]

    def write(self) -> None:
        """Write down what waits, and wait for that."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        losses = [(message_id, agent_id, *found) for (message_id, agent_id), found in waiting.items()]
        try:
            for start in range(0, len(losses), STEP):
                step = losses[start : start + STEP]
                self._store.write(lambda connection, step=step: activity.note_losses(connection, step))  # type: ignore[misc]
        except RelayError as exc:
            # A full disk, a relay that stops: those who lost have had their answers.
            logger.warning("lost claims not noted: %s", exc.detail, extra={"action": "claim.lost"})
