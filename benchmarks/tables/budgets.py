"""The budgets of the design, section 7, filled in: each with a peer in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import shown
from benchmarks.results import Results, Spread
from benchmarks.tables import calls, collectors, down, growth, imports, runs, throughput

FLAT = 1.1
MEMORY_MIB = 96
EXIT_S = 2.5
LINES = 2
"""One when delivery fails, and one at the exit that says how much waits where."""
UNMEASURED = "not measured"
RIVALS = ("floor", "ddtrace", "sentry", "opentelemetry", "logfire", "langfuse", "prefactor-core")


@dataclass(frozen=True)
class Row:
    """One budget.

    Attributes:
        what: Is limited.
        limit: The most that is allowed, or the least.
        found: What was measured.
        beside: What stands beside it, in words.
        at_least: Whether more is better.
    """

    what: str
    limit: float
    found: float | Spread | None
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


def _beside(results: Results, table: str, case: str, field: str, *peers: str) -> str:
    told = [
        f"{peer} {shown.figure(value)}"
        for peer in peers
        if (value := results.middle(table, peer, case, field)) is not None
    ]
    return ", ".join(told) or shown.NOTHING


def _call(results: Results, case: str, limit: float, what: str) -> Row:
    spread = results.spread(calls.NAME, "remit", case, "cpu_us")
    beside = _beside(results, calls.NAME, case, "cpu_us", *RIVALS)
    return Row(what, limit, spread, beside)


def _less(results: Results, peer: str, limit: float) -> Row:
    ours, theirs = (results.middle(calls.NAME, name, "sync", "cpu_us") for name in ("remit", peer))
    ratio = theirs / ours if ours and theirs else None
    return Row(f"{peer}'s CPU of a sync call, times remit's", limit, ratio, at_least=True)


def _caller(results: Results) -> Iterator[Row]:
    yield _call(results, "sync", 5, "caller's CPU of a sync call, us")
    yield _call(results, "async", 6, "caller's CPU of an async call, us")
    yield _call(results, "nested", 16, "caller's CPU of three nested calls, us")
    yield _less(results, "ddtrace", 3)
    yield _less(results, "opentelemetry", 6)


def _rate(results: Results, peer: str, limit: float, what: str) -> Row:
    spread = results.spread(throughput.NAME, peer, "1", "rate")
    beside = _beside(results, throughput.NAME, "1", "rate", *RIVALS)
    return Row(what, limit, spread, beside, at_least=True)


def _delivery(results: Results) -> Iterator[Row]:
    yield _rate(results, "remit", 75_000, "spans/s delivered, spool on")
    yield _rate(results, "remit-memory", 120_000, "spans/s delivered, no spool")
    ours, theirs = (
        results.middle(throughput.NAME, peer, "1", "rate") for peer in ("remit", "ddtrace")
    )
    ratio = ours / theirs if ours and theirs else None
    yield Row("spans/s delivered, times ddtrace's", 1.4, ratio, at_least=True)
    missing = [throughput.gone(results, "remit", case) for case in throughput.OWN]
    known = [value for value in missing if value is not None]
    told = ", ".join(
        f"{peer} {throughput.lost(results, peer, throughput.OWN[0])}"
        for peer in ("ddtrace", "opentelemetry", "sentry")
    )
    yield Row(
        "spans lost, or their values, 1 and 8 threads", 0, max(known) if known else None, told
    )
    told = ", ".join(
        f"{peer} {shown.figure(runs.runs_a_second(results, peer))}"
        for peer in ("ddtrace", "sentry", "opentelemetry")
    )
    rate = runs.runs_a_second(results, "remit")
    yield Row("runs/s of three calls, delivered", 200, rate, told, at_least=True)
    ours, theirs = (growth.flatness(results, peer) for peer in ("remit", "ddtrace"))
    what = "caller's CPU of a span, 1,000 to 1,000,000 spans: highest / lowest"
    yield Row(what, FLAT, ours, f"ddtrace {shown.times(theirs, 1)}")
    ours, theirs = (growth.threads(results, peer) for peer in ("remit", "ddtrace"))
    what = "caller's CPU of a span, 8 threads / 1"
    yield Row(what, FLAT, ours, f"ddtrace {shown.times(theirs, 1)}")


def _start_and_end(results: Results) -> Iterator[Row]:
    base, ours = (
        results.middle(imports.NAME, peer, imports.CASE, "cpu_ms")
        for peer in (imports.BASE, "remit")
    )
    told = _beside(results, imports.NAME, imports.CASE, "cpu_ms", *imports.IMPORTED)
    ratio = ours / base if ours and base else None
    yield Row("CPU of the import, times what remit stands on", 1.35, ratio, f"ms: {told}")
    for case in ("few", "many"):
        recorded = results.middle(down.NAME, "remit", case, "recorded")
        when = f"nothing listens, {shown.whole(recorded)} spans: "
        told = _beside(results, down.NAME, case, "exit_s", "ddtrace", "opentelemetry", "logfire",
                       "langfuse")  # fmt: skip
        yield Row(f"{when}memory, MiB", MEMORY_MIB, down.beyond_mib(results, "remit", case))
        exits = results.middle(down.NAME, "remit", case, "exit_s")
        yield Row(f"{when}exit, s", EXIT_S, exits, told)
        later = results.middle(down.NAME, "remit", case, "later")
        lost = recorded - later if recorded is not None and later is not None else None
        yield Row(f"{when}lost", 0, lost)
        yield Row(
            f"{when}lines said, the one at the exit included",
            LINES,
            results.middle(down.NAME, "remit", case, "said"),
        )


def _collector(results: Results) -> Iterator[Row]:
    for store, limit in (("sqlite", 30_000), ("postgres", 20_000)):
        spread, two = (
            results.spread(collectors.INGEST, store, count, "rate") for count in ("1", "2")
        )
        told = f"two collectors {shown.spread(two)}"
        yield Row(f"collector on {store}, spans/s", limit, spread, told, at_least=True)
    found = collectors.found(results)
    for name, measured_ms in collectors.BUDGETS_MS.items():
        told = ", ".join(f"{store} {shown.figure(values.get(name))}"
                         for store, values in found.items())  # fmt: skip
        value = found.get("sqlite", {}).get(name)
        yield Row(f"read: {name}, ms", 2 * measured_ms, value, told or shown.NOTHING)


def _rows(results: Results) -> list[Row]:
    parts = (_caller, _delivery, _start_and_end, _collector)
    return [row for part in parts for row in part(results)]


def budgets(runs: Sequence[Results]) -> str:
    """Return the table of budgets, with the figures of each run; what stands beside is the last's.

    A row stands for the same budget in each of them.
    """
    rows = [cells(of_runs) for of_runs in zip(*map(_rows, runs), strict=True)]
    heads = ["what", "budget", "remit", "kept", "in the same run"]
    lines = shown.table(heads, rows).splitlines()
    # The last two columns are words.
    lines[1] = "|---|---:|---:|---|---|"
    return "\n".join([*busy(runs), *lines])


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
