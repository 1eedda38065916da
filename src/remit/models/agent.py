"""Agents: creation, and an agent as the API returns it."""

from datetime import datetime
from typing import Literal

from remit.models._types import WireModel
from remit.models.data_risk import DataRisk


class AgentForCreate(WireModel):
    """The `details` in a request that creates an agent."""

    name: str
    """Display name."""
    description: str | None = None
    """Description that is shown to people."""
    external_identifier: str | None = None
    """The client's identifier for the agent. It is unique in the account and cannot be changed."""
    id: str | None = None
    """PFID for the agent, in the account's partition. By default, the server generates one."""
    owner_person_id: str | None = None
    """Person or team responsible for the agent."""
    risk_profile_id: str | None = None
    """The agent's risk profile."""
    team_id: str | None = None
    """Team to which the agent belongs."""


class AgentAvailableActions(WireModel):
    """Operations that an agent's status allows."""

    update: bool = False
    """Whether the agent can be changed."""
    retire: bool = False
    """Whether the agent can be retired."""
    reinstate: bool = False
    """Whether the agent can be reinstated."""
    delete: bool = False
    """Whether the agent can be deleted."""


class AgentInstanceCounts(WireModel):
    """An agent's number of instances for each status."""

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
    """Display name."""
    description: str | None = None
    """Description that is shown to people."""
    external_identifier: str | None = None
    """The client's identifier for the agent."""
    status: Literal["pending", "active", "dormant", "retired"]
    """Status."""
    owner_person_id: str | None = None
    """Person or team responsible for the agent."""
    risk_profile_id: str | None = None
    """The agent's risk profile."""
    team_id: str | None = None
    """Team to which the agent belongs."""
    instance_counts: AgentInstanceCounts | None = None
    """Number of instances for each status. It is included only if requested."""
    available_actions: AgentAvailableActions | None = None
    """Operations that the agent's status allows."""
    account_id: str | None = None
    """The account that contains it."""
    risk_rollup: DataRisk | None = None
    """Declared risk of the agent: that of its steps, within its own remit. It is included only if
    requested.
    """
    inserted_at: datetime | None = None
    """When it was created."""
    updated_at: datetime | None = None
    """When it was last changed."""
