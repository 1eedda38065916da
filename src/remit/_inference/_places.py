# Uncounted: a type that cannot be read is a result, not a fault.
"""The places in a type where data stands: the value itself, its items, its fields, theirs.

Only what annotations and classes say is read. Nothing of the user's is called, and a type that
cannot be looked into hides nothing but what is inside it.
"""

from __future__ import annotations

import sys
import typing
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
from functools import partial
from typing import Any, Final, Literal, TypeVar, cast

from msgspec import Struct

from remit._annotations import (
    MISSING,
    SECRETS,
    Scope,
    alias_value,
    bounds_of,
    is_annotated,
    is_secret,
)
from remit._capture.fields import DeclaredField, declared_fields, given_to
from remit._capture.rules.categories import category_of_type
from remit._capture.statics import is_class, module_of, mro, name_of
from remit._guard import attempt
from remit._marks import Sensitive

MAX_PLACES: Final = 2_000
"""A type with more places than this is read no further."""

_HOLD_NO_DATA: Final[frozenset[object]] = frozenset(
    {Literal, type, typing.get_origin(typing.Callable)}
)
"""Forms whose arguments describe something else than values inside."""

_GIVEN: Final[dict[object, tuple[int, ...]]] = {
    Generator: (0, 2),
    AsyncGenerator: (0,),
    Coroutine: (2,),
}
"""Which arguments describe what comes out; the others are sent in."""


class Place(Struct, frozen=True):
    """One place.

    Attributes:
        path: From the parameter, or `return`, as one would write it: `order.customers[].email`.
        part: What stands there: a type or a part of one, or a mark beside it.
        name: Name of the parameter or field; "" for what stands inside it.
    """

    path: str
    part: object
    name: str = ""


def places(annotation: object, name: str, category: str | None = None) -> tuple[Place, ...]:
    """Return the places in a value of a resolved annotation, outer ones first.

    A class is looked into where it is met first, so that one that refers to itself has an end.

    Args:
        annotation: The annotation; `MISSING` if there is none or it cannot be resolved.
        name: The parameter, or `return`.
        category: Category of the mark in an annotation that cannot be resolved, else None.
    """
    found: list[Place] = []
    pending = deque(_at(name, name, annotation, category))
    # By identity, for parts need not be hashable; kept, for an id is used again.
    looked_into: dict[int, object] = {}
    while pending and len(found) < MAX_PLACES:
        place = pending.popleft()
        found.append(place)
        if id(place.part) not in looked_into:
            looked_into[id(place.part)] = place.part
            inside = attempt(partial(_inside, place))
            pending.extend(() if isinstance(inside, Exception) else inside)
    return tuple(found)


def _at(path: str, name: str, annotation: object, category: str | None) -> list[Place]:
    """Return the place of a named value, and of the mark that is left of a lost annotation."""
    found = [Place(path, annotation, name)]
    if annotation is MISSING and category is not None:
        found.append(Place(path, Sensitive(category)))
    return found


def _inside(place: Place) -> list[Place]:
    """Return the places directly inside one."""
    path, part = place.path, place.part
    if is_annotated(part):
        parts = (cast("Any", part).__origin__, *cast("Any", part).__metadata__)
        return [Place(path, each) for each in parts]
    if isinstance(part, TypeVar):
        return [Place(path, each) for each in bounds_of(part)]
    if is_class(part):
        return _of_class(path, part)
    if (alias := alias_value(part)) is not MISSING:
        return [Place(path, alias)]
    return _of_form(path, part)


def category_of_class(cls: type) -> str | None:
    """Return the data category that *cls*, or a class it derives from, shows."""
    if is_secret(cls):
        return SECRETS
    found = (category_of_type(module_of(each), name_of(each)) for each in mro(cls))
    return next(filter(None, found), None)


def _of_class(path: str, cls: type) -> list[Place]:
    if category_of_class(cls) is not None:
        return []  # a coordinate says all that its latitude could say
    given = given_to(cls)
    return [place for each in declared_fields(cls) or () for place in _of_field(path, each, given)]


def _of_field(
    path: str, each: DeclaredField, given: Mapping[object, tuple[object, ...]]
) -> list[Place]:
    inner = f"{path}.{each.name}"
    home = sys.modules.get(each.module)
    meaning = Scope({} if home is None else vars(home), {}).read(each.annotation)
    variables = [each for each in _variables(meaning.annotation) if type(each) is TypeVar]
    return [
        *_at(inner, each.name, meaning.annotation, meaning.marks.category),
        *(Place(inner, mark) for mark in each.metadata),
        *(Place(inner, part) for variable in variables for part in given.get(variable, ())),
    ]


def _variables(annotation: object) -> tuple[object, ...]:
    """Return the type variables in a resolved annotation."""
    if type(annotation) is TypeVar:
        return (annotation,)
    found = () if is_class(annotation) else getattr(annotation, "__parameters__", ())
    return cast("tuple[object, ...]", found) if type(found) is tuple else ()


def _of_form(path: str, form: object) -> list[Place]:
    """Return the places in a container, a union, a class with its type parameters given."""
    origin = typing.get_origin(form)
    if origin is None or origin in _HOLD_NO_DATA:
        return []
    args = typing.get_args(form)
    given = _GIVEN.get(origin, range(len(args)))
    inner = f"{path}[]" if _has_items(origin) else path
    return [
        *(Place(inner, args[number]) for number in given if number < len(args)),
        Place(path, origin),
    ]


def _has_items(origin: object) -> bool:
    """Return whether values of *origin* are what they hold, and not a record of it."""
    if not is_class(origin) or declared_fields(origin) is not None:
        return False
    return issubclass(origin, Iterable | AsyncIterable)
