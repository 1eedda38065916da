"""Remembers results within one block, so that a type that many steps share is read once.

Nothing is remembered outside such a block: a class may be completed or replaced meanwhile.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from remit._base.guard import attempt

P = ParamSpec("P")
T = TypeVar("T")

_ABSENT: Final[Any] = object()
_results: ContextVar[dict[object, Any] | None] = ContextVar("remit_memo", default=None)


@contextmanager
def memo() -> Generator[None]:
    """Make the functions with `memoized` remember their results in this block, on this thread."""
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def memoized(function: Callable[P, T]) -> Callable[P, T]:
    """Return *function*, which computes the result for equal arguments once in a block of `memo`.

    Its arguments are given by position, types among them, and its result is never changed.
    """

    @wraps(function)
    def remembering(*args: P.args, **kwargs: P.kwargs) -> T:
        results = _results.get()
        if results is None:
            return function(*args, **kwargs)
        # A type that holds a list, as that of a callable, has no hash.
        key = attempt(lambda: (function, *map(_key, args)))
        result = attempt(lambda: results.get(key, _ABSENT))
        if isinstance(key, Exception) or isinstance(result, Exception):
            return function(*args, **kwargs)
        if result is _ABSENT:
            result = results[key] = function(*args, **kwargs)
        return result

    return remembering


def _key(argument: object) -> object:
    """Return a key that is equal for equal types only if their parts have the same order.

    `A | B` and `B | A` are equal, and so are the values of `Literal[1]` and `Literal[True]`.
    """
    args: tuple[object, ...] = typing.get_args(argument)
    return (typing.get_origin(argument), *map(_key, args)) if args else (type(argument), argument)
