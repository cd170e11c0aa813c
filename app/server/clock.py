"""Time: the wall clock for what people read, the monotonic one for everything that waits."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


class Clock:
    """The machine's clocks; a test may pass its own."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC. May jump: never measure an interval with it."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()


@lru_cache(maxsize=1_024)  # messages that came together share their instants
def rfc3339(ms: int) -> str:
    """``2026-01-31T12:00:00.123Z``."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def rfc3339_or_none(ms: int | None) -> str | None:
    """As :func:`rfc3339`, where there may be no instant."""
    return None if ms is None else rfc3339(ms)


def parse_rfc3339(text: str) -> int:
    """Milliseconds since 1970 UTC.

    :raises ValueError: it is no instant, or it does not say in which zone.
    """
    try:
        given = datetime.fromisoformat(text)
        if given.tzinfo is not None:
            return int(given.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be an instant like 2026-01-31T12:00:00.000Z")
