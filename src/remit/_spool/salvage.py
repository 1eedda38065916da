"""What can be read of a damaged file: its tables from both ends, each as far as it goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from remit._guard import logger
from remit._losses import Loss
from remit._sink import Item
from remit._spool.folder import Identity
from remit._spool.outbox import Registration, RunRecord
from remit._spool.packing import Body, DamagedError, unpack_registration, unpack_run

DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# SQLite's words, under a code that stands for much else, where the schema's format is overwritten.
UNKNOWN_FORMAT: Final = "unsupported file format"


@dataclass(slots=True)
class Salvage:
    """What was read of a damaged file.

    Attributes:
        items: The items, in order.
        runs: The records of the runs.
        open_spans: Spans that had not ended.
        unreadable: How many items are known to have been there and could not be read; a place
            that cannot be read counts as one.
        about: Format of the file and whose it is; None if that cannot be told.
    """

    items: list[Item] = field(default_factory=list[Item])
    runs: list[RunRecord] = field(default_factory=list[RunRecord])
    open_spans: list[Item] = field(default_factory=list[Item])
    unreadable: int = 0
    about: tuple[int, Identity] | None = None


def is_damage(error: Exception) -> bool:
    """Tell whether *error* speaks of the file's content, not of the disk or the moment."""
    if isinstance(error, sqlite3.Error):
        # Without a code: a text of the file is not UTF-8.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        return code in DAMAGE or str(error) == UNKNOWN_FORMAT
    return isinstance(error, DamagedError)


def salvaged(path: Path) -> Salvage:
    """Read what can be read of the file at *path*."""
    found = Salvage()
    try:
        # Not by `sqlite3.connect`: tracers wrap it.
        connection = sqlite3.Connection(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    except sqlite3.Error:
        return found
    with closing(connection):
        # Else SQLite reads nothing at all of a file that is shorter than its first page says.
        connection.execute("PRAGMA writable_schema = ON")
        for written, target, fingerprint in _rows(connection, "about", "*")[0]:
            if isinstance(target, str) and isinstance(fingerprint, bytes):
                found.about = written, Identity(target, fingerprint)
        chunks, whole = _rows(connection, "chunk", "CAST(items AS INTEGER), crc, body")
        found.unreadable += not whole
        for count, crc, content in chunks:
            try:
                found.items += _items(count, crc, content)
            except DamagedError:
                found.unreadable += count or 0
        for crc, content in _rows(connection, "open_span", "crc, body")[0]:
            with suppress(DamagedError):
                found.open_spans += _items(1, crc, content)
        found.runs = list(_runs(connection))
    return found


def _items(count: int, crc: int, content: bytes) -> list[Item]:
    return [item for item in Body(count, crc, content).unpacked() if item is not None]


def _runs(connection: sqlite3.Connection) -> Iterator[RunRecord]:
    known: dict[bytes, Registration] = {}
    for digest, content in _rows(connection, "registration", "digest, body")[0]:
        with suppress(DamagedError):
            known[digest] = unpack_registration(content)
    for (content,) in _rows(connection, "run", "body")[0]:
        with suppress(DamagedError):
            yield unpack_run(content, known)


def _rows(
    connection: sqlite3.Connection, table: str, columns: str
) -> tuple[list[tuple[Any, ...]], bool]:
    """Return the rows that can be read, and whether they are all.

    From the first on, and where that comes to an end from the last back.
    """
    found: dict[int, tuple[Any, ...]] = {}
    whole = False
    for order in ("ASC", "DESC"):
        # The names are ours, never data.
        statement = f"SELECT rowid, {columns} FROM {table} ORDER BY rowid {order}"  # noqa: S608
        try:
            for row_id, *values in connection.execute(statement):
                if row_id in found:
                    break
                found[row_id] = tuple(values)
        except sqlite3.Error:
            continue
        whole = True
        break
    return [found[row_id] for row_id in sorted(found)], whole


@cache
def say_unreadable(path: Path) -> None:
    """Log, once for each file, that a part of it cannot be read."""
    logger.warning(
        "a part of the spool's file %s is damaged: the items in it are lost, and counted in "
        "remit.status().dropped as %s",
        path,
        Loss.SPOOL_DAMAGED.value,
    )
