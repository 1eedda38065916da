"""Asking about steps that a framework reports: the adapter asks only for what no function does."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

import remit
from remit._adapters.questions import end_unanswered, known_asks
from remit._adapters.spans import ask, asked_now, is_ruled_out, permit, start
from remit._record.approvals import APPROVED, REFUSED, Approver, Outcome, Resumed, resumed
from remit._record.context import open_context
from remit.errors import DeniedError
from remit.testing import isolated
from tests.governed import PAYS, pay
from tests.inside import declare, step_of

NO = remit.Refused(by="dana", why="at most 50 euros")


@remit.agent(data_risk=remit.risk(allows="read_data", asks="financial_transactions"))
def desk() -> None:
    """Ask about payments."""


def tool() -> Any:
    """Return the recorder of a tool without a decorated function."""
    return declare("asks:transfer", "tool", data_risk=PAYS)


class Person:
    """An approver that keeps its requests."""

    def __init__(self, answer: object = None) -> None:
        """Give *answer* each time; without one, a yes."""
        self.requests: list[remit.ApprovalRequest] = []
        self._answer = answer or remit.Approved(by="dana")

    def __call__(self, request: remit.ApprovalRequest) -> object:
        """Keep the request, and answer."""
        self.requests.append(request)
        return self._answer


def test_the_start_of_a_tool_asks_with_its_inputs() -> None:
    """In a framework that calls back from plain functions."""
    person = Person()
    with isolated(on_violation="deny", approver=person) as recorder, desk.run():
        with start(tool(), {"inputs": {"euros": 5}, "tool_call_id": "1"}):
            pass
        assert [span.name for span in recorder.spans()] == [
            "remit:asked",
            "remit:answered",
            "asks:transfer",
        ]
    (request,) = person.requests
    assert dict(request.arguments) == {"euros": 5}
    assert recorder.asked("financial_transactions")[0].payload["arguments"]


def test_the_start_of_a_tool_that_is_refused_is_denied() -> None:
    """The error reaches the framework before the tool runs."""
    with (
        isolated(on_violation="deny", approver=Person(NO)),
        desk.run(),
        pytest.raises(DeniedError, match="dana refused it"),
    ):
        start(tool(), {"inputs": {"euros": 5}})


async def test_an_async_adapter_awaits_the_answer_and_the_start_does_not_ask_again() -> None:
    """The event loop goes on meanwhile."""
    person = Person()

    async def later(request: remit.ApprovalRequest) -> object:
        await asyncio.sleep(0)
        return person(request)

    with isolated(on_violation="deny", approver=later) as recorder:
        async with desk.run():
            admission = await ask(tool(), {"inputs": {"euros": 5}})
            start(tool(), {"inputs": {"euros": 5}}, admission=admission).end()
            with pytest.raises(DeniedError, match="the approver is a coroutine function"):
                start(tool(), {"inputs": {"euros": 5}})
    assert len(person.requests) == 1
    (span, denied) = recorder.spans("transfer")
    assert not span.violations
    assert denied.denied


async def test_an_adapter_asks_nothing_outside_a_run_or_without_need() -> None:
    """As its start does."""
    with isolated(on_violation="deny", approver=Person(NO)):
        assert await ask(tool(), {"inputs": {}}) is None
        async with desk.run():
            harmless = declare("asks:look", "tool", data_risk=remit.risk(forbids="others"))
            admission = await ask(harmless, {"inputs": {}})
            start(harmless, {"inputs": {}}, admission=admission).end()


def test_ahead_of_a_decorated_function_an_adapter_only_judges() -> None:
    """The function's own call asks, with its own arguments, once."""
    person = Person()
    recorder = step_of(pay)
    assert recorder is not None
    with isolated(on_violation="deny", approver=person), desk.run():
        permit(recorder, {"amount": 5})
        assert not person.requests
        pay(5)
    assert len(person.requests) == 1


