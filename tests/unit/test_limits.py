"""Limits on effects: how many steps of one run may take an action."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Final

import pytest

import remit
from remit.config import OnViolation, Settings
from remit.errors import DeclarationError, DeniedError, RunTerminated, Violation
from remit.testing import isolated
from tests.inside import (
    Counted,
    Faults,
    beyond,
    counting,
    current_context,
    fields_of,
    give_back,
    permit,
    reserve,
    setup,
    step_of,
    violations_in,
)
from tests.subtests import each

PAYS: Final = remit.risk(allows="financial_transactions", forbids="others")
READS: Final = remit.risk(allows="read_data", forbids="others")
ONE: Final = remit.limits(financial_transactions=1)

ran: Final[list[str]] = []
"""The steps whose bodies ran."""


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@remit.agent(limits=ONE)
def desk() -> None:
    """Hold the runs; one step may move money."""


@remit.agent(limits=remit.limits(steps=3))
def walker() -> None:
    """Hold the runs of at most three steps."""


@remit.agent
def free() -> None:
    """Hold the runs; it has no limit."""


@remit.span_type(data_risk=PAYS)
def pay(*, fails: bool = False) -> str:
    """Move money."""
    ran.append("pay")
    if fails:
        raise ValueError("the bank is closed")
    return "paid"


@remit.span_type(data_risk=PAYS)
async def pay_later() -> str:
    """Move money."""
    ran.append("pay_later")
    await asyncio.sleep(0)
    return "paid"


@remit.span_type(data_risk=PAYS)
def pay_in_parts() -> Generator[int]:
    """Move money."""
    ran.append("pay_in_parts")
    yield 1
    yield 2


@remit.span_type(data_risk=PAYS)
async def pay_in_parts_later() -> AsyncIterator[int]:
    """Move money."""
    ran.append("pay_in_parts_later")
    yield 1


@remit.span_type(data_risk=READS)
def look() -> None:
    """Read data."""
    ran.append("look")


@remit.span_type
def undeclared() -> None:
    """Say nothing."""
    ran.append("undeclared")


# What counts


def test_the_second_payment_of_a_run_is_denied() -> None:
    """Its error names the limit, and the model reads which one is reached."""
    with isolated(on_violation="deny") as recorder, desk.run():
        look()
        assert pay() == "paid"
        with pytest.raises(DeniedError) as denied:
            pay()
    (violation,) = denied.value.violations
    assert (violation.name, violation.limit, violation.number) == (
        "financial_transactions",
        "at_most",
        1,
    )
    assert "beyond the limit of 1 financial_transactions a run" in str(denied.value)
    assert denied.value.for_model().startswith(
        "Policy denied this step and it did not run, because the limit of this run for financial "
        "transactions is reached. Do not call it again"
    )
    assert ran == ["look", "pay"]
    assert [span.denied for span in recorder.spans("pay")] == [False, True]


def test_each_run_has_the_whole_limit() -> None:
    """A limit is one of a run."""
    with isolated(on_violation="deny"):
        for _ in range(3):
            with desk.run():
                pay()
    assert ran == ["pay"] * 3


def test_a_body_that_fails_has_counted() -> None:
    """The money may have moved."""
    with isolated(on_violation="deny"), desk.run():
        with pytest.raises(ValueError, match="bank"):
            pay(fails=True)
        with pytest.raises(DeniedError):
            pay()
    assert ran == ["pay"]


def test_a_retry_counts_again() -> None:
    """Each try may move money."""

    def attempts() -> str:
        for _ in range(3):
            try:
                return pay(fails=True)
            except ValueError:
                continue
        raise AssertionError("not reached")

    with isolated(on_violation="deny"), desk.run(), pytest.raises(DeniedError):
        attempts()
    assert ran == ["pay"]


@each("rule", ["deny", "terminate"])
def test_an_unknown_word_counts_as_said_where_violations_are_denied(rule: OnViolation) -> None:
    """A step that says nothing may do it."""
    ran.clear()
    with isolated(on_violation=rule), desk.run() as run, run.contained():
        undeclared()
        with pytest.raises((DeniedError, RunTerminated)):
            pay()
    assert ran == ["undeclared"]


def test_an_unknown_word_does_not_count_under_observe() -> None:
    """It is not known to move money."""
    with isolated() as recorder, desk.run():
        undeclared()
        pay()
    assert not any(span.violations for span in recorder.spans())


def test_steps_count_whatever_they_do() -> None:
    """The fourth one is denied."""
    with isolated(on_violation="deny"), walker.run():
        look()
        undeclared()
        with remit.span("a block"):
            pass
        with pytest.raises(DeniedError, match="limit of 3 steps a run"):
            look()
    assert ran == ["look", "undeclared"]


def test_an_agent_that_is_called_as_a_step_does_not_count() -> None:
    """Its steps do."""

    @remit.agent(data_risk=PAYS)
    def inner() -> str:
        return pay()

    with isolated(on_violation="deny"), desk.run():
        assert inner() == "paid"
        with pytest.raises(DeniedError):
            inner()
    assert ran == ["pay"]


def test_under_observe_the_step_beyond_runs_and_is_marked() -> None:
    """The mark has the form of the violation."""
    with isolated() as recorder, desk.run():
        pay()
        pay()
    first, second = recorder.spans("pay")
    assert not first.violations
    assert [(each.name, each.limit, each.number) for each in second.violations] == [
        ("financial_transactions", "at_most", 1)
    ]
    assert ran == ["pay", "pay"]


def test_under_terminate_the_step_beyond_ends_the_run() -> None:
    """Its later steps raise the same."""
    with isolated(on_violation="terminate") as recorder:
        with desk.run() as run, run.contained():
            pay()
            with pytest.raises(RunTerminated, match="limit of 1 financial_transactions"):
                pay()
            look()
        assert recorder.runs[0].status == "failed"
    assert ran == ["pay"]


def test_the_limit_holds_in_mode_off() -> None:
    """Nothing is recorded."""
    with setup.isolated(Settings(mode="off", on_violation="deny")), desk.run():
        pay()
        with pytest.raises(DeniedError):
            pay()
    assert ran == ["pay"]


def test_a_forbidden_word_is_named_before_a_limit() -> None:
    """A step that the agent forbids does not count."""

    @remit.agent(
        data_risk=remit.risk(forbids="external_communication"), limits=remit.limits(steps=1)
    )
    def strict() -> None: ...

    @remit.span_type(data_risk=remit.risk(allows="external_communication"))
    def send() -> None: ...

    @remit.span_type(data_risk=remit.risk(forbids="external_communication"))
    def think() -> None: ...

    with isolated(on_violation="deny"), strict.run():
        with pytest.raises(DeniedError, match="forbids"):
            send()
        think()
        with pytest.raises(DeniedError, match="limit of 1 steps"):
            think()


def test_a_step_counts_for_all_its_limits_or_for_none() -> None:
    """One that is reached leaves the others as they were."""

    @remit.agent(limits=remit.limits(financial_transactions=1, steps=2))
    def both() -> None: ...

    with isolated(on_violation="deny"), both.run():
        pay()
        for _ in range(5):
            with pytest.raises(DeniedError, match="financial_transactions"):
                pay()
        look()
        with pytest.raises(DeniedError, match="steps"):
            look()
    assert ran == ["pay", "look"]


# Runs and agents around a step


def test_the_steps_of_a_nested_agent_count_for_each_agent_around() -> None:
    """A nested agent's limit holds for all its calls in the run."""

    @remit.agent(limits=remit.limits(read_data=2))
    def reader(times: int) -> None:
        for _ in range(times):
            look()

    @remit.agent(limits=remit.limits(read_data=4))
    def outer() -> None: ...

    with isolated(on_violation="deny"), outer.run():
        reader(1)
        reader(1)
        with pytest.raises(DeniedError, match="limit of 2 read_data"):
            reader(1)
        look()
        look()
        with pytest.raises(DeniedError, match="limit of 4 read_data"):
            look()


