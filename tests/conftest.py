"""What the tests of all levels share."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from remit.testing import RecordingSink, isolated
from tests.inside import Faults, counting
from tests.running_threads import threads_before


@pytest.fixture(autouse=True)
def _own_faults() -> Iterator[None]:
    """Count the faults of each test apart; outside `isolated()` they are contained."""
    with counting(Faults()):
        yield


@pytest.fixture(autouse=True)
def _own_threads() -> None:
    """Leave threads of earlier tests out of `delivering.threads()`: a request may end late."""
    threads_before.clear()
    threads_before.update(threading.enumerate())


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory; a fault inside remit raises."""
    with isolated() as sink:
        yield sink
