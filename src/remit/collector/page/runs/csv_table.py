"""Runs as a table for a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from remit.collector.page.runs.filters import PAGE_ROWS, of_address
from remit.collector.page.runs.rows import Run, steps_in
from remit.collector.page.tables import CSV, csv_parts
from remit.collector.page.visits import RUNS, Answer, Api, Pieces, Visit

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
    """Return the chosen runs as a table, at most `MOST_ROWS`, in pieces."""
    filters = of_address(visit)
    criteria = filters.criteria(filters.window(visit))
    newest = visit.api.get(RUNS, **criteria)
    return Pieces(csv_parts(COLUMNS, _pages(visit.api, criteria, newest)), CSV, "runs.csv")


def _pages(
    api: Api, criteria: Mapping[str, str | None], newest: Mapping[str, Any]
) -> Iterator[list[Run]]:
    """Yield the runs of *newest*, a page of the list, and of the pages after it."""
    page = newest
    for _ in range(MOST_ROWS // PAGE_ROWS):
        yield page["runs"]
        if page["next"] is None:
            return
        page = api.get(RUNS, **criteria, before=page["next"])


def _failure(run: Run) -> Mapping[str, object]:
    return run["failure"] or {}
