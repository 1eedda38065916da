"""One table of attribute names: the old and new GenAI semantic conventions, and OpenInference.

The GenAI names come from OpenTelemetry's conventions 1.27 to 1.41, and from the separate repository
that replaced them. The OpenInference names come from its semantic conventions 0.1.42. OpenLLMetry
uses `traceloop.*`, `llm.request.type` and `llm.is_streaming`. Some versions of pydantic-ai use
`final_result`, `tool_arguments`, `tool_response` and `operation.cost`. LiteLLM uses
`gen_ai.cost.*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, Final, Literal, TypeAlias, cast

from remit.integrations import _llm

Attributes: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["agent", "chain", "llm", "tool", "retriever"]

OPENINFERENCE: Final = "openinference.span.kind"
"""The attribute that every OpenInference span has."""

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "operation": (
        "gen_ai.operation.name",
        "traceloop.span.kind",
        "llm.request.type",
        OPENINFERENCE,
    ),
    "provider": (
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
    ),
    "model": (
        "gen_ai.request.model",
        "gen_ai.response.model",
        "llm.request.model_name",
        "llm.model_name",
        "embedding.model_name",
    ),
    "stream": ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"),
    "system": ("gen_ai.system_instructions",),
    "messages": ("gen_ai.input.messages", "gen_ai.prompt"),
    "answer": ("gen_ai.output.messages", "gen_ai.completion", "final_result"),
    "tools": ("gen_ai.tool.definitions",),
    "finish_reasons": (
        "gen_ai.response.finish_reasons",
        "llm.finish_reason",
    ),
    "response_model": (
        "gen_ai.response.model",
        "llm.response.model_name",
    ),
    "response_id": ("gen_ai.response.id",),
    "cost": ("gen_ai.cost.total_cost", "llm.cost.total", "operation.cost"),
    "input": ("input.value",),
    "settings": ("llm.invocation_parameters", "embedding.invocation_parameters"),
    "first_chunk_s": (
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.client.operation.time_to_first_chunk",
    ),
    "prompt_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
    ),
    "completion_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "total_tokens": (
        "gen_ai.usage.total_tokens",
        "llm.usage.total_tokens",
        "llm.token_count.total",
    ),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "agent": (
        "gen_ai.agent.name",
        "gen_ai.workflow.name",
        "agent_name",
        "traceloop.entity.name",
        "agent.name",
        "graph.node.id",
    ),
    "agent_id": ("gen_ai.agent.id",),
    "conversation": ("gen_ai.conversation.id", "session.id"),
    "user": ("user.id", "enduser.id"),
    "tool": (
        "gen_ai.tool.name",
        "traceloop.entity.name",
        "tool.name",
    ),
    "description": (
        "gen_ai.tool.description",
        "tool.description",
    ),
    "call_id": (
        "gen_ai.tool.call.id",
        "tool.id",
        "tool_call.id",
    ),
    "arguments": (
        "gen_ai.tool.call.arguments",
        "tool_arguments",
        "traceloop.entity.input",
        "input.value",
    ),
    "output": (
        "gen_ai.tool.call.result",
        "tool_response",
        "traceloop.entity.output",
        "output.value",
    ),
    "query": (
        "gen_ai.retrieval.query.text",
        "input.value",
    ),
    "documents": ("gen_ai.retrieval.documents",),
    "error": ("error.type",),
}
"""Names of each attribute, the newest first. remit writes the newest name and reads all names."""

SETTINGS: Final[Mapping[str, str]] = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "stop_sequences": "gen_ai.request.stop_sequences",
}
"""Attributes that contain the settings of a model call."""

KINDS: Final[Mapping[str, Kind]] = {
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "embeddings": "llm",
    "execute_tool": "tool",
    "invoke_agent": "agent",
    "invoke_workflow": "agent",
    "plan": "agent",
    "retrieval": "retriever",
    # of OpenLLMetry
    "completion": "llm",
    "embedding": "llm",
    "agent": "agent",
    "workflow": "agent",
    "tool": "tool",
    # of OpenInference
    "LLM": "llm",
    "EMBEDDING": "llm",
    "TOOL": "tool",
    "AGENT": "agent",
    "CHAIN": "chain",
    "GUARDRAIL": "chain",
    "EVALUATOR": "chain",
    "RETRIEVER": "retriever",
    "RERANKER": "retriever",
}
"""Step kinds, by operation."""

OTHER_OPERATIONS: Final = frozenset({"create_agent", "task", "PROMPT", "unknown", "UNKNOWN"})
"""Operations that are not steps."""
OTHER_SPANS: Final = frozenset({"raw_gen_ai_request"})
"""Spans that repeat a model call. LiteLLM creates one below each model call."""
OF_MODELS: Final = ("gen_ai.", "llm.", "ai.", "traceloop.")
"""Prefixes of model call attributes."""

OPERATIONS: Final[Mapping[str, str]] = {
    "completion": "text_completion",
    "embedding": "embeddings",
    "LLM": "chat",
    "EMBEDDING": "embeddings",
}
"""Current OpenTelemetry names of model call operations, by their other names."""

SPAN_NAMES: Final = frozenset({
    "execute_tool", "invoke_agent", "invoke_workflow", "generate_content", "text_completion",
})  # fmt: skip
"""Operations that the first word of a span name identifies if the attribute is set later."""

CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable that turns on contents in attributes."""
CAPTURES: Final = frozenset({"span_only", "span_and_event", "true"})


