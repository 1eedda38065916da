"""The collector over each kind of store: one suite holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remit.collector import Store
from remit.testing import FakeClock
from tests.collecting import Api, World
from tests.stores import EACH_STORE, empty_store


@pytest.fixture(params=EACH_STORE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return an empty store."""
    with empty_store(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still until a test lets time pass."""
    return FakeClock()


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    """Return a collector over the store."""
    return World(store, clock=clock)


@pytest.fixture
def api(world: World) -> Api:
    """Return the view of an account's token, with an agent."""
    return world.account()
