"""Other decorators above and below ours: what is called is what is recorded."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import pytest
import wrapt

import remit
from remit.testing import RecordingSink
from tests.desk import agent

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


def passing(function: Anything) -> Anything:
    """Return a plain function around another, as most decorators are written."""

    @functools.wraps(function)
    def inner(*args: Anything, **kwargs: Anything) -> Anything:
        return function(*args, **kwargs)

    return inner


def twice(function: Anything) -> Anything:
    """Return a function that calls another two times."""

    @functools.wraps(function)
    def inner(*args: Anything, **kwargs: Anything) -> Anything:
        function(*args, **kwargs)
        return function(*args, **kwargs)

    return inner


def waiting(function: Anything) -> Anything:
    """Return a plain function that runs a coroutine function to its end."""

    @functools.wraps(function)
    def inner(*args: Anything, **kwargs: Anything) -> Anything:
        return asyncio.run(function(*args, **kwargs))

    return inner


def soon(function: Anything) -> Anything:
    """Return a coroutine function around a plain one."""

    @functools.wraps(function)
    async def inner(*args: Anything, **kwargs: Anything) -> Anything:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    return inner


def counting(function: Anything) -> Anything:
    """Return a function that is handed one argument less than the one inside."""

    @functools.wraps(function)
    def inner(a: int) -> Anything:
        return function(0, a)

    inner.__signature__ = inspect.signature(lambda a: a)  # type: ignore[attr-defined] # as `inspect` documents
    return inner


class Remembering:
    """A decorator that is a class."""

    def __init__(self, function: Anything) -> None:
        """Keep the function."""
        functools.update_wrapper(self, function)
        self.function = function
        self.seen: list[object] = []

    def __call__(self, a: int) -> Anything:
        """Call it."""
        self.seen.append(a)
        return self.function(a)


def test_below_ours_each_call_is_one_span(recorder: RecordingSink) -> None:
    """Whatever the decorator does inside; above ours, each call that it makes is one."""

    @remit.span_type
    @twice
    def below(a: int) -> int:
        return a

    @twice
    @remit.span_type
    def above(a: int) -> int:
        return a

    with agent.run():
        assert below(1) == above(1) == 1
    assert [len(recorder.spans(name)) for name in ("below", "above")] == [1, 2]
    assert below.__name__ == "below"
    assert inspect.signature(below) == inspect.signature(above)


def test_the_kind_is_that_of_what_is_called(recorder: RecordingSink) -> None:
    """A plain function around a coroutine function is plain, and the other way round."""

    @remit.span_type
    @waiting
    async def plain(a: int) -> int:
        await asyncio.sleep(0)
        return a

    @remit.span_type
    @soon
    def awaited(a: int) -> int:
        return a

    with agent.run():
        assert plain(1) == 1
        assert asyncio.run(awaited(2)) == 2
    assert not inspect.iscoroutinefunction(plain)
    assert inspect.iscoroutinefunction(awaited)
    assert [span.result for span in recorder.spans()] == [{"result": 1}, {"result": 2}]


@pytest.mark.parametrize("order", ["below", "above"])
def test_a_context_manager_is_recorded_in_either_order(recorder: RecordingSink, order: str) -> None:
    """Sync and async; the span ends when the block does."""

    def plain(a: int) -> Iterator[int]:
        yield a

    async def awaited(a: int) -> AsyncIterator[int]:
        yield a

    managers: list[Callable[[Anything], Anything]] = [
        contextlib.contextmanager,
        contextlib.asynccontextmanager,
    ]
    opened, opened_soon = (
        remit.span_type(manager(function))
        if order == "below"
        else manager(remit.span_type(function))
        for manager, function in zip(managers, (plain, awaited), strict=True)
    )

    async def use() -> None:
        async with opened_soon(2) as value:
            assert value == 2
            assert remit.current_span() == outside

    with agent.run():
        outside = remit.current_span()
        with opened(1) as value:
            assert value == 1
            assert remit.current_span() == outside
        asyncio.run(use())
    first, second = recorder.spans()
    assert [first.payload, second.payload] == [{"a": 1}, {"a": 2}]
    assert {first.status, second.status} == {"complete"}


def test_a_signature_that_a_decorator_changed_is_the_one_that_counts(
    recorder: RecordingSink,
) -> None:
    """Callers hand over what the outermost function takes."""

    @remit.span_type
    @counting
    def step(hidden: int, a: int) -> int:
        return hidden + a

    counted: Anything = step
    with agent.run():
        assert counted(5) == 5
    assert recorder.spans()[0].payload == {"a": 5}


def test_a_decorator_that_is_a_class_keeps_its_state(recorder: RecordingSink) -> None:
    """The object is called through its `__call__`, and named after the function inside."""

    @remit.span_type
    @Remembering
    def step(a: int) -> int:
        """Return it."""
        return a

    with agent.run():
        assert step(1) == 1
    assert step.seen == [1]
    (span,) = recorder.spans()
    assert span.name.endswith("<locals>.step")
    assert span.payload == {"a": 1}


def test_two_decorators_of_ours_are_two_spans(recorder: RecordingSink) -> None:
    """An agent that is a step of another program as well."""

    @remit.agent
    @remit.span_type("inner")
    def step(a: int) -> int:
        return a

    assert step(1) == 1
    outer, inner = recorder.spans()
    assert (inner.name, inner.parent) == ("inner", outer.key)
    assert outer.payload == inner.payload == {"a": 1}


def test_passing_on_changes_nothing(recorder: RecordingSink) -> None:
    """Above and below at once, on a method."""

    class Desk:
        @passing
        @remit.span_type
        @passing
        def ask(self, a: int) -> int:
            return a

    with agent.run():
        assert Desk().ask(1) == 1
    assert [span.payload for span in recorder.spans()] == [{"a": 1}]


@wrapt.decorator
def proxied(
    wrapped: Anything, instance: object, args: tuple[Anything, ...], kwargs: dict[str, Anything]
) -> Anything:
    """Hand a call through, as decorators made with wrapt do, with what it was called on."""
    return instance, wrapped(*args, **kwargs)


def test_a_decorator_made_with_wrapt_binds_ours_as_a_function(recorder: RecordingSink) -> None:
    """It asks what is inside it how that binds; a step in it is a method like any other."""

    class Desk:
        @proxied
        @remit.span_type
        def ask(self, a: int) -> int:
            return a

        @remit.span_type
        @proxied
        def tell(self, a: int) -> Anything:
            return a

    desk: Anything = Desk()
    with agent.run():
        assert desk.ask(1) == (desk, 1)
        assert type(desk).ask(desk, 2) == (desk, 2)
        assert desk.tell(3)[1] == 3
    assert [span.payload for span in recorder.spans()] == [{"a": 1}, {"a": 2}, {"a": 3}]
