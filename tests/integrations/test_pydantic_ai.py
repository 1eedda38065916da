"""The integration of pydantic-ai: the shared scenarios, and what only pydantic-ai has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import pytest
from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    DeferredToolResults,
    RunContext,
    ToolDenied,
)
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import (
    ApprovalRequired,
    ModelRetry,
    SkipToolExecution,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.output import NativeOutput, TextOutput, ToolOutput
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import RequestUsage

import remit
from remit.errors import DeclarationError, DeniedError, RunTerminated
from remit.integrations.pydantic_ai import Remit
from remit.models.data_risk import DataRisk
from remit.testing import RecordedSpan, RecordingSink, isolated
from tests.inside import declare, guard, registration, start
from tests.scenarios import (
    CANARY,
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
    spans_of,
    spend,
)

DELETES_NOT: Final = remit.risk(forbids="destroy_data")
NEITHER: Final = remit.risk(forbids=["financial_transactions", "destroy_data"])
AGENT: Final = "pydantic-ai:agent"
LLM: Final = "pydantic-ai:llm"


class Script:
    """A model that answers with the scripted turns."""

    def __init__(
        self, turns: Sequence[Turn], on_model_call: Callable[[int], object] | None = None
    ) -> None:
        """Answer with *turns*, each after *on_model_call*."""
        self._turns = turns
        self._on_model_call = on_model_call
        self.calls = 0
        self.read: list[str] = []
        self.model = FunctionModel(self.answer, stream_function=self.stream, model_name="scripted")

    def _next(self, messages: list[ModelMessage]) -> Turn:
        self.read = [
            str(part.content)
            for message in messages
            for part in message.parts
            if isinstance(part, ToolReturnPart)
        ]
        number, self.calls = self.calls, self.calls + 1
        if self._on_model_call is not None:
            self._on_model_call(number)
        return self._turns[number]

    def answer(self, messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        """Answer in one go."""
        turn = self._next(messages)
        calls = [ToolCallPart(name, args) for name, args in turn.calls]
        texts = [] if turn.text is None else [TextPart(turn.text)]
        return ModelResponse([*texts, *calls], finish_reason="tool_call" if calls else "stop")

    async def stream(
        self, messages: list[ModelMessage], _info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        """Answer in pieces."""
        turn = self._next(messages)
        for number, word in enumerate((turn.text or "").split()):
            yield f" {word}" if number else word
        for index, (name, args) in enumerate(turn.calls):
            yield {index: DeltaToolCall(name=name)}
            yield {index: DeltaToolCall(json_args=str(args).replace("'", '"'))}


class PydanticAi:
    """Runs agents of pydantic-ai."""

    prefix = "pydantic-ai"
    has_agent = True
    has_tools = True
    lacks: Mapping[str, str] = {}

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Run an agent once."""
        script = Script(turns, on_model_call)
        agent = Agent(script.model, tools=list(tools), capabilities=[Remit(risks=risks)])
        if stream:
            async with agent.run_stream("Where is A-1?") as streamed:
                async for _ in streamed.stream_text(debounce_by=None):
                    pass
                answer = await streamed.get_output()
        else:
            answer = (await agent.run("Where is A-1?")).output
        return Ran(answer, script.read, script.calls)


DRIVER: Final[Driver] = PydanticAi()


@each_scenario_of(DRIVER)
def test_a_scenario(scenario: Scenario) -> None:
    """As with every framework."""
    check(scenario, DRIVER)


def agent_of(
    turns: Sequence[Turn],
    *tools: Tool,
    name: str = "clerk",
    **remit_arguments: Any,
) -> Agent[None, str]:
    """Return an agent of pydantic-ai with a scripted model."""
    return Agent(
        Script(turns).model,
        name=name,
        tools=list(tools),
        capabilities=[Remit(**remit_arguments)],
    )


def ask(agent: Agent[None, Any], *prompt: Any, **arguments: Any) -> Any:
    """Run an agent; `run_sync` of pydantic-ai leaves an event loop open."""
    return asyncio.run(agent.run(*prompt, **arguments))


def text_of(spans: Sequence[RecordedSpan]) -> str:
    """Return all payloads and results."""
    return str([(span.payload, span.result) for span in spans])


# Payloads


def test_a_model_call_has_what_the_framework_knows(recorder: RecordingSink) -> None:
    """Settings, instructions, media, tokens, price, and the model that answered."""

    def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        return ModelResponse(
            [TextPart("A cat.")],
            usage=RequestUsage(input_tokens=10, output_tokens=5, cache_read_tokens=4),
            provider_name="openai",
            provider_response_id="r-1",
            finish_reason="stop",
        )

    model = FunctionModel(answer, model_name="gpt-4o")
    agent = Agent(model, instructions="Be brief.", capabilities=[Remit()])
    picture = BinaryContent(b"1234", media_type="image/png")
    prompt = ["What is it?", picture, ImageUrl("https://example.com/cat.png")]
    settings: Any = {"temperature": 0.5, "extra_headers": {"x": "canary"}}
    with desk.run():
        ask(agent, prompt, model_settings=settings)
    (span,) = recorder.spans(LLM)
    inputs = span.payload["inputs"]
    assert span.payload["operation"] == "chat"
    assert span.payload["provider"] == "openai"  # as the answer says
    assert span.payload["temperature"] == 0.5
    assert inputs["system"] == "Be brief."
    assert inputs["settings"] == {"temperature": 0.5}
    assert inputs["messages"][0]["content"][0] == {"type": "text", "text": "What is it?"}
    assert inputs["messages"][0]["content"][1]["size"] == 4
    assert inputs["messages"][0]["content"][2] == {
        "type": "image-url", "url": "https://example.com/cat.png",
    }  # fmt: skip
    result = span.result or {}
    assert result["outputs"] == {
        "messages": [{"role": "assistant", "content": "A cat."}], "finish_reasons": ["stop"],
    }  # fmt: skip
    assert result["token_usage"] == {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
    }  # fmt: skip
    assert result["usage_details"] == {"cache_read": 4}
    assert (result["response_model"], result["response_id"]) == ("gpt-4o", "r-1")
    assert result["cost"]["currency"] == "USD"
    assert float(result["cost"]["amount"]) > 0


