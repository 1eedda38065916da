"""The data map: which data may leave, through which agents and by which steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from remit.collector.errors import RequestError
from remit.collector.page import tables
from remit.collector.page.agent_remits import MOST_AGENTS, AgentRemit, counted_steps, remits_of
from remit.collector.page.choices import (
    address_of,
    agent_names,
    all_valid,
    chosen_in,
    messages,
    one_of,
    window_in,
)
from remit.collector.page.declared import CATEGORIES
from remit.collector.page.flows import (
    MOST_DRAWN,
    AgentFlows,
    Category,
    Kind,
    categories_of,
    drawn,
    flows_of,
    ordered,
)
from remit.collector.page.formats import words
from remit.collector.page.map_drawing import WIDTH, drawing
from remit.collector.page.shell import render
from remit.collector.page.visits import Answer, Data, Page, Redirect, Visit
from remit.collector.page.windows import LAST_DAY, Window

PATH: Final = "/map"
SHOWN: Final = {
    "": "everything",
    "leaves": "what leaves",
    "open": "what nobody rules out",
}
BEGINS: Final = {
    LAST_DAY: "24 hours ago",
    "7d": "7 days ago",
    "30d": "30 days ago",
    "90d": "90 days ago",
}
_NAMES: Final = ("category", "agent", "show", "from")
_CLOSE: Final = ("restricted", "secret")
_COLUMNS: Final = (
    "category",
    "class",
    "agent_id",
    "agent",
    "verdict",
    "steps",
    "ran",
    "refused",
)
_ABOVE: Final = 40
"""Height of the heads of the columns in a saved drawing."""


class _Map(NamedTuple):
    """What the map is made from."""

    window: Window
    declared: Sequence[AgentRemit]
    agents: Sequence[AgentFlows]
    categories: Sequence[Category]


def show(visit: Visit) -> Answer:
    """Show the map."""
    return _page(visit, {name: visit.query.get(name, "") for name in _NAMES})


def choose(visit: Visit) -> Answer:
    """Redirect to the address that has the filters of the form."""
    try:
        chosen = chosen_in(visit, _NAMES)
    except RequestError as refusal:
        entered = {name: visit.form.get(name, "") for name in _NAMES}
        return _form(visit, entered, refusal, agent_name=entered["agent"])
    return Redirect(address_of(PATH, {**chosen, "from": _usual(chosen["from"])}))


def csv(visit: Visit) -> Answer:
    """Return the map as a table for a spreadsheet."""
    shown = _read(visit, visit.query)
    lines = [
        (
            category.name,
            category.classification,
            agent.id,
            agent.name,
            flow.kind.value,
            " ".join(flow.steps),
            flow.spans,
            flow.refused,
        )
        for category in shown.categories
        for agent, flow in category.flows
    ]
    return Data(tables.csv(_COLUMNS, lines), tables.CSV, "data-map.csv")


def svg(visit: Visit) -> Answer:
    """Return the drawing as a separate file."""
    shown = _read(visit, visit.query)
    values = {**_drawn(shown), "above": _ABOVE, "left": 250, "across": WIDTH}
    return Data(render("map.svg", values), "image/svg+xml", "data-map.svg")


def _page(visit: Visit, chosen: Mapping[str, str]) -> Answer:
    try:
        shown = _read(visit, chosen)
    except RequestError as refusal:
        return _form(visit, chosen, refusal)
    leaving = [each for each in shown.categories if each.of(Kind.LEAVES)]
    through = [agent for agent in shown.agents if agent.of(Kind.LEAVES)]
    unruled = [agent for agent in shown.agents if agent.of(Kind.OPEN) or agent.is_silent]
    names = agent_names(visit)
    values: dict[str, object] = {
        **_line(visit, chosen, names),
        **_drawn(shown, whole=visit.query.get("all") == "1"),
        "errors": {},
        "whole": None
        if visit.query.get("all") == "1" or len(shown.agents) <= MOST_DRAWN
        else f"{address_of(PATH, {**chosen, 'all': '1'})}#table",
        "window": shown.window,
        "total": len(shown.declared),
        "most": MOST_AGENTS,
        "leaving": leaving,
        "through": len(through),
        "unruled": len(unruled),
        "only": _only(leaving),
        "csv": address_of(f"{PATH}.csv", chosen),
        "svg": address_of(f"{PATH}.svg", chosen),
    }
    return Page("map.html", values)


def _form(
    visit: Visit, chosen: Mapping[str, str], refusal: RequestError, agent_name: str = ""
) -> Answer:
    """Return the form alone, with what is wrong in it."""
    values: dict[str, object] = {
        **_line(visit, chosen, agent_names(visit)),
        "errors": messages(refusal),
        "total": 0,
    }
    if agent_name:
        values["agent_name"] = agent_name
    return Page("map.html", values, refusal.status)


def _line(visit: Visit, chosen: Mapping[str, str], names: Mapping[str, str]) -> dict[str, object]:
    """Return what the line of filters shows."""
    del visit
    agent_id = chosen.get("agent", "")
    return {
        "chosen": chosen,
        "names": names,
        "agent_name": names.get(agent_id, agent_id),
        "all_categories": CATEGORIES,
        "shows": SHOWN,
        "begins": BEGINS,
        "usual": LAST_DAY,
    }


def _usual(begin: str) -> str:
    return "" if begin == LAST_DAY else begin


def _read(visit: Visit, chosen: Mapping[str, str]) -> _Map:
    """Return the map of the filters.

    Raises:
        RequestError: 404, there is no such agent; 422, a filter is not valid.
    """
    categories = dict.fromkeys(CATEGORIES, "")
    all_valid(
        partial(one_of, chosen, "category", categories),
        partial(one_of, chosen, "show", SHOWN),
        partial(window_in, visit, chosen, LAST_DAY),
    )
    window = window_in(visit, chosen, LAST_DAY)
    counted: dict[str, Any] = {"since": window.since, "until": window.until}
    agent_id = chosen.get("agent") or None
    groups = visit.api.get(
        "/api/remit/v1/counts", of="runs", by="agent", agent_id=agent_id, **counted
    )["counts"]
    runs = {group["agent"]["id"]: int(group["runs"]) for group in groups}
    remits = visit.api.read(partial(remits_of, agent_id=agent_id))
    declared = [remit for remit in remits if remit.all or remit.agent.id in runs]
    counts = visit.api.read(partial(counted_steps, window=window, agent_id=agent_id))
    agents = [flows_of(remit, counts, runs.get(remit.agent.id, 0)) for remit in declared]
    agents = _narrowed(agents, chosen)
    return _Map(window, declared, ordered(agents), categories_of(ordered(agents), declared))


def _narrowed(agents: Sequence[AgentFlows], chosen: Mapping[str, str]) -> list[AgentFlows]:
    """Return the agents with the flows that the filters choose, without those that have none."""
    category, show = chosen.get("category", ""), chosen.get("show", "")
    if not category and not show:
        return list(agents)
    kinds = {"leaves": (Kind.LEAVES,), "open": (Kind.OPEN,)}.get(show, tuple(Kind))
    narrowed = [
        AgentFlows(
            agent.id,
            agent.name,
            agent.runs,
            agent.spans,
            [
                flow
                for flow in agent.flows
                if flow.kind in kinds and category in {"", flow.category}
            ],
            agent.is_silent and not category and show != "leaves",
        )
        for agent in agents
    ]
    return [agent for agent in narrowed if agent.flows or agent.is_silent]


def _drawn(shown: _Map, *, whole: bool = False) -> dict[str, object]:
    """Return what the drawing shows, and the table: the same agents, or all."""
    agents = drawn(shown.agents)
    classes = shown.categories
    few = categories_of(agents, shown.declared)
    order = {each.name: place for place, each in enumerate(classes)}
    few = sorted(few, key=lambda each: order[each.name])
    rest = [name for name in CATEGORIES if name not in order]
    return {
        "agents": agents,
        "categories": classes if whole else few,
        "rest": rest,
        "ruled_out": {
            name: sum(remit.rules_out(name) for remit in shown.declared) for name in rest
        },
        "drawing": drawing(agents, few, len(rest)),
        "Kind": Kind,
    }


def _only(leaving: Sequence[Category]) -> tuple[str, str, str] | None:
    """Return the closest category that leaves through one agent only, the agent, and the steps."""
    for category in leaving:
        flows = category.of(Kind.LEAVES)
        if category.classification in _CLOSE and len(flows) == 1:
            agent, flow = flows[0]
            return words(category.name).capitalize(), agent.name, ", ".join(flow.steps)
    return None
