"""What a busy machine takes: the time in which more wanted to run than there were processors.

A promise of so many seconds is for a program that gets to run. Where the machine has nothing else
to do, nothing is taken, and a bound is what it says.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PRESSURE: Final = Path("/proc/pressure/cpu")
MOST_S: Final = 5.0
"""More is never taken off: what hangs is not excused."""


@dataclass
class Taken:
    """What was taken from a block.

    Attributes:
        seconds: How long something waited for a processor; known when the block has ended.
    """

    seconds: float = 0.0


def _waited_s() -> float:
    """Return how long anything has waited for a processor; always 0 where nobody counts that."""
    try:
        some = PRESSURE.read_text().splitlines()[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6


@contextmanager
def taken() -> Generator[Taken]:
    """Return a block that notes what a busy machine took from it."""
    noted, before = Taken(), _waited_s()
    yield noted
    noted.seconds = min(MOST_S, _waited_s() - before)
