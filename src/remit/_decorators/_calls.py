"""How a call of each kind is driven: function, coroutine, generator, async generator.

Each maker returns the wrapper that wrapt calls with `(wrapped, instance, args, kwargs)`. The
user's values and exceptions pass through untouched; context is set and restored by value around
the user's code, in every step of a generator.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import CoroutineType, FunctionType
from typing import Any, Final, TypeAlias

from remit._context import set_place
from remit._decorators._doors import Door, begun
from remit._decorators._driving import (
    AnyAsyncGenerator,
    AnyCoroutine,
    AnyGenerator,
    coroutine_of,
    driven,
    driven_async,
    named_as,
    stepwise,
)
from remit._decorators._returned import (
    ENDED,
    bound_to_its_block,
    makes_manager,
    returned,
    returned_outside,
)
from remit._decorators._standing import Stand
from remit._decorators._streams import bound
from remit._recording import here

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = Mapping[str, Any]
Wrapped: TypeAlias = Callable[..., Any]
Wrapper: TypeAlias = Callable[[Wrapped, object, Args, dict[str, Any]], Any]

# Type checkers take what it is compared with for one of parameters that nobody knows.
COROUTINE: Final[type] = CoroutineType
CONTEXTLIB: Final = contextlib.__dict__
NOTHING: Final[nullcontext[None]] = nullcontext()
"""Stands for the block around a call outside any run, after a fault of ours."""


def function_call(door: Door) -> Wrapper:  # noqa: C901 - a frame more is paid for by every call
    """Return the wrapper of a plain function."""
    step, receiver = door.step, door.receiver

    def call(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> Any:  # noqa: ANN401
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        parent = here()
        if parent is None:
            if makes_manager(wrapped) and type(door) is Door:
                manager: object = wrapped(*args, **kwargs)
                bound_to_its_block(manager, door, instance, args, kwargs)
                return manager
            with door.outside() or NOTHING:
                if here():
                    return call(wrapped, instance, args, kwargs)
                unseen = wrapped(*args, **kwargs)
            returned_outside(unseen, door)
            return unseen
        if instance is None and receiver.taken is not False:
            span = door.enter(instance, args, kwargs)
        else:  # as `Door.enter` does, with a call less
            span = begun(step, parent, args, kwargs)
        if span is None:
            return wrapped(*args, **kwargs)
        place = span.place
        try:
            # Within: a signal's handler may raise after any of these calls.
            set_place(place)
            # Empty keywords take 0.03 us, too.
            result: object = wrapped(*args, **kwargs) if kwargs else wrapped(*args)
            if here() is place:
                set_place(parent)
        except BaseException as error:
            if here() is place:
                set_place(parent)
            door.fail(span, error)
            # The traceback keeps this frame.
            del args, kwargs
            raise
        kind = type(result)
        if kind is dict or kind is str or id(kind) in ENDED:
            span.complete(result)
            return result
        return (returned(result, span, door, instance, args, kwargs) or (result,))[0]

    return call


def wrapped_alone(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> Any:  # noqa: ANN401
    """Call the user's function and record nothing."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    del instance
    return wrapped(*args, **kwargs)


def coroutine_call(door: Door) -> Wrapper:  # noqa: C901 - a frame more is paid for by every call
    """Return the wrapper of a coroutine function; the span starts at the first step."""

    async def drive(wrapped: Wrapped, instance: object, args: Args, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if here() is None:
            async with door.outside() or NOTHING:
                return await (drive if here() else wrapped_alone)(wrapped, instance, args, kwargs)
        span = door.enter(instance, args, kwargs)
        if span is None:
            return await wrapped(*args, **kwargs)
        try:
            steps: AnyCoroutine = wrapped(*args, **kwargs)
            if type(steps) is not COROUTINE:
                steps = coroutine_of(steps)
            previous = here()
            set_place(span.place)
            try:
                given: object = steps.send(None)
            except StopIteration as stop:  # most have nothing to wait for
                result: object = stop.value
                if here() is span.place:
                    set_place(previous)
            except BaseException:
                set_place(previous)
                raise
            else:
                stand = Stand(span.place)
                stand.leave(previous)
                rest = stepwise(steps, stand, given)
                del given, previous  # nobody else may hold them when the next step is made
                result = await rest
                stand.remain()
        except BaseException as error:
            door.fail(span, error)
            # The traceback keeps this frame.
            del args, kwargs
            raise
        if id(type(result)) in ENDED:
            span.complete(result)
            return result
        return (returned(result, span, door, instance, args, kwargs) or (result,))[0]

    return _named(drive)


def _named(drive: Any) -> Wrapper:  # noqa: ANN401 - a coroutine function
    """Return what calls *drive* and gives each coroutine the name of the user's function."""

    def call(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> Any:  # noqa: ANN401
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        coroutine = drive(wrapped, instance, args, kwargs)
        of_function = type(wrapped) is FunctionType
        if not (
            of_function
            and coroutine.__qualname__ is wrapped.__qualname__
            and coroutine.__name__ is wrapped.__name__
        ):
            named_as(wrapped, coroutine)
            if of_function:  # the next ones have the names from their beginning
                named_as(wrapped, drive)
        return coroutine

    return call


def generator_call(door: Door) -> Wrapper:
    """Return the wrapper of a generator function: a real generator, driven step by step."""

    def call(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> AnyGenerator:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        inner: AnyGenerator = wrapped(*args, **kwargs)
        # contextlib calls for a generator that manages a `with` block.
        for_block = sys._getframe(1).f_globals is CONTEXTLIB  # noqa: SLF001 - documented
        stream = bound(door, instance, args, kwargs, for_block=for_block)
        return inner if stream is None else driven(inner, stream) or inner

    return call


def async_generator_call(door: Door) -> Wrapper:
    """Return the wrapper of an async generator function, driven step by step in the same task."""

    def call(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> AnyAsyncGenerator:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        inner: AnyAsyncGenerator = wrapped(*args, **kwargs)
        # contextlib calls for a generator that manages a `with` block.
        for_block = sys._getframe(1).f_globals is CONTEXTLIB  # noqa: SLF001 - documented
        stream = bound(door, instance, args, kwargs, for_block=for_block)
        return inner if stream is None else driven_async(inner, stream) or inner

    return call
