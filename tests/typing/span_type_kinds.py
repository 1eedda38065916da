"""`span_type` in each of its forms on each kind of callable: the type stays what it was."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, ParamSpec, TypeVar, assert_type, overload

import remit

P = ParamSpec("P")
R = TypeVar("R")
X = TypeVar("X")


@remit.span_type
def function_bare(a: int, *rest: str, key: bool = False, **more: float) -> float:
    """Decorated bare."""
    return a


@remit.span_type()
def function_called(a: int) -> float:
    """Decorated with an empty call."""
    return a


@remit.span_type("named")
def function_named(a: int) -> float:
    """Decorated with a name."""
    return a


@remit.span_type(name=None, title="Title", capture={"a": False})
def function_options(a: int) -> float:
    """Decorated with options."""
    return a


@remit.span_type
async def coroutine_bare(a: int) -> str:
    """Decorated bare."""
    return str(a)


@remit.span_type()
async def coroutine_called(a: int) -> str:
    """Decorated with an empty call."""
    return str(a)


@remit.span_type("named")
async def coroutine_named(a: int) -> str:
    """Decorated with a name."""
    return str(a)


@remit.span_type
def generator_bare(n: int) -> Generator[int, str, bool]:
    """Decorated bare."""
    return (yield n) == ""


@remit.span_type()
def generator_called(n: int) -> Iterator[int]:
    """Decorated with an empty call."""
    yield n


@remit.span_type("named")
def generator_named(n: int) -> Iterator[int]:
    """Decorated with a name."""
    yield n


@remit.span_type
async def async_generator_bare(n: int) -> AsyncGenerator[int, str]:
    """Decorated bare."""
    yield n


@remit.span_type()
async def async_generator_called(n: int) -> AsyncIterator[int]:
    """Decorated with an empty call."""
    yield n


@remit.span_type("named")
async def async_generator_named(n: int) -> AsyncIterator[int]:
    """Decorated with a name."""
    yield n


class Service(ABC):
    """Methods of each kind."""

    @remit.span_type
    def method_bare(self, a: int) -> str:
        """Decorated bare."""
        return str(a)

    @remit.span_type()
    async def method_called(self, a: int) -> str:
        """Decorated with an empty call."""
        return str(a)

    @remit.span_type("named")
    def method_named(self, a: int) -> Iterator[str]:
        """Decorated with a name."""
        yield str(a)

    @remit.span_type
    @abstractmethod
    def abstract(self, a: int) -> str:
        """Decorated above an abstract method."""

    @classmethod
    @remit.span_type
    def class_under_bare(cls, a: int) -> str:
        """Decorated under a class method."""
        return str(a)

    @classmethod
    @remit.span_type()
    def class_under_called(cls, a: int) -> str:
        """Decorated under a class method."""
        return str(a)

    @classmethod
    @remit.span_type("named")
    def class_under_named(cls, a: int) -> str:
        """Decorated under a class method."""
        return str(a)

    @remit.span_type
    @classmethod
    def class_above_bare(cls, a: int) -> str:
        """Decorated above a class method."""
        return str(a)

    @remit.span_type("named")
    @classmethod
    def class_above_named(cls, a: int) -> str:
        """Decorated above a class method."""
        return str(a)

    @staticmethod
    @remit.span_type
    def static_under_bare(a: int) -> str:
        """Decorated under a static method."""
        return str(a)

    @staticmethod
    @remit.span_type("named")
    def static_under_named(a: int) -> str:
        """Decorated under a static method."""
        return str(a)

    @remit.span_type
    @staticmethod
    def static_above_bare(a: int) -> str:
        """Decorated above a static method."""
        return str(a)

    @remit.span_type()
    @staticmethod
    def static_above_called(a: int) -> str:
        """Decorated above a static method."""
        return str(a)

    @property
    @remit.span_type
    def property_under_bare(self) -> int:
        """Decorated under a property."""
        return 1

    @property
    @remit.span_type("named")
    def property_under_named(self) -> int:
        """Decorated under a property."""
        return 1

    @remit.span_type  # type: ignore[prop-decorator] # mypy supports none above a property
    @property
    def property_above(self) -> int:
        """Decorated above a property."""
        return 1

    @functools.cached_property
    @remit.span_type
    def cached_under(self) -> int:
        """Decorated under a cached property."""
        return 1

    @remit.span_type("named")  # type: ignore[prop-decorator] # nor above a cached one
    @functools.cached_property
    def cached_above(self) -> int:
        """Decorated above a cached property."""
        return 1

    def times(self, by: int, a: int) -> str:
        """Multiply."""
        return str(by * a)

    thrice = remit.span_type(functools.partialmethod(times, 3))


class Times:
    """Objects that are called."""

    def __call__(self, a: int) -> float:
        """Multiply."""
        return a

    by = 3


object_bare = remit.span_type(Times())
object_called = remit.span_type()(Times())
object_named = remit.span_type("named")(Times())
preset_bare = remit.span_type(functools.partial(function_called, 2))
preset_named = remit.span_type("named")(functools.partial(coroutine_called, 2))
builtin: Callable[[object], int] = remit.span_type(hash)
bound = remit.span_type(Times().__call__)


@overload
def overloaded(a: int) -> int: ...
@overload
def overloaded(a: str) -> str: ...
@remit.span_type
def overloaded(a: int | str) -> int | str:
    """Decorated in its implementation."""
    return a


outer_overloaded = remit.span_type(overloaded)


@remit.span_type
def generic_bare(a: X, others: list[X]) -> X:
    """Decorated bare."""
    return a


@remit.span_type("named")
def generic_named(a: X) -> list[X]:
    """Decorated with a name."""
    return [a]


@remit.span_type
def taking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Take a function and its arguments."""
    return function(*args, **kwargs)


