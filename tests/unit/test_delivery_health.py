"""Health: one log line for each change, growing waits, what the server asks for."""

from __future__ import annotations

import logging
from itertools import cycle

import pytest

from remit._deliver.circuit import FIRST_WAIT_S, MAX_TOPICS, MAX_WAIT_FOR_FIX_S, MAX_WAIT_S, waits
from remit._deliver.status import Health
from tests.delivering import Stepped
from tests.fake_api import Answer, FakeApi, Rule, error, named, refusal
from tests.inside import URL, httpx

UNAUTHORIZED = refusal(401, "bad_authtoken")


def answering(*answers: Answer) -> Stepped:
    """Return delivery of a span to a server that knows its run and gives *answers*."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record()
    stepped.deliver()
    api.script("/bulk", *answers)
    run.span("a")
    return stepped


def rests(stepped: Stepped, count: int) -> list[float]:
    """Deliver so many times; return how long each time rests, which has passed then."""
    found: list[float] = []
    for _ in range(count):
        found.append(stepped.deliver())
        stepped.clock.advance(found[-1])
    return found


def test_one_line_says_that_delivery_fails_and_one_that_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often it fails between the two."""
    caplog.set_level(logging.INFO, "remit")
    stepped = answering(*[httpx.ConnectError("[Errno 111] Connection refused")] * 5)
    stepped.settle()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert f"nothing can be delivered to {URL}" in caplog.messages[0]
    assert "cannot be reached" in caplog.messages[0]
    assert "works again" in caplog.messages[1]
    assert "cannot be reached" in (stepped.status.last_error or "")


def test_from_one_kind_of_trouble_to_another_is_a_change(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, sets the health, and restarts the waits."""
    down, page = refusal(503), httpx.Response(200, text="<html>log in</html>")
    stepped = answering(down, down, down, UNAUTHORIZED, page, page, None, UNAUTHORIZED)
    found = rests(stepped, 3)
    assert (found, stepped.status.health) == ([1.0, 2.0, 3.0], Health.FAILING)
    assert (rests(stepped, 1), stepped.status.health) == ([1.0], Health.UNAUTHORIZED)
    assert (rests(stepped, 2), stepped.status.health) == ([1.0, 2.0], Health.WRONG_SERVER)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    stepped.deliver()
    assert stepped.status.health is Health.OK
    stepped.record("b")
    assert (rests(stepped, 1), stepped.status.health) == ([1.0], Health.UNAUTHORIZED)


def ailing(runs: int, rule: Rule, *, needs_agent_id: bool = False) -> Stepped:
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
    """The waits begin again after each success; without that they would grow to half a minute."""
    turns = cycle([refusal(502), None][first:] + [refusal(502), None][:first])
    made = ailing(20, lambda _path, _body: next(turns), needs_agent_id=needs_agent_id)
    passed_s = 0.0
    while made.status.pending:
        rest_s = made.send()
        made.clock.advance(rest_s)
        passed_s += rest_s
        assert passed_s < 100 * FIRST_WAIT_S
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


@pytest.mark.parametrize(
    ("health", "at_most_s"),
    [(Health.FAILING, MAX_WAIT_S), (Health.UNAUTHORIZED, MAX_WAIT_FOR_FIX_S)],
    ids=["failing", "unauthorized"],
)
def test_what_a_person_must_mend_is_tried_more_rarely(health: Health, at_most_s: float) -> None:
    """A server that is down may be back at once."""
    given = waits(health)
    drawn = [next(given) for _ in range(2000)]
    assert at_most_s / 2 < max(drawn) <= at_most_s


def test_a_complaint_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred refused items are one line for each reason; the last is kept as the last error."""
    api = FakeApi()
    for code in ("bad_request", "validation_errors"):
        api.refuse_item(named("bad"), *[error(code)] * 50)
    stepped = Stepped(api)
    stepped.record(*["bad"] * 100)
    stepped.deliver()
    assert stepped.status.set_aside == {"bad_request": 50, "validation_errors": 50}
    assert ["bad_request" in line for line in caplog.messages] == [True, False]
    assert "validation_errors" in (stepped.status.last_error or "")


def test_the_number_of_complaints_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A server that words each refusal anew does not fill the log."""
    api, many = FakeApi(), 3 * MAX_TOPICS
    for number in range(many):
        api.refuse_item(named("bad"), error("bad_request", errors={f"field {number}": ["no"]}))
    stepped = Stepped(api)
    stepped.record(*["bad"] * many)
    stepped.deliver(steps=2 * many)
    assert stepped.status.set_aside == {"bad_request": many}
    assert len(caplog.messages) == MAX_TOPICS
