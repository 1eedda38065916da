"""Where the work of a request is done: on the thread that took it, or on one of a few others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

SWITCH_S: Final = 0.0005
"""So long may a thread keep the interpreter from one whose answer has come. It is a tenth of
Python's own, within which a request would be done: the database would have nothing to do."""
T = TypeVar("T")


class Turns(Protocol):
    """Has work done that may ask the database."""

    async def take(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises."""
        ...


class Here:
    """Does it at once, on the thread that asks: it needs no event loop, and no other thread.

    So an app can be driven while the interpreter exits, when no thread may be started any more.
    """

    async def take(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises."""
        return work()


class Threads:
    """Does it on a few threads, so that the event loop takes the next request meanwhile.

    It is for a database in another process: while that one works, this one can, too. Until it is
    closed the threads of this process take turns more often.
    """

    def __init__(self, count: int) -> None:
        """Start up to *count* threads, when they are needed."""
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="remit-request")
        self._before_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)

    async def take(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises; it goes on if nobody waits."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """End the threads; what is begun is done first, what waits is not begun."""
        self._pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(self._before_s)
