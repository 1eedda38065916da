"""`remit.otel.Bridge`: pydantic-ai with its own instrumentation, and spans made by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.trace import Status, StatusCode
from pydantic_ai import Agent, Tool
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings

import remit
from remit.errors import DeclarationError, DeniedError, RunTerminated
from remit.models.data_risk import DataRisk
from remit.otel import Bridge
from remit.testing import RecordingSink, isolated
from tests import scenarios
from tests.scenarios import PAYS, Ran, Turn
from tests.served import PATIENCE

ANSWERS_ONLY = "a span processor raises a refusal, and cannot answer the model"


def provider_with(*bridges: Bridge) -> TracerProvider:
    """Return a tracer provider with these span processors."""
    provider = TracerProvider(shutdown_on_exit=False)
    for bridge in bridges:
        provider.add_span_processor(bridge)
    return provider


def agent_of(
    bridge: Bridge,
    turns: Sequence[Turn],
    tools: Sequence[Any],
    on_model_call: Callable[[int], object] | None = None,
) -> tuple[Agent[None, str], Ran]:
    """Return an agent of pydantic-ai that is instrumented by pydantic-ai alone."""
    ran = Ran("")

    def turn_for(messages: list[ModelMessage]) -> Turn:
        ran.read[:] = [
            str(part.content)
            for message in messages
            if isinstance(message, ModelRequest)
            for part in message.parts
            if isinstance(part, ToolReturnPart)
        ]
        number = ran.model_calls
        ran.model_calls += 1
        if on_model_call is not None:
            on_model_call(number)
        return turns[number]

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        turn = turn_for(messages)
        calls = [ToolCallPart(name, arguments) for name, arguments in turn.calls]
        return ModelResponse([*([TextPart(turn.text)] if turn.text else []), *calls])

    async def stream(
        messages: list[ModelMessage], _info: AgentInfo
    ) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        turn = turn_for(messages)
        for index, (name, arguments) in enumerate(turn.calls):
            yield {index: DeltaToolCall(name, json.dumps(arguments))}
        for word in (turn.text or "").split(" "):
            if turn.text:
                yield word if turn.text.startswith(word) else f" {word}"

    settings = InstrumentationSettings(tracer_provider=provider_with(bridge))
    agent: Agent[None, str] = Agent(
        FunctionModel(answer, stream_function=stream, model_name="scripted"),
        name="helper",
        tools=[Tool(tool, takes_ctx=False) for tool in tools],
        capabilities=[Instrumentation(settings)],
    )
    return agent, ran


class PydanticAi:
    """Runs agents of pydantic-ai with `Bridge(enforce=True)` and nothing else of remit."""

    prefix = "otel"
    has_agent = True
    has_tools = True
    lacks: Mapping[str, str] = {
        "refused_decorated": ANSWERS_ONLY,
        "refused_declared": ANSWERS_ONLY,
        "refused_beneath": ANSWERS_ONLY,
        "limited_decorated": ANSWERS_ONLY,
        "limited_declared": ANSWERS_ONLY,
    }

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Any],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Run one agent."""
        bridge = Bridge(enforce=True, risks=risks)
        agent, ran = agent_of(bridge, turns, tools, on_model_call)
        if stream:
            async with agent.run_stream("Where is order A-1?") as streamed:
                ran.answer = await streamed.get_output()
        else:
            ran.answer = (await agent.run("Where is order A-1?")).output
        return ran


DRIVER = PydanticAi()


@scenarios.each_scenario_of(DRIVER)
def test_scenario(scenario: scenarios.Scenario) -> None:
    """Each cell of the table."""
    scenarios.check(scenario, DRIVER)


@pytest.mark.parametrize(
    ("tool", "step", "risks"),
    [
        (scenarios.pay, "otel:tool:pay", None),
        (scenarios.spend, "otel:tool:spend", {"spend": PAYS}),
        (scenarios.pay, "desk:pay", {"pay": scenarios.PAYS_NOT}),
        (scenarios.ask_to_pay, "desk:pay", {"ask_to_pay": scenarios.PAYS_NOT}),
    ],
)
async def test_a_refused_tool_does_not_run(
    tool: Any,
    step: str,
    risks: Mapping[str, DataRisk] | None,
) -> None:
    """The framework treats the refusal as it treats errors: pydantic-ai ends the agent by it."""
    turns = [Turn(calls=((tool.__name__, {"amount": 5}),)), scenarios.DONE]
    with isolated(on_violation="deny") as recorder:
        agent, ran = agent_of(Bridge(enforce=True, risks=risks), turns, [tool])
        with pytest.raises(DeniedError, match=step):
            async with scenarios.careful.run():
                await agent.run("Pay.")
        assert ran.model_calls == 1
        (refused,) = recorder.spans(step)
        assert refused.status == "failed"
        assert (refused.result or {})["error"]["violations"]
        assert "active" not in {span.status for span in recorder.spans()}


