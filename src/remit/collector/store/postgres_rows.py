"""What PostgreSQL is asked in words of its own: rows in one parameter, and locks on what was read.

A writing transaction sees at each statement what others have committed by then. What it read stays
because the rows are locked; what it did not find may be added by others meanwhile, and then its
own insert finds the place taken: a conflict, after which the same is done anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, TypeAlias, get_args

import msgspec
from psycopg import Cursor, errors

from remit.collector.store import statements
from remit.collector.store.postgres_copy import copied, copying
from remit.collector.store.protocol import ConflictError
from remit.collector.store.queries import Listed, Page, SpanFilter, SpanKind
from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    InstanceRow,
    KeyRow,
    Row,
    SpanRow,
    TokenRow,
)
from remit.collector.store.transaction import Transaction, Value, values_of

Results: TypeAlias = "Cursor[tuple[Any, ...]]"

# What a run refers to is only kept from being removed: runs of one agent are registered side by
# side.
_LOCKS: Final[dict[type[Row], str]] = {
    AgentRow: " FOR KEY SHARE",
    EnvironmentRow: " FOR KEY SHARE",
    DeploymentRow: " FOR KEY SHARE",
    InstanceRow: " FOR NO KEY UPDATE",
    TokenRow: " FOR NO KEY UPDATE",
}
_TYPES: Final = {str: "text", int: "bigint", bytes: "text"}
_NUL: Final = "\x00"
_QUOTED: Final = re.compile(r'["\\]')
_LOCK_ACCOUNTS: Final = "LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE"


@lru_cache(maxsize=512)
def _translated(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def _field_types(kind: type[Row]) -> dict[str, type]:
    """Return the type of each field, without its being optional."""
    fields = msgspec.structs.fields(kind)
    return {each.name: (get_args(each.type) or (each.type,))[0] for each in fields}


def _recordset(kind: type[Row], fields: Sequence[str]) -> str:
    """Return the rows of one JSON parameter as a table; bytes are base64 in it.

    By way of jsonb the insert takes a fifth longer.
    """
    of = _field_types(kind)
    described = ", ".join(f"{field} {_TYPES[of[field]]}" for field in fields)
    return f"json_to_recordset(?::json) AS r({described})"


def _insert_all(kind: type[Row]) -> str:
    read = {str: "r.{}", int: "r.{}", bytes: "decode(r.{}, 'base64')"}
    values = ", ".join(read[of].format(field) for field, of in _field_types(kind).items())
    return (
        f"INSERT INTO {statements.TABLES[kind]} ({statements.columns(kind)}) "  # noqa: S608 - names from the tables, never from a request
        f"SELECT {values} FROM {_recordset(kind, kind.__struct_fields__)} ON CONFLICT DO NOTHING"
    )


_INSERT: Final = {kind: f"{sql} ON CONFLICT DO NOTHING" for kind, sql in statements.INSERT.items()}
_INSERT_SPANS: Final = _insert_all(SpanRow)
# Copied they take 60 percent of that; what a copy cannot tell apart is inserted.
_COPY_SPANS: Final = copying(SpanRow)
_INSERT_KEYS: Final = _insert_all(KeyRow)
_CHANGED: Final = statements.MUTABLE[SpanRow]
# The first and the last id let PostgreSQL leave out the parts that hold none of them.
_OF_IDS: Final = "s.id = ANY(?::text[]) AND s.id BETWEEN ? AND ?"
_UPDATE_SPANS: Final = (
    f"UPDATE agent_spans AS s SET {', '.join(f'{field} = r.{field}' for field in _CHANGED)} "  # noqa: S608 - as above
    f"FROM {_recordset(SpanRow, ('agent_instance_id', 'id', *_CHANGED))} "
    f"WHERE s.agent_instance_id = r.agent_instance_id AND s.id = r.id AND {_OF_IDS}"
)
# The spans first, whatever the planner knows of the instances, which may be nothing yet.
_SPANS_OF_IDS: Final = (
    f"WITH s AS MATERIALIZED (SELECT * FROM agent_spans AS s WHERE {_OF_IDS}) "  # noqa: S608 - as above
    f"SELECT {statements.columns(SpanRow, 's.')} FROM s"
)
_SPANS_OF_ACCOUNT: Final = (
    f"{_SPANS_OF_IDS} JOIN agent_instances AS i ON i.id = s.agent_instance_id "
    "WHERE i.account_id = ?"
)
# One look-up for each key: with `key = ANY(...)` a plan that was made while there were few keys
# reads all of the account's, 20 ms for a hundred among 30,000. OFFSET keeps the two apart.
_KEYS_OF_TEXTS: Final = (
    f"SELECT {statements.columns(KeyRow, 'k.')} FROM unnest(?::text[]) AS wanted (key) "  # noqa: S608 - as above
    f"CROSS JOIN LATERAL ({statements.SELECT[KeyRow]} WHERE account_id = ? AND operation = ? "
    "AND idempotency_keys.key = wanted.key OFFSET 0) AS k"
)
_HOLD: Final = (
    f"{statements.SELECT[InstanceRow]} WHERE id = ANY(?::text[]) ORDER BY id FOR NO KEY UPDATE"
)
# With each instance, whether there are some of the spans.
_HOLD_WITH_SPANS: Final = (
    f"WITH s AS MATERIALIZED (SELECT s.agent_instance_id FROM agent_spans AS s WHERE {_OF_IDS}) "  # noqa: S608 - as above
    f"SELECT EXISTS (SELECT FROM s), {statements.columns(InstanceRow)} FROM agent_instances "
    "WHERE id = ANY(ARRAY(SELECT agent_instance_id FROM s) || ?::text[]) "
    "ORDER BY id FOR NO KEY UPDATE"
)
_READ_AGENT: Final = f"{statements.SELECT[AgentRow]} WHERE id = ? FOR NO KEY UPDATE"
_CLOSE_AGENT: Final = "SELECT 1 FROM agents WHERE id = ? FOR UPDATE"
_HAS_INSTANCES: Final = "SELECT 1 FROM agent_instances WHERE agent_id = ? LIMIT 1"

_FORGET_SPANS: Final = (
    "DELETE FROM agent_spans_other WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM agent_spans_other WHERE id < ? LIMIT ?))"
)


class PostgresTransaction(Transaction):
    """One transaction of the PostgreSQL store."""

    def __init__(self, cursor: Results, *, writing: bool) -> None:
        """Work by *cursor*, on whose connection a transaction was begun."""
        self._cursor = cursor
        self._writing = writing
        self._agents: dict[str, AgentRow] = {}
        self._held: dict[str, InstanceRow] = {}
        self._prepare: bool | None = None

    def accounts(self) -> list[AccountRow]:
        """Return all accounts, oldest first; who writes is the only one to do so."""
        if self._writing:
            self._run(_LOCK_ACCOUNTS)
        return super().accounts()

    def agent(self, account_id: str | None, agent_id: str) -> AgentRow | None:
        """Return the agent of this id."""
        return self._noted(super().agent(account_id, agent_id))

    def agent_of_identifier(self, account_id: str, external_identifier: str) -> AgentRow | None:
        """Return the agent of this external identifier."""
        return self._noted(super().agent_of_identifier(account_id, external_identifier))

    def instances(
        self, account_id: str | None, instance_ids: Collection[str]
    ) -> dict[str, InstanceRow]:
        """Return those of the instances that exist, by id; what is held was read already."""
        if not self._held.keys() >= set(instance_ids):
            return super().instances(account_id, instance_ids)
        found = {instance_id: self._held[instance_id] for instance_id in instance_ids}
        return {
            instance_id: row
            for instance_id, row in found.items()
            if account_id in {None, row.account_id}
        }

    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        """Return those of the spans that exist, by id."""
        values = _of_ids(span_ids)
        sql = _SPANS_OF_IDS
        if account_id is not None:
            sql, values = _SPANS_OF_ACCOUNT, (*values, account_id)
        return {row.id: row for row in self._all(SpanRow, sql, values)}

    def list_spans(
        self, wanted: SpanFilter, page: Page, *, most_chars: int | None = None
    ) -> Listed[SpanRow]:
        """Return spans that pass the filter, no more of them than fit into *most_chars*."""
        with self._planned_for(wanted):
            return super().list_spans(wanted, page, most_chars=most_chars)

    def span_kinds(self, wanted: SpanFilter) -> list[SpanKind]:
        """Return how many spans of each kind pass the filter."""
        with self._planned_for(wanted):
            return super().span_kinds(wanted)

    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        """Return those of the idempotency keys that were used, by key."""
        values = (_array(keys), account_id, operation)
        return {row.key: row for row in self._all(KeyRow, _KEYS_OF_TEXTS, values)}

    def hold(self, instance_ids: Collection[str], span_ids: Collection[str]) -> bool:
        """Keep others from these instances, and from those of these spans, until the end."""
        if not span_ids:
            rows = self._all(InstanceRow, _HOLD, (_array(instance_ids),))
            self._held = {row.id: row for row in rows}
            return False
        values = (*_of_ids(span_ids), _array(instance_ids))
        found = list(self._rows(_HOLD_WITH_SPANS, values))
        self._held = {row.id: row for row in (InstanceRow(*each[1:]) for each in found)}
        return any(each[0] for each in found)

    def add(self, row: Row) -> None:
        """Keep a new row; its id is new."""
        self._add(_INSERT[type(row)], values_of(row), 1)

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        """Keep idempotency keys that were not used before."""
        # In order, so that two who keep the same ones wait for each other in turn.
        ordered = sorted(rows, key=lambda row: (row.operation, row.key))
        self._add(_INSERT_KEYS, (_json(ordered),), len(rows))

    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        """Keep new spans."""
        text = copied(rows)
        if text is None:
            self._add(_INSERT_SPANS, (_json(rows),), len(rows))
            return
        try:
            with self._cursor.copy(_COPY_SPANS) as copy:
                copy.write(text)
        except errors.UniqueViolation as error:
            raise ConflictError("somebody else added the same meanwhile") from error

    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        """Keep what a finish changes in spans that exist."""
        self._run(_UPDATE_SPANS, (_json(rows), *_of_ids([row.id for row in rows])))

    def change(
        self, row: AccountRow | EnvironmentRow | AgentRow | DeploymentRow | TokenRow | InstanceRow
    ) -> None:
        """Keep what can change in a row that exists; span counts are left alone."""
        if isinstance(row, AgentRow):
            self._check_unchanged(row.id)
            self._agents[row.id] = row
        super().change(row)

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent without instances, with its deployments, versions and tokens."""
        # Whoever registers a run keeps the agent; after this nobody does, so it is asked again.
        self._run(_CLOSE_AGENT, (agent_id,))
        if list(self._rows(_HAS_INSTANCES, (agent_id,))):
            raise ConflictError("an instance of the agent was registered meanwhile")
        super().remove_agent(agent_id)

    def forget_spans(self, first_id: str, most: int) -> int:
        """Forget some of the spans in no part by time whose id is less than *first_id*."""
        return self._run(_FORGET_SPANS, (first_id, most))

    @contextmanager
    def _planned_for(self, wanted: SpanFilter) -> Generator[None]:
        """Have statements about many runs planned for their values.

        One plan for all values takes each time for as long as any other, and reads all of an
        agent's spans: 39 ms instead of 5 for those of five seconds among 100,000.
        """
        self._prepare = None if wanted.agent_instance_id else False
        try:
            yield
        finally:
            self._prepare = None

    def _noted(self, row: AgentRow | None) -> AgentRow | None:
        if row is not None and self._writing:
            self._agents[row.id] = row
        return row

    def _check_unchanged(self, agent_id: str) -> None:
        """Refuse to change an agent that is not what was read.

        Raises:
            ConflictError: Somebody else changed it.
        """
        found = self._all(AgentRow, _READ_AGENT, (agent_id,))
        if found != [self._agents.get(agent_id)]:
            raise ConflictError("the agent was changed meanwhile")

    def _add(self, sql: str, values: Sequence[Value], count: int) -> None:
        if self._run(sql, values) != count:
            raise ConflictError("somebody else added the same meanwhile")

    def _kept(self, kind: type[Row]) -> str:
        return _LOCKS.get(kind, "") if self._writing else ""

    def _removable(self) -> str:
        # Two transactions that both hold FOR KEY SHARE and then delete the row deadlock.
        return " FOR UPDATE"

    def _rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        found = [_findable(value) for value in values]
        done = self._cursor.execute(_translated(sql), found or None, prepare=self._prepare)
        return done.fetchall()

    def _run(self, sql: str, values: Sequence[Value] = ()) -> int:
        # What was read of the instances may be what this changes.
        self._held = {}
        return self._cursor.execute(_translated(sql), values or None).rowcount

    def _run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._held = {}
        self._cursor.executemany(_translated(sql), rows)

    def _among(self, column: str, texts: Collection[str]) -> tuple[str, Value]:
        return f"{column} = ANY(?::text[])", _array(texts)


def _findable(value: Value) -> Value:
    """Return *value* to be looked for; a NUL stands in no text here, so that one finds nothing."""
    return None if isinstance(value, str) and _NUL in value else value


def _of_ids(span_ids: Collection[str]) -> tuple[Value, ...]:
    ids = [span_id for span_id in span_ids if _NUL not in span_id]
    return _array(ids), min(ids, default=None), max(ids, default=None)


def _array(texts: Collection[str]) -> str:
    """Return *texts* as PostgreSQL writes an array; psycopg takes 20 times as long for 100."""
    joined = '","'.join(texts)
    if _NUL in joined or "\\" in joined or joined.count('"') != 2 * max(0, len(texts) - 1):
        quoted = [_QUOTED.sub(r"\\\g<0>", text) for text in texts if _NUL not in text]
        return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
    return f'{{"{joined}"}}' if texts else "{}"


def _json(rows: Sequence[Row]) -> str:
    return msgspec.json.encode(rows).decode()
