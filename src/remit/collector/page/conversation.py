"""The messages of a model call, read from what a step recorded.

Steps of remit's integrations have `inputs` and `outputs` (docs/reference/payloads.md). Of any other
step, an argument that is a list of chat messages makes it a model call too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias, cast

from remit.collector.page import formats
from remit.collector.page.values import KEY, Piece, folded, is_marker, line_of, missing_items
from remit.collector.page.values import json_of as _json_of

Fields: TypeAlias = Mapping[str, Any]
ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
"""Roles under other names."""
NO_CALLS: Final = ("agent_name", "chain_name", "tool_name", "retriever_name", "guardrail_name")
"""Members of the steps of integrations that are no model calls."""
_TEXT_KINDS: Final = frozenset({"text", "input_text", "output_text"})
_US_PER_MS: Final = 1000


class Step(NamedTuple):
    """The step that a model called.

    Attributes:
        address: Its address.
        took: How long it took.
    """

    address: str
    took: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message.

    Attributes:
        kind: `text`, `value` (in the type of code), or `call` of a tool.
        pieces: What is shown.
        rest: What is folded.
        left: Number of characters of the rest.
        name: Name of the tool that is called.
        call_id: Id of the call.
        step: The step that was called, if it was looked up.
    """

    kind: str
    pieces: Sequence[Piece] = ()
    rest: Sequence[Piece] = ()
    left: int = 0
    name: str = ""
    call_id: str | None = None
    step: Step | None = None

    @property
    def whole(self) -> Piece | None:
        """The piece that replaces the whole content, if one does."""
        only = self.pieces[0] if len(self.pieces) == 1 and self.kind != "call" else None
        return only if only is not None and only.kind == "withheld" else None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a conversation.

    Attributes:
        number: Its place in the conversation; None for instructions beside it.
        role: Who wrote it; empty for a gap.
        parts: What it says.
        gap: Number of messages that are not recorded here.
    """

    number: int | None
    role: str
    parts: Sequence[Part] = ()
    gap: int = 0

    @property
    def pieces(self) -> list[Piece]:
        """All pieces of all parts."""
        return [piece for part in self.parts for piece in (*part.pieces, *part.rest)]

    @property
    def rules(self) -> list[str]:
        """The rules that withheld something in it, without repetition."""
        return list(dict.fromkeys(one.text for one in self.pieces if one.kind == "withheld"))

    @property
    def text(self) -> str:
        """The message as plain text."""
        return "\n".join(
            part.name + " " * bool(part.name) + "".join(map(str, (*part.pieces, *part.rest)))
            for part in self.parts
        )

    def says_the_same(self, other: Message) -> bool:
        """Return whether two messages have one role and content."""
        return (self.role, self.text) == (other.role, other.text)


class Number(NamedTuple):
    """A number of a model call: what is recorded, and what it is."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A model call.

    Attributes:
        read: Address of the reading view.
        model: The model.
        numbers: Tokens, time to the first item and others, as far as they are recorded.
        chunks: Number of chunks of a streamed answer.
        system: Instructions that are no message.
        messages: Messages that this step recorded.
        answer: Messages of the answer.
        omitted: Number of messages at the beginning that an earlier call recorded.
        shared: Number of messages at the beginning that the call before has as well.
        before: Address of the call before.
        tokens_out: Tokens of the answer.
    """

    read: str
    model: str | None
    numbers: Sequence[Number]
    chunks: int | None
    system: Message | None
    messages: Sequence[Message]
    answer: Sequence[Message]
    omitted: int
    shared: int
    before: str | None = None
    tokens_out: int | None = None

    @property
    def all(self) -> list[Message]:
        """The messages that this step recorded, and its answer."""
        return [*self.messages, *self.answer]

    @property
    def new(self) -> list[Message]:
        """The messages that the call before does not have."""
        return [each for each in self.messages if (each.number or 0) > self.shared]

    @property
    def total(self) -> int:
        """The number of messages, with those that earlier calls recorded and the answer."""
        return max((each.number or 0 for each in self.all), default=self.omitted)

    def linked(self, steps: Mapping[str, Step]) -> Conversation:
        """Return the call with the steps that it called, by id of the call."""
        return replace(
            self,
            messages=[linked(each, steps) for each in self.messages],
            answer=[linked(each, steps) for each in self.answer],
        )


def linked(message: Message, steps: Mapping[str, Step]) -> Message:
    """Return a message with the steps that it called."""
    parts = [
        replace(part, step=steps.get(part.call_id)) if part.call_id else part
        for part in message.parts
    ]
    return replace(message, parts=parts)


def conversation(span: Fields) -> Conversation | None:
    """Return the messages of a step, as the API shows the step; None if it is no model call."""
    payload, result = _fields(span.get("payload")), _fields(span.get("result_payload"))
    if any(name in payload for name in NO_CALLS):
        return None
    inputs = _fields(payload.get("inputs"))
    listed = inputs.get("messages") if "operation" in payload else None
    if listed is None:
        listed = next((each for each in payload.values() if _is_chat(each)), None)
    if listed is None and not ("operation" in payload and "model_name" in payload):
        return None
    omitted = _integer(_fields(inputs.get("omitted")).get("count")) or 0
    messages = _messages(listed, omitted)
    last = max((each.number or 0 for each in messages), default=omitted)
    usage = _fields(result.get("token_usage"))
    instructions = inputs.get("system") or payload.get("system")
    return Conversation(
        read=f"/runs/{span['agent_instance_id']}/spans/{span['id']}/read",
        model=_first_text(
            payload.get("model_name"),
            inputs.get("model"),
            payload.get("model"),
            result.get("response_model"),
        ),
        numbers=_numbers(result, usage),
        chunks=_integer(result.get("chunks")) or (_count(result) if "items" in result else None),
        system=None if instructions is None else Message(None, "system", _content(instructions)),
        messages=messages,
        answer=_answer(result, last),
        omitted=omitted,
        shared=omitted,
        tokens_out=_integer(usage.get("completion_tokens")),
    )


def shared_with(call: Conversation, before: Conversation) -> int:
    """Return how many messages at the beginning of a call are those of the call before."""
    if call.omitted:
        return call.omitted
    count = 0
    for mine, other in zip(call.messages, before.all, strict=False):
        if not mine.says_the_same(other):
            break
        count += 1
    return count


def _numbers(result: Fields, usage: Fields) -> list[Number]:
    """Return what is recorded, in the order in which it is shown."""
    details, cost = _fields(result.get("usage_details")), _fields(result.get("cost"))
    outputs = _fields(result.get("outputs"))
    numbers: list[Number] = []

    def add(value: object, label: str) -> None:
        count = _integer(value)
        if count is not None:
            numbers.append(Number(formats.number(count), label))

    add(usage.get("prompt_tokens"), "tokens in")
    add(details.get("cache_read"), "of them cached")
    add(usage.get("completion_tokens"), "tokens out")
    if not usage:
        numbers.append(Number("not recorded", "tokens"))
    for member, label in (("first_token_ms", "first token"), ("first_item_ms", "first item")):
        first = result.get(member)
        if isinstance(first, int | float):
            numbers.append(Number(formats.duration(round(first * _US_PER_MS)), label))
    reasons = outputs.get("finish_reasons")
    reason = ", ".join(map(str, cast("list[object]", reasons))) if _is_list(reasons) else ""
    ended = _first_text(reason, result.get("stop_reason"), result.get("finish_reason"))
    if ended:
        numbers.append(Number(ended, "ended with"))
    if isinstance(cost.get("amount"), str):
        amount = f"{cost['amount']} {cost.get('currency', '')}".strip()
        numbers.append(Number(amount, f"cost, as {cost.get('source', 'the library')} tells it"))
    return numbers


def _messages(listed: object, before: int) -> list[Message]:
    """Return messages that are numbered after *before*; a gap stands for those that were cut."""
    if listed is None:
        return []
    if not _is_list(listed):
        return [Message(before + 1, "messages", _content(listed))]
    messages: list[Message] = []
    items, number = cast("list[object]", listed), before
    for item in items:
        missing = missing_items(item, len(items))
        if missing is not None:
            messages.append(Message(None, "", gap=missing))
            number += missing
            continue
        number += 1
        messages.append(_message(item, number))
    return messages


def _message(item: object, number: int, role: str = "message") -> Message:
    if is_marker(item) or not isinstance(item, dict):
        return Message(number, role, _content(item))
    fields = cast("Fields", item)
    named = fields.get("role")
    role = ROLES.get(named, named) if isinstance(named, str) else role
    content = fields.get("content", fields.get("parts"))
    parts = _content(content, is_result=role == "tool")
    calls = fields.get("tool_calls")
    if _is_list(calls):
        parts += [_call(call) for call in cast("list[object]", calls)]
    elif calls is not None:
        parts += _content(calls)
    return Message(number, role, parts)


def _call(call: object) -> Part:
    """Return a call of a tool: as remit records it, or as a client of a model has it."""
    if is_marker(call) or not isinstance(call, dict):
        return _value(call)
    fields = cast("Fields", call)
    function = _fields(fields.get("function")) or fields
    arguments = next(
        (function[name] for name in ("args", "arguments", "input") if name in function), None
    )
    pieces, rest, left = folded(line_of(_json_of(arguments)))
    name, call_id = function.get("name"), fields.get("id")
    return Part(
        "call",
        pieces,
        rest,
        left,
        name=name if isinstance(name, str) else "tool",
        call_id=call_id if isinstance(call_id, str) else None,
    )


def _content(content: object, *, is_result: bool = False) -> list[Part]:
    """Return the parts of a content: a text, a list of parts, or anything else."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        decoded = _json_of(content) if is_result else content
        return [_value(decoded) if isinstance(decoded, dict | list) else _text(content)]
    if _is_list(content):
        return [part for each in cast("list[object]", content) for part in _block(each)]
    return [_value(content)]


