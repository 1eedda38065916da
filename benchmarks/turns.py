"""How a measured process turns: again and again, and what that takes the thread that does it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from benchmarks import probe
from benchmarks.peers.base import Peer
from benchmarks.probe import CALM
from benchmarks.workloads import AsyncLoop, Loop

Asked: TypeAlias = dict[str, Any]
Told: TypeAlias = dict[str, Any]

STEPS: Final = (1, 10, 100, 1000)
"""Turns between two looks at the clock, fewer of them where one takes long."""
SLOW_S: Final = 0.005
MOST_PASSES: Final = 4
CALM_ENOUGH: Final = 0.5
BEST: Final = probe.Best()
"""The best pace of the processor, as far as it is known in this process."""


class Clock:
    """What the calling thread and the process have used since it was made."""

    def __init__(self) -> None:
        """Begin now."""
        self.began_s = time.monotonic()
        self.process_ns = time.process_time_ns()
        self.wall_ns = time.perf_counter_ns()

    def told(self, *shares: Turns) -> Told:
        """Return microseconds a turn: of the threads that turned, of the process, of the wall."""
        turns = sum(share.done for share in shares)
        return {
            "turns": turns,
            **caller(shares),
            "process_us": (time.process_time_ns() - self.process_ns) / turns / 1000,
            "wall_us": (time.perf_counter_ns() - self.wall_ns) / turns / 1000,
        }

    def spent_s(self) -> float:
        """Return seconds since then."""
        return time.monotonic() - self.began_s


class Turns:
    """How often to turn, and how far it is."""

    def __init__(self, most: int, seconds: float) -> None:
        """Turn until there were *most*, or for some seconds."""
        self.most, self.seconds = most, seconds
        self.done = self.runs = 0
        self.clock = Clock()
        self.stretches = probe.Stretches(BEST)
        self.step = STEPS[0]

    def more(self) -> bool:
        """Return whether another run is to begin."""
        return self.done < self.most and not self.over()

    def over(self) -> bool:
        """Return whether it has turned for long enough; once at least it always does."""
        return self.done > 0 and self.clock.spent_s() >= self.seconds

    def of_run(self, loop: Loop, most: int) -> None:
        """Turn in one run, so often at most."""
        self.runs += 1
        end = min(self.done + most, self.most)
        while self.done < end and not self.over():
            step = min(self.step, end - self.done)
            self.stretches.next()
            before_s = self.clock.spent_s()
            loop(step)
            self.after(step, self.clock.spent_s() - before_s)

    async def of_run_awaited(self, loop: AsyncLoop, most: int) -> None:
        """Turn in one run, in an event loop, so often at most."""
        self.runs += 1
        end = min(self.done + most, self.most)
        while self.done < end and not self.over():
            step = min(self.step, end - self.done)
            self.stretches.next()
            before_s = self.clock.spent_s()
            await loop(step)
            self.after(step, self.clock.spent_s() - before_s)

    def after(self, step: int, took_s: float) -> None:
        """Count, and look at the clock less often when turns are short."""
        self.done += step
        self.stretches.turned(step)
        if took_s < SLOW_S and self.step < STEPS[-1]:
            self.step = STEPS[STEPS.index(self.step) + 1]


def caller(shares: Sequence[Turns]) -> Told:
    """Return what a turn takes the threads that turn, and what part of the turns counts for it."""
    stretches = [share.stretches for share in shares]
    return {"cpu_us": probe.turn_us(stretches), CALM: probe.calm(stretches)}


def turned(peer: Peer, loop: Loop, turns: Turns) -> Turns:
    """Turn a loop in as many runs as it takes."""
    turns.stretches.begin()
    while turns.more():
        with peer.run():
            turns.of_run(loop, peer.run_turns)
    turns.stretches.end()
    return turns


async def turned_awaited(peer: Peer, loop: AsyncLoop, turns: Turns) -> Turns:
    """Turn a loop of coroutines in as many runs as it takes."""
    turns.stretches.begin()
    while turns.more():
        with peer.run():
            await turns.of_run_awaited(loop, peer.run_turns)
    turns.stretches.end()
    return turns


def calmly(asked: Asked) -> Turns:
    """Return what turns as often as is asked for, from a moment on at which the pace is good."""
    BEST.wait(asked["calm_s"])
    return Turns(asked["turns"], asked["seconds"])


class Passes:
    """The same again, while others had the processor too for most of it."""

    def __init__(self, asked: Asked) -> None:
        """Begin without any; without patience one is enough."""
        self.turns: list[Turns] = []
        self._told: list[Told] = []
        self._most = MOST_PASSES if asked["calm_s"] else 1

    def wanted(self) -> bool:
        """Return whether another is to be made."""
        if not self._told:
            return True
        return len(self._told) < self._most and self.calmest()[CALM] < CALM_ENOUGH

    def add(self, turns: Turns) -> None:
        """Keep one that was made right now."""
        self.turns.append(turns)
        self._told.append(turns.clock.told(turns))

    def calmest(self) -> Told:
        """Return what the one says of which most counts."""
        return max(self._told, key=itemgetter(CALM))
