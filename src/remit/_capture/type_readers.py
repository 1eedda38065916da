"""Type readers: how the values of a type are read, with one reader for each type.

A reader refers to names and to methods of base types but not to the class, so that the class can be
garbage-collected; its reader is removed then.
"""

from __future__ import annotations

import collections
import enum
import gc
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from functools import partial
from typing import Any, Final, cast

from msgspec import Struct
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from remit._base import markers
from remit._base.guard import attempt
from remit._capture.arrays import array_reader, numpy_scalar_reader
from remit._capture.rules.categories import category_of_name, category_of_type
from remit._capture.rules.names import name_rule
from remit._capture.rules.patterns import key_shaped
from remit._capture.rules.switches import SECRET_TYPE, SENSITIVE_MARK
from remit._capture.scalars import scalar_reader
from remit._inspect.annotations import SECRETS, AnnotationInfo, is_secret
from remit._inspect.fields import annotated_fields_of, fields_of, hidden_by
from remit._inspect.introspection import (
    ABSENT,
    DICT,
    DICTS,
    TUPLE,
    has_dict,
    is_a,
    is_class,
    is_one_of,
    lookup,
    module_of,
    mro,
    name_of,
    own_attribute,
    snapshot,
    stores,
    type_name,
)


class ValueKind(IntEnum):
    """The kind of a value; the walk has a method for each."""

    SCALAR = 0
    """`plain` returns a str, a number, True, False, None, or a marker."""
    SECRET = 1
    UNWRAP = 2
    """`plain` returns the value inside this one, or this one if there is none.

    Where that is a field, as the root of a model is, it is redacted as one.
    """
    ITEMS = 3
    SET = 4
    MAPPING = 5
    FIELDS = 6
    """An object with declared fields."""
    NAMED_TUPLE = 7
    """Written as a list, redacted by its fields."""


_UNUSED: Final[Any] = len
"""Default of functions that a kind does not use."""


class FieldRules(Struct, frozen=True):
    """One field of a class, with its rules.

    Attributes:
        name_rule: The rule of its name, which does not redact None and booleans.
        category: The data category of its mark, type or name.
        generic: Its type is a type variable without an argument; the annotation of the parameter
            decides what is redacted.
        slot: It is a slot of the class, not an entry of the instance's dict.
    """

    name: str
    rule: str | None
    name_rule: str | None
    category: str | None
    slot: bool
    generic: bool = False


class TypeReader(Struct, frozen=True):
    """How the values of one type are read; which attributes are used depends on the kind."""

    kind: ValueKind
    name: str
    plain: Callable[[Any], object] = _UNUSED
    size: Callable[[Any], int] = _UNUSED
    iterate: Callable[[Any], Iterable[Any]] = _UNUSED
    last: Callable[[Any, int], tuple[Any, ...]] = _UNUSED
    fields: tuple[FieldRules, ...] = ()
    has_dict: bool = False
    extra: bool = False
    category: str | None = None
    is_iterator: bool = False


READERS: Final[dict[int, TypeReader]] = {}
"""By the `id` of the class: a third of what a `WeakKeyDictionary` costs for each value."""

_CLASSES: Final[dict[int, weakref.ref[type]]] = {}
"""Removes the reader when its class is collected."""


def reader_of(cls: type) -> TypeReader:
    """Return the reader of *cls*; create it at the first call."""
    reader = READERS.get(id(cls))
    if reader is None:
        built = attempt(lambda: _reader(cls))
        if isinstance(built, (RecursionError, MemoryError)):
            raise built  # says nothing of the type
        reader = _opaque(cls) if isinstance(built, Exception) else built
        key = id(cls)
        _CLASSES[key] = weakref.ref(cls, lambda _: _forget(key))
        READERS[key] = reader
    return reader


def _forget(key: int) -> None:
    READERS.pop(key, None)
    _CLASSES.pop(key, None)


def _reader(cls: type) -> TypeReader:
    return next(reader for find in _READER_FACTORIES if (reader := find(cls)) is not None)


def _safe_name(cls: type) -> str:
    """Return the type's name for a marker, unless it contains a key."""
    name = type_name(cls)
    return name if key_shaped(name) is None else "redacted"


