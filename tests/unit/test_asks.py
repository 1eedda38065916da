"""`asks=`: a step runs only after a person's yes, once for each call, with what the person saw."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any

import pytest

import remit
from remit._policy.holds import Hold
from remit._runtime import process
from remit.errors import DeclarationError, DeniedError, RunTerminated, UsageError
from remit.testing import FakeClock, RecordingSink, isolated
from tests.governed import BODIES, KINDS, PAYS, Drawer, given, pay, pay_later, ran
from tests.subtests import each

STEPS = [kind for kind in KINDS if "agent" not in kind]


@remit.agent(data_risk=remit.risk(allows="read_data", asks="others"))
def desk(work: Callable[[], object] = pay) -> object:
    """Ask about everything but reading."""
    return work()


@remit.agent(data_risk=remit.risk(asks="financial_transactions"))
async def late_desk(work: Callable[[], Any]) -> object:
    """Ask about payments, and await the work."""
    return await work()


@remit.span_type
def undeclared() -> None:
    """Say nothing of money."""
    BODIES.append("undeclared")


@pytest.fixture(autouse=True)
def _no_bodies() -> Iterator[None]:
    """Forget which bodies ran."""
    BODIES.clear()
    yield
    BODIES.clear()


class Person:
    """An approver that keeps its requests and gives prepared answers, the last one again."""

    def __init__(self, *answers: object) -> None:
        """Prepare the *answers*; without one, a yes."""
        self.requests: list[remit.ApprovalRequest] = []
        self._answers = list(answers) or [remit.Approved(by="dana")]

    def __call__(self, request: remit.ApprovalRequest) -> Any:
        """Keep the request, and give the next answer."""
        self.requests.append(request)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        return answer(request) if callable(answer) else answer


NO = remit.Refused(by="dana", why="at most 50 euros")


def decisions(recorder: RecordingSink) -> list[object]:
    """Return how each question ended, in order."""
    return [span.payload["decision"] for span in recorder.spans() if span.name == "remit:answered"]


def denied(work: Callable[[], object]) -> DeniedError:
    """Return the error of a step that got no yes."""
    with pytest.raises(DeniedError) as raised:
        work()
    assert not BODIES
    return raised.value


# Yes and no, for each kind of step


@each("kind", STEPS)
def test_a_step_of_any_kind_runs_after_a_yes(kind: str) -> None:
    """One question and one answer for each call."""
    BODIES.clear()
    person = Person()
    with isolated(on_violation="deny", approver=person) as recorder:
        desk(KINDS[kind])
    assert [ran(kind)] == BODIES
    (request,) = person.requests
    assert request.words[:1] in {("financial_transactions",), ("create_data",)}
    assert {name: request.arguments[name] for name in given(kind)} == given(kind)
    assert decisions(recorder) == ["approved"]


@each("kind", STEPS)
@each("setting", ["deny", "terminate"])
def test_a_no_denies_a_step_of_any_kind_and_ends_no_run(kind: str, setting: Any) -> None:
    """The model reads the reason."""
    BODIES.clear()
    with isolated(on_violation=setting, approver=Person(NO)) as recorder, desk.run() as run:
        error = denied(KINDS[kind])
        assert not run.terminated
    assert (error.refused_by, error.why) == ("dana", "at most 50 euros")
    assert "A person refused this step" in error.for_model()
    assert "The reason: at most 50 euros. Do" in error.for_model()
    assert decisions(recorder) == ["refused"]
    assert [span.denied for span in recorder.spans() if ":asked" not in span.name][-1:] == [True]


@each("kind", ["coroutine", "async generator", "async block", "async method"])
def test_an_async_step_awaits_an_async_approver(kind: str) -> None:
    """The answer takes a turn of the event loop."""
    BODIES.clear()

    async def person(_request: remit.ApprovalRequest) -> remit.Approved:
        await asyncio.sleep(0)
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person):
        desk(KINDS[kind])
    assert [ran(kind)] == BODIES


async def test_a_sync_approver_of_an_async_step_does_not_block_the_loop() -> None:
    """It runs in a thread of its own."""
    ticks = 0
    answered = threading.Event()

    def person(_request: remit.ApprovalRequest) -> remit.Approved:
        assert threading.current_thread() is not threading.main_thread()
        answered.wait(10)
        return remit.Approved(by="dana")

    async def tick() -> None:
        nonlocal ticks
        while not BODIES:
            await asyncio.sleep(0.001)
            ticks += 1
            if ticks == 5:
                answered.set()

    with isolated(on_violation="deny", approver=person):
        async with desk.run():
            await asyncio.gather(pay_later(), tick())
    assert ticks >= 5
    assert BODIES == ["coroutine 5"]


def test_a_sync_step_asks_in_the_thread_of_its_caller() -> None:
    """A terminal or a form may belong to that thread."""
    threads: list[threading.Thread] = []

    def person(_request: remit.ApprovalRequest) -> remit.Approved:
        threads.append(threading.current_thread())
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person):
        desk(pay)
    assert threads == [threading.current_thread()]


def test_a_sync_step_outside_an_event_loop_waits_for_an_async_approver() -> None:
    """Remit runs a loop for it."""

    async def person(_request: remit.ApprovalRequest) -> remit.Approved:
        await asyncio.sleep(0)
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person):
        desk(pay)
    assert BODIES == ["function 5"]


def test_a_generator_that_is_not_read_asks_nobody() -> None:
    """The question comes with the first item."""
    person = Person()
    with isolated(on_violation="deny", approver=person), desk.run():
        items = KINDS["generator"].__globals__["pay_in_parts"]()
        items.close()
    assert not person.requests


# Who is asked about what


def test_an_allowed_word_is_not_asked_about() -> None:
    """`others` spares what `allows` names."""

    @remit.span_type(data_risk=remit.risk(allows="read_data", forbids="others"))
    def look() -> None:
        BODIES.append("look")

    person = Person()
    with isolated(on_violation="deny", approver=person):
        desk(look)
    assert BODIES == ["look"]
    assert not person.requests


def test_an_undeclared_step_is_asked_about_under_deny_and_not_under_observe() -> None:
    """As with a word that the agent forbids."""
    person = Person()
    with isolated(on_violation="deny", approver=person):
        desk(undeclared)
    assert person.requests[0].words == (
        "create_data",
        "update_data",
        "destroy_data",
        "financial_transactions",
        "external_communication",
    )
    with isolated(approver=person) as recorder:
        desk(undeclared)
    assert len(person.requests) == 1
    assert not recorder.spans("undeclared")[0].violations


def test_under_observe_the_step_runs_and_says_that_nobody_was_asked() -> None:
    """The approver is not called."""
    person = Person()
    with isolated(approver=person) as recorder:
        desk(pay)
    assert BODIES == ["function 5"]
    assert not person.requests
    (violation,) = recorder.spans("pay")[0].violations
    assert violation.limit == "asked"
    assert violation.sentence.endswith("asks a person about it, but nobody was asked")


def test_what_is_forbidden_is_denied_and_nobody_is_asked() -> None:
    """A no of the declaration needs no person."""

    @remit.agent(data_risk=remit.risk(forbids="financial_transactions"))
    def strict() -> None:
        desk(pay)

    person = Person()
    with isolated(on_violation="deny", approver=person):
        error = denied(strict)
    assert error.why is None
    assert not person.requests


def test_one_ask_names_the_words_of_all_agents_around() -> None:
    """A person is asked once about one call."""

    @remit.span_type(data_risk=remit.risk(allows=("financial_transactions", "destroy_data")))
    def settle() -> None:
        BODIES.append("settle")

    @remit.agent(data_risk=remit.risk(asks="destroy_data", allows="financial_transactions"))
    def outer() -> object:
        return late()

    @remit.agent(data_risk=remit.risk(asks="financial_transactions", allows="destroy_data"))
    def late() -> object:
        return settle()

    person = Person()
    with isolated(on_violation="deny", approver=person):
        outer()
    (request,) = person.requests
    assert request.words == ("destroy_data", "financial_transactions")
    assert request.agent.endswith("outer")


def test_an_agent_that_is_called_as_a_step_is_not_asked_about_but_its_steps_are() -> None:
    """An agent itself does nothing."""
    person = Person()
    with isolated(on_violation="deny", approver=person):
        desk(KINDS["agent"])
        assert not person.requests

        @remit.agent(data_risk=PAYS)
        def inner() -> None:
            pay()

        desk(inner)
    assert [request.step for request in person.requests] == ["tests.governed:pay"]


def test_outside_any_run_the_step_is_denied_and_nobody_is_asked() -> None:
    """As if the agents of the process forbade it."""
    person = Person()
    with isolated(on_violation="deny", approver=person):
        error = denied(pay)
    assert error.outside_run
    assert not person.requests
    assert "was called outside any run" in error.for_model()
    assert "needs a person's yes (" in error.for_model()


def test_ten_calls_are_ten_asks() -> None:
    """One yes lets one call run, on any thread."""
    person = Person()
    with isolated(on_violation="deny", approver=person), desk.run(), ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(remit.copy_context(pay), n) for n in range(10)]:
            future.result()
    assert len(BODIES) == 10
    amounts = {request.arguments["amount"] for request in person.requests}
    assert amounts == set(range(10))


def test_a_retry_asks_again_and_a_refusal_of_a_person_holds_for_the_run() -> None:
    """A model cannot nag a person."""
    person = Person(remit.Approved(by="dana"), NO)
    with isolated(on_violation="deny", approver=person) as recorder:
        with desk.run():
            pay(60)
            for _ in range(3):
                with pytest.raises(DeniedError, match="dana refused it: at most 50 euros"):
                    pay(60)
            assert len(person.requests) == 2
            with pytest.raises(DeniedError):
                pay(61)
        assert len(person.requests) == 3
        with desk.run(), pytest.raises(DeniedError):
            pay(60)
    assert len(person.requests) == 4
    assert BODIES == ["function 60"]
    assert len(recorder.asked("financial_transactions")) == 4


def test_a_refusal_without_a_person_is_said_as_such_and_does_not_hold() -> None:
    """Nobody refused the step itself."""
    person = Person(remit.Refused(why="the queue is closed"), remit.Approved(by="dana"))
    with isolated(on_violation="deny", approver=person), desk.run():
        error = denied(pay)
        assert error.refused_by is None
        assert "got no yes, so it did not run: the queue is closed" in error.for_model()
        pay()
    assert BODIES == ["function 5"]


# The request


def test_the_request_has_the_arguments_by_name_with_defaults_and_self() -> None:
    """The objects are those of the call."""

    @dataclass
    class Account:
        """An account, whose fields can be read."""

        number: int

        @remit.span_type(data_risk=PAYS)
        def send(self, euros: int, *more: int, to: str = "Ada", **note: str) -> None:
            BODIES.append(f"sent {euros} {more} {to} {note}")

    person = Person()
    account = Account(7)
    with isolated(on_violation="deny", approver=person), desk.run() as run:
        account.send(5, 6, why="rent")
        Account.send(account, 5)
        Drawer().pay(9)
        key = run.key
    first, second, third = person.requests
    assert dict(first.arguments) == {
        "self": account,
        "euros": 5,
        "more": (6,),
        "to": "Ada",
        "note": {"why": "rent"},
    }
    assert dict(second.arguments)["self"] is account
    assert third.unbound == ()
    assert first.run == key
    assert first.agent == "tests.unit.test_asks:desk"
    assert first.time_limit_s == 120.0
    assert "euros" not in repr(first)
    with pytest.raises(TypeError):
        first.arguments["euros"] = 1  # type: ignore[index]


def test_a_request_shows_real_values_and_the_record_redacts_them() -> None:
    """The person decides about what will run."""

    @remit.span_type(data_risk=PAYS)
    def charge(card: str, password: str) -> None:
        BODIES.append(f"charged {card} {password}")

    person = Person()
    with isolated(on_violation="deny", approver=person) as recorder:
        desk(lambda: charge("4111 1111 1111 1111", "correct horse"))
    assert person.requests[0].arguments["password"] == "correct horse"
    (asked,) = recorder.asked("financial_transactions")
    assert asked.payload["arguments"]["password"] == {
        "$remit": "redacted",
        "rule": "name:password",
    }
    assert "correct horse" not in str([span.payload for span in recorder.spans()])


def test_what_cannot_be_read_is_listed() -> None:
    """The approver can tell the person."""

    @remit.span_type(data_risk=PAYS)
    def send(file: object, rows: list[object]) -> None:
        BODIES.append(f"sent {file} {rows}")

    person = Person()
    with isolated(on_violation="deny", approver=person):
        desk(lambda: send(io.StringIO("x"), [1, threading.Lock()]))
    assert person.requests[0].unbound == ("file", "rows[1]")


# Bound


@each("unbound", ["ask", "deny"])
def test_an_agent_may_deny_a_call_that_an_approval_would_not_cover(unbound: Any) -> None:
    """A parameter with `Skip` is left out by the program's own choice."""

    @remit.span_type(data_risk=PAYS)
    def send(file: object, session: Annotated[object, remit.Skip] = None) -> None:
        del file, session
        BODIES.append("sent")

    @remit.agent(data_risk=remit.risk(asks="financial_transactions", unbound=unbound))
    def careful(file: object) -> None:
        send(file)

    person = Person()
    with isolated(on_violation="deny", approver=person):
        if unbound == "deny":
            error = denied(lambda: careful([io.BytesIO()]))
            assert "would not cover file[0]" in str(error.why)
            assert person.requests == []
        else:
            careful([io.BytesIO()])
        careful([b"a"])
    assert len(BODIES) == len(person.requests)
    BODIES.clear()


