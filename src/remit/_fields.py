# Uncounted: a class whose fields cannot be read is a result, not a fault.
"""The fields of a class as its author declared them: name, annotation, default, hidden or not.

They are read from what the libraries store in the class, never from an instance: models,
dataclasses, attrs classes, Structs, NamedTuples and TypedDicts.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import is_typeddict

from remit._annotations import (
    MISSING,
    AnnotationInfo,
    Given,
    annotated,
    class_scope,
    own_annotations,
)
from remit._guard import attempt

NO_DEFAULT: Final[Any] = dataclasses.MISSING

EXCLUDED: Final = "hidden:exclude"
"""Rule of a field that its author excludes from serialization."""
UNSHOWN: Final = "hidden:repr"
"""Rule of a field that its author excludes from `repr()`."""


class Field(Struct, frozen=True):
    """One field of a class.

    Attributes:
        name: As written, never an alias.
        annotation: As it stands in the class, perhaps a string; `MISSING` without one.
        owner: The class whose body declares it.
        default: The default, or `NO_DEFAULT`. Not read for models, NamedTuples and TypedDicts.
        optional: It has a default, or a factory of defaults.
        hidden: The rule by which its author hid it, else None.
    """

    name: str
    annotation: object
    owner: type
    default: Any = NO_DEFAULT
    optional: bool = False
    hidden: str | None = None


_Annotations: TypeAlias = Mapping[str, tuple[object, type]]
_Fields: TypeAlias = Iterator[Field] | None


def fields_of(cls: type) -> tuple[Field, ...] | None:
    """Return the fields of a class, None if it is not of a kind that declares fields."""
    for read in _READERS:
        fields = attempt(partial(_read, read, cls))
        if fields is not None:
            return None if isinstance(fields, Exception) else fields
    return None


def _read(read: Callable[[Any], _Fields], cls: type) -> tuple[Field, ...] | None:
    fields = read(cls)
    return None if fields is None else tuple(fields)


def infos_of(cls: type) -> tuple[tuple[Field, AnnotationInfo], ...]:
    """Return the fields of a class, each with what its annotation says."""
    given = type_arguments(cls)
    fields = fields_of(cls) or ()
    scopes = {owner: class_scope(owner) for owner in {each.owner for each in fields}}
    return tuple((each, scopes[each.owner].info(each.annotation, given)) for each in fields)


def type_arguments(cls: type) -> Given:
    """Return what the bases of *cls* are given for their type variables: `class Ids(Box[int])`."""
    given: dict[object, tuple[object, ...]] = {}
    for each in cls.__mro__:
        bases = vars(each).get("__orig_bases__")
        for base in bases if type(bases) is tuple else ():
            parameters = getattr(typing.get_origin(base), "__parameters__", ())
            pairs = zip(parameters, typing.get_args(base), strict=False)
            for parameter, argument in pairs:
                known = given.get(argument, ()) if type(argument) is TypeVar else ()
                given[parameter] = (*given.get(parameter, ()), argument, *known)
    return given


def is_named_tuple(cls: type) -> bool:
    """Return whether *cls* is a tuple whose positions have names."""
    return _derives(cls, tuple) and type(_attribute(cls, "_fields")) is tuple


def _annotations(cls: type) -> _Annotations:
    """Return the annotations of *cls* and its bases with the class that declares each."""
    found: dict[str, tuple[object, type]] = {}
    for base in reversed(cls.__mro__):
        own = attempt(partial(own_annotations, base))
        if not isinstance(own, Exception):
            found.update((name, (annotation, base)) for name, annotation in own.items())
    return found


def _attribute(cls: type, name: str) -> Any:  # noqa: ANN401 - whatever the class holds
    """Return an attribute of a class; a metaclass is not asked."""
    return next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)


def _derives(cls: type, base: type) -> bool:
    return any(each is base for each in cls.__mro__)


def _of_model(cls: type) -> _Fields:
    if not _derives(cls, BaseModel):
        return None
    # `BaseModel` itself has none, and may be the annotation of a parameter.
    infos: Mapping[str, FieldInfo] = _attribute(cls, "__pydantic_fields__") or {}
    annotations = _annotations(cls)
    return (_of_info(name, info, annotations, cls) for name, info in infos.items())


def _of_info(name: str, info: FieldInfo, annotations: _Annotations, cls: type) -> Field:
    # pydantic takes `Annotated` apart.
    annotation = annotated(info.annotation, *info.metadata) if info.metadata else info.annotation
    _, owner = annotations.get(name, (MISSING, cls))
    return Field(name, annotation, owner, hidden=hidden_by(info))


def hidden_by(info: FieldInfo) -> str | None:
    """Return the rule by which a field of pydantic is hidden, else None."""
    return EXCLUDED if info.exclude else None if info.repr else UNSHOWN


def _of_dataclass(cls: Any) -> _Fields:  # noqa: ANN401 - any class
    if type(_attribute(cls, "__dataclass_fields__")) is not dict:
        return None
    return _of_dataclass_fields(cls)


def _of_dataclass_fields(cls: Any) -> Iterator[Field]:  # noqa: ANN401 - any dataclass
    infos: Mapping[str, FieldInfo] = _attribute(cls, "__pydantic_fields__") or {}
    annotations = _annotations(cls)
    for each in dataclasses.fields(cls):
        hidden = None if each.repr else UNSHOWN
        if each.name in infos:
            field = _of_info(each.name, infos[each.name], annotations, cls)
            yield msgspec.structs.replace(field, hidden=field.hidden or hidden)
        else:
            _, owner = annotations.get(each.name, (MISSING, cls))
            optional = each.default is not NO_DEFAULT or each.default_factory is not NO_DEFAULT
            yield Field(each.name, each.type, owner, each.default, optional, hidden)


def _of_attrs(cls: Any) -> _Fields:  # noqa: ANN401 - any class
    attributes = _attribute(cls, "__attrs_attrs__")
    if attributes is None:
        return None
    annotations = _annotations(cls)
    return (_attr(each, annotations, cls) for each in attributes)


def _attr(attribute: Any, annotations: _Annotations, cls: type) -> Field:  # noqa: ANN401 - of attrs
    name, default = attribute.name, attribute.default
    annotation, owner = annotations.get(name, (attribute.type or MISSING, cls))
    kind = type(default).__name__
    return Field(
        name,
        annotation,
        owner,
        default=NO_DEFAULT if kind in {"_Nothing", "Factory"} else default,
        optional=kind != "_Nothing",
        hidden=None if attribute.repr else UNSHOWN,
    )


def _of_struct(cls: Any) -> _Fields:  # noqa: ANN401 - any class
    return _of_struct_fields(cls) if _derives(cls, Struct) else None


def _of_struct_fields(cls: Any) -> Iterator[Field]:  # noqa: ANN401 - any Struct
    annotations = _annotations(cls)
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__
    for number, name in enumerate(names, start=len(defaults) - len(names)):
        annotation, owner = annotations.get(name, (MISSING, cls))
        default = defaults[number] if number >= 0 else msgspec.NODEFAULT
        made = default is msgspec.NODEFAULT or type(default).__name__ == "Factory"
        yield Field(
            name,
            annotation,
            owner,
            default=NO_DEFAULT if made else default,
            optional=default is not msgspec.NODEFAULT,
        )


def _of_named_tuple(cls: type) -> _Fields:
    return _by_name(cls, _attribute(cls, "_fields")) if is_named_tuple(cls) else None


def _of_typed_dict(cls: type) -> _Fields:
    return _by_name(cls, own_annotations(cls)) if is_typeddict(cls) else None


def _by_name(cls: type, names: Any) -> Iterator[Field]:  # noqa: ANN401 - names of fields
    annotations = _annotations(cls)
    return (Field(name, *annotations.get(name, (MISSING, cls))) for name in names)


_READERS: Final = (
    _of_model,
    _of_dataclass,
    _of_attrs,
    _of_struct,
    _of_named_tuple,
    _of_typed_dict,
)
