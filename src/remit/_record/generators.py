"""Wraps the user's generators and coroutines by real ones of the same kind, which step them.

Values and exceptions pass through unchanged, in the consumer's own task. The span is current only
while the user's code runs a step.
"""

from __future__ import annotations

import sys
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final, TypeAlias, cast

from remit._base.guard import guarded
from remit._inspect.introspection import ABSENT, kind_of, lookup
from remit._record.context import SavedContext, open_context
from remit._record.streams import StreamSpan

AnyGenerator: TypeAlias = Generator[Any, Any, Any]
AnyAsyncGenerator: TypeAlias = AsyncGenerator[Any, Any]
AnyCoroutine: TypeAlias = Coroutine[Any, Any, Any]

_NO_STEP: Final = object()
"""In place of the value that the first step yielded, if it was not made."""


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


def as_coroutine(awaitable: Awaitable[Any]) -> AnyCoroutine:
    """Return a coroutine that awaits *awaitable*: itself, if it is one."""
    cls: type = type(awaitable)
    return cast("AnyCoroutine", awaitable) if cls is types.CoroutineType else _waiting(awaitable)


async def _waiting(awaitable: Awaitable[Any]) -> Any:
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    return await awaitable


@types.coroutine
def await_stepwise(
    awaited: Any,
    saved: SavedContext,
    yielded: Any = _NO_STEP,
) -> Generator[Any, Any, Any]:
    """Await a coroutine, or what a generator's `asend` returns, each step in the *saved* context.

    It may be closed or collected in another context than it was begun in, and may even await there:
    neither its own code nor the code of that context may see the span of the other. If its first
    step was made already, *yielded* is what that yielded.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    while True:
        sent: Any = None
        thrown: BaseException | None = None
        if yielded is not _NO_STEP:
            try:
                sent = yield yielded
            except BaseException as error:
                thrown = error
        try:
            yielded = _step(awaited, sent, thrown, saved)
        except StopIteration as stop:
            return stop.value
        except BaseException:
            del awaited  # what `athrow` returns holds the exception, which would hold this frame
            raise
        finally:
            thrown = None  # it would hold this frame, too


def _step(stepped: Any, sent: object, thrown: BaseException | None, saved: SavedContext) -> Any:
    """Run one step in the *saved* context.

    `GeneratorExit` closes a coroutine, as `await` does. The awaitable of `asend` gets it thrown in:
    before Python 3.13 its `close` does not reach the body.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    consumer = open_context()
    closing = issubclass(type(thrown), GeneratorExit)
    if closing:
        saved.closing = True
    saved.enter(consumer)
    try:
        if thrown is None:
            return stepped.send(sent)
        if closing and type(stepped) is types.CoroutineType:
            stepped.close()
            raise thrown
        return stepped.throw(thrown)
    finally:
        del stepped, thrown  # else an exception would hold this frame, and the frame it
        saved.leave(consumer)


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
            passing.append(_step(inner, sent, thrown, span.saved))
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
    span.begin()
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
