"""Handlers of the data map; `flows` has its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from remit._policy.words import CATEGORIES
from remit.collector.errors import RequestError
from remit.collector.page import formats
from remit.collector.page.data.flows import (
    MOST_DRAWN,
    AgentFlows,
    Category,
    Flow,
    FlowKind,
    categories_of,
    drawn,
    flows_of,
    ordered,
)
from remit.collector.page.data.map_drawing import WIDTH, drawing
from remit.collector.page.declared import MOST_AGENTS, AgentRemit, counted_steps, remits_of
from remit.collector.page.filters import FilterLine, Filters, agent_names
from remit.collector.page.shell import render
from remit.collector.page.tables import csv_file
from remit.collector.page.visits import COUNTS, Data, Html, Response, Visit
from remit.collector.page.windows import BEGINS, LAST_DAY, Window

FILTERS: Final = FilterLine(
    path="/map",
    template="map.html",
    names=("category", "agent", "show", "from"),
    options={
        "category": {
            "": f"any of {len(CATEGORIES)}",
            **{name: formats.category(name) for name in CATEGORIES},
        },
        "show": {
            "": "everything",
            "leaves": "data that may leave",
            "not_ruled_out": "not ruled out",
        },
        "from": {
            **{begin: BEGINS[begin] for begin in (LAST_DAY, "7d", "30d")},
            "90d": "90 days ago",
        },
    },
    begin=LAST_DAY,
)
_CLOSE: Final = ("restricted", "secret")
_COLUMNS: Final[Mapping[str, Callable[[tuple[Category, AgentFlows, Flow]], object]]] = {
    "category": lambda row: row[0].name,
    "class": lambda row: row[0].classification,
    "agent_id": lambda row: row[1].id,
    "agent": lambda row: row[1].name,
    "flow": lambda row: row[2].kind.value,
    "steps": lambda row: " ".join(row[2].steps),
    "ran": lambda row: row[2].spans,
    "denied": lambda row: row[2].denied,
}
_MODEL_CALL: Final = ":llm"
"""End of the types of model calls, which integrations record."""
_ABOVE: Final = 40
"""Height of the heads of the columns in a saved drawing."""


class _Map(NamedTuple):
    """The data of the map."""

    window: Window
    declared: Sequence[AgentRemit]
    agents: Sequence[AgentFlows]
    categories: Sequence[Category]
    model_calls: Mapping[str, int]


def model_calls(by_type: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return how often each type of model calls ran, from counts by type."""
    return {one["type"]: int(one["spans"]) for one in by_type if one["type"].endswith(_MODEL_CALL)}


def show(visit: Visit) -> Response:
    """Show the map."""
    filters = FILTERS.of(visit.query)
    try:
        shown = _read(visit, filters)
    except RequestError as rejection:
        return filters.rejected(visit, rejection)
    whole = visit.query.get("all") == "1"
    leaving = [category for category in shown.categories if category.of(FlowKind.LEAVES)]
    through = [agent for agent in shown.agents if agent.of(FlowKind.LEAVES)]
    unruled = [
        agent for agent in shown.agents if agent.of(FlowKind.NOT_RULED_OUT) or agent.is_undeclared
    ]
    values: dict[str, object] = {
        **filters.values(agent_names(visit)),
        **_drawn(shown, whole=whole),
        "whole": None
        if whole or len(shown.agents) <= MOST_DRAWN
        else f"{filters.but(all='1').address()}#table",
        "all_categories": CATEGORIES,
        "window": shown.window,
        "total": len(shown.declared),
        "most": MOST_AGENTS,
        "leaving": leaving,
        "through": len(through),
        "unruled": len(unruled),
        "is_undeclared": all(agent.is_undeclared for agent in shown.agents),
        "model_calls": shown.model_calls,
        "draws_nothing": not filters.get("category")
        and not filters.get("show")
        and all(agent.is_undeclared for agent in shown.agents),
        "only": _only(leaving),
        "csv": filters.address(".csv"),
        "svg": filters.address(".svg"),
    }
    return Html("map.html", values)


def csv(visit: Visit) -> Response:
    """Return the map as a table for a spreadsheet."""
    shown = _read(visit, FILTERS.of(visit.query))
    rows = ((category, *flow) for category in shown.categories for flow in category.flows)
    return csv_file("data-map.csv", _COLUMNS, rows)


