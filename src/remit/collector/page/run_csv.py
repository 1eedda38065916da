"""Runs as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Final

from remit.collector.page.run_filters import PAGE_ROWS, RUNS, Filters
from remit.collector.page.run_rows import Run
from remit.collector.page.visits import Answer, Data, Visit

MOST_ROWS: Final = 100_000
"""Most runs in one file."""
_COLUMNS: Final = (
    "run",
    "agent_id",
    "agent",
    "status",
    "purpose",
    "started_at",
    "finished_at",
    "steps",
    "failed_steps",
    "handled_steps",
    "refused_steps",
    "marks",
    "tokens_in",
    "tokens_out",
    "failed_step",
    "failure_type",
    "failure_place",
    "failure_text",
    "fingerprint",
    "termination_reason",
    "summary",
    "external_identifier",
    "caused_by",
    "erased_at",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def table(visit: Visit) -> Answer:
    """Return the chosen runs as a table, at most `MOST_ROWS`."""
    filters = Filters.of(visit.query)
    criteria = filters.criteria(filters.window(visit))
    parts = [header()]
    before: str | None = None
    for _ in range(MOST_ROWS // PAGE_ROWS):
        answer = visit.api.get(RUNS, **criteria, before=before)
        parts.append(lines_of(answer["runs"]))
        before = answer["next"]
        if before is None:
            break
    return Data("".join(parts).encode(), "text/csv; charset=utf-8", "runs.csv")


def header() -> str:
    """Return the line with the names of the columns."""
    return _lines([_COLUMNS])


def lines_of(runs: Iterable[Run]) -> str:
    """Return a line for each run."""
    return _lines(_row(run) for run in runs)


def _row(run: Run) -> list[object]:
    failure: Mapping[str, object] = run["failure"] or {}
    return [
        run["id"],
        run["agent"]["id"],
        run["agent"]["name"],
        run["status"],
        run["purpose"],
        run["started_at"],
        run["finished_at"],
        run["span_counts"]["total"],
        run["span_counts"]["failed"],
        run["handled"],
        run["denied"],
        " ".join(run["flags"]),
        run["tokens"]["in"],
        run["tokens"]["out"],
        *(failure.get(name) for name in ("step", "type", "place", "text", "fingerprint")),
        run["termination_reason"],
        run["summary"],
        run["external_identifier"],
        run["caused_by"],
        run["erased_at"],
    ]


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Return a cell; a text that a spreadsheet would take for a formula begins with `'`."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
