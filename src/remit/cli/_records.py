"""One recorded run, and the tree of its spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from remit._base.ids import (
    PARTITION_CHARS,
    TIME_CHARS,
    key_from_text,
    key_of,
    key_text,
    pfid_text,
)
from remit._base.traceparent import trace_id
from remit._capture.short import error_in
from remit._capture.tree import Placed, first_failed, in_tree
from remit._declare.registry import RUN_TYPE
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan


class HasId(Protocol):
    """A span, as a row or as the API shows it."""

    @property
    def id(self) -> str:
        """Its id, which begins with its time."""
        ...


S = TypeVar("S", bound=HasId)

LINKED_RUNS: Final = 20
"""Number of caused runs that are shown."""
FAILED_SPANS: Final = 100
"""Among so many failed spans of a run, the oldest ones, a list looks for the first failure."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run, without its spans.

    Attributes:
        agent: The agent that ran.
        instance: The run itself.
        cancelled: Whether its root span was cancelled; the API has no word for such a run.
        failed: Of a failed run, the step that failed first; the root span if none did.
    """

    agent: Agent
    instance: AgentInstance
    cancelled: bool = False
    failed: AgentSpan | None = None

    @property
    def status(self) -> str:
        """Its status as people see it: also `cancelled`."""
        return "cancelled" if self.cancelled else self.instance.status

    @property
    def handle(self) -> str:
        """Its key, or its id if the key cannot be printed; commands take it as RUN."""
        return called(self.instance.external_identifier, self.instance.id)

    def is_named(self, reference: str) -> bool:
        """Tell whether its id or its key begins with *reference*."""
        names = (self.instance.id, self.instance.external_identifier or "")
        return any(name.startswith(reference) for name in names)

    def steps(self) -> tuple[int, int]:
        """Return how many spans it has and how many of them failed, without the root span.

        A run that remit recorded has a root span; its key has the form of remit's keys.
        """
        counts = self.instance.span_counts
        if counts is None:
            return 0, 0
        if not counts.total or key_from_text(self.instance.external_identifier or "") is None:
            return counts.total, counts.failed
        ended_so = self.instance.status == "failed" or (
            self.instance.status == "terminated" and not counts.active
        )
        return counts.total - 1, max(0, counts.failed - ended_so)

    def as_json(self) -> dict[str, object]:
        """Return it as the API's objects, with its status and what failed."""
        return {
            "agent": agent_json(self.agent),
            "run": self.instance.model_dump(mode="json"),
            "status": self.status,
            "failure": None if self.failed is None else _failure_json(self.failed),
        }


@dataclass(frozen=True, slots=True)
class Telling:
    """The spans of a run that tell how it ended: one page of them, in the order of their status.

    Attributes:
        schema_name: The type of the spans; None for all.
        offset: How many are left out.
        count: How many are read.
    """

    schema_name: str | None
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """One span with the run that it belongs to."""

    run: ListedRun
    span: AgentSpan


@dataclass(frozen=True, slots=True)
class Links:
    """The runs that a run is joined to by `traceparent`.

    Attributes:
        trace: Trace id of the header that the run was opened with; None without one.
        cause: The run of this trace id, if it is known.
        caused: The runs that were opened with a header of the run, the oldest first.
        more: Number of those that are left out.
    """

    trace: str | None = None
    cause: ListedRun | None = None
    caused: tuple[ListedRun, ...] = ()
    more: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the runs as the API's objects, without their agents."""
        return {
            "caused_by": self.trace
            and {"trace_id": self.trace, "run": self.cause and _linked_json(self.cause)},
            "caused": [_linked_json(run) for run in self.caused],
        }


@dataclass(frozen=True, slots=True)
class Record:
    """One run.

    Attributes:
        agent: The agent that ran.
        instance: The run itself.
        spans: All its spans in the order of their starts, the root first.
    """

    agent: Agent
    instance: AgentInstance
    spans: tuple[AgentSpan, ...]

    @classmethod
    def of(cls, agent: Agent, instance: AgentInstance, spans: Iterable[AgentSpan]) -> Record:
        """Return the run with its spans in order."""
        return cls(agent, instance, tuple(sorted(spans, key=start_of)))

    @property
    def root(self) -> AgentSpan | None:
        """The root span, if remit recorded it."""
        return next((span for span in self.spans if span.schema_name == RUN_TYPE), None)

    @property
    def run(self) -> ListedRun:
        """The run without its spans."""
        return run_with(self.agent, self.instance, self.spans)

    @property
    def steps(self) -> list[AgentSpan]:
        """The spans without the root."""
        return [span for span in self.spans if span.schema_name != RUN_TYPE]

    def tree(self) -> Iterator[Placed[AgentSpan]]:
        """Yield each step before those below it."""
        return in_tree(self.steps)

    def as_json(self) -> dict[str, object]:
        """Return the run as the API's objects."""
        return {
            **self.run.as_json(),
            "spans": [span.model_dump(mode="json") for span in self.spans],
        }


