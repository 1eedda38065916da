"""Measure, side by side with the peers: `python -m benchmarks [TABLE ...] [--quick] [--resume]`.

Each measurement runs in a fresh process against a sink in another; within a round the peers take
turns, so that a machine that slows down slows all of them, and what was measured while it went
slowly is measured again. Medians count, and ratios within one run. Results are kept in
`build/benchmarks.json` as they come; `--resume` goes on with a run that broke, `--report` writes
the page anew from them, with the budgets of each of several runs if it is given their files. Tables
of several runs of the same stand on a page with their dates; runs of another source, machine,
Python or library are refused. Nothing passes or fails by time.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import about, report
from benchmarks.children import ROOT
from benchmarks.measure import Case, Size
from benchmarks.pace import TRIES, Pace, fixed_work_ms, timed_on_each_processor
from benchmarks.report import TABLES
from benchmarks.results import TOOK, Results

FULL = Size()
QUICK = Size(
    rounds=1,
    seconds=0.15,
    turns=5_000,
    spans=10_000,
    many=20_000,
    workloads=3,
    collector=4_000,
    reads=10_000,
    calm_s=0.0,
    patience_s=60.0,
    brief=True,
)
TINY = replace(
    QUICK,
    seconds=0.02,
    turns=200,
    spans=400,
    many=1_000,
    workloads=2,
    collector=200,
    reads=5_000,
    patience_s=180.0,
)
SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}


def options() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"one of {', '.join(TABLES)}")
    parser.add_argument("--size", choices=SIZES, default="full", help="how much is measured")
    parser.add_argument("--quick", action="store_const", const="quick", dest="size",
                        help="a little of everything, in about two minutes")  # fmt: skip
    parser.add_argument("--rounds", type=int, help="measurements of each thing")
    parser.add_argument("--peers", help="names of some, with commas between them")
    parser.add_argument("--resume", action="store_true", help="measure only what is missing")
    parser.add_argument(
        "--report",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="measure nothing, write the page from the results of a run or more",
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="the results' folder")
    given = parser.parse_args()
    unknown = [name for name in given.tables if name not in TABLES]
    if unknown:
        parser.error(f"there is no table {unknown[0]}; there are {', '.join(TABLES)}")
    missing = [path for path in given.report or () if not path.is_file()]
    if missing:
        parser.error(f"there are no results in {missing[0]}; expected a file that a run has kept")
    return given


def rounds_of(cases: list[Case], rounds: int) -> Iterator[tuple[int, Case]]:
    """Yield the cases round by round, every other round from the last to the first."""
    most = max((case.rounds_of(rounds) for case in cases), default=0)
    for number in range(most):
        for case in cases if number % 2 == 0 else reversed(cases):
            if number < case.rounds_of(rounds):
                yield number, case


def measure(results: Results, name: str, size: Size, given: argparse.Namespace, pace: Pace) -> None:
    """Measure one table, and keep what was measured."""
    asked = given.peers.split(",") if given.peers else None
    cases = [case for case in TABLES[name].cases(size) if not asked or case.peer in asked]
    if not given.resume:
        results.forget(name)
    began_s = time.monotonic()
    for number, case in rounds_of(cases, size.rounds):
        key = (case.table, case.peer, case.case, number)
        if given.resume and results.has(key):
            continue
        case_began_s = time.monotonic()
        values = pace.measured(case.values)
        results.add(key, {**values, TOOK: round(time.monotonic() - case_began_s, 1)})
        if "error" in values:
            print(f"  {case.peer}, {case.case}: {values['error']}", file=sys.stderr, flush=True)
    print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)


def measured(results: Results, names: list[str], given: argparse.Namespace) -> None:
    """Measure some tables.

    Raises:
        MixedRunsError: It would go on with a run of something else.
    """
    size = SIZES[given.size]
    size = replace(size, rounds=given.rounds or size.rounds)
    machine = about.machine()
    if given.resume:
        about.check_alike([*report.places([results], names), ("this run", machine)])
    results.begin(machine)
    began_s = time.monotonic()
    tries = 1 if size.brief else TRIES
    with timed_on_each_processor() as slowest_ms:
        pace, pace_of_rates = Pace(fixed_work_ms, tries=tries), Pace(slowest_ms, tries=tries)
        for name in names:
            measure(results, name, size, given, pace_of_rates if TABLES[name].at_once else pace)
    took = f"{(time.monotonic() - began_s) / 60:.0f} minutes"
    told = f"{pace.told()}; of rates: {pace_of_rates.told()}"
    results.about = {**results.about, **about.load("after"), "took": took, about.PACE: told}
    results.save()


def main() -> None:
    """Measure what is asked for, print the tables, and write the page after a whole run."""
    given = options()
    quick = "" if given.size == "full" else f"-{given.size}"
    kept = given.build / f"benchmarks{quick}.json"
    runs = [Results(path) for path in given.report or (kept,)]
    names = given.tables or list(TABLES)
    whole = given.report is not None or not given.tables
    try:
        if given.report is None:
            measured(runs[-1], names, given)
        if whole:
            about.check_alike(report.places(runs))
    except about.MixedRunsError as error:
        sys.exit(f"python -m benchmarks: {error}")
    for name in names:
        print(report.printed(runs[-1], name))
    if whole:
        page = ROOT / "docs" / "benchmarks.md" if not quick else given.build / "benchmarks.md"
        report.write(runs, page)
        print(f"written to {page}")


if __name__ == "__main__":
    # Ended in order, it ends what it has started, and removes their folders.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    main()
