"""Which store a `--db` names."""

from __future__ import annotations

import re
from pathlib import Path

from remit.collector.store.protocol import Store
from remit.collector.store.sqlite import SqliteStore
from remit.errors import SettingsError


def open_store(database: Path | str, *, create: bool = True) -> Store:
    """Open the database that *database* names, brought up to date if need be.

    Args:
        database: Path of an SQLite file.
        create: Whether to make the file if it does not exist.

    Raises:
        SettingsError: It is no SQLite file of remit's, holds a newer schema, or does not exist.
    """
    scheme = re.match(r"([a-z][a-z0-9+]*)://", str(database))
    if scheme:
        raise SettingsError(
            f"this remit keeps its data in SQLite files and knows no {scheme[1]}:// database: "
            "give the path of a file"
        )
    path = Path(database)
    if not create and not path.is_file():
        raise SettingsError(
            f"there is no database at {path}: nothing was recorded there yet, or another "
            "path is meant"
        )
    return SqliteStore(path)
