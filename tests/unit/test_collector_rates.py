"""How often a token may send a request."""

from __future__ import annotations

import pytest

from remit.collector import Settings
from remit.collector.server.middleware import BURST_S, MAX_TOKENS, Rates
from remit.testing import FakeClock

PER_S = 10
BURST = PER_S * BURST_S
TOKEN = "Bearer good"


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that a test advances."""
    return FakeClock()


@pytest.fixture
def rates(clock: FakeClock) -> Rates:
    """Return a limit of ten requests a second."""
    return Rates(Settings(max_requests_per_s=PER_S), clock)


def rejected(rates: Rates, authorization: str = TOKEN) -> str | None:
    """Return the status and the wait of a rejected request; None if it is admitted."""
    error = rates.check(authorization)
    return None if error is None else f"{error.status} {(error.headers or {})['Retry-After']}"


def test_a_token_beyond_its_rate_has_to_wait(rates: Rates, clock: FakeClock) -> None:
    """Two seconds' worth may come at once; other tokens have their own allowance."""
    assert [rejected(rates) for _ in range(BURST)] == [None] * BURST
    assert rejected(rates) == "429 1"
    assert rejected(rates, "Bearer other") is None

    clock.advance(1)
    assert [rejected(rates) for _ in range(PER_S + 1)] == [None] * PER_S + ["429 1"]


def test_an_allowance_does_not_grow_beyond_the_burst(rates: Rates, clock: FakeClock) -> None:
    """A token that was idle for a day has no more than another one."""
    assert rejected(rates) is None
    clock.advance(86_400)

    assert [rejected(rates) for _ in range(BURST + 1)] == [None] * BURST + ["429 1"]


def test_a_token_is_the_same_however_its_header_is_written(rates: Rates) -> None:
    """Spaces and capitals do not make another token of it."""
    written = [f"{'Bearer' if n % 2 else 'bEARER'}{' ' * n}good{' ' * n}" for n in range(1, BURST)]

    assert [rejected(rates, header) for header in written] == [None] * (BURST - 1)
    assert rejected(rates) is None
    assert rejected(rates, "bearer   good") == "429 1"


def test_there_is_no_limit_by_default(clock: FakeClock) -> None:
    """Zero is no limit."""
    rates = Rates(Settings(), clock)

    assert [rejected(rates) for _ in range(10_000)] == [None] * 10_000


def test_the_number_of_tokens_in_memory_is_bounded(clock: FakeClock) -> None:
    """The least recently used one is dropped, and has its whole allowance again."""
    rates = Rates(Settings(max_requests_per_s=1), clock)
    rejected(rates, "0")
    rejected(rates, "0")
    for number in range(1, MAX_TOKENS):
        rejected(rates, str(number))
    assert rejected(rates, "0") == "429 1"
    for number in range(MAX_TOKENS, 2 * MAX_TOKENS):
        rejected(rates, str(number))

    assert rejected(rates, "0") is None
