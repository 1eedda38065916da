"""What remit's modes cost their host: remote, without a spool, local, off."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import shown
from benchmarks.known import PEERS
from benchmarks.measure import Case, Size, inside
from benchmarks.pictures import Picture
from benchmarks.results import Results
from benchmarks.tables import throughput
from benchmarks.tables.base import Table, title

NAME = "local"
CASE = "sync"
MODES = ("bare", "remit-off", "remit", "remit-memory", "remit-local")
PART = 4
SECONDS = 10
KIB = 1024


def cases(size: Size) -> Iterator[Case]:
    """Yield each mode."""
    for peer in MODES:
        asked = {"turns": size.spans // PART, "seconds": size.seconds * SECONDS, "threads": 1}
        yield Case(NAME, peer, CASE, partial(inside, throughput.NAME, peer, size, asked), 1)


def costs(results: Results) -> str:
    """Return the table of modes."""
    heads = ["", "caller's CPU, us", "caller's wall, us", "CPU of the process, us a span",
             "until all is kept, s", "peak of memory, MiB"]  # fmt: skip
    rows: list[list[str]] = []
    for peer in MODES:
        peak = results.middle(NAME, peer, CASE, "peak_kib")
        rows.append([
            title(peer),
            shown.spread(results.spread(NAME, peer, CASE, "cpu_us")),
            shown.spread(results.spread(NAME, peer, CASE, "wall_us")),
            shown.figure(results.middle(NAME, peer, CASE, "process_us")),
            shown.figure(results.middle(NAME, peer, CASE, "flushed_s")),
            shown.figure(peak and peak / KIB),
        ])  # fmt: skip
    return shown.table(heads, rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    series = {
        what: {PEERS[peer].title: results.middle(NAME, peer, CASE, field) for peer in MODES[1:]}
        for what, field in (("caller's CPU", "cpu_us"), ("CPU of the process", "process_us"))
    }
    yield Picture("local", "Microseconds a span, by mode", series, logarithmic=False)


TABLE = Table(cases, {"local": costs}, pictures)
