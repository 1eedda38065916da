"""What functions of users return that has not ended yet, of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
)
from typing import Any, Self

from starlette.responses import StreamingResponse

import remit


@remit.agent
def holder() -> None:
    """Hold the runs."""


@remit.span_type
def inner(value: int) -> int:
    """Be called by whatever was returned."""
    return value


def step_of(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a span type that returns what *make* does."""

    @remit.span_type("returning.step")
    def step(*args: object, **kwargs: object) -> Any:
        return make(*args, **kwargs)

    return step


def numbers(count: int) -> Generator[int, None, str]:
    """Yield numbers."""
    for number in range(count):
        yield inner(number)
    return "done"


async def numbers_later(count: int) -> AsyncGenerator[int]:
    """Yield numbers, in a while."""
    for number in range(count):
        await asyncio.sleep(0)
        yield inner(number)


async def number_later(number: int) -> int:
    """Return one number, in a while."""
    await asyncio.sleep(0)
    return inner(number)


class Numbers:
    """An iterator of the user's own that can be entered and closed.

    Attributes:
        closings: How often it was closed.
    """

    def __init__(self, count: int) -> None:
        """Count to *count*."""
        self._left = iter(range(count))
        self.closings = 0

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> int:
        """Return the next number."""
        return inner(next(self._left))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Count the closing."""
        self.closings += 1


class NumbersLater:
    """Its asynchronous twin.

    Attributes:
        closings: How often it was closed.
    """

    def __init__(self, count: int) -> None:
        """Count to *count*."""
        self._left = iter(range(count))
        self.closings = 0

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> int:
        """Return the next number."""
        await asyncio.sleep(0)
        for number in self._left:
            return inner(number)
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Count the closing."""
        await asyncio.sleep(0)
        self.closings += 1


class Repeatable(Numbers):
    """Iterates through a generator, as the streams of some model clients do."""

    def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # as those do
        """Return a generator."""
        yield from numbers(2)


class Door(AbstractContextManager["Door"], AbstractAsyncContextManager["Door"]):
    """A context manager of the user's own, in both worlds."""

    def __enter__(self) -> Self:
        """Return itself."""
        inner(0)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Leave."""
        inner(1)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave."""
        self.__exit__(*exc_info)


@contextmanager
def session(name: str) -> Generator[dict[str, str]]:
    """Open a session."""
    inner(0)
    try:
        yield {"session": name}
    finally:
        inner(1)


def response(count: int) -> StreamingResponse:
    """Return a streaming response."""
    return StreamingResponse(str(number) async for number in numbers_later(count))
