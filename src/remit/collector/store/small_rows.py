"""Rows of accounts, agents, versions, tokens, erasures and idempotency keys."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias, TypeVar

import msgspec

from remit.collector.store import statements
from remit.collector.store.counts import US_PER_HOUR
from remit.collector.store.execution import Execution, mutable
from remit.collector.store.filters import Listed, Page
from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    ErasureRow,
    HoldProcessRow,
    HoldRow,
    KeyRow,
    Row,
    SchemaVersionRow,
    SessionRow,
    TokenRow,
    VersionRow,
)

R = TypeVar("R", bound=Row)
ChangeableRow: TypeAlias = (
    AccountRow | EnvironmentRow | AgentRow | DeploymentRow | TokenRow | SessionRow | HoldRow
)

# Lists omit schemas: a hundred of them may be too large for memory.
_LISTED: Final[Mapping[type[Row], str]] = {
    SchemaVersionRow: statements.SELECT[SchemaVersionRow]
    .replace("span_type_schemas", "'[]'")
    .replace("quality_schemas", "'[]'")
}


class SmallRows(Execution):
    """Tables whose rows map one to one to a row type."""

    def row(self, kind: type[R], account_id: str | None, row_id: str) -> R | None:
        """Return the row of this id."""
        if account_id is None:
            return self._one(kind, "id = ?", row_id)
        owner = "id" if kind is AccountRow else "account_id"
        return self._one(kind, f"id = ? AND {owner} = ?", row_id, account_id)

    def row_to_remove(self, kind: type[R], account_id: str, row_id: str) -> R | None:
        """Return the row of this id, locked until the transaction ends."""
        return self._one(kind, "id = ? AND account_id = ?", row_id, account_id, to_remove=True)

    def list_rows(
        self, kind: type[R], account_id: str, equal: Mapping[str, str], page: Page
    ) -> Listed[R]:
        """Return rows of the account whose columns equal the values in *equal*.

        Rows of schema versions have no schemas.
        """
        owner = "id" if kind is AccountRow else "account_id"
        where = {owner: account_id, **equal}
        for field in where:
            statements.known(kind, field)
        passing = "WHERE " + " AND ".join(f"{field} = ?" for field in where)
        values = tuple(where.values())
        total = self._count(f"FROM {statements.TABLES[kind]} {passing}", values)
        select = _LISTED.get(kind) or statements.SELECT[kind]
        sql = f"{select} {passing} {page.clause(kind)}"
        return Listed(self._all(kind, sql, (*values, *page.limits)), total)

    def accounts(self) -> list[AccountRow]:
        """Return all accounts, oldest first."""
        return self._oldest_first(AccountRow, "TRUE")

    def environments(self, account_id: str) -> list[EnvironmentRow]:
        """Return the environments of an account, oldest first."""
        return self._oldest_first(EnvironmentRow, "account_id = ?", account_id)

    def tokens(self) -> list[TokenRow]:
        """Return all tokens, oldest first."""
        sql = f"{statements.SELECT[TokenRow]} ORDER BY inserted_at, id{self._lock_clause(TokenRow)}"
        return self._all(TokenRow, sql)

    def token_of_hash(self, token_hash: bytes) -> TokenRow | None:
        """Return the token whose secret has this SHA-256."""
        return self._one(TokenRow, "token_hash = ?", token_hash)

    def tokens_made_by(self, token_ids: Collection[str]) -> list[TokenRow]:
        """Return the tokens that these tokens made."""
        where, values = self.among("made_by", token_ids)
        sql = (
            f"{statements.SELECT[TokenRow]} WHERE {where} ORDER BY id{self._lock_clause(TokenRow)}"
        )
        return self._all(TokenRow, sql, values)

    def session_of_hash(self, secret_hash: bytes) -> SessionRow | None:
        """Return the session, or the code, whose secret has this SHA-256."""
        return self._one(SessionRow, "secret_hash = ?", secret_hash)

    def sessions(self, account_id: str) -> list[SessionRow]:
        """Return the sessions and codes of an account, oldest first."""
        sql = (
            f"{statements.SELECT[SessionRow]} WHERE account_id = ? "
            f"ORDER BY inserted_at, id{self._lock_clause(SessionRow)}"
        )
        return self._all(SessionRow, sql, (account_id,))

    def agent(self, account_id: str | None, agent_id: str) -> AgentRow | None:
        """Return the agent of this id."""
        return self.row(AgentRow, account_id, agent_id)

    def agent_of_identifier(self, account_id: str, external_identifier: str) -> AgentRow | None:
        """Return the agent of this external identifier."""
        where = "account_id = ? AND external_identifier = ?"
        return self._one(AgentRow, where, account_id, external_identifier)

    def agents_of_identifiers(
        self, account_id: str, external_identifiers: Collection[str]
    ) -> list[AgentRow]:
        """Return the agents of these external identifiers, oldest first."""
        among, values = self.among("external_identifier", external_identifiers)
        return self._oldest_first(AgentRow, f"account_id = ? AND {among}", account_id, *values)

    def agents_named(self, account_id: str, name: str) -> list[AgentRow]:
        """Return the agents with this id, identifier, display name or end of an identifier."""
        where = "account_id = ? AND (id = ? OR external_identifier = ? OR name = ?)"
        exact = self._oldest_first(AgentRow, where, account_id, name, name, name)
        if exact:
            return exact
        where = "account_id = ? AND external_identifier LIKE ?"
        end = f"/{name}"
        rows = self._oldest_first(AgentRow, where, account_id, f"%{end}")
        # LIKE has wildcards, which a name may contain.
        return [row for row in rows if (row.external_identifier or "").endswith(end)]

    def deployments(self, agent_id: str) -> list[DeploymentRow]:
        """Return the deployments of an agent, oldest first."""
        return self._oldest_first(DeploymentRow, "agent_id = ?", agent_id)

    def version(self, agent_id: str, external_identifier: str) -> VersionRow | None:
        """Return the version of an agent by its external identifier."""
        where = "agent_id = ? AND external_identifier = ?"
        return self._one(VersionRow, where, agent_id, external_identifier)

    def schema_version(
        self, agent_id: str, external_identifier: str, content_hash: str
    ) -> SchemaVersionRow | None:
        """Return the schema version of an agent with this external identifier and content."""
        where = "agent_id = ? AND external_identifier = ? AND content_hash = ?"
        return self._one(SchemaVersionRow, where, agent_id, external_identifier, content_hash)

    def newest_schema_version(self, agent_id: str, external_identifier: str) -> str | None:
        """Return the id of an agent's newest schema version with this external identifier."""
        sql = f"{statements.NEWEST_SCHEMA_VERSION}{self._lock_clause(SchemaVersionRow)}"
        return next((str(row[0]) for row in self.rows(sql, (agent_id, external_identifier))), None)

    def registered_since(self, agent_id: str, since_us: int, most: int) -> list[SchemaVersionRow]:
        """Return the schema versions of an agent that were registered since then, newest first."""
        sql = (
            f"{statements.SELECT[SchemaVersionRow]} WHERE agent_id = ? AND registered_at >= ? "
            "ORDER BY registered_at DESC, id DESC LIMIT ?"
        )
        return self._all(SchemaVersionRow, sql, (agent_id, since_us, most))

    def registered_often(self, account_id: str, since_us: int, most: int) -> list[str]:
        """Return the agents of which several schema versions were registered since then."""
        sql = (
            "SELECT agent_id FROM agent_schema_versions "
            "WHERE account_id = ? AND registered_at >= ? "
            "GROUP BY agent_id HAVING COUNT(*) > 1 ORDER BY agent_id LIMIT ?"
        )
        return [str(row[0]) for row in self.rows(sql, (account_id, since_us, most))]

    def schema_version_of_id(self, schema_version_id: str) -> SchemaVersionRow | None:
        """Return the schema version of this id."""
        return self.row(SchemaVersionRow, None, schema_version_id)

    def keys(
        self, account_id: str, operation: str, keys: Collection[str], *, again: bool = False
    ) -> dict[str, KeyRow]:
        """Return the used idempotency keys among *keys*, by key; *again* reads them once more."""
        known = self._pending.keys
        names = {key: (account_id, operation, key) for key in keys}
        unread = [key for key, name in names.items() if again or name not in known]
        if unread:
            known.update({names[key]: None for key in unread if known.get(names[key]) is None})
            for used in self._read_keys(account_id, operation, unread):
                known[names[used.key]] = used
        return {key: row for key, name in names.items() if (row := known[name]) is not None}

    @abstractmethod
    def _read_keys(
        self, account_id: str, operation: str, keys: Collection[str]
    ) -> Iterable[KeyRow]: ...

    def erasures(self, run_id: str) -> list[ErasureRow]:
        """Return the erasures of a run, oldest first."""
        return self._oldest_first(ErasureRow, "agent_instance_id = ?", run_id)

    @abstractmethod
    def add(self, row: Row) -> None:
        """Insert a row whose id is new, other than a run or a span."""

    def add_keys(self, rows: Iterable[KeyRow]) -> None:
        """Insert idempotency keys that were not used before, when the transaction ends."""
        for row in rows:
            self._pending.keys[row.account_id, row.operation, row.key] = row
            self._pending.new_keys.append(row)

    def change(self, row: ChangeableRow) -> None:
        """Update an existing row."""
        self.run(statements.UPDATE[type(row)], (*mutable(row), row.id))

    def remove(self, row: EnvironmentRow | DeploymentRow | TokenRow | SessionRow) -> None:
        """Delete a row, after the transactions that have read it.

        Whether the row is still in use is to be read after this: then no other transaction can
        begin to use it.
        """
        self.run(f"DELETE FROM {statements.TABLES[type(row)]} WHERE id = ?", (row.id,))

    def remove_agent(self, agent_id: str) -> None:
        """Delete an agent without runs, with its deployments, versions and tokens."""
        types = "SELECT ref FROM span_types WHERE agent_ref = (SELECT ref FROM agents WHERE id = ?)"
        for sql in (
            f"DELETE FROM span_type_words WHERE type_ref IN ({types})",
            f"DELETE FROM span_types WHERE ref IN ({types})",
            "DELETE FROM run_places WHERE agent_id = ?",
        ):
            self.run(sql, (agent_id,))
        for table in statements.OF_AGENT:
            self.run(f"DELETE FROM {table} WHERE agent_id = ?", (agent_id,))
        self.run("DELETE FROM agents WHERE id = ?", (agent_id,))

    def note_registration(self, schema_version_id: str, now_us: int) -> None:
        """Record when a process registered a schema version, to the hour."""
        sql = (
            "UPDATE agent_schema_versions SET registered_at = ? "
            "WHERE id = ? AND (registered_at IS NULL OR registered_at < ?)"
        )
        self.run(sql, (now_us, schema_version_id, now_us - US_PER_HOUR))

    def note_hold_process(self, row: HoldProcessRow) -> None:
        """Record that a process knows the holds, and forget those that were silent for a day."""
        self.run(statements.NOTE_PROCESS, msgspec.structs.astuple(row))
        self.run(statements.FORGET_PROCESSES, (row.account_id, row.seen_at - 24 * US_PER_HOUR))

    def touch_token(self, token_id: str, now_us: int) -> None:
        """Record when a token was used."""
        self.run(statements.NOTE_USE, (now_us, token_id, now_us))

    def write_and_delete(self, count: int) -> None:
        """Write *count* bytes and delete them, to find out whether the database has room."""
        # Random bytes, because PostgreSQL compresses others. Its key waits for nothing.
        key = os.urandom(16).hex()
        self.run(statements.ADD_PROBE, (key, os.urandom(count)))
        self.run(statements.DELETE_PROBE, (key,))

    def replace_responses(self, run_id: str, response: bytes) -> int:
        """Replace the responses of a run's idempotency keys; return their number."""
        return self.run(statements.ERASE_RESPONSES, (response, run_id))
