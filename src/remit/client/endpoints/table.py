"""The endpoints that the client calls, and the keyword arguments of those that take many."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Required, TypeAlias, TypedDict, TypeVar

from pydantic import BaseModel

from remit.client.endpoints.endpoint import MAX_LIST_BYTES, Endpoint, JsonMapping
from remit.client.endpoints.responses import details, details_with_control, page, whole
from remit.models import routes
from remit.models._types import Purpose, SpanStatus
from remit.models.agent import Agent
from remit.models.agent_instance import AgentSchemaVersionForRegister, AgentVersionForRegister
from remit.models.bulk import BulkResponse
from remit.models.envelope import ListResponse, PingResponse
from remit.models.routes import Route

M = TypeVar("M", bound=BaseModel)

Timestamp: TypeAlias = datetime | str | None
"""A time: a datetime (without a zone: UTC), or a string in ISO 8601."""


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
    """Paging and sorting of a list."""

    offset: int | None
    """Number of items to skip."""
    page_size: int | None
    """Maximum number of items, 1 to 100."""
    sorting: str | None
    """Name of a field, with `-` before it for descending order."""


class InstanceListFields(ListFields, total=False):
    """Arguments of a list of instances."""

    agent_id: Required[str]
    """Only instances of this agent."""
    agent_version_id: str | None
    """Only instances of this version."""


class SpanListFields(ListFields, total=False):
    """Arguments of a list of spans; one of the first two is required."""

    agent_instance_id: str | None
    """Only spans of this instance."""
    agent_id: str | None
    """Only spans of this agent."""
    start_time: Timestamp
    """Only spans from this time on."""
    end_time: Timestamp
    """Only spans up to this time."""
    include_summaries: bool
    """Whether to include summaries."""
    include_risk_level: bool
    """Whether to include risk levels."""


def _resource(route: Route[M], nullable: tuple[str, ...] = ()) -> Endpoint[M]:
    """Return an endpoint with one resource under `details`."""
    return Endpoint(route, details(route.answers), nullable)


def _list(route: Route[M], arguments: type[ListFields]) -> Endpoint[ListResponse[M]]:
    """Return an endpoint with a page of a list."""
    query = tuple(arguments.__annotations__)
    return Endpoint(route, page(route.answers), query=query, limit_bytes=MAX_LIST_BYTES)


PING: Final = Endpoint(routes.PING, whole(PingResponse))
BULK: Final = Endpoint(routes.BULK, whole(BulkResponse), limit_bytes=MAX_LIST_BYTES)
REGISTER_INSTANCE: Final = _resource(routes.REGISTER_INSTANCE)
# As the published client sends it: null means now.
START_INSTANCE: Final = _resource(routes.START_INSTANCE, nullable=("timestamp",))
FINISH_INSTANCE: Final = _resource(routes.FINISH_INSTANCE)
TERMINATE_INSTANCE: Final = _resource(routes.TERMINATE_INSTANCE)
# Null removes the payload.
RECORD_QUALITY: Final = _resource(routes.RECORD_QUALITY, nullable=("payload",))
GET_INSTANCE: Final = _resource(routes.GET_INSTANCE)
LIST_INSTANCES: Final = _list(routes.LIST_INSTANCES, InstanceListFields)
# The idempotency key is in both places: the published Python client sends it under `details`, the
# TypeScript client next to them, and it is not known which of them a server reads.
CREATE_SPAN: Final = Endpoint(routes.CREATE_SPAN, details_with_control)
FINISH_SPAN: Final = Endpoint(routes.FINISH_SPAN, details_with_control)
LIST_SPANS: Final = _list(routes.LIST_SPANS, SpanListFields)
CREATE_AGENT: Final = _resource(routes.CREATE_AGENT)
SHOW_AGENT: Final = Endpoint(
    routes.SHOW_AGENT,
    details(Agent),
    query=(
        "agent_id",
        "external_identifier",
        "environment_id",
        "include_counts",
        "include_risk_rollup",
    ),
)