def _opaque(cls: type) -> TypeReader:
    name = _safe_name(cls)
    steps = (lookup(cls, "__next__"), lookup(cls, "__anext__"))
    return TypeReader(
        ValueKind.SCALAR,
        name,
        plain=lambda _: markers.opaque(name),
        is_iterator=any(step is not None and step is not ABSENT for step in steps),
    )


def _opaque_kind(cls: type) -> TypeReader | None:
    """Return the reader of exceptions, modules and classes, which are opaque."""
    kinds = (BaseException, types.ModuleType, type)
    return _opaque(cls) if is_one_of(cls, *kinds) else None


def _secret(cls: type) -> TypeReader | None:
    if not is_secret(cls):
        return None
    return TypeReader(ValueKind.SECRET, _safe_name(cls), has_dict=has_dict(cls))


def _unwrapped(cls: type) -> TypeReader | None:
    name = _safe_name(cls)
    if is_one_of(cls, enum.Enum) and has_dict(cls):
        return TypeReader(ValueKind.UNWRAP, name, plain=partial(_from_dict, "_value_"))
    if _is_root_model(cls) and has_dict(cls):
        read = partial(_from_dict, "root")
        return TypeReader(ValueKind.UNWRAP, name, plain=read, fields=_fields(cls))
    if _is_url(cls) and has_dict(cls):
        return TypeReader(ValueKind.UNWRAP, name, plain=partial(_from_dict, "_url"))
    if cls is types.SimpleNamespace:
        return TypeReader(ValueKind.UNWRAP, name, plain=_instance_dict)
    if cls is types.MappingProxyType:
        return TypeReader(ValueKind.UNWRAP, name, plain=_dict_of_proxy)
    return None


def _is_root_model(cls: type) -> bool:
    # The class `RootModel` itself is not imported: that builds a schema, and so loads every
    # installed plugin of pydantic.
    return is_one_of(cls, BaseModel) and lookup(cls, "__pydantic_root_model__") is True


def _is_url(cls: type) -> bool:
    """Return whether *cls* is one of pydantic's classes that wrap a URL of pydantic-core."""
    # Imported already if there is such a class; importing it would cost 5 ms.
    networks = vars(sys.modules.get("pydantic.networks", object))
    known = (networks.get("AnyUrl"), networks.get("PostgresDsn"))
    return is_one_of(cls, *(mro(each)[-2] for each in known if isinstance(each, type)))


def _from_dict(name: str, value: object) -> object:
    item: object = DICT.get(_instance_dict(value), name)
    return item


def _instance_dict(value: object) -> dict[str, object]:
    attributes: dict[str, object] = own_attribute(value, "__dict__")
    return attributes


def _dict_of_proxy(value: object) -> object:
    """Return the dict behind a read-only view; other mappings are not read."""
    # No other way leads to it without a call of the mapping's own methods.
    behind: object = next(iter(gc.get_referents(value)), None)
    return behind if is_a(behind, dict) else value


def _with_fields(cls: type) -> TypeReader | None:
    if fields_of(cls) is None:
        return None
    name = _safe_name(cls)
    if is_one_of(cls, tuple):
        size, iterate = TUPLE.__len__, TUPLE.__iter__
        return TypeReader(
            ValueKind.NAMED_TUPLE, name, size=size, iterate=iterate, fields=_fields(cls)
        )
    extra = is_one_of(cls, BaseModel) and stores(cls, "__pydantic_extra__")
    return TypeReader(
        ValueKind.FIELDS, name, fields=_fields(cls), has_dict=has_dict(cls), extra=extra
    )


def _fields(cls: type) -> tuple[FieldRules, ...]:
    return tuple(
        FieldRules(
            name=field.name,
            rule=rule_of(info) or field.hidden,
            name_rule=name_rule(field.name),
            category=category_of(info, field.name),
            slot=stores(cls, field.name),
            generic=info.generic,
        )
        for field, info in annotated_fields_of(cls)
    )


def category_of(info: AnnotationInfo, name: str) -> str | None:
    """Return the data category of a mark, else of a type, else of the name."""
    return info.category or type_category(info) or category_of_name(name)


class MarkedKey(Struct, frozen=True):
    """The declaration of the values under a key.

    Attributes:
        category: Their data category, None if it is not known.
    """

    rule: str
    category: str | None


