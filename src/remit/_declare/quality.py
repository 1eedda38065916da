"""Comparison of recorded quality payloads with their declarations, for the log.

Keywords of JSON Schema that are not known here are ignored; the collector checks all of them. No
message quotes a value of the payload.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeAlias, cast

import msgspec

from remit._base.markers import is_marker
from remit._base.text import describe_value
from remit._declare.registry import AgentType
from remit._declare.schema.build import quality_schema
from remit._declare.schema.canonical import Redact

Json: TypeAlias = dict[str, Any]

MAX_VIOLATIONS: Final = 5
MAX_STEPS: Final = 2_000
"""Most pairs of a value and a schema that are compared: a schema may refer to itself."""
# Capture writes numbers that JSON cannot represent as strings.
_NUMBER_TEXT: Final = re.compile(r"NaN|-?Infinity|-?\d{16,}")
_NUMBER: Final = (int, float)
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": _NUMBER,
    "integer": _NUMBER,
}
_BOUNDS: Final[dict[str, tuple[type | tuple[type, ...], str, Callable[[Any, Any], bool]]]] = {
    "minimum": (_NUMBER, "is less than", operator.lt),
    "maximum": (_NUMBER, "is more than", operator.gt),
    "exclusiveMinimum": (_NUMBER, "is not more than", operator.le),
    "exclusiveMaximum": (_NUMBER, "is not less than", operator.ge),
    "minLength": (str, "is shorter than", operator.lt),
    "maxLength": (str, "is longer than", operator.gt),
    "minItems": (list, "has fewer items than", operator.lt),
    "maxItems": (list, "has more items than", operator.gt),
}
"""By keyword: the type that it concerns, words, and whether a value or its length is beyond it."""


def violations(payload: Json, schema: Json) -> list[str]:
    """Return the first violations of *schema* in *payload*, whose markers are not compared.

    An invalid or endlessly recursive schema has no violations.
    """
    listed: list[str] = []
    with suppress(TypeError, AttributeError, RecursionError):
        listed.extend(islice(_Comparison(schema).check(payload, schema, ""), MAX_VIOLATIONS))
    return listed


class Qualities:
    """The quality payloads that an agent declares; schemas are built at their first use."""

    def __init__(self, agent: AgentType, *, redact: Redact) -> None:
        """Keep the declarations of *agent*; *redact* is applied to defaults and examples."""
        self._declared = agent.quality
        self._redact = redact
        self._schemas: dict[str, Json] = {}

    def errors(self, name: str, body: bytes) -> list[str]:
        """Return the differences of a payload, a JSON object, from its declaration."""
        if not self._declared:
            return []
        if name not in self._declared:
            return [
                "the name is not declared; declared names: " + ", ".join(sorted(self._declared))
            ]
        schema = self._schemas.get(name)
        if schema is None:
            schema = quality_schema(self._declared[name], redact=self._redact)
            self._schemas[name] = schema
        return violations(msgspec.json.decode(body), schema)


class _Comparison:
    def __init__(self, schema: Json) -> None:
        self._definitions: Json = schema.get("$defs", {})
        self._steps = 0

    def check(self, value: Any, schema: object, where: str) -> Iterator[str]:
        """Yield the violations of *schema* in *value*, which is at the path *where*."""
        self._steps += 1
        if self._steps > MAX_STEPS or is_marker(value) or not isinstance(schema, dict):
            return
        rules = cast("Json", schema)
        name = f"`{where}`" if where else "the payload"
        definition = self._definitions.get(str(rules.get("$ref", "")).rpartition("/")[2])
        for subschema in (definition, *rules.get("allOf", ())):
            yield from self.check(value, subschema, where)
        choices = rules.get("anyOf") or rules.get("oneOf")
        if choices and all(any(self.check(value, subschema, where)) for subschema in choices):
            yield f"{name} matches none of the allowed forms"
        if not _is_of_type(value, rules.get("type")):
            yield f"{name} is not of type {rules['type']}"
            return
        yield from (f"{name} {words}" for words in _violations_of_value(value, rules))
        if isinstance(value, dict):
            yield from self._check_members(cast("Json", value), rules, where)
        if isinstance(value, list):
            for number, item in enumerate(cast("list[object]", value)):
                yield from self.check(item, rules.get("items"), f"{where}[{number}]")

    def _check_members(self, value: Json, rules: Json, where: str) -> Iterator[str]:
        prefix = f"{where}." if where else ""
        for name in rules.get("required", ()):
            if name not in value:
                yield f"`{prefix}{name}` is missing"
        properties: Json = rules.get("properties", {})
        for name, member in value.items():
            if name in properties:
                yield from self.check(member, properties[name], f"{prefix}{name}")
            elif rules.get("additionalProperties") is False:
                yield f"{describe_value(prefix + name)} is not declared"


def _violations_of_value(value: Any, rules: Json) -> Iterator[str]:
    if value not in rules.get("enum", (value,)) or rules.get("const", value) != value:
        yield "is not one of the allowed values"
    for keyword, (kind, words, is_beyond) in _BOUNDS.items():
        if keyword in rules and isinstance(value, kind) and not isinstance(value, bool):
            size: Any = len(cast("str", value)) if isinstance(value, str | list) else value
            if is_beyond(size, rules[keyword]):
                yield f"{words} {rules[keyword]}"


def _is_of_type(value: object, declared: object) -> bool:
    if declared is None:
        return True
    names = cast("list[object]", declared) if isinstance(declared, list) else [declared]
    return any(_is_a(value, str(name)) for name in names)


def _is_a(value: object, name: str) -> bool:
    if name in {"number", "integer"}:
        if isinstance(value, str):
            return _NUMBER_TEXT.fullmatch(value) is not None
        if isinstance(value, bool) or (
            name == "integer" and isinstance(value, float) and not value.is_integer()
        ):
            return False
    return isinstance(value, _TYPES.get(name, object))
