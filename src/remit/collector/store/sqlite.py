"""The SQLite store: one file, any number of processes, each with one connection that writes.

Write-ahead log, a busy timeout, and `BEGIN IMMEDIATE` for everything that writes, so that two
writers wait for each other rather than fail.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, Final, NamedTuple, TypeVar

from typing_extensions import override

from remit._base import sqlite
from remit._base.clock import NS_PER_US, SystemClock
from remit._base.files import make_private_file
from remit.collector.store import counts, statements
from remit.collector.store.base import Reader, Store, StoreUnavailableError, TooSlowError
from remit.collector.store.filters import Removed
from remit.collector.store.ids import to_bytes
from remit.collector.store.retention import forget
from remit.collector.store.rows import STATUSES, FindingRow, InstanceRow, KeyRow, Row, SpanRow
from remit.collector.store.statements import Value
from remit.collector.store.transaction import References, Transaction, values_of
from remit.collector.store.version import VERSION, refuse_other
from remit.collector.store.version import statements as schema
from remit.errors import SettingsError

T = TypeVar("T")

MEMORY: Final = ":memory:"
BUSY_TIMEOUT_S: Final = 10.0
READERS: Final = 2
READ_LIMIT_S: Final = 2.0
_STEPS: Final = 10_000
"""Steps of SQLite between two looks at the time, about a tenth of a millisecond."""
MAINTAINED_PAGES: Final = 16_000
"""Pages in the log from which a commit writes them into the file itself, beside `maintain`."""
# A fork waits this long for a statement to end: a child could hang on a mutex of SQLite otherwise.
FORK_WAIT_S: Final = 1.0
# SQLite does not wait for the lock that the change to a write-ahead log takes.
_WAL_TRIES: Final = 200
_WAL_PAUSE_S: Final = 0.02
_MARK: Final = f"PRAGMA application_id = {sqlite.COLLECTOR.application_id}"
_CANNOT_OPEN: Final = (sqlite3.Error, OSError, sqlite.ForeignError)
_PRAGMAS: Final = (
    # A killed process loses nothing; a power cut may lose the last commits, never the file.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -65536",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
    # What is deleted is overwritten, however SQLite was built.
    "PRAGMA secure_delete = ON",
)


_SPAN_TABLE_COLUMNS: Final = (
    "ref",
    "run_ref",
    "id",
    "parent_id",
    "type_ref",
    "status",
    "created_status",
    "flags",
    "started_at",
    "finished_at",
    "inserted_at",
    "updated_at",
    "summary",
)
_INSERT_SPAN: Final = (
    f"INSERT INTO spans ({', '.join(_SPAN_TABLE_COLUMNS)}) "  # noqa: S608 - fixed names
    f"VALUES ({', '.join('?' for _ in _SPAN_TABLE_COLUMNS)})"
)
_INSERT_PAYLOAD: Final = "INSERT INTO span_payloads (span_ref, payload, result) VALUES (?, ?, ?)"
_UPDATE_SPAN: Final = (
    "UPDATE spans SET status = ?, flags = ?, started_at = ?, finished_at = ?, updated_at = ?, "
    "summary = ? WHERE ref = ?"
)
_UPDATE_RESULT: Final = "UPDATE span_payloads SET result = ? WHERE span_ref = ?"
_LAST_SPAN: Final = "SELECT COALESCE(MAX(ref), 0) FROM spans"
_STATUS: Final = {status: number for number, status in enumerate(STATUSES)}
# One statement for any number of keys, compiled once; CROSS JOIN sets the order of the join.
_KEYS_OF_TEXTS: Final = (
    f"SELECT {statements.columns(KeyRow, 'k.')} FROM json_each(?) AS j "  # noqa: S608 - as above
    "CROSS JOIN idempotency_keys AS k ON k.account_id = ? AND k.operation = ? AND k.key = j.value"
)
_INSERT_RUN: Final = (
    f"INSERT INTO runs ({', '.join(statements.INSERTED)}) "  # noqa: S608 - as above
    f"VALUES ({', '.join('?' for _ in statements.INSERTED)})"
)
_INSERT_KEY_OF_RUN: Final = (
    "INSERT INTO run_keys (external_identifier, agent_ref, environment_ref, run_id) "
    "VALUES (?, ?, ?, ?)"
)
_INSERT_FINDING: Final = (
    "INSERT INTO span_findings (kind, started_at, run_ref, span_id, number, agent_ref, "
    "environment_ref, sentence) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_INSERT_LABEL: Final = (
    "INSERT INTO run_labels (key, value, run_id, run_ref) VALUES (?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_INSERT_SUBJECT: Final = (
    "INSERT INTO run_subjects (subject_hash, run_id, run_ref) VALUES (?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_NEXT_SEQ: Final = "SELECT MAX(?, COALESCE(MAX(seq), 0) + 1) FROM run_changes"
_NOTE_CHANGE: Final = (
    "INSERT INTO run_changes (run_ref, seq) VALUES (?, ?) "
    "ON CONFLICT (run_ref) DO UPDATE SET seq = excluded.seq"
)


def _adding(table: str, key: Sequence[str], counts: Sequence[str]) -> str:
    """Return the statement that adds to counts; the largest duration stays the largest."""
    changes = ", ".join(
        f"{name} = MAX({name}, excluded.{name})"
        if name.endswith("_max_us")
        else f"{name} = {name} + excluded.{name}"
        for name in counts
    )
    columns = (*key, *counts)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)}) "  # noqa: S608 - as above
        f"ON CONFLICT DO UPDATE SET {changes}"
    )


_ADD_TO_HOURS: Final = _adding("span_hours", counts.SPAN_KEY, counts.SPAN_COUNTS)
_ADD_TO_DAYS: Final = _adding("span_days", counts.SPAN_KEY, counts.SPAN_COUNTS)
_ADD_TO_RUNS: Final = _adding("run_hours", counts.RUN_KEY, counts.RUN_COUNTS)
_ADD_TO_WITHHELD: Final = _adding("withheld_days", counts.WITHHELD_KEY, ("times",))

_OLD_SPANS: Final = "SELECT ref FROM spans WHERE id < ? ORDER BY id LIMIT ?"
_MARK_OF_RETENTION: Final = "SELECT before_id, span_ref FROM payload_retention"
_MARK_RETENTION: Final = "INSERT INTO payload_retention (before_id, span_ref) VALUES (?, ?)"
_ID_AFTER: Final = "SELECT id FROM spans WHERE id >= ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?"
_FORGET_PAYLOADS: Final = (
    "DELETE FROM span_payloads WHERE span_ref IN (SELECT ref FROM spans WHERE id >= ? AND id < ?)"
)
_FORGET_LATE_PAYLOADS: Final = (
    "DELETE FROM span_payloads WHERE span_ref IN "
    "(SELECT ref FROM spans WHERE ref > ? AND ref <= ? AND +id < ?)"
)


class SqliteTransaction(Transaction):
    """A transaction of the SQLite store; a writing one has the file to itself."""

    dialect = "sqlite"
    with_run = "JOIN runs AS r ON r.ref = s.run_ref"
    span_key = ("ref",)
    with_payloads = "LEFT JOIN span_payloads AS b ON b.span_ref = s.ref"

    def __init__(self, connection: sqlite3.Connection, known: References | None = None) -> None:
        """Use *connection*, on which a transaction was begun."""
        super().__init__(known or References())
        self._connection = connection

    @override
    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        values = (_texts(keys), account_id, operation)
        return {row.key: row for row in self._all(KeyRow, _KEYS_OF_TEXTS, values)}

    @override
    def hold(self, instance_ids: Collection[str], span_ids: Collection[str]) -> bool:
        # A writing transaction has the file to itself; the spans may exist.
        del instance_ids, span_ids
        return True

    @override
    def add(self, row: Row) -> None:
        self.run(statements.INSERT[type(row)], values_of(row))

    @override
    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        self.run_many(statements.INSERT[KeyRow], [values_of(row) for row in rows])

    @override
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        ((last,),) = self.rows(_LAST_SPAN)
        spans: list[tuple[Value, ...]] = []
        payloads: list[tuple[Value, ...]] = []
        for ref, row in enumerate(rows, last + 1):
            parent_id = row.parent_span_id
            spans.append(
                (
                    ref,
                    row.run_ref,
                    to_bytes(row.id),
                    None if parent_id is None else to_bytes(parent_id),
                    row.type_ref,
                    _STATUS[row.status],
                    _STATUS[row.created_status],
                    row.flags,
                    row.started_at,
                    row.finished_at,
                    row.inserted_at,
                    row.updated_at,
                    row.summary,
                )
            )
            payloads.append((ref, row.payload, row.result_payload))
        self.run_many(_INSERT_SPAN, spans)
        self.run_many(_INSERT_PAYLOAD, payloads)

    @override
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        self.run_many(
            _UPDATE_SPAN,
            [
                (
                    _STATUS[row.status],
                    row.flags,
                    row.started_at,
                    row.finished_at,
                    row.updated_at,
                    row.summary,
                    row.ref,
                )
                for row in rows
            ],
        )
        results = [(row.result_payload, row.ref) for row in rows if row.result_payload is not None]
        self.run_many(_UPDATE_RESULT, results)

    @override
    def add_findings(self, rows: Sequence[FindingRow]) -> None:
        values = [
            (
                row.kind,
                row.started_at,
                row.run_ref,
                to_bytes(row.span_id),
                row.number,
                row.agent_ref,
                row.environment_ref,
                row.sentence,
            )
            for row in rows
        ]
        self.run_many(_INSERT_FINDING, values)

    @override
    def add_labels(self, run: InstanceRow, labels: Iterable[tuple[str, str]]) -> None:
        run_id = to_bytes(run.id)
        self.run_many(_INSERT_LABEL, [(key, value, run_id, run.ref) for key, value in labels])

    @override
    def add_subject(self, run: InstanceRow, subject_hash: str) -> None:
        self.run(_INSERT_SUBJECT, (subject_hash, to_bytes(run.id), run.ref))

    @override
    def _insert_run(self, values: Mapping[str, Value]) -> int:
        cursor = self._connection.execute(_INSERT_RUN, tuple(values.values()))
        assert cursor.lastrowid is not None  # noqa: S101 - of the row just inserted
        return cursor.lastrowid

    @override
    def _insert_key_of_run(self, values: Sequence[Value]) -> None:
        self.run(_INSERT_KEY_OF_RUN, values)

    @override
    def _erase_payloads(self, run: InstanceRow) -> int:
        sql = (
            f"UPDATE span_payloads SET {statements.ERASE_PAYLOADS} WHERE span_ref IN "  # noqa: S608 - fixed texts
            f"(SELECT ref FROM spans WHERE run_ref = ?) AND {statements.HAS_PAYLOAD}"
        )
        return self.run(sql, (run.ref,))

    @override
    def forget_spans(self, first_id: str, most: int) -> int:
        refs = json.dumps([ref for (ref,) in self.rows(_OLD_SPANS, (to_bytes(first_id), most))])
        for table, column in (("span_payloads", "span_ref"), ("spans", "ref")):
            sql = f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))"  # noqa: S608 - as above
            count = self.run(sql, (refs,))
        return count

    @override
    def forget_payloads(self, first_id: str, most: int) -> tuple[int, bool]:
        # The mark says: of the spans up to a reference, those before an id have no payloads.
        bound = to_bytes(first_id)
        ((last,),) = self.rows(_LAST_SPAN)
        before_id, span_ref = next(iter(self.rows(_MARK_OF_RETENTION)), (b"", last))
        before_id, span_ref = min(before_id, bound), min(span_ref, last)
        if before_id < bound:
            page = self.rows(_ID_AFTER, (before_id, bound, most - 1))
            # The text that follows the id.
            end = next((row_id + b"\x00" for (row_id,) in page), bound)
            count = self.run(_FORGET_PAYLOADS, (before_id, end))
            before_id = end
        else:
            # Spans that arrived later than their ids say.
            end_ref = min(span_ref + most, last)
            count = self.run(_FORGET_LATE_PAYLOADS, (span_ref, end_ref, before_id))
            span_ref = end_ref
        self.run("DELETE FROM payload_retention")
        self.run(_MARK_RETENTION, (before_id, span_ref))
        return count, before_id < bound or span_ref < last

    @override
    def flush(self) -> None:
        changed, pending = self.counts.changed, self.counts
        if changed:
            now_us = SystemClock().wall_ns() // NS_PER_US
            ((seq,),) = self.rows(_NEXT_SEQ, (now_us,))
            self.run_many(_NOTE_CHANGE, [(ref, seq) for ref in changed])
        for sql, counted in (
            (_ADD_TO_HOURS, pending.spans),
            (_ADD_TO_DAYS, pending.days()),
            (_ADD_TO_RUNS, pending.runs),
        ):
            self.run_many(sql, [(*key, *values) for key, values in counted.items()])
        withheld = [(*key, times) for key, times in pending.withheld.items()]
        self.run_many(_ADD_TO_WITHHELD, withheld)

    @override
    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(sql, values)

    @override
    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(sql, values).rowcount

    @override
    def run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            self._connection.executemany(sql, rows)

    @override
    def among(self, column: str, texts: Collection[str]) -> tuple[str, tuple[Value, ...]]:
        return f"{column} IN (SELECT value FROM json_each(?))", (_texts(texts),)  # noqa: S608 - as above

    @override
    def among_ids(self, column: str, ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        # JSON holds no bytes. The number of values is rounded up, so that few statements differ.
        size = 1 << max(0, len(ids) - 1).bit_length()
        values: list[Value] = [*ids, *[None] * (size - len(ids))]
        return f"{column} IN ({', '.join('?' * size)})", tuple(values)


class _Readers:
    """Connections that only read one file, each for one thread at a time."""

    def __init__(self, path: Path, limit_s: float, count: int = READERS) -> None:
        """Open none yet.

        Args:
            path: The file.
            limit_s: How long a transaction may take, in seconds.
            count: The number of connections.
        """
        self._path = path
        self._limit_s = limit_s
        self._free: LifoQueue[sqlite3.Connection | None] = LifoQueue()
        for _ in range(count):
            self._free.put(None)
        self._count = count

    @contextmanager
    def block(self) -> Generator[sqlite3.Connection]:
        """Return a block that sees one state of the file.

        Raises:
            StoreUnavailableError: The file cannot be read now.
            TooSlowError: The block takes longer than the limit.
        """
        try:
            connection = self._free.get(timeout=self._limit_s)
        except Empty:
            raise TooSlowError(f"{self._path}: other queries take all its connections") from None
        try:
            with _unavailable(str(self._path)):
                connection = connection or sqlite.open_file(self._path, "ro")
                until = time.monotonic() + self._limit_s
                # A number that is not zero interrupts the statement.
                connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    connection.set_progress_handler(None, 0)
                    connection.execute("ROLLBACK")
        finally:
            self._free.put(connection)

    def hold(self) -> list[sqlite3.Connection | None]:
        """Take the connections; return those that became free in time."""
        held: list[sqlite3.Connection | None] = []
        until = time.monotonic() + FORK_WAIT_S
        with suppress(Empty):
            while len(held) < self._count:
                held.append(self._free.get(timeout=max(0.0, until - time.monotonic())))
        return held

    def release(self, held: Iterable[sqlite3.Connection | None]) -> None:
        """Give back what `hold` returned."""
        for connection in held:
            self._free.put(connection)

    def anew(self) -> _Readers:
        """Return the same without the connections."""
        return _Readers(self._path, self._limit_s, self._count)

    def close(self) -> None:
        """Close the connections that are free."""
        held = self.hold()
        for connection in held:
            if connection is not None:
                connection.close()
        self.release([None] * len(held))


class SqliteStore(Store):
    """A store in one SQLite file, or in memory for tests.

    All threads of a process share the connection that writes, one at a time. Transactions that only
    read have connections of their own, so that none waits for a writer, and no writer for one.
    """

    at_once = 1 + READERS

    def __init__(
        self,
        path: Path | str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        read_limit_s: float = READ_LIMIT_S,
    ) -> None:
        """Open the database at *path*, or create it.

        Args:
            path: A file in an existing folder, or `:memory:`.
            busy_timeout_s: How long to wait for other processes, in seconds.
            read_limit_s: How long a transaction that only reads may take, in seconds.

        Raises:
            SettingsError: The path holds something else, another schema, or cannot be opened.
        """
        self.path = str(path)
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._maintained = False
        self._finalizer: weakref.finalize[[], SqliteStore] | None = None
        self._readers = None if self.path == MEMORY else _Readers(Path(path), read_limit_s)
        self._references = References()
        _stores.add(self)
        with self._lock:
            self._open()

    @override
    @contextmanager
    def reading(self) -> Generator[Transaction]:
        if self._readers is None:
            with self._transaction("BEGIN") as transaction:
                yield transaction
            return
        with self._lock:
            # Where the file was closed, or the process forked.
            if self._connection is None:
                self._open()
        with self._readers.block() as connection:
            yield SqliteTransaction(connection, self._references)

    @override
    def look(self, question: Callable[[Transaction], T]) -> T:
        with self.reading() as tx:
            return question(tx)

    @override
    @contextmanager
    def writing(self) -> Generator[Transaction]:
        with self._transaction("BEGIN IMMEDIATE") as transaction:
            yield transaction

    @override
    def retain(
        self,
        before_us: int | None,
        payloads_before_us: int | None = None,
        *,
        pause: Callable[[], bool] | None = None,
    ) -> Removed:
        removed = forget(self, before_us, payloads_before_us, pause=pause)
        # Only this writes the deletions from the log into the file.
        self.maintain()
        return removed

    @override
    def leads(self) -> bool:
        # One process serves a file.
        return True

    @override
    def maintain(self) -> None:
        if self.path == MEMORY:
            return
        with _unavailable(self.path):
            with self._lock:
                connection = self._connection or self._open()
                if not self._maintained:
                    connection.execute(f"PRAGMA wal_autocheckpoint = {MAINTAINED_PAGES}")
                    self._maintained = True
            # On another connection, so that writers and readers go on meanwhile.
            with closing(sqlite.open_file(Path(self.path), "rw")) as checkpointer:
                checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @override
    def is_current(self) -> bool:
        with self._lock, _unavailable(self.path):
            connection = self._connection or self._open()
            return _schema_version(connection) == VERSION

    @override
    def scrub(self) -> None:
        with self._lock, _unavailable(self.path):
            connection = self._connection or self._open()
            connection.execute("VACUUM")
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreUnavailableError(f"{self.path}: another process reads an older state of it")

    @override
    def close(self) -> None:
        with self._lock:
            self._connection = None
            if self._finalizer is not None:
                self._finalizer()

    @contextmanager
    def _transaction(self, begin: str) -> Generator[SqliteTransaction]:
        with self._lock, _unavailable(self.path):
            connection = self._connection or self._open()
            connection.execute(begin)
            transaction = SqliteTransaction(connection, self._references)
            try:
                yield transaction
                transaction.flush()
                connection.execute("COMMIT")
                self._references.add(transaction.references)
            except BaseException:
                # After some faults (a full disk) SQLite has rolled back by itself.
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        try:
            connection = self._connect()
            _create(connection, self.path)
        except _CANNOT_OPEN as error:
            raise SettingsError(
                f"the database {self.path} cannot be opened: {error}. Name a file in a folder "
                "that exists and may be written to, either new or made by remit"
            ) from error
        self._connection, self._maintained = connection, False
        self._finalizer = weakref.finalize(self, _close, connection, self._readers)
        # Not at exit: a later exit hook may still deliver items.
        self._finalizer.atexit = False
        return connection

    def _connect(self) -> sqlite3.Connection:
        if self.path != MEMORY and not make_private_file(Path(self.path)):
            _check_ours(Path(self.path))
        # Not by `sqlite3.connect`, which tracers wrap: they would trace remit.
        connection = sqlite3.Connection(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _refuse_other(connection, self.path)
            _prepare(connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except (sqlite3.Error, SettingsError):
            connection.close()
            raise
        return connection

    def _hold(self) -> _Held:
        """Wait a little until no thread uses a connection, while the process forks."""
        locked = self._lock.acquire(timeout=FORK_WAIT_S)
        return _Held(self, locked, [] if self._readers is None else self._readers.hold())

    def _release(self, held: _Held) -> None:
        if held.locked:
            self._lock.release()
        if self._readers is not None:
            self._readers.release(held.readers)

    def _forget_parent(self) -> None:
        """In a forked child: leave the parent's connections alone, they must not be closed here."""
        self._lock = threading.Lock()
        if self._finalizer is not None:
            self._finalizer.detach()
        _inherited.extend((self._connection, self._readers))
        self._connection = None
        if self._readers is not None:
            self._readers = self._readers.anew()