def test_an_agent_has_its_prompt_and_its_output(recorder: RecordingSink) -> None:
    """Inputs and outputs, where the redaction that follows the run looks."""
    with desk.run():
        ask(agent_of([DONE]), "Where is A-1?", conversation_id="1")
    (span,) = recorder.spans(AGENT)
    asked = {"agent_name": "clerk", "inputs": {"prompt": "Where is A-1?"}}
    assert span.payload == {**asked, "conversation": "1"}
    assert span.result == {"outputs": {"output": TOLD}}


def test_messages_are_left_out_on_request(recorder: RecordingSink) -> None:
    """Counts, tokens and the arguments of tools stay."""
    with desk.run():
        ask(agent_of([LOOK_UP, DONE], look_up, capture_messages="none"), CANARY)
    assert CANARY not in text_of(recorder.spans())
    assert TOLD not in text_of(recorder.spans())
    assert recorder.spans(LLM)[0].payload["inputs"]["omitted"] == {"count": 1}
    assert recorder.spans(LLM)[0].result["token_usage"]["prompt_tokens"] > 0  # type: ignore[index]


def test_all_messages_are_recorded_on_request(recorder: RecordingSink) -> None:
    """Each call repeats the history."""
    with desk.run():
        ask(agent_of([LOOK_UP, DONE], look_up, capture_messages="all"), "Where is A-1?")
    messages = recorder.spans(LLM)[1].payload["inputs"]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]


def test_an_answer_of_another_shape_loses_only_what_cannot_be_read(
    recorder: RecordingSink,
) -> None:
    """The call is as without the integration."""

    def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        usage = RequestUsage(details={"reasoning_tokens": "many"})  # type: ignore[dict-item]
        return ModelResponse([TextPart("x")], usage=usage, finish_reason="odd")  # type: ignore[arg-type]

    with desk.run():
        assert ask(Agent(FunctionModel(answer), capabilities=[Remit()]), "?").output == "x"
    (span,) = recorder.spans(LLM)
    assert (span.status, (span.result or {})["outputs"]["finish_reasons"]) == ("complete", ["odd"])


def test_a_retry_is_as_without_the_integration(recorder: RecordingSink) -> None:
    """The first call of the tool is failed, and the model reads the framework's own words."""
    calls: list[str] = []

    def flaky(order_id: str) -> str:
        """Find an order at the second time."""
        calls.append(order_id)
        if len(calls) == 1:
            raise ModelRetry("again")
        return "found"

    turn = Turn(calls=(("flaky", {"order_id": "A-1"}),))
    with desk.run():
        assert ask(agent_of([turn, turn, DONE], flaky), "?").output == TOLD
    statuses = [span.status for span in recorder.spans("pydantic-ai:tool:flaky")]
    assert statuses == ["failed", "complete"]
    assert "again" in str(recorder.spans(LLM)[1].payload["inputs"]["messages"][-1])


def test_a_tool_that_another_capability_answers_is_complete(recorder: RecordingSink) -> None:
    """Its result is that answer."""

    class Cache(AbstractCapability[Any]):
        async def wrap_tool_execute(self, *_: object, **_call: object) -> None:
            raise SkipToolExecution("cached")

    agent = Agent(Script([LOOK_UP, DONE]).model, tools=[look_up], capabilities=[Cache(), Remit()])
    with desk.run():
        assert ask(agent, "?").output == TOLD
    (tool,) = recorder.spans("pydantic-ai:tool:look_up")
    assert (tool.status, tool.result) == ("complete", {"outputs": {"output": "cached"}})


def test_a_fault_loses_a_span_at_most(
    monkeypatch: pytest.MonkeyPatch, recorder: RecordingSink
) -> None:
    """It is counted."""
    monkeypatch.setattr(guard.faults, "strict", False)

    def broken(*_: object) -> None:
        raise TypeError("not as expected")

    monkeypatch.setattr("remit.integrations.pydantic_ai._messages", broken)
    monkeypatch.setattr("remit.integrations.pydantic_ai._is_decorated", broken)
    with desk.run():
        assert ask(agent_of([LOOK_UP, DONE], look_up), "?").output == TOLD
    assert remit.status().faults
    assert recorder.tree() == [
        [["pydantic-ai:agent", [[LLM, []], ["pydantic-ai:tool", [["desk:find", []]]], [LLM, []]]]]
    ]


