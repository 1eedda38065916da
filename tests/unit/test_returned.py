"""What a call returned that has not ended: its span stays open until that has, and no longer."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeAlias

import pytest

import remit
from remit._base import guard
from remit._record.runs import OpenRun
from remit.testing import RecordingSink, isolated
from tests.inside import httpx
from tests.returning import (
    Numbers,
    NumbersLater,
    Repeatable,
    holder,
    inner,
    number_later,
    numbers,
    numbers_later,
    step_of,
)
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any
Make: TypeAlias = Callable[[], Any]


def begun() -> Anything:
    """Return a generator that was stepped once before."""
    generator = numbers(4)
    next(generator)
    return generator


async def collected(stream: Anything) -> list[object]:
    """Return all items of an asynchronous stream."""
    return [item async for item in stream]


SYNC: dict[str, tuple[Make, list[int]]] = {
    "generator": (lambda: numbers(3), [0, 1, 2]),
    "begun-generator": (begun, [1, 2, 3]),
    "generator-expression": (lambda: (inner(n) for n in range(2)), [0, 1]),
    "map": (lambda: map(inner, [5, 6]), [5, 6]),
    "chain": (lambda: itertools.chain(numbers(1), [7]), [0, 7]),
    "own-iterator": (lambda: Numbers(3), [0, 1, 2]),
    "own-iterator-over-a-generator": (lambda: Repeatable(0), [0, 1]),
    "empty": (lambda: iter(()), []),
}
ASYNC: dict[str, Make] = {
    "async-generator": lambda: numbers_later(3),
    "own-async-iterator": lambda: NumbersLater(3),
}


@each(("make", "items"), list(SYNC.values()), ids=list(SYNC), recorder=isolated)
def test_a_returned_iterator_is_one_span_with_its_items(
    recorder: RecordingSink, make: Make, items: list[int]
) -> None:
    """What it calls stands under it; the consumer's own span is current between its steps."""
    step = step_of(make)
    with holder.run():
        root = remit.current_span()
        stream = step()
        assert recorder.spans("step")[0].status == "active"
        seen = []
        for item in stream:
            assert remit.current_span() == root
            seen.append(item)
    assert seen == items
    (span,) = recorder.spans("step")
    assert span.status == "complete"
    assert span.result is not None
    assert (span.result["items"], span.result["count"]) == (items, len(items))
    assert {each.parent for each in recorder.spans("inner")[-len(items) :]} <= {span.key}


@each("make", ASYNC.values(), ids=ASYNC)
@each("kind", ["function", "coroutine"], recorder=isolated)
def test_a_returned_async_iterator_is_one_span_with_its_items(
    recorder: RecordingSink, make: Make, kind: str
) -> None:
    """From a function or a coroutine function."""

    @remit.span_type("returned.step")
    async def later() -> Anything:
        return make()

    async def main() -> list[object]:
        with holder.run():
            if kind == "function":
                return await collected(step_of(make)())
            return await collected(await later())

    assert asyncio.run(main()) == [0, 1, 2]
    (span,) = recorder.spans("step")
    assert (span.status, (span.result or {})["items"]) == ("complete", [0, 1, 2])
    assert [each.parent for each in recorder.spans("inner")] == [span.key] * 3


def test_a_returned_coroutine_ends_its_span_with_its_value(recorder: RecordingSink) -> None:
    """The span lasts from the call to the value, whatever is awaited in between."""
    step = step_of(lambda: number_later(7))

    async def main() -> int:
        with holder.run():
            coroutine = step()
            assert type(coroutine) is CoroutineType
            assert coroutine.__qualname__ == "number_later"
            await asyncio.sleep(0)
            return int(await coroutine)

    assert asyncio.run(main()) == 7
    (span,) = recorder.spans("step")
    assert (span.status, span.result) == ("complete", {"result": 7})
    assert recorder.spans("inner")[0].parent == span.key


def test_a_coroutine_may_return_what_has_not_ended_either(recorder: RecordingSink) -> None:
    """A function that returns a coroutine that returns a generator is one span with its items."""

    async def later() -> Iterator[int]:
        return numbers(2)

    async def main() -> list[int]:
        with holder.run():
            return list(await step_of(later)())

    assert asyncio.run(main()) == [0, 1]
    (span,) = recorder.spans("step")
    assert (span.status, (span.result or {})["items"]) == ("complete", [0, 1])


