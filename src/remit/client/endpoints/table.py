"""The endpoints that the client calls, and the keyword arguments of those that take many."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Required, TypeAlias, TypedDict

from remit.client.endpoints.endpoint import MAX_LIST_BYTES, Endpoint, JsonMapping
from remit.client.endpoints.responses import details, details_with_control, page, whole
from remit.models._types import Purpose, SpanStatus
from remit.models.agent import Agent, AgentForCreate
from remit.models.agent_instance import (
    AgentInstance,
    AgentSchemaVersionForRegister,
    AgentVersionForRegister,
    FinishInstanceRequest,
    RecordQualityRequest,
    RegisterDeploymentInstanceRequest,
    TerminateInstanceRequest,
    TimestampRequest,
)
from remit.models.agent_span import (
    AgentSpan,
    CreateAgentSpanRequest,
    FinishAgentSpanRequest,
)
from remit.models.bulk import BulkRequest, BulkResponse
from remit.models.envelope import PingResponse

Timestamp: TypeAlias = datetime | str | None
"""A moment: a datetime (without a zone: UTC), or ISO 8601 text as it is to be sent."""


class RegisterFields(TypedDict, total=False):
    """Arguments of a registration; see `RegisterDeploymentInstanceRequest`.

    An absent idempotency key is made, and `update_current_version` is true if absent.
    """

    agent_version: Required[AgentVersionForRegister | JsonMapping]
    agent_schema_version: Required[AgentSchemaVersionForRegister | JsonMapping]
    agent_id: str | None
    environment_id: str | None
    id: str | None
    update_current_version: bool
    purpose: Purpose | None
    external_identifier: str | None
    idempotency_key: str | None


class SpanFields(TypedDict, total=False):
    """Arguments of a new span; see `CreateAgentSpanRequest`. An absent idempotency key is made."""

    agent_instance_id: Required[str]
    schema_name: Required[str]
    status: Required[SpanStatus]
    payload: JsonMapping | None
    result_payload: JsonMapping | None
    id: str | None
    parent_span_id: str | None
    started_at: Timestamp
    finished_at: Timestamp
    sensitive_encoding: bool | None
    idempotency_key: str | None


class AgentFields(TypedDict, total=False):
    """Arguments of a new agent; see `AgentForCreate`. An absent idempotency key is made."""

    name: Required[str]
    description: str | None
    external_identifier: str | None
    id: str | None
    owner_person_id: str | None
    risk_profile_id: str | None
    team_id: str | None
    idempotency_key: str | None


class ListFields(TypedDict, total=False):
    """Which part of a list is wanted."""

    offset: int | None
    """How many items to leave out."""
    page_size: int | None
    """How many items at most, 1 to 100."""
    sorting: str | None
    """Name of a field, with `-` before it for the other direction."""


class InstanceListFields(ListFields, total=False):
    """Arguments of a list of instances."""

    agent_id: Required[str]
    """The agent whose instances are wanted."""
    agent_version_id: str | None
    """Only those of this version."""


class SpanListFields(ListFields, total=False):
    """Arguments of a list of spans; one of the first two is required."""

    agent_instance_id: str | None
    """The instance whose spans are wanted."""
    agent_id: str | None
    """The agent whose spans are wanted."""
    start_time: Timestamp
    """Only spans from this moment on."""
    end_time: Timestamp
    """Only spans up to this moment."""
    include_summaries: bool
    """Whether each span comes with its summary."""
    include_risk_level: bool
    """Whether each span comes with its risk level."""


PING: Final = Endpoint("ping", "GET", "/ping", whole(PingResponse))

REGISTER_INSTANCE: Final = Endpoint(
    "agent_instances.register",
    "POST",
    "/agent_instance/register",
    details(AgentInstance),
    RegisterDeploymentInstanceRequest,
)
START_INSTANCE: Final = Endpoint(
    "agent_instances.start",
    "POST",
    "/agent_instance/{agent_instance_id}/start",
    details(AgentInstance),
    TimestampRequest,
    nullable=("timestamp",),  # as the published client sends it: null means now
)
FINISH_INSTANCE: Final = Endpoint(
    "agent_instances.finish",
    "POST",
    "/agent_instance/{agent_instance_id}/finish",
    details(AgentInstance),
    FinishInstanceRequest,
)
TERMINATE_INSTANCE: Final = Endpoint(
    "agent_instances.terminate",
    "POST",
    "/agent_instance/{agent_instance_id}/terminate",
    details(AgentInstance),
    TerminateInstanceRequest,
)
RECORD_QUALITY: Final = Endpoint(
    "agent_instances.record_quality",
    "POST",
    "/agent_instance/{agent_instance_id}/record_quality",
    details(AgentInstance),
    RecordQualityRequest,
    nullable=("payload",),  # null removes the payload
)
GET_INSTANCE: Final = Endpoint(
    "agent_instances.get", "GET", "/agent_instance/{agent_instance_id}", details(AgentInstance)
)
LIST_INSTANCES: Final = Endpoint(
    "agent_instances.list",
    "GET",
    "/agent_instance",
    page(AgentInstance),
    query=tuple(InstanceListFields.__annotations__),
    limit_bytes=MAX_LIST_BYTES,
)

# The idempotency key is in both places: the published Python client sends it under `details`,
# the TypeScript client beside them, and which of them a server reads is not known.
CREATE_SPAN: Final = Endpoint(
    "agent_spans.create",
    "POST",
    "/agent_spans",
    details_with_control,
    CreateAgentSpanRequest,
    wrapped=True,
)
FINISH_SPAN: Final = Endpoint(
    "agent_spans.finish",
    "POST",
    "/agent_spans/{agent_span_id}/finish",
    details_with_control,
    FinishAgentSpanRequest,
)
LIST_SPANS: Final = Endpoint(
    "agent_spans.list",
    "GET",
    "/agent_spans",
    page(AgentSpan),
    query=tuple(SpanListFields.__annotations__),
    limit_bytes=MAX_LIST_BYTES,
)

CREATE_AGENT: Final = Endpoint(
    "agents.create", "POST", "/agent", details(Agent), AgentForCreate, wrapped=True
)
SHOW_AGENT: Final = Endpoint(
    "agents.show",
    "GET",
    "/agent/show",
    details(Agent),
    query=(
        "agent_id",
        "external_identifier",
        "environment_id",
        "include_counts",
        "include_risk_rollup",
    ),
)

BULK: Final = Endpoint(
    "bulk.execute", "POST", "/bulk", whole(BulkResponse), BulkRequest, limit_bytes=MAX_LIST_BYTES
)
