"""The PostgreSQL store: any number of collectors on one database, a few connections for each.

Everything that writes uses `READ COMMITTED` and row locks, so that two transactions wait for each
other only if they write the same run. A lost connection is replaced by the pool: when the database
is back, so is the collector.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg import conninfo, errors
from typing_extensions import override

from remit._base.clock import NS_PER_MS, NS_PER_S, Clock, SystemClock
from remit._base.guard import logger
from remit.collector.store import postgres_counts as counts
from remit.collector.store import postgres_partitions as partitions
from remit.collector.store.base import ConflictError, Store, StoreUnavailableError, TooSlowError
from remit.collector.store.execution import References
from remit.collector.store.filters import Removed
from remit.collector.store.open import shown
from remit.collector.store.postgres_distributed import DistributedTransaction, parts_of_shards
from remit.collector.store.postgres_locks import LEADER_LOCK, SCHEMA_LOCK
from remit.collector.store.postgres_pool import Pool, Results, RunReferences
from remit.collector.store.postgres_rows import PostgresTransaction
from remit.collector.store.retention import US_PER_MS, forget
from remit.collector.store.transaction import Transaction
from remit.collector.store.version import VERSION, check_version
from remit.collector.store.version import statements as schema
from remit.errors import SettingsError

T = TypeVar("T")

MAX_CONNECTIONS: Final = 4
MAX_READERS: Final = 2
"""Connections for transactions that read, so that slow ones leave the others to writers."""
_DEFAULTS: Final = {
    "application_name": "remit",
    "connect_timeout": 5,
    # A host that no longer responds is noticed after 30 seconds without traffic, and 15 seconds
    # (in milliseconds) after something was sent.
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
}
# Releases the locks of a process that was suspended during a transaction.
_IDLE_S: Final = 30.0
_BEGIN: Final = b"BEGIN"
_ISOLATION: Final = {"default_transaction_isolation": "read committed"}
_WRITER: Final = _ISOLATION | {
    # A writing transaction finds rows by keys: its statements are planned once, not for each
    # hundred ids, and a plan from the time when a table was empty must not read all of it later.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    # Compiling takes longer than any of its statements, and the setting above makes each look long.
    "jit": "off",
}
# A plan for all values would name all shards. With one connection to each worker, each statement of
# a transaction sees the rows of the ones before it.
_DISTRIBUTED_WRITER: Final = _ISOLATION | {"citus.multi_shard_modify_mode": "sequential"}
_READER: Final = {
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
    # A plan for all values would read as much for a second as for a year.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # Workers take longer to start than a page or a month of counts takes to read.
    "max_parallel_workers_per_gather": "0",
}
# Not by `to_regclass`: within a transaction it caches that a table does not exist.
_EXISTS: Final = """
    SELECT EXISTS (
        SELECT FROM pg_class WHERE relname = 'remit_schema' AND pg_table_is_visible(oid)
    ), getdatabaseencoding()
"""
_HAS_CITUS: Final = """
    SELECT EXISTS (
        SELECT FROM pg_class WHERE relname = 'pg_dist_partition' AND pg_table_is_visible(oid)
    )
"""
_IS_DISTRIBUTED: Final = """
    SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass('runs'))
"""
_ERASED_FROM: Final = (
    "spans",
    "span_payloads",
    "span_findings",
    "runs",
    "run_labels",
    "run_subjects",
    "idempotency_keys",
)
_PARTITIONS_RETRY_NS: Final = 60 * NS_PER_S
_LEAD: Final = b"SELECT pg_try_advisory_lock(%s)"
_CONFLICTS: Final = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    # The partition of a row was made after the row was on its way to the default one.
    errors.CheckViolation,
)
_GONE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,
    errors.ReadOnlySqlTransaction,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Timeouts of the store, in seconds.

    Attributes:
        connection_s: Until a thread that serves a request gets a connection of the pool.
        lock_s: Until a statement gets a lock.
        statement_s: Until a statement of a writing transaction ends, or one of a store that is
            only read.
        read_s: Until a statement of a reading transaction ends, in a store that is written too.
    """

    connection_s: float = 2.0
    lock_s: float = 5.0
    statement_s: float = 30.0
    read_s: float = 2.0


