"""What runs inside a measured process: `python -m benchmarks.inside JSON`; prints one JSON object.

The argument says what to measure, of which peer, where to, and for how long.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from benchmarks.known import started
from benchmarks.peers.base import Peer
from benchmarks.workloads import WORKLOADS, AsyncLoop, Loop, Workload

Asked: TypeAlias = dict[str, Any]
Told: TypeAlias = dict[str, Any]

RUN_TURNS: Final = 10_000
"""How often a run's loop turns at most; then the next run begins."""
STEPS: Final = (1, 10, 100, 1000)
"""Turns between two looks at the clock, fewer of them where one takes long."""
SLOW_S: Final = 0.02
KIB: Final = 1024


def peer_of(asked: Asked) -> Peer:
    """Return the peer that is asked for, started."""
    folder = Path(asked["folder"])
    return started(asked["peer"], asked["port"], folder, roomy=asked.get("roomy", True))


class Clock:
    """What the calling thread and the process have used since it was made."""

    def __init__(self) -> None:
        """Begin now."""
        self.began_s = time.monotonic()
        self.thread_ns = time.thread_time_ns()
        self.process_ns = time.process_time_ns()
        self.wall_ns = time.perf_counter_ns()

    def told(self, turns: int) -> Told:
        """Return microseconds a turn."""
        return {
            "cpu_us": (time.thread_time_ns() - self.thread_ns) / turns / 1000,
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
        self.step = STEPS[0]

    def more(self) -> bool:
        """Return whether another run is to begin."""
        return self.done < self.most and self.clock.spent_s() < self.seconds

    def of_run(self, loop: Loop) -> None:
        """Turn in one run."""
        self.runs += 1
        end = min(self.done + RUN_TURNS, self.most)
        while self.done < end and self.clock.spent_s() < self.seconds:
            step = min(self.step, end - self.done)
            before_s = self.clock.spent_s()
            loop(step)
            self.after(step, self.clock.spent_s() - before_s)

    async def of_run_awaited(self, loop: AsyncLoop) -> None:
        """Turn in one run, in an event loop."""
        self.runs += 1
        end = min(self.done + RUN_TURNS, self.most)
        while self.done < end and self.clock.spent_s() < self.seconds:
            step = min(self.step, end - self.done)
            before_s = self.clock.spent_s()
            await loop(step)
            self.after(step, self.clock.spent_s() - before_s)

    def after(self, step: int, took_s: float) -> None:
        """Count, and look at the clock less often when turns are short."""
        self.done += step
        if took_s < SLOW_S and self.step < STEPS[-1]:
            self.step = STEPS[STEPS.index(self.step) + 1]


def turned(peer: Peer, loop: Loop, turns: Turns) -> Turns:
    """Turn a loop in as many runs as it takes."""
    while turns.more():
        with peer.run():
            turns.of_run(loop)
    return turns


async def turned_awaited(peer: Peer, loop: AsyncLoop, turns: Turns) -> Turns:
    """Turn a loop of coroutines in as many runs as it takes."""
    while turns.more():
        with peer.run():
            await turns.of_run_awaited(loop)
    return turns


def expected(peer: Peer, workload: Workload, *all_turns: Turns) -> int:
    """Return how many spans have to arrive."""
    done, runs = (sum(getattr(turns, name) for turns in all_turns) for name in ("done", "runs"))
    return int(done * workload.spans + runs * peer.roots)


def calls(asked: Asked) -> Told:
    """Measure what a turn of a workload costs the thread that makes it."""
    peer, workload = peer_of(asked), WORKLOADS[asked["workload"]]
    loop = workload.make(peer.decorate)
    most, seconds = asked["turns"], asked["seconds"]
    if workload.in_loop:
        return asyncio.run(_calls_awaited(peer, workload, cast("AsyncLoop", loop), asked))
    plain = cast("Loop", loop)
    first = turned(peer, plain, Turns(most // 10 + 1, seconds / 5))
    turns = turned(peer, plain, Turns(most, seconds))
    told = turns.clock.told(turns.done)
    peer.flush()
    return {**told, "turns": turns.done, "expected": expected(peer, workload, first, turns)}


async def _calls_awaited(peer: Peer, workload: Workload, loop: AsyncLoop, asked: Asked) -> Told:
    most, seconds = asked["turns"], asked["seconds"]
    async with peer.session():
        first = await turned_awaited(peer, loop, Turns(most // 10 + 1, seconds / 5))
        turns = await turned_awaited(peer, loop, Turns(most, seconds))
        told = turns.clock.told(turns.done)
    peer.flush()
    return {**told, "turns": turns.done, "expected": expected(peer, workload, first, turns)}


def in_threads(works: Sequence[Callable[[], object]]) -> None:
    """Do each in a thread of its own, and wait for all of them."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def throughput(asked: Asked) -> Told:
    """Record as fast as it goes, from some threads; the sink tells when the last span arrived."""
    peer, count = peer_of(asked), asked["threads"]
    workload = WORKLOADS["async" if asked.get("awaited") else "sync"]
    loop = workload.make(peer.decorate)
    if workload.in_loop:
        return asyncio.run(_throughput_awaited(peer, workload, cast("AsyncLoop", loop), asked))
    plain = cast("Loop", loop)
    first = turned(peer, plain, Turns(asked["turns"] // 100 + 1, 0.2))
    peer.flush()
    clock = Clock()
    shares = [Turns(asked["turns"] // count, asked["seconds"]) for _ in range(count)]
    if count == 1:
        turned(peer, plain, shares[0])
    else:
        in_threads([partial(turned, peer, plain, share) for share in shares])
    return _told_after(peer, clock, workload, first, shares)


def _told_after(
    peer: Peer, clock: Clock, workload: Workload, first: Turns, shares: list[Turns]
) -> Told:
    done = sum(turns.done for turns in shares)
    told = clock.told(done)
    recorded_s = clock.spent_s()
    peer.flush()
    return {
        **told,
        "process_us": clock.told(done)["process_us"],
        "began_s": clock.began_s,
        "recorded_s": recorded_s,
        "flushed_s": clock.spent_s(),
        "turns": done,
        "recorded": expected(peer, workload, *shares),
        "expected": expected(peer, workload, first, *shares),
    }


async def _throughput_awaited(
    peer: Peer, workload: Workload, loop: AsyncLoop, asked: Asked
) -> Told:
    first = Turns(asked["turns"] // 100 + 1, 0.2)
    async with peer.session():
        await turned_awaited(peer, loop, first)
    clock = Clock()
    turns = Turns(asked["turns"], asked["seconds"])
    async with peer.session():
        await turned_awaited(peer, loop, turns)
    return _told_after(peer, clock, workload, first, [turns])


def runs(asked: Asked) -> Told:
    """Open and close runs of three calls each, as fast as it goes, until all were sent."""
    peer = peer_of(asked)
    loop = cast("Loop", WORKLOADS["sync"].make(peer.decorate))
    first = Turns(3, 10.0)
    turned(peer, loop, first)
    peer.flush()
    clock = Clock()
    count = 0
    while count < asked["turns"] and clock.spent_s() < asked["seconds"]:
        with peer.run():
            loop(3)
        count += 1
    told = clock.told(count)
    peer.flush()
    return {
        **told,
        "began_s": clock.began_s,
        "turns": count,
        "recorded": count * (3 + peer.roots),
        "expected": count * (3 + peer.roots) + first.done + first.runs * peer.roots,
    }


def resident_kib() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // KIB


def peak_kib() -> int:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def down(asked: Asked) -> Told:
    """Record while nothing listens; the caller looks at how long the process takes to end."""
    peer = peer_of(asked)
    in_loop = bool(asked.get("awaited"))
    loop = WORKLOADS["async" if in_loop else "sync"].make(peer.decorate)
    before_kib = resident_kib()
    slowest_ns = 0
    turns = Turns(asked["turns"], asked["seconds"])

    def timed(step: int) -> None:
        nonlocal slowest_ns
        for _ in range(step):
            began_ns = time.perf_counter_ns()
            cast("Loop", loop)(1)
            slowest_ns = max(slowest_ns, time.perf_counter_ns() - began_ns)

    if in_loop:
        return asyncio.run(_down_awaited(peer, cast("AsyncLoop", loop), turns))
    turned(peer, timed, turns)
    return {
        "turns": turns.done,
        "recorded_s": turns.clock.spent_s(),
        "slowest_ms": slowest_ns / 1e6,
        "before_kib": before_kib,
        "grown_kib": resident_kib() - before_kib,
        "peak_kib": peak_kib(),
        "over_s": time.monotonic(),
    }


async def _down_awaited(peer: Peer, loop: AsyncLoop, turns: Turns) -> Told:
    """Return how it went for a peer in an event loop: an error is what its first call says."""
    before_kib = resident_kib()
    try:
        async with peer.session():
            await turned_awaited(peer, loop, turns)
    except Exception as error:  # noqa: BLE001 - what reaches the host is what is measured
        raised = f"{type(error).__name__} after {turns.clock.spent_s():.1f} s"
    else:
        raised = ""
    return {
        "turns": turns.done,
        "recorded_s": turns.clock.spent_s(),
        "slowest_ms": turns.clock.spent_s() * 1000,
        "before_kib": before_kib,
        "grown_kib": resident_kib() - before_kib,
        "peak_kib": peak_kib(),
        "raised": raised,
        "over_s": time.monotonic(),
    }


MEASURED: dict[str, Callable[[Asked], Told]] = {
    "calls": calls,
    "throughput": throughput,
    "runs": runs,
    "down": down,
}


def main() -> None:
    """Measure what is asked for, and print it."""
    asked: Asked = json.loads(sys.argv[1])
    print(json.dumps(MEASURED[asked["measure"]](asked)), flush=True)


if __name__ == "__main__":
    main()
