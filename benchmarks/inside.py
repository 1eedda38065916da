"""What runs inside a measured process: `python -m benchmarks.inside JSON`; prints one JSON object.

The argument says what to measure, of which peer, where to, and for how long.
"""

from __future__ import annotations

import asyncio
import json
import posix
import re
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Final, cast

from benchmarks.known import started
from benchmarks.peers.base import Peer
from benchmarks.turns import (
    BEST,
    Asked,
    Clock,
    Passes,
    Told,
    Turns,
    caller,
    calmly,
    turned,
    turned_awaited,
)
from benchmarks.workloads import WORKLOADS, AsyncLoop, Loop, Workload

WARM_TURNS: Final = 2_000
WARM_S: Final = 1.0
SETTLED_S: Final = 2.5
"""By then, what a peer imports and starts in the background is there."""
KIB: Final = 1024


def peer_of(asked: Asked) -> Peer:
    """Return the peer that is asked for, started."""
    folder = Path(asked["folder"])
    return started(asked["peer"], asked["port"], folder, roomy=asked.get("roomy", True))


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
    peer.flush()  # what is imported and made for the first delivery is there now
    passes = Passes(asked)
    while passes.wanted():
        passes.add(turned(peer, plain, calmly(asked)))
        peer.flush()
    return {**passes.calmest(), "expected": expected(peer, workload, first, *passes.turns)}


async def _calls_awaited(peer: Peer, workload: Workload, loop: AsyncLoop, asked: Asked) -> Told:
    most, seconds = asked["turns"], asked["seconds"]
    passes = Passes(asked)
    async with peer.session():
        first = await turned_awaited(peer, loop, Turns(most // 10 + 1, seconds / 5))
        while passes.wanted():
            await asyncio.to_thread(peer.flush)
            passes.add(await turned_awaited(peer, loop, calmly(asked)))
    peer.flush()
    return {**passes.calmest(), "expected": expected(peer, workload, first, *passes.turns)}


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
    first = turned(peer, plain, Turns(min(asked["turns"], WARM_TURNS), WARM_S))
    peer.flush()
    BEST.wait(asked["calm_s"])
    clock = Clock()
    shares = [Turns(asked["turns"] // count, asked["seconds"]) for _ in range(count)]
    if count == 1:
        turned(peer, plain, shares[0])
    else:
        in_threads([partial(turned, peer, plain, share) for share in shares])
    return _told_after(peer, clock, workload, first, shares)


def growth(asked: Asked) -> Told:
    """Record so many spans, again and again where they are few; the caller's CPU is of them all."""
    peer, workload = peer_of(asked), WORKLOADS["sync"]
    loop = cast("Loop", workload.make(peer.decorate))
    first = turned(peer, loop, Turns(WARM_TURNS, WARM_S))
    peer.flush()
    passes: list[Told] = []
    shares: list[Turns] = []
    for _ in range(asked["passes"]):
        share = calmly(asked)
        passes.append(_told_after(peer, share.clock, workload, first, [turned(peer, loop, share)]))
        shares.append(share)
    passes.sort(key=itemgetter("process_us"))
    return {
        **passes[len(passes) // 2],
        **caller(shares),
        "expected": expected(peer, workload, first, *shares),
    }


def _told_after(
    peer: Peer, clock: Clock, workload: Workload, first: Turns, shares: list[Turns]
) -> Told:
    told = clock.told(*shares)
    peer.flush()
    return {
        **told,
        # What the background has used by now, too.
        "process_us": clock.told(*shares)["process_us"],
        "began_s": clock.began_s,
        "flushed_s": clock.spent_s(),
        "peak_kib": peak_kib(),
        "recorded": expected(peer, workload, *shares),
        "expected": expected(peer, workload, first, *shares),
    }


async def _throughput_awaited(
    peer: Peer, workload: Workload, loop: AsyncLoop, asked: Asked
) -> Told:
    first = Turns(min(asked["turns"], WARM_TURNS), WARM_S)
    async with peer.session():
        await turned_awaited(peer, loop, first)
    turns = calmly(asked)
    clock = turns.clock
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
    turns = calmly(asked)
    clock = turns.clock
    turns.stretches.begin()
    while turns.more():
        turns.stretches.next()
        with peer.run():
            loop(3)
        turns.done += 1
        turns.stretches.turned(1)
    turns.stretches.end()
    told, count = clock.told(turns), turns.done
    peer.flush()
    return {
        **told,
        "began_s": clock.began_s,
        "recorded": count * (3 + peer.roots),
        "expected": count * (3 + peer.roots) + first.done + first.runs * peer.roots,
    }


def resident_kib() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // KIB


def peak_kib() -> int:
    """Return the most memory that this process has had.

    `ru_maxrss` would hold what the process that started this one had, too.
    """
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def down(asked: Asked) -> Told:
    """Record while nothing listens; the caller looks at how long the process takes to end."""
    peer = peer_of(asked)
    in_loop = bool(asked.get("awaited"))
    loop = WORKLOADS["async" if in_loop else "sync"].make(peer.decorate)
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
        "recorded": expected(peer, WORKLOADS["sync"], turns),
        "recorded_s": turns.clock.spent_s(),
        "slowest_ms": slowest_ns / 1e6,
        "peak_kib": peak_kib(),
        "over_s": time.monotonic(),
    }


async def _down_awaited(peer: Peer, loop: AsyncLoop, turns: Turns) -> Told:
    """Return how it went for a peer in an event loop: an error is what its first call says."""
    try:
        async with peer.session():
            await turned_awaited(peer, loop, turns)
    except Exception as error:  # noqa: BLE001 - what reaches the host is what is measured
        raised = f"{type(error).__name__} after {turns.clock.spent_s():.1f} s"
    else:
        raised = ""
    return {
        "turns": turns.done,
        "recorded": turns.done,
        "recorded_s": turns.clock.spent_s(),
        "slowest_ms": turns.clock.spent_s() * 1000,
        "peak_kib": peak_kib(),
        "raised": raised,
        "over_s": time.monotonic(),
    }


def pending(asked: Asked) -> Told:
    """Measure how memory grows by spans that wait, where nothing listens; then end at once."""
    peer = peer_of(asked)
    loop = cast("Loop", WORKLOADS["sync"].make(peer.decorate))
    turned(peer, loop, Turns(WARM_TURNS, WARM_S))
    threading.Event().wait(SETTLED_S)
    before_kib = resident_kib()
    turns = turned(peer, loop, Turns(asked["turns"], asked["seconds"]))
    grown_kib = resident_kib() - before_kib
    tell({"turns": turns.done, "span_bytes": grown_kib * KIB / turns.done})
    # Some would wait for long for what cannot be sent, one of them in an `os._exit` of its own.
    posix._exit(0)  # noqa: SLF001 - documented


MEASURED: dict[str, Callable[[Asked], Told]] = {
    "calls": calls,
    "throughput": throughput,
    "growth": growth,
    "runs": runs,
    "down": down,
    "pending": pending,
}


def tell(told: Told) -> None:
    """Print one object."""
    print(json.dumps(told), flush=True)


def main() -> None:
    """Measure what is asked for, and print it."""
    asked: Asked = json.loads(sys.argv[1])
    BEST.probe_ns = asked["best_ns"]
    tell(MEASURED[asked["measure"]](asked))


if __name__ == "__main__":
    main()
