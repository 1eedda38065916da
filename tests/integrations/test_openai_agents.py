"""The OpenAI Agents SDK, through a `Model` that gives scripted answers."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import httpx2
import pytest
from agents import (
    Agent,
    AgentHooks,
    ApplyPatchOperation,
    ApplyPatchResult,
    ApplyPatchTool,
    AsyncComputer,
    CodeInterpreterTool,
    Computer,
    ComputerProvider,
    ComputerTool,
    CustomTool,
    FileSearchTool,
    FunctionTool,
    GuardrailFunctionOutput,
    HostedMCPTool,
    ImageGenerationTool,
    InputGuardrailTripwireTriggered,
    LocalShellCommandRequest,
    LocalShellTool,
    Model,
    ModelResponse,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    RunState,
    ShellCommandOutput,
    ShellCommandRequest,
    ShellResult,
    ShellTool,
    ToolGuardrailFunctionOutput,
    ToolSearchTool,
    Usage,
    UserError,
    WebSearchTool,
    default_tool_error_function,
    function_span,
    function_tool,
    generation_span,
    handoff,
    input_guardrail,
    set_trace_processors,
    set_tracing_disabled,
    tool_input_guardrail,
    trace,
)
from agents.mcp import MCPServer
from agents.tracing import response_span
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as McpTool
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

import remit
from remit.errors import DeclarationError, DeniedError, RunTerminated
from remit.integrations.openai_agents import RemitProcessor, answered_by, govern
from remit.models.data_risk import DataRisk
from remit.testing import RecordedRun, RecordingSink, isolated
from tests import scenarios
from tests.inside import guard, process
from tests.scenarios import DONE, LOOK_UP, PAYS, PAYS_NOT, Ran, Scenario, Tool, Turn

MODEL: Final = "gpt-5"
USAGE: Final = ResponseUsage(
    input_tokens=12,
    output_tokens=3,
    total_tokens=15,
    input_tokens_details=InputTokensDetails.model_validate(
        {"cached_tokens": 4, "cache_write_tokens": 0}
    ),
    output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
)


def parts_of(args: tuple[Any, ...], named: dict[str, Any]) -> Iterator[Any]:
    """Return instructions, input, tools and tracing of a call, of which the SDK names some."""
    names = (
        "system_instructions", "input", "model_settings", "tools", "output_schema", "handoffs",
        "tracing",
    )  # fmt: skip
    parts = {**dict(zip(names, args, strict=False)), **named}
    return (parts[name] for name in ("system_instructions", "input", "tools", "tracing"))


@dataclasses.dataclass(frozen=True)
class Asks(Turn):
    """An answer that calls a tool of the SDK by an item of the Responses API."""

    item: Mapping[str, object] = dataclasses.field(default_factory=dict[str, object])


class ScriptedModel(Model):
    """Gives scripted answers, and traces them as the SDK's model of the Responses API does."""

    def __init__(
        self, turns: Sequence[Turn], on_model_call: Callable[[int], object] | None = None
    ) -> None:
        """Give the answers of *turns* in order."""
        self.turns, self.calls = turns, 0
        self.on_model_call = on_model_call
        self.inputs: list[Any] = []
        self.offered: list[list[str]] = []
        self.ran = Ran("")

    def respond(self, instructions: str | None, given: Any, tools: Any) -> Response:
        """Return the next answer."""
        number, self.calls = self.calls, self.calls + 1
        self.inputs.append(given)
        self.offered.append([tool.name for tool in tools])
        if self.on_model_call is not None:
            self.on_model_call(number)
        turn = self.turns[number]
        output: list[Any] = []
        if turn.text is not None:
            text = ResponseOutputText(type="output_text", text=turn.text, annotations=[])
            output.append(
                ResponseOutputMessage(
                    id=f"msg-{number}", type="message", role="assistant", status="completed",
                    content=[text],
                )
            )  # fmt: skip
        output += [
            ResponseFunctionToolCall(
                type="function_call", call_id=f"call-{number}-{index}", name=name,
                arguments=json.dumps(arguments),
            )
            for index, (name, arguments) in enumerate(turn.calls)
        ]  # fmt: skip
        items = [item.model_dump(by_alias=True, exclude_none=True) for item in output]
        if isinstance(turn, Asks):
            call_id = {"id": f"item-{number}", "call_id": f"call-{number}"}
            items.append({**call_id, "status": "completed", **turn.item})
        return Response.model_validate({
            "id": f"resp-{number}", "object": "response", "created_at": 0, "model": MODEL,
            "output": items, "status": "completed", "usage": USAGE.model_dump(),
            "instructions": instructions, "parallel_tool_calls": True, "tool_choice": "auto",
            "temperature": 0.5, "tools": [
                {"type": "function", "name": tool.name, "description": tool.description,
                 "parameters": tool.params_json_schema, "strict": True}
                for tool in tools if isinstance(tool, FunctionTool)
            ],
        })  # fmt: skip

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        """Answer."""
        instructions, given, tools, tracing = parts_of(args, named)
        with response_span(disabled=tracing.is_disabled()) as span:
            await asyncio.sleep(0)
            response = self.respond(instructions, given, tools)
            if tracing.include_data():
                span.span_data.response, span.span_data.input = response, given
        return ModelResponse(output=response.output, usage=Usage(), response_id=response.id)

    async def stream_response(self, *args: Any, **named: Any) -> AsyncIterator[Any]:
        """Answer in one event."""
        instructions, given, tools, tracing = parts_of(args, named)
        with response_span(disabled=tracing.is_disabled()) as span:
            await asyncio.sleep(0)
            response = self.respond(instructions, given, tools)
            span.span_data.response, span.span_data.input = response, given
            yield ResponseCompletedEvent(
                type="response.completed", response=response, sequence_number=0
            )


def read_by(model: ScriptedModel) -> list[str]:
    """Return the results of tools that the model was given."""
    given = model.inputs[-1]
    return [
        str(item["output"]) for item in given if item.get("type") == "function_call_output"
    ] if isinstance(given, list) else []  # fmt: skip


class OpenAIAgentsDriver:
    """Runs agents of the OpenAI Agents SDK."""

    prefix = "openai-agents"
    has_agent = True
    has_tools = True
    lacks: Mapping[str, str] = MappingProxyType({})

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Make an agent and run it once."""
        model = ScriptedModel(turns, on_model_call)
        agent = govern(
            Agent(
                name="Desk",
                instructions="Be brief.",
                model=model,
                tools=[function_tool(tool) for tool in tools],
            ),
            risks=risks,
        )
        if stream:
            result: Any = Runner.run_streamed(agent, "Where is A-1?")
            async for _event in result.stream_events():
                pass
        else:
            result = await Runner.run(agent, "Where is A-1?")
        return Ran(str(result.final_output), read_by(model), model.calls)


DRIVER: Final = OpenAIAgentsDriver()


@pytest.fixture(autouse=True)
def processor() -> Iterator[RemitProcessor]:
    """Add the processor, as a program does; instead of the one that sends traces to OpenAI."""
    one = RemitProcessor()
    set_trace_processors([one])
    yield one
    set_trace_processors([])


@scenarios.each_scenario_of(DRIVER)
def test_scenario(scenario: Scenario) -> None:
    """Each cell of the table."""
    scenarios.check(scenario, DRIVER)


# What only this framework has


async def run_agent(agent: Agent[Any], *, stream: bool = False, tracing: bool = True) -> Any:
    """Run an agent, to its end."""
    config = RunConfig(tracing_disabled=not tracing)
    if not stream:
        return await Runner.run(agent, "Go.", run_config=config)
    result = Runner.run_streamed(agent, "Go.", run_config=config)
    async for _event in result.stream_events():
        pass
    return result


def scripted(*turns: Turn) -> ScriptedModel:
    """Return a model that gives the answers of *turns*."""
    return ScriptedModel(turns)


def call(name: str, **arguments: object) -> Turn:
    """Return the answer of a model that calls one tool."""
    return Turn(calls=((name, arguments),))


def names_of(recorder: RecordingSink) -> list[tuple[str, str]]:
    """Return the type and the status of each span."""
    return [(span.name, span.status) for span in recorder.spans()]


WITH_AND_WITHOUT_TRACES: Final = pytest.mark.parametrize(
    "tracing", [True, False], ids=["traced", "not traced"]
)


def test_a_tool_that_waits_for_an_approval_leaves_the_run_open() -> None:
    """One line of the user's; the resumed run goes on with the tool."""

    @function_tool(needs_approval=True)
    def ship(order_id: str) -> str:
        """Ship an order."""
        return scenarios.find(order_id)

    model = scripted(call("ship", order_id="A-1"), DONE)
    agent = govern(Agent(name="Desk", model=model, tools=[ship]))

    async def ask() -> Any:
        async with scenarios.desk.run() as run:
            result = await Runner.run(agent, "Ship A-1.")
            if result.interruptions:
                run.leave_open()
        return result.to_state()

    async def go_on(state: Any) -> str:
        async with scenarios.desk.run(resume=recorder.runs[0].key):
            state.approve(state.get_interruptions()[0])
            return str((await Runner.run(agent, state)).final_output)

    with isolated() as recorder:
        state = asyncio.run(ask())
        assert recorder.runs[0].status == "open"
        assert "desk:find" not in {span.name for span in recorder.spans()}
        assert asyncio.run(go_on(state)) == scenarios.TOLD
        assert recorder.runs[-1].status == "complete"
        (tool,) = recorder.spans("openai-agents:tool:ship")
        assert tool.status == "complete"
        assert "active" not in {span.status for span in recorder.spans()}


