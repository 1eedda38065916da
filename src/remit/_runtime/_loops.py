"""How to wait without holding the event loop that runs in this thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from remit._loops import running_trio

T = TypeVar("T")


async def beside(act: Callable[[], T]) -> T:
    """Return what *act* returns, which may block, while the event loop goes on.

    Raises:
        RuntimeError: No event loop runs, or none that is known, or there is no thread to be had.
    """
    trio = running_trio()
    if trio is None:
        return await asyncio.to_thread(act)
    found: T = await trio.to_thread.run_sync(act, abandon_on_cancel=True)
    return found


async def beside_within(act: Callable[[], object], limit_s: float) -> None:
    """Have *act* done beside the event loop; go on after *limit_s* seconds all the same.

    Raises:
        RuntimeError: As `beside`.
    """
    trio = running_trio()
    if trio is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await asyncio.to_thread(act)
        return
    # A scope that was cancelled before must not put its exception in place of the block's own.
    with trio.move_on_after(limit_s) as scope:
        scope.shield = True
        await beside(act)
