"""A decorated generator does what the bare one does, whatever is done to it.

The same random script of steps runs against both; values, exceptions, the order of `finally` and
the current task must be equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remit
from remit.testing import isolated

Step: TypeAlias = tuple[str, int]
Trace: TypeAlias = list[object]
Function: TypeAlias = Callable[[Trace, list[str]], Any]

FORGETS = "finally-yield"
"""A body that ignores `GeneratorExit` is not compared after it was collected: Python gives up on
the bare one there, and on ours one collection later."""


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["next", "send", "throw", "exit", "close", "stop", "base"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)
BODIES = st.lists(
    st.sampled_from(["yield", "catch", "swallow-exit", "raise", "return", FORGETS]),
    min_size=1,
    max_size=5,
)


class Odd(BaseException):
    """Neither an exception of the user's nor one of Python's."""


def error_of(step: Step) -> BaseException:
    """Return the exception that a step throws in."""
    kind, number = step
    kinds: dict[str, Callable[[], BaseException]] = {
        "throw": lambda: ValueError(number),
        "exit": GeneratorExit,
        "stop": lambda: StopIteration(number),
        "base": lambda: Odd(number),
    }
    return kinds[kind]()


def make_sync(trace: Trace, body: list[str]) -> Generator[object, object, object]:
    """Run a random body; tell the trace what happens in it."""
    try:
        for place, action in enumerate(body):
            try:
                if action == "raise":
                    raise KeyError(place)
                if action == "return":
                    return place
                trace.append(("got", (yield (place, action))))
            except ValueError as error:
                trace.append(("caught", repr(error)))
                if action != "catch":
                    raise
            except GeneratorExit:
                trace.append("exit")
                if action == "swallow-exit":
                    return "swallowed"
                if action == FORGETS:
                    yield "ignored"
                raise
    finally:
        trace.append("finally")
    return "end"


async def make_async(trace: Trace, body: list[str]) -> AsyncIterator[object]:
    """Do the same, asynchronously, and tell which task runs each step."""
    try:
        for place, action in enumerate(body):
            try:
                await asyncio.sleep(0)
                trace.append(asyncio.current_task().get_name())  # type: ignore[union-attr]
                if action == "raise":
                    raise KeyError(place)
                if action == "return":
                    return
                trace.append(("got", (yield (place, action))))
            except ValueError as error:
                trace.append(("caught", repr(error)))
                if action != "catch":
                    raise
            except GeneratorExit:
                trace.append("exit")
                if action == "swallow-exit":
                    return
                if action == FORGETS:
                    yield "ignored"
                raise
    finally:
        await asyncio.sleep(0)
        trace.append("finally")


def play_sync(function: Function, body: list[str], script: list[Step]) -> Trace:
    """Return all that can be observed of a script."""
    trace: Trace = []
    generator = function(trace, body)
    for step in script:
        kind, number = step
        try:
            if kind == "next":
                trace.append(("item", next(generator)))
            elif kind == "send":
                trace.append(("item", generator.send(number)))
            elif kind == "close":
                generator.close()
                trace.append("closed")
            else:
                trace.append(("item", generator.throw(error_of(step))))
        except BaseException as error:  # noqa: BLE001 - what comes out is what is compared
            trace.append(describe(error))
    if FORGETS not in body:
        del generator
    return list(trace)


def describe(error: BaseException) -> object:
    """Return what the caller sees of an exception."""
    value = error.value if isinstance(error, StopIteration) else None
    cause, context = error.__cause__, error.__context__
    return (type(error), str(error), repr(value), type(cause), type(context))


async def play_async(function: Function, body: list[str], script: list[Step]) -> Trace:
    """Return all that can be observed of a script, awaiting each step."""
    trace: Trace = []
    generator = function(trace, body)
    for step in script:
        kind, number = step
        try:
            if kind == "next":
                trace.append(("item", await anext(generator)))
            elif kind == "send":
                trace.append(("item", await generator.asend(number)))
            elif kind == "close":
                await generator.aclose()
                trace.append("closed")
            else:
                trace.append(("item", await generator.athrow(error_of(step))))
        except BaseException as error:  # noqa: BLE001 - what comes out is what is compared
            trace.append(describe(error))
    if FORGETS not in body:
        del generator
        for _ in range(3):
            await asyncio.sleep(0)
    return list(trace)


def in_loop(function: Function, body: list[str], script: list[Step]) -> Trace:
    """Play in a fresh loop; an error that the loop reports belongs to the trace."""
    reported: Trace = []

    async def main() -> Trace:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: reported.append(("loop", str(type(context.get("exception")))))
        )
        asyncio.current_task().set_name("player")  # type: ignore[union-attr]
        return await play_async(function, body, script)

    return [*asyncio.run(main()), *reported]


@remit.agent
def holder() -> None:
    """Hold the runs of these tests."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(body=BODIES, script=STEPS)
def test_a_decorated_generator_equals_the_bare_one(body: list[str], script: list[Step]) -> None:
    """Inside a run and outside, as a span type and as an agent."""
    expected = play_sync(make_sync, body, script)
    with isolated() as recorder:
        decorated = remit.span_type("made")(make_sync)
        assert play_sync(decorated, body, script) == expected
        with holder.run():
            assert play_sync(decorated, body, script) == expected
        assert play_sync(remit.agent(make_sync), body, script) == expected
        assert FORGETS in body or all(span.status != "active" for span in recorder.spans())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@given(body=BODIES, script=STEPS)
def test_a_decorated_async_generator_equals_the_bare_one(
    body: list[str], script: list[Step]
) -> None:
    """Inside a run and outside, as a span type and as an agent, in one task."""
    expected = in_loop(make_async, body, script)
    with isolated() as recorder:
        decorated = remit.span_type("made")(make_async)
        assert in_loop(decorated, body, script) == expected
        with holder.run():
            assert in_loop(decorated, body, script) == expected
        assert in_loop(remit.agent(make_async), body, script) == expected
        assert FORGETS in body or all(span.status != "active" for span in recorder.spans())
