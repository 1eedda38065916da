"""Agents: creation, and an agent as the API returns it."""

from datetime import datetime
from typing import Literal

from remit.models._types import WireModel
from remit.models.data_risk import DataRisk


class AgentForCreate(WireModel):
    """A new agent: the fields under `details` in the body."""

    name: str
    """Name for people."""
    description: str | None = None
    """Description for people."""
    external_identifier: str | None = None
    """The client's name for the agent, unique in the account; it cannot be changed later."""
    id: str | None = None
    """Id for the agent, a PFID in the account's partition; by default the server generates one."""
    owner_person_id: str | None = None
    """Person or team that is responsible for it."""
    risk_profile_id: str | None = None
    """Its risk profile."""
    team_id: str | None = None
    """Team to which it belongs."""


class AgentAvailableActions(WireModel):
    """Operations that an agent's status allows."""

    update: bool = False
    """Whether it can be changed."""
    retire: bool = False
    """Whether it can be retired."""
    reinstate: bool = False
    """Whether it can be reinstated."""
    delete: bool = False
    """Whether it can be deleted."""


class AgentInstanceCounts(WireModel):
    """Number of instances of an agent, by status."""

    total: int = 0
    """All instances."""
    pending: int = 0
    """Instances not yet started."""
    active: int = 0
    """Active instances."""
    complete: int = 0
    """Completed instances."""
    failed: int = 0
    """Failed instances."""
    cancelled: int = 0
    """Cancelled instances."""
    terminated: int = 0
    """Terminated instances."""
    finished: int = 0
    """Instances that ended in any way."""


class Agent(WireModel):
    """An agent, as the API returns it."""

    type: Literal["agent"]
    """Always `agent`."""
    id: str
    """Id of the agent, a PFID."""
    name: str
    """Name for people."""
    description: str | None = None
    """Description for people."""
    external_identifier: str | None = None
    """The client's name for the agent."""
    status: Literal["pending", "active", "dormant", "retired"]
    """Status."""
    owner_person_id: str | None = None
    """Person or team that is responsible for it."""
    risk_profile_id: str | None = None
    """Its risk profile."""
    team_id: str | None = None
    """Team to which it belongs."""
    instance_counts: AgentInstanceCounts | None = None
    """Number of instances by status; only on request."""
    available_actions: AgentAvailableActions | None = None
    """Operations that its status allows."""
    account_id: str | None = None
    """Account to which it belongs."""
    risk_rollup: DataRisk | None = None
    """Declared risk of its span types; only on request."""
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""
