"""Classes whose payload is made of their fields, and what their authors said of each.

Dataclasses, attrs classes and Structs are read from what the libraries leave in the class, so
that none of them is imported for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from pydantic import BaseModel

from remit._annotations import MISSING, own_annotations

NO_DEFAULT: Final[Any] = dataclasses.MISSING


class StoredField(Struct, frozen=True):
    """One field that objects of a class hold.

    Attributes:
        name: As written.
        hint: The annotation, as it stands in the class; `MISSING` without one.
        owner: The class whose body it stands in.
        default: The default, or `NO_DEFAULT`.
        optional: There is a default, a value or one that is made for each object.
        shown: Its author did not hide it.
    """

    name: str
    hint: object
    owner: type
    default: Any
    optional: bool
    shown: bool


def annotation_of(cls: type, name: str) -> tuple[object, type]:
    """Return the annotation of a field, and the class whose body it stands in."""
    for each in cls.__mro__:
        annotations = own_annotations(each)
        if name in annotations:
            return annotations[name], each
    return MISSING, cls


def pydantic_fields(cls: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - any class
    """Return the fields of a model or a pydantic dataclass, None for another class."""
    found: Mapping[str, Any] | None = (
        cls.model_fields
        if issubclass(cls, BaseModel)
        else getattr(cls, "__pydantic_fields__", None)
    )
    return found


def is_named_tuple(cls: type) -> bool:
    """Return whether *cls* is a tuple whose positions have names."""
    return tuple in cls.__mro__ and hasattr(cls, "_fields")


def stored_fields(cls: type) -> tuple[StoredField, ...] | None:
    """Return the fields of a class, None if it is none of these kinds."""
    if hasattr(cls, "__pydantic_fields__") or hasattr(cls, "__get_pydantic_core_schema__"):
        return None
    for mark, read in _READERS.items():
        if hasattr(cls, mark):
            return tuple(read(cls))
    return None


def _of_dataclass(cls: Any) -> Iterator[StoredField]:  # noqa: ANN401 - any dataclass
    for each in dataclasses.fields(cls):
        _, owner = annotation_of(cls, each.name)
        optional = each.default is not NO_DEFAULT or each.default_factory is not NO_DEFAULT
        yield StoredField(each.name, each.type, owner, each.default, optional, each.repr)


def _of_attrs(cls: Any) -> Iterator[StoredField]:  # noqa: ANN401 - any attrs class
    for each in cls.__attrs_attrs__:
        hint, owner = annotation_of(cls, each.name)
        hint = each.type or MISSING if hint is MISSING else hint
        given = type(each.default).__name__
        default = NO_DEFAULT if given in {"_Nothing", "Factory"} else each.default
        yield StoredField(each.name, hint, owner, default, given != "_Nothing", bool(each.repr))


def _of_struct(cls: Any) -> Iterator[StoredField]:  # noqa: ANN401 - any msgspec Struct
    names: Sequence[str] = cls.__struct_fields__
    defaults: Sequence[object] = cls.__struct_defaults__
    for number, name in enumerate(names, start=len(defaults) - len(names)):
        hint, owner = annotation_of(cls, name)
        default = defaults[number] if number >= 0 else NO_DEFAULT
        given = type(default).__name__
        optional = default is not NO_DEFAULT and given != "NoDefaultType"
        made = given in {"Factory", "NoDefaultType"}
        yield StoredField(name, hint, owner, NO_DEFAULT if made else default, optional, shown=True)


_READERS: Final[dict[str, Callable[[Any], Iterator[StoredField]]]] = {
    "__dataclass_fields__": _of_dataclass,
    "__attrs_attrs__": _of_attrs,
    "__struct_fields__": _of_struct,
}
"""By the attribute that tells the kind."""
