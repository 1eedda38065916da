"""`agent` in each of its forms on each kind of callable: still callable, and an agent."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar, assert_type, overload

import remit
from tests.inside import Agent, Run, RunBlock

X = TypeVar("X")


@remit.agent
def function_bare(a: int, key: str = "") -> float:
    """Decorated bare."""
    return a


@remit.agent()
def function_called(a: int, /) -> float:
    """Decorated with an empty call."""
    return a


@remit.agent("Named", version="1")
def function_named(a: int) -> float:
    """Decorated with a name."""
    return a


@remit.agent
async def coroutine_bare(a: int) -> str:
    """Decorated bare."""
    return str(a)


@remit.agent("Named")
async def coroutine_named(a: int) -> str:
    """Decorated with a name."""
    return str(a)


@remit.agent
def generator_bare(a: int) -> Iterator[str]:
    """Decorated bare."""
    yield str(a)


@remit.agent("Named")
async def async_generator_named(a: int) -> AsyncIterator[str]:
    """Decorated with a name."""
    yield str(a)


class Desk:
    """Methods that answer."""

    @remit.agent
    def method_bare(self, a: int) -> str:
        """Decorated bare."""
        return str(a)

    @remit.agent("Named")
    async def method_named(self, a: int) -> str:
        """Decorated with a name."""
        return str(a)

    @classmethod
    @remit.agent
    def class_under(cls, a: int) -> str:
        """Decorated under a class method."""
        return str(a)

    @remit.agent("Named")
    @classmethod
    def class_above(cls, a: int) -> str:
        """Decorated above a class method."""
        return str(a)

    @staticmethod
    @remit.agent
    def static_under(a: int) -> str:
        """Decorated under a static method."""
        return str(a)

    @remit.agent()
    @staticmethod
    def static_above(a: int) -> str:
        """Decorated above a static method."""
        return str(a)


class Times:
    """Objects that are called."""

    def __call__(self, a: int) -> float:
        """Multiply."""
        return a


object_bare = remit.agent(Times())
object_named = remit.agent("Named")(Times())
preset = remit.agent(functools.partial(function_called, 2))
bound = remit.agent(Times().__call__)


@remit.span_type("step")
@remit.agent
def both(a: int) -> float:
    """Decorated twice."""
    return a


@remit.agent
def generic(a: X) -> list[X]:
    """Decorated bare."""
    return [a]


@overload
def overloaded(a: int) -> int: ...
@overload
def overloaded(a: str) -> str: ...
@remit.agent
def overloaded(a: int | str) -> int | str:
    """Decorated in its implementation."""
    return a


def check_agents() -> None:
    """What an agent is, and what its call returns."""
    assert_type(function_called, Agent[[int], float])
    assert_type(function_bare(1, key="a"), float)
    assert_type(function_called(1), float)
    assert_type(function_named(a=1), float)
    assert_type(generator_bare(1), Iterator[str])
    assert_type(async_generator_named(1), AsyncIterator[str])
    assert_type(object_bare(1), float)
    assert_type(object_named(1), float)
    assert_type(preset(), float)
    assert_type(bound(1), float)
    assert_type(both(1), float)
    assert_type(generic(1), list[int])
    assert_type(overloaded(1), int)
    assert_type(overloaded("a"), str)
    assert_type(both.registration(), dict[str, object])
    function_called("a")  # type: ignore[arg-type] # a wrong argument is still one


def check_methods(desk: Desk) -> None:
    """A bound agent has the parameters that are left, and all that an agent has."""
    assert_type(desk.method_bare(1), str)
    assert_type(desk.method_bare.run(), RunBlock)
    assert_type(desk.method_bare.registration(), dict[str, object])
    assert_type(Desk.method_bare(desk, 1), str)
    assert_type(Desk.class_under(1), str)
    assert_type(Desk.class_under.run(), RunBlock)
    assert_type(Desk.class_above(1), str)
    assert_type(desk.class_above(1), str)
    assert_type(desk.class_above.run(), RunBlock)
    assert_type(Desk.static_above(1), str)
    assert_type(Desk.static_under(1), str)
    assert_type(Desk.static_under.run(), RunBlock)


async def check_runs(desk: Desk) -> None:
    """The block of a run, sync and async."""
    assert_type(await coroutine_bare(1), str)
    assert_type(await coroutine_named(1), str)
    assert_type(await desk.method_named(1), str)
    with function_bare.run(subject="a", labels={"b": "c"}) as run:
        assert_type(run, Run)
    async with desk.method_named.run(purpose="eval") as run:
        assert_type(run, Run)


async def check_misused_runs() -> None:
    """A run takes no question, is no coroutine, and has what it has in its block only."""
    function_bare.run("question")  # type: ignore[arg-type] # the agent is called in the block
    await function_bare.run()  # type: ignore[misc] # it is a block
    function_bare.run().record_quality("a", {})  # type: ignore[attr-defined] # the block gives the run
