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
    """The `details` in a request that creates a deployment."""

    agent_id: str
    """The agent."""
    environment_id: str
    """Id of the environment."""
    id: str | None = None
    """PFID for the deployment. By default, the server generates one."""
    current_version_id: str | None = None
    """Id of the agent version that runs in the environment."""


class AgentDeploymentForUpdate(WireModel):
    """The `details` in a request that changes a deployment. Null clears a field."""

    current_version_id: str | None = None
    """Id of the agent version that runs in the environment."""


class AgentDeployment(WireModel):
    """A deployment of an agent in an environment."""

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
    """Id of the version that was last registered, or set by a request."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AgentVersionForCreate(AgentVersionForRegister):
    """The `details` in a request that creates an agent version."""

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
    """The client's identifier for the version."""
    name: str | None = None
    """Display name."""
    description: str | None = None
    """Description of the version."""
    runtime_environment: RuntimeEnvironment | None = None
    """Runtime environment."""
    inserted_at: datetime | None = None
    """When the server first received it."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AgentSchemaVersionForCreate(AgentSchemaVersionForRegister):
    """The `details` in a request that creates a schema version."""

    agent_id: str
    """The agent."""


class AgentSchemaVersion(WireModel):
    """The span types and quality payloads that an agent declares. Lists omit the schemas."""

    type: Literal["agent_schema_version"]
    """Always `agent_schema_version`."""
    id: str
    """Id of the schema version, a PFID."""
    account_id: str
    """The account that contains it."""
    agent_id: str
    """The agent."""
    external_identifier: str | None = None
    """The client's identifier for the schema version."""
    content_hash: str | None = None
    """SHA-256 hash of the schemas. Different content with the same identifier is a different
    schema version.
    """
    registered_by: str | None = None
    """Id of the token that first registered it."""
    environment_id: str | None = None
    """Environment of the run that first registered it."""
    span_type_schemas: list[JsonObject] | None = None
    """The span types."""
    span_schemas: dict[str, JsonObject] | None = None
    """Older form: the payload's JSON Schema for each span type."""
    span_result_schemas: dict[str, JsonObject] | None = None
    """Older form: the result's JSON Schema for each span type."""
    quality_schemas: list[JsonObject] | None = None
    """The kinds of quality payload."""
    inserted_at: datetime | None = None
    """When the server first received it."""
    updated_at: datetime | None = None
    """When it was last changed."""
