"""A transaction of PostgreSQL: many rows in one parameter, and locks on the rows that it reads.

Each statement of a writing transaction sees the rows that others have committed by then. Rows that
it has read are locked. If another transaction inserts a row that did not exist, its own insert
meets the unique key, which is a conflict, and the transaction is repeated.

Runs are read once, when they are locked, and written once, before the transaction commits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from psycopg import errors
from typing_extensions import override

from remit.collector.store import postgres_sql as sqls
from remit.collector.store.base import ConflictError
from remit.collector.store.counts import REDACTED_KEY, RUN_COUNTS, RUN_KEY, SPAN_COUNTS, SPAN_KEY
from remit.collector.store.execution import References, values_of
from remit.collector.store.ids import shard_of, to_bytes
from remit.collector.store.postgres_copy import COPY_PAYLOADS, COPY_SPANS, copied, without_nul
from remit.collector.store.postgres_counts import forget_increments
from remit.collector.store.postgres_pool import Results, RunReferences
from remit.collector.store.postgres_sql import JsonRow, translated
from remit.collector.store.rows import (
    FINDINGS,
    HOLE,
    STATUSES,
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    FindingRow,
    HoldRow,
    KeyRow,
    Row,
    RunRow,
    SessionRow,
    SpanRow,
    TokenRow,
)
from remit.collector.store.small_rows import ChangeableRow
from remit.collector.store.statements import Value
from remit.collector.store.transaction import US_PER_DAY, Transaction

T = TypeVar("T")
# Rows that a run refers to are locked only against deletion, so that runs can be registered
# concurrently.
_LOCKS: Final[dict[type[Row], str]] = {
    AgentRow: " FOR KEY SHARE",
    EnvironmentRow: " FOR KEY SHARE",
    DeploymentRow: " FOR KEY SHARE",
    RunRow: " FOR NO KEY UPDATE OF r",
    TokenRow: " FOR NO KEY UPDATE",
    SessionRow: " FOR UPDATE",
    HoldRow: " FOR NO KEY UPDATE",
}
_NUL: Final = "\x00"
_QUOTED: Final = re.compile(r'["\\]')
_STATUS: Final = {status: number for number, status in enumerate(STATUSES)}


class PostgresTransaction(Transaction):
    """A transaction of the PostgreSQL store.

    A writing transaction has the agents as it read them: they are locked against deletion
    only, so `change` compares them with the database first.
    """

    dialect = "postgres"
    with_run = sqls.JOIN_RUN
    span_key = ("run_ref", "id", "shard")
    with_payloads = sqls.JOIN_PAYLOADS

    def __init__(
        self,
        cursor: Results,
        known: References | None = None,
        *,
        run_references: RunReferences | None = None,
    ) -> None:
        """Work by *cursor*, on whose connection a transaction was begun."""
        super().__init__(known or References())
        self._cursor = cursor
        self._writing = run_references is not None
        self._run_references = run_references or RunReferences()
        self._agents: dict[str, AgentRow] = {}
        self._has_spans = False

    # Rows of agents

    @override
    def accounts(self) -> list[AccountRow]:
        # Accounts are created by the process that finds none: one at a time.
        if self._writing:
            self.run(sqls.LOCK_ACCOUNTS)
        return super().accounts()

    @override
    def agent(self, account_id: str | None, agent_id: str) -> AgentRow | None:
        return self._noted(super().agent(account_id, agent_id))

    @override
    def agent_of_identifier(self, account_id: str, external_identifier: str) -> AgentRow | None:
        return self._noted(super().agent_of_identifier(account_id, external_identifier))

    @override
    def add(self, row: Row) -> None:
        self._add(sqls.INSERT[type(row)], values_of(row), 1)

    @override
    def change(self, row: ChangeableRow) -> None:
        if isinstance(row, AgentRow):
            self._check_unchanged(row.id)
            self._agents[row.id] = row
        super().change(row)

    @override
    def remove_agent(self, agent_id: str) -> None:
        # To register a run locks its agent: after this lock no run can be added.
        self.run(sqls.CLOSE_AGENT, (agent_id,))
        if list(self.rows(sqls.HAS_RUNS, (agent_id,))):
            raise ConflictError("another transaction registered an instance of the agent")
        super().remove_agent(agent_id)

    def _noted(self, row: AgentRow | None) -> AgentRow | None:
        if row is not None and self._writing:
            self._agents[row.id] = row
        return row

    def _check_unchanged(self, agent_id: str) -> None:
        """Check that an agent is still as it was read, and lock it."""
        if self._all(AgentRow, sqls.READ_AGENT, (agent_id,)) != [self._agents.get(agent_id)]:
            raise ConflictError("another transaction changed the agent")

    # Runs

    @override
    def has_key(self, external_identifier: str) -> bool:
        is_new = any(row.external_identifier == external_identifier for row in self._new_runs())
        return is_new or super().has_key(external_identifier)

    @override
    def run_of_identifier(
        self, agent_id: str, environment_id: str, external_identifier: str
    ) -> str | None:
        wanted = agent_id, environment_id, external_identifier
        for row in self._new_runs():
            if (row.agent_id, row.environment_id, row.external_identifier) == wanted:
                return row.id
        return super().run_of_identifier(*wanted)

    @override
    def hold(
        self,
        run_ids: Collection[str],
        span_ids: Collection[str],
        *,
        created: Collection[str] = (),
    ) -> Collection[int] | None:
        if not span_ids:
            self.runs(None, run_ids)
            return ()
        unlocked = self._unread(run_ids)
        values = (*of_ids(span_ids), array_of_ids(map(to_bytes, unlocked)))
        if self._has_spans:
            # Some of the spans may belong to runs that are not written yet.
            self._write_runs()
        rows = self._fetch(sqls.HOLD_WITH_SPANS, values)
        self._note_runs(columns for _, *columns in rows)
        return None if any(some_exist for some_exist, *_ in rows) else ()

    @override
    def add_run(self, row: RunRow) -> RunRow:
        row = super().add_run(row)
        self._pending.new_runs[row.id] = None
        return row

    @override
    def _insert_run(self, values: Mapping[str, Value]) -> int:
        return self._run_references.next(self._cursor)

    @override
    def _insert_key_of_run(self, values: Sequence[Value]) -> None:
        """Do nothing: it is written with the run."""

    def _new_runs(self) -> list[RunRow]:
        return list(self.runs(None, self._pending.new_runs).values())

    @override
    def erase(self, run: RunRow, erased_at: int) -> int:
        # Deleted rows must not be written afterwards.
        self._write(self._parts_of_spans())
        return super().erase(run, erased_at)

    @override
    def _erase_payloads(self, run: RunRow) -> int:
        return self.run(sqls.ERASE_PAYLOADS, (run.ref, shard_of(to_bytes(run.id))))

    # Spans

    @override
    def spans(
        self,
        account_id: str | None,
        span_ids: Collection[str],
        shards: Collection[int] | None = None,
    ) -> dict[str, SpanRow]:
        ids, first, last = of_ids(span_ids)
        values: tuple[Value, ...] = (ids, first, last, first, last)
        sql = sqls.SPANS_OF_IDS
        if account_id is not None:
            sql, values = sqls.SPANS_OF_ACCOUNT, (*values, account_id)
        return {row.id: row for row in self._spans(sql, values)}

    @override
    def _read_keys(self, account_id: str, operation: str, keys: Collection[str]) -> list[KeyRow]:
        return self._all(KeyRow, sqls.KEYS_OF_TEXTS, (_array(keys), account_id, operation))

    @override
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        self._has_spans = True
        spans, payloads = copied(rows)
        try:
            for statement, data in ((COPY_SPANS, spans), (COPY_PAYLOADS, payloads)):
                with self._cursor.copy(statement) as copy:
                    copy.write(data)
        except errors.UniqueViolation as error:
            raise ConflictError("another transaction added the same row") from error

    @override
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        changes: list[JsonRow] = []
        for row in rows:
            change: dict[str, Value] = {name: getattr(row, name) for name in sqls.CHANGED_SPAN}
            change |= {
                "run_ref": row.run_ref,
                "shard": shard_of(to_bytes(row.agent_instance_id)),
                "id": to_bytes(row.id).hex(),
                "status": _STATUS[row.status],
                "result": row.result_payload,
            }
            changes.append(change)
        self._change_spans(changes, [row.id for row in rows])

    def _change_spans(self, changes: Sequence[JsonRow], span_ids: Collection[str]) -> None:
        self.run(sqls.CHANGE, (json_of(changes), *of_ids(span_ids)))

    @override
    def add_findings(self, rows: Sequence[FindingRow]) -> None:
        self._pending.findings += rows

    @override
    def recorded(self, run: RunRow) -> int | None:
        pending = (row.number for row in self._pending.findings if _is_hole(row, run))
        number = next(pending, None)
        return super().recorded(run) if number is None else number

    @override
    def close_hole(self, run: RunRow) -> None:
        others = [row for row in self._pending.findings if not _is_hole(row, run)]
        self._pending.findings = others
        super().close_hole(run)

    @override
    def add_labels(self, run: RunRow, labels: Iterable[tuple[str, str]]) -> None:
        place = _of_run(run)
        self._pending.labels += [{**place, "key": key, "value": value} for key, value in labels]

    @override
    def add_subject(self, run: RunRow, subject_hash: str) -> None:
        self._pending.subjects.append({**_of_run(run), "subject_hash": subject_hash})

    # Retention

    @override
    def forget_spans(self, first_id: str, most: int) -> int:
        return self._forget("spans_other", first_id, most, ("span_payloads", "spans_other"))

    @override
    def forget_payloads(self, first_id: str, most: int) -> tuple[int, bool]:
        table = "span_payloads_other"
        count = self._forget(table, first_id, most, (table,))
        return count, count == most

    def _forget(self, table: str, first_id: str, most: int, tables: Iterable[str]) -> int:
        """Delete the rows of up to *most* old spans in *table* from *tables*; return how many."""
        sql = f"SELECT shard, id FROM {table} WHERE id < ? LIMIT ?"
        old: list[tuple[int, bytes]] = self._fetch(sql, (to_bytes(first_id), most))
        shards = [(shard, array_of_ids(ids)) for shard, ids in by_shard(old).items()]
        for each in tables:
            sql = f"DELETE FROM {each} WHERE shard = ? AND id = ANY(?::bytea[])"
            self.run_many(sql, shards)
        return len(old)

    @override
    def forget_findings(self, before_us: int, most: int) -> int:
        day_us = before_us // US_PER_DAY * US_PER_DAY
        count = 0
        for kind in FINDINGS:
            old: list[tuple[int, int]] = self._fetch(sqls.OLD_FINDINGS, (kind, day_us, most))
            for shard, refs in by_shard(old).items():
                numbers = f"{{{','.join(map(str, refs))}}}"
                count += self.run(sqls.FORGET_FINDINGS, (shard, kind, day_us, numbers))
        return count

    @override
    def forget_counts(self, before_us: int) -> None:
        forget_increments(self._cursor, before_us)
        super().forget_counts(before_us)

    @override
    def counted(self, table: str) -> str:
        return f"all_{table}"

    # Writing

    @override
    def flush(self) -> None:
        self._withdraw_asks()
        counts = self.counts
        parts: dict[str, Sequence[JsonRow]] = {
            **self._parts_of_runs(),
            "run_changes": [
                {"run_ref": ref, "shard": shard_of(to_bytes(run_id))}
                for ref, run_id in sorted(counts.changed.items())
            ],
            "span_increments": _counted((*SPAN_KEY, *SPAN_COUNTS), counts.spans),
            "run_increments": _counted((*RUN_KEY, *RUN_COUNTS), counts.runs),
            "redacted_increments": _counted(
                (*REDACTED_KEY, "times"), {key: (times,) for key, times in counts.redacted.items()}
            ),
            **self._parts_of_spans(),
        }
        self._write(parts)
        if new_keys := self._pending.new_keys:
            # In order, so that two transactions with the same keys cannot deadlock.
            new_keys.sort(key=lambda row: (row.operation, row.key))
            self._add(sqls.INSERT_KEYS, (msgspec.json.encode(new_keys).decode(),), len(new_keys))

    def _parts_of_runs(self) -> dict[str, Sequence[JsonRow]]:
        pending = self._pending
        new = [_values(row, sqls.NEW_RUN) for row in self._new_runs()]
        rows = self.runs(None, pending.changed).values()
        changed = [_values(row, ("ref", *sqls.CHANGED_RUN)) for row in rows]
        pending.new_runs, pending.changed = {}, {}
        keys = [
            {
                "external_identifier": row["external_identifier"],
                "agent_ref": row["agent_ref"],
                "environment_ref": row["environment_ref"],
                "run_id": row["id"],
            }
            for row in new
            if row["external_identifier"] is not None
        ]
        return {"new_runs": new, "run_keys": keys, "runs": changed}

    def _parts_of_spans(self) -> dict[str, Sequence[JsonRow]]:
        pending, changed = self._pending, self.counts.changed
        findings: list[JsonRow] = []
        for row in pending.findings:
            finding: dict[str, Value] = msgspec.structs.asdict(row)
            finding["shard"] = shard_of(to_bytes(changed[row.run_ref]))
            finding["span_id"] = to_bytes(row.span_id).hex()
            findings.append(finding)
        labels, subjects = pending.labels, pending.subjects
        pending.findings, pending.labels, pending.subjects = [], [], []
        return {"span_findings": findings, "run_labels": labels, "run_subjects": subjects}

    @override
    def _write_runs(self) -> None:
        self._write(self._parts_of_runs())

    def _write(self, parts: Mapping[str, Sequence[JsonRow]]) -> None:
        used = {name: rows for name, rows in parts.items() if rows}
        if not used:
            return
        sql = sqls.writing(tuple(used))
        ((*added,),) = self._fetch(sql, [json_of(rows) for rows in used.values()])
        wanted = [len(rows) for name, rows in used.items() if name in sqls.COUNTED]
        if wanted and added != wanted:
            raise ConflictError("another transaction added the same run")

    # Statements

    def _add(self, sql: str, values: Sequence[Value], count: int) -> None:
        if self.run(sql, values) != count:
            raise ConflictError("another transaction added the same row")

    @override
    def _lock_clause(self, kind: type[Row]) -> str:
        return _LOCKS.get(kind, "") if self._writing else ""

    @override
    def _removal_lock(self) -> str:
        # Two transactions that both hold FOR KEY SHARE and then delete the row deadlock.
        return " FOR UPDATE"

    @override
    def _fetch(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        findable = [_findable(value) for value in values]
        return self._cursor.execute(translated(sql), findable or None).fetchall()

    @override
    def _run(self, sql: str, values: Sequence[Value]) -> int:
        return self._cursor.execute(translated(sql), values or None).rowcount

    @override
    def _run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._cursor.executemany(translated(sql), rows)

    @override
    def end_of_changes(self) -> int:
        # Rows of a transaction that is still open become visible later.
        return self._one_number(sqls.OLDEST_OPEN, ())

    @override
    def in_shard(self, prefix: str, run_id: bytes) -> tuple[str, tuple[Value, ...]]:
        return f"{prefix}shard = ? AND ", (shard_of(run_id),)

    @override
    def among(self, column: str, texts: Collection[str]) -> tuple[str, tuple[Value, ...]]:
        return f"{column} = ANY(?::text[])", (_array(texts),)

    @override
    def among_ids(self, column: str, ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        return f"{column} = ANY(?::bytea[])", (array_of_ids(ids),)


def _is_hole(row: FindingRow, run: RunRow) -> bool:
    return row.kind == HOLE and row.run_ref == run.ref


def _findable(value: Value) -> Value:
    """Return *value*, or None for a string with a NUL, which is in no row."""
    return None if isinstance(value, str) and _NUL in value else value


def by_shard(rows: Iterable[tuple[int, T]]) -> dict[int, list[T]]:
    """Return the second values of *rows* by the first, the shard, in the order of the shards."""
    shards: dict[int, list[T]] = {}
    for shard, value in rows:
        shards.setdefault(shard, []).append(value)
    return dict(sorted(shards.items()))


def of_ids(span_ids: Collection[str]) -> tuple[Value, Value, Value]:
    """Return the values of `sqls.OF_IDS`: the ids, the first of them and the last."""
    ids = [to_bytes(span_id) for span_id in span_ids]
    return array_of_ids(ids), min(ids, default=None), max(ids, default=None)


def array_of_ids(ids: Iterable[bytes]) -> str:
    """Return *ids* as an array of PostgreSQL, faster than psycopg."""
    return "{" + ",".join(['"\\\\x' + each.hex() + '"' for each in ids]) + "}"


def _array(texts: Collection[str]) -> str:
    """Return *texts* as an array of PostgreSQL, 20 times as fast as psycopg."""
    joined = '","'.join(texts)
    if _NUL in joined or "\\" in joined or joined.count('"') != 2 * max(0, len(texts) - 1):
        quoted = [_QUOTED.sub(r"\\\g<0>", text) for text in texts if _NUL not in text]
        return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
    return f'{{"{joined}"}}' if texts else "{}"


def _of_run(run: RunRow) -> dict[str, Value]:
    run_id = to_bytes(run.id)
    return {"shard": shard_of(run_id), "run_id": run_id.hex(), "run_ref": run.ref}


def _values(row: RunRow, fields: Sequence[str]) -> JsonRow:
    """Return columns of a run, with its shard; its id, if it is one of them, in hexadecimal."""
    run_id = to_bytes(row.id)
    values: dict[str, Value] = {name: getattr(row, name) for name in fields}
    if "id" in values:
        values["id"] = run_id.hex()
    values["shard"] = shard_of(run_id)
    return values


def _counted(
    columns: Sequence[str], counts: Mapping[tuple[Any, ...], Sequence[int]]
) -> list[JsonRow]:
    return [dict(zip(columns, (*key, *values), strict=True)) for key, values in counts.items()]


def json_of(rows: Sequence[JsonRow]) -> str:
    """Return rows as a JSON parameter."""
    text = msgspec.json.encode(rows).decode()
    if "\\u0000" not in text:
        return text
    clean = [
        {key: without_nul(value) if isinstance(value, str) else value for key, value in row.items()}
        for row in rows
    ]
    return msgspec.json.encode(clean).decode()
