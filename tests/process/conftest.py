"""Fixtures of the tests that treat a relay badly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.process._relay import Relay


class MakeRelay(Protocol):
    """``make_relay(STALE_TTL_MS=200)``; ``start=False`` makes one that does not run yet."""

    def __call__(self, *, db: Path | None = None, start: bool = True, **settings: object) -> Relay: ...


@pytest.fixture
def make_relay(tmp_path: Path) -> Iterator[MakeRelay]:
    """As the general one, with relays that can be looked into."""
    made: list[Relay] = []

    def make(*, db: Path | None = None, start: bool = True, **settings: object) -> Relay:
        folder = tmp_path / f"relay-{len(made)}"
        folder.mkdir()
        made.append(Relay(folder, db=db, **settings))
        return made[-1].start() if start else made[-1]

    yield make
    for relay in made:
        relay.end()
    for relay in made:
        assert "Traceback" not in relay.log, relay.log


@pytest.fixture(scope="module")
def module_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """One relay for the tests of a module, which leave it as they find it."""
    relay = Relay(tmp_path_factory.mktemp("relay")).start()
    yield relay
    relay.end()
    assert "Traceback" not in relay.log, relay.log
