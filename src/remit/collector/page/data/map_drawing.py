"""The geometry of the data map: lines from categories to agents, and from agents through the wall.

Numbers are pixels; the templates write them as attributes of SVG.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from remit.collector.page.data.flows import ORDER, AgentFlows, Category, Flow, FlowKind

WIDTH: Final = 270
"""Width of the part between categories and agents."""
ROW: Final = 44
TALL: Final = 64
"""Height of the row of an agent with three lines through the wall."""
CATEGORY: Final = 28
"""Least height of a category."""
_THINNEST: Final = 1.4
_BY_STEPS: Final = 1.55
_GAP: Final = 0.6
_MOST_THICK: Final = 14.0
_CLASSES: Final = {
    FlowKind.LEAVES: "leave",
    FlowKind.NOT_RULED_OUT: "un",
    FlowKind.STAYS: "stay",
    FlowKind.DENIED: "denied",
}


class FlowLine(NamedTuple):
    """A line from a category to an agent."""

    css: str
    width: float
    path: str


class Out(NamedTuple):
    """A line through the wall.

    Attributes:
        tip: The path of its arrow; empty without one.
    """

    kind: FlowKind
    css: str
    width: float
    y: float
    tip: str


class DrawnAgent(NamedTuple):
    """The row of an agent."""

    agent: AgentFlows
    top: int
    height: int
    behind: Sequence[FlowLine]
    lines: Sequence[FlowLine]
    out: Sequence[Out]


class Drawing(NamedTuple):
    """The map."""

    rows: Sequence[DrawnAgent]
    height: int
    categories: Sequence[tuple[Category, float]]


def thickness(spans: int) -> float:
    """Return the width of a line for a number of steps."""
    return round(_THINNEST + _BY_STEPS * math.log10(max(spans, 1)), 1)


def drawing(agents: Sequence[AgentFlows], categories: Sequence[Category], more: int) -> Drawing:
    """Return the map.

    Args:
        more: How many categories have no row; one row is theirs.
    """
    heights = [TALL if len(_kinds_out(agent)) > 2 else ROW for agent in agents]  # noqa: PLR2004 - two lines fit
    count = len(categories) + (1 if more else 0)
    height = max(sum(heights), count * CATEGORY)
    middles = {
        category.name: height / max(count, 1) * (place + 0.5)
        for place, category in enumerate(categories)
    }
    begins = _begins(agents, middles)
    rows: list[DrawnAgent] = []
    top = 0
    for agent, tall in zip(agents, heights, strict=True):
        lines = _lines(agent, begins, top, tall)
        behind = [line for line in lines if line.css == _CLASSES[FlowKind.STAYS]]
        front = [line for line in lines if line.css != _CLASSES[FlowKind.STAYS]]
        rows.append(DrawnAgent(agent, top, tall, behind, front, _out(agent, tall)))
        top += tall
    return Drawing(rows, height, [(category, middles[category.name]) for category in categories])


def _kinds_out(agent: AgentFlows) -> list[FlowKind]:
    if agent.is_undeclared:
        return [FlowKind.NOT_RULED_OUT]
    return [kind for kind in ORDER if kind is not FlowKind.STAYS and agent.of(kind)]


def _begins(
    agents: Sequence[AgentFlows], middles: dict[str, float]
) -> dict[tuple[str, str, FlowKind], float]:
    """Return where the line of each category and agent begins: side by side around the middle."""
    widths: dict[str, list[tuple[tuple[str, FlowKind], float]]] = defaultdict(list)
    for agent in agents:
        for flow in agent.flows:
            widths[flow.category].append(((agent.id, flow.kind), thickness(flow.spans)))
    begins: dict[tuple[str, str, FlowKind], float] = {}
    for category, lines in widths.items():
        y = middles[category] - _together([width for _, width in lines]) / 2
        for (agent_id, kind), width in lines:
            begins[category, agent_id, kind] = y + width / 2
            y += width + _GAP
    return begins


def _lines(
    agent: AgentFlows, begins: dict[tuple[str, str, FlowKind], float], top: int, height: int
) -> list[FlowLine]:
    widths = [thickness(flow.spans) for flow in agent.flows]
    whole = _together(widths)
    # Many lines lie on each other instead of outside their row.
    scale = min(1.0, (height - 4) / whole) if whole else 1.0
    y = (height - whole * scale) / 2
    lines: list[FlowLine] = []
    by_begin = sorted(agent.flows, key=lambda flow: begins[flow.category, agent.id, flow.kind])
    for flow in by_begin:
        width = thickness(flow.spans)
        begin, end = begins[flow.category, agent.id, flow.kind] - top, y + width * scale / 2
        path = f"M0 {begin:.1f}C{WIDTH / 2:g} {begin:.1f} {WIDTH / 2:g} {end:.1f} {WIDTH} {end:.1f}"
        lines.append(FlowLine(_CLASSES[flow.kind], width, path))
        y += (width + _GAP) * scale
    return lines


def _out(agent: AgentFlows, height: int) -> list[Out]:
    kinds = _kinds_out(agent)
    lines: list[Out] = []
    for place, kind in enumerate(kinds):
        y = height / 2 + (place - (len(kinds) - 1) / 2) * 18
        width = _wide(agent.of(kind))
        half = width / 2 + 3
        shape = f"M84 {y - half:.1f}l{half:.1f} {half:.1f}-{half:.1f} {half:.1f}z"
        tip = shape if kind is FlowKind.LEAVES else ""
        lines.append(Out(kind, _CLASSES[kind], width, y, tip))
    return lines


def _wide(flows: Sequence[Flow]) -> float:
    """Return the width of several lines that join outside."""
    wide = sum(thickness(flow.spans) for flow in flows) * 0.65
    return round(min(max(wide, thickness(1)), _MOST_THICK), 1) if flows else 10.0


def _together(widths: Sequence[float]) -> float:
    return sum(widths) + _GAP * max(len(widths) - 1, 0)