@pytest.mark.parametrize("of_run", [False, True], ids=["of the agent", "of the run"])
def test_a_fault_lifts_no_remit(monkeypatch: pytest.MonkeyPatch, of_run: bool) -> None:
    """That of an agent which could not be declared holds, and a tool that could not is refused."""

    def broken(*_: object, **_arguments: object) -> None:
        raise TypeError("not as expected")

    with isolated(on_violation="deny") as recorder:
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr("remit.integrations.pydantic_ai.declare_agent", broken)
        monkeypatch.setattr("remit.integrations.pydantic_ai.declare", broken)
        turns = [PAY_OUT, PAY_OUT, DONE]
        remit_of_agent = Remit(risks=risks_of(pay_out), data_risk=None if of_run else PAYS_NOT)
        agent = Agent(Script(turns).model, tools=[pay_out], capabilities=[remit_of_agent])
        of_this_run = [Remit(data_risk=PAYS_NOT)] if of_run else []
        assert ask(agent, "?", capabilities=of_this_run).output == TOLD
        assert remit.status().faults
        assert [span.status for span in recorder.spans("pydantic-ai:tool")] == ["failed", "failed"]


def outcome_of(capabilities: list[Any], tool: Tool, turns: Sequence[Turn]) -> tuple[str, list[Any]]:
    """Return the error or output of an agent, and what its model was given and answered."""
    script = Script(turns)
    agent = Agent(script.model, tools=[tool], capabilities=capabilities)
    try:
        output = ask(agent, "?").output
    except LookupError as error:
        output = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    return output, script.read


@pytest.mark.parametrize(
    ("tool", "turns"),
    [
        (look_up, [LOOK_UP, DONE]),
        (fail, [Turn(calls=(("fail", {"order_id": "A-1"}),)), DONE]),
        (look_up, [Turn(calls=(("look_up", {"wrong": 1}),)), DONE]),
        (look_up, [Turn(calls=(("unknown", {}),)), LOOK_UP, DONE]),
    ],
)
def test_an_agent_does_the_same_with_and_without(
    tool: Tool, turns: Sequence[Turn], recorder: RecordingSink
) -> None:
    """Results, errors, and what the model reads."""
    with desk.run():
        assert outcome_of([Remit()], tool, turns) == outcome_of([], tool, turns)
    assert "active" not in {span.status for span in recorder.spans()}


# Streams


async def _run(agent: Agent[None, str]) -> None:
    await agent.run("?")


async def _run_stream(agent: Agent[None, str]) -> None:
    async with agent.run_stream("?") as streamed:
        await streamed.get_output()


async def _run_stream_events(agent: Agent[None, str]) -> None:
    async with agent.run_stream_events("?") as events:
        async for _ in events:
            pass


async def _iter(agent: Agent[None, str]) -> None:
    async with agent.iter("?") as run:
        async for _ in run:
            pass


@pytest.mark.parametrize("run", [_run, _run_stream, _run_stream_events, _iter])
def test_each_way_to_run_an_agent_is_recorded_alike(
    run: Callable[[Agent[None, str]], Coroutine[Any, Any, None]], recorder: RecordingSink
) -> None:
    """In the agent's own run."""
    asyncio.run(run(agent_of([LOOK_UP, DONE], look_up)))
    assert recorder.tree() == [
        [[AGENT, [[LLM, []], ["pydantic-ai:tool:look_up", [["desk:find", []]]], [LLM, []]]]]
    ]
    assert {span.status for span in recorder.spans()} == {"complete"}
    assert recorder.spans(AGENT)[0].result == {"outputs": {"output": TOLD}}
    assert recorder.runs[0].status == "complete"


async def _until_the_first_word(agent: Agent[None, str]) -> None:
    async with agent.run_stream("?") as streamed:
        async for _ in streamed.stream_text(debounce_by=None):
            break


async def _until_an_error(agent: Agent[None, str]) -> None:
    async def read() -> None:
        async with agent.run_stream("?") as streamed:
            async for _ in streamed.stream_text(debounce_by=None):
                raise LookupError("enough")

    with pytest.raises(LookupError):
        await read()


async def _closed(agent: Agent[None, str]) -> None:
    async with agent.run_stream("?") as streamed:
        async for _ in streamed.stream_text(debounce_by=None):
            await streamed.cancel()
            break


async def _node_by_node(agent: Agent[None, str]) -> None:
    async with agent.iter("?") as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    async for _ in stream:
                        return


@pytest.mark.parametrize("leave", [_until_the_first_word, _until_an_error, _closed, _node_by_node])
def test_a_stream_that_is_left_is_cancelled_with_what_came(
    leave: Callable[[Agent[None, str]], Coroutine[Any, Any, None]], recorder: RecordingSink
) -> None:
    """No span stays open, and no other one is cancelled."""

    async def main() -> None:
        async with desk.run() as run:
            await leave(agent_of([DONE]))
            assert remit.current_run() is run
            find("after")

    asyncio.run(main())
    (model,) = recorder.spans(LLM)
    (after,) = recorder.spans("desk:find")
    content = (model.result or {})["outputs"]["messages"][0]["content"]
    assert (model.status, content[:2]) == ("cancelled", "It")
    assert recorder.spans(AGENT)[0].status != "active"
    assert after.parent == recorder.runs[0].root.key
    assert recorder.runs[0].status == "complete"


def test_a_stream_has_the_time_of_its_first_token(recorder: RecordingSink) -> None:
    """Steps between two pieces are beneath the agent, not beneath the model."""

    async def main() -> None:
        async with desk.run(), agent_of([DONE]).run_stream("?") as streamed:
            async for _ in streamed.stream_text(debounce_by=None):
                find("between")

    asyncio.run(main())
    (model,) = recorder.spans(LLM)
    assert model.payload["stream"] is True
    assert (model.result or {})["first_token_ms"] > 0
    assert {span.parent for span in recorder.spans("desk:find")} == {recorder.spans(AGENT)[0].key}


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_is_watched_as_well_records_nothing(
    stream: bool,
    recorder: RecordingSink,
) -> None:
    """A stream is opened in another task than its span."""
    client = declare("client:llm", "llm")

    def call(_number: int) -> None:
        start(client, {}).end()

    async def main() -> None:
        async with desk.run():
            await DRIVER.run([LOOK_UP, DONE], [look_up], stream=stream, on_model_call=call)

    asyncio.run(main())
    assert len(recorder.spans(LLM)) == 2
    assert recorder.spans("client:llm") == []


