"""The keywords of JSON Schema that remit knows, and those that it adds."""

from __future__ import annotations

from typing import Any, Final, TypeAlias, cast

from remit._capture.rules.names import listed

Json: TypeAlias = dict[str, Any]
"""A JSON Schema, or a part of one."""

WITHHELD: Final = "x-remit-withheld"
"""Keyword of a value that is never recorded: the rule that withholds it."""
RULES_OFF: Final = "x-remit-rules-off"
"""Keyword of a value that is recorded because rules are off: these rules."""
NAME: Final = "x-remit-name"
"""Name of a position in a named tuple. Only redaction uses it; it is never sent."""

SCHEMAS_BY_NAME: Final = frozenset(
    listed(
        "$defs, definitions, dependencies, dependentRequired, dependentSchemas, patternProperties, "
        "properties"
    )
)
VALUE: Final = frozenset(listed("const, default, example"))
VALUES: Final = frozenset(listed("enum, examples"))
TERMS: Final = frozenset(
    {WITHHELD}
    | {*listed("$anchor, $comment, $id, $ref, $schema, contentEncoding, contentMediaType")}
    | {*listed("format, type")}
)
"""Keywords whose strings are terms of JSON Schema or of remit; others hold the author's text."""
DISCRIMINATOR: Final = "discriminator"
"""Keyword of OpenAPI: the field that distinguishes the members of a union, and a mapping."""

_OF_TYPES: Final = frozenset(
    listed(
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


def withheld_schema(schema: Json, rule: str) -> Json:
    """Return *schema* for a value that *rule* withholds: the type without any actual value.

    Patterns and the author's own keywords are left out as well, because they may show a value.
    """
    return {**_without_values(schema), WITHHELD: rule}


def _without_values(schema: Json) -> Json:
    return {key: _inside(key, value) for key, value in schema.items() if key in _WITHOUT_VALUES}


def _inside(key: str, value: object) -> object:
    if isinstance(value, list):
        return [_inside("", each) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    inner = cast("Json", value)
    if key in SCHEMAS_BY_NAME:
        return {name: _inside("", each) for name, each in inner.items()}
    return _without_values(inner)