@pytest.mark.parametrize("saved", [False, True], ids=["in memory", "saved"])
def test_a_run_that_is_resumed_in_another_agent_is_still_governed(saved: bool) -> None:
    """The agent that was handed over to is found as its copy."""

    @function_tool(needs_approval=True)
    def spend(amount: int) -> str:
        """Spend an amount."""
        raise AssertionError(amount)

    model = scripted(call("transfer_to_billing"), call("spend", amount=5), DONE)
    billing = Agent(name="Billing", model=model, tools=[spend])
    desk = Agent(name="Desk", model=model, handoffs=[handoff(billing)])
    agent = govern(desk, risks={"spend": PAYS})

    async def ask() -> str:
        result = await Runner.run(agent, "Pay.")
        state = result.to_state()
        if saved:
            state = await RunState.from_json(agent, json.loads(json.dumps(state.to_json())))
        state.approve(state.get_interruptions()[0])
        return str((await Runner.run(agent, state)).final_output)

    with isolated(on_violation="deny"), scenarios.careful.run():
        assert asyncio.run(ask()) == scenarios.TOLD
    assert read_by(model)[-1].startswith("Policy denied this step")


@WITH_AND_WITHOUT_TRACES
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_agents_in_a_circle_have_their_own_remits(stream: bool, tracing: bool) -> None:
    """A remit holds for the tools of its agent, decorated or not, not for those of others."""
    paid: list[str] = []

    @remit.span_type("desk:settle", data_risk=PAYS)
    def settle(amount: int) -> str:
        """Settle an amount."""
        paid.append(f"settle {amount}")
        return "settled"

    @function_tool
    def spend(amount: int) -> str:
        """Spend an amount."""
        paid.append(f"spend {amount}")
        return settle(amount)

    model = scripted(
        call("spend", amount=1), call("transfer_to_billing"),
        Turn(calls=(("spend", {"amount": 2}), ("settle", {"amount": 3}))),
        call("transfer_to_desk"), call("settle", amount=4), DONE,
    )  # fmt: skip
    tools: list[Any] = [spend, function_tool(settle)]
    desk = Agent[Any](name="Desk", model=model, tools=tools)
    billing = Agent[Any](name="Billing", model=model, tools=tools, handoffs=[desk])
    desk.handoffs.append(handoff(billing))
    agent = govern(desk, risks={"spend": PAYS}, remits={"Billing": PAYS_NOT})

    async def go() -> None:
        async with scenarios.desk.run():
            result = await run_agent(agent, stream=stream, tracing=tracing)
        assert result.final_output == scenarios.TOLD
        assert result.last_agent is agent

    with isolated(on_violation="deny") as recorder:
        asyncio.run(go())
    assert paid == ["spend 1", "settle 1", "settle 4"]
    refusals = [text for text in read_by(model) if text.startswith("Policy denied")]
    assert len(refusals) == 2
    assert desk.tools == tools
    assert billing.handoffs == [desk]
    if tracing:
        agents = [span.payload["agent_name"] for span in recorder.spans("openai-agents:agent")]
        assert agents == ["Desk", "Billing", "Desk"]
        (there, back) = recorder.spans("openai-agents:handoff")
        assert there.payload == {"from_agent": "Desk", "to_agent": "Billing"}
        assert back.payload == {"from_agent": "Billing", "to_agent": "Desk"}


@remit.agent("Payments", limits=remit.limits(financial_transactions=1))
def one_payment() -> None:
    """Open runs of one payment."""


@WITH_AND_WITHOUT_TRACES
def test_the_limit_of_an_agent_around_admits_one_of_two_payments(tracing: bool) -> None:
    """Each run has its own count, and the model reads why the second payment does not run."""
    paid: list[int] = []

    @function_tool
    def spend(amount: int) -> str:
        """Spend an amount."""
        paid.append(amount)
        return "spent"

    async def go(model: ScriptedModel) -> None:
        agent = govern(Agent[Any](name="Desk", model=model, tools=[spend]), risks={"spend": PAYS})
        async with one_payment.run():
            result = await run_agent(agent, tracing=tracing)
        assert result.final_output == scenarios.TOLD

    with isolated(on_violation="deny") as recorder:
        for _ in range(2):
            model = scripted(call("spend", amount=5), call("spend", amount=7), DONE)
            asyncio.run(go(model))
    assert paid == [5, 5]
    tools = recorder.spans("openai-agents:tool:spend")
    assert [span.denied for span in tools] == [False, True] * 2
    assert "the limit of this run for financial transactions is reached" in read_by(model)[-1]


def test_an_agent_as_a_tool_is_beneath_the_tool() -> None:
    """Its own tools are governed if it was, and its spans do not open a run of their own."""
    inner = scripted(LOOK_UP, DONE)
    outer = scripted(call("research", input="A-1"), DONE)
    researcher = Agent(name="Researcher", model=inner, tools=[function_tool(scenarios.look_up)])
    tool = govern(researcher).as_tool("research", "Look things up.")
    agent = govern(Agent(name="Desk", model=outer, tools=[tool]))
    with isolated() as recorder:
        result = asyncio.run(run_agent(agent))
        assert result.final_output == scenarios.TOLD
        (run,) = recorder.runs
        assert run.agent == "openai-agents.agents:Desk"
        assert recorder.tree() == [[["openai-agents:agent", [
            ["openai-agents:llm", []],
            ["openai-agents:tool:research", [["openai-agents:agent", [
                ["openai-agents:llm", []],
                ["openai-agents:tool:look_up", [["desk:find", []]]],
                ["openai-agents:llm", []],
            ]]]],
            ["openai-agents:llm", []],
        ]]]]  # fmt: skip


def test_two_tools_of_one_name_have_each_its_own_risk() -> None:
    """Agents of two modules, in one process."""

    @function_tool
    def search(words: str) -> str:
        """Search."""
        return words

    careless = govern(
        Agent(name="One", model=scripted(call("search", words="a"), DONE), tools=[search]),
        risks={"search": PAYS_NOT},
    )
    model = scripted(call("search", words="b"), DONE)
    agent = govern(Agent(name="Two", model=model, tools=[search]), risks={"search": PAYS})
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(careless))
        asyncio.run(run_agent(agent))
        statuses = [span.status for span in recorder.spans("openai-agents:tool:search")]
    assert statuses == ["complete", "failed"]
    assert read_by(model)[0].startswith("Policy denied")


@WITH_AND_WITHOUT_TRACES
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("where", ["model", "tool", "step", "decorated"])
def test_a_termination_reaches_the_caller(where: str, stream: bool, tracing: bool) -> None:
    """And the reader of a stream; neither a model nor a tool is called after it."""

    def stop() -> None:
        recorder.runs[0].feed.terminated = "stopped"

    @function_tool
    async def first(order_id: str) -> str:
        """Be called first; by then the reader of a stream waits for the next event."""
        await asyncio.sleep(0.05)
        stop()
        return scenarios.find(order_id) if where == "step" else order_id

    @function_tool
    @remit.span_type("desk:stop")
    def decorated(order_id: str) -> str:
        """Be decorated."""
        stop()
        return scenarios.find(order_id)

    turns = [call("decorated" if where == "decorated" else "first", order_id="A-1"), DONE]
    model = ScriptedModel(turns, lambda _number: stop() if where == "model" else None)
    agent = govern(Agent(name="Desk", model=model, tools=[first, decorated]))

    async def go() -> None:
        async with asyncio.timeout(60), scenarios.desk.run():
            await run_agent(agent, stream=stream, tracing=tracing)

    with isolated() as recorder:
        with pytest.raises(RunTerminated, match="stopped"):
            asyncio.run(go())
        assert model.calls == 1
        assert recorder.spans("desk:find") == []
        assert "active" not in {span.status for span in recorder.spans()}
        assert (recorder.runs[0].root.result or {})["status"] == "terminated"


@WITH_AND_WITHOUT_TRACES
def test_a_tool_is_refused_also_without_traces(tracing: bool) -> None:
    """The guardrails of the tool need no trace."""

    @function_tool
    def quote(amount: int) -> str:
        """Tell a price."""
        return f"{amount} EUR"

    model = scripted(
        Turn(calls=(("spend", {"amount": 1}), ("ask_to_pay", {"amount": 2}))),
        call("quote", amount=3), DONE,
    )  # fmt: skip
    tools = [function_tool(scenarios.spend), function_tool(scenarios.ask_to_pay), quote]
    agent = govern(
        Agent(name="Desk", model=model, tools=[*tools]),
        risks={"spend": PAYS, "ask_to_pay": PAYS_NOT, "quote": PAYS_NOT},
    )
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        result = asyncio.run(run_agent(agent, tracing=tracing))
        assert result.final_output == scenarios.TOLD
        assert [text.startswith("Policy denied") for text in read_by(model)] == [True, True, False]
        tools_only = [each for each in names_of(recorder) if ":tool:" in each[0]]
        assert tools_only == [
            ("openai-agents:tool:spend", "failed"),
            ("openai-agents:tool:ask_to_pay", "failed"),
            ("openai-agents:tool:quote", "complete"),
        ]
        assert bool(recorder.spans("openai-agents:agent")) is tracing


