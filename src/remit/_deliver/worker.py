"""A daemon thread that repeats a step; it is started on demand and survives faults."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from remit._base import guard
from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import logger
from remit._base.locks import SignalSafeLock

# After a fault: long enough not to spin, short enough not to lose much when the process ends.
FAULT_WAIT_S: Final = 1.0


class Worker:
    """Repeats a step on its thread.

    Between two steps it waits as long as the step returned, or until it is woken.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        clock: Clock,
        last: Callable[[], object] | None = None,
    ) -> None:
        """Start no thread yet.

        *step* returns the seconds until the next step. The thread calls *last* when it ends, by
        default one more step.
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
        # One step at a time, also if another thread calls `run_once`.
        self._stepping = SignalSafeLock()
        self._lock = SignalSafeLock()
        self._changed = threading.Condition(self._lock)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> bool:
        """Start the thread unless it runs; return whether it runs now."""
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
        """Make the thread run its next step now."""
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
        """Return whether the step of *ticket* has ended."""
        return self._done >= ticket

    def due_in_s(self) -> float:
        """Return the seconds until the next step, without a request or a wake-up."""
        return max(0.0, (self._due_ns - self._clock.monotonic_ns()) / NS_PER_S)

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until *until* returns True, which is checked after each step; return its value."""
        with self._lock:
            return self._changed.wait_for(until, timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """End the thread after its step; return whether it ended within *timeout_s* seconds."""
        with self._lock:
            self._stopping = True
            self.wake()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        thread.join(timeout_s)
        return not thread.is_alive()

    def pause(self, timeout_s: float) -> bool:
        """Block further steps; return whether the current one ended within *timeout_s*."""
        return self._stepping.acquire(timeout=timeout_s)

    def resume(self) -> None:
        """Allow further steps after `pause`."""
        self._stepping.release()

    def forget_after_fork(self) -> None:
        """End the thread in the child of a fork if gevent made it a greenlet.

        A real thread does not exist in the child. A greenlet continues there: it would read the
        parent's answers from shared connections, and drain what the child records.
        """
        self._stopping = self._forgotten = True
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def run_once(self) -> float:
        """Run one step on the calling thread; contain its fault."""
        with self._lock:
            self._woken = False
            ticket = self._requested
        try:
            with self._stepping:
                wait_s = self._step()
        except Exception as error:
            self._contain(error)
            wait_s = FAULT_WAIT_S
        with self._lock:
            self._done = max(self._done, ticket)
            self._due_ns = self._clock.monotonic_ns() + int(wait_s * NS_PER_S)
            self._changed.notify_all()
        return wait_s

    @property
    def faulty(self) -> bool:
        """Whether `raise_fault` would raise."""
        return self._fault is not None

    def raise_fault(self) -> None:
        """Raise the fault of a step, once; a fault is kept only when faults are strict."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _run(self) -> None:
        gevent: Any = sys.modules.get("gevent")
        current = gevent and gevent.getcurrent()
        self._greenlet = current if gevent and isinstance(current, gevent.Greenlet) else None
        try:
            while not self._stopping:
                wait_s = self.run_once()
                with self._lock:
                    self._changed.wait_for(self._is_woken, wait_s)
            if not self._forgotten:
                self._last()
        except Exception as error:
            self._contain(error)
        except BaseException:
            if not self._forgotten:
                raise
        finally:
            if self._forgotten:
                # The fork removed the thread from `threading`; its end fails unless it is added.
                threading.current_thread()

    def _is_woken(self) -> bool:
        return self._woken or self._stopping

    def _contain(self, error: Exception) -> None:
        try:
            guard.contain(self._name, error)
        except Exception as strict:
            self._fault = strict
