"""What an outage costs: memory, the time to exit, log lines, and lost spans.

A program records with the peer's default limits while nothing listens, and ends. Then a sink
listens, and another process sends what the program left on disk; only remit leaves anything there.
The measured process is `python -m benchmarks.outage PEER PORT FOLDER SPANS SECONDS`.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import children, peers
from benchmarks.throughput import loop_of, turn
from tests import sink
from tests.loopback import unused_port


def peak_kib() -> int:
    """Return the most memory that this process has had; `ru_maxrss` includes the parent's."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def record(name: str, place: peers.Place, spans: int, seconds: float) -> None:
    """Record while nothing listens, and print what that took."""
    peer = peers.start(name, place)
    recorded, raised = 0, ""
    try:
        with peer.session():
            turns, runs = turn(peer, loop_of(name, peer), spans, seconds)
            recorded = turns + runs * peer.roots
    except Exception as error:  # noqa: BLE001 - an error that reaches the host is a result
        raised = type(error).__name__
    print(
        json.dumps({
            "recorded": recorded, "raised": raised,
            "peak_kib": peak_kib(), "over_s": time.monotonic(),
        }),
        flush=True,
    )  # fmt: skip


def sent_later(folder: Path, port: int) -> int:
    """Return how many complete spans another process delivers from the spool in *folder*."""
    environ = {
        **children.environment(),
        "REMIT_DATA_DIR": str(folder / "data"),
        "REMIT_API_URL": f"http://127.0.0.1:{port}",
        "REMIT_API_TOKEN": "benchmark",
    }
    command = [sys.executable, "-m", "remit", "spool", "send", "--all", "--timeout", "120"]
    with sink.running("--port", str(port)):
        children.run(command, environ, children.PATIENCE_S)
        arrived = sink.counts(port)
    return arrived["distinct"] - arrived["loss"] - arrived["cut"]


def measure(name: str, spans: int, seconds: float) -> dict[str, Any]:
    """Return the figures of one outage.

    Raises:
        ChildError: The measured process failed.
    """
    port = unused_port()
    with tempfile.TemporaryDirectory(prefix="remit-bench-") as name_of_folder:
        folder = Path(name_of_folder)
        command = [sys.executable, "-m", "benchmarks.outage", name]
        command += map(str, (port, folder, spans, seconds))
        done = children.run(command, children.environment(name), seconds + children.PATIENCE_S)
        ended_s = time.monotonic()
        printed = children.figures(done.stdout, done.stderr)
        later = sent_later(folder, port) if (folder / "data").exists() else 0
    return {
        "recorded": printed["recorded"],
        "raised": printed["raised"],
        "peak_mib": printed["peak_kib"] / 1024,
        "exit_s": ended_s - printed["over_s"],
        "lines": len(done.stderr.splitlines()),
        "lost": max(printed["recorded"] - later, 0),
    }


def main() -> None:
    """Record in this process."""
    name, port, folder, spans, seconds = sys.argv[1:]
    record(name, peers.Place(int(port), Path(folder)), int(spans), float(seconds))


if __name__ == "__main__":
    main()
