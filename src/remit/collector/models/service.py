"""Requests and responses of small endpoints: ids, steps without fields, context."""

from typing import Any, Literal

from pydantic import Field

from remit.models._types import JsonObject, WireModel
from remit.models.agent_span import AgentSpan

MAX_PFIDS = 1000
MAX_TEST_SPANS = 100


class StepRequest(WireModel):
    """Body of a request without fields; it may be absent."""

    idempotency_key: str | None = None
    """Key of 1 to 64 characters with which the request can be repeated safely."""


class GeneratePfidsRequest(WireModel):
    """Body of a request for ids."""

    count: int = Field(default=1, ge=1, le=MAX_PFIDS)
    """Number of items."""
    account_id: str | None = None
    """The account whose partition the ids belong to; by default that of the token."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters with which the request can be repeated safely."""


class GeneratedPfids(WireModel):
    """New ids."""

    pfids: list[str]
    """The ids, in order."""


class CreateTestSpansRequest(WireModel):
    """Request for test spans."""

    agent_instance_id: str
    """Instance that they belong to."""
    count: int = Field(default=1, ge=1, le=MAX_TEST_SPANS)
    """Number of items."""
    parent_span_id: str | None = None
    """Their parent; null at the root."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters with which the request can be repeated safely."""


class TestSpansResponse(WireModel):
    """Response to a request for test spans."""

    status: Literal["success"] = "success"
    """Always `success`."""
    span_details: list[AgentSpan]
    """The spans."""


class AgentContext(WireModel):
    """Description of an agent."""

    body: str
    """A text in Markdown, for a language model."""


class AgentContextResponse(WireModel):
    """Response to a request for the description of an agent."""

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
    """The agent, for the scope `agent_deployment`."""
    environment_id: str | None = None
    """The environment, for the same scope."""
    may: str = "write"
    """Permissions of the token, comma-separated; see `ApiToken.may`."""


class OpenApiDocument(WireModel):
    """The description of the API, OpenAPI 3.1."""

    openapi: str
    """Version of OpenAPI."""
    info: JsonObject
    """Title and version of the API."""
    paths: dict[str, Any]
    """All paths."""
    components: JsonObject
    """Components that the paths refer to."""
    security: list[JsonObject]
    """How requests are authenticated."""
