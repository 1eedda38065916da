"""Reads a run for its page, from one state of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

from remit._base.ids import hash_of_on_behalf_of, hash_of_subject
from remit._base.outcomes import StepCounts, step_counts
from remit._base.step_names import StepName, step_name
from remit.collector.domain.asks import status_of
from remit.collector.domain.conformance import schema_errors
from remit.collector.domain.context import Context
from remit.collector.domain.declared import Declaration, Declared, declaration_of
from remit.collector.domain.failures import MOST_FAILED
from remit.collector.domain.findings import ANSWERED_SPAN, ASKED_SPAN
from remit.collector.domain.states import CANCELLED, COMPLETE, TERMINATED, UNFINISHED
from remit.collector.domain.step_names import names_of_steps
from remit.collector.domain.waiting import waits
from remit.collector.errors import not_found
from remit.collector.page import formats
from remit.collector.page.hiding import Hidden, hidden_of, hidden_types
from remit.collector.page.run.asked import Question, questions_of, waited
from remit.collector.page.run.conversation import Conversation
from remit.collector.page.run.spans import ListedSpan, ReadSpan, listed_span
from remit.collector.page.scope import run_in, scope_in
from remit.collector.page.visits import Visit
from remit.collector.store.ask_rows import WAITING
from remit.collector.store.filters import SpanFilter
from remit.collector.store.ids import to_bytes
from remit.collector.store.questions.holds import held_steps
from remit.collector.store.questions.run_lists import RunCriteria, count_runs, names_of_agents
from remit.collector.store.questions.run_steps import StepRecord, steps_of
from remit.collector.store.questions.span_lists import Position, SpanCriteria, spans
from remit.collector.store.rows import (
    DENIED,
    AgentRow,
    AskRow,
    HoldRow,
    RunRow,
    SchemaVersionRow,
    VersionRow,
    all_spans,
)
from remit.collector.store.subjects import ROOT_SPAN, text_in

T = TypeVar("T")
MOST_STEPS: Final = 2000
"""A run with more steps is shown in pages."""
PAGE_STEPS: Final = 500
FAILED: Final = "failed"
_MOST_ANCESTORS: Final = 64
_LISTED: Final = 100
_QUESTION_PAGES: Final = 3
"""Pages of questions, and of answers, that are read of a run."""


class Said(NamedTuple):
    """The people of a run, as its program said."""

    on_behalf_of: str | None = None
    subject: str | None = None

    @classmethod
    def of(cls, payload: Mapping[str, object]) -> Said:
        """Return the people whom a payload names."""
        return cls(text_in(payload, "on_behalf_of"), text_in(payload, "subject"))

    @property
    def person_hash(self) -> str:
        """The hash of the person who asked, for an address."""
        return hash_of_on_behalf_of(self.on_behalf_of or "")

    @property
    def subject_hash(self) -> str:
        """The hash of the subject, for an address."""
        return hash_of_subject(self.subject or "")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run.

    Attributes:
        types: The declarations of its span types by name.
        hidden: The types whose values are hidden.
        steps: Its steps by id, the first ones of a page.
        far: In a failed run, failed steps on other pages, and the ancestors of the first.
        names: The names that integrations gave steps, by id.
        recorded: How many its end says were recorded, if there are fewer.
        after: The step after which the page begins.
        root: Its root span.
        denied: Its first denied step.
        held: The steps that a hold denied.
        questions: The latest questions to a person, the oldest first.
        said: Its people.
        conversation_runs: Number of runs of its conversation; 0 without one.
    """

    row: RunRow
    agent: str
    version: str
    types: Mapping[str, Declared]
    hidden: frozenset[str]
    steps: Mapping[str, StepRecord]
    far: Mapping[str, StepRecord]
    names: Mapping[str, StepName]
    total: int
    recorded: int | None
    after: str | None
    root: ReadSpan | None
    said: Said
    conversation_runs: int
    denied: ReadSpan | None = None
    held: frozenset[str] = frozenset()
    questions: Sequence[Question] = ()

    @cached_property
    def known(self) -> Mapping[str, StepRecord]:
        """All steps that were read."""
        return {**self.steps, **self.far}

    @property
    def is_whole(self) -> bool:
        """Whether all steps were read."""
        return len(self.steps) >= self.total

    @property
    def has_hidden(self) -> bool:
        """Whether steps have hidden values; for a run of several pages, whether they may."""
        used = {step.schema_name for step in self.steps.values()}
        return not self.hidden.isdisjoint(used) if self.is_whole else bool(self.hidden)

    @property
    def result(self) -> Mapping[str, object]:
        """The result of its root span."""
        return {} if self.root is None else self.root.result

    @property
    def counts(self) -> StepCounts:
        """The numbers of its steps."""
        row = self.row
        numbers = {
            "total": self.total,
            "failed": row.spans_failed,
            "active": row.spans_active,
            "recorded": self.recorded,
        }
        return step_counts(row.external_identifier, row.status, numbers)

    @property
    def is_running(self) -> bool:
        """Whether the run is running."""
        return self.row.status in UNFINISHED

    @property
    def is_waiting(self) -> bool:
        """Whether the run waits for a person's answer."""
        return waits(self.row)

    @property
    def open_steps(self) -> int:
        """The number of steps that go on."""
        return self.row.spans_pending + self.row.spans_active

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled: the API has no word for one whose client left early."""
        return self.row.status == CANCELLED or self.result.get("status") == CANCELLED

    @property
    def process_ended(self) -> bool:
        """Whether a later process closed the run because its own had ended."""
        return self.row.status == FAILED and self.result.get("reason") == "process ended"

    @cached_property
    def first_failed(self) -> StepRecord | None:
        """The step that failed first; None if it is not kept any more."""
        return self.known.get(self.row.failure_span or "")

    @cached_property
    def top(self) -> StepRecord | None:
        """The step of the root span, else the first step."""
        steps = self.known.values()
        roots = (step for step in steps if step.schema_name == ROOT_SPAN)
        return next(roots, next(iter(steps), None))

    @cached_property
    def answers(self) -> frozenset[str]:
        """The spans of answers, which have no rows: the row of a question shows its answer."""
        return frozenset(each.answer.span_id for each in self.questions if each.answer is not None)

    def waited_us(self, now_us: int) -> int | None:
        """Return how long the run waited for people; None if it did not, or that is not known."""
        if not self.questions or len(self.questions) < self.row.asked:
            return None
        return waited(self.questions, now_us)

    @cached_property
    def chosen(self) -> StepRecord | None:
        """The step with which the page opens."""
        status, steps = self.row.status, self.steps.values()
        if self.is_waiting:
            waiting = (each.span_id for each in self.questions if each.is_open)
            return self.steps.get(next(waiting, "")) or self.top
        if status == FAILED:
            return self.first_failed or self.top
        if self.row.denied:
            return next((step for step in steps if step.flags & DENIED), self.top)
        if status == TERMINATED or self.is_cancelled:
            return self.innermost_cancelled or self.top
        if self.row.handled:
            return self.first_failed
        last = self.questions[-1].span_id if self.questions and status == COMPLETE else ""
        return self.steps.get(last) or self.top

    @property
    def innermost_cancelled(self) -> StepRecord | None:
        """The cancelled step with the most steps around it."""
        cancelled = [step for step in self.steps.values() if step.status == CANCELLED]
        return max(cancelled, key=lambda step: len(self.above(step)), default=None)

    def above(self, step: StepRecord) -> list[StepRecord]:
        """Return the steps around a step, the nearest first."""
        steps, above = self.known, dict[str, StepRecord]()
        parent = steps.get(step.parent_id or "")
        while parent is not None and parent.id not in above:
            above[parent.id] = parent
            parent = steps.get(parent.parent_id or "")
        return list(above.values())

    def is_handled(self, step: StepRecord) -> bool:
        """Return whether a failed step has a parent that succeeded."""
        parent = self.known.get(step.parent_id or "")
        return step.status == FAILED and parent is not None and parent.status == COMPLETE

    def was_open(self, step: StepRecord) -> bool:
        """Return whether a later process closed the step: it ended with the root span."""
        ended = None if self.top is None else self.top.finished_at
        return step.status == FAILED and step.finished_at == ended

    def name(self, step: StepRecord) -> str:
        """Return the name of a step: the one that an integration gave it, else that of its type."""
        name = self.names.get(step.id)
        return formats.step(step.schema_name) if name is None else name.text

    def declared(self, step: StepRecord) -> Declared:
        """Return the declaration of a step."""
        return self.types.get(step.schema_name) or Declared(step.schema_name)


@dataclass(frozen=True)
class Gauge:
    """One limit.

    Attributes:
        name: The action, or `steps`.
        used: How many steps that take the action ran.
        undeclared: How many steps ran that do not declare whether they take it.
        number: The limit.
    """

    name: str
    used: int
    undeclared: int
    number: int

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.used >= self.number

    @property
    def percent(self) -> float:
        """How much of the limit is used, in percent."""
        return min(100.0, round(100 * self.used / self.number, 1))


class AskedFacts(NamedTuple):
    """A question to a person, with what the server knows of it.

    Attributes:
        request: The request on the server; None if the program asked by other means.
        is_waiting: Whether the request waits for an answer.
        ran: The step that ran after a yes.
        agents: The agents of the run that ask about one of its words.
    """

    question: Question
    request: AskRow | None
    is_waiting: bool
    ran: ListedSpan | None
    agents: Sequence[Declared]


@dataclass(frozen=True, kw_only=True)
class SpanFacts:
    """A step with its payloads, and the steps around it that have to do with its failure.

    Attributes:
        differences: The differences from its declaration.
        types: The declarations of the span types of the run by name.
        ancestors: The steps around it, the nearest first.
        failed: The failed steps of the run, if this one failed or was cancelled.
        hidden_types: The types whose values are hidden.
        cancelled: The cancelled ones, if this one failed.
        quality: The quality payloads of the run by name, of a root span that a panel shows.
        call: The model call that a panel shows.
        gauges: The limits of the run, in the panel of its root and of a step beyond one.
        hold: The hold that denied a step that a panel shows; None if this server has none.
        asked: The question of a span that asked a person.
    """

    run: RunRow
    span: ReadSpan
    differences: Sequence[str]
    types: Mapping[str, Declared]
    ancestors: Sequence[ReadSpan]
    failed: Sequence[ReadSpan]
    cancelled: Sequence[ReadSpan]
    hidden: Hidden
    hidden_types: frozenset[str]
    quality: Mapping[str, object] = field(default_factory=dict[str, object])
    call: Conversation | None = None
    gauges: Sequence[Gauge] = ()
    hold: HoldRow | None = None
    asked: AskedFacts | None = None

    @property
    def declared(self) -> Declared | None:
        """Its declaration; None if its type is not declared."""
        return self.types.get(self.span.row.schema_name)

    def name(self, span: ReadSpan) -> StepName:
        """Return the name of a step of the run, and the word about it, which may be empty."""
        schema_name = span.row.schema_name
        shown = schema_name not in self.hidden_types
        name = step_name(schema_name, span.payload) if shown else None
        return StepName(formats.step(schema_name), "") if name is None else name


class RunRows:
    """The spans of a run with payloads, each read once in one transaction."""

    def __init__(self, ctx: Context, run_id: str) -> None:
        """Read the run.

        Raises:
            RequestError: 404, there is none for the caller.
        """
        self.ctx = ctx
        self.run, self.ref = run_in(ctx, run_id)
        self.version = ctx.declarations.of(ctx.tx, self.run.agent_schema_version_id)
        self.hidden = hidden_types(self.version.types)
        self.types = {
            name: Declared(
                name, data_risk=span_type.data_risk, params_schema=span_type.asking_schema
            )
            for name, span_type in self.version.types.items()
        }
        self._spans: dict[str, ReadSpan | None] = {}
        self._by_status: dict[str, tuple[ReadSpan, ...]] = {}

    @cached_property
    def agent(self) -> AgentRow | None:
        """Its agent."""
        return self.ctx.tx.agent(self.run.account_id, self.run.agent_id)

    @cached_property
    def declaration(self) -> Declaration:
        """The span types that its agent registered for it."""
        run, agent = self.run, self.agent
        schema = self.ctx.tx.row(SchemaVersionRow, run.account_id, run.agent_schema_version_id)
        identifier = None if agent is None else agent.external_identifier
        return declaration_of(None if schema is None else schema.span_type_schemas, identifier)

    def is_agent(self, schema_name: str) -> bool:
        """Return whether a span type is the agent of a framework."""
        span_type = self.version.types.get(schema_name)
        return span_type is not None and span_type.is_agent

    def get(self, span_id: str | None) -> ReadSpan | None:
        """Return a span; None if the run has none with this id."""
        if span_id is None:
            return None
        if span_id not in self._spans:
            row = self.ctx.tx.spans(self.ctx.caller.account_id, [span_id]).get(span_id)
            # A parent may be a step of another run, which this reader may not see.
            own = row is not None and row.agent_instance_id == self.run.id
            self._spans[span_id] = ReadSpan(row) if row is not None and own else None
        return self._spans[span_id]

    def ended(self, status: str) -> tuple[ReadSpan, ...]:
        """Return the spans that ended with a status, at most `MOST_FAILED`."""
        if status not in self._by_status:
            wanted = SpanFilter(agent_instance_id=self.run.id, status=status)
            ended = tuple(map(ReadSpan, self.ctx.tx.some_spans(wanted, MOST_FAILED)))
            self._by_status[status] = ended
            self._spans |= {span.row.id: span for span in ended}
        return self._by_status[status]

    def listed(
        self,
        pages: int,
        *,
        schema_name: str | None = None,
        before: str | None = None,
        until_us: int | None = None,
    ) -> Iterator[ListedSpan]:
        """Yield the spans of the run with their payloads, the latest first.

        Args:
            pages: The most pages of a hundred that are read.
            before: The span before which they begin.
        """
        wanted = SpanCriteria(
            scope=scope_in(self.ctx), run=self.ref, schema_name=schema_name, until_us=until_us
        )
        place = None if before is None else Position(None, to_bytes(before))
        most = self.ctx.settings.max_response_bytes
        for _ in range(pages):
            page = spans(self.ctx.tx, wanted, before=place, limit=_LISTED, most_chars=most)
            yield from map(listed_span, page.spans)
            place = page.next
            if place is None:
                return

    def parents(self, schema_name: str, most: int) -> dict[str, str | None]:
        """Return the parents of the latest spans of a type, by id."""
        wanted = SpanCriteria(scope=scope_in(self.ctx), run=self.ref, schema_name=schema_name)
        return {span.id: span.parent_id for span in spans(self.ctx.tx, wanted, limit=most).spans}

    def around(self, span: ReadSpan) -> list[ReadSpan]:
        """Return the spans around a span, the nearest first."""
        around: list[ReadSpan] = []
        above = self.get(span.row.parent_span_id)
        while above is not None and above not in around and len(around) < _MOST_ANCESTORS:
            around.append(above)
            above = self.get(above.row.parent_span_id)
        return around


def in_run(visit: Visit, work: Callable[[Visit, RunRows], T]) -> T:
    """Return what *work* returns, which reads the run of the address in one transaction.

    Raises:
        RequestError: 404, there is none for this person; 503, 504.
    """
    return visit.at_once(lambda within, ctx: work(within, RunRows(ctx, visit.named["id"])))


def run_facts(
    rows: RunRows,
    after: str | None = None,
    limit: int = PAGE_STEPS,
    *,
    whole: int = MOST_STEPS,
    turns: int | None = None,
) -> RunFacts:
    """Return a run.

    Args:
        after: The step after which the page of a long run begins.
        limit: Steps of a page.
        whole: Steps up to which a run has one page.
        turns: Number of runs of its conversation, if the caller knows it.
    """
    row, ref, tx = rows.run, rows.ref, rows.ctx.tx
    limit = whole if ref.spans <= whole else limit
    steps = {step.id: step for step in steps_of(tx, ref, limit=limit, after=after)}
    # Before any of them is read alone.
    failed = rows.ended(FAILED) if row.status == FAILED and row.spans_failed else ()
    far = {} if len(steps) == ref.spans else _far(rows, steps, failed)
    known = (*steps.values(), *far.values())
    recorded = tx.recorded(row)
    root = rows.get(next((step.id for step in known if step.schema_name == ROOT_SPAN), None))
    return RunFacts(
        row=row,
        agent=names_of_agents(tx, [row.id]).get(row.id, row.agent_id),
        version=version_name(rows.ctx, row) or row.agent_version_id,
        types=rows.types,
        hidden=rows.hidden,
        steps=steps,
        far=far,
        names=names_of_steps(
            rows.ctx,
            row.agent_schema_version_id,
            ref,
            [(step.id, step.schema_name) for step in known],
        ),
        total=ref.spans,
        recorded=None if recorded is None else all_spans(row.flags, recorded),
        after=after,
        root=root,
        said=_said(rows, root, known),
        conversation_runs=conversation_runs(rows) if turns is None else turns,
        denied=rows.get(next((step.id for step in known if step.flags & DENIED), None)),
        held=_held(rows),
        questions=questions_in(rows),
    )


def request_of(ctx: Context, run: RunRow, question: Question) -> AskRow | None:
    """Return the request on the server by which a run asked a question; None without one."""
    key, ticket = run.external_identifier, question.ticket
    if key is None or ticket is None:
        return None
    row = ctx.tx.ask_of_ticket(run.account_id, key, ticket)
    return row if row is not None and row.agent_id in {None, run.agent_id} else None


def still_waiting(ctx: Context, request: AskRow | None) -> AskRow | None:
    """Return a request if it waits for an answer, else None."""
    is_waiting = request is not None and status_of(request, ctx.now_us) == WAITING
    return request if is_waiting else None


def questions_in(rows: RunRows) -> list[Question]:
    """Return the latest questions of a run to a person, the oldest first."""
    if not rows.run.asked:
        return []
    asked, answered = (
        rows.listed(_QUESTION_PAGES, schema_name=name) for name in (ASKED_SPAN, ANSWERED_SPAN)
    )
    return questions_of(asked, answered, waits=waits(rows.run))


def _held(rows: RunRows) -> frozenset[str]:
    """Return the steps of a run that a hold denied."""
    run = rows.run
    held = held_steps(rows.ctx.tx, [run.id]) if run.denied else {}
    return frozenset(held.get(run.id, ()))


def _said(rows: RunRows, root: ReadSpan | None, steps: Iterable[StepRecord]) -> Said:
    """Return the people of a run: as its root says, else the agent of a framework below it."""
    if root is None:
        return Said()
    said = Said.of(root.payload)
    if said.on_behalf_of is None or said.subject is None:
        below = (step for step in steps if step.parent_id == root.row.id)
        agents = (step for step in below if rows.is_agent(step.schema_name))
        agent = rows.get(next((step.id for step in agents), None))
        if agent is not None:
            known = Said.of(agent.payload)
            said = Said(said.on_behalf_of or known.on_behalf_of, said.subject or known.subject)
    return said


def people_of(rows: RunRows) -> Said:
    """Return the people of a run, without its other steps."""
    root = next(rows.listed(1, schema_name=ROOT_SPAN), None)
    if root is None:
        return Said()
    said = Said.of(root.payload)
    if said.on_behalf_of is None or said.subject is None:
        agents = (name for name in rows.version.types if rows.is_agent(name))
        spans = (span for name in agents for span in rows.listed(1, schema_name=name))
        known = next((Said.of(span.payload) for span in spans if span.parent_id == root.id), Said())
        return Said(said.on_behalf_of or known.on_behalf_of, said.subject or known.subject)
    return said


def conversation_runs(rows: RunRows) -> int:
    """Return the number of runs of the conversation; 0 without one."""
    conversation = rows.run.conversation
    if conversation is None:
        return 0
    wanted = RunCriteria(scope=scope_in(rows.ctx), conversation=conversation)
    return count_runs(rows.ctx.tx, wanted)


def _far(
    rows: RunRows, steps: Mapping[str, StepRecord], failed: Sequence[ReadSpan]
) -> dict[str, StepRecord]:
    """Return failed steps that are not in a page, and those around the one that failed first."""
    first = rows.get(rows.run.failure_span) if failed else None
    path = [] if first is None else [first, *rows.around(first)]
    return {
        row.id: StepRecord(
            row.id,
            row.parent_span_id,
            row.schema_name,
            row.status,
            row.flags,
            row.started_at,
            row.finished_at,
        )
        for row in (span.row for span in (*failed, *path))
        if row.id not in steps
    }


def version_name(ctx: Context, run: RunRow) -> str | None:
    """Return how the version of a run is called; None if it is gone."""
    version = ctx.tx.row(VersionRow, run.account_id, run.agent_version_id)
    if version is None:
        return None
    return version.external_identifier or version.name or version.id


def span_facts(rows: RunRows, span_id: str) -> SpanFacts:
    """Return a step of a run.

    Raises:
        RequestError: 404, the run has no such step.
    """
    span = rows.get(span_id)
    if span is None:
        raise not_found("agent_span")
    has_failed = span.row.status == FAILED
    failed = rows.ended(FAILED) if has_failed or span.row.status == CANCELLED else ()
    return SpanFacts(
        run=rows.run,
        span=span,
        differences=schema_errors(rows.version, span.row, rows.ctx.budget),
        types=rows.types,
        ancestors=rows.around(span) if has_failed else (),
        failed=failed,
        cancelled=rows.ended(CANCELLED) if has_failed else (),
        hidden=hidden_of(span.row, [each.row for each in failed], rows.hidden),
        hidden_types=rows.hidden,
    )


def failure_facts(rows: RunRows, facts: RunFacts) -> SpanFacts | None:
    """Return the step that failed first in a failed run, with its payloads."""
    if facts.row.status != FAILED or facts.first_failed is None:
        return None
    return span_facts(rows, facts.first_failed.id)


def us_after(run: RunRow, at_us: int | None) -> int | None:
    """Return how many microseconds after the start of a run something was."""
    if run.started_at is None or at_us is None:
        return None
    return max(0, at_us - run.started_at)
