"""Places: accounts, environments, and deployments of agents in environments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Final, TypeVar

import msgspec

from remit._base.clock import NS_PER_US, Clock
from remit._base.ids import new_partition, partition_of
from remit.collector.domain.context import Context, IdSource
from remit.collector.domain.params import (
    Filter,
    ListQuery,
    Text,
    agent_of,
    check_name,
    checked_id,
    count,
    count_runs,
    listed,
    row_of,
    taken,
)
from remit.collector.errors import invalid_action, not_found
from remit.collector.models.account import (
    Account,
    AccountForUpdate,
    Environment,
    EnvironmentForCreate,
    EnvironmentForUpdate,
)
from remit.collector.models.deployment import (
    AgentDeployment,
    AgentDeploymentForCreate,
    AgentDeploymentForUpdate,
)
from remit.collector.store.base import Store, write
from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    VersionRow,
)
from remit.collector.store.transaction import Transaction
from remit.collector.views.resources import row_view

R = TypeVar("R", AccountRow, EnvironmentRow)

ACCOUNT: Final = "default"
ENVIRONMENT: Final = "default"


class AccountQuery(ListQuery):
    """Which accounts to list."""

    sortable: ClassVar[tuple[str, ...]] = ("id", "name", "inserted_at", "updated_at")


class EnvironmentQuery(AccountQuery):
    """Which environments to list."""

    account_id: Text = None


class DeploymentQuery(ListQuery):
    """Which deployments to list."""

    sortable: ClassVar[tuple[str, ...]] = (
        "id",
        "agent_id",
        "environment_id",
        "inserted_at",
        "updated_at",
    )
    agent_id: Filter = None
    environment_id: Filter = None


def prepare(store: Store, clock: Clock) -> AccountRow:
    """Return the account of a database, created with its first environment if it has none."""
    with store.reading() as tx:
        accounts = tx.accounts()
    if accounts:
        return accounts[0]
    now_us = clock.wall_ns() // NS_PER_US
    ids = IdSource(clock)

    def work(tx: Transaction) -> AccountRow:
        # Read again: another process may have created it.
        accounts = tx.accounts()
        if accounts:
            return accounts[0]
        account = AccountRow(ids.new(new_partition()), ACCOUNT, now_us, now_us)
        environment_id = ids.new(partition_of(account.id) or 0)
        tx.add(account)
        tx.add(EnvironmentRow(environment_id, account.id, ENVIRONMENT, now_us, now_us))
        return account

    return write(store, work)


# Accounts


def list_accounts(ctx: Context, query: AccountQuery) -> bytes:
    """List the token's account."""
    return listed(ctx, AccountRow, query, partial(row_view, Account))


def find_account(ctx: Context, account_id: str, *_: object) -> AccountRow:
    """Return an account."""
    return row_of(ctx, AccountRow, account_id, "account")


def update_account(ctx: Context, account_id: str, request: AccountForUpdate) -> AccountRow:
    """Rename an account."""
    return _renamed(ctx, find_account(ctx, account_id), request)


# Environments


def list_environments(ctx: Context, query: EnvironmentQuery) -> bytes:
    """List the account's environments."""
    return listed(ctx, EnvironmentRow, query, partial(row_view, Environment))


def find_environment(ctx: Context, environment_id: str, *_: object) -> EnvironmentRow:
    """Return an environment."""
    return row_of(ctx, EnvironmentRow, environment_id, "environment")


def create_environment(ctx: Context, request: EnvironmentForCreate) -> EnvironmentRow:
    """Create an environment."""
    check_name("name", request.name)
    environment_id = checked_id(request.id)
    if environment_id is not None:
        known = ctx.tx.row(EnvironmentRow, None, environment_id)
        if known is not None:
            # An equal request for the same id is a repetition.
            if (known.account_id, known.name) != (ctx.caller.account_id, request.name):
                raise taken("id")
            return known
    now_us = ctx.now_us
    row = EnvironmentRow(
        environment_id or ctx.new_id(), ctx.caller.account_id, request.name, now_us, now_us
    )
    ctx.tx.add(row)
    return row


def update_environment(
    ctx: Context, environment_id: str, request: EnvironmentForUpdate
) -> EnvironmentRow:
    """Rename an environment."""
    return _renamed(ctx, find_environment(ctx, environment_id), request)


