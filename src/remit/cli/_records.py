"""One recorded run, and the tree of its spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Generic, Protocol, TypeVar

from pydantic import ValidationError

from remit._base.costs import Cost
from remit._base.ids import (
    PARTITION_CHARS,
    SHORT_CHARS,
    TIME_CHARS,
    key_from_text,
    key_of,
    key_text,
    pfid_text,
)
from remit._base.outcomes import StepCounts, step_counts
from remit._base.traceparent import trace_id
from remit._capture.tree import Placed, Step, first_failure, in_tree
from remit._declare.registry import RUN_TYPE
from remit.models.agent_instance import AgentInstance, Failure
from remit.models.agent_span import AgentSpan
from remit.models.remit_api import CostBreakdown, Run

S = TypeVar("S", bound=Step)

LINKED_RUNS: Final = 20
"""Number of caused runs that are shown."""
_LISTED: Final = {*Run.__annotations__} - {"agent", "failure"}
"""Members that only a list has; the output has them next to the run."""


class NamedAgent(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def external_identifier(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run, without its spans.

    Attributes:
        cancelled: Whether its root span was cancelled; the API calls such a run complete.
    """

    agent: NamedAgent
    instance: AgentInstance
    cancelled: bool = False

    @property
    def failure(self) -> Failure | None:
        return self.instance.failure if self.instance.status == "failed" else None

    @property
    def status(self) -> str:
        """Its status as shown, including `cancelled` and `waiting`."""
        if self.cancelled:
            return "cancelled"
        run = self.instance
        waits = run.status == "active" and (run.asked or 0) > (run.answered or 0)
        return "waiting" if waits else run.status

    @property
    def handle(self) -> str:
        """Its key, or its id if the key cannot be printed; commands accept it as RUN."""
        return called(self.instance.external_identifier, self.instance.id)

    @property
    def short(self) -> str:
        """The last characters of its id, which the web UI shows too; commands accept them."""
        return self.instance.id[-SHORT_CHARS:]

    @property
    def tokens(self) -> int | None:
        """Input and output tokens of language models; None if none were counted."""
        if not isinstance(self.instance, Run):
            return None
        counted = [each for each in (self.instance.tokens.in_, self.instance.tokens.out) if each]
        return sum(counted) if counted else None

    def said(self, member: str) -> str | None:
        """Return what the program said of it: `conversation`, `on_behalf_of`, or None."""
        return getattr(self.instance, member) if isinstance(self.instance, Run) else None

    @property
    def costs(self) -> CostBreakdown:
        """Costs of its model calls; none from a server that describes them otherwise."""
        try:
            return CostBreakdown.model_validate(self.instance.cost_breakdown or {})
        except ValidationError:
            return CostBreakdown()

    def steps(self) -> StepCounts:
        run = self.instance
        if run.span_counts is None:
            return StepCounts(0, 0)
        return step_counts(run.external_identifier, run.status, run.span_counts.model_dump())

    def as_json(self) -> dict[str, object]:
        """Return it as the API's objects, with its status and its failure."""
        run = self.instance
        listed = run.model_dump(mode="json", by_alias=True, include=_LISTED)
        return {
            "agent": agent_json(self.agent),
            "run": run.model_dump(mode="json", exclude={*_LISTED, "agent", "failure"}),
            "status": self.status,
            "failure": self.failure and _failure_json(self.failure),
            **listed,
        }


@dataclass(frozen=True, slots=True)
class RunSpan:
    run: ListedRun
    span: AgentSpan


@dataclass(frozen=True, slots=True)
class Links:
    """Runs that are linked to a run by `traceparent`.

    Attributes:
        trace: Trace id of the header that the run was opened with; None without one.
        cause: The run of this trace id, if it is known.
        caused: The runs that were opened with a header of the run, the oldest first.
        more: Number of further caused runs.
    """

    trace: str | None = None
    cause: ListedRun | None = None
    caused: tuple[ListedRun, ...] = ()
    more: int = 0

    def as_json(self) -> dict[str, object]:
        return {
            "caused_by": self.trace
            and {"trace_id": self.trace, "run": self.cause and _linked_json(self.cause)},
            "caused": [_linked_json(run) for run in self.caused],
        }


