"""Spans a second until the last one arrived; what is lost; bytes and requests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import shown
from benchmarks.known import IN_COROUTINES_ONLY, PEERS
from benchmarks.measure import Case, Size, inside
from benchmarks.pictures import Picture
from benchmarks.results import Results
from benchmarks.tables.base import Table, title

NAME = "throughput"
SENDERS = (
    "floor",
    "remit",
    "remit-memory",
    "ddtrace",
    "sentry",
    "opentelemetry",
    "logfire",
    "langfuse",
    "prefactor-core",
)
THREADS = (1, 8)
ROOMY = ("1", "8")
OWN = ("own limits", "own limits, 8 threads")
BRIEFLY = ("floor", "remit", "remit-memory", "ddtrace", "opentelemetry")
SECONDS = 5
"""Times as long as a call is measured."""
BURST_SECONDS = 2
"""The same where what a peer gives up is counted: their queues are full by then."""
AT_LENGTH = ("remit",)
"""Budgets are of these with their own limits, too: as long, and as often, as with room."""
OFTEN = ("remit", "remit-memory", "ddtrace")
"""Budgets are of the rates of these: five rounds for the three of the rest."""


def cases(size: Size) -> Iterator[Case]:
    """Yield one thread and several, with room for everything and with a peer's own limits."""
    for roomy in (True, False):
        for threads in THREADS:
            for peer in BRIEFLY if size.brief else SENDERS:
                if threads == 1 or peer not in IN_COROUTINES_ONLY:
                    yield _case(peer, threads, roomy=roomy, size=size)


def _case(peer: str, threads: int, *, roomy: bool, size: Size) -> Case:
    at_length = roomy or peer in AT_LENGTH
    asked = {
        "turns": size.spans,
        "seconds": size.seconds * (SECONDS if at_length else BURST_SECONDS),
        "threads": threads,
        "roomy": roomy,
        "awaited": peer in IN_COROUTINES_ONLY,
    }
    name = (ROOMY if roomy else OWN)[THREADS.index(threads)]
    # What a peer gives up is no matter of a few percent, so once.
    rounds = (2 * size.rounds - 1 if peer in OFTEN else None) if at_length else 1
    return Case(NAME, peer, name, partial(inside, NAME, peer, size, asked), rounds)


def gone(results: Results, peer: str, case: str) -> float | None:
    """Return how many spans did not arrive, or arrived without what they recorded."""
    parts = [results.middle(NAME, peer, case, field) for field in ("lost", "cut")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def lost(results: Results, peer: str, case: str) -> str:
    """Return the part that did not arrive, or not as a whole, in percent."""
    missing, of = gone(results, peer, case), results.middle(NAME, peer, case, "expected")
    if missing is None or not of:
        return shown.NOTHING
    return "none" if not missing else f"{missing / of:.1%}"


def rates(results: Results) -> str:
    """Return the table of rates and losses."""
    heads = ["", "spans/s, 1 thread", "8 threads", "CPU of the process, us a span", "lost",
             "lost with its own limits", "8 threads", "/ remit"]  # fmt: skip
    base = results.middle(NAME, "remit", "1", "rate")
    rows: list[list[str]] = []
    for peer in SENDERS:
        one, eight = (results.spread(NAME, peer, str(threads), "rate") for threads in THREADS)
        rows.append([
            title(peer),
            shown.spread(one),
            shown.spread(eight),
            shown.figure(results.middle(NAME, peer, "1", "process_us")),
            lost(results, peer, "1"),
            *(lost(results, peer, case) for case in OWN),
            shown.times(results.middle(NAME, peer, "1", "rate"), base),
        ])  # fmt: skip
    return shown.table(heads, rows)


def sizes(results: Results) -> str:
    """Return the table of bytes and requests."""
    rows: list[list[str]] = []
    for peer in SENDERS:
        arrived = results.middle(NAME, peer, "1", "arrived")
        sent = results.middle(NAME, peer, "1", "bytes")
        asked = results.middle(NAME, peer, "1", "requests")
        if not arrived or sent is None or asked is None:
            continue
        rows.append(
            [title(peer), shown.figure(sent / arrived), shown.figure(asked / arrived * 1e3)]
        )
    return shown.table(["", "bytes a span", "requests for 1,000 spans"], rows)


def pictures(results: Results) -> Iterator[Picture]:
    """Yield what there is to draw."""
    rate = {PEERS[peer].title: results.middle(NAME, peer, "1", "rate") for peer in SENDERS}
    yield Picture("throughput", "Spans a second, one thread", {"rate": rate}, logarithmic=False)
    size = {PEERS[peer].title: _bytes(results, peer) for peer in SENDERS}
    yield Picture("size", "Bytes a span", {"size": size}, logarithmic=False)


def _bytes(results: Results, peer: str) -> float | None:
    arrived = results.middle(NAME, peer, "1", "arrived")
    sent = results.middle(NAME, peer, "1", "bytes")
    return sent / arrived if arrived and sent is not None else None


TABLE = Table(cases, {"throughput": rates, "size": sizes}, pictures, at_once=True)
