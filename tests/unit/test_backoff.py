"""Waits between tries: they grow, they are spread, and the server's word wins within reason."""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit._base.backoff import MAX_RETRY_AFTER_S, delays, http_date_ns, retry_after_s
from tests.subtests import each

NOON_NS = 1_767_268_800 * 10**9  # 2026-01-01T12:00:00Z


def longest(low: float, high: float) -> float:
    """Draw the upper end, and check the lower."""
    assert low == 0.0
    return high


def test_waits_double_up_to_the_longest() -> None:
    """The ceiling doubles; the draw is anywhere below it."""
    waits = delays(first_s=0.1, max_s=1.0, uniform=longest)
    assert list(islice(waits, 6)) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_the_first_wait_keeps_to_the_longest_too() -> None:
    """Whatever is asked for first."""
    assert next(delays(first_s=9.0, max_s=2.0, uniform=longest)) == 2.0


@given(
    first_s=st.floats(0.001, 10),
    max_s=st.floats(0.001, 60),
    tries=st.integers(1, 2000),
)
def test_no_wait_is_below_zero_or_above_the_longest(
    first_s: float, max_s: float, tries: int
) -> None:
    """However many there are: nothing overflows."""
    waits = delays(first_s=first_s, max_s=max_s)
    assert all(0.0 <= wait <= max_s for wait in islice(waits, tries))


def test_waits_do_not_follow_the_users_seed() -> None:
    """A fleet whose programs all call `random.seed(0)` must not come back in step."""
    random.seed(0)
    first = list(islice(delays(), 5))
    random.seed(0)
    assert list(islice(delays(), 5)) != first


@each(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 007 ", 7.0),
        ("86400", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 12:00:30", 30.0),
        ("Thu, 01 Jan 2026 14:00:30 +0200", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", MAX_RETRY_AFTER_S),
        ("Thu, 99 Jan 2026 12:00:30 GMT", None),
    ],
    ids=lambda value: str(value)[:32] or "empty",
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    header: str | None, seconds: float | None
) -> None:
    """In every form of RFC 9110, cut to five minutes; what cannot be read says nothing."""
    assert retry_after_s(header, wall_ns=NOON_NS) == seconds


@given(st.text())
def test_no_header_makes_reading_fail(header: str) -> None:
    """It comes from outside."""
    seconds = retry_after_s(header, wall_ns=NOON_NS)
    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER_S


def test_an_http_date_is_exact_to_the_second() -> None:
    """Floats would lose nanoseconds."""
    assert http_date_ns("Thu, 01 Jan 2026 12:00:00 GMT") == NOON_NS
    assert http_date_ns("yesterday") is None
