"""Print what came of every fault of a back end: `python -m tests.faults`."""

from __future__ import annotations

import os
import platform
from collections import Counter

from tests.faults.matrix import RUNS, SPANS, Outcome, Report, bare, meet_all, moments

AT_ONCE = 2
HEAD = (
    "| the back end | results | slowest call | loop held up | memory | spans, runs delivered "
    "| counted | told to the server | log | exit |\n|---|---|---|---|---|---|---|---|---|---|\n"
)


def row(name: str, outcome: Outcome, plain: Report) -> str:
    """Return one row of the table."""
    report = outcome.report
    first_call_ms, first_lag_ms = report["first_ms"]
    cells = [
        name,
        "the same" if report["results"] == plain["results"] else "DIFFERENT",
        f"{first_call_ms:.0f} ms, then {report['slowest_ms']:.1f} ms",
        f"{first_lag_ms:.0f} ms, then {report['lag_ms']:.0f} ms",
        f"+{report['memory_mib'] - plain['memory_mib']:.0f} MiB",
        f"{outcome.delivered} of {SPANS}, {outcome.finished} of {RUNS}",
        counts(outcome.losses),
        counts(outcome.told),
        f"{len(outcome.warnings)} of trouble, {len(outcome.recoveries)} of its end",
        f"{outcome.exit_s:.2f} s",
    ]
    return f"| {' | '.join(cells)} |\n"


def counts(losses: Counter[str]) -> str:
    """Return what was lost in words, by reason."""
    return ", ".join(f"{count} `{reason}`" for reason, count in sorted(losses.items())) or "nothing"


def table() -> str:
    """Run everything; return the table."""
    plain = bare()
    cases = moments()
    outcomes = meet_all(cases, AT_ONCE)
    rows = [
        row(
            f"{case.name}{', from the middle on' if healthy else ''}",
            outcomes[case.name, healthy].result(),
            plain,
        )
        for case, healthy in cases
    ]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    nothing = (
        f"Without remit: slowest call {plain['slowest_ms']:.1f} ms, loop held up "
        f"{plain['lag_ms']:.0f} ms. {python}, {AT_ONCE} programs at once, {os.cpu_count()} cores."
    )
    return f"{HEAD}{''.join(rows)}\n{nothing}\n"


if __name__ == "__main__":
    print(table(), end="")  # noqa: T201 - what it is run for
