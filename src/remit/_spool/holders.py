"""Who has a spool file open, whatever became of the lock beside it.

SQLite holds a lock of its own on a file in WAL mode for as long as a connection is open. Where a
cleaner took the `.lock` of a process that lives, this one still tells that it does.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

# Source: SQLite's file format, "The Lock-Byte Page": readers hold the bytes after the first two.
SHARED_FIRST: Final = 0x4000_0000 + 2
SHARED_BYTES: Final = 510

_ours: Final[list[Path]] = []


def opened(path: Path) -> None:
    """Take note that this process has a connection to the file at *path*."""
    _ours.append(path)


def closed(path: Path) -> None:
    """Take note that one of them is closed."""
    if path in _ours:
        _ours.remove(path)


def is_open(path: Path) -> bool:
    """Tell whether any process has a connection to the file at *path*, this one included.

    One of this process's is told by note alone: to close a descriptor of the file here would drop
    the locks that SQLite holds on it.
    """
    if path in _ours:
        return True
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_BYTES, SHARED_FIRST)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        # No locks of this kind here: the one beside the file has to do.
        return False
    finally:
        os.close(descriptor)
    return False
