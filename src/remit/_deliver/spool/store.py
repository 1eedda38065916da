"""One file of the spool, an SQLite database: its tables, and the statements that use them.

Items are stored in chunks. Each statement handles many rows, because a step of SQLite releases the
interpreter's lock, which a computing program may then hold for 5 ms.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from remit._base import sqlite
from remit._base.clock import NS_PER_S
from remit._deliver.spool.folder import Claim, Folder, Identity
from remit._deliver.stored import (
    DamagedError,
    Packed,
    Registration,
    StoredRun,
    pack,
    pack_registration,
    pack_run,
    unpack,
    unpack_registration,
    unpack_run,
)
from remit._record.items import Item

T = TypeVar("T")

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL, and the values of its variables."""
Ignored: TypeAlias = tuple[type[Exception], ...]

FORMAT: Final = 1
SCHEMA: Final = """
CREATE TABLE about (format INTEGER, target TEXT, fingerprint BLOB);
CREATE TABLE registration (digest BLOB PRIMARY KEY, body BLOB);
CREATE TABLE run (key TEXT PRIMARY KEY, body BLOB);
CREATE TABLE chunk (id INTEGER PRIMARY KEY, put_ns INTEGER, items INTEGER, crc INTEGER, body BLOB);
CREATE TABLE aside (id INTEGER PRIMARY KEY, run_key TEXT, reason TEXT, crc INTEGER, body BLOB);
CREATE TABLE open_span (key BLOB PRIMARY KEY, crc INTEGER, body BLOB);
CREATE INDEX aside_run ON aside (run_key);
"""

# The id of a row is its chunk's id times this, plus its place in the chunk; at least `CHUNK_ITEMS`.
IDS_PER_CHUNK: Final = 1_024
BUSY_TIMEOUT_S: Final = 5.0
# SQLite moves the content of the log into the file when the log has this size.
LOG_BYTES: Final = 4 << 20
# Four times SQLite's default. A chunk takes fewer pages, and each page costs time to write, read
# and delete.
PAGE_BYTES: Final = 16_384
# An empty file with this many free pages returns them to the disk.
SPARE_PAGES: Final = 1_024
# SQLite's own bound before 3.32; more goes in several statements.
MAX_VARIABLES: Final = 999
# Part of the folder that is kept for the starts and ends of runs.
RESERVE_PART: Final = 1 / 16
# A process measures the folder again when it has added its share of this part, or after a second.
UNMEASURED_PART: Final = 1 / 64
# Pages that a transaction writes besides the content of chunks.
OVERHEAD_BYTES: Final = 8 * PAGE_BYTES

STORAGE_ERRORS: Final = (OSError, sqlite3.Error, UnicodeDecodeError)
"""Exceptions of SQLite and the system at a full, read-only or broken disk or a damaged file.

A message of SQLite quotes the damaged schema, which may not be UTF-8.
"""
DAMAGE_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# SQLite's message for an overwritten schema format; its code has other causes as well.
UNKNOWN_FORMAT: Final = "unsupported file format"
UNREADABLE: Final = (DamagedError, sqlite3.Error, UnicodeDecodeError)
"""Exceptions at the content of a damaged file."""

# The child of a fork must not close the parent's connections: referenced here, they stay open.
_parent_connections: Final[list[sqlite3.Connection]] = []


def is_damage(error: Exception) -> bool:
    """Return whether *error* is caused by the file's content, not by the disk or a lock."""
    if isinstance(error, sqlite3.Error):
        # Without a code: a text of the file is not UTF-8.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        return code in DAMAGE_CODES or str(error) == UNKNOWN_FORMAT
    return isinstance(error, DamagedError | UnicodeDecodeError)


class Row(Struct, gc=False, frozen=True):
    """A numbered item. `gc=False`, because a window holds thousands.

    Attributes:
        id: Larger than that of every earlier row.
    """

    id: int
    item: Item


@dataclass(slots=True, eq=False)
class Chunk:
    """Items that are stored together, the rows of the outbox.

    Attributes:
        id: Larger than those of earlier chunks.
        put_ns: Wall time at which it was put, nanoseconds since 1970.
        memory_bytes: Cost of the rows that are not settled; 0 for a chunk on disk.
    """

    id: int
    put_ns: int
    items: int
    size_bytes: int = 0
    memory_bytes: int = 0
    settled: frozenset[int] = frozenset()

    @property
    def left(self) -> int:
        """Number of rows that are not settled."""
        return self.items - len(self.settled)

    def rows(self, items: Sequence[Item]) -> list[Row]:
        """Return the *items* of the chunk as rows, without the settled ones."""
        rows = list(map(Row, count(self.id * IDS_PER_CHUNK), items))
        return [row for row in rows if row.id not in self.settled] if self.settled else rows


