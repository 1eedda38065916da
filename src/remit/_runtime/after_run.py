"""`flush_on="run"`: flushes at the end of each run, so that its items are sent or on disk."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from remit._base.clock import Clock, Deadline
from remit._base.guard import guarded
from remit._base.loops import in_event_loop, is_own_thread, run_in_thread_within
from remit._deliver.delivery import Delivery
from remit._record.runs import AfterRun

# Seconds for the thread of the flush to start and to end, beyond its deadline.
GRACE_S: Final = 0.2


class FlushAfterRun(AfterRun):
    """Flushes in bounded time at the end of each run, for functions that freeze after a call.

    If the server does not answer, a flush waits only until everything is on disk.
    """

    def __init__(self, delivery: Delivery, clock: Clock, bound_s: float) -> None:
        """Flush *delivery* for at most *bound_s* seconds each time."""
        self._delivery = delivery
        self._clock = clock
        self._bound_s = bound_s
        self._stopped = False

    def stop(self) -> None:
        """Stop flushing: the process ends, and one flush serves all runs."""
        self._stopped = True

    @guarded("the flush after a run")
    def __call__(self) -> None:
        """Flush; in an event loop, on a thread of delivery and at exit only wake the writer."""
        if self._stopped or in_event_loop() or is_own_thread():
            self._delivery.wake_writer()
        else:
            self._flush()

    async def beside(self) -> None:
        """Flush in a thread, without blocking the event loop."""
        # Raised in an unknown event loop, or if no thread can be started.
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