async def test_without_enforce_a_step_is_marked_and_runs() -> None:
    """It is neither refused nor stopped, also where calls outside any run are refused."""

    def spend(amount: int) -> str:
        """Spend an amount."""
        sink.runs[0].feed.terminated = "stopped"
        return f"{amount} spent"

    turns = [Turn(calls=(("spend", {"amount": 5}),)), scenarios.DONE]
    with isolated(on_violation="deny", outside_run="deny") as sink:
        agent, ran = agent_of(Bridge(risks={"spend": PAYS}), turns, [spend])
        with suppress(RunTerminated):
            async with scenarios.careful.run():
                ran.answer = (await agent.run("Pay.")).output
        assert (ran.answer, ran.read) == (scenarios.TOLD, ["5 spent"])
        (tool,) = sink.spans("otel:tool:spend")
        assert len(tool.violations) == 1
        assert tool.result == {"outputs": {"output": "5 spent"}}
        tracer = provider_with(Bridge()).get_tracer("test")
        with tracer.start_as_current_span("execute_tool spend"):
            pass
        assert remit.status().outside_run["otel:tool:spend"] == 1


PROGRAM = """
from opentelemetry import trace
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

import remit
from remit.otel import Bridge

provider = TracerProvider()
provider.add_span_processor(Bridge())
trace.set_tracer_provider(provider)
Agent.instrument_all()


def answer(messages, info):
    if len(messages) > 1:
        return ModelResponse([TextPart("It is shipped.")])
    return ModelResponse([ToolCallPart("look_up", {"order_id": "A-1"})])


helper = Agent(FunctionModel(answer), name="helper")


@helper.tool_plain
def look_up(order_id: str) -> str:
    return f"{order_id} is shipped"


@remit.agent
def desk(question: str) -> str:
    return helper.run_sync(question).output


print(desk("Where is order A-1?"))
"""


