# Uncounted: a type that cannot be read is a result, not a fault.
"""Types made ready for pydantic, in the same way on every Python.

pydantic refuses `typing.TypedDict` before Python 3.12, warns about what is no type, and reads
constructors where a payload holds fields. So each is replaced, part by part: one strange part
does not lose the schema of the whole.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Collection, Container, Iterable, Reversible
from enum import Enum
from functools import partial
from types import GenericAlias, MappingProxyType
from typing import Annotated, Any, Final, Literal, cast

import typing_extensions
from pydantic import WithJsonSchema
from typing_extensions import is_typeddict

from remit._annotations import (
    MISSING,
    Scope,
    alias_value,
    annotated,
    class_scope,
    is_alias,
    is_annotated,
    is_union,
    own_annotations,
)
from remit._guard import attempt
from remit._records import NO_DEFAULT, StoredField, annotation_of, is_named_tuple, stored_fields
from remit._schema._plain import BUILTINS, BY_SHAPE, is_array, is_not_looked_into, recorded_as

_REQUIRED: Final[frozenset[object]] = frozenset({typing.Required, typing_extensions.Required})
_NOT_REQUIRED: Final[frozenset[object]] = frozenset(
    {typing.NotRequired, typing_extensions.NotRequired}
)
UNPACK: Final[frozenset[object]] = frozenset({typing.Unpack, typing_extensions.Unpack})
_QUALIFIERS: Final[frozenset[object]] = frozenset(
    {
        *_REQUIRED,
        *_NOT_REQUIRED,
        typing.ClassVar,
        typing.Final,
        typing_extensions.ReadOnly,
    }
)
_BOOLEANS: Final[frozenset[object]] = frozenset({typing.TypeGuard, typing_extensions.TypeIs})
_REPLACED_KINDS: Final[tuple[tuple[tuple[type, ...], object], ...]] = (
    (
        (
            typing.ParamSpecArgs,
            typing.ParamSpecKwargs,
            typing_extensions.ParamSpecArgs,
            typing_extensions.ParamSpecKwargs,
        ),
        Any,
    ),
    ((typing.TypeVarTuple, typing_extensions.TypeVarTuple), tuple[Any, ...]),
)
_REPLACED: Final[dict[object, object]] = {typing.LiteralString: str, vars(typing)["Self"]: Any}
_ANY_ITERABLE: Final[frozenset[object]] = frozenset({Collection, Container, Reversible})
"""Abstract classes that pydantic has no schema for, recorded as the lists that they mostly are."""
_NO_CONTAINERS: Final[frozenset[object]] = frozenset({typing.get_origin(typing.Callable), type})
_CONTAINER_MODULES: Final = frozenset({"builtins", "collections", "collections.abc"})


def opaque(name: str) -> dict[str, Any]:
    """Return the schema of what has none, with a note that says so."""
    return noted(f"{name} has no schema; recorded as opaque")


def noted(note: str) -> dict[str, Any]:
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


class Readying:
    """Makes the types of one callable ready; a class met twice is replaced by one and the same."""

    def __init__(self) -> None:
        """Start with no class replaced."""
        self._replaced: dict[object, object] = {}

    def ready(self, annotation: object) -> Any:  # noqa: ANN401 - any type form
        """Return what to hand to pydantic for a resolved annotation."""
        if annotation is None or isinstance(annotation, typing.TypeVar):
            return annotation
        if isinstance(annotation, type):
            return self._class(annotation)
        if is_annotated(annotation):
            inner = self.ready(cast("Any", annotation).__origin__)
            return annotated(inner, *cast("Any", annotation).__metadata__)
        if is_union(annotation):
            return typing.Union[tuple(map(self.ready, typing.get_args(annotation)))]  # noqa: UP007
        return self._special(annotation)

    def _special(self, annotation: object) -> object:
        """Return what to hand over for a form of `typing`, or for what is no type at all."""
        for kinds, replacement in _REPLACED_KINDS:
            if isinstance(annotation, kinds):
                return replacement
        if not is_hashable(annotation):
            return _opaque_type(annotation)
        if annotation in _REPLACED:
            return _REPLACED[annotation]
        if isinstance(annotation, typing.NewType):
            return self.ready(annotation.__supertype__)
        if is_alias(annotation):
            return self._alias(annotation)
        return self._by_origin(annotation, typing.get_origin(annotation))

    def _by_origin(self, annotation: object, origin: object) -> object:
        if origin in _QUALIFIERS:
            return self.ready(typing.get_args(annotation)[0])
        if origin in _BOOLEANS:
            return bool
        if isinstance(origin, type) or origin is Literal or is_alias(origin):
            return self._generic(annotation, origin)
        return annotation if annotation is Any else _opaque_type(annotation)

    def _class(self, cls: type) -> object:
        known = self._replaced.get(cls, _REPLACED.get(cls))
        if known is not None:
            return known
        make = self._maker(cls)
        return cls if make is None else make(cls)

    def _maker(self, cls: type) -> Callable[[type], object] | None:
        """Return what replaces a class of this kind, None for one that pydantic takes as it is."""
        if is_typeddict(cls):
            return self._typed_dict
        if (fields := stored_fields(cls)) is not None:
            return partial(self._record, fields=fields)
        if is_named_tuple(cls):
            return self._named_tuple
        if _is_opaque(cls):
            return _opaque_type
        if is_array(cls):
            return _array_type
        return None if issubclass(cls, Enum) else recorded_as

    def _alias(self, alias: object) -> object:
        """Return an alias as it is, so that it keeps its name, unless its value has to change."""
        if alias in self._replaced:
            return self._replaced[alias]
        self._replaced[alias] = alias
        value = alias_value(alias)
        if value is MISSING or isinstance(value, str):
            return alias
        ready = self.ready(value)
        self._replaced[alias] = alias if ready == value else ready
        return self._replaced[alias]

    def _generic(self, annotation: object, origin: object) -> object:
        args = typing.get_args(annotation)
        if origin in _ANY_ITERABLE:
            return GenericAlias(Iterable, self._arguments(args))
        if isinstance(origin, type) and (new := self._class(origin)) is not origin:
            return self._of_another(origin, new, args)
        if not args or getattr(origin, "__module__", None) not in _CONTAINER_MODULES:
            return annotation
        if origin in _NO_CONTAINERS:
            return annotation
        ready = self._arguments(args)
        return annotation if ready == args else GenericAlias(cast("type", origin), ready)

    def _of_another(self, origin: type, new: object, args: tuple[object, ...]) -> object:
        """Return *new*, which stands for *origin*, with arguments if it takes the same."""
        if not isinstance(new, type) or (new in BUILTINS and origin is not MappingProxyType):
            return new
        return GenericAlias(new, self._arguments(args))

    def _arguments(self, args: tuple[object, ...]) -> tuple[object, ...]:
        if any(typing.get_origin(each) in UNPACK for each in args):
            return (Any, ...)
        return tuple(each if each is Ellipsis else self.ready(each) for each in args)

    def _field(self, hint: object, scope: Scope) -> Any:  # noqa: ANN401 - any type form
        if hint is MISSING:
            return Any
        meaning = scope.read(hint)
        if meaning.note is not None:
            return Annotated[Any, WithJsonSchema(noted(meaning.note))]
        return self.ready(meaning.annotation)

    def _typed_dict(self, cls: Any) -> object:  # noqa: ANN401 - typing has no name for it
        # Filled below, because it may hold itself.
        make: Any = typing_extensions.TypedDict
        new: Any = make(cls.__name__, {})
        _dress(self._replaced.setdefault(cls, new), cls)
        scope = class_scope(cls)
        hints = {name: scope.read(hint) for name, hint in own_annotations(cls).items()}
        required = {
            name
            for name, meaning in hints.items()
            if _is_required(meaning.annotation, default=name in cls.__required_keys__)
        }
        new.__annotations__ = {
            name: self._field(hint, scope) for name, hint in own_annotations(cls).items()
        }
        new.__required_keys__ = frozenset(required)
        new.__optional_keys__ = frozenset(hints.keys() - required)
        return new

    def _record(self, cls: type, fields: tuple[StoredField, ...]) -> object:
        new: Any = dataclasses.make_dataclass(
            cls.__name__, [(each.name, Any, _dataclass_field(each)) for each in fields]
        )
        _dress(self._replaced.setdefault(cls, new), cls)
        for each, made in zip(fields, dataclasses.fields(new), strict=True):
            made.type = self._field(each.hint, class_scope(each.owner))
            new.__annotations__[each.name] = made.type
        return new

    def _named_tuple(self, cls: Any) -> object:  # noqa: ANN401 - any named tuple
        new: Any = type(cls.__name__, (cls,), {})
        _dress(self._replaced.setdefault(cls, new), cls)
        hints = {name: annotation_of(cls, name) for name in cls._fields}
        new.__annotations__ = {
            name: self._field(hint, class_scope(owner)) for name, (hint, owner) in hints.items()
        }
        return new


def _dataclass_field(stored: StoredField) -> Any:  # noqa: ANN401 - what `make_dataclass` takes
    """Return a field as a constructor would take it: a payload holds it in any case."""
    made = stored.optional and stored.default is NO_DEFAULT
    return dataclasses.field(
        default=stored.default,
        default_factory=object if made else NO_DEFAULT,
        repr=stored.shown,
        kw_only=True,
    )


def _opaque_type(annotation: object) -> object:
    return Annotated[Any, WithJsonSchema(opaque(type_name(annotation)))]


def _array_type(cls: type) -> object:
    note = noted(f"{type_name(cls)}: {BY_SHAPE}")
    return Annotated[Any, WithJsonSchema(note)]


def _dress(new: Any, cls: Any) -> None:  # noqa: ANN401 - any class
    """Give a class that stands for another its name, docstring and configuration."""
    for name in ("__module__", "__qualname__", "__doc__", "__parameters__", "__pydantic_config__"):
        if (value := getattr(cls, name, MISSING)) is not MISSING:
            setattr(new, name, value)


def _is_opaque(cls: Any) -> bool:  # noqa: ANN401 - any class
    """Return whether pydantic would warn about a class, or describe it by another's docstring."""
    if issubclass(cls, Enum):
        return not cls.__members__
    return is_not_looked_into(cls) or any(
        base.__module__.startswith("pydantic.v1") for base in cls.__mro__
    )


def _is_required(annotation: object, *, default: bool) -> bool:
    """Return whether a key must be there; the qualifiers stand outermost, in any order."""
    while (origin := typing.get_origin(annotation)) in _QUALIFIERS or is_annotated(annotation):
        if origin in _REQUIRED or origin in _NOT_REQUIRED:
            return origin in _REQUIRED
        annotation = (
            cast("Any", annotation).__origin__
            if is_annotated(annotation)
            else typing.get_args(annotation)[0]
        )
    return default