def test_ahead_of_a_step_without_a_function_an_adapter_denies() -> None:
    """Nothing would ask later."""
    person = Person()
    with (
        isolated(on_violation="deny", approver=person),
        desk.run(),
        pytest.raises(DeniedError, match="where nobody can be asked"),
    ):
        permit(tool(), {"inputs": {"euros": 5}})
    assert not person.requests


def test_a_step_whose_calls_run_elsewhere_is_ruled_out() -> None:
    """Nobody can be asked about a single call of it."""
    with isolated(on_violation="deny", approver=Person()), desk.run():
        assert is_ruled_out(tool())
    with isolated(approver=Person()), desk.run():
        assert not is_ruled_out(tool())


def test_a_step_that_cannot_be_stopped_is_marked() -> None:
    """It ran, and nobody was asked."""
    person = Person()
    with isolated(on_violation="deny", approver=person) as recorder, desk.run():
        start(tool(), {"inputs": {}}, deny=False).end()
    (violation,) = recorder.spans("transfer")[0].violations
    assert violation.limit == "asked"
    assert not person.requests


@contextmanager
def framework(answer: object, ticket: str | None = None) -> Generator[None]:
    """Let the framework answer in the block, to a question that it recorded as *ticket*."""
    reset = resumed.set(Resumed(lambda _: ticket, Approver(lambda _: answer)))
    try:
        yield
    finally:
        resumed.reset(reset)


def test_a_framework_answers_where_no_approver_is_set() -> None:
    """It may not know who answered, and its question is not recorded a second time."""
    with isolated(on_violation="deny") as recorder, desk.run():
        assert asked_now(tool())
        with framework(Outcome(APPROVED), "call-1"), start(tool(), {"inputs": {"euros": 5}}):
            pass
        (answer,) = recorder.spans("remit:answered")
    assert "remit:asked" not in {span.name for span in recorder.spans()}
    assert (answer.payload["ticket"], answer.payload["by"]) == ("call-1", None)


def test_the_approver_of_the_settings_is_asked_before_a_framework() -> None:
    """So the framework has nothing to ask."""
    person = Person(NO)
    with isolated(on_violation="deny", approver=person), desk.run():
        assert not asked_now(tool())
        with framework(Outcome(APPROVED)), pytest.raises(DeniedError, match="dana refused it"):
            start(tool(), {"inputs": {"euros": 5}})
    assert len(person.requests) == 1


def test_nothing_is_asked_under_observe_or_outside_an_agent_that_asks() -> None:
    """Nor about a step that is denied anyway."""
    with isolated(), desk.run():
        assert not asked_now(tool())
    with isolated(on_violation="deny"):
        assert not asked_now(tool())

    @remit.agent(data_risk=remit.risk(forbids="financial_transactions", asks="others"))
    def careful() -> None:
        """Forbid payments."""

    with isolated(on_violation="deny"), careful.run():
        assert not asked_now(tool())


@pytest.mark.parametrize(("by", "asks_again"), [("dana", False), (None, True)])
def test_a_no_that_a_framework_keeps_holds_if_it_is_a_persons(
    by: str | None, asks_again: bool
) -> None:
    """The question came from another process, so only its seal tells what it was about."""
    seals: list[str] = []

    def pause(request: remit.ApprovalRequest) -> remit.Refused:
        seals.append(request.seal())
        return remit.Refused(why="not yet")

    def attempt() -> DeniedError:
        with pytest.raises(DeniedError) as raised:
            start(tool(), {"inputs": {"euros": 5}})
        return raised.value

    with isolated(on_violation="deny", approver=pause), desk.run():
        attempt()
    with isolated(on_violation="deny", approver=pause) as recorder, desk.run():
        context = open_context()
        assert context is not None
        end_unanswered(context, "earlier", seals[0], Outcome(REFUSED, by, "too much"))
        denied = attempt()
    assert (len(seals) == 2) is asks_again
    assert denied.why == ("not yet" if asks_again else "too much")
    assert recorder.spans("remit:answered")[0].payload["ticket"] == "earlier"


def test_outside_any_run_no_question_is_known() -> None:
    """An approver that pauses its framework then refuses."""
    with isolated():
        assert known_asks() is None
