"""How a call of each kind is driven: function, coroutine, generator, async generator.

Each maker returns the wrapper that wrapt calls with `(wrapped, instance, args, kwargs)`. The
user's values and exceptions pass through untouched; context is set and restored by value around
the user's code, in every step of a generator.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from typing import Any, TypeAlias

from remit._decorators._doors import Door
from remit._decorators._streams import StreamSpan, bound
from remit._recording import at, here
from remit._spans import begin

Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = Mapping[str, Any]
Wrapped: TypeAlias = Callable[..., Any]
Wrapper: TypeAlias = Callable[[Wrapped, object, Args, dict[str, Any]], Any]


def function_call(door: Door) -> Wrapper:
    """Return the wrapper of a plain function."""
    step = door.step

    def call(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> Any:  # noqa: ANN401
        parent = here()
        if parent is None:
            with door.outside():
                if here() is None:
                    return wrapped(*args, **kwargs)
                return call(wrapped, instance, args, kwargs)
        given = door.recorded(instance, args)
        span = begin(step, parent, given, kwargs)
        if span is None:
            return wrapped(*args, **kwargs)
        try:
            with at(span.place):
                result = wrapped(*args, **kwargs)
        except BaseException as error:
            span.fail_call(error, given, kwargs)
            raise
        span.complete(result)
        return result

    return call


def coroutine_call(door: Door) -> Wrapper:
    """Return the wrapper of a coroutine function; the span starts at the first step."""
    step = door.step

    async def drive(wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs) -> Any:  # noqa: ANN401
        parent = here()
        if parent is None:
            with door.outside():
                if here() is None:
                    return await wrapped(*args, **kwargs)
                return await drive(wrapped, instance, args, kwargs)
        given = door.recorded(instance, args)
        span = begin(step, parent, given, kwargs)
        if span is None:
            return await wrapped(*args, **kwargs)
        try:
            with at(span.place):
                result = await wrapped(*args, **kwargs)
        except BaseException as error:
            span.fail_call(error, given, kwargs)
            raise
        span.complete(result)
        return result

    def call(
        wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs
    ) -> Coroutine[Any, Any, Any]:
        coroutine = drive(wrapped, instance, args, kwargs)
        _name(coroutine, wrapped)
        return coroutine

    return call


def generator_call(door: Door) -> Wrapper:
    """Return the wrapper of a generator function: a real generator, driven step by step."""

    def call(
        wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs
    ) -> Generator[Any, Any, Any]:
        inner: Generator[Any, Any, Any] = wrapped(*args, **kwargs)
        stream = bound(door, door.recorded(instance, args), kwargs)
        if stream is None:
            return inner
        generator = _drive(stream, inner)
        _name(generator, wrapped)
        return generator

    return call


def async_generator_call(door: Door) -> Wrapper:
    """Return the wrapper of an async generator function, driven step by step in the same task."""

    def call(
        wrapped: Wrapped, instance: object, args: Args, kwargs: Kwargs
    ) -> AsyncGenerator[Any, Any]:
        inner: AsyncGenerator[Any, Any] = wrapped(*args, **kwargs)
        stream = bound(door, door.recorded(instance, args), kwargs)
        if stream is None:
            return inner
        generator = _drive_async(stream, inner)
        _name(generator, wrapped)
        return generator

    return call


def _drive(stream: StreamSpan, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Forward the whole protocol; `GeneratorExit` is thrown in, never turned into `close`."""
    stream.begin()
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        thrown = stream.interruption() or thrown
        closing = isinstance(thrown, GeneratorExit)
        try:
            with at(stream.place):
                item = inner.send(sent) if thrown is None else inner.throw(thrown)
        except StopIteration as stop:
            stream.end(closed=closing)
            return stop.value
        except BaseException as error:
            thrown = None  # else the exception would hold this frame, and the frame it
            stream.fail(error)
            raise
        stream.add(item)
        sent = thrown = None
        try:
            sent = yield item
        except BaseException as error:  # noqa: BLE001 - thrown into the user's generator next
            thrown = error


async def _drive_async(
    stream: StreamSpan, inner: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    """Forward the whole protocol, as `_drive` does, awaiting each step in the consumer's task."""
    stream.begin()
    awaitable = _first_step(inner)
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        thrown = stream.interruption() or thrown
        closing = isinstance(thrown, GeneratorExit)
        try:
            with at(stream.place):
                if thrown is not None:
                    item = await inner.athrow(thrown)
                else:
                    item = await (awaitable or inner.asend(sent))
        except StopAsyncIteration:
            stream.end(closed=closing)
            return
        except BaseException as error:
            thrown = None  # else the exception would hold this frame, and the frame it
            stream.fail(error)
            raise
        stream.add(item)
        awaitable = None
        sent = thrown = None
        try:
            sent = yield item
        except BaseException as error:  # noqa: BLE001 - thrown into the user's generator next
            thrown = error


def _first_step(inner: AsyncGenerator[Any, Any]) -> Any:  # noqa: ANN401 - an awaitable of the item
    """Return the first step, made with the hooks off, so that the loop knows only our generator.

    Known to the loop, both would be closed at its shutdown: "aclose(): already running".
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return inner.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _name(outer: Any, wrapped: Wrapped) -> None:  # noqa: ANN401 - a coroutine or a generator
    """Give *outer* the name that the bare call's object would have."""
    outer.__name__ = wrapped.__name__
    outer.__qualname__ = wrapped.__qualname__
