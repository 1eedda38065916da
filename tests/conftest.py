"""What the tests of every level share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.inside import Faults, counting


@pytest.fixture(autouse=True)
def _own_faults() -> Iterator[None]:
    """Count faults of each test apart; outside `isolated()` they are contained, as in a program."""
    with counting(Faults()):
        yield
