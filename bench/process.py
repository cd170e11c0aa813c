"""The relay under measurement, and what the kernel says of it. Linux only: /proc is read."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

Address = tuple[str, int]

ROOT = Path(__file__).absolute().parent.parent
#: On the checkout's own disk: /tmp may be a tmpfs, where nothing has to wait for a disk.
WORK = ROOT / "build" / "bench"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


def child_env(home: Path) -> dict[str, str]:
    """An environment of its own: the user's settings, files and habits stay out of it."""
    folders = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "LANG": "C.UTF-8"}
    for name in folders:
        folder = home / name.lower()
        folder.mkdir(mode=0o700, exist_ok=True)
        env[name] = str(folder)
    return env


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, on the disk that is measured."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=WORK) as name:
        yield Path(name)


class Relay:
    """One relay process, started as a user would start it."""

    def __init__(self, home: Path, *, db: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        """:param settings: variables of its environment."""
        self.home = home
        self._settings = dict(settings or {})
        self.db = db or home / "relay.db"
        self.log: list[str] = []
        #: from starting the process to the first 200
        self.start_s = 0.0
        self._process: subprocess.Popen[str] | None = None
        self.address: Address = ("127.0.0.1", 0)

    def __enter__(self) -> Relay:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait for the first answer."""
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app", "--port", "0", "--db", str(self.db)],
            cwd=ROOT,
            env=child_env(self.home) | self._settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self.address = ("127.0.0.1", self._find_port(self._process.stderr))
        threading.Thread(target=self._collect, args=(self._process.stderr,), daemon=True).start()
        connection = http.client.HTTPConnection(*self.address, timeout=START_TIMEOUT_S)
        connection.request("GET", "/api/healthz")
        status = connection.getresponse().status
        self.start_s = time.perf_counter() - begun
        connection.close()
        if status != 200:
            raise RuntimeError(f"the relay answered {status}")

    def stop(self) -> None:
        """Stop it as a service manager would."""
        process = self._process
        if process is None:
            return
        self._process = None
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print("bench: a relay did not stop and was killed", file=sys.stderr)

    def _find_port(self, stderr: IO[str]) -> int:
        for line in stderr:
            self.log.append(line)
            if "listening on http://" in line:
                return int(line.rstrip().rpartition(":")[2])
        raise RuntimeError("the relay did not start:\n" + "".join(self.log))

    def _collect(self, stderr: IO[str]) -> None:
        for line in stderr:
            self.log.append(line)

    # -- what the kernel says ------------------------------------------------------------------------------------------

    def rss_bytes(self) -> int:
        """Resident memory."""
        return rss_bytes(self.pid)

    def threads(self) -> int:
        """Threads now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("Threads:"):
                return int(line.split()[1])
        raise RuntimeError("no thread count in /proc")

    def cpu_s(self) -> float:
        """Processor time of the threads that live now; to the nanosecond, where /proc/PID/stat counts in 10 ms."""
        spent = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):
                spent += int((task / "schedstat").read_text().split()[0])
        return spent / 1e9


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no resident size in /proc")
