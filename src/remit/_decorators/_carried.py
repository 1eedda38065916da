"""Work that is carried elsewhere: to another thread, another task, a later moment."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from types import CoroutineType
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from wrapt import FunctionWrapper

from remit._context import set_place
from remit._decorators._driving import driven, driven_async, driven_coroutine
from remit._decorators._standing import Stand
from remit._decorators._streams import InFlight
from remit._decorators._targets import kind_of
from remit._guard import guarded
from remit._recording import Place, here, place_for
from remit._signature import CallKind

P = ParamSpec("P")
T = TypeVar("T")

Follow: TypeAlias = Callable[[Any, InFlight], Any]
"""Returns what steps a coroutine or a generator."""


def copy_context(function: Callable[P, T]) -> Callable[P, T]:
    """Return *function* bound to the context of this call, to run it elsewhere.

    `threading.Thread` and `loop.run_in_executor` start with an empty context, so that spans in
    them would belong to no run; `asyncio` tasks and `asyncio.to_thread` need no help.

    Args:
        function: Any callable. Each call of the result runs in a copy of its own. The steps of a
            coroutine or a generator run where they are awaited or iterated, in that context, with
            the run and the span of this one.
    """
    captured = contextvars.copy_context()
    place = here()
    follow = _follower(function)

    def call(make: Callable[..., Any], _: object, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        context = captured.copy()
        if place is not None:
            context.run(set_place, place_for(place, here()))
        given: object = context.run(make, *args, **kwargs)
        kind: type[object] = type(given)
        if follow is None and kind is not CoroutineType:
            return given
        return captured.copy().run(_followed, given, follow or _awaited) or given

    if follow is None:

        @wraps(function)
        def in_context(*args: P.args, **kwargs: P.kwargs) -> T:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            given: T = call(function, None, args, kwargs)
            return given

        return in_context
    # Frameworks ask a function whether it makes coroutines or generators.
    twin: Callable[P, T] = FunctionWrapper(function, call)
    return twin


@guarded("what is carried elsewhere")
def _follower(function: Callable[..., object]) -> Follow | None:
    """Return what steps that which *function* makes; None if it makes nothing that has steps."""
    return _FOLLOWERS.get(kind_of(function))


@guarded("what is carried elsewhere")
def _followed(given: object, follow: Follow) -> object:
    """Return what steps *given* at the place that is current now."""
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    return follow(given, _Carried(here()))


class ContextExecutor(ThreadPoolExecutor):
    """A thread pool whose jobs run in the context of the call that submitted them."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit *fn* as `ThreadPoolExecutor` does, with the caller's run and span current."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        return super().submit(copy_context(fn), *args, **kwargs)


def _awaited(coroutine: Any, flight: InFlight) -> Any:  # noqa: ANN401 - of the same kind
    """Return a coroutine that steps *coroutine* where *flight* stands."""
    return driven_coroutine(coroutine, flight, lambda value: value)


class _Away(Stand):
    """Stands elsewhere than whoever makes the steps, who stays where it is."""

    __slots__ = ()

    def remain(self) -> None:
        """Leave nothing current."""


class _Carried(InFlight):
    """No span, but a place: what is carried there is nothing that was declared."""

    __slots__ = ()

    def __init__(self, place: Place | None) -> None:
        """Stand at *place*."""
        super().__init__(place)
        self.stand = _Away(place)

    def interruption(self, thrown: BaseException | None, /) -> None:
        """Interrupt nothing: the steps in it are asked themselves."""

    def check(self) -> None:
        """Let it go on, likewise."""

    def add(self, item: object, /) -> None:
        """Take no note of what it gives."""

    def _result(self) -> None:
        """Have nothing to tell."""


_FOLLOWERS: Final[dict[CallKind, Follow]] = {
    CallKind.COROUTINE: _awaited,
    CallKind.GENERATOR: driven,
    CallKind.ASYNC_GENERATOR: driven_async,
}
