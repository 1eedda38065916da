"""Wraps the user's generators and coroutines by real ones of the same kind, which step them.

Values and exceptions pass through unchanged, in the consumer's own task. The span is current only
while the user's code runs a step.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import Any, TypeAlias

from remit._base.guard import guarded
from remit._inspect.introspection import ABSENT, kind_of, lookup
from remit._record.stepping import await_stepwise, step
from remit._record.streams import StreamSpan

AnyGenerator: TypeAlias = Generator[Any, Any, Any]
AnyAsyncGenerator: TypeAlias = AsyncGenerator[Any, Any]


def wrap_generator(inner: AnyGenerator, span: StreamSpan) -> AnyGenerator:
    """Return a generator that steps *inner* and reports each step to *span*."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    started = getattr(inner, "gi_suspended", False)
    outer = _drive(inner, span, started=started)
    if started:
        next(outer)
    named_as(inner, outer)
    return outer


def wrap_async_generator(inner: AnyAsyncGenerator, span: StreamSpan) -> AnyAsyncGenerator:
    """Return an async generator that steps *inner*, as `wrap_generator` does."""
    outer = _drive_async(inner, span)
    named_as(inner, outer)
    return outer


@guarded("the name of a coroutine or generator")
def named_as(bare: Any, outer: Any, /) -> None:
    """Give *outer* the name of *bare*, the object it wraps or the callable that made it."""
    try:
        outer.__name__, outer.__qualname__ = bare.__name__, bare.__qualname__
    except AttributeError:
        inner = bare.func if isinstance(bare, partial) else lookup(kind_of(bare), "__call__")
        if inner is not ABSENT:
            named_as(inner, outer)


def _drive(inner: AnyGenerator, span: StreamSpan, *, started: bool) -> AnyGenerator:
    """Forward the whole protocol; `GeneratorExit` is thrown in, never turned into `close`."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    span.begin()
    sent: Any = None
    thrown: BaseException | None = None
    passing: list[Any] = []
    if started:
        try:
            sent = yield
        except BaseException as error:
            thrown = error
    while True:
        thrown = span.interruption(thrown) or thrown
        try:
            passing.append(step(inner, sent, thrown, span.saved))
        except StopIteration as stop:
            span.end(closed=issubclass(type(thrown), GeneratorExit))
            return stop.value
        except BaseException as error:
            thrown = None  # else the exception would hold this frame, and the frame it
            span.fail(error)
            raise
        span.add(passing[0])
        sent = thrown = None
        try:
            sent = yield passing.pop()  # popped: only the consumer holds an item between steps
        except BaseException as error:
            thrown = error


async def _drive_async(inner: AnyAsyncGenerator, span: StreamSpan) -> AnyAsyncGenerator:
    """Forward the whole protocol as `_drive` does, awaiting each step in the consumer's task."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    await span.begin_async()
    asend: Callable[[Any], Awaitable[Any]] = partial(_first_asend, inner)
    sent: Any = None
    thrown: BaseException | None = None
    passing: list[Any] = []
    while True:
        thrown = span.interruption(thrown) or thrown
        try:
            async with span.begin_wait(thrown):
                # Unnamed: what `athrow` returns holds the exception, which would hold this frame.
                passing.append(
                    await await_stepwise(
                        asend(sent) if thrown is None else inner.athrow(thrown), span.saved
                    )
                )
        except StopAsyncIteration:
            span.end_wait(None)
            span.end(closed=issubclass(type(thrown), GeneratorExit))
            return
        except BaseException as error:
            thrown = None  # else the exception would hold this frame, and the frame it
            stop = span.end_wait(error)
            span.fail(error if stop is None else stop)
            if stop is not None:
                raise stop from None
            raise
        span.end_wait(None)
        span.add(passing[0])
        asend = inner.asend
        sent = thrown = None
        try:
            sent = yield passing.pop()
        except BaseException as error:
            thrown = error


def _first_asend(inner: AnyAsyncGenerator, value: Any) -> Awaitable[Any]:
    """Return `inner.asend(value)` for the first step, and keep *inner* from the event loop.

    If the loop knew both, it would close both at its shutdown: "aclose(): already running". The
    inner generator is finalised through the outer one, so its own finaliser does nothing.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None, finalizer=lambda _generator: None)
    try:
        return inner.asend(value)
    finally:
        sys.set_asyncgen_hooks(*hooks)
