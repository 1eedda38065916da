"""The OpenAI Agents SDK asks a person: the run is interrupted, and goes on with the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    AgentsException,
    RunConfig,
    Runner,
    RunState,
    ShellTool,
    function_tool,
    set_trace_processors,
)

import remit
from remit.config import Settings
from remit.errors import UsageError
from remit.integrations import openai_agents
from remit.integrations.openai_agents import RemitProcessor, answered_by, govern
from remit.models.data_risk import DataRisk
from remit.testing import isolated
from tests.inside import forget_used_seals, guard, setup
from tests.integrations.test_openai_agents import SHELL, Asks, ScriptedModel, read_by
from tests.refunding import WHY, record_of
from tests.scenarios import DONE, TOLD, Turn
from tests.subtests import each

PAYS = remit.risk(allows="financial_transactions", forbids="others")
NOTHING = remit.risk(forbids="others")
PAID: list[int] = []


@remit.agent(data_risk=remit.risk(allows="read_data", asks="others"))
def desk() -> None:
    """Ask about payments."""


@function_tool
async def plain(euros: int) -> str:
    """Pay money back."""
    PAID.append(euros)
    return f"paid {euros}"


@function_tool
@remit.span_type("agents:refund", data_risk=PAYS)
def decorated(euros: int, currency: str = "EUR") -> str:
    """Pay money back."""
    del currency
    PAID.append(euros)
    return f"paid {euros}"


@function_tool
@remit.span_type("agents:refund_later", data_risk=PAYS)
async def awaited(euros: int) -> str:
    """Pay money back."""
    PAID.append(euros)
    return f"paid {euros}"


@remit.span_type("agents:pay_part", data_risk=PAYS)
def pay_part(euros: int) -> None:
    """Pay money back."""
    PAID.append(euros)


@function_tool
def outer(euros: int) -> str:
    """Pay money back in a step below the tool."""
    pay_part(euros)
    return f"paid {euros}"


TOOLS: dict[str, Any] = {
    "plain": plain, "decorated": decorated, "awaited": awaited, "outer": outer
}  # fmt: skip
ASKED = ["plain", "decorated", "awaited"]


@pytest.fixture(autouse=True)
def _traced() -> Iterator[None]:
    """Record the SDK's traces, and forget earlier payments."""
    PAID.clear()
    set_trace_processors([RemitProcessor()])
    yield
    set_trace_processors([])


class Clerk:
    """An agent that calls one tool, once for each message with its amounts."""

    def __init__(
        self,
        name: str,
        *messages: Sequence[int],
        tracing: bool = True,
        risk: DataRisk = NOTHING,
    ) -> None:
        """Make the agent; it answers in words after the last message."""
        turns = [
            Turn(calls=tuple((name, {"euros": euros}) for euros in amounts)) for amounts in messages
        ]
        self.model = ScriptedModel([*turns, DONE])
        risks = {"plain": PAYS} if name == "plain" else {}
        risks |= {"outer": risk} if name == "outer" else {}
        self.agent = govern(
            Agent(name="Clerk", model=self.model, tools=[TOOLS[name]]),
            risks=risks,
            remits=None if tracing else {"Clerk": remit.risk(asks="others")},
        )
        self.config = RunConfig(tracing_disabled=not tracing)

    def run(self, given: Any = "Pay.", by: str | None = "dana", *, stream: bool = False) -> Any:
        """Run the agent to its end or to its next question."""
        with nullcontext() if by is None else answered_by(by):
            return asyncio.run(self._run(given, stream=stream))

    async def _run(self, given: Any, *, stream: bool) -> Any:
        if not stream:
            return await Runner.run(self.agent, given, run_config=self.config)
        result = Runner.run_streamed(self.agent, given, run_config=self.config)
        async for _event in result.stream_events():
            pass
        return result

    @property
    def read(self) -> list[str]:
        """The results of tools that the model read."""
        return read_by(self.model)


def amounts(result: Any) -> list[int]:
    """Return the amounts in the questions of a run that waits."""
    return [json.loads(item.raw_item.arguments)["euros"] for item in result.interruptions]


