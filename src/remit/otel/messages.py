"""Converts model call messages between OpenTelemetry's format and the format of remit payloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from remit.integrations import _llm
from remit.integrations._llm import Message
from remit.integrations._responses import content_of
from remit.otel.conventions import Attributes, as_list, as_object, read

RESPONSES: Final = frozenset({"tool_call_response", "server_tool_call_response"})
CALLS: Final = frozenset({"tool_call", "server_tool_call"})
THOUGHTS: Final = frozenset({"reasoning", "thinking"})
MAX_INDEXED: Final = 1_000
"""Maximum number of objects that are read from indexed attributes."""
INDEXED: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": ("gen_ai.prompt", "llm.input_messages", "llm.prompts", "embedding.embeddings"),
    "answer": ("gen_ai.completion", "llm.output_messages", "llm.choices"),
    "documents": ("retrieval.documents", "reranker.output_documents"),
}
"""Prefixes of the indexed attributes of OpenLLMetry and OpenInference."""


def messages_of(attributes: Attributes, field: str, events: Sequence[Any]) -> list[Message]:
    """Return a span's messages from *field* (`messages` or `answer`), or else from *events*."""
    value = _llm.json_of(read(attributes, field))
    if as_list(value) is not None:
        return [each for one in _dicts(value) for each in _read(one)]
    role = "user" if field == "messages" else "assistant"
    if isinstance(value, str) or as_object(value) is not None:
        return [_llm.message(role, value)]
    found = [_of_index(each, role) for each in indexed(attributes, *INDEXED[field])]
    return found or list(_of_events(events, answers=field == "answer"))


def documents_of(attributes: Attributes) -> object:
    """Return the documents that a retriever found."""
    documents = read(attributes, "documents")
    if documents is not None:
        return _llm.json_of(documents)
    nodes = indexed(attributes, *INDEXED["documents"])
    found = [as_object(each.get("document")) or each for each in nodes]
    return found or _llm.json_of(attributes.get("output.value"))


def system_of(attributes: Attributes) -> object:
    """Return the system prompt of a model call, or None if it is a message or not known."""
    value = _llm.json_of(read(attributes, "system"))
    return value if as_list(value) is None else _content(_dicts(value))


def model_messages_of(attributes: Attributes, field: str, events: Sequence[Any]) -> list[Message]:
    """Return a model call's messages, or its whole input or output if it has no messages."""
    messages = messages_of(attributes, field, events)
    whole = attributes.get("input.value" if field == "messages" else "output.value")
    if messages or whole is None or read(attributes, "operation") == "EMBEDDING":
        return messages
    return [_llm.message("user" if field == "messages" else "assistant", _llm.json_of(whole))]


def definitions_of(attributes: Attributes) -> str | tuple[str, ...]:
    """Return the definitions of a model's tools from one JSON list or one JSON text per tool."""
    definitions = read(attributes, "tools")
    if isinstance(definitions, str):
        return definitions
    schemas = _llm.listed(definitions) or [
        (as_object(each.get("tool")) or each).get("json_schema")
        for each in indexed(attributes, "llm.tools")
    ]
    return tuple(schema for schema in schemas if isinstance(schema, str))


def tools_of(definitions: object) -> list[dict[str, Any]]:
    """Return the `name`, `description` and `parameters` of each tool in a list of definitions."""
    tools: list[dict[str, Any]] = []
    for each in _dicts(_llm.listed(_llm.json_of(definitions))):
        tool = as_object(each.get("function")) or each
        if isinstance(tool.get("name"), str):
            tools.append(tool)
    return tools


def _dicts(value: object) -> list[dict[str, Any]]:
    """Return the members of a list that are objects, including objects in JSON text."""
    decoded = [
        as_object(_llm.json_of(each) if isinstance(each, str) else each)
        for each in as_list(value) or ()
    ]
    return [each for each in decoded if each is not None]


def _read(message: Mapping[str, Any]) -> Sequence[Message]:
    """Split a message, so that each tool result is a separate message."""
    role, parts = message.get("role") or "user", _dicts(message.get("parts"))
    if not parts:
        return [_plain(role, message)]
    if len(parts) == 1 and parts[0].get("type") == "text":  # the usual case
        return [_llm.message(role, _part(parts[0]))]
    read: list[Message] = []
    calls: list[dict[str, object]] = []
    rest: list[dict[str, Any]] = []
    for part in parts:
        kind = part.get("type")
        if kind in RESPONSES:
            answer = part.get("response", part.get("result"))
            read.append(_llm.message("tool", answer, tool_call_id=part.get("id")))
        elif kind in CALLS:
            calls.append(_llm.tool_call(part.get("id"), part.get("name"), part.get("arguments")))
        else:
            rest.append(part)
    if rest or calls:
        read.append(_llm.message(role, _content(rest), tool_calls=calls))
    return read


