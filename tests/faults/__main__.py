"""Write the matrix into the documentation: `python -m tests.faults`."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from tests.architecture.sources import ROOT
from tests.faults.matrix import RUNS, SPANS, Outcome, Report, bare, meet_all, moments

PAGE = ROOT / "docs" / "explanation" / "faults.md"
PART = re.compile(r"(<!-- measured -->\n).*(<!-- end -->)", re.DOTALL)
HEAD = (
    "| the back end | results | slowest call, loop held up | spans, runs delivered | counted | log "
    "| exit |\n|---|---|---|---|---|---|---|\n"
)


def row(name: str, outcome: Outcome, plain: Report) -> str:
    """Return one row of the table."""
    report = outcome.report
    same = "the same" if report["results"] == plain["results"] else "DIFFERENT"
    lines = f"{len(outcome.warnings)} of trouble, {len(outcome.recoveries)} of its end"
    felt = f"{report['slowest_ms']:.1f} ms, {report['lag_ms']:.0f} ms"
    delivered = f"{outcome.delivered} of {SPANS}, {outcome.finished} of {RUNS}"
    losses = ", ".join(f"{count} `{reason}`" for reason, count in sorted(outcome.losses.items()))
    exit_s = f"{outcome.exit_s:.2f} s"
    cells = [name, same, felt, delivered, losses or "nothing", lines, exit_s]
    return f"| {' | '.join(cells)} |\n"


def table() -> str:
    """Run everything; return the table."""
    plain = bare()
    cases = moments()
    outcomes = meet_all(cases, at_once=2)
    rows = [
        row(
            f"{case.name}{', from the middle on' if healthy else ''}",
            outcomes[case.name, healthy].result(),
            plain,
        )
        for case, healthy in cases
    ]
    nothing = (
        f"Without remit: slowest call {plain['slowest_ms']:.1f} ms, loop held up "
        f"{plain['lag_ms']:.0f} ms. {platform.python_implementation()} {platform.python_version()}."
    )
    return f"{HEAD}{''.join(rows)}\n{nothing}\n"


def write(page: Path) -> None:
    """Put the table into *page*."""
    made = table()
    page.write_text(PART.sub(lambda part: f"{part[1]}{made}{part[2]}", page.read_text()))


if __name__ == "__main__":
    write(PAGE)