def test_a_program_without_an_integration_has_a_readable_tree(tmp_path: Path) -> None:
    """In local mode, shown by `remit runs show last`."""
    environment = {"REMIT_DATA_DIR": str(tmp_path), "PATH": "", "HOME": str(tmp_path), **PATIENCE}
    (tmp_path / "shop.py").write_text(PROGRAM)
    for command in (["shop.py"], ["-m", "remit", "runs", "show", "last"]):
        answer = subprocess.run(
            [sys.executable, *command],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
    shown = [line.split("  complete")[0].rstrip() for line in answer.stdout.splitlines()]
    assert [line for line in shown if "desk" in line or "─" in line] == [
        "desk",
        "└─ helper agent",
        "   ├─ llm function:answer: · 59 tokens",
        "   ├─ otel:tool:look_up",
        "   └─ llm function:answer: · 66 tokens",
    ]
    assert 'messages: [{role: "assistant", content: "It is shipped."}]' in answer.stdout


# Spans that are made by hand


@pytest.fixture
def recorder() -> Generator[RecordingSink]:
    """Record in memory."""
    with isolated() as sink, scenarios.desk.run():
        yield sink


def test_the_agent_that_opens_a_run_does_not_begin_before_it() -> None:
    """The run opens while the span starts; a first run imports the delivery modules in between."""
    tracer = provider_with(Bridge()).get_tracer("test")
    with isolated() as recorder:
        tracer.start_span("invoke_agent a", start_time=1_000_000_000).end()
    (run,), (span,) = recorder.runs, recorder.spans()
    assert span.started_ns >= run.root.started_ns


def test_other_spans_are_left_out(recorder: RecordingSink) -> None:
    """A tool beneath a request is beneath the agent around the request."""
    tracer = provider_with(Bridge()).get_tracer("test")
    with (
        tracer.start_as_current_span("invoke_agent a"),
        tracer.start_as_current_span("GET /"),
        tracer.start_as_current_span("SELECT"),
        tracer.start_as_current_span("execute_tool t"),
    ):
        scenarios.find("inside")
    assert recorder.runs[0].tree() == [["otel:agent", [["otel:tool:t", [["desk:find", []]]]]]]


def test_an_operation_that_is_set_later_counts(recorder: RecordingSink) -> None:
    """A span is recorded at its end, with its times, if nothing said before what it is."""
    tracer = provider_with(Bridge(enforce=True)).get_tracer("test")
    with tracer.start_as_current_span("invoke_agent a"), tracer.start_as_current_span("call") as it:
        it.set_attribute("gen_ai.operation.name", "chat")
        it.set_attribute("gen_ai.request.model", "m")
    call, agent = recorder.spans()
    assert (call.name, call.parent, call.payload["model_name"]) == ("otel:llm", agent.key, "m")
    assert agent.started_ns <= call.started_ns <= (call.finished_ns or 0)


def test_two_bridges_record_once(recorder: RecordingSink) -> None:
    """Also a step that is known as one at its end."""
    tracer = provider_with(Bridge(), Bridge()).get_tracer("test")
    with tracer.start_as_current_span("execute_tool t"), tracer.start_as_current_span("x") as call:
        call.set_attribute("gen_ai.operation.name", "chat")
    assert sorted(span.name for span in recorder.spans()) == ["otel:llm", "otel:tool:t"]


def test_a_model_call_inside_a_model_call_is_one(recorder: RecordingSink) -> None:
    """A framework's span around that of its client."""
    tracer = provider_with(Bridge()).get_tracer("test")
    chat = {"gen_ai.operation.name": "chat"}
    with (
        tracer.start_as_current_span("chat m", attributes=chat),
        tracer.start_as_current_span("POST", attributes={"gen_ai.operation.name": "chat"}),
    ):
        pass
    assert [span.name for span in recorder.spans()] == ["otel:llm"]


def test_streams_that_are_open_at_once_are_two(recorder: RecordingSink) -> None:
    """Neither is beneath the other, nor are they one."""
    tracer = provider_with(Bridge()).get_tracer("test")
    first, second = (
        tracer.start_span("chat m", attributes={"gen_ai.operation.name": "chat"}) for _ in range(2)
    )
    first.end()
    second.end()
    root = recorder.runs[0].root.key
    assert [(span.name, span.parent) for span in recorder.spans()] == [("otel:llm", root)] * 2


OLD: dict[str, Any] = {
    "gen_ai.system": "openai",
    "llm.request.type": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.usage.prompt_tokens": 3,
    "gen_ai.usage.completion_tokens": 4,
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "Where?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.finish_reason": "stop",
    "gen_ai.completion.0.tool_calls.0.id": "c1",
    "gen_ai.completion.0.tool_calls.0.name": "look_up",
    "gen_ai.completion.0.tool_calls.0.arguments": '{"order_id": "A-1"}',
}
NEW: dict[str, Any] = {
    "gen_ai.provider.name": "openai",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 4,
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Where?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool_call",
                        "id": "c1",
                        "name": "look_up",
                        "arguments": {"order_id": "A-1"},
                    }
                ],
            }
        ]
    ),
}


OPENINFERENCE: dict[str, Any] = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.model_name": "m",
    "llm.invocation_parameters": '{"model": "m", "temperature": 0.5, "extra_headers": {"a": "b"}}',
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "Where?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "look_up",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": (
        '{"order_id": "A-1"}'
    ),
    "llm.token_count.prompt": 3,
    "llm.token_count.completion": 4,
    "input.value": '{"messages": []}',
}


@pytest.mark.parametrize(
    "attributes", [OLD, NEW, OPENINFERENCE], ids=["old", "new", "OpenInference"]
)
def test_old_and_new_names_are_read(recorder: RecordingSink, attributes: dict[str, Any]) -> None:
    """Both give the same record."""
    tracer = provider_with(Bridge()).get_tracer("test")
    with tracer.start_as_current_span("chat m", attributes=attributes):
        pass
    (call,) = recorder.spans()
    assert call.payload == {
        "operation": "chat",
        "provider": "openai",
        "model_name": "m",
        "temperature": 0.5,
        "inputs": {
            "model": "m",
            "messages": [{"role": "user", "content": "Where?"}],
            "settings": {"temperature": 0.5},
        },
    }
    result = call.result or {}
    assert result["token_usage"] == {
        "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7,
    }  # fmt: skip
    (answer,) = result["outputs"]["messages"]
    assert answer["tool_calls"] == [{"id": "c1", "name": "look_up", "args": {"order_id": "A-1"}}]


