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
    """How many."""
    account_id: str | None = None
    """The account in whose partition they lie; the token says it if absent."""
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
    """How many."""
    parent_span_id: str | None = None
    """The span under which they stand; null at the root."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class TestSpansResponse(WireModel):
    """Answer to a request for spans that no program made."""

    status: Literal["success"] = "success"
    """Always `success`."""
    span_details: list[AgentSpan]
    """The spans."""


class AgentContext(WireModel):
    """What an agent is and does."""

    body: str
    """A text, in Markdown, that a model can read."""


class AgentContextResponse(WireModel):
    """Answer to the question what an agent is and does."""

    status: Literal["success"] = "success"
    """Always `success`."""
    agent_context: AgentContext
    """What it is and does."""


class AlertCountResponse(WireModel):
    """Answer to the question how many alerts there are."""

    count: int
    """How many."""


class TokenScopeDetails(WireModel):
    """What a token is good for, as a ping answers it."""

    token_scope: str
    """`account` or `agent_deployment`."""
    account_id: str
    """Account to which it belongs."""
    agent_id: str | None = None
    """The agent, under the scope `agent_deployment`."""
    environment_id: str | None = None
    """The environment, under the same scope."""


class OpenApiDocument(WireModel):
    """The description of the API, in the words of OpenAPI 3.1."""

    openapi: str
    """Version of OpenAPI."""
    info: JsonObject
    """Title and version of the API."""
    paths: dict[str, Any]
    """Every path."""
    components: JsonObject
    """What the paths refer to."""
    security: list[JsonObject]
    """How a request shows who asks."""