@WITH_AND_WITHOUT_TRACES
def test_a_step_beneath_a_decorated_tool_is_refused_as_beneath_others(tracing: bool) -> None:
    """The model reads the refusal for the tool in question, not for one beside it."""

    @function_tool
    @remit.span_type("desk:order", data_risk=PAYS_NOT)
    def order(amount: int) -> str:
        """Order something."""
        return scenarios.pay(amount)

    @function_tool
    @remit.span_type("desk:break", data_risk=PAYS_NOT)
    def broken(amount: int) -> str:
        """Fail."""
        raise LookupError(amount)

    turn = Turn(calls=(("order", {"amount": 1}), ("broken", {"amount": 2})))
    model = scripted(turn, DONE)
    agent = govern(Agent(name="Desk", model=model, tools=[order, broken]))
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(agent, tracing=tracing))
        own = [each for each in names_of(recorder) if each[0].startswith("desk:")]
    # Plain functions run in threads of their own, side by side.
    assert sorted(own) == [(f"desk:{name}", "failed") for name in ("break", "order", "pay")]
    assert [text.split()[0] for text in read_by(model)] == ["Policy", "An"]


def test_a_tool_that_handles_a_refusal_keeps_its_answer() -> None:
    """The model reads what the tool returned."""

    @function_tool
    def careful(amount: int) -> str:
        """Try to pay."""
        try:
            return scenarios.pay(amount)
        except DeniedError:
            return "a person has to pay"

    model = scripted(call("careful", amount=1), DONE)
    agent = govern(Agent(name="Desk", model=model, tools=[careful]), risks={"careful": PAYS_NOT})
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(agent))
        assert [span.status for span in recorder.spans("openai-agents:tool:careful")] == [
            "complete"
        ]
    assert read_by(model) == ["a person has to pay"]


@WITH_AND_WITHOUT_TRACES
@pytest.mark.parametrize("decorated", [False, True], ids=["plain", "decorated"])
def test_an_answer_that_begins_like_a_failure_is_an_answer(decorated: bool, tracing: bool) -> None:
    """Also after a denial that the tool has handled."""
    line = "An error occurred while running the tool of the night, said the log."

    def read_log(amount: int) -> str:
        """Read a log."""
        with suppress(DeniedError):
            scenarios.pay(amount)
        return line

    step = remit.span_type("desk:read", data_risk=PAYS_NOT)(read_log) if decorated else read_log
    model = scripted(call("read_log", amount=1), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[function_tool(step)])
    risks = None if decorated else {"read_log": PAYS_NOT}
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(govern(agent, risks=risks), tracing=tracing))
        (span,) = recorder.spans("desk:read" if decorated else "openai-agents:tool:read_log")
    assert span.status == "complete"
    assert read_by(model) == [line]


@WITH_AND_WITHOUT_TRACES
def test_the_whole_text_of_a_failure_is_an_answer_where_there_are_traces(tracing: bool) -> None:
    """Without them, the text is all that the SDK says."""

    @function_tool
    def echo(words: str) -> str:
        """Repeat the words."""
        return words

    text = default_tool_error_function(anything(None), ValueError())
    agent = Agent[Any](name="Desk", model=scripted(call("echo", words=text), DONE), tools=[echo])
    with isolated() as recorder, scenarios.desk.run():
        asyncio.run(run_agent(govern(agent), tracing=tracing))
        (span,) = recorder.spans("openai-agents:tool:echo")
    assert span.status == ("complete" if tracing else "failed")


@WITH_AND_WITHOUT_TRACES
def test_a_tool_without_a_handler_of_errors_fails_as_without_remit(tracing: bool) -> None:
    """The span has the exception of the tool."""

    @function_tool(failure_error_function=None)
    def fail(order_id: str) -> str:
        """Fail."""
        raise LookupError(order_id)

    agent = Agent(name="Desk", model=scripted(call("fail", order_id="A-1")), tools=[fail])
    with isolated() as recorder, scenarios.desk.run():
        with pytest.raises(UserError, match="Error running tool fail: A-1") as raised:
            asyncio.run(run_agent(govern(agent), tracing=tracing))
        assert isinstance(raised.value.__cause__, LookupError)
        (span,) = recorder.spans("openai-agents:tool:fail")
        assert span.status == "failed"
        assert (span.result or {})["error"]["type"] == "LookupError"
        assert "active" not in {status for _, status in names_of(recorder)}


def test_guardrails_and_hooks_of_the_program_are_asked_as_without_remit() -> None:
    """A tool that one of them rejects has no span; guardrails of the agent have one."""
    seen: list[str] = []

    @tool_input_guardrail
    def rejects(data: Any) -> ToolGuardrailFunctionOutput:
        """Reject one order."""
        seen.append("input")
        if "A-2" in data.context.tool_arguments:
            return ToolGuardrailFunctionOutput.reject_content("not this one")
        return ToolGuardrailFunctionOutput.allow()

    @input_guardrail
    def polite(_context: Any, _agent: Any, _input: Any) -> GuardrailFunctionOutput:
        """Find nothing."""
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=False)

    class Hooks(AgentHooks[Any]):
        async def on_tool_start(self, *_call: Any, **_named: Any) -> None:
            seen.append("start")

        async def on_llm_start(self, *_call: Any, **_named: Any) -> None:
            seen.append("model")

    tool = function_tool(scenarios.look_up, tool_input_guardrails=[rejects])
    both = Turn(calls=(("look_up", {"order_id": "A-1"}), ("look_up", {"order_id": "A-2"})))
    model = scripted(both, DONE)
    agent = Agent(
        name="Desk", model=model, tools=[tool], input_guardrails=[polite], hooks=Hooks()
    )  # fmt: skip
    with isolated() as recorder, scenarios.desk.run():
        asyncio.run(run_agent(govern(govern(agent))))
        assert len(recorder.spans("openai-agents:tool:look_up")) == 1
        (guardrail,) = recorder.spans("openai-agents:guardrail")
        assert guardrail.payload == {"guardrail_name": "polite"}
        assert guardrail.result == {"outputs": {"triggered": False}}
    assert sorted(read_by(model)) == ["A-1 is shipped", "not this one"]
    assert sorted(seen) == ["input", "input", "model", "model", "start"]
    assert tool.tool_output_guardrails is None


def test_a_tripped_guardrail_ends_the_agent_as_without_remit() -> None:
    """The exception reaches the caller."""

    @input_guardrail(run_in_parallel=False)
    def strict(_context: Any, _agent: Any, _input: Any) -> GuardrailFunctionOutput:
        """Find something."""
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    agent = Agent(name="Desk", model=scripted(DONE), input_guardrails=[strict])
    with isolated() as recorder, scenarios.desk.run():
        with pytest.raises(InputGuardrailTripwireTriggered):
            asyncio.run(run_agent(govern(agent)))
        assert names_of(recorder) == [
            ("openai-agents:agent", "failed"), ("openai-agents:guardrail", "complete"),
        ]  # fmt: skip


def test_an_agent_that_runs_while_an_exception_is_handled_is_complete() -> None:
    """That exception ended nothing here."""
    agent = govern(Agent(name="Desk", model=scripted(DONE)))

    async def go() -> None:
        try:
            raise LookupError  # noqa: TRY301 - what is handled
        except LookupError:
            await run_agent(agent)

    with isolated() as recorder:
        asyncio.run(go())
        assert {status for _, status in names_of(recorder)} == {"complete"}
    assert [run.status for run in recorder.runs] == ["complete"]


@pytest.mark.parametrize("how", ["cancelled", "left"])
def test_a_stream_that_is_left_is_cancelled(how: str) -> None:
    """With the tool that runs; the run goes on."""

    async def leave() -> None:
        waits = asyncio.Event()

        @function_tool
        async def wait(order_id: str) -> str:
            """Wait."""
            waits.set()
            await asyncio.sleep(60)
            return order_id

        model = scripted(call("wait", order_id="A-1"))
        agent = govern(Agent(name="Desk", model=model, tools=[wait]))
        async with scenarios.desk.run() as run:
            result = Runner.run_streamed(agent, "Go.")
            async for event in result.stream_events():
                if event.type == "run_item_stream_event":
                    await waits.wait()
                    break
            if how == "cancelled":
                result.cancel()
                assert result.run_loop_task is not None
                await asyncio.wait([result.run_loop_task])
            assert remit.current_run() is run

    with isolated() as recorder:
        asyncio.run(leave())
        assert dict(names_of(recorder)) == {
            "openai-agents:agent": "cancelled",
            "openai-agents:llm": "complete",
            "openai-agents:tool:wait": "cancelled",
        }
        assert recorder.runs[0].status == "complete"


def test_two_processors_record_once() -> None:
    """And an agent that is governed twice keeps the risks of the first time."""
    set_trace_processors([RemitProcessor(), RemitProcessor()])
    model = scripted(call("spend", amount=1), LOOK_UP, DONE)
    tools: list[Any] = [function_tool(scenarios.spend), function_tool(scenarios.look_up)]
    agent = govern(Agent(name="Desk", model=model, tools=tools), risks={"spend": PAYS})
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(govern(agent, risks={"look_up": PAYS_NOT})))
        names = [name for name, _ in names_of(recorder)]
    assert names.count("openai-agents:agent") == 1
    assert names.count("openai-agents:llm") == 3
    assert names.count("openai-agents:tool:spend") == 1
    assert names.count("openai-agents:tool:look_up") == 1


class OneTool(MCPServer):
    """An MCP server in memory."""

    def __init__(self, tool: str = "spend") -> None:
        """Have this tool."""
        super().__init__()
        self.tool = tool

    @property
    def name(self) -> str:
        """Return its name."""
        return "one"

    async def connect(self) -> None:
        """Be connected."""

    async def cleanup(self) -> None:
        """Have nothing to close."""

    async def list_tools(self, *_args: Any, **_named: Any) -> list[McpTool]:
        """Return the tool."""
        schema = {"type": "object", "properties": {"amount": {"type": "integer"}}}
        return [McpTool.model_validate({"name": self.tool, "inputSchema": schema})]

    async def call_tool(self, *_args: Any, **_named: Any) -> Any:
        """Never be called."""
        raise AssertionError

    async def list_prompts(self) -> Any:
        """Have none."""
        raise AssertionError

    async def get_prompt(self, *_args: Any, **_named: Any) -> Any:
        """Have none."""
        raise AssertionError


