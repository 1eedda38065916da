"""Applies the numbered changes of the schema to a database, in order.

Each change and the new version number are one transaction. An upgrade that is interrupted continues
with the next change when it is started again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, TypeAlias, cast

from remit.collector.store.open import is_postgres
from remit.collector.store.version import Change, schema_changes
from remit.collector.upgrade import sqlite

_Upgrade: TypeAlias = Callable[[str, Sequence[Change], Callable[[Change], None]], tuple[int, int]]
# Imported by name: psycopg is an extra.
_POSTGRES: Final = "remit.collector.upgrade.postgres"


def upgrade(
    database: Path | str,
    *,
    read_changes: Callable[[str], Sequence[Change]] = schema_changes,
    report: Callable[[Change], None] = lambda _change: None,
) -> tuple[int, int]:
    """Apply the changes that a database lacks; return its version before and after.

    Args:
        database: Path of an SQLite file, or a URL `postgresql://...`.
        read_changes: Returns the changes for a dialect, in order.

    Raises:
        SettingsError: The database is not remit's, has a version that this remit cannot
            upgrade, or a process uses it.
        StoreUnavailableError: It cannot be written now; start the upgrade again.
    """
    if is_postgres(database):
        of_postgres = cast("_Upgrade", import_module(_POSTGRES).upgrade)
        return of_postgres(str(database), read_changes("postgres"), report)
    return sqlite.upgrade(Path(database), read_changes("sqlite"), report)
