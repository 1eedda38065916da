"""Captures exceptions: type and redacted message; no traceback, no locals, no cause.

`str(exception)` may run user code. A message is taken from the interpreter's own `__str__` if it
would show only plain values, else from the walked arguments.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, cast

import pydantic_core

from remit._base.guard import attempt
from remit._capture import markers
from remit._capture.encode import Rules
from remit._capture.rules.names import name_rule
from remit._capture.rules.pattern_rules import PRIVATE_KEY
from remit._capture.rules.switches import QUOTED
from remit._capture.scalars import integer, text
from remit._capture.walk import Walk, decode, encode, is_harmless
from remit._capture.withheld import MAX_TEXT_CHARS, WithheldTexts, collect_texts
from remit._inspect.introspection import is_a, is_one_of, lookup, type_name
from remit.errors import DeniedError

MAX_MESSAGE_CHARS: Final = 8_192

_BUILTIN_STR: Final = frozenset(
    id(vars(each)["__str__"])
    for each in vars(builtins).values()
    if isinstance(each, type) and issubclass(each, BaseException) and "__str__" in vars(each)
)
"""The `__str__` methods that are written in C."""

_ARGS: Final[Any] = BaseException.__dict__["args"].__get__

_SHOWN_BESIDE_ARGS: Final[tuple[tuple[type, tuple[str, ...]], ...]] = (
    (OSError, ("errno", "strerror", "filename", "filename2")),
    (SyntaxError, ("msg", "filename", "lineno")),
    (ImportError, ("msg",)),
    (UnicodeDecodeError, ("encoding", "reason", "object")),
    (UnicodeEncodeError, ("encoding", "reason", "object")),
    (UnicodeTranslateError, ("reason", "object")),
)
"""Attributes that the `__str__` of a builtin shows, and that may hold anything."""

_MAX_SIMPLE_CHARS: Final = 20_000
_MAX_INNER_ERRORS: Final = 3
_MAX_VALIDATION_ERRORS: Final = 20


def error_payload(error: BaseException, rules: Rules, rule: str | None = None) -> bytes:
    """Return the result of a call that raised: `{"error": {"type", "message"}}` as JSON in UTF-8.

    *rule* is the rule by which the declaration withholds every message, else None.
    """

    def build(walk: Walk) -> dict[str, object]:
        walk.chars = min(walk.chars, MAX_MESSAGE_CHARS)
        # Before the message, which may take all the characters.
        kind = walk.text(type_name(type(error)))
        message = _message(walk, error)
        if rule is None:
            shown = _unless_quoting(walk, message, rules)
        else:
            if rules.texts is not None:
                # The error also passes through enclosing spans, whose declarations may allow it.
                rules.texts.add(message)
            shown = walk.withhold(rule, None)
        return {"error": {"type": kind, "message": shown}}

    return rules.encode_payload(build, collect=False)


def _unless_quoting(walk: Walk, message: str, rules: Rules) -> object:
    """Return *message*, or a marker if it quotes a text that the run has withheld."""
    recorded = message[: max(0, walk.chars) + MAX_TEXT_CHARS]
    if rules.texts is not None and rules.texts.quoted_in(recorded):
        return walk.withhold(QUOTED, None)
    return walk.text(message)


def failure_payload(reason: object, rules: Rules, rule: str | None = None) -> bytes:
    """Return the result of a span that the user failed for *reason*, which *rule* withholds."""

    def build(walk: Walk) -> dict[str, object]:
        shown = walk.withhold(rule, reason) if rule else _reason_text(walk, reason, rules)
        return {"error": {"type": "failed", "message": shown}}

    return rules.encode_payload(build, collect=False)


def outcome_payload(
    status: str, reason: object, counts: Mapping[str, object], rules: Rules
) -> bytes:
    """Return the result of a run: status, reason and counts."""

    def build(walk: Walk) -> dict[str, object]:
        return {"status": status, "reason": _reason_text(walk, reason, rules), **counts}

    return rules.encode_payload(build, collect=False)


def merge_error(by_hand: bytes, error: bytes, rules: Rules) -> bytes:
    """Return a result that was set by hand, with the error that came after it.

    If the result is only a marker, or if both together are too large, only the error is kept.
    """
    kept: dict[str, object] = decode(by_hand)
    if markers.KEY in kept:
        return error
    both = encode({**kept, **decode(error)})
    return both if len(both) <= rules.max_payload_bytes else error


def denial_payload(error: DeniedError, rules: Rules) -> bytes:
    """Return the result of a denied step: the error and the single violations."""

    def build(walk: Walk) -> dict[str, object]:
        described = {
            "type": type_name(type(error)),
            "message": walk.text(str(error)),
            "violations": [walk.text(violation) for violation in error.violations],
        }
        return {"error": described}

    return rules.encode_payload(build)


def _reason_text(walk: Walk, reason: object, rules: Rules) -> object:
    if is_a(reason, str):
        return _unless_quoting(walk, cast("str", text(reason)), rules)
    return walk.value(reason, 1)


def _message(walk: Walk, error: BaseException, depth: int = 0) -> str:
    """Return the text of *error*, which may be the argument of another error."""
    kind = type(error)
    args: tuple[object, ...] = _ARGS(error)
    if is_one_of(kind, pydantic_core.ValidationError):
        return _of_validation(walk, cast("pydantic_core.ValidationError", error))
    if is_one_of(kind, BaseExceptionGroup):
        return _of_group(cast("BaseExceptionGroup[BaseException]", error))
    only = args[0] if len(args) == 1 else None
    if not args or (type(only) is str and not is_one_of(kind, KeyError)):
        return str(only or "")
    show = lookup(kind, "__str__")
    if id(show) in _BUILTIN_STR and all(map(_is_simple, _shown_values(error, args))):
        return str(show(error))
    if depth < _MAX_INNER_ERRORS:
        if is_a(only, BaseException):
            return _text_of_error(walk, cast("BaseException", only), depth)
        args = tuple(
            _text_of_error(walk, cast("BaseException", each), depth)
            if is_a(each, BaseException)
            else each
            for each in args
        )
    copies = walk.elements(args, 1) or [markers.withheld(PRIVATE_KEY)]
    shown = copies[0] if len(args) == 1 else copies
    return shown if type(shown) is str else encode(shown).decode()


def _text_of_error(walk: Walk, inner: BaseException, depth: int) -> str:
    return f"{type_name(type(inner))}: {_message(walk, inner, depth + 1)}"


def _shown_values(error: BaseException, args: tuple[object, ...]) -> Iterator[object]:
    """Yield the values that the `__str__` of a builtin exception would show."""
    if not is_a(error, SyntaxError):
        yield from args
    for base, names in _SHOWN_BESIDE_ARGS:
        if is_a(error, base):
            for name in names:
                yield attempt(partial(vars(base)[name].__get__, error))


def _is_simple(value: object) -> bool:
    """Return whether the `__str__` of a builtin shows *value* without running user code."""
    if type(value) is str or type(value) is bytes:
        return len(value) <= _MAX_SIMPLE_CHARS
    if type(value) is int:
        return type(integer(value)) is int
    return is_harmless(value) or type(value) is float


def _of_group(error: BaseExceptionGroup[BaseException]) -> str:
    space = vars(BaseExceptionGroup)
    message = text(space["message"].__get__(error))
    return f"{message} ({len(space['exceptions'].__get__(error))} sub-exceptions)"


def _of_validation(walk: Walk, error: pydantic_core.ValidationError) -> str:
    """Return the errors with their locations, without the input that pydantic's message quotes."""
    details = error.errors(include_url=False, include_context=False)
    lines = [
        f"{'.'.join(map(str, detail['loc'])) or '(value)'}: {_reason(walk, detail)}"
        for detail in details[:_MAX_VALIDATION_ERRORS]
    ]
    return f"{len(details)} validation errors for {error.title}: {'; '.join(lines)}"


def _reason(walk: Walk, detail: pydantic_core.ErrorDetails) -> str:
    """Return why a value is invalid.

    A validator's message may quote the value. The error type replaces such a message, and every
    message about a name whose values are withheld.
    """
    rules = (name_rule(part) for part in detail["loc"] if type(part) is str)
    rule = next((each for each in rules if each is not None and each not in walk.off), None)
    if rule is None and WithheldTexts(collect_texts(detail["input"])).quoted_in(detail["msg"]):
        rule = QUOTED
    if rule is None:
        return detail["msg"]
    walk.counts.append(rule)
    return detail["type"]
