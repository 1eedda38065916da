"""A thread that repeats a step: started when it is needed, a daemon, not ended by a fault."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from remit._base import guard
from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import logger

# After a fault: long enough not to spin, short enough not to lose much when the process ends.
FAULT_WAIT_S: Final = 1.0


class Worker:
    """Repeats a step on its thread, waits as long as the step says, or until it is woken."""

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        clock: Clock,
        last: Callable[[], object] | None = None,
    ) -> None:
        """Prepare; no thread yet.

        Args:
            name: Name of the thread.
            step: Does a piece of work; returns the seconds until the next makes sense.
            clock: The time.
            last: Called on the thread when it ends; by default a last step is made.
        """
        self._name = name
        self._step = step
        self._clock = clock
        self._last = last or self.run_once
        self._thread: threading.Thread | None = None
        self._fault: Exception | None = None
        self._stopping = self._forgotten = False
        self._greenlet: Any = None
        self._woken = False
        self._requested = 0
        self._done = 0
        self._due_ns = 0
        # One step at a time, also if a thread makes one that is not the worker's.
        self._stepping = threading.RLock()
        # Reentrant, because a signal's handler may record, and so wake, while this thread holds it.
        # Taken directly: an alarm inside `Condition.__enter__`, a Python function, would leave it
        # locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start the thread unless it runs; tell whether it does now."""
        with self._lock:
            if self.alive or self._stopping:
                return self.alive
            died = self._thread is not None
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # No thread starts while the interpreter exits, or beyond the system's limit.
                return False
            self._thread = thread
        if died:
            logger.warning("the thread %s had died and was started again", self._name)
        return True

    def wake(self) -> None:
        """Have the thread make its next step now."""
        with self._lock:
            self._woken = True
            self._changed.notify_all()

    def request(self) -> int:
        """Wake the thread; return the ticket of a step that begins after this call."""
        with self._lock:
            self._requested += 1
            self.wake()
            return self._requested

    def is_done(self, ticket: int) -> bool:
        """Tell whether the step of *ticket* has ended."""
        return self._done >= ticket

    def due_in_s(self) -> float:
        """Return the seconds until the next step that nobody requested."""
        return max(0.0, (self._due_ns - self._clock.monotonic_ns()) / NS_PER_S)

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until *until* holds, which is looked at after each step; tell whether it does."""
        with self._lock:
            return self._changed.wait_for(until, timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """End the thread after its step; tell whether it has ended within *timeout_s* seconds."""
        with self._lock:
            self._stopping = True
            self.wake()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        thread.join(timeout_s)
        return not thread.is_alive()

    def hold(self, timeout_s: float) -> bool:
        """Keep the thread from its next step; tell whether it got there within *timeout_s*."""
        return self._stepping.acquire(timeout=timeout_s)

    def let_go(self) -> None:
        """Let the thread go on that `hold` kept."""
        self._stepping.release()

    def forget_after_fork(self) -> None:
        """End the thread in the child of a fork, if it is a greenlet, as gevent makes of threads.

        A real thread is not there any more. A greenlet goes on: it would read its parent's answers
        from the connections that both have, and drain what the child records.
        """
        self._stopping = self._forgotten = True
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def run_once(self) -> float:
        """Make one step, on whatever thread; contain its fault."""
        with self._lock:
            self._woken = False
            ticket = self._requested
        try:
            with self._stepping:
                wait_s = self._step()
        except Exception as error:  # noqa: BLE001 - a worker's loop survives everything
            self._contain(error)
            wait_s = FAULT_WAIT_S
        with self._lock:
            self._done = max(self._done, ticket)
            self._due_ns = self._clock.monotonic_ns() + int(wait_s * NS_PER_S)
            self._changed.notify_all()
        return wait_s

    @property
    def faulty(self) -> bool:
        """Whether there is a fault to raise."""
        return self._fault is not None

    def raise_fault(self) -> None:
        """Raise the fault of a step, once; there is one to raise only when faults are strict."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    # Unguarded: only the interpreter calls it.
    def _run(self) -> None:
        gevent: Any = sys.modules.get("gevent")
        current = gevent and gevent.getcurrent()
        self._greenlet = current if gevent and isinstance(current, gevent.Greenlet) else None
        try:
            while not self._stopping:
                wait_s = self.run_once()
                with self._lock:
                    self._changed.wait_for(self._has_to_go_on, wait_s)
            if not self._forgotten:
                self._last()
        except Exception as error:  # noqa: BLE001 - the thread dies, in silence but counted
            self._contain(error)
        except BaseException:
            if not self._forgotten:
                raise
        finally:
            if self._forgotten:
                # The fork forgot the thread; its end is an error unless it is known again.
                threading.current_thread()

    def _has_to_go_on(self) -> bool:
        return self._woken or self._stopping

    def _contain(self, error: Exception) -> None:
        try:
            guard.contain(self._name, error)
        except Exception as strict:  # noqa: BLE001 - raised by the next flush, not in this thread
            self._fault = strict
