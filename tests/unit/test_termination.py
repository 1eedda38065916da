"""A run that is terminated from outside: it stops at its next step, and at each one after it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress

import pytest

import remit
from remit._record.blocks import Run
from remit._runtime import process
from remit.errors import RunTerminated
from remit.testing import RecordingSink, isolated
from tests.governed import BODIES, KINDS, free, undeclared
from tests.subtests import each

pytestmark = pytest.mark.python

kinds = each("kind", list(KINDS), recorder=isolated)
STEPS: list[str] = []
REASON = "by an operator"


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    """Forget what ran."""
    BODIES.clear()
    STEPS.clear()


def terminate(recorder: RecordingSink, number: int = 0) -> None:
    """Terminate a run, as delivery does when the server says so."""
    recorder.runs[number].feed.terminated = REASON


@remit.span_type
def stream() -> Iterator[int]:
    """Yield, and clean up."""
    try:
        yield from range(5)
    finally:
        STEPS.append("cleanup")


@remit.span_type
async def stream_later() -> AsyncIterator[int]:
    """Yield, and clean up."""
    try:
        for number in range(5):
            yield number
    finally:
        STEPS.append("cleanup")


@remit.span_type
def stubborn() -> Iterator[int]:
    """Swallow whatever is thrown in, and go on."""
    for number in range(5):
        with suppress(BaseException):
            yield number
        STEPS.append("went on")


@kinds
def test_the_next_step_of_any_kind_is_refused_and_each_later_one(
    kind: str, recorder: RecordingSink
) -> None:
    """Nothing runs and nothing more is recorded."""
    BODIES.clear()
    with free.run() as run:
        terminate(recorder)
        for _ in range(2):
            with pytest.raises(RunTerminated, match=REASON) as raised:
                KINDS[kind]()
            assert raised.value.run_key == run.key
    assert BODIES == []
    assert recorder.spans() == []


def test_a_loop_that_swallows_exceptions_ends(recorder: RecordingSink) -> None:
    """Frameworks put `except Exception` around their tools, and call the next one."""

    def loop() -> None:
        for turn in range(10):
            if turn == 2:
                terminate(recorder)
            try:
                undeclared()
            except Exception:  # noqa: BLE001 - as a framework's loop does
                STEPS.append("swallowed")

    with pytest.raises(RunTerminated), free.run() as run:
        loop()
    assert STEPS == []
    assert BODIES == ["undeclared"] * 2
    assert run.status == "terminated"
    root = recorder.runs[0].root
    assert root.result == {"status": "terminated", "reason": REASON, "spans": 2, "lost": 0}
    assert recorder.runs[0].status == root.status == "failed"


def test_a_loop_that_swallows_everything_does_no_step_more(recorder: RecordingSink) -> None:
    """Once swallowed, the termination is raised again."""
    with free.run():
        terminate(recorder)
        for _ in range(5):
            with suppress(BaseException):
                undeclared()
    assert BODIES == []


def test_a_generator_stops_at_its_next_step(recorder: RecordingSink) -> None:
    """Its own cleanup runs; its span is cancelled, with what it yielded."""
    with free.run():
        items = stream()
        assert next(items) == 0
        terminate(recorder)
        with pytest.raises(RunTerminated, match=REASON):
            next(items)
    assert STEPS == ["cleanup"]
    assert [span.status for span in recorder.spans("stream")] == ["cancelled"]


def test_an_async_generator_stops_at_its_next_step(recorder: RecordingSink) -> None:
    """As a generator does."""

    async def main() -> None:
        async with free.run():
            items = stream_later()
            assert await anext(items) == 0
            terminate(recorder)
            with pytest.raises(RunTerminated, match=REASON):
                await anext(items)

    asyncio.run(main())
    assert STEPS == ["cleanup"]
    assert [span.status for span in recorder.spans("stream_later")] == ["cancelled"]


@remit.span_type
async def stream_with_cleanup() -> AsyncGenerator[int]:
    """Yield, and clean up, which takes a while."""
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0.05)
        STEPS.append("cleanup")


@each("closing", [True, False], recorder=isolated)
def test_the_cleanup_of_a_stream_is_not_cancelled(
    closing: bool,
    recorder: RecordingSink,
) -> None:
    """Of one that is closed, and of one that the termination ends."""
    STEPS.clear()

    async def end(items: AsyncGenerator[int]) -> None:
        if closing:
            await items.aclose()
        else:
            await anext(items)

    async def main() -> None:
        with free.run():
            items = stream_with_cleanup()
            await anext(items)
            if not closing:
                terminate(recorder)
            ending = asyncio.create_task(end(items))
            await asyncio.sleep(0)
            terminate(recorder)
            await asyncio.to_thread(process.current().tick)
            with suppress(RunTerminated):
                await ending

    asyncio.run(main())
    assert STEPS == ["cleanup"]


def test_a_generator_that_swallows_the_termination_gets_it_at_each_step(
    recorder: RecordingSink,
) -> None:
    """It may finish what it is about; it gets no further than that between two steps."""
    with free.run():
        items = stubborn()
        assert next(items) == 0
        terminate(recorder)
        assert [next(items) for _ in range(4)] == [1, 2, 3, 4]
        assert STEPS == ["went on"] * 4
        with pytest.raises(StopIteration):
            next(items)


def test_closing_a_generator_of_a_terminated_run_is_quiet(recorder: RecordingSink) -> None:
    """It is no step of work; raised there, a collected generator would print a traceback."""
    with free.run():
        items = stream()
        assert next(items) == 0
        terminate(recorder)
        items.close()  # type: ignore[attr-defined] # a generator, though its type says less
    assert STEPS == ["cleanup"]
    assert [span.status for span in recorder.spans("stream")] == ["cancelled"]


def test_other_runs_go_on(recorder: RecordingSink) -> None:
    """Also the one around the terminated one."""
    with free.run() as outer:
        with free.run():
            terminate(recorder, 1)
            with pytest.raises(RunTerminated):
                undeclared()
        undeclared()
    with free.run():
        undeclared()
    assert BODIES == ["undeclared", "undeclared"]
    assert outer.status == "complete"


def test_no_run_begins_inside_one_that_was_terminated(recorder: RecordingSink) -> None:
    """A loop that opens a run for each round ends as one of plain steps does."""
    with free.run() as outer:
        terminate(recorder)
        with pytest.raises(RunTerminated, match=outer.key), free.run():
            undeclared()
        with pytest.raises(RunTerminated, match=outer.key):
            asyncio.run(begin_later())
    assert BODIES == []
    assert len(recorder.runs) == 1


async def begin_later() -> None:
    """Open a run."""
    async with free.run():
        undeclared()


def test_a_run_inside_one_that_is_terminated_ends_with_it(recorder: RecordingSink) -> None:
    """Its next step says which run was terminated."""
    seen: list[Run] = []

    def begin() -> None:
        with free.run() as inner:
            seen.append(inner)
            undeclared()
            terminate(recorder)
            assert inner.terminated
            undeclared()

    with free.run() as outer, pytest.raises(RunTerminated, match=outer.key):
        begin()
    assert BODIES == ["undeclared"]
    assert (seen[0].status, seen[0].terminated) == ("cancelled", False)
    assert outer.status == "terminated"


def test_a_run_that_has_ended_is_not_held_by_those_begun_in_it(recorder: RecordingSink) -> None:
    """Each of a chain of tasks may begin the next one from inside its own run."""
    handles: list[weakref.ref[Run]] = []
    alive: list[int] = []
    tasks: list[asyncio.Task[None]] = []

    async def chain(length: int) -> None:
        with free.run() as run:
            handles.append(weakref.ref(run))
            del run
            if length:
                tasks[:] = [asyncio.create_task(chain(length - 1))]
                await asyncio.sleep(0)
        gc.collect()
        alive.append(sum(handle() is not None for handle in handles))

    async def main() -> None:
        await chain(8)
        while tasks and not tasks[0].done():
            await tasks[0]

    asyncio.run(main())
    assert len(recorder.runs) == 9
    assert max(alive) < 5


def test_a_step_that_is_under_way_ends_as_it_does(recorder: RecordingSink) -> None:
    """Nothing is interrupted from another thread; what runs ends, what would begin does not."""

    @remit.span_type
    def work() -> str:
        terminate(recorder)
        return "done"

    with free.run():
        assert work() == "done"
        with pytest.raises(RunTerminated):
            undeclared()
    assert [span.status for span in recorder.spans("work")] == ["complete"]


def test_a_run_left_open_that_is_terminated_is_ended(recorder: RecordingSink) -> None:
    """There is nothing to go on with."""
    with free.run() as run:
        run.leave_open()
        terminate(recorder)
    assert recorder.runs[0].status == "failed"
    assert run.status == "terminated"
