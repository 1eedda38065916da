"""A program whose instructions are counted: `python -m benchmarks.counted KIND CALLS`.

The calls record into the buffer of a running process, and no writer empties it: the one thread
there is does what the caller's thread does, and nothing else. The process then ends at once, so
that what differs between two numbers of calls is the calls.
"""

from __future__ import annotations

import gc
import os
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

YARDSTICK: Final = "yardstick"
ENOUGH_BYTES: Final = 1 << 30


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
    import remit  # noqa: PLC0415 - the yardstick is without it

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
    import remit  # noqa: PLC0415 - as above

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
    import remit  # noqa: PLC0415 - as above
    from remit import config  # noqa: PLC0415 - as above
    from remit._base.clock import SystemClock  # noqa: PLC0415 - as above
    from remit._deliver.buffer import Buffer  # noqa: PLC0415 - as above
    from remit._deliver.losses import Losses  # noqa: PLC0415 - as above
    from remit._runtime import setup  # noqa: PLC0415 - as above

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
    """Make *count* calls, with nothing of before for the garbage collector to look at."""
    gc.collect()
    gc.freeze()
    calls(count)


if __name__ == "__main__":
    asked, number = sys.argv[1], int(sys.argv[2])
    if asked == YARDSTICK:
        repeated(yardstick(), number)
        os._exit(0)
    recorded(asked, number)
