"""Run the measurements and print a table: `python -m benchmarks [--calls N] [--rounds N]`.

Each measurement runs in a fresh process against a sink in another; peers take turns, so that a
machine that slows down slows all of them. Medians count, and ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from benchmarks import sink
from benchmarks.caller import PEERS


def one(peer: str, calls: int) -> dict[str, Any]:
    """Return one measurement, with how many spans really arrived."""
    with sink.running() as port:
        out = subprocess.run(
            [sys.executable, "-m", "benchmarks.caller", peer, str(port), str(calls)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        counts = sink.counts(port)
    return {**json.loads(out), "arrived": counts["spans"]}


def row(peer: str, results: list[dict[str, Any]], base: float) -> str:
    """Return one line of the table."""
    cpu = [result["cpu_us"] for result in results]
    wall = statistics.median(result["wall_us"] for result in results)
    median = statistics.median(cpu)
    arrived = min(result["arrived"] for result in results)
    return (
        f"{peer:<14} {median:8.2f} {min(cpu):8.2f} {max(cpu):8.2f} {wall:9.2f} "
        f"{median / base:9.1f} {arrived:9d}"
    )


def main() -> None:
    """Measure every peer in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000, help="calls in one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each peer")
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {peer: [] for peer in PEERS}
    for _ in range(options.rounds):
        for peer in PEERS:
            results[peer].append(one(peer, options.calls))
    base = statistics.median(result["cpu_us"] for result in results["remit"])
    print(f"caller's CPU of one call, us; {options.calls} calls, {options.rounds} rounds")
    heads = ("median", "min", "max", "wall", "/ remit", "arrived")
    widths = (9, 9, 9, 10, 10, 10)
    print(f"{'peer':<14}" + "".join(f"{h:>{w}}" for h, w in zip(heads, widths, strict=True)))
    for peer, found in results.items():
        print(row(peer, found, base))


if __name__ == "__main__":
    main()
