"""Pydantic-ai asks a person by a deferred tool: the run pauses, and goes on with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDenied

import remit
from remit.errors import DeniedError
from remit.integrations.pydantic_ai import Remit, by_deferral
from remit.testing import FakeClock, isolated
from tests.integrations.test_pydantic_ai import Script
from tests.refunding import WHY, record_of
from tests.scenarios import DONE, TOLD, Turn
from tests.subtests import each

ASKED = "remit:asked"
ANSWERED = "remit:answered"

PAYS = remit.risk(allows="financial_transactions", forbids="others")
PAID: list[int] = []


@remit.agent(data_risk=remit.risk(allows="read_data", asks="others"))
def desk() -> None:
    """Ask about payments."""


def plain(euros: int) -> str:
    """Pay money back."""
    PAID.append(euros)
    return f"paid {euros}"


@remit.span_type("deferred:refund", data_risk=PAYS)
def decorated(euros: int) -> str:
    """Pay money back."""
    PAID.append(euros)
    return f"paid {euros}"


@remit.span_type("deferred:refund_later", data_risk=PAYS)
async def awaited(euros: int) -> str:
    """Pay money back."""
    PAID.append(euros)
    return f"paid {euros}"


TOOLS: dict[str, Any] = {"plain": plain, "decorated": decorated, "awaited": awaited}


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    """Forget earlier payments."""
    PAID.clear()


class Clerk:
    """An agent that calls one tool, once for each message with its amounts."""

    def __init__(self, name: str, *messages: Sequence[int]) -> None:
        """Make the agent; it answers in words after the last message."""
        turns = [
            Turn(calls=tuple((name, {"euros": euros}) for euros in amounts)) for amounts in messages
        ]
        self.script = Script([*turns, DONE])
        self.agent: Agent[None, str | DeferredToolRequests] = Agent(
            self.script.model,
            name="clerk",
            tools=[TOOLS[name]],
            output_type=[str, DeferredToolRequests],
            capabilities=[Remit(risks={"plain": PAYS} if name == "plain" else None)],
        )
        self.messages: list[Any] = []

    def start(self) -> DeferredToolRequests:
        """Run the agent to its first question."""
        return asked(self._run(self.agent.run("Pay.")))

    def go_on(self, results: DeferredToolResults) -> Any:
        """Run the agent with decisions; return its output."""
        return self._run(
            self.agent.run(message_history=self.messages, deferred_tool_results=results)
        )

    def _run(self, running: Any) -> Any:
        result = asyncio.run(running)
        self.messages = result.all_messages()
        return result.output


def asked(output: Any) -> DeferredToolRequests:
    """Return the output of an agent that waits."""
    assert isinstance(output, DeferredToolRequests)
    return output


YES = ToolApproved()


def answers(requests: DeferredToolRequests, decision: Any = YES) -> DeferredToolResults:
    """Return the same decision of Dana about all requests."""
    metadata = {key: {**fields, "by": "dana"} for key, fields in requests.metadata.items()}
    return DeferredToolResults(
        approvals={call.tool_call_id: decision for call in requests.approvals}, metadata=metadata
    )


def shown(requests: DeferredToolRequests) -> list[Any]:
    """Return the arguments in the questions."""
    return [requests.metadata[call.tool_call_id]["arguments"] for call in requests.approvals]


@each("name", list(TOOLS))
def test_a_refund_is_asked_approved_asked_again_with_more_and_refused(name: str) -> None:
    """The model reads the reason; both questions and who answered are in the record."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_deferral) as recorder:
        clerk = Clerk(name, [40], [9999])
        with desk.run() as run:
            first = clerk.start()
        assert shown(first) == [{"euros": 40}]
        assert not PAID
        with desk.run(resume=run.key) as run:
            second = asked(clerk.go_on(answers(first)))
        assert (PAID, shown(second)) == ([40], [{"euros": 9999}])
        with desk.run(resume=run.key):
            assert clerk.go_on(answers(second, ToolDenied(WHY))) == TOLD
    assert PAID == [40]
    assert clerk.script.read == ["paid 40", WHY]
    assert record_of(recorder) == [(40, "approved", "dana", None), (9999, "refused", "dana", WHY)]
    assert recorder.runs[-1].status == "complete"


def test_a_streamed_run_is_asked_about_alike() -> None:
    """The agent reads the decisions before it is streamed."""

    async def stream(agent: Any, **given: Any) -> Any:
        async with agent.run_stream(**given) as result:
            return await result.get_output(), result.all_messages()

    with isolated(on_violation="deny", approver=by_deferral) as recorder, desk.run():
        clerk = Clerk("plain", [40], [9999])
        output, messages = asyncio.run(stream(clerk.agent, user_prompt="Pay."))
        for decision in (YES, ToolDenied(WHY)):
            results = answers(asked(output), decision)
            given = {"message_history": messages, "deferred_tool_results": results}
            output, messages = asyncio.run(stream(clerk.agent, **given))
    assert (output, PAID) == (TOLD, [40])
    assert record_of(recorder) == [(40, "approved", "dana", None), (9999, "refused", "dana", WHY)]


