"""Reads messages, items and parts of OpenAI's APIs, Chat Completions and Responses.

The watched client and OpenAI Agents use the same readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from remit.integrations import _llm
from remit.integrations._llm import Message, first, get, listed

ASSISTANT: Final = "assistant"
CALL: Final = "_call"
"""End of the type of an item that calls a tool."""
OUTPUT: Final = "_output"
"""End of the type of an item that has the result of a call."""
APPROVAL: Final = "mcp_approval_request"
APPROVED: Final = "mcp_approval_response"
PICTURE: Final = "image_generation_call"
REASONING: Final = "reasoning"
THOUGHTS: Final = ("reasoning_content", REASONING)
"""Fields with the reasoning in a message of DeepSeek and vLLM, and in one of OpenRouter."""
ARGUMENTS: Final = ("arguments", "input", "action", "actions", "operation", "code", "queries")
"""Fields of a call that have its arguments; each type has one of them."""
RETURNED: Final = ("output", "outputs", "results", "result", "error")
"""Fields with the result of a call: of its output, or of the call if the provider ran the tool."""
SOURCES: Final = ("image_url", "input_audio", "file", "file_url", "file_data", "audio", "url")
"""Fields of a part that have an image, a sound or a file, or a reference to it."""
DATA: Final = ("url", "data", "file_data")
"""Fields of such a field, if it is an object."""
FIELDS: Final = ("stdout", "stderr", "outcome", "logs", "approve", "reason")
"""Fields of a tool's result that are recorded as they are."""
DELTAS: Final[Mapping[str, str]] = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "content",
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
    "response.reasoning_text.delta": REASONING,
    "response.reasoning_summary_text.delta": REASONING,
}
"""Fields of an item that the events of a stream fill."""


def messages_of(items: object) -> list[Message]:
    """Return items of the Responses API, or messages of Chat Completions, as messages.

    A text and the calls around it are one message.
    """
    if isinstance(items, str):
        return [_llm.message("user", items)]
    messages: list[Message] = []
    for item in listed(items):
        for message in _messages_of(item):
            last = messages[-1] if messages else None
            if last is None or not _belongs_to(message, last):
                messages.append(message)
                continue
            parts = [*_parts(last["content"]), *_parts(message["content"])]
            last["content"] = _llm.text_or_parts(parts)
            calls = [*listed(last, "tool_calls"), *listed(message, "tool_calls")]
            last |= _llm.known_only(tool_calls=calls or None)
    return messages


def _belongs_to(message: Message, last: Message) -> bool:
    """Return whether *message* is a part of the answer that *last* has begun."""
    if not message["role"] == last["role"] == ASSISTANT:
        return False
    return _llm.is_without_text(message["content"]) or _llm.is_without_text(last["content"])


def _parts(content: object) -> list[object]:
    return listed(content) or ([] if content is None else [content])


def _messages_of(item: object) -> list[Message]:
    """Return the messages of one item."""
    kind = get(item, "type")
    if get(item, "role") is not None:
        return [chat_message(item)]
    if not isinstance(kind, str):  # perhaps a whole answer
        return messages_of(listed(item, "output"))
    if kind == REASONING:
        texts = [get(part, "text") for part in listed(item, "content") or listed(item, "summary")]
        parts = [_llm.reasoning(text) for text in texts if isinstance(text, str)]
        return [_llm.message(ASSISTANT, parts)] if parts else []
    messages = [_called(item, kind)] if kind == APPROVAL or kind.endswith(CALL) else []
    result = _result(item)
    if result is not None:
        call_id = first(item, "call_id", "approval_request_id", "id")
        messages.append(_llm.message("tool", result, tool_call_id=call_id))
    return messages or [_llm.message(ASSISTANT, [_llm.known_only(type=kind, id=get(item, "id"))])]


def _called(item: object, kind: str) -> Message:
    """Return the message with the call that an item is."""
    name, arguments = get(item, "name"), _llm.plain(first(item, *ARGUMENTS))
    if kind == APPROVAL:  # the tool is not called yet
        name, arguments = None, {"name": name, "args": _llm.json_of(arguments)}
    call = _llm.tool_call(first(item, "call_id", "id"), name or kind, arguments)
    return _llm.message(ASSISTANT, None, tool_calls=[call])