def test_the_steps_of_a_nested_run_count_in_the_run_around_it() -> None:
    """A new run does not renew the limit of the agent around it."""
    with isolated(on_violation="deny"), desk.run():
        for _ in range(2):
            with free.run():
                if not ran:
                    pay()
                else:
                    with pytest.raises(DeniedError):
                        pay()
    assert ran == ["pay"]


def test_a_nested_run_of_the_same_agent_counts_in_both() -> None:
    """The inner run has used its own limit as well."""

    @remit.agent(limits=remit.limits(financial_transactions=2))
    def twice() -> None: ...

    with isolated(on_violation="deny"), twice.run() as outer:
        pay()
        with twice.run() as inner:
            pay()
            with pytest.raises(DeniedError):
                pay()
        assert outer.key != inner.key


def test_a_run_that_is_used_in_other_runs_of_its_agent_keeps_its_own_limit() -> None:
    """The outer runs are new, and the inner one is not."""
    with isolated(on_violation="deny"):
        block = desk.run()
        session = block.__enter__()
        with desk.run(), session.use():
            pay()
        with desk.run(), session.use(), pytest.raises(DeniedError):
            pay()
        block.__exit__(None, None, None)
    assert ran == ["pay"]


def test_a_run_that_is_used_in_other_runs_counts_for_their_agents_there() -> None:
    """A session that many requests use has no limit of theirs."""
    with isolated(on_violation="deny"), free.run() as session:
        pass
    ran.clear()
    with isolated(on_violation="deny"):
        block = free.run()
        session = block.__enter__()
        for _ in range(3):
            with desk.run(), session.use():
                pay()
                with pytest.raises(DeniedError):
                    pay()
        block.__exit__(None, None, None)
    assert ran == ["pay"] * 3


