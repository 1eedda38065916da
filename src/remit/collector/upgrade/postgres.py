"""The upgrade of a PostgreSQL database: the old tables move to the schema `remit_before`.

That, the new tables and a mark in `remit_schema` are one transaction, which takes no longer for
many rows. The mark refuses collectors until the rows are copied.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg import errors

from remit.collector.store import StoreUnavailableError, shown
from remit.collector.store import postgres_counts as counts
from remit.collector.store import postgres_partitions as partitions
from remit.collector.store.execution import References
from remit.collector.store.postgres import schema_version
from remit.collector.store.postgres_locks import SCHEMA_LOCK, UPGRADE_LOCK
from remit.collector.store.postgres_pool import Results, RunReferences
from remit.collector.store.postgres_rows import PostgresTransaction
from remit.collector.store.version import UPGRADING, VERSION, check_upgradable
from remit.collector.store.version import statements as schema
from remit.collector.upgrade.copying import BEFORE, Copy
from remit.errors import SettingsError

_SETTINGS: Final = (
    "SET application_name = 'remit db upgrade'; SET lock_timeout = '5s'; "
    # As for the transactions of a collector: tables that were empty must not be read whole.
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off"
)
_SESSIONS: Final = (
    "SELECT COUNT(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'remit'"
)
_HAS_BEFORE: Final = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
_OLD_TABLES: Final = (
    "accounts",
    "agent_deployments",
    "agent_instances",
    "agent_schema_versions",
    "agent_versions",
    "agents",
    "api_tokens",
    "environments",
    "erasures",
    "idempotency_keys",
    "run_subjects",
)
_OLD_SPANS: Final = "agent_spans"
_PARTS: Final = (
    f"SELECT relid::regclass::text FROM pg_partition_tree('{_OLD_SPANS}') ORDER BY level, 1"
)
_WEEKS: Final = (
    "SELECT right(relname, 8) FROM pg_class "
    f"WHERE relnamespace = '{BEFORE}'::regnamespace AND relname ~ '^{_OLD_SPANS}_[0-9]{{8}}$'"
)
_FAULTS: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.InsufficientPrivilege,
)
_ANALYZED: Final = "ANALYZE runs, run_labels, run_keys, spans, span_payloads, span_findings"


class PostgresUpgrade:
    """The tables of one upgrade.

    Attributes:
        path: The database, without its password.
        version: Its schema version.
    """

    def __init__(self, url: str) -> None:
        """Look at the database at *url*; nothing is changed yet.

        Raises:
            SettingsError: It cannot be reached, is no database of remit's, or has a version that
                cannot be upgraded.
        """
        self.path = shown(url)
        self._references = References()
        self._run_references = RunReferences()
        try:
            self._connection = psycopg.connect(
                url, autocommit=True, connect_timeout=5, client_encoding="UTF8"
            )
        except psycopg.Error as error:
            raise SettingsError(f"the database {self.path} cannot be opened: {error}") from error
        try:
            self._connection.execute(_SETTINGS)
            with self._connection.cursor() as cursor:
                self._found = schema_version(cursor)
            self._continues = self._found > UPGRADING
            self.version = self._found - UPGRADING if self._continues else self._found
            check_upgradable(self.version, self.path)
        except BaseException:
            self._connection.close()
            raise

    def begin(self, copy: Copy) -> None:
        """Move the old tables away and create the new ones, unless an upgrade is continued.

        Raises:
            SettingsError: A process uses the database, or an earlier upgrade left old tables.
            StoreUnavailableError: The database cannot be used now.
        """
        with self._failing(), self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (UPGRADE_LOCK,))
            ((locked,),) = cursor.fetchall()
            ((sessions,),) = cursor.execute(_SESSIONS).fetchall()
            version = schema_version(cursor)
        if not locked or version != self._found:
            raise SettingsError(f"another upgrade of {self.path} is running or has just ended")
        if sessions:
            raise SettingsError(
                f"{sessions} connections of remit use the database {self.path}: stop collectors "
                "and commands, and start the upgrade again"
            )
        if self._continues:
            return
        if self.kept():
            raise SettingsError(
                f"the schema {BEFORE} in {self.path} is of an earlier upgrade: "
                f"DROP SCHEMA {BEFORE} CASCADE"
            )
        with self.writing() as tx, self._connection.cursor() as cursor:
            self._move(cursor)
            copy.things(tx)

    @contextmanager
    def writing(self) -> Generator[PostgresTransaction]:
        """Return a block that reads the old tables and writes the new ones."""
        with self._failing(), self._connection.cursor() as cursor:
            cursor.execute("BEGIN")
            transaction = PostgresTransaction(
                cursor, self._references, run_references=self._run_references
            )
            try:
                yield transaction
                transaction.flush()
                cursor.execute("COMMIT")
            except BaseException:
                # On a lost connection there is nothing to undo.
                with suppress(psycopg.Error):
                    cursor.execute("ROLLBACK")
                raise
            self._references.add(transaction.references)

    def finish(self) -> None:
        """Let collectors use the new tables."""
        with self._failing(), self._connection.cursor() as cursor:
            moved = counts.MOST_INCREMENTS
            while moved == counts.MOST_INCREMENTS:
                with self._connection.transaction():
                    moved = counts.fold(cursor)
            cursor.execute(_ANALYZED)
            cursor.execute("UPDATE remit_schema SET version = %s", (VERSION,))

    def kept(self) -> str | None:
        """Return where the old tables are, if they are kept."""
        with self._failing():
            ((exists,),) = self._connection.execute(_HAS_BEFORE, (BEFORE,))
        return f"the schema {BEFORE}" if exists else None

    def drop_old(self) -> None:
        """Delete the old tables."""
        with self._failing():
            self._connection.execute(f"DROP SCHEMA IF EXISTS {BEFORE} CASCADE".encode())

    def close(self) -> None:
        """Close the connection; the copy can be continued."""
        self._connection.close()

    def _move(self, cursor: Results) -> None:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
        cursor.execute(f"CREATE SCHEMA {BEFORE}".encode())
        parts = [name for (name,) in cursor.execute(_PARTS).fetchall()]
        for name in (*_OLD_TABLES, *parts):
            cursor.execute(f"ALTER TABLE {name} SET SCHEMA {BEFORE}".encode())
        for statement in schema("postgres"):
            cursor.execute(statement.encode())
        for (week,) in cursor.execute(_WEEKS).fetchall():
            monday = datetime.strptime(week, "%Y%m%d").replace(tzinfo=UTC)
            for table in partitions.TABLES:
                partitions.make(cursor, table, round(monday.timestamp() * 1000))
        cursor.execute("UPDATE remit_schema SET version = %s", (UPGRADING + self.version,))

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except _FAULTS as error:
            raise StoreUnavailableError(f"{self.path}: {error}") from error
