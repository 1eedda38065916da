"""`flush_on="run"`: what was recorded is delivered, or on disk, when the run has ended."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from remit._clock import Clock, Deadline
from remit._delivery import Delivery
from remit._guard import guarded
from remit._loops import looping
from remit._runtime._loops import beside_within

# Where a collected stream may end its run: a thread that moves, delivers or ends the process, and
# may hold what a flush needs.
BUSY: Final = (
    "remit._buffer",
    "remit._delivery",
    "remit._losses",
    "remit._runtime._process",
    "remit._runtime._runtime",
    "remit._spool",
)
# For a thread to start and for its end to be seen, beyond the flush's own deadline.
GRACE_S: Final = 0.2


class FlushAfterRun:
    """Flushes when a run has ended, in bounded time, for functions that freeze after each call.

    While the server is in trouble a flush waits only until all is on disk: each run costs at most
    the bound, and most cost nothing.
    """

    def __init__(self, delivery: Delivery, clock: Clock, bound_s: float) -> None:
        """Flush *delivery*, each time for at most *bound_s* seconds."""
        self._delivery = delivery
        self._clock = clock
        self._bound_s = bound_s

    @guarded("the flush after a run")
    def __call__(self) -> None:
        """Flush; where that could hold an event loop or remit itself, only have it begun."""
        if looping() or _is_busy():
            self._delivery.nudge()
        else:
            self._flush()

    @guarded("the flush after a run")
    def beside(self) -> Awaitable[None]:
        """Return the flush, to be awaited in an event loop."""
        return self._beside()

    async def _beside(self) -> None:
        with suppress(RuntimeError):  # an event loop that nobody knows, or no thread to be had
            await beside_within(self._flush, self._bound_s + GRACE_S)
            return
        self._nudge()

    @guarded("the flush after a run")
    def _flush(self) -> None:
        deadline = Deadline.after(self._bound_s, self._clock)
        self._delivery.flush(deadline, adopting=False, forced=False)

    @guarded("the flush after a run")
    def _nudge(self) -> None:
        self._delivery.nudge()


def _is_busy() -> bool:
    """Tell whether this thread is in the midst of what a flush would wait for."""
    frame = sys._getframe(1).f_back  # noqa: SLF001 - the documented way to the frames
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(BUSY):
            return True
        frame = frame.f_back
    return False
