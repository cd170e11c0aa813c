"""Fixtures for tests of the examples."""

from __future__ import annotations

import pytest

from tests.conftest import MakeRelay
from tests.factories import Json, Relay
from tests.integrations import configured, make_integration


@pytest.fixture(scope="module")
def bus(make_module_relay: MakeRelay) -> Relay:
    """A relay with the integrations of these tests; ``quiet`` is the one of which nothing must come."""
    one: Json = {"scopes": ["tasks:create"], "targets": ["tag:ops"], "channels": ["alerts"]}
    return make_module_relay(
        **configured(
            make_integration(**one),
            make_integration("quiet", **one),
            make_integration("two", **one | {"targets": ["tag:a", "tag:b"], "channels": ["x", "y"]}),
        )
    )
