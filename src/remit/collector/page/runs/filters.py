"""Which runs a list shows: the filters of an address, of the form above it, and of the API."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from remit._base.ids import is_pfid
from remit.collector.errors import RequestError, invalid, invalid_field
from remit.collector.page.marks import MARKS
from remit.collector.page.scope import scope_in
from remit.collector.page.visits import COUNTS, Page, Visit
from remit.collector.page.windows import (
    ANY,
    AT,
    BEGINS,
    LAST_DAY,
    NOW,
    Window,
    at,
    local,
    window_of,
)
from remit.collector.store.questions.run_lists import subjects_from
from remit.collector.store.subjects import hash_of_subject

PAGE_ROWS: Final = 100
"""Runs of a page, the most that one question answers."""
API_NAMES: Final = {
    "agent": "agent_id",
    "status": "status",
    "purpose": "purpose",
    "marked": "flag",
    "label": "label",
    "subject": "subject_hash",
    "environment": "environment_id",
    "key": "key",
    "caused_by": "caused_by",
    "fingerprint": "fingerprint",
}
"""Names of the filters in an address, and in the API."""
_FIELDS: Final = {api: name for name, api in API_NAMES.items()} | {"since": "from", "until": "to"}
COUNTED: Final = ("agent", "environment", "purpose")
"""The filters by which runs are counted."""
LINKED: Final = {
    "environment": "environment",
    "key": "external identifier",
    "caused_by": "caused by the trace",
    "fingerprint": "the same failure",
}
"""The filters that only links set, and what they are called."""
ORDERS: Final = {"newest": "newest", "longest": "longest", "tokens": "most tokens"}
MARKED: Final = {name: kind.words for name, kind in MARKS.items()} | {"failed": "failed step"}
"""Words of the API for the marks of a run, and as a reader sees them."""
STATUSES: Final = {
    "pending": "not started",
    "active": "running",
    "complete": "complete",
    "failed": "failed",
    "terminated": "terminated",
    "cancelled": "cancelled",
}
PURPOSES: Final = {"live": "live", "smoke_test": "smoke_test", "eval": "eval"}
_OF_FEW: Final = ("subject", "key", "caused_by", "fingerprint")
"""Filters that few runs meet: without a time they are looked for at any time."""
_HASH: Final = re.compile("[0-9a-f]{64}")
_SHOWN_HASH: Final = re.compile("[0-9a-f]{8,63}")
_NAMES: Final = (*API_NAMES, "from", "to", "order", "before", "more")


class Filters(NamedTuple):
    """The filters of an address.

    Attributes:
        chosen: Their texts by name, without empty ones.
    """

    chosen: Mapping[str, str]

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """Return the filters among the parameters of an address."""
        return cls({name: query[name] for name in _NAMES if query.get(name)})

    def get(self, name: str) -> str:
        """Return a filter; the empty text if it is not set."""
        return self.chosen.get(name, "")

    @property
    def usual_begin(self) -> str:
        """The begin of the time if the address has none."""
        return ANY if any(name in self.chosen for name in _OF_FEW) else LAST_DAY

    @property
    def begin(self) -> str:
        """The begin of the time."""
        return self.chosen.get("from", self.usual_begin)

    @property
    def end(self) -> str:
        """The end of the time."""
        return self.chosen.get("to", NOW)

    @property
    def order(self) -> str:
        """The order of the list.

        Raises:
            RequestError: 422.
        """
        order = self.chosen.get("order", "newest")
        if order not in ORDERS:
            raise invalid_field("order", f"must be one of {', '.join(ORDERS)}")
        return order

    @property
    def narrowing(self) -> list[str]:
        """Names of the filters that are set, without the time."""
        return [name for name in API_NAMES if name in self.chosen]

    def window(self, visit: Visit) -> Window:
        """Return the time.

        Raises:
            RequestError: 422.
        """
        return window_of(self.begin, self.end, visit.zone, visit.now_us)

    def criteria(self, window: Window) -> dict[str, str | None]:
        """Return the filters as the API reads them."""
        named: dict[str, str | None] = {
            api: self.chosen[name] for name, api in API_NAMES.items() if name in self.chosen
        }
        return {**named, "since": window.since, "until": window.until}

    def counted(self, window: Window) -> dict[str, str | None]:
        """Return the filters by which runs are counted, as the API reads them."""
        named: dict[str, str | None] = {API_NAMES[name]: self.chosen.get(name) for name in COUNTED}
        return {**named, "since": window.since, "until": window.until}

    def but(self, **changes: str | None) -> Filters:
        """Return the filters with changes; None drops one. The page within the list is dropped."""
        left = {**self.chosen, "before": None, **changes}
        return Filters({name: text for name in _NAMES if (text := left.get(name))})

    def address(self, path: str = "/runs") -> str:
        """Return the address."""
        shown = {name: text for name, text in self.chosen.items() if not self._is_usual(name)}
        return f"{path}?{urlencode(shown)}" if shown else path

    def _is_usual(self, name: str) -> bool:
        usual = {"from": self.usual_begin, "to": NOW, "order": "newest"}
        return usual.get(name) == self.chosen[name]


@contextmanager
def noting(errors: dict[str, Sequence[str]]) -> Generator[None]:
    """Note what is wrong with a filter, instead of rejecting the request."""
    try:
        yield
    except RequestError as rejection:
        errors |= rejection.errors or {}


def messages(rejection: RequestError) -> dict[str, str]:
    """Return what is wrong by name of the filter in an address, for the form."""
    errors = rejection.errors or {}
    return {_FIELDS.get(field, field): ", ".join(texts) for field, texts in errors.items()}


def of_address(visit: Visit) -> Filters:
    """Return the filters of an address, in which a subject may stand as in a form.

    Raises:
        RequestError: 422.
    """
    filters = Filters.of(visit.query)
    subject = filters.get("subject").strip()
    if not subject:
        return filters
    return Filters({**filters.chosen, "subject": _subject_hash(visit, subject)})


def of_form(visit: Visit) -> Filters:
    """Return the filters that a form chose: an agent by name, a subject as its hash.

    Raises:
        RequestError: 422.
    """
    form = visit.form
    chosen = {name: form.get(name, "").strip() for name in _NAMES}
    errors: dict[str, Sequence[str]] = {}
    for name in ("from", "to"):
        if chosen[name] == AT:
            with noting(errors):
                chosen[name] = at(form.get(f"{name}_{AT}", ""), visit.zone, name)
    with noting(errors):
        chosen["agent"] = agent_in(visit)
    with noting(errors):
        chosen["subject"] = _subject_hash(visit, chosen["subject"])
    if errors:
        raise invalid(errors)
    return Filters.of(chosen)


def _subject_hash(visit: Visit, text: str) -> str:
    """Return the hash of a subject that was typed: whole, as pages show it, or the id.

    Raises:
        RequestError: 422, several hashes begin so.
    """
    if not text or _HASH.fullmatch(text):
        return text
    if _SHOWN_HASH.fullmatch(text):
        hashes = visit.api.read(lambda ctx: subjects_from(ctx.tx, scope_in(ctx), text))
        if len(hashes) > 1:
            raise invalid_field("subject", "is the beginning of several hashes: type more of it")
        if hashes:
            return hashes[0]
    return hash_of_subject(text)


def kept_agent(form: Mapping[str, str]) -> str | None:
    """Return the id of the agent of a form whose name was not changed.

    The name alone may be that of several agents, or of one without runs.
    """
    is_kept = form.get("agent") and form.get("agent") == form.get("agent_shown")
    return form.get("agent_id") or None if is_kept else None


def agent_in(visit: Visit) -> str:
    """Return the id of the agent that a form chose; empty if it chose none.

    Raises:
        RequestError: 422, the name is not that of one agent.
    """
    text = visit.form.get("agent", "").strip()
    return kept_agent(visit.form) or (agent_called(visit, text) if text else "")


def agent_called(visit: Visit, text: str) -> str:
    """Return the id of the agent with a name, an external identifier or an id.

    Raises:
        RequestError: 422, no agent with runs is called so, or several are.
    """
    counts = visit.api.get(COUNTS, of="runs", by="agent")["counts"]
    agents: list[dict[str, Any]] = [group["agent"] for group in counts]
    for names in ("id", "external_identifier", "name"):
        same = [agent for agent in agents if (agent[names] or "").casefold() == text.casefold()]
        if len(same) == 1:
            return str(same[0]["id"])
        if same:
            identifiers = ", ".join(agent["external_identifier"] or agent["id"] for agent in same)
            raise invalid_field("agent", f"is the name of several: {identifiers}")
    raise invalid_field("agent", "must be the name, the identifier or the id of an agent with runs")


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


def form_again(visit: Visit, filters: Filters, rejection: RequestError) -> Page:
    """Return the form with what is wrong in it."""
    field = "agent" if filters.get("agent") else "environment"
    errors = messages(rejection) or {field: rejection.message}
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