# Approval


def ship(order_id: str) -> str:
    """Ship an order."""
    return f"{order_id} is on its way"


def careful_ship(ctx: RunContext[Any], order_id: str) -> str:
    """Ship an order that is approved."""
    if not ctx.tool_call_approved:
        raise ApprovalRequired
    return ship(order_id)


def asking_agent(tool: str) -> Agent[None, str | DeferredToolRequests]:
    """Return an agent with tools that need an approval."""
    turns = [Turn(calls=((tool, {"order_id": "A-1"}),)), DONE]
    agent = Agent(
        Script(turns).model,
        name="clerk",
        output_type=[str, DeferredToolRequests],
        capabilities=[Remit()],
    )
    agent.tool_plain(requires_approval=True)(ship)
    agent.tool(careful_ship)
    return agent


@pytest.mark.parametrize("tool", ["ship", "careful_ship"])
def test_an_approval_leaves_the_run_open_and_its_resume_goes_on(
    tool: str, recorder: RecordingSink
) -> None:
    """What is open is cancelled."""
    agent = asking_agent(tool)
    with desk.run() as run:
        asked = ask(agent, "Ship A-1")
    assert isinstance(asked.output, DeferredToolRequests)
    assert recorder.runs[0].status == "open"
    statuses = {span.name: span.status for span in recorder.runs[0].spans[1:]}
    assert statuses.pop(LLM) == statuses.pop("remit:asked") == "complete"
    assert set(statuses.values()) == {"cancelled"}
    (call,) = (recorder.spans(AGENT)[0].result or {})["outputs"]["tool_calls"]
    assert (call["name"], call["args"]) == (tool, {"order_id": "A-1"})

    approvals = DeferredToolResults(approvals={asked.output.approvals[0].tool_call_id: True})
    with desk.run(resume=run.key):
        told = ask(agent, message_history=asked.all_messages(), deferred_tool_results=approvals)
    assert told.output == TOLD
    assert recorder.runs[1].status == "complete"
    assert [span.status for span in recorder.spans(f"pydantic-ai:tool:{tool}")][-1] == "complete"


def test_an_approval_that_is_given_in_the_same_run_lets_it_end(recorder: RecordingSink) -> None:
    """As a program does that asks at its console."""
    agent = asking_agent("ship")
    with desk.run():
        asked = ask(agent, "Ship A-1")
        assert isinstance(asked.output, DeferredToolRequests)
        approvals = DeferredToolResults(approvals={asked.output.approvals[0].tool_call_id: True})
        told = ask(agent, message_history=asked.all_messages(), deferred_tool_results=approvals)
    assert told.output == TOLD
    assert recorder.runs[0].status == "complete"


def test_a_fault_while_approvals_are_read_does_not_stop_the_agent(
    monkeypatch: pytest.MonkeyPatch, recorder: RecordingSink
) -> None:
    """The program gets its answer, and the run stays open."""

    def broken(_: object) -> None:
        raise TypeError("not as expected")

    agent = asking_agent("ship")
    with desk.run():
        asked = ask(agent, "Ship A-1")
        assert isinstance(asked.output, DeferredToolRequests)
        approvals = DeferredToolResults(approvals={asked.output.approvals[0].tool_call_id: True})
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr("remit.integrations.pydantic_ai._calls_of", broken)
        told = ask(agent, message_history=asked.all_messages(), deferred_tool_results=approvals)
    assert told.output == TOLD
    assert remit.status().faults["the approvals of a run"]
    assert recorder.runs[0].status == "open"


@pytest.mark.parametrize(
    ("given", "answer"), [(True, "approved"), (ToolDenied("Not today."), "Not today.")]
)
def test_an_agent_that_waits_in_its_own_run_goes_on_in_it(
    recorder: RecordingSink, given: Any, answer: str
) -> None:
    """The conversation is in the messages; so it does in another process."""
    agent = asking_agent("ship")
    asked = ask(agent, "Ship A-1")
    (call,) = asked.output.approvals
    approvals = DeferredToolResults(approvals={call.tool_call_id: given})
    told = ask(agent, message_history=asked.all_messages(), deferred_tool_results=approvals)
    assert told.output == TOLD
    first, second = recorder.runs
    assert (first.status, second.status) == ("open", "complete")
    assert second.feed.root == first.feed.root
    (question,) = recorder.spans("remit:asked")
    assert question.payload["asked"]["name"] == "ship"
    assert (question.payload["how"], question.payload["ticket"]) == ("deferred", call.tool_call_id)
    (answered,) = recorder.spans("remit:answered")
    assert answered.payload["answer"] == answer
    assert answered.payload["ticket"] == call.tool_call_id
    assert [span.status for span in recorder.spans(AGENT)] == ["cancelled", "complete"]


def test_an_approval_of_a_sub_agent_is_its_callers_business(recorder: RecordingSink) -> None:
    """The run ends as usual."""

    async def delegate(order_id: str) -> str:
        """Ask another agent."""
        return type((await asking_agent("ship").run(order_id)).output).__name__

    turns = [Turn(calls=(("delegate", {"order_id": "A-1"}),)), DONE]
    with desk.run():
        assert ask(agent_of(turns, delegate, name="boss"), "?").output == TOLD
    assert recorder.runs[0].status == "complete"
    assert [span.status for span in recorder.spans(AGENT)] == ["complete", "cancelled"]


