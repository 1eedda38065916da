"""JSON Schema of types, by pydantic, which says what a payload holds, the same on every Python.

Before pydantic reads a type, `TypeNormalizer` replaces the parts that it would reject, warn about
or read in another way, so that the other parts keep their schema: `typing.TypedDict` before Python
3.12, objects that are not types, constructors that take something else than the fields. `Generator`
then changes what differs between a value that a validator accepts and a value that is recorded:
combinations of flags, fields that only the constructor takes, and `Decimal`, which is a string.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import re
import typing
import uuid
import zoneinfo
from collections import deque
from collections.abc import Collection, Container, Iterable, Mapping, Reversible, Sequence
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, Final, Literal, cast

import typing_extensions
from pydantic import ConfigDict, TypeAdapter, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonRef, JsonSchemaWarningKind
from pydantic_core import core_schema
from typing_extensions import is_protocol
from typing_inspection.introspection import AnnotationSource, inspect_annotation
from typing_inspection.typing_objects import (
    is_newtype,
    is_paramspecargs,
    is_paramspeckwargs,
    is_typealiastype,
    is_unpack,
)

from remit._base.guard import attempt
from remit._base.memo import memoized
from remit._capture.arrays import ARRAYS
from remit._capture.type_readers import rule_of
from remit._declare.schema.canonical import NAME, Json, Raw, redacted_schema
from remit._inspect.annotations import (
    MISSING,
    AnnotationInfo,
    alias_value,
    annotated,
    is_annotated,
    is_union,
)
from remit._inspect.fields import (
    NO_DEFAULT,
    NOT_IN_REPR,
    Field,
    annotated_fields_of,
    fields_of,
    is_named_tuple,
    is_typed_dict,
)
from remit._inspect.introspection import classes_of

BY_SHAPE: Final = "recorded by type, shape and dtype"
"""The end of an array's note."""

_QUALIFIERS: Final[frozenset[object]] = frozenset(
    {
        typing.ClassVar,
        typing.Final,
        typing_extensions.NotRequired,
        typing_extensions.ReadOnly,
        typing_extensions.Required,
    }
)
_BOOLEANS: Final[frozenset[object]] = frozenset({typing.TypeGuard, typing_extensions.TypeIs})
_REPLACED: Final[Mapping[object, object]] = {typing.LiteralString: str, vars(typing)["Self"]: Any}

_ITERABLES: Final[frozenset[object]] = frozenset({Collection, Container, Reversible})
"""Abstract classes that pydantic has no schema for, recorded as the lists that they mostly are."""
_NO_CONTAINERS: Final[frozenset[object]] = frozenset({typing.get_origin(typing.Callable), type})
_CONTAINER_MODULES: Final = frozenset({"builtins", "collections", "collections.abc"})

_OPAQUE: Final = frozenset({complex, MappingProxyType, re.Pattern, zoneinfo.ZoneInfo})
"""Classes for which pydantic has a schema, although a payload shows only their type."""
_RECORDED_AS: Final[Mapping[type, type]] = {
    bytearray: bytes,
    fractions.Fraction: str,
    memoryview: bytes,
}
_PLAIN: Final = frozenset(
    {
        *(bool, bytes, deque, dict, float, frozenset, int, list, set, str, tuple),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID),
    }
)
"""A class that derives from one of these is recorded as the nearest of them."""
_NUMPY: Final[Mapping[str, type]] = {
    "bool": bool,
    "bool_": bool,
    "bytes_": bytes,
    "datetime64": str,
    "floating": float,
    "integer": int,
    "str_": str,
}
_IDENTITY: Final = (
    *("__module__", "__qualname__", "__doc__"),
    *("__parameters__", "__pydantic_config__"),
)
"""Attributes that the replacement of a class takes over from it."""

