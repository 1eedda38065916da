"""A framework that is recorded twice, by its integration and by `Bridge`, is recorded once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import openai
import pytest
import wrapt
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, Tracer, set_span_in_context
from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.usage import RequestUsage

import remit
from remit.errors import DeniedError
from remit.integrations.langchain import RemitHandler, RemitTools
from remit.integrations.openai import watch
from remit.integrations.pydantic_ai import Remit
from remit.otel import Bridge
from remit.testing import RecordingSink, isolated
from tests import scenarios
from tests.inside import declare, start
from tests.model_clients import FakeServer, http_library

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-test"}
BENEATH = ["desk:find", []]


def provider_with(**options: Any) -> TracerProvider:
    """Return a tracer provider with a bridge."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Bridge(**options))
    return provider


def tokens(recorder: RecordingSink) -> int:
    """Return the tokens of a run."""
    usages = [(span.result or {}).get("token_usage", {}) for span in recorder.spans()]
    return sum(usage.get("total_tokens", 0) for usage in usages)


# Pydantic AI


def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Call the tool, then answer."""
    usage = RequestUsage(input_tokens=3, output_tokens=2)
    if len(messages) > 1:
        return ModelResponse([TextPart(scenarios.TOLD)], usage=usage)
    return ModelResponse([ToolCallPart("look_up", {"order_id": "A-1"})], usage=usage)


async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
    """Answer word by word."""
    for word in ("It ", "is ", "shipped."):
        yield word


def helper(provider: TracerProvider, *, remit_first: bool) -> Agent[None, str]:
    """Return an agent that both record."""
    settings = InstrumentationSettings(tracer_provider=provider)
    both: list[AbstractCapability[Any]] = [Remit(), Instrumentation(settings)]
    return Agent(
        FunctionModel(answer, stream_function=stream, model_name="scripted"),
        name="helper",
        tools=[scenarios.look_up],
        capabilities=both if remit_first else both[::-1],
    )


@pytest.mark.parametrize("remit_first", [True, False], ids=["remit first", "remit last"])
async def test_pydantic_ai_is_recorded_by_its_integration(*, remit_first: bool) -> None:
    """Whichever span is the outer one: one tree, and each token once."""
    with isolated() as recorder:
        agent = helper(provider_with(), remit_first=remit_first)
        async with scenarios.desk.run():
            assert (await agent.run("Where is order A-1?")).output == scenarios.TOLD
    model: list[Any] = ["pydantic-ai:llm", []]
    tool = ["pydantic-ai:tool:look_up", [BENEATH]]
    assert recorder.runs[0].tree() == [["pydantic-ai:agent", [model, tool, model]]]
    assert {span.status for span in recorder.spans()} == {"complete"}
    assert tokens(recorder) == 10
    (tool_span,) = recorder.spans("pydantic-ai:tool:look_up")
    assert tool_span.payload["inputs"] == {"order_id": "A-1"}


@pytest.mark.parametrize("remit_first", [True, False], ids=["remit first", "remit last"])
async def test_a_stream_of_pydantic_ai_is_recorded_once(*, remit_first: bool) -> None:
    """Also outside any run."""
    with isolated() as recorder:
        agent = helper(provider_with(), remit_first=remit_first)
        async with agent.run_stream("Where is order A-1?") as streamed:
            assert await streamed.get_output() == scenarios.TOLD
    (run,) = recorder.runs
    assert run.tree() == [["pydantic-ai:agent", [["pydantic-ai:llm", []]]]]
    assert (run.status, {span.status for span in recorder.spans()}) == ("complete", {"complete"})


@pytest.mark.parametrize("remit_first", [True, False], ids=["remit first", "remit last"])
async def test_a_denied_tool_is_one_span(*, remit_first: bool) -> None:
    """The integration denies it; the model reads why, whichever span is the outer one."""
    with isolated(on_violation="deny") as recorder:
        agent = helper(provider_with(), remit_first=remit_first)
        async with scenarios.careful.run():
            assert (await agent.run("Where is order A-1?")).output == scenarios.TOLD
    (tool,) = recorder.spans("pydantic-ai:tool:look_up")
    assert tool.status == "failed"
    assert not [span for span in recorder.spans() if span.name.startswith("otel:")]
    assert (recorder.runs[0].root.result or {})["spans"] == len(recorder.spans())


# LangChain


class OpenLlmetry(BaseCallbackHandler):
    """Starts spans as `opentelemetry-instrumentation-langchain` does: attributes come later."""

    def __init__(self, tracer: Tracer) -> None:
        """Start spans with *tracer*."""
        self._tracer = tracer
        self._spans: dict[Any, Span] = {}

    def _start(self, run: dict[str, Any], name: str, attributes: dict[str, str]) -> None:
        outer = self._spans.get(run["parent_run_id"])
        context = None if outer is None else set_span_in_context(outer)
        span = self._spans[run["run_id"]] = self._tracer.start_span(name, context=context)
        span.set_attributes(attributes)

    def _end(self, *_: object, run_id: Any, **__: object) -> None:
        self._spans.pop(run_id).end()

    def on_chain_start(self, *_: Any, **run: Any) -> None:
        """Start a workflow or a task."""
        name, is_root = run.get("name") or "chain", run["parent_run_id"] is None
        kind = "workflow" if is_root else "task"
        attributes = {"traceloop.span.kind": kind, "traceloop.entity.name": name}
        self._start(run, f"{name}.{kind}", attributes)

    def on_chat_model_start(self, *_: Any, **run: Any) -> None:
        """Start a model call."""
        self._start(run, "Model.chat", {**CHAT, "gen_ai.usage.total_tokens": "many"})

    def on_tool_start(self, *_: Any, **run: Any) -> None:
        """Start a tool."""
        self._start(run, "execute_tool look_up", {})

    on_chain_end = on_chain_error = on_llm_end = on_tool_end = on_tool_error = _end


class Model(GenericFakeChatModel):
    """Has tools."""

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Return the model."""
        return self


