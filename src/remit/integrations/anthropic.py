"""Records the model calls of an Anthropic client.

```python
from remit.integrations.anthropic import watch

client = watch(Anthropic())
```

Messages of this client, and of the copies that it makes of itself, are spans of the type
`anthropic:llm` in the run that calls them, including calls with `parse`, `stream`,
`with_raw_response` and `with_streaming_response`. Other requests, such as `count_tokens` and
batches, are not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from remit._adapters.declare import add_to_header, declare
from remit._adapters.spans import Status
from remit._base.version import __version__
from remit.integrations import _llm
from remit.integrations._clients import (
    Answer,
    Operation,
    Provider,
    Request,
    settings_of,
)
from remit.integrations._clients import watch as _watch
from remit.integrations._llm import first, get, listed, text_or_parts, tokens_of
from remit.integrations._providers import BEDROCK, VERTEX

LOWEST: Final = "0.50"

try:
    import anthropic
except ImportError:
    _llm.required("anthropic", LOWEST, None)
    raise
_llm.required("anthropic", LOWEST, anthropic.__version__)

if TYPE_CHECKING:
    from anthropic.lib import bedrock, vertex

    Client: TypeAlias = (
        anthropic.Anthropic
        | anthropic.AsyncAnthropic
        | bedrock.AnthropicBedrock
        | bedrock.AsyncAnthropicBedrock
        | bedrock.AnthropicBedrockMantle
        | bedrock.AsyncAnthropicBedrockMantle
        | vertex.AnthropicVertex
        | vertex.AsyncAnthropicVertex
    )
C = TypeVar("C", bound="Client")

SETTINGS: Final = (
    "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "tool_choice", "thinking",
    "output_config", "service_tier",
)  # fmt: skip
"""Fields of a request that are recorded as settings."""


def _classes(*names: str) -> tuple[type, ...]:
    """Return clients by name, and their async twins; earlier versions lack some."""
    both = (f"{prefix}{name}" for name in names for prefix in ("", "Async"))
    return tuple(getattr(anthropic, name) for name in both if hasattr(anthropic, name))


ON_BEDROCK: Final = _classes("AnthropicBedrock", "AnthropicBedrockMantle")
ON_VERTEX: Final = _classes("AnthropicVertex")
CLIENTS: Final[tuple[type, ...]] = (*_classes("Anthropic"), *ON_BEDROCK, *ON_VERTEX)
"""The clients of other clouds are derived from these."""
NAMES: Final[Mapping[type, str]] = {
    **dict.fromkeys(ON_BEDROCK, BEDROCK),
    **dict.fromkeys(ON_VERTEX, VERTEX),
    **dict.fromkeys(_classes("AnthropicFoundry"), "azure.ai.inference"),
    **dict.fromkeys(_classes("AnthropicAWS", "AnthropicGoogleCloud"), "anthropic"),
}
"""Providers of the clients of other clouds; Anthropic itself runs the last two."""

IN_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
"""Types of the blocks that call a tool."""
RESULT: Final = "tool_result"
USAGE: Final = (
    "input_tokens", "output_tokens", "output_tokens_details", "cache_read_input_tokens",
    "cache_creation_input_tokens",
)  # fmt: skip
"""Counts of tokens; later events of a stream have some of them."""
THINKING: Final = "thinking"
HIDDEN: Final = "redacted_thinking"
"""Type of a block with reasoning that only the provider can read."""


def watch(
    client: C,
    *,
    capture_messages: _llm.CaptureMessages = "new",
    capture_reasoning: bool = False,
) -> C:
    """Record the model calls of *client*, and of copies that `with_options` makes.

    Calls outside any run are neither recorded nor denied. If you call `watch` again for the same
    client, the new arguments replace the old ones, and each model call is still recorded only once.

    Args:
        client: An `Anthropic` or `AsyncAnthropic` client, or a client for Bedrock, Vertex or
            Foundry.
        capture_messages: `new` records the messages that the previous call under the same parent
            did not contain, `all` records all messages, and `none` records no messages.
        capture_reasoning: Whether the model's reasoning is recorded.

    Returns:
        The client.

    Raises:
        DeclarationError: If *client* is not a supported client, if another argument is wrong, or if
            the installed version of the library sends requests in a way that remit does not
            support.
    """
    watched: C = _watch(PROVIDER, client, capture_messages, capture_reasoning)
    return watched


def _request(body: Mapping[str, Any]) -> Request:
    system = body.get("system")
    blocks = [_part(block) for block in listed(system)]
    messages = [each for message in listed(body, "messages") for each in _messages(message)]
    tools = listed(body, "tools")
    described = _llm.described((get(tool, "name"), get(tool, "description")) for tool in tools)
    return Request(
        messages,
        text_or_parts(blocks) if blocks else system,
        described,
        settings_of(body, SETTINGS),
    )


def _messages(message: object) -> list[_llm.Message]:
    """Return a message as messages: each result of a tool is a separate message."""
    role, content = get(message, "role"), get(message, "content")
    if isinstance(content, str):
        return [_llm.message(role, content)]
    blocks = listed(content)
    messages = [
        _llm.message("tool", _result(block), tool_call_id=get(block, "tool_use_id"))
        for block in blocks
        if get(block, "type") == RESULT
    ]
    rest = [block for block in blocks if get(block, "type") != RESULT]
    return [*messages, _message(role, rest)] if rest or not messages else messages


def _result(block: object) -> object:
    content = get(block, "content")
    parts = [_part(part) for part in listed(content)]
    return text_or_parts(parts) if parts else content


def _message(role: object, blocks: list[Any]) -> _llm.Message:
    parts = [_part(block) for block in blocks if get(block, "type") not in (*IN_CALLS, HIDDEN)]
    return _llm.message(
        role,
        text_or_parts(parts),
        tool_calls=[
            _llm.tool_call(get(block, "id"), get(block, "name"), get(block, "input"))
            for block in blocks
            if get(block, "type") in IN_CALLS
        ],
    )


def _part(block: object) -> object:
    """Return a block of a message: its text, or a description of anything else."""
    text, kind = get(block, "text"), get(block, "type")
    if isinstance(text, str):
        return text
    if kind == THINKING:
        return _llm.reasoning(get(block, THINKING) or "")
    source = get(block, "source")
    data = first(source, "data", "url")
    if isinstance(data, str):
        return _llm.media(kind, data)
    return _llm.known_only(type=kind, id=get(source, "file_id"))


def _answer(answer: object) -> Answer:
    blocks = listed(answer, "content")
    return Answer(
        [_message(get(answer, "role") or "assistant", blocks)] if blocks else [],
        [get(answer, "stop_reason")],
        tokens_of(get(answer, "usage")),
        get(answer, "model"),
        get(answer, "id"),
    )


class _Events:
    """The events of a streamed message."""

    status: Status = "complete"

    def __init__(self) -> None:
        self.is_finished = False
        self._fields: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[object, dict[str, Any]] = {}

    def add(self, item: object) -> bool:
        kind, delta = get(item, "type"), get(item, "delta")
        message = get(item, "message") if kind == "message_start" else None
        for name in ("role", "model", "id"):
            value = get(message, name)
            if value is not None:
                self._fields[name] = value
        usage = get(message, "usage") or get(item, "usage")
        self._usage |= {name: get(usage, name) for name in USAGE if get(usage, name) is not None}
        if kind == "content_block_start":
            block = get(item, "content_block")
            names = ("type", "id", "name", "text", "source", "input", THINKING)
            self._blocks[get(item, "index")] = {
                **{name: get(block, name) for name in names},
                "texts": [],
            }
        elif kind == "message_delta":
            self._fields["stop_reason"] = get(delta, "stop_reason")
            self.is_finished = True
        elif kind == "content_block_delta":
            text = first(delta, "text", "partial_json", THINKING)
            if isinstance(text, str) and text:
                self._blocks.setdefault(get(item, "index"), {"texts": []})["texts"].append(text)
                return get(delta, THINKING) is None
        return False

    def answer(self) -> Answer:
        blocks = [self._joined(block) for block in self._blocks.values()]
        return _answer({**self._fields, "content": blocks, "usage": self._usage})

    def _joined(self, block: dict[str, Any]) -> dict[str, Any]:
        text = "".join(block["texts"])
        if block.get("type") in IN_CALLS:
            return {**block, "input": _llm.json_of(text) if text else block.get("input")}
        if block.get("type") == THINKING:
            return {**block, THINKING: text or block.get(THINKING)}
        return {**block, "text": text} if text or block.get("text") == "" else block


add_to_header(f"remit-anthropic@{__version__}")

PROVIDER: Final = Provider(
    "anthropic",
    declare(
        "anthropic:llm", "llm", title="Model call", description="A call of an Anthropic client."
    ),
    {"v1/messages": Operation("chat", _request, _answer, _Events)},
    CLIENTS,
    NAMES,
)