def approved(result: Any) -> Any:
    """Return the state of a run that waits, with a yes to all questions."""
    state = result.to_state()
    for item in state.get_interruptions():
        state.approve(item)
    return state


def rejected(result: Any, why: str = WHY) -> Any:
    """Return the state with a no to all questions."""
    state = result.to_state()
    for item in state.get_interruptions():
        state.reject(item, rejection_message=why)
    return state


@each("name", ASKED)
def test_a_refund_is_asked_approved_asked_again_with_more_and_refused(name: str) -> None:
    """The model reads the reason; both questions and who answered are in the record."""
    PAID.clear()
    clerk = Clerk(name, [40], [9999])
    with isolated(on_violation="deny") as recorder:
        with desk.run() as run:
            first = clerk.run()
            run.leave_open()
        assert (amounts(first), PAID) == ([40], [])
        with desk.run(resume=run.key) as run:
            second = clerk.run(approved(first))
            run.leave_open()
        assert (amounts(second), PAID) == ([9999], [40])
        with desk.run(resume=run.key):
            assert clerk.run(rejected(second), by="ben").final_output == TOLD
    assert PAID == [40]
    assert clerk.read == ["paid 40", WHY]
    assert record_of(recorder) == [(40, "approved", "dana", None), (9999, "refused", "ben", WHY)]


@each("name", ASKED)
def test_a_streamed_run_is_asked_about_alike(name: str) -> None:
    """And so is one whose program opened no run that stays open."""
    PAID.clear()
    clerk = Clerk(name, [40], [9999])
    with isolated(on_violation="deny") as recorder, desk.run():
        first = clerk.run(stream=True)
        second = clerk.run(approved(first), stream=True)
        assert clerk.run(rejected(second), stream=True).final_output == TOLD
    assert (PAID, clerk.read) == ([40], ["paid 40", WHY])
    assert record_of(recorder) == [(40, "approved", "dana", None), (9999, "refused", "dana", WHY)]


@each("name", ASKED)
def test_the_same_answer_again_pays_no_second_time(name: str) -> None:
    """A state may be stored, and the run started twice with it."""
    PAID.clear()
    clerk = Clerk(name, [41])
    with isolated(on_violation="deny"), desk.run():
        stored = json.dumps(approved(clerk.run()).to_json())
        for _ in range(2):
            clerk.model.calls = 1
            clerk.run(asyncio.run(RunState.from_json(clerk.agent, json.loads(stored))))
    assert PAID == [41]
    assert "was answered before" in clerk.read[-1]


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("tracing", [True, False])
def test_the_same_answer_in_two_processes_pays_once(
    tracing: bool, resumes: bool, tmp_path: Path
) -> None:
    """Remit's server knows that the approval was used, with tracing and without it."""
    clerk = Clerk("decorated", [41], tracing=tracing)
    settings = Settings(mode="local", data_dir=tmp_path, on_violation="deny")
    with setup.isolated(settings), desk.run() as run:
        stored = json.dumps(approved(clerk.run()).to_json())
        run.leave_open()
    for _ in range(2):
        forget_used_seals()
        forget_questions()
        clerk.model.calls = 1
        with setup.isolated(settings), desk.run(resume=run.key) if resumes else desk.run():
            clerk.run(asyncio.run(RunState.from_json(clerk.agent, json.loads(stored))))
    assert PAID == [41]
    assert "was answered before" in clerk.read[-1]


def forget_questions() -> None:
    """Forget the questions of this process, as another process does not know them."""
    openai_agents._questions.clear()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


@each("name", ASKED)
def test_a_yes_lets_one_call_run(name: str) -> None:
    """The model calls the tool again with equal arguments, and a person is asked again."""
    PAID.clear()
    clerk = Clerk(name, [5], [5])
    with isolated(on_violation="deny") as recorder, desk.run():
        again = clerk.run(approved(clerk.run()))
        assert (amounts(again), PAID) == ([5], [5])
        assert clerk.run(approved(again)).final_output == TOLD
    assert PAID == [5, 5]
    assert len(record_of(recorder)) == 2


