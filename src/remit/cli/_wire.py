"""The part of the API that only remit's collector has, as the commands read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from remit.client.endpoints import MAX_LIST_BYTES, Call, lenient
from remit.client.endpoints.responses import whole
from remit.models.agent_instance import AgentInstance
from remit.models.routes import API

M = TypeVar("M", bound=BaseModel)
S = TypeVar("S", bound=msgspec.Struct)

REMIT_API: Final = "/api/remit/v1"
PAGE_ROWS: Final = 100
"""Most items of a page."""


class RunAgent(BaseModel):
    """The agent of a run."""

    id: str
    name: str
    external_identifier: str | None = None


class Failure(BaseModel):
    """The failure of a run.

    Attributes:
        step: The span type of the step that failed; `remit:run` for the block of the run.
        type: Type of the error.
        place: Where in the code it was raised.
    """

    step: str | None = None
    type: str | None = None
    place: str | None = None


class Tokens(BaseModel):
    """Tokens of the language models that a run called; None if no step has any."""

    input: int | None = Field(default=None, alias="in")
    output: int | None = Field(default=None, alias="out")


class RunRow(AgentInstance):
    """A run as a list shows it.

    Attributes:
        agent: Its agent.
        flags: What its spans have: `failed`, `denied`, `beyond`, and others.
        denied: Number of steps that the policy refused.
        handled: Number of failed steps whose parent ended well.
        tokens: Tokens that it used.
        summary: Its summary.
        failure: Its first failure, also one that was handled.
        erased_at: When its payloads were erased.
    """

    agent: RunAgent
    flags: list[str] = Field(default_factory=list[str])
    denied: int = 0
    handled: int = 0
    tokens: Tokens = Tokens()
    summary: str | None = None
    failure: Failure | None = None
    erased_at: datetime | None = None


class RunPage(BaseModel):
    """A page of runs; `next` is the cursor of the one after it."""

    runs: list[RunRow]
    next: str | None = None
    total: int | None = None


class ChangedRuns(BaseModel):
    """The runs that changed, and the cursor from which on the next changes are read."""

    runs: list[AgentInstance]
    cursor: str


class ErasureList(BaseModel):
    """The erasures of a run."""

    erasures: list[dict[str, Any]]


class SpanCounts(BaseModel):
    """Counts of spans with one type, category or agent, one of which is named."""

    model_config = ConfigDict(extra="allow")

    type: str | None = None
    category: str | None = None
    agent: RunAgent | None = None
    spans: int = 0
    complete: int = 0
    failed: int = 0
    cancelled: int = 0
    denied: int = 0
    withheld: int = 0
    duration_us: int = 0
    duration_max_us: int = 0

    @property
    def name(self) -> str:
        """The type, the category or the name of the agent."""
        return self.type or self.category or (self.agent.name if self.agent is not None else "")


class Counts(BaseModel):
    """Counts, the largest first."""

    counts: list[SpanCounts]


class Details(msgspec.Struct, gc=False):
    """One thing, as it came."""

    details: msgspec.Raw


class SpanPage(msgspec.Struct, gc=False):
    """A page of spans, each as it came; `next` is the cursor of the one after it."""

    spans: list[msgspec.Raw]
    next: str | None = None


class SpanSummaries(msgspec.Struct, gc=False):
    """A page of `/api/v1/agent_spans`."""

    summaries: list[msgspec.Raw]
    pagination: dict[str, int | None] | None = None


def get(path: str, model: type[M], query: Mapping[str, str] | None = None) -> Call[M]:
    """Describe a request below `/api/remit/v1`."""
    return Call(
        "GET", REMIT_API + path, whole(model), query=_pairs(query), limit_bytes=MAX_LIST_BYTES
    )


def get_raw(path: str, shape: type[S], query: Mapping[str, str]) -> Call[S]:
    """Describe a request for spans, which are read one by one."""
    return Call("GET", path, lenient(shape), query=_pairs(query), limit_bytes=MAX_LIST_BYTES)


def spans_page(query: Mapping[str, str]) -> Call[SpanPage]:
    """Describe a request for a page of spans."""
    return get_raw(f"{REMIT_API}/spans", SpanPage, query)


def span_summaries(query: Mapping[str, str]) -> Call[SpanSummaries]:
    """Describe a request for a page of spans, of any server of the API."""
    return get_raw(f"{API}/agent_spans", SpanSummaries, query)


def _pairs(query: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    items: Iterable[tuple[str, str]] = (query or {}).items()
    return tuple(items)
