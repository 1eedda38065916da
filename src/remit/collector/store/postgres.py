"""The PostgreSQL store: any number of collectors on one database, a few connections for each.

`READ COMMITTED` and row locks for everything that writes, so that two writers wait for each other
only where they are about the same run. A connection that broke is thrown away, and the next
transaction makes a new one: when the database is back, so is the collector.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import Cursor, errors

from remit._base.clock import NS_PER_MS, NS_PER_S, Clock, SystemClock
from remit._base.guard import logger
from remit.collector.store import postgres_partitions as partitions
from remit.collector.store.base import (
    ConflictError,
    StoreUnavailableError,
    TooSlowError,
)
from remit.collector.store.open import shown
from remit.collector.store.postgres_connection import BoundedConnection
from remit.collector.store.postgres_pool import MAX_CONNECTIONS, Pool, Waits
from remit.collector.store.postgres_rows import PostgresTransaction
from remit.collector.store.postgres_schema import check_readable, is_current, migrate
from remit.collector.store.queries import Removed
from remit.collector.store.retention import US_PER_MS, forget
from remit.collector.store.transaction import Transaction
from remit.errors import SettingsError

T = TypeVar("T")

_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# What a writing transaction asks is found by keys: planned once, and not anew for each hundred ids;
# a plan that was made while a table was empty must not read all of it for ever.
_WRITE: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL plan_cache_mode = force_generic_plan; "
    "SET LOCAL enable_seqscan = off"
)
_NO_LIMIT: Final = "SET statement_timeout = 0"
_ERASED_FROM: Final = ("agent_spans", "agent_instances", "idempotency_keys", "run_subjects")
_PARTS_RETRY_NS: Final = 60 * NS_PER_S
_CONFLICTS: Final = (errors.DeadlockDetected, errors.SerializationFailure)
_GONE: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,
    errors.ReadOnlySqlTransaction,
)


class PostgresStore:
    """A store in one PostgreSQL database.

    Attributes:
        path: The database for people, without its password.
        at_once: How many transactions of one process may be open at once.
    """

    at_once = MAX_CONNECTIONS

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        read_only: bool = False,
        clock: Clock | None = None,
        waits: Waits | None = None,
    ) -> None:
        """Connect to the database at *url*, brought up to date if need be.

        Args:
            url: As libpq reads it, `postgresql://user@host/database`.
            create: Whether to make the tables if there are none.
            read_only: Whether to change nothing; an older schema is refused then.
            clock: Tells for which times there must be partitions.
            waits: The timeouts.

        Raises:
            SettingsError: It cannot be reached, is no database of remit's, or has a newer schema.
        """
        self.path = shown(url)
        try:
            self._pool = Pool(url, waits)
        except psycopg.ProgrammingError as error:
            raise SettingsError(
                f"{self.path} is no URL of a PostgreSQL database: {error}"
            ) from error
        self._clock = clock or SystemClock()
        self._next_parts_ns = 0
        try:
            with self._begun(_READ if read_only else _WRITE, patient=not read_only) as cursor:
                if read_only:
                    check_readable(cursor, self.path)
                else:
                    migrate(cursor, self.path, create=create)
                cursor.execute("COMMIT")
        except psycopg.Error as error:
            self.close()
            raise SettingsError(f"the database {self.path} cannot be opened: {error}") from error
        except SettingsError:
            self.close()
            raise
        if not read_only:
            self._make_parts()

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that sees one state of the database."""
        with self._transaction(_READ) as cursor:
            yield PostgresTransaction(cursor, writing=False)

    def look(self, question: Callable[[Transaction], T]) -> T:
        """Return what *question* returns, which asks one thing; it may be called more than once."""

        def ask(connection: BoundedConnection) -> T:
            with connection.cursor() as cursor:
                return question(PostgresTransaction(cursor, writing=False))

        with _unavailable(self.path, reading=True):
            return self._pool.ask(ask)

    @contextmanager
    def writing(self) -> Generator[Transaction]:
        """Return a block whose writes are kept together when it ends, or not at all."""
        if self._clock.wall_ns() >= self._next_parts_ns:
            self._make_parts()
        with self._transaction(_WRITE) as cursor:
            yield PostgresTransaction(cursor, writing=True)

    def retain(self, before_us: int) -> Removed:
        """Remove what is older than *before_us*: of the spans whole weeks, dropped with their part.

        A week stays until its last day is old.
        """
        before_ms = before_us // US_PER_MS
        with self._transaction(_READ) as cursor:
            old = partitions.older(cursor, before_ms)
        spans = 0
        for name in old:
            with self._transaction(_WRITE, patient=True) as cursor:
                spans += partitions.drop(cursor, name)
        rest = forget(self, before_us)
        return rest._replace(spans=rest.spans + spans, parts=tuple(old))

    def is_current(self) -> bool:
        """Return whether the database has the schema that this remit knows."""
        with self._transaction(_READ) as cursor:
            return is_current(cursor)

    def scrub(self) -> None:
        """Let the room of removed rows be used again, which overwrites them in time."""
        with _unavailable(self.path), self._begun(_NO_LIMIT, patient=True) as cursor:
            try:
                for table in _ERASED_FROM:
                    cursor.execute(f"VACUUM {table}")
            finally:
                cursor.connection.close()

    def close(self) -> None:
        """Close the connections that nobody uses; a later use opens new ones."""
        self._pool.close()

    def _make_parts(self) -> None:
        """Make the parts of the table of spans that will be needed; without them all goes on."""
        now_ms = self._clock.wall_ns() // NS_PER_MS
        begins_ms = partitions.week_at(now_ms)
        self._next_parts_ns = (begins_ms + partitions.WEEK_MS) * NS_PER_MS
        try:
            with self._transaction(_WRITE) as cursor:
                if partitions.missing(cursor, now_ms):
                    partitions.make(cursor, now_ms)
        except (StoreUnavailableError, psycopg.Error) as error:
            self._next_parts_ns = now_ms * NS_PER_MS + _PARTS_RETRY_NS
            logger.warning("the partitions of the coming weeks could not be made yet: %s", error)

    @contextmanager
    def _transaction(
        self, begin: str, *, patient: bool = False
    ) -> Generator[Cursor[tuple[Any, ...]]]:
        unavailable = _unavailable(self.path, reading=begin == _READ)
        with unavailable, self._begun(begin, patient=patient) as cursor:
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                # On a connection that broke there is nothing to undo.
                with suppress(psycopg.Error):
                    cursor.execute("ROLLBACK")
                raise
            if cursor.statusmessage != "COMMIT":
                raise StoreUnavailableError(f"{self.path}: {cursor.statusmessage} at the end")

    @contextmanager
    def _begun(self, begin: str, *, patient: bool = False) -> Generator[Cursor[tuple[Any, ...]]]:
        with (
            self._pool.connection(begin, patient=patient) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor


@contextmanager
def _unavailable(path: str, *, reading: bool = False) -> Generator[None]:
    """Tell faults that pass (gone, full, locked) from mistakes in the statements."""
    try:
        yield
    except _CONFLICTS as error:
        raise ConflictError(f"{path}: {error}") from error
    except errors.QueryCanceled as error:
        # By statement_timeout. A write has to be retried, as when the database is unavailable.
        kind = TooSlowError if reading else StoreUnavailableError
        raise kind(f"{path}: {error}") from error
    except _GONE as error:
        raise StoreUnavailableError(f"{path}: {error}") from error
