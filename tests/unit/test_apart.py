"""Runs and their data stay apart, however many there are, and keep nothing of the user's alive."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import pytest

import remit
from remit.testing import RecordingSink, isolated
from tests.returning import step_of
from tests.subtests import each

pytestmark = pytest.mark.python

LOOP_RUNS = 200
THREADS = 16
RUNS_OF_A_THREAD = 20
LONG_LIVED_TASKS = 10_000


@remit.span_type
async def step(canary: int) -> int:
    """Wait a while."""
    for _ in range(canary % 4):
        await asyncio.sleep(0)
    return canary


@remit.span_type
async def stream(canary: int) -> AsyncIterator[int]:
    """Yield the canary, in a while."""
    for _ in range(3):
        yield await step(canary)


@asynccontextmanager
@remit.span_type
async def block(canary: int) -> AsyncGenerator[int]:
    """Give the canary."""
    yield await step(canary)


@remit.span_type
def returned(canary: int) -> Iterator[int]:
    """Return a generator of the canary."""
    return (plain(canary) for _ in range(2))


@remit.span_type
def plain(canary: int) -> int:
    """Return the canary."""
    return canary


@remit.agent("Answerer")
async def answer(canary: int) -> int:
    """Do a little of everything, in tasks and on threads."""
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(step(canary))
    async with block(canary) as given:
        items = [item async for item in stream(given)]
    taken = await asyncio.to_thread(lambda: list(returned(canary)))
    return items[0] + taken[0] - canary


@remit.agent("Thinker")
def think(canary: int) -> int:
    """Do a little on one thread."""
    return sum(returned(canary)) + plain(canary) - 2 * canary


def assert_apart(recorder: RecordingSink, runs: int) -> None:
    """Every value in a run is the run's own canary."""
    assert len(recorder.runs) == runs
    for run in recorder.runs:
        canary = int(run.root.payload["subject"])
        assert run.status == "complete"
        assert {span.run_key for span in run.spans} == {run.key}
        assert {span.payload["canary"] for span in run.spans[1:]} == {canary}
        keys = {span.key for span in run.spans}
        assert all(span.parent in keys for span in run.spans[1:])
        values = [span.result or {} for span in run.spans[1:]]
        assert {item for value in values for item in value.get("items", [canary])} == {canary}
        assert {value.get("result", canary) for value in values} == {canary}


def test_runs_in_one_loop_do_not_mix(recorder: RecordingSink) -> None:
    """200 at once, each with tasks, streams, blocks and threads of its own."""

    async def one(canary: int) -> None:
        async with answer.run(subject=str(canary)):
            assert await answer(canary) == canary

    async def main() -> None:
        await asyncio.gather(*(one(canary) for canary in range(LOOP_RUNS)))

    asyncio.run(main())
    assert_apart(recorder, LOOP_RUNS)


def test_runs_on_many_threads_do_not_mix(recorder: RecordingSink) -> None:
    """16 threads, some with an event loop of their own, each with one run after the other."""
    wrong: list[int] = []
    together = threading.Barrier(THREADS)

    def work(number: int) -> None:
        together.wait(60)
        for count in range(RUNS_OF_A_THREAD):
            canary = number * 1_000 + count
            with answer.run(subject=str(canary)):
                found = asyncio.run(answer(canary)) if number % 2 else think(canary)
            if found != canary or remit.current_run() is not None:
                wrong.append(canary)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert_apart(recorder, THREADS * RUNS_OF_A_THREAD)


class Big:
    """An argument that should not live for long."""


@pytest.mark.parametrize("kind", ["coroutine", "async-generator"])
def test_tasks_started_in_a_span_keep_none_of_its_values_alive(
    recorder: RecordingSink, kind: str
) -> None:
    """10,000 tasks that outlive the span hold a copy of its context, and nothing of its call."""
    release = asyncio.Event()
    tasks: list[asyncio.Task[bool]] = []

    def start(big: object) -> None:
        del big
        tasks.extend(asyncio.create_task(release.wait()) for _ in range(LONG_LIVED_TASKS))

    @remit.span_type("coroutine")
    async def coroutine(big: Big) -> Big:
        start(big)
        return big

    @remit.span_type("async_generator")
    async def generator(big: Big) -> AsyncIterator[Big]:
        start(big)
        yield big

    async def main() -> None:
        async with answer.run():
            big = Big()
            reference = weakref.ref(big)
            if kind == "coroutine":
                await coroutine(big)
            else:
                assert [type(item) async for item in generator(big)] == [Big]
            del big
            await asyncio.sleep(0)
            gc.collect()
            assert reference() is None
        assert Counter(task.done() for task in tasks) == {False: LONG_LIVED_TASKS}
        release.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert [span.status for span in recorder.spans()] == ["complete"]


@pytest.mark.parametrize("make", ["function", "returned"])
def test_between_two_steps_nobody_but_the_consumer_holds_an_item(
    recorder: RecordingSink, make: str
) -> None:
    """A stream of large items costs the memory of one, as the bare one does."""

    def items() -> Iterator[Big]:
        for _ in range(2):
            yield Big()

    with answer.run():
        made = remit.span_type("items")(items) if make == "function" else step_of(items)
        stream = made()
        item = next(stream)
        reference = weakref.ref(item)
        del item
        assert reference() is None
        assert type(next(stream)) is Big
    del stream
    assert [span.status for span in recorder.spans()] == ["cancelled"]


async def fails(held: Big) -> None:
    """Fail, with a frame that holds the argument."""
    await asyncio.sleep(0)
    raise KeyError(type(held))


async def waits(held: Big) -> None:
    """Wait for ever, with a frame that holds the argument."""
    del held
    await asyncio.Event().wait()


async def yields(held: Big) -> AsyncGenerator[int]:
    """Yield, then fail, with a frame that holds the argument."""
    yield 1
    raise KeyError(type(held))


def yields_now(held: Big) -> Generator[int]:
    """Yield, then fail, with a frame that holds the argument."""
    yield 1
    raise KeyError(type(held))


@each(
    "kind",
    ["failed", "cancelled", "thrown", "thrown-now", "returned", "stand-in"],
    recorder=isolated,
)
def test_what_failed_is_freed_at_once(recorder: RecordingSink, kind: str) -> None:
    """No frame of ours is in a cycle with the exception: nothing waits for the collector."""

    async def cancelled(held: Big) -> None:
        task = asyncio.create_task(remit.span_type("waits")(waits)(held))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def thrown(held: Big) -> None:
        stream = remit.span_type("yields")(yields)(held)
        await anext(stream)
        await stream.athrow(KeyError())

    async def thrown_into_a_generator(held: Big) -> None:
        stream = remit.span_type("yields_now")(yields_now)(held)
        next(stream)
        stream.throw(KeyError())

    async def stepped(held: Big) -> None:
        async for _ in step_of(Failing)(held):
            pass

    plays = {
        "failed": remit.span_type("fails")(fails),
        "cancelled": cancelled,
        "thrown": thrown,
        "thrown-now": thrown_into_a_generator,
        "returned": step_of(fails),
        "stand-in": stepped,
    }

    async def main() -> None:
        async with answer.run():
            held = Big()
            reference = weakref.ref(held)
            with suppress(KeyError):
                await plays[kind](held)
            del held
            assert reference() is None

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
    assert len(recorder.spans()) == 1


class Failing:
    """An async iterator that fails, and holds what it was made of."""

    def __init__(self, held: Big) -> None:
        """Hold it."""
        self._held = held

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> int:
        """Fail."""
        await asyncio.sleep(0)
        raise KeyError(type(self._held))
