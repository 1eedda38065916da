"""Runs of three calls each, opened, closed and delivered, a second."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import shown
from benchmarks.known import PEERS
from benchmarks.measure import Case, Size, inside
from benchmarks.pictures import Picture
from benchmarks.results import Results
from benchmarks.tables.base import Table, title

NAME = "runs"
CASE = "3 calls"
SPANS_A_RUN = 4
OPENERS = ("remit", "ddtrace", "sentry", "opentelemetry", "logfire", "langfuse")
SECONDS = 4
SPANS_FOR_A_RUN = 50
"""So many of a measurement's spans make one run of this one; each takes requests of its own."""


def cases(size: Size) -> Iterator[Case]:
    """Yield each peer that has something like a run: a root span, if nothing else."""
    for peer in OPENERS:
        asked = {"turns": size.spans // SPANS_FOR_A_RUN, "seconds": size.seconds * SECONDS}
        yield Case(NAME, peer, CASE, partial(inside, NAME, peer, size, asked))


def runs_a_second(results: Results, peer: str) -> float | None:
    """Return how many runs were delivered in a second."""
    rate = results.middle(NAME, peer, CASE, "rate")
    return None if rate is None else rate / SPANS_A_RUN


def rates(results: Results) -> str:
    """Return the table of runs."""
    rows: list[list[str]] = []
    for peer in OPENERS:
        turns = results.middle(NAME, peer, CASE, "turns")
        asked = results.middle(NAME, peer, CASE, "requests")
        cpu = results.spread(NAME, peer, CASE, "cpu_us")
        each = shown.figure(asked / turns) if turns and asked is not None else shown.NOTHING
        gone = results.middle(NAME, peer, CASE, "lost")
        rows.append([
            title(peer),
            shown.figure(runs_a_second(results, peer)),
            shown.spread(cpu),
            each,
            shown.figure(gone),
        ])  # fmt: skip
    heads = ["", "runs/s, delivered", "caller's CPU of a run, us", "requests a run", "spans lost"]
    return shown.table(heads, rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    bars = {PEERS[peer].title: runs_a_second(results, peer) for peer in OPENERS}
    yield Picture("runs", "Runs a second, delivered", {"runs": bars})


TABLE = Table(cases, {"runs": rates}, pictures)