def test_the_tools_of_an_mcp_server_are_governed() -> None:
    """They are known at each turn only, so `risks` is not checked."""
    model = scripted(call("spend", amount=1), DONE)
    agent = Agent(name="Desk", model=model, mcp_servers=[OneTool()])
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(govern(agent, risks={"spend": PAYS})))
        assert [s.status for s in recorder.spans("openai-agents:tool:spend")] == ["failed"]
    assert read_by(model)[0].startswith("Policy denied")


def test_a_tool_that_cannot_be_declared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server chooses its names; one that is too long for a span type has unknown words."""
    name = "y" * 2000
    model = scripted(call(name, amount=1), DONE)
    agent = Agent(name="Desk", model=model, mcp_servers=[OneTool(name)])
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        monkeypatch.setattr(guard.faults, "strict", False)
        asyncio.run(run_agent(govern(agent)))
        assert [s.status for s in recorder.spans("openai-agents:tool")] == ["failed"]
    assert read_by(model)[0].startswith("Policy denied")


@WITH_AND_WITHOUT_TRACES
@pytest.mark.parametrize("broken", ["declare_agent", "declare", "spans.within", "step_of"])
def test_a_fault_lifts_no_remit(
    broken: str, tracing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Whatever fails while a tool is judged, it is refused."""

    def fail(*_: object, **_arguments: object) -> None:
        raise TypeError("not as expected")

    model = scripted(call("spend", amount=1), DONE)
    agent = Agent(name="Desk", model=model, tools=[function_tool(scenarios.spend)])
    with isolated(on_violation="deny"):
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr(f"remit.integrations.openai_agents.{broken}", fail)
        governed = govern(agent, risks={"spend": PAYS}, remits={"Desk": PAYS_NOT})
        result = asyncio.run(run_agent(governed, tracing=tracing))
        assert result.final_output == scenarios.TOLD
        assert remit.status().faults
    assert read_by(model)[0].startswith("Policy denied")


@function_tool(name_override="spend")
def spend_some(amount: int) -> str:
    """Spend an amount."""
    return scenarios.spend(amount)


def cloned(agent: Agent[Any]) -> Agent[Any]:
    """Return a clone, as programs vary an agent."""
    return agent.clone(instructions="Be polite.")


def renamed(agent: Agent[Any]) -> Agent[Any]:
    """Return a clone under another name: the remit of the first name stays."""
    return agent.clone(name="Night desk")


def with_new_lists(agent: Agent[Any]) -> Agent[Any]:
    """Return a clone whose tools and servers are given to it."""
    return agent.clone(tools=[spend_some], mcp_servers=[], hooks=None)


def replaced(agent: Agent[Any]) -> Agent[Any]:
    """Return what `dataclasses.replace` makes."""
    return dataclasses.replace(agent, instructions="Be polite.")


def deeply_copied(agent: Agent[Any]) -> Agent[Any]:
    """Return a deep copy, with the model that the test looks at."""
    return copy.deepcopy(agent, {id(agent.model): agent.model})


def with_tool(agent: Agent[Any]) -> Agent[Any]:
    """Append a tool."""
    agent.mcp_servers = []
    agent.tools.append(spend_some)
    return agent


def with_server(agent: Agent[Any]) -> Agent[Any]:
    """Append a server, to an agent that had none when it was governed."""
    agent.mcp_servers.append(OneTool())
    return agent


def with_hand_over(agent: Agent[Any]) -> Agent[Any]:
    """Append an agent to hand over to, which hands over to itself."""
    other = Agent[Any](name="Other", model=agent.model, mcp_servers=[OneTool()])
    other.handoffs.append(handoff(other))
    agent.handoffs.append(other)
    return agent


LATER: Final[dict[str, tuple[Callable[[Agent[Any]], Agent[Any]], bool]]] = {
    "clone": (cloned, True),
    "clone of another name": (renamed, True),
    "clone with tools of its own": (with_new_lists, False),
    "replace": (replaced, True),
    "copy": (copy.copy, True),
    "deepcopy": (deeply_copied, True),
    "tool appended": (with_tool, False),
    "server appended": (with_server, False),
    "clone, then server appended": (lambda agent: with_server(cloned(agent)), False),
    "hand-over appended": (with_hand_over, False),
}
"""How an agent is changed after it was governed, and whether it has an MCP server before."""


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("how", LATER)
def test_an_agent_stays_governed_when_it_is_changed(how: str, twice: bool) -> None:
    """Its remit and the risks hold for whatever tools it has at a turn."""
    change, has_server = LATER[how]
    spends = call("spend", amount=1)
    hands_over = [call("transfer_to_other")] if how == "hand-over appended" else []
    model = scripted(*hands_over, spends, DONE)
    servers: list[Any] = [OneTool()] if has_server else []
    agent = Agent(name="Desk", model=model, mcp_servers=servers)
    with isolated(on_violation="deny") as recorder:
        governed = govern(agent, remits={"Desk": PAYS_NOT})
        changed = change(govern(governed) if twice else governed)
        with scenarios.careful.run() if hands_over else scenarios.desk.run():
            result = asyncio.run(run_agent(changed))
        (span,) = recorder.spans("openai-agents:tool:spend")
    assert span.status == "failed"
    assert read_by(model)[-1].startswith("Policy denied")
    assert result.final_output == scenarios.TOLD
    assert isinstance(changed, Agent)
    assert type(changed).__qualname__ == "Agent"
    assert (agent.tools, agent.handoffs) == ([], [])
    assert spend_some.tool_input_guardrails is None


def test_an_agent_of_a_class_of_the_program_is_governed() -> None:
    """It stays an instance of its class, which may add tools at each turn."""

    @dataclasses.dataclass
    class Spender(Agent[Any]):
        limit: int = 5

        async def get_all_tools(self, run_context: Any) -> list[Any]:
            """Add a tool."""
            return [*await super().get_all_tools(run_context), spend_some]

    model = scripted(call("spend", amount=1), DONE)
    agent = govern(Spender(name="Desk", model=model, limit=7))
    with isolated(on_violation="deny"), scenarios.careful.run():
        asyncio.run(run_agent(agent.clone(instructions="Be polite.")))
    assert read_by(model)[0].startswith("Policy denied")
    assert isinstance(agent, Spender)
    assert agent.limit == 7


def test_a_risk_holds_for_a_tool_that_is_appended() -> None:
    """Risks are not checked where a server has tools, so they may name one that comes later."""
    earned: list[int] = []

    @function_tool
    def earn(amount: int) -> str:
        """Earn an amount."""
        earned.append(amount)
        return "earned"

    model = scripted(call("earn", amount=1), DONE)
    agent = Agent[Any](name="Desk", model=model, mcp_servers=[OneTool()])
    governed = govern(agent, risks={"earn": PAYS_NOT})
    governed.tools.append(earn)
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(cloned(governed)))
        assert [s.status for s in recorder.spans("openai-agents:tool:earn")] == ["complete"]
    assert earned == [1]


def test_a_list_that_a_program_gives_to_a_governed_agent_stays_as_it_is() -> None:
    """Other agents may have it too; clones share a list as without remit."""
    listed: list[Any] = [spend_some]
    agent = govern(Agent[Any](name="Desk"))
    assert cloned(agent).tools is agent.tools
    assert agent.clone(tools=listed).tools is not listed
    agent.tools = listed
    assert listed == [spend_some]
    assert spend_some.tool_input_guardrails is None
    with pytest.raises(TypeError, match="tools must be a list"):
        agent.clone(tools=anything(None))


@remit.span_type("desk:see", data_risk=PAYS_NOT)
def see(order_id: str) -> str:
    """Look an order up, which pays nothing."""
    return f"{order_id} is shipped"


@function_tool
def look_up(order_id: str) -> str:
    """Look an order up."""
    return see(order_id)


def anything(value: Any) -> Any:
    """Return a value of a wrong type."""
    return value


class Patches:
    """An editor of files, of which each method notes its call."""

    def __init__(self, did: list[object]) -> None:
        """Note in *did*."""
        self.did = did

    def create_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        """Create a file."""
        self.did.append(operation.path)
        return ApplyPatchResult(output=see(operation.path))

    async def update_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        """Fail to update a file."""
        self.did.append(operation.path)
        return ApplyPatchResult(status="failed", output="no such file")

    def delete_file(self, operation: ApplyPatchOperation) -> None:
        """Delete a file, which costs."""
        scenarios.pay(len(operation.path))


class Screen(Computer):
    """A computer that notes its actions; it takes no keys with a click."""

    def __init__(self, did: list[object]) -> None:
        """Note in *did*."""
        self.did = did

    @property
    def dimensions(self) -> tuple[int, int]:
        """Return the size of the screen."""
        return (800, 600)

    def screenshot(self) -> str:
        """Return a picture."""
        return "AAAA"

    def click(self, x: int, y: int, button: str) -> None:
        """Click."""
        self.did.append((x, y, button))
        see("A-1")

    def _refuse(self, *_args: Any) -> None:
        """Do none of the other actions."""
        raise AssertionError

    double_click = scroll = type = wait = move = keypress = drag = anything(_refuse)


