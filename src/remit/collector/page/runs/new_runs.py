"""What is new since a list of runs was shown."""

from __future__ import annotations

from typing import Final

import msgspec

from remit._base.ids import is_pfid
from remit.collector.errors import invalid_field
from remit.collector.page.runs.filters import PAGE_ROWS, of_address
from remit.collector.page.runs.rows import Run, rows_of
from remit.collector.page.shell import render
from remit.collector.page.visits import CHANGES, RUNS, Answer, Data, Visit
from remit.collector.store.ids import ms_of
from remit.collector.times import format_us

_MOST_ROUNDS: Final = 5
"""Answers of changes that are read for one question of what is new."""


def new_runs(visit: Visit) -> Answer:
    """Return how many runs are new since a list was shown, and its rows that changed since."""
    filters = of_address(visit)
    window = filters.window(visit)
    newest = visit.query.get("newest", "")
    if newest and not is_pfid(newest):
        raise invalid_field("newest", "must be the id of a run")
    since = visit.query.get("asof") if not newest else format_us(ms_of(newest) * 1000)
    criteria = filters.criteria(window) | {"since": since}
    fresh = [run["id"] for run in visit.api.get(RUNS, **criteria)["runs"] if run["id"] > newest]
    changed, cursor = _changed(visit, visit.query.get("cursor") or "")
    if not fresh and not changed and cursor == visit.query.get("cursor"):
        return Data(None)
    shown = rows_of(visit, [run for run in changed if run["id"] <= newest])
    values = {"zone": visit.zone, "with_day": False}
    rows = {row.id: render("run_rows.html", {"rows": [row], **values}).decode() for row in shown}
    answer = {"new": len(fresh), "more": len(fresh) >= PAGE_ROWS, "rows": rows, "cursor": cursor}
    return Data(msgspec.json.encode(answer))


def _changed(visit: Visit, cursor: str) -> tuple[list[Run], str]:
    """Return the runs that changed since a cursor, as far as few answers have them."""
    changed: dict[str, Run] = {}
    if not cursor:
        return [], str(visit.api.get(CHANGES)["cursor"])
    for _ in range(_MOST_ROUNDS):
        answer = visit.api.get(CHANGES, after=cursor)
        changed |= {run["id"]: run for run in answer["runs"]}
        cursor = answer["cursor"]
        if len(answer["runs"]) < PAGE_ROWS:
            return list(changed.values()), cursor
    # More than that changes between two questions: go on from now.
    return list(changed.values()), str(visit.api.get(CHANGES)["cursor"])
