"""How often a token may ask, and how often an address may come with a wrong one."""

from __future__ import annotations

import pytest

from remit.collector import Settings
from remit.collector.exposure import Rates
from remit.collector.exposure.rates import BURST_S, MAX_BUCKETS, Buckets
from remit.collector.refusals import RequestError
from remit.testing import FakeClock

A_SECOND = 10
A_MINUTE = 6
TOKEN = "Bearer good"


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still until a test lets time pass."""
    return FakeClock()


@pytest.fixture
def rates(clock: FakeClock) -> Rates:
    """Return limits, under which a token is known to be good."""
    limits = Settings(max_requests_per_s=A_SECOND, max_failures_per_minute=A_MINUTE)
    made = Rates(limits, clock)
    made.passed(TOKEN)
    return made


def refused(rates: Rates, authorization: str = TOKEN, address: str = "192.0.2.1") -> str | None:
    """Return the status and how long a request has to wait; None if it is let through."""
    try:
        rates.admit(address, authorization)
    except RequestError as refusal:
        return f"{refusal.status} {(refusal.headers or {})['Retry-After']}"
    return None


def test_a_token_may_ask_so_often_and_then_has_to_wait(rates: Rates, clock: FakeClock) -> None:
    """What it did not ask in the last seconds it may ask at once; others do not feel it."""
    burst = int(A_SECOND * BURST_S)

    assert [refused(rates) for _ in range(burst)] == [None] * burst
    assert refused(rates) == "429 1"
    rates.passed("Bearer other")
    assert refused(rates, "Bearer other") is None

    clock.advance(1)
    assert [refused(rates) for _ in range(A_SECOND + 1)] == [None] * A_SECOND + ["429 1"]


def test_a_token_is_the_same_however_its_header_is_written(rates: Rates) -> None:
    """Spaces and capitals make no other one of it."""
    burst = int(A_SECOND * BURST_S)
    written = [f"{'Bearer' if n % 2 else 'bEARER'}{' ' * n}good{' ' * n}" for n in range(1, burst)]

    assert [refused(rates, each) for each in written] == [None] * (burst - 1)
    assert refused(rates) is None
    assert refused(rates, "bearer   good") == "429 1"


def test_no_limit_is_none(clock: FakeClock) -> None:
    """Zero turns a limit off."""
    rates = Rates(Settings(max_requests_per_s=0, max_failures_per_minute=0), clock)
    rates.passed(TOKEN)
    for _ in range(1000):
        rates.failed("192.0.2.1", "Bearer wrong")
        assert refused(rates) is None


def test_so_many_are_remembered_and_no_more(clock: FakeClock) -> None:
    """Who sends a token after the other does not fill the memory."""
    buckets = Buckets(1.0, 1.0, clock)
    for number in range(MAX_BUCKETS + 1):
        buckets.take(str(number).encode())

    assert buckets.wait_s(b"0") == 0
    assert buckets.wait_s(b"1") > 0
