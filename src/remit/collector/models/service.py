"""Requests and responses of small endpoints: ids, steps without fields, context."""

from typing import Any, Literal

from pydantic import Field

from remit.models._types import JsonObject, WireModel
from remit.models.agent_span import AgentSpan

MAX_PFIDS = 1000
MAX_TEST_SPANS = 100


class StepRequest(WireModel):
    """Optional body of a request without specific fields."""

    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class GeneratePfidsRequest(WireModel):
    """Body of a request to generate ids."""

    count: int = Field(default=1, ge=1, le=MAX_PFIDS)
    """Number of items."""
    account_id: str | None = None
    """Id of the account in whose partition the ids are generated. The default is the token's
    account.
    """
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class GeneratedPfids(WireModel):
    """The generated ids."""

    pfids: list[str]
    """The ids, in order."""


class CreateTestSpansRequest(WireModel):
    """Body of a request to create test spans."""

    agent_instance_id: str
    """Id of the instance in which the spans are created."""
    count: int = Field(default=1, ge=1, le=MAX_TEST_SPANS)
    """Number of items."""
    parent_span_id: str | None = None
    """Id of the parent span. Null for root spans."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class TestSpansResponse(WireModel):
    """Response to a request that creates test spans."""

    status: Literal["success"] = "success"
    """Always `success`."""
    span_details: list[AgentSpan]
    """The spans."""


class AgentContext(WireModel):
    """Description of an agent."""

    body: str
    """Description in Markdown, for a language model."""


class AgentContextResponse(WireModel):
    """Response to a request for an agent's description."""

    status: Literal["success"] = "success"
    """Always `success`."""
    agent_context: AgentContext
    """The description."""


class AlertCountResponse(WireModel):
    """Response to a request for the number of alerts."""

    count: int
    """Number of items."""


class TokenScopeDetails(WireModel):
    """Scope of a token, in the response to a ping."""

    token_scope: str
    """`account` or `agent_deployment`."""
    account_id: str
    """The account that contains it."""
    agent_id: str | None = None
    """Id of the agent, for the `agent_deployment` scope."""
    environment_id: str | None = None
    """Id of the environment, for the same scope."""
    may: str = "write"
    """Permissions of the token, separated by commas; see `ApiToken.may`."""


class OpenApiDocument(WireModel):
    """The OpenAPI 3.1 description of the API."""

    openapi: str
    """Version of OpenAPI."""
    info: JsonObject
    """Title and version of the API."""
    paths: dict[str, Any]
    """All paths."""
    components: JsonObject
    """Components to which the paths refer."""
    security: list[JsonObject]
    """How requests are authenticated."""
