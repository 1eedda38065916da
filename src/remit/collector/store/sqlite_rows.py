"""The statements of the SQLite store: each row type is a table, each field a column."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

import msgspec

from remit.collector.store.protocol import Listed, Page, SpanFilter
from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    InstanceRow,
    KeyRow,
    Row,
    SchemaVersionRow,
    SpanRow,
    TokenRow,
    VersionRow,
)

R = TypeVar("R", bound=Row)
Value: TypeAlias = str | int | bytes | None

_TABLES: Final[dict[type[Row], str]] = {
    AccountRow: "accounts",
    EnvironmentRow: "environments",
    AgentRow: "agents",
    VersionRow: "agent_versions",
    SchemaVersionRow: "agent_schema_versions",
    DeploymentRow: "agent_deployments",
    TokenRow: "api_tokens",
    InstanceRow: "agent_instances",
    SpanRow: "agent_spans",
    KeyRow: "idempotency_keys",
}
_MUTABLE: Final[dict[type[Row], tuple[str, ...]]] = {
    AgentRow: (
        "name",
        "description",
        "status",
        "owner_person_id",
        "risk_profile_id",
        "team_id",
        "updated_at",
    ),
    DeploymentRow: ("current_version_id", "updated_at"),
    TokenRow: ("status", "updated_at"),
    InstanceRow: (
        "status",
        "start_seen",
        "started_at",
        "finished_at",
        "termination_reason",
        "quality_payloads",
        "updated_at",
    ),
    SpanRow: (
        "status",
        "flags",
        "started_at",
        "finished_at",
        "updated_at",
        "finish_key",
        "result_payload",
    ),
}
_COUNTS: Final = ("pending", "active", "complete", "failed", "cancelled")


def _columns(kind: type[Row], prefix: str = "") -> str:
    return ", ".join(prefix + field for field in kind.__struct_fields__)


def _insert(kind: type[Row]) -> str:
    places = ", ".join("?" for _ in kind.__struct_fields__)
    return f"INSERT INTO {_TABLES[kind]} ({_columns(kind)}) VALUES ({places})"  # noqa: S608 - names from the two tables above, never from a request


def _update(kind: type[Row], where: str) -> str:
    changes = ", ".join(f"{field} = ?" for field in _MUTABLE[kind])
    return f"UPDATE {_TABLES[kind]} SET {changes} WHERE {where}"  # noqa: S608 - as above


_SELECT: Final = {kind: f"SELECT {_columns(kind)} FROM {_TABLES[kind]}" for kind in _TABLES}  # noqa: S608 - as above
_INSERT: Final = {kind: _insert(kind) for kind in _TABLES}
_UPDATE: Final = {kind: _update(kind, "id = ?") for kind in _MUTABLE}
_UPDATE_SPAN: Final = _update(SpanRow, "agent_instance_id = ? AND id = ?")
_INSERT_SPAN: Final = f"{_INSERT[SpanRow]} ON CONFLICT DO NOTHING"
_ADD_COUNTS: Final = (
    "UPDATE agent_instances SET "  # noqa: S608 - as above
    + ", ".join(f"spans_{status} = spans_{status} + ?" for status in _COUNTS)
    + " WHERE id = ?"
)
# One text for any number of ids, so that the statement is compiled once.
_SPANS_OF_IDS: Final = (
    f"SELECT {_columns(SpanRow, 's.')} FROM json_each(?) AS j "  # noqa: S608 - as above
    "CROSS JOIN agent_spans AS s ON s.id = j.value "
    "CROSS JOIN agent_instances AS i ON i.id = s.agent_instance_id "
    "WHERE ? IS NULL OR i.account_id = ?"
)
_INSTANCES_OF_IDS: Final = (
    f"{_SELECT[InstanceRow]} WHERE id IN (SELECT value FROM json_each(?)) "  # noqa: S608 - as above
    "AND (? IS NULL OR account_id = ?)"
)
_KEYS_OF_TEXTS: Final = (
    f"SELECT {_columns(KeyRow, 'k.')} FROM json_each(?) AS j "  # noqa: S608 - as above
    "CROSS JOIN idempotency_keys AS k ON k.account_id = ? AND k.operation = ? AND k.key = j.value"
)
_SPANS_AND_THEIRS: Final = (
    "FROM agent_spans AS s JOIN agent_instances AS i ON i.id = s.agent_instance_id"
)


class SqliteTransaction:
    """One transaction, open; what it may be asked is said by `remit.collector.store.Writing`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Work on *connection*, on which a transaction was begun."""
        self._connection = connection

    def _all(self, kind: type[R], sql: str, values: Sequence[Value] = ()) -> list[R]:
        return [kind(*row) for row in self._connection.execute(sql, values)]

    def _one(self, kind: type[R], where: str, *values: Value) -> R | None:
        found = self._all(kind, f"{_SELECT[kind]} WHERE {where} LIMIT 1", values)
        return found[0] if found else None

    def accounts(self) -> list[AccountRow]:
        """Return all accounts, oldest first."""
        return self._all(AccountRow, f"{_SELECT[AccountRow]} ORDER BY inserted_at, id")

    def environments(self, account_id: str) -> list[EnvironmentRow]:
        """Return the environments of an account, oldest first."""
        sql = f"{_SELECT[EnvironmentRow]} WHERE account_id = ? ORDER BY inserted_at, id"
        return self._all(EnvironmentRow, sql, (account_id,))

    def tokens(self) -> list[TokenRow]:
        """Return all tokens, oldest first."""
        return self._all(TokenRow, f"{_SELECT[TokenRow]} ORDER BY inserted_at, id")

    def token_of_hash(self, token_hash: bytes) -> TokenRow | None:
        """Return the token whose secret has this SHA-256."""
        return self._one(TokenRow, "token_hash = ?", token_hash)

    def agent(self, account_id: str | None, agent_id: str) -> AgentRow | None:
        """Return the agent of this id."""
        where = "id = ? AND (? IS NULL OR account_id = ?)"
        return self._one(AgentRow, where, agent_id, account_id, account_id)

    def agent_of_identifier(self, account_id: str, external_identifier: str) -> AgentRow | None:
        """Return the agent of this external identifier."""
        where = "account_id = ? AND external_identifier = ?"
        return self._one(AgentRow, where, account_id, external_identifier)

    def list_agents(
        self, account_id: str, equal: Mapping[str, str], page: Page
    ) -> Listed[AgentRow]:
        """Return agents whose columns equal the values in *equal*."""
        return self._listed(AgentRow, {"account_id": account_id, **equal}, page)

    def instance_counts(self, agent_ids: Collection[str]) -> dict[str, dict[str, int]]:
        """Return how many instances stand where, by agent and status."""
        counts: dict[str, dict[str, int]] = {agent_id: {} for agent_id in agent_ids}
        sql = (
            "SELECT agent_id, status, COUNT(*) FROM agent_instances "
            "WHERE agent_id IN (SELECT value FROM json_each(?)) GROUP BY agent_id, status"
        )
        for agent_id, status, count in self._connection.execute(sql, (_texts(agent_ids),)):
            counts[agent_id][status] = count
        return counts

    def deployments(self, agent_id: str) -> list[DeploymentRow]:
        """Return the deployments of an agent, oldest first."""
        sql = f"{_SELECT[DeploymentRow]} WHERE agent_id = ? ORDER BY inserted_at, id"
        return self._all(DeploymentRow, sql, (agent_id,))

    def version(self, agent_id: str, external_identifier: str) -> VersionRow | None:
        """Return the version of an agent by its external identifier."""
        where = "agent_id = ? AND external_identifier = ?"
        return self._one(VersionRow, where, agent_id, external_identifier)

    def schema_version(self, agent_id: str, external_identifier: str) -> SchemaVersionRow | None:
        """Return the schema version of an agent by its external identifier."""
        where = "agent_id = ? AND external_identifier = ?"
        return self._one(SchemaVersionRow, where, agent_id, external_identifier)

    def schema_version_of_id(self, schema_version_id: str) -> SchemaVersionRow | None:
        """Return the schema version of this id."""
        return self._one(SchemaVersionRow, "id = ?", schema_version_id)

    def instances(
        self, account_id: str | None, instance_ids: Collection[str]
    ) -> dict[str, InstanceRow]:
        """Return those of the instances that exist, by id."""
        values = (_texts(instance_ids), account_id, account_id)
        return {row.id: row for row in self._all(InstanceRow, _INSTANCES_OF_IDS, values)}

    def instance_of_identifier(
        self, agent_id: str | None, external_identifier: str
    ) -> InstanceRow | None:
        """Return the instance of this external identifier; with no agent, the newest such."""
        where = "external_identifier = ? AND (? IS NULL OR agent_id = ?) ORDER BY id DESC"
        return self._one(InstanceRow, where, external_identifier, agent_id, agent_id)

    def list_instances(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[InstanceRow]:
        """Return instances whose columns equal the values in *equal*."""
        owner = {} if account_id is None else {"account_id": account_id}
        return self._listed(InstanceRow, {**owner, **equal}, page)

    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        """Return those of the spans that exist, by id."""
        values = (_texts(span_ids), account_id, account_id)
        return {row.id: row for row in self._all(SpanRow, _SPANS_OF_IDS, values)}

    def list_spans(self, wanted: SpanFilter, page: Page) -> Listed[SpanRow]:
        """Return spans that pass the filter."""
        conditions: dict[str, Value] = {
            "i.account_id = ?": wanted.account_id,
            "s.agent_instance_id = ?": wanted.agent_instance_id,
            "i.agent_id = ?": wanted.agent_id,
            "s.started_at >= ?": wanted.started_from_us,
            "s.started_at <= ?": wanted.started_to_us,
        }
        given = {text: value for text, value in conditions.items() if value is not None}
        where = f"{_SPANS_AND_THEIRS} WHERE {' AND '.join(given) or 'TRUE'}"
        total = self._count(where, tuple(given.values()))
        sql = f"SELECT {_columns(SpanRow, 's.')} {where} {_order(SpanRow, page, 's.')}"
        rows = self._all(SpanRow, sql, (*given.values(), page.size, page.offset))
        return Listed(rows, total)

    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        """Return those of the idempotency keys that were used, by key."""
        values = (_texts(keys), account_id, operation)
        return {row.key: row for row in self._all(KeyRow, _KEYS_OF_TEXTS, values)}

    def add(self, row: Row) -> None:
        """Keep a new row; its id is new."""
        self._connection.execute(_INSERT[type(row)], msgspec.structs.astuple(row))

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        """Keep idempotency keys that were not used before."""
        self._connection.executemany(_INSERT[KeyRow], map(msgspec.structs.astuple, rows))

    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        """Keep new spans."""
        self._connection.executemany(_INSERT_SPAN, map(msgspec.structs.astuple, rows))

    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        """Keep what a finish changes in spans that exist."""
        values = [(*_mutable(row), row.agent_instance_id, row.id) for row in rows]
        self._connection.executemany(_UPDATE_SPAN, values)

    def add_span_counts(self, instance_id: str, change: Mapping[str, int]) -> None:
        """Add to an instance's span counts, by status."""
        values = [change.get(status, 0) for status in _COUNTS]
        self._connection.execute(_ADD_COUNTS, (*values, instance_id))

    def change(self, row: AgentRow | DeploymentRow | TokenRow | InstanceRow) -> None:
        """Keep what can change in a row that exists; span counts are left alone."""
        self._connection.execute(_UPDATE[type(row)], (*_mutable(row), row.id))

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent without instances, with its deployments, versions and tokens."""
        for table in ("agent_deployments", "agent_versions", "agent_schema_versions", "api_tokens"):
            self._connection.execute(f"DELETE FROM {table} WHERE agent_id = ?", (agent_id,))  # noqa: S608 - as above
        self._connection.execute("DELETE FROM agents WHERE id = ?", (agent_id,))

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Return a block whose writes are undone if it raises, and theirs only."""
        self._connection.execute("SAVEPOINT item")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK TO item")
            raise
        finally:
            self._connection.execute("RELEASE item")

    def _listed(self, kind: type[R], equal: Mapping[str, str], page: Page) -> Listed[R]:
        for field in equal:
            _known(kind, field)
        where = " AND ".join(f"{field} = ?" for field in equal) or "TRUE"
        values = tuple(equal.values())
        total = self._count(f"FROM {_TABLES[kind]} WHERE {where}", values)
        sql = f"{_SELECT[kind]} WHERE {where} {_order(kind, page)}"
        return Listed(self._all(kind, sql, (*values, page.size, page.offset)), total)

    def _count(self, rest: str, values: Sequence[Value]) -> int:
        (count,) = self._connection.execute(f"SELECT COUNT(*) {rest}", values).fetchone()
        return int(count)


def _known(kind: type[Row], field: str) -> str:
    """Return *field* if it is a column, so that no other text gets into a statement."""
    if field not in kind.__struct_fields__:
        raise ValueError(f"{_TABLES[kind]} has no column {field!r}")
    return field


def _order(kind: type[Row], page: Page, prefix: str = "") -> str:
    direction = "DESC" if page.descending else "ASC"
    field = _known(kind, page.field)
    return f"ORDER BY {prefix}{field} {direction}, {prefix}id {direction} LIMIT ? OFFSET ?"


def _mutable(row: Row) -> tuple[Value, ...]:
    return tuple(getattr(row, field) for field in _MUTABLE[type(row)])


def _texts(values: Collection[str]) -> str:
    return json.dumps(list(values))
