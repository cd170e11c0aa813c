"""Backups that a client fetches: one at a time, from the first page copied to the last byte sent."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from datetime import UTC, datetime

from app.errors import BackupRunning
from app.server.services.bus import Bus
from app.server.store import backup as store

#: Read at once: a socket takes little more, and what it does not take is read again.
_CHUNK = 1 << 18
_RETRY_AFTER_S = 5


class Backup(io.FileIO):
    """A verified copy of the database. Closing it removes it."""

    def __init__(self, descriptor: int, *, file_name: str, done: Callable[[], None]) -> None:
        """:param done: called once, when all is read or it is closed."""
        self._done: Callable[[], None] | None = done
        self.file_name = file_name
        super().__init__(descriptor, "rb")
        self.size = os.fstat(descriptor).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most a chunk."""
        data = super().read(_CHUNK if size is None or not 0 <= size <= _CHUNK else size) or b""
        if self.tell() >= self.size:
            self._let_go()  # not only when it is closed: whoever has received all may ask again at once
        return data

    def close(self) -> None:
        """Also called when nobody holds it any more."""
        super().close()
        self._let_go()

    def _let_go(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()


def make(bus: Bus) -> Backup:
    """Copy the database and verify the copy; whoever writes meanwhile is not held up.

    :raises BackupRunning: another one is being made or fetched.
    :raises StorageFull: there is no room for it.
    :raises Unavailable: the database cannot be read, or the copy is not sound.
    """
    turn = bus.backup_turn
    if not turn.acquire(blocking=False):
        raise BackupRunning(headers={"Retry-After": str(_RETRY_AFTER_S)})
    try:
        at = datetime.fromtimestamp(bus.clock.now_ms() / 1000, UTC)
        descriptor = store.make_copy(bus.store.path)
    except BaseException:
        turn.release()
        raise
    return Backup(descriptor, file_name=f"agent-relay-{at:%Y%m%d-%H%M%S}.db", done=turn.release)
