"""Comparing payloads with what their span types declare: quickly, and never for long.

Nothing is fetched, patterns are matched in linear time, and what would take too long is not done.
`format` is an annotation, as JSON Schema has it unless a vocabulary says otherwise.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import IntEnum
from itertools import islice
from time import thread_time
from typing import Final, TypeAlias, cast

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind
from msgspec import Raw

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
from remit.collector.wire import read_json

MAX_SCHEMA_CHARS: Final = 128 * 1024
MAX_STEPS: Final = 1_000_000
"""A comparison of more steps is not done: so many take 10 to 40 ms."""
LIGHT_STEPS: Final = 10_000
"""A comparison of fewer counts as nothing: they take less than half a millisecond."""
MAX_MEASURED: Final = 20_000
"""So many values are walked to see how deep they nest; it takes 3 ms."""
MAX_ERRORS: Final = 5
MAX_ERROR_CHARS: Final = 200
MAX_COMPILED_BYTES: Final = 64 * 1024 * 1024
"""Memory of all compiled schemas that are kept, as estimated."""
_PATTERN_BYTES: Final = (16 * 1024, 128 * 1024)
"""Memory of each automaton of a pattern: the limit of usual ones, and the limit of any."""
_VALUE_BYTES: Final = 512
_REASON_BYTES: Final = 1024


class SchemaVerdict(IntEnum):
    """What came of a comparison."""

    GOOD = 0
    BAD = 1
    UNCHECKED = 2


_OF_ALTERNATIVES: Final = (ValidationErrorKind.AnyOf, ValidationErrorKind.OneOfNotValid)
_OF_HIDDEN: Final = LEFT_OUT | {"const", "enum", "oneOf"}
"""Keywords that depend on what a marker hides."""
_UNCLEAR: Final = "does not match its schema, or takes too long to be compared"
_VERDICTS: Final = {True: SchemaVerdict.GOOD, False: SchemaVerdict.BAD}


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
        bytes: Estimate of its memory.
        light_chars: A payload that is no longer is compared at once, whatever is in it.
        matches: Says whether a value is as the schema has it.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._weight: Weight = weight_of(schema)
        self._explained: Weight | None = None
        self.light_chars = _light_chars(self._weight)
        validator, pattern_bytes = _validator(schema)
        self._iter_errors = validator.iter_errors
        self.matches: Callable[[object], bool] = validator.is_valid
        # A pattern has several automata; the sum is at most 1.3 times the limit of one.
        self.bytes = (
            _VALUE_BYTES * self._weight.schema_values
            + 2 * pattern_bytes * self._weight.schema_patterns
        )

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


def _validator(schema: Schema) -> tuple[jsonschema_rs.Validator, int]:
    """Return a compiled schema, and the limit of memory within which its patterns are.

    Raises:
        UncheckableError: It cannot be compiled.
    """
    for pattern_bytes in _PATTERN_BYTES:
        # The error is not kept: it would keep what is compiled until the next garbage collection.
        with suppress(ValidationError, jsonschema_rs.ReferencingError, ValueError):
            validator = jsonschema_rs.validator_for(
                schema,
                pattern_options=jsonschema_rs.RegexOptions(
                    size_limit=pattern_bytes, dfa_size_limit=pattern_bytes
                ),
                validate_formats=False,
                offline=True,
                mask="it",
            )
            return validator, pattern_bytes
    raise UncheckableError("the schema is not valid, or a pattern is too large")


def _differences(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Yield *errors* without those that come from a marker or the text of a number."""
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
    """Return whether *error* may come from a marker."""
    value = error.instance
    return value == PLACE or (error.kind.name in _OF_HIDDEN and _hides(value))


def _hides(value: object) -> bool:
    return value == PLACE or any(_hides(each) for each in _parts(value))


_Prepared: TypeAlias = _Compiled | str
"""A compiled schema, or the reason why there is none."""


