"""The keyword arguments of the endpoints that take many, named as the fields on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Required, TypeAlias, TypedDict

from remit.models._words import Purpose, SpanStatus
from remit.models.agent_instance import AgentSchemaVersionForRegister, AgentVersionForRegister

JsonMapping: TypeAlias = Mapping[str, Any]
Timestamp: TypeAlias = datetime | str | None
"""A moment: a datetime (without a zone: UTC), or ISO 8601 text as it is to be sent."""


class RegisterFields(TypedDict, total=False):
    """Arguments of a registration; the required ones are the two versions."""

    agent_version: Required[AgentVersionForRegister | JsonMapping]
    """Version of the agent's code."""
    agent_schema_version: Required[AgentSchemaVersionForRegister | JsonMapping]
    """Span types of the agent."""
    agent_id: str | None
    """The agent; a deployment's token says it if absent."""
    environment_id: str | None
    """The environment; a deployment's token says it if absent."""
    id: str | None
    """Id for the instance, a PFID."""
    update_current_version: bool
    """Whether the deployment's current version becomes this one; true if absent."""
    purpose: Purpose | None
    """Why the instance runs; the server takes `live`."""
    external_identifier: str | None
    """The client's name of the instance, unique for the agent."""
    idempotency_key: str | None
    """Key that makes a repeated request safe, 1 to 64 characters; made here if absent."""


class SpanFields(TypedDict, total=False):
    """Arguments of a new span."""

    agent_instance_id: Required[str]
    """Instance to which the span belongs."""
    schema_name: Required[str]
    """Name of its span type."""
    status: Required[SpanStatus]
    """Where it stands: a span may be created already ended."""
    payload: JsonMapping | None
    """What went in."""
    result_payload: JsonMapping | None
    """What came out; only with a status that ends the span."""
    id: str | None
    """Id for the span, a PFID."""
    parent_span_id: str | None
    """The span in which it ran."""
    started_at: Timestamp
    """When it started; now if absent."""
    finished_at: Timestamp
    """When it ended."""
    sensitive_encoding: bool | None
    """Whether the payloads hold values in the `$sensitive` encoding."""
    idempotency_key: str | None
    """Key that makes a repeated request safe, 1 to 64 characters; made here if absent."""


class ListFields(TypedDict, total=False):
    """Which part of a list is wanted."""

    offset: int | None
    """How many items to leave out; `pagination[offset]` on the wire."""
    page_size: int | None
    """How many items at most, 1 to 100; `pagination[page_size]` on the wire."""
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


class AgentFields(TypedDict, total=False):
    """Arguments of a new agent."""

    name: Required[str]
    """Name that people read."""
    description: str | None
    """What it does."""
    external_identifier: str | None
    """The client's name of the agent, unique in the account."""
    id: str | None
    """Id for the agent, a PFID in the account's partition."""
    owner_person_id: str | None
    """Who answers for it."""
    risk_profile_id: str | None
    """Risk profile by which it is judged."""
    team_id: str | None
    """Team to which it belongs."""
    idempotency_key: str | None
    """Key that makes a repeated request safe, 1 to 64 characters; made here if absent."""
