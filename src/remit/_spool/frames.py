"""The write-ahead log of a file that a killed process left, where it is damaged.

SQLite reads the log up to the first frame that is not as it was written, takes the rest for what
was never committed, and deletes the log. The index beside it tells how far the process had come.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from remit._files import PRIVATE_FILE
from remit._guard import logger
from remit._spool.database import Database
from remit._spool.folder import DAMAGED

# Source: SQLite's "WAL-Mode File Format", "The WAL-Index Header": two copies, in native order.
LOG: Final = "-wal"
INDEX: Final = "-shm"
VERSION: Final = 3_007_000
INDEX_HEAD: Final = struct.Struct("=I8xB3xI28x")


def opened_left(path: Path, max_bytes: int) -> tuple[Database, bool]:
    """Open a file that no process has; put its log aside if that is damaged, and say so.

    Returns:
        The file, and whether something in its log cannot be read: nobody can tell how much.

    Raises:
        OSError: The disk does not do.
        sqlite3.Error: The same, as SQLite says it, or the file is damaged.
    """
    committed = _committed(path)
    database = Database(path, max_bytes=max_bytes)
    try:
        if not committed or (found := database.log_frames()) >= committed:
            return database, False
        # Now: SQLite deletes it when the file is closed.
        _put_aside(path)
    except BaseException:
        database.close()
        raise
    logger.warning(
        "the log of the spool's file %s is damaged: %d of its %d pages can be read. What they hold "
        "is sent, how much was in the others cannot be told; the log was put aside with the ending "
        "%s",
        path,
        found,
        committed,
        DAMAGED,
    )
    return database, True


def _committed(path: Path) -> int:
    """Return how many frames of the log the index says were committed; 0 if it cannot be read.

    For a file that nobody has open: closing a descriptor drops the locks that SQLite holds.
    """
    size = INDEX_HEAD.size
    heads = b""
    with suppress(OSError), Path(f"{path}{INDEX}").open("rb") as file:
        heads = file.read(2 * size)
    if len(heads) < 2 * size or heads[:size] != heads[size:]:
        return 0
    version, written, frames = INDEX_HEAD.unpack_from(heads)
    return int(frames) if version == VERSION and written else 0


def _put_aside(path: Path) -> None:
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW
    descriptor = os.open(path.with_suffix(DAMAGED), flags, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as kept:
        kept.write(Path(f"{path}{LOG}").read_bytes())