@each("name", list(TOOLS))
def test_the_same_decision_again_pays_no_second_time(name: str) -> None:
    """The run may be started twice with what was stored."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_deferral), desk.run():
        clerk = Clerk(name, [40])
        given = answers(clerk.start())
        waiting = clerk.messages
        clerk.go_on(given)
        clerk.messages, clerk.script.calls = waiting, 1
        clerk.go_on(given)
    assert PAID == [40]
    assert "was answered before" in clerk.script.read[-1]


@each("name", list(TOOLS))
def test_changed_arguments_are_asked_about_again(name: str) -> None:
    """As a program changes them that approves other arguments than were asked about."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_deferral) as recorder, desk.run():
        clerk = Clerk(name, [40])
        more = ToolApproved(override_args={"euros": 9999})
        again = asked(clerk.go_on(answers(clerk.start(), more)))
        assert (PAID, shown(again)) == ([], [{"euros": 9999}])
        clerk.go_on(answers(again, more))
    assert PAID == [9999]
    assert record_of(recorder) == [
        (40, "superseded", "dana", None),
        (9999, "approved", "dana", None),
    ]
    recorded = [span.name for span in recorder.spans() if span.name in {ASKED, ANSWERED}]
    assert recorded == [ASKED, ANSWERED, ASKED, ANSWERED]


def test_a_no_of_a_person_holds_for_the_run() -> None:
    """If the model repeats the call, remit denies it and does not ask again."""
    with isolated(on_violation="deny", approver=by_deferral) as recorder, desk.run():
        clerk = Clerk("plain", [9999], [9999])
        assert clerk.go_on(answers(clerk.start(), ToolDenied(WHY))) == TOLD
    assert not PAID
    assert clerk.script.read[0] == WHY
    assert "A person refused this step" in clerk.script.read[1]
    assert len(record_of(recorder)) == 1


def test_the_time_of_the_wait_is_that_of_the_pause() -> None:
    """Not that of the approver, which is called twice."""
    clock = FakeClock()
    with isolated(on_violation="deny", approver=by_deferral, clock=clock) as recorder, desk.run():
        clerk = Clerk("plain", [5], [6])
        first = clerk.start()
        clock.advance(60)
        second = asked(clerk.go_on(answers(first)))
        clock.advance(30)
        clerk.go_on(answers(second, ToolDenied(WHY)))
    waited = [span.payload["waited_ms"] for span in recorder.spans("remit:answered")]
    assert waited == [60_000, 30_000]


def test_two_calls_in_one_message_are_two_questions() -> None:
    """Each answer belongs to its call."""
    with isolated(on_violation="deny", approver=by_deferral) as recorder, desk.run():
        clerk = Clerk("plain", [5, 7])
        requests = clerk.start()
        first, second = requests.approvals
        given = answers(requests)
        given.approvals[first.tool_call_id] = ToolDenied(WHY)
        given.metadata[second.tool_call_id]["by"] = "ben"
        assert clerk.go_on(given) == TOLD
    assert PAID == [7]
    assert record_of(recorder) == [(5, "refused", "dana", WHY), (7, "approved", "ben", None)]


@each(
    ("given", "why"),
    [
        ({}, "the answer has no seal"),
        ({"by": "dana"}, "the answer has no seal"),
        (None, "the answer names no person"),
    ],
)
def test_a_yes_without_its_seal_or_a_name_lets_nothing_run(given: Any, why: str) -> None:
    """The model reads which of the two is missing."""
    PAID.clear()
    with isolated(on_violation="deny", approver=by_deferral), desk.run():
        clerk = Clerk("plain", [5])
        requests = clerk.start()
        (call,) = requests.approvals
        results = DeferredToolResults(
            approvals={call.tool_call_id: True},
            metadata=requests.metadata if given is None else {call.tool_call_id: given},
        )
        assert clerk.go_on(results) == TOLD
    assert not PAID
    assert why in clerk.script.read[-1]


def test_a_run_of_the_agents_own_waits_and_goes_on() -> None:
    """It is found by the conversation in the messages."""
    with isolated(on_violation="deny", approver=by_deferral) as recorder:
        clerk = Clerk("plain", [5])
        capability = Remit(risks={"plain": PAYS}, data_risk=remit.risk(asks="others"))
        agent: Any = clerk.agent
        first = asyncio.run(agent.run("Pay.", capabilities=[capability]))
        assert recorder.runs[0].status == "open"
        result = asyncio.run(
            agent.run(
                message_history=first.all_messages(),
                deferred_tool_results=answers(first.output),
                capabilities=[capability],
            )
        )
    assert (result.output, PAID) == (TOLD, [5])
    assert record_of(recorder) == [(5, "approved", "dana", None)]
    assert [span.payload["how"] for span in recorder.spans("remit:asked")] == ["deferred"]


def test_a_step_outside_a_tool_is_refused() -> None:
    """Nothing could be deferred."""
    with (
        isolated(on_violation="deny", approver=by_deferral),
        desk.run(),
        pytest.raises(DeniedError) as raised,
    ):
        decorated(5)
    assert "not called by a tool of an agent" in str(raised.value.why)
    assert not PAID


@each(("decision", "ended"), [(YES, "approved"), (ToolDenied(WHY), "refused")])
def test_another_process_goes_on_with_the_answer(decision: Any, ended: str) -> None:
    """It records the answer to the question of the first; a no holds there as well."""
    PAID.clear()
    clerk = Clerk("decorated", [40], [40])
    with isolated(on_violation="deny", approver=by_deferral) as recorder:
        with desk.run() as run:
            first = clerk.start()
        (question,) = recorder.spans("remit:asked")
    with (
        isolated(on_violation="deny", approver=by_deferral) as recorder,
        desk.run(resume=run.key),
    ):
        output = clerk.go_on(answers(first, decision))
    (answered,) = recorder.spans("remit:answered")
    assert answered.payload["waited_ms"] is None
    assert answered.payload["ticket"] == question.payload["ticket"]
    assert (answered.payload["decision"], answered.payload["by"]) == (ended, "dana")
    if ended == "approved":  # one yes is for one call
        assert (PAID, shown(asked(output))) == ([40], [{"euros": 40}])
    else:
        assert (PAID, output) == ([], TOLD)
        assert "remit:asked" not in {span.name for span in recorder.spans()}
