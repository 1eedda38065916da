"""References for new runs, taken from the database some at a time.

A transaction knows the reference of a run before it inserts the run, which it does last.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any, Final

from psycopg import Cursor

AT_ONCE: Final = 32
_TAKE: Final = f"SELECT nextval('runs_ref_seq') FROM generate_series(1, {AT_ONCE})".encode()  # noqa: S608 - a number


class RunReferences:
    """References that no run has; those that are left when the process ends are never used.

    Threads share them without a lock, which a fork could leave locked.
    """

    def __init__(self) -> None:
        """Have none yet."""
        self._process = os.getpid()
        self._free: deque[int] = deque()

    def next(self, cursor: Cursor[tuple[Any, ...]]) -> int:
        """Return a reference; *cursor* takes more from the database if there is none."""
        if self._process != os.getpid():
            # A forked child has those of its parent.
            self._process, self._free = os.getpid(), deque()
        try:
            return self._free.popleft()
        except IndexError:
            first, *more = (int(ref) for (ref,) in cursor.execute(_TAKE).fetchall())
            self._free.extend(more)
            return first
