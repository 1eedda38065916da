"""The size limit of the spool's folder: when it is reached, new spans are dropped and counted."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from remit._base.clock import NS_PER_S
from remit._deliver.spool.folder import Folder
from remit._record.items import Item, Kind

# Kept for the starts and ends of runs.
RESERVE_PART: Final = 1 / 16
# A process measures the folder again when it has added its share of this part, or after a second.
UNMEASURED_PART: Final = 1 / 64
# Pages that a transaction writes besides the content of chunks.
OVERHEAD_BYTES: Final = 8 * 4096


class Quota:
    """Decides whether spans may be added to a file; the caller holds the spool's lock."""

    def __init__(self, folder: Folder, connection: sqlite3.Connection) -> None:
        """Measure nothing yet; *connection* is open on the file of this process."""
        self._folder = folder
        self._connection = connection
        self._max_bytes = int(folder.max_bytes * (1 - RESERVE_PART))
        self._share_bytes = int(folder.max_bytes * UNMEASURED_PART)
        self._unmeasured_bytes = 0
        self._measure_ns = 0

    def fits(self, added_bytes: int) -> bool:
        """Return whether there is room for *added_bytes* more in the folder."""
        # Written to the log first, and then into the file.
        added_bytes = 2 * added_bytes + OVERHEAD_BYTES
        now_ns = time.monotonic_ns()
        self._unmeasured_bytes -= added_bytes
        if self._unmeasured_bytes >= 0 and now_ns < self._measure_ns:
            return True
        left_bytes, growing = self._measure()
        if left_bytes < added_bytes:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            left_bytes, growing = self._measure()
        left_bytes -= added_bytes
        self._unmeasured_bytes = min(left_bytes // 2, self._share_bytes) // max(1, growing)
        self._measure_ns = now_ns + NS_PER_S
        return left_bytes >= 0

    def _measure(self) -> tuple[int, int]:
        """Return the number of bytes left, and the number of files that may be growing."""
        usage = self._folder.usage()
        (free_pages,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = self._connection.execute("PRAGMA page_size").fetchone()
        # The content of a log is written into its file as well.
        used_bytes = usage.size_bytes + usage.log_bytes - free_pages * page_bytes
        return self._max_bytes - used_bytes, usage.growing


def is_span(item: Item) -> bool:
    """Return whether *item* is a span other than a root; such items are dropped when full."""
    return item.kind in (Kind.SPAN, Kind.FINISH) and item.parent is not None
