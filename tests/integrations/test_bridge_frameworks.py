"""Frameworks through `Bridge`, as the table of coverage has them: `nox -s bridge`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # LiteLLM asks the network otherwise
os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"

import httpx
import httpx2
import litellm
import openai
import pytest
import smolagents
from google import genai
from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from litellm.integrations.opentelemetry import OpenTelemetry
from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.litellm import LiteLLMInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from opentelemetry import trace
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLlmetry
from opentelemetry.sdk.trace import TracerProvider

from remit.errors import DeniedError
from remit.integrations.langchain import RemitHandler, RemitTools
from remit.integrations.openai import watch
from remit.otel import Bridge
from remit.testing import RecordingSink, isolated
from tests import scenarios
from tests.scenarios import PAYS

ASKED: Any = [{"role": "user", "content": "Where is order A-1?"}]
BENEATH = ["desk:find", []]
RISKS = {"spend": PAYS, "final_answer": scenarios.PAYS_NOT}


def new_provider() -> TracerProvider:
    """Return a tracer provider with an enforcing bridge."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Bridge(enforce=True, risks=RISKS))
    return provider


PROVIDER = new_provider()
trace.set_tracer_provider(PROVIDER)  # that of Google ADK


@contextmanager
def instrumented(*instrumentors: Any) -> Iterator[None]:
    """Turn instrumentations on in the block."""
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=PROVIDER)
    try:
        yield
    finally:
        for instrumentor in instrumentors:
            instrumentor.uninstrument()


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record in memory, in a run in which nothing may be paid."""
    with isolated(on_violation="deny") as sink:
        yield sink


def spend(amount: int) -> str:
    """Spend an amount.

    Args:
        amount: In EUR.
    """
    raise AssertionError(f"{amount} was spent")


def look_up(order_id: str) -> str:
    """Look an order up.

    Args:
        order_id: Its number.
    """
    return scenarios.find(order_id)


# LiteLLM


@pytest.mark.parametrize("stream", [False, True])
def test_litellm_with_openinference(recorder: RecordingSink, *, stream: bool) -> None:
    """Model, messages, reasons; tokens and costs if LiteLLM reports them."""
    with instrumented(LiteLLMInstrumentor()), scenarios.desk.run():
        answer: Any = litellm.completion(
            model="gpt-4o-mini", messages=ASKED, mock_response="It is shipped.", stream=stream
        )
        if stream:
            list(answer)
    (call,) = recorder.spans("otel:llm")
    result = call.result or {}
    assert (call.payload["model_name"], call.payload["provider"]) == ("gpt-4o-mini", "openai")
    assert call.payload.get("stream", False) is stream
    assert call.payload["inputs"]["messages"] == ASKED
    assert result["outputs"] == {
        "messages": [{"role": "assistant", "content": "It is shipped."}],
        "finish_reasons": ["stop"],
    }
    if not stream:
        assert result["token_usage"]["total_tokens"] > 0
        assert float(result["cost"]["amount"]) > 0


def test_the_spans_of_litellm_itself(recorder: RecordingSink) -> None:
    """A call is recorded with its reason and cost; a stream is not, as it has no context."""
    litellm.callbacks = [OpenTelemetry(tracer_provider=PROVIDER)]
    try:
        with scenarios.desk.run():
            for stream in (False, True):
                answer: Any = litellm.completion(
                    model="gpt-4o-mini", messages=ASKED, mock_response="Yes.", stream=stream
                )
                list(answer if stream else ())
            deadline = time.monotonic() + 60
            while len(recorder.spans("otel:llm")) < 1 and time.monotonic() < deadline:
                time.sleep(0.01)  # noqa: TID251 - LiteLLM reports on another thread
    finally:
        litellm.callbacks = []
    (call,) = recorder.spans("otel:llm")
    result = call.result or {}
    assert result["outputs"]["finish_reasons"] == ["stop"]
    assert result["cost"]["source"] == "litellm"


# Google Gen AI


def gemini(parts: Sequence[dict[str, Any]]) -> genai.Client:
    """Return a client whose model answers with *parts* in turn."""
    answers = iter(parts)

    def answer(_request: httpx.Request) -> httpx.Response:
        usage = {"promptTokenCount": 14, "candidatesTokenCount": 3, "totalTokenCount": 17}
        content = {"role": "model", "parts": [next(answers)]}
        candidate = {"content": content, "finishReason": "STOP"}
        return httpx.Response(200, json={"candidates": [candidate], "usageMetadata": usage})

    transport = httpx.MockTransport(answer)
    options = types.HttpOptions(httpx_client=httpx.Client(transport=transport))
    return genai.Client(api_key="none", http_options=options)


def test_google_genai_with_openinference(recorder: RecordingSink) -> None:
    """Model calls; a decorated tool is denied, and the model reads why."""
    call = {"functionCall": {"name": "pay", "args": {"amount": 5}}}
    with instrumented(GoogleGenAIInstrumentor()), scenarios.careful.run():
        client = gemini([call, {"text": "Ask a person."}])
        config = types.GenerateContentConfig(tools=[scenarios.pay], temperature=0.5)
        chat = client.chats.create(model="gemini-test", config=config)
        assert chat.send_message("Pay.").text == "Ask a person."
    (denied,) = recorder.spans("desk:pay")
    first, second = recorder.spans("otel:llm")
    assert denied.status == "failed"
    assert first.payload["provider"] == "google"
    assert first.payload["inputs"]["settings"] == {"temperature": 0.5}
    assert first.payload["inputs"]["tools"][0]["name"] == "pay"
    assert (first.result or {})["token_usage"]["total_tokens"] == 17
    assert "Policy denied this step" in json.dumps(second.payload)


# Google ADK


class ScriptedGemini(BaseLlm):
    """Calls a tool, then answers."""

    tool: str = "look_up"
    arguments: str = '{"order_id": "A-1"}'

    async def generate_content_async(
        self, llm_request: Any, *_: Any, **__: Any
    ) -> AsyncGenerator[LlmResponse]:
        """Answer."""
        asked = llm_request.contents[-1].parts[0]
        arguments = json.loads(self.arguments)
        part = types.Part.from_function_call(name=self.tool, args=arguments)
        if asked.function_response:
            part = types.Part.from_text(text="It is shipped.")
        usage = types.GenerateContentResponseUsageMetadata(
            prompt_token_count=14, candidates_token_count=3, total_token_count=17
        )
        yield LlmResponse(
            content=types.Content(role="model", parts=[part]),
            usage_metadata=usage,
            finish_reason=types.FinishReason.STOP,
        )


async def run_adk(model: ScriptedGemini, tool: Callable[..., str]) -> None:
    """Run an agent of Google ADK."""
    agent = LlmAgent(name="helper", model=model, tools=[tool])
    runner = InMemoryRunner(agent=agent, app_name="shop")
    session = await runner.session_service.create_session(app_name="shop", user_id="u")
    question = types.Content(role="user", parts=[types.Part.from_text(text="Where?")])
    async for _ in runner.run_async(user_id="u", session_id=session.id, new_message=question):
        pass


async def test_google_adk(recorder: RecordingSink) -> None:
    """Workflow, agent, model calls and tools."""
    async with scenarios.desk.run():
        await run_adk(ScriptedGemini(model="scripted"), look_up)
    model: list[Any] = ["otel:llm", []]
    inner = ["otel:agent", [model, ["otel:tool:look_up", [BENEATH]], model]]
    assert recorder.runs[0].tree() == [["otel:agent", [inner]]]
    (tool,) = recorder.spans("otel:tool:look_up")
    assert tool.payload["inputs"] == {"order_id": "A-1"}
    (first, _) = recorder.spans("otel:llm")
    assert (first.result or {})["token_usage"]["total_tokens"] == 17


async def test_a_denied_tool_ends_an_agent_of_google_adk(recorder: RecordingSink) -> None:
    """The model call before the tool was answered, and is complete."""
    model = ScriptedGemini(model="scripted", tool="spend", arguments='{"amount": 5}')
    with pytest.raises(DeniedError):
        async with scenarios.careful.run():
            await run_adk(model, spend)
    (call,) = recorder.spans("otel:llm")
    (tool,) = recorder.spans("otel:tool:spend")
    assert (call.status, tool.status) == ("complete", "failed")


# smolagents


def answering(message: dict[str, Any], *, stream: bool = False) -> httpx2.Response:
    """Return the answer of a model of OpenAI."""
    reason = "tool_calls" if "tool_calls" in message else "stop"
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason}
    choice["delta" if stream else "message"] = {"role": "assistant", "content": None, **message}
    kind = "chat.completion.chunk" if stream else "chat.completion"
    reply = {"id": "c", "created": 1, "object": kind, "model": "gpt-test", "choices": [choice]}
    reply["usage"] = {"prompt_tokens": 14, "completion_tokens": 3, "total_tokens": 17}
    text = json.dumps(reply)
    if not stream:
        return httpx2.Response(200, headers={"content-type": "application/json"}, text=text)
    headers = {"content-type": "text/event-stream"}
    return httpx2.Response(200, headers=headers, text=f"data: {text}\n\ndata: [DONE]\n\n")


def client_of(respond: Callable[[httpx2.Request], httpx2.Response]) -> openai.OpenAI:
    """Return a client whose requests *respond* answers."""
    http = openai.DefaultHttpxClient(transport=httpx2.MockTransport(respond))
    return openai.OpenAI(api_key="none", http_client=http, max_retries=0)


def run_smolagents(
    calls: Sequence[tuple[str, dict[str, Any]]], tool: Callable[..., str]
) -> tuple[object, list[str]]:
    """Run an agent of smolagents that calls tools in turn; return its answer and the requests."""
    turns, requests = iter(calls), list[str]()

    def respond(request: httpx2.Request) -> httpx2.Response:
        requests.append(request.content.decode())
        name, arguments = next(turns)
        function = {"name": name, "arguments": json.dumps(arguments)}
        return answering({"tool_calls": [{"id": name, "type": "function", "function": function}]})

    model = smolagents.OpenAIModel("gpt-test", api_key="none")
    model.client = client_of(respond)
    agent = smolagents.ToolCallingAgent(
        tools=[smolagents.tool(tool)], model=model, verbosity_level=0, name="helper"
    )
    return agent.run("Where is order A-1?"), requests


def test_smolagents_with_openinference(recorder: RecordingSink) -> None:
    """Agent, steps, model calls and tools."""
    calls: Any = [("look_up", {"order_id": "A-1"}), ("final_answer", {"answer": scenarios.TOLD})]
    with instrumented(SmolagentsInstrumentor()), scenarios.desk.run():
        answer, _ = run_smolagents(calls, look_up)
    assert answer == scenarios.TOLD
    call: list[Any] = ["otel:llm", []]
    steps = [
        ["otel:chain", [call, ["otel:tool:look_up", [BENEATH]]]],
        ["otel:chain", [call, ["otel:tool:final_answer", []]]],
    ]
    assert recorder.runs[0].tree() == [["otel:agent", steps]]
    (first, _) = recorder.spans("otel:llm")
    assert (first.result or {})["token_usage"]["total_tokens"] == 17


def test_a_denied_tool_of_smolagents(recorder: RecordingSink) -> None:
    """The model reads why, and the agent goes on."""
    calls: Any = [("spend", {"amount": 5}), ("final_answer", {"answer": "Ask a person."})]
    with instrumented(SmolagentsInstrumentor()), scenarios.careful.run():
        answer, requests = run_smolagents(calls, spend)
    assert answer == "Ask a person."
    (tool,) = recorder.spans("otel:tool:spend")
    assert tool.status == "failed"
    assert "Policy denied this step" in requests[-1]


# Two recorders: the integration is preferred

NAMES = ["OpenLLMetry", "OpenInference"]


class Model(GenericFakeChatModel):
    """Has tools."""

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Return the model."""
        return self


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("instrumentor", [OpenLlmetry, OpenAIInstrumentor], ids=NAMES)
def test_a_watched_client_is_recorded_once(
    recorder: RecordingSink, instrumentor: Any, *, stream: bool
) -> None:
    """By `watch`, with the instrumentation of OpenLLMetry or OpenInference."""
    with instrumented(instrumentor()), scenarios.desk.run():
        client = watch(client_of(lambda _: answering({"content": "Yes."}, stream=stream)))
        answer = client.chat.completions.create(model="gpt-test", messages=ASKED, stream=stream)
        assert not stream or list(answer)
    assert recorder.runs[0].tree() == [["openai:llm", []]]
    (call,) = recorder.spans("openai:llm")
    assert (call.status, (call.result or {})["token_usage"]["total_tokens"]) == ("complete", 17)


