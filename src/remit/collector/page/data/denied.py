"""Denied: the cases by time, and one of them whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

from remit.collector.errors import RequestError
from remit.collector.page.data import denials
from remit.collector.page.data.denials import KINDS, MOST_CASES, Case, Detail
from remit.collector.page.filters import FilterLine, Filters, agent_names
from remit.collector.page.formats import day
from remit.collector.page.marks import MARKS
from remit.collector.page.tables import csv_file
from remit.collector.page.visits import COUNTS, Html, Response, Visit
from remit.collector.page.windows import BEGINS, LAST_DAY, NOW, Window
from remit.collector.store.questions.holds import denied_by_agent

MOST_LINES: Final = 1_000
"""Most cases of a table for a spreadsheet."""
FILTERS: Final = FilterLine(
    path="/denied",
    template="denied.html",
    names=("agent", "kind", "from", "to"),
    options={
        "kind": {"": "any", **KINDS},
        "from": {name: BEGINS[name] for name in (LAST_DAY, "7d", "30d", "all")},
        "to": {NOW: NOW},
    },
    begin="7d",
)
_COLUMNS: Final[Mapping[str, Callable[[Case], object]]] = {
    "kind": lambda case: KINDS.get(case.kind, ""),
    "at": lambda case: case.at,
    "agent_id": lambda case: case.agent_id,
    "agent": lambda case: case.agent,
    "run": lambda case: case.run_id,
    "step": lambda case: case.step,
    "what": lambda case: case.text,
    "ended_at": lambda case: case.ended,
}


def show(visit: Visit) -> Response:
    """Show the cases."""
    filters, before = FILTERS.of(visit.query), visit.query.get("before", "")
    try:
        window, wanted = _wanted(visit, filters)
        page = denials.listed(visit.api, wanted, filters.get("kind"), MOST_CASES, before)
    except RequestError as rejection:
        return filters.rejected(visit, rejection)
    cases = page.cases
    detail = _detail(visit, cases)
    numbers = _numbers(visit, wanted)
    values: dict[str, object] = {
        **filters.values(agent_names(visit)),
        "window": window,
        "days": [
            (name, list(of_day))
            for name, of_day in groupby(cases, key=lambda case: day(case.at, visit.zone))
        ],
        "shown": len(cases),
        "detail": detail,
        "chosen_span": "span" in visit.query,
        "often": _often(visit, wanted, detail),
        "numbers": numbers,
        "known": _known(visit),
        "own": partial(filters.but, before=before),
        "older": filters.but(before=page.next).address() if page.next else None,
        "newest": filters.address() if before else None,
        "csv": filters.address(".csv"),
    }
    return Html("denied.html", values)


def csv(visit: Visit) -> Response:
    """Return the newest cases as a table for a spreadsheet, which says if there are older ones."""
    filters = FILTERS.of(visit.query)
    _, wanted = _wanted(visit, filters)
    page = denials.listed(visit.api, wanted, filters.get("kind"), MOST_LINES)
    cases = list(page.cases)
    if page.next:
        end = (
            f"only the newest {MOST_LINES:,} entries are included: choose a shorter period to get "
            "the rest"
        )
        cases.append(Case("", "", "", "", "", None, "", end))
    return csv_file("denied.csv", _COLUMNS, cases)


def _wanted(visit: Visit, filters: Filters) -> tuple[Window, dict[str, str | None]]:
    """Return the time, and the filters as the API reads them.

    Raises:
        RequestError: 422, a filter is not valid.
    """
    window = filters.window(visit)
    agent_id = filters.get("agent") or None
    return window, {"agent_id": agent_id, "since": window.since, "until": window.until}


def _detail(visit: Visit, cases: Sequence[Case]) -> Detail | None:
    """Return the case of the address, else the first of the list that is a step."""
    wanted = visit.query.get("span")
    known = {case.span_id: case.kind for case in cases if case.span_id is not None}
    span_id = wanted or next(iter(known), None)
    if span_id is None:
        return None
    return denials.detail(visit.api, span_id, known.get(span_id))


def _numbers(visit: Visit, wanted: Mapping[str, str | None]) -> list[tuple[int, str]]:
    """Return how many cases of each kind there are in the time, extended to whole hours."""
    spans = visit.api.get(COUNTS, by="agent", **wanted)["counts"]
    runs = visit.api.get(COUNTS, of="runs", by="status", **wanted)["counts"]
    sums = {
        kind: sum(int(group[kind]) for group in spans)
        for kind in (denials.DENIED, denials.VIOLATION, denials.INVALID)
    }
    sums[denials.TERMINATED] = sum(
        int(group["runs"]) for group in runs if group["status"] == denials.TERMINATED
    )
    plural = {name: kind.plural for name, kind in MARKS.items()}
    return [
        (sums[name], words if sums[name] == 1 else plural.get(name, words))
        for name, words in KINDS.items()
    ]


def _known(visit: Visit) -> dict[str, list[str]]:
    """Return the names of the agents that denied a step at any time, and that observed one.

    The setting of an agent is not recorded: a denied or observed violation shows it. A hold denies
    steps under every setting.
    """
    groups: list[dict[str, Any]] = visit.api.get(COUNTS, by="agent")["counts"]
    held = visit.api.read(lambda ctx: denied_by_agent(ctx.tx, ctx.caller.account_id))
    denied = {
        group["agent"]["id"]: group["denied"] > held.get(group["agent"]["id"], 0)
        for group in groups
    }
    denying = [group["agent"]["name"] for group in groups if denied[group["agent"]["id"]]]
    observing = [
        group["agent"]["name"]
        for group in groups
        if group["violation"] and not denied[group["agent"]["id"]]
    ]
    known = {*denying, *observing}
    unknown = [group["agent"]["name"] for group in groups if group["agent"]["name"] not in known]
    return {"deny": denying, "observe": observing, "unknown": unknown}


def _often(
    visit: Visit, wanted: Mapping[str, str | None], detail: Detail | None
) -> tuple[int, str] | None:
    """Return how often the same step had such a case in the time, and where they are."""
    if detail is None:
        return None
    case = detail.case
    query = {**wanted, "agent_id": case.agent_id, "by": "type"}
    groups: list[dict[str, Any]] = visit.api.get(COUNTS, **query)["counts"]
    of_type = (group for group in groups if group["type"] == detail.schema_name)
    times = sum(int(group[case.kind]) for group in of_type)
    shown = {"agent": case.agent_id, "kind": case.kind, "from": visit.query.get("from", "")}
    return times, FILTERS.of(shown).address()
