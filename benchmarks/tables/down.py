"""What happens while nothing listens: memory, the slowest call, the exit, what is lost."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import children, shown, sink
from benchmarks.known import IN_COROUTINES_ONLY, PEERS
from benchmarks.measure import (
    Case,
    MeasureError,
    Size,
    asked_of,
    check_installed,
    environment,
    inside,
)
from benchmarks.pictures import Picture
from benchmarks.results import Results, Values
from benchmarks.tables.base import Table, title
from tests.loopback import unused_port

NAME = "down"
RECORDERS = (
    "bare",
    "floor",
    "remit",
    "ddtrace",
    "sentry",
    "opentelemetry",
    "logfire",
    "langfuse",
    "prefactor-core",
)
BRIEFLY = ("bare", "remit", "ddtrace")
OF_MANY = ("bare", "remit", "ddtrace")
HOLDERS = ("floor", "remit", "remit-memory", "ddtrace", "opentelemetry", "logfire", "langfuse")
SECONDS = 10.0
MANY_SECONDS = 90.0
WAITING = 50_000
HOLDING = 8
"""Times as long as a call is measured."""
KIB = 1024


def _arrived_later(folder: Path, port: int, size: Size) -> Values:
    """Return how many spans arrive that a process left on disk, and how many of them not whole.

    Nothing is returned of those that leave none there: there is nothing that another could send.
    """
    data = folder / "data"
    if not data.exists():
        return {}
    with sink.running("--port", str(port)):
        told = {
            **environment("remit"),
            "REMIT_DATA_DIR": str(data),
            "REMIT_API_URL": f"http://127.0.0.1:{port}",
            "REMIT_API_TOKEN": "benchmark",
        }
        command = [sys.executable, "-m", "remit", "spool", "send", "--all", "--timeout", "120"]
        children.run(command, told, size.patience_s)
        counts = sink.counts(port)
    # A span about what was given up is none of those that were recorded.
    return {"later": counts["distinct"] - counts["loss"], "partial": counts["cut"]}


def _recorded(what: Values, folder: Path, patience_s: float) -> Values:
    """Return what a process told, how long it took to end after its work, and how much it said."""
    out, said = folder / "stdout", folder / "stderr"
    command = [sys.executable, "-m", "benchmarks.inside", json.dumps(what)]
    with (
        out.open("wb") as stdout,
        said.open("wb") as stderr,
        children.started(
            command, environment(what["peer"]), stdout=stdout, stderr=stderr
        ) as process,
    ):
        process.wait(patience_s)
        ended_s = time.monotonic()
    lines, words = out.read_text().splitlines(), said.read_text().splitlines()
    if not lines:
        raise MeasureError((words or ["no word"])[-1])
    told: Values = json.loads(lines[-1])
    return {**told, "exit_s": ended_s - told["over_s"], "said": len(words)}


def outage(peer: str, turns: int, seconds: float, size: Size) -> Values:
    """Record while nothing listens, end, and see what arrives when something does."""
    check_installed(peer)
    port = unused_port()
    with tempfile.TemporaryDirectory(prefix="remit-bench-") as name:
        what = {
            **asked_of(NAME, peer, size),
            "port": port,
            "folder": name,
            "roomy": False,
            "turns": turns,
            "seconds": seconds,
            "awaited": peer in IN_COROUTINES_ONLY,
        }
        told = _recorded(what, Path(name), seconds + size.patience_s)
        return {**told, **_arrived_later(Path(name), port, size)}


def cases(size: Size) -> Iterator[Case]:
    """Yield an outage for each peer, a long one for remit, and what a waiting span takes."""
    few = size.many // 10
    for peer in BRIEFLY if size.brief else RECORDERS:
        seconds = min(SECONDS, few / 1000)
        yield Case(NAME, peer, "few", partial(outage, peer, few, seconds, size), 1)
    for peer in OF_MANY:
        yield Case(NAME, peer, "many", partial(outage, peer, size.many, MANY_SECONDS, size), 1)
    for peer in BRIEFLY[1:] if size.brief else HOLDERS:
        asked = {"turns": min(WAITING, size.many), "seconds": size.seconds * HOLDING}
        measure = partial(inside, "pending", peer, size, asked, listening=False)
        yield Case(NAME, peer, "pending", measure, 1)


def beyond_mib(results: Results, peer: str, case: str) -> float | None:
    """Return the peak of memory beyond the bare program's, in MiB."""
    peak = results.middle(NAME, peer, case, "peak_kib")
    bare = results.middle(NAME, "bare", case, "peak_kib")
    return None if peak is None or bare is None else max(peak - bare, 0) / KIB


def lost(results: Results, peer: str, case: str) -> float | None:
    """Return how many spans never arrived, or without some of their values.

    All of them where a peer keeps nothing on disk.
    """
    recorded, later, partial = (
        results.middle(NAME, peer, case, field) for field in ("recorded", "later", "partial")
    )
    if recorded is None:
        return None
    return max(recorded - (later or 0), 0) + (partial or 0)


def _row(results: Results, peer: str, case: str) -> list[str]:
    recorded = results.middle(NAME, peer, case, "recorded")
    later = results.middle(NAME, peer, case, "later")
    gone = None if later is None else lost(results, peer, case)
    raised = next((found.get("raised") for found in results.all(NAME, peer, case)), None)
    slowest = raised or shown.figure(results.middle(NAME, peer, case, "slowest_ms"))
    return [
        title(peer),
        shown.whole(recorded),
        shown.figure(beyond_mib(results, peer, case)),
        slowest,
        shown.figure(results.middle(NAME, peer, case, "exit_s")),
        shown.whole(results.middle(NAME, peer, case, "said")),
        shown.whole(later),
        shown.whole(gone),
    ]


def outages(results: Results) -> str:
    """Return the table of outages."""
    heads = ["", "spans recorded", "memory beyond bare, MiB", "slowest call, ms",
             "exit, s", "lines said", "arrived later", "lost, in part or whole"]  # fmt: skip
    rows = [_row(results, peer, "few") for peer in RECORDERS]
    rows += [_row(results, peer, "many") for peer in OF_MANY]
    return shown.table(heads, rows)


def memory(results: Results) -> str:
    """Return the table of waiting spans."""
    rows = [
        [title(peer), shown.spread(results.spread(NAME, peer, "pending", "span_bytes"))]
        for peer in HOLDERS
    ]
    return shown.table(["", "bytes of memory for a waiting span"], rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    bars = {PEERS[peer].title: beyond_mib(results, peer, "few") for peer in RECORDERS}
    exits = {PEERS[peer].title: results.middle(NAME, peer, "few", "exit_s") for peer in RECORDERS}
    yield Picture("down", "Nothing listens: memory beyond bare (MiB), time to exit (s)",
                  {"memory, MiB": bars, "exit, s": exits}, logarithmic=False)  # fmt: skip
    waiting = {
        PEERS[peer].title: results.middle(NAME, peer, "pending", "span_bytes") for peer in HOLDERS
    }
    yield Picture("memory", "Bytes of memory for a waiting span", {"bytes": waiting},
                  logarithmic=False)  # fmt: skip


TABLE = Table(cases, {"down": outages, "memory": memory}, pictures)
