"""Captures exceptions: types, redacted messages, places and frames; no source lines, no locals.

`str(exception)` may run user code. A message is taken from the interpreter's own `__str__` if it
would show only plain values, else from the walked arguments.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final, cast

import pydantic_core

from remit._base import markers
from remit._base.frames import Frames, read_traceback
from remit._base.guard import attempt
from remit._capture.cut import encode
from remit._capture.encode import Rules
from remit._capture.redacted import MAX_TEXT_CHARS, RedactedTexts, collect_texts
from remit._capture.rules.names import name_rule
from remit._capture.rules.pattern_rules import PRIVATE_KEY
from remit._capture.rules.patterns import SHORTEST, key_shaped
from remit._capture.rules.switches import QUOTED
from remit._capture.scalars import integer, text
from remit._capture.walk import Walk, decode, is_harmless, replace_surrogates
from remit._inspect.introspection import is_a, lookup, name_of, type_name
from remit._policy.violations import fields_of
from remit.errors import DeniedError, Violation

MAX_MESSAGE_CHARS: Final = 8_192
MAX_INNER_MESSAGE_CHARS: Final = 2_048
"""Limit for a cause, or for a member of a group."""
MAX_FRAMES: Final = 20
MAX_CAUSES: Final = 5
MAX_MEMBERS: Final = 5

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

_TRACEBACK: Final[Any] = BaseException.__dict__["__traceback__"].__get__
_CAUSE: Final[Any] = BaseException.__dict__["__cause__"].__get__
_CONTEXT: Final[Any] = BaseException.__dict__["__context__"].__get__
_SUPPRESSED: Final[Any] = BaseException.__dict__["__suppress_context__"].__get__
_MEMBERS: Final[Any] = BaseExceptionGroup.__dict__["exceptions"].__get__

_MEMBER_CHARS: Final = 48
"""Keys and signs around one exception."""
_FRAME_CHARS: Final = 96
"""One frame with its keys and its names; a path may be longer."""
_PLACE_SHARE: Final = 4
"""The place takes at most a quarter of the budget."""
_MIN_CHARS: Final = 256
"""With fewer left, no further cause or member is described."""
_MAX_VISITED: Final = 1_000
_MAX_CACHED: Final = 4_096
_MAX_SIMPLE_CHARS: Final = 20_000
_MAX_INNER_ERRORS: Final = 3
_MAX_VALIDATION_ERRORS: Final = 20


def error_payload(error: BaseException, rules: Rules, rule: str | None = None) -> bytes:
    """Return the result of a call that raised, `{"error": {...}}`, as JSON in UTF-8.

    It has the type and message of *error*, where it was raised and by which frames, its causes and
    the members of a group (docs/reference/payloads.md).

    Args:
        rule: The rule by which the declaration redacts every message, else None.
    """

    def build(walk: Walk) -> dict[str, object]:
        return {"error": _Failure(walk, rules, rule).described(error)}

    return rules.encode_payload(build, collect=False)


class _Failure:
    """Describes one failure: an exception, its causes and its members."""

    __slots__ = ("_rule", "_rules", "_walk")

    def __init__(self, walk: Walk, rules: Rules, rule: str | None) -> None:
        """Describe within the budget of *walk*; *rule* redacts every message."""
        self._walk = walk
        self._rules = rules
        self._rule = rule

    def described(self, error: BaseException) -> dict[str, object]:
        """Return the description of *error*; the frames get what the messages have left."""
        walk = self._walk
        frames = read_traceback(_TRACEBACK(error), MAX_FRAMES // 2, self._rules.package)
        shown = self._one(error, frames, MAX_MESSAGE_CHARS)
        causes = [
            {**self._other(cause), "relation": relation}
            for cause, relation in _causes(error)
            if walk.chars > _MIN_CHARS
        ]
        if issubclass(type(error), BaseExceptionGroup):
            leaves, count = _leaves(error)
            members = [self._other(leaf) for leaf in leaves if walk.chars > _MIN_CHARS]
            shown |= {"members": members, "of": count}
        if frames is not None:
            shown["frames"] = self._frames(frames)
        if causes:
            shown["causes"] = causes
        return shown

    def _other(self, error: BaseException) -> dict[str, object]:
        frames = read_traceback(_TRACEBACK(error), 0, self._rules.package)
        return self._one(error, frames, MAX_INNER_MESSAGE_CHARS)

    def _one(
        self, error: BaseException, frames: Frames | None, most_chars: int
    ) -> dict[str, object]:
        walk, texts, kind = self._walk, self._rules.texts, type_name(type(error))
        at = None if frames is None else frames.at
        place = "" if at is None else f"{at.file}:{at.line} in {at.function}"
        if len(place) > walk.chars // _PLACE_SHARE:
            at, place = None, ""
        walk.chars -= _MEMBER_CHARS + len(kind) + len(place)
        spare = max(0, walk.chars - most_chars)
        walk.chars -= spare
        message = _message(walk, error)
        recorded = message[: max(0, walk.chars) + MAX_TEXT_CHARS]
        # The line ends keep a short text, which has to be a word, from reaching into the next.
        quotes = (
            texts is not None and len(texts) > 0 and texts.quoted_in(f"{kind}\n{place}\n{recorded}")
        )
        shown = {"type": self._name(kind, key_in(kind, walk.off), quotes=quotes)}
        if self._rule is not None:
            if texts is not None:
                # The error also passes through enclosing spans, whose declarations may allow it.
                texts.add(message)
            shown["message"] = walk.redact(self._rule, None)
        elif quotes and texts is not None and texts.quoted_in(recorded):
            shown["message"] = walk.redact(QUOTED, None)
        else:
            shown["message"] = walk.text(message)
        if at is not None:
            of_file, of_function = keys_in_names(at.file, at.function, walk.off)
            shown["at"] = self._name(place, of_file or of_function, quotes=quotes)
        walk.chars += spare
        return shown

    def _frames(self, frames: Frames) -> list[object]:
        """Return as many frames as the budget allows, the same number from either end."""
        walk, texts = self._walk, self._rules.texts
        most = max(0, walk.chars) // _FRAME_CHARS
        innermost = frames.innermost[: (most + 1) // 2]
        outermost = frames.outermost[max(0, len(frames.outermost) - most // 2) :]
        kept = (*innermost, *outermost)
        quotes = (
            texts is not None
            and len(texts) > 0
            and texts.quoted_in("\n".join([f"{frame.file}\n{frame.function}" for frame in kept]))
        )
        walk.chars -= len(kept) * _FRAME_CHARS
        shown: list[object] = []
        for frame in kept:
            file, function = frame.file, frame.function
            rules = keys_in_names(file, function, walk.off)
            shown.append(
                {
                    "file": self._name(file, rules[0], quotes=quotes),
                    "line": frame.line,
                    "function": self._name(function, rules[1], quotes=quotes),
                }
            )
        if len(kept) < frames.total:
            shown.insert(len(innermost), markers.cut_items(frames.total))
        return shown

    def _name(self, name: str, rule: str | None, *, quotes: bool) -> object:
        """Return a name of the code; a marker by *rule*, or if it *quotes* what is redacted."""
        texts = self._rules.texts
        if rule is None and not quotes:
            return name if name.isascii() else replace_surrogates(name)
        if rule is None and texts is not None and texts.quoted_in(name):
            rule = QUOTED
        return replace_surrogates(name) if rule is None else self._walk.redact(rule, None)


@lru_cache(maxsize=_MAX_CACHED)
def keys_in_names(file: str, function: str, off: frozenset[str]) -> tuple[str | None, str | None]:
    """Return the rules of keys in the names of a file and of a function."""
    return key_shaped(file, off), key_shaped(function, off)


@lru_cache(maxsize=_MAX_CACHED)
def key_in(name: str, off: frozenset[str]) -> str | None:
    """Return the rule of a key in the name of a class.

    In a name a key may follow a letter, as in `Eghp_...`; in a text it may not.
    """
    starts = range(max(1, len(name) - SHORTEST + 1))
    return next((rule for start in starts if (rule := key_shaped(name[start:], off))), None)


def _causes(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Yield the chain of causes of *error*, as Python prints it."""
    seen = {id(error)}
    for _ in range(MAX_CAUSES):
        cause, relation = _CAUSE(error), "cause"
        if cause is None and not _SUPPRESSED(error):
            cause, relation = _CONTEXT(error), "context"
        if cause is None or id(cause) in seen:
            return
        seen.add(id(cause))
        yield cause, relation
        error = cause


