"""`flush_on="run"`: what a run recorded is delivered, or on disk, when the run has ended."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from remit._base.clock import Clock, Deadline
from remit._base.guard import guarded
from remit._base.loops import in_event_loop, is_own_thread, run_in_thread_within
from remit._deliver.delivery import Delivery

# Seconds for the thread to start and to end, beyond the deadline of the flush.
GRACE_S: Final = 0.2


class FlushAfterRun:
    """Flushes in bounded time when a run has ended, for functions that freeze after each call.

    If the server does not answer, a flush waits only until everything is on disk. So a run costs at
    most the bound, and most runs cost nothing.
    """

    def __init__(self, delivery: Delivery, clock: Clock, bound_s: float) -> None:
        """Flush *delivery*, each time for at most *bound_s* seconds."""
        self._delivery = delivery
        self._clock = clock
        self._bound_s = bound_s
        self._stopped = False

    def stop(self) -> None:
        """Stop flushing: the process ends, and one flush is for all runs."""
        self._stopped = True

    @guarded("the flush after a run")
    def __call__(self) -> None:
        """Flush; in an event loop, on a thread of delivery and at the exit only start a flush."""
        if self._stopped or in_event_loop() or is_own_thread():
            self._delivery.wake_writer()
        else:
            self._flush()

    @guarded("the flush after a run")
    def beside(self) -> Awaitable[None]:
        """Return the flush, to await it in an event loop."""
        return self._beside()

    async def _beside(self) -> None:
        # In an unknown event loop, or if no thread can be started.
        with suppress(RuntimeError):
            await run_in_thread_within(self._flush, self._bound_s + GRACE_S)
            return
        self._wake_writer()

    @guarded("the flush after a run")
    def _flush(self) -> None:
        deadline = Deadline.after(self._bound_s, self._clock)
        self._delivery.flush(deadline, adopting=False, forced=False)

    @guarded("the flush after a run")
    def _wake_writer(self) -> None:
        self._delivery.wake_writer()
