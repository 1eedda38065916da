"""Risk of a run or an agent: declared actions and data, denials, violations, redacted values."""

from typing import Literal

from pydantic import Field

from remit.models._types import WireModel


class SpanTypeRisk(WireModel):
    """Declared risk of the spans of one type."""

    schema_name: str
    """Name of the span type."""
    schema_title: str
    """Its title, by default the name."""
    declared: bool
    """Whether the schema version declares it."""
    spans: int
    """Number of spans."""
    failed: int
    """Number of failed spans."""
    allows: list[str]
    """Actions that they may take."""
    forbids: list[str]
    """Actions that they may not take."""
    takes: list[str]
    """Categories of data in their parameters."""
    gives: list[str]
    """Categories of data in their results."""
    excludes: list[str]
    """Categories of data in neither."""
    classification: str
    """The more sensitive classification of the two."""


class Denied(WireModel):
    """Denied steps and terminated runs."""

    spans: int
    """Number of denied steps; their bodies did not run."""
    violations: dict[str, int]
    """Number of violations by sentence."""
    terminated_runs: int
    """Number of terminated runs."""
    termination_reasons: list[str]
    """Reasons of the terminations, newest first."""


class Observed(WireModel):
    """Violations that were only observed."""

    spans: int
    """Number of spans."""
    violations: dict[str, int]
    """Number of violations by sentence."""


class SchemaFindings(WireModel):
    """Results of comparing payloads with their schemas."""

    invalid: int
    """Number of spans whose payload or result does not match."""
    undeclared: int
    """Number of spans of an undeclared type."""
    unchecked: int
    """Number of spans that could not be compared."""


class Risk(WireModel):
    """Risk of a run, or of an agent within a period."""

    type: Literal["risk"] = "risk"
    """Always `risk`."""
    agent_id: str
    """The agent."""
    agent_instance_id: str | None = None
    """The run; null for an agent."""
    start_time: str | None = None
    """Start of the period; null for a run."""
    end_time: str | None = None
    """End of the period; null for a run."""
    spans: int
    """Number of spans."""
    allows: dict[str, int]
    """Number of spans by declared action."""
    takes: dict[str, int]
    """Number of spans by declared category of their parameters."""
    gives: dict[str, int]
    """Number of spans by declared category of their results."""
    classification: str
    """The most sensitive classification that a span declares."""
    span_types: list[SpanTypeRisk] = Field(default_factory=list[SpanTypeRisk])
    """Risk by span type."""
    denied: Denied
    """Denied steps and terminated runs."""
    observed: Observed
    """Observed violations."""
    redacted: dict[str, int]
    """Number of redacted values by rule."""
    schema_findings: SchemaFindings
    """Results of comparing payloads with their schemas."""
    complete: bool
    """Whether all flagged spans were evaluated, and not only the newest."""
