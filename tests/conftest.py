"""What the tests of all levels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remit.testing import RecordingSink, isolated
from tests.inside import Faults, counting


@pytest.fixture(autouse=True)
def _own_faults() -> Iterator[None]:
    """Count the faults of each test apart; outside `isolated()` they are contained."""
    with counting(Faults()):
        yield


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory; a fault inside remit raises."""
    with isolated() as sink:
        yield sink
