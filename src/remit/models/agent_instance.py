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
    """One span type, as a registration declares it."""

    name: str
    """Name of the span type; spans refer to it as their `schema_name`."""
    params_schema: JsonObject
    """JSON Schema of the payload."""
    result_schema: JsonObject | None = None
    """JSON Schema of the result payload."""
    title: str | None = None
    """Title for people, in place of the name."""
    description: str | None = None
    """Description of the step."""
    template: str | None = None
    """Liquid template of a span's summary."""
    data_risk: DataRisk | None = None
    """Risk declaration of the step."""


class QualitySchemaForCreate(WireModel):
    """One kind of quality payload, as a registration declares it.

    Dump it with `by_alias=True`: the field is `schema` on the wire, which pydantic reserves.
    """

    model_config = ConfigDict(populate_by_name=True)

    name: str
    """Name, unique within the schema version."""
    schema_: JsonObject = Field(alias="schema")
    """JSON Schema of the quality payload; `schema` on the wire."""
    title: str | None = None
    """Title for people, in place of the name."""
    description: str | None = None
    """Description of the scores."""
    template: str | None = None
    """Liquid template of the summary."""
    data_risk: DataRisk | None = None
    """Which data the payload holds."""


class AgentSchemaVersionForRegister(WireModel):
    """The span types of an agent under one identifier, as a registration declares them.

    With `span_type_schemas` the server ignores the two older maps.
    """

    external_identifier: str | None = None
    """The client's name for this version; a known identifier selects the existing version."""
    span_schemas: dict[str, JsonObject] | None = None
    """Older form: JSON Schema of the payload by span type."""
    span_result_schemas: dict[str, JsonObject] | None = None
    """Older form: JSON Schema of the result by span type."""
    span_type_schemas: list[SpanTypeSchemaForCreate] | None = None
    """The span types."""
    quality_schemas: list[QualitySchemaForCreate] | None = None
    """The kinds of quality payload."""
    quality_schema: JsonObject | None = None
    """Older form: JSON Schema of the one quality payload without a name."""


class RuntimeEnvironment(WireModel):
    """Where an agent's version runs."""

    agent_sdk: list[str] | None = None
    """Agent frameworks, as `name@version`."""
    os: str | None = None
    """Operating system, for example `linux`."""
    prefactor_sdk: list[str] | None = None
    """SDKs that record it, as `name@version`."""
    runtime: str | None = None
    """Language runtime, for example `cpython@3.12`."""


class AgentVersionForRegister(WireModel):
    """The version of the agent's code, as a registration declares it."""

    name: str | None = None
    """Name of the version."""
    external_identifier: str | None = None
    """The client's name for this version, for example `v1.0.0`; a known one is reused."""
    description: str | None = None
    """Description of the version."""
    runtime_environment: RuntimeEnvironment | None = None
    """Where it runs."""


class RegisterAgentInstanceRequest(WireModel):
    """Body of a registration with an account's token. It must name the agent.

    With a deployment's token, use `RegisterDeploymentInstanceRequest`.
    """

    agent_id: str
    """The agent of which this is an instance."""
    agent_version: AgentVersionForRegister
    """Version of the agent's code."""
    agent_schema_version: AgentSchemaVersionForRegister
    """Span types of the agent."""
    id: str | None = None
    """Id for the instance, a PFID; by default the server generates one."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""
    update_current_version: bool | None = None
    """Whether this version becomes the deployment's current version; by default true."""
    environment_id: str | None = None
    """The environment in which it runs."""
    purpose: Purpose | None = None
    """Purpose of the run; by default `live`."""
    external_identifier: str | None = None
    """The client's name for the instance, unique for the agent."""


class RegisterDeploymentInstanceRequest(WireModel):
    """Body of a registration whose agent and environment may come from the deployment's token."""

    agent_version: AgentVersionForRegister
    """Version of the agent's code."""
    agent_schema_version: AgentSchemaVersionForRegister
    """Span types of the agent."""
    agent_id: str | None = None
    """The agent of which this is an instance; by default that of the token."""
    environment_id: str | None = None
    """The environment in which it runs; by default that of the token."""
    id: str | None = None
    """Id for the instance, a PFID; by default the server generates one."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""
    update_current_version: bool | None = None
    """Whether this version becomes the deployment's current version; by default true."""
    purpose: Purpose | None = None
    """Purpose of the run; by default `live`."""
    external_identifier: str | None = None
    """The client's name for the instance, unique for the agent."""


