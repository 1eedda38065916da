# Uncounted: a type that cannot be read is a result, not a fault.
"""JSON Schema from pydantic, adapted to what capture writes.

pydantic's schemas describe what a validator accepts; a registration describes what a payload holds.
They differ for combinations of flags, for fields that only the constructor takes, and for
`Decimal`, which is always recorded as a string.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from pydantic.json_schema import GenerateJsonSchema, JsonRef, JsonSchemaWarningKind
from pydantic_core import core_schema

from remit._capture.type_readers import rule_of
from remit._declare.schema.canonical import NAME, Json, Raw, withheld_schema
from remit._declare.schema.types import opaque, type_name
from remit._inspect.fields import annotated_fields_of

_CLASSES: Final = frozenset({"dataclass", "enum", "model", "typed-dict"})
_NAMED_TUPLES: Final = frozenset({"call", "named-tuple"})
"""How pydantic reads them: as calls before 2.14, and before 2.12 with a title for each field."""

_JSON_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


class Generator(GenerateJsonSchema):
    """Generates the schema of what capture writes for a type."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Log nothing: the schema has a note instead."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Make no titles for fields: they would repeat the name."""
        del schema
        return False

    def field_is_present(self, field: Any) -> bool:  # noqa: ANN401 - pydantic's own name is private
        """Leave out fields that only the constructor takes."""
        return not field.get("init_only")

    def handle_invalid_for_json_schema(self, schema: object, error_info: str) -> Json:
        """Return a note instead of an error."""
        del error_info
        core = cast("Mapping[str, object]", schema)
        return opaque(type_name(core.get("cls")) if "cls" in core else f"a {core['type']}")

    def encode_default(self, dft: object) -> Raw:
        """Keep the value as it is, for redaction."""
        return Raw(dft)

    def generate_inner(self, schema: Any) -> Json:  # noqa: ANN401 - pydantic's own name is private
        """Remove the titles that pydantic makes, and the values that authors of classes hid."""
        generated = super().generate_inner(schema)
        if schema["type"] in _CLASSES and "cls" in schema:
            _clean_class(self._definition(generated), schema["cls"])
        elif schema["type"] in _NAMED_TUPLES:
            cls = schema.get("cls") or schema["function"]
            if isinstance(cls, type):
                _clean_named_tuple(self._definition(generated), cls)
        return generated

    def _definition(self, schema: Json) -> Json:
        ref = schema.get("$ref")
        return (self.get_schema_from_definitions(JsonRef(ref)) if ref else schema) or {}

    def callable_schema(self, schema: core_schema.CallableSchema) -> Json:
        """Return a note: a callable is recorded as opaque."""
        del schema
        return opaque("Callable")

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> Json:
        """Return a note: a class is recorded as opaque."""
        del schema
        return opaque("type")

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> Json:
        """Return a string: numbers would lose digits."""
        del schema
        return {"type": "string", "format": "decimal"}

    def dict_schema(self, schema: core_schema.DictSchema) -> Json:
        """Return an object with any keys: in JSON they are strings."""
        return _open(super().dict_schema(schema))

    def json_schema(self, schema: core_schema.JsonSchema) -> Json:
        """Return a string or its content: a model keeps the value that was parsed."""
        inner = self.generate_inner(schema["schema"]) if "schema" in schema else {}
        return {"anyOf": [inner, {"type": "string"}]} if inner else {}

    def set_schema(self, schema: core_schema.SetSchema) -> Json:
        """Return an array whose items may repeat: two withheld items are equal."""
        return _repeating(super().set_schema(schema))

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> Json:
        """Return an array, as for a set."""
        return _repeating(super().frozenset_schema(schema))

    def literal_schema(self, schema: core_schema.LiteralSchema) -> Json:
        """Return the values, sorted: `typing` caches equal literals, whatever their order.

        `List[Literal["a", "b"]]` and `List[Literal["b", "a"]]` are one cached object, so the
        author's order depends on what was imported first.
        """
        values = [value_of(member) for member in schema["expected"]]
        return enumeration(sorted(values, key=_rank))

    def enum_schema(self, schema: core_schema.EnumSchema) -> Json:
        """Return the values of the members in their order; a flag is any integer."""
        cls = cast("type[enum.Enum]", schema["cls"])
        described: Json = {"description": cls.__doc__} if cls.__doc__ else {}
        if issubclass(cls, enum.Flag):
            return {**described, "type": "integer"}
        return described | enumeration([value_of(member) for member in schema["members"]])


def _open(schema: Json) -> Json:
    """Return the schema of a mapping, the same from every version of pydantic."""
    kept = {key: value for key, value in schema.items() if key != "propertyNames"}
    return kept if "patternProperties" in kept else {"additionalProperties": True, **kept}


def _repeating(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "uniqueItems"}


def enumeration(values: Iterable[object]) -> Json:
    """Return the schema of a value out of *values*; the values are still raw."""
    members = list(values)
    types = {type(value) for value in members}
    enumerated: Json = (
        {"const": Raw(members[0])}
        if len(members) == 1
        else {"enum": [Raw(value) for value in members]}
    )
    if len(types) == 1 and (name := _JSON_TYPES.get(types.pop())):
        enumerated["type"] = name
    return enumerated


def value_of(member: object) -> object:
    """Return the value of an enum's member, and anything else as it is."""
    return cast("object", member.value) if isinstance(member, enum.Enum) else member


def _rank(value: object) -> tuple[str, str]:
    plain = isinstance(value, str | int | float | bytes)
    return type(value).__name__, str(value) if plain else ""


def _clean_class(schema: Json, cls: type) -> None:
    """Remove from the schema of a class its title, unless chosen, and the withheld values."""
    config = _config(cls)
    chosen = config.get("title") or config.get("model_title_generator")
    if not chosen and schema.get("title") == cls.__name__:
        del schema["title"]
    # pydantic reads the docstring of a dataclass since 2.13. The one that Python makes is no text.
    generated_doc = f"{cls.__name__}("
    if hasattr(cls, "__dataclass_fields__") and not (cls.__doc__ or generated_doc).startswith(
        generated_doc
    ):
        schema.setdefault("description", cls.__doc__)
    properties: dict[str, Json] = schema.get("properties", {})
    for name, rule in _withheld_fields(cls).items():
        if name in properties:
            properties[name] = withheld_schema(properties[name], rule)


def _clean_named_tuple(schema: Json, cls: type) -> None:
    """Add the names of the fields to the items of a named tuple, and remove their titles."""
    withheld = _withheld_fields(cls)
    items: list[Json] = schema.get("prefixItems", [])
    for position, (name, item) in enumerate(zip(getattr(cls, "_fields", ()), items, strict=False)):
        item.pop("title", None)
        rule = withheld.get(name)
        items[position] = {**(withheld_schema(item, rule) if rule else item), NAME: name}


def _withheld_fields(cls: type) -> Mapping[str, str]:
    rules = {field.name: rule_of(info) or field.hidden for field, info in annotated_fields_of(cls)}
    return {name: rule for name, rule in rules.items() if rule is not None}


def _config(cls: type) -> Mapping[str, object]:
    """Return the configuration of a model, or of another class that pydantic reads."""
    config = getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None)
    return cast("Mapping[str, object]", config or {})
