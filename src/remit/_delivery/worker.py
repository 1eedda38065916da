"""A thread that repeats a step: lazy, daemonic, named, not to be killed by a fault of a step.

A signal's handler may raise in the main thread after any call. So what the main thread changes
here it changes in one step, or in an order in which half of it does no harm.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from remit import _guard
from remit._clock import NS_PER_S, Clock, Deadline
from remit._guard import logger

# After a fault: long enough not to spin, short enough not to lose much when the process ends.
FAULT_WAIT_S: Final = 1.0
# For a thread to start, on however busy a machine; until then the work is done by who needs it.
START_S: Final = 5.0
LAUNCH_LOOK_S: Final = 0.02


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
            last: Called on the thread when it ends; without it a last step is made: an alarm may
                keep the thread that ends it from making that itself.
        """
        self._fault: Exception | None = None
        self._name = name
        self._step = step
        self._clock = clock
        self._last = last or self.attempt
        self._thread: threading.Thread | None = None
        self._greenlet: Any = None
        self._running = False
        # Locked while a thread is being started.
        self._launched: threading.Lock | None = None
        self._launcher = self._starter = 0
        self._stopping = False
        self._abandoned = False
        self._woken = False
        self._asked = 0
        self._served = 0
        self._due_ns = 0
        self._make_locks()

    def _make_locks(self) -> None:
        # Held during a step: a fork in its middle could leave the child a lock that nobody opens,
        # of a module that is being imported or of SQLite's.
        self._stepping = threading.RLock()
        # Reentrant: a collected generator may end a span, and so wake, while this thread is in it.
        # Taken by its own name: `with` a lock in C is one step, with a condition it is several.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def _follow_gevent(self) -> None:
        """Have locks of greenlets if gevent made threads greenlets since this worker was made.

        One of threads is of no use between them: all are one thread to it. A server that patches
        its workers only after the fork does so.
        """
        if type(self._stepping) is not type(threading.RLock()):
            self._make_locks()

    @property
    def alive(self) -> bool:
        """Whether the thread runs.

        By its own word: `Thread.is_alive` takes one that lives for dead for ever if a signal's
        handler raises in it.
        """
        return self._running

    def start(self) -> bool:
        """Start the thread unless it runs; tell whether it does now."""
        if self._thread is None:
            self._follow_gevent()
        with self._lock:
            if not (self._launched or self.alive or self._stopping):  # in this order
                self._launch()
        self.await_launch(START_S)
        return self.alive and self._launched is None

    def _launch(self) -> None:
        """Have a thread start the thread: in the main one a signal may come in between.

        `Thread.start` waits for the thread; of one that is interrupted then nobody knows, or it
        does not come to life.
        """
        launched, me = threading.Lock(), threading.get_ident()
        launched.acquire()

        def begin() -> None:
            try:
                self._start()
            except Exception as error:  # noqa: BLE001 - nobody waits for this thread's faults
                self._contain(error)
            finally:
                self._starter, self._launched = 0, None
                launched.release()

        try:
            self._launcher, self._launched = me, launched
            _thread.start_new_thread(begin, ())
        except RuntimeError:
            # No thread starts while the interpreter exits, or beyond the system's limit.
            self._launched = None
        finally:
            self._launcher = 0

    def _start(self) -> None:
        self._starter, died = threading.get_ident(), self._thread is not None
        thread = threading.Thread(target=self._run, args=(died,), name=self._name, daemon=True)
        try:
            self._running, self._thread = True, thread
            thread.start()
        except RuntimeError:
            # As above.
            self._running, self._thread = False, None

    def await_launch(self, timeout_s: float) -> None:
        """Wait while another thread starts this one's; of several that wait one is woken.

        A collected generator may end a span, and so rouse, on the thread that is starting one.
        """
        limit, me = Deadline.after(timeout_s, self._clock), threading.get_ident()
        while (launched := self._launched) is not None and limit.remaining_s() > 0:
            if me in (self._launcher, self._starter):
                return
            launched.acquire(timeout=LAUNCH_LOOK_S)

    def wake(self) -> None:
        """Have the thread make its next step now."""
        with self._lock:
            self._woken = True
            self._changed.notify_all()

    def ask(self) -> int:
        """Wake the thread; return the ticket of a step that begins after this call."""
        with self._lock:
            self._asked += 1
            self.wake()
            return self._asked

    def served(self, ticket: int) -> bool:
        """Tell whether the step of *ticket* has ended."""
        return self._served >= ticket

    def due_in_s(self) -> float:
        """Return the seconds until the next step that nobody asked for."""
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
        self.await_launch(timeout_s)
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        limit = Deadline.after(timeout_s, self._clock)
        self.wait(lambda: not self._running, timeout_s)
        if thread.ident is not None:
            thread.join(limit.remaining_s())
        return not self._running

    def abandon(self) -> None:
        """End the thread in the child of a fork, if it is a greenlet, as gevent makes of threads.

        A real thread is not there any more. A greenlet goes on: it would read its parent's answers
        from the connections that both have, and drain what the child records.
        """
        self._stopping = self._abandoned = True
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def attempt(self) -> float:
        """Make one step, on whatever thread; contain its fault."""
        with self._lock:
            self._woken = False
            ticket = self._asked
        try:
            with self._stepping:
                wait_s = self._step()
        except Exception as error:  # noqa: BLE001 - a worker's loop survives everything
            self._contain(error)
            wait_s = FAULT_WAIT_S
        with self._lock:
            self._served = ticket
            self._due_ns = self._clock.monotonic_ns() + int(wait_s * NS_PER_S)
            self._changed.notify_all()
        return wait_s

    @property
    def faulty(self) -> bool:
        """Whether there is a fault to raise."""
        return self._fault is not None

    def hold(self, timeout_s: float) -> bool:
        """Keep the thread from its next step; tell whether it got there within *timeout_s*."""
        return self._stepping.acquire(timeout=timeout_s)

    def let_go(self) -> None:
        """Let the thread go on that `hold` kept."""
        self._stepping.release()

    def raise_fault(self) -> None:
        """Raise the fault of a step, once; there is one to raise only when faults are strict."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    # Unguarded: only the interpreter calls it.
    def _run(self, again: bool) -> None:  # noqa: FBT001 - called by the thread alone
        try:
            if again:
                logger.warning("the thread %s had died and was started again", self._name)
            self._greenlet = _greenlet()
            while not self._stopping:
                wait_s = self.attempt()
                with self._lock:
                    self._changed.wait_for(self._has_to_go_on, wait_s)
            if not self._abandoned:
                self._last()
        except Exception as error:  # noqa: BLE001 - the thread dies, in silence but counted
            self._contain(error)
        except BaseException:
            if not self._abandoned:
                raise
        finally:
            self._running = False
            if self._abandoned:
                # The fork forgot the thread; its end is an error unless it is known again.
                threading.current_thread()
            else:
                with self._lock:
                    self._changed.notify_all()

    def _has_to_go_on(self) -> bool:
        return self._woken or self._stopping

    def _contain(self, error: Exception) -> None:
        try:
            _guard.contain(self._name, error)
        except Exception as strict:  # noqa: BLE001 - raised to whoever flushes, not in this thread
            self._fault = strict


def _greenlet() -> Any:  # noqa: ANN401 - of gevent, which may not be installed
    """Return the greenlet that this thread is, in a program that gevent has patched."""
    gevent: Any = sys.modules.get("gevent")
    current = gevent and gevent.getcurrent()
    return current if gevent and isinstance(current, gevent.Greenlet) else None
