"""API tokens: what can be created, and a token as the API answers it, without its secret."""

from datetime import datetime
from typing import Literal, TypeAlias

from remit.models._types import WireModel

TokenScopeWord: TypeAlias = Literal["account", "agent_deployment"]
"""Scope of a token."""


class ApiTokenForCreate(WireModel):
    """A new token: the fields under `details` in the body."""

    token_scope: TokenScopeWord
    """Scope: the account, or one agent in one environment."""
    account_id: str | None = None
    """The account; the token of the request says it if absent."""
    agent_id: str | None = None
    """The agent, under the scope `agent_deployment`, which needs it."""
    environment_id: str | None = None
    """The environment, under the same scope; the agent's only one, else the first, if absent."""
    expires_at: str | None = None
    """Expiry, ISO 8601; none if absent."""


class ApiToken(WireModel):
    """A token without its secret, which only the answer to its creation has."""

    type: Literal["api_token"]
    """Always `api_token`."""
    id: str
    """Id of the token, a PFID."""
    token_scope: TokenScopeWord
    """Scope."""
    account_id: str
    """Account to which it belongs."""
    agent_deployment_id: str | None = None
    """The deployment, under the scope `agent_deployment`."""
    agent_id: str | None = None
    """The agent, under the same scope."""
    environment_id: str | None = None
    """The environment, under the same scope."""
    made_by: str | None = None
    """Id of the token that made it over the API; this token is not valid without that one."""
    status: Literal["active", "suspended", "revoked"]
    """Status; a revoked token stays revoked."""
    expires_at: datetime | None = None
    """Expiry; null if none."""
    last_used_at: datetime | None = None
    """When it was last used, if the server notes it."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class CreatedTokenResponse(WireModel):
    """Answer to the creation of a token: the only one with its secret."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: ApiToken
    """The token."""
    token: str | None = None
    """The secret; absent when the answer repeats an earlier one."""
