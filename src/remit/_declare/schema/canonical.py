"""Canonical schemas: redacts a schema, and writes it as plain JSON in a fixed order.

The module also has the keywords of JSON Schema that remit knows, and those that it adds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias, cast

from remit._base.markers import OPAQUE, is_marker, kind_of
from remit._capture.rules.names import split_list
from remit._inspect.docstrings import clean_docstring, escape_surrogates

Redact: TypeAlias = Callable[[object], object]
"""Turns any value into plain JSON with markers in place of redacted values."""
Json: TypeAlias = dict[str, Any]
"""A JSON Schema, or a part of one."""

REDACTED: Final = "x-remit-redacted"
"""Keyword of a value that is never recorded: the rule that redacts it."""
RULES_OFF: Final = "x-remit-rules-off"
"""Keyword of a value that is recorded because rules are off: these rules."""
STEP_KIND: Final = "x-remit-kind"
"""Keyword of the payload of a step without an effect: `agent`, `llm` or `retriever`."""
OWNER: Final = "x-remit-owner"
"""Keyword of the payload of an agent: the person or team that is responsible for it."""
ASKS: Final = "x-remit-asks"
"""Keyword of the params schema of an agent: the actions that it asks a person about."""
NAME: Final = "x-remit-name"
"""Name of a position in a named tuple. Only redaction uses it; it is never sent."""

SCHEMAS_BY_NAME: Final = frozenset(
    split_list(
        "$defs, definitions, dependencies, dependentRequired, dependentSchemas, patternProperties, "
        "properties"
    )
)
VALUE: Final = frozenset(split_list("const, default, example"))
VALUES: Final = frozenset(split_list("enum, examples"))
TERMS: Final = frozenset(
    {REDACTED}
    | {*split_list("$anchor, $comment, $id, $ref, $schema, contentEncoding, contentMediaType")}
    | {*split_list("format, type")}
)
"""Keywords whose strings are terms of JSON Schema or of remit; others hold the author's text."""
DISCRIMINATOR: Final = "discriminator"
"""Keyword of OpenAPI: the field that distinguishes the members of a union, and a mapping."""

_OF_TYPES: Final = frozenset(
    split_list(
        "$dynamicAnchor, $dynamicRef, $recursiveAnchor, $recursiveRef, additionalItems, "
        "additionalProperties, allOf, anyOf, contains, contentSchema, deprecated, description, "
        "else, exclusiveMaximum, exclusiveMinimum, if, items, maxContains, maxItems, maxLength, "
        "maxProperties, maximum, minContains, minItems, minLength, minProperties, minimum, "
        "multipleOf, not, oneOf, prefixItems, propertyNames, readOnly, required, then, title, "
        "unevaluatedItems, unevaluatedProperties, uniqueItems, writeOnly"
    )
)
_WITHOUT_VALUES: Final = SCHEMAS_BY_NAME | TERMS | _OF_TYPES
KNOWN: Final = _WITHOUT_VALUES | VALUE | VALUES | {"pattern", DISCRIMINATOR, RULES_OFF}
"""All other keywords are the author's (`json_schema_extra`): their values are redacted."""

_ALTERNATIVES: Final = frozenset({"anyOf", "oneOf"})
_ABSENT: Final = object()


@dataclass(frozen=True, eq=False)
class Raw:
    """A Python value inside a schema, not yet encoded: redaction needs its type and its name."""

    value: object