def test_what_is_driven_stays_of_its_kind(recorder: RecordingSink) -> None:
    """A generator is a generator, and an async one an async one, by type and by name."""
    del recorder
    with holder.run():
        driven = step_of(lambda: numbers(1))()
        driven_later = step_of(lambda: numbers_later(1))()
        assert type(driven) is GeneratorType
        assert type(driven_later) is AsyncGeneratorType
        assert (driven.__name__, driven_later.__name__) == ("numbers", "numbers_later")
        assert (list(driven), next(driven, "over")) == ([0], "over")


@each(
    "make",
    [
        pytest.param(lambda: Numbers(1), id="iterator"),
        pytest.param(lambda: NumbersLater(1), id="async-iterator"),
    ],
    recorder=isolated,
)
def test_what_is_driven_has_no_other_steps(make: Make, recorder: RecordingSink) -> None:
    """Libraries choose between `for` and `async for` by what an object has."""
    del recorder
    with holder.run():
        driven, bare = step_of(make)(), make()
        for name in ("__next__", "__aiter__", "__anext__"):
            assert hasattr(driven, name) == hasattr(bare, name)


class Fetching:
    """Is called and awaited."""

    async def __call__(self) -> int:
        """Fetch."""
        return await number_later(1)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param(partial(number_later, 1), "number_later", id="partial"),
        pytest.param(Fetching(), "Fetching.__call__", id="callable-object"),
    ],
)
def test_a_coroutine_is_named_as_the_bare_one(
    recorder: RecordingSink, target: Anything, name: str
) -> None:
    """By the function inside, where what was decorated has no name itself."""
    del recorder
    bare, decorated = target(), remit.span_type("named as the bare one")(target)()
    assert bare.__qualname__ == decorated.__qualname__ == name
    bare.close()
    decorated.close()


def test_a_begun_generator_takes_what_is_sent_first(recorder: RecordingSink) -> None:
    """A function may return a generator that waits for a value; so does ours."""

    def averager() -> Generator[float, float]:
        def average() -> Generator[float, float]:
            total, count = 0.0, 0
            while True:
                total, count = total + (yield total / max(count, 1)), count + 1

        generator = average()
        next(generator)
        return generator

    with holder.run():
        generator: Anything = step_of(averager)()
        assert (generator.send(4.0), generator.send(6.0)) == (4.0, 5.0)
        generator.close()
    (span,) = recorder.spans("step")
    assert (span.status, (span.result or {})["items"]) == ("cancelled", [4.0, 5.0])


class Handing:
    """Hands itself on, though it could be iterated."""

    def __next__(self) -> int:
        """Return a number."""
        return 0

    @remit.span_type
    def fluent(self) -> Handing:
        """Return itself."""
        return self


class Cursor:
    """Is iterated, but read by other means as well, like the cursors of databases."""

    def __next__(self) -> int:
        """Return a row."""
        return 0

    def fetchone(self) -> int:
        """Return a row."""
        return 0


ENDED: dict[str, Make] = {
    "list": lambda: [1, 2],
    "iterable": lambda: range(3),
    "file": lambda: io.StringIO("text"),
    "cursor": Cursor,
    "lock": threading.Lock,
    "client": httpx.Client,
}


@each("make", ENDED.values(), ids=ENDED, recorder=isolated)
def test_what_is_no_stream_ends_with_its_call(recorder: RecordingSink, make: Make) -> None:
    """The caller gets the very object, and its span has ended."""
    made = make()
    with holder.run():
        assert step_of(lambda: made)() is made
        assert [span.status for span in recorder.spans("step")] == ["complete"]


def test_a_method_that_returns_its_object_has_ended(recorder: RecordingSink) -> None:
    """Chained calls go on with the object itself, though it could be iterated."""
    handing = Handing()
    with holder.run():
        assert handing.fluent().fluent() is handing
    assert [span.status for span in recorder.spans("fluent")] == ["complete", "complete"]