def run_with(agent: Agent, instance: AgentInstance, spans: Iterable[AgentSpan]) -> ListedRun:
    """Return a run with what *spans*, which need not be all of its own, say about its end."""
    known = list(spans)
    root = next((span for span in known if span.schema_name == RUN_TYPE), None)
    cancelled = instance.status == "complete" and root is not None and root.status == "cancelled"
    if instance.status != "failed":
        return ListedRun(agent, instance, cancelled)
    first = first_failed(span for span in known if span.schema_name != RUN_TYPE)
    return ListedRun(agent, instance, failed=first or root)


def telling(instance: AgentInstance) -> Telling | None:
    """Return which spans tell how a run ended; None if the run itself says it."""
    counts = instance.span_counts
    if counts is None:
        return None
    if instance.status == "failed" and counts.failed:
        return Telling(None, counts.active + counts.cancelled + counts.complete, FAILED_SPANS)
    if instance.status == "complete" and counts.cancelled:
        return Telling(RUN_TYPE, 0, 1)
    return None


def trace_of(record: Record) -> str | None:
    """Return the trace id of the `traceparent` that a run was opened with, if any."""
    header = ((record.root and record.root.payload) or {}).get("traceparent")
    return record.instance.caused_by or trace_id(header)


def traces_of(instance: AgentInstance) -> list[str]:
    """Return the trace ids of the headers of a run: of its first process, and of later ones."""
    keys = (key_from_text(instance.external_identifier or ""), key_of(instance.id))
    return [key.hex() for key in keys if key is not None]


def names_of_trace(trace: str, near: AgentInstance) -> tuple[str, str]:
    """Return the key, and the id, that the run of a trace has in the account of the run *near*."""
    key = key_text(bytes.fromhex(trace))
    return key, pfid_text(key, near.id[TIME_CHARS : TIME_CHARS + PARTITION_CHARS])


def _linked_json(run: ListedRun) -> dict[str, object]:
    return {
        "key": run.instance.external_identifier,
        "id": run.instance.id,
        "agent": agent_json(run.agent),
        "status": run.status,
    }


def _failure_json(span: AgentSpan) -> dict[str, object]:
    error = error_in(span.result_payload) or {}
    step = None if span.schema_name == RUN_TYPE else span.schema_name
    return {"type": error.get("type"), "step": step, "at": error.get("at")}


def called(key: str | None, run_id: str) -> str:
    """Return the word by which a run is asked for: its key, else its id.

    A key that would steer the terminal of who reads it cannot be typed either.
    """
    return key if key and key.isprintable() else run_id


def agent_json(agent: Agent) -> dict[str, object]:
    """Return the names of an agent, as JSON."""
    return agent.model_dump(mode="json", include={"id", "name", "external_identifier"})


def newest_of(spans: Iterable[S], count: int) -> list[S]:
    """Return the first *count* of *spans*, sorted newest first, and all of the last millisecond.

    Within a millisecond the order of ids is random.
    """
    found: list[S] = []
    for span in spans:
        if len(found) >= count and (not found or span.id[:TIME_CHARS] != found[-1].id[:TIME_CHARS]):
            break
        found.append(span)
    return found


def start_of(span: AgentSpan) -> tuple[bool, bool, datetime, str]:
    """Return the sort key of a span: root first, then by start, pending ones last."""
    begin = span.started_at or datetime.min.replace(tzinfo=UTC)
    return (span.schema_name != RUN_TYPE, span.started_at is None, begin, span.id)


def names_of(agents: Iterable[Agent]) -> dict[str, str]:
    """Return the name of each agent by its id.

    Agents of the same name also show the folder of their project, which is part of the identifier
    in local mode, or else the whole identifier.
    """
    by_name: dict[str, dict[str, str]] = {}
    for each in agents:
        by_name.setdefault(each.name, {})[each.id] = each.external_identifier or each.id
    return {
        key: f"{name} ({apart})" if len(identifiers) > 1 else name
        for name, identifiers in by_name.items()
        for key, apart in _apart(identifiers).items()
    }


def _apart(identifiers: dict[str, str]) -> dict[str, str]:
    """Return the shortest part of each identifier in which all differ."""
    folders = {key: each.rpartition("/")[0] for key, each in identifiers.items()}
    projects = {key: each.rpartition("/")[2] for key, each in folders.items()}
    shorter = (each for each in (projects, folders) if len(set(each.values())) == len(each))
    found = next(shorter, identifiers)
    return {key: each or identifiers[key] for key, each in found.items()}