# Sub-agents and remits


def pay_out(amount: int) -> str:
    """Pay an amount out."""
    return f"{amount} is paid"


PAY_OUT: Final = Turn(calls=(("pay_out", {"amount": 5}),))


def test_the_remit_of_an_agent_applies_beneath_it(recorder: RecordingSink) -> None:
    """And not beside it."""
    del recorder
    risks = {"pay_out": PAYS, "delegate": PAYS_NOT}
    inner = agent_of(
        [PAY_OUT, DONE], pay_out, name="inner", risks=risks_of(pay_out), data_risk=PAYS_NOT
    )

    async def delegate(order_id: str) -> str:
        """Ask another agent."""
        return (await inner.run(order_id)).output

    turns = [Turn(calls=(("delegate", {"order_id": "A-1"}),)), PAY_OUT, DONE]
    outer = agent_of(turns, delegate, pay_out, name="outer", risks=risks)
    with isolated(on_violation="deny") as recorded:
        with desk.run():
            assert ask(outer, "?").output == TOLD
        tools = spans_of(recorded, "pydantic-ai:tool:pay_out")
        assert [span.status for span in tools] == ["failed", "complete"]
        agents = spans_of(recorded, AGENT)
        (delegated,) = spans_of(recorded, "pydantic-ai:tool:delegate")
        assert [span.payload["agent_name"] for span in agents] == ["outer", "inner"]
        assert agents[1].parent == delegated.key


def risks_of(tool: Tool) -> dict[str, DataRisk]:
    """Return that a tool pays."""
    return {tool.__name__: PAYS}


def test_an_agent_that_opens_its_own_run_is_registered_with_its_remit() -> None:
    """A refusal names it once."""
    agent = agent_of([PAY_OUT, DONE], pay_out, risks=risks_of(pay_out), data_risk=PAYS_NOT)
    with isolated(on_violation="deny") as recorder:
        assert ask(agent, "?").output == TOLD
        assert recorder.runs[0].agent == "pydantic-ai.agents:clerk"
        (tool,) = spans_of(recorder, "pydantic-ai:tool:pay_out")
        assert len((tool.result or {})["error"]["violations"]) == 1


# Tools


def test_two_modules_have_a_tool_of_one_name(caplog: pytest.LogCaptureFixture) -> None:
    """Each under its own risk; the log names the lines of both capabilities."""
    with isolated(on_violation="deny") as recorder:
        turns = [Turn(calls=(("search", {"word": "x"}),)), DONE]

        def search(word: str) -> str:
            """Search."""
            return word

        paying = Agent(
            Script(turns).model, tools=[search], capabilities=[Remit(risks={"search": PAYS})]
        )
        free = Agent(
            Script(turns).model, tools=[search], capabilities=[Remit(risks={"search": PAYS_NOT})]
        )
        with careful.run():
            ask(paying, "?")
            ask(free, "?")
        tools = spans_of(recorder, "pydantic-ai:tool:search")
    assert [span.status for span in tools] == ["failed", "complete"]
    (line,) = {record.getMessage() for record in caplog.records if "differently" in record.msg}
    assert line.count("test_pydantic_ai.py:") == 2


def test_a_tool_with_a_prefix_is_known_by_the_name_that_the_model_uses() -> None:
    """Before the first run."""
    toolset = FunctionToolset([look_up]).prefixed("shop").renamed({"find_it": "shop_look_up"})
    with isolated():
        turns = [Turn(calls=(("find_it", {"order_id": "A-1"}),)), DONE]
        agent = Agent(
            Script(turns).model, toolsets=[toolset], capabilities=[Remit(risks={"find_it": PAYS})]
        )
        names = registered()
        assert "pydantic-ai:tool:find_it" in names
        with desk.run():
            assert ask(agent, "?").output == TOLD
        assert registered() == names


def test_a_tool_that_is_added_later_is_declared_before_the_run_begins(
    recorder: RecordingSink,
) -> None:
    """Its function may be decorated, and it may take the context."""
    agent = agent_of([LOOK_UP, DONE])

    @agent.tool
    def look_up(_ctx: RunContext[Any], order_id: str) -> str:
        """Look an order up."""
        return order_id

    agent.tool_plain(pay)
    assert ask(agent, "?").output == TOLD
    assert not any("$remit" in span.payload for span in recorder.spans())
    assert len(recorder.spans("pydantic-ai:tool:look_up")) == 1
    assert "pydantic-ai:tool:pay" not in registered()


def test_a_sync_tool_has_its_steps_beneath_it(recorder: RecordingSink) -> None:
    """It runs on another thread."""
    with desk.run():
        ask(agent_of([LOOK_UP, DONE], look_up), "?")
    assert recorder.tree() == [
        [[AGENT, [[LLM, []], ["pydantic-ai:tool:look_up", [["desk:find", []]]], [LLM, []]]]]
    ]


def test_the_model_of_the_framework_for_tests_works(recorder: RecordingSink) -> None:
    """It calls each tool."""
    with desk.run():
        ask(Agent(TestModel(), tools=[look_up], capabilities=[Remit()]), "?")
    assert [span.status for span in recorder.spans(LLM)] == ["complete", "complete"]