class TimestampRequest(WireModel):
    """Body of a start."""

    timestamp: str | None = None
    """When it started, ISO 8601; now if absent or null."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class FinishInstanceRequest(WireModel):
    """Body of an instance's finish."""

    status: FinishStatus | None = None
    """How it ended; `complete` if absent."""
    timestamp: str | None = None
    """When it ended, ISO 8601; now if absent or null."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class TerminateInstanceRequest(WireModel):
    """Body of a termination."""

    reason: str
    """Reason, for readers of the run."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class InstanceForUpdate(WireModel):
    """An update of an instance by an older client: the fields under `details` in the body."""

    quality_payload: JsonObject | None = None
    """The one quality payload without a name; null removes it, absent it stays."""


class RecordQualityRequest(WireModel):
    """Body of a quality record, which sets or removes the payload of one name."""

    name: str
    """Name of the quality schema."""
    payload: JsonObject | None = None
    """The scores; null removes the name."""
    idempotency_key: str | None = None
    """Key that makes a repeated request safe, 1 to 64 characters."""


class AgentInstanceSpanCounts(WireModel):
    """Number of spans of an instance, by status."""

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
    """Number of recorded spans that the end of the run reports, if fewer have arrived."""


class Failure(WireModel):
    """The failure that ended a run, or else its first failure."""

    span: str | None = None
    """Id of the span where the failure began; null for runs that older servers recorded."""
    step: str | None = None
    """Name of the span type."""
    step_name: StepName | None = None
    """Name of the step, if an integration gave it one and it may be listed."""
    type: str | None = None
    """Class of the error."""
    place: str | None = None
    """Where in the code it was raised."""
    text: str | None = None
    """First line of its message; null if the data of the step is confidential or stricter."""
    at: datetime
    """When."""
    fingerprint: str | None = None
    """Equal for equal failures, 16 hexadecimal digits."""


class AgentInstance(WireModel):
    """One run of an agent, as the API returns it."""

    type: Literal["agent_instance"]
    """Always `agent_instance`."""
    id: str
    """Id of the instance, a PFID."""
    account_id: str
    """Account to which it belongs."""
    agent_id: str
    """Agent of which it is an instance."""
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
    """When it started; null while pending."""
    finished_at: datetime | None = None
    """When it ended; null until then."""
    span_counts: AgentInstanceSpanCounts | None = None
    """Number of spans by status; lists leave it out."""
    agent_deployment_id: str | None = None
    """Deployment to which it belongs: the agent in the environment."""
    termination_reason: str | None = None
    """Reason of the termination."""
    external_identifier: str | None = None
    """The client's name for the instance."""
    purpose: str | None = None
    """Why it ran: `live`, `smoke_test`, `eval`, or a word that a newer server knows."""
    caused_by: str | None = None
    """Trace id of the `traceparent` with which it was opened, if the server stores it."""
    quality_payloads: dict[str, JsonObject] | None = None
    """Quality payloads by name."""
    quality_summaries: dict[str, str | None] | None = None
    """Summary of each quality payload, by name."""
    quality_errors: dict[str, list[str]] | None = None
    """For each name of a quality payload, its differences from the declaration."""
    quality_payload: JsonObject | None = None
    """Older form: the one quality payload without a name."""
    quality_summary: str | None = None
    """Older form: its summary."""
    erased_at: datetime | None = None
    """When its payloads were erased, in the detail view; null if they were not."""
    failure: Failure | None = None
    """Its failure, in the detail view; null without one."""
    risk_score: Any = None
    """The server's estimate of the risk, in the detail view."""
    cost_breakdown: JsonObject | None = None
    """Costs of its model calls, in remit's lists and in the detail view; see `CostBreakdown`."""
    span_schema_counts: Any = None
    """Number of spans by type, in the detail view."""

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
    """The agent of a registered instance, which the token may determine."""

    id: str
    """Id of the agent, a PFID."""
    external_identifier: str | None = None
    """The client's name for it."""
    name: str
    """Its name for people."""


class RegisteredResponse(WireModel):
    """Response to a registration."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: AgentInstance
    """The instance."""
    agent: RegisteredAgent | None = None
    """Its agent, if the server includes it."""
    keeps_schema: bool | None = None
    """Whether later registrations may send only the identifier of the schema version."""
