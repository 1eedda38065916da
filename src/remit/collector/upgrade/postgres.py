"""The upgrade of a PostgreSQL database, in place; of a distributed one by its coordinator."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors

from remit.collector.store.base import StoreUnavailableError
from remit.collector.store.open import shown
from remit.collector.store.postgres import schema_version
from remit.collector.store.postgres_locks import SCHEMA_LOCK
from remit.collector.store.version import Change, check_upgradable, statements_of
from remit.errors import SettingsError

_SETTINGS: Final = "SET application_name = 'remit db upgrade'; SET lock_timeout = '5s'"
_SESSIONS: Final = (
    "SELECT COUNT(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'remit'"
)
_TRIES: Final = 20
"""How often the connections are counted, 0.1 seconds apart."""
_FAULTS: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.InsufficientPrivilege,
)


def upgrade(
    url: str, changes: Sequence[Change], report: Callable[[Change], None]
) -> tuple[int, int]:
    """Apply *changes* to the database at *url*, as `remit.collector.upgrade.upgrade` does."""
    path = shown(url)
    try:
        connection = psycopg.connect(
            url, autocommit=True, connect_timeout=5, client_encoding="UTF8"
        )
    except psycopg.Error as error:
        raise SettingsError(f"the database {path} cannot be opened: {error}") from error
    with connection, _failing(path), connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
        version = schema_version(cursor)
        check_upgradable(version, changes, path)
        missing = [change for change in changes if change.version > version]
        if missing:
            sessions = _sessions(cursor)
            if sessions:
                raise SettingsError(
                    f"{sessions} connections of remit use the database {path}: stop collectors "
                    "and commands, and start the upgrade again"
                )
        for change in missing:
            with connection.transaction():
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                # Another upgrade may have done it meanwhile.
                if schema_version(cursor) == change.version - 1:
                    for statement in statements_of(change.sql):
                        cursor.execute(statement.encode())
                    cursor.execute("UPDATE remit_schema SET version = %s", (change.version,))
            report(change)
    return version, missing[-1].version if missing else version


def _sessions(cursor: psycopg.Cursor[Any]) -> int:
    """Count the connections of remit. The server lists a closed one for a moment longer."""
    tries_left = _TRIES
    while True:
        ((sessions,),) = cursor.execute(_SESSIONS).fetchall()
        tries_left -= 1
        if not (sessions and tries_left):
            return int(sessions)
        cursor.execute("SELECT pg_sleep(0.1)")


@contextmanager
def _failing(path: str) -> Generator[None]:
    try:
        yield
    except _FAULTS as error:
        raise StoreUnavailableError(f"{path}: {error}") from error
