"""The files that ended processes left behind: which are ours to send, and what is done with them.

An adopter takes the lock of a file, sends what is in it in order and with the stored keys, and
deletes it. A file of another target or token is left alone unless a command asks for it; a file of
a later version always is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from remit._guard import logger
from remit._losses import Loss
from remit._spool.database import FORMAT, STORAGE_ERRORS, Database, is_foreign
from remit._spool.file import SpoolFile
from remit._spool.folder import (
    ASIDE,
    DAMAGED,
    DATABASE,
    NO_OTHERS,
    Claim,
    Folder,
    Identity,
    Others,
    modified_ns,
)
from remit._spool.packing import DamagedError
from remit._spool.room import Lose
from remit._spool.salvage import is_damage, salvaged


class Files:
    """Makes and opens the files of one folder for this process."""

    def __init__(
        self,
        folder: Folder,
        *,
        wall_ns: Callable[[], int],
        lose: Lose,
        others: Others = NO_OTHERS,
        keep_bytes: int = 0,
    ) -> None:
        """Look after *folder*.

        Args:
            folder: Where they are, and whose are ours.
            wall_ns: The time.
            lose: Told what had to be given up.
            others: Which other files are taken too.
            keep_bytes: Most bytes of memory for what this process puts into one of them.
        """
        self.folder = folder
        self._wall_ns = wall_ns
        self._lose = lose
        self._others = others
        self._keep_bytes = keep_bytes
        self._foreign: set[Path] = set()

    def create(self) -> SpoolFile:
        """Return a new file for this process.

        Raises:
            OSError: The folder cannot be written to, or its file system has no locks.
            sqlite3.Error: The same, as SQLite says it.
        """
        claim = self.folder.create()
        try:
            database = self._database(claim)
            database.prepare(self.folder.identity)
            return self._file(claim, database)
        except STORAGE_ERRORS:
            claim.remove()
            raise

    def left(self) -> bool:
        """Tell whether there is a file that may be ours to send; it may have a process, though."""
        return any(path not in self._foreign for path in self.folder.files(DATABASE))

    def take(self) -> SpoolFile | None:
        """Return the oldest file that is ours and has no process; `None` if there is none."""
        self.folder.sweep()
        for path in self.folder.files(DATABASE):
            file = None if path in self._foreign else self._taken(path)
            if file is not None:
                return file
        return None

    def rescue(self, claim: Claim, error: Exception) -> SpoolFile | None:
        """Put a damaged file aside, and return a new one with what could be read of it.

        Args:
            claim: On the damaged file, which is closed.
            error: What was wrong with it.
        """
        found = salvaged(claim.path)
        if found.about is not None and not self._is_ours(*found.about):
            self._leave(claim)
            return None
        file: SpoolFile | None = None
        try:
            if found.about is not None:
                file = self.create()
                file.put(found.items, found.runs)
                file.note_open(found.open_spans)
        except STORAGE_ERRORS:
            claim.release()
            return None
        if found.unreadable:
            self._lose(Loss.SPOOL_DAMAGED, found.unreadable)
        _put_damaged_aside(claim, error, len(found.items))
        return file

    def bring_back(self) -> int:
        """Make what was set aside ready to be sent once more; return how many items that are."""
        count = 0
        for path in self.folder.files(ASIDE):
            file = self._taken(path)
            if file is not None:
                count += file.bring_back()
        return count

    def _taken(self, path: Path) -> SpoolFile | None:
        claim: Claim | None = None
        if is_foreign(path):
            self._foreign.add(path)
        with suppress(OSError):
            claim = None if path in self._foreign else self.folder.claim(path)
        if claim is None:
            return None
        if not path.exists():
            claim.remove()
            return None
        last_write_ns = modified_ns(path)
        try:
            file = self._opened(claim)
        except (DamagedError, *STORAGE_ERRORS) as error:
            if is_damage(error):
                return self.rescue(claim, error)
            claim.release()
            return None
        if file is None or claim.linked:
            return self._dated(file, last_write_ns)
        # Its lock was removed before it was open here: another may have made it anew.
        file.surrender().release()
        return None

    def _dated(self, file: SpoolFile | None, last_write_ns: int) -> SpoolFile | None:
        """Return *file*, which knows when its own process wrote to it last."""
        if file is not None:
            file.last_write_ns = last_write_ns
        return file

    def _opened(self, claim: Claim) -> SpoolFile | None:
        """Open a file if it is ours.

        Raises:
            DamagedError: It is damaged.
            OSError: The disk does not do.
            sqlite3.Error: Either of the two, as SQLite says it.
        """
        database = self._database(claim)
        try:
            about = database.about()
            if about is not None and self._is_ours(*about):
                return self._file(claim, database)
        except (DamagedError, *STORAGE_ERRORS):
            database.close()
            raise
        database.close()
        if about is None:
            # Its process ended before it wrote anything.
            claim.remove()
        else:
            self._leave(claim)
        return None

    def _leave(self, claim: Claim) -> None:
        """Let go of a file that is not ours to send, and remember it."""
        self._foreign.add(claim.path)
        claim.release()

    def _is_ours(self, written: int, identity: Identity) -> bool:
        return written <= FORMAT and self._others.include(identity, self.folder.identity)

    def _database(self, claim: Claim) -> Database:
        return Database(claim.path, max_bytes=self.folder.max_bytes)

    def _file(self, claim: Claim, database: Database) -> SpoolFile:
        return SpoolFile(
            self.folder,
            claim,
            database,
            wall_ns=self._wall_ns,
            lose=self._lose,
            keep_bytes=self._keep_bytes,
        )


def _put_damaged_aside(claim: Claim, error: Exception, saved: int) -> None:
    path = claim.path
    claim.put_aside(DAMAGED)
    logger.warning(
        "the spool's file %s is damaged (%s): %d items could be read of it and are sent, and it "
        "was put aside with the ending %s",
        path,
        error,
        saved,
        DAMAGED,
    )
