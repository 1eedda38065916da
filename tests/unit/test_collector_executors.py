"""Where requests are carried out: on the thread that took them, or on a few others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from remit.collector.api.asgi import InlineExecutor, ThreadExecutor


@pytest.fixture
def threads() -> Iterator[ThreadExecutor]:
    """Return two threads."""
    made = ThreadExecutor(2, 2)
    yield made
    made.close()


def test_inline_work_needs_no_event_loop() -> None:
    """It is done before anybody could wait for it."""
    coroutine = InlineExecutor().run(threading.get_ident)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)

    assert stopped.value.value == threading.get_ident()


def test_two_are_carried_out_at_once(threads: ThreadExecutor) -> None:
    """Each waits for the other, on no thread of the loop's."""
    barrier = threading.Barrier(2)

    def meet() -> int:
        barrier.wait(30)
        return threading.get_ident()

    async def both() -> tuple[int, int]:
        return await asyncio.gather(threads.run(meet), threads.run(meet))

    assert len({*asyncio.run(both()), threading.get_ident()}) == 3


def test_what_is_raised_arrives(threads: ThreadExecutor) -> None:
    """As itself."""

    def fail() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(threads.run(fail))


def test_what_is_begun_is_done_before_they_are_closed() -> None:
    """And what waits is not begun."""
    threads = ThreadExecutor(1, 1)
    began, go = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        began.set()
        assert go.wait(30)
        done.append("first")

    async def ask() -> None:
        first = asyncio.ensure_future(threads.run(work))
        second = asyncio.ensure_future(threads.run(lambda: done.append("second")))
        await asyncio.to_thread(began.wait, 30)
        closing = threading.Thread(target=threads.close)
        closing.start()
        await asyncio.wait([second], timeout=60)
        go.set()
        closing.join(30)
        assert not closing.is_alive()
        await first
        assert second.cancelled()

    asyncio.run(ask())

    assert done == ["first"]


def test_what_nobody_waits_for_any_more_ends_in_peace() -> None:
    """The loop was closed meanwhile; the thread takes the next."""
    threads = ThreadExecutor(1, 1)
    began, go = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        assert go.wait(30)

    async def leave() -> None:
        asking = asyncio.ensure_future(threads.run(work))
        await asyncio.to_thread(began.wait, 30)
        asking.cancel()

    asyncio.run(leave())
    go.set()

    assert asyncio.run(threads.run(lambda: "next")) == "next"
    threads.close()