@remit.span_type
@functools.singledispatch
def dispatched(a: object) -> int:
    """Dispatch."""
    return 0


@remit.span_type
@contextmanager
def opened_above(a: int) -> Generator[str]:
    """Decorated above a context manager."""
    yield str(a)


@contextmanager
@remit.span_type
def opened_under(a: int) -> Generator[str]:
    """Decorated under a context manager."""
    yield str(a)


@remit.span_type("named")
@asynccontextmanager
async def opened_soon(a: int) -> AsyncGenerator[str]:
    """Decorated above an async context manager."""
    yield str(a)


def passing(function: Callable[P, R]) -> Callable[P, list[R]]:
    """Return another's results in a list."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> list[R]:
        return [function(*args, **kwargs)]

    return inner


def untyped(function: Any) -> Any:
    """Have no type, as many decorators."""
    return function


unknown_bare = remit.span_type(untyped(function_called))
unknown_named = remit.span_type("named")(untyped(function_called))


@remit.span_type
@passing
def stacked(a: int) -> float:
    """Decorated above another decorator."""
    return a


def check_functions() -> None:
    """Functions and generators."""
    assert_type(function_bare(1, "a", key=True, other=1.0), float)
    assert_type(function_called(a=1), float)
    assert_type(function_named(1), float)
    assert_type(function_options(1), float)
    assert_type(generator_bare(1), Generator[int, str, bool])
    assert_type(generator_called(1), Iterator[int])
    assert_type(generator_named(1), Iterator[int])
    assert_type(async_generator_bare(1), AsyncGenerator[int, str])
    assert_type(async_generator_called(1), AsyncIterator[int])
    assert_type(async_generator_named(1), AsyncIterator[int])
    function_called("a")  # type: ignore[arg-type] # a wrong argument is still one


async def check_coroutines(service: Service) -> None:
    """What is awaited."""
    assert_type(await coroutine_bare(1), str)
    assert_type(await coroutine_called(1), str)
    assert_type(await coroutine_named(1), str)
    assert_type(await service.method_called(1), str)
    assert_type(await preset_named(), str)
    async with opened_soon(1) as text:
        assert_type(text, str)


def check_methods(service: Service) -> None:
    """Methods, on the object and on the class."""
    assert_type(service.method_bare(1), str)
    assert_type(Service.method_bare(service, 1), str)
    assert_type(service.method_named(1), Iterator[str])
    assert_type(service.abstract(1), str)
    assert_type(Service.class_under_bare(1), str)
    assert_type(Service.class_under_called(1), str)
    assert_type(service.class_under_named(1), str)
    assert_type(Service.class_above_bare(1), str)
    assert_type(service.class_above_named(1), str)
    assert_type(Service.static_under_bare(1), str)
    assert_type(service.static_under_named(1), str)
    assert_type(Service.static_above_bare(1), str)
    assert_type(service.static_above_called(1), str)
    assert_type(service.property_under_bare, int)
    assert_type(service.property_under_named, int)
    assert_type(service.property_above, int)
    assert_type(service.cached_under, int)
    assert_type(service.cached_above, int)
    assert_type(service.thrice(2), str)


def check_objects() -> None:
    """Objects, partials and builtins keep their own type."""
    assert_type(object_bare, Times)
    assert_type(object_called, Times)
    assert_type(object_named.by, int)
    assert_type(object_bare(1), float)
    assert_type(preset_bare, functools.partial[float])
    assert_type(preset_bare(), float)
    assert_type(builtin("a"), int)
    assert_type(bound(1), float)


def check_generics() -> None:
    """Overloads, type variables and parameter specifications."""
    assert_type(overloaded(1), int)
    assert_type(overloaded("a"), str)
    assert_type(outer_overloaded(1), int)
    assert_type(outer_overloaded("a"), str)
    assert_type(generic_bare(1, [2]), int)
    assert_type(generic_named("a"), list[str])
    assert_type(taking(function_called, 1), float)
    assert_type(dispatched("a"), int)
    dispatched.register(int)
    assert_type(stacked(1), list[float])
    assert_type(unknown_bare, Any)
    assert_type(unknown_named, Any)
    manager: AbstractContextManager[Any] = opened_above(1)
    with manager, opened_above(1) as above, opened_under(1) as under:
        assert_type(above, str)
        assert_type(under, str)
