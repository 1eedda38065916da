"""A decorator as one writes it by hand around a tracer: arguments and result as JSON attributes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from json import JSONEncoder
from typing import Any, Final, TypeAlias

from benchmarks.peers import Decorator, Function

Opened: TypeAlias = Callable[[str], AbstractContextManager[Any]]
Put: TypeAlias = Callable[[Any, str, str], object]

dumps: Final = JSONEncoder(default=str).encode
"""Made once: `json.dumps` with a `default` makes an encoder at each call."""


def decorator(opened: Opened, put: Put) -> Decorator:
    """Return a decorator that records arguments and result.

    Args:
        opened: Opens a span of this name, and makes it the current one.
        put: Adds an attribute to a span.
    """

    def decorate(function: Function) -> Function:
        name = function.__qualname__

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with opened(name) as span:
                put(span, "args", dumps(args))
                if kwargs:
                    put(span, "kwargs", dumps(kwargs))
                result = function(*args, **kwargs)
                put(span, "result", dumps(result))
                return result

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with opened(name) as span:
                put(span, "args", dumps(args))
                if kwargs:
                    put(span, "kwargs", dumps(kwargs))
                result = await function(*args, **kwargs)
                put(span, "result", dumps(result))
                return result

        return call_async if inspect.iscoroutinefunction(function) else call

    return decorate
