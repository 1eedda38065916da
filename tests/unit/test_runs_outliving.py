"""Runs across threads and tasks: none mixes with another, each ends with its last span."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest

import remit
from remit import _runtime
from remit._runs import Run
from remit.config import Settings
from remit.testing import FakeClock, RecordingSink, isolated


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory with a clock that stands still."""
    with isolated(clock=FakeClock()) as sink:
        yield sink


def test_a_run_waits_for_the_spans_that_outlive_its_block(recorder: RecordingSink) -> None:
    """The run finishes when its last open span ends, not when its block does."""

    @remit.span_type("late")
    def late(release: threading.Event) -> None:
        release.wait(10)

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
    worker.join(10)
    assert recorder.runs[0].status == run.status == "complete"
    assert recorder.spans("late")[0].status == "complete"


def test_a_run_lingers_at_most_as_long_as_the_setting_says() -> None:
    """A span that never ends does not keep its run open for ever; it is still recorded."""
    clock, sink = FakeClock(), RecordingSink()
    with _runtime.isolated(Settings(run_linger_s=300.0), sink=sink, clock=clock) as runtime:

        @remit.span_type("slow")
        def slow() -> Iterator[int]:
            yield 1
            yield 2

        @remit.agent
        def answer() -> None:
            return None

        with answer.run():
            stream = slow()
            next(stream)
        runtime.tend()
        assert sink.runs[0].status == "active"
        clock.advance(301)
        runtime.tend()
        assert sink.runs[0].status == "complete"
        assert list(stream) == [2]
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
        thread.join(10)
    (span,) = recorder.spans("step")
    assert span.run_key == run.key
    assert span.parent == recorder.runs[0].root.key


def test_async_runs_do_not_mix(recorder: RecordingSink) -> None:
    """200 concurrent runs in one loop: every span's canary equals its run's."""

    @remit.span_type
    async def step(canary: int) -> int:
        await asyncio.sleep(0)
        return canary

    @remit.agent
    async def answer(canary: int) -> int:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step(canary)) for _ in range(3)]
        assert await asyncio.to_thread(step_sync, canary) == canary
        return sum(task.result() for task in tasks) // 3

    @remit.span_type("step_sync")
    def step_sync(canary: int) -> int:
        return canary

    async def one(canary: int) -> None:
        async with answer.run(subject=str(canary)):
            assert await answer(canary) == canary

    async def main() -> None:
        await asyncio.gather(*(one(n) for n in range(200)))

    asyncio.run(main())
    assert len(recorder.runs) == 200
    for run in recorder.runs:
        subject = run.root.payload["subject"]
        spans = run.spans[1:]
        assert len(spans) == 5
        assert {str(span.payload["canary"]) for span in spans} == {subject}
        assert run.status == "complete"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_changes_no_duration(hours: int) -> None:
    """A span lasts what it lasted, whatever the wall clock does; later spans follow the clock."""
    clock, sink = FakeClock(), RecordingSink()
    with _runtime.isolated(Settings(), sink=sink, clock=clock) as runtime:

        @remit.span_type
        def step() -> None:
            clock.advance(2)
            clock.jump(hours * 3600)
            clock.advance(1)

        @remit.agent
        def answer() -> None:
            step()
            runtime.tend()
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
    with _runtime.isolated(Settings(run_linger_s=300.0), sink=sink, clock=clock) as runtime:

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
        runtime.tend()
        assert sink.runs[0].status == "complete"
        assert runtime.recorder.lingering == set()
