"""Comparing payloads with what their span types declare: quickly, and never for long.

Nothing is fetched, patterns are matched in linear time, and what would take too long is not done.
`format` is an annotation, as JSON Schema has it unless a vocabulary says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from itertools import islice
from time import thread_time
from typing import Final, cast

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind

from remit.collector.meaning.budget import Budget
from remit.collector.meaning.lenient import LEFT_OUT, NUMBER_TYPES, lenient, with_number_texts
from remit.collector.meaning.markers import (
    PLACE,
    is_number_text,
    may_hold,
    may_hold_number_text,
    plain,
)
from remit.collector.meaning.positions import Schema
from remit.collector.meaning.weight import MAX_DEPTH, UncheckableError, Weight, weight_of

MAX_SCHEMA_CHARS: Final = 128 * 1024
MAX_STEPS: Final = 1_000_000
"""A comparison of more steps is not done: so many take 10 to 40 ms."""
LIGHT_STEPS: Final = 10_000
"""A comparison of fewer counts as nothing: they take less than half a millisecond."""
MAX_MEASURED: Final = 20_000
"""So many values are walked to see how deep they nest; it takes 3 ms."""
MAX_ERRORS: Final = 5
MAX_ERROR_CHARS: Final = 200
_PATTERN_BYTES: Final = 128 * 1024
"""Most memory of one compiled pattern."""


class Verdict(IntEnum):
    """What came of a comparison."""

    GOOD = 0
    BAD = 1
    UNCHECKED = 2


_OF_ALTERNATIVES: Final = (ValidationErrorKind.AnyOf, ValidationErrorKind.OneOfNotValid)
_OF_HIDDEN: Final = LEFT_OUT | {"const", "enum", "oneOf"}
"""Keywords that depend on what a substitute hides."""
_UNCLEAR: Final = "does not match its schema, or takes too long to be compared"
_VERDICTS: Final = {True: Verdict.GOOD, False: Verdict.BAD}


def _light_chars(weight: Weight) -> int:
    """Return how long a payload may be to take few steps however it is made."""
    chars = 0 if weight.of(8, 16, MAX_DEPTH) > LIGHT_STEPS else 16
    # No value takes less than two characters: itself, and what parts it from the next.
    while chars and weight.of(chars, 2 * chars, MAX_DEPTH) <= LIGHT_STEPS:
        chars *= 2
    return chars


class _Size:
    """How large a payload is: how deep it nests is first guessed, because walking it costs more."""

    def __init__(self, value: object, text: str) -> None:
        containers = text.count("{") + text.count("[")
        self._value, self._chars = value, len(text)
        self._values = 1 + text.count(",") + containers
        self._depth = min(containers, MAX_DEPTH)

    def times(self, weight: Weight) -> int:
        """Return the most steps that it can take."""
        return weight.of(self._values, self._chars, self._depth)

    def measured(self) -> _Size:
        """Return the same, with the depth to which it nests; a large one is taken as guessed."""
        if self._values <= MAX_MEASURED:
            self._depth = _depth(self._value)
        return self


class _Compiled:
    """A schema, compiled, and what comparing with it can cost.

    Attributes:
        light_chars: A payload that is no longer is compared at once, whatever is in it.
        matches: Says whether a value is as the schema has it.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._weight: Weight = weight_of(schema)
        self._explained: Weight | None = None
        self.light_chars = _light_chars(self._weight)
        self.matches: Callable[[object], bool]
        try:
            validator = jsonschema_rs.validator_for(
                schema,
                pattern_options=jsonschema_rs.RegexOptions(
                    size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES
                ),
                validate_formats=False,
                offline=True,
                mask="it",
            )
        except (ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise UncheckableError("the schema is not valid, or a pattern is too large") from error
        self._iter_errors = validator.iter_errors
        self.matches = validator.is_valid

    def steps(self, size: _Size, *, explained: bool = False) -> int:
        """Return how much work comparing can be.

        Args:
            size: How large the payload is.
            explained: Whether it is also said what does not match.
        """
        if not explained:
            return size.times(self._weight)
        if self._explained is None:
            self._explained = weight_of(self._schema, explained=True)
        return size.times(self._explained)

    def errors(self, value: object) -> list[str]:
        """Return the first of what is wrong."""
        found: list[str] = []
        for error in islice(_differences(self._iter_errors(value)), MAX_ERRORS):
            where = "".join(f"/{part}" for part in error.instance_path)
            found.append(f"{where} {error.message}".strip()[:MAX_ERROR_CHARS])
        return found


def _differences(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Yield *errors* without those that come from a substitute or the text of a number."""
    for error in errors:
        if isinstance(error.kind, _OF_ALTERNATIVES):
            matches = any(next(_differences(each), None) is None for each in error.kind.context)
        else:
            matches = _is_number_text(error) or _is_hidden(error)
        if not matches:
            yield error


def _is_number_text(error: ValidationError) -> bool:
    """Return whether the text of a number is where *error* expects a number."""
    return (
        isinstance(error.kind, ValidationErrorKind.Type)
        and not NUMBER_TYPES.isdisjoint(error.kind.types)
        and is_number_text(error.instance)
    )


def _is_hidden(error: ValidationError) -> bool:
    """Return whether *error* may come from a substitute."""
    value = error.instance
    return value == PLACE or (error.kind.name in _OF_HIDDEN and _hides(value))


def _hides(value: object) -> bool:
    return value == PLACE or any(_hides(each) for each in _parts(value))


class Checker:
    """One declared schema. It is compiled when something is first compared with it."""

    def __init__(self, schema: Schema) -> None:
        """Compare with *schema*."""
        self._schema = schema
        self._compiled: dict[tuple[bool, bool], _Compiled | str] = {}

    def verdict(
        self, payload: dict[str, object], text: str, budget: Budget, *, held: bool | None = None
    ) -> Verdict:
        """Return what comes of comparing a payload.

        Args:
            payload: The payload.
            text: Its JSON.
            budget: What its request may still do.
            held: Whether the JSON may hold the reserved key, if that is known already.
        """
        if not self._schema:
            return Verdict.GOOD
        held = may_hold(text) if held is None else held
        value, substitutes = plain(payload) if held else (payload, False)
        if value is PLACE:
            return Verdict.GOOD
        verdict = _compared(self._prepared(substitutes=substitutes), value, text, budget)
        if verdict is Verdict.BAD and may_hold_number_text(text):
            prepared = self._prepared(substitutes=substitutes, number_texts=True)
            return _compared(prepared, value, text, budget)
        return verdict

    def errors(self, payload: dict[str, object], text: str) -> list[str]:
        """Return what is wrong with a payload that does not match, or why it was not compared."""
        value, substitutes = plain(payload) if may_hold(text) else (payload, False)
        compiled = self._prepared(substitutes=substitutes)
        if substitutes and not isinstance(compiled, str):
            # Every error of the loosened schema is one of alternatives, and has no reason.
            compiled = self._prepared(substitutes=False)
        if isinstance(compiled, str):
            return [f"was not compared: {compiled}"]
        if compiled.steps(_Size(value, text).measured(), explained=True) > LIGHT_STEPS:
            return [_UNCLEAR]
        return compiled.errors(value) or [_UNCLEAR]

    def _prepared(
        self,
        *,
        substitutes: bool,
        number_texts: bool = False,
    ) -> _Compiled | str:
        """Return the compiled schema; the reason if a payload cannot be compared with it.

        Args:
            substitutes: Whether the payload has substitutes.
            number_texts: Whether the text of a number matches where a number is declared.
        """
        compiled = self._compiled.get((substitutes, number_texts))
        if compiled is None:
            compiled = self._compile(substitutes=substitutes, number_texts=number_texts)
            self._compiled[substitutes, number_texts] = compiled
        return compiled

    def _compile(self, *, substitutes: bool, number_texts: bool) -> _Compiled | str:
        schema = self._schema
        try:
            if len(msgspec.json.encode(schema)) > MAX_SCHEMA_CHARS:
                return "the schema is too large"
            if number_texts:
                schema = with_number_texts(schema)
            if substitutes:
                weight_of(schema)
                schema = lenient(schema)
            return _Compiled(schema)
        except UncheckableError as reason:
            return str(reason)


def _compared(compiled: _Compiled | str, value: object, text: str, budget: Budget) -> Verdict:
    """Return what comes of comparing a value; what may take too long is not compared."""
    if isinstance(compiled, str):
        return Verdict.UNCHECKED
    if len(text) <= compiled.light_chars:
        return _VERDICTS[compiled.matches(value)]
    size = _Size(value, text)
    if compiled.steps(size) <= LIGHT_STEPS:
        return _VERDICTS[compiled.matches(value)]
    if budget.spent or compiled.steps(size.measured()) > MAX_STEPS:
        return Verdict.UNCHECKED
    begin = thread_time()
    matches = compiled.matches(value)
    budget.spend(thread_time() - begin)
    return _VERDICTS[matches]


def _depth(value: object) -> int:
    """Return how deep *value* nests, level by level."""
    level, depth = [value], 0
    while depth < MAX_DEPTH:
        level = [inner for outer in level for inner in _parts(outer)]
        if not level:
            break
        depth += 1
    return depth


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []
