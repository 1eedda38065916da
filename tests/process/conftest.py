"""Tests that start processes are for the gate, except those that are marked `smoke`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.untraced import UNTRACED

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("smoke") is None:
            item.add_marker(pytest.mark.gate)


@pytest.fixture(autouse=True, scope="module")
def _fast_children() -> Iterator[None]:
    """Switch coverage off in the processes that these tests start: it triples their time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in UNTRACED.items():
            patch.setenv(name, value)
        yield
