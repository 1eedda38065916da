"""The filters of a list, from its address or from the form above it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from remit.collector.errors import RequestError, invalid, invalid_field
from remit.collector.page.visits import COUNTS, Html, Redirect, Response, Visit
from remit.collector.page.windows import ANY, AT, NOW, Window, at, window_of

API_NAMES: Final = {
    "agent": "agent_id",
    "status": "status",
    "purpose": "purpose",
    "marked": "flag",
    "label": "label",
    "on_behalf_of": "on_behalf_of_hash",
    "conversation": "conversation",
    "subject": "subject_hash",
    "environment": "environment_id",
    "key": "key",
    "caused_by": "caused_by",
    "fingerprint": "fingerprint",
}
"""Names of the filters in an address, and in the API."""
_FIELDS: Final = {api: name for name, api in API_NAMES.items()} | {"since": "from", "until": "to"}
_OF_TIME: Final = ("from", "to")
_BEFORE: Final = "before"
"""The place in a list, which any other filter changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterLine:
    """The line of filters above a list.

    Attributes:
        template: The line alone, if a filter of it is not valid.
        names: All filters, in the order of an address.
        options: The words of filters with a few choices, each as a reader sees it.
        begin: The begin of the time if an address has none.
        of_few: Filters that match few runs; with one of them, all times are searched.
        readers: What reads the text of a filter in a form.
    """

    path: str
    template: str
    names: Sequence[str]
    options: Mapping[str, Mapping[str, str]]
    begin: str
    of_few: Sequence[str] = ()
    readers: Mapping[str, Callable[[Visit, str], str]] = field(
        default_factory=dict[str, Callable[[Visit, str], str]]
    )

    def of(self, texts: Mapping[str, str]) -> Filters:
        """Return the filters among the parameters of an address."""
        return Filters(self, {name: texts[name] for name in self.names if texts.get(name)})

    def of_form(self, visit: Visit) -> Filters:
        """Return the filters of a form.

        Raises:
            RequestError: 422, with the errors of all filters.
        """
        texts = {name: visit.form.get(name, "").strip() for name in self.names}
        errors: dict[str, Sequence[str]] = {}
        for name in _OF_TIME:
            if texts.get(name) == AT:
                with noting(errors):
                    texts[name] = at(visit.form.get(f"{name}_{AT}", ""), visit.zone, name)
        for name, read in {"agent": agent_in, **self.readers}.items():
            with noting(errors):
                texts[name] = read(visit, texts[name])
        if errors:
            raise invalid(errors)
        return self.of(texts)

    def choose(self, visit: Visit) -> Response:
        """Redirect to the address that has the filters of the form."""
        try:
            return Redirect(self.of_form(visit).address())
        except RequestError as rejection:
            return self.of(visit.form).rejected(visit, rejection)


class Filters(NamedTuple):
    """The filters of an address.

    Attributes:
        chosen: Their texts by name, without empty ones.
    """

    line: FilterLine
    chosen: Mapping[str, str]

    def get(self, name: str) -> str:
        """Return a filter; the empty text if it is not set."""
        return self.chosen.get(name, "")

    @property
    def usual_begin(self) -> str:
        """The begin of the time if the address has none."""
        return ANY if any(name in self.chosen for name in self.line.of_few) else self.line.begin

    @property
    def begin(self) -> str:
        """The begin of the time."""
        return self.get("from") or self.usual_begin

    @property
    def end(self) -> str:
        """The end of the time."""
        return self.get("to") or NOW

    @property
    def order(self) -> str:
        """The order of the list."""
        return self.get("order") or "newest"

    def window(self, visit: Visit) -> Window:
        """Return the time.

        Raises:
            RequestError: 422, with the errors of all filters.
        """
        errors: dict[str, Sequence[str]] = {
            name: [f"must be one of {', '.join(shown for word, shown in words.items() if word)}"]
            for name, words in self.line.options.items()
            if name not in _OF_TIME and self.get(name) and self.get(name) not in words
        }
        window = Window(None, None, "")
        with noting(errors):
            window = window_of(self.begin, self.end, visit.zone, visit.now_us)
        if errors:
            raise invalid(errors)
        return window

    def but(self, **changes: str | None) -> Filters:
        """Return the filters with changes; None drops one. The place in the list is dropped."""
        left = {**self.chosen, _BEFORE: None, **changes}
        names = dict.fromkeys((*self.line.names, *changes))
        return self._replace(chosen={name: text for name in names if (text := left.get(name))})

    def address(self, suffix: str = "") -> str:
        """Return the address of the list, or of another form of it, without defaults."""
        usual = {"from": self.usual_begin, "to": NOW, "order": "newest"}
        shown = {name: text for name, text in self.chosen.items() if usual.get(name) != text}
        return f"{self.line.path}{suffix}" + (f"?{urlencode(shown)}" if shown else "")

    def values(
        self, agents: Mapping[str, str], errors: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Return the values of the line."""
        agent = self.get("agent")
        return {
            "chosen": {name: self.get(name) for name in self.line.names},
            "names": agents,
            "agent_name": agents.get(agent, agent),
            "options": self.line.options,
            "usual": self.line.begin,
            "errors": errors or {},
        }

    def rejected(self, visit: Visit, rejection: RequestError) -> Html:
        """Return the line alone, with its errors.

        Raises:
            RequestError: The rejection, if it is not about filters.
        """
        if not rejection.errors:
            raise rejection
        values = self.values(agent_names(visit), messages(rejection))
        return Html(self.line.template, values, rejection.status)


@contextmanager
def noting(errors: dict[str, Sequence[str]]) -> Generator[None]:
    """Collect the errors of a filter, instead of rejecting the request."""
    try:
        yield
    except RequestError as rejection:
        errors |= rejection.errors or {}


def messages(rejection: RequestError) -> dict[str, str]:
    """Return the errors by name of the filter in an address, for the form."""
    errors = rejection.errors or {}
    return {_FIELDS.get(field, field): ", ".join(texts) for field, texts in errors.items()}


def kept_agent(form: Mapping[str, str]) -> str | None:
    """Return the id of the agent of a form whose name was not changed.

    The name alone may be that of several agents, or of one without runs.
    """
    is_kept = form.get("agent") and form.get("agent") == form.get("agent_shown")
    return form.get("agent_id") or None if is_kept else None


def agent_in(visit: Visit, text: str) -> str:
    """Return the id of the agent of a form, by its name, external identifier or id.

    Raises:
        RequestError: 422, no agent with runs is called so, or several are.
    """
    kept = kept_agent(visit.form)
    if kept or not text:
        return kept or ""
    agents = _agents(visit)
    for names in ("id", "external_identifier", "name"):
        same = [agent for agent in agents if (agent[names] or "").casefold() == text.casefold()]
        if len(same) == 1:
            return str(same[0]["id"])
        if same:
            identifiers = ", ".join(agent["external_identifier"] or agent["id"] for agent in same)
            raise invalid_field("agent", f"is the name of several agents: {identifiers}")
    raise invalid_field("agent", "must be the name, the identifier or the id of an agent with runs")


def agent_names(visit: Visit) -> dict[str, str]:
    """Return the names of the agents with runs by id, most runs first."""
    return {agent["id"]: agent["name"] for agent in _agents(visit)}


def _agents(visit: Visit) -> list[dict[str, Any]]:
    counts = visit.api.get(COUNTS, of="runs", by="agent")["counts"]
    return [group["agent"] for group in counts]
