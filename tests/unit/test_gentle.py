"""Long work in the background: other threads get their turn sooner meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from remit._gentle import TURN_S, gently


@pytest.fixture(autouse=True)
def _interval() -> Iterator[None]:
    before_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before_s)


def test_others_get_their_turn_sooner_and_then_as_before() -> None:
    """Also if the work fails, and if more of it begins meanwhile."""
    before_s = sys.getswitchinterval()

    def work() -> None:
        with gently(), gently():
            assert sys.getswitchinterval() == TURN_S
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert sys.getswitchinterval() == before_s


def test_what_the_program_sets_stays() -> None:
    """Shorter before, or set while the work goes on."""
    sys.setswitchinterval(TURN_S / 2)
    with gently():
        assert sys.getswitchinterval() == TURN_S / 2
    with gently():
        sys.setswitchinterval(0.001)
    assert sys.getswitchinterval() == 0.001
