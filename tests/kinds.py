"""One of each kind of callable that people decorate, made bare or decorated by the same code."""

from __future__ import annotations

import abc
import functools
import math
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Decorate: TypeAlias = Callable[[Any], Any]


def bare(given: Any) -> Any:
    """Decorate with nothing."""
    return given


@dataclass
class Kind:
    """One kind of callable.

    Attributes:
        make: Returns it, decorated by the function that it is given.
        payload: What a call of it records.
        args: What it is called with.
        result: What it returns, as it is recorded; None where the value differs by kind.
    """

    make: Callable[[Decorate], Any]
    payload: Mapping[str, object]
    args: tuple[Any, ...] = (2,)
    result: object = 6


def triple(a: int, by: int = 3) -> int:
    """Multiply."""
    return a * by


async def triple_soon(a: int, by: int = 3) -> int:
    """Multiply."""
    return a * by


def count(a: int, by: int = 3) -> Iterator[int]:
    """Count."""
    yield from range(a * by)


async def count_soon(a: int, by: int = 3) -> AsyncIterator[int]:
    """Count."""
    for each in range(a * by):
        yield each


class Times:
    """Objects that are called."""

    def __init__(self, by: int) -> None:
        """Multiply by so much."""
        self.by = by

    def __call__(self, a: int) -> int:
        """Multiply."""
        return a * self.by


class TimesSoon(Times):
    """Objects whose call is awaited."""

    async def __call__(self, a: int) -> int:  # type: ignore[override] # another kind on purpose
        """Multiply."""
        return a * self.by


class Counts(Times):
    """Objects whose call is a generator."""

    def __call__(self, a: int) -> Iterator[int]:  # type: ignore[override] # another kind on purpose
        """Count."""
        yield from range(a * self.by)


class CountsSoon(Times):
    """Objects whose call is an async generator."""

    async def __call__(self, a: int) -> AsyncIterator[int]:  # type: ignore[override] # on purpose
        """Count."""
        for each in range(a * self.by):
            yield each


def methods(decorate: Decorate) -> Any:  # noqa: C901 - a class of many methods
    """Return a class with a method of every kind."""

    class Base(abc.ABC):
        factor = 3

        @decorate
        @abc.abstractmethod
        def abstract(self, a: int) -> int:
            """Be overridden."""
            return a

        @decorate
        def inherited(self, a: int) -> int:
            """Multiply."""
            return a * self.factor

    class Methods(Base):
        @decorate
        def abstract(self, a: int) -> int:
            """Multiply what the parent gives."""
            return int(super().abstract(a)) * self.factor

        @decorate
        def positional_only(self, a: int, /) -> int:
            """Multiply."""
            return a * self.factor

        @decorate
        @classmethod
        def outer_class(cls, a: int) -> int:
            """Multiply."""
            return a * cls.factor

        @classmethod
        @decorate
        def inner_class(cls, a: int) -> int:
            """Multiply."""
            return a * cls.factor

        @decorate
        @staticmethod
        def outer_static(a: int) -> int:
            """Multiply."""
            return a * 3

        @staticmethod
        @decorate
        def inner_static(a: int) -> int:
            """Multiply."""
            return a * 3

        @decorate
        @functools.cache  # noqa: B019 - what people write
        def cached(self, a: int) -> int:
            """Multiply."""
            return a * self.factor

        def times(self, by: int, a: int) -> int:
            """Multiply."""
            return a * by

        thrice = decorate(functools.partialmethod(times, 3))

        @decorate
        @functools.singledispatchmethod
        def dispatched(self, a: object) -> object:
            """Multiply by what the type says."""
            raise TypeError(a)

        dispatched.register(int, lambda self, a: a * self.factor)

        @decorate
        def __getitem__(self, a: int) -> int:
            """Multiply."""
            return a * self.factor

    return Methods


