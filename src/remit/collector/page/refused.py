"""Refused: the cases by time, and one of them whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

from remit.collector.errors import RequestError
from remit.collector.page import refusals, tables
from remit.collector.page.choices import (
    address_of,
    agent_names,
    all_valid,
    chosen_in,
    messages,
    one_of,
    window_in,
)
from remit.collector.page.formats import day
from remit.collector.page.refusals import KINDS, Case, Detail
from remit.collector.page.visits import Answer, Data, Page, Redirect, Visit
from remit.collector.page.windows import BEGINS, LAST_DAY, Window

PATH: Final = "/refused"
USUAL: Final = "7d"
MOST_LINES: Final = 1_000
"""Most cases of a table for a spreadsheet."""
_COUNTS: Final = "/api/remit/v1/counts"
_NAMES: Final = ("agent", "kind", "from", "to")
_KINDS: Final = {"": "any", **KINDS}
_BEGINS: Final = {name: BEGINS[name] for name in (LAST_DAY, "7d", "30d", "all")}
_COLUMNS: Final = ("kind", "at", "agent_id", "agent", "run", "step", "what")


def show(visit: Visit) -> Answer:
    """Show the cases."""
    chosen = {name: visit.query.get(name, "") for name in _NAMES}
    try:
        window, wanted = _wanted(visit, chosen)
        names = agent_names(visit)
        cases, has_more = refusals.listed(visit.api, names, wanted, chosen["kind"])
    except RequestError as refusal:
        return _form(visit, chosen, refusal)
    detail = _detail(visit, names, cases)
    numbers = _numbers(visit, wanted)
    values: dict[str, object] = {
        **_line(chosen, names),
        "errors": {},
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
        "own": partial(_address, chosen),
        "older": address_of(PATH, {**chosen, "to": cases[-1].at}) if has_more else None,
        "csv": address_of(f"{PATH}.csv", chosen),
    }
    return Page("refused.html", values)


def choose(visit: Visit) -> Answer:
    """Redirect to the address that has the filters of the form."""
    try:
        chosen = chosen_in(visit, _NAMES)
    except RequestError as refusal:
        entered = {name: visit.form.get(name, "") for name in _NAMES}
        return _form(visit, entered, refusal)
    usual = {"from": USUAL, "to": "now"}
    return Redirect(
        address_of(PATH, {name: text for name, text in chosen.items() if text != usual.get(name)})
    )


def csv(visit: Visit) -> Answer:
    """Return the newest cases as a table for a spreadsheet, which says if there are older ones."""
    chosen = {name: visit.query.get(name, "") for name in _NAMES}
    _, wanted = _wanted(visit, chosen)
    names = agent_names(visit)
    cases, has_more = refusals.listed(visit.api, names, wanted, chosen["kind"], MOST_LINES)
    lines = [
        (KINDS[case.kind], case.at, case.agent_id, case.agent, case.run_id, case.step, case.text)
        for case in cases
    ]
    if has_more:
        end = f"only the newest {MOST_LINES:,} are here: choose a shorter time for the others"
        lines.append(("", "", "", "", "", "", end))
    return Data(tables.csv(_COLUMNS, lines), tables.CSV, "refused.csv")


def _wanted(visit: Visit, chosen: Mapping[str, str]) -> tuple[Window, dict[str, str | None]]:
    """Return the time, and the filters as the API reads them.

    Raises:
        RequestError: 422, a filter is not valid.
    """
    all_valid(
        partial(one_of, chosen, "kind", KINDS),
        partial(window_in, visit, chosen, USUAL),
    )
    window = window_in(visit, chosen, USUAL)
    agent_id = chosen.get("agent") or None
    return window, {"agent_id": agent_id, "since": window.since, "until": window.until}


def _form(visit: Visit, chosen: Mapping[str, str], refusal: RequestError) -> Answer:
    """Return the form alone, with what is wrong in it."""
    values = {**_line(chosen, agent_names(visit)), "errors": messages(refusal)}
    return Page("refused.html", values, refusal.status)


def _line(chosen: Mapping[str, str], names: Mapping[str, str]) -> dict[str, object]:
    ends = {"now": "now"}
    return {
        "chosen": chosen,
        "names": names,
        "agent_name": names.get(chosen.get("agent", ""), chosen.get("agent", "")),
        "kinds": _KINDS,
        "begins": _BEGINS,
        "ends": ends,
        "usual": USUAL,
    }


def _address(chosen: Mapping[str, str], **changes: str) -> str:
    return address_of(PATH, {**chosen, **changes})


def _detail(visit: Visit, names: Mapping[str, str], cases: Sequence[Case]) -> Detail | None:
    """Return the case of the address, else the first of the list that is a step."""
    wanted = visit.query.get("span")
    known = {case.span_id: case.kind for case in cases if case.span_id is not None}
    span_id = wanted or next(iter(known), None)
    if span_id is None:
        return None
    return refusals.detail(visit.api, names, span_id, known.get(span_id))


def _numbers(visit: Visit, wanted: Mapping[str, str | None]) -> list[tuple[int, str]]:
    """Return how many cases of each kind there are in the time, extended to whole hours."""
    spans = visit.api.get(_COUNTS, by="agent", **wanted)["counts"]
    runs = visit.api.get(_COUNTS, of="runs", by="status", **wanted)["counts"]
    sums = {
        kind: sum(int(group[kind]) for group in spans)
        for kind in (refusals.DENIED, refusals.BEYOND, refusals.INVALID)
    }
    sums[refusals.TERMINATED] = sum(
        int(group["runs"]) for group in runs if group["status"] == refusals.TERMINATED
    )
    shown = {**KINDS, refusals.BEYOND: "beyond the remit"}
    return [(sums[kind], words) for kind, words in shown.items()]


def _known(visit: Visit) -> dict[str, list[str]]:
    """Return the names of the agents that refused a step at any time, and that observed one.

    The setting of an agent is not recorded: what it does with a violation tells it.
    """
    groups: list[dict[str, Any]] = visit.api.get(_COUNTS, by="agent")["counts"]
    denying = [group["agent"]["name"] for group in groups if group["denied"]]
    observing = [
        group["agent"]["name"] for group in groups if group["beyond"] and not group["denied"]
    ]
    known = {*denying, *observing}
    silent = [group["agent"]["name"] for group in groups if group["agent"]["name"] not in known]
    return {"deny": denying, "observe": observing, "silent": silent}


def _often(
    visit: Visit, wanted: Mapping[str, str | None], detail: Detail | None
) -> tuple[int, str] | None:
    """Return how often the same step had such a case in the time, and where they are."""
    if detail is None:
        return None
    case = detail.case
    query = {**wanted, "agent_id": case.agent_id, "by": "type"}
    groups: list[dict[str, Any]] = visit.api.get(_COUNTS, **query)["counts"]
    of_type = (group for group in groups if group["type"] == detail.schema_name)
    times = sum(int(group[case.kind]) for group in of_type)
    shown = {"agent": case.agent_id, "kind": case.kind, "from": visit.query.get("from", "")}
    return times, address_of(PATH, shown)