# At the same time


def test_of_200_gathered_payments_one_runs() -> None:
    """The others are denied at once."""

    async def work() -> list[object]:
        async with desk.run():
            return await asyncio.gather(*(pay_later() for _ in range(200)), return_exceptions=True)

    with isolated(on_violation="deny"):
        answers = asyncio.run(work())
    assert answers.count("paid") == 1
    assert sum(isinstance(answer, DeniedError) for answer in answers) == 199
    assert ran == ["pay_later"]


@each("limit", [1, 300])
def test_of_payments_in_16_threads_as_many_run_as_the_limit_says(limit: int) -> None:
    """The check and the count are one piece, of 640 payments."""
    ran.clear()

    @remit.agent(limits=remit.limits(financial_transactions=limit, steps=limit))
    def till() -> None: ...

    def attempt(run: Any) -> bool:
        with run.use():
            try:
                pay()
            except DeniedError:
                return False
        return True

    def work(run: Any, start: threading.Barrier) -> int:
        start.wait()
        return sum(attempt(run) for _ in range(40))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with isolated(on_violation="deny"), till.run() as run, ThreadPoolExecutor(16) as pool:
            start = threading.Barrier(16)
            admitted = list(pool.map(lambda _: work(run, start), range(16)))
    finally:
        sys.setswitchinterval(interval)
    assert sum(admitted) == limit
    assert len(ran) == limit


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
def test_the_child_of_a_fork_counts_from_what_the_parent_knew() -> None:
    """A limit holds in one process."""
    with isolated(on_violation="deny"), desk.run():
        pay()
        child = os.fork()
        if child == 0:
            try:
                pay()
            except DeniedError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


# Streams and blocks


def test_a_generator_that_is_not_read_does_not_count() -> None:
    """It counts once, at its first item."""
    with isolated(on_violation="deny"), desk.run():
        pay_in_parts()
        pay_in_parts().close()
        assert list(pay_in_parts()) == [1, 2]
        with pytest.raises(DeniedError):
            next(pay_in_parts())
    assert ran == ["pay_in_parts"]