class PostgresStore(Store):
    """A store in one PostgreSQL database."""

    writes_at_once = MAX_CONNECTIONS
    reads_at_once = MAX_READERS

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        read_only: bool = False,
        clock: Clock | None = None,
        waits: Waits | None = None,
    ) -> None:
        """Connect to the database at *url*.

        Args:
            url: As libpq reads it, `postgresql://user@host/database`.
            create: Whether to create missing tables.
            read_only: Whether to change nothing.
            clock: Determines for which times there must be partitions.

        Raises:
            SettingsError: It cannot be reached, is not a remit database, or has another version of
                the schema.
        """
        self.path = shown(url)
        try:
            options = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise SettingsError(
                f"{self.path} is not the URL of a PostgreSQL database: {error}"
            ) from error
        self._options: dict[str, Any] = {
            **_DEFAULTS,
            **options,
            "client_encoding": "UTF8",
            "autocommit": True,
        }
        self._clock = clock or SystemClock()
        self._next_partitions_ns = 0
        waits = waits or Waits()
        self._references = References()
        self._run_references = RunReferences()
        self._moved = 0
        self._erased = False
        self._leader: psycopg.Connection[Any] | None = None
        try:
            with psycopg.connect(**self._options) as connection, connection.cursor() as cursor:
                cursor.execute(_BEGIN)
                _check(cursor, self.path, create=create and not read_only)
                self._distributed = is_distributed(cursor)
                self._kind: Callable[..., PostgresTransaction] = PostgresTransaction
                if self._distributed:
                    self._kind = partial(DistributedTransaction, parts=parts_of_shards(cursor))
                cursor.execute("COMMIT")
        except psycopg.Error as error:
            raise SettingsError(f"the database {self.path} cannot be opened: {error}") from error
        settings = _DISTRIBUTED_WRITER if self._distributed else _WRITER
        pool = partial(Pool, self.path, self._options, timeout_s=waits.connection_s)
        writer = settings | _limits(waits, waits.statement_s)
        reader = _READER | _limits(waits, waits.statement_s if read_only else waits.read_s)
        self._writers = pool(writer, size=MAX_CONNECTIONS)
        self._readers = pool(reader, size=MAX_READERS)
        if not read_only:
            self._make_partitions()

    @override
    @contextmanager
    def reading(self) -> Generator[Transaction]:
        with self._transaction(self._readers) as cursor:
            yield self._kind(cursor, self._references)

    @override
    def look(self, question: Callable[[Transaction], T]) -> T:
        with (
            _unavailable(self.path, reading=True),
            self._writers.connection() as connection,
            connection.cursor() as cursor,
        ):
            return question(self._kind(cursor, self._references))

    @override
    @contextmanager
    def writing(self) -> Generator[Transaction]:
        with self._transaction(self._writers) as cursor:
            transaction = self._kind(cursor, self._references, run_references=self._run_references)
            yield transaction
            transaction.flush()
        self._references.add(transaction.references)

    @override
    def retain(
        self,
        before_us: int | None,
        payloads_before_us: int | None = None,
        *,
        pause: Callable[[], bool] | None = None,
    ) -> Removed:
        # Whole weeks are dropped with their partition when their last day is old. Payloads that go
        # with their spans are not counted.
        _, without_spans = self._drop(partitions.PAYLOADS, before_us)
        spans, of_spans = self._drop(partitions.SPANS, before_us)
        payloads, of_payloads = self._drop(partitions.PAYLOADS, payloads_before_us)
        rest = forget(self, before_us, payloads_before_us, pause=pause)
        return rest._replace(
            spans=rest.spans + spans,
            payloads=rest.payloads + payloads,
            parts=(*without_spans, *of_spans, *of_payloads),
        )

    def _drop(self, table: str, before_us: int | None) -> tuple[int, list[str]]:
        """Drop the old partitions of a table; return the number of their rows, and their names."""
        if before_us is None:
            return 0, []
        with self._transaction(self._writers) as cursor:
            old = partitions.older(cursor, table, before_us // US_PER_MS)
        rows = 0
        for name in old:
            with self._transaction(self._writers) as cursor:
                rows += partitions.drop(cursor, table, name)
        return rows, old

    @override
    def note_erasure(self) -> None:
        self._erased = True

    @override
    def leads(self) -> bool:
        # A separate connection holds the lock; it is released when the connection is lost.
        with _unavailable(self.path):
            if self._leader is not None:
                try:
                    self._leader.execute(b"SELECT 1")
                except psycopg.OperationalError:
                    self._leader.close()
                    self._leader = None
                else:
                    return True
            connection = psycopg.connect(**self._options)
            (leads,) = connection.execute(_LEAD, (LEADER_LOCK,)).fetchone() or (False,)
            if leads:
                self._leader = connection
            else:
                connection.close()
            return bool(leads)

    @override
    def maintain(self) -> None:
        if self._clock.wall_ns() >= self._next_partitions_ns:
            self._make_partitions()
        count = counts.MOST_INCREMENTS
        while count == counts.MOST_INCREMENTS:
            with self._transaction(self._writers) as cursor:
                count = counts.fold(cursor)
            self._moved += count
        if self._moved >= counts.MOST_INCREMENTS:
            with _unavailable(self.path), self._writers.connection() as connection:
                connection.execute(counts.VACUUM.encode())
            self._moved = 0
        if self._erased:
            # Before the work: an erasure meanwhile needs a further one.
            self._erased = False
            try:
                self.scrub()
            except StoreUnavailableError:
                self._erased = True
                raise

    @override
    def is_current(self) -> bool:
        with self._transaction(self._writers) as cursor:
            return schema_version(cursor) == VERSION

    @override
    def scrub(self) -> None:
        # The space of deleted rows is used again, which overwrites them in time.
        with _unavailable(self.path), psycopg.connect(**self._options) as connection:
            for table in _ERASED_FROM:
                connection.execute(f"VACUUM {table}".encode())

    @override
    def close(self) -> None:
        if self._leader is not None:
            self._leader.close()
            self._leader = None
        self._writers.close()
        self._readers.close()

    def _make_partitions(self) -> None:
        """Make the partitions of the coming weeks; without them spans go to the default one."""
        now_ms = self._clock.wall_ns() // NS_PER_MS
        begins_ms = partitions.week_at(now_ms)
        self._next_partitions_ns = (begins_ms + partitions.WEEK_MS) * NS_PER_MS
        try:
            for table in partitions.TABLES:
                with self._transaction(self._writers) as cursor:
                    if partitions.missing(cursor, table, now_ms):
                        partitions.make(cursor, table, now_ms, distributed=self._distributed)
        except (StoreUnavailableError, psycopg.Error) as error:
            self._next_partitions_ns = now_ms * NS_PER_MS + _PARTITIONS_RETRY_NS
            logger.warning("the partitions of the coming weeks could not be created yet: %s", error)

    @contextmanager
    def _transaction(self, pool: Pool) -> Generator[Results]:
        reading = pool is self._readers
        with (
            _unavailable(self.path, reading=reading, distributed=self._distributed),
            pool.connection() as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(_BEGIN)
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                # On a lost connection there is nothing to undo.
                with suppress(psycopg.Error):
                    cursor.execute("ROLLBACK")
                raise
            if cursor.statusmessage != "COMMIT":
                raise StoreUnavailableError(f"{self.path}: {cursor.statusmessage} at the end")


def _limits(waits: Waits, statement_s: float) -> dict[str, str]:
    limits = {
        "lock_timeout": waits.lock_s,
        "statement_timeout": statement_s,
        "idle_in_transaction_session_timeout": _IDLE_S,
    }
    return {name: f"{seconds * 1000:.0f}ms" for name, seconds in limits.items()}


def _check(cursor: Results, database: str, *, create: bool) -> None:
    """Check the version of the schema; create missing tables.

    Args:
        create: Whether to create them, one collector at a time.
    """
    version = schema_version(cursor)
    if not version and create:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        # Another collector may have done it meanwhile.
        version = schema_version(cursor)
        if not version:
            for statement in schema("postgres"):
                cursor.execute(statement.encode())
            cursor.execute("CREATE TABLE remit_schema (version bigint NOT NULL)")
            cursor.execute("INSERT INTO remit_schema VALUES (%s)", (VERSION,))
            return
    if not version:
        raise SettingsError(_nothing_in(database))
    if version != VERSION:
        check_version(version, database)


def schema_version(cursor: Results) -> int:
    """Return the version of the schema, 0 without tables.

    Raises:
        SettingsError: The database keeps text in another encoding than UTF-8.
    """
    ((exists, encoding),) = cursor.execute(_EXISTS).fetchall()
    if encoding != "UTF8":
        raise SettingsError(
            f"the database keeps text as {encoding}, remit needs UTF8: create it again with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    if not exists:
        return 0
    ((version,),) = cursor.execute("SELECT version FROM remit_schema").fetchall()
    return int(version)


def is_distributed(cursor: Results) -> bool:
    """Return whether `remit db distribute` has distributed the database."""
    return has_citus(cursor) and cursor.execute(_IS_DISTRIBUTED).fetchall() == [(True,)]


def has_citus(cursor: Results) -> bool:
    """Return whether the database has the extension."""
    return cursor.execute(_HAS_CITUS).fetchall() == [(True,)]


def _nothing_in(database: str) -> str:
    return (
        f"the database {database} has no tables of remit: either nothing has been recorded yet, or "
        "it is the wrong database"
    )


@contextmanager
def _unavailable(path: str, *, reading: bool = False, distributed: bool = False) -> Generator[None]:
    """Turn faults that pass (gone, full, locked) into errors of the store."""
    try:
        yield
    except _CONFLICTS as error:
        raise ConflictError(f"{path}: {error}") from error
    except errors.QueryCanceled as error:
        # By statement_timeout. A write is retried, as when the database is unavailable.
        kind = TooSlowError if reading else StoreUnavailableError
        raise kind(f"{path}: {error}", partly=distributed) from error
    except _GONE as error:
        raise StoreUnavailableError(f"{path}: {error}", partly=distributed) from error
    except errors.InternalError_ as error:
        # Thus Citus reports a worker that is lost during a COPY.
        if reading or not distributed:
            raise
        raise StoreUnavailableError(f"{path}: {error}", partly=True) from error
