"""Reads the declared fields of a class: name, annotation, default, hidden or not.

Supported are models, dataclasses, attrs classes, Structs, NamedTuples and TypedDicts. The fields
are read from the data that the libraries store in the class, never from an instance.
"""

from __future__ import annotations

import dataclasses
import typing
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from remit._base.guard import attempt
from remit._base.memo import memoized
from remit._inspect.annotations import (
    MISSING,
    AnnotationInfo,
    TypeArguments,
    annotated,
    class_scope,
    is_unevaluated_alias,
    own_annotations,
    resolved_info,
)
from remit._inspect.introspection import ABSENT, is_class, is_one_of, lookup, mro, namespace
from remit._inspect.signature import SignatureInfo

NO_DEFAULT: Final[Any] = dataclasses.MISSING

EXCLUDED: Final = "hidden:exclude"
"""Rule of a field that its author excludes from serialization."""
NOT_IN_REPR: Final = "hidden:repr"
"""Rule of a field that its author excludes from `repr()`."""


class Field(Struct, frozen=True):
    """One field of a class.

    Attributes:
        name: As written, never an alias.
        annotation: As written in the class, perhaps a string; `MISSING` without one.
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

    def read(self) -> AnnotationInfo:
        """Resolve and read the annotation."""
        return class_scope(self.owner).read(self.annotation)


def fields_of(cls: type) -> tuple[Field, ...] | None:
    """Return the fields of a class, None if it is not of a supported kind."""
    fields = attempt(partial(_fields, cls))
    if isinstance(fields, (RecursionError, MemoryError)):
        raise fields  # says nothing of the class
    return None if isinstance(fields, Exception) else fields


def _fields(cls: type) -> tuple[Field, ...] | None:
    read = next((read for is_of_kind, read in _READERS if is_of_kind(cls)), None)
    return None if read is None else tuple(read(cls, _annotations(cls)))


@memoized
def annotated_fields_of(cls: type) -> tuple[tuple[Field, AnnotationInfo], ...]:
    """Return the fields of a class with their annotations, which are not resolved."""
    arguments = type_arguments(cls)
    fields = fields_of(cls) or ()
    scopes = {owner: class_scope(owner) for owner in {field.owner for field in fields}}
    return tuple((field, scopes[field.owner].info(field.annotation, arguments)) for field in fields)


def type_arguments(cls: type) -> TypeArguments:
    """Return the arguments of the type variables of the bases: `class Ids(Box[int])`."""
    arguments: dict[object, tuple[object, ...]] = {}
    for owner in mro(cls):
        bases: tuple[Any, ...] = namespace(owner).get("__orig_bases__", ())
        for base in bases if type(bases) is tuple else ():
            parameters = getattr(typing.get_origin(base), "__parameters__", ())
            for parameter, argument in zip(parameters, typing.get_args(base), strict=False):
                known = arguments.get(argument, ()) if type(argument) is TypeVar else ()
                arguments[parameter] = (*arguments.get(parameter, ()), argument, *known)
    return arguments


def are_resolvable(signature: SignatureInfo) -> bool:
    """Return whether the annotations of a signature, and of the fields in it, can be evaluated now.

    A name in them may not exist yet, or for type checkers only.
    """
    if signature.returns_note or any(each.note for each in signature.parameters):
        return False
    annotations = (signature.returns, *(each.annotation for each in signature.parameters))
    return all(map(_is_resolvable, annotations))


@memoized
def _is_resolvable(annotation: object) -> bool:
    """Return whether a resolved annotation has no unresolved part, in fields neither."""
    pending = [*resolved_info(annotation).parts]
    seen: dict[int, object] = {}  # keeps them, so that no id is used twice
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if type(part) is typing.ForwardRef or is_unevaluated_alias(part):
            return False
        for field in (fields_of(part) if is_class(part) else None) or ():
            info = field.read()
            if info.note is not None:
                return False
            pending.extend(info.parts)
    return True


def is_named_tuple(cls: type) -> bool:
    """Return whether *cls* is a tuple whose positions have names."""
    return is_one_of(cls, tuple) and type(lookup(cls, "_fields")) is tuple


_Annotations: TypeAlias = Mapping[str, tuple[object, type]]


def _annotations(cls: type) -> _Annotations:
    """Return each annotation of *cls* and its bases, with the class that declares it."""
    annotations: defaultdict[str, tuple[object, type]] = defaultdict(lambda: (MISSING, cls))
    for base in reversed(mro(cls)):
        annotations_of_base = attempt(partial(own_annotations, base))
        if not isinstance(annotations_of_base, Exception):
            annotations.update(
                (name, (annotation, base)) for name, annotation in annotations_of_base.items()
            )
    return annotations


def hidden_by(info: FieldInfo) -> str | None:
    """Return the rule by which a field of pydantic is hidden, else None."""
    return EXCLUDED if info.exclude else None if info.repr else NOT_IN_REPR


def _of_model(cls: type, annotations: _Annotations) -> Iterator[Field]:
    # `BaseModel` itself has none, and may be the annotation of a parameter.
    infos: Mapping[str, FieldInfo] = lookup(cls, "__pydantic_fields__")
    for name, info in () if infos is ABSENT else infos.items():
        # pydantic takes `Annotated` apart.
        metadata = info.metadata
        annotation = annotated(info.annotation, *metadata) if metadata else info.annotation
        yield Field(name, annotation, annotations[name][1], hidden=hidden_by(info))


def _of_dataclass(cls: Any, annotations: _Annotations) -> Iterator[Field]:
    of_pydantic = {field.name: field for field in _of_model(cls, annotations)}
    for field in dataclasses.fields(cls):
        hidden = None if field.repr else NOT_IN_REPR
        known = of_pydantic.get(field.name)
        if known is not None:
            yield replace(known, hidden=known.hidden or hidden)
        else:
            optional = field.default is not NO_DEFAULT or field.default_factory is not NO_DEFAULT
            owner = annotations[field.name][1]
            yield Field(field.name, field.type, owner, field.default, optional, hidden)


def _of_attrs(cls: type, annotations: _Annotations) -> Iterator[Field]:
    for attribute in lookup(cls, "__attrs_attrs__"):
        annotation, owner = annotations[attribute.name]
        if annotation is MISSING:
            annotation = attribute.type or MISSING
        kind = type(attribute.default).__name__
        default = NO_DEFAULT if kind in {"_Nothing", "Factory"} else attribute.default
        hidden = None if attribute.repr else NOT_IN_REPR
        yield Field(attribute.name, annotation, owner, default, kind != "_Nothing", hidden)


def _of_struct(cls: Any, annotations: _Annotations) -> Iterator[Field]:
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__
    for number, name in enumerate(names, start=len(defaults) - len(names)):
        default = defaults[number] if number >= 0 else msgspec.NODEFAULT
        optional = default is not msgspec.NODEFAULT
        if not optional or type(default).__name__ == "Factory":
            default = NO_DEFAULT
        yield Field(name, *annotations[name], default, optional)


def _of_named_tuple(cls: type, annotations: _Annotations) -> Iterator[Field]:
    return (Field(name, *annotations[name]) for name in lookup(cls, "_fields"))


def is_typed_dict(cls: type) -> bool:
    """Return whether *cls* is a TypedDict."""
    # `is_typeddict` would ask the class itself what it is.
    return type(lookup(cls, "__total__")) is bool and is_one_of(cls, dict)


def _of_typed_dict(cls: type, annotations: _Annotations) -> Iterator[Field]:
    return (Field(name, *annotations[name]) for name in own_annotations(cls))


_READERS: Final[
    tuple[tuple[Callable[[type], bool], Callable[[Any, _Annotations], Iterator[Field]]], ...]
] = (
    (lambda cls: is_one_of(cls, BaseModel), _of_model),
    (lambda cls: type(lookup(cls, "__dataclass_fields__")) is dict, _of_dataclass),
    (lambda cls: lookup(cls, "__attrs_attrs__") is not ABSENT, _of_attrs),
    (lambda cls: is_one_of(cls, Struct), _of_struct),
    (is_named_tuple, _of_named_tuple),
    (is_typed_dict, _of_typed_dict),
)
"""The reader of each kind of class, with a test for the kind."""