def test_only_an_agent_that_asks_says_what_happens_to_uncovered_arguments() -> None:
    """The error says what was seen."""
    with pytest.raises(DeclarationError, match="saw 'deny' without asks; expected 'ask', or"):
        remit.risk(unbound="deny")
    with pytest.raises(DeclarationError, match="saw 'refuse'; expected 'ask', or 'deny' with asks"):
        remit.risk(asks="read_data", unbound="refuse")  # type: ignore[arg-type]


class Till:
    """An object with asking steps."""

    @remit.span_type(data_risk=PAYS)
    def pay(self, euros: int) -> None:
        """Say that the body ran."""
        BODIES.append(f"{euros}")

    @remit.span_type(data_risk=PAYS)
    async def pay_later(self, euros: int) -> None:
        """Say that the body ran."""
        BODIES.append(f"{euros}")


@remit.span_type(data_risk=PAYS)
def payments(euros: int) -> Iterator[int]:
    """Say that the body ran."""
    BODIES.append(f"{euros}")
    yield euros


@each(
    "call",
    [
        lambda: Till().pay(),  # type: ignore[call-arg]
        lambda: Till().pay(1, 2),  # type: ignore[call-arg]
        lambda: Till().pay(amount=1),  # type: ignore[call-arg]
        lambda: asyncio.run(Till().pay_later()),  # type: ignore[call-arg]
        lambda: list(payments()),  # type: ignore[call-arg]
    ],
)
def test_nobody_is_asked_about_a_call_that_fails_by_its_arguments(
    call: Callable[[], object],
) -> None:
    """Python's own error tells which argument is wrong."""
    person = Person()
    with isolated(on_violation="deny", approver=person), desk.run():
        with pytest.raises(TypeError, match=r"euros|amount|positional"):
            call()
        assert person.requests == []
        Till().pay(1)
    assert len(person.requests) == 1
    BODIES.clear()


