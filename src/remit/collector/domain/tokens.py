"""API tokens: created, shown once, stored as a hash, suspended, revoked; by command and by API."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import ClassVar, Final, NamedTuple

import msgspec

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit._base.ids import partition_of
from remit.collector.domain.agents import RETIRED, new_agent
from remit.collector.domain.context import Caller, Context, IdSource, Permission, Permissions
from remit.collector.domain.params import (
    Filter,
    ListQuery,
    Text,
    agent_of,
    check_name,
    instant,
    listed,
    row_of,
    wrong_in_identifier,
    wrong_in_name,
)
from remit.collector.domain.places import deployment_of, prepare
from remit.collector.domain.runs import environment_for
from remit.collector.errors import forbidden, invalid_action, invalid_field, unauthorized
from remit.collector.models.api_token import ApiToken, ApiTokenForCreate
from remit.collector.store.base import Readable, Store, write
from remit.collector.store.rows import AgentRow, TokenRow
from remit.collector.store.transaction import Transaction
from remit.collector.times import format_us, parse_us
from remit.collector.views.resources import row_view
from remit.errors import UsageError
from remit.models.agent import AgentForCreate

SECRET_PREFIX: Final = "remit_"  # noqa: S105 - not a secret itself
SECRET_BYTES: Final = 32
DEFAULT_AGENT: Final = "default"
ACTIVE: Final = "active"
REVOKED: Final = "revoked"
SUSPENDED: Final = "suspended"
EXPIRED: Final = "expired"
"""Status of an active token after its end, as the command line shows it."""
_BOUND: Final = ("agent_id", "environment_id")


class TokenScope(StrEnum):
    """Scope of a token."""

    ACCOUNT = "account"
    """Access to everything in the account. A registration must contain the agent id."""
    AGENT_DEPLOYMENT = "agent_deployment"
    """Access to one agent in one environment. A registration does not contain their ids."""


class TokenInfo(NamedTuple):
    """A token without its secret.

    Attributes:
        id: Id of the token.
        scope: The account, or one agent in one environment.
        account_id: Account of the token.
        name: Display name of the token.
        agent_id: Id of the agent, for the `agent_deployment` scope.
        environment_id: Id of the environment, for the same scope.
        status: `active`, `expired`, `suspended` or `revoked`.
        inserted_at: Time of creation in ISO 8601.
        may: Permissions of the token, separated by commas.
        expires_at: Time of expiry in ISO 8601. None if the token never expires.
        last_used_at: Time of the last use in ISO 8601, accurate to about ten minutes. None if the
            token was never used.
    """

    id: str
    scope: TokenScope
    account_id: str
    agent_id: str | None
    environment_id: str | None
    status: str
    inserted_at: str
    name: str | None
    may: str
    expires_at: str | None
    last_used_at: str | None


class CreatedToken(NamedTuple):
    """A new token and its secret. The database does not store the secret.

    Attributes:
        secret: The secret, for `Authorization: Bearer`.
        info: The token.
    """

    secret: str
    info: TokenInfo


def create_token(
    store: Store,
    scope: TokenScope | str,
    *,
    agent: str = DEFAULT_AGENT,
    name: str | None = None,
    may: Permission | str = Permission.WRITE,
    expires_at: datetime | None = None,
    clock: Clock | None = None,
) -> CreatedToken:
    """Create a token for the database's account.

    Args:
        store: The database. If it does not contain an account, one is created.
        scope: The account, or one agent in one environment.
        agent: External identifier of the agent, for the `agent_deployment` scope. If the agent does
            not exist, it is created.
        name: Display name of the token.
        may: Permissions of the token, separated by commas.
        expires_at: Time of expiry. A time without an offset is in UTC. With None, the token never
            expires.
        clock: The clock, for tests.

    Raises:
        UsageError: If the identifier, the name or the permissions are not valid, or if *expires_at*
            is not in the future.
        ValueError: If the scope or a permission does not exist.
    """
    scope, permissions = TokenScope(scope), Permissions.of(may)
    wrong = _wrong_in_scope(scope, permissions)
    if wrong is not None:
        raise UsageError(f"the permission of a token {wrong}")
    wrong = wrong_in_identifier(agent)
    if wrong is not None:
        raise UsageError(f"the external identifier of an agent {wrong}: use another one")
    if name is not None and (wrong := wrong_in_name(name)) is not None:
        raise UsageError(f"the name of a token {wrong}: give another one")
    clock = clock or SystemClock()
    now_us = clock.wall_ns() // NS_PER_US
    expires_us = None if expires_at is None else parse_us(expires_at.isoformat())
    if expires_us is not None and expires_us <= now_us:
        raise UsageError("a token cannot expire in the past: give a time in the future")
    ids = IdSource(clock)
    account = prepare(store, clock)
    partition = partition_of(account.id) or 0

    def new_id() -> str:
        return ids.new(partition)

    grant = _Grant(scope, str(permissions), name, expires_us)
    unbound, secret = _new_token(new_id(), account.id, grant, now_us)

    def work(tx: Transaction) -> TokenRow:
        row = unbound
        if scope == TokenScope.AGENT_DEPLOYMENT:
            known = tx.agent_of_identifier(account.id, agent)
            if known is None:
                described = AgentForCreate(name=agent, external_identifier=agent)
                known = new_agent(new_id(), account.id, described, now_us)
                tx.add(known)
            row = _bound(tx, row, known, tx.environments(account.id)[0].id, new_id)
        tx.add(row)
        return row

    return CreatedToken(secret, _info(write(store, work), now_us))


class _Grant(NamedTuple):
    token_scope: TokenScope
    may: str
    name: str | None
    expires_at: int | None
    made_by: str | None = None


def _new_token(token_id: str, account_id: str, grant: _Grant, now_us: int) -> tuple[TokenRow, str]:
    """Return the row of a new token, which is bound to no agent, and its secret."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    row = TokenRow(
        id=token_id,
        account_id=account_id,
        agent_id=None,
        environment_id=None,
        agent_deployment_id=None,
        token_hash=hash_of(secret),
        status=ACTIVE,
        inserted_at=now_us,
        updated_at=now_us,
        **grant._asdict(),
    )
    return row, secret


