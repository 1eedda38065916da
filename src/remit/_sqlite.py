"""SQLite files of remit: what marks them, and reading one without changing anything.

`application_id`, four bytes in the header of each SQLite file, marks ours. A file of another
program is not opened for writing, so that it stays as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from remit._files import refuse_link

LOGS: Final = ("-wal", "-journal")
INDEX: Final = "-shm"


class Kind(NamedTuple):
    """One kind of database.

    Attributes:
        application_id: Its mark.
        tables: Tables that each one has, also those of earlier versions, which have no mark.
    """

    application_id: int
    tables: tuple[str, ...]


COLLECTOR: Final = Kind(
    int.from_bytes(b"RMTC"), ("agent_instances", "agent_schema_versions", "agent_spans")
)
SPOOL: Final = Kind(int.from_bytes(b"RMTS"), ("about", "chunk", "run"))


class ForeignError(Exception):
    """An SQLite file that another program made."""


def check_ours(path: Path, kind: Kind, *, in_log: bool = True) -> None:
    """Check that a file is a database of remit's, or an empty one, without changing anything.

    Args:
        path: A file that exists.
        kind: What it is to be.
        in_log: Whether to look into its log if the file itself is still empty.

    Raises:
        ForeignError: Another program made it.
        OSError: It is a symbolic link, or cannot be read.
        sqlite3.Error: It is not an SQLite file, is damaged, or cannot be read.
    """
    refuse_link(path)
    if not path.stat().st_size:
        return
    with closing(_connection(path, "&immutable=1")) as connection:
        mark, found = mark_of(connection), _tables(connection, kind)
    if not mark and not found and in_log and has_log(path):
        # All of it may still be in the log.
        with closing(_connection(path, "")) as connection:
            mark, found = mark_of(connection), _tables(connection, kind)
    if mark == kind.application_id or found.issuperset(kind.tables) or not (mark or found):
        return
    raise ForeignError(
        f"another program made it ({f'application_id {mark:#010x}' if mark else 'without a mark'}, "
        f"{f'tables {_some(found)}' if found else 'no tables'})"
    )


def reader(path: Path, *, left: bool = False) -> sqlite3.Connection:
    """Return a connection that reads a file, and changes nothing in it or beside it.

    It sees what is committed now. While no process has the file open it is read as it is, without
    the locks and the index that SQLite otherwise puts beside it: so a file and a folder that may
    only be read can be read.

    Args:
        path: A file that exists.
        left: Whether no process has it open: then even the index that SQLite keeps beside a log
            stays as it is, which tells how long the log was.

    Raises:
        OSError: It is a symbolic link.
        sqlite3.Error: It cannot be opened.
    """
    refuse_link(path)
    how = "" if has_log(path) else "&immutable=1"
    return _connection(path, "&readonly_shm=1" if how == "" and left and _index(path) else how)


def has_log(path: Path) -> bool:
    """Return whether a process may have the file open, or left a log that belongs to it."""
    return _index(path) or any(_size(f"{path}{each}") for each in LOGS)


def _index(path: Path) -> bool:
    return Path(f"{path}{INDEX}").exists()


def _connection(path: Path, how: str) -> sqlite3.Connection:
    # Not by `sqlite3.connect`: tracers wrap it, and would trace the tracing.
    return sqlite3.Connection(
        f"{path.absolute().as_uri()}?mode=ro{how}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def mark_of(connection: sqlite3.Connection) -> int:
    """Return the `application_id` of a file."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    return int(application_id) & 0xFFFF_FFFF


def _tables(connection: sqlite3.Connection, kind: Kind) -> frozenset[str]:
    """Return the names of the tables; of a file with our mark they do not matter."""
    if mark_of(connection) == kind.application_id:
        return frozenset()
    # A name that is not UTF-8 belongs to another program.
    connection.text_factory = bytes
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return frozenset(str(name, "utf-8", "replace") for (name,) in names)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _some(names: Collection[str], most: int = 3) -> str:
    shown = sorted(names)[:most]
    return ", ".join(shown) + (", ..." if len(names) > most else "")
