"""The outbox: the writer puts items, the sender reads and settles them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Final

from msgspec.structs import replace

from remit._base.guard import guarded, logger
from remit._base.locks import SignalSafeLock
from remit._base.outcomes import ACTIVE
from remit._deliver.losses import ITEM_BYTES, Loss, cost
from remit._deliver.spool.files import Files
from remit._deliver.spool.folder import ASIDE, Claim
from remit._deliver.spool.store import (
    BUSY_TIMEOUT_S,
    IDS_PER_CHUNK,
    STORAGE_ERRORS,
    Chunk,
    Row,
    SpoolFile,
)
from remit._deliver.stored import (
    CHUNK_BYTES,
    ROW_BYTES,
    DamagedError,
    Packed,
    RunState,
    SizedItems,
    StoredRun,
    pack,
    split,
)
from remit._record.items import Item, ItemKind

# Bound of the rows that the sender holds in memory.
WINDOW_BYTES: Final = 4 * CHUNK_BYTES
# Between two checks whether the file was deleted.
CHECK_FILE_S: Final = 1.0
# Between two erasures of settled rows: each one waits for the disk.
ERASE_S: Final = 0.5
# Between two attempts to write, after one that failed.
RETRY_S: Final = 1.0


class Outbox:
    """Rows in the order of their ids, and their runs. One writer, one sender.

    Rows are in a file when `put` returns. Those that cannot be written stay in memory until a later
    `put` or `close` writes them; without a spool all rows are in memory.

    Counts are in memory, so any thread may read them without waiting for the disk.

    Attributes:
        broken: The error that made the file unreadable; None if it can be read.
    """

    def __init__(
        self,
        files: Files | None,
        *,
        release: Callable[[int], None] = lambda _: None,
        file: SpoolFile | None = None,
    ) -> None:
        """Begin with the rows of *file*, or empty.

        Args:
            files: Creates the file at the first put; None without a spool.
            release: Called with the cost of items that left memory.
            file: The file of an ended process, which is to be sent.
        """
        self.broken: Exception | None = None
        self._files = files
        self._release = release
        self._file = file
        # Reentrant, because methods call each other with the lock held.
        self._lock = SignalSafeLock() if files is None else files.lock
        self._chunks: dict[int, Chunk] = {} if file is None else file.chunks
        self._runs: dict[str, StoredRun] = {} if file is None else file.runs
        self._last_chunk = max(self._chunks, default=0)
        # What differs from the file: items that are only in memory, by chunk; settled chunks; run
        # runs that changed or, with None, were removed.
        self._unwritten: dict[int, Sequence[Item]] = {}
        self._settled: list[int] = []
        self._changed: dict[str, StoredRun | None] = {}
        # Keys of runs that were never written.
        self._new_runs: set[str] = set()
        self._next_check_s = self._next_write_s = self._next_erase_s = 0.0
        # Adoption handles the errors of the file of an ended process.
        self._warned = file is not None
        self._closed = False

    def put(self, items: Sequence[Item], runs: Sequence[StoredRun]) -> None:
        """Add *runs*, then *items* in order; if the folder is full, without the spans."""
        with self._lock:
            for run in runs:
                if run.key not in self._runs:
                    self._new_runs.add(run.key)
                self._runs[run.key] = self._changed[run.key] = run
            file, parts = self._open_file(), split(items)
            # After a write that failed, rows wait in memory, where they have a bound.
            waiting = bool(self._unwritten)
            if file is not None and not waiting and self._is_full(file, parts):
                parts = split(self._without_spans(items))
            put_ns = 0 if self._files is None else self._files.wall_ns()
            for part, payload_bytes in parts:
                self._last_chunk += 1
                chunk = Chunk(self._last_chunk, put_ns, len(part))
                chunk.memory_bytes = ITEM_BYTES * chunk.items + payload_bytes
                self._chunks[chunk.id], self._unwritten[chunk.id] = chunk, part
            if file is not None:
                self._write(file, measure=waiting)
            if self._closed:  # by a writer that hung beyond the shutdown
                self._close_file(BUSY_TIMEOUT_S)

    def head(self, limit: int) -> list[Row]:
        """Return the first rows that are not settled, at most *limit* and about 4 MiB."""
        rows: list[Row] = []
        size_bytes = 0
        with self._lock:
            for chunk in list(self._chunks.values()):
                size_bytes += chunk.size_bytes
                if rows and (len(rows) >= limit or size_bytes > WINDOW_BYTES):
                    break
                rows += chunk.rows(self._read(chunk))
        return rows[:limit]

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows that were delivered, or dropped and counted by the caller."""
        freed_bytes = 0
        with self._lock:
            for chunk_id, group in groupby(sorted(ids), lambda row_id: row_id // IDS_PER_CHUNK):
                chunk = self._chunks.get(chunk_id)
                if chunk is None:
                    continue
                settled = set(group) - chunk.settled
                chunk.settled |= settled
                items = self._unwritten.get(chunk_id)
                if items is not None:
                    chunk_bytes = sum(cost(items[row % IDS_PER_CHUNK]) for row in settled)
                    chunk.memory_bytes -= chunk_bytes
                    freed_bytes += chunk_bytes
                if not chunk.left:
                    self._remove(chunk_id)
            if self._settled and self._file is not None:
                # If it fails, a later process sends the rows again, with the same keys.
                with suppress(*STORAGE_ERRORS):
                    self._save(self._file)
        if freed_bytes:
            self._release(freed_bytes)

    def erase_settled(self) -> float:
        """If all rows are settled, erase their content on disk.

        Returns:
            Seconds until the next call may have something to do; infinite if only a new row can
            change that.
        """
        with self._lock:
            file, now_s = self._file, time.monotonic()
            if file is None or self._chunks or not file.holds_deleted:
                return math.inf
            if now_s < self._next_erase_s:
                return self._next_erase_s - now_s
            self._next_erase_s = now_s + ERASE_S
            with suppress(*STORAGE_ERRORS):
                self._save(file)
                if file.erase_deleted():
                    return math.inf
            return ERASE_S

    def set_aside(self, row: Row, reason: str) -> bool:
        """Remove a row that the server rejected for good; return whether the file keeps it."""
        kept = False
        with self._lock:
            if self._file is not None:
                with suppress(*STORAGE_ERRORS):
                    self._file.set_aside(row.item, reason)
                    kept = True
            self.settle([row.id])
        return kept

    def run(self, key: str) -> StoredRun | None:
        return self._runs.get(key)

    def runs(self) -> list[StoredRun]:
        return list(self._runs.values())

    def open_runs(self) -> list[StoredRun]:
        """Return the runs that the file's process opened and did not end."""
        return [run for run in self.runs() if not (run.ended or run.inherited)]

    def save_run(self, run: StoredRun) -> None:
        """Save *run*; it is written with the next settled rows."""
        with self._lock:
            self._runs[run.key] = self._changed[run.key] = run

    def write_run(self, run: StoredRun) -> None:
        """Save *run*, and write it now if there is a file."""
        with self._lock:
            self.save_run(run)
            if self._file is not None:
                with suppress(*STORAGE_ERRORS):
                    self._save(self._file)

    def forget_run(self, key: str) -> None:
        """Remove a run; it is deleted with the next settled rows."""
        with self._lock:
            if self._runs.pop(key, None) is None:
                return
            if key in self._new_runs:
                self._new_runs.remove(key)
                del self._changed[key]
            else:
                self._changed[key] = None

    def open_spans(self) -> list[Item]:
        """Return the starts, without payloads, of spans in the file that need an end."""
        with self._lock, suppress(DamagedError, *STORAGE_ERRORS):
            if self._file is not None:
                return self._open_spans_in(self._file)
        return []

    def is_on_disk(self) -> bool:
        """Return whether all rows are in a file: there is a spool, and it could be used."""
        with self._lock:
            return self._files is not None and self.broken is None and not self._unwritten

    def last_id(self) -> int:
        """Return an id that no row so far exceeds, 0 before the first."""
        return self._last_chunk and self._last_chunk * IDS_PER_CHUNK + IDS_PER_CHUNK - 1

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, up to an earlier `last_id()` if given."""
        return self._count(up_to)

    def spooled(self, up_to: int | None = None) -> int:
        """Count those of the pending rows that are on disk."""
        return self._count(up_to, in_memory=False)

    def sendable(self, up_to: int) -> int:
        """Count those of the pending rows that this process can send."""
        return self._count(up_to, on_disk=self.broken is None)

    def oldest_ns(self) -> int | None:
        """Return the wall time at which the oldest pending row on disk was written."""
        chunks = list(self._chunks.values())
        return next((chunk.put_ns for chunk in chunks if chunk.id not in self._unwritten), None)

    def close(self, timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Write the rows in memory; delete the file if it has no rows, else leave it.

        A later process sends the rows that are left. What takes longer than *timeout_s* is not
        done.
        """
        self._closed = True
        ends_s = time.monotonic() + timeout_s
        if not self._lock.acquire(timeout=timeout_s):
            return
        try:
            if self.spooled():
                self._check_deleted()
            if self._unwritten:
                self._next_write_s = 0.0
                file = self._open_file()
                if file is not None:
                    file.limit_wait(timeout_s)
                    self._write(file, measure=True, until_s=ends_s)
            self._close_file(max(0.0, ends_s - time.monotonic()))
        finally:
            self._lock.release()

    def detach(self) -> Claim | None:
        """Close the connection to the file; return the lock on the file, None without a file."""
        with self._lock:
            file, self._file = self._file, None
            return None if file is None else file.close()

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork."""
        if self._file is not None:
            self._file.abandon()

    def _is_full(self, file: SpoolFile, parts: Sequence[SizedItems]) -> bool:
        """Return whether *parts* do not fit; delete rejected items if that helps."""
        full = False
        added_bytes = sum(ROW_BYTES * len(part) + size_bytes for part, size_bytes in parts)
        with self._failing_to_memory():
            full = not file.has_room(added_bytes)
            if full and (rejected := file.delete_aside()):
                self._lose(Loss.ASIDE_SPOOL_FULL, rejected)
                full = not file.has_room(added_bytes)
        return full

    def _without_spans(self, items: Sequence[Item]) -> list[Item]:
        """Return the starts and ends of runs in *items*; count the spans as lost."""
        spans = [item for item in items if _is_span(item)]
        self._lose(Loss.SPOOL_FULL, len(spans), [span.run_key for span in spans])
        self._release(sum(map(cost, spans)))
        return [item for item in items if not _is_span(item)]

    def _lose(self, reason: Loss, count: int, run_keys: Sequence[str] = ()) -> None:
        if self._files is not None:
            self._files.on_loss(reason, count, run_keys)

    def _open_file(self) -> SpoolFile | None:
        """Return the file to write to, created now if there is none yet, or if it was deleted.

        None without a spool, if the file is broken, and for a second after a write that failed.
        """
        files, now_s = self._files, time.monotonic()
        if files is None or self.broken is not None:
            return None
        if self._unwritten and now_s < self._next_write_s:
            return None
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + CHECK_FILE_S
            self._check_deleted()
        if self._file is None:
            with self._failing_to_memory():
                self._file = files.create()
                self._changed, self._new_runs = {**self._runs}, set(self._runs)
        return self._file

    def _check_deleted(self) -> None:
        """If the file was deleted, count the rows in it as lost."""
        file, files = self._file, self._files
        if file is None or files is None or file.claim.path.exists():
            return
        lost = self.spooled()
        for chunk_id in self._chunks.keys() - self._unwritten.keys():
            del self._chunks[chunk_id]
        self._settled = []
        self._file = None
        claim = file.close()
        with suppress(OSError):
            claim.remove()
        claim.release()
        if lost:
            self._lose(Loss.SPOOL_DAMAGED, lost)
        logger.warning(
            "the spool file %s was deleted while it was in use: %d undelivered items are lost, and "
            "counted in remit.status().dropped as %s. Exclude %s from the cleanup of that disk",
            claim.path,
            lost,
            Loss.SPOOL_DAMAGED.value,
            files.folder.path,
        )

    @guarded("writing to the spool")
    def _write(self, file: SpoolFile, *, measure: bool, until_s: float = math.inf) -> None:
        """Write the rows in memory, chunk by chunk, until *until_s*.

        With *measure* it stays in memory while the folder has no room for it. After a fault it
        stays there too, like after an error of the disk. If the fault ended `put`, the writer would
        put the same items again.
        """
        with self._failing_to_memory():
            for chunk_id, items in list(self._unwritten.items()):
                if time.monotonic() >= until_s:
                    return
                chunk, packed = self._chunks[chunk_id], pack(items)
                if measure and not file.has_room(len(packed.content)):
                    break
                started, ended = _open_spans(items)
                self._save(file, [(chunk_id, chunk.put_ns, packed)], started, ended)
                del self._unwritten[chunk_id]
                self._release(chunk.memory_bytes)
                chunk.size_bytes, chunk.memory_bytes = len(packed.content), 0
            if self._changed:
                self._save(file)

    def _save(
        self,
        file: SpoolFile,
        chunks: Sequence[tuple[int, int, Packed]] = (),
        started: Sequence[Item] = (),
        ended: Sequence[bytes] = (),
    ) -> None:
        """Write chunks and open spans, with the earlier changes."""
        file.write(
            runs=[run for run in self._changed.values() if run is not None],
            chunks=chunks,
            started=started,
            ended=ended,
            settled=self._settled,
            forgotten=[key for key, run in self._changed.items() if run is None],
        )
        self._settled, self._changed, self._new_runs = [], {}, set()

    @contextmanager
    def _failing_to_memory(self) -> Generator[None]:
        """End the block at an error of the disk; unwritten rows stay in memory."""
        try:
            yield
        except STORAGE_ERRORS as error:
            self._next_write_s = time.monotonic() + RETRY_S
            self._warn(error)

    def _read(self, chunk: Chunk) -> Sequence[Item]:
        items = self._unwritten.get(chunk.id)
        if items is not None:
            return items
        if self._file is None or self.broken is not None:
            return []
        try:
            return self._file.read(chunk)
        except (DamagedError, *STORAGE_ERRORS) as error:
            self.broken = error
            self._warn(error)
        return []

    def _remove(self, chunk_id: int) -> None:
        """Remove a chunk; its row in the file is deleted later."""
        del self._chunks[chunk_id]
        if self._unwritten.pop(chunk_id, None) is None:
            self._settled.append(chunk_id)

    def _close_file(self, timeout_s: float) -> None:
        file = self._file
        if file is None:
            return
        done = rejected = False
        with suppress(DamagedError, *STORAGE_ERRORS):
            file.limit_wait(timeout_s)
            rejected = file.has_aside()
            done = not (self.pending() or self.open_runs() or self._open_spans_in(file))
            if rejected or not done:
                self._save(file, self._partly_settled(file))
        claim = file.close()
        self._file = None
        with suppress(OSError):
            if done and rejected:
                claim.rename(ASIDE)
            elif done:
                claim.remove()
        claim.release()

    def _partly_settled(self, file: SpoolFile) -> list[tuple[int, int, Packed]]:
        """Return partly settled chunks without the settled items, which must not be sent again."""
        return [
            (chunk.id, chunk.put_ns, pack([row.item for row in chunk.rows(file.read(chunk))]))
            for chunk in self._chunks.values()
            if chunk.settled and chunk.id not in self._unwritten
        ]

    def _open_spans_in(self, file: SpoolFile) -> list[Item]:
        """Return the starts in *file* of spans that need an end, except of rejected runs."""
        return [
            span
            for span in file.open_spans()
            if (run := self._runs.get(span.run_key)) and run.state is not RunState.SET_ASIDE
        ]

    def _count(self, up_to: int | None, *, in_memory: bool = True, on_disk: bool = True) -> int:
        return sum(
            chunk.left
            for chunk in list(self._chunks.values())
            if (up_to is None or chunk.id * IDS_PER_CHUNK <= up_to)
            and (in_memory if chunk.id in self._unwritten else on_disk)
        )

    def _warn(self, error: Exception) -> None:
        if self._warned or self._files is None:
            return
        self._warned = True
        logger.warning(
            "the spool in %s cannot be used: %s. Until this is corrected, recorded data is kept "
            "in memory only, and data that is undelivered when this process ends is lost; "
            "see data_dir",
            self._files.folder.path,
            error,
        )


def _is_span(item: Item) -> bool:
    """Return whether *item* is a span other than a root; such items are dropped when full."""
    return item.kind in (ItemKind.SPAN, ItemKind.FINISH) and item.parent is not None


def _open_spans(items: Sequence[Item]) -> tuple[list[Item], list[bytes]]:
    """Return the starts of spans without an end, and the keys of spans that end, in *items*.

    The end of a run ends its root span.
    """
    started = [item for item in items if item.kind == ItemKind.SPAN and item.status == ACTIVE]
    ended = [item.key for item in items if item.kind in (ItemKind.FINISH, ItemKind.CLOSE)]
    return [replace(item, payload=None) for item in started], ended
