"""Loosens a schema for what remit writes instead of a value.

For a payload with markers, any value fits in their places. What a marker hides
may have met the schema, so whatever could only be said with it is left out: how many items there
are, that they differ, that exactly one alternative holds. For a payload with texts of numbers, such
a text fits where a number is declared.
"""

from __future__ import annotations

from typing import Final, cast

from remit.collector.meaning.markers import NUMBER_TEXT, PLACE
from remit.collector.meaning.positions import APPLYING, Schema
from remit.collector.meaning.weight import target

NUMBER_TYPES: Final = frozenset({"integer", "number"})
_DEFS: Final = "$defs"
LEFT_OUT: Final = frozenset(
    {
        "$defs",
        "definitions",
        "$schema",
        "$id",
        "id",
        "not",
        "if",
        "then",
        "else",
        "uniqueItems",
        "minItems",
        "contains",
        "minContains",
        "maxContains",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_OF_ONE: Final = frozenset({"additionalItems", "additionalProperties", "items"})
_SUBSTITUTE: Final[Schema] = {"enum": [PLACE]}
_NUMBER: Final = "remit-number-text"


def lenient(root: Schema) -> Schema:
    """Return the schema that *root* is where a marker matches everything.

    Raises:
        UncheckableError: It refers to something outside itself.
    """
    return _Lenient(root).whole()


def with_number_texts(schema: Schema) -> Schema:
    """Return the schema that *schema* is where the text of a number matches like a number."""
    whole = cast("Schema", _with_number_texts(schema))
    defs = cast("Schema", whole.get(_DEFS, {}))
    return {**whole, _DEFS: {**defs, _NUMBER: {"type": "string", "pattern": NUMBER_TEXT}}}


def _with_number_texts(part: object) -> object:
    if isinstance(part, list):
        return [_with_number_texts(each) for each in cast("list[object]", part)]
    if not isinstance(part, dict):
        return part
    members = cast("Schema", part)
    kept = {name: _with_number_texts(value) for name, value in members.items()}
    types, alternatives = kept.get("type"), kept.get("oneOf")
    types = [types] if isinstance(types, str) else types
    added: list[object] = []
    if isinstance(types, list) and not NUMBER_TYPES.isdisjoint(cast("list[object]", types)):
        added.append({"anyOf": [{"type": kept.pop("type")}, {"$ref": f"#/{_DEFS}/{_NUMBER}"}]})
    if isinstance(alternatives, list):
        # A text may match both the alternative for numbers and the one for texts.
        added.append({"anyOf": kept.pop("oneOf")})
    if added:
        kept["allOf"] = [*cast("list[object]", kept.get("allOf", [])), *added]
    return kept


class _Lenient:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._names: dict[int, str] = {}
        self._waiting: list[Schema] = []

    def whole(self) -> Schema:
        """Return the whole; each schema that something refers to has a new name in it."""
        start = self._reference(self._root)
        defs: dict[str, object] = {}
        while self._waiting:
            schema = self._waiting.pop()
            defs[self._names[id(schema)]] = self._loose(schema)
        kept = {name: self._root[name] for name in ("$schema",) if name in self._root}
        # In older drafts what stands beside a reference is ignored.
        return {**kept, "allOf": [start], _DEFS: defs}

    def _reference(self, schema: Schema) -> Schema:
        name = self._names.get(id(schema))
        if name is None:
            name = self._names[id(schema)] = f"s{len(self._names)}"
            self._waiting.append(schema)
        return {"$ref": f"#/{_DEFS}/{name}"}

    def _loose(self, schema: object) -> object:
        if not isinstance(schema, dict):
            return schema if schema is not False else {"anyOf": [_SUBSTITUTE]}
        members = cast("Schema", schema)
        kept = {
            name: self._part(name, value) if name in APPLYING else value
            for name, value in members.items()
            if name not in LEFT_OUT and not _of_containers(name, value)
        }
        if "oneOf" in kept:
            both = [{"anyOf": kept.pop(name)} for name in ("oneOf", "anyOf") if name in kept]
            kept["allOf"] = [*cast("list[object]", kept.get("allOf", [])), *both]
        if "$ref" in kept:
            kept["$ref"] = self._reference(target(self._root, kept["$ref"]))["$ref"]
        return {"anyOf": [_SUBSTITUTE, kept]}

    def _part(self, name: str, value: object) -> object:
        if isinstance(value, list):
            return [self._loose(each) for each in cast("list[object]", value)]
        if name == "propertyNames":
            return value
        if name in _OF_ONE:
            return self._loose(value)
        named = cast("Schema", value) if isinstance(value, dict) else {}
        return {key: self._loose(each) for key, each in named.items()}


def _of_containers(name: str, value: object) -> bool:
    """Return whether *value* is what a whole object or array must equal."""
    if name == "const":
        return isinstance(value, dict | list)
    some = cast("list[object]", value) if name == "enum" and isinstance(value, list) else []
    return any(isinstance(each, dict | list) for each in some)