def test_a_decorator_below_may_add_arguments() -> None:
    """Such a call fits, whatever the signature says."""

    def with_session(function: Callable[..., None]) -> Callable[[int], None]:
        @wraps(function)
        def call(euros: int) -> None:
            function(euros, "session")

        return call

    @remit.span_type(data_risk=PAYS)
    @with_session
    def send(euros: int, session: str) -> None:
        BODIES.append(f"{euros} {session}")

    with isolated(on_violation="deny", approver=Person()), desk.run():
        send(5)
    assert BODIES == ["5 session"]


def test_arguments_that_change_while_the_person_decides_are_asked_about_again() -> None:
    """The yes was for other arguments."""

    @remit.span_type(data_risk=PAYS)
    def send(order: dict[str, int]) -> None:
        BODIES.append(f"sent {order['euros']}")

    order = {"euros": 5}

    def slip(_request: object) -> remit.Approved:
        order["euros"] = 9999
        return remit.Approved(by="dana")

    person = Person(slip, NO)
    with isolated(on_violation="deny", approver=person) as recorder:
        denied(lambda: desk(lambda: send(order)))
        assert [each_.arguments["order"] for each_ in person.requests] == [order, order]
        assert decisions(recorder) == ["superseded", "refused"]
        shown = [span.payload["arguments"] for span in recorder.asked("financial_transactions")]
    assert shown == [{"order": {"euros": 5}}, {"order": {"euros": 9999}}]


