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
    """How many spans."""
    failed: int
    """How many of them failed."""
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
    """What was not allowed to happen."""

    spans: int
    """Steps that were denied: their bodies did not run."""
    violations: dict[str, int]
    """How often each word of a remit was in the way."""
    terminated_runs: int
    """Runs that were terminated."""
    termination_reasons: list[str]
    """Why, the newest first."""


class Exceeded(WireModel):
    """What went beyond a remit and was only observed."""

    spans: int
    """How many spans."""
    violations: dict[str, int]
    """How often each word of a remit was exceeded."""


class SchemaFindings(WireModel):
    """What came of comparing payloads with what was declared."""

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
    """How many spans there are."""
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
    """What was not allowed to happen."""
    exceeded: Exceeded
    """What went beyond a remit."""
    withheld: dict[str, int]
    """Values that were not recorded, by rule."""
    schema_findings: SchemaFindings
    """Whether payloads are as declared."""
    complete: bool
    """Whether every span with something withheld, refused or exceeded was looked into."""