def svg(visit: Visit) -> Response:
    """Return the drawing as a separate file."""
    shown = _read(visit, FILTERS.of(visit.query))
    values = {**_drawn(shown), "above": _ABOVE, "left": 250, "across": WIDTH}
    return Data(render("map.svg", values), "image/svg+xml", "data-map.svg")


def _read(visit: Visit, filters: Filters) -> _Map:
    """Return the map of the filters.

    Raises:
        RequestError: 404, the agent does not exist; 422, a filter is not valid.
    """
    window = filters.window(visit)
    counted: dict[str, Any] = {"since": window.since, "until": window.until}
    agent_id = filters.get("agent") or None
    groups = visit.api.get(COUNTS, of="runs", by="agent", agent_id=agent_id, **counted)["counts"]
    runs = {group["agent"]["id"]: int(group["runs"]) for group in groups}
    remits = visit.api.read(partial(remits_of, agent_id=agent_id))
    declared = [remit for remit in remits if remit.all or remit.agent.id in runs]
    counts = visit.api.read(partial(counted_steps, window=window, agent_id=agent_id))
    agents = [flows_of(remit, counts, runs.get(remit.agent.id, 0)) for remit in declared]
    agents = _narrowed(agents, filters)
    by_type = visit.api.get(COUNTS, by="type", agent_id=agent_id, **counted)["counts"]
    calls = model_calls(by_type)
    return _Map(window, declared, ordered(agents), categories_of(ordered(agents), declared), calls)


def _narrowed(agents: Sequence[AgentFlows], filters: Filters) -> list[AgentFlows]:
    """Return the agents with flows that pass the filters, and those flows."""
    category, show = filters.get("category"), filters.get("show")
    if not category and not show:
        return list(agents)
    kinds = {"leaves": (FlowKind.LEAVES,), "not_ruled_out": (FlowKind.NOT_RULED_OUT,)}.get(
        show, tuple(FlowKind)
    )
    narrowed = [
        replace(
            agent,
            flows=[
                flow
                for flow in agent.flows
                if flow.kind in kinds and category in {"", flow.category}
            ],
            is_undeclared=agent.is_undeclared and not category and show != "leaves",
        )
        for agent in agents
    ]
    return [agent for agent in narrowed if agent.flows or agent.is_undeclared]


def _drawn(shown: _Map, *, whole: bool = False) -> dict[str, object]:
    """Return the values of the drawing and of the table: the same agents, or all."""
    agents = drawn(shown.agents)
    classes = shown.categories
    few = categories_of(agents, shown.declared)
    order = {category.name: place for place, category in enumerate(classes)}
    few = sorted(few, key=lambda category: order[category.name])
    rest = [name for name in CATEGORIES if name not in order]
    ruled_out = {
        name: sum(remit.effective.excludes(name) for remit in shown.declared) for name in rest
    }
    return {
        "agents": agents,
        "categories": classes if whole else few,
        "rest": rest,
        "untaken": _untaken(ruled_out, len(shown.declared)),
        "drawing": drawing(agents, few, len(rest)),
        "FlowKind": FlowKind,
    }


def _untaken(ruled_out: Mapping[str, int], total: int) -> list[tuple[list[str], int, int]]:
    """Return the categories that all agents exclude, and the others.

    Returns:
        With each group the smallest and the largest number of agents that rule one of it out.
    """
    by_all = [name for name, count in ruled_out.items() if count == total]
    groups = [by_all, [name for name in ruled_out if name not in by_all]]
    counted = [(group, [ruled_out[name] for name in group]) for group in groups if group]
    return [(group, min(counts), max(counts)) for group, counts in counted]


def _only(leaving: Sequence[Category]) -> tuple[str, str, str] | None:
    """Return the most sensitive category that leaves by one agent only, the agent and the steps."""
    for category in leaving:
        flows = category.of(FlowKind.LEAVES)
        if category.classification in _CLOSE and len(flows) == 1:
            agent, flow = flows[0]
            return formats.words(category.name).capitalize(), agent.name, ", ".join(flow.steps)
    return None