def test_arguments_that_change_each_time_are_refused_after_three_asks() -> None:
    """Nobody is asked without end."""

    @remit.span_type(data_risk=PAYS)
    def send(order: dict[str, int]) -> None:
        BODIES.append(f"sent {order}")

    order = {"euros": 5}

    def slip(_request: object) -> remit.Approved:
        order["euros"] += 1
        return remit.Approved(by="dana")

    person = Person(slip)
    with isolated(on_violation="deny", approver=person) as recorder:
        error = denied(lambda: desk(lambda: send(order)))
    assert len(person.requests) == 3
    assert decisions(recorder) == ["superseded"] * 3
    assert "its arguments changed each time" in str(error)


# Each way to fail closed


def test_without_an_approver_the_step_is_refused() -> None:
    """Nobody is asked."""
    with isolated(on_violation="deny") as recorder:
        error = denied(desk)
    assert error.why == "no approver is set; remit.configure(approver=...) sets one"
    assert not recorder.asked("financial_transactions")
    assert recorder.spans("remit:asked") == recorder.spans("remit:answered") == []


def test_an_approver_that_raises_refuses() -> None:
    """The message may quote data, so only the type is told."""

    def person(_request: object) -> None:
        raise ValueError("secret")

    with isolated(on_violation="deny", approver=person) as recorder:
        error = denied(desk)
    assert error.why == "the approver failed with ValueError"
    assert decisions(recorder) == ["refused"]


