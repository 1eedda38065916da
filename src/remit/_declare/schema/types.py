# Uncounted: a type that cannot be read is a result, not a fault.
"""Normalizes types for pydantic, in the same way on every Python.

pydantic rejects `typing.TypedDict` before Python 3.12, warns about objects that are no type, and
reads constructors where a payload holds fields. Each such part of a type is replaced, so that the
other parts keep their schema.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import fractions
import re
import typing
import uuid
import zoneinfo
from collections import deque
from collections.abc import Collection, Container, Iterable, Mapping, Reversible
from enum import Enum
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, Final, Literal, cast

import typing_extensions
from pydantic import WithJsonSchema
from typing_extensions import is_protocol
from typing_inspection.introspection import AnnotationSource, inspect_annotation
from typing_inspection.typing_objects import is_newtype, is_typealiastype

from remit._base.guard import attempt
from remit._capture.arrays import ARRAYS
from remit._inspect.annotations import (
    MISSING,
    AnnotationInfo,
    alias_value,
    annotated,
    class_scope,
    is_annotated,
    is_union,
)
from remit._inspect.fields import (
    NO_DEFAULT,
    NOT_IN_REPR,
    Field,
    fields_of,
    is_named_tuple,
    is_typed_dict,
)

UNPACK: Final[frozenset[object]] = frozenset({typing.Unpack, typing_extensions.Unpack})
_QUALIFIERS: Final[frozenset[object]] = frozenset(
    {
        typing.ClassVar,
        typing.Final,
        typing.NotRequired,
        typing.Required,
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
        bool,
        bytes,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
        decimal.Decimal,
        deque,
        dict,
        float,
        frozenset,
        int,
        list,
        set,
        str,
        tuple,
        uuid.UUID,
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
BY_SHAPE: Final = "recorded by type, shape and dtype"
"""The end of an array's note."""


def opaque(name: str) -> dict[str, Any]:
    """Return the schema of a type that has none, with a note that says so."""
    return schema_with_note(f"{name} has no schema; recorded as opaque")


def schema_with_note(note: str) -> dict[str, Any]:
    """Return a schema that allows everything, with a note."""
    return {"$comment": note}


