"""What a decorated call costs the thread that makes it, small calls and large ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import shown
from benchmarks.known import IN_COROUTINES_ONLY, PEERS, RIVALS
from benchmarks.measure import Case, Size, inside
from benchmarks.pictures import Picture
from benchmarks.results import Results
from benchmarks.tables.base import Table, title
from benchmarks.workloads import WORKLOADS

NAME = "calls"
BESIDE = ("sync", "async", "nested")
"""The workloads that the budgets name; the other six are in a table of their own."""
DRAWN = ("floor", "remit", "ddtrace", "sentry", "opentelemetry", "logfire", "langfuse")


def cases(size: Size) -> Iterator[Case]:
    """Yield each workload under each peer, the peers in turn."""
    for name in list(WORKLOADS)[: size.workloads]:
        for peer in RIVALS:
            if peer in IN_COROUTINES_ONLY and not WORKLOADS[name].in_loop:
                continue
            asked = {"workload": name, "turns": size.turns, "seconds": size.seconds}
            rounds = None if name in BESIDE else 1
            yield Case(NAME, peer, name, partial(inside, NAME, peer, size, asked), rounds)


def small(results: Results) -> str:
    """Return the table of small calls: CPU with its spread, wall time, and ratios."""
    heads = ["", *(f"{WORKLOADS[name].title}, us" for name in BESIDE), "wall, us", "/ remit"]
    base = results.middle(NAME, "remit", "sync", "cpu_us")
    abase = results.middle(NAME, "remit", "async", "cpu_us")
    rows: list[list[str]] = []
    for peer in RIVALS:
        found = [results.spread(NAME, peer, name, "cpu_us") for name in BESIDE]
        if not any(found):
            continue
        compared = "async" if found[0] is None else "sync"
        middle = results.middle(NAME, peer, compared, "cpu_us")
        wall = results.middle(NAME, peer, compared, "wall_us")
        ratio = shown.times(middle, abase if found[0] is None else base)
        rows.append([title(peer), *map(shown.spread, found), shown.figure(wall), ratio])
    return shown.table(heads, rows)


def large(results: Results) -> str:
    """Return the table of the other workloads: medians of the caller's CPU."""
    names = [name for name in WORKLOADS if name not in BESIDE]
    heads = ["CPU, us", *(WORKLOADS[name].title for name in names)]
    rows = [
        [title(peer), *(shown.figure(results.middle(NAME, peer, name, "cpu_us")) for name in names)]
        for peer in RIVALS
        if peer not in IN_COROUTINES_ONLY
    ]
    return shown.table(heads, rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    bars = {PEERS[peer].title: results.middle(NAME, peer, "sync", "cpu_us") for peer in RIVALS[1:]}
    yield Picture("calls", "Caller's CPU of one call, microseconds", {"CPU": bars})
    names = [name for name in WORKLOADS if name not in BESIDE]
    yield Picture(
        "workloads",
        "Caller's CPU of one call, microseconds",
        {
            PEERS[peer].title: {
                WORKLOADS[name].title: results.middle(NAME, peer, name, "cpu_us") for name in names
            }
            for peer in DRAWN
        },
    )


TABLE = Table(cases, {"calls": small, "workloads": large}, pictures)
