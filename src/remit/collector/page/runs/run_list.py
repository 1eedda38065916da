"""The list of runs: failures and outcomes, bars by hour, and new runs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from remit._base.ids import is_pfid
from remit.collector.domain.lists import RunsQuery, rank_runs
from remit.collector.domain.params import validated
from remit.collector.domain.tokens import TokenScope
from remit.collector.errors import RequestError, invalid, invalid_field
from remit.collector.page.filters import Filters, kept_agent, noting
from remit.collector.page.formats import day
from remit.collector.page.runs.filters import (
    COUNTED,
    FILTERS,
    PAGE_ROWS,
    REJECTED,
    Known,
    counts_query,
    form,
    form_again,
    narrowing,
    of_address,
    query_of,
)
from remit.collector.page.runs.hours import Bars, PeriodBar, bars_of
from remit.collector.page.runs.rows import ListedRow, Run, rows_of, steps_in
from remit.collector.page.runs.without import WORDS, Dropped, without_each
from remit.collector.page.shell import render
from remit.collector.page.tables import CSV, csv_parts
from remit.collector.page.visits import (
    CHANGES,
    COUNTS,
    RUNS,
    Data,
    Html,
    Pieces,
    Redirect,
    Response,
    Visit,
)
from remit.collector.page.windows import AT, HOUR_US, Window, address_of, local
from remit.collector.store.ids import ms_of
from remit.collector.store.open import is_postgres
from remit.collector.store.questions.run_lists import MOST_RANKED
from remit.collector.times import US_PER_S, format_us

_WORST: Final = 3
_TOO_LONG: Final = "takes too long: choose a shorter time, or an agent"
_MOST_NAMES: Final = 500
"""Agents that the form suggests."""


_SEARCH_S: Final = 3.0
"""How long shorter times are searched after a question that took too long."""
_FIRST_US: Final = HOUR_US
_SHORTEST_US: Final = 60 * US_PER_S


class _Numbers(NamedTuple):
    """What is counted in the time of a list.

    Attributes:
        others: How many other agents, their failed runs, and all their runs.
    """

    bars: Bars | None
    worst: Sequence[Mapping[str, Any]]
    others: tuple[int, int, int]
    known: Known


_NOTHING: Final = _Numbers(None, (), (0, 0, 0), Known())


class _Part(NamedTuple):
    """The runs of a page.

    Attributes:
        until_us: All runs after this were compared before the time for a search was over; None if
            the page is full, or all were.
        is_whole: Whether all runs were compared, in an order by a measure.
    """

    runs: Sequence[Run]
    until_us: int | None = None
    next: str | None = None
    is_whole: bool = True


def _database(visit: Visit) -> str:
    """Return the database of the server, as a command names it, for readers of the account."""
    if visit.api.caller.scope != TokenScope.ACCOUNT:
        return "..."
    database = visit.api.service.database
    return shlex.quote(database if is_postgres(database) else str(Path(database).absolute()))


def runs(visit: Visit) -> Response:
    """Show the runs that the filters of the address choose, the newest ones first."""
    filters = FILTERS.of(visit.query)
    try:
        if (hashed := of_address(visit)) != filters:
            # The hash does not name the person, in bookmarks and in the history of the browser.
            return Redirect(hashed.address())
        window = _checked(visit, filters)
        cursor = visit.api.get(CHANGES)["cursor"]
        listed = _listed(visit, filters, window)
        numbers = _numbers(visit, filters, window)
    except RequestError as rejection:
        if rejection.status not in REJECTED:
            raise
        return form_again(visit, filters, rejection)
    is_ranked = filters.order != "newest"
    without: Sequence[Dropped] = ()
    if not listed.runs and listed.until_us is None and not filters.get("before"):
        is_empty = not visit.api.get(RUNS, limit="1")["runs"]
        if is_empty:
            return Html("runs_empty.html", {"cursor": cursor, "database": _database(visit)})
        without = () if is_ranked else without_each(visit, filters, window)

    def bar_address(bar: PeriodBar) -> str:
        begin, end = address_of(bar.since_us), address_of(bar.until_us)
        return filters.but(**{"from": begin, "to": end, "order": None}).address()

    def worst_address(agent: str) -> str:
        return filters.but(agent=agent, status="failed").address()

    rows = rows_of(visit, listed.runs)
    shown = {
        "with_for": any(row.on_behalf_of for row in rows),
        "with_conversation": any(row.conversation for row in rows),
    }
    live = filters.but(**{name: "1" for name, is_shown in shown.items() if is_shown})
    is_live = filters.end == "now" and not filters.get("before") and not is_ranked
    following = filters.but(before=listed.next) if listed.next else None
    values: dict[str, object] = {
        **form(visit, filters, numbers.known),
        "errors": {},
        "days": _days(rows, visit, filters),
        "shown": len(rows),
        "with_costs": any(row.cost for row in rows),
        **shown,
        "person": rows[0].on_behalf_of if len({row.on_behalf_of for row in rows}) == 1 else None,
        "waiting": sum(row.status == "waiting" for row in rows),
        "older": following.address() if following else None,
        "newest": filters.but().address() if filters.get("before") else None,
        "onward": listed.until_us and filters.but(to=address_of(listed.until_us)).address(),
        "looked": None if listed.until_us is None else local(listed.until_us, visit.zone),
        "today": local(visit.now_us, visit.zone).date(),
        "by_time": filters.but(order=None).address(),
        "is_unranked": is_ranked and not rows,
        "is_whole": listed.is_whole,
        "most_ranked": MOST_RANKED,
        "most_csv": MOST_ROWS,
        "csv": filters.but().address(".csv"),
        "without": without,
        "window": window,
        "bars": numbers.bars,
        "bar_address": bar_address,
        "all_counted": [WORDS[name] for name in narrowing(filters) if name not in COUNTED],
        "worst": numbers.worst,
        "worst_address": worst_address,
        "others": numbers.others,
        "live": live.address("/new") if is_live else None,
        "cursor": cursor,
        "asof": format_us(visit.now_us),
        "again": filters.but().address(),
    }
    return Html("runs.html", values)


def choose(visit: Visit) -> Response:
    """Redirect to the address that has the filters of the form."""
    try:
        filters = FILTERS.of_form(visit)
        filters.window(visit)
    except RequestError as rejection:
        if rejection.status not in REJECTED:
            raise
        typed = {
            **visit.form,
            "agent": kept_agent(visit.form) or visit.form.get("agent", ""),
            **{
                name: visit.form[f"{name}_{AT}"]
                for name in ("from", "to")
                if visit.form.get(name) == AT and visit.form.get(f"{name}_{AT}")
            },
        }
        return form_again(visit, FILTERS.of(typed), rejection)
    return Redirect(filters.address())


def _checked(visit: Visit, filters: Filters) -> Window:
    """Return the time of a list.

    Raises:
        RequestError: 422, with all that is wrong in the filters.
    """
    errors: dict[str, Sequence[str]] = {}
    window = Window(None, None, "")
    with noting(errors):
        window = filters.window(visit)
    with noting(errors):
        _query(filters, window)
    if errors:
        raise invalid(errors)
    return window


def _query(filters: Filters, window: Window) -> RunsQuery:
    values = {name: value for name, value in query_of(filters, window).items() if value}
    return validated(RunsQuery, values)


def _listed(visit: Visit, filters: Filters, window: Window) -> _Part:
    criteria = query_of(filters, window)
    if filters.order != "newest":
        query = _query(filters, window)
        try:
            ranked = visit.api.read(lambda ctx: rank_runs(ctx, query, filters.order))
        except RequestError as rejection:
            if rejection.status != HTTPStatus.GATEWAY_TIMEOUT:
                raise
            raise invalid_field("order", _TOO_LONG) from rejection
        return _Part(_wire(ranked["runs"]), is_whole=bool(ranked["is_whole"]))
    before = filters.get("before") or None
    response = visit.api.get_in_time(RUNS, **criteria, before=before)
    if response is None:
        return _found_in_time(visit, criteria, window, before)
    return _Part(response["runs"], next=response["next"])


def _found_in_time(
    visit: Visit, criteria: Mapping[str, str | None], window: Window, before: str | None
) -> _Part:
    """Return the newest runs that are found in a few seconds, from the end of the time back."""
    end_us = visit.now_us if window.until_us is None else window.until_us
    if before is not None:
        end_us = min(end_us, (ms_of(before) + 1) * 1000)
    runs: list[Run] = []
    length_us, stop = _FIRST_US, time.monotonic() + _SEARCH_S
    while len(runs) < PAGE_ROWS and time.monotonic() < stop:
        since_us = max(end_us - length_us, window.since_us or 0)
        limits = {"since": format_us(since_us), "until": format_us(end_us)}
        try:
            response = visit.api.get(
                RUNS,
                **{**criteria, **limits},
                before=before,
                limit=str(PAGE_ROWS - len(runs)),
            )
        except RequestError as rejection:
            if rejection.status != HTTPStatus.GATEWAY_TIMEOUT or length_us <= _SHORTEST_US:
                break
            length_us //= 8
            continue
        runs += response["runs"]
        if response["next"] is not None:
            return _Part(runs, next=response["next"])
        end_us = since_us
        if end_us <= (window.since_us or 0):
            return _Part(runs)
        length_us *= 2
    return _Part(runs, end_us) if len(runs) < PAGE_ROWS else _Part(runs, next=runs[-1]["id"])


def _wire(runs: object) -> list[Run]:
    """Return runs of the domain as the API lists them."""
    listed: list[Run] = msgspec.json.decode(msgspec.json.encode(runs))
    return listed


def _numbers(visit: Visit, filters: Filters, window: Window) -> _Numbers:
    """Return the bars and the agents that failed most; nothing if that takes too long."""
    counted = counts_query(filters, window)
    by_hour = visit.api.get_in_time(COUNTS, of="runs", by="hour", **counted)
    by_agent = by_hour and visit.api.get_in_time(COUNTS, of="runs", by="agent", **counted)
    if not by_hour or not by_agent:
        return _NOTHING
    agents = by_agent["counts"]
    failing = [counts for counts in agents if counts["failed"]]
    worst = sorted(failing, key=lambda counts: -counts["failed"])[:_WORST]
    others = [counts for counts in agents if counts not in worst]
    failed, all_runs = (sum(int(counts[name]) for counts in others) for name in ("failed", "runs"))
    names = dict.fromkeys(counts["agent"]["name"] for counts in agents)
    return _Numbers(
        bars_of(by_hour["counts"], window, visit.zone, visit.now_us),
        worst,
        (len(others), failed, all_runs),
        Known(list(names)[:_MOST_NAMES], len(agents)),
    )


def _days(
    rows: Sequence[ListedRow], visit: Visit, filters: Filters
) -> list[tuple[str, list[ListedRow]]]:
    """Return rows by day; all together in an order that is not that of time."""
    if filters.order != "newest":
        return [("", list(rows))] if rows else []
    return [
        (name, list(group)) for name, group in groupby(rows, lambda row: day(row.began, visit.zone))
    ]


_MOST_ROUNDS: Final = 5
"""Most pages of changes that are read for one request for new runs."""


def new_runs(visit: Visit) -> Response:
    """Return how many runs are new since a list was shown, and its rows that changed since."""
    filters = of_address(visit)
    window = filters.window(visit)
    newest = visit.query.get("newest", "")
    if newest and not is_pfid(newest):
        raise invalid_field("newest", "must be the id of a run")
    since = visit.query.get("asof") if not newest else format_us(ms_of(newest) * 1000)
    criteria = query_of(filters, window) | {"since": since}
    fresh = [run["id"] for run in visit.api.get(RUNS, **criteria)["runs"] if run["id"] > newest]
    changed, cursor = _changed(visit, visit.query.get("cursor") or "")
    if not fresh and not changed and cursor == visit.query.get("cursor"):
        return Data(None)
    shown = rows_of(visit, [run for run in changed if run["id"] <= newest])
    values = {"zone": visit.zone, "with_day": False}
    values |= {name: bool(visit.query.get(name)) for name in ("with_for", "with_conversation")}
    rows = {row.id: render("run_rows.html", {"rows": [row], **values}).decode() for row in shown}
    response = {"new": len(fresh), "more": len(fresh) >= PAGE_ROWS, "rows": rows, "cursor": cursor}
    return Data(msgspec.json.encode(response))


def _changed(visit: Visit, cursor: str) -> tuple[list[Run], str]:
    """Return the runs that changed since a cursor, as far as few pages have them."""
    changed: dict[str, Run] = {}
    if not cursor:
        return [], str(visit.api.get(CHANGES)["cursor"])
    for _ in range(_MOST_ROUNDS):
        response = visit.api.get(CHANGES, after=cursor)
        changed |= {run["id"]: run for run in response["runs"]}
        cursor = response["cursor"]
        if len(response["runs"]) < PAGE_ROWS:
            return list(changed.values()), cursor
    # More than that changes between two questions: go on from now.
    return list(changed.values()), str(visit.api.get(CHANGES)["cursor"])


MOST_ROWS: Final = 100_000
"""Most runs in one file."""


def _costs(run: Run) -> Sequence[Mapping[str, str]]:
    costs: Sequence[Mapping[str, str]] = run["cost_breakdown"]["costs"]
    return costs


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
    "denied_steps": lambda run: run["denied"],
    "marks": lambda run: " ".join(run["flags"]),
    "tokens_in": lambda run: run["tokens"]["in"],
    "tokens_out": lambda run: run["tokens"]["out"],
    "total_cost": lambda run: run["cost_breakdown"]["total_cost"],
    "currency": lambda run: " ".join(sorted({cost["currency"] for cost in _costs(run)})),
    "cost_sources": lambda run: " ".join(sorted({cost["source"] for cost in _costs(run)})),
    "failed_step": lambda run: _failure(run).get("step"),
    "failure_type": lambda run: _failure(run).get("type"),
    "failure_place": lambda run: _failure(run).get("place"),
    "failure_text": lambda run: _failure(run).get("text"),
    "fingerprint": lambda run: _failure(run).get("fingerprint"),
    "termination_reason": lambda run: run["termination_reason"],
    "summary": lambda run: run["summary"],
    "conversation": lambda run: run["conversation"],
    "on_behalf_of": lambda run: run["on_behalf_of"],
    "external_identifier": lambda run: run["external_identifier"],
    "caused_by": lambda run: run["caused_by"],
    "erased_at": lambda run: run["erased_at"],
}
"""How the cells of a run are read, by the names of their columns."""


def csv(visit: Visit) -> Response:
    """Return the chosen runs as a table, at most `MOST_ROWS`, in pieces."""
    filters = of_address(visit)
    pages = visit.api.pages(RUNS, **query_of(filters, filters.window(visit)))
    # The first page is read now, so that a filter that is not valid is rejected.
    runs = (page["runs"] for page in islice(chain([next(pages)], pages), MOST_ROWS // PAGE_ROWS))
    return Pieces(csv_parts(COLUMNS, runs), CSV, "runs.csv")


def _failure(run: Run) -> Mapping[str, object]:
    return run["failure"] or {}
