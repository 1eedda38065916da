"""Driving the user's generators and coroutines, step by step, by real ones of the same kind.

Values and exceptions pass through untouched, in the consumer's own task. The span is current
while the user's code runs a step, and at no other time.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final, TypeAlias, cast

from remit._capture.statics import ABSENT, kind_of, lookup
from remit._decorators._standing import Stand
from remit._decorators._streams import InFlight
from remit._guard import guarded
from remit._recording import here

AnyGenerator: TypeAlias = Generator[Any, Any, Any]
AnyAsyncGenerator: TypeAlias = AsyncGenerator[Any, Any]
AnyCoroutine: TypeAlias = Coroutine[Any, Any, Any]

NOTHING_YET: Final = object()
"""Stands for what a step gives, before the first."""


@guarded("driving a generator")
def driven(inner: AnyGenerator, flight: InFlight) -> AnyGenerator:
    """Return a generator that steps *inner* and tells *flight* of it; None after a fault."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    started = getattr(inner, "gi_suspended", False)
    outer = _drive(inner, flight, started=started)
    if started:
        next(outer)
    named_as(inner, outer)
    return outer


@guarded("driving an async generator")
def driven_async(inner: AnyAsyncGenerator, flight: InFlight) -> AnyAsyncGenerator:
    """Return an async generator that steps *inner*, as `driven` does."""
    outer = _drive_async(inner, flight)
    named_as(inner, outer)
    return outer


def driven_coroutine(
    inner: AnyCoroutine, flight: InFlight, settle: Callable[[Any], Any]
) -> AnyCoroutine:
    """Return a coroutine that awaits *inner* and hands its value to *settle*.

    Args:
        inner: The user's coroutine, not yet awaited.
        flight: Its span.
        settle: Takes the value that it returned; returns the value for the caller.
    """
    outer = _drive_coroutine(_Unawaited(inner), flight, settle)
    named_as(inner, outer)
    return outer


def is_awaited(code: types.CodeType) -> bool:
    """Tell whether a generator of *code* is awaited: `types.coroutine` made it so."""
    return bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def coroutine_of(awaitable: Awaitable[Any]) -> AnyCoroutine:
    """Return a coroutine that awaits *awaitable*: itself, if it is one."""
    cls: type = type(awaitable)
    return cast("AnyCoroutine", awaitable) if cls is types.CoroutineType else _waiting(awaitable)


async def _waiting(awaitable: Awaitable[Any]) -> Any:  # noqa: ANN401 - what it gives
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    return await awaitable


# Unguarded: runs a step of the user's coroutine.
@types.coroutine
def stepwise(
    awaited: Any,  # noqa: ANN401 - as said
    stand: Stand,
    given: Any = NOTHING_YET,  # noqa: ANN401 - what a step gives is for the event loop
) -> Generator[Any, Any, Any]:
    """Await a coroutine, or what a generator's `asend` returns, each step where *stand* says.

    What is awaited may be closed or collected in another context than it was begun in, and may
    even await there: neither its own code nor that context's may see the other's place.

    Args:
        awaited: What is awaited.
        stand: Where its steps stand.
        given: What its first step gave, if that was made.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    while True:
        sent: Any = None
        thrown: BaseException | None = None
        if given is not NOTHING_YET:
            try:
                sent = yield given
            except BaseException as error:  # noqa: BLE001 - thrown into what is awaited next
                thrown = error
        try:
            given = _step(awaited, sent, thrown, stand)
        except StopIteration as stop:
            return stop.value
        except BaseException:
            del awaited  # what `athrow` returns holds the exception, which would hold this frame
            raise
        finally:
            thrown = None  # likewise


# Unguarded: runs a step of the user's generator.
def _step(stepped: Any, sent: object, thrown: BaseException | None, stand: Stand) -> Any:  # noqa: ANN401 - the next item
    """Run one step, as `with step(stand)` does in twice the time.

    As `await` has it, a coroutine is closed by `GeneratorExit`. What `asend` returns is not: before
    Python 3.13 its `close` reaches no body.
    """
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    consumer = here()
    closing = issubclass(type(thrown), GeneratorExit)
    if closing:
        stand.closing = True
    stand.enter(consumer)
    try:
        if thrown is None:
            return stepped.send(sent)
        if closing and type(stepped) is types.CoroutineType:
            stepped.close()
            raise thrown
        return stepped.throw(thrown)
    finally:
        del stepped, thrown  # else an exception would hold this frame, and the frame it
        stand.leave(consumer)


@guarded("the name of a coroutine or generator")
def named_as(bare: Any, outer: Any, /) -> None:  # noqa: ANN401 - as said
    """Give *outer* the name of *bare*: its bare twin, or the callable that makes one."""
    try:
        outer.__name__, outer.__qualname__ = bare.__name__, bare.__qualname__
    except AttributeError:
        makes = bare.func if isinstance(bare, partial) else lookup(kind_of(bare), "__call__")
        if makes is not ABSENT:
            named_as(makes, outer)


def _drive(inner: AnyGenerator, flight: InFlight, *, started: bool) -> AnyGenerator:
    """Forward the whole protocol; `GeneratorExit` is thrown in, never turned into `close`."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight.begin()
    sent: Any = None
    thrown: BaseException | None = None
    passing: list[Any] = []
    if started:
        try:
            sent = yield
        except BaseException as error:  # noqa: BLE001 - thrown into the user's generator next
            thrown = error
    while True:
        if thrown is not None:
            flight.stand.closing = issubclass(type(thrown), GeneratorExit)
        stop = flight.interruption(thrown)
        thrown = thrown if stop is None else stop
        try:
            passing.append(_step(inner, sent, thrown, flight.stand))
        except StopIteration as stop:
            flight.end(closed=issubclass(type(thrown), GeneratorExit))
            return stop.value
        except BaseException as error:
            thrown = None  # else the exception would hold this frame, and the frame it
            flight.fail(error)
            raise
        flight.add(passing[0])
        sent = thrown = None
        try:
            sent = yield passing.pop()  # popped: only the consumer holds an item between steps
        except BaseException as error:  # noqa: BLE001 - thrown into the user's generator next
            thrown = error