def type_name(thing: object) -> str:
    """Return `module.Class` of a type, `Class` of a builtin, and a description of anything else."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    module = getattr(thing, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return f"an object of type {type_name(type(thing))}"
    return name if module == "builtins" else f"{module}.{name}"


def is_hashable(annotation: object) -> bool:
    """Return whether *annotation* can be looked up; forms with a list inside cannot."""
    return not isinstance(attempt(lambda: hash(annotation)), Exception)


class TypeNormalizer:
    """Normalizes the types of one callable; a class that occurs twice has one replacement."""

    def __init__(self) -> None:
        """Start without replaced classes."""
        self._replaced: dict[object, object] = dict(_REPLACED)

    def normalize(self, annotation: object) -> Any:  # noqa: ANN401 - any type form
        """Return the type for pydantic of a resolved annotation."""
        if annotation is None or isinstance(annotation, typing.TypeVar):
            return annotation
        if isinstance(annotation, type):
            return self._class(annotation)
        if is_annotated(annotation):
            return annotated(self.normalize(annotation.__origin__), *annotation.__metadata__)
        if is_union(annotation):
            return typing.Union[tuple(map(self.normalize, typing.get_args(annotation)))]  # noqa: UP007
        return self._form(annotation) if is_hashable(annotation) else _opaque(annotation)

    def _form(self, annotation: object) -> object:
        """Return the replacement of a form of `typing`, or of an object that is no type."""
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

    def _class(self, cls: type) -> object:
        if cls in self._replaced:
            return self._replaced[cls]
        fields = fields_of(cls)
        if fields is not None and is_typed_dict(cls):
            return self._typed_dict(cls, fields)
        if fields is not None and is_named_tuple(cls):
            return self._named_tuple(cls, fields)
        if fields is not None and not _is_known_to_pydantic(cls):
            return self._record(cls, fields)
        return _other_class(cls)

    def _alias(self, alias: object) -> object:
        """Return an alias as it is, so that it keeps its name, unless its value has to change."""
        self._replaced[alias] = alias
        value = alias_value(alias)
        if value is MISSING or isinstance(value, str):
            return alias
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
        if not args or getattr(origin, "__module__", None) not in _CONTAINER_MODULES:
            return annotation
        if origin in _NO_CONTAINERS:
            return annotation
        normalized = self._arguments(args)
        return annotation if normalized == args else GenericAlias(cast("type", origin), normalized)

    def _arguments(self, args: tuple[object, ...]) -> tuple[object, ...]:
        if any(typing.get_origin(type_form) in UNPACK for type_form in args):
            return (Any, ...)
        return tuple(
            type_form if type_form is Ellipsis else self.normalize(type_form) for type_form in args
        )

    def _typed_dict(self, cls: Any, fields: tuple[Field, ...]) -> object:  # noqa: ANN401 - typing has no name for it
        make: Any = typing_extensions.TypedDict
        new: Any = make(cls.__name__, {})
        self._replace(cls, new)
        scope = class_scope(cls)
        infos = {field.name: scope.read(field.annotation) for field in fields}
        required = {
            name
            for name, info in infos.items()
            if _is_required(info.annotation, default=name in cls.__required_keys__)
        }
        new.__annotations__ = {name: self._of_field(info) for name, info in infos.items()}
        new.__required_keys__ = frozenset(required)
        new.__optional_keys__ = frozenset(infos.keys() - required)
        return new

    def _named_tuple(self, cls: type, fields: tuple[Field, ...]) -> object:
        new: Any = type(cls.__name__, (cls,), {})
        self._replace(cls, new)
        new.__annotations__ = {
            field.name: self._of_field(class_scope(field.owner).read(field.annotation))
            for field in fields
        }
        return new

    def _record(self, cls: type, fields: tuple[Field, ...]) -> object:
        new: Any = dataclasses.make_dataclass(
            cls.__name__, [(field.name, Any, _dataclass_field(field)) for field in fields]
        )
        self._replace(cls, new)
        for field, made in zip(fields, dataclasses.fields(new), strict=True):
            made.type = self._of_field(class_scope(field.owner).read(field.annotation))
            new.__annotations__[field.name] = made.type
        return new

    def _replace(self, cls: type, new: type) -> None:
        """Replace *cls* before the fields of *new* are known: they may refer to *cls*."""
        for name in _IDENTITY:
            if (value := getattr(cls, name, MISSING)) is not MISSING:
                setattr(new, name, value)
        self._replaced[cls] = new

    def _of_field(self, info: AnnotationInfo) -> Any:  # noqa: ANN401 - any type form
        if info.note is not None:
            return Annotated[Any, WithJsonSchema(schema_with_note(info.note))]
        return Any if info.annotation is MISSING else self.normalize(info.annotation)


_IDENTITY: Final = (
    *("__module__", "__qualname__", "__doc__"),
    *("__parameters__", "__pydantic_config__"),
)
"""Attributes that the replacement of a class takes over from it."""


def _is_known_to_pydantic(cls: type) -> bool:
    return hasattr(cls, "__pydantic_fields__") or hasattr(cls, "__get_pydantic_core_schema__")


def _other_class(cls: Any) -> object:  # noqa: ANN401 - any class
    """Return the replacement of a class that is no record; *cls* if pydantic can read it."""
    if issubclass(cls, Enum):
        return cls if cls.__members__ else _opaque(cls)
    packages = {(base.__module__.partition(".")[0], base.__name__) for base in cls.__mro__}
    old_model = any(base.__module__.startswith("pydantic.v1") for base in cls.__mro__)
    if cls in _OPAQUE or is_protocol(cls) or old_model:
        return _opaque(cls)
    if packages.intersection(ARRAYS):
        return Annotated[Any, WithJsonSchema(schema_with_note(f"{type_name(cls)}: {BY_SHAPE}"))]
    return _recorded_as(cls)


def _recorded_as(cls: type) -> type:
    """Return the base class as which an object of *cls* is recorded, else *cls* itself."""
    if cls in _RECORDED_AS:
        return _RECORDED_AS[cls]
    # Of the classes in these modules pydantic knows more than their base.
    known = cls.__module__ in {"builtins", "collections"}
    if known or hasattr(cls, "__get_pydantic_core_schema__"):
        return cls
    for base in cls.__mro__:
        if base in _PLAIN:
            return base
        if base.__module__ == "numpy" and base.__name__ in _NUMPY:
            return _NUMPY[base.__name__]
    return cls


def _dataclass_field(field: Field) -> Any:  # noqa: ANN401 - what `make_dataclass` takes
    """Return *field* as a keyword-only field of a dataclass."""
    made = field.optional and field.default is NO_DEFAULT
    return dataclasses.field(
        default=field.default,
        default_factory=object if made else NO_DEFAULT,
        repr=field.hidden != NOT_IN_REPR,
        kw_only=True,
    )


def _opaque(annotation: object) -> object:
    return Annotated[Any, WithJsonSchema(opaque(type_name(annotation)))]


def _is_required(annotation: object, *, default: bool) -> bool:
    """Return whether a key of a TypedDict must be present."""
    qualifiers = inspect_annotation(annotation, annotation_source=AnnotationSource.ANY).qualifiers
    return "required" in qualifiers or (default and "not_required" not in qualifiers)
