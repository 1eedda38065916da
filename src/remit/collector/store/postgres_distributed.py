"""A transaction of a distributed database: PostgreSQL with Citus, see `remit db distribute`.

The tables of runs are distributed by their shard. A statement that locks names one shard, and one
that writes names those of its rows, so that the other shards are left alone. Counts, idempotency
keys and erasures are on the coordinator.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from typing_extensions import override

from remit.collector.store import statements
from remit.collector.store.base import ConflictError
from remit.collector.store.execution import References
from remit.collector.store.ids import shard_of, to_bytes, to_text
from remit.collector.store.postgres_copy import without_nul
from remit.collector.store.postgres_references import RunReferences
from remit.collector.store.postgres_rows import (
    CHANGE_SPANS,
    CHANGED_RUN,
    CHANGED_RUN_COLUMNS,
    CHANGES,
    JOIN_PAYLOADS,
    JOIN_RUN,
    NEW_RUN,
    OF_IDS,
    REPLACE_RESULT,
    WITHIN,
    JsonRow,
    PostgresTransaction,
    Results,
    array_of_ids,
    by_shard,
    json_of,
    of_ids,
    recordset,
    translated,
)
from remit.collector.store.rows import InstanceRow, Row, SpanRow
from remit.collector.store.statements import Value

MOST_ROWS: Final = 500
"""Most rows of one `INSERT`, which has one parameter for each value."""
_IN_SHARDS: Final = "{0}.shard = ANY(?::smallint[])"
_RUNS: Final = f"{statements.RUNS} WHERE r.shard = ? AND r.id = ANY(?::bytea[]) ORDER BY r.id"
_LOCK: Final = f"{_RUNS} FOR NO KEY UPDATE OF r"
_RUNS_OF_SPANS: Final = f"SELECT DISTINCT r.id FROM spans AS s {JOIN_RUN} WHERE {OF_IDS}"  # noqa: S608 - fixed texts
_SPANS: Final = (
    f"SELECT {statements.SPAN_COLUMNS} FROM spans AS s {JOIN_RUN} "  # noqa: S608 - fixed texts
    f"JOIN span_types AS t ON t.ref = s.type_ref {JOIN_PAYLOADS} AND {WITHIN.format('b')} "
    f"WHERE {OF_IDS}"
)
_CHANGE_RUNS: Final = (
    f"UPDATE runs AS w SET {', '.join(f'{name} = r.{name}' for name in CHANGED_RUN)} "  # noqa: S608 - fixed texts
    f"FROM {recordset(CHANGED_RUN_COLUMNS)} "
    f"WHERE w.ref = r.ref AND w.shard = r.shard AND {_IN_SHARDS.format('w')}"
)
_CHANGE_SPANS: Final = f"{CHANGE_SPANS.format(f'({CHANGES}) AS r')} AND {_IN_SHARDS.format('s')}"
# A transaction is prepared on the workers before the coordinator commits, and visible there when
# they have committed too. The workers are asked after the coordinator, so none is missed.
_OLDEST_OPEN: Final = (
    "SELECT LEAST(pg_snapshot_xmin(pg_current_snapshot())::text::bigint, "
    "(SELECT MIN(t.outer_xid::text::bigint) FROM pg_dist_transaction AS t "
    "JOIN run_command_on_workers("
    "'SELECT string_agg(gid, '','') FROM pg_prepared_xacts WHERE database = current_database()'"
    ") AS w ON t.gid = ANY(string_to_array(w.result, ','))))"
)
_CHANGE: Final = "SELECT pg_current_xact_id()::text::bigint"


class _Insert(NamedTuple):
    """How rows of a table are inserted.

    Attributes:
        table: The table.
        columns: Its columns; a row has more.
        after: The end of the statement.
        counted: Whether a row that exists is a conflict.
    """

    table: str
    columns: tuple[str, ...]
    after: str = "ON CONFLICT DO NOTHING"
    counted: bool = False

    def sql(self, rows: int) -> str:
        """Return the statement for this number of rows."""
        places = ("decode(?, 'hex')" if name in _IDS else "?" for name in self.columns)
        row = f"({', '.join(places)})"
        return (
            f"INSERT INTO {self.table} ({', '.join(self.columns)}) "  # noqa: S608 - fixed texts
            f"VALUES {', '.join([row] * rows)} {self.after}"
        )


_IDS: Final = frozenset({"id", "run_id", "span_id"})
_INSERTS: Final = {
    "new_runs": _Insert("runs", (*NEW_RUN, "shard"), counted=True),
    "run_keys": _Insert(
        "run_keys", ("external_identifier", "agent_ref", "environment_ref", "run_id"), counted=True
    ),
    "run_changes": _Insert(
        "run_changes",
        ("run_ref", "shard", "seq"),
        "ON CONFLICT (run_ref, shard) DO UPDATE SET seq = EXCLUDED.seq",
    ),
    "span_findings": _Insert(
        "span_findings",
        (
            *("kind", "started_at", "run_ref", "span_id", "number"),
            *("agent_ref", "environment_ref", "sentence", "shard"),
        ),
    ),
    "results": _Insert(
        "span_payloads", ("run_ref", "shard", "id", "payload", "result"), REPLACE_RESULT
    ),
    "run_labels": _Insert("run_labels", ("shard", "key", "value", "run_id", "run_ref")),
    "run_subjects": _Insert("run_subjects", ("shard", "subject_hash", "run_id", "run_ref")),
}


class DistributedTransaction(PostgresTransaction):
    """A transaction of a distributed PostgreSQL store."""

    distributed = True

    def __init__(
        self,
        cursor: Results,
        known: References | None = None,
        *,
        run_references: RunReferences | None = None,
    ) -> None:
        """Work by *cursor*, on whose connection a transaction was begun."""
        super().__init__(cursor, known, run_references=run_references)
        self._shards: set[int] = set()
        self._looked_up: set[str] = set()
        self._added: set[str] = set()

    # Runs

    @override
    def instances(
        self, account_id: str | None, instance_ids: Collection[str]
    ) -> dict[str, InstanceRow]:
        if self._writing:
            return super().instances(account_id, instance_ids)
        rows = [
            InstanceRow(to_text(row_id), *rest)
            for row_id, *rest in self._runs_of(_RUNS, instance_ids)
        ]
        return {row.id: row for row in rows if account_id in {None, row.account_id}}

    @override
    def hold(
        self,
        instance_ids: Collection[str],
        span_ids: Collection[str],
        *,
        created: Collection[str] = (),
    ) -> bool:
        wanted = set(instance_ids)
        there: set[str] = set()
        if elsewhere := set(span_ids).difference(created):
            if self._pending.new:
                self._write_runs()
            there = self._runs_of_spans(elsewhere, None)
        # A run that this transaction added has no span yet, except by this transaction itself.
        older = _shards_of(each for each in instance_ids if each not in self._added)
        if created and (older or self._looked_up):
            there |= self._runs_of_spans(created, _shards_of(instance_ids))
        self._looked_up.update(span_ids)
        wanted |= there
        self._shards |= _shards_of(wanted)
        self._lock([each for each in wanted if each not in self._pending.runs])
        return bool(there)

    def _runs_of_spans(self, span_ids: Collection[str], shards: Collection[int] | None) -> set[str]:
        condition, values = _in_shards("s", shards)
        sql = f"{_RUNS_OF_SPANS}{condition}"
        rows = self._fetch(sql, (*of_ids(span_ids), *values))
        return {to_text(run_id) for (run_id,) in rows}

    @override
    def add_run(self, row: InstanceRow) -> InstanceRow:
        self._added.add(row.id)
        return super().add_run(row)

    @override
    def _lock(self, run_ids: Collection[str]) -> None:
        self._take(self._runs_of(_LOCK, run_ids))

    def _runs_of(self, sql: str, run_ids: Iterable[str]) -> Iterable[Sequence[Any]]:
        """Yield the rows of a statement about runs of one shard, shard by shard."""
        named = sorted(map(to_bytes, run_ids))
        shards = by_shard((shard_of(run_id), run_id) for run_id in named)
        values = [(shard, array_of_ids(ids)) for shard, ids in shards.items()]
        if len(values) == 1:
            yield from self._fetch(sql, values[0])
        elif values:
            self._cursor.executemany(translated(sql)[0], values, returning=True)
            more: bool | None = True
            while more:
                yield from self._cursor.fetchall()
                more = self._cursor.nextset()

    @override
    def _kept(self, kind: type[Row]) -> str:
        # Runs are locked shard by shard.
        return "" if kind is InstanceRow else super()._kept(kind)

    @override
    def together(self, run_ids: Collection[bytes]) -> Iterable[Collection[bytes]]:
        return by_shard((shard_of(run_id), run_id) for run_id in run_ids).values()

    @override
    def among_runs(self, prefix: str, run_ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        shard, of_shard = self.in_shard(prefix, next(iter(run_ids)))
        among, values = super().among_runs(prefix, run_ids)
        return f"{shard}{among}", (*of_shard, *values)

    @override
    def end_of_changes(self) -> int:
        return self._one_number(_OLDEST_OPEN, ())

    # Spans

    @override
    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        if not span_ids:
            return {}
        ids, first, last = of_ids(span_ids)
        # The runs of spans that were looked up are locked.
        known = self._looked_up.issuperset(span_ids)
        condition, values = _in_shards("s", self._shards if known else None)
        sql = f"{_SPANS}{condition}"
        values = (first, last, ids, first, last, *values)
        if account_id is not None:
            sql, values = f"{sql} AND {statements.RUN_FILTERS['account_id']}", (*values, account_id)
        return {row.id: row for row in self._spans(sql, values)}

    @override
    def _change_spans(self, changes: Sequence[JsonRow], span_ids: Collection[str]) -> None:
        results = [
            {**row, "payload": statements.EMPTY} for row in changes if row["result"] is not None
        ]
        self._write({"results": results})
        shards = _array_of({row["shard"] for row in changes})
        self.run(_CHANGE_SPANS, (json_of(changes), *of_ids(span_ids), shards))

    # Writing

    @override
    def _write(self, parts: Mapping[str, Sequence[JsonRow]]) -> None:
        for name, rows in parts.items():
            if name in _INSERTS and rows:
                self._insert(_INSERTS[name], name, rows)
            elif name == "runs" and rows:
                shards = _array_of({row["shard"] for row in rows})
                self._cursor.execute(translated(_CHANGE_RUNS)[0], (json_of(rows), shards))
        of_coordinator = {*parts}.difference(_INSERTS, ("runs",))
        super()._write({name: parts[name] for name in parts if name in of_coordinator})

    def _insert(self, insert: _Insert, part: str, rows: Sequence[JsonRow]) -> None:
        if part == "run_changes":
            seq = self._one_number(_CHANGE, ())
            rows = [{**row, "seq": seq} for row in rows]
        for start in range(0, len(rows), MOST_ROWS):
            some = rows[start : start + MOST_ROWS]
            values = [_stored(row[name]) for row in some for name in insert.columns]
            sql = translated(insert.sql(len(some)))[0]
            added = self._cursor.execute(sql, values).rowcount
            if insert.counted and added != len(some):
                raise ConflictError("another transaction added the same run")


def _in_shards(alias: str, shards: Collection[int] | None) -> tuple[str, tuple[Value, ...]]:
    if shards is None:
        return "", ()
    return f" AND {_IN_SHARDS.format(alias)}", (_array_of(shards),)


def _shards_of(run_ids: Iterable[str]) -> set[int]:
    return {shard_of(to_bytes(run_id)) for run_id in run_ids}


def _array_of(numbers: Iterable[Value]) -> str:
    return f"{{{','.join(sorted(map(str, numbers)))}}}"


def _stored(value: Value) -> Value:
    return without_nul(value) if isinstance(value, str) else value