def answers() -> list[AIMessage]:
    """Return the answers of the model."""
    call = {"name": "look_up", "args": {"order_id": "A-1"}, "id": "c1"}
    usage: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    return [
        AIMessage("", tool_calls=[call], usage_metadata=usage),
        AIMessage(scenarios.TOLD, usage_metadata=usage),
    ]


@pytest.mark.parametrize("tools", [True, False], ids=["with RemitTools", "without"])
@pytest.mark.parametrize("invoked", [True, False], ids=["invoke_agent", "callbacks"])
def test_langchain_is_recorded_by_its_integration(*, invoked: bool, tools: bool) -> None:
    """Also if the instrumentation has a span around the call of the graph."""
    tracer = provider_with().get_tracer("test")
    asked: Any = {"messages": [("user", "Where is order A-1?")]}
    with isolated() as recorder, scenarios.desk.run():
        middleware: Any = [RemitTools()] if tools else []
        model = Model(messages=iter(answers()))
        agent = create_agent(model, [scenarios.look_up], middleware=middleware, name="helper")
        callbacks: Any = {"callbacks": [RemitHandler(), OpenLlmetry(tracer)]}
        if invoked:
            with tracer.start_as_current_span("invoke_agent helper"):
                agent.invoke(asked, callbacks)
        else:
            agent.invoke(asked, callbacks)
    model_call: list[Any] = ["langchain:llm", []]
    tool = ["langchain:tool:look_up", [BENEATH]]
    assert recorder.runs[0].tree() == [["langchain:agent", [model_call, tool, model_call]]]
    assert tokens(recorder) == 10


# Watched clients


def reply(_body: object, number: int) -> dict[str, Any]:
    """Return an answer of the model."""
    message = {"role": "assistant", "content": f"Answer {number}."}
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-test",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def ask(client: Any, tracer: Tracer, messages: list[Any], **options: Any) -> Any:
    """Call the model inside the span of an instrumentation of its client."""
    span = tracer.start_span("openai.chat", attributes=CHAT)
    try:
        return client.chat.completions.create(model="gpt-test", messages=messages, **options)
    finally:
        span.end()


