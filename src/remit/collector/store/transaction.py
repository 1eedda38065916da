"""A transaction of either database: its queries and writes, and the SQL that both share.

A subclass says how a statement is sent, how a list of ids is written, and what differs for speed or
because of concurrent transactions.

What a writing transaction has read stays as it was until the transaction ends, so that decisions
made from it hold. There are two exceptions: spans and their idempotency keys stay only while their
instance is locked (`hold`), and a row that did not exist when it was read may be inserted by
another transaction, which is a `ConflictError` here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Literal, TypeVar

import msgspec

from remit.collector.store import statements
from remit.collector.store.filters import Listed, Page, Removed, SpanFilter, SpanKind
from remit.collector.store.rows import (
    FOUND,
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    ErasureRow,
    InstanceRow,
    KeyRow,
    Row,
    SchemaVersionRow,
    SpanRow,
    SubjectRow,
    TokenRow,
    VersionRow,
)
from remit.collector.store.statements import Value

R = TypeVar("R", bound=Row)

# Lists omit schemas: a hundred of them may be too large for memory.
_LISTED: Final[Mapping[type[Row], str]] = {
    SchemaVersionRow: statements.SELECT[SchemaVersionRow]
    .replace("span_type_schemas", "'[]'")
    .replace("quality_schemas", "'[]'")
}
_ID_AND_CHARS: Final = "s.id, LENGTH(s.payload) + COALESCE(LENGTH(s.result_payload), 0)"


class Transaction(ABC):
    """An open transaction of a store.

    Where `account_id` is None, rows of every account are meant, for the owner of the machine. Each
    write may raise `ConflictError`.

    Attributes:
        dialect: The kind of database, for the few statements that differ.
    """

    dialect: ClassVar[Literal["sqlite", "postgres"]]

    def rows(self, sql: str, values: Sequence[Value]) -> Iterable[tuple[Any, ...]]:
        """Run a reading statement, planned for its values; return its rows."""
        return self._rows(sql, values)

    @abstractmethod
    def _rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        """Run a statement; return its rows."""

    @abstractmethod
    def _run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; return the number of rows that it changed."""

    @abstractmethod
    def _run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once for each row of values."""

    @abstractmethod
    def _among(self, column: str, texts: Collection[str]) -> tuple[str, Value]:
        """Return the condition that *column* is one of *texts*, and its value."""

    def _kept(self, kind: type[Row]) -> str:
        """Return the lock clause of a select of *kind*, so that the rows it reads stay."""
        del kind
        return ""

    def _removable(self) -> str:
        """Return the lock clause of a select whose row is removed afterwards."""
        return ""

    def _all(self, kind: type[R], sql: str, values: Sequence[Value] = ()) -> list[R]:
        return [kind(*row) for row in self._rows(sql, values)]

    def _one(self, kind: type[R], where: str, *values: Value, to_remove: bool = False) -> R | None:
        lock = self._removable() if to_remove else self._kept(kind)
        sql = f"{statements.SELECT[kind]} WHERE {where} LIMIT 1{lock}"
        return next(iter(self._all(kind, sql, values)), None)

    def _oldest_first(self, kind: type[R], where: str, *values: Value) -> list[R]:
        sql = f"{statements.SELECT[kind]} WHERE {where} ORDER BY inserted_at, id"
        return self._all(kind, sql, values)

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
        return self._listed(kind, {owner: account_id, **equal}, page, select=_LISTED.get(kind))

    def accounts(self) -> list[AccountRow]:
        """Return all accounts, oldest first."""
        return self._oldest_first(AccountRow, "TRUE")

    def environments(self, account_id: str) -> list[EnvironmentRow]:
        """Return the environments of an account, oldest first."""
        return self._oldest_first(EnvironmentRow, "account_id = ?", account_id)

    def tokens(self) -> list[TokenRow]:
        """Return all tokens, oldest first."""
        sql = f"{statements.SELECT[TokenRow]} ORDER BY inserted_at, id{self._kept(TokenRow)}"
        return self._all(TokenRow, sql)

    def token_of_hash(self, token_hash: bytes) -> TokenRow | None:
        """Return the token whose secret has this SHA-256."""
        return self._one(TokenRow, "token_hash = ?", token_hash)

    def tokens_made_by(self, token_ids: Collection[str]) -> list[TokenRow]:
        """Return the tokens that these tokens made."""
        where, value = self._among("made_by", token_ids)
        sql = f"{statements.SELECT[TokenRow]} WHERE {where} ORDER BY id{self._kept(TokenRow)}"
        return self._all(TokenRow, sql, (value,))

    def agent(self, account_id: str | None, agent_id: str) -> AgentRow | None:
        """Return the agent of this id."""
        return self.row(AgentRow, account_id, agent_id)

    def agent_of_identifier(self, account_id: str, external_identifier: str) -> AgentRow | None:
        """Return the agent of this external identifier."""
        where = "account_id = ? AND external_identifier = ?"
        return self._one(AgentRow, where, account_id, external_identifier)

    def instance_counts(
        self, agent_ids: Collection[str], environment_id: str | None = None
    ) -> dict[str, dict[str, int]]:
        """Return the number of instances by agent and status."""
        counts: dict[str, dict[str, int]] = {agent_id: {} for agent_id in agent_ids}
        where, value = self._among("agent_id", agent_ids)
        values: tuple[Value, ...] = (value,)
        if environment_id is not None:
            where, values = f"{where} AND environment_id = ?", (value, environment_id)
        sql = (
            "SELECT agent_id, status, COUNT(*) FROM agent_instances "  # noqa: S608 - a fixed text
            f"WHERE {where} GROUP BY agent_id, status"
        )
        for agent_id, status, count in self._rows(sql, values):
            counts[agent_id][status] = count
        return counts

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
        sql = f"{statements.NEWEST_SCHEMA_VERSION}{self._kept(SchemaVersionRow)}"
        return next((str(row[0]) for row in self._rows(sql, (agent_id, external_identifier))), None)

    def schema_version_of_id(self, schema_version_id: str) -> SchemaVersionRow | None:
        """Return the schema version of this id."""
        return self.row(SchemaVersionRow, None, schema_version_id)

    def instances(
        self, account_id: str | None, instance_ids: Collection[str]
    ) -> dict[str, InstanceRow]:
        """Return the existing instances among *instance_ids*, keyed by id."""
        where, value = self._among("id", instance_ids)
        values: tuple[Value, ...] = (value,)
        if account_id is not None:
            where, values = f"{where} AND account_id = ?", (value, account_id)
        # In order, so that two transactions that lock several cannot deadlock.
        sql = f"{statements.SELECT[InstanceRow]} WHERE {where} ORDER BY id"
        rows = self._all(InstanceRow, sql + self._kept(InstanceRow), values)
        return {row.id: row for row in rows}

    def instance_of_identifier(
        self, agent_id: str, environment_id: str, external_identifier: str
    ) -> InstanceRow | None:
        """Return the instance of an agent in an environment with this external identifier."""
        where = "agent_id = ? AND environment_id = ? AND external_identifier = ?"
        return self._one(InstanceRow, where, agent_id, environment_id, external_identifier)

    def list_instances(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[InstanceRow]:
        """Return instances whose columns equal the values in *equal*."""
        owner = {} if account_id is None else {"account_id": account_id}
        return self._listed(InstanceRow, {**owner, **equal}, page, owned=statements.OWNED)

    @abstractmethod
    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        """Return the existing spans among *span_ids*, keyed by id."""

    def list_spans(
        self, wanted: SpanFilter, page: Page, *, most_chars: int | None = None
    ) -> Listed[SpanRow]:
        """Return spans that pass the filter.

        Args:
            wanted: The filter.
            page: Which of them.
            most_chars: The page ends before the span whose payloads would make it longer than
                this, but holds at least one span.
        """
        where, values = wanted.where()
        passing = f"{self._source(wanted, joined=wanted.names_instances)} WHERE {where}"
        total = self._count(passing, values)
        values = (*values, *page.limits)
        if most_chars is None:
            sql = self._page_of_spans(passing, wanted, page, statements.columns(SpanRow, "s."))
            return Listed(self._all(SpanRow, sql, values), total)
        # A page may be too large for memory, so the lengths are read before the spans.
        sql = self._page_of_spans(passing, wanted, page, _ID_AND_CHARS)
        ids = _fitting(self._rows(sql, values), most_chars)
        spans = self.spans(None, ids)
        return Listed([spans[span_id] for span_id in ids if span_id in spans], total)

    def _source(self, wanted: SpanFilter, *, joined: bool) -> str:
        """Return the `FROM` of spans, with their instances if *joined*."""
        del wanted
        return statements.SPANS_AND_THEIRS if joined else statements.SPANS

    def _page_of_spans(self, passing: str, wanted: SpanFilter, page: Page, columns: str) -> str:
        """Return the statement that reads *columns* of one page of the spans that pass."""
        del wanted
        return f"SELECT {columns} {passing} {page.clause(SpanRow, 's.')}"

    def span_kinds(self, wanted: SpanFilter) -> list[SpanKind]:
        """Return how many spans of each kind pass the filter."""
        where, values = wanted.where()
        names = f"i.agent_schema_version_id, s.schema_name, s.status, s.flags & {FOUND}"
        passing = f"{self._source(wanted, joined=True)} WHERE {where}"
        sql = f"SELECT {names}, COUNT(*) {passing} GROUP BY {names}"
        return [SpanKind(*row) for row in self._rows(sql, values)]

    def span_moves(self, instance_id: str | None, first_id: str) -> dict[str, int]:
        """Return a number for each instance that grows when one of its spans begins or ends.

        Args:
            instance_id: The only instance to return; else all whose spans may still change.
            first_id: Instances that ended are returned if their id is not less than this.
        """
        where, value = ("id = ?", instance_id) if instance_id else (statements.MAY_MOVE, first_id)
        rows = self._rows(f"{statements.MOVES} WHERE {where}", (value,))
        return {row_id: int(number) for row_id, number in rows}

    @abstractmethod
    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        """Return the used idempotency keys among *keys*, by key."""

    @abstractmethod
    def hold(self, instance_ids: Collection[str], span_ids: Collection[str]) -> bool:
        """Lock these instances, and those of these spans, until the transaction ends.

        Returns:
            Whether some of the spans may exist. If another transaction adds one of the others
            meanwhile, adding it here is a conflict.
        """

    @abstractmethod
    def add(self, row: Row) -> None:
        """Insert a row whose id is new."""

    @abstractmethod
    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        """Insert idempotency keys that were not used before."""

    @abstractmethod
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        """Insert new spans."""

    @abstractmethod
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        """Update what a finish changes in existing spans."""

    def add_span_counts(self, changes: Mapping[str, Mapping[str, int]]) -> None:
        """Add to the span counts of instances, by id and status."""
        rows: list[tuple[Value, ...]] = [
            (*(change.get(status, 0) for status in statements.COUNTS), instance_id)
            for instance_id, change in changes.items()
        ]
        self._run_many(statements.ADD_COUNTS, rows)

    def change_instances(self, rows: Collection[InstanceRow]) -> None:
        """Update existing instances, except their span counts."""
        values: list[tuple[Value, ...]] = [(*mutable(row), row.id) for row in rows]
        self._run_many(statements.UPDATE[InstanceRow], values)

    def change(
        self, row: AccountRow | EnvironmentRow | AgentRow | DeploymentRow | TokenRow | InstanceRow
    ) -> None:
        """Update an existing row; the span counts of an instance stay."""
        self._run(statements.UPDATE[type(row)], (*mutable(row), row.id))

    def remove(self, row: EnvironmentRow | DeploymentRow | TokenRow) -> None:
        """Delete a row, after the transactions that have read it.

        Whether the row is still in use is to be read after this: then no other transaction can
        begin to use it.
        """
        self._run(f"DELETE FROM {statements.TABLES[type(row)]} WHERE id = ?", (row.id,))  # noqa: S608 - a name from the tables

    def remove_agent(self, agent_id: str) -> None:
        """Delete an agent without instances, with its deployments, versions and tokens."""
        for table in statements.OF_AGENT:
            self._run(f"DELETE FROM {table} WHERE agent_id = ?", (agent_id,))  # noqa: S608 - a fixed text
        self._run("DELETE FROM agents WHERE id = ?", (agent_id,))

    @abstractmethod
    def forget_spans(self, first_id: str, most: int) -> int:
        """Delete up to *most* spans whose id is less than *first_id*; return how many.

        Where the table of spans has partitions by time, only spans outside of them are deleted.
        """

    def forget_old(self, before_us: int, first_id: str, most: int) -> Removed:
        """Delete old idempotency keys and old instances without spans.

        Args:
            before_us: An instance is old if it ended, and was last changed, before this.
            first_id: A span is old if its id is less than this; old spans are deleted already.
            most: The largest number of rows of a kind; fewer are deleted at the end.
        """
        keys = self._run(statements.FORGET_KEYS, (first_id, before_us, most))
        sql = statements.OLD + self._kept(InstanceRow)
        old = [row_id for (row_id,) in self._rows(sql, (before_us, before_us, most))]
        among, value = self._among("id", old)
        # Checked again, now that no transaction can add a span to them.
        sql = f"DELETE FROM agent_instances WHERE {among} AND {statements.SPANLESS} RETURNING id"  # noqa: S608 - a fixed text
        gone = [row[0] for row in self._rows(sql, (value,))]
        among, value = self._among("agent_instance_id", gone)
        self._run(f"DELETE FROM run_subjects WHERE {among}", (value,))  # noqa: S608 - as above
        sql = f"DELETE FROM idempotency_keys WHERE {among} AND agent_span_id IS NULL"  # noqa: S608 - a fixed text
        return Removed(0, len(gone), keys + self._run(sql, (value,)))

    def touch_token(self, token_id: str, now_us: int) -> None:
        """Record when a token was used."""
        self._run(statements.NOTE_USE, (now_us, token_id, now_us))

    def add_subjects(self, rows: Collection[SubjectRow]) -> None:
        """Record the subjects of runs; those recorded already stay."""
        for row in rows:
            self._run(f"{statements.INSERT[SubjectRow]} ON CONFLICT DO NOTHING", values_of(row))

    def note_causes(self, causes: Mapping[str, str]) -> None:
        """Record the traces that caused instances, by id."""
        self._run_many(statements.NOTE_CAUSE, [(trace, row_id) for row_id, trace in causes.items()])

    def instances_of_subject(self, subject_hash: str) -> list[str]:
        """Return the ids of the instances about a subject, oldest first."""
        sql = "SELECT agent_instance_id FROM run_subjects WHERE subject_hash = ? ORDER BY 1"
        return [row[0] for row in self._rows(sql, (subject_hash,))]

    def instances_of_agent(self, agent_id: str) -> list[str]:
        """Return the ids of an agent's instances, oldest first."""
        sql = "SELECT id FROM agent_instances WHERE agent_id = ? ORDER BY id"
        return [row[0] for row in self._rows(sql, (agent_id,))]

    def erasures(self, instance_id: str) -> list[ErasureRow]:
        """Return the erasures of an instance, oldest first."""
        return self._oldest_first(ErasureRow, "agent_instance_id = ?", instance_id)

    def erase(self, instance_id: str, erased_at: int) -> int:
        """Erase the payloads of an instance; return how many spans had some.

        The answers of its idempotency keys stay: see `replace_answers`.
        """
        spans = self._run(statements.ERASE_SPANS, (instance_id,))
        self._run(statements.ERASE_INSTANCE, (erased_at, instance_id))
        self._run("DELETE FROM run_subjects WHERE agent_instance_id = ?", (instance_id,))
        return spans

    def replace_answers(self, instance_id: str, answer: bytes) -> int:
        """Replace each answer of an instance's idempotency keys with *answer*; return how many."""
        return self._run(statements.ERASE_ANSWERS, (answer, instance_id))

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Return a block whose writes are undone if it raises, and theirs only."""
        self._run("SAVEPOINT item")
        try:
            yield
        except BaseException:
            self._run("ROLLBACK TO item")
            raise
        finally:
            self._run("RELEASE item")

    def _listed(
        self,
        kind: type[R],
        equal: Mapping[str, str],
        page: Page,
        *,
        owned: str = "account_id = ?",
        select: str | None = None,
    ) -> Listed[R]:
        """Return a page of rows; *owned* is the condition on the account for counting them."""
        for field in equal:
            statements.known(kind, field)
        # Without any condition SQLite counts pages instead of rows.
        where = "WHERE " + " AND ".join(f"{field} = ?" for field in equal) if equal else ""
        values = tuple(equal.values())
        counted = where.replace("account_id = ?", owned)
        total = self._count(f"FROM {statements.TABLES[kind]} {counted}", values)
        select = select or statements.SELECT[kind]
        sql = f"{select} {where} {page.clause(kind)}"
        return Listed(self._all(kind, sql, (*values, *page.limits)), total)

    def _count(self, rest: str, values: Sequence[Value]) -> int:
        ((count,),) = self._rows(f"SELECT COUNT(*) {rest}", values)
        return int(count)


def _fitting(spans: Iterable[tuple[str, int]], most_chars: int) -> list[str]:
    """Return the ids of the first *spans* that are *most_chars* long together, at least one."""
    ids: list[str] = []
    for span_id, chars in spans:
        most_chars -= chars
        if ids and most_chars < 0:
            break
        ids.append(span_id)
    return ids


def mutable(row: Row) -> tuple[Value, ...]:
    """Return what can change in *row*, in the order of `statements.MUTABLE`."""
    return tuple(getattr(row, field) for field in statements.MUTABLE[type(row)])


def values_of(row: Row) -> tuple[Value, ...]:
    """Return the values of *row*, in the order of its columns."""
    return msgspec.structs.astuple(row)
