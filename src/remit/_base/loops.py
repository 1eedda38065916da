"""Threads and event loops: tests for the current thread, and calls that do not block a loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

WRITER: Final = "remit-writer"
SENDER: Final = "remit-sender"
"""Names of the threads of delivery."""
ASKING: Final = "remit-asking"
"""Name of a thread in which an approver of the program runs."""


def is_own_thread() -> bool:
    """Return whether this is one of remit's threads."""
    return threading.current_thread().name in {WRITER, SENDER}


def in_event_loop() -> bool:
    """Return whether an event loop runs in this thread: asyncio's or trio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return running_trio() is not None
    return True


def running_trio() -> Any:  # noqa: ANN401 - the module, which may not be installed
    """Return trio if one of its tasks runs in this thread."""
    # Not there either while another thread imports trio, as httpcore does.
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    return sys.modules["trio"] if in_trio_task is not None and in_trio_task() else None


async def run_in_thread(function: Callable[[], T]) -> T:
    """Call *function*, which may block, in a thread, and return its result.

    Raises:
        RuntimeError: No event loop of a known kind runs, or no thread can be started.
    """
    trio = running_trio()
    if trio is None:
        return await asyncio.to_thread(function)
    result: T = await trio.to_thread.run_sync(function, abandon_on_cancel=True)
    return result


async def run_in_own_thread(function: Callable[[], T]) -> T:
    """Call *function* in a thread of its own, as `run_in_thread` does, and return its result.

    It may wait for a person: it takes no thread of the program's pool, and the program does not
    wait for it at its end. If the caller is cancelled, it goes on, and its result is dropped.
    """
    if running_trio() is not None:
        return await run_in_thread(function)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(cast("T", result))
        else:
            done.set_exception(error)

    def call() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = context.run(function)
        except StopIteration as raised:  # no future and no coroutine can raise it
            error = RuntimeError("a function in a thread raised StopIteration")
            error.__cause__ = raised
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=call, name=ASKING, daemon=True).start()
    return await done


async def run_in_thread_within(function: Callable[[], object], limit_s: float) -> None:
    """Call *function* as `run_in_thread` does, and wait for it at most *limit_s* seconds."""
    trio = running_trio()
    if trio is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await asyncio.to_thread(function)
        return
    # A scope that was cancelled before must not put its exception in place of the block's own.
    with trio.move_on_after(limit_s) as scope:
        scope.shield = True
        await run_in_thread(function)
