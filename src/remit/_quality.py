"""Comparing recorded quality payloads with what their agent declares, for the log.

A collector compares with all of JSON Schema. Here, a keyword that is not known says nothing, and no
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

from remit._capture.markers import KEY as MARKER
from remit._registry import AgentType
from remit._schema import Redact, quality_schema
from remit._words import shown

Json: TypeAlias = dict[str, Any]

MAX_FOUND: Final = 5
MAX_STEPS: Final = 2_000
"""So many pairs of a value and a schema are compared: a schema may refer to itself."""
# Capture writes numbers that JSON cannot hold as texts.
_NUMBER_TEXT: Final = re.compile(r"NaN|-?Infinity|-?\d{16,}")
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
    "integer": (int, float),
}
_LIMITS: Final[dict[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "minimum": ("is less than", operator.lt),
    "maximum": ("is more than", operator.gt),
    "exclusiveMinimum": ("is not more than", operator.le),
    "exclusiveMaximum": ("is not less than", operator.ge),
}
_LENGTHS: Final[dict[str, tuple[type, str, Callable[[int, int], bool]]]] = {
    "minLength": (str, "is shorter than", operator.lt),
    "maxLength": (str, "is longer than", operator.gt),
    "minItems": (list, "has fewer items than", operator.lt),
    "maxItems": (list, "has more items than", operator.gt),
}


def mismatches(payload: Json, schema: Json) -> list[str]:
    """Return the first of what in *payload* is not as *schema* says; nothing if all is.

    Args:
        payload: What was recorded. Where a marker stands, nothing is compared.
        schema: A JSON Schema; one that is not valid, or refers to itself without end, says nothing.
    """
    found: list[str] = []
    with suppress(TypeError, AttributeError, RecursionError):
        found.extend(islice(_Comparison(schema).wrong(payload, schema, ""), MAX_FOUND))
    return found


class Qualities:
    """The quality payloads that an agent declares; a schema is built when it is first needed."""

    def __init__(self, agent: AgentType, *, redact: Redact) -> None:
        """Take the declarations of *agent*, with what defaults and examples pass."""
        self._declared = agent.quality
        self._redact = redact
        self._schemas: dict[str, Json] = {}

    def errors(self, name: str, body: bytes) -> list[str]:
        """Return what in a payload is not as declared; nothing if the agent declares none at all.

        Args:
            name: Name of the quality.
            body: The recorded payload, a JSON object.
        """
        if not self._declared:
            return []
        if name not in self._declared:
            return [f"the name is not declared; declared are {', '.join(sorted(self._declared))}"]
        schema = self._schemas.get(name)
        if schema is None:
            schema = quality_schema(self._declared[name], redact=self._redact)
            self._schemas[name] = schema
        return mismatches(msgspec.json.decode(body), schema)


class _Comparison:
    def __init__(self, schema: Json) -> None:
        self._definitions: Json = schema.get("$defs", {})
        self._steps = 0

    def wrong(self, value: object, schema: object, where: str) -> Iterator[str]:
        """Yield what in *value* is not as *schema* says."""
        self._steps += 1
        if self._steps > MAX_STEPS or _is_marker(value) or not isinstance(schema, dict):
            return
        said = cast("Json", schema)
        name = f"`{where}`" if where else "the payload"
        yield from self._wrong_elsewhere(value, said, where, name)
        if not _is_of_type(value, said.get("type")):
            yield f"{name} is not of type {said['type']}"
            return
        yield from (f"{name} {words}" for words in _wrong_in_itself(value, said))
        if isinstance(value, dict):
            yield from self._wrong_in_members(cast("Json", value), said, where)
        if isinstance(value, list):
            for number, item in enumerate(cast("list[object]", value)):
                yield from self.wrong(item, said.get("items"), f"{where}[{number}]")

    def _wrong_in_members(self, value: Json, said: Json, where: str) -> Iterator[str]:
        prefix = f"{where}." if where else ""
        for name in said.get("required", ()):
            if name not in value:
                yield f"`{prefix}{name}` is missing"
        properties: Json = said.get("properties", {})
        for name, member in value.items():
            if name in properties:
                yield from self.wrong(member, properties[name], f"{prefix}{name}")
            elif said.get("additionalProperties") is False:
                yield f"{shown(prefix + name)} is not declared"

    def _wrong_elsewhere(self, value: object, said: Json, where: str, name: str) -> Iterator[str]:
        reference = said.get("$ref")
        if isinstance(reference, str):
            yield from self.wrong(value, self._definitions.get(reference.rpartition("/")[2]), where)
        for each in said.get("allOf", ()):
            yield from self.wrong(value, each, where)
        choices = said.get("anyOf") or said.get("oneOf")
        if choices and all(any(self.wrong(value, each, where)) for each in choices):
            yield f"{name} is of no form that is allowed"


def _is_marker(value: object) -> bool:
    return isinstance(value, dict) and MARKER in value


def _wrong_in_itself(value: object, said: Json) -> Iterator[str]:
    if ("enum" in said and value not in said["enum"]) or said.get("const", value) != value:
        yield "is none of the values that are allowed"
    if isinstance(value, int | float) and not isinstance(value, bool):
        for keyword, (words, is_beyond) in _LIMITS.items():
            if keyword in said and is_beyond(value, said[keyword]):
                yield f"{words} {said[keyword]}"
    if isinstance(value, str | list):
        length = len(cast("str", value))
        for keyword, (kind, words, is_beyond) in _LENGTHS.items():
            if keyword in said and isinstance(value, kind) and is_beyond(length, said[keyword]):
                yield f"{words} {said[keyword]}"


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
