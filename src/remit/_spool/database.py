"""The tables of one spool file, and every statement on them.

Each statement handles many rows in one step of SQLite: a step gives up the interpreter's lock,
and beside a program that computes, getting it back takes 5 ms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from remit import _sqlite
from remit._spool import holders
from remit._spool.folder import Identity
from remit._spool.packing import Body, DamagedError

T = TypeVar("T")

FORMAT: Final = 1
BUSY_TIMEOUT_S: Final = 5.0
MS_PER_S: Final = 1000
# Each page is a step of the system when it is written, and one more when the log goes into the
# database. In a folder for little, what half-full pages and the log take would be missing: one of
# 200 MiB held an eighth less.
PAGE_BYTES: Final = 16_384
SMALL_PAGE_BYTES: Final = 4_096
SMALL_FOLDER_BYTES: Final = 512 << 20
# The write-ahead log goes into the database this often, or when it is this part of what is allowed.
MAX_LOG_BYTES: Final = 16 << 20
SMALL_MAX_LOG_BYTES: Final = 4 << 20
LOG_PART: Final = 1 / 8
# SQLite's own bound before 3.32; what is longer goes in several statements.
MAX_VARIABLES: Final = 999
CHUNK_COLUMNS: Final = 5
CHUNKS_AT_ONCE: Final = MAX_VARIABLES // CHUNK_COLUMNS


def log_bytes(max_bytes: int) -> int:
    """Return how large the write-ahead logs may be where *max_bytes* are allowed in all."""
    most_bytes = SMALL_MAX_LOG_BYTES if max_bytes < SMALL_FOLDER_BYTES else MAX_LOG_BYTES
    return max(SMALL_PAGE_BYTES, min(most_bytes, int(max_bytes * LOG_PART)))


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


def is_foreign(path: Path) -> bool:
    """Return whether another program made the file at *path*, without changing it."""
    try:
        _sqlite.check_ours(path, _sqlite.SPOOL, in_log=False)
    except _sqlite.ForeignError:
        return True
    except STORAGE_ERRORS:
        # The file is gone or damaged, which opening it will show.
        return False
    return False


@dataclass(slots=True, eq=False)
class Chunk:
    """What is known of a chunk of items without reading them.

    Attributes:
        id: Its place in the order.
        put_ns: Wall time at which it was written, nanoseconds since 1970.
        items: How many of its items are neither settled nor gone.
        size_bytes: Of its body.
        bare: Its finished spans have neither payload nor result any more.
        spans: How many finished spans it holds of each run, if that is known and it was written
            with nothing else.
    """

    id: int
    put_ns: int
    items: int
    size_bytes: int
    bare: bool = False
    spans: Mapping[str, int] | None = None


class Database:
    """One file, open; whoever uses it holds its claim, and is one thread at a time.

    Attributes:
        path: Where it is.
        page_bytes: Size of its pages.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        page_bytes: int | None = None,
        reader: sqlite3.Connection | None = None,
    ) -> None:
        """Open the file at *path*, which exists.

        Args:
            path: Where it is.
            max_bytes: No more is wanted of it.
            page_bytes: Size of the pages, if it is empty; None for what suits *max_bytes*.
            reader: A read-only connection to use instead of a new one.

        Raises:
            sqlite3.Error: It cannot be opened, or is no database.
        """
        self.path: Final = path
        if reader is not None:
            self._connection = reader
            (self.page_bytes,) = reader.execute("PRAGMA page_size").fetchone()
            holders.opened(path)
            return
        # Not by `sqlite3.connect`: tracers wrap it, and would trace the tracing.
        self._connection = sqlite3.Connection(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        small, log = max_bytes < SMALL_FOLDER_BYTES, log_bytes(max_bytes)
        wanted = page_bytes or (SMALL_PAGE_BYTES if small else PAGE_BYTES)
        try:
            self._connection.executescript(
                f"PRAGMA page_size = {wanted};"
                "PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = NORMAL;"
            )
            # One that is not empty keeps the pages that it has.
            (self.page_bytes,) = self._connection.execute("PRAGMA page_size").fetchone()
            self.bound_log(log)
        except sqlite3.Error:
            self._connection.close()
            raise
        holders.opened(path)

    def bound_log(self, log_bytes: int) -> None:
        """Let the write-ahead log go into the database when it has *log_bytes* bytes."""
        pages = max(1, log_bytes // self.page_bytes)
        # Not as a script: that commits what a signal's handler broke off.
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        self._connection.execute(f"PRAGMA journal_size_limit = {log_bytes}")

    def hurry(self, timeout_s: float) -> None:
        """Wait no longer than *timeout_s* for another process that has the file locked."""
        self._connection.execute(f"PRAGMA busy_timeout = {int(timeout_s * MS_PER_S)}")

    def close(self) -> None:
        """Close the file; SQLite tidies up what it put beside it."""
        self._connection.close()
        holders.closed(self.path)

    def forget(self) -> None:
        """Leave the file open as it is: in the child of a fork it is the parent's."""
        holders.closed(self.path)

    def copy_to(self, other: Database) -> None:
        """Write everything into *other*, a new file; also of a file that was removed.

        Raises:
            sqlite3.Error: One cannot be read, or the other cannot be written.
        """
        self._connection.backup(other._connection)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Commit what is written in the block, or nothing of it.

        A statement that is alone is a transaction without this, and two steps of SQLite cheaper.
        """
        try:
            # One that a signal's handler broke off at a bad moment may still be open.
            self._roll_back()
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def prepare(self, identity: Identity) -> None:
        """Make the tables of a new file, and say whose it is."""
        with self.transaction():
            for statement in SCHEMA.strip().split("\n"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {_sqlite.SPOOL.application_id}")
            about = (FORMAT, identity.target, identity.fingerprint)
            self._connection.execute("INSERT INTO about VALUES (?, ?, ?)", about)

    def about(self) -> tuple[int, Identity] | None:
        """Return the format and whose file it is; `None` of one whose maker came no further."""
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not tables:
            return None
        row = self._connection.execute("SELECT * FROM about").fetchone()
        if row is None or list(map(type, row)) != [int, str, bytes]:
            raise DamagedError("the file does not say whose it is")
        return row[0], Identity(row[1], row[2])

    def chunks(self) -> list[Chunk]:
        """Return what is known of every chunk, in order."""
        (told,) = self._connection.execute(
            "SELECT group_concat(id || ' ' || put_ns || ' ' || items || ' ' || length(body)) "
            "FROM (SELECT * FROM chunk ORDER BY id)"
        ).fetchone()
        chunks: list[Chunk] = []
        for each in told.split(",") if told else ():
            try:
                chunk_id, put_ns, items, size_bytes = map(int, each.split())
            except ValueError as error:
                raise DamagedError("a chunk is not numbered") from error
            chunks.append(Chunk(chunk_id, put_ns, items, size_bytes))
        return chunks

    def bodies(self, chunk_ids: Collection[int]) -> dict[int, Body]:
        """Return the items of chunks, packed, by the ids of those chunks that there are."""
        marks = ", ".join("?" * len(chunk_ids))
        rows = self._connection.execute(
            f"SELECT id, items, crc, body FROM chunk WHERE id IN ({marks})",  # noqa: S608 - question marks only
            list(chunk_ids),
        )
        return {chunk_id: Body(*body) for chunk_id, *body in rows}

    def add_chunks(self, chunks: Sequence[tuple[Chunk, Body]]) -> None:
        """Write chunks, or write them anew."""
        self._insert(
            "chunk",
            [
                (chunk.id, chunk.put_ns, body.items, body.crc, body.content)
                for chunk, body in chunks
            ],
        )

    def registrations(self) -> dict[bytes, bytes]:
        """Return the packed registrations by their digests."""
        return dict(self._connection.execute("SELECT digest, body FROM registration"))

    def runs(self) -> dict[str, bytes]:
        """Return the packed records of the runs by their keys."""
        return dict(self._connection.execute("SELECT key, body FROM run"))

    def add_registrations(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Write registrations, each with its digest."""
        self._insert("registration", rows)

    def add_runs(self, rows: Sequence[tuple[str, bytes]]) -> None:
        """Write the packed records of runs, or write them anew, each with its key."""
        self._insert("run", rows)

    def add_open_spans(self, spans: Sequence[tuple[bytes, Body]]) -> None:
        """Note spans whose beginning is written and whose end is not, each with its key."""
        self._insert("open_span", [(key, body.crc, body.content) for key, body in spans])

    def open_spans(self) -> list[Body]:
        """Return each such span, packed."""
        rows = self._connection.execute("SELECT crc, body FROM open_span ORDER BY key")
        return [Body(1, crc, content) for crc, content in rows]

    def set_aside(self, rows: Sequence[tuple[int, str, str, Body]]) -> None:
        """Write items that a server refused: id, key of the run, reason, body."""
        self._insert(
            "aside",
            [(row_id, key, reason, body.crc, body.content) for row_id, key, reason, body in rows],
        )

    def aside(self, limit: int = -1) -> list[tuple[int, Body]]:
        """Return the items that were set aside, the oldest first, each with its id."""
        rows = self._connection.execute(
            "SELECT id, crc, body FROM aside ORDER BY id LIMIT ?",
            (limit,),
        )
        return [(row_id, Body(1, crc, content)) for row_id, crc, content in rows]

    def refused(self) -> list[tuple[str, Body]]:
        """Return the items that were set aside, the oldest first, each with the reason."""
        rows = self._connection.execute("SELECT reason, crc, body FROM aside ORDER BY id")
        return [(reason, Body(1, crc, content)) for reason, crc, content in rows]

    def delete(self, table: str, column: str, keys: Collection[object]) -> None:
        """Delete the rows of *table* whose *column* has one of *keys*."""
        for group in _groups(list(keys), MAX_VARIABLES):
            marks = ", ".join("?" * len(group))
            # The names are ours, never data.
            statement = f"DELETE FROM {table} WHERE {column} IN ({marks})"  # noqa: S608
            self._connection.execute(statement, group)

    def forget_runs(self, keys: Collection[str]) -> None:
        """Delete the records of runs, but for those of which something is set aside."""
        for group in _groups(list(keys), MAX_VARIABLES):
            marks = ", ".join("?" * len(group))
            self._connection.execute(
                f"DELETE FROM run WHERE key IN ({marks}) "  # noqa: S608 - question marks only
                "AND key NOT IN (SELECT run_key FROM aside)",
                group,
            )

    def free_bytes(self) -> int:
        """Return the bytes of the file that hold nothing and will be used again."""
        (pages,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages * self.page_bytes)

    def shrink(self) -> None:
        """Give back to the disk what holds nothing."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _insert(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        width = len(rows[0])
        for group in _groups(rows, MAX_VARIABLES // width):
            marks = ", ".join([f"({', '.join('?' * width)})"] * len(group))
            # The name is ours, never data.
            statement = f"INSERT OR REPLACE INTO {table} VALUES {marks}"  # noqa: S608
            self._connection.execute(statement, [value for row in group for value in row])


def _groups(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]