@each("control_flow", [(), (StopIteration,)])
def test_an_approver_that_raises_stop_iteration_gives_no_yes(
    control_flow: tuple[type[Exception], ...],
) -> None:
    """`next()` of an exhausted iterator raises it."""
    answers = iter(())
    with (
        isolated(on_violation="deny", approver=lambda _: next(answers), control_flow=control_flow),
        pytest.raises(StopIteration if control_flow else DeniedError),
    ):
        desk()
    assert not BODIES


async def test_an_async_step_does_not_wait_for_an_approver_that_raises_stop_iteration() -> None:
    """A future cannot raise `StopIteration`, so the error is converted to `RuntimeError`."""
    answers = iter(())
    async with asyncio.timeout(10):
        with isolated(on_violation="deny", approver=lambda _: next(answers)):
            async with desk.run():
                with pytest.raises(DeniedError, match="the approver failed with RuntimeError"):
                    await pay_later()
    assert not BODIES


@each("answer", [None, True, "yes", remit.Approved, ("approved", "dana")])
def test_any_other_answer_refuses(answer: object) -> None:
    """A truthy value is no yes."""
    with isolated(on_violation="deny", approver=lambda _: answer):
        error = denied(desk)
    assert error.why is not None
    assert "expected remit.Approved or remit.Refused" in error.why


def test_an_answer_without_a_name_refuses() -> None:
    """A yes is that of a person."""
    with isolated(on_violation="deny", approver=lambda _: remit.Approved(by=" ")):
        error = denied(desk)
    assert error.why == "the approver failed with remit.errors.UsageError"


async def test_an_async_approver_of_a_sync_step_in_a_loop_refuses() -> None:
    """The loop cannot be waited for inside itself."""

    async def person(_request: object) -> remit.Approved:
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person):
        error = denied(desk)
    assert error.why is not None
    assert "the approver is a coroutine function" in error.why


def test_a_yes_after_the_time_limit_is_none() -> None:
    """The wait of a sync approver cannot be stopped."""
    clock = FakeClock()

    def person(_request: object) -> remit.Approved:
        clock.advance(121)
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person, clock=clock) as recorder:
        error = denied(desk)
    assert error.why == "no answer came within 120 seconds"
    assert error.refused_by is None
    assert decisions(recorder) == ["expired"]


@each("jump_s", [-86_400, 86_400])
def test_a_jump_of_the_wall_clock_is_no_wait(jump_s: int) -> None:
    """Only the time that passes counts."""
    BODIES.clear()
    clock = FakeClock()

    def wait(seconds: int) -> Callable[[object], remit.Approved]:
        def person(_request: object) -> remit.Approved:
            clock.jump(jump_s)
            clock.advance(seconds)
            return remit.Approved(by="dana")

        return person

    approver = Person(wait(121), wait(119))
    with isolated(on_violation="deny", approver=approver, clock=clock) as recorder:
        assert denied(desk).why == "no answer came within 120 seconds"
        desk()
    assert BODIES == ["function 5"]
    assert decisions(recorder) == ["expired", "approved"]


