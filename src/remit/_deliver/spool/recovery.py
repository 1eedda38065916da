"""What can be read of a damaged file: each table in order, up to the damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from remit._deliver.spool.folder import Identity
from remit._deliver.spool.records import (
    DamagedError,
    Registration,
    RunRecord,
    unpack,
    unpack_registration,
    unpack_run,
)
from remit._record.items import Item

DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# SQLite's words, under a code that stands for much else, where the schema's format is overwritten.
UNKNOWN_FORMAT: Final = "unsupported file format"


@dataclass(slots=True)
class Recovered:
    """What was read of a damaged file.

    Attributes:
        items: The items, in order.
        runs: The records of the runs.
        open_spans: Beginnings of spans that have no end yet.
        unreadable: How many items could not be read; a part of unknown size counts as one.
        about: Format of the file and whose it is; None if that cannot be read.
    """

    items: list[Item] = field(default_factory=list[Item])
    runs: list[RunRecord] = field(default_factory=list[RunRecord])
    open_spans: list[Item] = field(default_factory=list[Item])
    unreadable: int = 0
    about: tuple[int, Identity] | None = None


def is_damage(error: Exception) -> bool:
    """Return whether *error* is about the file's content, not about the disk or the moment."""
    if isinstance(error, sqlite3.Error):
        # Without a code: a text of the file is not UTF-8.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        return code in DAMAGE or str(error) == UNKNOWN_FORMAT
    return isinstance(error, DamagedError)


def recovered(path: Path) -> Recovered:
    """Read what can be read of the file at *path*."""
    found = Recovered()
    registrations: dict[bytes, Registration] = {}
    # Not by `sqlite3.connect`: tracers wrap it.
    with closing(sqlite3.Connection(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        with suppress(sqlite3.Error):
            # Else SQLite reads nothing of a file that is shorter than its first page says.
            connection.execute("PRAGMA writable_schema = ON")
        for written, target, fingerprint in _rows(connection, "about", "*"):
            if isinstance(target, str) and isinstance(fingerprint, bytes):
                found.about = written, Identity(target, fingerprint)
        for digest, content in _rows(connection, "registration", "digest, body"):
            with suppress(DamagedError):
                registrations[digest] = unpack_registration(content)
        for (content,) in _rows(connection, "run", "body"):
            with suppress(DamagedError):
                found.runs.append(unpack_run(content, registrations))
        for crc, content in _rows(connection, "open_span", "crc, body"):
            with suppress(DamagedError):
                found.open_spans += [item for item in unpack(crc, content) if item]
        last = 0
        for chunk_id, items, crc, content in _rows(connection, "chunk", "id, items, crc, body"):
            last = chunk_id
            try:
                found.items += [item for item in unpack(crc, content) if item]
            except DamagedError:
                found.unreadable += items if isinstance(items, int) else 1
        found.unreadable += _behind(connection, last)
    return found


def _behind(connection: sqlite3.Connection, last: int) -> int:
    """Return how many items there are in chunks behind the chunk *last*, where the damage is."""
    try:
        (items,) = connection.execute(
            "SELECT CAST(sum(items) AS INTEGER) FROM chunk WHERE id > ?", (last,)
        ).fetchone()
    except sqlite3.Error:
        return 1
    return items or 0


def _rows(connection: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows in order, up to one that cannot be read."""
    with suppress(sqlite3.Error):
        # The names are ours, never data.
        yield from connection.execute(f"SELECT {columns} FROM {table} ORDER BY rowid")  # noqa: S608