_JSON_TYPES: Final[Mapping[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
# pydantic takes seconds for hundreds of adapters; most parameters are one of these.
_SCALARS: Final[Mapping[object, Json]] = {
    **{kind: {"type": name} for kind, name in _JSON_TYPES.items()},
    None: {"type": "null"},
    Any: {},
    object: {},
    MISSING: {},
}
_CLASSES: Final = frozenset({"dataclass", "enum", "model", "typed-dict"})
_NAMED_TUPLES: Final = frozenset({"call", "named-tuple"})
"""How pydantic reads them: as calls before 2.14, and before 2.12 with a title for each field."""
# Pydantic's message goes on with how to install the package; other messages may contain a path.
_MISSING_PACKAGE: Final = re.compile(r"[\w.-]+ is not installed")


@dataclasses.dataclass(frozen=True, eq=False)
class Definitions:
    """The schemas that other schemas refer to, by name."""

    by_name: Json


def schemas_of(types: Sequence[object]) -> tuple[list[Json], Definitions]:
    """Return a schema for each type, and the definitions that they share.

    A type that pydantic does not support has a note instead.
    """
    schemas = [_SCALARS.get(kind) if _is_hashable(kind) else None for kind in types]
    others = [kind for kind, schema in zip(types, schemas, strict=True) if schema is None]
    generated: tuple[list[Json], Definitions] | Exception = ([], Definitions({}))
    if others:
        generated = attempt(lambda: _call_pydantic(*others))
    if isinstance(generated, Exception):
        generated = _call_pydantic(*map(_or_note, others))
    pending = iter(generated[0])
    all_schemas = [next(pending) if schema is None else dict(schema) for schema in schemas]
    return all_schemas, generated[1]


def _or_note(annotation: object) -> object:
    """Return the type if pydantic supports it, else a type whose schema is a note."""
    built = attempt(lambda: _call_pydantic(annotation))
    if not isinstance(built, Exception):
        return annotation
    missing = _MISSING_PACKAGE.match(str(built)) if isinstance(built, ImportError) else None
    reason = type(built).__name__ if missing is None else missing.group()
    return _noted(f"{_described(annotation)} has no schema ({reason}); recorded as it is")


@memoized
def _call_pydantic(*types: object) -> tuple[list[Json], Definitions]:
    # One adapter for all types, so that definitions of equal names get different keys. It is of a
    # tuple, because an adapter of a model takes no configuration.
    ready = tuple(map(TypeNormalizer().normalize, types))
    config = ConfigDict(arbitrary_types_allowed=True)
    together: Any = GenericAlias(tuple, ready)
    adapter: TypeAdapter[Any] = TypeAdapter(together, config=config)
    schema = adapter.json_schema(by_alias=False, schema_generator=Generator)
    return schema["prefixItems"], Definitions(schema.get("$defs", {}))


def _noted(note: str) -> object:
    return Annotated[Any, WithJsonSchema({"$comment": note})]


def _opaque_note(name: str) -> str:
    return f"{name} has no schema; recorded as opaque"


def _opaque(annotation: object) -> object:
    return _noted(_opaque_note(_described(annotation)))


def _described(thing: object) -> str:
    """Return `module.Class` of a type, `Class` of a builtin, and a description of anything else."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    module = getattr(thing, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return f"an object of type {_described(type(thing))}"
    return name if module == "builtins" else f"{module}.{name}"


def _is_hashable(annotation: object) -> bool:
    """Return whether *annotation* can be looked up; forms with a list inside cannot."""
    return not isinstance(attempt(lambda: hash(annotation)), Exception)


class TypeNormalizer:
    """Normalizes the types of one callable; a class that occurs twice has one replacement."""

    def __init__(self) -> None:
        self._replaced: dict[object, object] = dict(_REPLACED)

    def normalize(self, annotation: object) -> Any:
        """Return the type for pydantic of a resolved annotation."""
        if annotation is None or isinstance(annotation, typing.TypeVar):
            return annotation
        if isinstance(annotation, type):
            return self._class(annotation)
        if is_paramspecargs(annotation) or is_paramspeckwargs(annotation):
            return Any
        if is_annotated(annotation):
            return annotated(self.normalize(annotation.__origin__), *annotation.__metadata__)
        if is_union(annotation):
            return typing.Union[tuple(map(self.normalize, typing.get_args(annotation)))]  # noqa: UP007
        return self._form(annotation) if _is_hashable(annotation) else _opaque(annotation)

    def _form(self, annotation: object) -> object:
        """Return the replacement of a form of `typing`, or of an object that is not a type."""
        if annotation in self._replaced:
            return self._replaced[annotation]
        if is_typealiastype(annotation):
            return self._alias(annotation)
        origin = typing.get_origin(annotation)
        if is_newtype(annotation) or origin in _QUALIFIERS:
            inner = typing.get_args(annotation) or (alias_value(annotation),)
            return self.normalize(inner[0])
        if isinstance(origin, type) or origin is Literal or is_typealiastype(origin):
            return self._generic(annotation, origin)
        if origin in _BOOLEANS:
            return bool
        return annotation if annotation is Any else _opaque(annotation)

    def _alias(self, alias: object) -> object:
        """Return an alias as it is, so that it keeps its name, unless its value has to change."""
        self._replaced[alias] = alias
        value = alias_value(alias)
        if value is not MISSING and not isinstance(value, str):
            normalized = self.normalize(value)
            self._replaced[alias] = alias if normalized == value else normalized
        return self._replaced[alias]

    def _generic(self, annotation: object, origin: object) -> object:
        args = typing.get_args(annotation)
        if origin in _ITERABLES:
            return GenericAlias(Iterable, self._arguments(args))
        if isinstance(origin, type) and (new := self._class(origin)) is not origin:
            if not isinstance(new, type) or new in _PLAIN:
                return new
            return GenericAlias(new, self._arguments(args))
        if getattr(origin, "__module__", None) not in _CONTAINER_MODULES or (
            not args or origin in _NO_CONTAINERS
        ):
            return annotation
        normalized = self._arguments(args)
        return annotation if normalized == args else GenericAlias(cast("type", origin), normalized)

    def _arguments(self, args: tuple[object, ...]) -> tuple[object, ...]:
        if any(unpacked(type_form) is not type_form for type_form in args):
            return (Any, ...)
        return tuple(
            type_form if type_form is Ellipsis else self.normalize(type_form) for type_form in args
        )

    def _class(self, cls: type) -> object:
        if cls in self._replaced:
            return self._replaced[cls]
        fields = fields_of(cls)
        is_known = hasattr(cls, "__pydantic_fields__") or _has_schema_hook(cls)
        return _other_class(cls) if fields is None or is_known else self._with_fields(cls, fields)

    def _with_fields(self, cls: type, fields: tuple[Field, ...]) -> object:
        """Return a class with the same fields, for which pydantic runs no code of *cls*."""
        infos = {field.name: field.read() for field in fields}
        new = _like(cls, fields, infos)
        for name in _IDENTITY:
            if (value := getattr(cls, name, MISSING)) is not MISSING:
                setattr(new, name, value)
        self._replaced[cls] = new  # before its fields are known: they may refer to *cls*
        new.__annotations__ = {name: self._of_field(info) for name, info in infos.items()}
        for field in dataclasses.fields(new) if "__dataclass_fields__" in vars(new) else ():
            field.type = new.__annotations__[field.name]
        return new

    def _of_field(self, info: AnnotationInfo) -> Any:
        if info.note is not None:
            return _noted(info.note)
        return Any if info.annotation is MISSING else self.normalize(info.annotation)


def _like(cls: Any, fields: Sequence[Field], infos: Mapping[str, AnnotationInfo]) -> Any:
    """Return a class of the same kind as *cls*, whose fields have no types yet."""
    if is_typed_dict(cls):
        new: Any = vars(typing_extensions)["TypedDict"](cls.__name__, {})
        required = {
            name
            for name, info in infos.items()
            if _is_required(info.annotation, default=name in cls.__required_keys__)
        }
        new.__required_keys__ = frozenset(required)
        new.__optional_keys__ = frozenset(infos.keys() - required)
        return new
    if is_named_tuple(cls):
        return type(cls.__name__, (cls,), {})
    return dataclasses.make_dataclass(
        cls.__name__, [(field.name, Any, _dataclass_field(field)) for field in fields]
    )


def _is_required(annotation: object, *, default: bool) -> bool:
    qualifiers = inspect_annotation(annotation, annotation_source=AnnotationSource.ANY).qualifiers
    return "required" in qualifiers or (default and "not_required" not in qualifiers)


def _dataclass_field(field: Field) -> Any:
    has_factory = field.optional and field.default is NO_DEFAULT
    return dataclasses.field(
        default=field.default,
        default_factory=object if has_factory else NO_DEFAULT,
        repr=field.hidden != NOT_IN_REPR,
        kw_only=True,
    )


def _has_schema_hook(cls: type) -> bool:
    return hasattr(cls, "__get_pydantic_core_schema__")


def _other_class(cls: Any) -> object:
    """Return the replacement of a class without fields; *cls* if pydantic can read it."""
    if issubclass(cls, enum.Enum):
        return cls if cls.__members__ else _opaque(cls)
    old_model = any(base.__module__.startswith("pydantic.v1") for base in cls.__mro__)
    if cls in _OPAQUE or is_protocol(cls) or old_model:
        return _opaque(cls)
    if not classes_of(cls).isdisjoint(ARRAYS):
        return _noted(f"{_described(cls)}: {BY_SHAPE}")
    # pydantic knows more about the classes in these modules than their base.
    is_known = cls.__module__ in {"builtins", "collections"} or _has_schema_hook(cls)
    return _RECORDED_AS.get(cls, cls if is_known else _plain_base(cls))


def _plain_base(cls: type) -> type:
    """Return the base class as which an object of *cls* is recorded, else *cls* itself."""
    for base in cls.__mro__:
        if base in _PLAIN:
            return base
        if base.__module__ == "numpy" and base.__name__ in _NUMPY:
            return _NUMPY[base.__name__]
    return cls


def unpacked(annotation: object) -> object:
    """Return the type in `Unpack[...]` or behind a star; any other *annotation* as it is.

    `typing.get_type_hints` returns `*tuple[int, ...]` as `Unpack` before Python 3.15.
    """
    if type(annotation) is GenericAlias and annotation.__unpacked__:
        return GenericAlias(cast("type", annotation.__origin__), annotation.__args__)
    is_wrapped = is_unpack(typing.get_origin(annotation))
    return typing.get_args(annotation)[0] if is_wrapped else annotation


class Generator(GenerateJsonSchema):
    """Generates the schema of the values that capture writes for a type."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Log nothing: the schema has a note instead."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Make no titles for fields: they would repeat the name."""
        del schema
        return False

    def field_is_present(self, field: Any) -> bool:
        """Leave out fields that only the constructor takes."""
        return not field.get("init_only")

    def handle_invalid_for_json_schema(self, schema: object, error_info: str) -> Json:
        """Return a note instead of an error."""
        del error_info
        core = cast("Mapping[str, Any]", schema)
        name = _described(core["cls"]) if "cls" in core else f"a {core['type']}"
        return {"$comment": _opaque_note(name)}

    def encode_default(self, dft: object) -> Raw:
        """Keep the value as it is, for redaction."""
        return Raw(dft)

    def generate_inner(self, schema: Any) -> Json:
        """Remove the titles that pydantic makes, and the values that authors of classes hid."""
        generated = super().generate_inner(schema)
        ref = generated.get("$ref")
        content = (self.get_schema_from_definitions(JsonRef(ref)) if ref else generated) or {}
        if schema["type"] in _CLASSES and "cls" in schema:
            _clean_class(content, schema["cls"])
        elif schema["type"] in _NAMED_TUPLES:
            cls = schema.get("cls") or schema["function"]
            if isinstance(cls, type):
                _clean_named_tuple(content, cls)
        return generated

    def callable_schema(self, schema: core_schema.CallableSchema) -> Json:
        """Return a note: a callable is recorded as opaque."""
        del schema
        return {"$comment": _opaque_note("Callable")}

    def is_subclass_schema(self, schema: core_schema.IsSubclassSchema) -> Json:
        """Return a note: a class is recorded as opaque."""
        del schema
        return {"$comment": _opaque_note("type")}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> Json:
        """Return a string: numbers would lose digits."""
        del schema
        return {"type": "string", "format": "decimal"}

    def dict_schema(self, schema: core_schema.DictSchema) -> Json:
        """Return an object with any keys, which are strings; the same from every pydantic."""
        kept = _without(super().dict_schema(schema), "propertyNames")
        return kept if "patternProperties" in kept else {"additionalProperties": True, **kept}

    def json_schema(self, schema: core_schema.JsonSchema) -> Json:
        """Return a string or its content: a model keeps the value that was parsed."""
        inner = self.generate_inner(schema["schema"]) if "schema" in schema else {}
        return {"anyOf": [inner, {"type": "string"}]} if inner else {}

    def set_schema(self, schema: core_schema.SetSchema) -> Json:
        """Return an array whose items may repeat: two redacted items are equal."""
        return _without(super().set_schema(schema), "uniqueItems")

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> Json:
        """Return an array, as for a set."""
        return _without(super().frozenset_schema(schema), "uniqueItems")

    def literal_schema(self, schema: core_schema.LiteralSchema) -> Json:
        """Return the values, sorted: `typing` caches equal literals, whatever their order.

        `List[Literal["a", "b"]]` and `List[Literal["b", "a"]]` are one cached object, so the
        author's order depends on what was imported first.
        """
        return _enumeration(sorted(map(_value_of, schema["expected"]), key=_rank))

    def enum_schema(self, schema: core_schema.EnumSchema) -> Json:
        """Return the values of the members in their order; a flag is any integer."""
        cls = cast("type[enum.Enum]", schema["cls"])
        described: Json = {"description": cls.__doc__} if cls.__doc__ else {}
        if issubclass(cls, enum.Flag):
            return {**described, "type": "integer"}
        return described | _enumeration([*map(_value_of, schema["members"])])


def _without(schema: Json, keyword: str) -> Json:
    return {key: value for key, value in schema.items() if key != keyword}


def _enumeration(values: Sequence[object]) -> Json:
    """Return the schema of one of *values*, which are still raw."""
    raw = list(map(Raw, values))
    enumerated: Json = {"const": raw[0]} if len(raw) == 1 else {"enum": raw}
    types = {type(value) for value in values}
    if len(types) == 1 and (name := _JSON_TYPES.get(types.pop())):
        enumerated["type"] = name
    return enumerated


def _value_of(member: object) -> object:
    """Return the value of an enum's member, and anything else as it is."""
    return cast("object", member.value) if isinstance(member, enum.Enum) else member


def _rank(value: object) -> tuple[str, str]:
    plain = isinstance(value, str | int | float | bytes)
    return type(value).__name__, str(value) if plain else ""


def _clean_class(schema: Json, cls: Any) -> None:
    """Remove from the schema of a class its title, unless chosen, and the redacted values."""
    config: Mapping[str, object] = (
        getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None) or {}
    )
    chosen = config.get("title") or config.get("model_title_generator")
    if not chosen and schema.get("title") == cls.__name__:
        del schema["title"]
    # pydantic reads the docstring of a dataclass since 2.13; Python's own says nothing.
    doc = cls.__doc__ if hasattr(cls, "__dataclass_fields__") else None
    if doc and not doc.startswith(f"{cls.__name__}("):
        schema.setdefault("description", doc)
    properties: dict[str, Json] = schema.get("properties", {})
    for name, rule in _redacted_fields(cls).items():
        if name in properties:
            properties[name] = redacted_schema(properties[name], rule)


def _clean_named_tuple(schema: Json, cls: Any) -> None:
    """Add the names of the fields to the items of a named tuple, and remove their titles."""
    redacted = _redacted_fields(cls)
    items: list[Json] = schema.get("prefixItems", [])
    for position, (name, item) in enumerate(zip(getattr(cls, "_fields", ()), items, strict=False)):
        item.pop("title", None)
        rule = redacted.get(name)
        items[position] = {**(redacted_schema(item, rule) if rule else item), NAME: name}


def _redacted_fields(cls: type) -> Mapping[str, str]:
    rules = {field.name: rule_of(info) or field.hidden for field, info in annotated_fields_of(cls)}
    return {name: rule for name, rule in rules.items() if rule is not None}
