"""Agent spans: creation, finish, and the span as the API returns it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from remit.models._types import AgentStatus, FinishStatus, JsonObject, SpanStatus, WireModel
from remit.models.envelope import ControlSignal


class CreateAgentSpanRequest(WireModel):
    """The `details` in a request that creates a span."""

    agent_instance_id: str
    """Id of the instance that contains the span."""
    schema_name: str
    """Name of the span type. If it was not declared, the span is accepted, but not validated."""
    status: SpanStatus
    """Status. A span can be created with its final status."""
    payload: JsonObject = Field(default_factory=dict)
    """The payload: the arguments of the call."""
    result_payload: JsonObject | None = None
    """The result of the call. It requires a final status."""
    id: str | None = None
    """PFID for the span. By default, the server generates one."""
    parent_span_id: str | None = None
    """Id of the span inside which it ran. Null for a root span."""
    started_at: str | None = None
    """Start time in ISO 8601. The default is the current time."""
    finished_at: str | None = None
    """End time in ISO 8601. Null if the span has not ended."""
    sensitive_encoding: bool | None = None
    """Whether the payloads contain values in the `$sensitive` encoding."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class FinishAgentSpanRequest(WireModel):
    """Body of a request to finish a span."""

    status: FinishStatus | None = None
    """Final status. The default is `complete`."""
    result_payload: JsonObject | None = None
    """The result of the call."""
    timestamp: str | None = None
    """End time in ISO 8601. The default is the current time."""
    sensitive_encoding: bool | None = None
    """Whether the result contains values in the `$sensitive` encoding."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class StepName(WireModel):
    """The name of a step that an integration recorded."""

    text: str
    """The name, such as `refunds`. For a model call, it is `llm`."""
    word: str
    """The kind of step, such as `agent` or `node`. For a model call, it is the model."""


class AgentSpan(WireModel):
    """One step of a run, as the API returns it."""

    type: Literal["agent_span"]
    """Always `agent_span`."""
    id: str
    """Id of the span, a PFID."""
    account_id: str | None = None
    """The account that contains it."""
    agent_id: str | None = None
    """Id of the agent."""
    agent_instance_id: str
    """Id of the instance that contains it."""
    parent_span_id: str | None = None
    """Id of the span inside which it ran. Null for a root span."""
    schema_name: str
    """Name of its span type."""
    schema_title: str | None = None
    """Title of the span type, or its name if it does not have a title."""
    step_name: StepName | None = None
    """Name of the step, if an integration recorded one. Only remit's lists contain it."""
    status: AgentStatus
    """Status."""
    payload: JsonObject | None = None
    """The payload: the arguments of the call."""
    result_payload: JsonObject | None = None
    """The result of the call."""
    summary: str | None = None
    """Summary that the span type's template produces. Lists include it only if requested."""
    started_at: datetime | None = None
    """When it started. Null if it is pending."""
    finished_at: datetime | None = None
    """When it ended. Null if it has not ended."""
    inserted_at: datetime | None = None
    """When the server first stored it."""
    updated_at: datetime | None = None
    """When the server last changed it."""
    purpose: str | None = None
    """Purpose of the instance."""
    sensitive_encoding: bool | None = None
    """Whether the payloads contain values in the `$sensitive` encoding."""
    risk_level: str | None = None
    """The server's risk estimate, as one word. Lists include it only if requested."""
    risk_score: Any = None
    """The server's risk estimate."""
    payload_byte_size_estimate: int | None = None
    """Approximate size of the payloads in bytes."""
    valid: bool | None = None
    """Whether the span matches its span type. Null if it was not checked. Only remit's collector
    sends this field.
    """
    schema_errors: list[str] | None = None
    """The first differences from the span type. Only remit's collector sends this field."""


class AnsweredSpan(AgentSpan):
    """A span with its control signal, as the methods `create` and `finish` return it."""

    control: ControlSignal = None
    """The control signal. It is present only if the instance was terminated. The program should
    then stop the run.
    """
