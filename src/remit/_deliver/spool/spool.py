"""The outbox of a process: its spool file, and memory while the file cannot be written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from remit._base.guard import logger
from remit._deliver.losses import Loss, total_cost
from remit._deliver.spool.files import Files
from remit._deliver.spool.memory import MemoryOutbox
from remit._deliver.spool.outbox import Row
from remit._deliver.spool.records import DamagedError, RunRecord
from remit._deliver.spool.store import BUSY_TIMEOUT_S, STORAGE_ERRORS, FileOutbox
from remit._record.items import Item

# Between two checks whether the file was deleted.
CHECK_FILE_S: Final = 1.0
# Rows that are written at a time at the end of the process, between two looks at the clock.
ROWS_AT_ONCE: Final = 2_000


class SpoolOutbox:
    """Puts into a file that is created at the first put, and into memory after a failed put.

    Rows in memory are younger than rows in the file. When all of them are delivered, the file is
    tried again. When the process ends, the remaining ones are written to the file if possible.
    """

    def __init__(self, files: Files | None, *, release: Callable[[int], None]) -> None:
        """Start empty, without a file.

        Args:
            files: Creates the file; without it all rows are in memory.
            release: Called with the number of bytes that left memory.
        """
        self._files = files
        self._release = release
        self._memory = MemoryOutbox(release=release)
        self._file: FileOutbox | None = None
        self._next_check_s = 0.0
        self._unreadable = self._warned = self._closed = False

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order; all or nothing."""
        if self._files is not None and not self._memory.pending():
            try:
                file = self._writable(self._files)
                file.put(items, runs, after=self._memory.last_id())
            except STORAGE_ERRORS as error:
                self._warn(self._files, error)
            else:
                self._release(total_cost(items))
                if self._closed:  # by a writer that hung beyond the shutdown
                    file.close()
                return
        self._memory.put(items, runs, after=self._file.last_id() if self._file else 0)

    def head(self, limit: int) -> list[Row]:
        """Return the first rows that are not settled, at most *limit*."""
        rows: list[Row] = []
        if self._files is not None and self._file is not None and not self._unreadable:
            try:
                rows = self._file.head(limit)
            except STORAGE_ERRORS as error:
                self._unreadable = True
                self._warn(self._files, error)
        return rows + self._memory.head(limit - len(rows))

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows that were delivered, or dropped and counted by the caller."""
        first = self._first_in_memory()
        if self._file is not None:
            self._file.settle([row_id for row_id in ids if row_id < first])
        self._memory.settle([row_id for row_id in ids if row_id >= first])

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Remove rows that the server refused for good; the file keeps its own with *reason*."""
        first, kept = self._first_in_memory(), 0
        if self._file is not None:
            kept = self._file.set_aside([row for row in rows if row[0] < first], reason)
        return kept + self._memory.set_aside([row for row in rows if row[0] >= first], reason)

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        return (self._file and self._file.run(key)) or self._memory.run(key)

    def save_run(self, record: RunRecord) -> None:
        """Save *record*."""
        (self._file or self._memory).save_run(record)

    def forget_run(self, key: str) -> None:
        """Remove a run's record."""
        if self._file is not None:
            self._file.forget_run(key)
        self._memory.forget_run(key)

    def open_spans(self) -> list[Item]:
        """Return the starts in the file of spans without an end; none if it is damaged."""
        with suppress(DamagedError, *STORAGE_ERRORS):
            if self._file is not None:
                return self._file.open_spans()
        return []

    def last_id(self) -> int:
        """Return an id that no row so far exceeds."""
        return max(self._file.last_id() if self._file else 0, self._memory.last_id())

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, up to an earlier `last_id()` if given."""
        return self.spooled(up_to) + self._memory.pending(up_to)

    def spooled(self, up_to: int | None = None) -> int:
        """Count those of the pending rows that are on disk."""
        return self._file.pending(up_to) if self._file is not None else 0

    def oldest_ns(self) -> int | None:
        """Return the wall time at which the oldest row on disk was written."""
        return self._file.oldest_ns() if self._file is not None else None

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork."""
        if self._file is not None:
            self._file.abandon()

    def close(self, timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Release the file: delete it if it has no rows, else leave it to a later process.

        Rows in memory are written to it first, for at most *timeout_s*.
        """
        self._closed = True
        ends_s = time.monotonic() + timeout_s
        if self._files is not None and self._memory.pending():
            self._flush_memory(self._files, ends_s)
        file = self._file
        if file is None or self._files is None:
            return
        if file.pending() and not file.claim.path.exists():
            self._lose_deleted(self._files, file)
        file.close(max(0.0, ends_s - time.monotonic()))

    def _flush_memory(self, files: Files, ends_s: float) -> None:
        """Move the rows in memory to the file, until *ends_s*."""
        memory = self._memory
        if not files.lock.acquire(timeout=max(0.0, ends_s - time.monotonic())):
            return
        try:
            file = self._writable(files)
            runs = [record for record in memory.runs() if file.run(record.key) is None]
            while time.monotonic() < ends_s and (rows := memory.head(ROWS_AT_ONCE)):
                file.put([item for _, item in rows], runs, after=memory.last_id())
                memory.settle([row_id for row_id, _ in rows])
                runs = []
        except STORAGE_ERRORS:
            pass  # it is lost with the process, which says so
        finally:
            files.lock.release()

    def _writable(self, files: Files) -> FileOutbox:
        """Return the file, created now if there is none or it was deleted.

        Raises:
            OSError: It cannot be created, or cannot be read any more.
            sqlite3.Error: It cannot be created.
        """
        if self._unreadable:
            raise OSError("the file cannot be read")
        now_s = time.monotonic()
        file = self._file
        if file is not None and now_s >= self._next_check_s:
            self._next_check_s = now_s + CHECK_FILE_S
            if not file.claim.path.exists():
                self._lose_deleted(files, file)
                file.detach().remove()
        if self._file is None:
            self._file = files.create()
            if runs := self._memory.runs():
                self._file.put([], runs)
        return self._file

    def _lose_deleted(self, files: Files, file: FileOutbox) -> None:
        """Count the rows of a file that was deleted, and keep the records of its runs."""
        self._memory.put([], file.runs(), after=file.last_id())
        self._file, lost = None, file.pending()
        if lost:
            files.on_loss(Loss.SPOOL_DAMAGED, lost)
        logger.warning(
            "the spool's file %s was deleted while it was in use: %d items that were not delivered "
            "yet are lost, and counted in remit.status().dropped as %s. Have whatever cleans up "
            "there spare %s",
            file.claim.path,
            lost,
            Loss.SPOOL_DAMAGED.value,
            files.folder.path,
        )

    def _first_in_memory(self) -> int:
        """Return the id of the oldest row in memory; all rows on disk have smaller ids."""
        first = self._memory.first_id()
        return sys.maxsize if first is None else first

    def _warn(self, files: Files, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "the spool in %s cannot be used: %s. What is recorded is kept in memory alone "
                "until that is mended, and what cannot be delivered is lost with this process; "
                "see data_dir",
                files.folder.path,
                error,
            )