def test_a_sync_step_does_not_wait_longer_than_the_time_limit_for_an_async_approver() -> None:
    """The coroutine of the approver is cancelled."""
    ended: list[str] = []

    async def person(_request: object) -> remit.Approved:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person, ask_timeout_s=0.05) as recorder:
        error = denied(desk)
    assert error.why == "no answer came within 0.05 seconds"
    assert ended == ["cancelled"]
    assert decisions(recorder) == ["expired"]


@each("waits", ["sync", "async"])
async def test_an_async_step_does_not_wait_longer_than_the_time_limit(waits: str) -> None:
    """The thread of a sync approver goes on alone."""
    gone = threading.Event()

    async def later(_request: object) -> remit.Approved:
        await asyncio.sleep(60)
        return remit.Approved(by="dana")

    def now(_request: object) -> remit.Approved:
        gone.wait(60)
        return remit.Approved(by="dana")

    approver: Any = later if waits == "async" else now
    began = time.monotonic()
    with (
        isolated(on_violation="deny", approver=approver, ask_timeout_s=0.05) as recorder,
        pytest.raises(DeniedError, match=r"no answer came within 0\.05 seconds"),
    ):
        await late_desk(pay_later)
    gone.set()
    assert time.monotonic() - began < 10
    assert not BODIES
    assert decisions(recorder) == ["expired"]


def test_a_step_of_the_approver_that_would_ask_is_refused_and_others_run() -> None:
    """They are recorded below the question."""

    @remit.span_type(data_risk=remit.risk(allows="read_data", forbids="others"))
    def look() -> None:
        BODIES.append("look")

    def person(_request: object) -> remit.Approved:
        look()
        with pytest.raises(DeniedError, match="called by an approver"):
            pay(1)
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person) as recorder:
        desk(pay)
    assert BODIES == ["look", "function 5"]
    (asked,) = recorder.asked("financial_transactions")
    assert {
        span.name.rpartition(":")[2] for span in recorder.spans() if span.parent == asked.key
    } == {
        "test_a_step_of_the_approver_that_would_ask_is_refused_and_others_run.<locals>.look",
        "pay",
    }


def test_a_run_that_is_terminated_while_the_person_decides_runs_nothing() -> None:
    """The step is judged again after the answer."""

    @remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
    def send() -> None:
        BODIES.append("sent")

    @remit.agent(data_risk=remit.risk(forbids="destroy_data", allows="read_data", asks="others"))
    def strict() -> None:
        send()

    @remit.span_type(data_risk=remit.risk(allows="destroy_data"))
    def wipe() -> None:
        BODIES.append("wiped")

    def person(_request: object) -> remit.Approved:
        with pytest.raises(RunTerminated):
            wipe()
        return remit.Approved(by="dana")

    with isolated(on_violation="terminate", approver=person), pytest.raises(RunTerminated):
        strict()
    assert not BODIES


def test_a_step_that_is_held_while_the_person_decides_does_not_run() -> None:
    """A hold counts more than a yes."""

    def person(_request: object) -> remit.Approved:
        hold = Hold(
            "hold-1",
            ("financial_transactions",),
            frozenset(),
            declared_only=False,
            reason="Stop.",
            held_by="ada",
        )
        process.current().hold([hold])
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person) as recorder:
        error = denied(desk)
    assert [each_.limit for each_ in error.violations] == ["held"]
    assert decisions(recorder) == ["approved"]


def test_a_fault_inside_remit_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy fails closed."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with isolated(on_violation="deny", approver=Person()):
        monkeypatch.setattr("remit._base.guard.faults.strict", False)
        monkeypatch.setattr("remit._record.binding.read", broken)
        error = denied(desk)
    assert error.why == "it could not be asked about because of a fault inside remit"


