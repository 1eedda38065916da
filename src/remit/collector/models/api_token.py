"""API tokens: requests and responses."""

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import WithJsonSchema

from remit.models._types import WireModel

_WORD: Final = "(read|write|erase|record|metrics|stop|approve)"
PATTERN: Final = f"^{_WORD}(,{_WORD})*$"
TokenScopeWord: TypeAlias = Literal["account", "agent_deployment"]
"""Scope of a token."""

PermissionWords: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "pattern": PATTERN})]
"""Permissions of a token, comma-separated."""


class ApiTokenForCreate(WireModel):
    """The `details` in a request that creates a token."""

    token_scope: TokenScopeWord
    """Scope: the account, or one agent in one environment."""
    account_id: str | None = None
    """Id of the account. The default is the token's account."""
    agent_id: str | None = None
    """Id of the agent. It is required for the `agent_deployment` scope."""
    environment_id: str | None = None
    """Id of the environment, for the same scope. The default is the agent's only environment,
    otherwise the first one.
    """
    expires_at: str | None = None
    """Time of expiry in ISO 8601. By default, the token expires with the token that creates it,
    or never.
    """
    name: str | None = None
    """Name. Lists of tokens and erasure records contain it."""
    may: PermissionWords = "write"
    """Permissions: `read`, `write`, `erase`, `record`, `metrics`, `stop` or `approve`, or several
    of these separated by commas. The creating token must have all of them.
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
    """Id of the deployment, for the `agent_deployment` scope."""
    agent_id: str | None = None
    """Id of the agent, for the same scope."""
    environment_id: str | None = None
    """Id of the environment, for the same scope."""
    made_by: str | None = None
    """Id of the token that created this token through the API. If the creating token becomes
    invalid, this token becomes invalid too.
    """
    name: str | None = None
    """Name of the token."""
    may: PermissionWords = "write"
    """Permissions of the token, separated by commas."""
    status: Literal["active", "suspended", "revoked"]
    """Status of the token. A revoked token cannot be activated again."""
    expires_at: datetime | None = None
    """When it expires. Null if it never expires."""
    last_used_at: datetime | None = None
    """When it was last used, if the server records this."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class CreatedTokenResponse(WireModel):
    """Response to a request that creates a token. No other response contains the secret."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: ApiToken
    """The token."""
    token: str | None = None
    """The secret. It is absent if the request is a repetition."""
