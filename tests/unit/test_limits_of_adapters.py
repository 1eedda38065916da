"""Limits on effects for steps that a framework reports: each step counts once."""

from __future__ import annotations

from typing import Final

import pytest

import remit
from remit.config import Settings
from remit.errors import DeniedError
from remit.testing import isolated
from tests.inside import Faults, SpanTable, counting, declare, permit, setup, start

PAYS: Final = remit.risk(allows="financial_transactions", forbids="others")
ran: Final[list[str]] = []
"""The decorated steps whose bodies ran."""


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@remit.agent(limits=remit.limits(financial_transactions=1))
def desk() -> None:
    """Hold the runs; one step may move money."""


@remit.agent(limits=remit.limits(financial_transactions=2))
def till() -> None:
    """Hold the runs; two steps may move money."""


@remit.span_type(data_risk=PAYS)
def pay() -> None:
    """Move money."""
    ran.append("pay")


def test_the_tool_of_a_framework_counts() -> None:
    """The second one is denied when it starts."""
    with isolated(on_violation="deny"), desk.run():
        tool = declare("frame:pay", "tool", data_risk=PAYS)
        start(tool, {}).end()
        with pytest.raises(DeniedError, match="limit of 1 financial_transactions"):
            start(tool, {})


def test_model_calls_retrievers_and_agents_do_not_count() -> None:
    """A tool is denied, and the model can still answer."""
    with isolated(on_violation="deny"), desk.run():
        pay()
        for kind in ("llm", "retriever", "agent"):
            start(declare(f"frame:{kind}", kind, data_risk=PAYS), {}).end()


def test_a_decorated_tool_inside_the_span_of_the_tool_counts_once() -> None:
    """A second decorated step below the same tool counts."""
    with isolated(on_violation="deny"), desk.run():
        tool = declare("frame:pay", "tool", data_risk=PAYS)
        with start(tool, {}):
            pay()
            with pytest.raises(DeniedError):
                pay()
    assert ran == ["pay"]


def test_a_decorated_tool_counts_once_in_mode_off() -> None:
    """The span of the tool records nothing."""
    with setup.isolated(Settings(mode="off", on_violation="deny")), desk.run():
        tool = declare("frame:pay", "tool", data_risk=PAYS)
        with start(tool, {}):
            pay()
        with pytest.raises(DeniedError):
            pay()
    assert ran == ["pay"]


def test_a_step_of_an_agent_inside_a_tool_counts_by_itself() -> None:
    """The tool that calls the agent is another step."""

    @remit.agent
    def inner() -> None:
        pay()

    with isolated(on_violation="deny"), till.run():
        tool = declare("frame:ask_inner", "tool", data_risk=PAYS)
        with start(tool, {}):
            inner()
        with pytest.raises(DeniedError):
            pay()
    assert ran == ["pay"]


def test_a_look_ahead_denies_beyond_the_limit_and_does_not_count() -> None:
    """The call of the decorated tool counts."""
    with isolated(on_violation="deny"), desk.run():
        tool = declare("frame:pay", "tool", data_risk=PAYS)
        permit(tool)
        permit(tool)
        pay()
        with pytest.raises(DeniedError):
            permit(tool)


def test_a_tool_that_cannot_be_stopped_counts_and_is_marked_beyond() -> None:
    """It has run."""
    with isolated(on_violation="deny") as recorder, desk.run():
        tool = declare("frame:pay", "tool", data_risk=PAYS)
        for _ in range(2):
            start(tool, {}, deny=False).end()
        with pytest.raises(DeniedError):
            pay()
    first, second, _ = recorder.spans()
    assert not first.violations
    assert [each.limit for each in second.violations] == ["at_most"]


def test_a_step_that_two_integrations_report_counts_once() -> None:
    """The one that knows more takes the span over, with what it counts for."""
    with isolated(on_violation="deny"), desk.run():
        rough = declare("rough:pay", "tool", data_risk=PAYS)
        exact = declare("exact:pay", "tool", data_risk=PAYS)
        replaceable = start(rough, {}, replaceable=True)
        replaceable.on_replaced = lambda: None
        replaceable.make_current()
        start(exact, {}).end()
        with pytest.raises(DeniedError):
            start(exact, {})


def test_a_tool_that_is_denied_by_a_fault_after_it_was_admitted_gives_its_place_back() -> None:
    """Its body does not run."""

    class Broken(SpanTable[str]):
        def _add(self, key: str, span: object) -> None:  # noqa: ARG002
            raise OSError(key)

    with setup.isolated(Settings(mode="off", on_violation="deny")), counting(Faults()), desk.run():
        tool = declare("frame:pay", "tool", data_risk=PAYS)
        with pytest.raises(DeniedError, match="fault"):
            Broken().start("call", tool, {})
        start(tool, {}).end()
