"""Copies a database file of remit, with any version of its schema."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from remit._base.files import make_private_file
from remit._base.sqlite import COLLECTOR, ChangedError, ForeignError, check_ours, reading
from remit.cli._failing import Failed


def copy_database(path: Path, target: Path) -> None:
    """Write a consistent copy of the database at *path* to *target*, readable by its owner only.

    The file and its directory are not changed.

    Raises:
        Failed: There is no database, it cannot be read, or *target* exists or cannot be written.
    """
    try:
        if not path.is_file() or not path.stat().st_size:
            raise Failed(
                f"there is no database at {path}: either nothing has been recorded yet, or the "
                "path is wrong"
            )
        check_ours(path, COLLECTOR)
    except (OSError, sqlite3.Error, ForeignError) as error:
        raise Failed(
            f"the database {path} cannot be read: {error}. Use a database created by remit"
        ) from error
    try:
        if not make_private_file(target):
            raise Failed(f"{target} exists already: use another file")
    except OSError as error:
        raise Failed(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        _copy(path, target)
    except BaseException as error:
        target.unlink()
        if isinstance(error, OSError | sqlite3.Error):
            raise Failed(f"{path} cannot be copied to {target}: {error}") from error
        raise


def _copy(path: Path, target: Path) -> None:
    try:
        with reading(path) as source, closing(sqlite3.Connection(target)) as copy:
            source.backup(copy)
            # The copy is one file, without a write-ahead log.
            copy.execute("PRAGMA journal_mode = DELETE")
    except ChangedError as error:
        raise Failed(f"{path} was written to while it was copied: copy it again") from error
