"""Schemas of recorded results and quality payloads, which are always objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

from remit._declare.schema.canonical import Json

REF: Final = "#/$defs/"
RESULT: Final = "result"
"""Key of a result that is no mapping (docs/reference/payloads.md)."""
VALUE: Final = "value"
"""The same of a quality payload."""


def item_stream(items: Json) -> Json:
    """Return the schema of an iterator's result: its items, how many, when the first came."""
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": items},
            "count": {"type": "integer"},
            "first_item_ms": {"type": ["number", "null"]},
        },
        "required": ["items", "count"],
    }


def as_object(schema: Json, definitions: Json, key: str = RESULT) -> Json:
    """Return the schema of the object that records a value of *schema*.

    A mapping-like value is the object itself, any other value is under *key*. A union is mapped
    member by member, and a member of which nothing is known may be either. The result of a failed
    span is the failure object, which this schema does not describe.

    Args:
        schema: Schema of the value; empty if it may be anything.
        definitions: Definitions by name.
        key: The key of a value that is no mapping.
    """
    members = list(_members(schema, definitions, frozenset()))
    loose = [each for each in members if each.keys() <= {"$comment"}]
    if loose:
        return {**loose[0], "type": "object"}
    mappings = [each for each in members if _is_mapping(resolved(each, definitions))]
    others = [each for each in members if each not in mappings]
    if not mappings:
        return wrapped(schema, key)
    if not others:
        top = resolved(schema, definitions)
        return {**top, "type": "object"}
    rest = others[0] if len(others) == 1 else {"anyOf": others}
    return {"type": "object", "anyOf": [*mappings, wrapped(rest, key)]}


def any_of(results: Sequence[Json]) -> Json:
    """Return the schema of a result that may be any of several objects."""
    if len(results) == 1:
        return results[0]
    members: list[Json] = []
    for schema in results:
        members.extend(schema["anyOf"] if schema.keys() == {"type", "anyOf"} else [schema])
    return {"type": "object", "anyOf": members}


def resolved(schema: Json, definitions: Json) -> Json:
    """Return *schema* with its outermost references followed."""
    seen: set[str] = set()
    while (name := reference_name(schema)) in definitions and name not in seen:
        seen.add(name)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions[name], **rest}
    return schema


def reachable(schema: Json, definitions: Json) -> Json:
    """Return the definitions that *schema* refers to, directly or through others."""
    found: Json = {}
    pending = list(_references(schema))
    while pending:
        name = pending.pop()
        if name in definitions and name not in found:
            found[name] = definitions[name]
            pending.extend(_references(definitions[name]))
    return found


def wrapped(schema: Json, key: str) -> Json:
    """Return the schema of an object that has a value of *schema* under *key*."""
    return {"type": "object", "properties": {key: schema}, "required": [key]}


def _is_mapping(schema: Json) -> bool:
    return schema.get("type") == "object" or "properties" in schema


def _members(schema: Json, definitions: Json, seen: frozenset[str]) -> Iterator[Json]:
    """Yield the members of a union, those of unions inside it in their place."""
    name = reference_name(schema)
    if name in seen:
        return
    top = resolved(schema, definitions)
    members = top.get("anyOf") or top.get("oneOf")
    if members is None or _is_mapping(top):
        yield schema
        return
    for each in members:
        yield from _members(each, definitions, seen | {name} if name else seen)


def reference_name(schema: Json) -> str:
    """Return the name of the definition that *schema* refers to, "" if it is no reference."""
    ref = schema.get("$ref")
    return ref.removeprefix(REF) if isinstance(ref, str) else ""


def _references(part: object) -> Iterator[str]:
    """Yield the name of every definition that a part of a schema refers to."""
    if isinstance(part, list):
        for each in cast("list[object]", part):
            yield from _references(each)
    elif isinstance(part, dict):
        schema = cast("Json", part)
        if name := reference_name(schema):
            yield name
        for each in schema.values():
            yield from _references(each)
