"""A thread that does one thing now and then, and ends when told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """What runs beside the server."""

    def start(self) -> None:
        """Begin."""

    def stop(self, timeout_s: float) -> None:
        """End, after the step at hand if that takes no longer."""


class Periodic:
    """Calls ``work`` every ``interval_s``. A failure is logged, and the next turn comes all the same."""

    def __init__(self, name: str, work: Callable[[], None], *, interval_s: float) -> None:
        """:param work: may look at :attr:`stopping` between steps."""
        self._work = work
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether the work should come to an end."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin; the first turn comes after one interval."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the step at hand."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self._work()
            except Exception:
                logger.exception("%s failed", self._thread.name, extra={"action": "worker.error"})
