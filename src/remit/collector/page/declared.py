"""The newest declarations of the agents that a reader sees, and how often their steps ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from remit._base.step_names import ADAPTERS
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declaration, declaration_of
from remit.collector.page.formats import listed
from remit.collector.page.scope import scope_in
from remit.collector.page.windows import Window
from remit.collector.store.questions.count_lists import CountCriteria, StepCount, step_counts
from remit.collector.store.questions.records import AgentRecord, agents

VERBS: Final = {
    "create_data": "create data",
    "read_data": "read data",
    "update_data": "update data",
    "destroy_data": "destroy data",
    "financial_transactions": "move money",
    "external_communication": "communicate externally",
}
"""The actions as verbs."""
TOOL: Final = ":tool:"
"""What the name of a tool's type has between the integration and the tool."""


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return names without module, or framework of a tool, where that leaves them distinct."""
    shorter = {name: _shorter(name) for name in names}
    counts = Counter(shorter.values())
    return {name: name if counts[short] > 1 else short for name, short in shorter.items()}


def _shorter(name: str) -> str:
    adapter, tool, rest = name.partition(TOOL)
    if rest and tool and adapter in ADAPTERS:
        return rest
    return name.partition(":")[2] or name


MOST_AGENTS: Final = 1_000
"""Most agents of which declarations are read for one page, the newest."""


@dataclass(frozen=True)
class AgentRemit(Declaration):
    """The declaration of an agent."""

    agent: AgentRecord


def remits_of(ctx: Context, agent_id: str | None = None) -> list[AgentRemit]:
    """Return the newest declarations of the agents that the caller sees, or of one."""
    # An agent is declared for all environments alike.
    scope = scope_in(ctx, agent_id)._replace(environment_ref=None)
    return [remit_of(agent) for agent in agents(ctx.tx, scope, MOST_AGENTS)]


def remit_of(agent: AgentRecord) -> AgentRemit:
    """Return the newest declaration of an agent."""
    declared = declaration_of(agent.span_types, agent.external_identifier, agent.name)
    return AgentRemit(declared.own, declared.steps, agent)


def counted_steps(
    ctx: Context, *, window: Window, agent_id: str | None = None
) -> dict[tuple[str, str], StepCount]:
    """Return how often each step ran in a time, by agent and step."""
    scope = scope_in(ctx, agent_id)
    wanted = CountCriteria(scope=scope, since_us=window.since_us, until_us=window.until_us)
    return {(count.agent_id, count.name): count for count in step_counts(ctx.tx, wanted)}


def verbs_of(words: Sequence[str]) -> str:
    """Return actions as verbs: `create data or move money`."""
    return listed([VERBS[word] for word in words if word in VERBS], "or")