def test_an_argument_that_is_handed_back_is_no_stream_of_the_call(
    recorder: RecordingSink,
) -> None:
    """The span of the call ends, and its result is a marker, which no schema is compared with."""
    step = step_of(lambda stream, *, other=None: stream or other)
    generator = numbers(1)
    marker = {"$remit": "opaque", "type": "generator"}
    with holder.run():
        assert step(generator) is generator
        assert step(None, other=generator) is generator
    ended = [(span.status, span.result) for span in recorder.spans("step")]
    assert ended == [("complete", marker), ("complete", marker)]


def closed(stream: Anything) -> None:
    """Take one item, then close."""
    next(stream)
    stream.close()


def left(stream: Anything) -> None:
    """Take one item in a loop, then leave it to the collector."""
    for _ in stream:
        break


def untouched(stream: Anything) -> None:
    """Take nothing."""


@each("make", [lambda: numbers(3), lambda: Numbers(3)], ids=["driven", "proxy"])
@each("leave", [closed, left, untouched], recorder=isolated)
def test_a_stream_left_before_its_end_is_cancelled(
    recorder: RecordingSink, make: Make, leave: Callable[[Any], None]
) -> None:
    """Closed or collected: cancelled, with the items that came, and its run can end."""
    with holder.run():
        leave(step_of(make)())
        gc.collect()
        (span,) = recorder.spans("step")
        assert span.status == "cancelled"
        assert (span.result or {})["count"] == (0 if leave is untouched else 1)
    assert recorder.runs[0].status == "complete"


def test_a_stream_that_is_cancelled_in_a_step_keeps_what_came(recorder: RecordingSink) -> None:
    """A client that leaves while the next item is made has got the ones before."""

    async def body() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def main() -> None:
        with holder.run():
            task = asyncio.create_task(collected(step_of(body)()))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(main())
    (span,) = recorder.spans("step")
    assert (span.status, (span.result or {})["items"]) == ("cancelled", [1])


def test_a_stream_that_fails_is_failed(recorder: RecordingSink) -> None:
    """With type and message of its error, whichever kind it is."""
    kinds: list[Make] = [
        lambda: (1 // n for n in [1, 0]),
        lambda: map((1).__floordiv__, [1, 0]),
    ]
    with holder.run():
        for make in kinds:
            with pytest.raises(ZeroDivisionError):
                list(step_of(make)())
    for span in recorder.spans("step"):
        assert span.status == "failed"
        assert (span.result or {})["error"]["type"] == "ZeroDivisionError"


def test_an_agent_that_returns_a_stream_has_a_run_until_that_ends(
    recorder: RecordingSink,
) -> None:
    """Called outside any run, its own one ends with the last item."""
    stream = remit.agent(lambda: numbers(2))()
    assert recorder.runs[0].status == "active"
    assert remit.current_run() is None
    assert list(stream) == [0, 1]
    assert recorder.runs[0].status == "complete"
    assert [len(run.spans) for run in recorder.runs] == [4]  # root, agent, two steps


def test_types_are_not_kept_alive(recorder: RecordingSink) -> None:
    """A class made on the fly goes when the program drops it."""
    del recorder
    with holder.run():
        for base in (object, Numbers):
            box = [type("Made", (base,), {"__init__": lambda _: None})()]
            reference = weakref.ref(type(box[0]))
            step_of(box.pop)()
            gc.collect()
            assert reference() is None


def test_a_result_that_cannot_be_looked_at_ends_with_its_call(recorder: RecordingSink) -> None:
    """A fault in the look costs neither the value nor the end of the span."""

    class Unhashable(type):
        def __hash__(cls) -> int:
            raise OSError

    class Odd(metaclass=Unhashable):
        pass

    guard.faults.strict = False  # `isolated()` turned it on
    odd = Odd()
    with holder.run():
        assert step_of(lambda: odd)() is odd
    assert recorder.spans("step")[0].status == "complete"
    assert recorder.runs[0].status == "complete"


def test_a_stream_that_cannot_be_noted_ends_with_its_call(
    recorder: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run does not wait for it."""
    guard.faults.strict = False  # `isolated()` turned it on
    monkeypatch.setattr(OpenRun, "defer", None)
    with holder.run():
        assert list(step_of(lambda: map(str, [1]))()) == ["1"]
    assert recorder.spans("step")[0].status == "complete"
    assert recorder.runs[0].status == "complete"
