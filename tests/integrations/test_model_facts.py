"""Facts of a model call that all integrations read by one table: tokens, provider, reasoning."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import anthropic
import openai
import pydantic
import pytest
from agents import set_trace_processors
from agents.tracing import generation_span, trace
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ThinkingPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, FunctionModel

from remit.errors import DeclarationError
from remit.integrations import anthropic as of_anthropic
from remit.integrations import openai as of_openai
from remit.integrations.langchain import RemitHandler
from remit.integrations.openai_agents import RemitProcessor
from remit.integrations.pydantic_ai import Remit
from remit.otel import Bridge
from remit.testing import RecordingSink, isolated
from tests.inside import provider_at, provider_named, tokens_of
from tests.integrations.test_openai import CHAT, RESPONSES
from tests.model_clients import FakeServer, http_library
from tests.scenarios import Turn, desk

# Tokens

USAGES: Final = {
    "openai chat": {
        "prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 12, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 2},
    },
    "openai responses": {
        "input_tokens": 30, "output_tokens": 9, "total_tokens": 39,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 12, "audio_tokens": 1},
        "output_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 2},
    },
    "anthropic": {
        "input_tokens": 10, "output_tokens": 9, "cache_read_input_tokens": 8,
        "cache_creation_input_tokens": 12, "output_tokens_details": {"thinking_tokens": 4},
    },
    "langchain": {
        "input_tokens": 30, "output_tokens": 9, "total_tokens": 39,
        "input_token_details": {"cache_read": 8, "cache_creation": 12, "audio": 1},
        "output_token_details": {"reasoning": 4, "audio": 2},
    },
    "pydantic-ai": {
        "input_tokens": 30, "output_tokens": 9, "cache_read_tokens": 8, "cache_write_tokens": 12,
        "input_audio_tokens": 1, "output_audio_tokens": 2, "output_reasoning_tokens": 0,
        "details": {"thoughts_tokens": 4},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", USAGES)
def test_tokens_of_each_provider_are_counted_alike(name: str) -> None:
    """The prompt has the tokens that were read from a cache and written to it."""
    counted = tokens_of(USAGES[name])
    details: Any = counted["usage_details"]
    assert counted["token_usage"] == {
        "prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39,
    }  # fmt: skip
    assert (details["cache_read"], details["cache_write"], details["reasoning"]) == (8, 12, 4)
    if name != "anthropic":
        assert (details["audio_input"], details["audio_output"]) == (1, 2)


def test_what_is_no_count_is_no_token() -> None:
    """An unknown usage is none."""
    assert tokens_of(None) == tokens_of({"prompt_tokens": "3"}) == {}


# Providers


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1/", "openai"),
        ("https://eu.api.openai.com/v1/", "openai"),
        ("https://shop.openai.azure.com/openai/", "azure.ai.openai"),
        ("https://shop.services.ai.azure.com/anthropic/", "azure.ai.inference"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("https://europe-west1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gcp.gemini"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.x.ai/v1", "x_ai"),
        ("http://localhost:11434/v1", "localhost"),
        ("https://notopenai.com/v1", "notopenai.com"),
        ("", None),
        (None, None),
    ],
)
def test_a_server_has_the_name_of_its_provider(url: str | None, name: str | None) -> None:
    """By the registry of OpenTelemetry; an unknown server has its host name."""
    assert provider_at(url) == name or url is None


@pytest.mark.parametrize(
    ("name", "registered"),
    [("azure", "azure.ai.openai"), ("google-gla", "gcp.gemini"), ("mistralai", "mistral_ai"),
     ("amazon_bedrock", "aws.bedrock"), ("groq", "groq"), ("ollama", "ollama")],
)  # fmt: skip
def test_a_provider_of_a_framework_has_its_name_in_the_registry(name: str, registered: str) -> None:
    """One that the registry does not have keeps its name."""
    assert provider_named(name) == registered


ASKED: Final[Any] = {"model": "m", "messages": [{"role": "user", "content": "Where?"}]}


@pytest.mark.parametrize(
    ("cls", "options", "name"),
    [
        (openai.OpenAI, {}, "openai"),
        (openai.OpenAI, {"base_url": "https://api.deepseek.com"}, "deepseek"),
        (openai.AzureOpenAI, {"azure_endpoint": "https://gate.example", "api_version": "v"},
         "azure.ai.openai"),
    ],
    ids=["openai", "deepseek", "azure"],
)  # fmt: skip
def test_the_provider_of_a_client_is_the_server_that_answers(
    cls: Any, options: dict[str, Any], name: str
) -> None:
    """By its class, else by its server."""
    with isolated() as recorder, desk.run():
        server = FakeServer(http_library(openai), lambda *_: CHAT.answer(Turn(text="Ghent"), 0))
        client = of_openai.watch(server.connect(cls, **options))
        client.chat.completions.create(**ASKED)
        (span,) = recorder.spans("openai:llm")
    assert span.payload["provider"] == name


@pytest.mark.parametrize(
    ("name", "provider"),
    [("Anthropic", "anthropic"), ("AnthropicBedrock", "aws.bedrock"),
     ("AnthropicVertex", "gcp.vertex_ai"), ("AnthropicFoundry", "azure.ai.inference"),
     ("AsyncAnthropicAWS", "anthropic")],
)  # fmt: skip
def test_the_provider_of_an_anthropic_client_is_its_cloud(name: str, provider: str) -> None:
    """Its class tells."""
    cls: Any = getattr(anthropic, name)
    assert of_anthropic.PROVIDER.name_for(object.__new__(cls)) == provider


def test_a_fallback_has_the_provider_that_answered() -> None:
    """Not the names of all its models."""

    def broken(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(503, "a")

    def respond(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        return ModelResponse([TextPart("In Ghent.")], provider_name="mistral")

    models = FallbackModel(FunctionModel(broken), FunctionModel(respond))
    agent = Agent(models, capabilities=[Remit()])
    with isolated() as recorder:
        asyncio.run(agent.run("Where?"))
        (span,) = recorder.spans("pydantic-ai:llm")
    assert span.payload["provider"] == "mistral_ai"
    assert span.payload["inputs"]["messages"] == [{"role": "user", "content": "Where?"}]


def test_an_answer_from_the_cache_of_langchain_has_no_tokens() -> None:
    """It is marked, as no model was called."""
    answer = AIMessage("In Ghent.", usage_metadata=USAGES["langchain"])
    model = GenericFakeChatModel(messages=iter([answer]), cache=InMemoryCache())
    with isolated() as recorder, desk.run():
        for _ in range(2):
            model.invoke("Where?", {"callbacks": [RemitHandler()]})
        first, second = (span.result or {} for span in recorder.spans("langchain:llm"))
    assert first["token_usage"]["total_tokens"] == 39
    assert "cached" not in first
    assert second["cached"] is True
    assert "token_usage" not in second
    assert second["outputs"]["messages"] == [ANSWER]


class Place(pydantic.BaseModel):
    """Where an order is."""

    place: str


def test_an_answer_that_parse_does_not_accept_keeps_its_tokens() -> None:
    """The call failed after the model had answered."""
    answer: Any = CHAT.answer(Turn(text='{"pla'), 0)
    answer["choices"][0]["finish_reason"] = "length"
    with isolated() as recorder, desk.run():
        server = FakeServer(http_library(openai), lambda *_: answer)
        client = of_openai.watch(server.connect(openai.OpenAI))
        with pytest.raises(openai.LengthFinishReasonError):
            client.chat.completions.parse(**ASKED, response_format=Place)
        (span,) = recorder.spans("openai:llm")
    result = span.result or {}
    assert (span.status, result["token_usage"]["total_tokens"]) == ("failed", 17)
    assert result["error"]["type"].endswith("LengthFinishReasonError")
    assert "outputs" not in result


# Reasoning

THOUGHT: Final = "canary: let me think"
ANSWER: Final = {"role": "assistant", "content": "In Ghent."}


def _openai_chat(*, reasoning: bool, stream: bool = False) -> None:
    answer: Any = CHAT.answer(Turn(text="In Ghent."), 0)
    answer["choices"][0]["message"]["reasoning_content"] = THOUGHT
    events: list[Any] = CHAT.events(Turn(text="In Ghent."), 0)
    first = next(event for event in events if event.get("choices"))
    thought: Any = json.loads(json.dumps(first))
    thought["choices"][0]["delta"] = {"role": "assistant", "reasoning_content": THOUGHT}
    server = FakeServer(http_library(openai), lambda *_: [thought, *events] if stream else answer)
    client = of_openai.watch(server.connect(openai.OpenAI), capture_reasoning=reasoning)
    answered = client.chat.completions.create(**ASKED, stream=stream)
    if stream:
        list(answered)


def _openai_chat_streamed(*, reasoning: bool) -> None:
    _openai_chat(reasoning=reasoning, stream=True)


THINKING: Final = {
    "type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": THOUGHT}],
}  # fmt: skip


def _responses(*, reasoning: bool) -> None:
    answer: Any = RESPONSES.answer(Turn(text="In Ghent."), 0)
    answer["output"].insert(0, THINKING)
    server = FakeServer(http_library(openai), lambda *_: answer)
    client = of_openai.watch(server.connect(openai.OpenAI), capture_reasoning=reasoning)
    response = client.responses.create(model="m", input="Where?")
    client.responses.create(
        model="m", input=[{"role": "user", "content": "Where?"}, *response.output]
    )


def _openai_agents(*, reasoning: bool) -> None:
    set_trace_processors([RemitProcessor(capture_reasoning=reasoning)])
    answer: list[Any] = [THINKING, ANSWER]
    with trace("t"), generation_span(input=[ASKED["messages"][0]], output=answer, model="m"):
        pass
    set_trace_processors([])


def _anthropic(*, reasoning: bool, stream: bool = False) -> None:
    blocks: list[Any] = [
        {"type": "thinking", "thinking": THOUGHT, "signature": "s"},
        {"type": "redacted_thinking", "data": "canary-encrypted"},
        {"type": "text", "text": "In Ghent."},
    ]
    usage = {"input_tokens": 3, "output_tokens": 4}
    message: dict[str, Any] = {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": blocks,
        "stop_reason": "end_turn", "usage": usage,
    }  # fmt: skip
    events: list[Any] = [{"type": "message_start", "message": {**message, "content": []}}]
    deltas: list[Any] = [
        {"type": "thinking_delta", "thinking": THOUGHT}, None,
        {"type": "text_delta", "text": "In Ghent."},
    ]  # fmt: skip
    for index, (block, delta) in enumerate(zip(blocks, deltas, strict=True)):
        empty = {**block, **{name: "" for name in ("thinking", "text") if name in block}}
        place = {"index": index}
        events.append({"type": "content_block_start", **place, "content_block": empty})
        if delta:
            events.append({"type": "content_block_delta", **place, "delta": delta})
        events.append({"type": "content_block_stop", **place})
    events.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    events.append({"type": "message_stop"})
    server = FakeServer(http_library(anthropic), lambda *_: events if stream else message)
    client = of_anthropic.watch(server.connect(anthropic.Anthropic), capture_reasoning=reasoning)
    answered = client.messages.create(**ASKED, max_tokens=5, stream=stream)
    if stream:
        list(answered)


def _anthropic_streamed(*, reasoning: bool) -> None:
    _anthropic(reasoning=reasoning, stream=True)


def _langchain(*, reasoning: bool, kind: str = "reasoning") -> None:
    thought = {"type": kind, kind: THOUGHT}
    answer = AIMessage([thought, {"type": "text", "text": "In Ghent."}])
    model = GenericFakeChatModel(messages=iter([answer]))
    model.invoke("Where?", {"callbacks": [RemitHandler(capture_reasoning=reasoning)]})


def _langchain_of_anthropic(*, reasoning: bool) -> None:
    _langchain(reasoning=reasoning, kind="thinking")


def _pydantic_ai(*, reasoning: bool, stream: bool = False) -> None:
    def respond(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        return ModelResponse([ThinkingPart(THOUGHT), TextPart("In Ghent.")])

    async def streamed(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Any]:
        yield {0: DeltaThinkingPart(content=THOUGHT)}
        yield "In Ghent."

    model = FunctionModel(respond, stream_function=streamed)
    agent = Agent(model, capabilities=[Remit(capture_reasoning=reasoning)])

    async def run() -> None:
        if not stream:
            await agent.run("Where?")
            return
        async with agent.run_stream("Where?") as result:
            await result.get_output()

    asyncio.run(run())


def _pydantic_ai_streamed(*, reasoning: bool) -> None:
    _pydantic_ai(reasoning=reasoning, stream=True)


def _bridge(*, reasoning: bool) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Bridge(capture_reasoning=reasoning))
    tracer = provider.get_tracer("t")
    parts = [{"type": "reasoning", "content": THOUGHT}, {"type": "text", "content": "In Ghent."}]
    answer = json.dumps([{"role": "assistant", "parts": parts}])
    for operation in ("invoke_agent", "chat"):
        attributes = {"gen_ai.operation.name": operation, "gen_ai.output.messages": answer}
        with tracer.start_as_current_span(operation, attributes=attributes):
            pass


WAYS: Final[tuple[Callable[..., None], ...]] = (
    _openai_chat, _openai_chat_streamed, _responses, _openai_agents, _anthropic,
    _anthropic_streamed, _langchain, _langchain_of_anthropic, _pydantic_ai, _pydantic_ai_streamed,
    _bridge,
)  # fmt: skip


def answers(recorder: RecordingSink) -> list[Any]:
    """Return the messages of the answers of models."""
    spans = [span for span in recorder.spans() if span.name.endswith(":llm")]
    return [message for span in spans for message in (span.result or {})["outputs"]["messages"]]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_the_reasoning_of_a_model_is_recorded_on_request_only(way: Callable[..., None]) -> None:
    """By each integration; as a part before the answer."""
    with isolated() as recorder:
        with desk.run():
            way(reasoning=False)
        assert "canary" not in str([(span.payload, span.result) for span in recorder.spans()])
        assert all(answer == ANSWER for answer in answers(recorder))
        assert answers(recorder)
    with isolated() as recorder:
        with desk.run():
            way(reasoning=True)
        parts = [
            {"type": "reasoning", "text": THOUGHT}, {"type": "text", "text": "In Ghent."},
        ]  # fmt: skip
        assert all(answer["content"] == parts for answer in answers(recorder))
        assert answers(recorder)


@pytest.mark.parametrize("cls", [RemitHandler, RemitProcessor, Remit, Bridge])
def test_a_wrong_capture_reasoning_is_refused(cls: Any) -> None:
    """The message names the argument and what was expected."""
    with pytest.raises(DeclarationError, match="capture_reasoning is 'yes'; expected True or"):
        cls(capture_reasoning="yes")
