"""Copies the rows of an older schema version into the tables of this one.

The old tables are read under the name of the schema `remit_before`, through the transaction that
writes the new ones. Runs are copied in the order of their ids with everything that belongs to them,
and the findings, counts, labels, tokens, failures and summaries of version 7 are derived as when a
span arrives. What is copied already follows from the new tables, so a copy can be continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeVar, cast

import msgspec

from remit.collector.domain.findings import LOSS_SPAN, Marks
from remit.collector.domain.keys import CREATE_PREFIX, FINISH_PREFIX, span_of_key
from remit.collector.domain.run_tally import RunTally
from remit.collector.domain.spans import CREATE, FINISH
from remit.collector.domain.states import UNFINISHED
from remit.collector.domain.validation import marks_of, with_summary
from remit.collector.json_io import read_json
from remit.collector.store import (
    BAD_PAYLOAD,
    BAD_RESULT,
    CREATED_BY_KEY,
    FINISHED_BY_KEY,
    LOST,
    SENSITIVE,
    UNCHECKED,
    UNDECLARED,
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    ErasureRow,
    InstanceRow,
    KeyRow,
    SchemaVersionRow,
    SpanRow,
    TokenRow,
    Transaction,
    VersionRow,
    content_hash,
)
from remit.collector.store.ids import to_text
from remit.collector.store.rows import Row
from remit.collector.store.statements import SPANS_OF_RUN, TABLES
from remit.collector.validation import Budget, Declarations

R = TypeVar("R", bound=Row)

BEFORE: Final = "remit_before"
"""The schema in which the old tables are."""
RUNS: Final = 300
"""Most runs of one transaction."""
SPANS: Final = 5_000
"""Spans after which a transaction takes no further run."""
KEYS: Final = 5_000
"""Most idempotency keys of one transaction."""
_PAGE: Final = 500
"""Spans that are in memory at once."""
_THINGS: Final = (
    AccountRow,
    EnvironmentRow,
    AgentRow,
    VersionRow,
    SchemaVersionRow,
    DeploymentRow,
    TokenRow,
    ErasureRow,
)
_SINCE: Final[Mapping[type[Row], Mapping[str, int]]] = {
    SchemaVersionRow: {"content_hash": 4, "registered_by": 4, "environment_id": 4},
    TokenRow: {"made_by": 5, "name": 7, "may": 7},
    KeyRow: {"request_hash": 5},
    InstanceRow: {"caused_by": 6},
}
"""The version that added a column, for those that version 3 lacks."""
_OF_RUN: Final = InstanceRow.__struct_fields__[: InstanceRow.__struct_fields__.index("flags")]
_OF_SPAN: Final = (
    *SpanRow.__struct_fields__[: SpanRow.__struct_fields__.index("summary")],
    "create_key",
    "finish_key",
)
_KEPT_FLAGS: Final = SENSITIVE | BAD_PAYLOAD | BAD_RESULT | UNCHECKED | UNDECLARED
"""Older versions had others, which mean nothing now, and one for all markers."""
_NEXT_SPANS: Final = (
    f"SELECT {', '.join(_OF_SPAN)} FROM {BEFORE}.agent_spans "
    "WHERE agent_instance_id <= ? AND (agent_instance_id, id) > (?, ?) "
    f"ORDER BY agent_instance_id, id LIMIT {_PAGE}"
)
_SUBJECTS: Final = (
    f"SELECT agent_instance_id, subject_hash FROM {BEFORE}.run_subjects "
    "WHERE agent_instance_id >= ? AND agent_instance_id <= ?"
)
_LAST_RUN: Final = "SELECT id FROM runs ORDER BY id DESC LIMIT 1"
_LAST_KEY: Final = (
    "SELECT account_id, operation, key FROM idempotency_keys "
    "ORDER BY account_id DESC, operation DESC, key DESC LIMIT 1"
)
_OLD_TABLES: Final = ("agent_instances", "agent_spans", "idempotency_keys")
_NEW_TABLES: Final = ("runs", "spans", "idempotency_keys")


class _Copied(NamedTuple):
    """A copied span, what its markers mean, and its result."""

    row: SpanRow
    marks: Marks | None
    result: dict[str, object] | None


class Copy:
    """Copies from one version; all transactions of a copy use the same object."""

    def __init__(self, version: int) -> None:
        """Copy from schema version *version*."""
        self._version = version
        self._declarations = Declarations()

    def things(self, tx: Transaction) -> None:
        """Copy accounts, agents and what belongs to them, and the records of erasures."""
        for kind in _THINGS:
            for row in self._rows(tx, kind, TABLES[kind]):
                tx.add(row)

    def next_keys(self, tx: Transaction) -> int:
        """Copy the next idempotency keys; return how many, 0 at the end."""
        last = next(iter(tx.rows(_LAST_KEY)), ("", "", ""))
        rest = (
            "WHERE (account_id, operation, key) > (?, ?, ?) "
            f"ORDER BY account_id, operation, key LIMIT {KEYS}"
        )
        rows = self._rows(tx, KeyRow, TABLES[KeyRow], rest, last)
        if rows:
            tx.add_keys(rows)
        return len(rows)

    def next_runs(self, tx: Transaction) -> int:
        """Copy the next runs with their spans; return how many rows, 0 at the end."""
        runs = list(self._next_runs(tx))
        if not runs:
            return 0
        tallies = {run.id: self._begin(tx, run) for run in runs}
        for run_id, subject_hash in list(tx.rows(_SUBJECTS, (runs[0].id, runs[-1].id))):
            if run_id in tallies:
                tx.add_subject(tallies[run_id].run, subject_hash)
        spans = 0
        for page in _pages(tx, runs):
            self._copy_spans(tx, tallies, page)
            spans += len(page)
        # Spans that were deleted because of their age are counted in their runs.
        counts = [{name: getattr(run, name) for name in SPANS_OF_RUN} for run in runs]
        tallied = [
            tally.compared(msgspec.structs.replace(tally.write(), **count))
            for tally, count in zip(tallies.values(), counts, strict=True)
        ]
        tx.add_findings([row for tally in tallies.values() for row in tally.findings])
        tx.tally(tallied)
        return len(runs) + spans

    def _next_runs(self, tx: Transaction) -> Iterator[InstanceRow]:
        after = next((to_text(run_id) for (run_id,) in tx.rows(_LAST_RUN)), "")
        rest = f"WHERE id > ? ORDER BY id LIMIT {RUNS}"
        spans = 0
        for run in self._rows(tx, InstanceRow, "agent_instances", rest, (after,), _OF_RUN):
            yield run
            spans += sum(getattr(run, name) for name in SPANS_OF_RUN)
            if spans > SPANS:
                return

    def _begin(self, tx: Transaction, run: InstanceRow) -> RunTally:
        empty = msgspec.structs.replace(run, **dict.fromkeys(SPANS_OF_RUN, 0))
        declared = self._declarations.of(tx, run.agent_schema_version_id)
        return RunTally(tx, tx.add_run(empty), declared.types)

    def _copy_spans(
        self, tx: Transaction, tallies: Mapping[str, RunTally], page: Sequence[Sequence[Any]]
    ) -> None:
        keys: list[KeyRow] = []
        copied = [self._copied(tallies[values[0]], values, keys) for values in page]
        tx.add_spans([span.row for span in copied])
        # In the order of their ends, children first, because a run keeps its first failure.
        copied.reverse()
        copied.sort(key=lambda span: span.row.finished_at or span.row.updated_at)
        for row, marks, result in copied:
            tallies[row.agent_instance_id].take(None, row, marks, result)
        if keys:
            _add_missing(tx, keys)

    def _copied(self, tally: RunTally, values: Sequence[Any], keys: list[KeyRow]) -> _Copied:
        """Return the span of an old row, and add its keys that are no flags to *keys*."""
        *fields, create_key, finish_key = values
        row = SpanRow(*fields)
        payload = cast("dict[str, object]", read_json(row.payload))
        result = None
        if row.result_payload is not None:
            result = cast("dict[str, object]", read_json(row.result_payload))
        marks = marks_of(row, payload, result)
        flags = row.flags & _KEPT_FLAGS
        if row.schema_name == LOSS_SPAN:
            flags |= LOST
        if marks is not None:
            flags |= marks.flags
        account_id = tally.run.account_id
        for operation, prefix, key, flag in (
            (CREATE, CREATE_PREFIX, create_key, CREATED_BY_KEY),
            (FINISH, FINISH_PREFIX, finish_key, FINISHED_BY_KEY),
        ):
            if key is None:
                continue
            if span_of_key(key, prefix, account_id) == row.id:
                flags |= flag
            else:
                ids = (row.agent_instance_id, row.id)
                keys.append(KeyRow(account_id, operation, key, *ids, None, row.updated_at))
        row = msgspec.structs.replace(
            row, flags=flags, run_ref=tally.run.ref, type_ref=tally.type_ref(row.schema_name)
        )
        if row.status not in UNFINISHED and tally.run.erased_at is None:
            row = with_summary(row, tally.types.get(row.schema_name), Budget())
        return _Copied(row, marks, result)

    def _rows(
        self,
        tx: Transaction,
        kind: type[R],
        table: str,
        rest: str = "",
        values: Sequence[Any] = (),
        names: Sequence[str] | None = None,
    ) -> list[R]:
        """Return rows of an old table; columns that it lacks have their defaults."""
        since = _SINCE.get(kind, {})
        names = [
            name for name in names or kind.__struct_fields__ if since.get(name, 0) <= self._version
        ]
        sql = f"SELECT {', '.join(names)} FROM {BEFORE}.{table} {rest}"
        rows = [dict(zip(names, row, strict=True)) for row in tx.rows(sql, values)]
        if kind is SchemaVersionRow and "content_hash" not in names:
            rows = [_with_hash(row) for row in rows]
        return [kind(**row) for row in rows]


def numbers(tx: Transaction) -> tuple[list[int], list[int]]:
    """Return the numbers of runs, spans and idempotency keys, in the old tables and in the new."""
    return (
        [_number_of(tx, f"{BEFORE}.{table}") for table in _OLD_TABLES],
        [_number_of(tx, table) for table in _NEW_TABLES],
    )


def _number_of(tx: Transaction, table: str) -> int:
    ((number,),) = tx.rows(f"SELECT COUNT(*) FROM {table}")
    return int(number)


def _pages(tx: Transaction, runs: Sequence[InstanceRow]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the spans of *runs*, which follow each other, by run and id."""
    run_id, span_id = runs[0].id, ""
    while True:
        page = list(tx.rows(_NEXT_SPANS, (runs[-1].id, run_id, span_id)))
        if page:
            yield page
        if len(page) < _PAGE:
            return
        run_id, span_id, *_ = page[-1]


def _add_missing(tx: Transaction, rows: Sequence[KeyRow]) -> None:
    """Add keys of spans that have no row of their own."""
    for (account_id, operation), group in groupby(sorted(rows, key=_operation), key=_operation):
        keys = {row.key: row for row in group}
        known = tx.keys(account_id, operation, keys)
        tx.add_keys([row for key, row in keys.items() if key not in known])


def _operation(row: KeyRow) -> tuple[str, str]:
    return row.account_id, row.operation


def _with_hash(row: dict[str, Any]) -> dict[str, Any]:
    """Return a schema version of version 3 with the columns that came later."""
    hashed = content_hash(row["span_type_schemas"], row["quality_schemas"])
    return {**row, "content_hash": hashed, "registered_by": None, "environment_id": None}