def test_a_watched_client_is_preferred() -> None:
    """It knows more than an instrumentation around it; each message is recorded once."""
    tracer = provider_with().get_tracer("test")
    with isolated() as recorder, scenarios.desk.run():
        client = watch(FakeServer(http_library(openai), reply).connect(openai.OpenAI))
        messages: list[Any] = [{"role": "user", "content": "First?"}]
        ask(client, tracer, messages)
        messages += [{"role": "assistant", "content": "Answer 0."}]
        messages += [{"role": "user", "content": "Second?"}]
        ask(client, tracer, messages)
        scenarios.find("A-1")
    assert recorder.runs[0].tree() == [["openai:llm", []], ["openai:llm", []], BENEATH]
    assert tokens(recorder) == 10
    inputs = [span.payload["inputs"] for span in recorder.spans("openai:llm")]
    assert inputs[1]["messages"] == [{"role": "user", "content": "Second?"}]
    assert inputs[1]["omitted"] == {"count": 2}


def test_a_broken_stream_of_a_watched_client_is_failed() -> None:
    """The instrumentation around it ended its span as complete."""
    tracer = provider_with().get_tracer("test")
    chunk = {
        "id": "chat-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-test",
        "choices": [{"index": 0, "delta": {"content": "Answer"}, "finish_reason": None}],
    }
    broken = FakeServer(http_library(openai), lambda *_: [chunk, {"error": {"message": "down"}}])
    with isolated() as recorder, scenarios.desk.run():
        client = watch(broken.connect(openai.OpenAI))
        with suppress(openai.APIError):
            for _ in ask(client, tracer, [{"role": "user", "content": "?"}], stream=True):
                scenarios.find("between")
    (call,) = [span for span in recorder.spans() if span.name != "desk:find"]
    assert (call.name, call.status) == ("openai:llm", "failed")
    assert {span.parent for span in recorder.spans()} == {recorder.runs[0].root.key}


class Both(wrapt.ObjectProxy[Any]):
    """A stream as the instrumentation of OpenInference returns it: of both kinds."""

    def __iter__(self) -> Any:
        """Iterate."""
        return iter(self.__wrapped__)

    def __next__(self) -> Any:
        """Return the next item."""
        return next(self.__wrapped__)

    def __aiter__(self) -> Any:
        """Iterate in an event loop."""
        return self.__wrapped__.__aiter__()

    async def __anext__(self) -> Any:
        """Return the next item in an event loop."""
        return await self.__wrapped__.__anext__()


class Inside(openai.OpenAI):
    """Instrumented inside `watch`, as OpenInference replaces the method of the class."""

    def request(self, *arguments: Any, **keywords: Any) -> Any:
        """Wrap the stream."""
        return Both(super().request(*arguments, **keywords))


class AsyncInside(openai.AsyncOpenAI):
    """The same, for an event loop."""

    async def request(self, *arguments: Any, **keywords: Any) -> Any:
        """Wrap the stream."""
        return Both(await super().request(*arguments, **keywords))


CHUNK = {
    "id": "chat-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "gpt-test",
    "choices": [{"index": 0, "delta": {"content": "Answer"}, "finish_reason": "stop"}],
}


async def test_a_stream_that_is_wrapped_inside_a_watched_client_is_read() -> None:
    """By the kind of the client, not by that of the wrapper."""
    server = FakeServer(http_library(openai), lambda *_: [CHUNK, "[DONE]"])
    asked: Any = {"model": "gpt-test", "messages": [{"role": "user", "content": "?"}]}
    with isolated() as recorder, scenarios.desk.run():
        stream = watch(server.connect(Inside)).chat.completions.create(**asked, stream=True)
        assert len(list(stream)) == 1
        client = watch(server.connect(AsyncInside))
        stream = await client.chat.completions.create(**asked, stream=True)
        assert len([chunk async for chunk in stream]) == 1
    assert [span.status for span in recorder.spans("openai:llm")] == ["complete"] * 2