class _Held(NamedTuple):
    """What `_hold` took of a store."""

    store: SqliteStore
    locked: bool
    readers: list[sqlite3.Connection | None]


class SqliteReader(Reader):
    """A file that is only read: neither the file nor its folder is changed."""

    def __init__(self, path: Path) -> None:
        """Check the database at *path*.

        Raises:
            SettingsError: The path holds something else, another version of the schema, or cannot
                be read.
        """
        self.path = str(path)
        try:
            _check_ours(path)
            with closing(sqlite.reader(path)) as connection:
                version = _schema_version(connection)
        except _CANNOT_OPEN as error:
            raise SettingsError(
                f"the database {self.path} cannot be read: {error}. Name a database that remit made"
            ) from error
        refuse_other(version, self.path)

    @override
    @contextmanager
    def reading(self) -> Generator[Transaction]:
        with self._block() as connection:
            yield SqliteTransaction(connection)

    def copy_to(self, target: Path) -> None:
        """Write one state of the file to *target*, readable by its owner only.

        Raises:
            OSError: *target* exists or cannot be created.
        """
        with self._block() as connection:
            _copy(connection, target)

    @override
    def close(self) -> None:
        """Do nothing: each block opens the file and closes it."""

    @contextmanager
    def _block(self) -> Generator[sqlite3.Connection]:
        path = Path(self.path)
        before, logged = _state(path), sqlite.has_log(path)
        try:
            with _unavailable(self.path), closing(sqlite.reader(path)) as connection:
                connection.execute("BEGIN")
                yield connection
        except StoreUnavailableError:
            if logged or _state(path) == before:
                raise
        # A file without a log is read without a lock, so a program may have written to it.
        if not logged and _state(path) != before:
            raise StoreUnavailableError(f"{self.path} was written to while it was read")


