"""When a failed call is tried again: the decisions that both clients share."""

from __future__ import annotations

from itertools import repeat

import pytest

from remit._base.clock import Deadline
from remit.client._http import tries
from remit.errors import UnavailableError
from remit.testing import FakeClock


def failure(retry_after_s: float | None = None) -> UnavailableError:
    """Return a failure that may be tried again."""
    return UnavailableError("down", retry_after_s=retry_after_s)


def test_the_wait_is_the_clients_unless_the_server_asks_for_another() -> None:
    """The first try is made at once; the server may ask for a longer or a shorter wait."""
    decisions = tries(Deadline.after(10, FakeClock()), 4, iter([0.1, 0.2, 0.4, 0.8]))
    last = failure()
    assert next(decisions) == 0.0
    assert decisions.send(failure()) == 0.1
    assert decisions.send(failure(retry_after_s=2.5)) == 2.5
    assert decisions.send(failure(retry_after_s=0.0)) == 0.0
    assert decisions.send(failure()) == 0.8
    with pytest.raises(UnavailableError) as caught:
        decisions.send(last)
    assert caught.value is last


@pytest.mark.parametrize(
    ("asked_s", "left_s"), [(5.0, 4.0), (None, 0.05), (4.0, 4.0)], ids=["asked", "own", "equal"]
)
def test_a_wait_that_would_pass_the_deadline_is_not_begun(
    asked_s: float | None, left_s: float
) -> None:
    """The caller gets the failure at once, with what the server asked for."""
    clock = FakeClock()
    decisions = tries(Deadline.after(10, clock), 3, repeat(0.1))
    next(decisions)
    clock.advance(10 - left_s)
    with pytest.raises(UnavailableError) as caught:
        decisions.send(failure(asked_s))
    assert caught.value.retry_after_s == asked_s
