"""Compares payloads with JSON Schemas, within bounds of memory and time.

A schema of a few lines can take a validator years, because alternatives that refer to each other
double the work at each level. An expansion therefore counts the schemas that a payload can meet if
every `$ref` is followed. A payload that can meet too many of them is not compared, nor is one whose
schema refers outside itself.

`format` is an annotation. Patterns are matched in linear time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import IntEnum
from itertools import islice
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar, cast
from urllib.parse import unquote

import jsonschema_rs
from jsonschema_rs import ValidationError, ValidationErrorKind
from msgspec import Raw

from remit._base.markers import may_hold
from remit.collector.json_io import encode, read_json
from remit.collector.validation.budget import Budget
from remit.collector.validation.markers import (
    Path,
    is_number_text,
    may_hold_number_text,
    plain,
)

MAX_SCHEMA_CHARS: Final = 128 * 1024
MAX_SCHEMA_VALUES: Final = 8000
"""Maximum number of JSON values of one schema; compiling them takes 20 ms."""
MAX_PATTERNS: Final = 64
"""Patterns of one schema."""
MAX_PATTERN_CHARS: Final = 1000
MAX_EXPANDED: Final = 10_000
"""Schemas inside one schema; one that is referred to counts wherever the reference occurs."""
MAX_IN_PLACE: Final = 64
"""So many schemas may be applied to one value through each other; it bounds the stack."""
MAX_DEPTH: Final = 100
"""Schemas that refer to themselves are expanded for payloads that nest no deeper."""
MAX_PAYLOAD_CHARS: Final = 256 * 1024
MAX_STEPS: Final = 1_000_000
"""Payloads that need more steps are not compared; this many take 10 to 40 ms."""
LIGHT_STEPS: Final = 10_000
"""A comparison of fewer is not charged; it takes less than half a millisecond."""
MAX_ERROR_STEPS: Final = 50_000
"""Steps above which errors are not listed; this many can make 50 MB of errors."""
MAX_ERRORS: Final = 5
MAX_ERROR_CHARS: Final = 200
MAX_COMPILED_BYTES: Final = 64 * 1024 * 1024
"""Memory of all compiled schemas that are kept, as estimated."""
_PATTERN_BYTES: Final = (16 * 1024, 128 * 1024)
"""Memory of each automaton of a pattern: the limit of usual ones, and the limit of any."""
_VALUE_BYTES: Final = 512
_REASON_BYTES: Final = 1024
_CHARS_A_STEP: Final = 64
"""Characters of a string that take about one step; for a pattern, each takes one."""
_UNIQUE_STEPS: Final = 15
"""A validator compares up to 15 items with each other, and hashes the items of longer arrays."""
_UNEVALUATED_TIMES: Final = 4
"""How often, at most, a validator evaluates the keywords next to one of these."""
_UNEVALUATED: Final = ("unevaluatedItems", "unevaluatedProperties")
_BRANCHES: Final = frozenset({"anyOf", "if", "not", "oneOf"})
_IN_PLACE: Final = _BRANCHES | {"allOf", "dependencies", "dependentSchemas", "else", "then"}
"""Keywords that apply schemas to the same value."""
_NAMED: Final = frozenset({"dependencies", "dependentSchemas", "patternProperties", "properties"})
"""Keywords that have a schema for each name."""
_APPLYING: Final = _IN_PLACE | {
    "additionalItems",
    "additionalProperties",
    "contains",
    "items",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
}
_ANNOTATIONS: Final = frozenset(
    {"$comment", "$defs", "default", "definitions", "description", "examples", "title"}
)
_ALTERNATIVES: Final = (ValidationErrorKind.AnyOf, ValidationErrorKind.OneOfNotValid)
_NUMBER_TYPES: Final = frozenset({"integer", "number"})
_UNCLEAR: Final = "does not match its schema, or takes too long to be compared"

Schema: TypeAlias = dict[str, object]
_Value = TypeVar("_Value")


class SchemaResult(IntEnum):
    """The outcome of a comparison."""

    GOOD = 0
    BAD = 1
    UNCHECKED = 2


_VERDICTS: Final = {
    True: SchemaResult.GOOD,
    False: SchemaResult.BAD,
    None: SchemaResult.UNCHECKED,
}


class UncheckableError(Exception):
    """A schema with which nothing is compared; the message says why, in a few words."""


class SizedCache(Generic[_Value]):
    """Keeps the values that were used last, within a bound of their sizes. Thread-safe."""

    def __init__(self, max_size: int) -> None:
        """Keep values of *max_size* together; the newest is kept in any case."""
        self._max_size = max_size
        self._size = 0
        self._entries: OrderedDict[object, tuple[_Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> _Value | None:
        """Return the value of *key*, which counts as a use."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        # Another thread may have removed it since.
        with suppress(KeyError):
            self._entries.move_to_end(key)
        return entry[0]

    def add(self, key: object, value: _Value, size: int) -> _Value:
        """Keep *value* unless another thread was faster, and return the value that is kept."""
        with self._lock:
            kept, _ = self._entries.setdefault(key, (value, size))
            if kept is value:
                self._size += size
            while len(self._entries) > 1 and self._size > self._max_size:
                self._size -= self._entries.popitem(last=False)[1][1]
            return kept


