"""What a span costs as spans grow, from a thousand to a million, and as threads grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
SIZES = (1_000, 10_000, 100_000)
"""Below the most."""
SECONDS = 45.0
MOST = {"opentelemetry": 100_000}
"""A peer that would take minutes for more is stopped here."""
PASSES, OF_PASSES = 10, 30_000
"""Few spans are recorded so often, until there are so many: a thousand take four milliseconds."""


def cases(size: Size) -> Iterator[Case]:
    """Yield each number of spans under each peer; remit alone is measured in every round."""
    for count in (*(each for each in SIZES if each < size.many), size.many):
        for peer in GROWING:
            if count <= MOST.get(peer, count):
                passes = max(1, min(PASSES, OF_PASSES // count))
                asked = {"turns": count, "seconds": SECONDS, "passes": passes}
                rounds = None if peer == "remit" else 1
                yield Case(NAME, peer, str(count), partial(inside, NAME, peer, size, asked), rounds)


def counts(results: Results) -> list[str]:
    """Return the numbers of spans that something was measured for, in their order."""
    return sorted(filter(str.isdigit, results.cases(NAME)), key=int)


def cpu(results: Results, peer: str, count: str) -> float | None:
    """Return the caller's CPU for a span when so many are recorded."""
    return results.middle(NAME, peer, count, "cpu_us")


def flatness(results: Results, peer: str) -> float | None:
    """Return the highest cost of a span, of all numbers of them, over the lowest."""
    found = [value for count in counts(results) if (value := cpu(results, peer, count))]
    return max(found) / min(found) if len(found) > 1 else None


def threads(results: Results, peer: str, cases: Sequence[str] = throughput.ROOMY) -> float | None:
    """Return the caller's CPU for a span with 8 threads, over that with one.

    Args:
        results: What was measured.
        peer: Of which peer.
        cases: With one thread, with eight: with room for everything, or with a peer's own limits.
    """
    one, eight = (results.middle(throughput.NAME, peer, case, "cpu_us") for case in cases)
    return eight / one if one and eight else None


def _spreads(results: Results, peer: str, field: str) -> list[str]:
    return [shown.spread(results.spread(NAME, peer, count, field)) for count in counts(results)]


def _with_wall(results: Results, peer: str) -> list[str]:
    walls = (results.middle(NAME, peer, count, "wall_us") for count in counts(results))
    return [
        f"{cpu} / {shown.figure(wall)}" if cpu != shown.NOTHING else cpu
        for cpu, wall in zip(_spreads(results, peer, "cpu_us"), walls, strict=True)
    ]


def _heads(results: Results) -> list[str]:
    return [f"{int(count):,} spans" for count in counts(results)]


def grown(results: Results) -> str:
    """Return the table of costs by number of spans."""
    heads = [
        "caller's CPU / wall, us a span",
        *_heads(results),
        "CPU, highest / lowest",
        "8 threads / 1",
        "the same, own limits",
        "lost",
    ]
    rows: list[list[str]] = []
    for peer in GROWING:
        gone = [results.middle(NAME, peer, count, "lost") for count in counts(results)]
        known = [lost for lost in gone if lost is not None]
        many = [threads(results, peer, cases) for cases in (throughput.ROOMY, throughput.OWN)]
        ratios = [flatness(results, peer), *many]
        rows.append([
            title(peer),
            *_with_wall(results, peer),
            *(shown.times(ratio, 1) for ratio in ratios),
            shown.whole(sum(known) if known else None),
        ])  # fmt: skip
    return shown.table(heads, rows)


def background(results: Results) -> str:
    """Return the table of what the process uses for a span, its background included."""
    heads = ["CPU of the process, us a span", *_heads(results)]
    rows = [[title(peer), *_spreads(results, peer, "process_us")] for peer in GROWING]
    return shown.table(heads, rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    for name, field, what in (
        ("growth", "cpu_us", "Caller's CPU"),
        ("growth-process", "process_us", "CPU of the process"),
    ):
        lines = {
            PEERS[peer].title: {
                label: results.middle(NAME, peer, count, field)
                for count, label in zip(counts(results), _heads(results), strict=True)
            }
            for peer in GROWING
        }
        yield Picture(name, f"{what}, microseconds a span", lines, lines=True)


TABLE = Table(cases, {"growth": grown, "growth-process": background}, pictures)