def test_an_async_generator_counts_at_its_first_item() -> None:
    """As a generator does."""

    async def work() -> None:
        async with desk.run():
            pay_in_parts_later()
            assert [item async for item in pay_in_parts_later()] == [1]
            with pytest.raises(DeniedError):
                await anext(pay_in_parts_later())

    with isolated(on_violation="deny"):
        asyncio.run(work())
    assert ran == ["pay_in_parts_later"]


def test_a_generator_that_is_read_in_another_run_counts_there_once() -> None:
    """A change of its consumer does not count it again."""
    with isolated(on_violation="deny"), free.run():
        parts = pay_in_parts()
        with desk.run():
            assert next(parts) == 1
            with pytest.raises(DeniedError):
                pay()
        with desk.run():
            assert next(parts) == 2


def test_under_observe_a_generator_beyond_is_marked() -> None:
    """As a call is."""
    with isolated() as recorder, desk.run():
        pay()
        assert list(pay_in_parts()) == [1, 2]
    assert [each.limit for each in recorder.spans("pay_in_parts")[0].violations] == ["at_most"]


def test_a_coroutine_that_is_not_awaited_does_not_count() -> None:
    """It counts at its first step."""

    async def work() -> None:
        async with desk.run():
            pay_later().close()
            task = asyncio.ensure_future(pay_later())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await pay_later()

    with isolated(on_violation="deny"):
        asyncio.run(work())
    assert ran == ["pay_later"]


def test_a_block_counts_at_its_entry() -> None:
    """Its own data risk says for what."""
    with isolated(on_violation="deny"), desk.run():
        with remit.span("transfer", data_risk=PAYS):
            pass
        with pytest.raises(DeniedError), remit.span("transfer", data_risk=PAYS):
            ran.append("block")
    assert ran == []


# Declarations


@each(
    ("numbers", "message"),
    [
        ({}, "has no limit; expected a number for an action or for steps"),
        ({"financial_transactions": 0}, r"forbids='financial_transactions'\)"),
        ({"steps": 0}, "saw 0; expected a whole number from 1"),
        ({"steps": True}, "expected a whole number from 1"),
        ({"read_data": 1.5}, r"remit.limits\(read_data=...\): saw"),
        ({"read_data": "3"}, "expected a whole number from 1"),
    ],
)
def test_a_limit_is_a_whole_number_from_one(numbers: dict[str, object], message: str) -> None:
    """The error says what was seen."""
    with pytest.raises(DeclarationError, match=message):
        remit.limits(**numbers)  # type: ignore[arg-type] # wrong on purpose


def test_limits_of_another_type_are_refused_where_the_agent_is_declared() -> None:
    """The error names the agent and what was expected."""
    wrong: Any = {"steps": 3}
    with pytest.raises(DeclarationError, match=r"limits is of type dict; expected .*remit.limits"):

        @remit.agent(limits=wrong)
        def mistaken() -> None: ...


def test_the_registration_has_the_limits_on_the_schema_of_the_agent() -> None:
    """No other schema has them."""
    schemas: Any = desk.registration()["agent_schema_version"]
    limits = {
        entry["name"]: entry["params_schema"].get("x-remit-limits")
        for entry in schemas["span_type_schemas"]
    }
    assert limits[f"{__name__}:desk"] == {"financial_transactions": 1}
    assert limits[f"{__name__}:walker"] == {"steps": 3}
    assert limits[f"{__name__}:free"] is None
    assert limits[f"{__name__}:pay"] is None


