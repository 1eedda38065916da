"""Which failures are tried again, and when: the decisions that both clients share."""

from __future__ import annotations

import math
from itertools import repeat

import pytest

from remit._clock import Deadline
from remit.client._retries import NOWHERE, Policy, tries, url_for
from remit.errors import SettingsError, UnavailableError
from remit.testing._clock import FakeClock


def failure(retry_after_s: float | None = None) -> UnavailableError:
    """Return a failure that may be tried again."""
    return UnavailableError("down", retry_after_s=retry_after_s)


def test_the_first_try_is_at_once_and_the_others_after_the_waits() -> None:
    """As many as the policy says; then the last failure is raised."""
    decisions = tries(Deadline.after(10, FakeClock()), 2, iter([0.1, 0.2, 0.4]))
    last = failure()
    assert next(decisions) == 0.0
    assert decisions.send(failure()) == 0.1
    assert decisions.send(failure()) == 0.2
    with pytest.raises(UnavailableError) as caught:
        decisions.send(last)
    assert caught.value is last


def test_no_further_try_when_none_is_allowed() -> None:
    """The first failure is the last."""
    decisions = tries(Deadline.after(10, FakeClock()), 0, repeat(0.1))
    next(decisions)
    with pytest.raises(UnavailableError):
        decisions.send(failure())


def test_what_the_server_asks_for_wins() -> None:
    """Longer or shorter than our own wait."""
    decisions = tries(Deadline.after(10, FakeClock()), 3, repeat(0.1))
    next(decisions)
    assert decisions.send(failure(retry_after_s=2.5)) == 2.5
    assert decisions.send(failure(retry_after_s=0.0)) == 0.0
    assert decisions.send(failure()) == 0.1


@pytest.mark.parametrize(
    ("asked_s", "left_s"), [(5.0, 4.0), (None, 0.05), (4.0, 4.0)], ids=["asked", "own", "equal"]
)
def test_a_wait_that_would_pass_the_deadline_is_not_begun(
    asked_s: float | None, left_s: float
) -> None:
    """The caller learns of the failure at once, with what the server asked for."""
    clock = FakeClock()
    decisions = tries(Deadline.after(10, clock), 3, repeat(0.1))
    next(decisions)
    clock.advance(10 - left_s)
    with pytest.raises(UnavailableError) as caught:
        decisions.send(failure(asked_s))
    assert caught.value.retry_after_s == asked_s


@pytest.mark.parametrize("timeout_s", [0, -1, math.nan], ids=["zero", "negative", "nan"])
def test_a_time_that_no_call_could_keep_to_is_refused(timeout_s: float) -> None:
    """Where the client is made."""
    with pytest.raises(SettingsError, match=r"timeout_s is .* above 0"):
        Policy(timeout_s, 0)


def test_a_negative_number_of_tries_is_refused() -> None:
    """Where the client is made."""
    with pytest.raises(SettingsError, match="max_retries is -1; expected 0 or more"):
        Policy(1, -1)


def test_a_url_may_be_left_out_with_a_transport_only() -> None:
    """There it does not matter where to."""
    assert url_for("http://h", None) == "http://h"
    assert url_for(None, object()) == NOWHERE
    with pytest.raises(SettingsError, match="api_url is missing"):
        url_for(None, None)
