"""What may be decorated: which kind a callable is, and a clear error for what is none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any, Final, cast

from remit._decorators._calls import (
    Wrapper,
    async_generator_call,
    coroutine_call,
    function_call,
    generator_call,
)
from remit._decorators._doors import Door
from remit._signature import CallKind
from remit.errors import DeclarationError

CALLS: Final[dict[CallKind, Callable[[Door], Wrapper]]] = {
    CallKind.FUNCTION: function_call,
    CallKind.COROUTINE: coroutine_call,
    CallKind.GENERATOR: generator_call,
    CallKind.ASYNC_GENERATOR: async_generator_call,
}

_RECEIVERS: Final = frozenset({"self", "cls", "mcs", "_self", "_cls"})


def function_of(target: object, decorator: str) -> FunctionType:
    """Return the function inside *target*: itself, or what a static or class method holds.

    Raises:
        DeclarationError: *target* is not a function; says what to decorate instead.
    """
    inner: Any = target
    if isinstance(inner, (staticmethod, classmethod)):
        inner = getattr(cast("object", inner), "__func__")  # noqa: B009 - its type is not known
    unwrapped: object = inspect.unwrap(inner) if callable(inner) else inner
    if isinstance(unwrapped, FunctionType):
        return unwrapped
    raise DeclarationError(f"@remit.{decorator} cannot decorate {_remedy(target)}")


def _remedy(target: object) -> str:
    if isinstance(target, type):
        return (
            f"the class {target.__module__}.{target.__qualname__}: "
            "decorate the method which answers"
        )
    if isinstance(target, (property, cached_property)):
        return "a property: put it under @property, on the function"
    return (
        f"an object of type {type(target).__qualname__}: it takes functions and methods; "
        "wrap the call in a function, and decorate that"
    )


def kind_of(function: Any) -> CallKind:  # noqa: ANN401 - whatever inspect takes
    """Return how a call of *function* runs."""
    if inspect.isasyncgenfunction(function):
        return CallKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        return CallKind.GENERATOR
    if inspect.iscoroutinefunction(function):
        return CallKind.COROUTINE
    return CallKind.FUNCTION


def takes_receiver(target: object, function: FunctionType) -> bool:
    """Return whether the first parameter of *function* is the object or class it is called on.

    A static method has none, a class method always one. For a plain function in a class body the
    name decides, because `@staticmethod` may still be put on top of ours.
    """
    if isinstance(target, staticmethod):
        return False
    if isinstance(target, classmethod):
        return True
    owner = function.__qualname__.rpartition(".")[0]
    in_class = bool(owner) and not owner.endswith("<locals>")
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return in_class and bool(names) and names[0] in _RECEIVERS
