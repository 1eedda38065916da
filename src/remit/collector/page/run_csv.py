"""Runs as a table for a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from remit.collector.page.run_filters import PAGE_ROWS, Filters
from remit.collector.page.run_rows import Run, steps_in
from remit.collector.page.tables import csv_file
from remit.collector.page.visits import RUNS, Answer, Visit

MOST_ROWS: Final = 100_000
"""Most runs in one file."""
COLUMNS: Final[Mapping[str, Callable[[Run], object]]] = {
    "run": lambda run: run["id"],
    "agent_id": lambda run: run["agent"]["id"],
    "agent": lambda run: run["agent"]["name"],
    "status": lambda run: run["status"],
    "purpose": lambda run: run["purpose"],
    "started_at": lambda run: run["started_at"],
    "finished_at": lambda run: run["finished_at"],
    "steps": lambda run: steps_in(run).here,
    "recorded_steps": lambda run: steps_in(run).recorded,
    "failed_steps": lambda run: steps_in(run).failed,
    "handled_steps": lambda run: run["handled"],
    "refused_steps": lambda run: run["denied"],
    "marks": lambda run: " ".join(run["flags"]),
    "tokens_in": lambda run: run["tokens"]["in"],
    "tokens_out": lambda run: run["tokens"]["out"],
    "failed_step": lambda run: _failure(run).get("step"),
    "failure_type": lambda run: _failure(run).get("type"),
    "failure_place": lambda run: _failure(run).get("place"),
    "failure_text": lambda run: _failure(run).get("text"),
    "fingerprint": lambda run: _failure(run).get("fingerprint"),
    "termination_reason": lambda run: run["termination_reason"],
    "summary": lambda run: run["summary"],
    "external_identifier": lambda run: run["external_identifier"],
    "caused_by": lambda run: run["caused_by"],
    "erased_at": lambda run: run["erased_at"],
}
"""How the cells of a run are read, by the names of their columns."""


def table(visit: Visit) -> Answer:
    """Return the chosen runs as a table, at most `MOST_ROWS`."""
    filters = Filters.of(visit.query)
    criteria = filters.criteria(filters.window(visit))
    return csv_file("runs.csv", COLUMNS, _runs(visit, criteria))


def _runs(visit: Visit, criteria: Mapping[str, str | None]) -> Iterator[Run]:
    before: str | None = None
    for _ in range(MOST_ROWS // PAGE_ROWS):
        answer = visit.api.get(RUNS, **criteria, before=before)
        yield from answer["runs"]
        before = answer["next"]
        if before is None:
            return


def _failure(run: Run) -> Mapping[str, object]:
    return run["failure"] or {}