SHELL: Final[dict[str, object]] = {"type": "shell_call", "action": {"commands": ["rm -rf build"]}}
LOCAL_SHELL: Final[dict[str, object]] = {
    "type": "local_shell_call",
    "action": {"type": "exec", "command": ["rm", "-rf", "build"], "env": {}},
}
SQL: Final[dict[str, object]] = {
    "type": "custom_tool_call",
    "name": "sql",
    "input": "drop table orders",
}
CLICK: Final[dict[str, object]] = {
    "type": "computer_call",
    "pending_safety_checks": [],
    "actions": [{"type": "click", "x": 1, "y": 2, "button": "left", "keys": ["CTRL"]}],
}


def patch(kind: str, path: str) -> dict[str, object]:
    """Return the call of `apply_patch` for one file."""
    operation = {"type": kind, "path": path, "diff": "+x"}
    return {"type": "apply_patch_call", "operation": operation}


LocalTool: TypeAlias = Callable[[list[object]], Any]


def shell_tool(did: list[object]) -> ShellTool:
    """Return a shell whose executor is a function."""

    def execute(request: ShellCommandRequest) -> ShellResult:
        did.append(request.data.action.commands)
        return ShellResult([ShellCommandOutput(stdout=see("A-1"))])

    return ShellTool(executor=execute)


def local_shell_tool(did: list[object]) -> LocalShellTool:
    """Return a local shell whose executor is a coroutine function."""

    async def execute(request: LocalShellCommandRequest) -> str:
        did.append(request.data.action.command)
        return see("A-1")

    return LocalShellTool(executor=execute)


def custom_tool(did: list[object]) -> CustomTool:
    """Return a tool that takes a text."""

    def execute(_context: Any, statement: str) -> str:
        did.append(statement)
        return see("A-1")

    return CustomTool(name="sql", description="Run a statement.", on_invoke_tool=execute)


LOCAL: Final[dict[str, tuple[LocalTool, dict[str, object], object]]] = {
    "shell": (shell_tool, SHELL, {"commands": ["rm -rf build"]}),
    "local_shell": (local_shell_tool, LOCAL_SHELL, LOCAL_SHELL["action"]),
    "apply_patch": (
        lambda did: ApplyPatchTool(editor=Patches(did)), patch("create_file", "a.py"),
        {"type": "create_file", "path": "a.py", "diff": "+x"},
    ),
    "sql": (custom_tool, SQL, {"input": "drop table orders"}),
}  # fmt: skip
"""The tools of the SDK that run in the program and answer with a text, by name."""


def outputs_read(model: ScriptedModel) -> list[str]:
    """Return the outputs of tools of the SDK that the model was given, as JSON."""
    return [json.dumps(i) for i in model.inputs[-1] if str(i.get("type")).endswith("_output")]


@WITH_AND_WITHOUT_TRACES
@pytest.mark.parametrize("name", LOCAL)
def test_a_tool_of_the_sdk_that_runs_here_is_recorded(name: str, tracing: bool) -> None:
    """With its arguments, and the steps beneath it."""
    make, item, inputs = LOCAL[name]
    did: list[object] = []
    model = scripted(Asks(item=item), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[make(did)])
    with isolated() as recorder, scenarios.desk.run():
        asyncio.run(run_agent(govern(agent), tracing=tracing))
        (tool,) = recorder.spans(f"openai-agents:tool:{name}")
        (step,) = recorder.spans("desk:see")
    assert (tool.status, tool.payload["inputs"]) == ("complete", inputs)
    assert tool.payload["tool_name"] == name
    assert "is shipped" in json.dumps(tool.result)
    assert step.parent == tool.key
    assert len(did) == 1
    assert "is shipped" in outputs_read(model)[0]


@WITH_AND_WITHOUT_TRACES
@pytest.mark.parametrize("remit_of", ["run", "agent"])
@pytest.mark.parametrize("name", LOCAL)
def test_a_tool_of_the_sdk_that_runs_here_is_denied(
    name: str, remit_of: str, tracing: bool
) -> None:  # fmt: skip
    """The model reads why, and the agent goes on; also when it was cloned."""
    make, item, _ = LOCAL[name]
    did: list[object] = []
    model = scripted(Asks(item=item), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[make(did)])
    remits = {"Desk": PAYS_NOT} if remit_of == "agent" else None
    governed = cloned(govern(govern(agent, remits=remits), risks={name: PAYS}))
    run = scenarios.careful.run() if remit_of == "run" else nullcontext()
    with isolated(on_violation="deny") as recorder:
        with run:
            result = asyncio.run(run_agent(governed, tracing=tracing))
        (tool,) = recorder.spans(f"openai-agents:tool:{name}")
    assert result.final_output == scenarios.TOLD
    assert tool.status == "failed"
    assert did == []
    assert "Policy denied this step and it did not run" in outputs_read(model)[0]


@pytest.mark.parametrize("name", LOCAL)
def test_a_tool_of_the_sdk_with_a_risk_that_fits_runs(name: str) -> None:
    """And the tool that the program made stays as it is."""
    make, item, _ = LOCAL[name]
    did: list[object] = []
    tool = make(did)
    before = dict(vars(tool))
    model = scripted(Asks(item=item), DONE)
    agent = govern(Agent[Any](name="Desk", model=model, tools=[tool]), risks={name: PAYS_NOT})
    with isolated(on_violation="deny"), scenarios.careful.run():
        asyncio.run(run_agent(deeply_copied(agent)))
    assert "is shipped" in outputs_read(model)[0]
    assert vars(tool) == before


def test_a_step_beneath_a_shell_or_a_patch_is_denied() -> None:
    """The model reads the denial, and another failure as without remit."""
    did: list[object] = []
    model = scripted(
        Asks(item=patch("delete_file", "a.py")), Asks(item=patch("update_file", "b.py")), DONE
    )  # fmt: skip
    tools = [ApplyPatchTool(editor=Patches(did))]
    agent = govern(
        Agent[Any](name="Desk", model=model, tools=[*tools]), risks={"apply_patch": PAYS_NOT}
    )
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(agent))
        spans = recorder.spans("openai-agents:tool:apply_patch")
    assert [span.status for span in spans] == ["failed", "failed"]
    denied, failed = outputs_read(model)
    assert "Policy denied this step" in denied
    assert "no such file" in failed
    assert did == ["b.py"]


def test_a_decorated_executor_has_its_own_span_and_risk() -> None:
    """As the function of a function tool."""

    @remit.span_type("desk:shell", data_risk=PAYS)
    def execute(request: ShellCommandRequest) -> str:
        """Run a command."""
        raise AssertionError(request)

    model = scripted(Asks(item=SHELL), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[ShellTool(executor=execute)])
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(govern(agent)))
        own = [each for each in names_of(recorder) if "agent" not in each[0]]
    assert own == [("desk:shell", "failed")]
    assert "Policy denied this step" in outputs_read(model)[0]


def test_a_termination_leaves_a_shell() -> None:
    """The SDK makes a text of other exceptions."""

    def execute(_request: ShellCommandRequest) -> str:
        recorder.runs[0].feed.terminated = "stopped"
        return see("A-1")

    model = scripted(Asks(item=SHELL), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[ShellTool(executor=execute)])
    with isolated() as recorder:
        with pytest.raises(RunTerminated, match="stopped"), scenarios.desk.run():
            asyncio.run(run_agent(govern(agent)))
        assert "active" not in {status for _, status in names_of(recorder)}


def computers(did: list[object]) -> dict[str, Any]:
    """Return the forms in which a program gives a computer to the SDK."""

    async def make(*, run_context: Any) -> Screen:
        assert run_context is not None
        return Screen(did)

    def dispose(*, run_context: Any, computer: Any) -> None:
        assert run_context is not None
        assert isinstance(computer, Screen)
        did.append("disposed")

    return {
        "computer": Screen(did),
        "factory": make,
        "provider": ComputerProvider(create=make, dispose=dispose),
    }


@pytest.mark.parametrize("form", computers([]))
def test_the_actions_of_a_computer_are_recorded(form: str) -> None:
    """Each with its arguments; the picture by its size."""
    did: list[object] = []
    model = scripted(Asks(item=CLICK), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[ComputerTool(computers(did)[form])])
    with isolated() as recorder, scenarios.desk.run():
        asyncio.run(run_agent(govern(agent)))
        click, picture = recorder.spans("openai-agents:tool:computer")
    assert did == [(1, 2, "left"), *(["disposed"] if form == "provider" else [])]
    assert click.payload["inputs"] == {"action": "click", "x": 1, "y": 2, "button": "left"}
    assert picture.payload["inputs"] == {"action": "screenshot"}
    assert (picture.result or {})["outputs"]["output"]["size"] == len("AAAA")
    assert "AAAA" in outputs_read(model)[0]


def test_a_computer_stays_a_computer_of_the_program() -> None:
    """Its other attributes can be read."""
    screen = Screen([])
    agent = govern(Agent[Any](name="Desk", tools=[ComputerTool(screen)]))
    (tool,) = agent.tools
    assert isinstance(tool, ComputerTool)
    assert isinstance(tool.computer, AsyncComputer)
    assert (tool.computer.dimensions, tool.computer.environment) == ((800, 600), None)
    assert anything(tool.computer).did is screen.did
    assert isinstance(copy.deepcopy(tool.computer), AsyncComputer)
    with pytest.raises(AttributeError):
        anything(tool.computer).missing  # noqa: B018 - what is looked for


