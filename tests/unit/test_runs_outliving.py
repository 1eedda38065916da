"""Runs across threads and tasks: none mixes with another, each ends with its last span."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Final, TypeAlias

import pytest

import remit
from remit._record.blocks import Run
from remit._runtime import setup
from remit.config import Settings
from remit.errors import DeniedError
from remit.testing import FakeClock, RecordingSink, isolated
from tests.subtests import each

pytestmark = pytest.mark.python


def stopped() -> AbstractContextManager[RecordingSink]:
    """Record into memory with a clock that stands still."""
    return isolated(clock=FakeClock())


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record with a clock that stands still."""
    with stopped() as sink:
        yield sink


def test_an_agent_in_a_task_that_outlives_its_run_opens_runs_of_its_own(
    recorder: RecordingSink,
) -> None:
    """As in a worker that the first request starts; a step stays in the run it came from."""

    @remit.span_type("step")
    async def step() -> None: ...

    @remit.agent
    async def awaited() -> None:
        await step()

    @remit.agent
    def called() -> None: ...

    @remit.agent
    def streamed() -> Generator[int]:
        yield 1

    async def work(begin: asyncio.Event) -> None:
        await begin.wait()
        await awaited()
        called()
        assert list(streamed()) == [1]
        await step()

    async def main() -> None:
        begin = asyncio.Event()
        async with awaited.run(subject="first customer"):
            task = asyncio.create_task(work(begin))
        begin.set()
        await task

    asyncio.run(main())
    first, *others = recorder.runs
    assert [span.name for span in first.spans[1:]] == ["step"]
    assert [len(run.spans) for run in others] == [3, 2, 2]
    assert {run.status for run in recorder.runs} == {"complete"}


def test_a_run_waits_for_the_spans_that_outlive_its_block(recorder: RecordingSink) -> None:
    """The run finishes when its last open span ends, not when its block does."""

    @remit.span_type("late")
    def late(release: threading.Event) -> None:
        release.wait(60)

    @remit.agent
    def answer() -> None:
        return None

    release = threading.Event()
    with answer.run() as run:
        worker = threading.Thread(target=remit.copy_context(late), args=(release,))
        worker.start()
        while not recorder.spans("late"):
            pass
    assert recorder.runs[0].status == "active"
    release.set()
    worker.join(60)
    assert recorder.runs[0].status == run.status == "complete"
    assert recorder.spans("late")[0].status == "complete"


@remit.agent
def holder() -> None:
    """Hold the runs."""


@remit.span_type
def count() -> Generator[int]:
    """Yield twice."""
    yield from (0, 1)


@remit.span_type
async def count_later() -> AsyncGenerator[int]:
    """Yield twice."""
    yield 0
    yield 1


class Counter:
    """Yields twice, as a method."""

    @remit.span_type
    def count(self) -> Generator[int]:
        """Yield twice."""
        yield from (0, 1)

    @remit.span_type
    async def count_later(self) -> AsyncGenerator[int]:
        """Yield twice."""
        yield 0
        yield 1


Stream: TypeAlias = Generator[int] | AsyncGenerator[int]
STREAMS: Final[dict[str, Callable[[], Stream]]] = {
    "generator": count,
    "async generator": count_later,
    "method": Counter().count,
    "async method": Counter().count_later,
}
streams = each("call", list(STREAMS.values()), ids=list(STREAMS), recorder=stopped)


def read(stream: Stream) -> list[int]:
    """Return all that a stream yields."""

    async def read_later(stream: AsyncGenerator[int]) -> list[int]:
        return [item async for item in stream]

    return list(stream) if isinstance(stream, Generator) else asyncio.run(read_later(stream))


def result_of(recorder: RecordingSink) -> dict[str, object]:
    """Return what is recorded of the end of the first run."""
    result = recorder.runs[0].root.result
    assert result is not None
    return result


@streams
def test_a_run_waits_for_a_stream_that_its_block_has_called(
    recorder: RecordingSink, call: Callable[[], Stream]
) -> None:
    """A web handler returns the stream from inside the block, before its first step."""
    with holder.run() as run:
        stream = call()
    assert (recorder.runs[0].status, run.status) == ("active", "active")
    assert read(stream) == [0, 1]
    assert (recorder.runs[0].status, run.status) == ("complete", "complete")
    assert result_of(recorder)["spans"] == 1
    assert [span.status for span in recorder.spans()] == ["complete"]


@each("closes", [True, False], ids=["closed", "collected"], recorder=stopped)
@streams
def test_a_run_does_not_wait_for_a_stream_that_nobody_will_read(
    recorder: RecordingSink, call: Callable[[], Stream], *, closes: bool
) -> None:
    """The client was gone before the first step: the stream leaves no span."""
    with holder.run():
        stream = call()
    if closes:
        asyncio.run(stream.aclose()) if isinstance(stream, AsyncGenerator) else stream.close()
    del stream
    assert recorder.runs[0].status == "complete"
    assert recorder.spans() == []


def fail() -> None:
    """Fail."""
    raise LookupError("no such page")


@remit.span_type
def count_and_fail() -> Generator[int]:
    """Yield, then fail."""
    yield 0
    fail()


@remit.span_type
def count_around() -> Generator[int]:
    """Read a stream that fails."""
    yield from count_and_fail()