# OpenLLMetry comes last: it leaves a part of LangChain patched.
@pytest.mark.parametrize(
    "instrumentor", [LangChainInstrumentor, LangchainInstrumentor], ids=NAMES[::-1]
)
def test_langchain_is_recorded_once(recorder: RecordingSink, instrumentor: Any) -> None:
    """By `RemitHandler`, with the instrumentation of OpenLLMetry or OpenInference."""
    call = {"name": "look_up", "args": {"order_id": "A-1"}, "id": "c1"}
    usage: Any = {"input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
    answers = [
        AIMessage("", tool_calls=[call], usage_metadata=usage),
        AIMessage(scenarios.TOLD, usage_metadata=usage),
    ]
    lists: list[list[Any]] = [[], [RemitTools()]]
    with instrumented(instrumentor()):
        for middleware in lists:
            model = Model(messages=iter(answers))
            with scenarios.desk.run():
                agent = create_agent(model, [look_up], middleware=middleware, name="helper")
                agent.invoke({"messages": ASKED}, {"callbacks": [RemitHandler()]})
    model_call: list[Any] = ["langchain:llm", []]
    tool = ["langchain:tool:look_up", [BENEATH]]
    for run in recorder.runs:
        assert run.tree() == [["langchain:agent", [model_call, tool, model_call]]]