def _bound(
    tx: Transaction,
    row: TokenRow,
    agent: AgentRow,
    environment_id: str,
    new_id: Callable[[], str],
) -> TokenRow:
    deployment = deployment_of(tx, agent, environment_id, new_id=new_id, now_us=row.inserted_at)
    return msgspec.structs.replace(
        row,
        agent_id=deployment.agent_id,
        environment_id=deployment.environment_id,
        agent_deployment_id=deployment.id,
    )


def list_tokens(store: Readable, *, clock: Clock | None = None) -> list[TokenInfo]:
    """Return the tokens of a database, oldest first."""
    now_us = (clock or SystemClock()).wall_ns() // NS_PER_US
    with store.reading() as tx:
        return [_info(row, now_us) for row in tx.tokens()]


def revoke_token(store: Store, token_id: str, *, clock: Clock | None = None) -> TokenInfo:
    """Revoke a token and the tokens that were created with it.

    Raises:
        UsageError: If the token does not exist.
    """
    now_us = (clock or SystemClock()).wall_ns() // NS_PER_US

    def work(tx: Transaction) -> TokenRow:
        found = [row for row in tx.tokens() if row.id == token_id]
        if not found:
            raise UsageError(f"there is no token {token_id}: `remit token list` shows all tokens")
        return stop(tx, found[0], REVOKED, now_us)

    return _info(write(store, work), now_us)


