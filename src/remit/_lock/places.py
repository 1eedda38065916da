"""The places of a JSON Schema as flat text, for reviewers of parameters and results."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeGuard, cast

from remit._declare.schema.canonical import REDACTED, RULES_OFF

Json = Mapping[str, Any]

MAX_PARTS: Final = 5_000
"""Parts of a schema that are read, the outer ones first."""
MORE: Final = "..."
"""The place that says that there are more parts."""
ANYTHING: Final = "anything"
_ALTERNATIVES: Final = ("allOf", "anyOf", "oneOf")
_VALUES: Final = {
    frozenset({"result"}): "result",
    frozenset({"count", "first_item_ms", "items"}): "items",
}
"""By the names in an object that is recorded for a value that is none, the name of the value."""
_PLAIN_NAME: Final = re.compile(r"[^\s.,:?\"\[\]{}]+")
_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    type(None): "null",
}
"""By class of a value that an `enum` or a `const` has, its type."""


class _Part(NamedTuple):
    """One schema inside another, the rule that redacts it, and the references followed to it."""

    path: str
    schema: object
    redacted: str | None = None
    seen: frozenset[str] = frozenset()
    optional: bool = False


@dataclass(slots=True)
class _Place:
    """The combined schemas of one place; a member of a union is one of several."""

    types: set[str] = field(default_factory=set[str])
    redacted: set[str | None] = field(default_factory=set[str | None])
    rules_off: set[str] = field(default_factory=set[str])
    optional: bool = False

    def text(self) -> str:
        types = sorted(self.types or {ANYTHING}, key=lambda name: (name == "null", name))
        rules = sorted(rule for rule in self.redacted if rule is not None)
        # One member of a union may be redacted and another not.
        how = "redacted in part" if None in self.redacted else "redacted"
        off = [f"off: {', '.join(sorted(self.rules_off))}"] if self.rules_off else []
        return ", ".join([" | ".join(types), *(f"{how}: {rule}" for rule in rules), *off])


def params_places(schema: Json) -> dict[str, str]:
    """Return the places of a payload by path; a rule that is off for all of it is at ""."""
    places = _places(schema, schema)
    if not schema.get(RULES_OFF) and schema.get("type") == "object":
        del places[""]
    return places


def result_places(schema: Json) -> dict[str, str]:
    """Return the places of a result by path, "" for the whole of it.

    A value that is not an object is recorded as an object with the value inside; the value counts.
    """
    return _places(schema, _value(schema))


def _value(schema: Json) -> Json:
    """Return the schema of the value that was returned, from that of the object recorded for it."""
    rules = {key: schema[key] for key in (REDACTED, RULES_OFF) if key in schema}
    if members := _list(schema, "anyOf"):
        return {"anyOf": [_value(each) if _is_schema(each) else each for each in members], **rules}
    properties = _dict(schema, "properties")
    for names, name in _VALUES.items():
        if properties.keys() == names:
            return {"allOf": [properties[name]], **rules}
    return rules if schema.keys() <= {"$comment", "type", *rules} else schema


def _is_schema(value: object) -> TypeGuard[Json]:
    return isinstance(value, dict)


def _dict(schema: Json, key: str) -> dict[str, Any]:
    """Return an object of a schema; an empty one in place of anything else that an author wrote."""
    value: object = schema.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(schema: Json, key: str) -> list[object]:
    value: object = schema.get(key)
    return cast("list[object]", value) if isinstance(value, list) else []


def _places(root: Json, schema: Json) -> dict[str, str]:
    """Return the text of each place in *schema*, whose references are relative to *root*."""
    places: dict[str, _Place] = {}
    pending = deque([_Part("", schema)])
    for _ in range(MAX_PARTS):
        if not pending:
            break
        part = pending.popleft()
        place = places.setdefault(part.path, _Place())
        place.optional |= part.optional
        if _is_schema(part.schema):
            pending.extend(_read(root, part, part.schema, place))
        else:
            place.redacted.add(part.redacted)
    texts = {f"{path}{'?' * place.optional}": place.text() for path, place in places.items()}
    return {**texts, MORE: f"more than {MAX_PARTS:,} parts"} if pending else texts


def _read(root: Json, part: _Part, schema: Json, place: _Place) -> Iterator[_Part]:
    """Add the types and rules of *schema* to its place, and yield the schemas inside it."""
    redacted = schema.get(REDACTED, part.redacted)
    place.rules_off.update(map(str, _list(schema, RULES_OFF)))
    alternatives = [each for key in _ALTERNATIVES for each in _list(schema, key)]
    seen, ref = part.seen, schema.get("$ref")
    if isinstance(ref, str):
        target = _target(root, ref)
        if ref in seen:
            place.types.update(_types(target) or {"object"})
            place.redacted.add(redacted)
        else:
            alternatives.append(target)
            seen |= {ref}
    for each in alternatives:
        yield part._replace(schema=each, redacted=redacted, seen=seen)
    types = _types(schema)
    place.types.update(types)
    if (types or not alternatives) and types != {"null"}:
        place.redacted.add(redacted)
    for path, inside, optional in _inside(part.path, schema):
        yield _Part(path, inside, redacted, seen, optional)


def _types(schema: object) -> set[str]:
    if not _is_schema(schema):
        return set()
    name = schema.get("type")
    if types := {name} if isinstance(name, str) else set(map(str, _list(schema, "type"))):
        return types
    values: list[object] = [schema["const"]] if "const" in schema else _list(schema, "enum")
    return {_TYPES.get(type(value), ANYTHING) for value in values}


def _inside(path: str, schema: Json) -> Iterator[tuple[str, object, bool]]:
    """Yield path and schema of each value inside a value, and whether it may be absent."""
    required = _list(schema, "required")
    for name, inner in sorted(_dict(schema, "properties").items()):
        key = name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        yield f"{path}.{key}" if path else key, inner, name not in required
    members = [schema.get("additionalProperties"), *_dict(schema, "patternProperties").values()]
    yield from ((f"{path}{{}}", inner, False) for inner in members if _is_schema(inner))
    if _is_schema(items := schema.get("items")):
        yield f"{path}[]", items, False
    for number, inner in enumerate(_list(schema, "prefixItems")):
        yield f"{path}[{number}]", inner, False


def _target(root: Json, ref: str) -> object:
    """Return the target of a reference within *root*; a schema of anything if it is missing."""
    target: object = root
    for key in ref.removeprefix("#/").split("/"):
        name = key.replace("~1", "/").replace("~0", "~")
        target = target.get(name, {}) if _is_schema(target) else {}
    return target
