"""The outbox of a process: its file of the spool, and memory where nothing can be written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from remit._base.guard import logger
from remit._deliver.losses import Loss, costs
from remit._deliver.spool.files import Files
from remit._deliver.spool.memory import MemoryOutbox
from remit._deliver.spool.outbox import Row
from remit._deliver.spool.records import DamagedError, RunRecord
from remit._deliver.spool.store import BUSY_TIMEOUT_S, STORAGE_ERRORS, FileOutbox
from remit._record.items import Item

# Between two looks whether somebody deleted the file.
LOOK_S: Final = 1.0
# At the end of the process, which waits for the disk no longer than it may.
ROWS_AT_ONCE: Final = 2_000


class SpoolOutbox:
    """Puts into a file that is made at the first put; into memory after a put that failed.

    What is in memory is younger than what is in the file. Once all of it is delivered the file is
    tried again, so that a disk that was full for an hour costs an hour; and at the end, for what
    is left.
    """

    def __init__(self, files: Files | None, *, release: Callable[[int], None]) -> None:
        """Begin empty, without a file.

        Args:
            files: Makes the file; without it everything is in memory.
            release: Told how many bytes left memory.
        """
        self._files = files
        self._release = release
        self._memory = MemoryOutbox(release=release)
        self._file: FileOutbox | None = None
        self._look_s = 0.0
        self._unreadable = self._said = self._closed = False

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order; all or nothing."""
        if self._files is not None and not self._memory.pending():
            try:
                file = self._writable(self._files)
                file.put(items, runs, after=self._memory.last_id())
            except STORAGE_ERRORS as error:
                self._say(self._files, error)
            else:
                self._release(costs(items))
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
                self._say(self._files, error)
        return rows + self._memory.head(limit - len(rows))

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows that were delivered, or given up and counted elsewhere."""
        first = self._first_in_memory()
        if self._file is not None:
            self._file.settle([row_id for row_id in ids if row_id < first])
        self._memory.settle([row_id for row_id in ids if row_id >= first])

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Take rows out of the order; those in the file stay in it, with the *reason*."""
        first, kept = self._first_in_memory(), 0
        if self._file is not None:
            kept = self._file.set_aside([row for row in rows if row[0] < first], reason)
        return kept + self._memory.set_aside([row for row in rows if row[0] >= first], reason)

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        return (self._file and self._file.run(key)) or self._memory.run(key)

    def save_run(self, record: RunRecord) -> None:
        """Keep what is new in *record*."""
        (self._file or self._memory).save_run(record)

    def forget_run(self, key: str) -> None:
        """Remove a run's record."""
        if self._file is not None:
            self._file.forget_run(key)
        self._memory.forget_run(key)

    def open_spans(self) -> list[Item]:
        """Return the beginnings in the file of spans without an end; none if it is damaged."""
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
        """Return when the oldest row on disk was written, by the wall clock."""
        return self._file.oldest_ns() if self._file is not None else None

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork."""
        if self._file is not None:
            self._file.abandon()

    def close(self, timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Release the file: delete it if nothing is left in it, else leave it to a later process.

        What is in memory is written to it first, if the disk takes it until *timeout_s*.
        """
        self._closed = True
        ends_s = time.monotonic() + timeout_s
        if self._files is not None and self._memory.pending():
            self._write_down(self._files, ends_s)
        file = self._file
        if file is None or self._files is None:
            return
        if file.pending() and not file.claim.path.exists():
            self._lose_deleted(self._files, file)
        file.close(max(0.0, ends_s - time.monotonic()))

    def _write_down(self, files: Files, ends_s: float) -> None:
        """Put what is in memory into the file, until *ends_s*."""
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
        """Return the file, made now if there is none yet or somebody deleted it.

        Raises:
            OSError: It cannot be made, or cannot be read any more.
            sqlite3.Error: It cannot be made.
        """
        if self._unreadable:
            raise OSError("the file cannot be read")
        now_s = time.monotonic()
        file = self._file
        if file is not None and now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            if not file.claim.path.exists():
                self._lose_deleted(files, file)
                file.detach().remove()
        if self._file is None:
            self._file = files.create()
            if runs := self._memory.runs():
                self._file.put([], runs)
        return self._file

    def _lose_deleted(self, files: Files, file: FileOutbox) -> None:
        """Count what was in a file that somebody deleted, and keep the records of its runs."""
        self._memory.put([], file.runs(), after=file.last_id())
        self._file, lost = None, file.pending()
        if lost:
            files.lose(Loss.SPOOL_DAMAGED, lost)
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
        """Return the id from which on rows are in memory: they are younger than those on disk."""
        first = self._memory.first_id()
        return sys.maxsize if first is None else first

    def _say(self, files: Files, error: Exception) -> None:
        if not self._said:
            self._said = True
            logger.warning(
                "the spool in %s cannot be used: %s. What is recorded is kept in memory alone "
                "until that is mended, and what cannot be delivered is lost with this process; "
                "see data_dir",
                files.folder.path,
                error,
            )
