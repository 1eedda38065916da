"""The source of `remit runs` that is a database; a collector may write it at the same time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from remit._base.clock import NS_PER_US, SystemClock
from remit._declare.registry import RUN_TYPE
from remit.cli._database import (
    agents,
    database,
    every,
    find,
    newest,
    opened,
    opened_to_read,
    record_of,
    run_of,
    spans_of,
)
from remit.cli._failing import Failed
from remit.cli._options import Database
from remit.cli._records import (
    LINKED_RUNS,
    Links,
    ListedRun,
    Record,
    Step,
    names_of_trace,
    newest_of,
    run_with,
    start_of,
    telling,
    trace_of,
    traces_of,
)
from remit.collector.api import PREFIX, Request, Service
from remit.collector.domain import Caller, TokenScope
from remit.collector.domain.risk import risk_of_run
from remit.collector.settings import Settings
from remit.collector.store import (
    AgentRow,
    ErasureRow,
    InstanceRow,
    Page,
    Reader,
    SchemaVersionRow,
    SpanFilter,
    SpanRow,
    Transaction,
    shown,
)
from remit.collector.store.retention import bound_at
from remit.collector.times import format_us
from remit.collector.validation import Declarations
from remit.models.agent_instance import AgentInstance
from remit.models.risk import Risk

LATE_US: Final = 60_000_000
"""Delay until a change is surely visible: slow transactions, clocks that lag."""
RECENT_MS: Final = 3_600_000
"""Age up to which ended runs are read."""
MOST_CHARS: Final = 8 * 1024 * 1024
"""Most characters of the spans that tell how one run ended."""
US_PER_MS: Final = 1_000
_NEWEST: Final = Page(0, 1, "id", descending=True)
_LINKED: Final = Page(0, LINKED_RUNS, "id", descending=False)


class LocalRuns:
    """The runs of one database.

    Attributes:
        place: Path of the database, or its URL without the password.
    """

    def __init__(self, store: Reader, path: Database) -> None:
        """Read *store*, which is at *path*."""
        self.place = shown(path)
        self._store = store
        self._path = path
        self._declarations = Declarations()

    @classmethod
    @contextmanager
    def opened(cls, db: Database | None) -> Generator[LocalRuns]:
        """Open the runs of *db*, else of local mode's database, for the block."""
        path = database(db)
        with opened_to_read(path) as store:
            yield cls(store, path)

    def newest(self, count: int) -> list[ListedRun]:
        """Return the last *count* runs, the newest first."""
        with self._store.reading() as source:
            return [self._ended(source, row) for row in newest(source, count)]

    def find(self, reference: str) -> ListedRun:
        """Return the run that *reference* names."""
        with self._store.reading() as source:
            return run_of(source, self._declarations, find(source, reference))

    def record(self, run: ListedRun) -> Record:
        """Return a run with all its spans."""
        with self._store.reading() as source:
            return record_of(source, self._declarations, _row(source, run))

    def links(self, record: Record) -> Links:
        """Return the run that caused this one, and those that it caused."""
        trace, instance = trace_of(record), record.instance
        with self._store.reading() as source:
            cause = None if trace is None else _run_of_trace(source, trace, instance)
            lists = [
                source.list_instances(None, {"caused_by": each}, _LINKED)
                for each in traces_of(instance)
            ]
            rows = sorted((row for each in lists for row in each.rows), key=lambda row: row.id)
            return Links(
                trace,
                None if cause is None else run_of(source, self._declarations, cause),
                tuple(run_of(source, self._declarations, row) for row in rows[:LINKED_RUNS]),
                max(0, sum(each.total for each in lists) - LINKED_RUNS),
            )

    def erasures(self, run: ListedRun) -> list[dict[str, object]]:
        """Return the records of erasures of a run."""
        with self._store.reading() as source:
            return [_erasure(row) for row in source.erasures(run.instance.id)]

    def risk(self, run: ListedRun) -> Risk:
        """Return the risk of a run."""
        with self._store.reading() as source:
            return risk_of_run(source, _row(source, run))

    def schema_versions(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the newest schema version of each agent with its identifier, the oldest first."""
        newest: list[tuple[SchemaVersionRow, AgentRow]] = []
        with self._store.reading() as source:
            for agent in agents(source):
                wanted = {"agent_id": agent.id}
                listed = source.list_rows(SchemaVersionRow, agent.account_id, wanted, _NEWEST)
                newest += [(row, agent) for row in listed.rows]
            newest.sort(key=lambda pair: pair[0].id)
            return [
                (agent.external_identifier or agent.id, _schema_version(source, row))
                for row, agent in newest
            ]

    def last(self, run: ListedRun | None, count: int, *, with_roots: bool) -> list[Step]:
        """Return the newest spans, in the order in which they began."""
        wanted = SpanFilter(agent_instance_id=None if run is None else run.instance.id)
        with self._store.reading() as source:
            rows = every(lambda page: source.list_spans(wanted, page), descending=True)
            kept = (row for row in rows if with_roots or row.schema_name != RUN_TYPE)
            return self._steps(source, newest_of(kept, count))[-count:]

    def feed(self, run: ListedRun | None) -> Callable[[], list[Step]]:
        """Return a function that returns the spans that began or ended since its last call."""
        feed = _Feed(None if run is None else run.instance.id)

        def fresh() -> list[Step]:
            with self._store.reading() as source:
                return self._steps(source, feed.fresh(source))

        return fresh

    def terminate(self, run: ListedRun, reason: str) -> None:
        """Terminate a run."""
        instance = run.instance
        path = f"{PREFIX}/agent_instance/{instance.id}/terminate"
        request = Request("POST", path, body=msgspec.json.encode({"reason": reason}))
        caller = Caller(instance.account_id, TokenScope.ACCOUNT)
        with opened(self._path) as store:
            response = Service(store, Settings(), SystemClock(), caller=caller).dispatch(request)
        if response.code is not None:
            refusal = msgspec.json.decode(response.body)
            raise Failed(
                f"the run {run.handle} cannot be terminated, it is {instance.status}: "
                f"{refusal['message']}"
            )

    def _ended(self, source: Transaction, row: InstanceRow) -> ListedRun:
        """Return a run with what is found out about its end."""
        run = run_of(source, self._declarations, row)
        wanted = telling(run.instance)
        if wanted is None:
            return run
        of = SpanFilter(agent_instance_id=row.id, schema_name=wanted.schema_name)
        page = Page(wanted.offset, wanted.count, "status", descending=False)
        rows = source.list_spans(of, page, most_chars=MOST_CHARS).rows
        spans = spans_of(source, self._declarations, row, rows)
        return run_with(run.agent, run.instance, spans)

    def _steps(self, source: Transaction, rows: Iterable[SpanRow]) -> list[Step]:
        """Return spans with their runs, in the order in which they began."""
        found = list(rows)
        runs = source.instances(None, {row.agent_instance_id for row in found})
        known = {key: run_of(source, self._declarations, row) for key, row in runs.items()}
        steps: list[Step] = []
        for row in found:
            run_row = runs[row.agent_instance_id]
            (span,) = spans_of(source, self._declarations, run_row, [row])
            steps.append(Step(known[run_row.id], span))
        return sorted(steps, key=lambda step: start_of(step.span))


class _Feed:
    """The spans that were seen, with the time of their last change.

    Spans are read only of runs whose span counts changed, and by the time of the change: a span may
    have begun long ago, or have arrived late.
    """

    def __init__(self, run_id: str | None) -> None:
        """Watch one run, or all."""
        self._run_id = run_id
        self._moves: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._since_us = _now_us() - LATE_US

    def fresh(self, source: Transaction) -> list[SpanRow]:
        """Return the spans that began or ended since the last call."""
        now_us = _now_us()
        before = self._moves
        first_id = bound_at(now_us // US_PER_MS - RECENT_MS)
        self._moves = source.span_moves(self._run_id, first_id)
        changed = [
            row
            for run_id, moves in self._moves.items()
            if moves != before.get(run_id, 0)
            for row in self._changed(source, run_id)
        ]
        found = [row for row in changed if self._seen.get(row.id) != row.updated_at]
        self._since_us = now_us - LATE_US
        seen = {**self._seen, **{row.id: row.updated_at for row in changed}}
        self._seen = {row_id: at_us for row_id, at_us in seen.items() if at_us >= self._since_us}
        return found

    def _changed(self, source: Transaction, run_id: str) -> Iterator[SpanRow]:
        wanted = SpanFilter(agent_instance_id=run_id, changed_from_us=self._since_us)
        return every(lambda page: source.list_spans(wanted, page), descending=False)


def _schema_version(source: Transaction, summary: SchemaVersionRow) -> dict[str, Any]:
    """Return a schema version as the API shows it; lists leave the schemas out."""
    row = source.schema_version_of_id(summary.id)
    assert row is not None  # noqa: S101 - of the same transaction
    return {
        "external_identifier": row.external_identifier,
        "span_type_schemas": msgspec.json.decode(row.span_type_schemas),
    }


def _now_us() -> int:
    return SystemClock().wall_ns() // NS_PER_US


def _run_of_trace(source: Transaction, trace: str, near: AgentInstance) -> InstanceRow | None:
    """Return the run of a trace id: that of the key, else the instance that was resumed."""
    key, instance_id = names_of_trace(trace, near)
    found = source.list_instances(None, {"external_identifier": key}, _LINKED).rows
    return found[0] if found else source.instances(None, [instance_id]).get(instance_id)


def _row(source: Transaction, run: ListedRun) -> InstanceRow:
    """Return the row of a run.

    Raises:
        Failed: It was removed meanwhile.
    """
    row = source.instances(None, [run.instance.id]).get(run.instance.id)
    if row is None:
        raise Failed(f"the run {run.handle} was removed meanwhile")
    return row


def _erasure(row: ErasureRow) -> dict[str, object]:
    return {
        "erased_at": format_us(row.inserted_at),
        "asked_for": row.asked_for,
        "reason": row.reason,
        "erased_by": row.erased_by,
        "spans": row.spans,
        "answers": row.answers,
    }
