"""The outbox in one SQLite file of the spool: items are on disk when `put` returns.

Each statement handles many rows, because a step of SQLite releases the interpreter's lock, which a
computing program may then hold for 5 ms.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from remit._base import sqlite
from remit._base.guard import logger
from remit._base.locks import SignalSafeLock
from remit._base.outcomes import ACTIVE
from remit._deliver.losses import Loss
from remit._deliver.spool.folder import ASIDE, Claim, Folder, Identity
from remit._deliver.spool.outbox import Row
from remit._deliver.spool.quota import Quota, is_span
from remit._deliver.spool.records import (
    CHUNK_BYTES,
    DamagedError,
    Packed,
    RunRecord,
    RunState,
    chunks,
    pack,
    pack_registration,
    pack_run,
    unpack,
    unpack_registration,
    unpack_run,
)
from remit._record.items import Item, Kind

T = TypeVar("T")

FORMAT: Final = 1
BUSY_TIMEOUT_S: Final = 5.0
MS_PER_S: Final = 1000
LOG_BYTES: Final = 4 << 20
# An empty file with so many free pages gives them back to the disk.
SPARE_PAGES: Final = 4_096
# SQLite's own bound before 3.32; more goes in several statements.
MAX_VARIABLES: Final = 999
CHUNKS_AT_ONCE: Final = MAX_VARIABLES // 5
# The id of a row is its chunk's id and its place in the chunk.
ROWS_PER_CHUNK: Final = 1_024
# Bound of the rows that the sender holds in memory.
WINDOW_BYTES: Final = 4 * CHUNK_BYTES

STORAGE_ERRORS: Final = (OSError, sqlite3.Error)
"""What a full, read-only or broken disk, or a damaged file, makes SQLite and the system raise."""

SCHEMA: Final = """
CREATE TABLE about (format INTEGER, target TEXT, fingerprint BLOB);
CREATE TABLE registration (digest BLOB PRIMARY KEY, body BLOB);
CREATE TABLE run (key TEXT PRIMARY KEY, body BLOB);
CREATE TABLE chunk (id INTEGER PRIMARY KEY, put_ns INTEGER, items INTEGER, crc INTEGER, body BLOB);
CREATE TABLE aside (id INTEGER PRIMARY KEY, run_key TEXT, reason TEXT, crc INTEGER, body BLOB);
CREATE TABLE open_span (key BLOB PRIMARY KEY, crc INTEGER, body BLOB);
CREATE INDEX aside_run ON aside (run_key);
"""

# The child of a fork must not close the parent's connections: referenced here, they stay open.
_parent_connections: Final[list[sqlite3.Connection]] = []


class OnLoss(Protocol):
    """Counts lost items."""

    def __call__(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        """Add *count* for *reason*, for lost spans also to their runs."""
        ...


@dataclass(slots=True, eq=False)
class Chunk:
    """Metadata of a chunk of items.

    Attributes:
        put_ns: Wall time at which it was written, nanoseconds since 1970.
        items: Number of items.
        size_bytes: Size of the content.
    """

    put_ns: int
    items: int
    size_bytes: int


class FileOutbox:
    """The outbox in a file, of this process or of an ended one.

    Counts are in memory and may be read from any thread without waiting for the disk.

    Attributes:
        claim: The lock on the file.
        last_write_ns: Wall time of the last write by its process.
    """

    def __init__(
        self,
        folder: Folder,
        claim: Claim,
        connection: sqlite3.Connection,
        *,
        lock: SignalSafeLock,
        wall_ns: Callable[[], int],
        on_loss: OnLoss,
    ) -> None:
        """Read the file's metadata and run records.

        Args:
            folder: The folder of the file.
            claim: The lock on the file, which this object releases.
            connection: The connection to the file, which this object closes.
            lock: Held during calls of SQLite.
            wall_ns: The time.
            on_loss: Counts lost items.

        Raises:
            sqlite3.Error: It is damaged.
            DamagedError: It is damaged.
        """
        self.claim = claim
        self.last_write_ns = wall_ns()
        self._connection: sqlite3.Connection | None = connection
        self._lock = lock
        self._wall_ns = wall_ns
        self._on_loss = on_loss
        self._quota = Quota(folder, connection)
        self._chunks = read_chunks(connection)
        self._last_chunk = max(self._chunks, default=0)
        self._runs = {record.key: record for record in read_runs(connection)}
        # Ids of the settled rows of chunks that have other rows left, by chunk.
        self._settled: dict[int, set[int]] = {}
        # Chunks without rows, and run records that changed or, with None, were removed. They are
        # written together later, because every request can be repeated.
        self._done: list[int] = []
        self._changed: dict[str, RunRecord | None] = {}
        # The chunks that the sender works on.
        self._window: dict[int, list[Item | None]] = {}
        self._warned_of_damage = False

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord], *, after: int = 0) -> None:
        """Add *runs*, then *items* in order, with ids larger than *after*; all or nothing.

        Raises:
            OSError: They could not be written.
            sqlite3.Error: They could not be written.
        """
        parts = [pack(part) for part in chunks(items)]
        dropped: list[str] = []
        with self._lock:
            if not self._has_room(parts):
                dropped = [item.run_key for item in items if is_span(item)]
                items = [item for item in items if not is_span(item)]
                parts = [pack(part) for part in chunks(items)]
            now_ns, first = self._wall_ns(), max(self._last_chunk, after // ROWS_PER_CHUNK) + 1
            numbered = list(enumerate(parts, first))
            started, ended = _open_spans(items)
            rows = [(chunk_id, now_ns, *part) for chunk_id, part in numbered]
            # One statement, which most puts are, needs no transaction.
            several = runs or started or ended or len(rows) > CHUNKS_AT_ONCE
            with self._transaction() if several else nullcontext():
                self._insert_runs(runs)
                self._insert("chunk", rows)
                self._insert("open_span", started)
                self._delete("open_span", "key", ended)
            self._runs.update((run.key, run) for run in runs)
            self._chunks.update(
                (chunk_id, Chunk(now_ns, part.items, len(part.content)))
                for chunk_id, part in numbered
            )
            self._last_chunk = first + len(parts) - 1
        if dropped:
            self._on_loss(Loss.SPOOL_FULL, len(dropped), dropped)

    def head(self, limit: int) -> list[Row]:
        """Return the first rows that are not settled, at most *limit* and about 4 MiB.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        rows: list[Row] = []
        window: dict[int, list[Item | None]] = {}
        size_bytes = 0
        with self._lock:
            if self._connection is None:
                return []
            if self._done:
                self._write_back()
            for chunk_id, chunk in list(self._chunks.items()):
                size_bytes += chunk.size_bytes
                if rows and (len(rows) >= limit or size_bytes > WINDOW_BYTES):
                    break
                items = self._window.get(chunk_id) or self._readable(chunk_id, chunk)
                if items is not None:
                    window[chunk_id] = items
                    left = enumerate(self._unsettled(chunk_id, items), chunk_id * ROWS_PER_CHUNK)
                    rows += [(row_id, item) for row_id, item in left if item is not None]
            self._window = window
        return rows[:limit]

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows; they are deleted from the file when their whole chunk is settled."""
        with self._lock:
            ordered, begin = sorted(ids), 0
            while begin < len(ordered):
                chunk_id = ordered[begin] // ROWS_PER_CHUNK
                end = bisect_left(ordered, (chunk_id + 1) * ROWS_PER_CHUNK, begin)
                chunk = self._chunks.get(chunk_id)
                if chunk is not None:
                    settled = self._settled.setdefault(chunk_id, set())
                    settled.update(ordered[begin:end])
                    if len(settled) == chunk.items:
                        self._drop(chunk_id)
                begin = end
            if self._done and not self._window:
                self._write_back()

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Remove rows that the server refused for good; keep them with the *reason* if possible.

        Returns:
            The number of rows that are kept.
        """
        kept = 0
        with self._lock:
            with suppress(*STORAGE_ERRORS):
                packed = [(item.run_key, pack([item])) for _, item in rows]
                with self._transaction():
                    self._insert(
                        "aside",
                        [(None, key, reason, part.crc, part.content) for key, part in packed],
                    )
                kept = len(rows)
            self.settle([row_id for row_id, _ in rows])
        return kept

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        return self._runs.get(key)

    def runs(self) -> list[RunRecord]:
        """Return the records of all runs."""
        return list(self._runs.values())

    def save_run(self, record: RunRecord) -> None:
        """Save *record*; it is written with the next settled rows."""
        with self._lock:
            self._runs[record.key] = self._changed[record.key] = record

    def forget_run(self, key: str) -> None:
        """Remove a run's record; it is deleted with the next settled rows."""
        with self._lock:
            if self._runs.pop(key, None) is not None:
                self._changed[key] = None

    def last_id(self) -> int:
        """Return an id that no row so far exceeds, 0 before the first."""
        return self._last_chunk and self._last_chunk * ROWS_PER_CHUNK + ROWS_PER_CHUNK - 1

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, up to an earlier `last_id()` if given."""
        return sum(
            chunk.items - len(self._settled.get(chunk_id, ()))
            for chunk_id, chunk in list(self._chunks.items())
            if up_to is None or chunk_id * ROWS_PER_CHUNK <= up_to
        )

    def oldest_ns(self) -> int | None:
        """Return the wall time at which the oldest pending row was written."""
        return next((chunk.put_ns for chunk in list(self._chunks.values())), None)

    def open_runs(self) -> list[RunRecord]:
        """Return the runs that the file's process opened and did not end."""
        return [record for record in self.runs() if not (record.ended or record.inherited)]

    def inherited_with_losses(self) -> list[RunRecord]:
        """Return the runs that another process ends, and that have losses in this file."""
        return [record for record in self.runs() if record.inherited and record.lost]

    def open_spans(self) -> list[Item]:
        """Return the starts, without payloads, of spans that have no end yet.

        Spans of unknown or refused runs are left out: they need no end.
        """
        with self._lock:
            items = [] if self._connection is None else read_open_spans(self._connection)
        return [
            item
            for item in items
            if (run := self._runs.get(item.run_key)) and run.state is not RunState.SET_ASIDE
        ]

    def note_open(self, items: Sequence[Item]) -> None:
        """Store *items* as starts of spans that were put and have no end yet.

        Raises:
            sqlite3.Error: They could not be written.
        """
        with self._lock:
            self._insert("open_span", _open_spans(items)[0])

    def bring_back(self) -> int:
        """Put what was set aside into the outbox again and release the file; return the count.

        Raises:
            sqlite3.Error: The file could not be written.
        """
        with self._lock:
            items = [item for _, item in read_aside(self._require_connection())]
            for record in self.runs():
                if record.state is RunState.SET_ASIDE:
                    record.state = RunState.NEW
                    self.save_run(record)
            self.put(items, [])
            with self._transaction():
                self._require_connection().execute("DELETE FROM aside")
                self._save_runs()
            claim = self.detach()
            claim.bring_back()
            claim.release()
        return len(items)

    def detach(self) -> Claim:
        """Close the connection; return the lock on the file."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(*STORAGE_ERRORS):
                    connection.close()
        return self.claim

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork; close and unlock nothing."""
        if self._connection is not None:
            _parent_connections.append(self._connection)
        self.claim.release()

    def close(self, timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Delete the file if it has no rows, else leave it to a later process.

        If the spool is busy for longer than *timeout_s*, the file is left as it is.
        """
        if not self._lock.acquire(timeout=timeout_s):
            return
        try:
            if self._connection is not None:
                self._close(self._connection, timeout_s)
        finally:
            self._lock.release()

    def _close(self, connection: sqlite3.Connection, timeout_s: float) -> None:
        done = refused = False
        with suppress(DamagedError, *STORAGE_ERRORS):
            connection.execute(f"PRAGMA busy_timeout = {int(timeout_s * MS_PER_S)}")
            refused = connection.execute("SELECT 1 FROM aside LIMIT 1").fetchone() is not None
            done = not (self.pending() or self.open_runs() or self.open_spans())
            if refused or not done:
                self._delete_settled()
        claim = self.detach()
        with suppress(OSError):
            if done and refused:
                claim.put_aside(ASIDE)
            elif done:
                claim.remove()
        claim.release()

    def _require_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise OSError("the spool's file is closed")
        return self._connection

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """Commit what is written in the block, or nothing of it."""
        with self._require_connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    def _has_room(self, parts: Sequence[Packed]) -> bool:
        """Return whether *parts* may be added; delete refused items to make room for them."""
        added_bytes = sum(len(part.content) for part in parts)
        if not parts or self._quota.fits(added_bytes):
            return True
        refused = self._require_connection().execute("DELETE FROM aside").rowcount
        if not refused:
            return False
        self._on_loss(Loss.ASIDE_SPOOL_FULL, refused)
        return self._quota.fits(added_bytes)

    def _unsettled(self, chunk_id: int, items: Sequence[Item | None]) -> Sequence[Item | None]:
        """Return *items* of a chunk with `None` in place of the settled ones."""
        settled = self._settled.get(chunk_id)
        if settled is None:
            return items
        rows = enumerate(items, chunk_id * ROWS_PER_CHUNK)
        return [None if row_id in settled else item for row_id, item in rows]

    def _read(self, chunk_id: int, chunk: Chunk) -> list[Item | None]:
        row = (
            self._require_connection()
            .execute("SELECT crc, body FROM chunk WHERE id = ?", (chunk_id,))
            .fetchone()
        )
        items = [] if row is None else unpack(*row)
        if len(items) - items.count(None) != chunk.items:
            raise DamagedError("a chunk does not hold what it should")
        return items

    def _readable(self, chunk_id: int, chunk: Chunk) -> list[Item | None] | None:
        """Return the items of a chunk; `None` for a damaged one, which is dropped and counted."""
        with suppress(DamagedError):
            return self._read(chunk_id, chunk)
        lost = chunk.items - len(self._settled.get(chunk_id, ()))
        self._drop(chunk_id)
        self._on_loss(Loss.SPOOL_DAMAGED, lost)
        if not self._warned_of_damage:
            self._warned_of_damage = True
            logger.warning(
                "a part of the spool's file %s is damaged: the items in it are lost, and counted "
                "in remit.status().dropped as %s",
                self.claim.path,
                Loss.SPOOL_DAMAGED.value,
            )
        return None

    def _drop(self, chunk_id: int) -> None:
        """Remove a chunk; its row is deleted later."""
        del self._chunks[chunk_id]
        self._settled.pop(chunk_id, None)
        self._window.pop(chunk_id, None)
        self._done.append(chunk_id)

    def _write_back(self) -> None:
        """Delete settled chunks and write changed run records.

        If that fails nothing is lost: a later process sends the rows again, with the same keys.
        """
        with suppress(*STORAGE_ERRORS):
            with self._transaction():
                self._delete("chunk", "id", self._done)
                self._save_runs()
            self._done.clear()
            self._changed.clear()
            if not self._chunks:
                self._shrink(self._require_connection())

    def _delete_settled(self) -> None:
        """Delete settled rows from the file, so that no other process sends them again."""
        with self._transaction():
            for chunk_id in self._settled:
                chunk = self._chunks[chunk_id]
                left = pack(self._unsettled(chunk_id, self._read(chunk_id, chunk)))
                self._insert("chunk", [(chunk_id, chunk.put_ns, *left)])
            self._delete("chunk", "id", self._done)
            self._save_runs()

    def _save_runs(self) -> None:
        """Write changed run records, delete removed ones that no item set aside needs."""
        self._insert_runs([record for record in self._changed.values() if record is not None])
        forgotten = [key for key, record in self._changed.items() if record is None]
        self._delete("run", "key", forgotten, "AND key NOT IN (SELECT run_key FROM aside)")

    def _insert_runs(self, records: Sequence[RunRecord]) -> None:
        registrations = {record.registration: None for record in records}
        self._insert(
            "registration", [pack_registration(registration) for registration in registrations]
        )
        self._insert("run", [(record.key, pack_run(record)) for record in records])

    def _insert(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        for group in _groups(rows, MAX_VARIABLES // len(rows[0]) if rows else 1):
            marks = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(group))
            # The name is ours, never data.
            statement = f"INSERT OR REPLACE INTO {table} VALUES {marks}"  # noqa: S608
            self._require_connection().execute(statement, [value for row in group for value in row])

    def _delete(self, table: str, column: str, keys: Sequence[object], unless: str = "") -> None:
        for group in _groups(keys, MAX_VARIABLES):
            marks = ", ".join("?" * len(group))
            # The names are ours, never data.
            statement = f"DELETE FROM {table} WHERE {column} IN ({marks}) {unless}"  # noqa: S608
            self._require_connection().execute(statement, group)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Release the pages that an outage filled."""
        if connection.execute("PRAGMA freelist_count").fetchone()[0] > SPARE_PAGES:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def connect(path: Path) -> sqlite3.Connection:
    """Open the database at *path*, which exists.

    Raises:
        sqlite3.Error: It cannot be opened, or is no database.
    """
    # Not by `sqlite3.connect`: tracers wrap it, and would trace the tracing.
    connection = sqlite3.Connection(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, identity: Identity) -> None:
    """Create the tables of a new file, and write its format and identity."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.strip().splitlines():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {sqlite.SPOOL.application_id}")
        about = (FORMAT, identity.target, identity.fingerprint)
        connection.execute("INSERT INTO about VALUES (?, ?, ?)", about)


def is_foreign(path: Path) -> bool:
    """Return whether another program made the file at *path*, without changing it."""
    try:
        sqlite.check_ours(path, sqlite.SPOOL, in_log=False)
    except sqlite.ForeignError:
        return True
    except STORAGE_ERRORS:
        # The file is gone or damaged, which opening it will show.
        return False
    return False


def read_about(connection: sqlite3.Connection) -> tuple[int, Identity] | None:
    """Return the format and identity of a file, `None` if its process wrote nothing.

    Raises:
        DamagedError: The file has no valid record of them.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None
    row = connection.execute("SELECT * FROM about").fetchone()
    if row is None or list(map(type, row)) != [int, str, bytes]:
        raise DamagedError("the file does not say whose it is")
    return row[0], Identity(row[1], row[2])


def read_chunks(connection: sqlite3.Connection) -> dict[int, Chunk]:
    """Return the metadata of every chunk, in order, by id."""
    rows = connection.execute("SELECT id, put_ns, items, length(body) FROM chunk ORDER BY id")
    chunks_by_id: dict[int, Chunk] = {}
    for chunk_id, *numbers in rows:
        if list(map(type, numbers)) != [int, int, int]:
            raise DamagedError("a chunk is not numbered")
        chunks_by_id[chunk_id] = Chunk(*numbers)
    return chunks_by_id


def read_runs(connection: sqlite3.Connection) -> list[RunRecord]:
    """Return the records of all runs."""
    registrations = {
        digest: unpack_registration(content)
        for digest, content in connection.execute("SELECT digest, body FROM registration")
    }
    rows = connection.execute("SELECT body FROM run")
    return [unpack_run(content, registrations) for (content,) in rows]


def read_open_spans(connection: sqlite3.Connection) -> list[Item]:
    """Return the starts of the spans that have no end yet."""
    rows = connection.execute("SELECT crc, body FROM open_span ORDER BY key").fetchall()
    return [item for row in rows for item in unpack(*row) if item is not None]


def read_aside(connection: sqlite3.Connection) -> list[tuple[str, Item]]:
    """Return the items that a server refused, the oldest first, each with the reason."""
    rows = connection.execute("SELECT reason, crc, body FROM aside ORDER BY id").fetchall()
    return [(reason, item) for reason, *row in rows for item in unpack(*row) if item is not None]


def _open_spans(items: Sequence[Item]) -> tuple[list[tuple[bytes, int, bytes]], list[bytes]]:
    """Return the spans that start in *items*, as rows, and the keys of the spans that end.

    The end of a run ends its root span.
    """
    started: list[tuple[bytes, int, bytes]] = []
    ended: list[bytes] = []
    for item in items:
        if item.kind == Kind.SPAN:
            if item.status == ACTIVE:
                part = pack([replace(item, payload=None)])
                started.append((item.key, part.crc, part.content))
        elif item.kind in (Kind.FINISH, Kind.CLOSE):
            ended.append(item.key)
    return started, ended


def _groups(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