@remit.span_type
def count_on() -> Generator[int]:
    """Go on where a stream has failed."""
    with suppress(LookupError):
        yield from count_and_fail()
    yield 1


@remit.span_type
def returned() -> Iterator[int]:
    """Return a stream."""
    return count_and_fail()


@remit.span_type
def two() -> tuple[Iterator[int], str]:
    """Return a stream beside something else."""
    return count_and_fail(), "text/plain"


@each("steps", [0, 1], ids=["called", "begun"])
@each(
    ("call", "outcome"),
    [
        (count_and_fail, ("failed", "LookupError")),
        (count_around, ("failed", "LookupError")),
        (returned, ("failed", "LookupError")),
        (lambda: two()[0], ("failed", "LookupError")),
        (count_on, ("complete", None)),
    ],
    ids=["fails", "fails within", "returned", "returned among others", "is caught"],
    recorder=stopped,
)
def test_a_run_fails_when_what_outlived_its_block_fails(
    recorder: RecordingSink,
    call: Callable[[], Iterator[int]],
    outcome: tuple[str, str | None],
    steps: int,
) -> None:
    """The block ended well, and nobody else will tell."""
    with holder.run():
        stream = call()
        for _ in range(steps):
            next(stream)
    with suppress(LookupError):
        list(stream)
    assert (recorder.runs[0].status, result_of(recorder)["reason"]) == outcome


def test_a_run_that_somebody_judged_keeps_its_status(recorder: RecordingSink) -> None:
    """And so does one in which something else fails after its block."""
    with holder.run() as judged:
        judged.cancel()
        cancelled = count_and_fail()
    with holder.run() as other:
        stream = count()
    with suppress(LookupError):
        list(cancelled)
    with suppress(LookupError), other.use():
        list(count_and_fail())
    assert list(stream) == [0, 1]
    assert [run.status for run in recorder.runs] == ["cancelled", "complete"]


def test_a_run_fails_when_a_stream_that_it_waited_for_is_denied() -> None:
    """Nothing of it ran, and the block had ended well."""
    with isolated(on_violation="deny") as recorder:

        @remit.agent(data_risk=remit.risk(forbids="destroy_data"))
        def careful() -> None:
            return None

        with careful.run():
            stream = count()
        with pytest.raises(DeniedError):
            next(stream)
    assert recorder.runs[0].status == "failed"
    assert result_of(recorder)["reason"] == "DeniedError"


@pytest.mark.parametrize("steps", [0, 1], ids=["called", "begun"])
def test_a_run_lingers_at_most_as_long_as_the_setting_says(steps: int) -> None:
    """A span that never ends does not keep its run open for ever; it is still recorded."""
    clock, sink = FakeClock(), RecordingSink()
    with setup.isolated(Settings(run_linger_s=300.0), sink=sink, clock=clock) as runtime:

        @remit.span_type("slow")
        def slow() -> Iterator[int]:
            yield 1
            yield 2

        @remit.agent
        def answer() -> None:
            return None

        with answer.run():
            stream = slow()
            assert [next(stream) for _ in range(steps)] == [1, 2][:steps]
        runtime.tick()
        assert sink.runs[0].status == "active"
        clock.advance(301)
        runtime.tick()
        assert sink.runs[0].status == "complete"
        assert list(stream) == [1, 2][steps:]
        assert sink.spans("slow")[0].status == "complete"


def test_use_makes_a_run_current_in_another_thread(recorder: RecordingSink) -> None:
    """`Run.use()` carries the run to a thread that has no context."""

    @remit.span_type
    def step() -> None:
        return None

    @remit.agent
    def answer() -> None:
        return None

    def work(run: Run) -> None:
        assert remit.current_run() is None
        with run.use():
            step()
        assert remit.current_run() is None

    with answer.run() as run:
        thread = threading.Thread(target=work, args=(run,))
        thread.start()
        thread.join(60)
    (span,) = recorder.spans("step")
    assert span.run_key == run.key
    assert span.parent == recorder.runs[0].root.key


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_changes_no_duration(hours: int) -> None:
    """A span lasts what it lasted, whatever the wall clock does; later spans follow the clock."""
    clock, sink = FakeClock(), RecordingSink()
    with setup.isolated(Settings(), sink=sink, clock=clock) as runtime:

        @remit.span_type
        def step() -> None:
            clock.advance(2)
            clock.jump(hours * 3600)
            clock.advance(1)

        @remit.agent
        def answer() -> None:
            step()
            runtime.tick()
            step()

        answer()
        first, second = sink.spans("step")
        for span in (first, second, *sink.spans("answer")):
            assert span.finished_ns is not None
            assert span.finished_ns - span.started_ns in {3 * 10**9, 6 * 10**9}
        assert second.started_ns - first.started_ns == (hours * 3600 + 3) * 10**9


def test_a_run_lingers_though_nobody_holds_it_any_more() -> None:
    """Its thread has ended, and its open span with it."""
    clock, sink = FakeClock(), RecordingSink()
    with setup.isolated(Settings(run_linger_s=300.0), sink=sink, clock=clock) as runtime:

        @remit.agent
        def answer() -> None:
            return None

        def work() -> None:
            with answer.run():
                remit.span("open").__enter__()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        gc.collect()
        clock.advance(301)
        runtime.tick()
        assert sink.runs[0].status == "complete"
        assert not runtime.recorder.runs
