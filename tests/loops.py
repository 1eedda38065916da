"""The two event loops, as tests drive them: the same few verbs for both."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, TypeAlias

import trio

Main: TypeAlias = Callable[[], Awaitable[None]]
Note: TypeAlias = Callable[[object], None]


class Loop(Protocol):
    """One event loop.

    Attributes:
        cancelled: What it throws into a task that is cancelled.
    """

    cancelled: type[BaseException]

    def run(self, main: Main, note: Note) -> None:
        """Run *main* in a fresh loop; errors that the loop reports are noted."""
        ...

    async def pause(self) -> None:
        """Let others run."""
        ...

    def interrupt(self) -> None:
        """Cancel what `interruptible` runs in this task, at its next pause."""
        ...

    async def interruptible(self, main: Main) -> None:
        """Run *main*; swallow its cancellation by `interrupt`."""
        ...

    async def timed_out(self, main: Main) -> None:
        """Run *main* with a time limit that has passed; swallow its cancellation."""
        ...

    async def in_task(self, main: Main, context: contextvars.Context) -> None:
        """Run *main* in a task of its own, in *context*."""
        ...


class Asyncio:
    """The loop of the standard library."""

    cancelled: type[BaseException] = asyncio.CancelledError

    def run(self, main: Main, note: Note) -> None:
        """Run *main* in a fresh loop; errors that the loop reports are noted."""

        async def noting() -> None:
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: note(("loop", type(context.get("exception"))))
            )
            await main()

        asyncio.run(noting())

    async def pause(self) -> None:
        """Let others run."""
        await asyncio.sleep(0)

    def interrupt(self) -> None:
        """Cancel the current task."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async def interruptible(self, main: Main) -> None:
        """Run *main*; swallow its cancellation by `interrupt`."""
        try:
            await main()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()

    async def timed_out(self, main: Main) -> None:
        """Run *main* with a time limit that has passed; swallow its cancellation."""
        try:
            async with asyncio.timeout(0):
                await main()
        except TimeoutError:
            pass

    async def in_task(self, main: Main, context: contextvars.Context) -> None:
        """Run *main* in a task of its own, in *context*."""

        async def work() -> None:
            await main()

        await asyncio.get_running_loop().create_task(work(), context=context)


class Trio:
    """The other loop; what it reports goes to loggers."""

    cancelled: type[BaseException] = trio.Cancelled
    _scopes: ClassVar[list[trio.CancelScope]] = []

    def run(self, main: Main, note: Note) -> None:
        """Run *main* in a fresh loop."""
        del note
        trio.run(main)

    async def pause(self) -> None:
        """Let others run."""
        await trio.lowlevel.checkpoint()

    def interrupt(self) -> None:
        """Cancel the scope that is open."""
        self._scopes[-1].cancel()

    async def interruptible(self, main: Main) -> None:
        """Run *main*; swallow its cancellation by `interrupt`."""
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                await main()
            finally:
                self._scopes.pop()

    async def timed_out(self, main: Main) -> None:
        """Run *main* with a time limit that has passed; swallow its cancellation."""
        with trio.move_on_after(0):
            await main()

    async def in_task(self, main: Main, context: contextvars.Context) -> None:
        """Run *main* in a task of its own, in *context*."""
        async with trio.open_nursery() as nursery:
            context.run(nursery.start_soon, main)


LOOPS: dict[str, Any] = {"asyncio": Asyncio(), "trio": Trio()}
