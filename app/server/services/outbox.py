"""The bell of the outbox: it wakes the worker that delivers callbacks."""

from __future__ import annotations

import threading

from app.server.clock import Clock

#: The wall clock may drift from the monotonic one by so much before it counts as set.
CLOCK_SLACK_MS = 5_000


class Outbox:
    """Tells the worker that there is something to send, once it is on disk."""

    def __init__(self) -> None:
        #: set when the worker should look
        self.wake = threading.Event()
        #: integrations that have, or may have, something to hear
        self.integrations: set[str] = set()
        self._written = False
        self._clock_offset_ms: int | None = None

    def clock_jump_ms(self, clock: Clock) -> int:
        """By how much the wall clock was set since :meth:`follow_clock`; 0 where it was not."""
        if self._clock_offset_ms is None:
            self.follow_clock(clock)
            return 0
        jump_ms = _offset_ms(clock) - self._clock_offset_ms
        return jump_ms if abs(jump_ms) > CLOCK_SLACK_MS else 0

    def follow_clock(self, clock: Clock) -> None:
        """From now on the clock is right."""
        self._clock_offset_ms = _offset_ms(clock)

    def note(self, integration: str) -> None:
        """Inside a transaction: something was written for this integration."""
        self.integrations.add(integration)
        self._written = True

    def committed(self) -> None:
        """After each commit."""
        if self._written:
            self._written = False
            self.wake.set()


def _offset_ms(clock: Clock) -> int:
    return clock.now_ms() - int(clock.monotonic_s() * 1000)