class Measured(NamedTuple):
    """How large a schema is.

    Attributes:
        patterns: Number of patterns, or more if a default or an example looks like one.
    """

    values: int
    patterns: int
    pattern_chars: int


def measured(schema: object) -> Measured:
    """Return how large *schema* is."""
    count, patterns = 0, [""]
    for value in _values(schema):
        count += 1
        if isinstance(value, dict):
            patterns += _patterns(cast("Schema", value))
    return Measured(count, len(patterns) - 1, max(map(len, patterns)))


def _patterns(schema: Schema) -> list[str]:
    pattern, named = schema.get("pattern"), schema.get("patternProperties")
    patterns = list(cast("Schema", named)) if isinstance(named, dict) else []
    return [*patterns, pattern] if isinstance(pattern, str) else patterns


def _values(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        yield inner
        waiting.extend(_parts(inner))


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("Schema", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


class _Expansion:
    """The schemas that a payload can meet, level by level, with each `$ref` followed.

    Attributes:
        light_chars: Payloads up to this length take few steps.
    """

    def __init__(self, root: Schema, *, branch_times: int = 1) -> None:
        """Expand the schema *root*.

        Args:
            branch_times: How often a comparison applies alternatives.
        """
        self._root, self._branch_times = root, branch_times
        # Weights of all schemas down to depth 0, 1, and so on; a payload that nests deeper meets no
        # more of them if they are complete, and else too many.
        self._steps: list[int] = []
        self._complete = self._expand()
        # A value takes at least two characters: itself and a separator.
        self.light_chars = 2 * LIGHT_STEPS // self._steps[-1] if self._complete else 0

    def steps(self, value: object, text: str) -> int:
        values = 1 + text.count(",") + text.count("{") + text.count("[")
        depth = 0 if self._complete else _depth(value, len(self._steps))
        if depth == len(self._steps):
            return MAX_STEPS + 1
        steps = self._steps[-1 if self._complete else depth]
        return steps * (values + len(text) // _CHARS_A_STEP)

    def _expand(self) -> bool:
        """Count the schemas of each level; return whether that was possible for all levels."""
        known: dict[int, tuple[int, list[tuple[Schema, int, bool]]]] = {}
        level, steps, left = [self._root], 0, MAX_EXPANDED
        while level and len(self._steps) < MAX_DEPTH:
            below: list[Schema] = []
            for _ in range(MAX_IN_PLACE):
                applied, level = level, []
                for schema in applied:
                    if id(schema) not in known:
                        weight = _weight(schema, is_root=schema is self._root)
                        known[id(schema)] = weight, list(self._inside(schema))
                    weight, parts = known[id(schema)]
                    steps += weight
                    for inner, times, is_below in parts:
                        left -= times
                        if left < 0:
                            return False
                        (below if is_below else level).extend([inner] * times)
                if not level:
                    break
            else:
                raise UncheckableError(
                    "the schema refers to itself at the same place, or nests deep"
                )
            self._steps.append(steps)
            level = below
        return not level

    def _inside(self, schema: Schema) -> Iterator[tuple[Schema, int, bool]]:
        """Yield the schemas directly inside *schema*, how often, and whether on a level below."""
        again = _UNEVALUATED_TIMES if any(name in schema for name in _UNEVALUATED) else 1
        for keyword, value in schema.items():
            if keyword == "$ref":
                yield target(self._root, value), again, False
            elif keyword in _APPLYING:
                parts = _parts(value)
                if isinstance(value, dict) and keyword not in _NAMED:
                    parts = [cast("Schema", value)]
                times = again if keyword in _IN_PLACE else 1
                times *= self._branch_times if keyword in _BRANCHES else 1
                for part in parts:
                    if isinstance(part, dict):
                        yield cast("Schema", part), times, keyword not in _IN_PLACE


def _weight(schema: Schema, *, is_root: bool) -> int:
    """Return the steps of *schema* for one value, without those of the schemas inside it."""
    if "$dynamicRef" in schema or "$recursiveRef" in schema:
        raise UncheckableError("the schema refers to a schema around it")
    if not is_root and any(isinstance(schema.get(name), str) for name in ("$id", "id")):
        raise UncheckableError("the schema holds another one with a name of its own")
    weight = 1 + _CHARS_A_STEP * len(_patterns(schema))
    weight += _UNIQUE_STEPS if schema.get("uniqueItems") else 0
    for keyword, value in schema.items():
        if keyword in _APPLYING:
            weight += len(list(_parts(value)))
        elif keyword not in _ANNOTATIONS:
            weight += sum(1 for _ in _values(value))
    return weight


def target(root: Schema, reference: object) -> Schema:
    """Return the schema to which *reference* leads.

    Raises:
        UncheckableError: It leads outside, or nowhere.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise UncheckableError("the schema refers to something outside itself")
    value: object = root
    for part in reference[2:].split("/") if reference != "#" else ():
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isascii() and name.isdigit():
            items = cast("list[object]", value)
            value = items[int(name[:6])] if int(name[:6]) < len(items) else None
        else:
            value = cast("Schema", value).get(name) if isinstance(value, dict) else None
    if value is True:
        return {}
    if not isinstance(value, dict):
        raise UncheckableError("the schema refers to something that does not exist")
    return cast("Schema", value)


def _depth(value: object, most: int) -> int:
    level, depth = [value], 0
    while depth < most and (level := [part for outer in level for part in _parts(outer)]):
        depth += 1
    return depth


class _Compiled:
    def __init__(self, schema: Schema) -> None:
        if len(encode(schema)) > MAX_SCHEMA_CHARS:
            raise UncheckableError("the schema is too large")
        size = measured(schema)
        if (
            size.values > MAX_SCHEMA_VALUES
            or size.patterns > MAX_PATTERNS
            or size.pattern_chars > MAX_PATTERN_CHARS
        ):
            raise UncheckableError("the schema is too large")
        self._schema = schema
        self._expansion = _Expansion(schema)
        if self._expansion.steps({}, "{}") > MAX_STEPS:
            raise UncheckableError("the schema is too large, or refers to itself too often")
        self._with_errors: _Expansion | None = None
        validator, pattern_bytes = _validator(schema)
        self._is_valid: Callable[[object], bool] = validator.is_valid
        self._iter_errors = validator.iter_errors
        # A pattern has several automata; their sum is at most 1.3 times the limit of one.
        self.bytes = _VALUE_BYTES * size.values + 2 * pattern_bytes * size.patterns

    def matches(self, value: object, text: str, budget: Budget) -> bool | None:
        if len(text) <= self._expansion.light_chars:
            return self._is_valid(value)
        steps = self._expansion.steps(value, text)
        if steps <= LIGHT_STEPS:
            return self._is_valid(value)
        if steps > MAX_STEPS or budget.spent:
            return None
        with budget.charged():
            return self._is_valid(value)

    def differences(
        self, payload: dict[str, object], text: str, budget: Budget
    ) -> list[str] | None:
        """Return the first differences of *payload*; None if that may take too long."""
        if budget.spent:
            return None
        with budget.charged():
            if self._with_errors is None:
                # To list the errors, a validator applies alternatives once more, at each level.
                self._with_errors = _Expansion(self._schema, branch_times=2)
            if self._with_errors.steps(payload, text) > MAX_ERROR_STEPS:
                return None
            value, marked = plain(payload, fill=True)
            return list(islice(_differences(self._iter_errors(value), marked), MAX_ERRORS))


def _validator(schema: Schema) -> tuple[jsonschema_rs.Validator, int]:
    """Return a compiled schema, and the limit of memory within which its patterns are."""
    for pattern_bytes in _PATTERN_BYTES:
        # The error is not kept: it would hold the compiled schema in memory.
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


def _differences(errors: Iterable[ValidationError], marked: list[Path]) -> Iterator[str]:
    """Yield the *errors* that come neither from a marker nor from the text of a number."""
    markers = set(marked)
    above = {path[:length] for path in marked for length in range(len(path) + 1)}
    for error in errors:
        path: Path = tuple(error.instance_path)
        is_below_marker = any(path[:length] in markers for length in range(len(path)))
        if not (is_below_marker or path in above or _is_of_number_text(error)):
            where = "".join(f"/{part}" for part in path)
            yield f"{where} {error.message}".strip()[:MAX_ERROR_CHARS]


def _is_of_number_text(error: ValidationError) -> bool:
    """Return whether *error* comes from the text of a number where a number is expected."""
    if isinstance(error.kind, _ALTERNATIVES):
        return any(all(map(_is_of_number_text, branch)) for branch in error.kind.context)
    return (
        isinstance(error.kind, ValidationErrorKind.Type)
        and not _NUMBER_TYPES.isdisjoint(error.kind.types)
        and is_number_text(error.instance)
    )


CompiledSchemas: TypeAlias = SizedCache[_Compiled | str]
"""Compiled schemas, or the reasons why they cannot be compiled."""


class Checker:
    """One declared schema. It is read and compiled when the first payload is compared with it."""

    def __init__(
        self,
        schema: Schema | Raw,
        compiled: CompiledSchemas | None = None,
        *,
        unchecked: str | None = None,
    ) -> None:
        """Compare with *schema*."""
        self._source = schema
        self._compiled = compiled or SizedCache(MAX_COMPILED_BYTES)
        self._unchecked = unchecked

    @property
    def _schema(self) -> Schema:
        if isinstance(self._source, Raw):
            self._source = cast("Schema", read_json(self._source) or {})
        return self._source

    def compare(self, payload: dict[str, object], text: str, budget: Budget) -> SchemaResult:
        """Return the outcome of comparing a payload."""
        if not self._schema:
            return SchemaResult.GOOD
        if len(text) > MAX_PAYLOAD_CHARS:
            return SchemaResult.UNCHECKED
        compiled = self._prepared(budget)
        if not isinstance(compiled, _Compiled):
            return SchemaResult.UNCHECKED
        held = may_hold(text)
        matches = compiled.matches(plain(payload).value if held else payload, text, budget)
        if matches is False and (held or may_hold_number_text(text)):
            differences = compiled.differences(payload, text, budget)
            matches = None if differences is None else not differences
        return _VERDICTS[matches]

    def errors(self, payload: dict[str, object], text: str, budget: Budget) -> list[str]:
        """Return the differences of a payload, or why it was not compared."""
        if len(text) > MAX_PAYLOAD_CHARS:
            return ["was not compared: the payload is too large"]
        compiled = self._prepared(budget)
        if isinstance(compiled, str):
            return [f"was not compared: {compiled}"]
        if compiled is None:
            return [_UNCLEAR]
        return compiled.differences(payload, text, budget) or [_UNCLEAR]

    def _prepared(self, budget: Budget) -> _Compiled | str | None:
        """Return the compiled schema, why it cannot be compiled, or None without time for it."""
        if self._unchecked is not None:
            return self._unchecked
        prepared = self._compiled.get(self)
        if prepared is None and not budget.spent:
            with budget.charged():
                prepared = _compiled(self._schema)
            size = _REASON_BYTES if isinstance(prepared, str) else prepared.bytes
            self._compiled.add(self, prepared, size)
        return prepared


def _compiled(schema: Schema) -> _Compiled | str:
    try:
        return _Compiled(schema)
    except UncheckableError as reason:
        return str(reason)
