"""The line of filters of the list of runs."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from remit._base.ids import is_pfid
from remit.collector.errors import RequestError
from remit.collector.page.runs.filters import (
    LINKED,
    MARKS,
    ORDERS,
    PURPOSES,
    STATUSES,
    Filters,
    messages,
)
from remit.collector.page.visits import Page, Visit
from remit.collector.page.windows import ANY, BEGINS, local, window_of

REFUSED: Final = (
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.BAD_REQUEST,
)
"""Statuses of refusals that are about the filters."""


class Known(NamedTuple):
    """The agents with runs in the time of a list.

    Attributes:
        names: Their names, those with most runs first.
        agents: Their number; None if they were not counted.
    """

    names: Sequence[str] = ()
    agents: int | None = None


def form(visit: Visit, filters: Filters, known: Known) -> dict[str, object]:
    """Return what the line of filters shows."""
    begins = dict(BEGINS)
    if filters.begin not in begins:
        begins[filters.begin] = _time_words(filters.begin, visit)
    ends = {"now": "now"}
    if filters.end not in ends:
        ends[filters.end] = _end_words(filters.end, visit)
    return {
        "filters": filters,
        "agent_name": _agent_name(visit, filters, known),
        "names": known.names,
        "agents": known.agents,
        "statuses": STATUSES,
        "purposes": PURPOSES,
        "marks": MARKS,
        "orders": ORDERS,
        "begins": begins,
        "ends": ends,
        "linked": [
            (name, words, filters.get(name), filters.but(**{name: None}).address())
            for name, words in LINKED.items()
            if filters.get(name)
        ],
        "is_open": bool(filters.get("more")),
        "more": filters.but(more="1").address(),
    }


def form_again(visit: Visit, filters: Filters, refusal: RequestError) -> Page:
    """Return the form with what is wrong in it."""
    field = "agent" if filters.get("agent") else "environment"
    errors = messages(refusal) or {field: refusal.message}
    values = {**form(visit, filters, Known()), "errors": errors}
    return Page("runs_form.html", values, HTTPStatus.UNPROCESSABLE_ENTITY)


def _agent_name(visit: Visit, filters: Filters, known: Known) -> str:
    """Return the name of the agent that is chosen; its id, or what was typed, if it has none."""
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
        window = Filters({"from": text}).window(visit)
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