def test_a_terminated_stream_calls_no_model_again() -> None:
    """The termination reaches the caller."""
    with isolated() as recorder:

        def stop(number: int) -> None:
            if number == 0:
                recorder.runs[0].feed.terminated = "stopped"

        async def main() -> None:
            async with desk.run():
                await DRIVER.run([LOOK_UP, DONE], [look_up], stream=True, on_model_call=stop)

        with pytest.raises(RunTerminated):
            asyncio.run(main())
        assert len(spans_of(recorder, LLM)) == 1
        assert "active" not in {span.status for span in recorder.spans()}


# Output functions


class Outputs(Script):
    """A model that fills an output function: its tool, or the text of the answer."""

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        """Answer, with `output` in place of the name of the output tool."""
        response = super().answer(messages, info)
        for part in response.parts:
            if isinstance(part, ToolCallPart) and part.tool_name == "output":
                part.tool_name = info.output_tools[0].name
        return response

    async def stream(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        """Answer in pieces, alike."""
        async for piece in super().stream(messages, info):
            for call in piece.values() if isinstance(piece, dict) else ():
                call.name = info.output_tools[0].name if call.name == "output" else call.name
            yield piece


paid: Final[list[object]] = []


def transfer(amount: int) -> str:
    """Transfer an amount."""
    paid.append(amount)
    return find(str(amount))


@remit.span_type("desk:settle_up", data_risk=PAYS)
def settle_up(amount: int) -> str:
    """Settle an amount."""
    paid.append(amount)
    return "settled"


def publish(text: str) -> str:
    """Publish a text."""
    paid.append(text)
    return text


class Clerk:
    """Has an output function."""

    def transfer(self, amount: int) -> str:
        """Transfer an amount."""
        paid.append(amount)
        return "transferred"


FILLED: Final = Turn(calls=(("output", {"amount": 5}),))
NATIVE: Final = Turn(text='{"amount": 5}')
UNION: Final = Turn(text='{"result": {"kind": "transfer", "data": {"amount": 5}}}')


async def _streamed(agent: Agent[None, Any]) -> Any:
    async with agent.run_stream("?") as streamed:
        return [output async for output in streamed.stream_output(debounce_by=None)][-1]


async def _got(agent: Agent[None, Any]) -> Any:
    async with agent.run_stream("?") as streamed:
        return await streamed.get_output()


async def _whole(agent: Agent[None, Any]) -> Any:
    return (await agent.run("?")).output


def agent_with(
    output_type: Any,
    *turns: Turn,
    **remit_arguments: Any,
) -> Agent[None, Any]:
    """Return an agent with output functions."""
    paid.clear()
    model = Outputs(turns).model
    capabilities = [Remit(**remit_arguments)]
    return Agent(model, name="clerk", output_type=output_type, capabilities=capabilities)


REFUSED_OUTPUTS: Final[dict[str, tuple[Any, Turn, str]]] = {
    "function": (transfer, FILLED, "pydantic-ai:output:transfer"),
    "method": (Clerk().transfer, FILLED, "pydantic-ai:output:transfer"),
    "decorated": (settle_up, FILLED, "desk:settle_up"),
    "tool": (ToolOutput(transfer, name="send"), FILLED, "pydantic-ai:output:transfer"),
    "text": (TextOutput(publish), Turn(text="x"), "pydantic-ai:output:publish"),
    "native": (NativeOutput(transfer), NATIVE, "pydantic-ai:output:transfer"),
    "one of two": (NativeOutput([transfer, settle_up]), UNION, "pydantic-ai:output"),
}


@pytest.mark.parametrize("run", [_whole, _streamed, _got])
@pytest.mark.parametrize("how", REFUSED_OUTPUTS)
def test_an_output_function_is_refused_as_a_tool(
    how: str, run: Callable[[Agent[None, Any]], Coroutine[Any, Any, Any]]
) -> None:
    """The refusal reaches the caller if the model does not choose another output."""
    output_type, turn, name = REFUSED_OUTPUTS[how]
    agent = agent_with(output_type, turn, turn, data_risk=PAYS_NOT)
    with isolated(on_violation="deny") as recorder:
        with pytest.raises((DeniedError, UnexpectedModelBehavior)) as raised:
            asyncio.run(run(agent))
        error: BaseException | None = raised.value
        if run is _whole:
            assert isinstance(error, DeniedError)
        while error is not None and not isinstance(error, DeniedError):
            error = error.__cause__
        assert isinstance(error, DeniedError)
        assert {span.status for span in recorder.spans(name)} == {"failed"}
    assert paid == []


def test_the_model_reads_why_an_output_function_was_refused() -> None:
    """It chooses another output."""
    agent = agent_with([transfer, str], FILLED, DONE, data_risk=PAYS_NOT)
    with isolated(on_violation="deny") as recorder:
        assert ask(agent, "?").output == TOLD
        assert recorder.runs[0].status == "complete"
        read = recorder.spans(LLM)[1].payload["inputs"]["messages"][-1]
    assert read["role"] == "tool"
    assert read["content"].startswith("Policy denied this step and it did not run")


@pytest.mark.parametrize("run", [_whole, _streamed])
def test_an_output_function_is_recorded_as_a_tool(
    run: Callable[[Agent[None, Any]], Coroutine[Any, Any, Any]],
) -> None:
    """Once, with what it was given and what it returned, under the risk that it has by name."""
    agent = agent_with(transfer, FILLED, risks={"transfer": PAYS_NOT})
    with isolated(on_violation="deny") as recorder, desk.run():
        assert asyncio.run(run(agent)) == "5 is shipped"
        (span,) = recorder.spans("pydantic-ai:output:transfer")
        steps = recorder.spans("desk:find")
        assert steps[-1].parent == span.key
    assert span.status == "complete"
    assert span.payload["inputs"] == {"amount": 5}
    assert span.result == {"outputs": {"output": "5 is shipped"}}


def test_a_decorated_output_function_has_one_span(recorder: RecordingSink) -> None:
    """Its own; an output that is only data has none."""
    with desk.run():
        assert ask(agent_with(settle_up, FILLED), "?").output == "settled"
        assert ask(agent_with([int, str], Turn(calls=(("output", {"response": 5}),))), "?").output
        names = [span.name for span in recorder.spans()]
    assert names == [AGENT, LLM, "desk:settle_up", AGENT, LLM]


def test_an_output_of_data_is_not_judged() -> None:
    """It has no effect."""
    agent = agent_with(int, Turn(calls=(("output", {"response": 5}),)), data_risk=PAYS_NOT)
    with isolated(on_violation="deny"):
        assert ask(agent, "?").output == 5


# Declarations


def registered() -> set[str]:
    """Return the span types that an agent registers."""
    version: Any = desk.registration()["agent_schema_version"]
    return {each["name"] for each in version["span_type_schemas"]}


@pytest.mark.parametrize(
    "capabilities",
    [
        ([Remit(risks={"spend": PAYS}), Remit()], []),
        ([Remit(), Remit(risks={"spend": PAYS})], []),
        ([Remit()], [Remit(risks={"spend": PAYS})]),
    ],
)
def test_two_capabilities_record_once(capabilities: tuple[list[Any], list[Any]]) -> None:
    """The risks of both are declared."""
    turns = [Turn(calls=(("spend", {"amount": 5}),)), DONE]
    of_agent, of_run = capabilities
    with isolated(on_violation="deny") as recorder:
        agent = Agent(Script(turns).model, tools=[spend], capabilities=of_agent)
        with careful.run():
            assert ask(agent, "?", capabilities=of_run).output == TOLD
        assert [span.name for span in recorder.spans()] == [
            AGENT, LLM, "pydantic-ai:tool:spend", LLM,
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("of_agent", "of_run", "statuses"),
    [
        ({"data_risk": PAYS_NOT, "risks": {"pay_out": PAYS}}, [{}], ["failed"]),
        ({"data_risk": PAYS_NOT}, [{"risks": {"pay_out": PAYS_NOT}}], ["complete"]),
        ({"risks": {"pay_out": PAYS}}, [{"data_risk": PAYS_NOT}], ["failed"]),
        (
            {"data_risk": PAYS_NOT, "risks": {"pay_out": PAYS}},
            [{"data_risk": DELETES_NOT, "risks": {"pay_out": NEITHER}}],
            ["failed"],
        ),
        (
            {"data_risk": DELETES_NOT, "risks": {"pay_out": NEITHER}},
            [{"data_risk": PAYS_NOT}, {"data_risk": DELETES_NOT}],
            ["complete"],
        ),
        ({"data_risk": PAYS_NOT, "risks": {"pay_out": PAYS}}, [], ["failed"]),
    ],
    ids=["remit", "risk", "remit of the run", "both", "three remits", "of the agent only"],
)
def test_a_capability_of_one_run_adds_to_that_of_the_agent(
    of_agent: dict[str, Any], of_run: list[dict[str, Any]], statuses: list[str]
) -> None:
    """Every remit holds; of what both say of a tool, the agent's word counts."""
    agent = agent_of([PAY_OUT, DONE] * 2, pay_out, **of_agent)
    with isolated(on_violation="deny") as recorder:
        capabilities = [Remit(**arguments) for arguments in of_run]
        assert ask(agent, "?", capabilities=capabilities).output == TOLD
        tools = spans_of(recorder, "pydantic-ai:tool:pay_out")
        assert [span.status for span in tools] == statuses


def test_a_capability_of_one_run_is_gone_with_the_run() -> None:
    """The next run has that of the agent."""
    agent = agent_of([PAY_OUT, DONE] * 2, pay_out, risks={"pay_out": PAYS})
    with isolated(on_violation="deny") as recorder:
        assert ask(agent, "?", capabilities=[Remit(data_risk=PAYS_NOT)]).output == TOLD
        assert ask(agent, "?").output == TOLD
        tools = spans_of(recorder, "pydantic-ai:tool:pay_out")
        assert [span.status for span in tools] == ["failed", "complete"]


def test_two_capabilities_of_an_agent_forbid_what_either_forbids() -> None:
    """As one of a run does."""
    turns = [PAY_OUT, DONE]
    capabilities = [
        Remit(data_risk=PAYS_NOT, risks={"pay_out": PAYS}), Remit(data_risk=DELETES_NOT),
    ]  # fmt: skip
    agent = Agent(Script(turns).model, tools=[pay_out], capabilities=capabilities)
    with isolated(on_violation="deny") as recorder:
        assert ask(agent, "?").output == TOLD
        (tool,) = spans_of(recorder, "pydantic-ai:tool:pay_out")
    assert "financial_transactions" in str(tool.result)


# Limits on effects

ONCE: Final = remit.limits(financial_transactions=1)
TWICE: Final = remit.limits(financial_transactions=2)
PAY_TWICE: Final = [PAY_OUT, PAY_OUT, DONE]


def test_a_limit_of_one_payment_admits_one_of_two_in_each_run() -> None:
    """The model reads why the second one does not run; the registration has the limit."""
    paid: list[int] = []

    def pay_out(amount: int) -> str:
        """Pay an amount out."""
        paid.append(amount)
        return "paid"

    script = Script(PAY_TWICE * 2)
    remit_of_clerk = Remit(risks=risks_of(pay_out), limits=ONCE)
    agent = Agent(script.model, name="clerk", tools=[pay_out], capabilities=[remit_of_clerk])
    with isolated(on_violation="deny") as recorder:
        assert ask(agent, "?").output == TOLD
        assert ask(agent, "?").output == TOLD
        declared = {each.external_identifier: each for each in recorder.registry.agents()}
        registered: Any = registration(declared["pydantic-ai.agents:clerk"], recorder.registry)
        tools = spans_of(recorder, "pydantic-ai:tool:pay_out")
    assert paid == [5, 5]
    assert [span.denied for span in tools] == [False, True] * 2
    assert "the limit of this run for financial transactions is reached" in script.read[-1]
    entries = registered["agent_schema_version"]["span_type_schemas"]
    (entry,) = [each for each in entries if each["name"] == "pydantic-ai.agents:clerk"]
    assert entry["params_schema"]["x-remit-limits"] == {"financial_transactions": 1}


@pytest.mark.parametrize(
    ("of_agent", "of_run", "denied"),
    [
        ({"limits": ONCE}, {"limits": TWICE}, [False, True]),
        ({"limits": TWICE}, {"limits": ONCE}, [False, True]),
        ({"limits": ONCE, "data_risk": DELETES_NOT}, {"limits": ONCE}, [False, True]),
        ({"data_risk": DELETES_NOT}, {"limits": ONCE}, [False, True]),
        ({"limits": TWICE}, {"limits": TWICE}, [False, False]),
    ],
)
def test_the_lowest_limit_of_several_capabilities_holds(
    of_agent: dict[str, Any], of_run: dict[str, Any], denied: list[bool]
) -> None:
    """A payment counts once towards each."""
    risks = {"pay_out": remit.risk(allows="financial_transactions", forbids="others")}
    agent = agent_of(PAY_TWICE, pay_out, risks=risks, **of_agent)
    with isolated(on_violation="deny") as recorder:
        assert ask(agent, "?", capabilities=[Remit(**of_run)]).output == TOLD
    assert [span.denied for span in spans_of(recorder, "pydantic-ai:tool:pay_out")] == denied


def test_a_limit_holds_for_all_calls_of_the_agent_in_a_run_of_the_programs() -> None:
    """The agent records in the open run, so the run's calls count together."""
    agent = agent_of(PAY_TWICE * 2, pay_out, risks=risks_of(pay_out), limits=ONCE)
    with isolated(on_violation="deny") as recorder, desk.run():
        assert ask(agent, "?").output == TOLD
        assert ask(agent, "?").output == TOLD
    tools = spans_of(recorder, "pydantic-ai:tool:pay_out")
    assert [span.denied for span in tools] == [False, True, True, True]


def test_a_fault_lifts_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent cannot be declared."""

    def broken(*_: object, **_arguments: object) -> None:
        raise TypeError("not as expected")

    with isolated(on_violation="deny") as recorder:
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr("remit.integrations.pydantic_ai.declare_agent", broken)
        agent = agent_of(PAY_TWICE, pay_out, risks=risks_of(pay_out), limits=ONCE)
        assert ask(agent, "?").output == TOLD
    tools = spans_of(recorder, "pydantic-ai:tool:pay_out")
    assert [span.denied for span in tools] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ({"risks": "spend"}, "risks is 'spend'; expected a mapping"),
        ({"risks": {"spend": "bad"}}, "spend"),
        ({"data_risk": "bad"}, "data_risk"),
        ({"limits": {"steps": 1}}, "limits is of type dict"),
        ({"capture_messages": "some"}, "capture_messages is 'some'; expected one of new, all"),
    ],
)
def test_a_wrong_argument_is_said(arguments: dict[str, Any], seen: str) -> None:
    """What was seen, and what was expected."""
    with pytest.raises(DeclarationError, match=seen):
        Remit(**arguments)


def test_a_risk_that_names_no_tool_is_said_at_the_first_run() -> None:
    """Tools are added after the capability, so it cannot be known before."""
    with isolated():
        agent = agent_of([DONE], look_up, risks={"spend": PAYS, "look_up": PAYS_NOT})
        message = "risks names 'spend'; expected names of tools, which are look_up"
        with pytest.raises(DeclarationError, match=message):
            ask(agent, "?")


def test_a_risk_is_not_judged_where_the_tools_are_not_known() -> None:
    """They may come later."""
    with isolated():
        agent = agent_of([DONE], look_up, risks={"spend": PAYS})
        agent.toolset(lambda _ctx: FunctionToolset([spend]))
        assert ask(agent, "?").output == TOLD


# Conversations


def test_the_conversation_of_an_agent_is_that_of_its_run() -> None:
    """A second turn has it from the messages; pydantic-ai makes one if none is given."""
    agent = agent_of([DONE, DONE, DONE])
    with isolated() as sink:
        first = ask(agent, "Where is A-1?", conversation_id="thread-9")
        ask(agent, "And A-2?", message_history=first.all_messages())
        ask(agent, "And A-3?")
    *known, made = [run.conversation for run in sink.runs]
    assert known == ["thread-9", "thread-9"]
    assert made


def test_the_conversation_inside_a_run_of_the_programs_is_in_the_agents_span(
    recorder: RecordingSink,
) -> None:
    """The run itself keeps what the program says."""
    with remit.about(conversation="mine"), desk.run():
        ask(agent_of([DONE]), "Where is A-1?", conversation_id="thread-9")
    assert [run.conversation for run in recorder.runs][-1] == "mine"
    assert recorder.spans("pydantic-ai:agent")[0].payload["conversation"] == "thread-9"