def read(attributes: Attributes, field: str) -> Any:
    """Return the value of the first name of *field* that is set."""
    for name in NAMES[field]:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def read_text(attributes: Attributes, field: str) -> str | None:
    """Return the value of *field* if it is a non-empty string."""
    value = read(attributes, field)
    return value if isinstance(value, str) and value else None


def as_object(value: object) -> dict[str, Any] | None:
    """Return *value* if it is a JSON object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """Return *value* if it is a list."""
    return cast("list[object]", value) if isinstance(value, list) else None


def kind_of(attributes: Attributes, name: str) -> Kind | None:
    """Return the step kind of a span, from the span's attributes or else from its name.

    Returns None if the span is not a step, such as an HTTP request or a query. Also returns None if
    the instrumentation sets the step's operation later.
    """
    operation = read_text(attributes, "operation")
    if operation is None:
        operation = name.partition(" ")[0]
        return KINDS[operation] if operation in SPAN_NAMES else None
    return KINDS.get(operation)


def settings_of(attributes: Attributes) -> dict[str, object]:
    """Return the settings of a model call."""
    settings: dict[str, object] = {
        setting: list(cast("tuple[object]", value)) if isinstance(value, tuple) else value
        for setting, name in SETTINGS.items()
        if (value := attributes.get(name)) is not None
    }
    given = as_object(_llm.json_of(read(attributes, "settings"))) or {}
    return {name: given[name] for name in SETTINGS if name in given} | settings


def is_streamed(attributes: Attributes) -> bool:
    """Return whether the response is streamed. Some instrumentations set a string."""
    stream = read(attributes, "stream")
    if stream is None:
        given = as_object(_llm.json_of(read(attributes, "settings"))) or {}
        stream = given.get("stream")
    return stream is True or stream == "True"


def finish_reasons_of(attributes: Attributes) -> list[object]:
    """Return the finish reasons of a model call from a list, a JSON list, or a single reason."""
    reasons = read(attributes, "finish_reasons")
    if isinstance(reasons, str) and reasons.startswith("["):
        reasons = _llm.json_of(reasons)
    listed = _llm.listed(reasons) or [reasons]
    return [reason.value if isinstance(reason, Enum) else reason for reason in listed]


def cost_of(attributes: Attributes, source: str | None) -> dict[str, str] | None:
    """Return the cost that an instrumentation computed. *source* is the instrumentation's name."""
    amount = read(attributes, "cost")
    if not isinstance(amount, int | float) or not isfinite(amount):
        return None
    return {
        "currency": "USD",
        "source": source or "unknown",
        "amount": f"{Decimal(repr(amount)):f}",
    }


def unread(attributes: Attributes, name: str) -> str | None:
    """Return a model call attribute of a span if no attribute gives an operation that is read."""
    operation = read_text(attributes, "operation")
    if operation in KINDS or operation in OTHER_OPERATIONS or name in OTHER_SPANS:
        return None
    return next((each for each in attributes if each.startswith(OF_MODELS)), None)
