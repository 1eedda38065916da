"""The filters of the list of runs: the line above it, and the parameters of the API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

from remit._base.ids import HASHES, is_pfid
from remit.collector.errors import RequestError, invalid_field
from remit.collector.page.filters import API_NAMES, FilterLine, Filters, messages
from remit.collector.page.marks import MARKS
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import Html, Visit
from remit.collector.page.windows import ANY, BEGINS, LAST_DAY, NOW, Window, local, window_of
from remit.collector.store.questions.run_lists import person_hashes_from

PAGE_ROWS: Final = 100
"""Runs of a page, the most that one request returns."""
COUNTED: Final = ("agent", "environment", "purpose")
"""The filters by which runs are counted."""
LINKED: Final = {
    "environment": "environment",
    "key": "external identifier",
    "caused_by": "caused by the trace",
    "fingerprint": "the same failure",
}
"""The filters that only links set, and their names."""
ORDERS: Final = {"newest": "newest", "longest": "longest", "tokens": "most tokens"}
MARKED: Final = {name: kind.words for name, kind in MARKS.items()} | {"failed": "failed step"}
"""Words of the API for the marks of a run, and as a reader sees them."""
STATUSES: Final = {
    "pending": "not started",
    "active": "running",
    "waiting": "waiting",
    "complete": "complete",
    "failed": "failed",
    "terminated": "terminated",
    "cancelled": "cancelled",
}
PURPOSES: Final = {"live": "live", "smoke_test": "smoke_test", "eval": "eval"}
_HASH: Final = re.compile("[0-9a-f]{64}")
_SHOWN_HASH: Final = re.compile("[0-9a-f]{8,63}")


def _person_hash(visit: Visit, text: str, name: str) -> str:
    """Return the hash of a person who was typed: whole, as pages show it, or the id.

    Args:
        name: `subject` or `on_behalf_of`.

    Raises:
        RequestError: 422, several hashes begin so.
    """
    if not text or _HASH.fullmatch(text):
        return text
    if _SHOWN_HASH.fullmatch(text):
        hashes = visit.api.read(lambda ctx: person_hashes_from(ctx.tx, scope_in(ctx), text))
        if len(hashes) > 1:
            raise invalid_field(name, "matches several hashes: enter more characters")
        if hashes:
            return hashes[0]
    return HASHES[name](text)


FILTERS: Final = FilterLine(
    path="/runs",
    template="runs_form.html",
    names=(*API_NAMES, "from", "to", "order", "before", "more"),
    options={"order": ORDERS},
    begin=LAST_DAY,
    of_few=("on_behalf_of", "conversation", "subject", "key", "caused_by", "fingerprint"),
    readers={name: partial(_person_hash, name=name) for name in HASHES},
)


def of_address(visit: Visit) -> Filters:
    """Return the filters of an address, in which a person may be written as in a form.

    Raises:
        RequestError: 422.
    """
    filters = FILTERS.of(visit.query)
    people = {name: text for name in HASHES if (text := filters.get(name).strip())}
    if not people:
        return filters
    hashes = {name: _person_hash(visit, text, name) for name, text in people.items()}
    return FILTERS.of({**filters.chosen, **hashes})


def narrowing(filters: Filters) -> list[str]:
    """Return the names of the filters that are set, without the time."""
    return [name for name in API_NAMES if filters.get(name)]


def query_of(filters: Filters, window: Window) -> dict[str, str | None]:
    """Return the filters as the API reads them."""
    named = {API_NAMES[name]: filters.get(name) for name in narrowing(filters)}
    return {**named, "since": window.since, "until": window.until}


def counts_query(filters: Filters, window: Window) -> dict[str, str | None]:
    """Return the filters by which runs are counted, as the API reads them."""
    named = {API_NAMES[name]: filters.get(name) or None for name in COUNTED}
    return {**named, "since": window.since, "until": window.until}


REJECTED: Final = (
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.BAD_REQUEST,
)
"""Statuses of rejections that are about the filters."""


class Known(NamedTuple):
    """The agents with runs in the time of a list.

    Attributes:
        names: Their names, those with most runs first.
        agents: Their number; None if they were not counted.
    """

    names: Sequence[str] = ()
    agents: int | None = None


def form(visit: Visit, filters: Filters, known: Known) -> dict[str, object]:
    """Return the values of the line of filters."""
    begins = dict(BEGINS)
    if filters.begin not in begins:
        begins[filters.begin] = _time_words(filters.begin, visit)
    ends = {"now": "now"}
    if filters.end not in ends:
        ends[filters.end] = _end_words(filters.end, visit)
    return {
        "filters": filters,
        "narrowing": narrowing(filters),
        "agent_name": _agent_name(visit, filters, known),
        "names": known.names,
        "agents": known.agents,
        "statuses": STATUSES,
        "purposes": PURPOSES,
        "marked": MARKED,
        "orders": ORDERS,
        "begins": begins,
        "ends": ends,
        "linked": [
            (name, words, filters.get(name), filters.but(**{name: None}).address())
            for name, words in LINKED.items()
            if filters.get(name)
        ],
        "is_unfolded": bool(filters.get("more")),
        "more": filters.but(more="1").address(),
    }


def form_again(visit: Visit, filters: Filters, rejection: RequestError) -> Html:
    """Return the form with its errors."""
    field = "agent" if filters.get("agent") else "environment"
    errors = messages(rejection) or {field: rejection.message}
    values = {**form(visit, filters, Known()), "errors": errors}
    return Html("runs_form.html", values, HTTPStatus.UNPROCESSABLE_ENTITY)


def _agent_name(visit: Visit, filters: Filters, known: Known) -> str:
    """Return the name of the agent that is chosen; else its id, or the text that was typed."""
    agent = filters.get("agent")
    if not is_pfid(agent):
        return agent
    if known.agents == 1:
        return str(known.names[0])
    try:
        return str(visit.api.get(f"/api/v1/agent/{agent}")["details"]["name"])
    except RequestError:
        return agent


def _time_words(text: str, visit: Visit) -> str:
    """Return a time of an address in words: `29 Nov 10:00`."""
    try:
        window = window_of(text, NOW, visit.zone, visit.now_us)
    except RequestError:
        return text
    if window.since_us is None or window.words != "this time":
        return f"{window.words} ago"
    return _moment(window.since_us, visit)


def _end_words(text: str, visit: Visit) -> str:
    """Return the end of the time in words; it may be in the future."""
    try:
        until_us = window_of(ANY, text, visit.zone, visit.now_us).until_us
    except RequestError:
        return text
    return text if until_us is None else _moment(until_us, visit)


def _moment(instant_us: int, visit: Visit) -> str:
    moment = local(instant_us, visit.zone)
    return f"{moment.day} {moment:%b %H:%M}"
