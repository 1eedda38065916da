"""Agents and their deployments, made at first sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from remit.collector.store import AgentRow, DeploymentRow, Writing

ACTIVE: Final = "active"


def new_agent(
    agent_id: str,
    account_id: str,
    name: str,
    now_us: int,
    *,
    identifier: str | None = None,
) -> AgentRow:
    """Return a new agent that no request described."""
    return AgentRow(
        id=agent_id,
        account_id=account_id,
        name=name,
        description=None,
        external_identifier=identifier,
        status=ACTIVE,
        owner_person_id=None,
        risk_profile_id=None,
        team_id=None,
        body_hash="",
        inserted_at=now_us,
        updated_at=now_us,
    )


def deployment_of(
    tx: Writing, agent: AgentRow, environment_id: str, *, new_id: Callable[[], str], now_us: int
) -> DeploymentRow:
    """Return the deployment of *agent* in an environment, made if it is the first time."""
    for row in tx.deployments(agent.id):
        if row.environment_id == environment_id:
            return row
    row = DeploymentRow(
        id=new_id(),
        account_id=agent.account_id,
        agent_id=agent.id,
        environment_id=environment_id,
        current_version_id=None,
        inserted_at=now_us,
        updated_at=now_us,
    )
    tx.add(row)
    return row
