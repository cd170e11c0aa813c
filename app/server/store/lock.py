"""One relay per database file: a lock that the operating system frees when its holder dies, however it dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from app.errors import StartError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class DatabaseLock:
    """Held from construction to :meth:`release`.

    :raises StartError: if another process holds it; the detail names its pid.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as exc:
            raise StartError(f"the database folder {path.parent} cannot be written: {exc.strerror}") from exc
        if not _try_lock(self._fd):
            holder = os.pread(self._fd, 32, 1).decode(errors="replace").strip() if hasattr(os, "pread") else ""
            os.close(self._fd)
            raise StartError(
                f"another relay{f' (pid {holder})' if holder else ''} uses the database {database}; "
                "stop it first, or give this one another DB_PATH"
            )
        # The first byte is what Windows locks; the pid stands after it.
        try:
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f" {os.getpid()}\n".encode())
        except OSError as exc:
            os.close(self._fd)
            raise StartError(f"the database folder {path.parent} cannot be written: {exc.strerror}") from exc

    def release(self) -> None:
        """Free the lock; the file stays, for removing it would race with the next holder."""
        os.close(self._fd)
