"""Deployments of agents, versions of their code and of their schemas, as the API has them."""

from datetime import datetime
from typing import Literal

from remit.models._types import WireModel
from remit.models._words import JsonObject
from remit.models.agent_instance import (
    AgentSchemaVersionForRegister,
    AgentVersionForRegister,
    RuntimeEnvironment,
)


class AgentDeploymentForCreate(WireModel):
    """A new deployment: the fields under `details` in the body."""

    agent_id: str
    """The agent."""
    environment_id: str
    """The environment in which it runs."""
    id: str | None = None
    """Id for the deployment, a PFID; the server makes one if absent."""
    current_version_id: str | None = None
    """The version of the agent that runs there."""


class AgentDeploymentForUpdate(WireModel):
    """What can be changed in a deployment: an absent field stays, a null clears."""

    current_version_id: str | None = None
    """The version of the agent that runs there."""


class AgentDeployment(WireModel):
    """An agent in an environment."""

    type: Literal["agent_deployment"]
    """Always `agent_deployment`."""
    id: str
    """Id of the deployment, a PFID."""
    account_id: str
    """Account to which it belongs."""
    agent_id: str
    """The agent."""
    environment_id: str
    """The environment."""
    current_version_id: str | None = None
    """The version that was registered last, or pinned by hand."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AgentVersionForCreate(AgentVersionForRegister):
    """A new version: the fields under `details` in the body."""

    agent_id: str
    """The agent."""


class AgentVersion(WireModel):
    """A version of an agent's code."""

    type: Literal["agent_version"]
    """Always `agent_version`."""
    id: str
    """Id of the version, a PFID."""
    account_id: str
    """Account to which it belongs."""
    agent_id: str
    """The agent."""
    external_identifier: str | None = None
    """The client's name of this version."""
    name: str | None = None
    """Name that people read."""
    description: str | None = None
    """What the version is about."""
    runtime_environment: RuntimeEnvironment | None = None
    """Where it runs."""
    inserted_at: datetime | None = None
    """When it was first seen."""
    updated_at: datetime | None = None
    """When it was last changed."""


class AgentSchemaVersionForCreate(AgentSchemaVersionForRegister):
    """A new schema version: the fields under `details` in the body."""

    agent_id: str
    """The agent."""


class AgentSchemaVersion(WireModel):
    """The span types and qualities that an agent declared; lists leave the schemas out."""

    type: Literal["agent_schema_version"]
    """Always `agent_schema_version`."""
    id: str
    """Id of the schema version, a PFID."""
    account_id: str
    """Account to which it belongs."""
    agent_id: str
    """The agent."""
    external_identifier: str | None = None
    """The client's name of this schema version."""
    content_hash: str | None = None
    """SHA-256 of the schemas: other content under the same name is another schema version."""
    registered_by: str | None = None
    """Id of the token that registered it first."""
    environment_id: str | None = None
    """Environment of the run that it was first registered with."""
    span_type_schemas: list[JsonObject] | None = None
    """The span types."""
    span_schemas: dict[str, JsonObject] | None = None
    """Older form: JSON Schema of the payload by span type."""
    span_result_schemas: dict[str, JsonObject] | None = None
    """Older form: JSON Schema of the result by span type."""
    quality_schemas: list[JsonObject] | None = None
    """The kinds of quality payload."""
    inserted_at: datetime | None = None
    """When it was first seen."""
    updated_at: datetime | None = None
    """When it was last changed."""
