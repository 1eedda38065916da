"""Makes the steps of the user's generators and coroutines, each in a saved context."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Final, TypeAlias, cast

from remit._record.context import SavedContext, open_context

AnyCoroutine: TypeAlias = Coroutine[Any, Any, Any]

_NO_STEP: Final = object()
"""In place of the value that the first step yielded, if it was not made."""


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
            yielded = step(awaited, sent, thrown, saved)
        except StopIteration as stop:
            return stop.value
        except BaseException:
            del awaited  # what `athrow` returns holds the exception, which would hold this frame
            raise
        finally:
            thrown = None  # it would hold this frame, too


def step(stepped: Any, sent: object, thrown: BaseException | None, saved: SavedContext) -> Any:
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