@dataclass(frozen=True, slots=True)
class Canonicalizer:
    """Redacts a schema and puts it in order.

    Attributes:
        generated: pydantic made the schema, so that differences without meaning are removed: the
            order of unions (`typing` caches equal unions, so the order depends on which was made
            first) and `0.0` for `0`. False for a schema that the author wrote.
    """

    redact: Redact
    generated: bool = True

    def schema(self, schema: object, name: str | None = None) -> Any:
        """Return a schema, or a part of one, with its keys sorted and its values redacted.

        Redaction depends on the *name* of the property that it describes.
        """
        if isinstance(schema, Mapping):
            members = cast("Mapping[object, object]", schema)
            name = str(members[NAME]) if NAME in members else name
            keywords = ((key, self._keyword(key, value, name)) for key, value in _sorted(members))
            return {key: value for key, value in keywords if value is not _ABSENT}
        if isinstance(schema, list | tuple):
            return [self.schema(item, name) for item in cast("Iterable[object]", schema)]
        if isinstance(schema, str):
            return escape_surrogates(schema)
        if schema is None or isinstance(schema, bool | int):
            return schema
        if isinstance(schema, float) and math.isfinite(schema):
            return int(schema) if self.generated and schema.is_integer() else schema
        return self.redact(schema)

    def _keyword(self, key: str, value: object, name: str | None) -> object:
        if key in SCHEMAS_BY_NAME and isinstance(value, Mapping):
            by_name = _sorted(cast("Mapping[object, object]", value))
            return {inner_name: self.schema(inner, inner_name) for inner_name, inner in by_name}
        if key in VALUE or key in VALUES:
            return self._value(key, value, name)
        if key not in KNOWN:
            return _ABSENT if key == NAME else self._extension(key, value, name)
        if isinstance(value, str) and key not in TERMS:
            text = clean_docstring(value) if key == "description" else escape_surrogates(value)
            redacted = self.redact(text)
            return redacted if isinstance(redacted, str) else _ABSENT
        canonical_value = _in_order(value) if key == DISCRIMINATOR else self.schema(value, name)
        if key in _ALTERNATIVES and self.generated and isinstance(canonical_value, list):
            return sorted(cast("list[object]", canonical_value), key=_null_last)
        return canonical_value

    def _value(self, key: str, value: object, name: str | None) -> object:
        """Return a redacted value or values; `_ABSENT` for what JSON cannot represent.

        A marker in place of a default shows that there is one; as a constant it would be wrong. A
        list of values keeps those that are not redacted, each once.
        """
        if key in VALUES and isinstance(value, list):
            members = (self._redacted(member, name) for member in cast("list[object]", value))
            distinct = {canonical(member): member for member in members if not is_marker(member)}
            return list(distinct.values()) or _ABSENT
        redacted = self._redacted(value, name)
        kind = kind_of(redacted)
        is_absent = kind == OPAQUE or (kind is not None and key == "const")
        return _ABSENT if is_absent else redacted

    def _extension(self, key: str, value: object, name: str | None) -> object:
        """Return the redacted value of an author's own keyword; `_ABSENT` if it is redacted."""
        members = _members(self._redacted({key: value}, name)) or {}
        return _ABSENT if is_marker(members.get(key)) else members.get(key, _ABSENT)

    def _redacted(self, value: object, name: str | None) -> object:
        value = value.value if isinstance(value, Raw) else value
        if name is None:
            return self.redact(value)
        redacted = self.redact({name: value})
        members = _members(redacted)
        return redacted if members is None else next(iter(members.values()), None)


def _members(redacted: object) -> Json | None:
    """Return a redacted object, None if it is a marker or another value."""
    members = cast("Json", redacted) if isinstance(redacted, dict) else None
    return None if is_marker(members) else members


def _in_order(value: object) -> object:
    """Return a mapping with its keys sorted at every level; any other value unchanged."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: _in_order(member) for key, member in _sorted(cast("Mapping[object, object]", value))
    }


def _sorted(members: Mapping[object, object]) -> list[tuple[str, object]]:
    return sorted(((str(key), value) for key, value in members.items()), key=itemgetter(0))


def _null_last(member: object) -> tuple[bool, str]:
    return member == {"type": "null"}, canonical(member)


def canonical(value: object) -> str:
    """Return *value* as JSON that is the same for equal values: keys sorted, no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def redacted_schema(schema: Json, rule: str) -> Json:
    """Return *schema* for a value that *rule* redacts: the type without any actual value.

    Patterns and the author's own keywords are left out as well, because they may show a value.
    """
    return {**_without_values(schema), REDACTED: rule}


def _without_values(schema: Json) -> Json:
    return {key: _inside(key, value) for key, value in schema.items() if key in _WITHOUT_VALUES}


def _inside(key: str, value: object) -> object:
    if isinstance(value, list):
        return [_inside("", item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    inner = cast("Json", value)
    if key in SCHEMAS_BY_NAME:
        return {name: _inside("", item) for name, item in inner.items()}
    return _without_values(inner)
