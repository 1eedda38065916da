"""Recovery of a damaged file: reads each table in order, up to the damage."""

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
# SQLite's message for an overwritten schema format; its code has other causes as well.
UNKNOWN_FORMAT: Final = "unsupported file format"


@dataclass(slots=True)
class Recovered:
    """The readable content of a damaged file.

    Attributes:
        items: The items, in order.
        runs: The records of the runs.
        open_spans: Starts of spans without an end.
        unreadable: Number of items that could not be read; a part of unknown size counts as one.
        about: Format and identity of the file; None if they cannot be read.
    """

    items: list[Item] = field(default_factory=list[Item])
    runs: list[RunRecord] = field(default_factory=list[RunRecord])
    open_spans: list[Item] = field(default_factory=list[Item])
    unreadable: int = 0
    about: tuple[int, Identity] | None = None


def is_damage(error: Exception) -> bool:
    """Return whether *error* is caused by the file's content, not by the disk or a lock."""
    if isinstance(error, sqlite3.Error):
        # Without a code: a text of the file is not UTF-8.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        return code in DAMAGE or str(error) == UNKNOWN_FORMAT
    return isinstance(error, DamagedError)


def recover(path: Path) -> Recovered:
    """Return the readable content of the file at *path*."""
    recovered = Recovered()
    registrations: dict[bytes, Registration] = {}
    # Not by `sqlite3.connect`: tracers wrap it.
    with closing(sqlite3.Connection(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        with suppress(sqlite3.Error):
            # Otherwise SQLite reads nothing of a file that is shorter than its header says.
            connection.execute("PRAGMA writable_schema = ON")
        for written, target, fingerprint in _rows(connection, "about", "*"):
            if isinstance(target, str) and isinstance(fingerprint, bytes):
                recovered.about = written, Identity(target, fingerprint)
        for digest, content in _rows(connection, "registration", "digest, body"):
            with suppress(DamagedError):
                registrations[digest] = unpack_registration(content)
        for (content,) in _rows(connection, "run", "body"):
            with suppress(DamagedError):
                recovered.runs.append(unpack_run(content, registrations))
        for crc, content in _rows(connection, "open_span", "crc, body"):
            with suppress(DamagedError):
                recovered.open_spans += [item for item in unpack(crc, content) if item]
        last = 0
        for chunk_id, items, crc, content in _rows(connection, "chunk", "id, items, crc, body"):
            last = chunk_id
            try:
                recovered.items += [item for item in unpack(crc, content) if item]
            except DamagedError:
                recovered.unreadable += items if isinstance(items, int) else 1
        recovered.unreadable += _items_after(connection, last)
    return recovered


def _items_after(connection: sqlite3.Connection, last: int) -> int:
    """Return the number of items in the chunks after *last*, where the damage is."""
    try:
        (items,) = connection.execute(
            "SELECT CAST(sum(items) AS INTEGER) FROM chunk WHERE id > ?", (last,)
        ).fetchone()
    except sqlite3.Error:
        return 1
    return items or 0


def _rows(connection: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows in order, up to the first that cannot be read."""
    with suppress(sqlite3.Error):
        # The names are ours, never data.
        yield from connection.execute(f"SELECT {columns} FROM {table} ORDER BY rowid")  # noqa: S608
