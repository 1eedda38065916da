"""What the tests of all levels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remit.testing import RecordingSink, isolated


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory; a fault inside remit raises."""
    with isolated() as sink:
        yield sink
