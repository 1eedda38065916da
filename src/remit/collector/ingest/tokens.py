"""API tokens: made, shown once, kept as a hash, compared in constant time, revoked for good."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit._base.ids import partition_of
from remit.collector.ingest.accounts import prepare
from remit.collector.ingest.checks import wrong_in_identifier
from remit.collector.ingest.context import Caller, IdSource
from remit.collector.ingest.deployments import RETIRED, deployment_of, new_agent
from remit.collector.refusals import unauthorized
from remit.collector.store import Reader, Reading, Store, TokenRow, Writing, write
from remit.collector.times import format_us
from remit.errors import UsageError

SECRET_PREFIX: Final = "remit_"  # noqa: S105 - the part that is no secret
SECRET_BYTES: Final = 32
DEFAULT_AGENT: Final = "default"
ACTIVE: Final = "active"
REVOKED: Final = "revoked"


class TokenScope(StrEnum):
    """What a token is good for."""

    ACCOUNT = "account"
    """Everything in the account; a registration must name its agent."""
    AGENT_DEPLOYMENT = "agent_deployment"
    """One agent in one environment; a registration names neither."""


class TokenInfo(NamedTuple):
    """A token without its secret.

    Attributes:
        id: Id of the token.
        scope: What it is good for.
        account_id: Whose it is.
        agent_id: The agent, under the scope `agent_deployment`.
        environment_id: The environment, under the same scope.
        status: `active`, `suspended` or `revoked`.
        inserted_at: When it was made, ISO 8601.
    """

    id: str
    scope: TokenScope
    account_id: str
    agent_id: str | None
    environment_id: str | None
    status: str
    inserted_at: str


class CreatedToken(NamedTuple):
    """A new token, and the only time that its secret is told."""

    secret: str
    info: TokenInfo


def create_token(
    store: Store,
    scope: TokenScope | str,
    *,
    agent: str = DEFAULT_AGENT,
    clock: Clock | None = None,
) -> CreatedToken:
    """Make a token in the database's account.

    Args:
        store: The database; it gets an account if it has none.
        scope: What the token is good for.
        agent: For a deployment: the agent's external identifier; an agent that does not exist
            is made, under that name.
        clock: Where the time comes from.

    Raises:
        UsageError: No agent can have that identifier.
        ValueError: There is no such scope.
    """
    scope = TokenScope(scope)
    wrong = wrong_in_identifier(agent)
    if wrong is not None:
        raise UsageError(f"the external identifier of an agent {wrong}: name another one")
    clock = clock or SystemClock()
    now_us = clock.wall_ns() // NS_PER_US
    ids = IdSource(clock)
    account = prepare(store, clock)
    secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    unbound = TokenRow(
        id=ids.new(partition_of(account.id) or 0),
        account_id=account.id,
        token_scope=scope,
        agent_id=None,
        environment_id=None,
        agent_deployment_id=None,
        token_hash=hash_of(secret),
        status=ACTIVE,
        expires_at=None,
        inserted_at=now_us,
        updated_at=now_us,
    )

    def work(tx: Writing) -> TokenRow:
        bound = scope == TokenScope.AGENT_DEPLOYMENT
        row = _bound(tx, unbound, agent, ids) if bound else unbound
        tx.add(row)
        return row

    return CreatedToken(secret, _info(write(store, work)))


def list_tokens(store: Reader | Store) -> list[TokenInfo]:
    """Return the tokens of a database, oldest first."""
    with store.reading() as tx:
        return [_info(row) for row in tx.tokens()]


def revoke_token(store: Store, token_id: str, *, clock: Clock | None = None) -> TokenInfo:
    """Revoke a token and the tokens that it made, for good.

    Args:
        store: The database.
        token_id: Id of the token, as `list_tokens` shows it.
        clock: Where the time comes from.

    Raises:
        UsageError: There is no such token.
    """
    now_us = (clock or SystemClock()).wall_ns() // NS_PER_US

    def work(tx: Writing) -> TokenRow:
        found = [row for row in tx.tokens() if row.id == token_id]
        if not found:
            raise UsageError(
                f"there is no token {token_id}: `remit token list` shows those that there are"
            )
        return stop(tx, found[0], REVOKED, now_us)

    return _info(write(store, work))


def stop(tx: Writing, row: TokenRow, status: str, now_us: int) -> TokenRow:
    """Suspend or revoke a token and all tokens made with it, directly or not; return its row."""
    stopped = _with_status(tx, row, status, now_us)
    # Level by level: a request that makes a token locks its own token until it commits.
    made = tx.tokens_made_by([row.id])
    while made:
        for one in made:
            if one.status not in {status, REVOKED}:
                _with_status(tx, one, status, now_us)
        made = tx.tokens_made_by([one.id for one in made])
    return stopped


def _with_status(tx: Writing, row: TokenRow, status: str, now_us: int) -> TokenRow:
    row = msgspec.structs.replace(row, status=status, updated_at=now_us)
    tx.change(row)
    return row


def caller_of(tx: Reading, secret: str, now_us: int) -> Caller:
    """Return who holds the token *secret*.

    Raises:
        RequestError: 401, there is no such token, or it is of no use any more.
    """
    token_hash = hash_of(secret)
    row = tx.token_of_hash(token_hash)
    if row is None or not hmac.compare_digest(row.token_hash, token_hash):
        raise unauthorized()
    if row.status != ACTIVE or (row.expires_at is not None and row.expires_at <= now_us):
        raise unauthorized()
    if row.agent_id is not None:
        agent = tx.agent(row.account_id, row.agent_id)
        if agent is None or agent.status == RETIRED:
            raise unauthorized()
    return Caller(row.account_id, row.token_scope, row.agent_id, row.environment_id, row.id)


def _bound(tx: Writing, row: TokenRow, agent: str, ids: IdSource) -> TokenRow:
    """Return the token bound to *agent* in the account's first environment."""
    caller = Caller(row.account_id, TokenScope.ACCOUNT)
    found = tx.agent_of_identifier(row.account_id, agent)
    if found is None:
        found = new_agent(
            ids.new(caller.partition), row.account_id, agent, row.inserted_at, identifier=agent
        )
        tx.add(found)
    environment = tx.environments(row.account_id)[0]
    deployment = deployment_of(
        tx, found, environment.id, new_id=lambda: ids.new(caller.partition), now_us=row.inserted_at
    )
    return msgspec.structs.replace(
        row,
        agent_id=found.id,
        environment_id=environment.id,
        agent_deployment_id=deployment.id,
    )


def _info(row: TokenRow) -> TokenInfo:
    return TokenInfo(
        row.id,
        TokenScope(row.token_scope),
        row.account_id,
        row.agent_id,
        row.environment_id,
        row.status,
        format_us(row.inserted_at),
    )


def hash_of(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()
