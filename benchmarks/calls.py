"""What a decorated call costs its caller, by pyperf: a script for one peer.

`python -m benchmarks.calls --peer remit --port PORT`, with pyperf's options; PORT is a sink's.
Each process measures after a warm-up. A value is the CPU time of the calling thread for one call,
and for `sync wall` the time that passes. It includes the opening and closing of a run every 10,000
calls; what was recorded is delivered between two values.

The peers that a budget names make the same number of calls for a value. pyperf would choose fewer
the slower the peer is, and in a short series the garbage collector has few waiting spans to visit.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pyperf

from benchmarks import peers
from benchmarks.workloads import WORKLOADS, Loop

CASES: Final = {
    "sync": ("sync", time.thread_time),
    "async": ("async", time.thread_time),
    "nested": ("nested", time.thread_time),
    "sync wall": ("sync", time.perf_counter),
}


@functools.cache
def started(name: str, port: int) -> peers.Peer:
    """Return the peer, started once in a process and connected until its end."""
    stack = ExitStack()
    folder = stack.enter_context(
        tempfile.TemporaryDirectory(prefix="remit-bench-", ignore_cleanup_errors=True)
    )
    # Before the exit handlers of the peer, which are called in the opposite order.
    atexit.register(stack.close)
    peer = peers.start(name, peers.Place(port, Path(folder), roomy=True))
    stack.enter_context(peer.session())
    return peer


@functools.cache
def loop_of(peer: peers.Peer, workload: str) -> Loop:
    """Return the loop of a workload, decorated once in a process."""
    return WORKLOADS[workload](peer.decorate)


def timed(turns: int, name: str, port: int, workload: str, clock: Callable[[], float]) -> float:
    """Return the seconds that the calling thread takes for *turns* of a workload."""
    peer = started(name, port)
    loop = loop_of(peer, workload)
    began_s = clock()
    for done in range(0, turns, peer.run_turns):
        with peer.run():
            loop(min(peer.run_turns, turns - done))
    took_s = clock() - began_s
    peer.flush()
    return took_s


def pass_on(command: list[str], options: argparse.Namespace) -> None:
    """Tell pyperf's worker processes which peer they measure."""
    command += ["--peer", options.peer, "--port", str(options.port)]


def main() -> None:
    """Measure each case under one peer."""
    runner = pyperf.Runner(program_args=("-m", "benchmarks.calls"), add_cmdline_args=pass_on)
    runner.argparser.add_argument("--peer", choices=peers.PEERS, required=True)
    runner.argparser.add_argument("--port", type=int, required=True)
    options = runner.parse_args()
    options.loops = options.loops or peers.PEERS[options.peer].calls
    in_loop_only = peers.PEERS[options.peer].in_loop_only
    for case, (workload, clock) in CASES.items():
        if workload == "async" or not in_loop_only:
            runner.bench_time_func(
                f"{options.peer} {case}", timed, options.peer, options.port, workload, clock
            )


if __name__ == "__main__":
    main()
