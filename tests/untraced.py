"""Measuring without what measures: coverage's tracer costs more than what is looked at."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

UNTRACED: Final = {"COVERAGE_PROCESS_CONFIG": ""}
"""In the environment of a program: coverage does not trace it.

It must not where threads run beside a fork: its tracer takes a lock when it meets a file, and a
child that is forked meanwhile waits for that lock for ever.
"""


@contextmanager
def untraced() -> Generator[None]:
    """Let nothing trace the calls of this thread that begin in the block."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def least_cpu_s(act: Callable[[], object], *, tries: int = 3) -> float:
    """Return the least processor time of this thread that *act* took, of several tries.

    A busy machine changes it little, and never each time.
    """
    least_s = math.inf
    with untraced():
        for _ in range(tries):
            began_s = time.thread_time()
            act()
            least_s = min(least_s, time.thread_time() - began_s)
    return least_s
