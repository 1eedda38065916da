"""The list of runs: what failed and how the others went, with bars by hour, and what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from remit.collector.domain.params import validated
from remit.collector.domain.questions import RunsQuery, rank_runs
from remit.collector.errors import RequestError, invalid
from remit.collector.page import run_csv, run_filters
from remit.collector.page.formats import day
from remit.collector.page.hours import Bars, bars_of
from remit.collector.page.run_filters import COUNTS, RUNS, Filters, of_form
from remit.collector.page.run_rows import Run, RunRow, row_of
from remit.collector.page.runs_part import Part, found_in_time
from remit.collector.page.runs_without import Without, without_each
from remit.collector.page.shell import render
from remit.collector.page.visits import Answer, Data, Page, Redirect, Visit
from remit.collector.page.windows import ANY, AT, BEGINS, Window, address_of, local
from remit.collector.store.ids import ms_of
from remit.collector.store.questions import MOST_RANKED
from remit.collector.store.subjects import ROOT_SPAN
from remit.collector.times import format_us

CHANGES: Final = "/api/remit/v1/changes"
SPANS: Final = "/api/remit/v1/spans"
PAGE_ROWS: Final = 100
_WORST: Final = 3
_MOST_OPEN: Final = 10
"""Running runs of which the open step is looked up."""
_MOST_NAMES: Final = 500
"""Agents that the form suggests."""
_MOST_ROUNDS: Final = 5
"""Answers of changes that are read for one question of what is new."""
_REFUSED: Final = (
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.BAD_REQUEST,
)
_FIELDS: Final = {api: name for name, api in run_filters.API_NAMES.items()}


class _Numbers(NamedTuple):
    """What is counted in the time of a list.

    Attributes:
        bars: Runs by hour; None without any.
        worst: Agents with most failed runs.
        others: How many other agents, their failed runs, and all their runs.
        names: Names of agents, those with most runs first.
        agents: The number of agents.
    """

    bars: Bars | None
    worst: Sequence[Mapping[str, Any]]
    others: tuple[int, int, int]
    names: Sequence[str]
    agents: int


_NOTHING: Final = _Numbers(None, (), (0, 0, 0), (), 0)


class _Listed(NamedTuple):
    """The runs of a page.

    Attributes:
        runs: The runs.
        next: Where the next page begins; None on the last one.
        part: How far the search went before its time was over; None if it ended.
        is_whole: Whether all runs were compared, in an order by a measure.
    """

    runs: Sequence[Run]
    next: str | None = None
    part: Part | None = None
    is_whole: bool = True


def runs(visit: Visit) -> Answer:
    """Show the runs that the filters of the address choose, the newest ones first."""
    filters = Filters.of(visit.query)
    try:
        window = _checked(visit, filters)
        cursor = visit.api.get(CHANGES)["cursor"]
        listed = _listed(visit, filters, window)
        numbers = _numbers(visit, filters, window)
    except RequestError as refusal:
        if refusal.status not in _REFUSED:
            raise
        return _form_again(visit, filters, refusal)
    without: Without | None = None
    if not listed.runs and listed.part is None and not filters.get("before"):
        is_empty = not visit.api.get(RUNS, limit="1")["runs"]
        if is_empty:
            return Page("runs_empty.html", {"cursor": cursor})
        without = without_each(visit, filters, window)
    rows = _rows(visit, listed.runs)
    is_live = filters.end == "now" and not filters.get("before") and filters.order == "newest"
    following = filters.but(before=listed.next) if listed.next else None
    values = {
        **_form(visit, filters, numbers),
        "errors": {},
        "days": _days(rows, visit, filters),
        "shown": len(rows),
        "older": following.address() if following else None,
        "newest": filters.but().address() if filters.get("before") else None,
        "part": listed.part,
        "onward": _onward(filters, listed.part),
        "looked": None if listed.part is None else local(listed.part.until_us, visit.zone),
        "today": local(visit.now_us, visit.zone).date(),
        "is_whole": listed.is_whole,
        "most_ranked": MOST_RANKED,
        "most_csv": run_csv.MOST_ROWS,
        "csv": filters.but().address("/runs.csv"),
        "without": without,
        "window": window,
        "bars": numbers.bars,
        "bar_address": lambda bar: filters.but(
            **{"from": address_of(bar.since_us), "to": address_of(bar.until_us), "order": None}
        ).address(),
        "all_counted": [name for name in filters.narrowing if name not in run_filters.COUNTED],
        "worst": numbers.worst,
        "worst_address": lambda agent: filters.but(agent=agent, status="failed").address(),
        "others": numbers.others,
        "live": filters.but().address("/runs/new") if is_live else None,
        "cursor": cursor,
        "asof": format_us(visit.now_us),
        "again": filters.but().address(),
    }
    return Page("runs.html", values)


def choose(visit: Visit) -> Answer:
    """Lead to the address of the filters that a form chose."""
    try:
        filters = of_form(visit)
        filters.window(visit)
    except RequestError as refusal:
        if refusal.status not in _REFUSED:
            raise
        typed = {
            **visit.form,
            **{
                n: visit.form[f"{n}_{AT}"]
                for n in ("from", "to")
                if visit.form.get(n) == AT and visit.form.get(f"{n}_{AT}")
            },
        }
        return _form_again(visit, Filters.of(typed), refusal)
    return Redirect(filters.address())


def new_runs(visit: Visit) -> Answer:
    """Return how many runs are new since a list was shown, and its rows that changed since."""
    filters = Filters.of(visit.query)
    window = filters.window(visit)
    newest = visit.query.get("newest", "")
    since = visit.query.get("asof") if not newest else format_us(ms_of(newest) * 1000)
    criteria = filters.criteria(window) | {"since": since}
    fresh = [run["id"] for run in visit.api.get(RUNS, **criteria)["runs"] if run["id"] > newest]
    changed, cursor = _changed(visit, visit.query.get("cursor") or "")
    if not fresh and not changed and cursor == visit.query.get("cursor"):
        return Data(None)
    shown = _rows(visit, [run for run in changed if run["id"] <= newest])
    values = {"zone": visit.zone, "with_day": False}
    rows = {row.id: render("run_row.html", {"row": row, **values}).decode() for row in shown}
    answer = {"new": len(fresh), "more": len(fresh) >= PAGE_ROWS, "rows": rows, "cursor": cursor}
    return Data(msgspec.json.encode(answer))


def csv(visit: Visit) -> Answer:
    """Return the chosen runs as a table, at most `run_csv.MOST_ROWS`."""
    filters = Filters.of(visit.query)
    criteria = filters.criteria(filters.window(visit))
    parts = [run_csv.header()]
    before: str | None = None
    for _ in range(run_csv.MOST_ROWS // PAGE_ROWS):
        answer = visit.api.get(RUNS, **criteria, before=before)
        parts.append(run_csv.lines_of(answer["runs"]))
        before = answer["next"]
        if before is None:
            break
    return Data("".join(parts).encode(), "text/csv; charset=utf-8", "runs.csv")


def _checked(visit: Visit, filters: Filters) -> Window:
    """Return the time of a list.

    Raises:
        RequestError: 422, with all that is wrong in the filters.
    """
    errors: dict[str, Sequence[str]] = {}
    window = Window(None, None, "")
    try:
        window = filters.window(visit)
    except RequestError as refusal:
        errors |= refusal.errors or {}
    for check in (lambda: filters.order, lambda: _query(filters, window)):
        try:
            check()
        except RequestError as refusal:
            errors |= refusal.errors or {}
    if errors:
        raise invalid(errors)
    return window


def _query(filters: Filters, window: Window) -> RunsQuery:
    values = {name: value for name, value in filters.criteria(window).items() if value}
    return validated(RunsQuery, values)


def _rows(visit: Visit, runs: Sequence[Run]) -> list[RunRow]:
    """Return runs as rows, with the open step of the first ones that are running."""
    running = [run["id"] for run in runs if run["status"] == "active"][:_MOST_OPEN]
    steps = {run_id: _open_step(visit, run_id) for run_id in running}
    return [row_of(run, visit.now_us, steps.get(run["id"])) for run in runs]


def _open_step(visit: Visit, run_id: str) -> str | None:
    """Return the name of the step that a run is in; None if it is in none."""
    try:
        answer = visit.api.get(SPANS, run_id=run_id, status="active", limit="1")
    except RequestError as refusal:
        if refusal.status != HTTPStatus.GATEWAY_TIMEOUT:
            raise
        return None
    names = [span["schema_name"] for span in answer["spans"]]
    return names[0] if names and names[0] != ROOT_SPAN else None


def _listed(visit: Visit, filters: Filters, window: Window) -> _Listed:
    criteria = filters.criteria(window)
    if filters.order != "newest":
        query = _query(filters, window)
        ranked = visit.api.read(lambda ctx: rank_runs(ctx, query, filters.order))
        return _Listed(_wire(ranked["runs"]), is_whole=bool(ranked["is_whole"]))
    before = filters.get("before") or None
    try:
        answer = visit.api.get(RUNS, **criteria, before=before)
    except RequestError as refusal:
        if refusal.status != HTTPStatus.GATEWAY_TIMEOUT:
            raise
        part = found_in_time(visit, criteria, window, before)
        return _Listed(part.runs, part=part)
    return _Listed(answer["runs"], answer["next"])


def _wire(runs: object) -> list[Run]:
    """Return runs of the domain as the API answers them."""
    answered: list[Run] = msgspec.json.decode(msgspec.json.encode(runs))
    return answered


def _numbers(visit: Visit, filters: Filters, window: Window) -> _Numbers:
    """Return the bars and the agents that failed most; nothing if that takes too long."""
    counted = filters.counted(window)
    try:
        by_hour = visit.api.get(COUNTS, of="runs", by="hour", **counted)["counts"]
        agents = visit.api.get(COUNTS, of="runs", by="agent", **counted)["counts"]
    except RequestError as refusal:
        if refusal.status != HTTPStatus.GATEWAY_TIMEOUT:
            raise
        return _NOTHING
    failing = sorted((one for one in agents if one["failed"]), key=lambda one: -one["failed"])
    worst = failing[:_WORST]
    others = [one for one in agents if one not in worst]
    failed, all_runs = (sum(int(one[name]) for one in others) for name in ("failed", "runs"))
    names = dict.fromkeys(one["agent"]["name"] for one in agents)
    return _Numbers(
        bars_of(by_hour, window, visit.zone, visit.now_us),
        worst,
        (len(others), failed, all_runs),
        list(names)[:_MOST_NAMES],
        len(agents),
    )


def _form_again(visit: Visit, filters: Filters, refusal: RequestError) -> Page:
    """Return the form with what is wrong in it."""
    errors: dict[str, str] = {
        _FIELDS.get(field, field): ", ".join(messages)
        for field, messages in (refusal.errors or {}).items()
    }
    if not errors:
        field = "agent" if filters.get("agent") else "environment"
        errors[field] = refusal.message
    values = {**_form(visit, filters, _NOTHING), "errors": errors}
    return Page("runs_form.html", values, HTTPStatus.UNPROCESSABLE_ENTITY)


def _form(visit: Visit, filters: Filters, numbers: _Numbers) -> dict[str, object]:
    """Return what the line of filters shows."""
    begins = dict(BEGINS)
    if filters.begin not in begins:
        begins[filters.begin] = _time_words(filters.begin, visit)
    ends = {"now": "now"}
    if filters.end not in ends:
        ends[filters.end] = _time_words(filters.end, visit)
    return {
        "filters": filters,
        "agent_name": _agent_name(visit, filters, numbers),
        "names": numbers.names,
        "agents": numbers.agents,
        "statuses": run_filters.STATUSES,
        "purposes": run_filters.PURPOSES,
        "marks": run_filters.MARKS,
        "orders": run_filters.ORDERS,
        "begins": begins,
        "ends": ends,
        "linked": [
            (name, words, filters.get(name), filters.but(**{name: None}).address())
            for name, words in run_filters.LINKED.items()
            if filters.get(name)
        ],
        "is_open": bool(filters.get("more")),
        "more": filters.but(more="1").address(),
    }


def _agent_name(visit: Visit, filters: Filters, numbers: _Numbers) -> str:
    """Return the name of the agent that is chosen; its id, or what was typed, if it has none."""
    agent = filters.get("agent")
    if not agent or numbers is _NOTHING:
        return agent
    if numbers.agents == 1:
        return str(numbers.names[0])
    try:
        return str(visit.api.get(f"/api/v1/agent/{agent}")["details"]["name"])
    except RequestError:
        return agent


def _time_words(text: str, visit: Visit) -> str:
    """Return a time of an address in words: `29 Nov 10:00`."""
    try:
        window = Filters({"from": text}).window(visit)
    except RequestError:
        return text
    if window.since_us is None or window.words != "this time":
        return f"{window.words} ago"
    moment = local(window.since_us, visit.zone)
    return f"{moment.day} {moment:%b %H:%M}"


def _days(rows: Sequence[RunRow], visit: Visit, filters: Filters) -> list[tuple[str, list[RunRow]]]:
    """Return rows by day; all together in an order that is not that of time."""
    if filters.order != "newest":
        return [("", list(rows))] if rows else []
    return [
        (name, list(group)) for name, group in groupby(rows, lambda row: day(row.began, visit.zone))
    ]


def _onward(filters: Filters, part: Part | None) -> str | None:
    """Return the address where a search goes on whose time was over."""
    if part is None:
        return None
    begin = {"from": ANY} if filters.begin == ANY else {}
    return filters.but(**begin, to=address_of(part.until_us)).address()


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