def test_operations_of_other_instrumentation_are_known(recorder: RecordingSink) -> None:
    """OpenLLMetry has names of its own; its tasks are no steps."""
    tracer = provider_with(Bridge()).get_tracer("test")
    for attributes in (
        {"llm.request.type": "completion", "gen_ai.request.model": "m"},
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "t"},
        {"traceloop.span.kind": "task", "traceloop.entity.name": "t"},
    ):
        with tracer.start_as_current_span("x", attributes=attributes):
            pass
    call, tool = recorder.spans()
    assert (call.name, call.payload["operation"]) == ("otel:llm", "text_completion")
    assert (tool.name, tool.payload["tool_name"]) == ("otel:tool:t", "t")


def test_openinference_has_the_messages_of_a_conversation(recorder: RecordingSink) -> None:
    """Parts, results of tools, tools, reasons and details of tokens."""
    message = "llm.input_messages.{}.message."
    parts = f"{message.format(1)}contents."
    schema = {"type": "function", "function": {"name": "t", "description": "Do it."}}
    attributes: dict[str, Any] = {
        **OPENINFERENCE,
        f"{message.format(0)}role": "model",
        f"{message.format(1)}role": "user",
        f"{parts}0.message_content.type": "text",
        f"{parts}0.message_content.text": "Look",
        f"{parts}1.message_content.type": "image",
        f"{parts}1.message_content.image.image.url": "data:image/png;base64,aGVsbG8=",
        f"{parts}2.message_content.type": "image",
        f"{parts}2.message_content.image.image.url": "https://example.com/a.png",
        f"{message.format(10)}role": "tool",
        f"{message.format(10)}content": "done",
        f"{message.format(10)}tool_call_id": "c0",
        "llm.tools.0.tool.json_schema": json.dumps(schema),
        "llm.finish_reason": "stop",
        "llm.cost.total": 1.35e-05,
        "llm.token_count.prompt_details.cache_read": 1,
        "llm.token_count.completion_details.reasoning": 2,
    }
    tracer = provider_with(Bridge()).get_tracer("openinference.instrumentation.openai")
    with tracer.start_as_current_span("ChatCompletion", attributes=attributes):
        pass
    (call,) = recorder.spans()
    first, question, answer = call.payload["inputs"]["messages"]
    assert first == {"role": "assistant", "content": "Where?"}
    text, image, link = question["content"]
    assert text == {"type": "text", "text": "Look"}
    assert (image["type"], image["size"]) == ("image/png", 8)
    assert link == {"type": "image", "url": "https://example.com/a.png"}
    assert answer == {"role": "tool", "content": "done", "tool_call_id": "c0"}
    assert call.payload["inputs"]["tools"] == [{"name": "t", "description": "Do it."}]
    result = call.result or {}
    assert result["outputs"]["finish_reasons"] == ["stop"]
    assert result["usage_details"] == {"cache_read": 1, "reasoning": 2}
    assert result["cost"] == {
        "currency": "USD",
        "source": "openinference.instrumentation.openai",
        "amount": "0.0000135",
    }


