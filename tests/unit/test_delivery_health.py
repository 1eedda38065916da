"""Health: one log line for each change, growing waits, what the server asks for."""

from __future__ import annotations

import logging
from itertools import cycle

import pytest

from remit._delivery.health import (
    FRESH_PART,
    MAX_TOPICS,
    MAX_WAIT_FOR_PEOPLE_S,
    MAX_WAIT_S,
    Pulse,
    waits,
)
from remit._results import Health
from remit.errors import ContractError, UnauthorizedError, UnavailableError
from remit.testing._clock import FakeClock
from tests.delivering import Stepped, sure_waits
from tests.fake_api import FakeApi, Rule, refusal

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


def test_waits_begin_anew_where_something_was_delivered_just_before() -> None:
    """With a short one; not where it takes a person to mend what is wrong."""
    beat = pulse()
    assert [beat.failed(DOWN) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert [beat.failed(DOWN, afresh=True) for _ in range(2)] == [FRESH_PART] * 2
    assert beat.failed(DOWN) == 2.0
    refused = UnauthorizedError("no")
    assert [beat.failed(refused, afresh=True) for _ in range(3)] == [1.0, 2.0, 3.0]


def ailing(runs: int, rule: Rule, needs_agent_id: bool = False) -> Stepped:  # noqa: FBT001, FBT002 - a server's kind
    """Return delivery with real waits to a server with a rule, and so many runs to be sent."""
    api = FakeApi(needs_agent_id=needs_agent_id)
    api.rules.append(rule)
    made = Stepped(api, waits=waits)
    for _ in range(runs):
        run = made.record("health:step")
        run.close()
    made.move()
    return made


@pytest.mark.parametrize("needs_agent_id", [False, True], ids=["plain", "needs agent id"])
@pytest.mark.parametrize("first", [0, 1], ids=["fails first", "fails second"])
def test_a_server_that_fails_at_each_second_request_is_delivered_to_soon(
    first: int, *, needs_agent_id: bool
) -> None:
    """Each success is worth a try soon after: else the waits grow, and with them all that waits."""
    turns = cycle([refusal(502), None][first:] + [refusal(502), None][:first])
    made, passed_s = ailing(20, lambda _path, _body: next(turns), needs_agent_id), 0.0
    while made.status.pending:
        rest_s = made.send()
        made.clock.advance(rest_s)
        passed_s += rest_s
        assert passed_s < 15
    assert len(made.api.spans) == 40


def test_a_server_that_is_down_for_spans_alone_is_tried_as_rarely_as_one_that_is_down() -> None:
    """What it answered of the runs before does not have it tried any more often."""
    made = ailing(1, lambda path, _body: refusal(502) if path.endswith("/bulk") else None)
    passed_s, tries = 0.0, 0
    while passed_s < 300:
        rest_s = made.send()
        made.clock.advance(rest_s)
        passed_s, tries = passed_s + rest_s, tries + 1
    assert tries < 100


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
