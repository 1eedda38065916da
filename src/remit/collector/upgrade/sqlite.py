"""The upgrade of an SQLite file, in place."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from remit._base import sqlite
from remit.collector.store.base import StoreUnavailableError
from remit.collector.store.version import Change, check_upgradable, statements_of
from remit.errors import SettingsError


def upgrade(
    path: Path, changes: Sequence[Change], report: Callable[[Change], None]
) -> tuple[int, int]:
    """Apply *changes* to the file at *path*, as `remit.collector.upgrade.upgrade` does."""
    try:
        version = sqlite.schema_version(path)
    except (sqlite3.Error, OSError, sqlite.ForeignError) as error:
        raise SettingsError(f"the database {path} cannot be read: {error}") from error
    check_upgradable(version, changes, str(path))
    missing = [change for change in changes if change.version > version]
    if missing:
        with _failing(path), closing(sqlite.open_file(path, "rw", timeout_s=0.0)) as connection:
            # This needs the file for itself: a process that has it open keeps it from changing.
            connection.execute("PRAGMA journal_mode = DELETE")
            for change in missing:
                _apply(connection, change)
                report(change)
    return version, missing[-1].version if missing else version


def _apply(connection: sqlite3.Connection, change: Change) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    # Another upgrade may have done it meanwhile.
    if sqlite.user_version(connection) == change.version - 1:
        for statement in statements_of(change.sql):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {change.version}")
    connection.execute("COMMIT")


@contextmanager
def _failing(path: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise SettingsError(
                f"a process has the database {path} open: stop collectors and programs that "
                "record into it, and start the upgrade again"
            ) from error
        raise StoreUnavailableError(f"{path}: {error}") from error
