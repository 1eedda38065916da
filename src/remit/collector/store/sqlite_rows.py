"""A transaction of SQLite: a writing one has the file to itself."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit.collector.store import counts, statements
from remit.collector.store.execution import References, values_of
from remit.collector.store.ids import to_bytes
from remit.collector.store.rows import STATUSES, FindingRow, KeyRow, Row, RunRow, SpanRow
from remit.collector.store.statements import Value
from remit.collector.store.transaction import Transaction

_SPAN_TABLE_COLUMNS: Final = (
    "ref",
    "run_ref",
    "id",
    "parent_id",
    "type_ref",
    "status",
    "created_status",
    "flags",
    "started_at",
    "finished_at",
    "inserted_at",
    "updated_at",
    "summary",
)
_INSERT_SPAN: Final = (
    f"INSERT INTO spans ({', '.join(_SPAN_TABLE_COLUMNS)}) "
    f"VALUES ({', '.join('?' for _ in _SPAN_TABLE_COLUMNS)})"
)
_INSERT_PAYLOAD: Final = "INSERT INTO span_payloads (span_ref, payload, result) VALUES (?, ?, ?)"
_UPDATE_SPAN: Final = (
    "UPDATE spans SET status = ?, flags = ?, started_at = ?, finished_at = ?, updated_at = ?, "
    "summary = ? WHERE ref = ?"
)
_UPDATE_RESULT: Final = "UPDATE span_payloads SET result = ? WHERE span_ref = ?"
_LAST_SPAN: Final = "SELECT COALESCE(MAX(ref), 0) FROM spans"
_STATUS: Final = {status: number for number, status in enumerate(STATUSES)}
_LAST: Final = 2**63 - 1
# One statement for any number of keys, compiled once; CROSS JOIN sets the order of the join.
_KEYS_OF_TEXTS: Final = (
    f"SELECT {statements.columns(KeyRow, 'k.')} FROM json_each(?) AS j "
    "CROSS JOIN idempotency_keys AS k ON k.account_id = ? AND k.operation = ? AND k.key = j.value"
)
_INSERT_RUN: Final = (
    f"INSERT INTO runs ({', '.join(statements.INSERTED)}) "
    f"VALUES ({', '.join('?' for _ in statements.INSERTED)})"
)
_INSERT_KEY_OF_RUN: Final = (
    "INSERT INTO run_keys (external_identifier, agent_ref, environment_ref, run_id) "
    "VALUES (?, ?, ?, ?)"
)
_INSERT_FINDING: Final = (
    f"INSERT INTO span_findings ({statements.columns(FindingRow)}) "
    f"VALUES ({', '.join('?' for _ in FindingRow.__struct_fields__)}) ON CONFLICT DO NOTHING"
)
_INSERT_LABEL: Final = (
    "INSERT INTO run_labels (key, value, run_id, run_ref) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_INSERT_SUBJECT: Final = (
    "INSERT INTO run_subjects (subject_hash, run_id, run_ref) VALUES (?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_NEXT_SEQ: Final = "SELECT MAX(?, COALESCE(MAX(seq), 0) + 1) FROM run_changes"
_NOTE_CHANGE: Final = (
    "INSERT INTO run_changes (run_ref, seq) VALUES (?, ?) "
    "ON CONFLICT (run_ref) DO UPDATE SET seq = excluded.seq"
)


def _adding(table: str, key: Sequence[str], counts: Sequence[str]) -> str:
    """Return the statement that adds to counts; the largest duration stays the largest."""
    changes = ", ".join(
        f"{name} = MAX({name}, excluded.{name})"
        if name.endswith("_max_us")
        else f"{name} = {name} + excluded.{name}"
        for name in counts
    )
    columns = (*key, *counts)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)}) "
        f"ON CONFLICT DO UPDATE SET {changes}"
    )


_ADD_TO_HOURS: Final = _adding("span_hours", counts.SPAN_KEY, counts.SPAN_COUNTS)
_ADD_TO_DAYS: Final = _adding("span_days", counts.SPAN_KEY, counts.SPAN_COUNTS)
_ADD_TO_RUNS: Final = _adding("run_hours", counts.RUN_KEY, counts.RUN_COUNTS)
_ADD_TO_REDACTED: Final = _adding("redacted_days", counts.REDACTED_KEY, ("times",))

_OLD_SPANS: Final = "SELECT ref FROM spans WHERE id < ? ORDER BY id LIMIT ?"
_MARK_OF_RETENTION: Final = "SELECT before_id, span_ref FROM payload_retention"
_MARK_RETENTION: Final = "INSERT INTO payload_retention (before_id, span_ref) VALUES (?, ?)"
_ID_AFTER: Final = "SELECT id FROM spans WHERE id >= ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?"
_FORGET_PAYLOADS: Final = (
    "DELETE FROM span_payloads WHERE span_ref IN (SELECT ref FROM spans WHERE id >= ? AND id < ?)"
)
_FORGET_LATE_PAYLOADS: Final = (
    "DELETE FROM span_payloads WHERE span_ref IN "
    "(SELECT ref FROM spans WHERE ref > ? AND ref <= ? AND +id < ?)"
)


class SqliteTransaction(Transaction):
    """A transaction of the SQLite store; a writing one has the file to itself."""

    dialect = "sqlite"
    with_run = "JOIN runs AS r ON r.ref = s.run_ref"
    span_key = ("ref",)
    with_payloads = "LEFT JOIN span_payloads AS b ON b.span_ref = s.ref"

    def __init__(
        self,
        connection: sqlite3.Connection,
        known: References | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Use *connection*, on which a transaction was begun."""
        super().__init__(known or References())
        self._connection = connection
        self._clock = clock or SystemClock()

    @override
    def _read_keys(self, account_id: str, operation: str, keys: Collection[str]) -> list[KeyRow]:
        return self._all(KeyRow, _KEYS_OF_TEXTS, (_texts(keys), account_id, operation))

    @override
    def hold(
        self,
        run_ids: Collection[str],
        span_ids: Collection[str],
        *,
        created: Collection[str] = (),
    ) -> None:
        """Do nothing: a writing transaction has the file to itself."""

    @override
    def add(self, row: Row) -> None:
        self.run(statements.INSERT[type(row)], values_of(row))

    @override
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        ((last,),) = self.rows(_LAST_SPAN)
        spans: list[tuple[Value, ...]] = []
        payloads: list[tuple[Value, ...]] = []
        for ref, row in enumerate(rows, last + 1):
            parent_id = row.parent_span_id
            spans.append(
                (
                    ref,
                    row.run_ref,
                    to_bytes(row.id),
                    None if parent_id is None else to_bytes(parent_id),
                    row.type_ref,
                    _STATUS[row.status],
                    _STATUS[row.created_status],
                    row.flags,
                    row.started_at,
                    row.finished_at,
                    row.inserted_at,
                    row.updated_at,
                    row.summary,
                )
            )
            payloads.append((ref, row.payload, row.result_payload))
        self.run_many(_INSERT_SPAN, spans)
        self.run_many(_INSERT_PAYLOAD, payloads)

    @override
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        self.run_many(
            _UPDATE_SPAN,
            [
                (
                    _STATUS[row.status],
                    row.flags,
                    row.started_at,
                    row.finished_at,
                    row.updated_at,
                    row.summary,
                    row.ref,
                )
                for row in rows
            ],
        )
        results = [(row.result_payload, row.ref) for row in rows if row.result_payload is not None]
        self.run_many(_UPDATE_RESULT, results)

    @override
    def add_findings(self, rows: Sequence[FindingRow]) -> None:
        names = FindingRow.__struct_fields__
        values = [
            [to_bytes(row.span_id) if name == "span_id" else getattr(row, name) for name in names]
            for row in rows
        ]
        self.run_many(_INSERT_FINDING, values)

    @override
    def add_labels(self, run: RunRow, labels: Iterable[tuple[str, str]]) -> None:
        run_id = to_bytes(run.id)
        self.run_many(_INSERT_LABEL, [(key, value, run_id, run.ref) for key, value in labels])

    @override
    def add_subject(self, run: RunRow, subject_hash: str) -> None:
        self.run(_INSERT_SUBJECT, (subject_hash, to_bytes(run.id), run.ref))

    @override
    def _insert_run(self, values: Mapping[str, Value]) -> int:
        cursor = self._connection.execute(_INSERT_RUN, tuple(values.values()))
        assert cursor.lastrowid is not None  # noqa: S101 - of the row just inserted
        return cursor.lastrowid

    @override
    def _insert_key_of_run(self, values: Sequence[Value]) -> None:
        self.run(_INSERT_KEY_OF_RUN, values)

    @override
    def _erase_payloads(self, run: RunRow) -> int:
        sql = (
            f"UPDATE span_payloads SET {statements.ERASE_PAYLOADS} WHERE span_ref IN "
            f"(SELECT ref FROM spans WHERE run_ref = ?) AND {statements.HAS_PAYLOAD}"
        )
        return self.run(sql, (run.ref,))

    @override
    def forget_spans(self, first_id: str, most: int) -> int:
        refs = json.dumps([ref for (ref,) in self.rows(_OLD_SPANS, (to_bytes(first_id), most))])
        for table, column in (("span_payloads", "span_ref"), ("spans", "ref")):
            sql = f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"
            count = self.run(sql, (refs,))
        return count

    @override
    def forget_payloads(self, first_id: str, most: int) -> tuple[int, bool]:
        # The mark says: of the spans up to a reference, those before an id have no payloads.
        bound = to_bytes(first_id)
        ((last,),) = self.rows(_LAST_SPAN)
        before_id, span_ref = next(iter(self.rows(_MARK_OF_RETENTION)), (b"", last))
        before_id, span_ref = min(before_id, bound), min(span_ref, last)
        if before_id < bound:
            page = self.rows(_ID_AFTER, (before_id, bound, most - 1))
            # The text that follows the id.
            end = next((row_id + b"\x00" for (row_id,) in page), bound)
            count = self.run(_FORGET_PAYLOADS, (before_id, end))
            before_id = end
        else:
            # Spans that arrived later than their ids say.
            end_ref = min(span_ref + most, last)
            count = self.run(_FORGET_LATE_PAYLOADS, (span_ref, end_ref, before_id))
            span_ref = end_ref
        self.run("DELETE FROM payload_retention")
        self.run(_MARK_RETENTION, (before_id, span_ref))
        return count, before_id < bound or span_ref < last

    @override
    def _write_runs(self) -> None:
        changed, self._pending.changed = self._pending.changed, {}
        updates: dict[tuple[str, ...], list[tuple[Value, ...]]] = {}
        for run_id, before in changed.items():
            row = self._pending.runs[run_id]
            # An index of a column that stays as it is need not be written.
            fields = tuple(
                name for name in statements.OF_RUN if getattr(row, name) != getattr(before, name)
            )
            values = (*(getattr(row, name) for name in fields), before.ref)
            updates.setdefault(fields, []).append(values)
        for fields, rows in updates.items():
            if fields:
                changes = ", ".join(f"{name} = ?" for name in fields)
                self._run_many(f"UPDATE runs SET {changes} WHERE ref = ?", rows)

    @override
    def flush(self) -> None:
        self._withdraw_asks()
        self._write_runs()
        new_keys, self._pending.new_keys = self._pending.new_keys, []
        self.run_many(statements.INSERT[KeyRow], [values_of(row) for row in new_keys])
        changed, pending = self.counts.changed, self.counts
        if changed:
            now_us = self._clock.wall_ns() // NS_PER_US
            ((seq,),) = self.rows(_NEXT_SEQ, (now_us,))
            self.run_many(_NOTE_CHANGE, [(ref, seq) for ref in changed])
        for sql, counted in (
            (_ADD_TO_HOURS, pending.spans),
            (_ADD_TO_DAYS, pending.days()),
            (_ADD_TO_RUNS, pending.runs),
        ):
            self.run_many(sql, [(*key, *values) for key, values in counted.items()])
        redacted = [(*key, times) for key, times in pending.redacted.items()]
        self.run_many(_ADD_TO_REDACTED, redacted)

    @override
    def _fetch(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(sql, values)

    @override
    def _run(self, sql: str, values: Sequence[Value]) -> int:
        return self._connection.execute(sql, values).rowcount

    @override
    def _run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(sql, rows)

    @override
    def end_of_changes(self) -> int:
        # One transaction writes at a time.
        return _LAST

    @override
    def in_shard(self, prefix: str, run_id: bytes) -> tuple[str, tuple[Value, ...]]:
        return "", ()

    @override
    def among(self, column: str, texts: Collection[str]) -> tuple[str, tuple[Value, ...]]:
        return f"{column} IN (SELECT value FROM json_each(?))", (_texts(texts),)

    @override
    def among_ids(self, column: str, ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        # JSON holds no bytes. The number of values is rounded up, so that few statements differ.
        size = 1 << max(0, len(ids) - 1).bit_length()
        values: list[Value] = [*ids, *[None] * (size - len(ids))]
        return f"{column} IN ({', '.join('?' * size)})", tuple(values)


def _texts(values: Collection[str]) -> str:
    return json.dumps(list(values))
