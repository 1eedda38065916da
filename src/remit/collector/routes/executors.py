"""Executors run the work of a request: on the thread that took it, or on one of a few others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Runs work that may ask the database."""

    async def run(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises."""
        ...


class InlineExecutor:
    """Runs it at once, on the thread that asks: it needs no event loop, and no other thread.

    So an app can be driven while the interpreter exits, when no thread may be started any more.
    """

    async def run(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises."""
        return work()


class ThreadExecutor:
    """Runs it on a few threads, so that the event loop takes the next request meanwhile.

    It is for a database in another process: while that one works, this one can, too.
    """

    def __init__(self, count: int) -> None:
        """Start *count* threads."""
        self._waiting: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name="remit-request", daemon=True)
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises; it goes on if nobody waits."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.put(_Task(work, loop, future))
        return await future

    def close(self) -> None:
        """End the threads; what is begun is done first, what waits is not begun."""
        with suppress(Empty):
            while True:
                task = self._waiting.get_nowait()
                if task is not None:
                    task.tell(task.future.cancel)
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            task.carry_out()
            # Nobody keeps the last answer until the next request comes.
            del task


class _Task(NamedTuple):
    """What one thread does for the loop, with one future where the library's executor has two."""

    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def carry_out(self) -> None:
        """Do the work, and tell the loop what came of it."""
        try:
            found = self.work()
        except StopIteration as error:
            # No future takes this one, and who waits would wait for ever.
            wrapped = RuntimeError("the work of a request raised StopIteration")
            wrapped.__cause__ = error
            self.tell(partial(self._settle, self.future.set_exception, wrapped))
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
            self.tell(partial(self._settle, self.future.set_exception, error))
        else:
            self.tell(partial(self._settle, self.future.set_result, found))

    def tell(self, say: Callable[[], object]) -> None:
        """Have the loop do something; one that is closed has nobody who waits."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(say)

    def _settle(self, settle: Callable[[Any], None], value: object) -> None:
        if not self.future.done():
            settle(value)
