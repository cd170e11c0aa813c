"""The demo's relay: the real one, as a child process with folders of its own, which never outlives the demo.

What keeps it from that is its standard input, a pipe whose other end only the demo holds. However the demo ends, even
by ``kill -9``, the system closes that end, and a thread in the child sees it (:mod:`app.cli.demo`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from app.errors import StartError

#: How the folder's name begins.
PREFIX = "agent-relay-demo-"
_LISTENING = re.compile(r"listening on (http://\S+)")
START_S = 60.0
#: From SIGTERM to SIGKILL.
STOP_S = 10.0
_LOOK_S = 0.05

#: Whatever could lead the relay to what is the user's.
_OURS = re.compile(r"(AGENT_RELAY|CODEX|XDG|WIN_PD_OVERRIDE)_.*|CLAUDE.*")
_SETTINGS = {"PORT", "HOST", "DB_PATH", "STALE_TTL_MS", "OFFLINE_PRUNE_MS", "REAP_INTERVAL_MS", "RETENTION_DAYS"}
_FOREIGN = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "DBUS_SESSION_BUS_ADDRESS", "SYSTEMD_EXEC_PID"}


class Child:
    """The relay and its folder."""

    def __init__(self, *, port: int) -> None:
        """Makes the folder; :meth:`start` starts.

        :param port: 0 for any free one.
        """
        self._port = port
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def config_dir(self) -> Path:
        """Where this relay looks for ``integrations.json``."""
        return self.folder / "config" / "agent-relay"

    def start(self, *, wait: Callable[[float], bool]) -> None:
        """Start and wait until it listens.

        :param wait: sleeps for so many seconds; true when the demo is to end instead.
        :raises StartError: it ended, or did not begin to listen.
        """
        command = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-P", "-m", "app"]
        command += ["demo", "--serve-in", str(self.folder), "--port", str(self._port)]
        for name in ("home", "config", "data", "state", "cache", "run"):
            (self.folder / name).mkdir(mode=0o700)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment(self.folder, os.environ),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C at the terminal is for the demo, which ends the relay in its turn.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        for _ in range(int(START_S / _LOOK_S)):
            found = _LISTENING.search(self._log.read_text(errors="replace"))
            if found is not None:
                self.url = found[1]
                return
            if self.ended is not None:
                raise StartError(self.last_words().rpartition("agent-relay: ")[2])
            if wait(_LOOK_S):
                return
        raise StartError(f"The relay did not begin to listen within {START_S:.0f} s.")

    @property
    def ended(self) -> int | None:
        """Its exit status, once it has ended."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """The last line that it wrote."""
        written = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        return next((line for line in reversed(written) if line.strip()), "it said nothing")

    def close(self) -> None:
        """End it and remove the folder."""
        process = self._process
        if process is not None:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None  # noqa: S101 - a pipe, above
            process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self.folder / "relay.log"


def environment(folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the relay is given: the caller's environment, without settings, and with every folder in the demo's own."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _SETTINGS | _FOREIGN and not _OURS.fullmatch(name)
    }
    places = {f"XDG_{name.upper()}_HOME": str(folder / name) for name in ("config", "data", "state", "cache")}
    home = {name: str(folder / "home") for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
    # On Windows known folders come from the system and not from the environment, unless these say otherwise.
    windows = {f"WIN_PD_OVERRIDE_{name}": str(folder / "config") for name in ("APPDATA", "LOCAL_APPDATA")}
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, inherited.get("PYTHONPATH", ""))))
    return kept | places | home | windows | {
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "PYTHONPATH": path,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        # So that within minutes an agent is seen to go and to come back.
        "STALE_TTL_MS": "60000",
        "REAP_INTERVAL_MS": "5000",
        "RETENTION_DAYS": "1",
        "AGENT_RELAY_INTEGRATION_RATE_LIMIT_PER_MINUTE": "10000",
    }  # fmt: skip
