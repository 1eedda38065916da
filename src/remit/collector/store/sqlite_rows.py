"""What SQLite is asked in words of its own, mostly so that a statement is compiled once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from remit.collector.store import statements
from remit.collector.store.filters import Listed, Page, SpanFilter
from remit.collector.store.rows import InstanceRow, KeyRow, Row, SpanRow
from remit.collector.store.statements import Value
from remit.collector.store.transaction import Transaction, mutable, values_of

_INSERT_SPAN: Final = f"{statements.INSERT[SpanRow]} ON CONFLICT DO NOTHING"
# One text for any number of ids; CROSS JOIN keeps SQLite from another order.
_SPANS_OF_IDS: Final = (
    f"SELECT {statements.columns(SpanRow, 's.')} FROM json_each(?) AS j "  # noqa: S608 - fixed names
    "CROSS JOIN agent_spans AS s ON s.id = j.value "
    "CROSS JOIN agent_instances AS i ON i.id = s.agent_instance_id "
    "WHERE ? IS NULL OR i.account_id = ?"
)
_KEYS_OF_TEXTS: Final = (
    f"SELECT {statements.columns(KeyRow, 'k.')} FROM json_each(?) AS j "  # noqa: S608 - as above
    "CROSS JOIN idempotency_keys AS k ON k.account_id = ? AND k.operation = ? AND k.key = j.value"
)

_OF_THE_TIMES: Final = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM agent_spans "
    "WHERE started_at >= ? AND started_at <= ? LIMIT ?)"
)
MOST_BY_START: Final = 20_000
"""So many spans of a time are read faster one by one than all of an agent's may be."""
_EVER: Final = 2**63 - 1

_ACCOUNTS: Final = "SELECT id FROM accounts LIMIT 2"

_FORGET_SPANS: Final = (
    "DELETE FROM agent_spans WHERE rowid IN "
    "(SELECT rowid FROM agent_spans WHERE id < ? ORDER BY id LIMIT ?)"
)


class SqliteTransaction(Transaction):
    """One transaction of the SQLite store: a writing one has the file to itself."""

    def __init__(
        self, connection: sqlite3.Connection, *, most_by_start: int = MOST_BY_START
    ) -> None:
        """Work on *connection*, on which a transaction was begun.

        Args:
            connection: The connection.
            most_by_start: Most spans of a time range that are found by the index on their start.
        """
        self._connection = connection
        self._most_by_start = most_by_start

    @override
    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        values = (_texts(span_ids), account_id, account_id)
        return {row.id: row for row in self._all(SpanRow, _SPANS_OF_IDS, values)}

    @override
    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        values = (_texts(keys), account_id, operation)
        return {row.key: row for row in self._all(KeyRow, _KEYS_OF_TEXTS, values)}

    @override
    def list_instances(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[InstanceRow]:
        # Those of the only account are all that exist, which SQLite counts without a condition.
        if not equal and account_id is not None and self._is_alone(account_id):
            account_id = None
        return super().list_instances(account_id, equal, page)

    def _is_alone(self, account_id: str) -> bool:
        return list(self._rows(_ACCOUNTS)) == [(account_id,)]

    @override
    def hold(self, instance_ids: Collection[str], span_ids: Collection[str]) -> bool:
        # A writing transaction has the file to itself; the spans may exist.
        del instance_ids, span_ids
        return True

    @override
    def add(self, row: Row) -> None:
        self._run(statements.INSERT[type(row)], values_of(row))

    @override
    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        self._connection.executemany(statements.INSERT[KeyRow], map(values_of, rows))

    @override
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        self._connection.executemany(_INSERT_SPAN, map(values_of, rows))

    @override
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        values = [(*mutable(row), row.agent_instance_id, row.id) for row in rows]
        self._connection.executemany(statements.UPDATE_SPAN, values)

    @override
    def _source(self, wanted: SpanFilter, *, joined: bool) -> str:
        # SQLite keeps no statistics that say whether a time range holds few spans.
        if not self._few_in_time(wanted):
            return super()._source(wanted, joined=joined)
        return statements.SPANS_BY_START_AND_THEIRS if joined else statements.SPANS_BY_START

    def _few_in_time(self, wanted: SpanFilter) -> bool:
        begins, ends = wanted.started_from_us, wanted.started_to_us
        if begins is ends is None or wanted.agent_instance_id is not None:
            return False
        if wanted.agent_id is None:
            return True
        since = -_EVER if begins is None else begins
        values = (since, _EVER if ends is None else ends, self._most_by_start)
        ((count,),) = self._rows(_OF_THE_TIMES, values)
        return int(count) < self._most_by_start

    @override
    def _page_of_spans(self, passing: str, wanted: SpanFilter, page: Page, columns: str) -> str:
        # Of many runs, order the row ids first, and then read the rows of the page.
        if wanted.agent_instance_id is not None:
            return super()._page_of_spans(passing, wanted, page, columns)
        ordered = page.order(SpanRow, "s.")
        return (
            f"SELECT {columns} FROM "  # noqa: S608 - fixed names
            f"(SELECT s.rowid AS place {passing} {ordered} LIMIT ? OFFSET ?) AS p "
            f"CROSS JOIN agent_spans AS s ON s.rowid = p.place {ordered}"
        )

    @override
    def forget_spans(self, first_id: str, most: int) -> int:
        return self._run(_FORGET_SPANS, (first_id, most))

    @override
    def _rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(sql, values)

    @override
    def _run(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(sql, values).rowcount

    @override
    def _run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(sql, rows)

    @override
    def _among(self, column: str, texts: Collection[str]) -> tuple[str, Value]:
        return f"{column} IN (SELECT value FROM json_each(?))", _texts(texts)  # noqa: S608 - as above


def _texts(values: Collection[str]) -> str:
    return json.dumps(list(values))
