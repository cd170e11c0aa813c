"""What became of integrations' calls, counted in memory alone: a flood of refused ones must not cost a commit."""

from __future__ import annotations

import threading
from collections import Counter

from app.model import IngestAnswer, IntegrationCounts
from app.server.clock import Clock


class Tally:
    """The calls that bring events, by integration. Safe to use from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._last: dict[str, int] = {}
        #: when counting began
        self.since_ms = clock.now_ms()

    def note(self, source: str, status: int, outcome: str | None) -> None:
        """A call was answered.

        :param outcome: of an event that was taken, see :func:`outcome_of`.
        """
        if status == 429:
            outcome = "rate_limited"
        elif 400 <= status < 500:
            outcome = "refused"
        elif outcome is None or status >= 300:
            return  # the relay's own fault
        with self._lock:
            self._counts[source, outcome] += 1
            if status < 300:
                self._last[source] = self._clock.now_ms()

    def counts(self, source: str) -> IntegrationCounts:
        """How an integration's calls were answered so far."""
        with self._lock:
            return IntegrationCounts(
                **{name: self._counts[source, name] for name in IntegrationCounts.__struct_fields__}
            )

    def last_event_ms(self, source: str) -> int | None:
        """When an event of this integration was last taken, if one was."""
        with self._lock:
            return self._last.get(source)


def outcome_of(answer: IngestAnswer) -> str:
    """What an event that was taken counts as."""
    return "accepted" if answer.created else "deduped" if answer.deduped else "resolved"