async def _drive_async(inner: AnyAsyncGenerator, flight: InFlight) -> AnyAsyncGenerator:
    """Forward the whole protocol, as `_drive` does, awaiting each step in the consumer's task."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    flight.begin()
    step: Callable[[Any], Awaitable[Any]] = _first_step(inner)
    sent: Any = None
    thrown: BaseException | None = None
    passing: list[Any] = []
    while True:
        if thrown is not None:
            flight.stand.closing = issubclass(type(thrown), GeneratorExit)
        stop = flight.interruption(thrown)
        thrown = thrown if stop is None else stop
        flight.begin_wait()
        try:
            passing.append(
                await stepwise(step(sent) if thrown is None else inner.athrow(thrown), flight.stand)
            )
        except StopAsyncIteration:
            flight.end_wait(None)
            flight.end(closed=issubclass(type(thrown), GeneratorExit))
            return
        except BaseException as error:
            thrown = None  # else the exception would hold this frame, and the frame it
            stop = flight.end_wait(error)
            flight.fail(error if stop is None else stop)
            if stop is not None:
                raise stop from None
            raise
        flight.end_wait(None)
        flight.add(passing[0])
        step = inner.asend
        sent = thrown = None
        try:
            sent = yield passing.pop()
        except BaseException as error:  # noqa: BLE001 - thrown into the user's generator next
            thrown = error


# Unguarded: runs a step of the user's generator.
def _first_step(inner: AnyAsyncGenerator) -> Callable[[Any], Awaitable[Any]]:
    """Return `asend` for the first step, which keeps *inner* from the event loop.

    Known to the loop, both would be closed at its shutdown: "aclose(): already running". The one
    that nobody steps any more is finalised through the outer one, so its own finaliser is idle.
    """

    def asend(value: Any) -> Awaitable[Any]:  # noqa: ANN401 - whatever is sent
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=_leave_alone)
        try:
            return inner.asend(value)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return asend


def _leave_alone(inner: object) -> None:
    """Finalise nothing."""


async def _drive_coroutine(
    inner: _Unawaited, flight: InFlight, settle: Callable[[Any], Any]
) -> Any:  # noqa: ANN401 - whatever it returns
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    try:
        flight.check()
    except BaseException:
        inner.close()
        raise
    try:
        value = await stepwise(inner.taken(), flight.stand)
    except BaseException as error:
        flight.fail(error)
        raise
    flight.stand.remain()
    return settle(value)


class _Unawaited:
    """Holds a coroutine until it is awaited, which may be never."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: AnyCoroutine) -> None:
        """Hold *coroutine*."""
        self._coroutine: AnyCoroutine | None = coroutine

    def taken(self) -> AnyCoroutine:
        """Return the coroutine, to be awaited now."""
        coroutine, self._coroutine = self._coroutine, None
        return cast("AnyCoroutine", coroutine)

    def close(self) -> None:
        """Close it: that it was never awaited is said once, of the one that the caller got."""
        if self._coroutine is not None:
            self._coroutine.close()

    __del__ = close
