"""Responses of the endpoints under `/api/remit/v1`, which only remit provides."""

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field

from remit.models._types import WireModel
from remit.models.agent import Agent
from remit.models.agent_instance import (
    AgentInstance,
    AgentSchemaVersionForRegister,
    RegisteredAgent,
)
from remit.models.agent_span import AgentSpan
from remit.models.data_risk import Action

Flag: TypeAlias = Literal[
    "denied", "violation", "redacted", "invalid", "undeclared", "lost", "failed", "unchecked"
]
"""Flag of a span, or of a run that contains such a span."""


class Tokens(WireModel):
    """Numbers of prompt and completion tokens. Null if the spans do not contain token counts."""

    model_config = ConfigDict(populate_by_name=True)

    in_: int | None = Field(default=None, alias="in")
    """Prompt tokens. On the wire, this field is called `in`."""
    out: int | None = None
    """Completion tokens."""


class Cost(WireModel):
    """An amount in a currency."""

    amount: str
    """The amount, as a decimal number."""
    currency: str
    """The currency, such as `USD`."""
    source: Literal["prices", "reported"]
    """`prices`: derived from the prices of the server's file. `reported`: a library reported it."""
    prices_from: str | None = None
    """Date from which the newest price used is valid. Null if the price does not have a date."""


class CostBreakdown(WireModel):
    """Costs of model calls, in `cost_breakdown`. Other servers may send different members."""

    total_cost: float | None = None
    """The sum, if all costs are in the same currency; otherwise null."""
    costs: list[Cost] = Field(default_factory=list[Cost])
    """The costs for each currency and source."""
    calls_without_price: int = 0
    """Number of model calls with neither a price nor a reported cost."""


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
    conversation: str | None = None
    """The conversation that it belongs to, as the program said."""
    on_behalf_of: str | None = None
    """The person who asked, as the program said in its root span. Null if payloads were deleted."""
    question: str | None = None
    """First line of its first question, or null."""
    answer: str | None = None
    """First line of its answer, or null."""
    terminated_by: str | None = None
    """Author of the termination, with the token. Null if the run was not terminated."""
    erased_at: datetime | None = None
    """When the payloads were erased, or null."""


class RunList(WireModel):
    """A page of runs, newest first."""

    status: Literal["success"] = "success"
    """Always `success`."""
    runs: list[Run]
    """The runs."""
    next: str | None = None
    """Value of `before` for the next page. Null on the last page."""
    total: int | None = None
    """Number of all matching runs, if the request contains `total=true`."""


class Span(AgentSpan):
    """A span in a list. It contains payloads only if they were requested."""

    flags: list[Flag]
    """Its flags."""


class SpanList(WireModel):
    """A page of spans, newest first."""

    status: Literal["success"] = "success"
    """Always `success`."""
    spans: list[Span]
    """The spans."""
    next: str | None = None
    """Value of `before` for the next page with the same filters. Null on the last page."""


class Count(WireModel):
    """Counts of one group, which is identified by the field that is named after `by`."""

    hour: datetime | None = None
    """Beginning of an hour."""
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
    """A status. In this case, the only count is `spans` or `runs`."""
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
    """Spans that violate the agent's remit."""
    undeclared: int | None = None
    """Spans of an undeclared type."""
    invalid: int | None = None
    """Spans that do not match their declaration."""
    unchecked: int | None = None
    """Spans that could not be checked against their declaration."""
    duration_us: int | None = None
    """Total duration of the finished spans, in microseconds."""
    duration_max_us: int | None = None
    """Duration of the longest span, in microseconds."""


class CountList(WireModel):
    """Counts of spans or runs for each group."""

    status: Literal["success"] = "success"
    """Always `success`."""
    of: Literal["spans", "runs"]
    """The kind of object that is counted."""
    by: Literal["hour", "day", "type", "category", "agent", "status"]
    """The value of the parameter `by`."""
    counts: list[Count]
    """The groups. Hours and days are in chronological order; other groups are sorted by count,
    largest first.
    """


class RedactedCount(WireModel):
    """Redacted values in one group, which is identified by the field that is named after `by`."""

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
    """Number of redacted values in each group."""

    status: Literal["success"] = "success"
    """Always `success`."""
    by: Literal["rule", "type", "day"]
    """The value of the parameter `by`."""
    redacted: list[RedactedCount]
    """The groups. Days are in chronological order; other groups are sorted by count, largest
    first.
    """


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
    """Prompt tokens that were read from a cache. `in` includes them."""
    cache_write: int
    """Prompt tokens that were written to a cache. `in` includes them."""


class CostGroup(WireModel):
    """Model calls of one group, which is identified by the field that is named after `by`."""

    model: str | None = None
    """Name of a model. Empty if it was not recorded."""
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
    """Tokens and costs of the model calls in each group."""

    status: Literal["success"] = "success"
    """Always `success`."""
    by: Literal["model", "agent", "version", "day"]
    """The value of the parameter `by`."""
    costs: list[CostGroup]
    """The groups. Days are in chronological order; other groups are sorted by tokens, most
    first.
    """
    is_whole: bool
    """Whether all runs are included. If false, only the newest 10,000 are."""


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
    """Runs that changed, or whose spans changed, in the order of the changes."""

    status: Literal["success"] = "success"
    """Always `success`."""
    runs: list[Run]
    """The runs in their current state."""
    cursor: str
    """Value of `after` for the next request."""


class AgentForIdentify(WireModel):
    """An agent to find by its identifier, with the declarations of its program."""

    external_identifier: str
    """The identifier, such as `shop/main:answer`."""
    agent_schema_version: AgentSchemaVersionForRegister
    """The schema version that the program registers."""


class IdentifiedAgent(WireModel):
    """The agent of an identifier."""

    status: Literal["success"] = "success"
    """Always `success`."""
    agent: Agent | None = None
    """The agent. Null if the server does not know it."""


class Hold(WireModel):
    """Actions that are denied, from a time on until the hold ends or is lifted."""

    id: str
    """Id of the hold, a PFID."""
    actions: list[Action]
    """The held actions."""
    agents: list[RegisteredAgent]
    """The agents whose steps are denied. Empty for all agents of the account."""
    declared_only: bool
    """Whether only steps that declare an action are denied. Otherwise, steps that leave it
    undeclared are denied too.
    """
    reason: str
    """Reason, which programs and their models read."""
    held_by: str
    """Author of the hold, with the token."""
    held_at: datetime
    """When it was made."""
    until: datetime | None = None
    """When it ends by itself. Null if somebody has to lift it."""
    ends_in_s: float | None = None
    """Seconds until it ends by itself, for programs whose clock differs. Null if it does not."""
    in_force: bool
    """Whether it denies steps now."""
    lifted_at: datetime | None = None
    """When somebody lifted it."""
    lifted_by: str | None = None
    """Who lifted it, with the token."""
    denied: int | None = None
    """Number of steps that it denied, if the request contains `counts=true`."""
    runs: int | None = None
    """Number of runs with such a step, if the request contains `counts=true`."""


class HoldList(WireModel):
    """The holds of an account."""

    status: Literal["success"] = "success"
    """Always `success`."""
    number: int
    """Number that grows with each change of the holds. The header `Remit-Holds` contains it too."""
    holds: list[Hold]
    """The holds, newest first."""


class HoldResponse(WireModel):
    """Response to a request that creates or lifts a hold."""

    status: Literal["success"] = "success"
    """Always `success`."""
    number: int
    """Number of the holds after the request."""
    hold: Hold
    """The hold."""
