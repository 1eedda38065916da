"""A decorator as one writes it by hand around a tracer: arguments and result as JSON attributes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from json import JSONEncoder
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from benchmarks.peers.base import Decorator, Function


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else type(value).__name__


Opened: TypeAlias = Callable[[str], AbstractContextManager[Any]]
Put: TypeAlias = Callable[[Any, str, str], object]

dumps: Final = JSONEncoder(default=_plain).encode
"""Made once: `json.dumps` with a `default` of its own makes an encoder at each call."""


def _call(function: Function, opened: Opened, put: Put) -> Function:
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

    return call


def _call_async(function: Function, opened: Opened, put: Put) -> Function:
    name = function.__qualname__

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        with opened(name) as span:
            put(span, "args", dumps(args))
            if kwargs:
                put(span, "kwargs", dumps(kwargs))
            result = await function(*args, **kwargs)
            put(span, "result", dumps(result))
            return result

    return call


def _iterate(function: Function, opened: Opened, put: Put) -> Function:
    name = function.__qualname__

    @functools.wraps(function)
    def iterate(*args: Any, **kwargs: Any) -> Generator[Any]:
        with opened(name) as span:
            put(span, "args", dumps(args))
            if kwargs:
                put(span, "kwargs", dumps(kwargs))
            items: list[Any] = []
            for item in function(*args, **kwargs):
                items.append(item)
                yield item
            put(span, "result", dumps(items))

    return iterate


def decorator(opened: Opened, put: Put) -> Decorator:
    """Return a decorator that records arguments and result.

    Args:
        opened: Opens a span of this name, and makes it the current one.
        put: Adds an attribute to a span.
    """

    def decorate(function: Function) -> Function:
        if inspect.iscoroutinefunction(function):
            return _call_async(function, opened, put)
        if inspect.isgeneratorfunction(function):
            return _iterate(function, opened, put)
        return _call(function, opened, put)

    return decorate
