"""Long work on a background thread that lets the threads of the program run in between.

Whoever waits for the interpreter's lock gets it after the switch interval, 5 ms: an event loop
that loses it in a callback stands still for as long. To import httpx takes twenty such turns.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

TURN_S: Final = 0.0005

# Each step on these is one under the interpreter's lock: a lock of ours could outlive a fork.
_working: Final[list[None]] = []
_before_s: Final[list[float]] = []


@contextmanager
def gently() -> Generator[None]:
    """Have other threads get their turn ten times as soon during this block.

    Of several such blocks at once the first to begin shortens the turns, the last to end lets them
    be as they were.
    """
    _working.append(None)
    try:
        interval_s = sys.getswitchinterval()
        if interval_s > TURN_S:
            _before_s[:] = [interval_s]
            sys.setswitchinterval(TURN_S)
        yield
    finally:
        # Empty in the child of a fork in this block.
        if _working:
            _working.pop()
        _restore()


def _after_fork_in_child() -> None:
    """Forget the blocks of the parent's threads, which are not here to end them."""
    _working.clear()
    _restore()


def _restore() -> None:
    # Unless the program has set its own meanwhile.
    if not _working and _before_s and sys.getswitchinterval() == TURN_S:
        sys.setswitchinterval(_before_s[0])


os.register_at_fork(after_in_child=_after_fork_in_child)
