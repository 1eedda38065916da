"""The register: the agents, their data, their owners, and gaps in their declarations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from remit._policy.words import CATEGORIES
from remit.collector.domain.context import Context
from remit.collector.errors import RequestError
from remit.collector.page.data.datamap import model_calls
from remit.collector.page.data.register_entries import GAPS, Entry, entries_of
from remit.collector.page.declared import MOST_AGENTS, counted_steps, remits_of
from remit.collector.page.filters import FilterLine, Filters, agent_names
from remit.collector.page.formats import category, words
from remit.collector.page.scope import erased_runs
from remit.collector.page.tables import csv_file
from remit.collector.page.visits import COUNTS, RUNS, Html, Response, Visit
from remit.collector.page.windows import HOUR_US, Window, days_in
from remit.collector.store.questions.records import erasures
from remit.collector.store.rows import ErasureRow
from remit.collector.times import format_us

PER_PAGE: Final = 25
"""Agents on a page."""
FILTERS: Final = FilterLine(
    path="/register",
    template="register.html",
    names=("agent", "missing", "category", "recipient", "from"),
    options={
        "missing": {
            "": "any",
            "owner": "owner",
            "purpose": "purpose",
            "categories": "categories",
            "recipients": "recipients",
            "none": "nothing",
        },
        "category": {"": "any", **{name: category(name) for name in CATEGORIES}},
        "from": {"7d": "7 days", "30d": "30 days", "90d": "90 days", "all": "any time"},
    },
    begin="90d",
)


class _Seen(NamedTuple):
    """An agent, when it was registered, when its newest run began, and how long runs are kept."""

    entry: Entry
    first: str
    last: str | None
    kept_days: int | None


_COLUMNS: Final[Mapping[str, Callable[[_Seen], object]]] = {
    "agent_id": lambda seen: seen.entry.id,
    "agent": lambda seen: seen.entry.name,
    "version": lambda seen: seen.entry.declared.agent.version,
    "purpose": lambda seen: seen.entry.purpose,
    "owner": lambda seen: seen.entry.owner,
    "categories": lambda seen: "; ".join(map(words, seen.entry.included)),
    "class": lambda seen: seen.entry.classification,
    "ruled_out": lambda seen: "; ".join(map(words, seen.entry.excluded)),
    "categories_missing": lambda seen: "; ".join(map(words, seen.entry.undeclared)),
    "categories_violated": lambda seen: "; ".join(words(name) for name, _ in seen.entry.violated),
    "recipients": lambda seen: "; ".join(seen.entry.recipients),
    "recipients_not_run": lambda seen: "; ".join(seen.entry.idle),
    "recipients_observed": lambda seen: "; ".join(name for name, _ in seen.entry.observed),
    "first_seen": lambda seen: seen.first,
    "last_seen": lambda seen: seen.last,
    "kept_days": lambda seen: seen.kept_days,
    "runs": lambda seen: seen.entry.runs,
    "missing": lambda seen: "; ".join(seen.entry.questions),
    "ask": lambda seen: seen.entry.ask if seen.entry.questions else None,
}


def show(visit: Visit) -> Response:
    """Show the register."""
    filters = FILTERS.of(visit.query)
    try:
        window, every, chosen_ones = _read(visit, filters)
    except RequestError as rejection:
        return filters.rejected(visit, rejection)
    whole = visit.query.get("all") == "1"
    number = _page_number(visit.query.get("page", ""), len(chosen_ones))
    first = 0 if whole else (number - 1) * PER_PAGE
    shown = chosen_ones if whole else chosen_ones[first : first + PER_PAGE]
    lacking = Counter(gap for entry in every for gap in entry.gaps)
    since_us = window.since_us or 0
    counted: dict[str, Any] = {"since": window.since, "until": window.until}
    erasures = visit.api.read(partial(erasures_since, since_us=since_us))
    gaps = [entry for entry in shown if entry.questions]
    values: dict[str, object] = {
        **filters.values(agent_names(visit)),
        "all_categories": CATEGORIES,
        "window": window,
        "total": len(every),
        "complete": sum(not entry.gaps for entry in every),
        "is_undeclared": bool(every) and all(entry.is_undeclared for entry in every),
        "model_calls": model_calls(visit.api.get(COUNTS, by="type", **counted)["counts"]),
        "lacking": [(count, GAPS[gap]) for gap, count in lacking.most_common()],
        "entries": [_seen(visit, entry) for entry in shown],
        "count": len(chosen_ones),
        "first": first,
        "most": MOST_AGENTS,
        "next": None
        if whole or first + PER_PAGE >= len(chosen_ones)
        else filters.but(page=str(number + 1)).address(),
        "before": filters.but(page=str(number - 1)).address() if number > 1 and not whole else None,
        "gaps": gaps,
        "erasures": erasures,
        "kept": _kept_days(visit),
        "whole": whole,
        "now": format_us(visit.now_us),
        "csv": filters.address(".csv"),
        "printed": filters.but(all="1").address(),
        "begin": filters.begin,
    }
    return Html("register.html", values)


def csv(visit: Visit) -> Response:
    """Return all agents that the filters choose as a table for a spreadsheet."""
    filters = FILTERS.of(visit.query)
    seen = (_seen(visit, entry) for entry in _read(visit, filters)[2])
    return csv_file("register.csv", _COLUMNS, seen)


def _read(visit: Visit, filters: Filters) -> tuple[Window, Sequence[Entry], Sequence[Entry]]:
    """Return the time, all agents that ran in it, and the agents that pass the filters.

    Raises:
        RequestError: 404, the agent does not exist; 422, a filter is not valid.
    """
    window = filters.window(visit)
    counted: dict[str, Any] = {"since": window.since, "until": window.until}
    if agent_id := filters.get("agent"):
        visit.api.get(f"/api/v1/agent/{agent_id}")
    groups = visit.api.get(COUNTS, of="runs", by="agent", **counted)["counts"]
    runs = {group["agent"]["id"]: int(group["runs"]) for group in groups}
    remits = visit.api.read(remits_of)
    counts = visit.api.read(partial(counted_steps, window=window))
    entries = entries_of(remits, runs, counts)
    return window, entries, [entry for entry in entries if _passes(entry, filters)]


def _passes(entry: Entry, filters: Filters) -> bool:
    missing, category = filters.get("missing"), filters.get("category")
    recipient = filters.get("recipient").casefold()
    named = (*entry.recipients, *entry.idle, *(name for name, _ in entry.observed))
    return (
        filters.get("agent") in {"", entry.id}
        and (not missing or (missing in entry.gaps if missing != "none" else not entry.gaps))
        and (not category or category in entry.processed)
        and (not recipient or any(recipient in name.casefold() for name in named))
    )


def _page_number(text: str, count: int) -> int:
    """Return the page that an address names, at most the last one."""
    last = max(1, -(-count // PER_PAGE))
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < len("12345") else 1
    return min(max(wanted, 1), last)


def _seen(visit: Visit, entry: Entry) -> _Seen:
    runs = visit.api.get(RUNS, agent_id=entry.id, limit="1")["runs"]
    last = (runs[0]["started_at"] or runs[0]["inserted_at"]) if runs else None
    return _Seen(entry, format_us(entry.declared.agent.inserted_at), last, _kept_days(visit))


def _kept_days(visit: Visit) -> int | None:
    """Return how many days the server keeps runs; None if it never deletes them."""
    return days_in(visit.api.service.settings.retain)


MOST_RECORDS: Final = 1000
"""Most records of erased runs that are read for one page, the newest."""
_TOGETHER_US: Final = HOUR_US
"""Erasures of many runs take a while, one run after the other."""


class Erasure(NamedTuple):
    """What one request erased.

    Attributes:
        record: The record of the newest run.
        agent: The name of the agent, if it was chosen.
    """

    record: ErasureRow
    at: str
    agent: str | None
    runs: int
    spans: int


def erasures_since(ctx: Context, since_us: int) -> list[Erasure]:
    """Return the erasures that the caller sees, the newest first."""
    caller = ctx.caller
    rows = erasures(ctx.tx, caller.account_id, since_us, MOST_RECORDS)
    runs = erased_runs(ctx, rows)
    rows = [row for row in rows if row.agent_instance_id in runs]
    listed: list[Erasure] = []
    for group in _groups(rows):
        newest = group[0]
        run = runs.get(newest.agent_instance_id)
        named = run is not None and newest.asked_for == "agent"
        agent = ctx.tx.agent(caller.account_id, run.agent_id) if run and named else None
        name = None if agent is None else agent.name
        spans = sum(row.spans for row in group)
        listed.append(Erasure(newest, format_us(newest.inserted_at), name, len(group), spans))
    return listed


def _groups(rows: Iterable[ErasureRow]) -> list[list[ErasureRow]]:
    """Return the records of each request; a run is always a request alone."""
    groups: list[list[ErasureRow]] = []
    for row in rows:
        last = groups[-1][-1] if groups else None
        same = (
            last is not None
            and row.asked_for != "run"
            and (row.asked_for, row.reason, row.erased_by)
            == (last.asked_for, last.reason, last.erased_by)
            and last.inserted_at - row.inserted_at < _TOGETHER_US
        )
        if same:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
