"""Health: one log line for each change, growing waits, what the server asks for."""

from __future__ import annotations

import logging

import pytest

from remit._delivery.health import (
    MAX_TOPICS,
    MAX_WAIT_FOR_PEOPLE_S,
    MAX_WAIT_S,
    Health,
    Pulse,
    waits,
)
from remit.errors import ContractError, UnauthorizedError, UnavailableError
from remit.testing._clock import FakeClock
from tests.delivering import sure_waits

DOWN = UnavailableError("connection refused")


def pulse(clock: FakeClock | None = None) -> Pulse:
    """Return a pulse with sure waits."""
    return Pulse("http://api.example", clock or FakeClock(), sure_waits)


def test_one_line_says_that_delivery_fails_and_one_that_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often it fails between the two."""
    caplog.set_level(logging.INFO, "remit")
    beat = pulse()
    beat.succeeded()
    for _ in range(10):
        beat.failed(DOWN)
    beat.succeeded()
    beat.succeeded()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "http://api.example" in caplog.messages[0]
    assert "connection refused" in caplog.messages[0]
    assert "works again" in caplog.messages[1]
    assert beat.last_error == "connection refused"


@pytest.mark.parametrize(
    ("error", "health"),
    [
        (DOWN, Health.FAILING),
        (UnauthorizedError("wrong token", status=401), Health.UNAUTHORIZED),
        (ContractError("a login page"), Health.WRONG_SERVER),
    ],
    ids=["unavailable", "unauthorized", "contract"],
)
def test_each_kind_of_trouble_is_a_health_of_its_own(
    error: UnavailableError | UnauthorizedError | ContractError,
    health: Health,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From one to another is a change, which is said."""
    beat = pulse()
    beat.failed(DOWN)
    caplog.clear()
    beat.failed(error)
    assert beat.health is health
    assert len(caplog.records) == (error is not DOWN)


def test_waits_grow_until_something_succeeds() -> None:
    """And begin anew for another kind of trouble."""
    beat = pulse()
    assert [beat.failed(DOWN) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert beat.failed(UnauthorizedError("no")) == 1.0
    beat.succeeded()
    assert beat.failed(UnauthorizedError("no")) == 1.0


def test_a_flush_skips_our_own_wait_but_not_the_servers() -> None:
    """A server that names a time is not asked before it."""
    clock = FakeClock()
    beat = pulse(clock)
    assert beat.wait_s(urged=False) == 0.0
    beat.failed(DOWN)
    assert beat.wait_s(urged=False) == 1.0
    assert beat.wait_s(urged=True) == 0.0
    assert beat.failed(UnavailableError("slow down", retry_after_s=7.0)) == 7.0
    assert beat.wait_s(urged=True) == 7.0
    clock.advance(7)
    assert beat.wait_s(urged=True) == 0.0


@pytest.mark.parametrize(
    ("health", "at_most_s"),
    [(Health.FAILING, MAX_WAIT_S), (Health.UNAUTHORIZED, MAX_WAIT_FOR_PEOPLE_S)],
    ids=["failing", "unauthorized"],
)
def test_what_a_person_must_mend_is_tried_more_rarely(health: Health, at_most_s: float) -> None:
    """A server that is down may be back at once."""
    given = waits(health)
    drawn = [next(given) for _ in range(2000)]
    assert at_most_s / 2 < max(drawn) <= at_most_s


def test_a_complaint_is_said_once_for_each_topic(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand refused items are one line; the last of all is kept as the last error."""
    beat = pulse()
    for _ in range(1000):
        beat.complain("a", "about a")
        beat.complain("b", "about b")
    assert caplog.messages == ["about a", "about b"]
    assert beat.last_error == "about b"


def test_the_number_of_topics_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A server that words each refusal anew does not fill the log."""
    beat = pulse()
    for number in range(10 * MAX_TOPICS):
        beat.complain(str(number), f"complaint {number}")
    assert len(caplog.messages) == MAX_TOPICS