def _leaves(group: BaseException) -> tuple[list[BaseException], int]:
    """Return the first exceptions in *group* that are not groups, and how many there are.

    At most 1,000 members are visited.
    """
    leaves: list[BaseException] = []
    count, pending = 0, [group]
    for _ in range(_MAX_VISITED):
        if not pending:
            break
        error = pending.pop()
        if issubclass(type(error), BaseExceptionGroup):
            pending.extend(reversed(_MEMBERS(error)[:_MAX_VISITED]))
            continue
        count += 1
        if len(leaves) < MAX_MEMBERS:
            leaves.append(error)
    return leaves, count


def _unless_quoting(walk: Walk, message: str, rules: Rules) -> object:
    """Return *message*, or a marker if it quotes a text that the run has redacted."""
    recorded = message[: max(0, walk.chars) + MAX_TEXT_CHARS]
    if rules.texts is not None and rules.texts.quoted_in(recorded):
        return walk.redact(QUOTED, None)
    return walk.text(message)


def failure_payload(reason: object, rules: Rules, rule: str | None = None) -> bytes:
    """Return the result of a span that the user failed for *reason*, which *rule* redacts."""

    def build(walk: Walk) -> dict[str, object]:
        shown = walk.redact(rule, reason) if rule else _reason_text(walk, reason, rules)
        return {"error": {"type": "failed", "message": shown}}

    return rules.encode_payload(build, collect=False)


