"""Context managers and streaming responses that a call returned, and what stands for an object."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    nullcontext,
)
from typing import Any, TypeAlias

import pytest
from starlette.responses import StreamingResponse

import remit
from remit.errors import RunTerminated
from remit.testing import RecordingSink, isolated
from tests.returning import (
    Door,
    Numbers,
    NumbersLater,
    holder,
    inner,
    number_later,
    numbers,
    numbers_later,
    response,
    session,
    step_of,
)
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any
Make: TypeAlias = Callable[[], Any]


def test_a_context_manager_ends_with_its_call(recorder: RecordingSink) -> None:
    """Clients, locks and connections are context managers, and live for long."""
    with holder.run():
        for door in (Door(), nullcontext(), ExitStack(), session("a")):
            assert step_of(lambda door=door: door)() is door
    assert [span.status for span in recorder.spans("step")] == ["complete"] * 4


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_streaming_response_is_one_span_until_its_body_ends(
    recorder: RecordingSink, kind: str
) -> None:
    """The response stays the object that it was; what it iterates over tells the span."""
    made: list[StreamingResponse] = []

    def make() -> StreamingResponse:
        made.append(response(3))
        return made[0]

    @remit.span_type("blocks.later")
    async def later() -> StreamingResponse:
        return make()

    async def main() -> list[object]:
        with holder.run():
            step = step_of(make)
            answer = await later() if kind == "coroutine" else step()
            assert answer is made[0]
            return [chunk async for chunk in answer.body_iterator]

    assert asyncio.run(main()) == ["0", "1", "2"]
    (span,) = [span for span in recorder.spans() if not span.name.endswith(":inner")]
    assert (span.status, (span.result or {})["items"]) == ("complete", ["0", "1", "2"])
    assert [each.parent for each in recorder.spans("inner")] == [span.key] * 3


def test_a_response_that_is_not_sent_is_cancelled(recorder: RecordingSink) -> None:
    """Whoever drops it ends its span."""
    with holder.run():
        step_of(lambda: response(3))()
    (span,) = recorder.spans("step")
    assert span.status == "cancelled"
    assert recorder.runs[0].status == "complete"


ABSTRACT = [
    *(Iterable, Iterator, AsyncIterable, AsyncIterator, Generator, Awaitable),
    *(AbstractContextManager, AbstractAsyncContextManager, Numbers, NumbersLater),
]


@each(
    "make",
    [lambda: Numbers(2), lambda: NumbersLater(2), lambda: map(str, "")],
    ids=["iterator", "async-iterator", "map"],
    recorder=isolated,
)
def test_a_stand_in_passes_for_the_object(recorder: RecordingSink, make: Make) -> None:
    """`isinstance` says the same of both, and what is copied or pickled is the object."""
    del recorder
    bare = make()
    with holder.run():
        stand_in = step_of(lambda: bare)()
        assert [isinstance(stand_in, kind) for kind in ABSTRACT] == [
            isinstance(bare, kind) for kind in ABSTRACT
        ]
        assert [callable(stand_in), hasattr(stand_in, "close")] == [
            callable(bare),
            hasattr(bare, "close"),
        ]
        clones = copy.copy(stand_in), copy.deepcopy(stand_in), pickle.loads(pickle.dumps(stand_in))
        assert {type(clone) for clone in clones} == {type(bare)}


def test_a_stream_may_be_entered_and_left(recorder: RecordingSink) -> None:
    """Leaving the block before its end cancels it; what is entered is the stand-in."""
    numbers_made = Numbers(3)
    with holder.run():
        with step_of(lambda: numbers_made)() as stream:
            assert next(stream) == 0
        assert numbers_made.closings == 1
        with pytest.raises(KeyError), step_of(lambda: Numbers(3))():
            raise KeyError
        with step_of(lambda: Numbers(1))() as stream:
            assert list(stream) == [0]
    assert [span.status for span in recorder.spans("step")] == ["cancelled", "failed", "complete"]


def test_an_async_stream_may_be_entered_and_closed(recorder: RecordingSink) -> None:
    """Its `close` is awaited, and its block too."""

    async def main() -> None:
        with holder.run():
            async with step_of(lambda: NumbersLater(3))() as stream:
                assert await anext(stream) == 0
            stream = step_of(lambda: NumbersLater(3))()
            assert await anext(stream) == 0
            await stream.close()
            assert stream.closings == 1

    asyncio.run(main())
    assert [(span.status, (span.result or {})["items"]) for span in recorder.spans("step")] == [
        ("cancelled", [0])
    ] * 2


STEPS: dict[str, tuple[Make, Callable[[Any], object]]] = {
    "generator": (lambda: numbers(3), next),
    "iterator": (lambda: Numbers(3), next),
    "async-generator": (lambda: numbers_later(3), anext),
    "async-iterator": (lambda: NumbersLater(3), anext),
    "entering-an-iterator": (lambda: Numbers(3), lambda it: it.__enter__()),
    "entering-an-async-iterator": (lambda: NumbersLater(3), lambda it: it.__aenter__()),
    "coroutine": (lambda: number_later(1), lambda it: it),
    "response": (lambda: response(3), lambda it: anext(it.body_iterator)),
}


@each(("make", "take"), list(STEPS.values()), ids=list(STEPS), recorder=isolated)
def test_a_termination_reaches_each_step(
    recorder: RecordingSink, make: Make, take: Callable[[Any], Any]
) -> None:
    """No code of the user's runs in a step that comes after it, the first one included."""

    async def once(stream: object) -> None:
        taken = take(stream)
        if isinstance(taken, Awaitable):
            await taken

    async def main() -> None:
        with holder.run() as run:
            stream = step_of(make)()
            recorder.runs[0].feed.terminated = "stopped"
            assert run.terminated
            with pytest.raises(RunTerminated):
                await once(stream)

    asyncio.run(main())
    assert recorder.spans("inner") == []
    assert [span.status for span in recorder.spans("step")] == ["cancelled"]


def test_a_termination_reaches_code_that_calls_no_step(recorder: RecordingSink) -> None:
    """A coroutine, an iterator or a block of the user's own does not begin any more."""
    ran: list[int] = []

    async def body() -> None:
        ran.append(1)

    with holder.run():
        coroutine, iterator = step_of(body)(), step_of(lambda: map(ran.append, [2]))()
        recorder.runs[0].feed.terminated = ""
        with pytest.raises(RunTerminated):
            asyncio.run(coroutine)
        with pytest.raises(RunTerminated):
            next(iterator)
    assert ran == []


def test_a_termination_reaches_a_stream_that_has_begun(recorder: RecordingSink) -> None:
    """It is thrown into the generator, whose `finally` runs, and into no other step."""
    ran: list[str] = []

    def body() -> Iterator[int]:
        try:
            yield inner(0)
            ran.append("after")
            yield inner(1)
        except Exception:  # noqa: BLE001 - frameworks do
            ran.append("swallowed")
        finally:
            ran.append("finally")

    with holder.run():
        stream = step_of(body)()
        next(stream)
        recorder.runs[0].feed.terminated = ""
        with pytest.raises(RunTerminated):
            next(stream)
    assert ran == ["finally"]


def test_a_terminated_stream_that_is_dropped_is_let_go(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing it throws no termination into the collector's face."""
    with holder.run():
        stream = step_of(lambda: numbers(3))()
        next(stream)
        recorder.runs[0].feed.terminated = ""
        stream.close()
    assert [span.status for span in recorder.spans("step")] == ["cancelled"]
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
