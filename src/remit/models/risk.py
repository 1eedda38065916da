"""Risk of a run or an agent: declared actions and data, denials, violations, redacted values."""

from typing import Literal

from pydantic import Field

from remit.models._types import WireModel


class SpanTypeRisk(WireModel):
    """Declared risk of the spans of one type."""

    schema_name: str
    """Name of the span type."""
    schema_title: str
    """Title of the span type, or its name if it does not have a title."""
    declared: bool
    """Whether the schema version declares the span type."""
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
    """Categories of data that neither the parameters nor the results contain."""
    classification: str
    """The more sensitive of the classifications of parameters and result."""


class Denied(WireModel):
    """Denied steps and terminated runs."""

    spans: int
    """Number of denied steps; their bodies did not run."""
    violations: dict[str, int]
    """Number of violations for each sentence."""
    terminated_runs: int
    """Number of terminated runs."""
    termination_reasons: list[str]
    """Reasons for the terminations, newest first."""


class Observed(WireModel):
    """Violations that were recorded, but not denied."""

    spans: int
    """Number of spans."""
    violations: dict[str, int]
    """Number of violations for each sentence."""


class SchemaFindings(WireModel):
    """Results of checking payloads against their schemas."""

    invalid: int
    """Number of spans whose payload or result does not match."""
    undeclared: int
    """Number of spans of an undeclared type."""
    unchecked: int
    """Number of spans that could not be checked."""


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
    """Number of spans for each declared action."""
    takes: dict[str, int]
    """Number of spans for each category that their parameters are declared to contain."""
    gives: dict[str, int]
    """Number of spans for each category that their results are declared to contain."""
    classification: str
    """The most sensitive classification that a span declares."""
    span_types: list[SpanTypeRisk] = Field(default_factory=list[SpanTypeRisk])
    """Risk of each span type."""
    denied: Denied
    """Denied steps and terminated runs."""
    observed: Observed
    """Violations that were recorded, but not denied."""
    redacted: dict[str, int]
    """Number of values that each rule redacted."""
    schema_findings: SchemaFindings
    """Results of checking payloads against their schemas."""
    complete: bool
    """Whether all flagged spans were evaluated. If false, only the newest were."""
