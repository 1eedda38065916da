"""Accounts and environments: shown, listed, renamed; environments also made and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from remit.collector.ingest.checks import check_name, checked_id, taken, validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.resources import account_values, count, found, listed, required
from remit.collector.models.account import (
    AccountForUpdate,
    EnvironmentForCreate,
    EnvironmentForUpdate,
)
from remit.collector.refusals import invalid_action
from remit.collector.store import AccountRow, DeploymentRow, EnvironmentRow
from remit.collector.views import account_view, environment_view, success_answer

SORTABLE: Final = ("id", "name", "inserted_at", "updated_at")


def list_accounts(ctx: Context, params: bytes, key: str | None) -> bytes:
    """List the accounts of the token: its own."""
    del key
    return listed(ctx, AccountRow, params, account_view, sortable=SORTABLE)


def show_account(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return an account."""
    del key
    return success_answer(account_view(_account(ctx, account_values(ctx, params))))


def update_account(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Rename an account."""
    values = account_values(ctx, params)

    def do() -> Done:
        row = _account(ctx, values)
        request = validated(AccountForUpdate, values)
        if "name" in request.model_fields_set:
            check_name("name", request.name)
            row = msgspec.structs.replace(row, name=request.name, updated_at=ctx.now_us)
            ctx.tx.change(row)
        return Done(success_answer(account_view(row)))

    return once(ctx, "accounts/update", key, values, do)


def list_environments(ctx: Context, params: bytes, key: str | None) -> bytes:
    """List the environments of the account."""
    del key
    return listed(ctx, EnvironmentRow, params, environment_view, sortable=SORTABLE)


def show_environment(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return an environment."""
    del key
    return success_answer(environment_view(_environment(ctx, account_values(ctx, params))))


def create_environment(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Create an environment."""
    values = account_values(ctx, params)

    def do() -> Done:
        request = validated(EnvironmentForCreate, values)
        check_name("name", request.name)
        return Done(success_answer(environment_view(_created(ctx, request))))

    return once(ctx, "environments/create", key, values, do)


def update_environment(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Rename an environment."""
    values = account_values(ctx, params)

    def do() -> Done:
        row = _environment(ctx, values)
        request = validated(EnvironmentForUpdate, values)
        if "name" in request.model_fields_set:
            check_name("name", request.name)
            row = msgspec.structs.replace(row, name=request.name, updated_at=ctx.now_us)
            ctx.tx.change(row)
        return Done(success_answer(environment_view(row)))

    return once(ctx, "environments/update", key, values, do)


def delete_environment(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Delete an environment without deployments, unless it is the last one."""
    values = account_values(ctx, params)

    def do() -> Done:
        row = _environment(ctx, values, to_remove=True)
        ctx.tx.remove(row)
        # Asked afterwards, when nobody can deploy there any more; a refusal undoes the removal.
        if count(ctx, DeploymentRow, {"environment_id": row.id}):
            raise invalid_action("environment has deployments: delete them first")
        if not count(ctx, EnvironmentRow, {}):
            raise invalid_action("environment is the account's last: make another one first")
        return Done(success_answer(environment_view(row)))

    return once(ctx, "environments/delete", key, values, do)


def _created(ctx: Context, request: EnvironmentForCreate) -> EnvironmentRow:
    """Return the new environment, or the one that an equal request for the same id made."""
    environment_id = checked_id(request.id)
    if environment_id is not None:
        known = ctx.tx.row(EnvironmentRow, None, environment_id)
        if known is not None:
            if (known.account_id, known.name) != (ctx.caller.account_id, request.name):
                raise taken("id")
            return known
    now_us = ctx.now_us
    row = EnvironmentRow(
        environment_id or ctx.new_id(), ctx.caller.account_id, request.name, now_us, now_us
    )
    ctx.tx.add(row)
    return row


def _account(ctx: Context, values: Mapping[str, object]) -> AccountRow:
    return found(ctx, AccountRow, required(values, "account_id"), "account")


def _environment(
    ctx: Context, values: Mapping[str, object], *, to_remove: bool = False
) -> EnvironmentRow:
    environment_id = required(values, "environment_id")
    return found(ctx, EnvironmentRow, environment_id, "environment", to_remove=to_remove)