def dispatching(decorate: Decorate) -> Any:
    """Return a function that chooses by the type of its first argument."""

    @decorate
    @functools.singledispatch
    def dispatched(a: object) -> object:
        """Multiply by what the type says."""
        raise TypeError(a)

    dispatched.register(int, lambda a: a * 3)
    return dispatched


def _method(name: str) -> Callable[[Decorate], Any]:
    return lambda decorate: getattr(methods(decorate)(), name)


def _of_class(name: str) -> Callable[[Decorate], Any]:
    return lambda decorate: getattr(methods(decorate), name)


def _unbound(decorate: Decorate) -> Any:
    cls = methods(decorate)
    return functools.partial(cls.inherited, cls())


A2, BY3 = {"a": 2}, {"a": 2, "by": 3}

KINDS = {
    "function": Kind(lambda decorate: decorate(triple), BY3),
    "lambda": Kind(lambda decorate: decorate(lambda a: a * 3), A2),
    "coroutine": Kind(lambda decorate: decorate(triple_soon), BY3),
    "generator": Kind(lambda decorate: decorate(count), BY3),
    "async-generator": Kind(lambda decorate: decorate(count_soon), BY3),
    "method": Kind(_method("inherited"), A2),
    "method-of-class": Kind(_unbound, A2),
    "overriding": Kind(_method("abstract"), A2),
    "positional-only": Kind(_method("positional_only"), A2),
    "special": Kind(_method("__getitem__"), A2),
    "outer-class": Kind(_of_class("outer_class"), A2),
    "outer-class-of-object": Kind(_method("outer_class"), A2),
    "inner-class": Kind(_of_class("inner_class"), A2),
    "inner-class-of-object": Kind(_method("inner_class"), A2),
    "outer-static": Kind(_of_class("outer_static"), A2),
    "outer-static-of-object": Kind(_method("outer_static"), A2),
    "inner-static": Kind(_of_class("inner_static"), A2),
    "cached-method": Kind(_method("cached"), A2),
    "partial-method": Kind(_method("thrice"), A2),
    "dispatching-method": Kind(_method("dispatched"), A2),
    "bound-method": Kind(lambda decorate: decorate(methods(bare)().inherited), A2),
    "bound-class-method": Kind(lambda decorate: decorate(methods(bare).outer_class), A2),
    "dispatching": Kind(dispatching, A2),
    "cached": Kind(lambda decorate: decorate(functools.cache(triple)), BY3),
    "partial": Kind(lambda decorate: decorate(functools.partial(triple, by=3)), BY3),
    "partial-by-position": Kind(
        lambda decorate: decorate(functools.partial(triple, 2)), {"by": 3}, (3,)
    ),
    "partial-coroutine": Kind(lambda decorate: decorate(functools.partial(triple_soon, by=3)), BY3),
    "partial-of-object": Kind(lambda decorate: decorate(functools.partial(Times(3))), A2),
    "partial-of-async-object": Kind(lambda decorate: decorate(functools.partial(TimesSoon(3))), A2),
    "object": Kind(lambda decorate: decorate(Times(3)), A2),
    "async-object": Kind(lambda decorate: decorate(TimesSoon(3)), A2),
    "generator-object": Kind(lambda decorate: decorate(Counts(3)), A2),
    "async-generator-object": Kind(lambda decorate: decorate(CountsSoon(3)), A2),
    "builtin": Kind(
        lambda decorate: decorate(math.prod), {"iterable": [2, 3], "start": 1}, ([2, 3],)
    ),
    "builtin-type-method": Kind(
        lambda decorate: decorate(str.upper), {"self": "ab"}, ("ab",), "AB"
    ),
    "builtin-without-signature": Kind(
        lambda decorate: decorate(max), {"args": [2, 6], "kwargs": {}}, (2, 6)
    ),
    "function-of-a-library": Kind(
        lambda decorate: decorate(textwrap.dedent), {"text": " x"}, (" x",), "x"
    ),
}
