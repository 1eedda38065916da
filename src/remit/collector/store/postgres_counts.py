"""The counts by hour and day: increments that transactions append, and their addition to the counts.

Two transactions that count spans of the same hour and type would wait for each other if both
updated the row of that hour. So each appends increments, and one process at a time moves them. A
reader uses the views `all_...`, which have both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from psycopg import Cursor

Results: TypeAlias = "Cursor[tuple[Any, ...]]"

COUNTS_LOCK: Final = 0x72656D69_00000003
"""Number of the advisory lock under which increments are moved and old counts are deleted."""
MOST_INCREMENTS: Final = 20_000
"""The number of increments of a table that one transaction moves."""
_LARGEST: Final = "duration_max_us"
_PLACE: Final = ("agent_ref", "environment_ref")
_OF_SPANS: Final = (*_PLACE, "purpose", "type_ref")
_SPANS: Final = (
    "unfinished",
    "complete",
    "failed",
    "cancelled",
    "denied",
    "withheld",
    "beyond",
    "undeclared",
    "invalid",
    "unchecked",
    "duration_us",
    _LARGEST,
)
_RUNS: Final = ("pending", "active", "complete", "failed", "terminated", "cancelled")


class _Increments(NamedTuple):
    """One table of increments.

    Attributes:
        name: Its name.
        keys: The columns of the key, after the bucket.
        counts: The other columns.
        targets: The tables to which they are added, and how many buckets of the increments one
            bucket of theirs has.
    """

    name: str
    keys: tuple[str, ...]
    counts: tuple[str, ...]
    targets: tuple[tuple[str, int], ...]


_HOURS_OF_DAY: Final = 24
_TABLES: Final = (
    _Increments("span_increments", _OF_SPANS, _SPANS, (("span_hours", 1), ("span_days", 24))),
    _Increments("run_increments", (*_PLACE, "purpose"), _RUNS, (("run_hours", 1),)),
    _Increments(
        "withheld_increments", (*_PLACE, "type_ref", "rule"), ("times",), (("withheld_days", 1),)
    ),
)
VACUUM: Final = f"VACUUM (TRUNCATE FALSE) {', '.join(table.name for table in _TABLES)}"
"""Frees the space of moved increments, which readers would otherwise read through."""


def _total(column: str) -> str:
    return f"MAX({column})" if column == _LARGEST else f"SUM({column})::bigint"


def _changed(target: str, column: str) -> str:
    old, new = f"{target}.{column}", f"EXCLUDED.{column}"
    both = f"GREATEST({old}, {new})" if column == _LARGEST else f"{old} + {new}"
    return f"{column} = {both}"


def _adding(table: _Increments, target: str, buckets: int) -> str:
    """Return the statement that adds `moved` to one table of counts."""
    bucket = "bucket" if buckets == 1 else f"floor(bucket / {buckets}.0)::int"
    keys, counts = ", ".join(table.keys), ", ".join(table.counts)
    totals = ", ".join(_total(column) for column in table.counts)
    changes = ", ".join(_changed(target, column) for column in table.counts)
    return (
        f"INSERT INTO {target} (bucket, {keys}, {counts}) "  # noqa: S608 - names from the table above
        f"SELECT {bucket}, {keys}, {totals} FROM moved GROUP BY {bucket}, {keys} "
        f"ON CONFLICT (bucket, {keys}) DO UPDATE SET {changes}"
    )


def _moving(table: _Increments) -> bytes:
    """Return the statement that moves increments and returns their number."""
    adding = ", ".join(
        f"{target}_changed AS ({_adding(table, target, buckets)})"
        for target, buckets in table.targets
    )
    return (
        f"WITH moved AS (DELETE FROM {table.name} WHERE ctid = ANY(ARRAY("  # noqa: S608 - as above
        f"SELECT ctid FROM {table.name} LIMIT {MOST_INCREMENTS})) RETURNING *), {adding} "
        "SELECT COUNT(*) FROM moved"
    ).encode()


_MOVE: Final = tuple(_moving(table) for table in _TABLES)


def fold(cursor: Results) -> int:
    """Add increments to the counts, in the transaction of *cursor*, unless another process does.

    Returns:
        The number of increments of the table that had most of them: if it is `MOST_INCREMENTS`,
        some may be left.
    """
    ((locked,),) = cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (COUNTS_LOCK,)).fetchall()
    if not locked:
        return 0
    return max(_moved(cursor))


def _moved(cursor: Results) -> Iterator[int]:
    for statement in _MOVE:
        ((count,),) = cursor.execute(statement).fetchall()
        yield int(count)


def forget(cursor: Results, before_hour: int) -> None:
    """Delete the counts of the days before that of an hour, and the increments that belong there."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (COUNTS_LOCK,))
    before_day = before_hour // _HOURS_OF_DAY
    for statement, bucket in _forgetting(before_day):
        cursor.execute(statement.encode(), (bucket,))


def _forgetting(before_day: int) -> Sequence[tuple[str, int]]:
    before_hour = before_day * _HOURS_OF_DAY
    return [
        (f"DELETE FROM {name} WHERE bucket < %s", bucket)  # noqa: S608 - fixed names
        for name, bucket in (
            ("span_increments", before_hour),
            ("run_increments", before_hour),
            ("withheld_increments", before_day),
            ("span_hours", before_hour),
            ("span_days", before_day),
            ("run_hours", before_hour),
            ("withheld_days", before_day),
        )
    ]
