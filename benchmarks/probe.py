"""What a thread uses where it has its processor for itself, and where others share it.

The processors of a machine that others use as well do the same work in half as long again or twice
as long for moments, from milliseconds to minutes. A small fixed piece of work is timed between
stretches of what is measured. A stretch counts if the work before it and the work after it went at
about the best pace, whatever it took itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

CALM: Final = "calm"
"""What the part of the turns is called that counts."""
SLOWER: Final = 1.45
"""Times as long as at the best pace: alone the work differs by a quarter from process to process,
beside others it takes two thirds more and up."""
SHOTS: Final = 3
"""The shortest counts: the first finds the caches full of other things, and any of them may be
interrupted by a thread of the same process."""
TURNS: Final = 400
SHORTEST_NS: Final = 4_000_000
"""Of a stretch that is not the last: a look takes 40 us, a hundredth of that."""


def probe_ns() -> int:
    """Return the CPU that a fixed piece of work takes on this thread: 12 us at 3 GHz."""
    found: list[int] = []
    for _ in range(SHOTS):
        began_ns = time.thread_time_ns()
        seen: dict[int, str] = {}
        for number in range(TURNS):
            seen[number & 15] = "x"
        found.append(time.thread_time_ns() - began_ns)
    return min(found)


class Best:
    """The best pace that was seen so far.

    Attributes:
        probe_ns: What the fixed piece of work took at it.
    """

    def __init__(self) -> None:
        """Look once; whoever knows of a better pace sets it."""
        self.probe_ns = probe_ns()

    def look(self) -> bool:
        """Return whether the processor goes at about its best pace now."""
        return probe_ns() <= SLOWER * self.probe_ns

    def wait(self, seconds: float) -> None:
        """Look until the processor goes at its best pace, for some time at most.

        A processor that works is moved to where it has one for itself; one that sleeps is not.
        """
        until_s = time.monotonic() + seconds
        while not self.look() and time.monotonic() < until_s:
            pass

    def learn(self, seconds: float) -> int:
        """Look for some time, and return the best that was seen so far.

        A quarter of the looks was not slower: a few tell of half the time that they took, where
        the system counts a thread's CPU wrongly.
        """
        until_s = time.monotonic() + seconds
        found = [probe_ns()]
        while time.monotonic() < until_s:
            found.append(probe_ns())
        self.probe_ns = min(self.probe_ns, sorted(found)[len(found) // 4])
        return self.probe_ns


class Stretches:
    """What a thread uses for its turns, stretch by stretch; all of it by the thread itself.

    Attributes:
        turns: How many were made.
        ns: The CPU that they took.
        calm_turns: How many of them count.
        calm_ns: The CPU that these took.
    """

    def __init__(self, best: Best) -> None:
        """Begin with the next `begin`.

        Args:
            best: Pace to compare with.
        """
        self.turns = self.ns = self.calm_turns = self.calm_ns = 0
        self._best = best

    def begin(self) -> None:
        """Begin the first stretch."""
        self._turns = 0
        self._calm = self._best.look()
        self._began_ns = time.thread_time_ns()

    def turned(self, turns: int) -> None:
        """Note that so many turns were made; those that come next may be of another stretch."""
        self._turns += turns

    def next(self) -> None:
        """Begin another stretch if this one has become long enough."""
        if time.thread_time_ns() - self._began_ns >= SHORTEST_NS and self._turns:
            self.end()

    def end(self) -> None:
        """End this stretch, and begin another."""
        took_ns = time.thread_time_ns() - self._began_ns
        before, turns = self._calm, self._turns
        self.turns += turns
        self.ns += took_ns
        self.begin()
        if before and self._calm:
            self.calm_turns += turns
            self.calm_ns += took_ns


def turn_us(shares: Sequence[Stretches]) -> float:
    """Return what a turn took some threads where the pace was good; if it never was, anywhere."""
    if turns := sum(share.calm_turns for share in shares):
        return sum(share.calm_ns for share in shares) / turns / 1000
    return sum(share.ns for share in shares) / sum(share.turns for share in shares) / 1000


def calm(shares: Sequence[Stretches]) -> float:
    """Return the part of the turns that counts, from 0 to 1."""
    return sum(share.calm_turns for share in shares) / sum(share.turns for share in shares)