def _renamed(ctx: Context, row: R, request: AccountForUpdate | EnvironmentForUpdate) -> R:
    if "name" in request.model_fields_set:
        check_name("name", request.name)
        row = msgspec.structs.replace(row, name=request.name, updated_at=ctx.now_us)
        ctx.tx.change(row)
    return row


def delete_environment(ctx: Context, environment_id: str) -> EnvironmentRow:
    """Delete an environment that does not have deployments. The last one cannot be deleted."""
    row = row_of(ctx, EnvironmentRow, environment_id, "environment", to_remove=True)
    ctx.tx.remove(row)
    # Counted after the removal, when no deployment can be added; an error undoes the removal.
    if count(ctx, DeploymentRow, {"environment_id": row.id}):
        raise invalid_action("environment has deployments: delete them first")
    if not count(ctx, EnvironmentRow, {}):
        raise invalid_action("environment is the account's last: make another one first")
    return row


# Deployments


def list_deployments(ctx: Context, query: DeploymentQuery) -> bytes:
    """List the deployments of the account, an agent or an environment."""
    return listed(ctx, DeploymentRow, query, partial(row_view, AgentDeployment))


def find_deployment(ctx: Context, deployment_id: str, *_: object) -> DeploymentRow:
    """Return a deployment."""
    return row_of(ctx, DeploymentRow, deployment_id, "agent_deployment")


def create_deployment(ctx: Context, request: AgentDeploymentForCreate) -> DeploymentRow:
    """Deploy an agent in an environment."""
    agent = agent_of(ctx, request.agent_id)
    environment = find_environment(ctx, request.environment_id)
    _check_version(ctx, agent.id, request.current_version_id)
    chosen = checked_id(request.id)
    for row in ctx.tx.deployments(agent.id):
        if row.environment_id == environment.id:
            if row.id == chosen:
                return row
            raise taken("environment_id")
    if chosen is not None and ctx.tx.row(DeploymentRow, None, chosen):
        raise taken("id")
    row = _new_deployment(chosen or ctx.new_id(), agent, environment.id, ctx.now_us)
    row = msgspec.structs.replace(row, current_version_id=request.current_version_id)
    ctx.tx.add(row)
    return row


def update_deployment(
    ctx: Context, deployment_id: str, request: AgentDeploymentForUpdate
) -> DeploymentRow:
    """Set or clear the current version of a deployment."""
    row = find_deployment(ctx, deployment_id)
    if "current_version_id" in request.model_fields_set:
        version_id = request.current_version_id
        _check_version(ctx, row.agent_id, version_id)
        row = msgspec.structs.replace(row, current_version_id=version_id, updated_at=ctx.now_us)
        ctx.tx.change(row)
    return row


def delete_deployment(ctx: Context, deployment_id: str) -> DeploymentRow:
    """Delete a deployment that does not have runs."""
    row = row_of(ctx, DeploymentRow, deployment_id, "agent_deployment", to_remove=True)
    ctx.tx.remove(row)
    # Counted after the removal, when no run can be added; an error undoes the removal.
    if count_runs(ctx, {"agent_deployment_id": row.id}):
        raise invalid_action("deployment has instances")
    return row


def deployment_of(
    tx: Transaction, agent: AgentRow, environment_id: str, *, new_id: Callable[[], str], now_us: int
) -> DeploymentRow:
    """Return the deployment of *agent* in an environment, created if missing.

    Both cannot be removed until the transaction ends.

    Raises:
        RequestError: 404, the environment does not exist any more.
    """
    for row in tx.deployments(agent.id):
        if row.environment_id == environment_id:
            kept = tx.row(DeploymentRow, agent.account_id, row.id)
            if kept is not None:
                return kept
    if tx.row(EnvironmentRow, agent.account_id, environment_id) is None:
        raise not_found("environment")
    row = _new_deployment(new_id(), agent, environment_id, now_us)
    tx.add(row)
    return row


def _new_deployment(
    deployment_id: str, agent: AgentRow, environment_id: str, now_us: int
) -> DeploymentRow:
    return DeploymentRow(
        id=deployment_id,
        account_id=agent.account_id,
        agent_id=agent.id,
        environment_id=environment_id,
        current_version_id=None,
        inserted_at=now_us,
        updated_at=now_us,
    )


def _check_version(ctx: Context, agent_id: str, version_id: str | None) -> None:
    if version_id is None:
        return
    if row_of(ctx, VersionRow, version_id, "agent_version").agent_id != agent_id:
        raise not_found("agent_version")
