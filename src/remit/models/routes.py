"""The operations of the API that the client calls and the collector serves: path and models."""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from remit.models.agent import Agent, AgentForCreate
from remit.models.agent_instance import (
    AgentInstance,
    FinishInstanceRequest,
    RecordQualityRequest,
    RegisterDeploymentInstanceRequest,
    ShownInstance,
    TerminateInstanceRequest,
    TimestampRequest,
)
from remit.models.agent_span import AgentSpan, CreateAgentSpanRequest, FinishAgentSpanRequest
from remit.models.bulk import BulkRequest, BulkResponse
from remit.models.envelope import PingResponse

M = TypeVar("M", bound=BaseModel)

API: Final = "/api/v1"
"""Path of the API, before the paths of all routes."""
OWN_API: Final = "/api/remit/v1"
"""Path of the endpoints that only remit provides."""
IDENTIFY_AGENT: Final = "/agents/identify"
"""Path after `OWN_API` of the endpoint that finds the agent of an identifier with a project."""


class Route(NamedTuple, Generic[M]):
    """An operation: its name, its path, and the models of both directions.

    Attributes:
        operation: Its name in a bulk item.
        method: HTTP method.
        path: Path after `API`; `{id}` is the id of the thing.
        answers: Model of the thing in a success, or of each item of a list.
        body: Model of the body; None without a body.
        wrapped: Whether the body's fields are under `details`.
    """

    operation: str
    method: str
    path: str
    answers: type[M]
    body: type[BaseModel] | None = None
    wrapped: bool = False

    @property
    def id_field(self) -> str:
        """Name of the id in a bulk item, `agent_instance_id` for example; empty without an id."""
        thing = self.operation.partition("/")[0].removesuffix("s")
        return f"{thing}_id" if "{id}" in self.path else ""


PING: Final = Route("ping", "GET", "/ping", PingResponse)
BULK: Final = Route("bulk", "POST", "/bulk", BulkResponse, BulkRequest)
REGISTER_INSTANCE: Final = Route(
    "agent_instances/register",
    "POST",
    "/agent_instance/register",
    AgentInstance,
    RegisterDeploymentInstanceRequest,
)
START_INSTANCE: Final = Route(
    "agent_instances/start", "POST", "/agent_instance/{id}/start", AgentInstance, TimestampRequest
)
FINISH_INSTANCE: Final = Route(
    "agent_instances/finish",
    "POST",
    "/agent_instance/{id}/finish",
    AgentInstance,
    FinishInstanceRequest,
)
TERMINATE_INSTANCE: Final = Route(
    "agent_instances/terminate",
    "POST",
    "/agent_instance/{id}/terminate",
    AgentInstance,
    TerminateInstanceRequest,
)
RECORD_QUALITY: Final = Route(
    "agent_instances/record_quality",
    "POST",
    "/agent_instance/{id}/record_quality",
    AgentInstance,
    RecordQualityRequest,
)
GET_INSTANCE: Final = Route("agent_instances/show", "GET", "/agent_instance/{id}", ShownInstance)
LIST_INSTANCES: Final = Route("agent_instances/list", "GET", "/agent_instance", AgentInstance)
CREATE_SPAN: Final = Route(
    "agent_spans/create", "POST", "/agent_spans", AgentSpan, CreateAgentSpanRequest, wrapped=True
)
FINISH_SPAN: Final = Route(
    "agent_spans/finish", "POST", "/agent_spans/{id}/finish", AgentSpan, FinishAgentSpanRequest
)
LIST_SPANS: Final = Route("agent_spans/list", "GET", "/agent_spans", AgentSpan)
CREATE_AGENT: Final = Route("agents/create", "POST", "/agent", Agent, AgentForCreate, wrapped=True)
FIND_WAITING: Final = Route("remit/waiting/show", "GET", "/waiting", AgentInstance)
"""It is under `/api/remit/v1`."""
SHOW_AGENT: Final = Route("agents/show", "GET", "/agent/show", Agent)
