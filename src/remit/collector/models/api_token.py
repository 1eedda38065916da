"""API tokens: requests and responses."""

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import WithJsonSchema

from remit.models._types import WireModel

PATTERN: Final = "^(read|write|erase|record|metrics)(,(read|write|erase|record|metrics))*$"
TokenScopeWord: TypeAlias = Literal["account", "agent_deployment"]
"""Scope of a token."""

PermissionWords: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "pattern": PATTERN})]
"""Permissions of a token, comma-separated."""


class ApiTokenForCreate(WireModel):
    """A new token: the `details` of the request."""

    token_scope: TokenScopeWord
    """Scope: the account, or one agent in one environment."""
    account_id: str | None = None
    """The account; by default that of the token."""
    agent_id: str | None = None
    """The agent; required for the scope `agent_deployment`."""
    environment_id: str | None = None
    """The environment, for the same scope; by default the only one of the agent, else the first."""
    expires_at: str | None = None
    """When it expires, ISO 8601; by default never, or with the token that creates it."""
    name: str | None = None
    """Name, which lists and the records of erasures show."""
    may: PermissionWords = "write"
    """Permissions: `read`, `write`, `erase`, `record` or `metrics`, or several of them with commas
    between them; not more than the creating token has.
    """


class ApiToken(WireModel):
    """A token without its secret."""

    type: Literal["api_token"]
    """Always `api_token`."""
    id: str
    """Id of the token, a PFID."""
    token_scope: TokenScopeWord
    """Scope of the token."""
    account_id: str
    """The account that contains it."""
    agent_deployment_id: str | None = None
    """The deployment, for the scope `agent_deployment`."""
    agent_id: str | None = None
    """The agent, for the same scope."""
    environment_id: str | None = None
    """The environment, for the same scope."""
    made_by: str | None = None
    """Id of the token that created this one over the API; if that is not valid, neither is this."""
    name: str | None = None
    """Name of the token."""
    may: PermissionWords = "write"
    """Its permissions, comma-separated."""
    status: Literal["active", "suspended", "revoked"]
    """State of the token; a revoked token stays revoked."""
    expires_at: datetime | None = None
    """When it expires; null if never."""
    last_used_at: datetime | None = None
    """When it was last used, if the server records that."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class CreatedTokenResponse(WireModel):
    """Response to the creation of a token. No other response has the secret."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: ApiToken
    """The token."""
    token: str | None = None
    """The secret; absent if the request was repeated."""