def test_a_stream_of_a_watched_client_takes_attributes() -> None:
    """OpenLLMetry wraps it in a proxy that keeps its own state on it."""
    server = FakeServer(http_library(openai), lambda *_: [CHUNK, "[DONE]"])
    asked: Any = {"model": "gpt-test", "messages": [{"role": "user", "content": "?"}]}
    with isolated() as recorder, scenarios.desk.run():
        client = watch(server.connect(openai.OpenAI))
        answer = client.chat.completions.create(**asked, stream=True)
        stream: Any = wrapt.ObjectProxy(answer)
        stream.first_token = True
        assert (stream.first_token, len(list(stream))) == (True, 1)
    assert recorder.spans("openai:llm")


# Rules


AGENT = declare("test-framework:agent", "agent")
TOOL = declare("test-framework:tool:pay", "tool")


def test_an_agent_of_another_framework_is_another_agent() -> None:
    """An agent with another name is not the same step, nor a tool with another name."""
    tracer = provider_with().get_tracer("test")
    with isolated() as recorder, scenarios.desk.run():
        with (
            start(AGENT, {"agent_name": "graph", "inputs": {}}),
            tracer.start_as_current_span("invoke_agent helper"),
        ):
            pass
        with (
            tracer.start_as_current_span("execute_tool refund"),
            start(TOOL, {"inputs": {}}),
        ):
            pass
    assert recorder.runs[0].tree() == [
        ["test-framework:agent", [["otel:agent", []]]],
        ["otel:tool:refund", [["test-framework:tool:pay", []]]],
    ]


def test_a_step_that_was_taken_over_keeps_the_steps_below_it() -> None:
    """It has the start of the outer span, and the data of the integration."""
    tracer = provider_with().get_tracer("test")
    with isolated() as recorder, scenarios.desk.run():
        with tracer.start_as_current_span("execute_tool pay"):
            scenarios.find("before")
            with start(TOOL, {"inputs": {"amount": 5}}) as tool:
                scenarios.find("inside")
                tool.end({"outputs": {"output": "paid"}})
        scenarios.find("after")
    (tool_span,) = recorder.spans("test-framework:tool:pay")
    assert recorder.runs[0].tree() == [["test-framework:tool:pay", [BENEATH, BENEATH]], BENEATH]
    assert tool_span.payload["inputs"] == {"amount": 5}
    assert tool_span.result == {"outputs": {"output": "paid"}}
    assert tool_span.started_ns <= recorder.spans("desk:find")[0].started_ns


def test_a_decorated_step_is_around_the_spans_inside_it() -> None:
    """OpenTelemetry does not know the step, and says that its parent is the tool."""
    tracer = provider_with().get_tracer("test")
    with (
        isolated() as recorder,
        scenarios.desk.run(),
        tracer.start_as_current_span("execute_tool t"),
        remit.span("own step"),
        tracer.start_as_current_span("chat m", attributes=CHAT),
    ):
        pass
    assert recorder.runs[0].tree() == [["otel:tool:t", [["own step", [["otel:llm", []]]]]]]


def test_a_step_that_was_taken_over_is_exported() -> None:
    """The spans of the bridge are not, as they came from OpenTelemetry."""
    exporter = InMemorySpanExporter()
    tracer = provider_with().get_tracer("test")
    with (
        isolated(span_processor=SimpleSpanProcessor(exporter)),
        scenarios.desk.run(),
        tracer.start_as_current_span("execute_tool pay"),
        start(TOOL, {"inputs": {}}),
    ):
        scenarios.find("inside")
    exported = {span.name: span for span in exporter.get_finished_spans()}
    tool, find = exported["execute_tool pay"], exported["desk:find"]
    assert find.parent is not None
    assert find.parent.span_id == tool.context.span_id


def test_a_denied_step_has_one_span_under_an_enforcing_bridge() -> None:
    """The bridge denies first; the integration inside does not run."""
    risks = {"pay": scenarios.PAYS}
    tracer = provider_with(enforce=True, risks=risks).get_tracer("test")
    with (
        isolated(on_violation="deny") as recorder,
        scenarios.careful.run(),
        pytest.raises(DeniedError),
        tracer.start_as_current_span("execute_tool pay"),
        start(TOOL, {"inputs": {}}),
    ):
        raise AssertionError
    assert [span.name for span in recorder.spans()] == ["otel:tool:pay"]
