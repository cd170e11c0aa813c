"""Folders of the platform, and writing a file as a whole."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app import paths

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG folders")
posix_only = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@linux_only
def test_without_xdg_variables_the_folders_are_the_usual_ones(home: Path) -> None:
    assert paths.env_file() == home / ".config/agent-relay/relay.env"
    assert paths.default_db_path() == home / ".local/share/agent-relay/relay.db"
    assert paths.state_file() == home / ".local/state/agent-relay/state.json"
    assert paths.log_dir() == home / ".local/state/agent-relay/log"


@linux_only
def test_xdg_variables_are_honoured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name))
    assert paths.config_dir() == home / "CONFIG/agent-relay"
    assert paths.data_dir() == home / "DATA/agent-relay"
    assert paths.state_dir() == home / "STATE/agent-relay"


@linux_only
def test_the_runtime_folder_is_the_sessions(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    assert paths.runtime_file() == home / "agent-relay/relay.json"


@linux_only
@pytest.mark.parametrize("value", ["/does/not/exist", "", "relative"])
def test_without_a_session_folder_the_state_folder_serves(
    home: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    if value != "/does/not/exist" and Path(f"/run/user/{os.getuid()}").is_dir():
        pytest.skip("this session has a folder")
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert paths.runtime_dir() == paths.state_dir()


def test_asking_makes_no_folder(home: Path) -> None:
    asked = (
        paths.data_dir, paths.config_dir, paths.state_dir, paths.log_dir, paths.runtime_dir, paths.env_file,
        paths.state_file, paths.runtime_file, paths.default_db_path, paths.static_dir,
    )  # fmt: skip
    assert all(ask().is_absolute() for ask in asked)
    assert list(home.iterdir()) == []


@posix_only
def test_a_blank_home_never_means_the_root_folder() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")} | {"HOME": ""}
    code = "from app import paths; print(paths.config_dir())"
    found = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert not found.stdout.startswith(("/.config", "/Library"))


def test_importing_costs_no_platformdirs() -> None:
    code = "import sys, app.config, app.paths; print('platformdirs' in sys.modules, 'logging' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_static_files_of_a_checkout_stand_beside_the_package() -> None:
    assert paths.static_dir().name == "static"
    assert paths.static_dir().parent in {Path(paths.__file__).parent, Path(paths.__file__).parents[1]}


def test_a_file_is_written_with_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file"
    paths.atomic_write(target, b"content")
    assert target.read_bytes() == b"content"
    assert [entry.name for entry in target.parent.iterdir()] == ["file"]


@posix_only
def test_permissions_are_those_asked_for_whatever_the_old_file_had(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    paths.atomic_write(target, b"1", mode=0o644)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    paths.atomic_write(target, b"2")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


@posix_only
def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "file")
    paths.atomic_write(link, b"content")
    assert link.is_symlink()
    assert (tmp_path / "real" / "file").read_bytes() == b"content"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.mkdir()  # a folder cannot be replaced by a file
    (target / "kept").write_bytes(b"old")
    with pytest.raises(OSError, match=r".+"):
        paths.atomic_write(target, b"new")
    assert (target / "kept").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    target = tmp_path / "file"
    contents = [bytes([letter]) * 100_000 for letter in b"ab"]
    paths.atomic_write(target, contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        paths.atomic_write(target, contents[number % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)
