"""Answers of the endpoints that only remit has, below `/api/remit/v1`."""

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field

from remit.models._types import WireModel
from remit.models.agent_instance import AgentInstance, RegisteredAgent
from remit.models.agent_span import AgentSpan

Flag: TypeAlias = Literal[
    "denied", "violation", "redacted", "invalid", "undeclared", "lost", "failed", "unchecked"
]
"""Flag of a span, or of a run that has such a span."""


class Tokens(WireModel):
    """Tokens that language models took and gave; null if no span counted any."""

    model_config = ConfigDict(populate_by_name=True)

    in_: int | None = Field(default=None, alias="in")
    """Tokens of prompts; `in` on the wire."""
    out: int | None = None
    """Tokens of completions."""


class Cost(WireModel):
    """An amount in a currency."""

    amount: str
    """The amount, as a decimal number."""
    currency: str
    """The currency, such as `USD`."""
    source: Literal["prices", "reported"]
    """`prices`: derived from the prices of the server's file. `reported`: a library reported it."""
    prices_from: str | None = None
    """First day of the latest price that was used; null without a day."""


class CostBreakdown(WireModel):
    """Costs of model calls, in `cost_breakdown`. Other servers send other members."""

    total_cost: float | None = None
    """The sum, if all costs have one currency; null without a cost."""
    costs: list[Cost] = Field(default_factory=list[Cost])
    """The costs, by currency and source."""
    calls_without_price: int = 0
    """Number of model calls without a price and without a reported cost."""


class Run(AgentInstance):
    """A run in a list."""

    agent: RegisteredAgent
    """Its agent."""
    flags: list[Flag]
    """Flags of its spans."""
    denied: int
    """Number of steps that the policy denied."""
    handled: int
    """Number of failed spans whose parent is complete."""
    tokens: Tokens
    """Tokens of its spans."""
    summary: str | None = None
    """Summary of its root span."""
    terminated_by: str | None = None
    """Who terminated it: by which way, with which token; null if it was not terminated."""
    erased_at: datetime | None = None
    """When its payloads were erased; null if they were not."""


class RunList(WireModel):
    """A page of runs, newest first."""

    status: Literal["success"] = "success"
    """Always `success`."""
    runs: list[Run]
    """The runs."""
    next: str | None = None
    """Value of `before` for the next page; null on the last."""
    total: int | None = None
    """Number of all runs that meet the criteria, if `total=true`."""


class Span(AgentSpan):
    """A span in a list; without its payloads unless they were wanted."""

    flags: list[Flag]
    """Its flags."""


class SpanList(WireModel):
    """A page of spans, newest first."""

    status: Literal["success"] = "success"
    """Always `success`."""
    spans: list[Span]
    """The spans."""
    next: str | None = None
    """Value of `before` for the next page with the same filters; null on the last."""


class Count(WireModel):
    """Numbers of one group. The member that names the group is that of `by`."""

    hour: datetime | None = None
    """First moment of an hour."""
    day: str | None = None
    """A day, in UTC."""
    type: str | None = None
    """Name of a span type."""
    title: str | None = None
    """Title of the span type, from its newest declaration."""
    category: str | None = None
    """Category of data in parameters or results."""
    agent: RegisteredAgent | None = None
    """An agent."""
    status: str | None = None
    """A status; then only `spans` or `runs` is there."""
    spans: int | None = None
    """Number of spans."""
    runs: int | None = None
    """Number of runs."""
    unfinished: int | None = None
    """Spans that have not ended."""
    pending: int | None = None
    """Runs that have not started."""
    active: int | None = None
    """Runs in progress."""
    complete: int | None = None
    """Spans or runs that succeeded."""
    failed: int | None = None
    """Spans or runs that failed."""
    terminated: int | None = None
    """Runs that were terminated."""
    cancelled: int | None = None
    """Spans or runs that were cancelled."""
    denied: int | None = None
    """Spans that the policy denied."""
    redacted: int | None = None
    """Spans in which a value was redacted."""
    violation: int | None = None
    """Spans that violate the remit of their agent."""
    undeclared: int | None = None
    """Spans of an undeclared type."""
    invalid: int | None = None
    """Spans that are not as declared."""
    unchecked: int | None = None
    """Spans that could not be compared with their declaration."""
    duration_us: int | None = None
    """Duration of all finished spans, in microseconds."""
    duration_max_us: int | None = None
    """Duration of the longest one."""