def test_an_action_of_a_computer_that_is_denied_ends_the_agent() -> None:
    """The SDK has no text for it; a step beneath may be denied, the tool itself is not offered."""
    did: list[object] = []

    class Buys(Screen):
        def click(self, x: int, y: int, button: str) -> None:
            scenarios.pay(x + y + len(button))

    model = scripted(Asks(item=CLICK), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[ComputerTool(Buys(did))])
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        with pytest.raises(DeniedError, match="desk:pay"):
            asyncio.run(run_agent(govern(agent, risks={"computer": PAYS_NOT})))
        (click,) = recorder.spans("openai-agents:tool:computer")
        assert click.status == "failed"


HOSTED: Final[dict[str, Any]] = {
    "web_search": WebSearchTool(),
    "file_search": FileSearchTool(vector_store_ids=["v"]),
    "code_interpreter": CodeInterpreterTool(
        tool_config={"type": "code_interpreter", "container": {"type": "auto"}}
    ),
    "image_generation": ImageGenerationTool(tool_config={"type": "image_generation"}),
    "orders": HostedMCPTool(tool_config={"type": "mcp", "server_label": "orders"}),
    "shell": ShellTool(environment={"type": "container_auto"}),
    "computer": ComputerTool(Screen([])),
}
"""Tools that run elsewhere, and the one whose denial cannot be told to the model, by name."""