def _plain(role: object, message: Mapping[str, Any]) -> Message:
    """Return a message in the format that most clients use."""
    calls: list[dict[str, object]] = []
    for call in _dicts(message.get("tool_calls")):
        function = as_object(call.get("function")) or call
        arguments = function.get("arguments", function.get("args"))
        calls.append(_llm.tool_call(call.get("id"), function.get("name"), arguments))
    call_id = message.get("tool_call_id") or (message.get("id") if role == "tool" else None)
    content = message.get("content")
    if "contents" not in message and as_list(content):  # otherwise `contents` is used
        content = content_of(content)
    return _llm.message(role, content, tool_calls=calls, tool_call_id=call_id)


def _content(parts: Sequence[Mapping[str, Any]]) -> object:
    """Return the joined texts of *parts*, or a list if some parts are not text."""
    return _llm.text_or_parts(map(_part, parts), "\n")


def _part(part: Mapping[str, Any]) -> object:
    kind, content = part.get("type"), part.get("content")
    if kind == "text" or (kind is None and isinstance(content, str)):
        return content if isinstance(content, str) else ""
    if kind in THOUGHTS:
        return _llm.reasoning(str(content or ""))
    if kind in {"blob", "binary"} and isinstance(content, str):
        return _llm.media(part.get("mime_type", part.get("media_type", kind)), content)
    return dict(part)


def indexed(attributes: Attributes, *prefixes: str) -> list[dict[str, Any]]:
    """Return the objects in indexed attributes, such as `gen_ai.prompt.0.content`.

    If there are several *prefixes*, the first prefix with an attribute is used.
    """
    for prefix in prefixes:
        start, nodes = f"{prefix}.", dict[str, Any]()
        for name, value in attributes.items():
            if name.startswith(start):
                *outer, last = name.removeprefix(start).split(".")
                node: dict[str, Any] | None = nodes
                for key in outer:
                    node = None if node is None else as_object(node.setdefault(key, {}))
                if node is not None:
                    node[last] = value
        if nodes:
            return _dicts(_numbered(nodes))
    return []


def _numbered(value: object) -> object:
    """Convert objects whose keys are indices to lists, at any depth."""
    node = as_object(value)
    if node is None:
        return value
    if node and all(key.isdecimal() for key in node):
        return [_numbered(node[key]) for key in sorted(node, key=int)[:MAX_INDEXED]]
    return {key: _numbered(each) for key, each in node.items()}


def _of_index(node: Mapping[str, Any], default_role: str) -> Message:
    """Return a message from indexed attributes of OpenLLMetry or OpenInference."""
    message = as_object(node.get("message")) or node
    role = message.get("role") or default_role
    calls = [as_object(each.get("tool_call")) or each for each in _dicts(message.get("tool_calls"))]
    parts = [
        as_object(each.get("message_content")) or each for each in _dicts(message.get("contents"))
    ]
    content = message.get("content")
    if content is None and parts:
        content = _content([_openinference_part(part) for part in parts])
    for text in ("prompt", "completion", "embedding"):  # not from a chat
        content = (as_object(node.get(text)) or {}).get("text", content)
    return _plain(
        "assistant" if role == "model" else role,
        {**message, "content": content, "tool_calls": calls},
    )


def _openinference_part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a message in OpenTelemetry's format."""
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "content": part.get("text")}
    source = as_object((as_object(part.get(str(kind))) or {}).get(str(kind))) or {}
    url = source.get("url")
    if isinstance(url, str) and url.startswith("data:"):
        head, _, data = url.removeprefix("data:").partition(",")
        return {"type": "blob", "mime_type": head.partition(";")[0] or kind, "content": data}
    return {"type": kind, "url": url} if isinstance(url, str) else dict(part)


def _of_events(events: Sequence[Any], *, answers: bool) -> Iterable[Message]:
    """Yield the messages in events such as `gen_ai.user.message` and `gen_ai.choice`."""
    for event in events:
        attributes: Attributes = event.attributes or {}
        name = event.name
        if answers and name == "gen_ai.choice":
            body = as_object(_llm.json_of(attributes.get("message"))) or attributes
            yield _plain(body.get("role") or "assistant", body)
        elif not answers and name.startswith("gen_ai.") and name.endswith(".message"):
            yield _plain(name.split(".")[1], attributes)


def written(messages: object) -> list[dict[str, object]]:
    """Return the messages of a payload in OpenTelemetry's format."""
    return [_written(each) for each in _dicts(messages)]


def _written(message: Mapping[str, Any]) -> dict[str, object]:
    role, content = message.get("role", "user"), message.get("content")
    parts: list[dict[str, object]] = []
    if role == "tool":
        call_id = message.get("tool_call_id")
        parts.append({"type": "tool_call_response", "id": call_id, "response": content})
    elif isinstance(content, str):
        parts.append({"type": "text", "content": content})
    elif content is not None:
        parts.append({"type": "generic", "content": content})
    for call in _dicts(message.get("tool_calls")):
        known = {"id": call.get("id"), "name": call.get("name"), "arguments": call.get("args")}
        parts.append({"type": "tool_call", **known})
    return {"role": role, "parts": parts}
