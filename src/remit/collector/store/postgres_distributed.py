"""A transaction of a distributed database: PostgreSQL with Citus, see `remit db distribute`.

The tables of runs are distributed by their shard, some shards to each part of a table. A statement
that locks names shards of one part, and one that writes those of its rows, so that the other parts
are left alone. Counts, keys and erasures are on the coordinator.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, cast

from psycopg import errors
from typing_extensions import override

from remit.collector.store import statements
from remit.collector.store.base import ConflictError
from remit.collector.store.execution import References
from remit.collector.store.ids import SHARDS, shard_of, to_bytes, to_text
from remit.collector.store.postgres_copy import without_nul
from remit.collector.store.postgres_locks import KEPT_LOCK
from remit.collector.store.postgres_pool import Results, RunReferences
from remit.collector.store.postgres_rows import (
    PostgresTransaction,
    array_of_ids,
    by_shard,
    json_of,
    of_ids,
)
from remit.collector.store.postgres_sql import (
    CHANGE_RUNS,
    CHANGE_SPANS,
    CHANGED_RUNS,
    CHANGES,
    IDS,
    INSERTS,
    JOIN_PAYLOADS,
    JOIN_RUN,
    OF_IDS,
    REPLACE_RESULT,
    WITHIN,
    Insert,
    JsonRow,
    translated,
)
from remit.collector.store.rows import AgentRow, EnvironmentRow, Row, RunRow, SpanRow
from remit.collector.store.statements import Value

MOST_ROWS: Final = 500
"""Most rows of one `INSERT`, which has one parameter for each value."""
_IN_SHARDS: Final = "{0}.shard = ANY(?::smallint[])"
_READ: Final = f"{statements.RUNS} WHERE r.shard = ANY(?::smallint[]) AND r.id = ANY(?::bytea[])"
_LOCK: Final = f"{_READ} ORDER BY r.id FOR NO KEY UPDATE OF r"
# With each run, whether some spans exist in the shards.
_LOCK_WITH_SPANS: Final = _LOCK.replace(
    "SELECT ",
    f"SELECT EXISTS (SELECT FROM spans AS s WHERE {_IN_SHARDS.format('s')} AND {OF_IDS}), ",
    1,
)
_RUNS_OF_SPANS: Final = f"SELECT DISTINCT s.shard, s.run_ref FROM spans AS s WHERE {OF_IDS}"
_IDS_OF_RUNS: Final = (
    "SELECT r.id FROM runs AS r WHERE r.shard = ANY(?::smallint[]) AND r.ref = ANY(?::bigint[])"
)
# The shards of each table are named: Citus takes them over by `=` from one to the other, but not by
# `ANY`.
_SPANS: Final = (
    f"SELECT {statements.SPAN_COLUMNS} FROM spans AS s {JOIN_RUN} "
    f"JOIN span_types AS t ON t.ref = s.type_ref {JOIN_PAYLOADS} AND {WITHIN.format('b')}"
    f"{{b}} WHERE {OF_IDS}{{s}}{{r}}"
)
_CHANGE_RUNS: Final = (
    f"{CHANGE_RUNS.format(f'({CHANGED_RUNS}) AS r')} AND {_IN_SHARDS.format('w')} "
    "AND w.ref = ANY(?::bigint[])"
)
_CHANGE_CHANGES: Final = (
    "UPDATE run_changes SET seq = ? WHERE shard = ANY(?::smallint[]) AND run_ref = ANY(?::bigint[])"
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


# On a reference table, FOR KEY SHARE locks the table as a whole, and two transactions that do so
# wait for each other: a lock of the coordinator keeps agents and environments instead.
_REFERRED_TO: Final = frozenset({AgentRow, EnvironmentRow})
_KEEP: Final = "SELECT pg_advisory_xact_lock_shared(?)"
_CLOSE: Final = "SELECT pg_advisory_xact_lock(?)"
# New rows, by COPY; that costs least.
_COPIED: Final = ("new_runs",)
_CHANGES: Final = INSERTS["run_changes"]._replace(
    columns={**INSERTS["run_changes"].columns, "seq": "bigint"}
)
_RESULTS: Final = Insert(
    "span_payloads",
    dict.fromkeys(("run_ref", "shard", "id", "payload", "result"), "text"),
    REPLACE_RESULT,
)
_INSERTED: Final = ("span_findings", "run_labels", "run_subjects")
_OF_COORDINATOR: Final = ("run_keys", "span_increments", "run_increments", "redacted_increments")
# The parts of `runs` are those of the other tables of runs, too.
_PARTS: Final = (
    b"SELECT get_shard_id_for_distribution_column('runs', shard::smallint) "
    b"FROM generate_series(0, %s) AS shard ORDER BY shard"
)


def parts_of_shards(cursor: Results) -> list[int]:
    """Return the part of the tables of runs in which each shard is."""
    return [part for (part,) in cursor.execute(_PARTS, (SHARDS - 1,)).fetchall()]


class DistributedTransaction(PostgresTransaction):
    """A transaction of a distributed PostgreSQL store."""

    distributed = True

    def __init__(
        self,
        cursor: Results,
        known: References | None = None,
        *,
        run_references: RunReferences | None = None,
        parts: Sequence[int],
    ) -> None:
        """Work by *cursor*, on whose connection a transaction was begun.

        Args:
            parts: The part of the tables of runs in which each shard is.
        """
        super().__init__(cursor, known, run_references=run_references)
        self._parts = parts
        self._added: dict[str, int] = {}
        self._keeps = False

    # Agents and environments

    @override
    def _lock_clause(self, kind: type[Row]) -> str:
        if kind is RunRow:  # locked part by part
            return ""
        if kind not in _REFERRED_TO:
            return super()._lock_clause(kind)
        if self._writing and not self._keeps:
            self._fetch(_KEEP, (KEPT_LOCK,))
            self._keeps = True
        return ""

    @override
    def _removal_lock(self) -> str:
        self._fetch(_CLOSE, (KEPT_LOCK,))
        return super()._removal_lock()

    @override
    def remove_agent(self, agent_id: str) -> None:
        self._fetch(_CLOSE, (KEPT_LOCK,))
        super().remove_agent(agent_id)

    # Runs

    @override
    def hold(
        self,
        run_ids: Collection[str],
        span_ids: Collection[str],
        *,
        created: Collection[str] = (),
    ) -> Collection[int] | None:
        unlocked = [each for each in run_ids if each not in self._pending.runs]
        shards = _shards_of(run_ids)
        one_part = len({self._parts[shard] for shard in shards}) == 1
        elsewhere = set(span_ids).difference(created)
        # The usual bulk adds spans to one run.
        usual = one_part and unlocked and created and not elsewhere
        if usual and not self._lock_with_spans(unlocked, created, shards):
            return ()
        found = self._runs_of_spans(elsewhere, None) if elsewhere else set[str]()
        # A run that this transaction added has no span yet, except by this transaction itself.
        if created and (self._has_spans or not self._added.keys() >= set(run_ids)):
            found |= self._runs_of_spans(created, shards)
        self.runs(None, found.union(run_ids))
        return _shards_of(found)

    def _lock_with_spans(
        self, run_ids: Collection[str], span_ids: Collection[str], shards: Collection[int]
    ) -> bool:
        """Lock runs of one part; return whether some of the spans exist in these shards of it."""
        values = (_array_of(shards), *of_ids(span_ids), *_among(run_ids))
        rows = self._fetch(_LOCK_WITH_SPANS, values)
        self._note_runs(columns for _, *columns in rows)
        return any(some_exist for some_exist, *_ in rows)

    def _runs_of_spans(self, span_ids: Collection[str], shards: Collection[int] | None) -> set[str]:
        """Return the ids of the runs of spans, which are looked up in these shards, or in all."""
        if self._has_spans:
            # Some of the spans may belong to runs that are not written yet.
            self._write_runs()
        condition, values = _in_shards("s", shards)
        places = self._fetch(f"{_RUNS_OF_SPANS}{condition}", (*of_ids(span_ids), *values))
        if not places:
            return set()
        shards_and_refs = [_array_of({place[column] for place in places}) for column in (0, 1)]
        return {to_text(run_id) for (run_id,) in self._fetch(_IDS_OF_RUNS, shards_and_refs)}

    @override
    def add_run(self, row: RunRow) -> RunRow:
        row = super().add_run(row)
        self._added[row.id] = row.ref
        return row

    @override
    def _read_runs(self, run_ids: Collection[str]) -> None:
        if not self._writing:
            self._note_runs(self._fetch(_READ, _among(run_ids)))
            return
        parts = by_shard((self._parts[shard_of(to_bytes(each))], each) for each in run_ids)
        for ids in parts.values():
            self._note_runs(self._fetch(_LOCK, _among(ids)))

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
    def spans(
        self,
        account_id: str | None,
        span_ids: Collection[str],
        shards: Collection[int] | None = None,
    ) -> dict[str, SpanRow]:
        if not span_ids:
            return {}
        ids, first, last = of_ids(span_ids)
        within = {name: _in_shards(name, shards) for name in "brs"}
        sql = _SPANS.format(**{name: condition for name, (condition, _) in within.items()})
        named = within["b"][1]
        values = (first, last, *named, ids, first, last, *named, *named)
        if account_id is not None:
            sql, values = f"{sql} AND {statements.RUN_FILTERS['account_id']}", (*values, account_id)
        return {row.id: row for row in self._spans(sql, values)}

    @override
    def _change_spans(self, changes: Sequence[JsonRow], span_ids: Collection[str]) -> None:
        results = [
            {**row, "payload": statements.EMPTY} for row in changes if row["result"] is not None
        ]
        self._insert(_RESULTS, results)
        shards = _array_of({row["shard"] for row in changes})
        self.run(_CHANGE_SPANS, (json_of(changes), *of_ids(span_ids), shards))

    # Writing

    @override
    def _write(self, parts: Mapping[str, Sequence[JsonRow]]) -> None:
        for name, rows in parts.items():
            if not rows:
                continue
            if name in _COPIED:
                self._copy(INSERTS[name], rows)
            elif name == "runs":
                self._change_runs(rows)
            elif name == "run_changes":
                self._note_changes(rows)
            elif name in _INSERTED:
                self._insert(INSERTS[name], rows)
        super()._write({name: parts[name] for name in _OF_COORDINATOR if name in parts})

    def _copy(self, insert: Insert, rows: Sequence[JsonRow]) -> None:
        sql = f"COPY {insert.table} ({', '.join(insert.columns)}) FROM STDIN"
        try:
            with self._cursor.copy(sql.encode()) as copy:
                for row in rows:
                    copy.write_row([_copied(name, row[name]) for name in insert.columns])
        except errors.UniqueViolation as error:
            raise ConflictError("another transaction added the same run") from error

    def _change_runs(self, rows: Sequence[JsonRow]) -> None:
        shards, refs = (_array_of({row[name] for row in rows}) for name in ("shard", "ref"))
        self._cursor.execute(translated(_CHANGE_RUNS), (json_of(rows), shards, refs))

    def _note_changes(self, rows: Sequence[JsonRow]) -> None:
        seq = self._one_number(_CHANGE, ())
        numbered: list[JsonRow] = [{**row, "seq": seq} for row in rows]
        added = frozenset(self._added.values())
        new = [row for row in numbered if row["run_ref"] in added]
        old = [row for row in numbered if row["run_ref"] not in added]
        if new or not self._has_spans:
            # Even without rows: after a COPY, Citus prepares the transaction on the workers before
            # it commits the tables of the coordinator. Otherwise one worker would commit first.
            self._copy(_CHANGES, new)
        if old:
            shards, refs = (_array_of({row[name] for row in old}) for name in ("shard", "run_ref"))
            if self.run(_CHANGE_CHANGES, (seq, shards, refs)) < len(old):
                self._insert(_CHANGES, old)

    def _insert(self, insert: Insert, rows: Sequence[JsonRow]) -> None:
        for start in range(0, len(rows), MOST_ROWS):
            some = rows[start : start + MOST_ROWS]
            values = [_stored(row[name]) for row in some for name in insert.columns]
            self._cursor.execute(translated(insert.of_values(len(some))), values)


def _among(run_ids: Collection[str]) -> tuple[Value, Value]:
    """Return the values of `_READ` and `_LOCK`."""
    return _array_of(_shards_of(run_ids)), array_of_ids(map(to_bytes, run_ids))


def _in_shards(alias: str, shards: Collection[int] | None) -> tuple[str, tuple[Value, ...]]:
    if shards is None:
        return "", ()
    return f" AND {_IN_SHARDS.format(alias)}", (_array_of(shards),)


def _shards_of(run_ids: Iterable[str]) -> set[int]:
    return {shard_of(to_bytes(run_id)) for run_id in run_ids}


def _array_of(numbers: Iterable[Value]) -> str:
    return f"{{{','.join(sorted(map(str, numbers)))}}}"


def _copied(name: str, value: Value) -> Value:
    """Return a value as COPY reads it: ids are in hexadecimal."""
    return "\\x" + cast("str", value) if name in IDS else _stored(value)


def _stored(value: Value) -> Value:
    return without_nul(value) if isinstance(value, str) else value
