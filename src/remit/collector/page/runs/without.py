"""How many runs an empty list would show without one of its filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from remit.collector.page.filters import Filters
from remit.collector.page.formats import number
from remit.collector.page.runs.filters import COUNTED, counts_query, narrowing, query_of
from remit.collector.page.visits import COUNTS, RUNS, Visit
from remit.collector.page.windows import ANY, Window
from remit.collector.store.questions.run_lists import WAITING

WORDS: Final = {
    "agent": "agent",
    "status": "status",
    "purpose": "purpose",
    "marked": "mark",
    "label": "label",
    "on_behalf_of": "person who asked",
    "conversation": "conversation",
    "subject": "subject",
    "environment": "environment",
    "key": "external identifier",
    "caused_by": "cause",
    "fingerprint": "failure",
    "from": "time",
}
"""Names of the filters."""
_EXACT: Final = {*COUNTED, "status"}
_NOT_KNOWN: Final = (None, "number not known")


class Dropped(NamedTuple):
    """A filter, and the runs that a list without it would have.

    Attributes:
        runs: The number of runs; at most a hundred; None if it is not known.
    """

    name: str
    words: str
    runs: int | None
    shown: str
    address: str


def without_each(visit: Visit, filters: Filters, window: Window) -> Sequence[Dropped]:
    """Return how many runs there would be without each filter, the most first."""
    dropped: list[Dropped] = []
    for name in narrowing(filters):
        others = filters.but(**{name: None}, **{"from": filters.begin})
        dropped.append(_dropped(visit, name, others, window))
    if window.since_us is not None or window.until_us is not None:
        others = filters.but(**{"from": ANY}, to=None)
        dropped.append(_dropped(visit, "from", others, Window(None, None, "")))
    dropped.sort(key=lambda filter_: -(filter_.runs or 0))
    return dropped


def _dropped(visit: Visit, name: str, others: Filters, window: Window) -> Dropped:
    runs, shown = _count(visit, others, window)
    return Dropped(name, WORDS[name], runs, shown, others.address())


def _count(visit: Visit, filters: Filters, window: Window) -> tuple[int | None, str]:
    """Return how many runs meet the filters: exactly from the counts, else up to a page."""
    is_counted = _EXACT.issuperset(narrowing(filters)) and filters.get("status") != WAITING
    if is_counted and window.until_us is None:
        by_status = {"of": "runs", "by": "status", **counts_query(filters, window)}
        counts = visit.api.get_in_time(COUNTS, **by_status)
        if counts is None:
            return _NOT_KNOWN
        status = filters.get("status")
        runs = sum(group["runs"] for group in counts["counts"] if status in {"", group["status"]})
        return runs, number(runs)
    response = visit.api.get_in_time(RUNS, **query_of(filters, window))
    if response is None:
        return _NOT_KNOWN
    runs = len(response["runs"])
    return runs, f"{number(runs)} or more" if response["next"] else number(runs)
