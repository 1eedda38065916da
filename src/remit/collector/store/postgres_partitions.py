"""The partitions of the spans and of their payloads: one for each week, by the time of their ids.

A partition is created weeks ahead and dropped as a whole when it is old. Rows of a time without a
partition are in the default one, from which they move when theirs is created.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from remit.collector.store.ids import first_at
from remit.collector.store.postgres_locks import PARTS_LOCK
from remit.collector.store.postgres_pool import Results
from remit.collector.store.retention import US_PER_MS

SPANS: Final = "spans"
PAYLOADS: Final = "span_payloads"
TABLES: Final = (SPANS, PAYLOADS)
"""The tables that have partitions."""
WEEK_MS: Final = 7 * 24 * 3600 * 1000
WEEKS_BEFORE: Final = 1
WEEKS_AHEAD: Final = 3
# 1970 began on a Thursday; partitions begin on Mondays.
_MONDAY_MS: Final = 4 * 24 * 3600 * 1000
# Otherwise Citus fails to change a table that it has read by several connections.
_ONE_CONNECTION: Final = "SET LOCAL citus.multi_shard_modify_mode TO 'sequential'"
_NAMES: Final = "SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE level = 1"


class Partition(NamedTuple):
    """One partition.

    Attributes:
        first: Ids in it are not less than this.
        end: Ids in it are less than this.
    """

    name: str
    table: str
    first: bytes
    end: bytes


def week_at(ms: int) -> int:
    """Return the first millisecond of the week of a millisecond."""
    return ms - (ms - _MONDAY_MS) % WEEK_MS


def partition_at(table: str, ms: int) -> Partition:
    """Return the partition that contains a millisecond."""
    begins = week_at(ms)
    date = datetime.fromtimestamp(begins / 1000, UTC).strftime("%Y%m%d")
    return Partition(
        f"{table}_{date}",
        table,
        first_at(begins * US_PER_MS),
        first_at((begins + WEEK_MS) * US_PER_MS),
    )


def other(table: str) -> str:
    """Return the name of the default partition of a table."""
    return f"{table}_other"


def names(cursor: Results, table: str) -> frozenset[str]:
    """Return the names of the existing partitions of a table."""
    return frozenset(name for (name,) in cursor.execute(_NAMES.encode(), (table,)))


def missing(cursor: Results, table: str, now_ms: int) -> list[Partition]:
    """Return the partitions of a table that are needed at *now_ms* and do not exist."""
    existing = names(cursor, table)
    weeks = range(-WEEKS_BEFORE, WEEKS_AHEAD + 1)
    wanted = (partition_at(table, now_ms + number * WEEK_MS) for number in weeks)
    return [part for part in wanted if part.name not in existing]


def make(cursor: Results, table: str, now_ms: int, *, distributed: bool = False) -> None:
    """Create missing partitions of a table, unless another process does.

    It is a transaction of its own for each table, because it locks the default partition, and only
    that: other transactions can write to the others meanwhile.
    """
    ((locked,),) = cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (PARTS_LOCK,)).fetchall()
    if not locked:
        return
    if distributed:
        cursor.execute(_ONE_CONNECTION)
    for number, part in enumerate(missing(cursor, table, now_ms)):
        if not number:
            cursor.execute(f"LOCK TABLE {other(table)} IN ACCESS EXCLUSIVE MODE".encode())
        for statement in _making(part, distributed=distributed):
            cursor.execute(statement.encode())


def _making(part: Partition, *, distributed: bool) -> Iterator[str]:
    """Yield the statements that create a partition and move its rows from the default one."""
    first, end = (f"'\\x{bound.hex()}'" for bound in (part.first, part.end))
    moved = f"FROM {other(part.table)} WHERE id >= {first} AND id < {end}"
    yield f"CREATE TABLE {part.name} (LIKE {part.table} INCLUDING ALL)"
    if distributed:
        yield f"SELECT create_distributed_table('{part.name}', 'shard', colocate_with => 'runs')"
    # The default partition is locked: no row is added between the two.
    yield f"INSERT INTO {part.name} SELECT * {moved}"
    yield f"DELETE {moved}"
    yield (
        f"ALTER TABLE {part.table} ATTACH PARTITION {part.name} "
        f"FOR VALUES FROM ({first}) TO ({end})"
    )


def older(cursor: Results, table: str, before_ms: int) -> list[str]:
    """Return the names of the partitions of a table that end before *before_ms*, oldest first."""
    newest = partition_at(table, before_ms - WEEK_MS).name
    rest = other(table)
    return sorted(name for name in names(cursor, table) if name != rest and name <= newest)


def drop(cursor: Results, table: str, name: str) -> int:
    """Drop a partition of a table, in the transaction of *cursor*.

    Returns:
        The number of its rows; 0 if another process has dropped it.
    """
    cursor.execute("SET LOCAL statement_timeout = 0")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (PARTS_LOCK,))
    if name not in names(cursor, table):
        return 0
    ((count,),) = cursor.execute(f"SELECT COUNT(*) FROM {name}".encode()).fetchall()
    cursor.execute(f"DROP TABLE {name}".encode())
    return int(count)
