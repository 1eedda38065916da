"""API tokens over the API: made, listed, suspended and brought back, revoked, deleted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from remit.collector.ingest.checks import instant, validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.deployments import deployment_of
from remit.collector.ingest.keys import Done, once
from remit.collector.ingest.register import environment_for
from remit.collector.ingest.resources import (
    account_values,
    agent_of,
    found,
    listed,
    required,
)
from remit.collector.ingest.tokens import (
    ACTIVE,
    REVOKED,
    SECRET_BYTES,
    SECRET_PREFIX,
    TokenScope,
    hash_of,
    stop,
)
from remit.collector.models.api_token import ApiTokenForCreate
from remit.collector.refusals import invalid_action, invalid_field, unauthorized
from remit.collector.store import TokenRow
from remit.collector.views import success_answer, token_view
from remit.collector.wire import encode

SUSPENDED: Final = "suspended"
SORTABLE: Final = ("id", "token_scope", "status", "expires_at", "inserted_at", "updated_at")
FILTERS: Final = ("token_scope", "status", "agent_id", "environment_id")
_BOUND: Final = ("agent_id", "environment_id")


def list_tokens(ctx: Context, params: bytes, key: str | None) -> bytes:
    """List the tokens of the account, without their secrets."""
    del key
    return listed(ctx, TokenRow, params, token_view, sortable=SORTABLE, filters=FILTERS)


def show(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return a token without its secret."""
    del key
    return success_answer(token_view(_token(ctx, account_values(ctx, params))))


def create(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Create a token and return its secret, once: a repeated request is answered without it."""
    values = account_values(ctx, params)

    def do() -> Done:
        request = validated(ApiTokenForCreate, values)
        secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        row = _created(ctx, request, hash_of(secret))
        view = token_view(row)
        told = encode({"status": "success", "details": view, "token": secret})
        return Done(told, kept=success_answer(view))

    return once(ctx, "api_tokens/create", key, values, do)


def suspend(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Suspend a token and the tokens created with it, until each is activated again."""
    return _stepped(ctx, "suspend", params, key, {ACTIVE: SUSPENDED})


def activate(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Activate a suspended token."""
    return _stepped(ctx, "activate", params, key, {SUSPENDED: ACTIVE})


def revoke(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Revoke a token and the tokens created with it, for good."""
    return _stepped(ctx, "revoke", params, key, {ACTIVE: REVOKED, SUSPENDED: REVOKED})


def delete(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Delete a revoked token."""
    values = account_values(ctx, params)

    def do() -> Done:
        row = _token(ctx, values)
        if row.status != REVOKED:
            raise invalid_action(f"token is {row.status}: revoke it first")
        ctx.tx.remove(row)
        return Done(success_answer(token_view(row)))

    return once(ctx, "api_tokens/delete", key, values, do)


def _stepped(
    ctx: Context, step: str, params: bytes, key: str | None, steps: Mapping[str, str]
) -> bytes:
    values = account_values(ctx, params)

    def do() -> Done:
        row = _token(ctx, values)
        status = steps.get(row.status)
        if status is None:
            raise invalid_action(f"token is {row.status}: it cannot {step}")
        if status == ACTIVE:
            row = msgspec.structs.replace(row, status=ACTIVE, updated_at=ctx.now_us)
            ctx.tx.change(row)
        else:
            row = stop(ctx.tx, row, status, ctx.now_us)
        return Done(success_answer(token_view(row)))

    return once(ctx, f"api_tokens/{step}", key, values, do)


def _created(ctx: Context, request: ApiTokenForCreate, token_hash: bytes) -> TokenRow:
    expires_at = None
    if request.expires_at is not None:
        expires_at = instant("expires_at", request.expires_at, ctx.now_us)
        if expires_at <= ctx.now_us:
            raise invalid_field("expires_at", "must lie in the future")
    maker = _maker(ctx)
    if maker is not None and maker.expires_at is not None:
        expires_at = min(expires_at or maker.expires_at, maker.expires_at)
    row = TokenRow(
        id=ctx.new_id(),
        account_id=ctx.caller.account_id,
        token_scope=request.token_scope,
        agent_id=None,
        environment_id=None,
        agent_deployment_id=None,
        token_hash=token_hash,
        status=ACTIVE,
        expires_at=expires_at,
        inserted_at=ctx.now_us,
        updated_at=ctx.now_us,
        made_by=None if maker is None else maker.id,
    )
    if TokenScope(request.token_scope) is TokenScope.AGENT_DEPLOYMENT:
        row = _bound(ctx, row, request)
    else:
        _check_unbound(request)
    ctx.tx.add(row)
    return row


def _maker(ctx: Context) -> TokenRow | None:
    """Return the token of the request, locked until the transaction ends.

    Raises:
        RequestError: 401, it was suspended or revoked meanwhile.
    """
    token_id = ctx.caller.token_id
    if token_id is None:
        return None
    row = ctx.tx.row(TokenRow, ctx.caller.account_id, token_id)
    if row is None or row.status != ACTIVE:
        raise unauthorized()
    return row


def _bound(ctx: Context, row: TokenRow, request: ApiTokenForCreate) -> TokenRow:
    if request.agent_id is None:
        raise invalid_field("agent_id", "is required for a deployment's token")
    agent = agent_of(ctx, request.agent_id)
    environment_id = environment_for(ctx, request.environment_id, agent)
    deployment = deployment_of(ctx.tx, agent, environment_id, new_id=ctx.new_id, now_us=ctx.now_us)
    return msgspec.structs.replace(
        row,
        agent_id=agent.id,
        environment_id=environment_id,
        agent_deployment_id=deployment.id,
    )


def _check_unbound(request: ApiTokenForCreate) -> None:
    """Refuse to bind an account's token: it would do more than whoever asks may think."""
    for field in _BOUND:
        if getattr(request, field) is not None:
            raise invalid_field(field, "must be absent for an account's token")


def _token(ctx: Context, values: Mapping[str, object]) -> TokenRow:
    return found(ctx, TokenRow, required(values, "api_token_id"), "api_token")
