"""Long work on a background thread that lets the threads of the program run in between.

Whoever waits for the interpreter's lock gets it after the switch interval, 5 ms: an event loop
that loses it in a callback stands still for as long. To import httpx takes twenty such turns.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

TURN_S: Final = 0.0005


@contextmanager
def gently() -> Generator[None]:
    """Have other threads get their turn ten times as soon during this block.

    Of two such blocks at once the first to begin decides.
    """
    before_s = sys.getswitchinterval()
    shorter = before_s > TURN_S
    if shorter:
        sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        # Unless the program has set its own meanwhile.
        if shorter and sys.getswitchinterval() == TURN_S:
            sys.setswitchinterval(before_s)
