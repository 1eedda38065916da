"""The first question of a run and its answer, one line each, for lists.

They are read from spans directly below the root. Where the question is not evident, there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias, cast

from remit._base.markers import CUT, is_marker, is_redacted, kind_of

MAX_CHARS: Final = 200
_READ_CHARS: Final = 4 * MAX_CHARS
"""Characters of a text of which the line is made."""
_ASKED: Final = ("question", "query", "prompt", "message", "text")
"""Arguments that hold a question, if there are several texts."""
_ANSWERED: Final = ("answer", "output", "response", "text", "content", "message")
"""Members of a result that hold an answer, if there are several texts."""
_OF_FRAMEWORK: Final = ("agent_name", "chain_name", "node_name", "operation")
"""Members of the payload of a framework's step, whose other members are no arguments."""
_USER: Final = frozenset({"user", "human"})
_ASSISTANT: Final = frozenset({"assistant", "ai", "model"})

_Fields: TypeAlias = Mapping[str, object]


class Exchange(NamedTuple):
    """A question and its answer; None for what is not known."""

    question: str | None = None
    answer: str | None = None


def question_in(payload: _Fields) -> str | None:
    """Return the line of what a step was asked; None if that is not evident."""
    return _line(question_text(payload))


def answer_in(result: _Fields) -> str | None:
    """Return the line of what a step answered; None if that is not evident."""
    return _line(answer_text(result))


def goes_on(payload: _Fields) -> bool:
    """Return whether a framework's step goes on with the answer to its question to a person."""
    return "resume" in _members(payload.get("inputs"))


def question_text(payload: _Fields) -> str | None:
    """Return what a step was asked, as far as it is recorded; None if that is not evident."""
    inputs = payload.get("inputs")
    given = _members(inputs)
    for fields in (payload, given):
        if "messages" in fields:
            return _last_message(fields["messages"], _USER)
    for fields in (payload, given):
        if "prompt" in fields:
            return _text(fields["prompt"])
    if any(name in payload for name in _OF_FRAMEWORK):
        return inputs if isinstance(inputs, str) else _chosen(given, _ASKED)
    return _chosen(payload, _ASKED)


def answer_text(result: _Fields) -> str | None:
    """Return what a step answered, as far as it is recorded; None if that is not evident."""
    if is_marker(result) or "error" in result:
        return None
    value = result.get("outputs", result.get("result"))
    if value is None and isinstance(result.get("items"), list):
        items = cast("list[object]", result["items"])
        texts = [item for item in items if isinstance(item, str)]
        return "".join(texts) if len(texts) == len(items) else None
    fields: _Fields = {} if is_marker(value) else _members(value)
    if fields:
        if "messages" in fields:
            return _last_message(fields["messages"], _ASSISTANT)
        return _chosen(fields, _ANSWERED)
    return _text(value)


def _members(value: object) -> _Fields:
    """Return the members of an object; none of another value."""
    return cast("_Fields", value) if isinstance(value, dict) else {}


def _last_message(messages: object, roles: frozenset[str]) -> str | None:
    """Return the text of the last message of one of these roles."""
    if not isinstance(messages, list):
        return None
    for message in reversed(cast("list[object]", messages)):
        fields = _members(message)
        if fields.get("role", fields.get("type")) in roles:
            return _text(fields.get("content"))
    return None


def _chosen(fields: _Fields, names: tuple[str, ...]) -> str | None:
    """Return the only text among *fields*, or the first of these names that is one.

    A redacted value counts as a text, of which nothing is returned.
    """
    texts = {
        name: text
        for name, value in fields.items()
        if (text := _text(value)) is not None or is_redacted(value)
    }
    if len(texts) == 1:
        return next(iter(texts.values()))
    return next((texts[name] for name in names if name in texts), None)


def _text(value: object) -> str | None:
    """Return a text, or that of all parts of a content; None if a part of it is redacted."""
    if isinstance(value, str):
        return value
    if kind_of(value) == CUT:
        head = cast("_Fields", value).get("head")
        return head if isinstance(head, str) else None
    if not isinstance(value, list):
        return None
    parts: list[str] = []
    for part in cast("list[object]", value):
        # The part of an image has no text.
        held = _members(part).get("text", "")
        text = _text(part if is_marker(part) or isinstance(part, str) else held)
        if text is None:
            return None
        parts.append(text)
    return " ".join(parts)


def _line(text: str | None) -> str | None:
    """Return a text in one line of at most `MAX_CHARS`; None for an empty one."""
    if text is None:
        return None
    line = " ".join(text[:_READ_CHARS].replace("\x00", "").split())
    if len(line) > MAX_CHARS or (line and len(text) > _READ_CHARS):
        line = f"{line[: MAX_CHARS - 1]}\N{HORIZONTAL ELLIPSIS}"
    return line or None