def stop(tx: Transaction, row: TokenRow, status: str, now_us: int) -> TokenRow:
    """Suspend or revoke a token and all tokens created with it, directly or not; return its row."""
    stopped = _with_status(tx, row, status, now_us)
    # Level by level: a request that makes a token locks its own token until it commits.
    made = tx.tokens_made_by([row.id])
    while made:
        for one in made:
            if one.status not in {status, REVOKED}:
                _with_status(tx, one, status, now_us)
        made = tx.tokens_made_by([one.id for one in made])
    return stopped


def _with_status(tx: Transaction, row: TokenRow, status: str, now_us: int) -> TokenRow:
    row = msgspec.structs.replace(row, status=status, updated_at=now_us)
    tx.change(row)
    return row


def caller_of(tx: Transaction, secret: str, now_us: int) -> Caller:
    """Return the holder of the token *secret*.

    Raises:
        RequestError: 401, it does not exist, or is no longer active.
    """
    token_hash = hash_of(secret)
    row = tx.token_of_hash(token_hash)
    if row is None or not hmac.compare_digest(row.token_hash, token_hash):
        raise unauthorized()
    return holder_of(tx, row, now_us)


def holder_of(tx: Transaction, row: TokenRow, now_us: int) -> Caller:
    """Return the holder of a token.

    Raises:
        RequestError: 401, it is no longer active.
    """
    if row.status != ACTIVE or (row.expires_at is not None and row.expires_at <= now_us):
        raise unauthorized()
    if row.agent_id is not None:
        agent = tx.agent(row.account_id, row.agent_id)
        if agent is None or agent.status == RETIRED:
            raise unauthorized()
    return Caller(
        row.account_id,
        row.token_scope,
        row.agent_id,
        row.environment_id,
        row.id,
        Permissions.of(row.may),
    )


def _info(row: TokenRow, now_us: int) -> TokenInfo:
    expired = row.status == ACTIVE and row.expires_at is not None and row.expires_at <= now_us
    return TokenInfo(
        row.id,
        TokenScope(row.token_scope),
        row.account_id,
        row.agent_id,
        row.environment_id,
        EXPIRED if expired else row.status,
        format_us(row.inserted_at),
        row.name,
        row.may,
        None if row.expires_at is None else format_us(row.expires_at),
        None if row.last_used_at is None else format_us(row.last_used_at),
    )


def hash_of(secret: str) -> bytes:
    """Return the stored form of a secret."""
    return hashlib.sha256(secret.encode()).digest()


# Operations of the API


class TokenQuery(ListQuery):
    """Which tokens to list."""

    sortable: ClassVar[tuple[str, ...]] = (
        "id",
        "token_scope",
        "status",
        "expires_at",
        "inserted_at",
        "updated_at",
    )
    account_id: Text = None
    token_scope: Filter = None
    status: Filter = None
    agent_id: Filter = None
    environment_id: Filter = None


class NewToken(NamedTuple):
    """The response to the creation of a token; a repetition has no secret."""

    row: TokenRow
    secret: str | None = None

    @property
    def id(self) -> str:
        """Id of the token."""
        return self.row.id


def list_of_account(ctx: Context, query: TokenQuery) -> bytes:
    """List the account's tokens, without their secrets."""
    return listed(ctx, TokenRow, query, partial(row_view, ApiToken))


def find(ctx: Context, token_id: str, *_: object) -> TokenRow:
    """Return a token without its secret."""
    return row_of(ctx, TokenRow, token_id, "api_token")


