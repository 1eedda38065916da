"""What the spans of a run or an agent may do, with which data, and what was kept from them."""

from typing import Literal

from pydantic import Field

from remit.models._types import WireModel


class SpanTypeRisk(WireModel):
    """What the spans of one type were declared to do."""

    schema_name: str
    """Name of the span type."""
    schema_title: str
    """Its title, else the name."""
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
    """Categories of data that their parameters hold."""
    gives: list[str]
    """Categories of data that their results hold."""
    excludes: list[str]
    """Categories of data that neither holds."""
    classification: str
    """The closest class of either."""


class Refused(WireModel):
    """Steps that were denied, and runs that were terminated."""

    spans: int
    """Steps that were denied: their bodies did not run."""
    violations: dict[str, int]
    """Number of denials by word of the remit."""
    terminated_runs: int
    """Runs that were terminated."""
    termination_reasons: list[str]
    """Their reasons, the newest first."""


class Exceeded(WireModel):
    """Spans that exceeded a remit and were only observed."""

    spans: int
    """Number of spans."""
    violations: dict[str, int]
    """Number of excesses by word of the remit."""


class SchemaFindings(WireModel):
    """Comparison of payloads with their declared schemas."""

    invalid: int
    """Spans whose payload or result does not match."""
    undeclared: int
    """Spans of a type that was not declared."""
    unchecked: int
    """Spans that could not be compared."""


class Risk(WireModel):
    """What the spans of a run, or of an agent over some time, may do and did not do."""

    type: Literal["risk"] = "risk"
    """Always `risk`."""
    agent_id: str
    """The agent."""
    agent_instance_id: str | None = None
    """The run; null for an agent."""
    start_time: str | None = None
    """Spans that started before do not count; null for a run."""
    end_time: str | None = None
    """Spans that started after do not count; null for a run."""
    spans: int
    """Number of spans."""
    allows: dict[str, int]
    """Actions, and how many spans were declared to take them."""
    takes: dict[str, int]
    """Categories of data, and into how many spans they were declared to go."""
    gives: dict[str, int]
    """Categories of data, and out of how many spans they were declared to come."""
    classification: str
    """The closest class of data that a span was declared to handle."""
    span_types: list[SpanTypeRisk] = Field(default_factory=list[SpanTypeRisk])
    """The same for each span type."""
    refused: Refused
    """Steps that were denied, and runs that were terminated."""
    exceeded: Exceeded
    """Spans that exceeded a remit."""
    withheld: dict[str, int]
    """Values that were not recorded, by rule."""
    schema_findings: SchemaFindings
    """Comparison of payloads with their declared schemas."""
    complete: bool
    """Whether every span with something withheld, refused or exceeded was looked into."""
