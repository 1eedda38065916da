"""The names of the GenAI semantic conventions, old and new, in one table.

Source: the conventions for generative AI of OpenTelemetry, 1.27 to 1.41, and their successors in a
repository of their own; `traceloop.*` and `llm.*` are names of OpenLLMetry, `final_result`,
`tool_arguments` and `tool_response` those of versions of pydantic-ai.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

Attributes: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["agent", "llm", "tool", "retriever"]

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "operation": ("gen_ai.operation.name", "traceloop.span.kind", "llm.request.type"),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "stream": ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"),
    "system": ("gen_ai.system_instructions",),
    "messages": ("gen_ai.input.messages", "gen_ai.prompt"),
    "answer": ("gen_ai.output.messages", "gen_ai.completion", "final_result"),
    "tools": ("gen_ai.tool.definitions",),
    "finish_reasons": ("gen_ai.response.finish_reasons",),
    "response_model": ("gen_ai.response.model",),
    "response_id": ("gen_ai.response.id",),
    "first_chunk_s": (
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.client.operation.time_to_first_chunk",
    ),
    "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "completion_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.details.reasoning_tokens",
    ),
    "agent": ("gen_ai.agent.name", "gen_ai.workflow.name", "agent_name", "traceloop.entity.name"),
    "agent_id": ("gen_ai.agent.id",),
    "tool": ("gen_ai.tool.name", "traceloop.entity.name"),
    "description": ("gen_ai.tool.description",),
    "call_id": ("gen_ai.tool.call.id",),
    "arguments": ("gen_ai.tool.call.arguments", "tool_arguments", "traceloop.entity.input"),
    "output": ("gen_ai.tool.call.result", "tool_response", "traceloop.entity.output"),
    "query": ("gen_ai.retrieval.query.text",),
    "documents": ("gen_ai.retrieval.documents",),
    "error": ("error.type",),
    "verdict": ("gen_ai.security.verdict.type",),
    "reason": ("gen_ai.security.verdict.reason",),
}
"""Names of each attribute, the newest first: it is written, and all are read."""

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
"""Attributes of the settings of a model call."""

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
}
"""Kinds of steps by operation."""

OPERATIONS: Final[Mapping[str, str]] = {"completion": "text_completion", "embedding": "embeddings"}
"""Operations of model calls that have another name today."""

SPAN_NAMES: Final = frozenset({
    "execute_tool", "invoke_agent", "invoke_workflow", "generate_content", "text_completion",
})  # fmt: skip
"""Operations that the first word of a span's name shows, where the attribute is set later."""

CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable that turns contents in attributes on."""
CAPTURES: Final = frozenset({"span_only", "span_and_event", "true"})


def read(attributes: Attributes, field: str) -> Any:
    """Return the value of the first attribute of *field* that is set."""
    for name in NAMES[field]:
        value = attributes.get(name)
        if value is not None:
            return value
    return None


def read_text(attributes: Attributes, field: str) -> str | None:
    """Return the value of *field* if it is a text that is not empty."""
    value = read(attributes, field)
    return value if isinstance(value, str) and value else None


def as_object(value: object) -> dict[str, Any] | None:
    """Return *value* if it is an object of JSON."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """Return *value* if it is a list."""
    return cast("list[object]", value) if isinstance(value, list) else None


def kind_of(attributes: Attributes, name: str) -> Kind | None:
    """Return the kind of the step that a span is, by its attributes, else by its name.

    None if it is not a step: a request, a query, or a step whose instrumentation says so later.
    """
    operation = read_text(attributes, "operation")
    if operation is None:
        operation = name.partition(" ")[0]
        return KINDS[operation] if operation in SPAN_NAMES else None
    return KINDS.get(operation)


def settings_of(attributes: Attributes) -> dict[str, object]:
    """Return the settings of a model call."""
    return {
        setting: list(cast("tuple[object]", value)) if isinstance(value, tuple) else value
        for setting, name in SETTINGS.items()
        if (value := attributes.get(name)) is not None
    }