def rule_of_mark(category: str) -> str:
    """Return the rule of a mark of *category*, as `AnnotationInfo` has it."""
    return SECRET_TYPE if category == SECRETS else SENSITIVE_MARK


def rule_of(info: AnnotationInfo) -> str | None:
    """Return the rule by which an annotation redacts its value, else None."""
    if info.category is not None:
        return rule_of_mark(info.category)
    hidden = (
        hidden_by(cast("FieldInfo", part))
        for part in info.parts
        if issubclass(type(part), FieldInfo)  # `isinstance` would ask the object
    )
    return next(filter(None, hidden), None)


def type_category(info: AnnotationInfo) -> str | None:
    """Return the data category that a type in an annotation shows, else None."""
    return category_of_any(filter(is_class, info.parts))


def category_of_any(classes: Iterable[type]) -> str | None:
    categories = (category_of_type(module_of(cls), name_of(cls)) for cls in classes)
    return next(filter(None, categories), None)


def _scalar(cls: type) -> TypeReader | None:
    read = scalar_reader(cls)
    if read is None:
        return None
    return TypeReader(
        ValueKind.SCALAR, _safe_name(cls), plain=read, category=category_of_any(mro(cls))
    )


_EMPTY: Final[dict[object, object]] = {}
_SEQUENCES: Final[tuple[Any, ...]] = (
    *(list, tuple, collections.deque),
    *(type(view) for view in (_EMPTY.keys(), _EMPTY.values(), _EMPTY.items())),
)
_SETS: Final[tuple[Any, ...]] = (set, frozenset)

_CONTAINERS: Final[tuple[tuple[type, ValueKind, Any, Any], ...]] = (
    *((base, ValueKind.ITEMS, base.__len__, base.__iter__) for base in _SEQUENCES),
    *((base, ValueKind.SET, base.__len__, base.__iter__) for base in _SETS),
    *((base, ValueKind.MAPPING, base.__len__, base.items) for base in DICTS),
)


def _last_of(base: Any) -> Callable[[Any, int], tuple[Any, ...]]:
    """Return a function that returns the last items of a sequence, in their order."""
    if base is tuple:  # the only one that cannot be iterated from its end
        return lambda value, count: TUPLE.__getitem__(
            value, slice(-count, None) if count else slice(0)
        )
    return lambda value, count: snapshot(base.__reversed__(value), count)[::-1]


def _container(cls: type) -> TypeReader | None:
    for base, kind, size, iterate in _CONTAINERS:
        if is_one_of(cls, base):
            last = _last_of(base) if kind is ValueKind.ITEMS else _UNUSED
            return TypeReader(kind, _safe_name(cls), size=size, iterate=iterate, last=last)
    return None


def _array(cls: type) -> TypeReader | None:
    read = array_reader(cls)
    if read is not None:
        return TypeReader(ValueKind.SCALAR, _safe_name(cls), plain=read)
    read = numpy_scalar_reader(cls)
    return None if read is None else TypeReader(ValueKind.UNWRAP, _safe_name(cls), plain=read)


_READER_FACTORIES: Final[tuple[Callable[[type], TypeReader | None], ...]] = (
    _opaque_kind,
    _secret,
    _unwrapped,
    _with_fields,
    _scalar,
    _container,
    _array,
    _opaque,
)


def stored_fields(value: object, reader: TypeReader) -> Iterator[tuple[FieldRules, object]]:
    """Yield the fields of an object that have a value."""
    attributes: dict[str, object] = own_attribute(value, "__dict__") if reader.has_dict else {}
    for field in reader.fields:
        if field.slot:
            item = _slot(value, field.name)
        else:
            item = DICT.get(attributes, field.name, ABSENT)
            if item is ABSENT:
                # A default that only the class has; a property there is an opaque object.
                item = lookup(type(value), field.name)
        if item is not ABSENT:
            yield field, item


def _slot(value: object, name: str) -> object:
    try:
        return own_attribute(value, name)
    except AttributeError:  # never set
        return ABSENT


def extra_fields(value: object) -> dict[object, object]:
    """Return the fields of a model that its class does not declare."""
    extra = _slot(value, "__pydantic_extra__")
    if extra is None or not is_a(extra, dict):
        return {}
    return cast("dict[object, object]", extra)