def _block(block: object) -> list[Part]:
    if isinstance(block, str):
        return [_text(block)]
    if is_marker(block) or not isinstance(block, dict):
        return [_value(block)]
    fields = cast("Fields", block)
    kind, text = fields.get("type"), fields.get("text")
    if isinstance(text, str) and (kind in _TEXT_KINDS or kind is None):
        return [_text(text)]
    if kind == "tool_use":
        return [_call(block)]
    if kind == "tool_result":
        return _content(fields.get("content"), is_result=True)
    if _integer(fields.get("size")) is not None and "digest" in fields:
        words = f"{kind}, {formats.size(fields['size'])}, digest {fields['digest']}"
        return [Part("value", [Piece(words)])]
    return [_value(block)]


def _text(text: str) -> Part:
    pieces, rest, left = folded([Piece(text)])
    return Part("text", pieces, rest, left)


def _value(value: object) -> Part:
    kind = "text" if is_marker(value) else "value"
    pieces, rest, left = folded(line_of(value))
    return Part(kind, pieces, rest, left)


def _answer(result: Fields, before: int) -> list[Message]:
    """Return the messages of an answer, whatever shape the step returned it in."""
    if not result or set(result) <= {"error"}:
        return []
    outputs = _fields(result.get("outputs"))
    if KEY in result:
        return [Message(before + 1, "assistant", _content(result))]
    if outputs:
        return _messages(outputs.get("messages"), before)
    if "items" in result:
        return [Message(before + 1, "assistant", _stream(result))]
    returned = result.get("result", result)
    fields = _fields(returned)
    choices = fields.get("choices")
    if _is_list(choices):
        chosen = [_fields(each).get("message") for each in cast("list[object]", choices)]
        return _messages([each for each in chosen if each is not None], before)
    listed = next((each for each in (returned, fields.get("messages")) if _is_chat(each)), None)
    if listed is not None:
        return _messages(listed, before)
    if isinstance(fields.get("role"), str):
        return [_message(returned, before + 1)]
    if fields:
        kept = {name: value for name, value in fields.items() if name not in _NOT_ANSWER}
        return [Message(before + 1, "assistant", [_value(kept)])] if kept else []
    return [Message(before + 1, "assistant", _content(returned))] if returned is not None else []


