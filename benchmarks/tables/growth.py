"""What a span costs as spans grow, from a thousand to a million, and as threads grow."""

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

NAME = "growth"
GROWING = ("floor", "remit", "ddtrace", "opentelemetry")
STEPS = (1_000, 100, 10, 1)
"""The largest number of spans, over these."""
SECONDS = 45.0
SLOW = {"opentelemetry": 10}
"""A peer that would take minutes for the most is stopped this much earlier."""


def cases(size: Size) -> Iterator[Case]:
    """Yield each number of spans under each peer."""
    for step in STEPS:
        for peer in GROWING:
            if step >= SLOW.get(peer, 1):
                asked = {"turns": size.many // step, "seconds": SECONDS, "threads": 1}
                measure = partial(inside, throughput.NAME, peer, size, asked)
                yield Case(NAME, peer, f"most/{step}", measure)


def _label(results: Results, step: int) -> str:
    turns = results.middle(NAME, "remit", f"most/{step}", "turns")
    return f"{turns:,.0f} spans" if turns else f"most/{step}"


def cpu(results: Results, peer: str, step: int) -> float | None:
    """Return the caller's CPU for a span when so many are recorded."""
    return results.middle(NAME, peer, f"most/{step}", "cpu_us")


def flatness(results: Results, peer: str) -> float | None:
    """Return the cost of a span among the most, over that of one among the fewest."""
    few, many = cpu(results, peer, STEPS[0]), cpu(results, peer, STEPS[-1])
    return many / few if few and many else None


def threads(results: Results, peer: str) -> float | None:
    """Return the caller's CPU for a span with 8 threads, over that with one."""
    one, eight = (
        results.middle(throughput.NAME, peer, str(count), "cpu_us") for count in throughput.THREADS
    )
    return eight / one if one and eight else None


def grown(results: Results) -> str:
    """Return the table of costs by number of spans."""
    heads = ["caller's CPU, us a span", *(_label(results, step) for step in STEPS),
             "most / fewest", "8 threads / 1", "lost"]  # fmt: skip
    rows: list[list[str]] = []
    for peer in GROWING:
        found = [
            shown.spread(results.spread(NAME, peer, f"most/{step}", "cpu_us")) for step in STEPS
        ]
        gone = [results.middle(NAME, peer, f"most/{step}", "lost") or 0 for step in STEPS]
        ratios = [flatness(results, peer), threads(results, peer)]
        rows.append([title(peer), *found, *(shown.times(ratio, 1) for ratio in ratios),
                     shown.whole(sum(gone))])  # fmt: skip
    return shown.table(heads, rows)


def background(results: Results) -> str:
    """Return the table of what the process uses for a span, its background included."""
    heads = ["CPU of the process, us a span", *(_label(results, step) for step in STEPS)]
    rows = [
        [
            title(peer),
            *(
                shown.spread(results.spread(NAME, peer, f"most/{step}", "process_us"))
                for step in STEPS
            ),
        ]
        for peer in GROWING
    ]
    return shown.table(heads, rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    for name, field, what in (
        ("growth", "cpu_us", "Caller's CPU"),
        ("growth-process", "process_us", "CPU of the process"),
    ):
        lines = {
            PEERS[peer].title: {
                _label(results, step): results.middle(NAME, peer, f"most/{step}", field)
                for step in STEPS
            }
            for peer in GROWING
        }
        yield Picture(name, f"{what}, microseconds a span", lines, lines=True)


TABLE = Table(cases, {"growth": grown, "growth-process": background}, pictures)
