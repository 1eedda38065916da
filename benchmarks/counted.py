"""A program whose instructions are counted: `python -m benchmarks.counted`.

It imports remit and forks a process for each kind and number of calls, so that two processes of a
kind differ only in the number. It prints kind, number and process for each. The calls record into a
buffer that no writer empties, so that each process has only the work of the caller's thread.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import remit
from remit import config
from remit._base.clock import SystemClock
from remit._deliver.buffer import Buffer
from remit._deliver.losses import Losses
from remit._runtime import setup

YARDSTICK: Final = "yardstick"
ENOUGH_BYTES: Final = 1 << 30
FEW, MANY = 500, 2_500
"""Calls of the two processes; the first few hundred specialise the interpreter's bytecode."""


def lookup(order_id: str, limit: int) -> dict[str, object]:
    """Return what was asked."""
    return {"order": order_id, "limit": limit, "state": "shipped"}


def yardstick() -> Callable[[int], object]:
    """Return calls of a closure that keeps what it is given: none of it is remit's."""
    kept: deque[tuple[object, ...]] = deque()

    def call(*args: str | int) -> dict[str, object]:
        try:
            found = lookup(*args)  # type: ignore[arg-type] # as a wrapper hands them on
        except BaseException:
            kept.append(args)
            raise
        kept.append((*args, *found.items()))
        return found

    def calls(count: int) -> None:
        for _ in range(count):
            call("order-7", 10)

    return calls


def nested() -> Callable[[int], object]:
    """Return calls of a plain function in a function in a function: three spans.

    Each has two small arguments and gives a small dict back.
    """
    inner = remit.span_type("counted:inner")(lookup)

    @remit.span_type("counted:middle")
    def middle(order_id: str, limit: int) -> dict[str, object]:
        return inner(order_id, limit)

    @remit.span_type("counted:outer")
    def outer(order_id: str, limit: int) -> dict[str, object]:
        return middle(order_id, limit)

    def calls(count: int) -> None:
        for _ in range(count):
            outer("order-7", 10)

    return calls


def coroutine() -> Callable[[int], object]:
    """Return calls of a coroutine function, awaited one after the other."""

    @remit.span_type("counted:async")
    async def decorated(order_id: str, limit: int) -> dict[str, object]:
        return lookup(order_id, limit)

    async def awaited(count: int) -> None:
        for _ in range(count):
            await decorated("order-7", 10)

    def calls(count: int) -> None:
        _stepped(awaited(count))

    return calls


def _stepped(steps: Coroutine[Any, Any, None]) -> None:
    """Have a coroutine run that waits for nothing: an event loop has instructions of its own."""
    try:
        steps.send(None)
    except StopIteration:
        return
    message = "a coroutine that waits for nothing has waited"
    raise RuntimeError(message)


KINDS: Final[dict[str, Callable[[], Callable[[int], object]]]] = {
    YARDSTICK: yardstick,
    "async": coroutine,
    "nested": nested,
}


def recorded(kind: str, count: int) -> None:
    """Make *count* calls in a run; the buffer is never emptied."""
    buffer = Buffer(
        max_bytes=ENOUGH_BYTES,
        losses=Losses(),
        clock=SystemClock(),
        announce_after_s=1.0,
        start_threads=lambda: None,
        wake_writer=lambda: None,
    )
    with setup.isolated(config.from_overrides({}), sink=buffer):

        @remit.agent
        def desk() -> None:
            """Hold the run."""

        with desk.run():
            repeated(KINDS[kind](), count)
            # Here: what ends a run is not a call.
            os._exit(0)


def repeated(calls: Callable[[int], object], count: int) -> None:
    """Make *count* calls, with no earlier objects in the collections of garbage."""
    gc.collect()
    gc.freeze()
    calls(count)


def main() -> int:
    """Fork the processes, and return 1 if one of them failed."""
    pids: list[int] = []
    gc.collect()
    gc.freeze()
    for kind in KINDS:
        for count in (FEW, MANY):
            pids.append(os.fork())
            if not pids[-1]:
                recorded(kind, count)
            print(kind, count, pids[-1], flush=True)
    return int(max(os.waitpid(pid, 0)[1] for pid in pids) != 0)


if __name__ == "__main__":
    sys.exit(main())
