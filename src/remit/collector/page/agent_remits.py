"""What all agents declared last, and how often their steps ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from remit.collector.domain import Context
from remit.collector.page.declared import Declaration, declaration_of
from remit.collector.page.windows import Window
from remit.collector.store.questions import (
    AgentRecord,
    CountCriteria,
    StepCount,
    agents,
    scope_of,
    step_counts,
)

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
    caller = ctx.caller
    scope = scope_of(ctx.tx, caller.account_id, caller.agent_id or agent_id)
    if scope is None:
        return []
    return [remit_of(agent) for agent in agents(ctx.tx, scope, MOST_AGENTS)]


def remit_of(agent: AgentRecord) -> AgentRemit:
    """Return what an agent declared last."""
    declared = declaration_of(agent.span_types, agent.external_identifier, agent.name)
    return AgentRemit(declared.own, declared.steps, agent)


def counted_steps(
    ctx: Context, *, window: Window, agent_id: str | None = None
) -> dict[tuple[str, str], StepCount]:
    """Return how often each step ran in a time, by agent and step."""
    caller = ctx.caller
    chosen = caller.agent_id or agent_id
    scope = scope_of(ctx.tx, caller.account_id, chosen, caller.environment_id)
    if scope is None:
        return {}
    wanted = CountCriteria(scope=scope, since_us=window.since_us, until_us=window.until_us)
    return {(count.agent_id, count.name): count for count in step_counts(ctx.tx, wanted)}
