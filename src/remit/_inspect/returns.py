"""Reads return annotations: plain results, items of iterators, and values of context managers."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from types import CodeType
from typing import Any, Final, cast

from remit._inspect.annotations import MISSING, is_union, type_inside
from remit._inspect.introspection import layers

_ITERATORS: Final[frozenset[object]] = frozenset(
    {
        collections.abc.Iterator,
        collections.abc.Generator,
        collections.abc.AsyncIterator,
        collections.abc.AsyncGenerator,
    }
)
_ITERABLES: Final[frozenset[object]] = frozenset(
    {collections.abc.Iterable, collections.abc.AsyncIterable}
)
_NEVER_AT_ONCE: Final = _ITERATORS | {collections.abc.AsyncIterable}
_AWAITED: Final[frozenset[object]] = frozenset({Awaitable, Coroutine})
_CONTEXT_MANAGERS: Final[frozenset[object]] = frozenset(
    {AbstractContextManager, AbstractAsyncContextManager}
)

_MANAGERS: Final[Mapping[object, Any]] = {
    cast("Any", contextmanager)(iter).__code__: AbstractContextManager,
    cast("Any", asynccontextmanager)(iter).__code__: AbstractAsyncContextManager,
}
"""By the code of the functions that contextlib's decorators make, which all of them share."""


def item_type(returns: object, *, streams: bool) -> object | None:
    """Return the type of an iterator's items, None if *returns* is no iterator.

    Args:
        returns: Resolved return annotation, or `MISSING`.
        streams: The function is a generator.
    """
    origin, args = _parts(returns)
    if origin in _ITERATORS or (streams and origin in _ITERABLES):
        return args[0] if args else MISSING
    return MISSING if streams else None


def entered_type(returns: object) -> object | None:
    """Return the type of a context manager's value on entering, None if *returns* is none."""
    origin, args = _parts(returns)
    if origin in _CONTEXT_MANAGERS:
        return args[0] if args else Any
    return None


def result_types(returns: object, *, streams: bool) -> tuple[list[object], list[object]]:
    """Return the types of plain results, and the types of items of iterators.

    An iterable may be either. A coroutine object counts as its result.

    Args:
        returns: Resolved return annotation, or `MISSING`.
        streams: The function is a generator.
    """
    items = item_type(returns, streams=streams)
    if items is not None:
        return [], [items]
    at_once: list[object] = []
    one_by_one: list[object] = []
    members = _members(returns)
    for member in members:
        origin, args = _parts(member)
        if origin in _ITERATORS or origin in _ITERABLES:
            one_by_one.append(args[0] if args else MISSING)
        if origin in _AWAITED and args:
            at_once.append(args[-1])
        elif (entered := entered_type(member)) is not None:
            at_once.append(entered)
        elif origin not in _NEVER_AT_ONCE:
            at_once.append(member)
    # Unchanged, with its `Annotated`, if all of it comes at once.
    return ([returns] if at_once == members else at_once), one_by_one


def _members(annotation: object) -> list[object]:
    inside = type_inside(annotation)
    return list(typing.get_args(inside)) if is_union(inside) else [annotation]


def call_result_type(function: Callable[..., object], returns: object) -> object:
    """Return the type of a call's result, for a function whose own annotation is *returns*.

    contextlib's decorators keep the signature of the generator function that they decorate.
    """
    codes = [getattr(layer, "__code__", None) for layer in layers(function)]
    known = (_MANAGERS.get(code) for code in codes if isinstance(code, CodeType))
    manager = next(filter(None, known), None)
    if manager is None:
        return returns
    entered = item_type(returns, streams=True)
    return manager[Any if entered is MISSING else entered]


def _parts(annotation: object) -> tuple[object, tuple[object, ...]]:
    """Return the class that an annotation names, None if it names none, and its arguments."""
    inside = type_inside(annotation)
    origin = typing.get_origin(inside) or inside
    return (origin if isinstance(origin, type) else None), typing.get_args(inside)
