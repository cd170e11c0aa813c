"""Where things are: config, data, state, log and runtime folders of the platform, and the static files.

Nothing is made at import or by asking: who writes makes the folder (:func:`atomic_write` does). platformdirs honours
the XDG variables and is imported only when a path is asked for.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from platformdirs.api import PlatformDirsABC

APP_NAME = "agent-relay"


def data_dir() -> Path:
    """What must outlive everything: the database."""
    return _dirs().user_data_path


def config_dir() -> Path:
    """What a person writes: the managed env file."""
    return _dirs().user_config_path


def state_dir() -> Path:
    """What the relay writes for itself: the token's hash."""
    return _dirs().user_state_path


def log_dir() -> Path:
    """Log files of a relay that no service manager looks after."""
    return _dirs().user_log_path


def runtime_dir() -> Path:
    """What is true only while a relay runs; the state folder where the system has no place for that."""
    if sys.platform.startswith("linux"):
        named = os.environ.get("XDG_RUNTIME_DIR", "")
        # Without the variable (cron, sudo, a bare ssh) the session's folder may be there all the same; taking it lets
        # such a shell find the relay that the session started.
        base = Path(named) if named.startswith("/") else Path(f"/run/user/{os.getuid()}")
        if base.is_dir() and os.access(base, os.W_OK):
            return base / APP_NAME
    return state_dir()


def env_file() -> Path:
    """The managed env file: settings by their variables' names, written by a person or by ``agent-relay setup``."""
    return config_dir() / "relay.env"


def state_file() -> Path:
    """JSON that the relay's own commands write, 0600: ``{"tokenSha256": "<64 hex digits>"}``."""
    return state_dir() / "state.json"


def integrations_file() -> Path:
    """Outside systems and their tokens, beside those of ``AGENT_RELAY_INTEGRATIONS``."""
    return config_dir() / "integrations.json"


def runtime_file() -> Path:
    """JSON of the running relay: ``{pid, port, instance, version, manager}``."""
    return runtime_dir() / "relay.json"


def default_db_path() -> Path:
    """The SQLite file when ``DB_PATH`` says nothing."""
    return data_dir() / "relay.db"


def static_dir() -> Path:
    """The dashboard's files: inside the package in an installed wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    packaged = package / "static"
    return packaged if packaged.is_dir() else package.parent / "static"


def atomic_write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file as a whole: a reader, or a crash, sees the old content or the new, never a part.

    Makes the folder (0700) if need be. A symbolic link is followed, so that it stays one.

    :param mode: permissions of the new file, whatever the old one had.
    :raises OSError: as the system says it; nothing is left behind.
    """
    import tempfile

    path = path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            temporary.chmod(mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows cannot open a folder, and needs no such thing."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _dirs() -> PlatformDirsABC:
    from platformdirs import PlatformDirs

    if os.environ.get("HOME") == "":
        # A blank HOME would make "~" the root folder; without the variable the system's own entry is taken.
        os.environ.pop("HOME", None)
    return PlatformDirs(APP_NAME, appauthor=False)
