"""Writes synthetic data into an empty database of either store, without the collector.

Indexes are dropped first and created after the rows, which is faster. The columns are those that
the database has, of the ones that `synthetic` makes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import psycopg

from benchmarks.storage.population import Row
from benchmarks.storage.synthetic import (
    COLUMNS,
    DAYS,
    MS_PER_HOUR,
    SEQ_RUNS,
    UNTIL_MS,
    Batch,
    Size,
    Synthetic,
)
from remit.collector import open_store
from remit.collector.store.ids import shard_of
from remit.collector.store.open import is_postgres
from remit.collector.store.postgres_partitions import TABLES, WEEK_MS, partition_at, week_at

Results: TypeAlias = "psycopg.Cursor[tuple[Any, ...]]"

QUICKLY: Final = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA cache_size = -1048576",
    "PRAGMA temp_store = FILE",
)
INDEXES: Final = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
PLAIN_INDEXES: Final = """
    SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace AND NOT indisunique AND NOT relispartition
"""
TYPES: Final = """
    SELECT attname, atttypid FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
REFS: Final = """
    SELECT format('SELECT setval(%L, MAX(ref)) FROM %I', pg_get_serial_sequence(table_name, 'ref'),
                  table_name)
    FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name = 'ref' AND is_identity = 'YES'
"""
TAKE_NUMBERS: Final = """
    DO $$ BEGIN
      FOR number IN 1..{} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP;
    END $$
"""


def load(database: str, size: Size) -> Synthetic:
    """Fill a database, a path or a URL, that has no rows yet; return what was made."""
    open_store(database).close()
    synthetic = Synthetic(size)
    if is_postgres(database):
        _fill_postgres(database, size, synthetic.batches())
    else:
        _fill_sqlite(database, synthetic.batches())
    return synthetic


def _picking(table: str, columns: Sequence[str]) -> Callable[[Row], Row]:
    """Return what picks the values of *columns*, at least two, from a row of a table."""
    made = COLUMNS[table].split(", ")
    picked: Callable[[Row], Row] = itemgetter(*map(made.index, columns))
    return picked


def _fill_sqlite(path: str, batches: Iterator[Batch]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        ((mode,),) = connection.execute("PRAGMA journal_mode").fetchall()
        for pragma in QUICKLY:
            connection.execute(pragma)
        indexes = connection.execute(INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        for batch in batches:
            connection.execute("BEGIN")
            for table, rows in batch.items():
                existing = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
                columns = [name for name in COLUMNS[table].split(", ") if name in existing]
                places = ", ".join("?" * len(columns))
                insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
                connection.executemany(insert, map(_picking(table, columns), rows))
            connection.execute("COMMIT")
        for _, statement in indexes:
            connection.execute(statement)
        connection.execute(f"PRAGMA journal_mode = {mode}")


def _fill_postgres(url: str, size: Size, batches: Iterator[Batch]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'; SET synchronous_commit = off")
        cursor = connection.cursor()
        _make_partitions(cursor)
        indexes = cursor.execute(PLAIN_INDEXES).fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}".encode())
        # The number of a change is that of its transaction, so that many have to have begun.
        ((first,),) = cursor.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
        cursor.execute(TAKE_NUMBERS.format(size.runs // SEQ_RUNS + 1).encode())
        for batch in batches:
            shards = {row[0]: shard_of(row[1]) for row in batch.get("runs", ())}
            with connection.transaction():
                for table, rows in batch.items():
                    _copy(cursor, Copied(table, rows, shards, first))
        for _, statement in indexes:
            cursor.execute(statement.encode())
        for (statement,) in cursor.execute(REFS).fetchall():
            cursor.execute(statement.encode())
        cursor.execute("VACUUM ANALYZE")


class Copied(NamedTuple):
    """What is copied at once: rows of a table, the shards of their runs, and the first number."""

    table: str
    rows: list[Row]
    shards: Mapping[int, int]
    first_seq: int


def _copy(cursor: Results, copied: Copied) -> None:
    table = copied.table
    oids: dict[str, int] = dict(cursor.execute(TYPES, (table,)).fetchall())
    columns = [name for name in COLUMNS[table].split(", ") if name in oids]
    rows: Iterable[Row] = map(_picking(table, columns), copied.rows)
    if table == "run_changes":
        rows = ((run_ref, seq + copied.first_seq) for run_ref, seq in rows)
    if "shard" in oids:
        ref_at = columns.index("ref" if table == "runs" else "run_ref")
        rows = ((copied.shards[row[ref_at]], *row) for row in rows)
        columns = ["shard", *columns]
    names = ", ".join(columns)
    with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
        copy.set_types([oids[name] for name in columns])
        for row in rows:
            copy.write_row(row)


def _make_partitions(cursor: Results) -> None:
    """Create the weekly partitions of the 60 days, as far as they do not exist."""
    first_ms = UNTIL_MS - DAYS * 24 * MS_PER_HOUR
    for ms in range(week_at(first_ms), UNTIL_MS, WEEK_MS):
        for partition in (partition_at(table, ms) for table in TABLES):
            first, end = (f"'\\x{bound.hex()}'" for bound in (partition.first, partition.end))
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {partition.name} PARTITION OF {partition.table} "
                f"FOR VALUES FROM ({first}) TO ({end})".encode()
            )