class CountList(WireModel):
    """Numbers of spans or runs by group."""

    status: Literal["success"] = "success"
    """Always `success`."""
    of: Literal["spans", "runs"]
    """Counted objects."""
    by: Literal["hour", "day", "type", "category", "agent", "status"]
    """How it was grouped."""
    counts: list[Count]
    """The groups: hours and days in order, others with the largest first."""


class RedactedCount(WireModel):
    """How often values were redacted. The member that names the group is that of `by`."""

    rule: str | None = None
    """A rule."""
    type: str | None = None
    """Name of a span type."""
    title: str | None = None
    """Title of the span type, from its newest declaration."""
    day: str | None = None
    """A day, in UTC."""
    times: int
    """Number of values."""


class RedactedList(WireModel):
    """How often values were redacted, by group."""

    status: Literal["success"] = "success"
    """Always `success`."""
    by: Literal["rule", "type", "day"]
    """How it was grouped."""
    redacted: list[RedactedCount]
    """The groups: days in order, others with the largest first."""


class CostVersion(WireModel):
    """A version of an agent."""

    id: str
    """Its id."""
    name: str | None = None
    """Its name."""
    agent: str
    """Name of the agent."""


class CostTokens(Tokens):
    """Tokens of model calls."""

    cached: int
    """Tokens of prompts that a cache served; they count in `in` too."""
    cache_write: int
    """Tokens of prompts that were written to a cache; they count in `in` too."""


class CostGroup(WireModel):
    """Model calls of one group. The member that names the group is that of `by`."""

    model: str | None = None
    """Name of a model; empty if it was not recorded."""
    agent: RegisteredAgent | None = None
    """An agent."""
    version: CostVersion | None = None
    """A version of an agent."""
    day: str | None = None
    """A day, in UTC."""
    calls: int
    """Number of model calls."""
    tokens: CostTokens
    """Their tokens."""
    cost_breakdown: CostBreakdown
    """Their costs."""


class CostList(WireModel):
    """Tokens and costs of model calls, by group."""

    status: Literal["success"] = "success"
    """Always `success`."""
    by: Literal["model", "agent", "version", "day"]
    """How it was grouped."""
    costs: list[CostGroup]
    """The groups: days in order, others with the most tokens first."""
    is_whole: bool
    """Whether all runs were added; otherwise the newest 10,000."""


class Program(WireModel):
    """A program that registered an agent."""

    agent_schema_version_id: str
    """Id of the schema version that it registered."""
    owner: str | None = None
    """Owner that it declares."""
    steps: list[str]
    """Names of its own steps, at most five."""
    registered_at: datetime
    """When a process of it registered last."""


class Collision(WireModel):
    """An agent that several programs registered in the last 24 hours."""

    agent: RegisteredAgent
    """The agent."""
    programs: list[Program]
    """The programs, the last registered first. No two share a step, or they have other owners."""


class CollisionList(WireModel):
    """Agents that several programs registered."""

    status: Literal["success"] = "success"
    """Always `success`."""
    collisions: list[Collision]
    """The agents."""


class ChangeList(WireModel):
    """Runs that were changed, or whose spans were, in the order of the changes."""

    status: Literal["success"] = "success"
    """Always `success`."""
    runs: list[Run]
    """The runs as they are now."""
    cursor: str
    """Value of `after` for later changes."""
