"""Agent spans: creation, finish, and the span as the API returns it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from remit.models._types import AgentStatus, FinishStatus, JsonObject, SpanStatus, WireModel
from remit.models.envelope import ControlSignal


class CreateAgentSpanRequest(WireModel):
    """A new span: the fields under `details` in the body."""

    agent_instance_id: str
    """Instance to which the span belongs."""
    schema_name: str
    """Name of its span type; a name that was not declared is accepted and not validated."""
    status: SpanStatus
    """Status; a span may be created with its final status."""
    payload: JsonObject = Field(default_factory=dict)
    """The payload: the arguments of the call."""
    result_payload: JsonObject | None = None
    """The result of the call; only with a final status."""
    id: str | None = None
    """Id for the span, a PFID; by default the server generates one."""
    parent_span_id: str | None = None
    """The span in which it ran; null at the root."""
    started_at: str | None = None
    """When it started, ISO 8601; now if absent or null."""
    finished_at: str | None = None
    """When it ended, ISO 8601; null until then."""
    sensitive_encoding: bool | None = None
    """Whether the payloads hold values in the `$sensitive` encoding."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class FinishAgentSpanRequest(WireModel):
    """Body of a span's finish."""

    status: FinishStatus | None = None
    """How it ended; `complete` if absent."""
    result_payload: JsonObject | None = None
    """The result of the call."""
    timestamp: str | None = None
    """When it ended, ISO 8601; now if absent or null."""
    sensitive_encoding: bool | None = None
    """Whether the result holds values in the `$sensitive` encoding."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class StepName(WireModel):
    """The name that an integration gave a step."""

    text: str
    """The name, such as `refunds`; of a model call `llm`."""
    word: str
    """Its kind, such as `agent` or `node`; of a model call, the model."""


class AgentSpan(WireModel):
    """One step of a run, as the API returns it."""

    type: Literal["agent_span"]
    """Always `agent_span`."""
    id: str
    """Id of the span, a PFID."""
    account_id: str | None = None
    """Account to which it belongs."""
    agent_id: str | None = None
    """Agent to which it belongs."""
    agent_instance_id: str
    """Instance to which it belongs."""
    parent_span_id: str | None = None
    """The span in which it ran; null at the root."""
    schema_name: str
    """Name of its span type."""
    schema_title: str | None = None
    """Title of its span type, else the name."""
    step_name: StepName | None = None
    """Its name, if an integration gave it one. Only remit's lists have it."""
    status: AgentStatus
    """Status."""
    payload: JsonObject | None = None
    """The payload: the arguments of the call."""
    result_payload: JsonObject | None = None
    """The result of the call."""
    summary: str | None = None
    """Summary made with the template of the span type; in lists only on request."""
    started_at: datetime | None = None
    """When it started; null while pending."""
    finished_at: datetime | None = None
    """When it ended; null until then."""
    inserted_at: datetime | None = None
    """When the server first stored it."""
    updated_at: datetime | None = None
    """When the server last changed it."""
    purpose: str | None = None
    """Purpose of its instance."""
    sensitive_encoding: bool | None = None
    """Whether the payloads hold values in the `$sensitive` encoding."""
    risk_level: str | None = None
    """The server's estimate of the risk, as a word; in lists only on request."""
    risk_score: Any = None
    """The server's estimate of the risk."""
    payload_byte_size_estimate: int | None = None
    """Approximate size of the payloads in bytes."""
    valid: bool | None = None
    """Whether it matches its span type; null if it was not checked. Only remit's collector sends
    it.
    """
    schema_errors: list[str] | None = None
    """The first differences from its span type. Only remit's collector sends it."""


class AnsweredSpan(AgentSpan):
    """A span as `create` and `finish` return it, with the control signal next to it."""

    control: ControlSignal = None
    """Present only if the instance was terminated; the program should then stop the run."""