def test_steps_of_openinference_are_known(recorder: RecordingSink) -> None:
    """Agents, chains, retrievers and embeddings; a prompt template is no step."""
    tracer = provider_with(Bridge()).get_tracer("test")
    kind = "openinference.span.kind"
    found = {
        "retrieval.documents.0.document.id": "1",
        "retrieval.documents.0.document.content": "All orders.",
        "retrieval.documents.0.document.score": 0.5,
    }
    embedded = {
        "embedding.model_name": "e",
        "embedding.embeddings.0.embedding.text": "a text",
        "embedding.embeddings.0.embedding.vector": (0.1, 0.2),
    }
    whole = {"input.value": "Where?", "output.value": "There."}
    task, asked = {"input.value": '{"task": "Where?"}'}, {"input.value": "orders"}
    reported: dict[str, dict[str, Any]] = {
        "helper.run": {kind: "AGENT", **whole},
        "Crew_a9a84f1b-4058-4709-8005-73e3411601c3.kickoff": {kind: "CHAIN", **task},
        "find": {kind: "RETRIEVER", **asked, **found},
        "embed": {kind: "EMBEDDING", **embedded, **whole},
        "complete": {kind: "LLM", **whole},
        "pay": {kind: "TOOL", **task, "output.value": "paid"},
        "template": {kind: "PROMPT"},
    }
    for name, attributes in reported.items():
        with tracer.start_as_current_span(name, attributes=attributes):
            pass
    agent, chain, retriever, embedding, model, tool = recorder.spans()
    assert (agent.name, agent.payload) == (
        "otel:agent",
        {"agent_name": "helper.run", "inputs": {"input": "Where?"}},
    )
    assert agent.result == {"outputs": {"output": "There."}}
    assert (chain.name, chain.payload) == (
        "otel:chain",
        {"chain_name": "Crew.kickoff", "inputs": {"task": "Where?"}},
    )
    assert (retriever.name, retriever.payload) == (
        "otel:retriever",
        {"inputs": {"query": "orders"}},
    )
    document = {"id": "1", "content": "All orders.", "score": 0.5}
    assert retriever.result == {"outputs": {"documents": [document]}}
    inputs = embedding.payload["inputs"]
    assert (embedding.payload["operation"], embedding.payload["model_name"]) == ("embeddings", "e")
    assert inputs["messages"] == [{"role": "user", "content": "a text"}]
    assert "0.1" not in str(embedding.result)
    assert model.payload["inputs"]["messages"] == [{"role": "user", "content": "Where?"}]
    answers = (model.result or {})["outputs"]["messages"]
    assert answers == [{"role": "assistant", "content": "There."}]
    assert (tool.name, tool.payload) == (
        "otel:tool:pay",
        {"tool_name": "pay", "inputs": {"task": "Where?"}},
    )
    assert tool.result == {"outputs": {"output": "paid"}}


def test_a_text_of_the_framework_is_a_text(recorder: RecordingSink) -> None:
    """The results of smolagents are of a subclass of `str`."""

    class AgentText(str):
        __slots__ = ()

    tracer = provider_with(Bridge()).get_tracer("test")
    attributes = {"openinference.span.kind": "TOOL", "output.value": AgentText("paid")}
    with tracer.start_as_current_span("pay", attributes=attributes):
        pass
    (tool,) = recorder.spans()
    assert tool.result == {"outputs": {"output": "paid"}}


def test_an_outermost_chain_opens_a_run() -> None:
    """Many frameworks of OpenInference have chains only; ids in names are left out."""
    tracer = provider_with(Bridge()).get_tracer("test")
    name, chain = "Crew_a9a84f1b-4058-4709-8005-73e3411601c3.kickoff", "openinference.span.kind"
    with (
        isolated() as recorder,
        tracer.start_as_current_span(name, attributes={chain: "CHAIN"}),
        tracer.start_as_current_span("look", attributes={chain: "TOOL"}),
    ):
        pass
    assert recorder.runs[0].tree() == [["otel:chain", [["otel:tool:look", []]]]]
    assert recorder.runs[0].agent == "otel.agents:Crew.kickoff"


def test_a_tool_of_openinference_is_denied() -> None:
    """Its kind and its name are known at its start."""
    bridge = Bridge(enforce=True, risks={"spend": PAYS})
    tracer = provider_with(bridge).get_tracer("test")
    attributes = {"openinference.span.kind": "TOOL", "tool.name": "spend"}
    with (
        isolated(on_violation="deny"),
        scenarios.careful.run(),
        pytest.raises(DeniedError),
        tracer.start_as_current_span("Tool", attributes=attributes),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("reasons", "recorded"),
    [('["stop"]', ["stop"]), ("stop", ["stop"]), (("stop", "length"), ["stop", "length"])],
    ids=["JSON", "text", "list"],
)
def test_finish_reasons_are_read(
    recorder: RecordingSink, reasons: object, recorded: list[str]
) -> None:
    """LiteLLM sets the JSON of a list."""
    tracer = provider_with(Bridge()).get_tracer("test")
    attributes: Any = {"gen_ai.operation.name": "chat", "gen_ai.response.finish_reasons": reasons}
    with tracer.start_as_current_span("chat m", attributes=attributes):
        pass
    (call,) = recorder.spans()
    assert (call.result or {})["outputs"]["finish_reasons"] == recorded