class CompiledSchemas:
    """The compiled schemas that were used last, within a bound of memory.

    Any thread may ask.
    """

    def __init__(self, *, max_bytes: int = MAX_COMPILED_BYTES) -> None:
        """Start with none.

        Args:
            max_bytes: Memory of all that are kept, as estimated; the newest is kept in any case.
        """
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[object, _Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> _Prepared | None:
        """Return what is kept under *key*, which counts as a use."""
        prepared = self._kept.get(key)
        if prepared is not None:
            # Another thread may have forgotten it since.
            with suppress(KeyError):
                self._kept.move_to_end(key)
        return prepared

    def keep(self, key: object, prepared: _Prepared) -> None:
        """Keep *prepared*, and forget what was not used lately if there is too much."""
        with self._lock:
            if self._kept.setdefault(key, prepared) is not prepared:
                return
            self._bytes += _bytes_of(prepared)
            while len(self._kept) > 1 and self._bytes > self._max_bytes:
                self._bytes -= _bytes_of(self._kept.popitem(last=False)[1])


def _bytes_of(prepared: _Prepared) -> int:
    return _REASON_BYTES if isinstance(prepared, str) else prepared.bytes


class Checker:
    """One declared schema. It is compiled when something is compared with it."""

    def __init__(
        self,
        schema: Schema | Raw,
        compiled: CompiledSchemas | None = None,
        *,
        unchecked: str | None = None,
    ) -> None:
        """Compare with *schema*.

        Args:
            schema: The schema, or its JSON, which is read when it is used.
            compiled: Where compiled schemas are kept.
            unchecked: Why nothing is compared with it, if that is so.
        """
        self._given = schema
        self._compiled = compiled or CompiledSchemas()
        self._unchecked = unchecked

    @property
    def _schema(self) -> Schema:
        if isinstance(self._given, Raw):
            self._given = cast("Schema", read_json(self._given) or {})
        return self._given

    def verdict(
        self, payload: dict[str, object], text: str, budget: Budget, *, held: bool | None = None
    ) -> SchemaVerdict:
        """Return what comes of comparing a payload.

        Args:
            payload: The payload.
            text: Its JSON.
            budget: What its request may still do.
            held: Whether the JSON may hold the reserved key, if that is known already.
        """
        if not self._schema:
            return SchemaVerdict.GOOD
        held = may_hold(text) if held is None else held
        value, has_markers = plain(payload) if held else (payload, False)
        if value is PLACE:
            return SchemaVerdict.GOOD
        prepared = self._prepared(budget, has_markers=has_markers)
        verdict = _compared(prepared, value, text, budget)
        if verdict is SchemaVerdict.BAD and may_hold_number_text(text):
            prepared = self._prepared(budget, has_markers=has_markers, number_texts=True)
            return _compared(prepared, value, text, budget)
        return verdict

    def errors(self, payload: dict[str, object], text: str, budget: Budget) -> list[str]:
        """Return what is wrong with a payload that does not match, or why it was not compared.

        Args:
            payload: The payload.
            text: Its JSON.
            budget: What its request may still do.
        """
        value, has_markers = plain(payload) if may_hold(text) else (payload, False)
        compiled = self._prepared(budget, has_markers=has_markers)
        if has_markers and isinstance(compiled, _Compiled):
            # Every error of the loosened schema is one of alternatives, and has no reason.
            compiled = self._prepared(budget, has_markers=False)
        if compiled is None:
            return [_UNCLEAR]
        if isinstance(compiled, str):
            return [f"was not compared: {compiled}"]
        if compiled.steps(_Size(value, text).measured(), explained=True) > LIGHT_STEPS:
            return [_UNCLEAR]
        return compiled.errors(value) or [_UNCLEAR]

    def _prepared(
        self,
        budget: Budget,
        *,
        has_markers: bool,
        number_texts: bool = False,
    ) -> _Prepared | None:
        """Return the compiled schema; the reason if a payload cannot be compared with it.

        Args:
            budget: What the request may still do.
            has_markers: Whether the payload has markers.
            number_texts: Whether the text of a number matches where a number is declared.

        Returns:
            None if it is not compiled, and the request has no time for that.
        """
        if self._unchecked is not None:
            return self._unchecked
        key = self, has_markers, number_texts
        prepared = self._compiled.get(key)
        if prepared is None and budget.may_compile:
            begin = thread_time()
            prepared = self._compile(has_markers=has_markers, number_texts=number_texts)
            budget.compiled(thread_time() - begin)
            self._compiled.keep(key, prepared)
        return prepared

    def _compile(self, *, has_markers: bool, number_texts: bool) -> _Prepared:
        schema = self._schema
        try:
            if len(msgspec.json.encode(schema)) > MAX_SCHEMA_CHARS:
                return "the schema is too large"
            if number_texts:
                schema = with_number_texts(schema)
            if has_markers:
                weight_of(schema)
                schema = lenient(schema)
            return _Compiled(schema)
        except UncheckableError as reason:
            return str(reason)


def _compared(
    compiled: _Prepared | None, value: object, text: str, budget: Budget
) -> SchemaVerdict:
    """Return what comes of comparing a value; what may take too long is not compared."""
    if not isinstance(compiled, _Compiled):
        return SchemaVerdict.UNCHECKED
    if len(text) <= compiled.light_chars:
        return _VERDICTS[compiled.matches(value)]
    size = _Size(value, text)
    if compiled.steps(size) <= LIGHT_STEPS:
        return _VERDICTS[compiled.matches(value)]
    if budget.spent or compiled.steps(size.measured()) > MAX_STEPS:
        return SchemaVerdict.UNCHECKED
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
