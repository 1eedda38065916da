"""What all agents declared last, and how often their steps ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from remit.collector.domain.context import Context
from remit.collector.page.declared import Declaration, declaration_of
from remit.collector.page.visibility import scope_in
from remit.collector.page.windows import Window
from remit.collector.store.questions.count_lists import CountCriteria, StepCount, step_counts
from remit.collector.store.questions.records import AgentRecord, agents

MOST_AGENTS: Final = 1_000
"""Most agents of which declarations are read for one page, the newest."""


@dataclass(frozen=True)
class AgentRemit(Declaration):
    """The declaration of an agent.

    Attributes:
        agent: The agent.
    """

    agent: AgentRecord


def remits_of(ctx: Context, agent_id: str | None = None) -> list[AgentRemit]:
    """Return what the agents declared last that the caller sees, or the one of an id."""
    # An agent is declared for all environments alike.
    scope = scope_in(ctx, agent_id)._replace(environment_ref=None)
    return [remit_of(agent) for agent in agents(ctx.tx, scope, MOST_AGENTS)]


def remit_of(agent: AgentRecord) -> AgentRemit:
    """Return what an agent declared last."""
    declared = declaration_of(agent.span_types, agent.external_identifier, agent.name)
    return AgentRemit(declared.own, declared.steps, agent)


def counted_steps(
    ctx: Context, *, window: Window, agent_id: str | None = None
) -> dict[tuple[str, str], StepCount]:
    """Return how often each step ran in a time, by agent and step."""
    scope = scope_in(ctx, agent_id)
    wanted = CountCriteria(scope=scope, since_us=window.since_us, until_us=window.until_us)
    return {(count.agent_id, count.name): count for count in step_counts(ctx.tx, wanted)}
