"""The integration of CrewAI: the shared scenarios, and what only CrewAI has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final

os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"
os.environ["CREWAI_TRACING_ENABLED"] = "false"
os.environ["OTEL_SDK_DISABLED"] = "true"

import pytest
from crewai import Agent, Crew, Task
from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.llm_events import LLMCallType
from crewai.flow.flow import Flow, FlowState
from crewai.flow.flow import start as flow_start
from crewai.hooks import HookAborted
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.tools import tool as tool_of
from dirty_equals import IsStr
from pydantic import PrivateAttr

import remit
from remit.errors import DeclarationError, RunTerminated
from remit.integrations.crewai import RemitListener
from remit.models.data_risk import DataRisk
from remit.testing import RecordingSink, isolated
from tests.inside import guard, step_name
from tests.scenarios import (
    DONE,
    LOOK_UP,
    PAYS,
    PAYS_NOT,
    TOLD,
    Driver,
    Ran,
    Scenario,
    Tool,
    Turn,
    careful,
    check,
    desk,
    each_scenario_of,
    fail,
    find,
    look_up,
    pay,
    spend,
)

CREW: Final = "crewai:crew"
AGENT: Final = "crewai:agent"
LLM: Final = "crewai:llm"
TOOL: Final = "crewai:tool"


class Script(BaseLLM):
    """A model that answers with the scripted turns, and reports its calls as CrewAI's own do."""

    _turns: Sequence[Turn] = PrivateAttr()
    _on_model_call: Callable[[int], object] | None = PrivateAttr()
    _calls: int = PrivateAttr(default=0)
    _read: list[str] = PrivateAttr(default_factory=list[str])
    _reports: bool = PrivateAttr(default=True)
    _native: bool = PrivateAttr(default=True)
    _thought: str = PrivateAttr(default="")

    def __init__(
        self,
        turns: Sequence[Turn],
        on_model_call: Callable[[int], object] | None = None,
        *,
        reports: bool = True,
        native: bool = True,
        thought: str = "",
    ) -> None:
        """Answer with *turns*, each after *on_model_call*.

        Args:
            turns: The answers.
            on_model_call: Called before each.
            reports: Whether the model emits events.
            native: Whether calls of tools are data, or text that the framework reads.
            thought: What the model thinks before each answer.
        """
        super().__init__(model="scripted", provider="openai")
        self._turns, self._on_model_call = turns, on_model_call
        self._reports, self._native, self._thought = reports, native, thought

    @property
    def calls(self) -> int:
        """Number of calls."""
        return self._calls

    @property
    def read(self) -> list[str]:
        """The results of tools that the last call was given."""
        return self._read

    def supports_function_calling(self) -> bool:
        """Return whether calls of tools are data."""
        return self._native

    def call(self, messages: Any, tools: Any = None, **_: Any) -> Any:
        """Answer."""
        with llm_call_context():
            if self._reports:
                self._emit_call_started_event(messages=messages, tools=tools, temperature=0.5)
            self._read = [str(each["content"]) for each in messages if each["role"] == "tool"]
            number, self._calls = self._calls, self._calls + 1
            try:
                if self._on_model_call is not None:
                    self._on_model_call(number)
            except OSError as error:
                if self._reports:
                    self._emit_call_failed_event(error=str(error))
                raise
            answer = self._answer(self._turns[number])
            for chunk in self._thought.split():
                self._emit_thinking_chunk_event(chunk=f"{chunk} ")
            if self._reports:
                self._emit_call_completed_event(
                    response=answer,
                    call_type=LLMCallType.LLM_CALL,
                    messages=messages,
                    usage={"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
                    finish_reason="stop",
                )
            return answer

    async def acall(self, messages: Any, tools: Any = None, **options: Any) -> Any:
        """Answer."""
        return self.call(messages, tools, **options)

    def _answer(self, turn: Turn) -> Any:
        if not turn.calls:
            return turn.text if self._native else f"Thought: done\nFinal Answer: {turn.text}"
        if not self._native:
            ((name, arguments),) = turn.calls
            shown = str(arguments).replace("'", '"')
            return f"Thought: I ask.\nAction: {name}\nAction Input: {shown}"
        return [
            {
                "id": f"call-{self._calls}-{index}",
                "type": "function",
                "function": {"name": name, "arguments": str(arguments).replace("'", '"')},
            }
            for index, (name, arguments) in enumerate(turn.calls)
        ]


def agent_of(script: Script, *tools: Tool, role: str = "clerk", **fields: Any) -> Agent:
    """Return an agent with a scripted model."""
    made = [tool_of(each.__name__)(each) for each in tools]
    return Agent(role=role, goal="Help.", backstory="Helpful.", llm=script, tools=made, **fields)


def crew_of(*agents: Agent, **fields: Any) -> Crew:
    """Return a crew with a task for each agent."""
    tasks = [
        Task(description="Where is A-1?", expected_output="A place.", agent=agent)
        for agent in agents
    ]
    return Crew(agents=list(agents), tasks=tasks, name="desk-crew", **fields)


class CrewAi:
    """Runs crews."""

    prefix = "crewai"
    has_agent = True
    has_tools = True
    lacks: Mapping[str, str] = {"cancelled": "a crew runs on a thread, which cannot be cancelled"}

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,  # noqa: ARG002 - a crew has one answer
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Run a crew once."""
        RemitListener(risks=risks)
        script = Script(turns, on_model_call)
        output: Any = await crew_of(agent_of(script, *tools)).kickoff_async()
        return Ran(output.raw, script.read, script.calls)


DRIVER: Final[Driver] = CrewAi()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Take the hooks back, and wait for events."""
    yield
    crewai_event_bus.flush()
    listener = RemitListener._active  # noqa: SLF001 - what the test made
    if listener is not None:
        listener.close()


@each_scenario_of(DRIVER)
def test_a_scenario(scenario: Scenario) -> None:
    """As with every framework."""
    check(scenario, DRIVER)


SPEND: Final = Turn(calls=(("spend", {"amount": 5}),))


def run(crew: Any, **listener: Any) -> str:
    """Run a crew with a listener."""
    RemitListener(**listener)
    return str(crew.kickoff().raw)


def inner_tree() -> list[Any]:
    """Return the tree of an agent that looks an order up."""
    return [AGENT, [[LLM, []], [f"{TOOL}:look_up", [["desk:find", []]]], [LLM, []]]]


# Payloads


def test_a_model_call_has_what_the_framework_knows(recorder: RecordingSink) -> None:
    """Settings, tools, tokens, and why it ended; events bring them, on other threads."""
    with desk.run():
        run(crew_of(agent_of(Script([LOOK_UP, DONE]), look_up)))
    first, second = recorder.spans(LLM)
    assert (first.payload["operation"], first.payload["provider"]) == ("chat", "openai")
    assert (first.payload["model_name"], first.payload["temperature"]) == ("scripted", 0.5)
    (offered,) = first.payload["inputs"]["tools"]
    assert offered["name"] == "look_up"
    result = second.result or {}
    assert result["token_usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
    }
    assert result["outputs"]["finish_reasons"] == ["stop"]
    assert second.payload["inputs"]["omitted"]["count"] == 3


def test_a_model_that_reports_no_events_is_recorded(recorder: RecordingSink) -> None:
    """A class of your own need not emit any; its tokens are not known."""
    with desk.run():
        run(crew_of(agent_of(Script([LOOK_UP, DONE], reports=False), look_up)))
    first, second = recorder.spans(LLM)
    assert (first.status, second.status) == ("complete", "complete")
    assert (second.result or {})["outputs"]["messages"][-1]["content"] == TOLD
    assert "token_usage" not in (second.result or {})


def test_an_agent_and_a_crew_have_inputs_and_outputs(recorder: RecordingSink) -> None:
    """Where the redaction that follows the run looks."""
    RemitListener()
    crew_of(agent_of(Script([DONE]))).kickoff(inputs={"order": "A-1"})
    (crew,), (agent,) = recorder.spans(CREW), recorder.spans(AGENT)
    assert crew.payload == {"agent_name": "desk-crew", "inputs": {"order": "A-1"}}
    assert agent.payload == {"agent_name": "clerk", "inputs": {"prompt": "Where is A-1?"}}
    assert crew.result == agent.result == {"outputs": {"output": TOLD}}
    assert recorder.runs[0].agent == "crewai.agents:desk-crew"


def test_messages_are_left_out_on_request(recorder: RecordingSink) -> None:
    """Counts, tokens and the arguments of tools stay."""
    run(crew_of(agent_of(Script([LOOK_UP, DONE]), look_up)), capture_messages="none")
    texts = str([(span.payload, span.result) for span in recorder.spans()])
    assert "Where is" not in texts
    assert TOLD not in texts
    assert (recorder.spans(LLM)[0].result or {})["token_usage"]["total_tokens"] == 12


@pytest.mark.parametrize("captured", [False, True])
def test_thoughts_are_recorded_on_request_only(recorder: RecordingSink, captured: bool) -> None:
    """They may hold what the answer withholds."""
    crew = crew_of(agent_of(Script([DONE], thought="Hm, a thief.")))
    assert run(crew, capture_reasoning=captured) == TOLD
    (call,) = recorder.spans(LLM)
    content = (call.result or {})["outputs"]["messages"][0]["content"]
    thought, text = {"type": "reasoning", "text": "Hm, a thief. "}, {"type": "text", "text": TOLD}
    assert content == ([thought, text] if captured else TOLD)
    assert ("thief" in str([span.result for span in recorder.spans()])) is captured


# Trees


def test_each_task_has_an_agent_beneath_the_crew(recorder: RecordingSink) -> None:
    """In order."""
    agents = [agent_of(Script([LOOK_UP, DONE]), look_up, role=role) for role in ("a", "b")]
    assert run(crew_of(*agents)) == TOLD
    assert recorder.tree() == [[[CREW, [inner_tree(), inner_tree()]]]]
    assert [span.payload["agent_name"] for span in recorder.spans(AGENT)] == ["a", "b"]
    assert {span.status for span in recorder.spans()} == {"complete"}


def test_a_task_on_a_thread_of_its_own_is_beneath_the_crew(recorder: RecordingSink) -> None:
    """The framework copies the context."""
    agent = agent_of(Script([LOOK_UP, DONE]), look_up)
    task = Task(description="Where?", expected_output="A.", agent=agent, async_execution=True)
    assert run(Crew(agents=[agent], tasks=[task])) == TOLD
    assert recorder.tree() == [[[CREW, [inner_tree()]]]]


def test_an_agent_without_a_crew_opens_a_run(recorder: RecordingSink) -> None:
    """The framework runs it as a flow of its own, which is not shown."""
    RemitListener()
    answer: Any = agent_of(Script([LOOK_UP, DONE]), look_up).kickoff("Where is A-1?")
    crewai_event_bus.flush()
    assert answer.raw == TOLD
    assert recorder.tree() == [[inner_tree()]]
    assert [(each.agent, each.status) for each in recorder.runs] == [
        ("crewai.agents:clerk", "complete")
    ]


def test_a_flow_holds_its_crews(recorder: RecordingSink) -> None:
    """And its decorated steps."""

    class Orders(Flow[FlowState]):
        """Asks a crew."""

        @flow_start()
        def begin(self) -> str:
            find("before")
            return str(crew_of(agent_of(Script([LOOK_UP, DONE]), look_up)).kickoff().raw)

    RemitListener()
    assert Orders().kickoff() == TOLD
    assert recorder.tree() == [[["crewai:flow", [["desk:find", []], [CREW, [inner_tree()]]]]]]
    (own,) = recorder.runs
    assert (own.agent, own.status) == ("crewai.agents:Orders", "complete")
    names = [step_name(span.name, span.payload) for span in recorder.spans()]
    assert [f"{name.text} {name.word}" for name in names if name is not None][:3] == [
        "Orders flow", "desk-crew crew", "clerk agent",
    ]  # fmt: skip


def test_an_agent_that_is_asked_by_another_is_beneath_the_tool() -> None:
    """The tool itself has no effect, and is not refused."""
    asked = agent_of(Script([DONE]), role="payer")
    turn = Turn(
        calls=(
            (
                "delegate_work_to_coworker",
                {"task": "Pay.", "context": "None.", "coworker": "payer"},
            ),
        )
    )
    script = Script([turn, DONE])
    asking = agent_of(script, role="clerk", allow_delegation=True)
    task = Task(description="Pay.", expected_output="A receipt.", agent=asking)
    with isolated(on_violation="deny") as recorder, careful.run():
        assert run(Crew(agents=[asking, asked], tasks=[task], name="pair")) == TOLD
        assert script.read == [TOLD]
        below = [
            [LLM, []],
            [f"{TOOL}:delegate_work_to_coworker", [[AGENT, [[LLM, []]]]]],
            [LLM, []],
        ]
        assert recorder.tree()[0] == [[CREW, [[AGENT, below]]]]
        assert {span.status for span in recorder.spans()} == {"complete"}


def test_a_decorated_tool_has_one_span(recorder: RecordingSink) -> None:
    """Its own."""
    turns = [Turn(calls=(("find", {"order_id": "A-1"}),)), DONE]
    run(crew_of(agent_of(Script(turns), find)))
    assert recorder.tree() == [[[CREW, [[AGENT, [[LLM, []], ["desk:find", []], [LLM, []]]]]]]]


def test_two_hundred_requests_at_once_do_not_mix(recorder: RecordingSink) -> None:
    """Each has a run of its own."""
    RemitListener()

    async def one(number: int) -> None:
        turn = Turn(calls=(("look_up", {"order_id": f"A-{number}"}),))
        await crew_of(agent_of(Script([turn, DONE]), look_up)).kickoff_async()

    async def program() -> None:
        await asyncio.gather(*(one(number) for number in range(200)))

    asyncio.run(program())
    assert len(recorder.runs) == 200
    assert recorder.tree() == [[[CREW, [inner_tree()]]]] * 200
    assert len({str(span.payload) for span in recorder.spans("desk:find")}) == 200
    assert {span.status for span in recorder.spans()} == {"complete"}


# Tools


@pytest.mark.parametrize("native", [True, False], ids=["data", "text"])
@pytest.mark.parametrize(
    ("tool", "step", "risks"),
    [(pay, "desk:pay", None), (spend, f"{TOOL}:spend", {"spend": PAYS})],
    ids=["decorated", "declared"],
)
def test_a_refused_tool_is_tried_once(
    tool: Tool, step: str, risks: Mapping[str, DataRisk] | None, native: bool
) -> None:
    """The framework tries a tool that fails several times."""
    turns = [Turn(calls=((tool.__name__, {"amount": 5}),)), DONE]
    with isolated(on_violation="deny") as recorder, careful.run():
        assert run(crew_of(agent_of(Script(turns, native=native), tool)), risks=risks) == TOLD
        assert [span.status for span in recorder.spans(step)] == ["failed"]
        read = str(recorder.spans(LLM)[1].payload["inputs"]["messages"])
        assert "Policy denied this step and it did not run" in read


def test_the_remit_of_an_agent_applies_beneath_it() -> None:
    """And not beside it."""
    calls: list[int] = []

    def count(amount: int) -> str:
        """Spend an amount."""
        calls.append(amount)
        return "spent"

    turns = [Turn(calls=(("count", {"amount": 1}),)), DONE]
    agents = [agent_of(Script(turns), count, role=role) for role in ("careful", "free")]
    with isolated(on_violation="deny") as recorder:
        run(crew_of(*agents, cache=False), risks={"count": PAYS}, remits={"careful": PAYS_NOT})
        statuses = [span.status for span in recorder.spans(f"{TOOL}:count")]
        assert (calls, statuses) == ([1], ["failed", "complete"])


def test_the_remit_of_a_crew_applies_to_its_agents() -> None:
    """In the run that it opens."""
    with isolated(on_violation="deny") as recorder:
        crew = crew_of(agent_of(Script([SPEND, DONE]), spend))
        assert run(crew, risks={"spend": PAYS}, remits={"desk-crew": PAYS_NOT}) == TOLD
        (tool,) = recorder.spans(f"{TOOL}:spend")
        assert len((tool.result or {})["error"]["violations"]) == 1


@pytest.mark.parametrize("name", ["Spend Counter", "spend_counter"])
def test_a_risk_has_the_name_of_the_tool_or_that_which_the_model_uses(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The framework makes the second of the first."""
    tool = tool_of("Spend Counter")(spend)
    turns = [Turn(calls=(("spend_counter", {"amount": 5}),)), DONE]
    agent = agent_of(Script(turns))
    agent.tools = [tool]
    with isolated(on_violation="deny") as recorder:
        assert run(crew_of(agent), risks={name: PAYS}, remits={"clerk": PAYS_NOT}) == TOLD
        (span,) = recorder.spans(f"{TOOL}:spend_counter")
    assert "it allows financial_transactions" in (span.result or {})["error"]["message"]
    assert "so far" not in caplog.text


def test_a_name_in_risks_that_no_tool_has_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the names that exist; not while the tools that exist are declared."""
    with isolated(), RemitListener(risks={"find_item": PAYS_NOT, "spent": PAYS}):
        crew_of(agent_of(Script([DONE]))).kickoff()
        assert "so far" not in caplog.text
        for _ in range(2):
            agents = agent_of(Script([LOOK_UP, DONE]), look_up), agent_of(Script([DONE]), spend)
            crew_of(*agents).kickoff()
    assert [line for line in caplog.messages if "so far" in line] == [
        IsStr(
            regex=r"RemitListener at .*test_crewai\.py:\d+: risks names 'find_item', 'spent', "
            r"which no tool has had so far; the tools are look_up, spend"
        )
    ]


def test_a_tool_that_is_not_called_has_its_name_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """That of a task, and of an agent without a crew."""
    with isolated(), RemitListener(risks={"spend": PAYS}):
        agent = agent_of(Script([DONE, DONE]))
        tools = [tool_of("spend")(spend), tool_of("look_up")(look_up)]
        task = Task(description="Where?", expected_output="A.", agent=agent, tools=tools)
        Crew(agents=[agent], tasks=[task]).kickoff()
    with isolated(), RemitListener(risks={"spend": PAYS}):
        agent_of(Script([LOOK_UP, DONE]), look_up, spend).kickoff("Where is A-1?")
        crewai_event_bus.flush()
    assert "so far" not in caplog.text


def test_a_tool_that_fails_is_failed_with_its_error(recorder: RecordingSink) -> None:
    """An event brings the exception; the model reads the framework's own words."""
    script = Script([Turn(calls=(("fail", {"order_id": "A-1"}),)), DONE])
    assert run(crew_of(agent_of(script, fail))) == TOLD
    (tool,) = recorder.spans(f"{TOOL}:fail")
    assert (tool.status, (tool.result or {})["error"]["type"]) == ("failed", "LookupError")
    assert script.read == ["Error executing tool: no A-1"]


def test_a_tool_that_does_not_exist_has_no_span() -> None:
    """The model reads the framework's own words, not a refusal."""
    script = Script([Turn(calls=(("unknown", {}),)), DONE])
    with isolated(on_violation="deny") as recorder, careful.run():
        assert run(crew_of(agent_of(script, look_up))) == TOLD
        assert script.read == ["Tool not found"]
        assert f"{TOOL}:unknown" not in {span.name for span in recorder.spans()}


# Bare and instrumented


def broken(number: int) -> None:
    """Fail at each call after the first."""
    if number:
        raise OSError("gone")


@pytest.mark.parametrize("native", [True, False], ids=["data", "text"])
@pytest.mark.parametrize(
    ("turns", "tools", "on_model_call"),
    [
        ([LOOK_UP, DONE], [look_up], None),
        ([Turn(calls=(("fail", {"order_id": "A-1"}),)), DONE], [fail], None),
        ([Turn(calls=(("unknown", {"a": 1}),)), DONE], [look_up], None),
        ([LOOK_UP, DONE], [look_up], broken),
    ],
    ids=["answer", "tool fails", "no such tool", "model fails"],
)
def test_a_crew_does_the_same_with_and_without(
    recorder: RecordingSink,
    turns: Sequence[Turn],
    tools: Sequence[Tool],
    on_model_call: Callable[[int], object] | None,
    native: bool,
) -> None:
    """Results, errors, and what the model reads."""
    outcomes: list[Any] = []
    for listens in (False, True):
        listener = RemitListener() if listens else None
        script = Script(turns, on_model_call, native=native)
        try:
            output = crew_of(agent_of(script, *tools)).kickoff().raw
        except Exception as error:  # noqa: BLE001 - compared
            output = repr(error)
        outcomes.append((output, script.read, script.calls))
        if listener is not None:
            listener.close()
    assert outcomes[0] == outcomes[1]
    assert "active" not in {span.status for span in recorder.spans()}


def test_a_model_that_fails_is_a_failed_span(recorder: RecordingSink) -> None:
    """The framework tries the agent again; in the end the crew and its run fail."""
    with pytest.raises(OSError, match="gone"):
        run(crew_of(agent_of(Script([LOOK_UP, DONE], broken), look_up)))
    statuses = [span.status for span in recorder.spans(LLM)]
    assert statuses[0] == "complete"
    assert set(statuses[1:]) == {"failed"}
    assert {span.status for span in (*recorder.spans(AGENT), *recorder.spans(CREW))} == {"failed"}
    assert recorder.runs[0].status == "failed"


# Termination


@pytest.mark.parametrize("on_a_thread", [False, True])
def test_a_terminated_crew_calls_no_model_again(on_a_thread: bool) -> None:
    """Its spans and its run end; on a thread of its own, the framework sees an exception."""
    with isolated() as recorder:

        def stop(order_id: str) -> str:
            """Stop the run."""
            recorder.runs[0].feed.terminated = "stopped"
            return order_id

        script = Script([Turn(calls=(("stop", {"order_id": "A-1"}),)), DONE])
        agent = agent_of(script, stop)
        task = Task(
            description="Stop.", expected_output="A.", agent=agent, async_execution=on_a_thread
        )
        with pytest.raises(HookAborted if on_a_thread else RunTerminated):
            run(Crew(agents=[agent], tasks=[task]))
        assert script.calls == 1
        assert "active" not in {span.status for span in recorder.spans()}
        assert (recorder.runs[0].root.result or {})["status"] == "terminated"


# Faults


def test_a_fault_loses_a_span_at_most(
    monkeypatch: pytest.MonkeyPatch, recorder: RecordingSink
) -> None:
    """It is counted."""
    monkeypatch.setattr(guard.faults, "strict", False)

    def broken(*_: object, **__: object) -> None:
        raise TypeError("not as expected")

    monkeypatch.setattr("remit.integrations.crewai._answered", broken)
    monkeypatch.setattr("remit.integrations.crewai.step_of", broken)
    assert run(crew_of(agent_of(Script([LOOK_UP, DONE]), look_up))) == TOLD
    assert remit.status().faults
    tree = [CREW, [[AGENT, [[LLM, []], [TOOL, [["desk:find", []]]], [LLM, []]]]]]
    assert recorder.tree() == [[tree]]


@pytest.mark.parametrize("of_run", [False, True], ids=["of the agent", "of the run"])
def test_a_fault_lifts_no_remit(monkeypatch: pytest.MonkeyPatch, of_run: bool) -> None:
    """That of an agent which could not be declared holds, and a tool that could not is refused."""

    def broken(*_: object, **__: object) -> None:
        raise TypeError("not as expected")

    with isolated(on_violation="deny") as recorder:
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr("remit._adapters.declare.declare_agent", broken)
        monkeypatch.setattr("remit.integrations.crewai.declare", broken)
        remits = None if of_run else {"clerk": PAYS_NOT}
        crew = crew_of(agent_of(Script([SPEND, SPEND, DONE]), spend))
        with careful.run() if of_run else nullcontext():
            assert run(crew, risks={"spend": PAYS}, remits=remits) == TOLD
        assert remit.status().faults
        assert {span.status for span in recorder.spans(TOOL)} == {"failed"}


# Arguments


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ({"risks": ["pay"]}, "risks is .*expected a mapping of names"),
        ({"remits": ["clerk"]}, "remits is .*expected a mapping of names"),
        ({"risks": {"pay": 5}}, "RemitListener"),
        ({"capture_messages": "some"}, "capture_messages is 'some'"),
    ],
)
def test_a_wrong_argument_is_said(arguments: dict[str, Any], seen: str) -> None:
    """What was seen, and what was expected."""
    with pytest.raises(DeclarationError, match=seen):
        RemitListener(**arguments)


def test_another_listener_replaces_the_first(recorder: RecordingSink) -> None:
    """A cell of a notebook may run twice; after the last one is closed, nothing is recorded."""
    RemitListener()
    with RemitListener():
        crew_of(agent_of(Script([DONE]))).kickoff()
    crew_of(agent_of(Script([DONE]))).kickoff()
    assert recorder.tree() == [[[CREW, [[AGENT, [[LLM, []]]]]]]]


@pytest.mark.parametrize("key", ["agent_id", "external_identifier"])
def test_an_identifier_that_is_not_a_text_is_an_error(key: str) -> None:
    """The message names the argument."""
    given: Any = {key: 3}
    with pytest.raises(DeclarationError, match=f"RemitListener: {key} is of type int"):
        RemitListener(**given)