def test_a_stream_that_another_agent_reads_on_cannot_be_asked_about() -> None:
    """Its first item was made before."""

    @remit.span_type(data_risk=PAYS)
    def parts() -> Iterator[int]:
        yield 1
        BODIES.append("second")
        yield 2

    @remit.agent(data_risk=remit.risk(allows="financial_transactions"))
    def outer() -> None:
        items = parts()
        next(items)
        desk(lambda: next(items))

    person = Person()
    with isolated(on_violation="deny", approver=person):
        error = denied(outer)
    assert "runs where nobody can be asked" in str(error)
    assert not person.requests


def test_the_approver_server_is_refused_without_a_server() -> None:
    """The sentence names the missing server."""
    with isolated(on_violation="deny", approver="server"):
        error = denied(desk)
    assert "needs a server of remit" in str(error)


def test_an_unreadable_approver_is_an_error() -> None:
    """The setting is named."""
    with pytest.raises(remit.errors.SettingsError, match="setting approver from configure"):
        remit.configure(approver="nowhere:ask", mode="off")


async def test_a_wait_that_is_cancelled_runs_nothing_and_is_recorded_as_withdrawn() -> None:
    """The run does not look as if it waited."""
    waiting = asyncio.Event()

    async def person(_request: object) -> remit.Approved:
        waiting.set()
        await asyncio.sleep(60)
        return remit.Approved(by="dana")

    with isolated(on_violation="deny", approver=person) as recorder:
        task = asyncio.create_task(late_desk(pay_later))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not BODIES
    assert decisions(recorder) == ["withdrawn"]


def test_asks_hold_in_the_mode_off() -> None:
    """The policy does not depend on the record."""
    person = Person(remit.Approved(by="dana"), NO)
    with isolated(on_violation="deny", approver=person, mode="off"):
        desk(pay)
        BODIES.clear()
        denied(desk)
    assert len(person.requests) == 2


# Over a pause of a framework


class Pause(Exception):  # noqa: N818 - as frameworks call theirs
    """How a framework pauses."""


class Pausing:
    """An approver that pauses its framework, and goes on with the answer and its seal."""

    def __init__(self) -> None:
        """Begin without an answer."""
        self.asked: list[str] = []
        self.answer: tuple[remit.Approved, str] | None = None

    def __call__(self, request: remit.ApprovalRequest) -> remit.Approved:
        """Pause, or return the answer if it belongs to the request."""
        if self.answer is not None and request.matches(self.answer[1]):
            return self.answer[0]
        self.asked.append(request.seal())
        raise Pause


@each("kind", ["function", "coroutine", "generator", "async generator", "block", "async block"])
def test_an_exception_that_pauses_a_framework_passes_and_the_answer_lets_one_call_run(
    kind: str,
) -> None:
    """The seal travels with the question and the answer."""
    BODIES.clear()
    person = Pausing()
    with isolated(on_violation="deny", approver=person, control_flow=Pause) as recorder:
        with pytest.raises(Pause), desk.run() as run:
            KINDS[kind]()
        assert not BODIES
        person.answer = (remit.Approved(by="dana"), person.asked[0])
        with desk.run(resume=run.key):
            KINDS[kind]()
            assert [ran(kind)] == BODIES
            with pytest.raises(Pause):
                KINDS[kind]()
    assert [ran(kind)] == BODIES
    asked = recorder.asked("financial_transactions")
    assert [span.payload["ticket"] for span in asked] == list(
        dict.fromkeys(span.payload["ticket"] for span in asked)
    ), "a question that is asked again after the pause is recorded once"
    assert decisions(recorder) == ["approved"]


def test_a_seal_of_other_arguments_does_not_match() -> None:
    """The second question is another one."""
    person = Pausing()
    with isolated(on_violation="deny", approver=person, control_flow=Pause), desk.run():
        with pytest.raises(Pause):
            pay(5)
        person.answer = (remit.Approved(by="dana"), person.asked[0])
        with pytest.raises(Pause):
            pay(9999)
        pay(5)
    assert BODIES == ["function 5"]


