"""Spans a second until the last one has arrived, and the spans that do not arrive.

Each peer records as fast as it can, with the limits that it has by default. The measured process is
`python -m benchmarks.throughput PEER PORT FOLDER THREADS SPANS SECONDS`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from benchmarks import children, peers
from benchmarks.workloads import WORKLOADS, Loop
from tests import sink

STEP: Final = 100
"""Calls between two looks at the clock."""
WARM_TURNS: Final = 2_000
WARM_S: Final = 1.0


def turn(peer: peers.Peer, loop: Loop, turns: int, seconds: float) -> tuple[int, int]:
    """Make *turns* of a workload, or as many as *seconds* allow; return the turns and the runs."""
    until_s = time.monotonic() + seconds
    done = runs = 0
    while done < turns and time.monotonic() < until_s:
        end = min(done + peer.run_turns, turns)
        runs += 1
        with peer.run():
            while done < end and time.monotonic() < until_s:
                step = min(STEP, end - done)
                loop(step)
                done += step
    return done, runs


def loop_of(name: str, peer: peers.Peer) -> Loop:
    """Return the loop of single calls; of awaited ones where a peer records no others."""
    workload = "async" if peers.PEERS[name].in_loop_only else "sync"
    return WORKLOADS[workload](peer.decorate)


def record(name: str, place: peers.Place, threads: int, spans: int, seconds: float) -> None:
    """Record, flush, and print how many spans were recorded, and when."""
    peer = peers.start(name, place)
    loop = loop_of(name, peer)
    done: list[tuple[int, int]] = []
    with peer.session():
        warm = turn(peer, loop, WARM_TURNS, WARM_S)
        peer.flush()
        used_s, began_s = time.process_time(), time.monotonic()

        def work() -> None:
            done.append(turn(peer, loop, spans // threads, seconds))

        if threads == 1:
            work()
        else:
            working = [threading.Thread(target=work) for _ in range(threads)]
            for thread in working:
                thread.start()
            for thread in working:
                thread.join()
    peer.flush()
    warm_spans, recorded = (
        sum(turns + runs * peer.roots for turns, runs in counted) for counted in ([warm], done)
    )
    used_us = (time.process_time() - used_s) / recorded * 1e6
    print(
        json.dumps({
            "warm": warm_spans, "recorded": recorded, "began_s": began_s, "process_us": used_us
        }),
        flush=True,
    )  # fmt: skip


def measured(
    module: str, name: str, *arguments: object, delay_s: float = 0.0
) -> tuple[dict[str, Any], Counter[str]]:
    """Run a module in a separate process; return what it printed, and what the sink counted.

    Args:
        module: The module, which gets the peer, the sink's port and a directory first.
        name: The peer.
        arguments: What else it gets.
        delay_s: Seconds before each answer of the sink.

    Raises:
        ChildError: The measured process failed.
    """
    with (
        sink.running("--delay-s", str(delay_s), module=children.SINK) as port,
        tempfile.TemporaryDirectory(prefix="remit-bench-") as folder,
    ):
        command = [sys.executable, "-m", module, *map(str, (name, port, folder, *arguments))]
        done = children.run(command, children.environment(name), children.PATIENCE_S)
        return children.figures(done.stdout, done.stderr), sink.counts(port)


def measure(name: str, threads: int, spans: int, seconds: float) -> dict[str, Any]:
    """Return the delivered spans a second, and the part of the spans that did not arrive.

    Raises:
        ChildError: The measured process failed, or no span arrived.
    """
    printed, arrived = measured("benchmarks.throughput", name, threads, spans, seconds)
    # prefactor-core sends each span by itself, and the requests are counted. remit sends a span
    # that tells what was dropped; the program did not record it.
    whole = (arrived["distinct"] or arrived["spans"]) - arrived["loss"] - arrived["cut"]
    delivered = whole - printed["warm"]
    if delivered <= 0:
        raise children.ChildError(f"none of {printed['recorded']:,} spans arrived")
    return {
        "rate": delivered / (arrived["last_s"] - printed["began_s"]),
        "lost": max(1 - delivered / printed["recorded"], 0),
        "process_us": printed["process_us"],
    }


def main() -> None:
    """Record in this process."""
    name, port, folder, threads, spans, seconds = sys.argv[1:]
    place = peers.Place(int(port), Path(folder))
    record(name, place, int(threads), int(spans), float(seconds))


if __name__ == "__main__":
    main()
