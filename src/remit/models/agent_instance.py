"""Agent instances: registration, start, finish, and the instance as the API returns it.

The names, fields, defaults and required members of the classes up to `AgentInstance` are those of
the published page of the API's Python client. Fields that the API added later are optional and
come last.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, cast

from pydantic import ConfigDict, Field, field_validator

from remit.models._types import AgentStatus, FinishStatus, JsonObject, Purpose, WireModel
from remit.models.agent_span import StepName
from remit.models.data_risk import ActionProfile as ActionProfile
from remit.models.data_risk import ActionWord as ActionWord
from remit.models.data_risk import CategoryWord as CategoryWord
from remit.models.data_risk import Classification as Classification
from remit.models.data_risk import DataCategories as DataCategories
from remit.models.data_risk import DataRisk as DataRisk


class SpanTypeSchemaForCreate(WireModel):
    """A span type in a registration."""

    name: str
    """Name of the span type. A span refers to its type by this name, as `schema_name`."""
    params_schema: JsonObject
    """JSON Schema of the payload."""
    result_schema: JsonObject | None = None
    """JSON Schema of the result payload."""
    title: str | None = None
    """Title that is shown to people instead of the name."""
    description: str | None = None
    """Description of the step."""
    template: str | None = None
    """Liquid template of a span's summary."""
    data_risk: DataRisk | None = None
    """Risk declaration of the step."""


class QualitySchemaForCreate(WireModel):
    """A kind of quality payload in a registration.

    Dump it with `by_alias=True`. On the wire, the field is called `schema`, a name that pydantic
    reserves.
    """

    model_config = ConfigDict(populate_by_name=True)

    name: str
    """Name, which is unique within the schema version."""
    schema_: JsonObject = Field(alias="schema")
    """JSON Schema of the quality payload. On the wire, this field is called `schema`."""
    title: str | None = None
    """Title that is shown to people instead of the name."""
    description: str | None = None
    """Description of the scores."""
    template: str | None = None
    """Liquid template of the summary."""
    data_risk: DataRisk | None = None
    """The data that the payload contains."""


class AgentSchemaVersionForRegister(WireModel):
    """The agent's schema version in a registration: its span types and kinds of quality payload.

    If `span_type_schemas` is present, the server ignores `span_schemas` and `span_result_schemas`.
    """

    external_identifier: str | None = None
    """The client's identifier for this version. A known identifier selects the existing version."""
    span_schemas: dict[str, JsonObject] | None = None
    """Older form: the payload's JSON Schema for each span type."""
    span_result_schemas: dict[str, JsonObject] | None = None
    """Older form: the result's JSON Schema for each span type."""
    span_type_schemas: list[SpanTypeSchemaForCreate] | None = None
    """The span types."""
    quality_schemas: list[QualitySchemaForCreate] | None = None
    """The kinds of quality payload."""
    quality_schema: JsonObject | None = None
    """Older form: JSON Schema of the quality payload that does not have a name."""


class RuntimeEnvironment(WireModel):
    """The environment in which an agent version runs."""

    agent_sdk: list[str] | None = None
    """Agent frameworks, as `name@version`."""
    os: str | None = None
    """Operating system, for example `linux`."""
    prefactor_sdk: list[str] | None = None
    """SDKs that record the agent, as `name@version`."""
    runtime: str | None = None
    """Language runtime, for example `cpython@3.12`."""


class AgentVersionForRegister(WireModel):
    """The agent version in a registration."""

    name: str | None = None
    """Name of the version."""
    external_identifier: str | None = None
    """The client's identifier for this version, for example `v1.0.0`. A known identifier selects
    the existing version.
    """
    description: str | None = None
    """Description of the version."""
    runtime_environment: RuntimeEnvironment | None = None
    """The environment in which it runs."""


class RegisterAgentInstanceRequest(WireModel):
    """Body of a registration with an account token. The body must contain the agent id.

    With a deployment token, use `RegisterDeploymentInstanceRequest`.
    """

    agent_id: str
    """Id of the agent."""
    agent_version: AgentVersionForRegister
    """Version of the agent's code."""
    agent_schema_version: AgentSchemaVersionForRegister
    """Span types of the agent."""
    id: str | None = None
    """PFID for the instance. By default, the server generates one."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""
    update_current_version: bool | None = None
    """Whether this version becomes the deployment's current version. The default is true."""
    environment_id: str | None = None
    """The environment in which it runs."""
    purpose: Purpose | None = None
    """Purpose of the run. The default is `live`."""
    external_identifier: str | None = None
    """The client's identifier for the instance, which is unique for the agent."""


class RegisterDeploymentInstanceRequest(WireModel):
    """Body of a registration. The agent and environment are optional with a deployment token."""

    agent_version: AgentVersionForRegister
    """Version of the agent's code."""
    agent_schema_version: AgentSchemaVersionForRegister
    """Span types of the agent."""
    agent_id: str | None = None
    """Id of the agent. The default is the token's agent."""
    environment_id: str | None = None
    """Id of the environment. The default is the token's environment."""
    id: str | None = None
    """PFID for the instance. By default, the server generates one."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""
    update_current_version: bool | None = None
    """Whether this version becomes the deployment's current version. The default is true."""
    purpose: Purpose | None = None
    """Purpose of the run. The default is `live`."""
    external_identifier: str | None = None
    """The client's identifier for the instance, which is unique for the agent."""


