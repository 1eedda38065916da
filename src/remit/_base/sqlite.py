"""SQLite files of remit: their `application_id`, and connections that change nothing.

The `application_id`, four bytes in the header of an SQLite file, marks the files of remit. A file
of another program is never opened for writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from remit._base.files import reject_link

COLLECTOR_VERSION: Final = 9
"""Schema version of the collector's databases."""
LOGS: Final = ("-wal", "-journal")
INDEX: Final = "-shm"
_ALONE: Final = "ro&immutable=1"
"""Mode of a connection to a file that no process writes to."""

COLLECTOR: Final = int.from_bytes(b"RMTC")
"""`application_id` of the collector's databases."""
SPOOL: Final = int.from_bytes(b"RMTS")
"""`application_id` of the files of the spool."""


class ForeignError(Exception):
    """An SQLite file that another program made."""


class ChangedError(Exception):
    """An SQLite file that was written to while it was read without a lock."""


def check_ours(path: Path, expected: int, *, in_log: bool = True) -> None:
    """Check, without changing it, that a file is a database of remit's or empty.

    Args:
        in_log: Whether to look into its log if the file itself is still empty.

    Raises:
        ForeignError: Another program made it.
        OSError: It is a symbolic link, or cannot be read.
        sqlite3.Error: It is not an SQLite file, is damaged, or cannot be read.
    """
    reject_link(path)
    if not path.stat().st_size:
        return
    try:
        number, tables = _contents(open_file(path, _ALONE), expected)
    except sqlite3.DatabaseError as error:
        # While a process writes its log into the file, and after it was killed then, the file is
        # whole only together with its log. A process that ends removes the log afterwards.
        if not _is_corrupt(error):
            raise
        number, tables = _contents(open_read_only(path), expected)
    if not number and not tables and in_log and has_log(path):
        # Everything may still be in the log.
        number, tables = _contents(open_file(path, "ro"), expected)
    if number == expected or not (number or tables):
        return
    raise ForeignError(
        f"another program created it (application_id {number:#010x}, "
        f"{f'tables {_shorten(tables)}' if tables else 'no tables'})"
    )


def open_read_only(path: Path, *, abandoned: bool = False) -> sqlite3.Connection:
    """Return a connection that reads a file without changing it or its folder.

    It sees what is committed now. A file without a log is read without locks and without the index
    that SQLite otherwise creates, so that files and folders without write permission can be read.

    Args:
        abandoned: Whether no process has it open. Then the index of its log stays unchanged too.

    Raises:
        OSError: It is a symbolic link.
        sqlite3.Error: It cannot be opened.
    """
    reject_link(path)
    if not has_log(path):
        return open_file(path, _ALONE)
    return open_file(path, "ro&readonly_shm=1" if abandoned and _index(path) else "ro")


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Return a block with a connection of `open_read_only`.

    Raises:
        ChangedError: The file was written to meanwhile, which its lack of a log did not announce.
        OSError: It is a symbolic link.
        sqlite3.Error: It cannot be opened or read.
    """
    before, logged = _state(path), has_log(path)
    try:
        with closing(open_read_only(path)) as connection:
            yield connection
    except sqlite3.Error:
        if logged or _state(path) == before:
            raise
    if not logged and _state(path) != before:
        raise ChangedError


def schema_version(path: Path) -> int:
    """Return the schema version of a collector's database, without changing it.

    Raises:
        ForeignError: Another program made it.
        OSError: It is a symbolic link, or cannot be read.
        sqlite3.Error: It is not an SQLite file, is damaged, or cannot be read.
    """
    check_ours(path, COLLECTOR)
    with closing(open_read_only(path)) as connection:
        return user_version(connection)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


def has_log(path: Path) -> bool:
    """Return whether a process may have the file open, or left a log for it."""
    return _index(path) or any(_size(f"{path}{ending}") for ending in LOGS)


def _index(path: Path) -> bool:
    return Path(f"{path}{INDEX}").exists()


def open_file(path: Path, mode: str, timeout_s: float = 5.0) -> sqlite3.Connection:
    """Return a connection to a file that exists; *mode* may have further parameters of its URI."""
    # Not by `sqlite3.connect`: tracers wrap it, and would trace the tracing.
    return sqlite3.Connection(
        f"{path.absolute().as_uri()}?mode={mode}",
        timeout=timeout_s,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def application_id(connection: sqlite3.Connection) -> int:
    """Return the `application_id` of a file."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    return int(application_id) & 0xFFFF_FFFF


def user_version(connection: sqlite3.Connection) -> int:
    """Return the schema version of a file; 0 if it has no tables."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _contents(opened: sqlite3.Connection, expected: int) -> tuple[int, frozenset[str]]:
    """Return the `application_id` of a file, and its tables if it is not the expected one."""
    with closing(opened) as connection:
        number = application_id(connection)
        return number, frozenset() if number == expected else _tables(connection)


def _is_corrupt(error: sqlite3.Error) -> bool:
    # The upper bits say what is damaged.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT


def _tables(connection: sqlite3.Connection) -> frozenset[str]:
    # A name that is not UTF-8 belongs to another program.
    connection.text_factory = bytes
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return frozenset(str(name, "utf-8", "replace") for (name,) in names)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _shorten(names: Collection[str], most: int = 3) -> str:
    shown = sorted(names)[:most]
    return ", ".join(shown) + (", ..." if len(names) > most else "")
