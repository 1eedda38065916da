"""The fields of a class as its author declared them: name, annotation, and whether it is hidden.

Read from what the libraries leave in the class, never from an instance.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from remit._annotations import own_annotations
from remit._capture.rules import EXCLUDED_FIELD, UNSHOWN_FIELD
from remit._capture.statics import (
    TUPLE,
    is_a,
    is_class,
    is_one_of,
    kind_of,
    lookup,
    module_of,
    mro,
    namespace,
)
from remit._guard import attempt

_STRUCT_FIELDS: Final[Any] = type(msgspec.Struct).__dict__["__struct_fields__"].__get__


class DeclaredField(Struct, frozen=True):
    """One field of a class.

    Attributes:
        name: As written, never an alias.
        annotation: As found; may be a string.
        module: The module in which the names of a string annotation are looked up.
        metadata: What pydantic took out of `Annotated`.
        hidden: The rule by which its author hid it, else None.
    """

    name: str
    annotation: object
    module: str
    metadata: tuple[object, ...] = ()
    hidden: str | None = None


def declared_fields(cls: type) -> tuple[DeclaredField, ...] | None:
    """Return the fields of a model, dataclass, attrs class, Struct, NamedTuple or TypedDict.

    Returns:
        None if *cls* is none of them.
    """
    for read in _READERS:
        found = read(cls)
        if found is not None:
            return tuple(found)
    return None


# Uncounted: a type whose fields cannot be read is a result, not a fault.
def given_to(cls: type) -> Mapping[object, tuple[object, ...]]:
    """Return what the bases of *cls* are given for their type variables: `class Ids(Box[int])`."""
    found: dict[object, tuple[object, ...]] = {}
    for each in mro(cls):
        bases = namespace(each).get("__orig_bases__")
        for base in TUPLE.__iter__(bases) if type(bases) is tuple else ():
            origin = typing.get_origin(base)
            parameters: object = lookup(origin, "__parameters__") if is_class(origin) else ()
            if type(parameters) is tuple:
                pairs = zip(TUPLE.__iter__(parameters), typing.get_args(base), strict=False)
                for parameter, given in pairs:
                    known = found.get(given, ()) if type(given) is TypeVar else ()
                    found[parameter] = (*found.get(parameter, ()), given, *known)
    return found


def _pydantic(cls: type) -> Iterator[DeclaredField] | None:
    if not is_one_of(cls, BaseModel):
        return None
    found = lookup(cls, "__pydantic_fields__")
    # `BaseModel` itself has none, and may be what a parameter is annotated with.
    return _of_field_infos(cls, found if is_a(found, dict) else {})


def _of_field_infos(cls: type, infos: Mapping[str, FieldInfo]) -> Iterator[DeclaredField]:
    for name, info in infos.items():
        yield DeclaredField(
            name, info.annotation, _home(cls, name), tuple(info.metadata), hidden_by(info)
        )


def hidden_by(info: FieldInfo) -> str | None:
    """Return the rule by which a pydantic field is hidden, else None."""
    return EXCLUDED_FIELD if info.exclude else None if info.repr else UNSHOWN_FIELD


def _dataclass(cls: type) -> Iterator[DeclaredField] | None:
    found = lookup(cls, "__dataclass_fields__")
    return _of_dataclass(cls, found) if is_a(found, dict) else None


def _of_dataclass(cls: type, found: Mapping[str, Any]) -> Iterator[DeclaredField]:
    infos = lookup(cls, "__pydantic_fields__")
    by_name: dict[str, FieldInfo] = infos if is_a(infos, dict) else {}
    for name, each in found.items():
        # `ClassVar` and `InitVar` are in the dict too, marked as another kind of field.
        if is_a(each, dataclasses.Field) and _is_stored(each):
            hidden = None if each.repr else UNSHOWN_FIELD
            info = by_name.get(name)
            if info is None:
                yield DeclaredField(name, each.type, _home(cls, name), (), hidden)
            else:
                metadata = tuple(info.metadata)
                hidden = hidden_by(info) or hidden
                yield DeclaredField(name, info.annotation, _home(cls, name), metadata, hidden)


def _is_stored(each: Any) -> bool:  # noqa: ANN401 - the kind of a field is private to dataclasses
    return each._field_type is dataclasses._FIELD  # type: ignore[attr-defined] # noqa: SLF001


def _attrs(cls: type) -> Iterator[DeclaredField] | None:
    found = lookup(cls, "__attrs_attrs__")
    return _of_attrs(cls, found) if is_a(found, tuple) else None


def _of_attrs(cls: type, found: object) -> Iterator[DeclaredField]:
    for each in TUPLE.__iter__(found):
        if module_of(kind_of(each)).partition(".")[0] in {"attr", "attrs"}:
            hidden = None if each.repr else UNSHOWN_FIELD
            yield DeclaredField(each.name, each.type, _home(cls, each.name), (), hidden)


def _struct(cls: type) -> Iterator[DeclaredField] | None:
    if not is_one_of(cls, msgspec.Struct):
        return None
    return (_annotated(cls, name) for name in _STRUCT_FIELDS(cls))


def _named_tuple(cls: type) -> Iterator[DeclaredField] | None:
    names = lookup(cls, "_fields")
    if not is_one_of(cls, tuple) or not is_a(names, tuple):
        return None
    return (_annotated(cls, name) for name in TUPLE.__iter__(names) if type(name) is str)


def _typed_dict(cls: type) -> Iterator[DeclaredField] | None:
    if type(lookup(cls, "__total__")) is not bool or not is_one_of(cls, dict):
        return None
    return (_annotated(cls, name) for name in _annotations(cls))


_READERS: Final[tuple[Callable[[type], Iterator[DeclaredField] | None], ...]] = (
    _pydantic,
    _dataclass,
    _attrs,
    _struct,
    _named_tuple,
    _typed_dict,
)


def _annotated(cls: type, name: str) -> DeclaredField:
    annotation = next(
        (found[name] for each in mro(cls) if name in (found := _annotations(each))), None
    )
    return DeclaredField(name, annotation, _home(cls, name))


def _home(cls: type, name: str) -> str:
    """Return the module of the class that declares *name*."""
    owner = next((each for each in mro(cls) if name in _annotations(each)), cls)
    return module_of(owner)


def _annotations(cls: type) -> Mapping[str, object]:
    found = attempt(partial(own_annotations, cls))
    return {} if isinstance(found, Exception) else found
