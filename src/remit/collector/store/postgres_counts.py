"""The counts by hour and day: increments that transactions append are added to them later.

Two transactions that count spans of the same hour and type would wait for each other if both
updated the row of that hour. So each appends increments, and one process at a time moves them. A
reader uses the views `all_...`, which have both.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.store.counts import (
    HOURS_PER_DAY,
    REDACTED_KEY,
    RUN_COUNTS,
    RUN_KEY,
    SPAN_COUNTS,
    SPAN_KEY,
    US_PER_HOUR,
)
from remit.collector.store.postgres_locks import COUNTS_LOCK
from remit.collector.store.postgres_pool import Results

MOST_INCREMENTS: Final = 20_000
"""The number of increments of a table that one transaction moves."""
_LARGEST: Final = "duration_max_us"


class _Increments(NamedTuple):
    """One table of increments.

    Attributes:
        keys: The columns of the key, after the bucket.
        targets: The tables to which they are added, and how many buckets of the increments one
            bucket of theirs has.
    """

    name: str
    keys: tuple[str, ...]
    counts: tuple[str, ...]
    targets: tuple[tuple[str, int], ...]


_TABLES: Final = (
    _Increments(
        "span_increments", SPAN_KEY[1:], SPAN_COUNTS, (("span_hours", 1), ("span_days", 24))
    ),
    _Increments("run_increments", RUN_KEY[1:], RUN_COUNTS, (("run_hours", 1),)),
    _Increments("redacted_increments", REDACTED_KEY[1:], ("times",), (("redacted_days", 1),)),
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
    bucket = "bucket" if buckets == 1 else f"floor(bucket / {buckets}.0)::int"
    keys, counts = ", ".join(table.keys), ", ".join(table.counts)
    totals = ", ".join(_total(column) for column in table.counts)
    changes = ", ".join(_changed(target, column) for column in table.counts)
    return (
        f"INSERT INTO {target} (bucket, {keys}, {counts}) "
        f"SELECT {bucket}, {keys}, {totals} FROM moved GROUP BY {bucket}, {keys} "
        f"ON CONFLICT (bucket, {keys}) DO UPDATE SET {changes}"
    )


def _moving(table: _Increments) -> bytes:
    adding = ", ".join(
        f"{target}_changed AS ({_adding(table, target, buckets)})"
        for target, buckets in table.targets
    )
    return (
        f"WITH moved AS (DELETE FROM {table.name} WHERE ctid = ANY(ARRAY("
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
    return max(int(n) for move in _MOVE for (n,) in cursor.execute(move).fetchall())


def forget_increments(cursor: Results, before_us: int) -> None:
    """Delete the increments of days that ended before a time, and keep others from adding them."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (COUNTS_LOCK,))
    day = before_us // US_PER_HOUR // HOURS_PER_DAY
    for table, bucket in (
        ("span_increments", day * HOURS_PER_DAY),
        ("run_increments", day * HOURS_PER_DAY),
        ("redacted_increments", day),
    ):
        cursor.execute(f"DELETE FROM {table} WHERE bucket < %s".encode(), (bucket,))