@WITH_AND_WITHOUT_TRACES
@pytest.mark.parametrize("remit_of", ["run", "agent"])
@pytest.mark.parametrize("name", HOSTED)
def test_a_tool_that_runs_elsewhere_is_not_offered(
    name: str, remit_of: str, tracing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the remit rules it out, at each turn; it is said once."""
    model = scripted(LOOK_UP, DONE)
    tools = [HOSTED[name], look_up, ToolSearchTool()]
    agent = govern(
        Agent[Any](name="Desk", model=model, tools=tools),
        risks={"look_up": PAYS_NOT},
        remits={"Desk": PAYS_NOT} if remit_of == "agent" else None,
    )
    run = scenarios.careful.run() if remit_of == "run" else nullcontext()
    with isolated(on_violation="deny"), run:
        asyncio.run(run_agent(agent, tracing=tracing))
    assert model.offered == [["look_up", "tool_search"]] * 2
    assert len(agent.tools) == len(tools)
    assert caplog.text.count(f"openai-agents:tool:{name} of the agent Desk is not offered") == 1


@pytest.mark.parametrize("why", ["observed", "declared", "no remit"])
def test_a_tool_that_runs_elsewhere_is_offered(why: str) -> None:
    """Where nothing rules it out, or violations are observed."""
    model = scripted(DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[*HOSTED.values()])
    risks = dict.fromkeys(HOSTED, PAYS_NOT) if why == "declared" else None
    policy: Any = "observe" if why == "observed" else "deny"
    run = scenarios.desk.run() if why == "no remit" else scenarios.careful.run()
    with isolated(on_violation=policy), run:
        asyncio.run(run_agent(govern(agent, risks=risks)))
    assert len(model.offered[0]) == len(HOSTED)


def test_a_fault_offers_no_tool_that_runs_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that could not be judged is denied."""

    def fail(*_: object, **_arguments: object) -> None:
        raise TypeError("not as expected")

    model = scripted(DONE)
    agent = govern(Agent[Any](name="Desk", model=model, tools=[WebSearchTool()]))
    with isolated(on_violation="deny"), scenarios.careful.run():
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr("remit._record.spans.limits.verdict", fail)
        asyncio.run(run_agent(agent))
    assert model.offered == [[]]


@pytest.mark.parametrize("what", ["function", "mcp", "shell"])
def test_an_agent_that_is_not_governed_is_said_and_its_tools_are_recorded(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the violation that could not be prevented, and the steps beneath."""

    class Finds(OneTool):
        async def call_tool(self, *_args: Any, **_named: Any) -> Any:
            see("A-1")
            return CallToolResult(content=[TextContent(text="found")])

    item: Turn = call("look_up", order_id="A-1")
    parts: dict[str, Any] = {"tools": [look_up]}
    if what == "mcp":
        parts = {"mcp_servers": [Finds("look_up")]}
    elif what == "shell":
        item, parts = Asks(item=SHELL), {"tools": [shell_tool([])]}
    agent = Agent[Any](name="Desk", model=scripted(item, item, DONE), **parts)
    with isolated(on_violation="deny") as recorder, scenarios.careful.run():
        asyncio.run(run_agent(agent))
        name = "shell" if what == "shell" else "look_up"
        first, second = recorder.spans(f"openai-agents:tool:{name}")
        steps = recorder.spans("desk:see")
    assert (first.status, second.status) == ("complete", "complete")
    assert [step.parent for step in steps] == [first.key, second.key]
    assert [each.name for each in first.violations] == ["financial_transactions"]
    assert "A-1" in json.dumps(first.payload) or what == "shell"
    assert caplog.text.count("the agent Desk runs without remit's govern") == 1


def test_only_the_agent_that_was_forgotten_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure is recorded; spans of the program's own are no tools."""

    @function_tool
    def fail(order_id: str) -> str:
        """Fail."""
        with function_span("of the program"):
            raise LookupError(order_id)

    inner = Agent[Any](
        name="Forgotten", model=scripted(call("fail", order_id="A-1"), DONE), tools=[fail]
    )
    outer = scripted(call("research", input="A-1"), DONE)
    agent = govern(Agent[Any](name="Desk", model=outer, tools=[inner.as_tool("research", "Look.")]))
    with isolated() as recorder:
        asyncio.run(run_agent(agent))
        (tool,) = recorder.spans("openai-agents:tool:fail")
        names = [name for name, _ in names_of(recorder) if ":tool:" in name]
    assert tool.status == "failed"
    assert names == ["openai-agents:tool:research", "openai-agents:tool:fail"]
    assert [r.args for r in caplog.records if "runs without remit" in r.msg] == [("Forgotten",)]


def test_a_termination_stops_the_tool_of_an_agent_that_is_not_governed() -> None:
    """The exception passes the SDK."""
    model = scripted(call("spend", amount=1), DONE)
    agent = Agent[Any](name="Desk", model=model, tools=[spend_some])
    with isolated(on_violation="terminate") as recorder:
        with pytest.raises(RunTerminated, match="financial_transactions"), scenarios.careful.run():
            asyncio.run(run_agent(agent))
        (tool,) = recorder.spans("openai-agents:tool:spend")
    assert tool.status == "failed"


class NoTracing:
    """Ways in which the SDK reports no agent to remit."""

    @staticmethod
    def by_run(agent: Agent[Any]) -> Any:
        """Run without traces."""
        return run_agent(agent, tracing=False)

    @staticmethod
    async def by_setting(agent: Agent[Any]) -> Any:
        """Run as with OPENAI_AGENTS_DISABLE_TRACING=1."""
        set_tracing_disabled(True)
        try:
            return await run_agent(agent)
        finally:
            set_tracing_disabled(False)

    @staticmethod
    def by_omission(agent: Agent[Any]) -> Any:
        """Run with the processor forgotten."""
        set_trace_processors([])
        return run_agent(agent)


@pytest.mark.parametrize("way", [NoTracing.by_run, NoTracing.by_setting, NoTracing.by_omission])
@pytest.mark.parametrize("tool", ["spend", "ask_to_pay", "clear"])
def test_a_remit_holds_without_a_run_and_without_traces(tool: str, way: Any) -> None:
    """Also beneath the tool, and for a tool whose function is decorated; each call is a run."""

    @function_tool
    @remit.span_type("desk:clear", data_risk=PAYS)
    def clear(amount: int) -> str:
        """Clear an amount."""
        raise AssertionError(amount)

    @function_tool
    def quote(amount: int) -> str:
        """Tell a price."""
        return f"{amount} EUR"

    turn = Turn(calls=((tool, {"amount": 1}), ("quote", {"amount": 2})))
    model = scripted(turn, DONE)
    tools = [function_tool(scenarios.spend), function_tool(scenarios.ask_to_pay), clear, quote]
    agent = govern(
        Agent[Any](name="Desk", model=model, tools=[*tools]),
        risks={"ask_to_pay": PAYS_NOT, "quote": PAYS_NOT},
        remits={"Desk": PAYS_NOT},
    )

    async def go() -> None:
        assert (await way(agent)).final_output == scenarios.TOLD
        assert remit.current_run() is None

    with isolated(on_violation="deny") as recorder:
        asyncio.run(go())
        assert {run.agent for run in recorder.runs} == {"openai-agents.agents:Desk"}
        assert {run.status for run in recorder.runs} == {"complete"}
        assert len(recorder.runs) == 2
        assert "active" not in {span.status for span in recorder.spans()}
    refused, quoted = read_by(model)
    assert refused.startswith("Policy denied")
    assert quoted == "2 EUR"


@pytest.mark.parametrize(
    ("inputs", "outputs", "usage"),
    [
        (None, None, None),
        (5, "text", 7),
        ([None, 3, {"type": 4}], [None, {"output": 3}], {"input_tokens": "many"}),
        ([{"role": None, "content": {"a": 1}}], [{"role": "assistant", "tool_calls": 3}], {}),
    ],
    ids=["nothing", "scalars", "odd items", "odd messages"],
)
def test_an_answer_of_another_shape_is_recorded_as_far_as_it_can_be_read(
    inputs: Any, outputs: Any, usage: Any
) -> None:  # fmt: skip
    """The call is as without remit."""
    with isolated() as recorder, scenarios.desk.run(), trace("test"):
        with generation_span(input=inputs, output=outputs, model="m", usage=usage):
            pass
        (span,) = recorder.spans("openai-agents:llm")
        assert span.status == "complete"
        assert span.payload["model_name"] == "m"
        assert "messages" in (span.result or {})["outputs"]


def over_http(api: str, *, stream: bool) -> Model:
    """Return the SDK's own model of an API, whose server calls `look_up`, then answers."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        is_first = "A-1 is shipped" not in request.content.decode()
        if api == "responses":
            model = ScriptedModel([LOOK_UP if is_first else DONE])
            response = model.respond(body.get("instructions"), [], []).model_dump(by_alias=True)
            event = {"type": "response.completed", "sequence_number": 0, "response": response}
            parts = [event]
        else:
            function = {"name": "look_up", "arguments": '{"order_id": "A-1"}'}
            message: dict[str, object] = {"role": "assistant", "content": None, "tool_calls": [
                {"index": 0, "id": "call-0-0", "type": "function", "function": function},
            ]}  # fmt: skip
            if not is_first:
                message = {"role": "assistant", "content": scenarios.TOLD}
            usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
            choice = {"index": 0, "finish_reason": "stop"}
            common = {"id": "c", "created": 0, "model": MODEL}
            response = {**common, "object": "chat.completion", "usage": usage, "choices": [
                {**choice, "message": message},
            ]}  # fmt: skip
            parts = [
                {**common, "object": "chat.completion.chunk", "choices": [
                    {**choice, "delta": message},
                ]},
                {**common, "object": "chat.completion.chunk", "choices": [], "usage": usage},
            ]  # fmt: skip
        if not stream:
            return httpx2.Response(200, json=response)
        lines = [
            f"event: {part.get('type', 'chunk')}\ndata: {json.dumps(part)}\n\n" for part in parts
        ]
        headers = {"content-type": "text/event-stream"}
        if api == "chat":
            lines = [line.partition("\n")[2] for line in lines] + ["data: [DONE]\n\n"]
        return httpx2.Response(200, headers=headers, text="".join(lines))

    client = AsyncOpenAI(
        api_key="none",
        base_url="http://model/v1",
        http_client=DefaultAsyncHttpxClient(transport=httpx2.MockTransport(answer)),
    )
    if api == "responses":
        return OpenAIResponsesModel(MODEL, client)
    return OpenAIChatCompletionsModel(MODEL, client)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", ["responses", "chat"])
def test_the_models_of_the_sdk_are_recorded(api: str, stream: bool) -> None:
    """Of both APIs; a stream is joined by the SDK, and is no cancelled call."""
    agent = Agent[Any](
        name="Desk",
        instructions="Be brief.",
        model=over_http(api, stream=stream),
        tools=[function_tool(scenarios.look_up)],
    )
    with isolated() as recorder, scenarios.desk.run():
        result = asyncio.run(run_agent(govern(agent), stream=stream))
        assert result.final_output == scenarios.TOLD
        assert {status for _, status in names_of(recorder)} == {"complete"}
        first, second = recorder.spans("openai-agents:llm")
    asked, answered = first.payload, first.result or {}
    provider = {"chat": "model", "responses": "openai"}[api]  # the SDK tells the server of one
    assert (asked["operation"], asked["provider"]) == (api, provider)
    assert asked["model_name"] == MODEL
    assert asked["inputs"]["messages"][-1] == {"role": "user", "content": "Go."}
    assert "Be brief." in json.dumps(asked["inputs"])
    arguments = {"id": "call-0-0", "name": "look_up", "args": {"order_id": "A-1"}}
    assert answered["outputs"]["messages"] == [
        {"role": "assistant", "content": None, "tool_calls": [arguments]}
    ]
    assert answered["token_usage"] == {
        "prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15,
    }  # fmt: skip
    assert second.payload["inputs"]["messages"] == [
        {"role": "tool", "content": "A-1 is shipped", "tool_call_id": "call-0-0"}
    ]
    assert (second.result or {})["outputs"]["messages"][-1]["content"] == scenarios.TOLD


def test_other_contents_than_texts_are_told_by_their_size() -> None:
    """Images and files are in the payload by type, size and digest; reasoning is not."""
    parts = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_file", "file_id": "file-1"},
    ]
    given: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"type": "reasoning", "summary": []},
        {"type": "web_search_call", "id": "ws-1", "action": {"query": "q"}},
        {"role": "assistant", "content": "b", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]  # fmt: skip
    with isolated() as recorder, scenarios.desk.run(), trace("test"):
        with generation_span(input=given, model="anthropic/claude", model_config={
            "model_impl": "litellm", "temperature": 0.1, "base_url": "x",
        }):  # fmt: skip
            pass
        (span,) = recorder.spans("openai-agents:llm")
    assert span.payload["provider"] == "anthropic"
    assert span.payload["temperature"] == 0.1
    system, user, assistant, tool = span.payload["inputs"]["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["content"][0] == {"type": "text", "text": "Look"}
    assert (user["content"][1]["type"], user["content"][1]["size"]) == ("input_image", 26)
    assert user["content"][2] == {"type": "input_file", "id": "file-1"}
    assert assistant["content"] == "b"
    assert assistant["tool_calls"] == [
        {"id": "ws-1", "name": "web_search_call", "args": {"query": "q"}},
        {"id": "c", "name": "f", "args": {"x": 1}},
    ]
    assert tool == {"role": "tool", "content": "1", "tool_call_id": "c"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: govern(anything({"name": "Desk"})), "govern: saw .*; expected an agents.Agent"),
        (lambda: govern(Agent(name="Desk"), risks={"spent": PAYS}), "saw no tool 'spent'; .*none"),
        (lambda: govern(Agent(name="Desk"), remits={"Desc": PAYS}), "saw no agent 'Desc'; .*Desk"),
        (
            lambda: govern(Agent(name="Desk"), risks=anything([5])),
            "govern: risks is .* list; expected a mapping",
        ),
        (
            lambda: govern(Agent(name="Desk"), remits={"Desk": anything(5)}),
            "openai-agents.agents:Desk",
        ),
        (
            lambda: RemitProcessor(capture_messages=anything("some")),
            "RemitProcessor: capture_messages is",
        ),
    ],
    ids=["no agent", "no tool", "no such agent", "no mapping", "no risk", "no way to capture"],
)
def test_bad_input_is_told(make: Any, message: str) -> None:
    """What was seen, and what was expected."""
    with pytest.raises(DeclarationError, match=message):
        make()


# Conversations


def test_the_group_of_a_trace_is_the_conversation_of_its_run() -> None:
    """Its metadata name the person; inside a run of the program's, the agent's span has both."""
    config = RunConfig(group_id="thread-9", trace_metadata={"user_id": "user-42"})
    agent = Agent(name="Desk", model=scripted(DONE, DONE))

    async def twice() -> None:
        await Runner.run(agent, "Go.", run_config=config)
        with scenarios.desk.run(conversation="thread-9"):
            await Runner.run(agent, "Go.", run_config=config)

    with isolated() as recorder:
        asyncio.run(twice())
    known = [(run.conversation, run.on_behalf_of) for run in recorder.runs]
    assert known == [("thread-9", "user-42"), ("thread-9", None)]
    first, second = recorder.spans("openai-agents:agent")
    assert "conversation" not in first.payload | second.payload
    assert second.payload["on_behalf_of"] == "user-42"


# Runs of traces


def agents_in(run: RecordedRun) -> list[object]:
    """Return the names of the agents in a run."""
    spans = (span for span in run.spans if span.name == "openai-agents:agent")
    return [span.payload["agent_name"] for span in spans]


def sharing() -> tuple[Agent[Any], Agent[Any]]:
    """Return an agent that hands over, and another one."""
    billing = Agent[Any](name="Billing", model=scripted(DONE))
    desk = Agent[Any](
        name="Desk", model=scripted(call("transfer_to_billing"), DONE), handoffs=[billing]
    )
    return desk, Agent[Any](name="Writer", model=scripted(DONE, DONE))


def test_agents_that_hand_over_share_a_run_and_two_calls_do_not() -> None:
    """The SDK makes a trace for each call without one around it."""
    desk, writer = sharing()

    async def work() -> None:
        await Runner.run(desk, "Go.")
        await Runner.run(writer, "Go.")

    with isolated() as recorder:
        asyncio.run(work())
    assert [(run.agent, run.status) for run in recorder.runs] == [
        ("openai-agents.agents:Desk", "complete"),
        ("openai-agents.agents:Writer", "complete"),
    ]
    assert len(recorder.spans("openai-agents:agent")) == 3


def test_a_trace_of_the_program_is_one_run() -> None:
    """With all agents in it, one after the other and side by side."""
    desk, writer = sharing()

    async def work() -> None:
        with trace("Research", group_id="thread-9"):
            await Runner.run(desk, "Go.")
            with suppress(LookupError):
                raise LookupError
            await asyncio.gather(Runner.run(writer, "Go."), Runner.run(writer, "Go."))

    with isolated() as recorder:
        asyncio.run(work())
    (run,) = recorder.runs
    assert (run.agent, run.status) == ("openai-agents.agents:Desk", "complete")
    assert run.conversation == "thread-9"
    agents_of_run = [span.payload["agent_name"] for span in recorder.spans("openai-agents:agent")]
    assert sorted(agents_of_run) == ["Billing", "Desk", "Writer", "Writer"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_trace_that_fails_is_a_failed_run(stream: bool) -> None:
    """The exception that leaves the trace decides, not one that the program handled in it."""
    failing = Agent[Any](name="Desk", model=scripted())

    async def work(*, handles: bool) -> None:
        with trace("Research"), suppress(*[IndexError] * handles):
            await run_agent(failing, stream=stream)

    with isolated() as recorder:
        with pytest.raises(IndexError):
            asyncio.run(work(handles=False))
        asyncio.run(work(handles=True))
    assert [run.status for run in recorder.runs] == ["failed", "complete"]


@pytest.mark.parametrize("governed", [False, True])
def test_a_tool_that_waits_for_an_approval_is_not_complete(governed: bool) -> None:
    """A tool, and an agent as a tool; afterwards each has a span of its own."""

    @function_tool(needs_approval=True)
    def ship(order_id: str) -> None:
        """Ship an order."""
        scenarios.find(order_id)

    inner = Agent[Any](name="Spanish", model=scripted(DONE))
    model = scripted(call("ship", order_id="A-1"), DONE, call("answer", input="A-1"), DONE)
    tools = [ship, inner.as_tool("answer", "Answer.", needs_approval=True)]
    agent = Agent[Any](name="Desk", model=model, tools=[*tools])

    async def work() -> None:
        with scenarios.desk.run():
            for _ in tools:
                result = await Runner.run(govern(agent) if governed else agent, "Go.")
                state = result.to_state()
                state.approve(state.get_interruptions()[0])
                await Runner.run(govern(agent) if governed else agent, state)

    with isolated() as recorder:
        asyncio.run(work())
    for name in ("ship", "answer"):
        *waiting, done = recorder.spans(f"openai-agents:tool:{name}")
        assert [span.status for span in waiting] == [] if governed else ["cancelled"]
        assert done.status == "complete"
    asked, answered = recorder.spans("remit:asked"), recorder.spans("remit:answered")
    assert [span.payload["asked"] for span in asked] == (
        [] if governed else ["May ship run?", "May answer run?"]
    )
    assert [span.payload["answer"] for span in answered] == ["yes"] * len(asked)


def test_the_remits_of_agents_are_registered() -> None:
    """Those in `remits=`: a server shows what each agent may do."""

    @function_tool
    def spend(amount: str) -> str:
        """Spend an amount."""
        raise AssertionError(amount)

    agent = Agent[Any](
        name="Spender", model=scripted(call("spend", amount="5"), DONE), tools=[spend]
    )
    governed = govern(agent, risks={"spend": PAYS}, remits={"Spender": PAYS_NOT})
    with isolated(on_violation="deny") as recorder:
        asyncio.run(Runner.run(governed, "Go."))
        registered = {each.external_identifier: each for each in process.registry().agents()}
    (run,) = recorder.runs
    assert registered[run.agent].span_type.data_risk == PAYS_NOT
    (denied,) = recorder.spans("openai-agents:tool:spend")
    assert denied.denied


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_remit_of_the_agent_that_opens_a_run_is_its_own(stream: bool) -> None:
    """It does not hold for the agents that it hands over to."""
    paid: list[int] = []

    @function_tool
    def spend(amount: int) -> str:
        """Spend an amount."""
        paid.append(amount)
        return "spent"

    model = scripted(
        call("spend", amount=1), call("transfer_to_billing"), call("spend", amount=2), DONE
    )
    billing = Agent[Any](name="Billing", model=model, tools=[spend])
    desk = Agent[Any](name="Desk", model=model, tools=[spend], handoffs=[billing])
    agent = govern(desk, risks={"spend": PAYS}, remits={"Desk": PAYS_NOT})

    with isolated(on_violation="deny") as recorder:
        asyncio.run(run_agent(agent, stream=stream))
    assert paid == [2]
    (run,) = recorder.runs
    assert (agents_in(run), run.status) == (["Desk", "Billing"], "complete")


def test_an_interrupted_agent_that_goes_on_is_in_one_run_that_ends() -> None:
    """The SDK goes on with the trace of the first part, and reports no end of it."""

    @function_tool(needs_approval=True)
    def ship(order_id: str) -> str:
        """Ship an order."""
        return order_id

    model = scripted(call("ship", order_id="A-1"), call("transfer_to_billing"), DONE)
    billing = Agent[Any](name="Billing", model=model)
    agent = govern(Agent[Any](name="Desk", model=model, tools=[ship], handoffs=[billing]))

    async def go() -> None:
        state = (await Runner.run(agent, "Ship A-1.")).to_state()
        state.approve(state.get_interruptions()[0])
        await Runner.run(agent, state)

    with isolated() as recorder:
        asyncio.run(go())
    assert [run.status for run in recorder.runs] == ["complete"] * 2
    assert [agents_in(run) for run in recorder.runs] == [["Desk"], ["Desk", "Billing"]]


def test_each_call_that_waits_has_its_own_question_and_answer() -> None:
    """With the person whom `answered_by` names, not the one for whom the run works."""

    @function_tool(needs_approval=True)
    def ship(order_id: str) -> None:
        """Ship an order."""
        scenarios.find(order_id)

    both = Turn(calls=(("ship", {"order_id": "A-1"}), ("ship", {"order_id": "A-1"})))
    agent = Agent(name="Desk", model=scripted(both, call("ship", order_id="A-1"), DONE))
    agent.tools = [ship]

    async def go() -> None:
        result = await Runner.run(agent, "Go.")
        while result.interruptions:
            state = result.to_state()
            for item in result.interruptions:
                state.approve(item)
            with answered_by("dana"):
                result = await Runner.run(agent, state)

    with isolated() as recorder, scenarios.desk.run(on_behalf_of="kim"):
        asyncio.run(go())
    asked, answered = recorder.spans("remit:asked"), recorder.spans("remit:answered")
    assert len({span.key for span in asked}) == 3
    tickets = [span.payload["ticket"] for span in asked]
    assert len(set(tickets)) == 3
    assert [span.payload["ticket"] for span in answered] == tickets
    decisions = {(span.payload["decision"], span.payload["by"]) for span in answered}
    assert decisions == {("approved", "dana")}


@pytest.mark.parametrize("governed", [False, True], ids=["not governed", "governed"])
def test_an_agent_as_a_tool_waits_with_the_tool_inside_it(governed: bool) -> None:
    """When it goes on, it has a span again, with the agent below it."""

    @function_tool(needs_approval=True)
    def ship(order_id: str) -> str:
        """Ship an order."""
        return order_id

    def made(agent: Agent[Any]) -> Agent[Any]:
        return govern(agent) if governed else agent

    inner = Agent[Any](name="Sub", model=scripted(call("ship", order_id="A"), DONE), tools=[ship])
    tool = made(inner).as_tool("delegate", "Delegate.")
    outer = Agent[Any](name="Desk", model=scripted(call("delegate", input="A"), DONE), tools=[tool])
    agent = made(outer)

    async def go() -> None:
        with trace("Desk"):
            state = (await Runner.run(agent, "Go.")).to_state()
            state.approve(state.get_interruptions()[0])
            await Runner.run(agent, state)

    with isolated() as recorder:
        asyncio.run(go())
    waiting, done = recorder.spans("openai-agents:tool:delegate")
    assert (waiting.status, done.status) == ("cancelled", "complete")
    assert waiting.result == {"suspended": True}
    assert done.result == {"outputs": {"output": scenarios.TOLD}}
    agents = recorder.spans("openai-agents:agent")
    assert [span.parent for span in agents if span.payload["agent_name"] == "Sub"] == [
        waiting.key,
        done.key,
    ]


def test_the_remit_around_an_agent_as_a_tool_holds_after_an_approval() -> None:
    """The SDK goes on inside such a tool without asking its guardrails."""
    paid: list[int] = []

    @function_tool(needs_approval=True)
    def spend(amount: int) -> str:
        """Spend an amount."""
        paid.append(amount)
        return "spent"

    inner = Agent[Any](name="Sub", model=scripted(call("spend", amount=5), DONE), tools=[spend])
    tool = govern(inner, risks={"spend": PAYS}).as_tool("delegate", "Delegate.")
    outer = Agent[Any](name="Desk", model=scripted(call("delegate", input="A"), DONE), tools=[tool])
    agent = govern(
        outer,
        risks={"delegate": remit.risk(forbids="others")},
        remits={"Desk": remit.risk(forbids="financial_transactions")},
    )

    async def go() -> None:
        result = await Runner.run(agent, "Go.")
        state = result.to_state()
        state.approve(state.get_interruptions()[0])
        await Runner.run(agent, state)

    with isolated(on_violation="deny") as recorder:
        asyncio.run(go())
    assert paid == []
    assert recorder.spans("openai-agents:tool:spend")[-1].denied


def test_governed_agents_are_declared_with_their_latest_remits() -> None:
    """Before any of them runs, so that they can be locked."""
    billing = Agent[Any](name="Locked billing", model=scripted(DONE))
    desk = Agent[Any](name="Locked desk", model=scripted(DONE), handoffs=[billing])

    def declared() -> dict[str, object]:
        agents = process.registry().agents()
        known = {each.external_identifier: each.span_type.data_risk for each in agents}
        return {name: known[name] for name in names if name in known}

    names = [f"openai-agents.agents:{name}" for name in ("Locked desk", "Locked billing")]
    with isolated():
        once = govern(desk, remits={"Locked desk": PAYS_NOT})
        assert declared() == dict(zip(names, (PAYS_NOT, None), strict=True))
        govern(once, remits={"Locked billing": PAYS_NOT})
        assert declared() == dict.fromkeys(names, PAYS_NOT)
    with isolated():
        asyncio.run(Runner.run(govern(desk), "Go."))
        assert declared() == dict.fromkeys(names)
