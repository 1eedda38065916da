"""One file of the spool as an outbox: what was put is on disk before `put` returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from typing import Final

from remit._losses import Loss
from remit._sink import Item
from remit._spool.database import BUSY_TIMEOUT_S, CHUNKS_AT_ONCE, STORAGE_ERRORS, Chunk, Database
from remit._spool.folder import ASIDE, Claim, Folder, identities
from remit._spool.ledger import Ledger
from remit._spool.moving import clear_away, copied, say_moved
from remit._spool.outbox import Row, RunRecord
from remit._spool.packing import CHUNK_BYTES, Body, DamagedError, packed
from remit._spool.room import Lose, Room
from remit._spool.runs import Runs, SpanNotes
from remit._spool.salvage import say_unreadable

# What the sender looks at is in memory; a few batches of large payloads must not fill it.
WINDOW_BYTES: Final = 4 * CHUNK_BYTES

# The child of a fork must not close what the parent has open; referenced here, it stays as it is.
_of_the_parent: Final[list[Database]] = []


class SpoolFile:
    """The outbox on disk of this process, or one that another left behind.

    Counts are kept in memory and may be read from any thread without waiting for the disk. The
    file has one lock, which is held while SQLite works.

    Attributes:
        claim: The lock on it.
        adrift: Somebody removed it and a new one cannot be made: what is in it can still be read,
            but ends with this process.
        last_write_ns: When its process wrote to it last, by the wall clock.
    """

    def __init__(
        self,
        folder: Folder,
        claim: Claim,
        database: Database,
        *,
        wall_ns: Callable[[], int],
        lose: Lose,
        keep_bytes: int,
    ) -> None:
        """Read what is in the file.

        Args:
            folder: Where it is.
            claim: Nobody else has it; this object lets go of it.
            database: Its tables; this object closes them.
            wall_ns: The time.
            lose: Told what had to be given up.
            keep_bytes: Most bytes of memory for what is put and not sent yet.

        Raises:
            sqlite3.Error: It is damaged.
            DamagedError: It is damaged.
        """
        self.claim = claim
        self.adrift = False
        self.last_write_ns = wall_ns()
        self._database: Database | None = database
        self._folder = folder
        self._wall_ns = wall_ns
        self._lose = lose
        self._moved_said = False
        self._io = threading.RLock()
        self._ledger = Ledger(database.chunks(), keep_bytes)
        self._runs = Runs(database)
        self._room = Room(folder, database, self._ledger, lose)
        self._window: dict[int, Sequence[Item | None]] = {}
        self._erasable: list[int] = []
        self._standing = identities(claim.path)

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order; all or nothing.

        Raises:
            OSError: They could not be written.
            sqlite3.Error: They could not be written.
        """
        room, put = self._room, items
        items, stripped = room.strip(items) if room.stripping else (items, [])
        parts = packed(items)
        with self._io:
            database = self._opened()
            parts, stripped = room.fit(items, parts, stripped, self._window)
            items = [item for part, _ in parts for item in part]
            now_ns, first = self._wall_ns(), self._ledger.begin(put)
            added = [
                (Chunk(chunk_id, now_ns, body.items, len(body.content)), body)
                for chunk_id, (_, body) in enumerate(parts, first)
            ]
            self._write(database, added, runs, SpanNotes.of(items))
            new = [(chunk, part) for (chunk, _), (part, _) in zip(added, parts, strict=True)]
            if room.stripping:
                for chunk, part in new:
                    room.know(chunk, part)
            self._ledger.add(new)
        if stripped:
            self._lose(Loss.PAYLOAD_SPOOL_FULL, len(stripped), stripped)

    def took(self, items: Sequence[Item]) -> bool:
        """Tell whether the last put was of *items*, and done before an alarm broke it off."""
        with self._io:
            return self._ledger.took(items)

    def head(self, limit: int) -> list[Row]:
        """Return the first rows that are not settled, at most *limit*, and not too large together.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        rows: list[Row] = []
        window: dict[int, Sequence[Item | None]] = {}
        size_bytes = 0
        with self._io:
            if self._erasable:
                self._write_back()
            for chunk in self._ledger:
                size_bytes += chunk.size_bytes
                if rows and (len(rows) >= limit or size_bytes > WINDOW_BYTES):
                    break
                found = self._window.get(chunk.id) or self._ledger.take_kept(chunk)
                items = found or self._read(chunk)
                if items is not None:
                    window[chunk.id] = items
                    rows += self._ledger.rows(chunk, items)
            self._window = window
        return rows[:limit]

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows; from the disk when nothing of their chunk and of its window is left."""
        with self._io:
            done = self._ledger.settle(ids)
            self._erasable += done
            for chunk_id in done:
                self._window.pop(chunk_id, None)
            if done and not self._window:
                self._write_back()

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Take rows out of the order and keep them with the *reason*, unless the disk is full.

        Returns:
            How many are kept.
        """
        kept = 0
        with self._io:
            if self._database is not None:
                with suppress(*STORAGE_ERRORS):
                    with self._database.transaction():
                        self._database.set_aside(
                            [
                                (row_id, item.run_key, reason, Body.of([item]))
                                for row_id, item in rows
                            ]
                        )
                    kept = len(rows)
            self.settle([row_id for row_id, _ in rows])
        return kept

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        return self._runs.get(key)

    def save_run(self, record: RunRecord) -> None:
        """Keep what is new in *record*; written with what is settled next."""
        with self._io:
            self._runs.save(record)

    def forget_run(self, key: str) -> None:
        """Remove a run's record; from the disk with what is settled next."""
        with self._io:
            self._runs.forget(key)

    def last_id(self) -> int:
        """Return an id that no row so far exceeds."""
        return self._ledger.last_id

    def skip_to(self, row_id: int) -> None:
        """Let every later row have a larger id than *row_id*."""
        self._ledger.skip_to(row_id)

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, up to an earlier `last_id()` if given."""
        return self._ledger.left(up_to)

    def spooled(self, up_to: int | None = None) -> int:
        """Count those on disk where a later process finds them: all, unless adrift."""
        return 0 if self.adrift else self.pending(up_to)

    def oldest_ns(self) -> int | None:
        """Return when the oldest pending row was written, by the wall clock."""
        return self._ledger.oldest_ns()

    def open_runs(self) -> list[RunRecord]:
        """Return the runs that were opened by the file's process and not ended."""
        return self._runs.open()

    def owing_runs(self) -> list[RunRecord]:
        """Return the runs that another process ends, and of which the file's lost something."""
        return self._runs.owing()

    def open_spans(self) -> list[Item]:
        """Return, without payloads, the beginnings of spans that somebody has still to end."""
        with self._io:
            found = [] if self._database is None else self._database.open_spans()
        return self._runs.live([item for body in found for item in body.unpacked() if item])

    def note_open(self, items: Sequence[Item]) -> None:
        """Note that *items* are beginnings of spans that were sent and have not ended.

        Raises:
            sqlite3.Error: That could not be written.
        """
        with self._io:
            database = self._opened()
            with database.transaction():
                SpanNotes.of(items).write(database)

    def bring_back(self) -> int:
        """Put what was set aside in order again, and leave the file to be sent; return how much.

        Raises:
            sqlite3.Error: That could not be written.
        """
        with self._io:
            database = self._opened()
            rows = database.aside()
            items = [item for _, body in rows for item in body.unpacked() if item is not None]
            self._runs.bring_back()
            self.put(items, [])
            with database.transaction():
                database.delete("aside", "id", [row_id for row_id, _ in rows])
                self._runs.write_back(database)
            self._database = None
            database.close()
            self.claim.bring_back()
            self.claim.release()
        return len(items)

    def look(self) -> bool:
        """See that the file is where others find it, else move into a new one; tell whether it is.

        Cleaners of temporary folders remove what a program has open. SQLite goes on with such a
        file as if it were there, and so everything in it can be copied.
        """
        with self._io:
            if self._database is not None:
                if not self.claim.linked:
                    self._folder.renew(self.claim)
                if self.adrift or not self._standing.items() <= identities(self.claim.path).items():
                    self.adrift = not self._move(self._database)
            return not self.adrift

    def hold(self, timeout_s: float) -> bool:
        """Keep everyone out of SQLite, for a fork; tell whether that was possible in time."""
        return self._io.acquire(timeout=timeout_s)

    def let_go(self) -> None:
        """Let others in again."""
        self._io.release()

    def surrender(self) -> Claim:
        """Close the file as it is, and hand over the claim on it."""
        with self._io:
            database, self._database = self._database, None
            if database is not None:
                with suppress(*STORAGE_ERRORS):
                    database.close()
        return self.claim

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork: nothing is closed or unlocked."""
        if self._database is not None:
            _of_the_parent.append(self._database)
            self._database.forget()
        self.claim.release()

    def close(self, timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Let go of the file: delete it if it is done with, else leave it to a later process.

        One that somebody holds for longer than *timeout_s* is left as it is, and so to that too.
        """
        if not self._io.acquire(timeout=timeout_s):
            return
        try:
            self._let_go(timeout_s)
        finally:
            self._io.release()

    def _let_go(self, timeout_s: float) -> None:
        done, refused = False, False
        with suppress(DamagedError, *STORAGE_ERRORS):
            done, refused = self._settled(timeout_s)
        database, self._database = self._database, None
        if database is None:
            return
        with suppress(*STORAGE_ERRORS):
            database.close()
        with suppress(OSError):
            if done and refused:
                self.claim.put_aside(ASIDE)
            elif done:
                self.claim.remove()
        self.claim.release()

    def _settled(self, timeout_s: float) -> tuple[bool, bool]:
        """Tidy the file for a later process; tell if nothing is left, and if some is set aside.

        Raises:
            DamagedError: It cannot be read.
            sqlite3.Error: It cannot be read or written.
        """
        database = self._opened()
        database.hurry(timeout_s)
        refused = bool(database.aside(1))
        left = bool(self._ledger.left() or self._runs.open() or self.open_spans())
        if left or refused:
            self.look()
            self._tidy(self._opened())
        return not left, refused

    def _move(self, removed: Database) -> bool:
        """Copy everything into a new file, and use that from now on; tell whether that worked."""
        new = copied(removed, self._folder)
        if new is None:
            return False
        left, (self.claim, database) = self.claim, new
        self._database = database
        self._room.move(database)
        self._standing = identities(self.claim.path)
        clear_away(left, removed)
        if not self._moved_said:
            self._moved_said = True
            say_moved(left, self._folder)
        return True

    def _write(
        self,
        database: Database,
        added: Sequence[tuple[Chunk, Body]],
        runs: Sequence[RunRecord],
        notes: SpanNotes,
    ) -> None:
        """Write what was put; one statement, as most often it is, needs no transaction."""
        alone = not (runs or notes) and len(added) <= CHUNKS_AT_ONCE
        with nullcontext() if alone else database.transaction():
            self._runs.write(database, runs)
            database.add_chunks(added)
            notes.write(database)
        self._runs.written(runs)

    def _opened(self) -> Database:
        if self._database is None:
            raise OSError("the spool's file is closed")
        return self._database

    def _read(self, chunk: Chunk) -> list[Item | None] | None:
        """Return the items of a chunk; `None` of one that is damaged, which is given up."""
        if self._database is None:
            return None
        body = self._database.bodies([chunk.id]).get(chunk.id)
        with suppress(DamagedError):
            if body is not None:
                return body.unpacked()
        self._ledger.drop(chunk.id)
        self._erasable.append(chunk.id)
        self._lose(Loss.SPOOL_DAMAGED, chunk.items)
        say_unreadable(self.claim.path)
        return None

    def _write_back(self) -> None:
        """Erase what is done with, and write what is new of runs.

        Where that fails nothing is lost: a later process sends it once more, by the same keys.
        """
        database = self._database
        if database is None:
            return
        with suppress(*STORAGE_ERRORS):
            with database.transaction():
                database.delete("chunk", "id", self._erasable)
                self._runs.write_back(database)
            self._erasable = []
            self._runs.written_back()
            if not self._ledger.left():
                self._room.clear()

    def _tidy(self, database: Database) -> None:
        """Take out of the file what is settled, so that it is not sent once more."""
        with database.transaction():
            self._room.tidy()
            database.delete("chunk", "id", self._erasable)
            self._runs.write_back(database)
