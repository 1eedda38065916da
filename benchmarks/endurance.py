"""Programs that record for long, in figures: `python -m benchmarks.endurance [--spans N]`.

The back end is down, then there again; down with a small spool; silent; slow; well. Each program
runs beside the same one without remit, in processes of their own; `tests/process/test_endurance.py`
holds the bounds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import sink
from tests.endurance import (
    MIB,
    Ended,
    Place,
    items_in,
    lost,
    sent,
    sizes_of,
    stale_s,
    states_of,
    steps_of,
    watched,
)
from tests.loopback import unused_port

SMALL_SPOOL_BYTES = 50 * MIB
SPANS_A_RUN = 100


def show(name: str, ended: Ended, bare: Ended | None = None) -> None:
    """Print what there is to tell of a program, beside the bare one."""
    told = ended.told
    print(f"\n{name}: {told['recorded_s']:.1f} s of recording, {ended.took_s:.1f} s in all")
    print(
        f"  a call: median {told['p50_us']:.1f} us, p99.9 {told['p999_us']:.0f} us, "
        f"slowest {told['max_us'] / 1e3:.1f} ms, first {told['first_us'] / 1e3:.1f} ms; "
        f"{told['writes']} writes by the calling thread"
    )
    beyond = "" if bare is None else f", {ended.peak_mib - bare.peak_mib:.0f} beyond the bare one"
    print(f"  memory: peak {ended.peak_mib:.0f} MiB{beyond}")
    print(f"  exit: {told['hooks_s']:.2f} s in its hooks, {ended.exit_s:.2f} s to the end")
    if bare is None:
        return
    print(
        f"  spool: at most {ended.spool_bytes / MIB:.1f} MiB, its log {ended.log_bytes / MIB:.1f}; "
        f"sent {told['sent']:,}, spooled {told['spooled']:,}, given up {told['dropped']}"
    )
    for line in ended.said:
        print(f"  said: {line[:100]}")


def outage(place: Place, spans: int, bare: Ended, max_spool_bytes: int) -> None:
    """Record while nothing listens; then have it sent."""
    program = watched(place, spans, max_spool_bytes=max_spool_bytes)
    show(f"down, a spool of {max_spool_bytes // MIB} MiB", program, bare)
    left = sum(sizes_of(place.spool).values())
    steps = steps_of(items_in(place.spool))
    print(f"  left: {left / MIB:.1f} MiB, {len(steps):,} spans, {left / len(steps):.0f} bytes each")
    states = states_of(steps)
    cut = states.count("c")
    whole = len(states) - len(states.lstrip("w"))
    print(f"  {cut:,} without payload, {whole:,} whole ones before the first of them")
    print(f"  {len(steps) + sum(lost(program)[name] for name in ('spool_full', 'buffer_full')):,} "
          "spans kept or counted as lost")  # fmt: skip
    with sink.running("--port", str(place.port)) as port:
        began_s = time.monotonic()
        heir = sent(place)
        took_s = time.monotonic() - began_s
        arrived = sink.counts(port)
    memory_mib = max(sample.memory_kib for sample in heir.samples) / 1024
    print(
        f"  then: {arrived['step']:,} steps arrived ({arrived['cut']:,} without payload) in "
        f"{took_s:.1f} s, {arrived['spans'] / took_s:,.0f} a second, "
        f"{arrived['spans'] - arrived['distinct']} twice; memory {memory_mib:.0f} MiB; "
        f"left in the spool: {sizes_of(place.spool)}"
    )


def silence(folder: Path, spans: int) -> None:
    """Record in an event loop while the back end never answers."""
    with sink.running("--silent") as port:
        place = Place(folder, port)
        seen: list[tuple[float, float]] = []

        def look() -> None:
            age_s = stale_s(place.spool)
            if age_s is not None:
                seen.append((time.monotonic(), age_s))

        bare = watched(place, spans, "--loop", "--bare")
        program = watched(place, spans, "--loop", look=look)
    show("silent, the bare program in a loop", bare)
    show("silent, in a loop", program, bare)
    told = program.told
    ages = [age_s for at_s, age_s in seen if at_s < told["over_s"]]
    print(
        f"  slow callbacks: {len(told['slow'])} ({told['evicted']} more while others had the "
        f"processor); the bare one {len(bare.told['slow'])} ({bare.told['evicted']})"
    )
    print(f"  oldest not on disk: {told['lag_s']:.2f} s by the status, {max(ages):.2f} by the file")


def well(folder: Path, spans: int, bare: Ended, runs: int) -> None:
    """Record while all is delivered."""
    with sink.running() as port:
        place = Place(folder, port)
        program = watched(place, spans // 2, "--runs", runs, "--nested", "--flush-s", 600)
        arrived = sink.counts(port)
    show(f"well, {runs} runs, each call two spans", program, bare)
    quarters = [program.memory_mib(part / 4, (part + 1) / 4) for part in range(4)]
    print("  memory by quarters: " + ", ".join(f"{mean:.1f}" for mean in quarters))
    took_s = program.told["delivered_s"]
    print(
        f"  {arrived['step']:,} + {arrived['outer']:,} spans arrived, "
        f"{arrived['spans'] - arrived['distinct']} twice, {arrived['spans'] / took_s:,.0f} a "
        f"second; left in the spool: {sizes_of(place.spool)}"
    )


def slow(folder: Path, spans: int, bare: Ended) -> None:
    """Record while each answer takes a third of a second."""
    with sink.running("--delay-s", "0.3") as port:
        show("slow", watched(Place(folder, port), spans, "--flush-s", 5), bare)


def main() -> None:
    """Run each, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="names of some, with commas between them")
    options = parser.parse_args()
    spans = options.spans
    with tempfile.TemporaryDirectory() as root:
        bare = watched(Place(Path(root) / "bare", 9), spans, "--bare")
        show("the bare program", bare)
        place = Place(Path(root) / "idle", unused_port())
        show("remit, 100 spans", watched(place, 100), bare)
        every: dict[str, Callable[[Path], None]] = {
            "down": lambda at: outage(Place(at, unused_port()), spans, bare, 1024 * MIB),
            "small": lambda at: outage(Place(at, unused_port()), spans, bare, SMALL_SPOOL_BYTES),
            "silent": lambda at: silence(at, spans),
            "slow": lambda at: slow(at, spans, bare),
            "one": lambda at: well(at, spans, bare, 1),
            "many": lambda at: well(at, spans, bare, spans // SPANS_A_RUN),
        }
        for name, measure in every.items():
            if name in (options.only or name).split(","):
                measure(Path(root) / name)


if __name__ == "__main__":
    main()
