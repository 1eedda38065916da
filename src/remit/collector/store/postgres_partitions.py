"""The partitions of the table of spans: one for each week, by the time with which an id begins.

A partition is created weeks ahead and dropped as a whole when it is old. Spans of a time without a
partition are in the default one, from which they move when theirs is created.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

from psycopg import Cursor

from remit.collector.store.retention import bound_at

Results: TypeAlias = "Cursor[tuple[Any, ...]]"

PARTS_LOCK: Final = 0x72656D69_00000002
"""Number of the advisory lock under which partitions are created and dropped."""
TABLE: Final = "agent_spans"
OTHER: Final = "agent_spans_other"
WEEK_MS: Final = 7 * 24 * 3600 * 1000
WEEKS_BEFORE: Final = 1
WEEKS_AHEAD: Final = 3
# 1970 began on a Thursday; partitions begin on Mondays.
_MONDAY_MS: Final = 4 * 24 * 3600 * 1000
_NAMES: Final = f"""
    SELECT relid::regclass::text FROM pg_partition_tree('{TABLE}') WHERE isleaf
"""  # noqa: S608 - a fixed name


class Part(NamedTuple):
    """One partition of the table of spans.

    Attributes:
        name: Its table.
        first: Ids in it are not less than this.
        end: Ids in it are less than this.
    """

    name: str
    first: str
    end: str


def week_at(ms: int) -> int:
    """Return the first millisecond of the week of a millisecond."""
    return ms - (ms - _MONDAY_MS) % WEEK_MS


def part_at(ms: int) -> Part:
    """Return the partition of a millisecond."""
    begins = week_at(ms)
    date = datetime.fromtimestamp(begins / 1000, UTC).strftime("%Y%m%d")
    return Part(f"{TABLE}_{date}", bound_at(begins), bound_at(begins + WEEK_MS))


def names(cursor: Results) -> frozenset[str]:
    """Return the names of the existing partitions."""
    return frozenset(name for (name,) in cursor.execute(_NAMES.encode()))


def missing(cursor: Results, now_ms: int) -> list[Part]:
    """Return the partitions that are needed at *now_ms* and do not exist."""
    existing = names(cursor)
    weeks = range(-WEEKS_BEFORE, WEEKS_AHEAD + 1)
    wanted = (part_at(now_ms + number * WEEK_MS) for number in weeks)
    return [part for part in wanted if part.name not in existing]


def make(cursor: Results, now_ms: int) -> None:
    """Create missing partitions, in the transaction of *cursor*, unless another process does.

    Only the default partition is locked, so that other transactions can write spans meanwhile.
    """
    ((locked,),) = cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (PARTS_LOCK,)).fetchall()
    if not locked:
        return
    for number, part in enumerate(missing(cursor, now_ms)):
        if not number:
            cursor.execute(f"LOCK TABLE {OTHER} IN ACCESS EXCLUSIVE MODE".encode())
        for statement in _making(part):
            cursor.execute(statement.encode())


def _making(part: Part) -> Iterator[str]:
    """Yield the statements that create a partition and move its rows from the default one."""
    within = f"id >= '{part.first}' AND id < '{part.end}'"
    yield f"CREATE TABLE {part.name} (LIKE {TABLE} INCLUDING ALL)"
    yield (
        f"WITH moved AS (DELETE FROM {OTHER} WHERE {within} RETURNING *) "  # noqa: S608 - names and ids made here
        f"INSERT INTO {part.name} SELECT * FROM moved"
    )
    yield (
        f"ALTER TABLE {TABLE} ATTACH PARTITION {part.name} "
        f"FOR VALUES FROM ('{part.first}') TO ('{part.end}')"
    )


def older(cursor: Results, before_ms: int) -> list[str]:
    """Return the names of the partitions that end before *before_ms*, oldest first."""
    newest = part_at(before_ms - WEEK_MS).name
    return sorted(name for name in names(cursor) if name != OTHER and name <= newest)


def drop(cursor: Results, name: str) -> int:
    """Drop a partition, in the transaction of *cursor*; return the number of its spans."""
    cursor.execute("SET LOCAL statement_timeout = 0")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (PARTS_LOCK,))
    if name not in names(cursor):
        return 0
    ((count,),) = cursor.execute(f"SELECT COUNT(*) FROM {name}".encode()).fetchall()  # noqa: S608 - a name made here
    cursor.execute(f"DROP TABLE {name}".encode())
    return int(count)