@dataclass(frozen=True, slots=True)
class Record(Generic[S]):
    """One run.

    Attributes:
        spans: All its spans in the order of their starts, the root first.
    """

    agent: NamedAgent
    instance: AgentInstance
    spans: tuple[S, ...]

    @classmethod
    def of(cls, agent: NamedAgent, instance: AgentInstance, spans: Iterable[S]) -> Record[S]:
        return cls(agent, instance, tuple(sorted(spans, key=start_of)))

    @property
    def root(self) -> S | None:
        return next((span for span in self.spans if span.schema_name == RUN_TYPE), None)

    @property
    def run(self) -> ListedRun:
        return ListedRun(self.agent, self.instance, is_cancelled(self.instance, self.root))

    @property
    def first_failed(self) -> str | None:
        """Id of the span that failed first, which only remit's server stores."""
        failure = self.instance.failure
        return first_failure(self.spans, self.root) if failure is None else failure.span

    @property
    def steps(self) -> list[S]:
        return [span for span in self.spans if span.schema_name != RUN_TYPE]

    def tree(self) -> Iterator[Placed[S]]:
        return in_tree(self.steps)


def is_cancelled(instance: AgentInstance, root: Step | None) -> bool:
    """Return whether a run was cancelled, which only its root span shows."""
    return instance.status == "complete" and root is not None and root.status == "cancelled"


def trace_of(record: Record[S]) -> str | None:
    """Return the trace id of the `traceparent` that a run was opened with, if any."""
    root = record.root
    header = None if root is None else (root.payload or {}).get("traceparent")
    return record.instance.caused_by or trace_id(header)


def traces_of(instance: AgentInstance) -> list[str]:
    """Return the trace ids of the headers of a run, by its first process and by later ones."""
    keys = (key_from_text(instance.external_identifier or ""), key_of(instance.id))
    return list(dict.fromkeys(key.hex() for key in keys if key is not None))


def names_of_trace(trace: str, near: AgentInstance) -> tuple[str, str]:
    """Return the key and the id of the run of a trace, in the account of the run *near*."""
    key = key_text(bytes.fromhex(trace))
    return key, pfid_text(key, near.id[TIME_CHARS : TIME_CHARS + PARTITION_CHARS])


def _linked_json(run: ListedRun) -> dict[str, object]:
    return {
        "key": run.instance.external_identifier,
        "id": run.instance.id,
        "agent": agent_json(run.agent),
        "status": run.status,
    }


def _failure_json(failure: Failure) -> dict[str, object]:
    return {
        "type": failure.type,
        "step": failure.step,
        "at": failure.place,
        "span": failure.span,
    }


def called(key: str | None, run_id: str) -> str:
    """Return the name of a run for people: its key, or its id if the key is not printable."""
    return key if key and key.isprintable() else run_id


def agent_json(agent: NamedAgent) -> dict[str, object]:
    identifier = agent.external_identifier
    return {"id": agent.id, "name": agent.name, "external_identifier": identifier}


def start_of(span: Step) -> tuple[bool, bool, datetime, str]:
    """Return the sort key of a span: root first, then by start, pending ones last."""
    begin = span.started_at or datetime.min.replace(tzinfo=UTC)
    return (span.schema_name != RUN_TYPE, span.started_at is None, begin, span.id)


def names_of(agents: Iterable[NamedAgent]) -> dict[tuple[str, str], str]:
    """Return what each agent is called, by its id and its name; the runs of one may differ in it.

    Agents with the same name also show the directory of their project, which is part of the
    identifier in local mode, or else the whole identifier.
    """
    by_name: dict[str, dict[str, str]] = {}
    for each in agents:
        by_name.setdefault(each.name, {})[each.id] = each.external_identifier or each.id
    return {
        (key, name): f"{name} ({apart})" if len(identifiers) > 1 else name
        for name, identifiers in by_name.items()
        for key, apart in _apart(identifiers).items()
    }


def _apart(identifiers: dict[str, str]) -> dict[str, str]:
    """Return the shortest part of each identifier that differs from all others."""
    directories = {key: each.rpartition("/")[0] for key, each in identifiers.items()}
    projects = {key: each.rpartition("/")[2] for key, each in directories.items()}
    shorter = (each for each in (projects, directories) if len(set(each.values())) == len(each))
    found = next(shorter, identifiers)
    return {key: each or identifiers[key] for key, each in found.items()}


def costs_in(breakdown: CostBreakdown) -> list[Cost]:
    """Return the costs of a response."""
    return [
        Cost(Decimal(cost.amount), cost.currency, cost.source, cost.prices_from)
        for cost in breakdown.costs
    ]
