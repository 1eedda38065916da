"""Agents and their deployments: made at first sight, or by hand; the version that runs there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from remit.collector.ingest.checks import checked_id, taken, validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.resources import (
    account_values,
    agent_of,
    count,
    found,
    listed,
    required,
)
from remit.collector.models.deployment import AgentDeploymentForCreate, AgentDeploymentForUpdate
from remit.collector.refusals import invalid_action, not_found
from remit.collector.store import (
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    InstanceRow,
    VersionRow,
    Writing,
)
from remit.collector.views import deployment_view, success_answer

ACTIVE: Final = "active"
RETIRED: Final = "retired"
SORTABLE: Final = ("id", "agent_id", "environment_id", "inserted_at", "updated_at")
FILTERS: Final = ("agent_id", "environment_id")


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
    """Return the deployment of *agent* in an environment, made if it is the first time.

    Both are kept from being removed until the transaction ends.

    Raises:
        RequestError: 404, there is no such environment any more.
    """
    for row in tx.deployments(agent.id):
        if row.environment_id == environment_id:
            kept = tx.row(DeploymentRow, agent.account_id, row.id)
            if kept is not None:
                return kept
    if tx.row(EnvironmentRow, agent.account_id, environment_id) is None:
        raise not_found("environment")
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


def list_deployments(ctx: Context, params: bytes, key: str | None) -> bytes:
    """List the deployments of the account, all or those of an agent or an environment."""
    del key
    return listed(ctx, DeploymentRow, params, deployment_view, sortable=SORTABLE, filters=FILTERS)


def show(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return a deployment."""
    del key
    return success_answer(deployment_view(_deployment(ctx, account_values(ctx, params))))


def create(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Deploy an agent in an environment."""
    values = account_values(ctx, params)

    def do() -> Done:
        request = validated(AgentDeploymentForCreate, values)
        return Done(success_answer(deployment_view(_created(ctx, request))))

    return once(ctx, "agent_deployments/create", key, values, do)


def update(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Set or clear the current version of a deployment."""
    values = account_values(ctx, params)

    def do() -> Done:
        row = _deployment(ctx, values)
        request = validated(AgentDeploymentForUpdate, values)
        if "current_version_id" in request.model_fields_set:
            version_id = request.current_version_id
            _check_version(ctx, row.agent_id, version_id)
            changes = {"current_version_id": version_id, "updated_at": ctx.now_us}
            row = msgspec.structs.replace(row, **changes)
            ctx.tx.change(row)
        return Done(success_answer(deployment_view(row)))

    return once(ctx, "agent_deployments/update", key, values, do)


def delete(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Delete a deployment without instances."""
    values = account_values(ctx, params)

    def do() -> Done:
        row = _deployment(ctx, values, to_remove=True)
        ctx.tx.remove(row)
        # Asked afterwards, when nobody can run there any more; a refusal undoes the removal.
        if count(ctx, InstanceRow, {"agent_deployment_id": row.id}):
            raise invalid_action("deployment has instances")
        return Done(success_answer(deployment_view(row)))

    return once(ctx, "agent_deployments/delete", key, values, do)


def _created(ctx: Context, request: AgentDeploymentForCreate) -> DeploymentRow:
    agent = agent_of(ctx, request.agent_id)
    environment = found(ctx, EnvironmentRow, request.environment_id, "environment")
    _check_version(ctx, agent.id, request.current_version_id)
    chosen = checked_id(request.id)
    for row in ctx.tx.deployments(agent.id):
        if row.environment_id == environment.id:
            if row.id == chosen:
                return row
            raise taken("environment_id")
    if chosen is not None and ctx.tx.row(DeploymentRow, None, chosen):
        raise taken("id")
    row = DeploymentRow(
        id=chosen or ctx.new_id(),
        account_id=agent.account_id,
        agent_id=agent.id,
        environment_id=environment.id,
        current_version_id=request.current_version_id,
        inserted_at=ctx.now_us,
        updated_at=ctx.now_us,
    )
    ctx.tx.add(row)
    return row


def _check_version(ctx: Context, agent_id: str, version_id: str | None) -> None:
    if version_id is None:
        return
    if found(ctx, VersionRow, version_id, "agent_version").agent_id != agent_id:
        raise not_found("agent_version")


def _deployment(
    ctx: Context, values: Mapping[str, object], *, to_remove: bool = False
) -> DeploymentRow:
    deployment_id = required(values, "agent_deployment_id")
    return found(ctx, DeploymentRow, deployment_id, "agent_deployment", to_remove=to_remove)
