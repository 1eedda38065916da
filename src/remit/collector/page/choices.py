"""The line of filters above a page: what an address and a form choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from remit.collector.errors import RequestError, invalid, invalid_field
from remit.collector.page.run_filters import agent_in
from remit.collector.page.visits import Visit
from remit.collector.page.windows import Window, window_of

AGENT: Final = "agent"


def address_of(path: str, chosen: Mapping[str, str]) -> str:
    """Return the address of a page with filters, without empty ones."""
    named = {name: text for name, text in chosen.items() if text}
    return f"{path}?{urlencode(named)}" if named else path


def chosen_in(visit: Visit, names: tuple[str, ...]) -> dict[str, str]:
    """Return what a form chose by name; the agent by its id.

    Raises:
        RequestError: 422, the name is not that of one agent.
    """
    chosen = {name: visit.form.get(name, "").strip() for name in names}
    if AGENT in chosen:
        chosen[AGENT] = agent_in(visit)
    return chosen


def one_of(chosen: Mapping[str, str], name: str, words: Mapping[str, str]) -> str:
    """Return a filter that must be a key of *words*, or empty.

    Raises:
        RequestError: 422.
    """
    text = chosen.get(name, "")
    if text and text not in words:
        raise invalid_field(name, f"must be one of {', '.join(filter(None, words))}")
    return text


def window_in(visit: Visit, chosen: Mapping[str, str], begin: str) -> Window:
    """Return the time that is chosen, from *begin* on without a choice.

    Raises:
        RequestError: 422.
    """
    return window_of(
        chosen.get("from") or begin, chosen.get("to") or "now", visit.zone, visit.now_us
    )


def messages(refusal: RequestError) -> dict[str, str]:
    """Return what is wrong by filter, as it stands beside the form.

    Raises:
        RequestError: The refusal, if it is not about filters.
    """
    if not refusal.errors:
        raise refusal
    names = {"agent_id": AGENT, "since": "from", "until": "to"}
    return {names.get(name, name): ", ".join(each) for name, each in refusal.errors.items()}


def all_valid(*checks: Callable[[], object]) -> None:
    """Make checks of filters; refuse with the messages of all that fail.

    Raises:
        RequestError: 422.
    """
    errors: dict[str, list[str]] = {}
    for check in checks:
        try:
            check()
        except RequestError as refusal:
            errors |= {name: list(each) for name, each in (refusal.errors or {}).items()}
    if errors:
        raise invalid(errors)


def agent_names(visit: Visit) -> dict[str, str]:
    """Return the names of the agents with runs by id, most runs first."""
    counts = visit.api.get("/api/remit/v1/counts", of="runs", by="agent")["counts"]
    return {group["agent"]["id"]: group["agent"]["name"] for group in counts}