def create(ctx: Context, request: ApiTokenForCreate) -> NewToken:
    """Create a token and return its secret. A repeated request does not return the secret."""
    if request.name is not None:
        check_name("name", request.name)
    scope = TokenScope(request.token_scope)
    permissions = _granted(ctx, scope, request.may)
    expires_at = None
    if request.expires_at is not None:
        expires_at = instant("expires_at", request.expires_at, ctx.now_us)
        if expires_at <= ctx.now_us:
            raise invalid_field("expires_at", "must lie in the future")
    creator = _own_token(ctx)
    if creator is not None and creator.expires_at is not None:
        expires_at = min(expires_at or creator.expires_at, creator.expires_at)
    made_by = None if creator is None else creator.id
    grant = _Grant(scope, str(permissions), request.name, expires_at, made_by)
    row, secret = _new_token(ctx.new_id(), ctx.caller.account_id, grant, ctx.now_us)
    if scope is TokenScope.AGENT_DEPLOYMENT:
        if request.agent_id is None:
            raise invalid_field("agent_id", "is required for a deployment's token")
        agent = agent_of(ctx, request.agent_id)
        environment_id = environment_for(ctx, request.environment_id, agent)
        row = _bound(ctx.tx, row, agent, environment_id, ctx.new_id)
    else:
        # A token of the account would do more than its creator may expect.
        for field in _BOUND:
            if getattr(request, field) is not None:
                raise invalid_field(field, "must be absent for an account's token")
    ctx.tx.add(row)
    return NewToken(row, secret)


def _granted(ctx: Context, scope: TokenScope, text: str) -> Permissions:
    try:
        permissions = Permissions.of(text)
    except ValueError as error:
        words = ", ".join(Permission)
        raise invalid_field("may", f"must be one or several of {words}, comma-separated") from error
    if (wrong := _wrong_in_scope(scope, permissions)) is not None:
        raise invalid_field("may", wrong)
    if not ctx.caller.may.permits(*permissions.words):
        options = " ".join(f"--may {word}" for word in permissions.words)
        raise forbidden(
            f"a token that may {ctx.caller.may.in_words} cannot create one that may "
            f"{permissions.in_words}: create it with one that may, or with "
            f"`remit token create {options}`"
        )
    return permissions


def _wrong_in_scope(scope: TokenScope, permissions: Permissions) -> str | None:
    if scope is TokenScope.AGENT_DEPLOYMENT and Permission.METRICS in permissions.words:
        return "metrics needs the scope account: /metrics is about the whole server"
    return None


def find_created(ctx: Context, token_id: str, *_: object) -> NewToken:
    """Return a token for the response to a repeated creation."""
    return NewToken(find(ctx, token_id))


def created_view(token: NewToken) -> dict[str, object]:
    """Return the response to a creation."""
    response: dict[str, object] = {"status": "success", "details": row_view(ApiToken, token.row)}
    return response if token.secret is None else {**response, "token": token.secret}


def suspend(ctx: Context, token_id: str) -> TokenRow:
    """Suspend a token and the tokens that were created with it. Each must be activated again."""
    row = find(ctx, token_id)
    if row.status != ACTIVE:
        raise invalid_action(f"token is {row.status}: it cannot suspend")
    return stop(ctx.tx, row, SUSPENDED, ctx.now_us)


def activate(ctx: Context, token_id: str) -> TokenRow:
    """Activate a suspended token."""
    row = find(ctx, token_id)
    if row.status != SUSPENDED:
        raise invalid_action(f"token is {row.status}: it cannot activate")
    return _with_status(ctx.tx, row, ACTIVE, ctx.now_us)


def revoke(ctx: Context, token_id: str) -> TokenRow:
    """Permanently revoke a token and the tokens that were created with it."""
    row = find(ctx, token_id)
    if row.status == REVOKED:
        raise invalid_action(f"token is {row.status}: it cannot revoke")
    return stop(ctx.tx, row, REVOKED, ctx.now_us)


def delete(ctx: Context, token_id: str) -> TokenRow:
    """Delete a revoked token."""
    row = find(ctx, token_id)
    if row.status != REVOKED:
        raise invalid_action(f"token is {row.status}: revoke it first")
    ctx.tx.remove(row)
    return row


def _own_token(ctx: Context) -> TokenRow | None:
    """Return the token of the request, locked until the transaction ends."""
    token_id = ctx.caller.token_id
    if token_id is None:
        return None
    row = ctx.tx.row(TokenRow, ctx.caller.account_id, token_id)
    if row is None or row.status != ACTIVE:
        raise unauthorized()
    return row
