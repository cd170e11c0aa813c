"""The bell of the outbox: it wakes the worker that delivers callbacks."""

from __future__ import annotations

import threading


class Outbox:
    """Tells the worker that there is something to send, once it is on disk."""

    def __init__(self) -> None:
        #: set when the worker should look
        self.wake = threading.Event()
        #: integrations that have, or may have, something to hear
        self.integrations: set[str] = set()
        self._written = False

    def note(self, integration: str) -> None:
        """Inside a transaction: something was written for this integration."""
        self.integrations.add(integration)
        self._written = True

    def committed(self) -> None:
        """After each commit."""
        if self._written:
            self._written = False
            self.wake.set()
