"""Writes lost claims down, those of one race together."""

from __future__ import annotations

import logging
import threading

from app.server.services.losses import Losses

logger = logging.getLogger(__name__)

#: The losers of a race come within moments of each other: one commit serves them all.
GATHER_S = 0.05


class LossRecorder:
    """The worker that empties :class:`Losses`; it sleeps while nobody loses."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="losses", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End, once what waits is written."""
        self._stop.set()
        self._losses.wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._losses.wake.wait()
            self._stop.wait(GATHER_S)
            self._losses.wake.clear()
            self._write()
        self._write()  # whoever lost while the last ones were written

    def _write(self) -> None:
        try:
            self._losses.write()
        except Exception:
            logger.exception("lost claims were not noted", extra={"action": "worker.error"})
