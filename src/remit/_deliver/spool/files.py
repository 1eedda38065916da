"""The files of the spool's folder: creates this process's file, takes those of ended processes.

A process that takes a file locks it, sends its rows in order and with the stored keys, and deletes
it. Files of another target or token are taken only if a command asks for it; files of a later
format never are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from remit._base.guard import logger
from remit._base.locks import SignalSafeLock
from remit._deliver.losses import Loss
from remit._deliver.spool import store
from remit._deliver.spool.folder import (
    ASIDE,
    DAMAGED,
    DATABASE,
    NO_OTHER_FILES,
    Claim,
    Folder,
    Identity,
    OtherFiles,
    modified_ns,
)
from remit._deliver.spool.records import DamagedError
from remit._deliver.spool.recovery import is_damage, recover
from remit._deliver.spool.store import STORAGE_ERRORS, FileOutbox, OnLoss


class Files:
    """Creates and opens the files of one folder for this process.

    Attributes:
        folder: The folder.
        lock: Held by every thread that uses SQLite, and by a thread that forks.
        on_loss: Counts lost items.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        wall_ns: Callable[[], int],
        on_loss: OnLoss,
        others: OtherFiles = NO_OTHER_FILES,
    ) -> None:
        """Open nothing yet.

        Args:
            folder: The folder.
            wall_ns: The time.
            on_loss: Counts lost items.
            others: Files of other targets or tokens that are taken too.
        """
        self.folder = folder
        self.on_loss = on_loss
        # Reentrant: an outbox calls its own methods with the lock held.
        self.lock = SignalSafeLock()
        self._wall_ns = wall_ns
        self._others = others
        self._foreign: set[Path] = set()

    def pause(self, timeout_s: float) -> bool:
        """Keep all threads out of SQLite, for a fork; return whether that succeeded in time."""
        return self.lock.acquire(timeout=timeout_s)

    def resume(self) -> None:
        """Allow other threads to use SQLite again, after `pause`."""
        self.lock.release()

    def create(self) -> FileOutbox:
        """Return a new file for this process.

        Raises:
            OSError: The folder cannot be written to, or its file system has no locks.
            sqlite3.Error: The same, raised by SQLite.
        """
        with self.lock:
            claim = self.folder.create()
            try:
                connection = store.connect(claim.path)
                store.prepare(connection, self.folder.identity)
                return self._file(claim, connection)
            except STORAGE_ERRORS:
                claim.remove()
                raise

    def has_files(self) -> bool:
        """Return whether there is a file that may have to be sent; its process may be alive."""
        return any(path not in self._foreign for path in self.folder.files(DATABASE))

    def take(self) -> FileOutbox | None:
        """Return the oldest file to send whose process has ended; `None` if there is none."""
        self.folder.sweep()
        for path in self.folder.files(DATABASE):
            with self.lock:
                file = self._take_path(path)
            if file is not None:
                return file
        return None

    def rescue(self, claim: Claim, error: Exception) -> FileOutbox | None:
        """Put a damaged file aside; return a new file with the readable items.

        Args:
            claim: The lock on the damaged file, which is closed.
            error: The error that showed the damage.
        """
        file: FileOutbox | None = None
        with self.lock:
            try:
                recovered = recover(claim.path)
                if recovered.about is not None:
                    if not self._is_ours(*recovered.about):
                        self._skip(claim)
                        return None
                    file = self.create()
                    file.put(recovered.items, recovered.runs)
                    file.note_open(recovered.open_spans)
            except STORAGE_ERRORS:
                claim.release()
                return None
        if recovered.unreadable:
            self.on_loss(Loss.SPOOL_DAMAGED, recovered.unreadable)
        claim.put_aside(DAMAGED)
        logger.warning(
            "the spool's file %s is damaged (%s): %d items could be read of it and are sent, and "
            "it was put aside with the ending %s",
            claim.path,
            error,
            len(recovered.items),
            DAMAGED,
        )
        return file

    def bring_back(self) -> int:
        """Make what was set aside ready to be sent again; return the number of items."""
        with self.lock:
            files = [self._take_path(path) for path in self.folder.files(ASIDE)]
            return sum(file.bring_back() for file in files if file is not None)

    def _take_path(self, path: Path) -> FileOutbox | None:
        """Return the file at *path* if it is to be sent and its process has ended."""
        if path in self._foreign:
            return None
        if store.is_foreign(path):
            self._foreign.add(path)
            return None
        claim: Claim | None = None
        with suppress(OSError):
            claim = self.folder.claim(path)
        if claim is None:
            return None
        if not path.exists():
            claim.remove()
            return None
        last_write_ns = modified_ns(path)
        try:
            file = self._open_claimed(claim)
        except (DamagedError, *STORAGE_ERRORS) as error:
            if is_damage(error):
                file = self.rescue(claim, error)
            else:
                claim.release()
                return None
        if file is not None:
            file.last_write_ns = last_write_ns
        return file

    def _open_claimed(self, claim: Claim) -> FileOutbox | None:
        """Open a file if it is to be sent.

        Raises:
            DamagedError: It is damaged.
            OSError: It cannot be read or written.
            sqlite3.Error: Either of the two, raised by SQLite.
        """
        connection = store.connect(claim.path)
        try:
            about = store.read_about(connection)
            if about is not None and self._is_ours(*about):
                return self._file(claim, connection)
        except (DamagedError, *STORAGE_ERRORS):
            connection.close()
            raise
        connection.close()
        if about is None:
            # Its process ended before it wrote anything.
            claim.remove()
        else:
            self._skip(claim)
        return None

    def _skip(self, claim: Claim) -> None:
        """Release a file that is not to be sent, and do not open it again."""
        self._foreign.add(claim.path)
        claim.release()

    def _is_ours(self, written: int, identity: Identity) -> bool:
        return written <= store.FORMAT and self._others.include(identity, self.folder.identity)

    def _file(self, claim: Claim, connection: sqlite3.Connection) -> FileOutbox:
        return FileOutbox(
            self.folder,
            claim,
            connection,
            lock=self.lock,
            wall_ns=self._wall_ns,
            on_loss=self.on_loss,
        )