_NOT_ANSWER: Final = frozenset({
    "error", "token_usage", "usage_details", "cost", "chunks", "first_token_ms", "response_model",
    "response_id", "outputs",
})  # fmt: skip
"""Members of a result that are shown elsewhere."""


def _stream(result: Fields) -> list[Part]:
    """Return the text of a stream; a value for each item if the items are no texts."""
    items = result["items"]
    if not _is_list(items):
        return _content(items)
    listed = cast("list[object]", items)
    texts = [_item_text(item) for item in listed]
    if any(text is None for text in texts):
        return [_value(items)]
    pieces = [text for text in texts if text is not None]
    words = all(piece.kind != "text" or piece.text == piece.text.strip() for piece in pieces)
    glue = " " if words else ""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].kind == piece.kind == "text":
            joined[-1] = Piece(joined[-1].text + glue + piece.text)
        else:
            joined.append(piece)
    shown, rest, left = folded(joined)
    return [Part("text", shown, rest, left)]


def _item_text(item: object) -> Piece | None:
    """Return the text of one item of a stream."""
    if isinstance(item, str):
        return Piece(item)
    if is_marker(item):
        return next(iter(line_of(item)), None)
    fields = _fields(item)
    choices = fields.get("choices")
    if _is_list(choices) and choices:
        fields = _fields(cast("list[object]", choices)[0])
    delta = fields.get("delta")
    text = delta if isinstance(delta, str) else None
    for source in (_fields(delta), fields):
        for name in ("content", "text"):
            if text is None and isinstance(source.get(name), str):
                text = source[name]
    return None if text is None else Piece(text)


def _count(result: Fields) -> int | None:
    return _integer(result.get("count"))


def _is_chat(value: object) -> bool:
    """Return whether a value is a list of chat messages, or what is left of one."""
    if not _is_list(value):
        return False
    items = [each for each in cast("list[object]", value) if not is_marker(each)]
    return bool(items) and all(isinstance(_fields(each).get("role"), str) for each in items)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _fields(value: object) -> Fields:
    return cast("Fields", value) if isinstance(value, dict) else {}


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _first_text(*values: object) -> str | None:
    return next((each for each in values if isinstance(each, str) and each), None)