@each("name", ASKED)
def test_an_approval_for_all_calls_lets_only_the_shown_one_run(name: str) -> None:
    """The model reads that each call has to be approved."""
    PAID.clear()
    clerk = Clerk(name, [5], [6])
    with isolated(on_violation="deny"), desk.run():
        state = clerk.run().to_state()
        state.approve(state.get_interruptions()[0], always_approve=True)
        assert clerk.run(state).final_output == TOLD
    assert PAID == [5]
    assert "approve each call" in clerk.read[-1]


@each("name", ASKED)
def test_a_no_of_a_person_holds_for_the_run(name: str) -> None:
    """If the model repeats the call, remit denies it and does not ask again."""
    PAID.clear()
    clerk = Clerk(name, [9999], [9999])
    with isolated(on_violation="deny") as recorder, desk.run():
        assert clerk.run(rejected(clerk.run())).final_output == TOLD
    assert not PAID
    assert clerk.read[0] == WHY
    assert "A person refused this step" in clerk.read[1]
    assert len(record_of(recorder)) == 1


def test_two_calls_in_one_message_are_two_questions() -> None:
    """Each answer belongs to its call."""
    clerk = Clerk("plain", [5, 7])
    with isolated(on_violation="deny") as recorder, desk.run():
        state = clerk.run().to_state()
        first, second = state.get_interruptions()
        state.reject(first, rejection_message=WHY)
        state.approve(second)
        assert clerk.run(state, by=None).final_output == TOLD
    assert PAID == [7]
    assert record_of(recorder) == [(5, "refused", None, WHY), (7, "approved", None, None)]


def changed_states(state: str) -> Iterator[str]:
    """Yield a stored state with other arguments in one of their copies, and in all."""
    shown, other = '\\"euros\\": 40', '\\"euros\\": 9999'
    yield state.replace(shown, other)
    parts = state.split(shown)
    assert len(parts) > 2
    for number in range(1, len(parts)):
        yield shown.join(parts[:number]) + other + shown.join(parts[number:])


def test_arguments_that_are_changed_in_the_state_do_not_run() -> None:
    """The SDK rejects such a state, asks again, or runs the call with the approved arguments."""
    with isolated(on_violation="deny"), desk.run():
        stored = json.dumps(approved(Clerk("plain", [40]).run()).to_json())
        for state in changed_states(stored):
            clerk = Clerk("plain", [40])
            clerk.run()
            with suppress(AgentsException):
                clerk.run(asyncio.run(RunState.from_json(clerk.agent, json.loads(state))))
    assert 9999 not in PAID


def test_a_tool_that_could_not_be_asked_about_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fault, the SDK calls the tool without an approval."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    clerk = Clerk("plain", [40])
    with isolated(on_violation="deny"), desk.run():
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr("remit.integrations.openai_agents.record_asked", broken)
        assert clerk.run().final_output == TOLD
    assert not PAID
    assert "it was not approved" in clerk.read[-1]


def test_the_approval_of_a_tool_is_none_of_a_step_inside_it() -> None:
    """The model reads what to declare."""
    clerk = Clerk("outer", [5], risk=PAYS)
    with isolated(on_violation="deny"), desk.run():
        assert clerk.run(approved(clerk.run())).final_output == TOLD
    assert not PAID
    assert "asks about tools only" in clerk.read[-1]


def test_a_step_below_a_tool_cannot_be_asked_about() -> None:
    """The model reads what to declare."""
    clerk = Clerk("outer", [5])
    with isolated(on_violation="deny"), desk.run():
        assert clerk.run().final_output == TOLD
    assert not PAID
    assert "no approver is set" in clerk.read[-1]


