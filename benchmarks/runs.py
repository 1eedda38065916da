"""Short runs, each of two steps, delivered a second: the shape of a service or a worker.

The measured process is `python -m benchmarks.runs PEER PORT FOLDER RUNS SECONDS`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks import children, peers
from benchmarks.throughput import loop_of, measured

STEPS: Final = 2
"""Steps of a run."""
WARM_RUNS: Final = 20


def record(name: str, place: peers.Place, runs: int, seconds: float) -> None:
    """Record runs, flush, and print how many were recorded, and when."""
    peer = peers.start(name, place)
    loop = loop_of(name, peer)
    run = peer.short_run or peer.run

    def make(count: int, until_s: float) -> int:
        done = 0
        while done < count and time.monotonic() < until_s:
            with run():
                loop(STEPS)
            done += 1
        return done

    with peer.session():
        warm = make(WARM_RUNS, time.monotonic() + 60)
        peer.flush()
        used_s, began_s = time.process_time(), time.monotonic()
        done = make(runs, began_s + seconds)
    recorded_s = time.monotonic() - began_s
    peer.flush()
    print(
        json.dumps({
            "warm": warm, "recorded": done, "began_s": began_s, "roots": peer.roots,
            "recording_us": recorded_s / done * 1e6,
            "process_us": (time.process_time() - used_s) / done * 1e6,
        }),
        flush=True,
    )  # fmt: skip


def measure(name: str, runs: int, seconds: float, delay_s: float = 0.0) -> dict[str, Any]:
    """Return the delivered runs a second, and the CPU of the process for each, in microseconds.

    Args:
        name: The peer.
        runs: Runs at most.
        seconds: Seconds of recording at most.
        delay_s: Seconds before each answer of the server.

    Raises:
        ChildError: The measured process failed, or no span arrived.
    """
    printed, arrived = measured("benchmarks.runs", name, runs, seconds, delay_s=delay_s)
    spans = (arrived["distinct"] or arrived["spans"]) - arrived["loss"] - arrived["cut"]
    delivered = spans / (STEPS + printed["roots"]) - printed["warm"]
    if delivered <= 0:
        raise children.ChildError(f"none of {printed['recorded']:,} runs arrived")
    return {
        "rate": delivered / (arrived["last_s"] - printed["began_s"]),
        "lost": max(1 - delivered / printed["recorded"], 0),
        "process_us": printed["process_us"],
        "recording_us": printed["recording_us"],
        "requests": arrived["requests"] / (printed["recorded"] + printed["warm"]),
    }


def main() -> None:
    """Record in this process."""
    name, port, folder, runs, seconds = sys.argv[1:]
    record(name, peers.Place(int(port), Path(folder)), int(runs), float(seconds))


if __name__ == "__main__":
    main()
