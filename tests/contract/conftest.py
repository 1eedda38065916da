"""The collector over an empty store; see `tests.stores.on_each_store`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remit.collector import Store
from remit.testing import FakeClock
from tests.collecting import Api, World
from tests.stores import empty_store


@pytest.fixture
def store_kind() -> str:
    """Return the kind of the store; `tests.stores.on_each_store` runs a test on the others too."""
    return "sqlite"


@pytest.fixture
def store(store_kind: str, tmp_path: Path) -> Iterator[Store]:
    """Return an empty store."""
    with empty_store(store_kind, tmp_path) as opened:
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
