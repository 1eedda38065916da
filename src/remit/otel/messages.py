"""Messages of model calls, between the form of OpenTelemetry and that of remit's payloads."""

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
"""Messages in attributes with an index that are looked for at most."""


def messages_of(attributes: Attributes, field: str, events: Sequence[Any]) -> list[Message]:
    """Return the messages of a span: those of *field*, `messages` or `answer`, else of *events*."""
    value = _llm.json_of(read(attributes, field))
    if as_list(value) is not None:
        return [each for one in _dicts(value) for each in _read(one)]
    if isinstance(value, str) or as_object(value) is not None:
        return [_llm.message("user" if field == "messages" else "assistant", value)]
    indexed = "gen_ai.prompt" if field == "messages" else "gen_ai.completion"
    found = list(_indexed(attributes, indexed))
    return found or list(_of_events(events, answers=field == "answer"))


def system_of(attributes: Attributes) -> object:
    """Return the system prompt of a model call; None if it is a message or not known."""
    value = _llm.json_of(read(attributes, "system"))
    return value if as_list(value) is None else _content(_dicts(value))


def tools_of(text: object) -> list[dict[str, Any]]:
    """Return `name`, `description` and `parameters` of each tool in a list of definitions."""
    tools: list[dict[str, Any]] = []
    for each in _dicts(_llm.json_of(text)):
        tool = as_object(each.get("function")) or each
        if isinstance(tool.get("name"), str):
            tools.append(tool)
    return tools


def _dicts(value: object) -> list[dict[str, Any]]:
    """Return the members of a list that are objects; the JSON in a text counts."""
    decoded = [
        as_object(_llm.json_of(each) if isinstance(each, str) else each)
        for each in as_list(value) or ()
    ]
    return [each for each in decoded if each is not None]


def _read(message: Mapping[str, Any]) -> Sequence[Message]:
    """Return the messages that one message is, as each result of a tool is a separate message."""
    role, parts = message.get("role") or "user", _dicts(message.get("parts"))
    if not parts:
        return [_plain(role, message)]
    if len(parts) == 1 and parts[0].get("type") == "text":  # as most are
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
    """Return a message in the form that most clients have."""
    calls: list[dict[str, object]] = []
    for call in _dicts(message.get("tool_calls")):
        function = as_object(call.get("function")) or call
        arguments = function.get("arguments", function.get("args"))
        calls.append(_llm.tool_call(call.get("id"), function.get("name"), arguments))
    call_id = message.get("tool_call_id") or (message.get("id") if role == "tool" else None)
    content = message.get("content")
    content = content_of(content) if as_list(content) else content
    return _llm.message(role, content, tool_calls=calls, tool_call_id=call_id)


def _content(parts: Sequence[Mapping[str, Any]]) -> object:
    """Return the joined texts of *parts*; a list if there is something else among them."""
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


def _indexed(attributes: Attributes, prefix: str) -> Iterable[Message]:
    """Yield the messages of attributes such as `gen_ai.prompt.0.content`."""
    for index in range(MAX_INDEXED):
        start = f"{prefix}.{index}"
        role, content = attributes.get(f"{start}.role"), attributes.get(f"{start}.content")
        calls: list[dict[str, object]] = []
        while (name := attributes.get(f"{start}.tool_calls.{len(calls)}.name")) is not None:
            call = f"{start}.tool_calls.{len(calls)}"
            arguments = attributes.get(f"{call}.arguments")
            calls.append(_llm.tool_call(attributes.get(f"{call}.id"), name, arguments))
        if role is None and content is None and not calls:
            return
        role = role or ("assistant" if prefix.endswith("completion") else "user")
        call_id = attributes.get(f"{start}.tool_call_id")
        yield _llm.message(role, content, tool_calls=calls, tool_call_id=call_id)


def _of_events(events: Sequence[Any], *, answers: bool) -> Iterable[Message]:
    """Yield the messages of events such as `gen_ai.user.message` and `gen_ai.choice`."""
    for event in events:
        attributes: Attributes = event.attributes or {}
        name = event.name
        if answers and name == "gen_ai.choice":
            body = as_object(_llm.json_of(attributes.get("message"))) or attributes
            yield _plain(body.get("role") or "assistant", body)
        elif not answers and name.startswith("gen_ai.") and name.endswith(".message"):
            yield _plain(name.split(".")[1], attributes)


def written(messages: object) -> list[dict[str, object]]:
    """Return messages of a payload in the form of OpenTelemetry."""
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
