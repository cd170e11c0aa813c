"""Fixtures for all tests: relay processes that end whatever happens, and a look at what a test left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.factories import Home, Relay, wait_until

# Speed differs from run to run on a shared machine; examples are counted, not timed.
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
settings.load_profile("relay")

MakeRelay = Callable[..., Relay]


def _running(folder: Path, db: Path | None, values: dict[str, Any]) -> Relay:
    folder.mkdir(parents=True, exist_ok=True)
    return Relay(folder, db=db, **values).start()


def _finish(relay: Relay) -> None:
    """End a relay, and hold its log against it: no request may have run into an internal error."""
    relay.end()
    assert "Traceback" not in relay.log, relay.log


@pytest.fixture
def make_relay(tmp_path: Path) -> Iterator[MakeRelay]:
    """``make_relay(STALE_TTL_MS=200)``: a running relay with these settings; ``db=`` puts it on another's database."""
    made: list[Relay] = []

    def make(*, db: Path | None = None, **values: Any) -> Relay:
        made.append(_running(tmp_path / f"relay-{len(made)}", db, values))
        return made[-1]

    yield make
    for relay in made:
        _finish(relay)


@pytest.fixture(scope="module")
def make_module_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeRelay]:
    """As ``make_relay``, for one relay that all tests of a file share."""
    made: list[Relay] = []

    def make(**values: Any) -> Relay:
        made.append(_running(tmp_path_factory.mktemp("module-relay"), None, values))
        return made[-1]

    yield make
    for relay in made:
        _finish(relay)


@pytest.fixture
def own_relay(make_relay: MakeRelay) -> Relay:
    """A relay that no other test talks to, with default settings."""
    return make_relay()


@pytest.fixture(scope="session")
def _shared_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    relay = _running(tmp_path_factory.mktemp("shared"), None, {})
    yield relay
    _finish(relay)


@pytest.fixture
def relay(_shared_relay: Relay, request: pytest.FixtureRequest) -> Iterator[Relay]:
    """A relay that all tests of this process share: take names from ``unique()`` and expect others' messages."""
    before = len(_shared_relay.log)
    yield _shared_relay
    new = _shared_relay.log[before:]
    assert _shared_relay.process is not None, "a test ended the shared relay: use own_relay"
    assert _shared_relay.process.poll() is None, new
    assert "Traceback" not in new, new


@pytest.fixture(scope="session")
def relay_of_all_examples(_shared_relay: Relay) -> Relay:
    """The shared relay, for tests that hypothesis calls many times."""
    return _shared_relay


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[Callable[..., Home]]:
    """``make_home(clock=FakeClock())``: store and services in this process."""
    made: list[Home] = []

    def make(**values: Any) -> Home:
        made.append(Home(values.pop("db", tmp_path / f"home-{len(made)}.db"), **values))
        return made[-1]

    yield make
    for home in made:
        home.close()


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    """A test ends the threads that it starts."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: not [t for t in threading.enumerate() if t not in before and not t.daemon], "its threads end")