def test_a_seal_that_two_calls_match_at_once_lets_one_run() -> None:
    """One yes, one call."""
    both = threading.Barrier(2)
    seals: list[str] = []

    def person(request: remit.ApprovalRequest) -> object:
        if not seals:
            seals.append(request.seal())
            raise Pause
        assert request.matches(seals[0])
        both.wait(10)
        return remit.Approved(by="dana")

    def call() -> str:
        try:
            pay()
        except DeniedError as error:
            return str(error.why)
        return ""

    with isolated(on_violation="deny", approver=person, control_flow=Pause), desk.run():
        with pytest.raises(Pause):
            pay()
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(remit.copy_context(call)) for _ in range(2)]
            assert sorted(future.result() for future in futures) == [
                "",
                "the answer belongs to a request that was answered before",
            ]
    assert BODIES == ["function 5"]


@each("seal", [None, "", "x", "é", 7, b"", "A" * 64])
def test_anything_else_is_no_seal(seal: object) -> None:
    """A seal comes from outside the process."""
    matched: list[bool] = []

    def person(request: remit.ApprovalRequest) -> remit.Refused:
        matched.append(request.matches(seal))
        return remit.Refused()

    with isolated(on_violation="deny", approver=person):
        error = denied(desk)
    assert matched == [False]
    assert error.why == "the approver refused it"


# Declaration


def test_others_are_the_actions_that_nothing_names() -> None:
    """On the wire, they are allowed."""
    risk = remit.risk(allows="read_data", forbids="destroy_data", asks="others")
    assert risk.asks == (
        "create_data",
        "update_data",
        "financial_transactions",
        "external_communication",
    )
    words = risk.action_profile.model_dump()
    assert words["financial_transactions"] == "allowed"
    assert words["destroy_data"] == "disallowed"
    spared = remit.risk(forbids="others", asks="financial_transactions")
    assert spared.action_profile.model_dump()["financial_transactions"] == "allowed"
    assert spared.action_profile.model_dump()["read_data"] == "disallowed"
    assert risk != remit.risk(allows=("read_data", *risk.asks), forbids="destroy_data"), (
        "it is not the same remit"
    )


@each(
    "arguments",
    [
        {"asks": "read_data", "allows": "read_data"},
        {"asks": "read_data", "forbids": "read_data"},
        {"asks": "others", "forbids": "others"},
        {"asks": "reading"},
        {"asks": "health_and_medical"},
    ],
)
def test_a_word_stands_once(arguments: Any) -> None:
    """Also `others`."""
    with pytest.raises(DeclarationError, match=r"remit\.risk\("):
        remit.risk(**arguments)


def test_a_step_asks_nothing() -> None:
    """The message says where it belongs."""
    risk = remit.risk(asks="financial_transactions")
    sentence = "a step says what it does, its agent what is asked"
    with pytest.raises(DeclarationError, match=sentence):

        @remit.span_type(data_risk=risk)
        def step() -> None: ...

    with pytest.raises(DeclarationError, match=sentence):
        remit.span("block", data_risk=risk)


def test_the_registration_of_an_agent_that_asks_says_so() -> None:
    """In a keyword, and with the types of the questions."""
    entries = {
        entry["name"]: entry
        for entry in desk.registration()["agent_schema_version"]["span_type_schemas"]  # type: ignore[index]
    }
    own = entries["tests.unit.test_asks:desk"]
    assert own["params_schema"]["x-remit-asks"] == [
        "create_data",
        "update_data",
        "destroy_data",
        "financial_transactions",
        "external_communication",
    ]
    assert own["data_risk"]["action_profile"]["destroy_data"] == "allowed"
    assert {"remit:asked", "remit:answered"} <= entries.keys()


def test_the_registration_of_another_agent_does_not_change() -> None:
    """So its hash stays."""

    @remit.agent(data_risk=remit.risk(forbids="financial_transactions"))
    def silent() -> None: ...

    assert "remit:asked" not in str(silent.registration())
    assert "x-remit-asks" not in str(silent.registration()["agent_version"])


def test_asked_takes_an_action() -> None:
    """A misspelt word would match nothing."""
    with isolated() as recorder, pytest.raises(UsageError, match="asked"):
        recorder.asked("paying")  # type: ignore[arg-type]


async def test_async_items_are_asked_about_once() -> None:
    """Before the first one."""

    @remit.span_type(data_risk=PAYS)
    async def parts() -> AsyncIterator[int]:
        yield 1
        yield 2

    person = Person()
    with isolated(on_violation="deny", approver=person):
        async with desk.run():
            assert [item async for item in parts()] == [1, 2]
    assert len(person.requests) == 1