def reason_of(error: BaseException, rules: Rules) -> str:
    """Return the name of the class of *error*, or the rule of a key in it, in angle brackets."""
    name = name_of(type(error))
    rule = key_in(name, rules.off)
    return name if rule is None else f"<{rule}>"


def outcome_payload(
    status: str,
    reason: object,
    counts: Mapping[str, object],
    rules: Rules,
    error: bytes | None = None,
) -> bytes:
    """Return the result of a run: status, reason, counts, and the *error* of `error_payload`."""
    if reason is None and error is None and rules.hook is None:
        return encode({"status": status, "reason": None, **counts})
    failure: dict[str, object] = {} if error is None else decode(error)

    def build(walk: Walk) -> dict[str, object]:
        shown = {"status": status, "reason": _reason_text(walk, reason, rules), **counts}
        if "error" in failure:
            shown["error"] = walk.value(failure["error"], 1)
        return shown

    return rules.encode_payload(build, is_copy=error is not None, collect=False)


def merge_error(by_hand: bytes, error: bytes, rules: Rules) -> bytes:
    """Return a result that was set by hand, with the error that came after it.

    If the result is only a marker, or if both together are too large, only the error is kept.
    """
    kept: dict[str, object] = decode(by_hand)
    if markers.is_marker(kept):
        return error
    both = encode({**kept, **decode(error)})
    return both if len(both) <= rules.max_payload_bytes else error


_TEXTS: Final = ("sentence", "reason", "held_by")
"""The texts of a violation that a program or a person wrote."""


def denial_payload(error: DeniedError, rules: Rules) -> bytes:
    """Return the result of a denied step: the error with its violations."""

    def build(walk: Walk) -> dict[str, object]:
        described = {
            "type": type_name(type(error)),
            "message": walk.text(str(error)),
            markers.VIOLATIONS: [_violation(walk, violation) for violation in error.violations],
        }
        return {"error": described}

    return rules.encode_payload(build)


def _violation(walk: Walk, violation: Violation) -> dict[str, object]:
    # The names of the step and the agent are the program's.
    fields = fields_of(violation)
    texts = {name: walk.text(fields[name]) for name in _TEXTS if name in fields}
    return fields | texts


def _reason_text(walk: Walk, reason: object, rules: Rules) -> object:
    if is_a(reason, str):
        return _unless_quoting(walk, cast("str", text(reason)), rules)
    return walk.value(reason, 1)


def _message(walk: Walk, error: BaseException, depth: int = 0) -> str:
    """Return the text of *error*, which may be the argument of another error."""
    kind = type(error)
    args: tuple[object, ...] = _ARGS(error)
    if issubclass(kind, pydantic_core.ValidationError):
        return _of_validation(walk, cast("pydantic_core.ValidationError", error))
    if issubclass(kind, BaseExceptionGroup):
        return _of_group(cast("BaseExceptionGroup[BaseException]", error))
    only = args[0] if len(args) == 1 else None
    if not args or (type(only) is str and not issubclass(kind, KeyError)):
        return str(only or "")
    show = lookup(kind, "__str__")
    if id(show) in _BUILTIN_STR and all(map(_is_simple, _shown_values(error, args))):
        return str(show(error))
    if depth < _MAX_INNER_ERRORS:
        if issubclass(type(only), BaseException):
            return _text_of_error(walk, cast("BaseException", only), depth)
        args = tuple(
            _text_of_error(walk, cast("BaseException", each), depth)
            if issubclass(type(each), BaseException)
            else each
            for each in args
        )
    copies = walk.elements(args, 1) or [markers.redacted(PRIVATE_KEY)]
    shown = copies[0] if len(args) == 1 else copies
    return shown if type(shown) is str else encode(shown).decode()


def _text_of_error(walk: Walk, inner: BaseException, depth: int) -> str:
    return f"{type_name(type(inner))}: {_message(walk, inner, depth + 1)}"


def _shown_values(error: BaseException, args: tuple[object, ...]) -> Iterator[object]:
    """Yield the values that the `__str__` of a builtin exception would show."""
    if not issubclass(type(error), SyntaxError):
        yield from args
    for base, names in _SHOWN_BESIDE_ARGS:
        if issubclass(type(error), base):
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
    message about a name whose values are redacted.
    """
    rules = (name_rule(part) for part in detail["loc"] if type(part) is str)
    rule = next((each for each in rules if each is not None and each not in walk.off), None)
    if rule is None and RedactedTexts(collect_texts(detail["input"])).quoted_in(detail["msg"]):
        rule = QUOTED
    if rule is None:
        return detail["msg"]
    walk.counts.append(rule)
    return detail["type"]
