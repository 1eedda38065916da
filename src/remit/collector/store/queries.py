"""Queries of a store as values (a page, a filter), and answers that are no rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from remit.collector.store.rows import Row

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list are wanted.

    Attributes:
        offset: How many rows to pass over.
        size: How many rows at most.
        field: Column to sort by, a name of the row's; ties are broken by id.
        descending: Largest first.
    """

    offset: int
    size: int
    field: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Listed(Generic[R]):
    """One page of rows, and how many there are in all."""

    rows: Sequence[R]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFilter:
    """Which spans are wanted; what is None does not matter. Times are inclusive.

    With `flags` only spans that have one of them.
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


class SpanKind(NamedTuple):
    """Spans that are counted together.

    Attributes:
        agent_schema_version_id: Schema version of their runs.
        schema_name: Their type.
        status: Where they stand.
        flags: Those of their flags that the collector found out.
        spans: How many they are.
    """

    agent_schema_version_id: str
    schema_name: str
    status: str
    flags: int
    spans: int


class Removed(NamedTuple):
    """What was removed because it was old.

    Attributes:
        spans: How many spans.
        instances: How many instances.
        keys: How many idempotency keys.
        parts: Names of the parts of the table of spans that were dropped.
    """

    spans: int = 0
    instances: int = 0
    keys: int = 0
    parts: tuple[str, ...] = ()