def test_the_cost_and_the_stream_of_litellm_are_read(recorder: RecordingSink) -> None:
    """LiteLLM sets the cost in dollars, and whether it streams as a text."""
    tracer = provider_with(Bridge()).get_tracer("litellm")
    costs = {"gen_ai.cost.total_cost": 0.25, "gen_ai.cost.input_cost": 0.1}
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "llm.is_streaming": "True",
        **costs,
    }
    with tracer.start_as_current_span("litellm_request", attributes=attributes):
        pass
    (call,) = recorder.spans()
    assert call.payload["stream"] is True
    cost = {"currency": "USD", "source": "litellm", "amount": "0.25"}
    assert (call.result or {})["cost"] == cost


def test_a_span_of_a_model_that_is_not_read_is_logged_once(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one that repeats a model call, nor one that is known to be no step."""
    tracer = provider_with(Bridge()).get_tracer("some-framework")
    for name, attributes in (
        ("raw_gen_ai_request", {"llm.openai.stringified_raw_response": "{}"}),
        ("model.task", {"traceloop.span.kind": "task"}),
        ("GET", {"http.request.method": "GET"}),
        ("ai.generateText", {"ai.model.id": "m"}),
        ("call_llm", {"gen_ai.request.model": "m"}),
    ):
        with tracer.start_as_current_span(name, attributes=attributes):
            pass
    assert not recorder.spans()
    (line,) = (record.getMessage() for record in caplog.records if record.name == "remit")
    assert line == (
        "the span 'ai.generateText' of some-framework has the attribute ai.model.id, but no "
        "operation that remit.otel.Bridge recognises; this span and similar spans are not recorded"
    )


def test_tools_are_declared_with_the_schemas_that_a_model_gets(recorder: RecordingSink) -> None:
    """A result of a tool and media are messages as other integrations record them."""
    tools = [
        {
            "type": "function",
            "name": "t",
            "description": "Do it.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        }
    ]
    parts = [
        {"type": "tool_call_response", "id": "1", "result": "done"},
        {"type": "text", "content": "And this?"},
        {"type": "blob", "mime_type": "image/png", "content": "aGVsbG8="},
    ]
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.tool.definitions": json.dumps(tools),
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}]),
    }
    tracer = provider_with(Bridge()).get_tracer("test")
    with tracer.start_as_current_span("chat m", attributes=attributes):
        pass
    (call,) = recorder.spans()
    inputs = call.payload["inputs"]
    assert inputs["system"] == "Be brief."
    assert inputs["tools"] == [{"name": "t", "description": "Do it."}]
    answer, question = inputs["messages"]
    assert answer == {"role": "tool", "content": "done", "tool_call_id": "1"}
    assert question["content"][0] == {"type": "text", "text": "And this?"}
    assert question["content"][1]["type"] == "image/png"
    assert "aGVsbG8=" not in str(question)
    version: Any = scenarios.desk.registration()["agent_schema_version"]
    entries = version["span_type_schemas"]
    (entry,) = (each for each in entries if each["name"] == "otel:tool:t")
    assert "integer" in str(entry["params_schema"])


def test_messages_in_events_are_read(recorder: RecordingSink) -> None:
    """As instrumentation of 2024 has them."""
    tracer = provider_with(Bridge()).get_tracer("test")
    with tracer.start_as_current_span("x", attributes={"gen_ai.operation.name": "chat"}) as span:
        span.add_event("gen_ai.user.message", {"content": "Where?"})
        message = json.dumps({"role": "assistant", "content": "There."})
        span.add_event("gen_ai.choice", {"index": 0, "message": message})
    (call,) = recorder.spans()
    assert call.payload["inputs"]["messages"] == [{"role": "user", "content": "Where?"}]
    answers = (call.result or {})["outputs"]["messages"]
    assert answers == [{"role": "assistant", "content": "There."}]


@pytest.mark.parametrize("attributes", [
    {"gen_ai.input.messages": '[1, {"role": null, "parts": {"type": 3}}]'},
    {"gen_ai.output.messages": "{", "gen_ai.usage.input_tokens": "many"},
    {"gen_ai.tool.definitions": '[{"name": 3}, {"function": {"name": "bad name"}}]'},
    {"gen_ai.response.finish_reasons": 3, "gen_ai.response.time_to_first_chunk": "soon"},
])  # fmt: skip
def test_attributes_of_another_shape_lose_nothing_else(
    recorder: RecordingSink, attributes: dict[str, Any]
) -> None:
    """The span is complete, with what could be read."""
    tracer = provider_with(Bridge()).get_tracer("test")
    with tracer.start_as_current_span(
        "chat m",
        attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"} | attributes,
    ):
        pass
    (call,) = recorder.spans()
    assert (call.status, call.payload["model_name"]) == ("complete", "m")


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"gen_ai.response.finish_reasons": ("stop",)}, "complete"),
        ({"llm.finish_reason": "stop"}, "complete"),
        ({"gen_ai.usage.input_tokens": 3}, "cancelled"),
    ],
)
def test_an_answered_model_call_in_a_closed_generator_is_complete(
    recorder: RecordingSink, attributes: Any, status: str
) -> None:
    """A refusal of the tool after the answer closes the generator of Google ADK."""
    tracer = provider_with(Bridge()).get_tracer("test")

    def answers() -> Generator[str]:
        chat = {"gen_ai.operation.name": "chat"}
        with tracer.start_as_current_span("chat m", attributes=chat) as span:
            span.set_attributes(attributes)
            yield "an answer"

    steps = answers()
    next(steps)
    steps.close()
    (call,) = recorder.spans()
    assert call.status == status


def test_a_failure_without_its_exception_is_one(recorder: RecordingSink) -> None:
    """As an instrumentation reports it that ends its spans later."""
    tracer = provider_with(Bridge()).get_tracer("test")
    span = tracer.start_span("execute_tool t")
    span.record_exception(LookupError("no order"))
    span.set_status(Status(StatusCode.ERROR))
    span.end()
    (tool,) = recorder.spans()
    assert (tool.status, tool.result) == (
        "failed",
        {"error": {"type": "LookupError", "message": "no order"}},
    )


@pytest.mark.parametrize("capture", ["new", "all", "none"])
def test_messages_are_captured_as_asked(recorder: RecordingSink, capture: Any) -> None:
    """Three ways."""
    tracer = provider_with(Bridge(capture_messages=capture)).get_tracer("test")
    for _ in range(2):
        with tracer.start_as_current_span("chat m", attributes=NEW):
            pass
    calls = recorder.spans("otel:llm")
    shown = [call.payload["inputs"].get("messages") for call in calls]
    message = {"role": "user", "content": "Where?"}
    assert shown == {"new": [[message], []], "all": [[message]] * 2, "none": [[], []]}[capture]


def test_an_sdk_that_hides_exceptions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise enforcement would stop in silence."""

    def hide(self: SynchronousMultiSpanProcessor, *arguments: Any, **keywords: Any) -> None:
        with suppress(Exception):
            on_start(self, *arguments, **keywords)

    on_start = SynchronousMultiSpanProcessor.on_start
    monkeypatch.setattr(SynchronousMultiSpanProcessor, "on_start", hide)
    with pytest.raises(DeclarationError, match=r"expected a version that does, such as 1\.25 to"):
        Bridge(enforce=True)
    Bridge()


def test_enforcement_is_proved_whatever_the_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof has a provider of its own; a disabled SDK starts no spans."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    Bridge(enforce=True)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with pytest.raises(DeclarationError, match="unset OTEL_SDK_DISABLED"):
        Bridge(enforce=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"enforce": "yes"}, "enforce is 'yes'; expected True or False"),
        ({"risks": ["spend"]}, "expected a mapping of tool names"),
        ({"risks": {"spend": "money"}}, "spend"),
        ({"capture_messages": "some"}, "expected one of new, all, none"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], message: str) -> None:
    """What was seen, what was expected."""
    with isolated(), pytest.raises(DeclarationError, match=message):
        Bridge(**arguments)


# Conversations


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.conversation.id": "thread-9", "session.id": "other", "user.id": "user-42"},
        {"session.id": "thread-9", "enduser.id": "user-42"},
    ],
)
def test_attributes_say_what_a_run_is_about(attributes: dict[str, str]) -> None:
    """If they are set when the outermost span starts."""
    tracer = provider_with(Bridge()).get_tracer("test")
    with isolated() as sink, tracer.start_as_current_span("invoke_agent a", attributes=attributes):
        tracer.start_span("invoke_agent b", attributes={"session.id": "inner"}).end()
    assert [(run.conversation, run.on_behalf_of) for run in sink.runs] == [("thread-9", "user-42")]
    assert not [span for span in sink.spans() if "conversation" in span.payload]
