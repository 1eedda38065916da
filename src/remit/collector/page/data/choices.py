"""The line of filters above a page: what an address and a form choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from remit.collector.errors import RequestError, invalid
from remit.collector.page.runs.filters import agent_in, messages, noting
from remit.collector.page.visits import COUNTS, Answer, Page, Redirect, Visit
from remit.collector.page.windows import NOW, Window, window_of

Chosen = Mapping[str, str]
"""The texts of all filters by name; empty ones choose nothing."""
_OF_TIME: Final = ("from", "to")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFilters:
    """The filters of a page.

    Attributes:
        options: The words of those that have a few, each with what a reader sees.
        begin: The default start of the period.
    """

    path: str
    template: str
    names: Sequence[str]
    options: Mapping[str, Mapping[str, str]]
    begin: str

    def chosen(self, visit: Visit) -> Chosen:
        """Return the filters of an address."""
        return {name: visit.query.get(name, "") for name in self.names}

    def window(self, visit: Visit, chosen: Chosen) -> Window:
        """Return the time that is chosen.

        Raises:
            RequestError: 422, with all that is wrong in the filters.
        """
        errors: dict[str, Sequence[str]] = {}
        for name, words in self.options.items():
            if name not in _OF_TIME and chosen[name] and chosen[name] not in words:
                shown = (text for value, text in words.items() if value)
                errors[name] = [f"must be one of {', '.join(shown)}"]
        window = Window(None, None, "")
        with noting(errors):
            begin, end = chosen["from"] or self.begin, chosen.get("to") or NOW
            window = window_of(begin, end, visit.zone, visit.now_us)
        if errors:
            raise invalid(errors)
        return window

    def address(self, chosen: Chosen, suffix: str = "", **changes: str) -> str:
        """Return the address of the page, or of its table, without empty filters."""
        named = {name: text for name, text in {**chosen, **changes}.items() if text}
        return f"{self.path}{suffix}" + (f"?{urlencode(named)}" if named else "")

    def values(
        self, chosen: Chosen, agents: Mapping[str, str], errors: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Return what the form shows."""
        agent = chosen.get("agent", "")
        return {
            "chosen": chosen,
            "names": agents,
            "agent_name": agents.get(agent, agent),
            "options": self.options,
            "usual": self.begin,
            "errors": errors or {},
        }

    def rejected(self, visit: Visit, chosen: Chosen, rejection: RequestError) -> Page:
        """Return the form alone, with what is wrong in it.

        Raises:
            RequestError: The rejection, if it is not about filters.
        """
        if not rejection.errors:
            raise rejection
        values = self.values(chosen, agent_names(visit), messages(rejection))
        return Page(self.template, values, rejection.status)

    def choose(self, visit: Visit) -> Answer:
        """Redirect to the address that has the filters of the form."""
        chosen = {name: visit.form.get(name, "").strip() for name in self.names}
        usual = {"from": self.begin, "to": NOW}
        try:
            chosen["agent"] = agent_in(visit)
        except RequestError as rejection:
            return self.rejected(visit, chosen, rejection)
        return Redirect(
            self.address({n: text for n, text in chosen.items() if text != usual.get(n)})
        )


def agent_names(visit: Visit) -> dict[str, str]:
    """Return the names of the agents with runs by id, most runs first."""
    counts = visit.api.get(COUNTS, of="runs", by="agent")["counts"]
    return {group["agent"]["id"]: group["agent"]["name"] for group in counts}
