"""Unwraps callables: decorated functions, bound methods, partials and callable objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import cast


def layers(function: object) -> Iterator[object]:
    """Yield a callable and each callable inside it, outermost first.

    Decorators that kept `__wrapped__`, bound methods and partials are followed.
    """
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        function = next(filter(callable, _inside(function)), None)


def unwrapped(function: Callable[..., object]) -> Callable[..., object]:
    """Return the innermost function of a callable; for an object, that of its `__call__`."""
    *_, innermost = layers(function)
    if type(innermost) is not FunctionType:
        called = inspect.getattr_static(type(innermost), "__call__", None)
        if isinstance(called, FunctionType):
            return unwrapped(called)
    return cast("Callable[..., object]", innermost)


def _inside(function: object) -> Iterator[object]:
    """Yield what may be the next layer, without running code of the callable's class."""
    if type(function) is FunctionType:  # the static look-up below is slow
        yield vars(function).get("__wrapped__")
        return
    if issubclass(type(function), partial):
        yield getattr(function, "func", None)
    for name in ("__wrapped__", "__func__"):
        if inspect.getattr_static(function, name, None) is not None:
            yield getattr(function, name, None)
