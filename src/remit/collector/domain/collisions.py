"""Finds different programs that use the same agent identifier.

Two versions of one program share steps. Two programs are therefore different if they share no step,
or if their owners differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from remit._base.step_names import ADAPTERS
from remit.collector.domain.context import Context
from remit.collector.domain.declared import declaration_of
from remit.collector.domain.params import Filter, Query, agent_of
from remit.collector.store.rows import AgentRow, SchemaVersionRow
from remit.collector.times import US_PER_S, format_us
from remit.collector.views.runs import named_agent

WITHIN_US: Final = 24 * 3600 * US_PER_S
"""Maximum time since the registration of the programs that are compared."""
MOST_VERSIONS: Final = 20
"""Number of latest schema versions that are compared per agent."""
MOST_AGENTS: Final = 100
MOST_STEPS: Final = 5
"""Maximum number of a program's steps that a response names."""
_NOT_OWN: Final = re.compile(rf"(?:{'|'.join(sorted({*ADAPTERS, 'remit'}))}):(?!tool:)")
"""Names of steps that programs share because they use the same framework, except tools."""


class Program(NamedTuple):
    """A program that registered an agent.

    Attributes:
        steps: Names of the program's own steps, without the agent itself and framework steps.
        registered_us: Time of the program's last registration, in microseconds since 1970.
    """

    schema_version_id: str
    owner: str | None
    steps: frozenset[str]
    registered_us: int

    def is_another(self, other: Program) -> bool:
        """Return whether two registrations cannot be versions of one program."""
        if self.owner and other.owner and self.owner != other.owner:
            return True
        return bool(self.steps and other.steps) and self.steps.isdisjoint(other.steps)

    def agrees_with(self, other: Program) -> bool:
        """Return whether two registrations are probably versions of one program.

        If one of them has no steps of its own, nothing indicates that.
        """
        return bool(self.steps) == bool(other.steps) and not self.is_another(other)


class CollisionsQuery(Query):
    """The agents to compare."""

    agent_id: Filter = None


def other_program(ctx: Context, agent: AgentRow, registered: SchemaVersionRow) -> Program | None:
    """Return the latest program that registered the agent and differs from *registered*."""
    since_us = ctx.now_us - WITHIN_US
    rows = ctx.tx.registered_since(agent.id, since_us, MOST_VERSIONS)
    own = _program(agent, registered)
    others = (_program(agent, row) for row in rows if row.id != registered.id)
    return next((program for program in others if program.is_another(own)), None)


def latest_program(ctx: Context, agent: AgentRow) -> Program | None:
    """Return the program that registered the agent last."""
    rows = ctx.tx.registered_since(agent.id, 0, 1)
    return _program(agent, rows[0]) if rows else None


def programs_of(ctx: Context, agent: AgentRow) -> list[Program]:
    """Return the different programs that registered an agent, the latest first."""
    found: list[Program] = []
    for row in ctx.tx.registered_since(agent.id, ctx.now_us - WITHIN_US, MOST_VERSIONS):
        program = _program(agent, row)
        if all(program.is_another(known) for known in found):
            found.append(program)
    return found


def list_collisions(ctx: Context, query: CollisionsQuery) -> dict[str, object]:
    """Return the agents that more than one program registered in the last 24 hours."""
    caller = ctx.caller
    if query.agent_id is not None:
        agent_of(ctx, query.agent_id)
    wanted = query.agent_id or caller.agent_id
    account_id, since_us = caller.account_id, ctx.now_us - WITHIN_US
    ids = [wanted] if wanted else ctx.tx.registered_often(account_id, since_us, MOST_AGENTS)
    agents = filter(None, (ctx.tx.agent(account_id, agent_id) for agent_id in ids))
    found = [(agent, programs_of(ctx, agent)) for agent in agents]
    return {
        "status": "success",
        "collisions": [
            {
                "agent": named_agent(agent.id, agent.name, agent.external_identifier),
                "programs": [program_view(program) for program in programs],
            }
            for agent, programs in found
            if len(programs) > 1
        ],
    }


def program_view(program: Program) -> dict[str, object]:
    """Return a program as a member of a response."""
    return {
        "agent_schema_version_id": program.schema_version_id,
        "owner": program.owner,
        "steps": named_steps(program.steps),
        "registered_at": format_us(program.registered_us),
    }


def named_steps(steps: Iterable[str]) -> Sequence[str]:
    """Return the first steps in the order of their names."""
    return sorted(steps)[:MOST_STEPS]


def _program(agent: AgentRow, row: SchemaVersionRow) -> Program:
    registered_us = row.registered_at or row.inserted_at
    return program_of(agent.external_identifier, row.span_type_schemas, row.id, registered_us)


def program_of(
    identifier: str | None,
    span_types: str | bytes,
    schema_version_id: str = "",
    registered_us: int = 0,
) -> Program:
    """Return the program that declares *span_types*, the JSON of a registration."""
    declared = declaration_of(span_types, identifier)
    steps = frozenset(name for name in declared.steps if not _NOT_OWN.match(name))
    return Program(schema_version_id, declared.owner, steps, registered_us)
