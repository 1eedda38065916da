"""The files of the spool's folder: creates this process's file, takes those of ended processes.

A process that takes a file locks it, sends its rows in order and with the stored keys, and deletes
it. Files of another target or token are taken only if a command asks for it; files of a later
format never are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeAlias

from remit._base.guard import logger
from remit._base.locks import SignalSafeLock
from remit._base.sqlite import open_file
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
from remit._deliver.spool.store import (
    STORAGE_ERRORS,
    UNREADABLE,
    SpoolFile,
    is_damage,
    read_open_spans,
    read_rows,
    read_runs,
)
from remit._deliver.stored import DamagedError, RunState, pack, split, unpack

OnLoss: TypeAlias = Callable[[Loss, int, Sequence[str]], None]
"""Counts lost items for a reason, and lost spans for the keys of their runs, one for each span."""


class Files:
    """Creates and opens the files of one folder for this process.

    Attributes:
        lock: Held by every thread that uses SQLite, and by a thread that forks.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        wall_ns: Callable[[], int],
        on_loss: OnLoss,
        others: OtherFiles = NO_OTHER_FILES,
    ) -> None:
        """Open nothing yet; files of *others* are taken too."""
        self.folder = folder
        self.on_loss = on_loss
        # Reentrant: an outbox calls its own methods with the lock held.
        self.lock = SignalSafeLock()
        self.wall_ns = wall_ns
        self._others = others
        self._foreign: set[Path] = set()

    def pause(self, timeout_s: float) -> bool:
        """Keep all threads out of SQLite, for a fork; return whether that succeeded in time."""
        return self.lock.acquire(timeout=timeout_s)

    def resume(self) -> None:
        """Allow other threads to use SQLite again, after `pause`."""
        self.lock.release()

    def create(self) -> SpoolFile:
        """Return a new file for this process, or raise one of `STORAGE_ERRORS`."""
        with self.lock:
            claim = self.folder.create()
            connection: sqlite3.Connection | None = None
            try:
                connection = store.connect(claim.path)
                store.create_tables(connection, self.folder.identity)
                return SpoolFile(self.folder, claim, connection, self.wall_ns())
            except STORAGE_ERRORS:
                if connection is not None:
                    connection.close()
                claim.remove()
                raise

    def has_files(self) -> bool:
        """Return whether there is a file that may have to be sent; its process may be alive."""
        return any(path not in self._foreign for path in self.folder.files(DATABASE))

    def take(self) -> SpoolFile | None:
        """Return the oldest file to send whose process has ended; `None` if there is none."""
        self.folder.sweep()
        for path in self.folder.files(DATABASE):
            with self.lock:
                file = self._take_path(path)
            if file is not None:
                return file
        return None

    def rescue(self, claim: Claim, error: Exception) -> SpoolFile | None:
        """Put a damaged file aside; return a new file with the items before the damage."""
        file: SpoolFile | None = None
        items = 0
        with self.lock:
            try:
                with closing(open_file(claim.path, "rw")) as damaged:
                    with suppress(*STORAGE_ERRORS):
                        # Otherwise SQLite reads nothing of a file shorter than its header says.
                        damaged.execute("PRAGMA writable_schema = ON")
                    about = _about(damaged)
                    if about is None:
                        unreadable = _items_after(damaged, 0)
                    elif self._is_ours(*about):
                        file = self.create()
                        items, unreadable = self._copy(damaged, file)
                    else:
                        self._skip(claim)
                        return None
                claim.rename(DAMAGED)
            except STORAGE_ERRORS:
                if file is not None:
                    with suppress(OSError):
                        file.close().remove()
                claim.release()
                return None
        if unreadable:
            self.on_loss(Loss.SPOOL_DAMAGED, unreadable, ())
        logger.warning(
            "the spool file %s is damaged (%s): %d items could be read from it and are sent; "
            "the file was renamed to end with %s",
            claim.path,
            error,
            items,
            DAMAGED,
        )
        return file

    def bring_back(self) -> None:
        """Make items that were set aside ready to be sent again."""
        with self.lock:
            for path in self.folder.files(ASIDE):
                file = self._take_path(path)
                if file is not None:
                    self._bring_back(file)

    def _bring_back(self, file: SpoolFile) -> None:
        items = file.aside()
        first = max(file.chunks, default=0) + 1
        rejected = [run for run in file.runs.values() if run.state is RunState.SET_ASIDE]
        for run in rejected:
            run.state = RunState.NEW
        file.write(
            runs=rejected,
            chunks=[
                (chunk_id, self.wall_ns(), pack(part))
                for chunk_id, (part, _) in enumerate(split(items), first)
            ],
        )
        unreadable = file.delete_aside() - len(items)
        if unreadable:
            self.on_loss(Loss.SPOOL_DAMAGED, unreadable, ())
        file.close().rename(DATABASE)

    def _copy(self, damaged: sqlite3.Connection, file: SpoolFile) -> tuple[int, int]:
        """Copy readable items to *file*; return the numbers of items and of unreadable items."""
        file.write(
            runs=read_runs(damaged, UNREADABLE), started=read_open_spans(damaged, UNREADABLE)
        )
        copied = unreadable = last_id = 0
        rows = read_rows(damaged, "chunk", "id, items, crc, body", UNREADABLE)
        for number, (chunk_id, count, crc, content) in enumerate(rows, 1):
            last_id = chunk_id
            try:
                part = pack(unpack(crc, content))
            except DamagedError:
                unreadable += count if isinstance(count, int) else 1
                continue
            if file.has_room(len(part.content)):
                file.write(chunks=[(number, self.wall_ns(), part)])
                copied += part.items
            else:
                self.on_loss(Loss.SPOOL_FULL, part.items, ())
        file.load()
        return copied, unreadable + _items_after(damaged, last_id)

    def _take_path(self, path: Path) -> SpoolFile | None:
        """Return the file at *path* if it is to be sent and its process has ended."""
        if path in self._foreign or store.is_foreign(path):
            self._foreign.add(path)
            return None
        claim: Claim | None = None
        with suppress(OSError):
            claim = self.folder.claim(path)
        if claim is None:
            return None
        if not path.exists():
            # Its process deleted it after it was listed; the claim has created a new lock.
            claim.remove()
            return None
        try:
            return self._open(claim)
        except (DamagedError, *STORAGE_ERRORS) as error:
            if is_damage(error):
                return self.rescue(claim, error)
        claim.release()
        return None

    def _open(self, claim: Claim) -> SpoolFile | None:
        """Open a file if it is to be sent; raise an error if it cannot be read."""
        last_write_ns = modified_ns(claim.path)
        connection = store.connect(claim.path)
        file: SpoolFile | None = None
        try:
            about = store.read_about(connection)
            if about is None:
                # Its process ended before it wrote anything.
                connection.close()
                claim.remove()
            elif self._is_ours(*about):
                opened = SpoolFile(self.folder, claim, connection, last_write_ns)
                opened.load()
                file = opened
            else:
                self._skip(claim)
        finally:
            if file is None:
                connection.close()
        return file

    def _skip(self, claim: Claim) -> None:
        """Release a file that is not to be sent, and do not open it again."""
        self._foreign.add(claim.path)
        claim.release()

    def _is_ours(self, written: int, identity: Identity) -> bool:
        return written <= store.FORMAT and self._others.include(identity, self.folder.identity)


def _about(damaged: sqlite3.Connection) -> tuple[int, Identity] | None:
    """Return the format and identity of a damaged file, None if they cannot be read."""
    with suppress(*UNREADABLE):
        return store.read_about(damaged)
    return None


def _items_after(damaged: sqlite3.Connection, last_id: int) -> int:
    """Return the number of items in the chunks after *last_id*; 1 if it cannot be read."""
    statement = "SELECT CAST(sum(items) AS INTEGER) FROM chunk WHERE id > ?"
    with suppress(*UNREADABLE):
        (count,) = damaged.execute(statement, (last_id,)).fetchone()
        return count or 0
    return 1
