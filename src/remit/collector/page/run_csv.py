"""Runs as a table for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from remit.collector.page.run_filters import PAGE_ROWS, Filters
from remit.collector.page.run_rows import Run
from remit.collector.page.tables import csv_file
from remit.collector.page.visits import RUNS, Answer, Visit

MOST_ROWS: Final = 100_000
"""Most runs in one file."""
COLUMNS: Final = (
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


def table(visit: Visit) -> Answer:
    """Return the chosen runs as a table, at most `MOST_ROWS`."""
    filters = Filters.of(visit.query)
    criteria = filters.criteria(filters.window(visit))
    return csv_file("runs.csv", COLUMNS, map(row_of, _runs(visit, criteria)))


def _runs(visit: Visit, criteria: Mapping[str, str | None]) -> Iterator[Run]:
    before: str | None = None
    for _ in range(MOST_ROWS // PAGE_ROWS):
        answer = visit.api.get(RUNS, **criteria, before=before)
        yield from answer["runs"]
        before = answer["next"]
        if before is None:
            return


def row_of(run: Run) -> list[object]:
    """Return the cells of a run."""
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
