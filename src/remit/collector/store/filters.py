"""Pages and filters of lists, with their SQL, and results of queries that are no rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from remit.collector.store import statements
from remit.collector.store.rows import Row
from remit.collector.store.statements import Value

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list are wanted.

    Attributes:
        offset: The number of rows to skip.
        size: The largest number of rows.
        field: The column to sort by; ties are broken by id.
        descending: Largest first.
    """

    offset: int
    size: int
    field: str
    descending: bool

    def order(self, kind: type[Row], prefix: str = "") -> str:
        """Return the `ORDER BY` of rows of *kind*; NULL counts as the smallest value."""
        direction = "DESC" if self.descending else "ASC"
        field = statements.known(kind, self.field)
        absent = ""
        if field in statements.NULLABLE[kind]:
            absent = " NULLS LAST" if self.descending else " NULLS FIRST"
        ties = "" if field == "id" else f", {prefix}id {direction}"
        return f"ORDER BY {prefix}{field} {direction}{absent}{ties}"

    def clause(self, kind: type[Row], prefix: str = "") -> str:
        """Return the end of a statement that selects the page; its values are `limits`."""
        return f"{self.order(kind, prefix)} LIMIT ? OFFSET ?"

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
    started_from_us: int | None = None
    started_to_us: int | None = None
    changed_from_us: int | None = None
    first_id: str | None = None
    flags: int | None = None

    def where(self) -> tuple[str, tuple[Value, ...]]:
        """Return the condition on spans `s` of instances `i`, and its values."""
        conditions: dict[str, Value] = {
            "i.account_id = ?": self.account_id,
            "s.agent_instance_id = ?": self.agent_instance_id,
            "i.agent_id = ?": self.agent_id,
            "i.environment_id = ?": self.environment_id,
            "s.schema_name = ?": self.schema_name,
            "s.started_at >= ?": self.started_from_us,
            "s.started_at <= ?": self.started_to_us,
            "s.updated_at >= ?": self.changed_from_us,
            "s.id >= ?": self.first_id,
            "(s.flags & ?) <> 0": self.flags,
        }
        used = {text: value for text, value in conditions.items() if value is not None}
        return " AND ".join(used) or "TRUE", tuple(used.values())

    @property
    def names_instances(self) -> bool:
        """Whether the condition names columns of instances."""
        columns = (self.account_id, self.agent_id, self.environment_id)
        return any(value is not None for value in columns)


class SpanKind(NamedTuple):
    """Spans that are counted together.

    Attributes:
        agent_schema_version_id: Schema version of their runs.
        schema_name: Their type.
        status: Their status.
        flags: Their flags among `FOUND`.
        spans: The number of spans.
    """

    agent_schema_version_id: str
    schema_name: str
    status: str
    flags: int
    spans: int


class Removed(NamedTuple):
    """What was deleted because of its age.

    Attributes:
        spans: The number of spans.
        instances: The number of instances.
        keys: The number of idempotency keys.
        parts: Names of the partitions that were dropped.
    """

    spans: int = 0
    instances: int = 0
    keys: int = 0
    parts: tuple[str, ...] = ()
