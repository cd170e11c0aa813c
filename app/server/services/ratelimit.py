"""How often each integration may call, over a moving window of a minute."""

from __future__ import annotations

import threading
import time
from collections import deque

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.errors import RateLimited


class _Windows(MemoryStorage):
    """The library's memory, but for its windows: on the clock that nobody sets, and tidied up by whoever looks.

    Its own starts a thread for that a hundred times a second under load, which costs a third of all events a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, deque[float]] = {}

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a call, if it is within the limit."""
        calls = self._within(key, expiry)
        if len(calls) + amount > limit:
            return False
        calls.extend([time.monotonic()] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest call in the window was, and how many there are."""
        calls = self._within(key, expiry)
        return (calls[0] if calls else time.monotonic()), len(calls)

    def _within(self, key: str, expiry: int) -> deque[float]:
        calls = self._calls.setdefault(key, deque())
        begin = time.monotonic() - expiry
        while calls and calls[0] <= begin:
            calls.popleft()
        return calls


class RateLimiter:
    """Safe to use from any thread."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._limiter = MovingWindowRateLimiter(_Windows())
        self._item = RateLimitItemPerMinute(per_minute)

    def take(self, name: str) -> list[tuple[str, str]]:
        """Count a call.

        :returns: the headers that say how many are left.
        :raises RateLimited: it is one too many.
        """
        with self._lock:
            allowed = self._limiter.hit(self._item, name)
            window = self._limiter.get_window_stats(self._item, name)
        reset_s = max(1, -int(-(window.reset_time - time.monotonic()) // 1))
        headers = [
            ("RateLimit-Limit", str(self._per_minute)),
            ("RateLimit-Remaining", str(max(0, window.remaining))),
            ("RateLimit-Reset", str(reset_s)),
        ]
        if not allowed:
            raise RateLimited(
                f"The integration {name} may call {self._per_minute} times a minute "
                f"(AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE); try again in {reset_s} s.",
                headers={**dict(headers), "Retry-After": str(reset_s)},
            )
        return headers
