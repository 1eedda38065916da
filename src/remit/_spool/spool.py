"""The outbox of a process: its file of the spool, and memory where nothing can be written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Final

from remit._guard import logger
from remit._losses import costs
from remit._sink import Item
from remit._spool.database import BUSY_TIMEOUT_S, STORAGE_ERRORS
from remit._spool.file import SpoolFile
from remit._spool.files import Files
from remit._spool.memory import MemoryOutbox
from remit._spool.outbox import Row, RunRecord
from remit._spool.packing import DamagedError

REMOVED: Final = "its file was removed, and a new one cannot be made"
# At the end of the process, which waits for the disk no longer than it has.
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
        self._file: SpoolFile | None = None
        self._unreadable = False
        self._said = False
        # What was put last went there, or was on its way.
        self._into: SpoolFile | MemoryOutbox = self._memory
        self._unreleased_bytes = 0
        self._held: SpoolFile | None = None
        self._closed = False
        # In the file of before, which was let go of: see `reopen`.
        self._left = 0

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order; all or nothing."""
        if self._files is not None and not self._memory.pending():
            try:
                file = self._writable(self._files)
                file.skip_to(self._memory.last_id())
                self._unreleased_bytes = costs(items)
                self._into = file
                file.put(items, runs)
            except STORAGE_ERRORS as error:
                self._say(self._files, error)
            else:
                self._have_put(file)
                return
        if self._file is not None:
            self._memory.skip_to(self._file.last_id())
        self._into = self._memory
        self._memory.put(items, runs)

    def took(self, items: Sequence[Item]) -> bool:
        """Tell whether the last put was of *items*, and done before an alarm broke it off."""
        into = self._into
        taken = into.took(items)
        if taken and isinstance(into, SpoolFile):
            self._have_put(into)
        return taken

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
        if self._file is not None:
            self._file.save_run(record)
        else:
            self._memory.save_run(record)

    def forget_run(self, key: str) -> None:
        """Remove a run's record."""
        if self._file is not None:
            self._file.forget_run(key)
        self._memory.forget_run(key)

    def open_spans(self) -> list[Item]:
        """Return the beginnings in the file of spans that have not ended; none if it is damaged."""
        found: list[Item] = []
        with suppress(DamagedError, *STORAGE_ERRORS):
            if self._file is not None:
                found = self._file.open_spans()
        return found

    def last_id(self) -> int:
        """Return an id that no row so far exceeds."""
        return max(self._file.last_id() if self._file else 0, self._memory.last_id())

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, up to an earlier `last_id()` if given."""
        in_file = self._file.pending(up_to) if self._file is not None else 0
        return self._left + in_file + self._memory.pending(up_to)

    def spooled(self, up_to: int | None = None) -> int:
        """Count those of the pending rows that are on disk."""
        return self._left + (self._file.spooled(up_to) if self._file is not None else 0)

    def oldest_ns(self) -> int | None:
        """Return when the oldest row on disk was written, by the wall clock."""
        return self._file.oldest_ns() if self._file is not None else None

    def look(self) -> None:
        """See that the file is still there; where it cannot be made again, say so."""
        if self._files is None or self._file is None or self._closed:
            return
        if not self._file.look():
            self._say(self._files, OSError(REMOVED))

    def hold(self, timeout_s: float) -> bool:
        """Keep everyone out of SQLite, for a fork; tell whether that was possible in time."""
        file = self._file
        # Before too: a signal's handler may raise in between.
        self._held = file
        if file is None or not file.hold(timeout_s):
            return False
        self._held = file
        return True

    def let_go(self) -> None:
        """Let others in again."""
        file, self._held = self._held, None
        if file is not None:
            file.let_go()

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork."""
        if self._file is not None:
            self._file.abandon()

    def reopen(self) -> bool:
        """Put what comes after the end into a file of its own; tell whether there can be one.

        It is never closed: the process ends, and a later one sends it.
        """
        if not self._closed:
            return True
        if self._files is None or self._memory.pending():
            return False
        try:
            file = self._files.create()
        except STORAGE_ERRORS:
            return False
        self._left += self.spooled()
        self._file, self._closed = file, False
        return True

    def close(self, timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Let go of the file: delete it if it is done with, else leave it to a later process."""
        self._closed = True
        ends_s = time.monotonic() + timeout_s
        if self._files is not None and self._memory.pending():
            self._write_down(self._files, ends_s)
        if self._file is not None:
            self._file.close(max(0.0, ends_s - time.monotonic()))

    def _have_put(self, file: SpoolFile) -> None:
        """Do what there is to do when something was written to *file*; what was done is not."""
        if self._closed:
            # By a writer that hung beyond the shutdown: a later process sends it.
            file.close()
        freed_bytes, self._unreleased_bytes = self._unreleased_bytes, 0
        self._release(freed_bytes)

    def _write_down(self, files: Files, ends_s: float) -> None:
        """Put what is in memory on the disk, which may do again, until *ends_s*."""
        memory = self._memory
        with suppress(*STORAGE_ERRORS):
            file = self._writable(files)
            if not file.hold(max(0.0, ends_s - time.monotonic())):
                return
            try:
                file.skip_to(memory.last_id())
                runs = [record for record in memory.runs() if file.run(record.key) is None]
                while time.monotonic() < ends_s and (rows := memory.head(ROWS_AT_ONCE)):
                    file.put([item for _, item in rows], runs)
                    memory.settle([row_id for row_id, _ in rows])
                    runs = []
            finally:
                file.let_go()

    def _writable(self, files: Files) -> SpoolFile:
        """Return the file, made now if there is none yet.

        Raises:
            OSError: It cannot be made, or cannot be read any more.
            sqlite3.Error: It cannot be made.
        """
        if self._unreadable:
            raise OSError("the file cannot be read")
        if self._file is None:
            self._file = files.create()
        if self._file.adrift:
            raise OSError(REMOVED)
        return self._file

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
