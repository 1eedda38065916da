"""Messages of a conversation with a model, in the shapes in which steps record them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias, cast

from typing_extensions import TypeIs

from remit._base.markers import is_marker, items_in_all
from remit.collector.page import formats
from remit.collector.page.payload_tree import members
from remit.collector.page.run.values import (
    Piece,
    folded,
    is_structured,
    json_of,
    line_of,
)

Fields: TypeAlias = Mapping[str, Any]
ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
"""Roles under other names."""
_TEXT_KINDS: Final = frozenset({"text", "input_text", "output_text"})


class Step(NamedTuple):
    """The step that a model called."""

    address: str
    took: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message.

    Attributes:
        kind: `text`, `value` (in the type of code), or `call` of a tool.
        left: Number of characters of the rest.
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
        return only if only is not None and only.kind == "redacted" else None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a conversation.

    Attributes:
        number: Its place in the conversation; None for instructions outside it.
        role: Who wrote it; empty for a gap.
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
        """The rules that redacted something in it, without repetition."""
        return list(dict.fromkeys(piece.text for piece in self.pieces if piece.kind == "redacted"))

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


def linked(message: Message, steps: Mapping[str, Step]) -> Message:
    """Return a message with the steps that it called."""
    parts = [
        replace(part, step=steps.get(part.call_id)) if part.call_id else part
        for part in message.parts
    ]
    return replace(message, parts=parts)


def messages_of(listed: object, before: int) -> list[Message]:
    """Return messages that are numbered after *before*, with one gap where some were cut."""
    if listed is None:
        return []
    if not is_list(listed):
        return [Message(before + 1, "messages", content_of(listed))]
    messages: list[Message] = []
    items, number = listed, before
    for item in items:
        count = items_in_all(item)
        if count is not None:
            missing = max(count - len(items) + 1, 0)
            messages.append(Message(None, "", gap=missing))
            number += missing
            continue
        number += 1
        messages.append(message_of(item, number))
    return messages


def message_of(item: object, number: int, role: str = "message") -> Message:
    """Return one message, whose *role* is used if it has none."""
    if is_marker(item) or not isinstance(item, dict):
        return Message(number, role, content_of(item))
    fields = cast("Fields", item)
    named = fields.get("role")
    role = ROLES.get(named, named) if isinstance(named, str) else role
    content = fields.get("content", fields.get("parts"))
    parts = content_of(content, is_result=role == "tool")
    calls = fields.get("tool_calls")
    if is_list(calls):
        parts += [_call(call) for call in calls]
    elif calls is not None:
        parts += content_of(calls)
    return Message(number, role, parts)


def _call(call: object) -> Part:
    """Return a call of a tool: as remit records it, or as a client of a model has it."""
    if is_marker(call) or not isinstance(call, dict):
        return value_part(call)
    fields = cast("Fields", call)
    function = members(fields.get("function")) or fields
    arguments = next(
        (function[name] for name in ("args", "arguments", "input") if name in function), None
    )
    pieces, rest, left = folded(line_of(json_of(arguments)))
    name, call_id = function.get("name"), fields.get("id")
    return Part(
        "call",
        pieces,
        rest,
        left,
        name=name if isinstance(name, str) else "tool",
        call_id=call_id if isinstance(call_id, str) else None,
    )


def content_of(content: object, *, is_result: bool = False) -> list[Part]:
    """Return the parts of a content: a text, a list of parts, or anything else."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        decoded = json_of(content) if is_result else content
        return [value_part(decoded) if is_structured(decoded) else _text(content)]
    if is_list(content):
        return [part for block in content for part in _block(block)]
    return [value_part(content)]


def _block(block: object) -> list[Part]:
    """Return one part of a content."""
    if isinstance(block, str):
        return [_text(block)]
    fields: Fields = {} if is_marker(block) else members(block)
    kind, text = fields.get("type"), fields.get("text")
    if isinstance(text, str) and (kind in _TEXT_KINDS or kind is None):
        return [_text(text)]
    if kind == "tool_use":
        return [_call(block)]
    if kind == "tool_result":
        return content_of(fields.get("content"), is_result=True)
    if integer_of(fields.get("size")) is not None and "digest" in fields:
        words = f"{kind}, {formats.size(fields['size'])}, digest {fields['digest']}"
        return [Part("value", [Piece(words)])]
    return [value_part(block)]


def _text(text: str) -> Part:
    pieces, rest, left = folded([Piece(text)])
    return Part("text", pieces, rest, left)


def value_part(value: object) -> Part:
    """Return any value as a part of a message."""
    kind = "text" if is_marker(value) else "value"
    pieces, rest, left = folded(line_of(value))
    return Part(kind, pieces, rest, left)


def is_chat(value: object) -> bool:
    """Return whether a value is a list of chat messages, or the rest of one."""
    if not is_list(value):
        return False
    items = [item for item in value if not is_marker(item)]
    return bool(items) and all(isinstance(members(item).get("role"), str) for item in items)


def is_list(value: object) -> TypeIs[list[object]]:
    """Return whether a value is a list."""
    return isinstance(value, list)


def integer_of(value: object) -> int | None:
    """Return a value if it is a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
