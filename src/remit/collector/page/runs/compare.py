"""Two runs side by side, and the form that takes their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, islice
from typing import Final, NamedTuple
from urllib.parse import urlencode

from remit.collector.errors import RequestError, invalid_field
from remit.collector.page import formats
from remit.collector.page.runs.comparison import Pair, Run, TypeChange, changes_of, summary_of
from remit.collector.page.runs.rows import listed_run, steps_in
from remit.collector.page.runs.sequences import (
    AlignedRow,
    Ran,
    carriers_of,
    rows_of,
    sequence_of,
    without_the_same,
)
from remit.collector.page.scope import run_in
from remit.collector.page.tables import csv_file
from remit.collector.page.visits import RUNS, SPANS, Api, Html, Redirect, Response, Visit
from remit.collector.store.questions.run_types import TypeCounts, run_types

STEPS: Final = 2_000
"""Runs with more steps are compared by type only."""
PAGE: Final = 1_000
_LEAST_WIDTH: Final = 1.0
_COLUMNS: Final[Mapping[str, Callable[[TypeChange], object]]] = {
    "step": lambda change: change.older.name,
    "difference": lambda change: change.why,
    "older_count": lambda change: change.older.steps,
    "newer_count": lambda change: change.newer.steps,
    "older_time_us": lambda change: change.older.duration_us,
    "newer_time_us": lambda change: change.newer.duration_us,
    "older_failed": lambda change: change.older.failed,
    "newer_failed": lambda change: change.newer.failed,
    "older_denied": lambda change: change.older.denied,
    "newer_denied": lambda change: change.newer.denied,
    "older_redacted": lambda change: change.older.redacted,
    "newer_redacted": lambda change: change.newer.redacted,
}


class ComparedBar(NamedTuple):
    """The bar of a step, in percent of the longest step."""

    x: str
    width: str
    kind: str


class ComparedRow(NamedTuple):
    """A row of the sequences with its bars.

    Attributes:
        older: The bar of the older run; None if the step did not run.
    """

    row: AlignedRow
    kind: str
    older: ComparedBar | None = None
    newer: ComparedBar | None = None


def compare(visit: Visit) -> Response:
    """Show two runs side by side, or the form; `b` alone is compared with the run before it."""
    first, second = (visit.query.get(name, "").strip() for name in ("a", "b"))
    if not first and not second:
        return _form(visit, None)
    try:
        if not first or not second:
            return _with_the_one_before(visit, first or second)
        if first == second:
            raise invalid_field("b", "must differ from the first run")
        return _compared(visit, first, second)
    except RequestError as rejection:
        return _form(visit, rejection)


def _form(visit: Visit, rejection: RequestError | None) -> Html:
    values = {"a": visit.query.get("a", ""), "b": visit.query.get("b", ""), "rejection": rejection}
    return Html("compare_form.html", values, 200 if rejection is None else rejection.status)


def _with_the_one_before(visit: Visit, run_id: str) -> Redirect:
    run = listed_run(visit.api, run_id)
    response = visit.api.get(RUNS, agent_id=run["agent"]["id"], before=run_id, limit="1")
    if not response["runs"]:
        raise invalid_field("a", f"must be a run: {run['agent']['name']} has none before this one")
    return Redirect(f"/runs/compare?{urlencode({'a': response['runs'][0]['id'], 'b': run_id})}")


def _compared(visit: Visit, first: str, second: str) -> Response:
    api = visit.api
    older, newer = sorted(
        (listed_run(api, first), listed_run(api, second)),
        key=lambda run: (run["started_at"] or "9", run["id"]),
    )
    pair = Pair(older, newer, _version(api, older), _version(api, newer))
    before, after = (_counts(api, run["id"]) for run in (older, newer))
    has_sequence = all(run["span_counts"]["total"] <= STEPS for run in (older, newer))
    first_ran, then_ran = (
        _sequence(api, run["id"]) if has_sequence else [] for run in (older, newer)
    )
    carriers = carriers_of(then_ran if pair.failed_newer else first_ran, pair.origin)
    rows = rows_of(first_ran, then_ran, pair.origin, failed_newer=pair.failed_newer)
    order = [row.shown.name for row in rows if row.shown is not None]
    changes = changes_of(pair, before, after, carriers, order)
    if visit.query.get("as") == "csv":
        name = f"compare-{older['id'][-6:]}-{newer['id'][-6:]}.csv"
        return csv_file(name, _COLUMNS, changes)
    every = visit.query.get("steps") == "all"
    least_us = pair.least_us([*before.values(), *after.values()])
    shown = rows if every else without_the_same(rows, least_us)
    scale = max((step.took_us or 0 for step in (*first_ran, *then_ran)), default=0)
    same_agent = older["agent"]["id"] == newer["agent"]["id"]
    return Html(
        "compare.html",
        {
            "pair": pair,
            "runs": (
                ("older", older, pair.older_version),
                ("newer", newer, pair.newer_version),
            ),
            "counts": [steps_in(run) for run in (older, newer)],
            "took": [
                formats.duration(formats.between(run["started_at"], run["finished_at"]))
                for run in (older, newer)
            ],
            "agent": newer["agent"] if same_agent else None,
            "summary": summary_of(pair, changes, rows),
            "different": [change for change in changes if change.rank is not None],
            "same": [change for change in changes if change.rank is None],
            "lines": [_line(row, scale, least_us) for row in shown],
            "skips": any(row.skipped for row in shown),
            "scale": scale,
            "has_sequence": has_sequence,
            "most": STEPS,
            "query": urlencode({"a": older["id"], "b": newer["id"]}),
        },
    )


def _version(api: Api, run: Run) -> str:
    """Return the name of the version of an agent's code."""
    version = api.get(f"/api/v1/agent_version/{run['agent_version_id']}")["details"]
    return str(version["external_identifier"] or version["name"] or formats.tail(version["id"]))


def _counts(api: Api, run_id: str) -> dict[str, TypeCounts]:
    """Return the steps of a run by type."""
    return api.read(lambda ctx: run_types(ctx.tx, run_in(ctx, run_id).ref))


def _sequence(api: Api, run_id: str) -> list[Ran]:
    pages = api.pages(SPANS, run_id=run_id, limit=str(PAGE))
    spans = chain.from_iterable(page["spans"] for page in islice(pages, STEPS // PAGE + 1))
    return sequence_of(list(spans))


def _line(row: AlignedRow, scale: int, least_us: int) -> ComparedRow:
    if row.skipped:
        return ComparedRow(row, "gap")
    kind = "first" if row.first else "eq" if row.is_same(least_us) else "dif"
    return ComparedRow(row, kind, _bar(row.older, scale, from_end=True), _bar(row.newer, scale))


def _bar(step: Ran | None, scale: int, *, from_end: bool = False) -> ComparedBar | None:
    if step is None:
        return None
    width = max(100 * (step.took_us or 0) / scale, _LEAST_WIDTH) if scale else _LEAST_WIDTH
    kinds = {"failed": "bad", "cancelled": "off", "active": "now", "pending": "hat"}
    kind = "hatred" if step.denied else kinds.get(step.status, "")
    return ComparedBar(f"{100 - width if from_end else 0:.1f}%", f"{width:.1f}%", kind)