@each("name", ASKED)
def test_an_approver_is_asked_instead_and_the_run_is_not_interrupted(name: str) -> None:
    """It may be a coroutine function where the tool is one."""
    PAID.clear()

    async def ask(_request: remit.ApprovalRequest) -> remit.Approved:
        return remit.Approved(by="ben")

    def ask_now(_request: remit.ApprovalRequest) -> remit.Approved:
        return remit.Approved(by="ben")

    for approver in (ask, ask_now):
        clerk = Clerk(name, [5])
        with isolated(on_violation="deny", approver=approver) as recorder, desk.run():
            assert clerk.run().final_output == TOLD
        assert record_of(recorder) == [(5, "approved", "ben", None)]
    assert PAID == [5, 5]


def test_an_agent_as_a_tool_waits_for_the_tool_of_its_own() -> None:
    """The state of the outer run brings the answer."""
    inner = Clerk("plain", [40])
    tool = inner.agent.as_tool("ask_clerk", "Ask.")
    model = ScriptedModel([Turn(calls=(("ask_clerk", {"input": "Pay."}),)), DONE])
    risks = {"ask_clerk": remit.risk(forbids="others")}
    outer_agent = govern(Agent(name="Boss", model=model, tools=[tool]), risks=risks)
    with isolated(on_violation="deny") as recorder, desk.run():
        first = asyncio.run(Runner.run(outer_agent, "Pay."))
        assert (amounts(first), PAID) == ([40], [])
        result = asyncio.run(Runner.run(outer_agent, approved(first)))
    assert (result.final_output, PAID) == (TOLD, [40])
    assert record_of(recorder) == [(40, "approved", None, None)]


def test_an_approver_of_a_shell_is_awaited() -> None:
    """The model reads the reason of a no as its output."""
    ran: list[object] = []

    async def refuse(_request: remit.ApprovalRequest) -> remit.Refused:
        return remit.Refused(by="dana", why=WHY)

    def execute(request: object) -> str:
        ran.append(request)
        return "done"

    model = ScriptedModel([Asks(item=SHELL), DONE])
    tool = ShellTool(executor=execute)
    agent = govern(Agent(name="Operator", model=model, tools=[tool]))
    with isolated(on_violation="deny", approver=refuse) as recorder, desk.run():
        assert asyncio.run(Runner.run(agent, "Clean up.")).final_output == TOLD
    assert not ran
    (answer,) = recorder.spans("remit:answered")
    assert (answer.payload["decision"], answer.payload["why"]) == ("refused", WHY)


@each("name", ASKED)
def test_without_traces_a_tool_waits_as_well(name: str) -> None:
    """The remit of the agent says what is asked."""
    PAID.clear()
    clerk = Clerk(name, [5], tracing=False)
    with isolated(on_violation="deny"):
        first = clerk.run()
        assert (amounts(first), PAID) == ([5], [])
        assert clerk.run(approved(first)).final_output == TOLD
    assert PAID == [5]


@each("name", ASKED)
def test_another_process_goes_on_with_the_answer(name: str) -> None:
    """It records the answer to the question of the first."""
    PAID.clear()
    clerk = Clerk(name, [42])
    with isolated(on_violation="deny") as recorder:
        with desk.run() as run:
            text = json.dumps(clerk.run().to_state().to_json())
            run.leave_open()
        (question,) = recorder.spans("remit:asked")
    state = asyncio.run(RunState.from_json(clerk.agent, json.loads(text)))
    state.approve(state.get_interruptions()[0])
    with isolated(on_violation="deny") as recorder, desk.run(resume=run.key):
        assert clerk.run(state).final_output == TOLD
    assert PAID == [42]
    (answer,) = recorder.spans("remit:answered")
    assert answer.payload["ticket"] == question.payload["ticket"]
    assert "remit:asked" not in {span.name for span in recorder.spans()}


def test_observed_steps_run_without_a_question() -> None:
    """Nothing is interrupted."""
    clerk = Clerk("plain", [5])
    with isolated(), desk.run():
        assert clerk.run().final_output == TOLD
    assert PAID == [5]


def test_the_name_of_a_person_is_a_text() -> None:
    """Nothing else is recorded."""
    with pytest.raises(UsageError, match="expected the name of a person"), answered_by(""):
        pass
