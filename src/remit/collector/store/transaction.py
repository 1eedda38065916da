"""A transaction of either database: its queries and writes, and the SQL that both share.

A subclass says how a statement is sent, how a list of ids is written, and what differs for speed or
because of concurrent transactions.

What a writing transaction has read stays as it was until the transaction ends, so that decisions
made from it hold. There are two exceptions: spans and their idempotency keys stay only while their
run is locked (`hold`), and a row that did not exist when it was read may be inserted by another
transaction, which is a `ConflictError` here.

Counts, and the runs that a transaction changes, are collected and written once, before it commits
(`flush`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import msgspec

from remit.collector.store import statements
from remit.collector.store.counts import HOURS_PER_DAY, SPAN_COUNTS, US_PER_HOUR, Counts
from remit.collector.store.filters import KeyName, Listed, Page, SpanFilter, TypeCounts
from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.rows import (
    BEYOND,
    DENIED,
    FINDINGS,
    INVALID,
    STATUSES,
    UNCHECKED,
    UNDECLARED,
    WITHHELD,
    AccountRow,
    AgentRow,
    DeploymentRow,
    EnvironmentRow,
    ErasureRow,
    FindingRow,
    InstanceRow,
    KeyRow,
    Row,
    SchemaVersionRow,
    SpanRow,
    TokenRow,
    TypeRow,
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
_RUN_NAMES: Final = {name: f"r.{name}" for name in InstanceRow.__struct_fields__}
_SPAN_NAMES: Final = {name: f"s.{name}" for name in SpanRow.__struct_fields__} | {
    "schema_name": "t.name"
}
_WITH_TYPE: Final = "JOIN span_types AS t ON t.ref = s.type_ref"
_FLAGGED: Final = ", ".join(
    f"SUM(CASE WHEN (s.flags & {flags}) <> 0 THEN 1 ELSE 0 END)"
    for flags in (DENIED, WITHHELD, BEYOND, UNDECLARED, INVALID, UNCHECKED)
)
_FAILED: Final = STATUSES.index("failed")
_COMPLETE: Final = STATUSES.index("complete")
_SUMMED: Final = ", ".join(f"SUM({name}) AS {name}" for name in SPAN_COUNTS[:-2])
_CHARS: Final = "COALESCE(LENGTH(b.payload), 0) + COALESCE(LENGTH(b.result), 0)"
_TYPE: Final = "t.name, t.title, t.data_risk, t.hash"
_FINDING: Final = "kind, started_at, run_ref, span_id, number"
US_PER_DAY: Final = HOURS_PER_DAY * US_PER_HOUR
MAX_REFERENCES: Final = 10_000
"""Most references of each kind that are kept in memory."""

PlaceRefs: TypeAlias = tuple[int, int, int, int]


class References:
    """References of committed rows, by what they refer to; they never change.

    Attributes:
        places: Of a run's place: its own, that of its account, its agent and its environment.
        types: Of a span type, by agent, name and hash of its declaration.
    """

    __slots__ = ("places", "types")

    def __init__(self) -> None:
        """Know none."""
        self.places: dict[tuple[str, ...], PlaceRefs] = {}
        self.types: dict[tuple[int, str, str], int] = {}

    def add(self, other: References) -> None:
        """Take over what *other* knows."""
        if len(self.places) > MAX_REFERENCES:
            self.places.clear()
        if len(self.types) > MAX_REFERENCES:
            self.types.clear()
        self.places.update(other.places)
        self.types.update(other.types)


class Transaction(ABC):
    """An open transaction of a store.

    Where `account_id` is None, rows of every account are meant, for the owner of the machine. Each
    write may raise `ConflictError`.

    Attributes:
        counts: What is added to the counts at the end.
        references: References that this transaction has read or made.
    """

    dialect: ClassVar[str]
    """`sqlite` or `postgres`."""
    with_run: ClassVar[str]
    """The join of a span `s` with its run `r`."""
    span_key: ClassVar[tuple[str, ...]]
    """The columns that identify a span."""
    with_payloads: ClassVar[str]
    """The join of a span `s` with its payloads `b`, which may be gone."""

    def __init__(self, known: References) -> None:
        """Begin with the references in *known*."""
        self.counts = Counts()
        self.references = References()
        self._known = known

    @abstractmethod
    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        """Run a statement; return its rows."""

    @abstractmethod
    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; return the number of rows that it changed."""

    @abstractmethod
    def run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once for each row of values."""

    @abstractmethod
    def among(self, column: str, texts: Collection[str]) -> tuple[str, tuple[Value, ...]]:
        """Return the condition that *column* is one of *texts*, and its values."""

    @abstractmethod
    def among_ids(self, column: str, ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        """Return the condition that *column* is one of *ids*, and its values."""

    @abstractmethod
    def flush(self) -> None:
        """Write the counts and the changed runs, before the transaction commits."""

    def _kept(self, kind: type[Row]) -> str:
        """Return the lock clause of a select of *kind*, so that the rows it reads stay."""
        del kind
        return ""

    def _removable(self) -> str:
        """Return the lock clause of a select whose row is removed afterwards."""
        return ""

    def _all(self, kind: type[R], sql: str, values: Sequence[Value] = ()) -> list[R]:
        return [kind(*row) for row in self.rows(sql, values)]

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
        sql = f"{statements.SELECT[TokenRow]} ORDER BY inserted_at, id{self._kept(TokenRow)}"
        return self._all(TokenRow, sql)

    def token_of_hash(self, token_hash: bytes) -> TokenRow | None:
        """Return the token whose secret has this SHA-256."""
        return self._one(TokenRow, "token_hash = ?", token_hash)

    def tokens_made_by(self, token_ids: Collection[str]) -> list[TokenRow]:
        """Return the tokens that these tokens made."""
        where, values = self.among("made_by", token_ids)
        sql = f"{statements.SELECT[TokenRow]} WHERE {where} ORDER BY id{self._kept(TokenRow)}"
        return self._all(TokenRow, sql, values)

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
        where, values = self.among("a.id", agent_ids)
        if environment_id is not None:
            where = f"{where} AND {statements.RUN_FILTERS['environment_id']}"
            values = (*values, environment_id)
        sql = (
            "SELECT a.id, r.status, COUNT(*) FROM agents AS a "  # noqa: S608 - a fixed text
            f"JOIN runs AS r ON r.agent_ref = a.ref WHERE {where} GROUP BY a.id, r.status"
        )
        for agent_id, status, count in self.rows(sql, values):
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
        return next((str(row[0]) for row in self.rows(sql, (agent_id, external_identifier))), None)

    def schema_version_of_id(self, schema_version_id: str) -> SchemaVersionRow | None:
        """Return the schema version of this id."""
        return self.row(SchemaVersionRow, None, schema_version_id)

    # Runs

    def instances(
        self, account_id: str | None, instance_ids: Collection[str]
    ) -> dict[str, InstanceRow]:
        """Return the existing instances among *instance_ids*, keyed by id."""
        where, values = self.among_ids("r.id", [to_bytes(each) for each in instance_ids])
        if account_id is not None:
            where = f"{where} AND {statements.RUN_FILTERS['account_id']}"
            values = (*values, account_id)
        # In order, so that two transactions that lock several cannot deadlock.
        sql = f"{statements.RUNS} WHERE {where} ORDER BY r.id"
        rows = self._runs(sql + self._kept(InstanceRow), values)
        return {row.id: row for row in rows}

    def instance_of_identifier(
        self, agent_id: str, environment_id: str, external_identifier: str
    ) -> str | None:
        """Return the id of the instance of an agent in an environment with this identifier."""
        sql = (
            "SELECT k.run_id FROM run_keys AS k WHERE k.external_identifier = ? "
            "AND k.agent_ref = (SELECT ref FROM agents WHERE id = ?) "
            "AND k.environment_ref = (SELECT ref FROM environments WHERE id = ?)"
        )
        values = (external_identifier, agent_id, environment_id)
        return next((to_text(row[0]) for row in self.rows(sql, values)), None)

    def list_instances(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[InstanceRow]:
        """Return instances whose columns equal the values in *equal*."""
        owner = {} if account_id is None else {"account_id": account_id}
        # An agent belongs to one account; that of its runs is compared only if it is not named.
        wanted = {**owner, **equal}
        where = " AND ".join(statements.RUN_FILTERS[name] for name in wanted) or "TRUE"
        values = tuple(wanted.values())
        total = self._count(f"FROM runs AS r WHERE {where}", values)
        sql = f"{statements.RUNS} WHERE {where} {page.clause(InstanceRow, _RUN_NAMES)}"
        return Listed(self._runs(sql, (*values, *page.limits)), total)

    def add_run(self, row: InstanceRow) -> InstanceRow:
        """Insert a run whose id is new; return it with its references.

        Raises:
            ConflictError: Another transaction added one of the same id or external identifier.
        """
        place_ref, account_ref, agent_ref, environment_ref = self._place(row)
        row = msgspec.structs.replace(
            row,
            place_ref=place_ref,
            account_ref=account_ref,
            agent_ref=agent_ref,
            environment_ref=environment_ref,
        )
        values = {name: getattr(row, name) for name in statements.INSERTED}
        values["id"] = to_bytes(row.id)
        row = msgspec.structs.replace(row, ref=self._insert_run(values))
        if row.external_identifier is not None:
            key = (row.external_identifier, agent_ref, environment_ref, values["id"])
            self._insert_key_of_run(key)
        self.counts.run(None, row)
        return row

    @abstractmethod
    def _insert_run(self, values: Mapping[str, Value]) -> int:
        """Insert a row of `runs`; return its reference."""

    @abstractmethod
    def _insert_key_of_run(self, values: Sequence[Value]) -> None:
        """Insert a row of `run_keys`."""

    def _place(self, row: InstanceRow) -> PlaceRefs:
        """Return the references of the place of a run, which is added if it is new."""
        place = tuple(str(getattr(row, name)) for name in statements.PLACE)
        refs = self._known.places.get(place) or self.references.places.get(place)
        if refs is None:
            refs = self._find_place(place)
            if refs is None:
                account_id, agent_id, environment_id = place[0], place[1], place[4]
                self.run(statements.ADD_PLACE, (*place, account_id, agent_id, environment_id))
                refs = self._find_place(place)
            assert refs is not None  # noqa: S101 - it was added, here or elsewhere
            self.references.places[place] = refs
        return refs

    def _find_place(self, place: Sequence[str]) -> PlaceRefs | None:
        for place_ref, account_ref, agent_ref, environment_ref in self.rows(
            statements.FIND_PLACE, place
        ):
            return place_ref, account_ref, agent_ref, environment_ref
        return None

    def change_instances(self, rows: Collection[InstanceRow]) -> None:
        """Update existing instances, except what their spans change (`tally`)."""
        fields = statements.MUTABLE[InstanceRow]
        self._update_runs(fields, rows)

    def tally(self, rows: Collection[InstanceRow]) -> None:
        """Update what spans change in existing instances."""
        self._update_runs(statements.TALLIED, rows)

    def _update_runs(self, fields: Sequence[str], rows: Collection[InstanceRow]) -> None:
        changes = ", ".join(f"{field} = ?" for field in fields)
        sql = f"UPDATE runs SET {changes} WHERE id = ?"  # noqa: S608 - names of columns
        values: list[tuple[Value, ...]] = [
            (*(getattr(row, field) for field in fields), to_bytes(row.id)) for row in rows
        ]
        self.run_many(sql, values)
        for row in rows:
            self.counts.change(row)

    def _runs(self, sql: str, values: Sequence[Value] = ()) -> list[InstanceRow]:
        return [InstanceRow(to_text(row_id), *rest) for row_id, *rest in self.rows(sql, values)]

    # Spans

    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        """Return the existing spans among *span_ids*, keyed by id."""
        where, values = self.among_ids("s.id", [to_bytes(each) for each in span_ids])
        if account_id is not None:
            # The plus keeps SQLite from reading all runs of the account first.
            where = f"{where} AND +{statements.RUN_FILTERS['account_id']}"
            values = (*values, account_id)
        sql = f"SELECT {self._columns} {self._joined} WHERE {where}"
        return {row.id: row for row in self._spans(sql, values)}

    @property
    def _columns(self) -> str:
        ref = ", s.ref" if "ref" in self.span_key else ""
        return statements.SPAN_COLUMNS + ref

    @property
    def _joined(self) -> str:
        return f"FROM spans AS s {self.with_run} {_WITH_TYPE} {self.with_payloads}"

    def _spans(self, sql: str, values: Sequence[Value] = ()) -> list[SpanRow]:
        rows: list[SpanRow] = []
        runs: dict[bytes, str] = {}
        for run_id, span_id, parent_id, name, status, created, *rest in self.rows(sql, values):
            if run_id not in runs:
                runs[run_id] = to_text(run_id)
            flags, began, ended, inserted, updated, payload, result, *more = rest
            rows.append(
                SpanRow(
                    runs[run_id],
                    to_text(span_id),
                    None if parent_id is None else to_text(parent_id),
                    name,
                    STATUSES[status],
                    STATUSES[created],
                    flags,
                    began,
                    ended,
                    inserted,
                    updated,
                    statements.EMPTY if payload is None else payload,
                    result,
                    *more,
                )
            )
        return rows

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
        # A run is looked up first, and then its spans.
        source = f"FROM spans AS s {self.with_run if wanted.names_runs else ''}"
        total = self._count(f"{source} WHERE {where}", values)
        if page.field == "schema_name":
            source = f"{source} {_WITH_TYPE}"
        key = ", ".join(f"s.{name}" for name in self.span_key)
        inner = f"SELECT {key} {source} WHERE {where} {page.clause(SpanRow, _SPAN_NAMES)}"
        same = " AND ".join(f"s.{name} = k.{name}" for name in self.span_key)
        joined = self._joined.replace(
            "FROM spans AS s", f"FROM ({inner}) AS k JOIN spans AS s ON {same}"
        )
        order = page.order(SpanRow, _SPAN_NAMES)
        values = (*values, *page.limits)
        if most_chars is None:
            sql = f"SELECT {self._columns} {joined} {order}"
            return Listed(self._spans(sql, values), total)
        # A page may be too large for memory, so the lengths are read before the spans.
        sql = f"SELECT s.id, {_CHARS} {joined} {order}"
        sizes = ((to_text(span_id), chars) for span_id, chars in self.rows(sql, values))
        ids = _fitting(sizes, most_chars)
        spans = self.spans(None, ids)
        return Listed([spans[span_id] for span_id in ids if span_id in spans], total)

    def some_spans(self, wanted: SpanFilter, most: int) -> list[SpanRow]:
        """Return up to *most* spans that pass the filter, in the order of their ids."""
        where, values = wanted.where()
        sql = f"SELECT {self._columns} {self._joined} WHERE {where} ORDER BY s.id LIMIT ?"
        return self._spans(sql, (*values, most))

    def type_ref(self, row: TypeRow, words: Iterable[tuple[str, str]]) -> int:
        """Return the reference of a span type, which is added if it is new.

        Args:
            row: The type.
            words: The words of its data risk, each with its side: action, params or result.
        """
        key = (row.agent_ref, row.name, row.hash)
        ref = self._known.types.get(key) or self.references.types.get(key)
        if ref is None:
            ref = self._find_type(key)
            if ref is None:
                self.run(statements.ADD_TYPE, values_of(row))
                ref = self._find_type(key)
                assert ref is not None  # noqa: S101 - it was added, here or elsewhere
                self.run_many(statements.ADD_TYPE_WORD, [(word, side, ref) for word, side in words])
            self.references.types[key] = ref
        return ref

    def _find_type(self, key: tuple[int, str, str]) -> int | None:
        return next((int(ref) for (ref,) in self.rows(statements.FIND_TYPE, key)), None)

    def types_in_run(self, instance_id: str) -> list[TypeCounts]:
        """Return the numbers of spans of a run by type."""
        sql = (
            f"SELECT {_TYPE}, COUNT(*), SUM(CASE WHEN s.status = {_FAILED} THEN 1 ELSE 0 END), "  # noqa: S608 - fixed texts
            f"{_FLAGGED} FROM runs AS r {self._spans_of_run} {_WITH_TYPE} WHERE r.id = ? "
            f"GROUP BY s.type_ref, {_TYPE}"
        )
        return [_type_counts(row) for row in self.rows(sql, (to_bytes(instance_id),))]

    @property
    def _spans_of_run(self) -> str:
        """The join of a run `r` with its spans `s`."""
        return self.with_run.replace("runs AS r", "spans AS s")

    def types_of_agent(
        self, agent_id: str, environment_id: str | None, hours: tuple[int, int]
    ) -> list[TypeCounts]:
        """Return the numbers of spans of an agent by type.

        Args:
            agent_id: The agent.
            environment_id: Only this environment; None for all.
            hours: The first hour since 1970 and the one after the last.
        """
        begin, end = hours
        first_day, end_day = -(-begin // HOURS_PER_DAY), end // HOURS_PER_DAY
        if first_day >= end_day:
            parts = [("span_hours", begin, end)]
        else:
            parts = [
                ("span_hours", begin, first_day * HOURS_PER_DAY),
                ("span_days", first_day, end_day),
                ("span_hours", end_day * HOURS_PER_DAY, end),
            ]
        environment = (
            ""
            if environment_id is None
            else (" AND environment_ref = (SELECT ref FROM environments WHERE id = ?)")
        )
        chosen: list[str] = []
        values: list[Value] = []
        for table, first, after in parts:
            source = self.counted(table)
            chosen.append(
                f"SELECT type_ref, {_SUMMED} FROM {source} AS c WHERE bucket >= ? AND bucket < ? "  # noqa: S608 - fixed texts
                f"AND agent_ref = (SELECT ref FROM agents WHERE id = ?){environment} "
                "GROUP BY type_ref"
            )
            values += [
                first,
                after,
                agent_id,
                *([] if environment_id is None else [environment_id]),
            ]
        sql = (
            f"SELECT {_TYPE}, SUM(unfinished + complete + failed + cancelled), SUM(failed), "  # noqa: S608 - fixed texts
            "SUM(denied), SUM(withheld), SUM(beyond), SUM(undeclared), SUM(invalid), "
            f"SUM(unchecked) FROM ({' UNION ALL '.join(chosen)}) AS h "
            f"JOIN span_types AS t ON t.ref = h.type_ref GROUP BY t.ref, {_TYPE}"
        )
        return [_type_counts(row) for row in self.rows(sql, values)]

    def counted(self, table: str) -> str:
        """Return the table of counts to read; PostgreSQL adds what is not folded yet."""
        return table

    def withheld(
        self, agent_id: str, environment_id: str | None, days: tuple[int, int]
    ) -> dict[str, int]:
        """Return how often rules withheld a value in spans of an agent, the most frequent first.

        Args:
            agent_id: The agent.
            environment_id: Only this environment; None for all.
            days: The first day since 1970 and the one after the last.
        """
        environment = (
            ""
            if environment_id is None
            else (" AND environment_ref = (SELECT ref FROM environments WHERE id = ?)")
        )
        sql = (
            f"SELECT rule, SUM(times) FROM {self.counted('withheld_days')} AS c "  # noqa: S608 - fixed texts
            "WHERE bucket >= ? AND bucket < ? "
            f"AND agent_ref = (SELECT ref FROM agents WHERE id = ?){environment} "
            "GROUP BY rule ORDER BY 2 DESC, rule"
        )
        values = (*days, agent_id, *([] if environment_id is None else [environment_id]))
        return {rule: int(times) for rule, times in self.rows(sql, values)}

    def sentences(
        self,
        kind: int,
        *,
        instance_id: str | None = None,
        agent_id: str | None = None,
        environment_id: str | None = None,
        period_us: tuple[int, int] = (0, 0),
        most: int,
    ) -> dict[str, int]:
        """Return the sentences of findings of a kind, the most frequent first, with their numbers.

        Args:
            kind: The flag.
            instance_id: The run; else the agent and the period count.
            agent_id: The agent.
            environment_id: Only this environment; None for all.
            period_us: The first and the last instant, in microseconds since 1970.
            most: Number of sentences.
        """
        if instance_id is not None:
            where = "f.run_ref = (SELECT ref FROM runs WHERE id = ?)"
            values: list[Value] = [to_bytes(instance_id)]
        else:
            where = (
                "f.started_at >= ? AND f.started_at <= ? "
                "AND f.agent_ref = (SELECT ref FROM agents WHERE id = ?)"
            )
            values = [*period_us, agent_id]
            if environment_id is not None:
                where += " AND f.environment_ref = (SELECT ref FROM environments WHERE id = ?)"
                values.append(environment_id)
        sql = (
            f"SELECT f.sentence, COUNT(*) FROM span_findings AS f WHERE f.kind = ? AND {where} "  # noqa: S608 - fixed texts
            "AND f.sentence IS NOT NULL GROUP BY f.sentence ORDER BY 2 DESC, 1 LIMIT ?"
        )
        return dict(self.rows(sql, (kind, *values, most)))

    def handled(self, instance_id: str) -> int:
        """Return the number of failed spans of a run whose parent is complete."""
        parent = self._spans_of_run.replace("spans AS s", "spans AS a").replace("s.", "a.")
        sql = (
            f"SELECT COUNT(*) FROM runs AS r {self._spans_of_run} {parent} AND a.id = s.parent_id "  # noqa: S608 - fixed texts
            f"WHERE r.id = ? AND s.status = {_FAILED} AND a.status = {_COMPLETE}"
        )
        return self._one_number(sql, (to_bytes(instance_id),))

    def span_moves(self, instance_id: str | None, first_id: str) -> dict[str, int]:
        """Return a number for each instance that grows when one of its spans begins or ends.

        Args:
            instance_id: The only instance to return; else all whose spans may still change.
            first_id: Instances that ended are returned if their id is not less than this.
        """
        where, value = (
            ("r.id = ?", to_bytes(instance_id))
            if instance_id
            else (statements.MAY_MOVE, to_bytes(first_id))
        )
        rows = self.rows(f"{statements.MOVES} WHERE {where}", (value,))
        return {to_text(row_id): int(number) for row_id, number in rows}

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
        """Insert a row whose id is new, which is no run and no span."""

    @abstractmethod
    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        """Insert idempotency keys that were not used before."""

    @abstractmethod
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        """Insert new spans, whose references to run and type are known."""

    @abstractmethod
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        """Update what a finish changes in existing spans."""

    @abstractmethod
    def add_findings(self, rows: Sequence[FindingRow]) -> None:
        """Insert findings; those recorded already stay."""

    @abstractmethod
    def add_labels(self, run: InstanceRow, labels: Iterable[tuple[str, str]]) -> None:
        """Record labels of a run, as pairs of key and value; those recorded already stay."""

    @abstractmethod
    def add_subject(self, run: InstanceRow, subject_hash: str) -> None:
        """Record a subject of a run; one recorded already stays."""

    def change(
        self, row: AccountRow | EnvironmentRow | AgentRow | DeploymentRow | TokenRow
    ) -> None:
        """Update an existing row."""
        self.run(statements.UPDATE[type(row)], (*mutable(row), row.id))

    def remove(self, row: EnvironmentRow | DeploymentRow | TokenRow) -> None:
        """Delete a row, after the transactions that have read it.

        Whether the row is still in use is to be read after this: then no other transaction can
        begin to use it.
        """
        self.run(f"DELETE FROM {statements.TABLES[type(row)]} WHERE id = ?", (row.id,))  # noqa: S608 - a name from the tables

    def remove_agent(self, agent_id: str) -> None:
        """Delete an agent without instances, with its deployments, versions and tokens."""
        for table in statements.OF_AGENT:
            self.run(f"DELETE FROM {table} WHERE agent_id = ?", (agent_id,))  # noqa: S608 - a fixed text
        self.run("DELETE FROM agents WHERE id = ?", (agent_id,))

    @abstractmethod
    def forget_spans(self, first_id: str, most: int) -> int:
        """Delete up to *most* spans whose id is less than *first_id*; return how many.

        Where the table of spans has partitions by time, only spans outside of them are deleted.
        """

    @abstractmethod
    def forget_payloads(self, first_id: str, most: int) -> tuple[int, bool]:
        """Delete the payloads of some spans whose id is less than *first_id*.

        Where the table has partitions by time, only payloads outside of them are deleted.

        Args:
            first_id: Ids from this on are too young.
            most: The largest number of spans to look at.

        Returns:
            How many payloads were deleted, and whether a further call may delete more.
        """

    def forget_findings(self, before_us: int, most: int) -> int:
        """Delete up to *most* findings of each kind of days that ended before *before_us*."""
        day_us = before_us // US_PER_DAY * US_PER_DAY
        sql = (
            f"DELETE FROM span_findings WHERE ({_FINDING}) IN (SELECT {_FINDING} "  # noqa: S608 - fixed texts
            "FROM span_findings WHERE kind = ? AND started_at < ? ORDER BY started_at LIMIT ?)"
        )
        return sum(self.run(sql, (kind, day_us, most)) for kind in FINDINGS)

    def forget_counts(self, before_us: int) -> None:
        """Delete the counts of days that ended before *before_us*."""
        day = before_us // US_PER_DAY
        for table, bucket in (
            ("span_hours", day * HOURS_PER_DAY),
            ("span_days", day),
            ("run_hours", day * HOURS_PER_DAY),
            ("withheld_days", day),
        ):
            self.run(f"DELETE FROM {table} WHERE bucket < ?", (bucket,))  # noqa: S608 - a fixed text

    def forget_runs(
        self, before_us: int, ids: tuple[str, str], most: int
    ) -> tuple[int, int, str | None]:
        """Delete the old ones among the next runs that have no spans, with their keys.

        Args:
            before_us: A run is old if it ended, and was last changed, before this.
            ids: Runs with ids after the first and before the second are looked at.
            most: How many of them.

        Returns:
            How many runs and keys were deleted, and the last id that was looked at; None if there
            are no further ones.
        """
        after, first = map(to_bytes, ids)
        sql = "SELECT r.id FROM runs AS r WHERE r.id > ? AND r.id < ? ORDER BY r.id LIMIT ?"
        seen = [row_id for (row_id,) in self.rows(sql, (after, first, most))]
        if not seen:
            return 0, 0, None
        spanless = f"NOT EXISTS (SELECT 1 FROM spans AS s WHERE {self._same_run})"  # noqa: S608 - fixed texts
        # `finished_at` comes from the client, `updated_at` from the collector.
        sql = (
            "SELECT r.id FROM runs AS r WHERE r.id > ? AND r.id <= ? AND r.finished_at < ? "  # noqa: S608 - fixed texts
            f"AND r.updated_at < ? AND {spanless} ORDER BY r.id{self._kept(InstanceRow)}"
        )
        old = [row_id for (row_id,) in self.rows(sql, (after, seen[-1], before_us, before_us))]
        last_id = None if len(seen) < most else to_text(seen[-1])
        runs, keys = self._remove_runs(old, spanless) if old else (0, 0)
        return runs, keys, last_id

    def _remove_runs(self, ids: Collection[bytes], spanless: str) -> tuple[int, int]:
        """Delete runs with their keys; return how many of both."""
        among, values = self.among_ids("r.id", ids)
        # Checked again, now that no transaction can add a span to them.
        sql = (
            f"DELETE FROM runs AS r WHERE {among} AND {spanless} "  # noqa: S608 - fixed texts
            "RETURNING id, ref, external_identifier"
        )
        gone = list(self.rows(sql, values))
        for run_id, run_ref, identifier in gone:
            for table in ("run_changes", "run_labels", "run_subjects", "span_findings"):
                self.run(f"DELETE FROM {table} WHERE run_ref = ?", (run_ref,))  # noqa: S608 - a fixed text
            if identifier is not None:
                sql = "DELETE FROM run_keys WHERE external_identifier = ? AND run_id = ?"
                self.run(sql, (identifier, run_id))
        among, values = self.among("agent_instance_id", [to_text(row[0]) for row in gone])
        sql = f"DELETE FROM idempotency_keys WHERE {among} AND agent_span_id IS NULL"  # noqa: S608 - a fixed text
        return len(gone), self.run(sql, values)

    def forget_keys(
        self, before_us: int, first_id: str, after: KeyName, most: int
    ) -> tuple[int, KeyName | None]:
        """Delete the old ones among the next idempotency keys that belong to no run that remains.

        Args:
            before_us: A key without a run is old if it was used before this.
            first_id: The key of a span is old if the id of the span is less than this; old spans
                are deleted already.
            after: Keys after this are looked at.
            most: How many of them.

        Returns:
            How many were deleted, and the last that was looked at; None if there are no further
            ones.
        """
        names = list(self.rows(statements.NEXT_KEYS, (*after, most)))
        if not names:
            return 0, None
        last: KeyName = names[-1]
        count = self.run(statements.FORGET_KEYS, (*after, *last, first_id, before_us))
        return count, None if len(names) < most else last

    @property
    def _same_run(self) -> str:
        """The condition that a span `s` belongs to the run `r`."""
        return self.with_run.partition(" ON ")[2]

    def touch_token(self, token_id: str, now_us: int) -> None:
        """Record when a token was used."""
        self.run(statements.NOTE_USE, (now_us, token_id, now_us))

    def instances_of_subject(self, subject_hash: str) -> list[str]:
        """Return the ids of the instances about a subject, oldest first."""
        sql = "SELECT run_id FROM run_subjects WHERE subject_hash = ? ORDER BY 1"
        return [to_text(row[0]) for row in self.rows(sql, (subject_hash,))]

    def instances_of_agent(self, agent_id: str) -> list[str]:
        """Return the ids of an agent's instances, oldest first."""
        where = statements.RUN_FILTERS["agent_id"]
        sql = f"SELECT r.id FROM runs AS r WHERE {where} ORDER BY r.id"  # noqa: S608 - a fixed text
        return [to_text(row[0]) for row in self.rows(sql, (agent_id,))]

    def erasures(self, instance_id: str) -> list[ErasureRow]:
        """Return the erasures of an instance, oldest first."""
        return self._oldest_first(ErasureRow, "agent_instance_id = ?", instance_id)

    def erase(self, run: InstanceRow, erased_at: int) -> int:
        """Erase the payloads of an instance; return how many spans had some.

        The answers of its idempotency keys stay: see `replace_answers`.
        """
        spans = self._erase_payloads(run)
        self.run(statements.ERASE_RUN, (erased_at, to_bytes(run.id)))
        for change in (
            "UPDATE spans SET summary = NULL WHERE run_ref = ? AND summary IS NOT NULL",
            "UPDATE span_findings SET sentence = NULL WHERE run_ref = ?",
            "DELETE FROM run_subjects WHERE run_ref = ?",
            "DELETE FROM run_labels WHERE run_ref = ?",
        ):
            self.run(change, (run.ref,))
        self.counts.change(run)
        return spans

    @abstractmethod
    def _erase_payloads(self, run: InstanceRow) -> int:
        """Erase the payloads of the spans of a run; return how many had some."""

    def replace_answers(self, instance_id: str, answer: bytes) -> int:
        """Replace each answer of an instance's idempotency keys with *answer*; return how many."""
        return self.run(statements.ERASE_ANSWERS, (answer, instance_id))

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Return a block whose writes are undone if it raises, and theirs only."""
        counts = self.counts.copy()
        self.run("SAVEPOINT item")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK TO item")
            self.counts, self.references = counts, References()
            raise
        finally:
            self.run("RELEASE item")

    def _count(self, rest: str, values: Sequence[Value]) -> int:
        return self._one_number(f"SELECT COUNT(*) {rest}", values)

    def _one_number(self, sql: str, values: Sequence[Value]) -> int:
        ((count,),) = self.rows(sql, values)
        return int(count)


def _type_counts(row: Sequence[Any]) -> TypeCounts:
    name, title, data_risk, declaration, *counts = row
    return TypeCounts(name, title, data_risk, bool(declaration), *map(int, counts))


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
