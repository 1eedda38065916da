"""Erasures: requests and responses."""

from datetime import datetime
from typing import Literal

from remit.models._types import WireModel


class ErasureForCreate(WireModel):
    """The runs to erase, and the reason. Exactly one of the other four fields is required."""

    run_id: str | None = None
    """One run."""
    agent_id: str | None = None
    """All runs of an agent."""
    subject: str | None = None
    """All runs that were opened with exactly this subject."""
    on_behalf_of: str | None = None
    """All runs that were opened on behalf of exactly this person."""
    reason: str
    """Reason, which is stored in the erasure record."""


class ErasedResponse(WireModel):
    """Counts of an erasure."""

    status: Literal["success"] = "success"
    """Always `success`."""
    runs: int
    """Number of runs."""
    spans: int
    """Number of spans that had payloads."""
    responses: int
    """Number of idempotency keys whose stored response was removed."""


class Erasure(WireModel):
    """The record of a run's erasure."""

    id: str
    """Id of the record, a PFID."""
    agent_instance_id: str
    """The run."""
    asked_for: Literal["run", "agent", "subject", "on_behalf_of"]
    """Kind of request with which the run was selected."""
    reason: str
    """Reason."""
    erased_by: str
    """Name or id of the token, or name of the user who ran `remit db erase`."""
    spans: int
    """Number of spans that had payloads."""
    responses: int
    """Number of idempotency keys whose stored response was removed."""
    inserted_at: datetime
    """Time of the erasure."""


class ErasureList(WireModel):
    """The erasures of a run, oldest first."""

    status: Literal["success"] = "success"
    """Always `success`."""
    erasures: list[Erasure]
    """The records. They are kept even if the run is deleted because of its age."""