def _result(item: object) -> object:
    """Return the result in the output of a call, or in a call that the provider ran."""
    kind, returned = get(item, "type"), first(item, *RETURNED)
    if kind == APPROVED:
        returned = item
    elif returned is None and str(kind).endswith(OUTPUT):
        returned = get(item, "status")
    if kind == PICTURE and isinstance(returned, str):
        return [_llm.media(kind, returned)]
    if returned is None or isinstance(returned, str):
        return returned
    return _llm.text_or_parts([_part(part, kind) for part in listed(returned) or [returned]])


def chat_message(message: object) -> Message:
    """Return a message of Chat Completions, or of the Responses API."""
    content = get(message, "content")
    content = content or get(message, "refusal") if not listed(content) else content
    read = content_of(content)
    thought = first(message, *THOUGHTS)
    if isinstance(thought, str) and thought:
        read = [_llm.reasoning(thought), *_llm.text_parts(read)]
    return _llm.message(
        get(message, "role") or ASSISTANT,
        read,
        tool_calls=[_chat_call(call) for call in listed(message, "tool_calls")],
        tool_call_id=first(message, "tool_call_id", "call_id"),
    )


def _chat_call(call: object) -> dict[str, object]:
    function = first(call, "function", "custom")
    arguments = first(function, "arguments", "input")
    return _llm.tool_call(get(call, "id"), get(function, "name"), arguments)


def content_of(content: object) -> object:
    """Return a content: its text, or its parts if some are not text."""
    parts = listed(content)
    return _llm.text_or_parts([_part(part) for part in parts]) if parts else content or None


def _part(part: object, kind: object = None) -> object:
    """Return a part of a content: its text, or a description of anything else."""
    text = first(part, "text", "refusal")
    if isinstance(text, str):
        return text
    kind = get(part, "type") or kind
    for name in SOURCES:
        source = get(part, name)
        data = source if isinstance(source, str) else first(source, *DATA)
        if isinstance(data, str):
            return _llm.media(kind, data)
    identifier = get(part, "file_id") or get(get(part, "file"), "file_id")
    fields = {name: _llm.plain(get(part, name)) for name in FIELDS}
    return _llm.known_only(type=kind, id=identifier, **fields)


class StreamedItems:
    """The items of a response that is streamed, as far as they came."""

    def __init__(self) -> None:
        self._items: dict[object, object] = {}
        self._deltas: dict[object, dict[str, list[str]]] = {}

    def add(self, event: object) -> bool:
        """Add an event; return whether it has a part of the answer."""
        kind, index, delta = (get(event, name) for name in ("type", "output_index", "delta"))
        if kind in {"response.output_item.added", "response.output_item.done"}:
            self._items[index] = get(event, "item")
            if kind.endswith("done"):
                self._deltas.pop(index, None)
            return False
        field = DELTAS.get(kind)
        if field is None or not isinstance(delta, str) or not delta:
            return False
        self._deltas.setdefault(index, {}).setdefault(field, []).append(delta)
        return field != REASONING

    def messages(self) -> list[Message]:
        """Return the messages of the items that have begun."""
        items: list[object] = []
        for index in {**self._items, **self._deltas}:
            deltas = self._deltas.get(index)
            if deltas is None:
                items.append(self._items[index])
                continue
            texts = {name: "".join(parts) for name, parts in deltas.items()}
            items.append(self._partial(self._items.get(index), texts))
        return [each for each in messages_of(items) if each["content"] or each.get("tool_calls")]

    def _partial(self, item: object, texts: dict[str, str]) -> dict[str, Any]:
        names = ("type", "id", "call_id", "name", "role")
        fields = {name: get(item, name) for name in names}
        if "content" in texts:
            return {**fields, "role": ASSISTANT, "content": texts["content"]}
        if REASONING in texts:
            return {"type": REASONING, "content": [{"text": texts[REASONING]}]}
        return {**fields, "type": fields["type"] or "function_call", **texts}
