"""The ambient context across threads, executors and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
import types
import weakref
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
)
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest

import remit
from remit.testing import RecordingSink, isolated
from tests.desk import agent
from tests.subtests import each

pytestmark = pytest.mark.python

Anything: TypeAlias = Any


@remit.span_type("work")
def work() -> None:
    """Do nothing."""


def in_thread() -> None:
    """Run it on a bare thread."""
    thread = threading.Thread(target=remit.copy_context(work))
    thread.start()
    thread.join(60)


def in_pool() -> None:
    """Run it in a bare pool."""
    with ThreadPoolExecutor() as pool:
        pool.submit(remit.copy_context(work)).result(60)


def in_context_executor() -> None:
    """Run it in our pool."""
    with remit.ContextExecutor() as pool:
        pool.submit(work).result(60)


def in_context_executor_map() -> None:
    """Map over it in our pool."""

    def each(_: int) -> None:
        work()

    with remit.ContextExecutor() as pool:
        list(pool.map(each, [1]))


def in_to_thread() -> None:
    """Run it by `asyncio.to_thread`."""
    asyncio.run(asyncio.to_thread(work))


def in_run_in_executor() -> None:
    """Run it in the loop's executor."""

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, remit.copy_context(work))

    asyncio.run(main())


def in_context_executor_of_loop() -> None:
    """Run it in our pool, by a loop."""

    async def main() -> None:
        with remit.ContextExecutor() as pool:
            await asyncio.get_running_loop().run_in_executor(pool, work)

    asyncio.run(main())


async def _work() -> None:
    work()


def in_task() -> None:
    """Run it in a task."""

    async def main() -> None:
        await asyncio.create_task(_work())

    asyncio.run(main())


def in_task_group() -> None:
    """Run it in a task group."""

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_work())

    asyncio.run(main())


def in_gather() -> None:
    """Run it by `gather`."""

    async def main() -> None:
        await asyncio.gather(_work())

    asyncio.run(main())


def in_call_soon() -> None:
    """Run it by `call_soon`."""

    async def main() -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.call_soon(work)
        loop.call_soon(done.set)
        await done.wait()

    asyncio.run(main())


CARRIERS: list[Callable[[], None]] = [
    in_thread,
    in_pool,
    in_context_executor,
    in_context_executor_map,
    in_to_thread,
    in_run_in_executor,
    in_context_executor_of_loop,
    in_task,
    in_task_group,
    in_gather,
    in_call_soon,
]


@each("carry", CARRIERS, ids=lambda carry: carry.__name__, recorder=isolated)
def test_the_parent_is_kept(recorder: RecordingSink, carry: Callable[[], None]) -> None:
    """Wherever the work runs, it is a child of the span that asked for it."""
    with agent.run(), remit.span("asker") as asker:
        carry()
    (span,) = recorder.spans("work")
    assert span.parent == asker.key
    assert span.status == "complete"


@remit.span_type("work later")
async def work_later() -> int:
    """Pass through the loop."""
    await asyncio.sleep(0)
    return 1


async def through_later() -> int:
    """Call a step, without being one."""
    await asyncio.sleep(0)
    return await work_later()


@each("make", [work_later, through_later], ids=["step", "bare"], recorder=isolated)
def test_a_coroutine_function_is_awaited_where_it_was_carried_from(
    recorder: RecordingSink, make: Callable[[], Awaitable[int]]
) -> None:
    """Every step of it is a child of the span that asked for it; it stays a coroutine function."""
    with agent.run(), remit.span("asker") as asker:
        carried = remit.copy_context(make)

    async def elsewhere() -> int:
        return await carried()

    assert asyncio.run(elsewhere()) == 1
    (span,) = recorder.spans("work later")
    assert span.parent == asker.key
    assert inspect.iscoroutinefunction(carried)


@pytest.mark.usefixtures("recorder")
def test_a_carried_method_is_a_method() -> None:
    """It is called on the object that it is asked of."""

    class Desk:
        async def name(self) -> str:
            return type(self).__name__

        carried = remit.copy_context(name)

    assert asyncio.run(Desk().carried()) == "Desk"


def test_a_bare_thread_has_no_run_and_says_so(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Without help the span is recorded nowhere, and one line tells how to carry it."""
    with agent.run():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60)
    assert recorder.spans("work") == []
    assert "copy_context" in caplog.text


def test_a_coroutine_closed_in_another_context_does_not_raise(recorder: RecordingSink) -> None:
    """Context is restored by value: nothing is reset where it was not set."""

    @types.coroutine
    def pause() -> Generator[None, None, None]:
        yield

    @remit.span_type("suspended")
    async def suspended() -> None:
        with agent.run(), remit.span("inner"):
            await pause()

    def close(coroutine: Coroutine[object, object, None]) -> None:
        assert remit.current_run() is None
        coroutine.close()
        assert remit.current_run() is None

    def step_by_hand() -> None:
        with agent.run():
            coroutine = suspended()
            coroutine.send(None)
            thread = threading.Thread(target=close, args=(coroutine,))
            thread.start()
            thread.join(60)

    contextvars.copy_context().run(step_by_hand)
    assert {span.status for span in recorder.spans()} == {"cancelled"}


@pytest.mark.usefixtures("recorder")
def test_the_context_holds_no_argument_alive() -> None:
    """A task made inside a span keeps ids, never the span's values."""

    class Big:
        pass

    @remit.span_type("holder")
    def hold(value: object) -> threading.Thread:
        del value
        return threading.Thread(target=remit.copy_context(work))

    value = Big()
    gone = weakref.ref(value)
    with agent.run():
        kept = hold(value)
        del value
        gc.collect()
        assert gone() is None
        kept.start()
        kept.join(60)
