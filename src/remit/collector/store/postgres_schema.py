"""The schema of the PostgreSQL store: brought up to date at start, by one collector at a time."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from psycopg import Cursor

from remit.collector.store.migrate import migrations, refuse_newer, refuse_older
from remit.errors import SettingsError

Results: TypeAlias = "Cursor[tuple[Any, ...]]"

SCHEMA_LOCK: Final = 0x72656D69_00000001
"""Number of the advisory lock under which the schema is changed; ours begin with `remi`."""
# Not by `to_regclass`: what that did not find once, it does not find again in one transaction.
_EXISTS: Final = """
    SELECT EXISTS (
        SELECT FROM pg_class WHERE relname = 'remit_schema' AND pg_table_is_visible(oid)
    ), getdatabaseencoding()
"""


def migrate(cursor: Results, shown: str, *, create: bool) -> None:
    """Bring the schema up to date; refuse one from the future.

    Args:
        cursor: A cursor in a transaction.
        shown: The database, for messages.
        create: Whether to begin from nothing.

    Raises:
        SettingsError: The schema is newer, or there is none and none is to be made.
    """
    steps = migrations("postgres")
    newest = steps[-1].number
    version = _version(cursor)
    if version == newest:
        return
    if not version and not create:
        raise SettingsError(_nothing_in(shown))
    cursor.execute("SET LOCAL lock_timeout = 0")
    cursor.execute("SET LOCAL statement_timeout = 0")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
    # Again: another collector may have been faster.
    version = _version(cursor)
    refuse_newer(version, newest, shown)
    for step in steps[version:]:
        for statement in step.statements:
            cursor.execute(statement.encode())
    if not version:
        cursor.execute("CREATE TABLE remit_schema (version bigint NOT NULL)")
        cursor.execute("INSERT INTO remit_schema VALUES (0)")
    cursor.execute("UPDATE remit_schema SET version = %s", (newest,))


def check_readable(cursor: Results, shown: str) -> None:
    """Check that the database has the schema that this remit reads.

    Raises:
        SettingsError: There is none, or it is older or newer.
    """
    newest = migrations("postgres")[-1].number
    version = _version(cursor)
    if not version:
        raise SettingsError(_nothing_in(shown))
    refuse_newer(version, newest, shown)
    refuse_older(version, newest, shown)


def is_current(cursor: Results) -> bool:
    """Return whether the database has the newest schema that is known here."""
    return _version(cursor) == migrations("postgres")[-1].number


def _version(cursor: Results) -> int:
    ((exists, encoding),) = cursor.execute(_EXISTS).fetchall()
    if encoding != "UTF8":
        raise SettingsError(
            f"the database keeps text as {encoding}, remit needs UTF8: make it anew with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )
    if not exists:
        return 0
    ((version,),) = cursor.execute("SELECT version FROM remit_schema").fetchall()
    return int(version)


def _nothing_in(shown: str) -> str:
    return (
        f"there is nothing of remit's in {shown}: nothing was recorded there yet, or another "
        "database is meant"
    )
