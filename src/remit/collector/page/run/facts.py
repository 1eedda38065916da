"""Reads a run for its page, from one state of the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple, cast

import msgspec

from remit._base.outcomes import StepCounts, step_counts
from remit.collector.domain.conformance import shown
from remit.collector.domain.context import Context
from remit.collector.domain.failures import MOST_FAILED, HiddenErrors, hidden_errors_of
from remit.collector.domain.states import CANCELLED, UNFINISHED
from remit.collector.errors import RequestError, not_found
from remit.collector.json_io import read_json
from remit.collector.page.declared import Declared
from remit.collector.page.payload_tree import members
from remit.collector.page.visibility import run_in, scope_in
from remit.collector.page.visits import Visit
from remit.collector.store.filters import SpanFilter
from remit.collector.store.questions.run_lists import RunCriteria, count_runs, oldest_run
from remit.collector.store.questions.run_steps import StepRecord, steps_of
from remit.collector.store.rows import RunRow, SpanRow, VersionRow, all_spans
from remit.collector.store.subjects import ROOT_SPAN, subject_hash

MOST_STEPS: Final = 2000
"""A run with more steps is shown in pages."""
PAGE_STEPS: Final = 500
FAILED: Final = "failed"
_MOST_ANCESTORS: Final = 64


class Elsewhere(NamedTuple):
    """The runs of the agent that failed alike.

    Attributes:
        fingerprint: That of their failure, as the API writes it.
        version: The version of the oldest, if the agent has older ones; else None.
    """

    runs: int
    fingerprint: str
    since_us: int
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run.

    Attributes:
        types: What its schema version declares, by the name of the span type.
        steps: Its steps by id, the first ones of a page.
        far: In a failed run, failed steps on other pages, and the ancestors of the first.
        recorded: How many its end says were recorded, if there are fewer.
        after: The step after which the page begins.
        outcome: The result of the root span.
    """

    row: RunRow
    agent: str
    version: str
    subject: str | None
    types: Mapping[str, Declared]
    steps: Mapping[str, StepRecord]
    far: Mapping[str, StepRecord]
    total: int
    recorded: int | None
    after: str | None
    root: SpanRow | None
    outcome: Mapping[str, object]
    elsewhere: Elsewhere | None

    @property
    def known(self) -> Mapping[str, StepRecord]:
        """All steps that were read."""
        return {**self.steps, **self.far}

    @property
    def is_whole(self) -> bool:
        """Whether all steps were read."""
        return len(self.steps) >= self.total

    @property
    def has_hidden(self) -> bool:
        """Whether it has, or in a run of pages may have, steps with hidden values."""
        hidden = hidden_types(self.types)
        used = {step.schema_name for step in self.steps.values()}
        return not hidden.isdisjoint(used) if self.is_whole else bool(hidden)

    @property
    def counts(self) -> StepCounts:
        """The numbers of its steps."""
        row = self.row
        spans = {
            "total": self.total,
            "failed": row.spans_failed,
            "active": row.spans_active,
            "recorded": self.recorded,
        }
        return step_counts(row.external_identifier, row.status, spans)

    @property
    def is_running(self) -> bool:
        """Whether the run is running."""
        return self.row.status in UNFINISHED

    @property
    def open_steps(self) -> int:
        """The number of steps that go on."""
        return self.row.spans_pending + self.row.spans_active

    def declared(self, schema_name: str) -> Declared:
        """Return what a span type declares."""
        return self.types.get(schema_name) or Declared(schema_name)

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled: the API has no word for one whose client left early."""
        return self.row.status == CANCELLED or self.outcome.get("status") == CANCELLED

    @property
    def process_ended(self) -> bool:
        """Whether a later process closed the run because its own had ended."""
        return self.row.status == FAILED and self.outcome.get("reason") == "process ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFacts:
    """A step with its payloads, and the steps around it that have to do with its failure.

    Attributes:
        view: The step as the API shows it.
        types: What the schema version of the run declares, by the name of the span type.
        ancestors: The steps around it, the nearest first.
        failed: The failed steps of the run, if this one failed or was cancelled.
        cancelled: The cancelled ones, if this one failed.
        hidden_errors: The exceptions of hidden steps, which pass through others.
    """

    run: RunRow
    row: SpanRow
    view: Mapping[str, object]
    types: Mapping[str, Declared]
    ancestors: tuple[SpanRow, ...]
    failed: tuple[SpanRow, ...]
    cancelled: tuple[SpanRow, ...]
    error: Mapping[str, object]
    hidden_errors: HiddenErrors

    @property
    def declared(self) -> Declared | None:
        """What its type declares; None if the type is not declared."""
        return self.types.get(self.row.schema_name)

    @property
    def hidden(self) -> bool:
        """Whether its values are shown only on request."""
        return self.declared is not None and self.declared.is_hidden

    def hides(self, part: str) -> bool:
        """Return whether the whole of a payload is shown only on request.

        Args:
            part: `payload` or `result`; the result of a failed step has messages of exceptions.
        """
        has_error = part == "result" and bool(self.error)
        return self.hidden or (has_error and self.hidden_errors.any)


def hidden_types(types: Mapping[str, Declared]) -> frozenset[str]:
    """Return the names of the span types whose values are shown only on request."""
    return frozenset(name for name, declared in types.items() if declared.is_hidden)


def hidden_errors_in(ctx: Context, run: RunRow, hidden: Collection[str]) -> HiddenErrors:
    """Return the exceptions of the steps of a run whose types are *hidden*."""
    if not hidden or not run.spans_failed:
        return HiddenErrors()
    failed = SpanFilter(agent_instance_id=run.id, status=FAILED)
    return hidden_errors_of(ctx.tx.some_spans(failed, MOST_FAILED), hidden)


def hidden_value() -> RequestError:
    """Return the rejection of a value that is shown only on request."""
    message = "this value is confidential and hidden: the page of its step shows it"
    return RequestError(HTTPStatus.FORBIDDEN, "hidden", message)


class RunRows:
    """The spans of a run with payloads, each read once in one transaction."""

    def __init__(self, ctx: Context, run_id: str) -> None:
        """Read the run.

        Raises:
            RequestError: 404, there is none for the caller.
        """
        self.ctx = ctx
        self.run, self.ref = run_in(ctx, run_id)
        self.types = _types(ctx, self.run)
        self._rows: dict[str, SpanRow | None] = {}
        self._by_status: dict[str, tuple[SpanRow, ...]] = {}

    def get(self, span_id: str | None) -> SpanRow | None:
        """Return a span; None if the run has none with this id."""
        if span_id is None:
            return None
        if span_id not in self._rows:
            row = self.ctx.tx.spans(self.ctx.caller.account_id, [span_id]).get(span_id)
            # A parent may be a step of another run, which this reader may not see.
            own = row is not None and row.agent_instance_id == self.run.id
            self._rows[span_id] = row if own else None
        return self._rows[span_id]

    def ended(self, status: str) -> tuple[SpanRow, ...]:
        """Return the spans that ended with a status, at most `MOST_FAILED`."""
        if status not in self._by_status:
            wanted = SpanFilter(agent_instance_id=self.run.id, status=status)
            rows = tuple(self.ctx.tx.some_spans(wanted, MOST_FAILED))
            self._by_status[status] = rows
            self._rows |= {row.id: row for row in rows}
        return self._by_status[status]

    def around(self, span: SpanRow) -> list[SpanRow]:
        """Return the spans around a span, the nearest first."""
        around: list[SpanRow] = []
        above = self.get(span.parent_span_id)
        while above is not None and above not in around and len(around) < _MOST_ANCESTORS:
            around.append(above)
            above = self.get(above.parent_span_id)
        return around


def read_run(visit: Visit, *, after: str | None = None, limit: int = PAGE_STEPS) -> RunFacts:
    """Return the run that the address names.

    Args:
        after: The step after which the page of a long run begins.

    Raises:
        RequestError: 404, there is none for this person; 503, 504.
    """
    return visit.api.read(lambda ctx: run_facts(RunRows(ctx, visit.named["id"]), after, limit))


def read_span(visit: Visit, span_id: str) -> SpanFacts:
    """Return a step of the run that the address names.

    Raises:
        RequestError: 404, there is none for this person; 503, 504.
    """
    return visit.api.read(lambda ctx: span_facts(RunRows(ctx, visit.named["id"]), span_id))


def result_of(row: SpanRow) -> dict[str, object]:
    """Return the result of a step; empty without one."""
    return cast("dict[str, object]", read_json(row.result_payload or "{}"))


def error_of(row: SpanRow) -> dict[str, object]:
    """Return the error of a step; empty without one."""
    return members(result_of(row).get("error"))


def run_facts(rows: RunRows, after: str | None, limit: int) -> RunFacts:
    """Return a run; see `read_run`."""
    row, ref, ctx = rows.run, rows.ref, rows.ctx
    tx, account_id = ctx.tx, ctx.caller.account_id
    limit = MOST_STEPS if ref.spans <= MOST_STEPS else limit
    steps = {step.id: step for step in steps_of(tx, ref, limit=limit, after=after)}
    failed = rows.ended(FAILED) if row.status == FAILED and row.spans_failed else ()
    far = {} if len(steps) == ref.spans else _far(rows, steps, failed)
    known = (*steps.values(), *far.values())
    root_id = next((step.id for step in known if step.schema_name == ROOT_SPAN), None)
    root = None if root_id is None else rows.get(root_id)
    agent = tx.agent(account_id, row.agent_id)
    version = tx.row(VersionRow, account_id, row.agent_version_id)
    recorded = tx.recorded(row)
    return RunFacts(
        row=row,
        agent=row.agent_id if agent is None else agent.name,
        version=_name(version) if version is not None else row.agent_version_id,
        subject=None if root is None else subject_hash(read_json(root.payload)),
        types=rows.types,
        steps=steps,
        far=far,
        total=ref.spans,
        recorded=None if recorded is None else all_spans(row.flags, recorded),
        after=after,
        root=root,
        outcome={} if root is None else result_of(root),
        elsewhere=_elsewhere(ctx, row),
    )


def _far(
    rows: RunRows, steps: Mapping[str, StepRecord], failed: Sequence[SpanRow]
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
        for row in (*failed, *path)
        if row.id not in steps
    }


def _elsewhere(ctx: Context, row: RunRow) -> Elsewhere | None:
    """Return the runs of the agent that failed as this one did, if there are others."""
    account_id = ctx.caller.account_id
    if row.status != FAILED or row.fingerprint is None:
        return None
    scope = scope_in(ctx, row.agent_id)
    alike = RunCriteria(scope=scope, fingerprint=row.fingerprint, status=FAILED)
    runs = count_runs(ctx.tx, alike)
    oldest = oldest_run(ctx.tx, alike) if runs > 1 else None
    if oldest is None:
        return None
    version = ctx.tx.row(VersionRow, account_id, oldest.agent_version_id)
    before = oldest_run(ctx.tx, RunCriteria(scope=scope))
    older = before is not None and before.agent_version_id != oldest.agent_version_id
    return Elsewhere(
        runs,
        f"{row.fingerprint % 2**64:016x}",
        oldest.inserted_at if oldest.started_at is None else oldest.started_at,
        _name(version) if older and version is not None else None,
    )


def _types(ctx: Context, run: RunRow) -> dict[str, Declared]:
    """Return what the schema version of a run declares, by the name of the span type."""
    types = ctx.declarations.of(ctx.tx, run.agent_schema_version_id).types
    return {name: Declared(name, span_type.data_risk) for name, span_type in types.items()}


def _name(version: VersionRow) -> str:
    return version.external_identifier or version.name or version.id


def span_facts(rows: RunRows, span_id: str) -> SpanFacts:
    """Return a step of a run.

    Raises:
        RequestError: 404, the run has no such step.
    """
    row = rows.get(span_id)
    if row is None:
        raise not_found("agent_span")
    has_failed = row.status == FAILED
    failed = rows.ended(FAILED) if has_failed or row.status == CANCELLED else ()
    return SpanFacts(
        run=rows.run,
        row=row,
        view=msgspec.json.decode(msgspec.json.encode(shown(rows.ctx, row, rows.run))),
        types=rows.types,
        ancestors=tuple(rows.around(row)) if has_failed else (),
        failed=failed,
        cancelled=rows.ended(CANCELLED) if has_failed else (),
        error=error_of(row),
        hidden_errors=hidden_errors_of(failed, hidden_types(rows.types)),
    )


def seconds_after(run: RunRow, at_us: int | None) -> int | None:
    """Return how many microseconds after the start of a run something was."""
    if run.started_at is None or at_us is None:
        return None
    return max(0, at_us - run.started_at)
