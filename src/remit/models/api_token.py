"""API tokens: what can be created, and a token as the API answers it, without its secret."""

from datetime import datetime
from typing import Literal, TypeAlias

from remit.models._types import WireModel

TokenScopeWord: TypeAlias = Literal["account", "agent_deployment"]
"""What a token is good for."""


class ApiTokenForCreate(WireModel):
    """A new token: what stands under `details` in the body."""

    token_scope: TokenScopeWord
    """What it is good for: the account, or one agent in one environment."""
    account_id: str | None = None
    """The account; the token of the request says it if absent."""
    agent_id: str | None = None
    """The agent, under the scope `agent_deployment`, which needs it."""
    environment_id: str | None = None
    """The environment, under the same scope; the agent's only one, else the first, if absent."""
    expires_at: str | None = None
    """When it ends to be good, ISO 8601; never if absent."""


class ApiToken(WireModel):
    """A token without its secret, which its creation alone tells."""

    type: Literal["api_token"]
    """Always `api_token`."""
    id: str
    """Id of the token, a PFID."""
    token_scope: TokenScopeWord
    """What it is good for."""
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
    """Where it stands; a revoked one is never good again."""
    expires_at: datetime | None = None
    """When it ends to be good; null if never."""
    last_used_at: datetime | None = None
    """When it was last used, if the server notes it."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class CreatedTokenResponse(WireModel):
    """Answer to the creation of a token: the only one that tells its secret."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: ApiToken
    """The token."""
    token: str | None = None
    """The secret; absent when the answer repeats an earlier one."""
