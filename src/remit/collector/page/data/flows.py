"""The data map: which data may leave, through which agents and by which steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from remit._policy.leaving import Leaves, may_leave
from remit._policy.words import CATEGORIES, most_sensitive
from remit.collector.domain.declared import Declared
from remit.collector.page.declared import AgentRemit
from remit.collector.store.questions.count_lists import StepCount

MOST_DRAWN: Final = 12
"""Most agents that are drawn; the last row has all others together."""


class FlowKind(StrEnum):
    """What happens to a category in an agent."""

    LEAVES = "leaves"
    """It is declared to leave by a step."""
    NOT_RULED_OUT = "not ruled out"
    """A step does not declare that it cannot leave."""
    DENIED = "denied"
    """A step that takes it was denied."""
    STAYS = "stays"
    """Each step declares that it cannot leave."""


ORDER: Final = (FlowKind.LEAVES, FlowKind.NOT_RULED_OUT, FlowKind.DENIED, FlowKind.STAYS)


@dataclass(frozen=True)
class Flow:
    """A category in an agent.

    Attributes:
        steps: The names of the steps by which it leaves, may leave, or was denied.
        spans: How many of the steps that hold it ran.
    """

    category: str
    kind: FlowKind
    steps: tuple[str, ...]
    spans: int
    denied: int = 0
    agents: int = 1


@dataclass(frozen=True)
class AgentFlows:
    """The categories of an agent.

    Attributes:
        id: The agent; empty for several.
        is_undeclared: Whether no category is declared.
        by_kind: For several agents, how many of them a kind concerns.
    """

    id: str
    name: str
    runs: int
    spans: int
    flows: Sequence[Flow]
    is_undeclared: bool = False
    agents: int = 1
    by_kind: Mapping[FlowKind, int] = field(default_factory=dict[FlowKind, int])

    def of(self, kind: FlowKind) -> list[Flow]:
        """Return the flows of a kind."""
        return [flow for flow in self.flows if flow.kind is kind]

    def steps(self, kind: FlowKind) -> list[str]:
        """Return the names of the steps of a kind."""
        return sorted({step for flow in self.of(kind) for step in flow.steps})


def flows_of(
    remit: AgentRemit, counts: Mapping[tuple[str, str], StepCount], runs: int
) -> AgentFlows:
    """Return the categories of an agent."""
    numbers = {step.name: counts.get((remit.agent.id, step.name)) for step in remit.all}
    spans = {name: 0 if count is None else count.spans for name, count in numbers.items()}
    denied = {name: 0 if count is None else count.denied for name, count in numbers.items()}
    flows = [_flow(remit, category, spans, denied) for category in remit.categories]
    undeclared = not remit.categories and not any(map(remit.effective.excludes, CATEGORIES))
    return AgentFlows(
        remit.agent.id, remit.agent.name, runs, sum(spans.values()), flows, undeclared
    )


def _flow(
    remit: AgentRemit, category: str, spans: Mapping[str, int], denied: Mapping[str, int]
) -> Flow:
    holding = [step for step in remit.steps.values() if step.holds(category)]
    ran = sum(spans[step.name] for step in holding) or (0 if holding else sum(spans.values()))
    # Each call of these was denied.
    stopped = [step for step in remit.steps.values() if 0 < spans[step.name] <= denied[step.name]]
    stopped_here = [step for step in stopped if step in holding]
    sending = [step for step in remit.steps.values() if step not in stopped]
    leaving, not_ruled_out = (
        [step for step in sending if may_leave(step.step, category) is how]
        for how in (Leaves.DECLARED, Leaves.NOT_RULED_OUT)
    )
    if stopped_here and (remit.forbids(category) or not (leaving or not_ruled_out)):
        times = sum(denied[step.name] for step in stopped_here)
        return Flow(category, FlowKind.DENIED, _names(stopped_here), ran, times)
    if leaving:
        return Flow(category, FlowKind.LEAVES, _names(leaving), ran)
    if not_ruled_out:
        return Flow(category, FlowKind.NOT_RULED_OUT, _names(not_ruled_out), ran)
    return Flow(category, FlowKind.STAYS, (), ran)


def _names(steps: Iterable[Declared]) -> tuple[str, ...]:
    return tuple(sorted({step.short for step in steps}))


def ordered(agents: Iterable[AgentFlows]) -> list[AgentFlows]:
    """Return agents in order: those through which data leave first, then those with most steps."""

    def rank(agent: AgentFlows) -> tuple[int, int, str]:
        kinds = [ORDER.index(flow.kind) for flow in agent.flows]
        first = min(kinds, default=len(ORDER) - 1)
        first = ORDER.index(FlowKind.NOT_RULED_OUT) + 1 if agent.is_undeclared else first
        return first, -agent.spans, agent.name

    return sorted(agents, key=rank)


def drawn(agents: Sequence[AgentFlows]) -> list[AgentFlows]:
    """Return the agents that are drawn: the first ones, and the others as one."""
    if len(agents) <= MOST_DRAWN:
        return list(agents)
    rest = agents[MOST_DRAWN - 1 :]
    return [*agents[: MOST_DRAWN - 1], _together(rest)]


def _together(agents: Sequence[AgentFlows]) -> AgentFlows:
    by_kind = {kind: sum(bool(agent.of(kind)) for agent in agents) for kind in FlowKind}
    alike: dict[tuple[str, FlowKind], list[Flow]] = {}
    for flow in (flow for agent in agents for flow in agent.flows):
        alike.setdefault((flow.category, flow.kind), []).append(flow)
    flows: list[Flow] = []
    for (category, kind), same in alike.items():
        spans, denied = sum(flow.spans for flow in same), sum(flow.denied for flow in same)
        flows.append(Flow(category, kind, (), spans, denied, len(same)))
    runs, spans = (sum(getattr(agent, name) for agent in agents) for name in ("runs", "spans"))
    name = f"{len(agents):,} other agents"
    return AgentFlows("", name, runs, spans, flows, agents=len(agents), by_kind=by_kind)


@dataclass(frozen=True)
class Category:
    """A category over all agents."""

    name: str
    classification: str
    flows: Sequence[tuple[AgentFlows, Flow]]

    def of(self, kind: FlowKind) -> list[tuple[AgentFlows, Flow]]:
        """Return the flows of a kind, each with its agent."""
        return [(agent, flow) for agent, flow in self.flows if flow.kind is kind]


def categories_of(agents: Sequence[AgentFlows], remits: Iterable[AgentRemit]) -> list[Category]:
    """Return the categories of the agents; first the ones that leave through most agents."""
    classes: dict[str, str] = {}
    for remit in remits:
        for name in remit.categories:
            classes[name] = most_sensitive([classes.get(name, ""), remit.class_of(name)])
    categories = [
        Category(
            name,
            classes.get(name, "unknown"),
            [(agent, flow) for agent in agents for flow in agent.flows if flow.category == name],
        )
        for name in CATEGORIES
    ]

    def rank(category: Category) -> tuple[int, ...]:
        return tuple(-len(category.of(kind)) for kind in ORDER)

    return sorted((category for category in categories if category.flows), key=rank)
