"""At what pace the machine goes: others use its processors too, and slow what is measured.

A fixed piece of work is timed before and after each measurement; of rates, for which a program, its
writer and the sink use more than one processor, on each at once. It knows nothing of what is
measured, so it may decide which count: one that was made while the machine went slower than it can
is made again, of whichever peer it is. What the measurement itself says decides nothing. The CPU of
callers is looked at more closely, stretch by stretch, by `benchmarks.probe`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TextIO, cast

from benchmarks import children
from benchmarks.probe import CALM
from benchmarks.results import PACE, RATE, Values

SLOWER: Final = 1.25
"""Times as long as at the best pace: beside idle neighbours the work differs by an
eighth, beside busy ones it takes half as long again."""
TRIES: Final = 3
AGAIN_S: Final = 15.0
"""What takes longer is made once."""
WAITS: Final = 4
"""So many seconds the next measurement waits for a better pace, at most."""
SAMPLES: Final = 5
TURNS: Final = 60_000


def fixed_work_ms() -> float:
    """Return how long a fixed piece of work takes, in milliseconds: the median of some."""
    found: list[float] = []
    for _ in range(SAMPLES):
        began_ns = time.perf_counter_ns()
        seen: dict[int, str] = {}
        for number in range(TURNS):
            seen[number & 1023] = "x"
        found.append((time.perf_counter_ns() - began_ns) / 1e6)
    return statistics.median(found)


@contextmanager
def timed_on_each_processor() -> Generator[Callable[[], float]]:
    """Yield what returns how long the fixed work takes where it takes longest, in milliseconds.

    There are as many processes as processors, each of which waits until it is asked.
    """
    command = [sys.executable, "-m", "benchmarks.pace"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        asked = [
            stack.enter_context(children.started(command, children.environment(), **pipes))
            for _ in range(os.cpu_count() or 1)
        ]

        def read_ms() -> float:
            for each in asked:
                print(file=cast("TextIO", each.stdin), flush=True)
            return max(float(cast("TextIO", each.stdout).readline()) for each in asked)

        yield read_ms


def second() -> None:
    """Wait for one."""
    threading.Event().wait(1.0)


class Pace:
    """The pace of this machine, against the best that was seen.

    Attributes:
        again: How many measurements were made more than once.
        slow: How many count although the machine went slowly each time.
        made: How many were made in all.
    """

    def __init__(
        self,
        read_ms: Callable[[], float],
        *,
        tries: int = TRIES,
        wait: Callable[[], None] = second,
    ) -> None:
        """Look at the pace for the first time.

        Args:
            read_ms: Times the fixed work.
            tries: How often the same is measured at most; with 1 nothing waits.
            wait: Lets some time pass.
        """
        self.again = self.slow = self.made = 0
        self._calm: list[float] = []
        self._tries = tries
        self._read_ms = read_ms
        self._wait = wait
        self._best_ms = min(read_ms() for _ in range(SAMPLES))

    def measured(self, measure: Callable[[], Values]) -> Values:
        """Return what *measure* returns, of the try at the best pace."""
        self.made += 1
        kept: dict[str, Any] = {}
        for number in range(self._tries):
            before_ms = self._settled_ms()
            began_s = time.monotonic()
            values = measure()
            took_s = time.monotonic() - began_s
            values[PACE] = round(max(before_ms, self._read()), 2)  # the worse of the two
            if not kept or ("error" not in values and _worth(values) > _worth(kept)):
                kept = values
            if number == 1:
                self.again += 1
            if "error" in values or took_s > AGAIN_S or not self._is_slow(kept):
                break
        self.slow += self._is_slow(kept)
        self._calm += [kept[CALM]] if CALM in kept else []
        return kept

    def told(self) -> str:
        """Return in words how often the machine went slowly."""
        told = f"{self.made} measurements, {self.again} made again, {self.slow} slow all the same"
        return f"{told}; {statistics.mean(self._calm):.0%} of turns calm" if self._calm else told

    def _settled_ms(self) -> float:
        """Return the pace, after a wait for a better one if it is bad."""
        found_ms = self._read()
        for _ in range(WAITS if self._tries > 1 else 0):
            if not self._is_bad(found_ms):
                break
            self._wait()
            found_ms = self._read()
        return found_ms

    def _read(self) -> float:
        found_ms = self._read_ms()
        self._best_ms = min(self._best_ms, found_ms)
        return found_ms

    def _is_slow(self, values: Values) -> bool:
        """Return whether something in these values is of a slow machine."""
        if not values.get(CALM, 1.0):
            return True
        return (CALM not in values or RATE in values) and self._is_bad(values[PACE])

    def _is_bad(self, pace_ms: float) -> bool:
        return pace_ms > SLOWER * self._best_ms


def _worth(values: Values) -> tuple[bool, float]:
    """Return what makes one try better than another: that any turn counts, then the pace."""
    return bool(values.get(CALM, 1.0)), -values[PACE]


if __name__ == "__main__":
    for _ in sys.stdin:
        print(fixed_work_ms(), flush=True)