def test_a_reader_of_a_record_has_the_violation_as_the_policy_made_it() -> None:
    """A violation that no policy makes is reduced to its sentence."""
    (made,) = beyond("desk:pay", [Counted("desk:desk", "read_data", 2, "allowed")])
    (steps,) = beyond("desk:pay", [Counted("desk:desk", "steps", 3, "")])
    for violation in (made, steps):
        assert violations_in(note(fields_of(violation))) == (violation,)
    for wrong in ({"number": 0}, {"number": -1}, {"word": "disallowed"}, {"name": "minors_data"}):
        assert violations_in(note({**fields_of(made), **wrong})) == (Violation(str(made)),)


def note(violation: dict[str, Any]) -> dict[str, object]:
    """Return the payload of a step that ran in spite of a violation."""
    return {"$remit": {"violations": [violation]}}


def test_a_test_can_assert_how_many_steps_of_a_run_did_something() -> None:
    """Each run by itself, with the runs inside it."""
    with isolated() as recorder:
        for _ in range(3):
            with free.run():
                pay()
        recorder.at_most("financial_transactions", 1)
        with free.run():
            pay()
            with free.run():
                pay()
        with pytest.raises(AssertionError, match=r"violated: .* 2 steps of one run did it"):
            recorder.at_most("financial_transactions", 1)


def test_an_assertion_on_a_number_needs_declared_steps() -> None:
    """A step that says nothing may do it; without any step, the assertion cannot fail."""
    with isolated() as recorder:
        with pytest.raises(AssertionError, match="vacuous"):
            recorder.at_most("financial_transactions", 1)
        with free.run():
            undeclared()
        with pytest.raises(AssertionError, match="undecided"):
            recorder.at_most("financial_transactions", 1)


# The seam of steps that are asked about after they were admitted


def test_a_place_is_given_back_once_from_any_thread() -> None:
    """Another step may take it; a second return has no effect."""
    counted = (Counted(f"{__name__}:desk", "financial_transactions", 1, "allowed"),)
    with isolated(on_violation="deny"), desk.run():
        context = current_context()
        assert context is not None
        reservation = reserve(context, counted, force=False)
        assert reserve(context, counted, force=False).exceeded == counted
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: give_back(reservation), range(64)))
        assert context.run.feed.counts == {counted[0][:2]: 0}
        pay()
        with pytest.raises(DeniedError):
            pay()
        give_back(reservation)
        with pytest.raises(DeniedError):
            pay()


def test_no_other_step_is_counted_between_the_check_and_the_count() -> None:
    """Also where every look at the counts lets other threads run."""

    class Slow(dict[tuple[str, str], int]):
        def get(self, key: Any, default: Any = None) -> Any:
            value = super().get(key, default)
            threading.Event().wait(0.001)
            return value

    counted = (Counted(f"{__name__}:desk", "financial_transactions", 5, "allowed"),)
    with isolated(on_violation="deny"), desk.run():
        context = current_context()
        assert context is not None
        context.run.feed.counts = Slow()
        with ThreadPoolExecutor(8) as pool:
            tries = list(pool.map(lambda _: reserve(context, counted, force=False), range(16)))
    assert sum(not reservation.exceeded for reservation in tries) == 5


@pytest.mark.parametrize("function", ["remit._record.counts._feeds", "remit._policy.maxima.beyond"])
@pytest.mark.parametrize("rule", ["observe", "deny"])
def test_a_step_that_cannot_be_counted_is_denied_unless_violations_are_observed(
    monkeypatch: pytest.MonkeyPatch, function: str, rule: OnViolation
) -> None:
    """A fault inside remit reaches the program as a denial, or not at all."""

    def broken(*_: object) -> object:
        raise RuntimeError("a fault")

    pay_step = step_of(pay)
    assert pay_step is not None
    settings = Settings(mode="off", on_violation=rule)
    with setup.isolated(settings), counting(Faults()) as faults, desk.run():
        pay()
        monkeypatch.setattr(function, broken)
        for call in (pay, lambda: list(pay_in_parts()), lambda: permit(pay_step)):
            with nullcontext() if rule == "observe" else pytest.raises(DeniedError, match="fault"):
                call()
    assert faults.counts