class TimestampRequest(WireModel):
    """Body of a request to start an instance."""

    timestamp: str | None = None
    """Start time in ISO 8601. The default is the current time."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class FinishInstanceRequest(WireModel):
    """Body of a request to finish an instance."""

    status: FinishStatus | None = None
    """Final status. The default is `complete`."""
    timestamp: str | None = None
    """End time in ISO 8601. The default is the current time."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class TerminateInstanceRequest(WireModel):
    """Body of a request to terminate an instance."""

    reason: str
    """Reason that is shown with the run."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class InstanceForUpdate(WireModel):
    """The `details` in a request with which older clients update an instance."""

    quality_payload: JsonObject | None = None
    """The quality payload that does not have a name. Null removes it. If the field is absent, it
    is not changed.
    """


class RecordQualityRequest(WireModel):
    """Body of a request to set or remove the quality payload with one name."""

    name: str
    """Name of the quality schema."""
    payload: JsonObject | None = None
    """The scores. Null removes the quality payload."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class AgentInstanceSpanCounts(WireModel):
    """An instance's number of spans for each status."""

    total: int
    """All spans."""
    pending: int
    """Spans that have not started."""
    active: int
    """Spans in progress."""
    complete: int
    """Spans that succeeded."""
    failed: int
    """Spans that failed."""
    cancelled: int
    """Spans that were cancelled."""
    finished: int
    """Spans that ended in any way."""
    recorded: int | None = None
    """Number of spans that the run reported at its end, if fewer have arrived."""


class Failure(WireModel):
    """The failure that ended a run, or the first failure if no failure ended it."""

    span: str | None = None
    """Id of the span in which the failure began. Null if an older server recorded the run."""
    step: str | None = None
    """Name of the span type."""
    step_name: StepName | None = None
    """Name of the step, if an integration recorded one and lists may contain it."""
    type: str | None = None
    """Class of the error."""
    place: str | None = None
    """Place in the code where it was raised."""
    text: str | None = None
    """First line of the message. Null if the step's data is classified as confidential or
    higher.
    """
    at: datetime
    """Time of the failure."""
    fingerprint: str | None = None
    """Hash of 16 hexadecimal digits. Equal failures have the same hash."""


class AgentInstance(WireModel):
    """One run of an agent, as the API returns it."""

    type: Literal["agent_instance"]
    """Always `agent_instance`."""
    id: str
    """Id of the instance, a PFID."""
    account_id: str
    """The account that contains it."""
    agent_id: str
    """Id of the agent."""
    agent_version_id: str
    """Version of the agent's code."""
    environment_id: str
    """Environment in which it runs."""
    status: AgentStatus
    """Status of the instance."""
    inserted_at: datetime
    """When the server first stored it."""
    updated_at: datetime
    """When the server last changed it."""
    started_at: datetime | None = None
    """When it started. Null if it is pending."""
    finished_at: datetime | None = None
    """When it ended. Null if it has not ended."""
    span_counts: AgentInstanceSpanCounts | None = None
    """Number of spans for each status. Lists omit it."""
    agent_deployment_id: str | None = None
    """The deployment, which is the agent in the environment."""
    termination_reason: str | None = None
    """Reason for the termination."""
    external_identifier: str | None = None
    """The client's identifier for the instance."""
    purpose: str | None = None
    """Purpose: `live`, `smoke_test`, `eval`, or a value that only a newer server knows."""
    caused_by: str | None = None
    """Trace id in the `traceparent` with which the run was opened, if the server stores it."""
    quality_payloads: dict[str, JsonObject] | None = None
    """Quality payloads by name."""
    quality_summaries: dict[str, str | None] | None = None
    """Summaries of the quality payloads by name."""
    quality_errors: dict[str, list[str]] | None = None
    """Differences between the quality payloads and their declaration, by name."""
    quality_payload: JsonObject | None = None
    """Older form: the quality payload that does not have a name."""
    quality_summary: str | None = None
    """Older form: the summary of that quality payload."""
    asked: int | None = None
    """Number of its questions to a person. An active run with more questions than answers waits.
    Only remit's collector returns it, when a run is read."""
    answered: int | None = None
    """Number of answers to these questions."""
    erased_at: datetime | None = None
    """When the payloads were erased, or null. Lists omit it."""
    failure: Failure | None = None
    """The run's failure, or null. Lists omit it."""
    risk_score: Any = None
    """The server's risk estimate. Lists omit it."""
    cost_breakdown: JsonObject | None = None
    """Costs of the model calls; see `CostBreakdown`. The list at `/api/v1/agent_instance` omits
    it.
    """
    span_schema_counts: Any = None
    """Number of spans for each type. Lists omit it."""

    @field_validator("span_counts", mode="before")
    @classmethod
    def _fill_counts(cls, counts: object) -> object:
        """Read counts that the server leaves out as zero; newer servers have no `pending`."""
        if not isinstance(counts, Mapping):
            return counts
        given = cast("Mapping[str, object]", counts)
        fields = AgentInstanceSpanCounts.model_fields.items()
        return {**{name: 0 for name, field in fields if field.is_required()}, **given}


class RegisteredAgent(WireModel):
    """The agent of a registered instance."""

    id: str
    """Id of the agent, a PFID."""
    external_identifier: str | None = None
    """The client's identifier for the agent."""
    name: str
    """Display name of the agent."""


class ShownInstance(AgentInstance):
    """A run that is read alone."""

    agent: RegisteredAgent | None = None
    """Its agent, with the name that the run's version gave. Only remit's collector sends it."""


class RegisteredResponse(WireModel):
    """Response to a registration."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: AgentInstance
    """The instance."""
    agent: RegisteredAgent | None = None
    """The instance's agent, if the server includes it."""
    keeps_schema: bool | None = None
    """Whether later registrations may contain only the identifier of the schema version."""
