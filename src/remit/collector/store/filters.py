"""Pages and filters of lists, with their SQL, and results of queries other than rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from remit.collector.store import statements
from remit.collector.store.ids import to_bytes
from remit.collector.store.rows import STATUSES, Row
from remit.collector.store.statements import Value, Where

R = TypeVar("R", bound=Row)
KeyName: TypeAlias = tuple[str, str, str]
"""Account, operation and text of an idempotency key."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list are wanted.

    Attributes:
        field: The column to sort by; ties are broken by id.
        descending: Largest first.
    """

    offset: int
    size: int
    field: str
    descending: bool

    def order(self, kind: type[Row], names: Mapping[str, str] | None = None) -> str:
        """Return the `ORDER BY` of rows of *kind*; NULL counts as the smallest value.

        Args:
            names: The columns of the fields, where they have other names.
        """
        direction = "DESC" if self.descending else "ASC"
        field = statements.known(kind, self.field)
        absent = ""
        if field in statements.NULLABLE[kind]:
            absent = " NULLS LAST" if self.descending else " NULLS FIRST"
        named = names or {}
        ties = "" if field == "id" else f", {named.get('id', 'id')} {direction}"
        return f"ORDER BY {named.get(field, field)} {direction}{absent}{ties}"

    def clause(self, kind: type[Row], names: Mapping[str, str] | None = None) -> str:
        """Return the end of a statement that selects the page; its values are `limits`."""
        return f"{self.order(kind, names)} LIMIT ? OFFSET ?"

    @property
    def limits(self) -> tuple[int, int]:
        """The values of `LIMIT` and `OFFSET`."""
        return self.size, self.offset


@dataclass(frozen=True, slots=True)
class Listed(Generic[R]):
    """One page of rows, and the number of all rows that match."""

    rows: Sequence[R]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFilter:
    """Which spans are wanted; fields that are None exclude nothing. Times are inclusive.

    With `flags`, spans that have at least one of them.
    """

    account_id: str | None = None
    agent_instance_id: str | None = None
    agent_id: str | None = None
    environment_id: str | None = None
    schema_name: str | None = None
    status: str | None = None
    started_from_us: int | None = None
    started_to_us: int | None = None
    flags: int | None = None

    def where(self) -> tuple[str, tuple[Value, ...]]:
        """Return the condition on spans `s` of runs `r`, and its values."""
        run_id = self.agent_instance_id
        where = Where()
        where.add_nested("s.type_ref IN (SELECT ref FROM span_types WHERE {})", self._types())
        where.add_known("r.id = ?", None if run_id is None else to_bytes(run_id))
        where.add_known(
            "s.status = ?", None if self.status is None else STATUSES.index(self.status)
        )
        where.add_known("s.started_at >= ?", self.started_from_us)
        where.add_known("s.started_at <= ?", self.started_to_us)
        where.add_known("(s.flags & ?) <> 0", self.flags)
        where.add_known(statements.RUN_FILTERS["environment_id"], self.environment_id)
        if run_id is not None:
            where.add_known(statements.RUN_FILTERS["account_id"], self.account_id)
        return where.text, tuple(where.values)

    def _types(self) -> Where:
        where = Where()
        where.add_known("agent_ref = (SELECT ref FROM agents WHERE id = ?)", self.agent_id)
        where.add_known("name = ?", self.schema_name)
        if self.agent_instance_id is None:
            owned = "agent_ref IN (SELECT a.ref FROM agents AS a WHERE a.account_id = ?)"
            where.add_known(owned, self.account_id)
        return where

    @property
    def names_runs(self) -> bool:
        """Whether the condition is on columns of runs."""
        return self.agent_instance_id is not None or self.environment_id is not None


class TypeCounts(NamedTuple):
    """Numbers of spans of one type, as one declaration of it describes it."""

    name: str
    title: str
    data_risk: str | None
    declared: bool
    spans: int
    failed: int
    denied: int
    redacted: int
    violation: int
    undeclared: int
    invalid: int
    unchecked: int


class Removed(NamedTuple):
    """Numbers of rows that were deleted because of their age.

    Attributes:
        parts: Names of the partitions that were dropped.
        payloads: The number of spans whose payloads alone were deleted.
    """

    spans: int = 0
    runs: int = 0
    keys: int = 0
    parts: tuple[str, ...] = ()
    payloads: int = 0
