"""The budgets of the design, section 7, filled in: each with a peer in the same run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks import shown
from benchmarks.results import Results, Spread
from benchmarks.tables import (
    calls,
    collectors,
    down,
    growth,
    imports,
    kept_out,
    reasons,
    runs,
    throughput,
)
from benchmarks.tables.reasons import Reason

FLAT = 1.1
MEMORY_MIB = 96
EXIT_S = 2.5
LINES = 2
"""One when delivery fails, and one at the exit that says how much waits where."""
UNMEASURED = "not measured"
ROOM = "buffer of 1 GiB"
DEFAULT = "buffer of 64 MiB, the default"
NO_STORE = "no peer has a store"
RIVALS = ("floor", "ddtrace", "sentry", "opentelemetry", "logfire", "langfuse", "prefactor-core")


@dataclass(frozen=True)
class Row:
    """One budget.

    Attributes:
        what: Is limited.
        limit: The most that is allowed, or the least.
        found: What was measured.
        reason: Where it stands why it is not kept, if it is not.
        beside: What stands beside it, in words.
        at_least: Whether more is better.
    """

    what: str
    limit: float
    found: float | Spread | None
    reason: Reason
    beside: str = shown.NOTHING
    at_least: bool = False

    @property
    def middle(self) -> float | None:
        """What was measured, the median of the rounds."""
        return self.found.middle if isinstance(self.found, Spread) else self.found

    @property
    def kept(self) -> bool | None:
        """Whether the budget is; None if nothing was measured."""
        if self.middle is None:
            return None
        return self.middle >= self.limit if self.at_least else self.middle <= self.limit


def verdict(rows: Sequence[Row]) -> str:
    """Return whether a budget is kept, by each of several runs."""
    kept = [row.kept for row in rows]
    if False in kept:
        return "**no**"
    return UNMEASURED if None in kept else "yes"


def cells(rows: Sequence[Row]) -> list[str]:
    """Return one budget as a row, with what each of several runs has measured."""
    last = rows[-1]
    told = " / ".join(shown.figure(row.middle) for row in rows)
    if len(rows) == 1 and isinstance(last.found, Spread):
        told = shown.spread(last.found)
    word = "at least" if last.at_least else "at most"
    return [last.what, f"{word} {shown.figure(last.limit)}", told, verdict(rows), last.beside]


def _told(found: Iterable[tuple[str, float | None]]) -> str:
    told = [f"{name} {shown.figure(value)}" for name, value in found if value is not None]
    return ", ".join(told) or shown.NOTHING


def _beside(results: Results, table: str, case: str, field: str, *peers: str) -> str:
    return _told((peer, results.middle(table, peer, case, field)) for peer in peers)


def _call(results: Results, case: str, limit: float, what: str) -> Row:
    spread = results.spread(calls.NAME, "remit", case, "cpu_us")
    beside = _beside(results, calls.NAME, case, "cpu_us", *RIVALS)
    return Row(what, limit, spread, reasons.CALL, beside)


def _less(results: Results, peer: str, limit: float) -> Row:
    ours, theirs = (results.middle(calls.NAME, name, "sync", "cpu_us") for name in ("remit", peer))
    ratio = theirs / ours if ours and theirs else None
    what = f"{peer}'s CPU of a sync call, times remit's"
    beside = f"us: {_told([(peer, theirs)])}"
    return Row(what, limit, ratio, reasons.PEERS, beside, at_least=True)


def _caller(results: Results) -> Iterator[Row]:
    yield _call(results, "sync", 5, "caller's CPU of a sync call, us")
    yield _call(results, "async", 6, "caller's CPU of an async call, us")
    yield _call(results, "nested", 16, "caller's CPU of three nested calls, us")
    yield _less(results, "ddtrace", 3)
    yield _less(results, "opentelemetry", 6)


def _rate(results: Results, peer: str, case: str, limit: float, what: str) -> Row:
    spread = results.spread(throughput.NAME, peer, case, "rate")
    beside = _beside(results, throughput.NAME, case, "rate", *RIVALS)
    return Row(what, limit, spread, reasons.RATE, beside, at_least=True)


def _lost(results: Results, cases: Sequence[str], what: str) -> Row:
    missing = [throughput.gone(results, "remit", case) for case in cases]
    known = [value for value in missing if value is not None]
    told = ", ".join(
        f"{peer} {throughput.lost(results, peer, cases[0])}"
        for peer in ("ddtrace", "opentelemetry", "sentry")
    )
    return Row(what, 0, max(known) if known else None, reasons.THREADS, told)


def _threads(results: Results, cases: Sequence[str], what: str) -> Row:
    ours, *theirs = (
        growth.threads(results, peer, cases) for peer in ("remit", "ddtrace", "opentelemetry")
    )
    told = _told(zip(("ddtrace", "opentelemetry"), theirs, strict=True))
    return Row(what, FLAT, ours, reasons.THREADS, told)


def _rates(results: Results) -> Iterator[Row]:
    roomy, own = throughput.ROOMY[0], throughput.OWN[0]
    yield _rate(results, "remit", roomy, 75_000, f"spans/s delivered, spool on, {ROOM}")
    yield _rate(results, "remit", own, 75_000, f"spans/s delivered, spool on, {DEFAULT}")
    yield _rate(results, "remit-memory", roomy, 120_000, f"spans/s delivered, no spool, {ROOM}")
    ours, theirs = (
        results.middle(throughput.NAME, peer, roomy, "rate") for peer in ("remit", "ddtrace")
    )
    ratio = ours / theirs if ours and theirs else None
    what = f"spans/s delivered, times ddtrace's, spool on, {ROOM}"
    beside = f"spans/s: {_told([('ddtrace', theirs)])}"
    yield Row(what, 1.4, ratio, reasons.RATE, beside, at_least=True)


def _delivery(results: Results) -> Iterator[Row]:
    yield from _rates(results)
    buffers = ((throughput.ROOMY, ROOM), (throughput.OWN, DEFAULT))
    for cases, room in buffers:
        yield _lost(results, cases, f"spans lost, or their values, 1 and 8 threads, {room}")
    told = _told(
        (peer, runs.runs_a_second(results, peer)) for peer in ("ddtrace", "sentry", "opentelemetry")
    )
    rate = runs.runs_a_second(results, "remit")
    yield Row("runs/s of three calls, delivered", 200, rate, reasons.RATE, told, at_least=True)
    ours, theirs = (growth.flatness(results, peer) for peer in ("remit", "ddtrace"))
    what = f"caller's CPU of a span, 1,000 to 1,000,000 spans: highest / lowest, {ROOM}"
    yield Row(what, FLAT, ours, reasons.GROWTH, _told([("ddtrace", theirs)]))
    for cases, room in buffers:
        yield _threads(results, cases, f"caller's CPU of a span, 8 threads / 1, {room}")


def _outage(results: Results, case: str) -> Iterator[Row]:
    recorded = results.middle(down.NAME, "remit", case, "recorded")
    when = f"nothing listens, {shown.whole(recorded)} spans: "
    peers = ("ddtrace", "sentry", "opentelemetry", "logfire", "langfuse")
    memory, why = down.beyond_mib(results, "remit", case), reasons.OUTAGE
    told = _told((peer, down.beyond_mib(results, peer, case)) for peer in peers)
    yield Row(f"{when}memory, MiB", MEMORY_MIB, memory, why, told)
    exits = results.middle(down.NAME, "remit", case, "exit_s")
    told = _beside(results, down.NAME, case, "exit_s", *peers)
    yield Row(f"{when}exit, s", EXIT_S, exits, why, told)
    lost = down.lost(results, "remit", case)
    told = "the peers keep nothing on disk, so all of it"
    yield Row(f"{when}lost, or their values", 0, lost, why, told)
    said = results.middle(down.NAME, "remit", case, "said")
    told = _beside(results, down.NAME, case, "said", *peers)
    yield Row(f"{when}lines said, the one at the exit included", LINES, said, why, told)


def _start_and_end(results: Results) -> Iterator[Row]:
    base, ours = (
        results.middle(imports.NAME, peer, imports.CASE, "cpu_ms")
        for peer in (imports.BASE, "remit")
    )
    told = _beside(results, imports.NAME, imports.CASE, "cpu_ms", *imports.IMPORTED)
    ratio = ours / base if ours and base else None
    what = "CPU of the import, times what remit stands on"
    yield Row(what, 1.35, ratio, reasons.IMPORT, f"ms: {told}")
    yield Row(
        f"modules of {' and '.join(kept_out.LIBRARIES)} imported by `import remit`",
        0,
        results.middle(imports.NAME, "remit", kept_out.CASE, kept_out.FIELD),
        reasons.IMPORT,
    )
    for case in ("few", "many"):
        yield from _outage(results, case)


def _collector(results: Results) -> Iterator[Row]:
    for store, limit in (("sqlite", 30_000), ("postgres", 20_000)):
        spread, two = (
            results.spread(collectors.INGEST, store, count, "rate") for count in ("1", "2")
        )
        told = f"two collectors {shown.spread(two)}; {NO_STORE}"
        what = f"collector on {store}, spans/s"
        yield Row(what, limit, spread, reasons.INGEST, told, at_least=True)
    found = collectors.found(results)
    for name, measured_ms in collectors.BUDGETS_MS.items():
        told = _told((store, values.get(name)) for store, values in found.items())
        value = found.get("sqlite", {}).get(name)
        yield Row(f"read: {name}, ms", 2 * measured_ms, value, reasons.READS,
                  f"{told}; {NO_STORE}")  # fmt: skip


def _rows(results: Results) -> list[Row]:
    parts = (_caller, _delivery, _start_and_end, _collector)
    return [row for part in parts for row in part(results)]


def budgets(runs: Sequence[Results]) -> str:
    """Return the table of budgets, with the figures of each run; what stands beside is the last's.

    A row stands for the same budget in each of them.
    """
    each = list(zip(*map(_rows, runs), strict=True))
    heads = ["what", "budget", "remit", "kept", "in the same run"]
    lines = shown.table(heads, map(cells, each)).splitlines()
    # The last two columns are words.
    lines[1] = "|---|---:|---:|---|---|"
    return "\n".join([*busy(runs), *lines, *missed(each)])


def missed(each: Iterable[Sequence[Row]]) -> list[str]:
    """Return where it stands why a budget is not kept, a line for each that some run has missed."""
    found = [rows[-1] for rows in each if any(row.kept is False for row in rows)]
    lines = [f"- {row.what}: {row.reason.link()}" for row in found]
    head = "Not kept, and where the reason, the profile and what was tried stand:"
    return ["", head, "", *lines] if lines else []


def busy(runs: Sequence[Results]) -> list[str]:
    """Return a warning if the machine had other things to do in a run."""
    loads: list[float] = []
    for results in runs:
        before, after = (results.about.get(f"load {when}", 0) for when in ("before", "after"))
        # The measurements themselves keep all cores busy.
        if before > 1 or after > 2 * results.about.get("cores", 1):
            loads.append(max(before, after))
    if not loads:
        return []
    cores = runs[-1].about.get("cores", 1)
    when = "this run" if len(runs) == 1 else f"{len(loads)} of {len(runs)} runs"
    line = (
        f"The machine had other things to do during {when} (a load of {max(loads)} on "
        f"{cores} cores), so rates and wall times are worse than they would be."
    )
    return [line, ""]
