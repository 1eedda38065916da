"""`copy_context` and `ContextExecutor`: pass the run and the span on to threads and callbacks."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, cast

from remit._record.context import SavedContext, for_consumer, open_context
from remit._record.runs import SpanContext, set_context
from remit._record.stepping import await_stepwise

P = ParamSpec("P")
T = TypeVar("T")


def copy_context(function: Callable[P, T]) -> Callable[P, T]:
    """Return *function* bound to the current run and span, for use in another thread or task.

    `threading.Thread` and `loop.run_in_executor` start with an empty context, so spans in them
    would not belong to a run. `asyncio` tasks and `asyncio.to_thread` copy the context themselves.

    Args:
        function: A function or a coroutine function. Each call of the returned function runs in its
            own copy of the context. A coroutine runs in the task that awaits it, with the captured
            run and span.
    """
    captured = contextvars.copy_context()
    context = open_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        copied = captured.copy()
        if context is not None:
            copied.run(set_context, for_consumer(context, open_context()))
        return copied.run(function, *args, **kwargs)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            return await _in_context(context, call(*args, **kwargs))

        return cast("Callable[P, T]", awaited)

    @wraps(function)
    def in_context(*args: P.args, **kwargs: P.kwargs) -> Any:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        returned = call(*args, **kwargs)
        # A coroutine from a plain function, such as a lambda.
        return _in_context(context, returned) if type(returned) is CoroutineType else returned

    return in_context


async def _in_context(context: SpanContext | None, coroutine: Any) -> Any:
    __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
    return await await_stepwise(coroutine, SavedContext(context))


class ContextExecutor(ThreadPoolExecutor):
    """A thread pool in which each job runs with the run and span of the code that submitted it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit *fn* to the pool, to be called with the current run and span of the caller."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        return super().submit(copy_context(fn), *args, **kwargs)
