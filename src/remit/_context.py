"""The ambient context: in which run and under which span a call stands, here and nowhere else.

Values are set and restored by value, never by a token: a coroutine, a `with` block or a
generator may be resumed, closed or collected in another context, where a token's reset raises.
At exit, if the variable still holds ours, the previous value is set; else it is left alone.

contextvars-extras declares the variable; the hot path uses the raw one, at full speed.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from contextvars_extras import ContextVarsRegistry

P = ParamSpec("P")
T = TypeVar("T")


class Ambient(ContextVarsRegistry):
    """The one variable; it holds a small record of ids, never a payload.

    Attributes:
        place: Run and span in one (`remit._recording.Place`), so that they never disagree.
    """

    _registry_allocate_on_setattr = False

    place: object = None


place_var: Final[contextvars.ContextVar[object]] = vars(Ambient)["place"].context_var


def copy_context(function: Callable[P, T]) -> Callable[P, T]:
    """Return *function* bound to the context of this call, to run it on another thread.

    `threading.Thread` and `loop.run_in_executor` start with an empty context, so that spans in
    them would belong to no run; `asyncio` tasks and `asyncio.to_thread` need no help.

    Args:
        function: Any callable. Each call of the result runs in a copy of its own.
    """
    captured = contextvars.copy_context()

    @wraps(function)
    def in_context(*args: P.args, **kwargs: P.kwargs) -> T:
        return captured.copy().run(function, *args, **kwargs)

    return in_context


class ContextExecutor(ThreadPoolExecutor):
    """A thread pool whose jobs run in the context of the call that submitted them."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit *fn* as `ThreadPoolExecutor` does, with the caller's run and span current."""
        return super().submit(copy_context(fn), *args, **kwargs)
