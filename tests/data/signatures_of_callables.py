# The callables are data: they are read, never called, and their shape is the point of each.
# ruff: noqa: D101, D102, D103
# mypy: disable-error-code="empty-body, misc, var-annotated"
# pyright: basic
"""Callables that are no plain functions, and functions that return no plain values.

By name: several of them have none of their own.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Annotated, Any, ClassVar, Generic, ParamSpec, TypeVar

from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from remit import Sensitive, Skip

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=str)
V = TypeVar("V")


class Connection(BaseModel):
    """An open connection."""

    host: str
    port: int = 443


def order(article: str, count: int = 1, *, note: str | None = None) -> bool:
    """Order an article.

    Args:
        article: What is ordered.
        count: How many of it.
        note: For the packer.
    """
    return bool(article and count and note)


def traced(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return wrapper


class Shelf(Generic[K, V]):
    """A generic class: its type variables stand for anything."""

    limit: ClassVar[int] = 3

    def put(self, key: K, value: V, *more: V) -> Shelf[K, V]: ...

    @staticmethod
    def size_of(key: str, /) -> int: ...

    @property
    def count(self) -> int: ...

    def inherited(self, key: K) -> V: ...


class Named(Shelf[str, int]):
    def inherited(self, key: str, default: int = 0) -> int: ...


class Tool(abc.ABC):
    @abc.abstractmethod
    def use(self, amount: Annotated[float, Field(gt=0)]) -> str: ...


class Speaks(typing.Protocol):
    def say(self, text: str, *, loud: bool = False) -> None: ...


@dataclasses.dataclass(frozen=True)
class Search:
    """A callable object; what it holds is no parameter of a call."""

    index: str

    def __call__(self, query: str, top: int = 5) -> list[Connection]: ...

    def again(self, query: str) -> Connection: ...


class AsyncSearch:
    async def __call__(self, query: str, token: Annotated[str, Sensitive()]) -> str: ...


@contextlib.contextmanager
def context_manager(host: str) -> Iterator[Connection]:
    yield Connection(host=host)


@contextlib.asynccontextmanager
async def async_context_manager(host: str) -> AsyncGenerator[int, None]:
    yield len(host)


@functools.singledispatch
def dispatched(value: object, depth: int = 0) -> str:
    return f"{value}{depth}"


@dispatched.register
def _(value: int, depth: int = 0) -> str:
    return f"{value}{depth}"


@functools.lru_cache(maxsize=8)
def cached(key: str) -> int:
    return len(key)


@typing.overload
def overloaded(value: str) -> str: ...
@typing.overload
def overloaded(value: int) -> int: ...
def overloaded(value: str | int) -> str | int:
    return value


@traced
def wrapped(a: int, b: str = "b") -> Connection: ...


def returns_context_manager(a: int) -> AbstractContextManager[Connection]: ...


def returns_async_context_manager(a: int) -> AbstractAsyncContextManager[list[int]]: ...


def returns_coroutine(a: int) -> Coroutine[Any, Any, Connection]: ...


def returns_awaitable(a: int) -> Awaitable[Connection]: ...


def returns_async_iterator(a: int) -> AsyncIterator[Connection]: ...


def returns_async_iterable(a: int) -> AsyncIterable[str]: ...


def returns_iterator_or_none(a: int) -> Iterator[int] | None: ...


def returns_iterator_or_model(a: int) -> Generator[str, None, None] | Connection | list[int]: ...


def returns_iterable_of_models(a: int) -> Annotated[Iterable[Connection], "in order"]: ...


def returns_response(question: str) -> StreamingResponse: ...


def skips_them_all(a: Annotated[int, Skip], *, b: Annotated[str, Skip] = "b") -> None: ...


CASES: dict[str, Callable[..., object]] = {
    "abstract_method": Tool.use,
    "async_callable_object": AsyncSearch(),
    "async_context_manager": async_context_manager,
    "bound_method": Search("main").again,
    "builtin": len,
    "builtin_method": {}.get,
    "cached": cached,
    "callable_object": Search("main"),
    "class_of_generics": Shelf.put,
    "context_manager": context_manager,
    "dispatched": dispatched,
    "inherited_method": Shelf.inherited,
    "lambda": lambda a, *, b=1: (a, b),
    "order": order,
    "overloaded": overloaded,
    "overridden_method": Named.inherited,
    "partial_by_keyword": functools.partial(order, count=3),
    "partial_by_position": functools.partial(order, "tea"),
    "partial_of_a_method": functools.partial(Search("main").again, "q"),
    "partial_of_an_object": functools.partial(Search("main"), top=1),
    "property_getter": typing.cast("Any", Shelf).count.fget,
    "protocol_method": Speaks.say,
    "returns_async_context_manager": returns_async_context_manager,
    "returns_async_iterable": returns_async_iterable,
    "returns_async_iterator": returns_async_iterator,
    "returns_context_manager": returns_context_manager,
    "returns_awaitable": returns_awaitable,
    "returns_coroutine": returns_coroutine,
    "returns_iterable_of_models": returns_iterable_of_models,
    "returns_iterator_or_model": returns_iterator_or_model,
    "returns_iterator_or_none": returns_iterator_or_none,
    "returns_response": returns_response,
    "skips_them_all": skips_them_all,
    "static_method": Shelf.size_of,
    "wrapped": wrapped,
}
"""Every callable of this module that is a case, by the name of its golden file."""
