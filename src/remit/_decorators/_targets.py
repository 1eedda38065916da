"""What may be decorated: how it is called, how it is read, and a clear error for what is none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial, partialmethod, singledispatchmethod
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any, Final, TypeAlias

from msgspec import Struct

from remit._callables import unwrapped
from remit._decorators._calls import (
    Wrapper,
    async_generator_call,
    coroutine_call,
    function_call,
    generator_call,
)
from remit._decorators._doors import Door
from remit._decorators._driving import is_awaited
from remit._decorators._receivers import NO_RECEIVER, Receiver
from remit._decorators._wrappers import (
    Bind,
    as_class_hook,
    as_descriptor,
    as_function,
    as_it_is,
)
from remit._signature import CallKind
from remit.errors import DeclarationError

AnyCallable: TypeAlias = Callable[..., object]

CALLS: Final[dict[CallKind, Callable[[Door], Wrapper]]] = {
    CallKind.FUNCTION: function_call,
    CallKind.COROUTINE: coroutine_call,
    CallKind.GENERATOR: generator_call,
    CallKind.ASYNC_GENERATOR: async_generator_call,
}

_CLASS_HOOKS: Final = frozenset({"__init_subclass__", "__class_getitem__"})
"""Python binds plain functions of these names to the class, and not ours."""

_Cached: Final = type(cache(abs))


class Target(Struct, frozen=True, kw_only=True):
    """What a decorator was put on.

    Attributes:
        wrapped: What the wrapper goes around: a callable, or a descriptor that gives one.
        function: The callable whose signature says what a call takes.
        named: What the span type is named after.
        kind: How a call runs.
        bind: How it binds in a class.
        skip_first: The first parameter of `function` is the object or class it is called on, as
            far as its name tells.
        receiver: Whether a call on nothing has that one among its arguments.
        is_settled: Nothing that is learned later changes `skip_first`.
        is_object: It is called through the `__call__` of its class.
    """

    wrapped: Any
    function: AnyCallable
    named: AnyCallable
    kind: CallKind
    bind: Bind = as_it_is
    skip_first: bool = False
    receiver: Receiver = NO_RECEIVER
    is_settled: bool = True
    is_object: bool = False


def target_of(given: object, decorator: str, *, receiver: bool | None = None) -> Target:
    """Return what is to be known of *given*, a callable or a descriptor that gives one.

    Args:
        given: What the decorator got, or the function inside it.
        decorator: `span_type` or `agent`, for messages.
        receiver: Whether its first argument is the object or class it is called on; None if
            that is to be found out.

    Raises:
        DeclarationError: It is neither; says what to decorate instead.
    """
    if isinstance(given, type):
        raise DeclarationError(
            f"@remit.{decorator} cannot decorate the class {given.__module__}."
            f"{given.__qualname__}: decorate the method which answers"
        )
    if isinstance(given, partialmethod):
        return _partial_method(given)
    if isinstance(given, singledispatchmethod):
        return _dispatching_method(given)
    if callable(given):
        return _callable(given, receiver)
    raise DeclarationError(
        f"@remit.{decorator} cannot decorate an object of type {type(given).__qualname__}: it "
        "takes functions, methods and what can be called"
    )


def _callable(given: Any, receiver: bool | None) -> Target:  # noqa: ANN401, FBT001 - as it came
    is_object = _is_object(given)
    is_decorator = inspect.getattr_static(given, "__wrapped__", None) is not None
    first = Receiver(given, receiver)
    return Target(
        wrapped=given,
        function=given,
        named=given if is_object and not is_decorator else unwrapped(given),
        kind=kind_of(given.__call__ if is_object else given),
        bind=as_function if receiver else _binding_of(given),
        skip_first=first.by_name,
        receiver=first,
        is_settled=False,
        is_object=is_object,
    )


def _binding_of(given: Any) -> Bind:  # noqa: ANN401 - whatever can be called
    if isinstance(given, FunctionType):
        return as_class_hook if given.__name__ in _CLASS_HOOKS else as_function
    if isinstance(given, _Cached):
        return as_function
    binds = inspect.getattr_static(given, "__get__", None) is not None
    return as_descriptor if binds and not isinstance(given, MethodType) else as_it_is


def _partial_method(given: Any) -> Target:  # noqa: ANN401 - a method with preset arguments
    inner: Any = given.func
    function = getattr(inner, "__func__", inner)
    receiver = () if isinstance(inner, staticmethod) else (None,)
    return Target(
        wrapped=given,
        function=partial(function, *receiver, *given.args, **given.keywords),
        named=unwrapped(function),
        kind=kind_of(function),
        bind=as_descriptor,
        receiver=Receiver(None, function is inner),
    )


def _dispatching_method(given: Any) -> Target:  # noqa: ANN401 - a method of many
    function = getattr(given.func, "__func__", given.func)
    return Target(
        wrapped=given,
        function=function,
        named=unwrapped(function),
        kind=CallKind.FUNCTION,  # of the method that gives the call to one of the many
        bind=as_descriptor,
        skip_first=not isinstance(given.func, staticmethod),
    )


def _is_object(given: Any) -> bool:  # noqa: ANN401 - whatever can be called
    """Return whether *given* is called through a `__call__` that its author wrote."""
    return not isinstance(given, FunctionType | MethodType | BuiltinFunctionType) and isinstance(
        given.__call__, FunctionType | MethodType
    )


def kind_of(function: AnyCallable) -> CallKind:
    """Return how a call of *function* runs."""
    if inspect.isasyncgenfunction(function):
        return CallKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        code = getattr(unwrapped(function), "__code__", None)
        awaited = isinstance(code, CodeType) and is_awaited(code)
        return CallKind.FUNCTION if awaited else CallKind.GENERATOR
    if inspect.iscoroutinefunction(function):
        return CallKind.COROUTINE
    return CallKind.FUNCTION
