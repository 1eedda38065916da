"""Requests and answers of the service's own small paths: ids, steps without fields, context."""

from typing import Any, Literal

from pydantic import Field

from remit.models._types import WireModel
from remit.models._words import JsonObject
from remit.models.agent_span import AgentSpan

MAX_PFIDS = 1000
MAX_TEST_SPANS = 100


class StepRequest(WireModel):
    """Body of a step that needs no fields; it may be absent."""

    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class GeneratePfidsRequest(WireModel):
    """Body of a request for ids."""

    count: int = Field(default=1, ge=1, le=MAX_PFIDS)
    """Number of ids."""
    account_id: str | None = None
    """The account whose partition they get; the token says it if absent."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class GeneratedPfids(WireModel):
    """New ids."""

    pfids: list[str]
    """The ids, in order."""


class CreateTestSpansRequest(WireModel):
    """Body of a request for spans that no program made."""

    agent_instance_id: str
    """Instance to which they belong."""
    count: int = Field(default=1, ge=1, le=MAX_TEST_SPANS)
    """Number of spans."""
    parent_span_id: str | None = None
    """The parent span; null at the root."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class TestSpansResponse(WireModel):
    """Answer to a request for spans that no program made."""

    status: Literal["success"] = "success"
    """Always `success`."""
    span_details: list[AgentSpan]
    """The spans."""


class AgentContext(WireModel):
    """Description of an agent."""

    body: str
    """A text, in Markdown, that a model can read."""


class AgentContextResponse(WireModel):
    """Answer with the description of an agent."""

    status: Literal["success"] = "success"
    """Always `success`."""
    agent_context: AgentContext
    """The description."""


class AlertCountResponse(WireModel):
    """Answer with the number of alerts."""

    count: int
    """Number of alerts."""


class TokenScopeDetails(WireModel):
    """Scope of a token, as a ping returns it."""

    token_scope: str
    """`account` or `agent_deployment`."""
    account_id: str
    """Account to which it belongs."""
    agent_id: str | None = None
    """The agent, under the scope `agent_deployment`."""
    environment_id: str | None = None
    """The environment, under the same scope."""


class OpenApiDocument(WireModel):
    """The description of the API in OpenAPI 3.1."""

    openapi: str
    """Version of OpenAPI."""
    info: JsonObject
    """Title and version of the API."""
    paths: dict[str, Any]
    """Every path."""
    components: JsonObject
    """What the paths refer to."""
    security: list[JsonObject]
    """How a request authenticates."""
