"""Deployments of agents, versions of their code and of their schemas: requests and responses."""

from datetime import datetime
from typing import Literal

from remit.models._types import JsonObject, WireModel
from remit.models.agent_instance import (
    AgentSchemaVersionForRegister,
    AgentVersionForRegister,
    RuntimeEnvironment,
)


class AgentDeploymentForCreate(WireModel):
    """A new deployment: the `details` of the request."""

    agent_id: str
    """The agent."""
    environment_id: str
    """The environment in which it runs."""
    id: str | None = None
    """Id for the deployment, a PFID; by default the server generates one."""
    current_version_id: str | None = None
    """The version of the agent that runs there."""


class AgentDeploymentForUpdate(WireModel):
    """Changes of a deployment: an absent field stays as it is, a null clears it."""

    current_version_id: str | None = None
    """The version of the agent that runs there."""


class AgentDeployment(WireModel):
    """An agent in an environment."""

    type: Literal["agent_deployment"]
    """Always `agent_deployment`."""
    id: str
    """Id of the deployment, a PFID."""
    account_id: str
    """The account that contains it."""
    agent_id: str
    """The agent."""
    environment_id: str
    """The environment."""
    current_version_id: str | None = None
    """The version that was registered last, or set by a request."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AgentVersionForCreate(AgentVersionForRegister):
    """A new version: the `details` of the request."""

    agent_id: str
    """The agent."""


class AgentVersion(WireModel):
    """A version of an agent's code."""

    type: Literal["agent_version"]
    """Always `agent_version`."""
    id: str
    """Id of the version, a PFID."""
    account_id: str
    """The account that contains it."""
    agent_id: str
    """The agent."""
    external_identifier: str | None = None
    """Identifier of the version at the client."""
    name: str | None = None
    """Display name."""
    description: str | None = None
    """Description of the version."""
    runtime_environment: RuntimeEnvironment | None = None
    """Runtime environment."""
    inserted_at: datetime | None = None
    """When it was first seen."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AgentSchemaVersionForCreate(AgentSchemaVersionForRegister):
    """A new schema version: the `details` of the request."""

    agent_id: str
    """The agent."""


class AgentSchemaVersion(WireModel):
    """The span types and qualities that an agent declared; lists leave the schemas out."""

    type: Literal["agent_schema_version"]
    """Always `agent_schema_version`."""
    id: str
    """Id of the schema version, a PFID."""
    account_id: str
    """The account that contains it."""
    agent_id: str
    """The agent."""
    external_identifier: str | None = None
    """Identifier of the schema version at the client."""
    content_hash: str | None = None
    """SHA-256 of the schemas: other content under the same name is another schema version."""
    registered_by: str | None = None
    """Id of the token that registered it first."""
    environment_id: str | None = None
    """Environment of the run that it was first registered with."""
    span_type_schemas: list[JsonObject] | None = None
    """The span types."""
    span_schemas: dict[str, JsonObject] | None = None
    """Older form: the payload's JSON Schema for each span type."""
    span_result_schemas: dict[str, JsonObject] | None = None
    """Older form: the result's JSON Schema for each span type."""
    quality_schemas: list[JsonObject] | None = None
    """The kinds of quality payload."""
    inserted_at: datetime | None = None
    """When it was first seen."""
    updated_at: datetime | None = None
    """When it was last changed."""