def _texts(values: Collection[str]) -> str:
    return json.dumps(list(values))


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    if not make_private_file(target):
        raise FileExistsError(f"there is something at {target}")
    try:
        with closing(sqlite3.Connection(target)) as copy:
            connection.backup(copy)
            # The copy is one file: a reader needs no write-ahead log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        target.unlink()
        raise


def _check_ours(path: Path) -> None:
    sqlite.check_ours(path, sqlite.COLLECTOR)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


def _prepare(connection: sqlite3.Connection) -> None:
    """Mark a new file as remit's and switch it to a write-ahead log."""
    pause = threading.Event()
    for attempt in range(_WAL_TRIES):
        try:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            if not pages:
                # Before the log, so that the mark is in the file itself.
                connection.execute(_MARK)
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == _WAL_TRIES - 1:
                raise
            pause.wait(_WAL_PAUSE_S)
        else:
            return


def _create(connection: sqlite3.Connection, path: str) -> None:
    """Create the tables in an empty file, under the write lock; refuse another version of them."""
    marked = sqlite.mark_of(connection) == sqlite.COLLECTOR.application_id
    if marked and _schema_version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it meanwhile.
        if _schema_version(connection) != VERSION:
            _refuse_other(connection, path)
            for statement in schema("sqlite"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(_MARK)
    except BaseException:
        connection.execute("ROLLBACK")
        connection.close()
        raise
    connection.execute("COMMIT")


def _refuse_other(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a file with another version of the schema; an empty one has none."""
    if version := _schema_version(connection):
        refuse_other(version, path)


def _close(connection: sqlite3.Connection, readers: _Readers | None) -> None:
    # The last one writes the log into the file, which a reader cannot.
    if readers is not None:
        readers.close()
    connection.close()


def _schema_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def _unavailable(path: str) -> Generator[None]:
    """Turn faults that pass (locked, full, unreadable, damaged) into errors of the store."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # The message quotes a damaged text, which may be personal data.
        message = str(error).partition(" with text ")[0]
        # Errors that Python itself raises have no code.
        slow = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
        kind = TooSlowError if slow else StoreUnavailableError
        raise kind(f"{path}: {message}") from error
    except sqlite3.DatabaseError as error:
        # The other kinds are mistakes in statements; these two have no class of their own.
        if error.sqlite_errorcode not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
        raise StoreUnavailableError(f"{path}: {error}: put a copy in its place") from error


_stores: Final[weakref.WeakSet[SqliteStore]] = weakref.WeakSet()
_held: Final[list[_Held]] = []
_inherited: Final[list[object]] = []


def _before_fork() -> None:
    _held.extend(store._hold() for store in list(_stores))  # noqa: SLF001 - this module's own


def _after_fork_in_parent() -> None:
    while _held:
        held = _held.pop()
        held.store._release(held)  # noqa: SLF001 - this module's own


def _after_fork_in_child() -> None:
    _held.clear()
    for store in list(_stores):
        store._forget_parent()  # noqa: SLF001 - this module's own


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
