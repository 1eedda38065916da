"""Measuring without what measures: coverage's tracer costs more than what is looked at."""

from __future__ import annotations

import sys
from collections.abc import Generator
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
