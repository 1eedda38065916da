"""Finds parameters and results without a schema, or with one that accepts any value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

from remit._declare.schema.build import params_schema, reference_name, result_schema
from remit._declare.schema.canonical import Json
from remit._declare.schema.types import BY_SHAPE
from remit._inspect.annotations import MISSING
from remit._inspect.signature import RETURN, CallKind, SignatureInfo

_ANNOTATIONS: Final = frozenset({"default", "deprecated", "description", "examples", "title"})
"""Keywords that do not restrict values."""

_ALTERNATIVES: Final = ("allOf", "anyOf", "oneOf")
_ANYTHING: Final = "may be anything"


class Grade(StrEnum):
    """Extent of a weakness."""

    NONE = "none"
    """There is no schema."""
    WEAK = "weak"
    """The schema accepts any value, any item or any member."""


@dataclass(frozen=True, slots=True)
class Weakness:
    """One place of a signature that its schema does not restrict.

    Attributes:
        place: A parameter's name or `return`, with the path inside: `order.lines[].note`.
    """

    place: str
    grade: Grade
    why: str


def weaknesses(
    signature: SignatureInfo,
    recorded: SignatureInfo,
    kind: CallKind,
    *,
    params: object = None,
    result: object = None,
) -> tuple[Weakness, ...]:
    """Return the missing and weak schemas of a callable, in order of the signature.

    Args:
        recorded: *signature* with the types of *params* and *result* in it.
        params: Value of `params=`.
        result: Value of `result=`.
    """
    takes = params_schema(signature, redact=_unseen, declared=params)
    gives = result_schema(recorded, kind, redact=_unseen, declared=result)
    found: list[Weakness] = []
    for each in signature.parameters:
        schema = takes["properties"].get(each.name, {})
        inside = list(_Walk(takes.get("$defs", {})).weak(schema, each.name))
        missing = each.annotation is MISSING and each.note is None
        found += _once(inside, each.name, "no annotation") if missing else inside
    inside = list(_Walk(gives.get("$defs", {})).weak(_value(gives), RETURN))
    missing = recorded.returns is MISSING and recorded.returns_note is None and result is None
    found += _once(inside, RETURN, "no return annotation") if missing else inside
    return tuple(found)


def _unseen(value: object) -> None:
    """Replace redaction: values in a schema do not matter here."""
    del value


def _once(inside: list[Weakness], place: str, why: str) -> list[Weakness]:
    """Return one weakness for a missing annotation, unless the schema has another source."""
    return [Weakness(place, Grade.NONE, why)] if inside else []


def _value(schema: Json) -> Json:
    properties: Mapping[str, Json] = schema.get("properties", {})
    names = list(properties)
    if names == ["result"]:
        return properties["result"]
    if names == ["count", "first_item_ms", "items"]:
        return properties["items"]
    if members := schema.get("anyOf"):
        return {"anyOf": [_value(each) for each in members]}
    return {} if list(schema) == ["type"] else schema


class _Walk:
    """A walk through one schema, each definition once."""

    def __init__(self, definitions: Json) -> None:
        self._definitions = definitions
        self._seen: set[str] = set()

    def weak(self, schema: object, place: str) -> Iterator[Weakness]:
        if not isinstance(schema, dict):
            return
        known = {key: each for key, each in cast("Json", schema).items() if key not in _ANNOTATIONS}
        note = known.pop("$comment", None)
        if isinstance(note, str) and not note.endswith(BY_SHAPE):
            yield Weakness(place, Grade.NONE, note.removeprefix(f"`{place}`: "))
        elif note is None and not known:
            yield Weakness(place, Grade.WEAK, _ANYTHING)
        elif note is None and known.get("type") == "object" and not _restricts_members(known):
            yield Weakness(place, Grade.WEAK, "an object whose members may be anything")
        elif known.get("type") == "array" and not (known.get("items", True) or _is_fixed(known)):
            yield Weakness(f"{place}[]", Grade.WEAK, _ANYTHING)
        else:
            yield from self._inside(known, place)

    def _inside(self, schema: Json, place: str) -> Iterator[Weakness]:
        name = reference_name(schema)
        if name in self._definitions and name not in self._seen:
            self._seen.add(name)
            yield from self.weak(self._definitions[name], place)
        for member, each in schema.get("properties", {}).items():
            yield from self.weak(each, f"{place}.{member}")
        for each in schema.get("patternProperties", {}).values():
            yield from self.weak(each, f"{place}{{}}")
        yield from self.weak(schema.get("additionalProperties"), f"{place}{{}}")
        yield from self.weak(schema.get("items"), f"{place}[]")
        for number, each in enumerate(schema.get("prefixItems", ())):
            yield from self.weak(each, f"{place}[{number}]")
        for keyword in _ALTERNATIVES:
            for each in schema.get(keyword, ()):
                yield from self.weak(each, place)


def _restricts_members(schema: Json) -> bool:
    return (
        any(schema.get(key) for key in ("properties", "patternProperties", *_ALTERNATIVES))
        or isinstance(schema.get("additionalProperties"), dict)
        or schema.get("additionalProperties") is False
        or "$ref" in schema
    )


def _is_fixed(schema: Json) -> bool:
    return "prefixItems" in schema or schema.get("maxItems") == 0
