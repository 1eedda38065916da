"""What is held while the process forks, so that a child finds nothing in the middle of something.

The child of a fork has no other thread: a lock that one of its parent's held stays locked for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from remit._clock import Clock, Deadline

FORK_WAIT_S: Final = 1.0
FORK_LOOK_S: Final = 0.05


class Holdable(Protocol):
    """What must not be in the middle of something while the process forks."""

    def hold(self, timeout_s: float) -> bool:
        """Keep it from its next step; tell whether it got there within *timeout_s*."""
        ...

    def let_go(self) -> None:
        """Let it go on."""
        ...


def never() -> bool:
    """Tell that nothing need not be waited for."""
    return False


class Forking:
    """Holds things for the thread that forks; two may fork together, each lets go of its own."""

    def __init__(self, clock: Clock) -> None:
        """Hold nothing."""
        self._clock = clock
        self._held: dict[int, list[Holdable]] = {}

    def hold(self, each: Holdable) -> None:
        """Hold a thing, if that is in time."""
        self._take(each, lambda: each.hold(FORK_WAIT_S))

    def hold_worker(self, worker: Holdable, unless: Callable[[], bool] = never) -> bool:
        """Hold a thread between two steps; tell whether it is held.

        Args:
            worker: The thread.
            unless: Tells when it need not be waited for.
        """
        return self._take(worker, lambda: self._holds(worker, unless))

    def let_go(self) -> None:
        """Let everything go on that this thread held."""
        for each in self._held.pop(threading.get_ident(), []):
            with suppress(RuntimeError):  # it was not held yet when a signal's handler raised
                each.let_go()

    def _take(self, each: Holdable, hold: Callable[[], bool]) -> bool:
        held = self._held.setdefault(threading.get_ident(), [])
        # First: if a signal's handler raises in between, it is let go of all the same.
        held.append(each)
        holds = hold()
        if not holds:
            held.remove(each)
        return holds

    def _holds(self, worker: Holdable, unless: Callable[[], bool]) -> bool:
        limit = Deadline.after(FORK_WAIT_S, self._clock)
        while not unless():
            if worker.hold(FORK_LOOK_S):
                return True
            if limit.remaining_s() <= 0:
                break
        return False
