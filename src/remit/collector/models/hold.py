"""Holds: requests and responses."""

from typing import Literal

from pydantic import Field

from remit.models._types import WireModel
from remit.models.data_risk import Action

MAX_REASON_CHARS = 500
MAX_AGENTS = 100
MAX_NAME_CHARS = 200
MAX_NUMBER = 2**53


class HoldForCreate(WireModel):
    """The actions to hold, and the reason."""

    actions: list[Action] = Field(min_length=1)
    """The actions."""
    agents: list[str] = Field(default_factory=list[str], max_length=MAX_AGENTS)
    """Ids, external identifiers or display names of agents. Empty for all agents."""
    declared_only: bool = False
    """Whether only steps that declare an action are denied. By default, steps that leave it
    undeclared are denied too.
    """
    reason: str
    """Reason, up to 500 characters. Programs and their models read it."""
    until: str | None = None
    """Time in ISO 8601 at which the hold ends by itself. By default somebody has to lift it."""
    idempotency_key: str | None = None
    """Key of 1 to 64 characters that makes it safe to repeat the request."""


class KnownHolds(WireModel):
    """The holds that a process knows."""

    process: str = Field(min_length=1, max_length=64)
    """Id that the process made for itself."""
    host: str = Field(default="", max_length=MAX_NAME_CHARS)
    """Name of its machine."""
    agents: list[str] = Field(default_factory=list[str], max_length=MAX_AGENTS)
    """External identifiers of its agents."""
    number: int = Field(ge=0, le=MAX_NUMBER)
    """Number of the holds that it knows."""


class KnownHoldsResponse(WireModel):
    """Response to a process that reports the holds that it knows."""

    status: Literal["success"] = "success"
    """Always `success`."""
    number: int
    """Number of the holds at the server."""