class SpoolFile:
    """A file that this process has locked; its user keeps other threads out.

    Methods raise `STORAGE_ERRORS` if the file cannot be read or written, and `DamagedError` if its
    content is not what was written.

    Attributes:
        last_write_ns: Wall time of the last write before the file was opened.
        chunks: The chunks by id, in order; the outbox takes over and changes this dict.
        runs: The runs by key, as they were when the file was opened.
        holds_deleted: Content of deleted chunks may be in the file or its log.
    """

    def __init__(
        self, folder: Folder, claim: Claim, connection: sqlite3.Connection, last_write_ns: int = 0
    ) -> None:
        """Use *connection*, which is open on the file of *claim*."""
        self.claim = claim
        self.last_write_ns = last_write_ns
        self.chunks: dict[int, Chunk] = {}
        self.runs: dict[str, StoredRun] = {}
        self.holds_deleted = False
        self._connection = connection
        self._folder = folder
        self._max_bytes = int(folder.max_bytes * (1 - RESERVE_PART))
        self._share_bytes = int(folder.max_bytes * UNMEASURED_PART)
        self._unmeasured_bytes = 0
        self._next_measure_ns = 0

    def load(self) -> None:
        """Read the metadata of the chunks, and the runs.

        It tries the other tables too: a file of which one is damaged could never be closed.
        """
        self.chunks = read_chunks(self._connection)
        self.runs = {run.key: run for run in read_runs(self._connection)}
        self.open_spans()
        self.has_aside()

    def write(
        self,
        *,
        runs: Sequence[StoredRun] = (),
        chunks: Sequence[tuple[int, int, Packed]] = (),
        started: Sequence[Item] = (),
        ended: Sequence[bytes] = (),
        settled: Sequence[int] = (),
        forgotten: Sequence[str] = (),
    ) -> None:
        """Insert and delete rows; all or nothing.

        Args:
            chunks: Id, time and content of chunks to insert or replace.
            started: Starts of spans that have no end yet; their payloads are not stored.
            ended: Keys of spans that have an end now.
            forgotten: Keys of runs to delete, unless a rejected item belongs to them.
        """
        registrations = {run.registration: None for run in runs}
        if chunks or settled:
            self.holds_deleted = True
        self._execute(
            [
                *_insert(
                    "registration", [pack_registration(each) for each in registrations], "IGNORE"
                ),
                *_insert("run", [(run.key, pack_run(run)) for run in runs]),
                *_insert("chunk", [(chunk_id, put_ns, *part) for chunk_id, put_ns, part in chunks]),
                *_insert("open_span", [(span.key, *_pack_one(span)) for span in started]),
                *_delete("open_span", "key", ended),
                *_delete("chunk", "id", settled),
                *_delete("run", "key", forgotten, "AND key NOT IN (SELECT run_key FROM aside)"),
            ]
        )

    def read(self, chunk: Chunk) -> list[Item]:
        statement = "SELECT crc, body FROM chunk WHERE id = ?"
        row = self._connection.execute(statement, (chunk.id,)).fetchone()
        items = [] if row is None else unpack(*row)
        if len(items) != chunk.items:
            raise DamagedError("a chunk has unexpected content")
        return items

    def open_spans(self) -> list[Item]:
        """Return the starts, without payloads, of spans that have no end yet."""
        return read_open_spans(self._connection)

    def set_aside(self, item: Item, reason: str) -> None:
        self._execute([*_insert("aside", [(None, item.run_key, reason, *_pack_one(item))])])

    def has_aside(self) -> bool:
        return self._connection.execute("SELECT 1 FROM aside LIMIT 1").fetchone() is not None

    def aside(self) -> list[Item]:
        """Return the rejected items that can be read."""
        return [item for _, item in read_aside(self._connection, UNREADABLE)]

    def delete_aside(self) -> int:
        """Delete the rejected items; return their number."""
        return self._connection.execute("DELETE FROM aside").rowcount

    def has_room(self, added_bytes: int) -> bool:
        """Return whether the folder has room for *added_bytes* more."""
        # Written to the log first, and then into the file.
        added_bytes = 2 * added_bytes + OVERHEAD_BYTES
        now_ns = time.monotonic_ns()
        self._unmeasured_bytes -= added_bytes
        if self._unmeasured_bytes >= 0 and now_ns < self._next_measure_ns:
            return True
        left_bytes, growing = self._measure()
        if left_bytes < added_bytes:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            left_bytes, growing = self._measure()
        left_bytes -= added_bytes
        self._unmeasured_bytes = min(left_bytes // 2, self._share_bytes) // max(1, growing)
        self._next_measure_ns = now_ns + NS_PER_S
        return left_bytes >= 0

    def erase_deleted(self) -> bool:
        """Erase deleted chunks from the file and its log; the file must have no chunk.

        Pages that an outage filled are released. Returns whether the log was emptied: it stays
        while another process reads the file.
        """
        self.limit_wait(0)
        try:
            if self._pragma("freelist_count") > SPARE_PAGES:
                self._connection.execute("VACUUM")
            (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self.holds_deleted = bool(busy)
        finally:
            self.limit_wait(BUSY_TIMEOUT_S)
        return not self.holds_deleted

    def limit_wait(self, timeout_s: float) -> None:
        """Wait at most *timeout_s* for other users of the file from now on."""
        self._connection.execute(f"PRAGMA busy_timeout = {int(timeout_s * 1000)}")

    def close(self) -> Claim:
        """Close the connection; return the lock, which the file still has."""
        with suppress(*STORAGE_ERRORS):
            self._connection.close()
        return self.claim

    def abandon(self) -> None:
        """Leave the file to the parent, in the child of a fork; close and unlock nothing."""
        _parent_connections.append(self._connection)
        self.claim.release()

    def _execute(self, statements: Sequence[Statement]) -> None:
        # A single statement, which most puts are, needs no transaction.
        with self._connection if len(statements) > 1 else nullcontext():
            if len(statements) > 1:
                self._connection.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                self._connection.execute(sql, values)

    def _measure(self) -> tuple[int, int]:
        """Return the number of bytes left, and the number of files that may be growing."""
        used_bytes, growing = self._folder.usage()
        free_bytes = self._pragma("freelist_count") * self._pragma("page_size")
        return self._max_bytes - used_bytes + free_bytes, growing

    def _pragma(self, name: str) -> int:
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database at *path*, which exists."""
    connection = sqlite.open_file(path, "rw", BUSY_TIMEOUT_S)
    try:
        # Before the log exists; without effect on a file that has tables.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # Nothing that was delivered stays in the file. Some builds of SQLite have this by default.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}")
    except STORAGE_ERRORS:
        connection.close()
        raise
    return connection


def create_tables(connection: sqlite3.Connection, identity: Identity) -> None:
    """Create the tables of a new file, and write its format and identity."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.strip().splitlines():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {sqlite.SPOOL}")
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


# These functions raise one of `UNREADABLE` at the first thing that they cannot read.
# With `ignore=UNREADABLE` they leave it out, and go on while SQLite finds rows.


def read_rows(
    connection: sqlite3.Connection, table: str, columns: str, ignore: Ignored = ()
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table in order."""
    with suppress(*ignore):
        # The names are ours, never data. Not `yield from`, which would close the cursor when the
        # generator is collected, perhaps after the connection.
        for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY rowid"):  # noqa: UP028
            yield row


def read_about(connection: sqlite3.Connection) -> tuple[int, Identity] | None:
    """Return the format and identity of a file, None if its process wrote nothing."""
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return None
    row = connection.execute("SELECT * FROM about").fetchone()
    if row is None or list(map(type, row)) != [int, str, bytes]:
        raise DamagedError("the file does not identify its server and token")
    return row[0], Identity(row[1], row[2])


def read_chunks(connection: sqlite3.Connection) -> dict[int, Chunk]:
    """Return the metadata of every chunk, in order, by id."""
    chunks: dict[int, Chunk] = {}
    for row in read_rows(connection, "chunk", "id, put_ns, items, length(body)"):
        if list(map(type, row)) != [int, int, int, int]:
            raise DamagedError("a chunk is not numbered")
        chunks[row[0]] = Chunk(*row)
    return chunks


def read_runs(connection: sqlite3.Connection, ignore: Ignored = ()) -> list[StoredRun]:
    registrations: dict[bytes, Registration] = {}
    for digest, content in read_rows(connection, "registration", "digest, body", ignore):
        with suppress(*ignore):
            registrations[digest] = unpack_registration(content)
    runs: list[StoredRun] = []
    for (content,) in read_rows(connection, "run", "body", ignore):
        with suppress(*ignore):
            runs.append(unpack_run(content, registrations))
    return runs


def read_open_spans(connection: sqlite3.Connection, ignore: Ignored = ()) -> list[Item]:
    """Return the starts, without payloads, of spans that have no end yet."""
    spans: list[Item] = []
    for crc, content in read_rows(connection, "open_span", "crc, body", ignore):
        with suppress(*ignore):
            spans += unpack(crc, content)
    return spans


def read_aside(connection: sqlite3.Connection, ignore: Ignored = ()) -> list[tuple[str, Item]]:
    """Return the items that a server rejected, the oldest first, each with the reason."""
    rejected: list[tuple[str, Item]] = []
    for reason, *row in read_rows(connection, "aside", "reason, crc, body", ignore):
        with suppress(*ignore):
            rejected += [(reason, item) for item in unpack(*row)]
    return rejected


def _pack_one(item: Item) -> tuple[int, bytes]:
    """Return the checksum and the content of a chunk of one item."""
    part = pack([item])
    return part.crc, part.content


def _insert(
    table: str, rows: Sequence[tuple[object, ...]], known: str = "REPLACE"
) -> Iterator[Statement]:
    """Yield the statements that insert *rows*, and replace or ignore *known* ones."""
    for group in _groups(rows, MAX_VARIABLES // len(rows[0]) if rows else 1):
        placeholders = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(group))
        # The name is ours, never data.
        yield (
            f"INSERT OR {known} INTO {table} VALUES {placeholders}",
            [v for row in group for v in row],
        )


def _delete(
    table: str, column: str, keys: Sequence[object], condition: str = ""
) -> Iterator[Statement]:
    for group in _groups(keys, MAX_VARIABLES):
        placeholders = ", ".join("?" * len(group))
        # The names are ours, never data.
        yield f"DELETE FROM {table} WHERE {column} IN ({placeholders}) {condition}", group


def _groups(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
