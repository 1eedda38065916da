"""The SQLite store: one file, one connection for each process, any number of processes.

Write-ahead log, a busy timeout, and `BEGIN IMMEDIATE` for everything that writes, so that two
writers wait for each other rather than fail.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from typing_extensions import override

from remit._base import sqlite
from remit._base.files import make_private_file
from remit.collector.store import statements
from remit.collector.store.base import Reader, Store, StoreUnavailableError
from remit.collector.store.filters import Listed, Page, Removed, SpanFilter
from remit.collector.store.migrate import migrations, refuse_newer, refuse_older
from remit.collector.store.retention import forget
from remit.collector.store.rows import InstanceRow, KeyRow, Row, SpanRow, content_hash
from remit.collector.store.statements import Value
from remit.collector.store.subjects import subject_hash
from remit.collector.store.transaction import Transaction, mutable, values_of
from remit.errors import SettingsError

T = TypeVar("T")

MEMORY: Final = ":memory:"
BUSY_TIMEOUT_S: Final = 10.0
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
    # What is deleted is overwritten, however SQLite was built.
    "PRAGMA secure_delete = ON",
)


_INSERT_SPAN: Final = f"{statements.INSERT[SpanRow]} ON CONFLICT DO NOTHING"
# One statement for any number of ids, compiled once; CROSS JOIN sets the order of the join.
_SPANS_OF_IDS: Final = (
    f"SELECT {statements.columns(SpanRow, 's.')} FROM json_each(?) AS j "  # noqa: S608 - fixed names
    "CROSS JOIN agent_spans AS s ON s.id = j.value "
    "CROSS JOIN agent_instances AS i ON i.id = s.agent_instance_id "
    "WHERE ? IS NULL OR i.account_id = ?"
)
_KEYS_OF_TEXTS: Final = (
    f"SELECT {statements.columns(KeyRow, 'k.')} FROM json_each(?) AS j "  # noqa: S608 - as above
    "CROSS JOIN idempotency_keys AS k ON k.account_id = ? AND k.operation = ? AND k.key = j.value"
)

_OF_THE_TIMES: Final = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM agent_spans "
    "WHERE started_at >= ? AND started_at <= ? LIMIT ?)"
)
MOST_BY_START: Final = 20_000
"""So many spans of a time range are read faster one by one than all spans of an agent."""
_EVER: Final = 2**63 - 1

_ACCOUNTS: Final = "SELECT id FROM accounts LIMIT 2"

_FORGET_SPANS: Final = (
    "DELETE FROM agent_spans WHERE rowid IN "
    "(SELECT rowid FROM agent_spans WHERE id < ? ORDER BY id LIMIT ?)"
)


class SqliteTransaction(Transaction):
    """A transaction of the SQLite store; a writing one has the file to itself."""

    dialect = "sqlite"

    def __init__(
        self, connection: sqlite3.Connection, *, most_by_start: int = MOST_BY_START
    ) -> None:
        """Use *connection*, on which a transaction was begun.

        Args:
            connection: The connection.
            most_by_start: Most spans of a time range that are found by the index on their start.
        """
        self._connection = connection
        self._most_by_start = most_by_start

    @override
    def spans(self, account_id: str | None, span_ids: Collection[str]) -> dict[str, SpanRow]:
        values = (_texts(span_ids), account_id, account_id)
        return {row.id: row for row in self._all(SpanRow, _SPANS_OF_IDS, values)}

    @override
    def keys(self, account_id: str, operation: str, keys: Collection[str]) -> dict[str, KeyRow]:
        values = (_texts(keys), account_id, operation)
        return {row.key: row for row in self._all(KeyRow, _KEYS_OF_TEXTS, values)}

    @override
    def list_instances(
        self, account_id: str | None, equal: Mapping[str, str], page: Page
    ) -> Listed[InstanceRow]:
        # Those of the only account are all that exist, which SQLite counts without a condition.
        if not equal and account_id is not None and self._is_alone(account_id):
            account_id = None
        return super().list_instances(account_id, equal, page)

    def _is_alone(self, account_id: str) -> bool:
        return list(self._rows(_ACCOUNTS)) == [(account_id,)]

    @override
    def hold(self, instance_ids: Collection[str], span_ids: Collection[str]) -> bool:
        # A writing transaction has the file to itself; the spans may exist.
        del instance_ids, span_ids
        return True

    @override
    def add(self, row: Row) -> None:
        self._run(statements.INSERT[type(row)], values_of(row))

    @override
    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        self._connection.executemany(statements.INSERT[KeyRow], map(values_of, rows))

    @override
    def add_spans(self, rows: Sequence[SpanRow]) -> None:
        self._connection.executemany(_INSERT_SPAN, map(values_of, rows))

    @override
    def change_spans(self, rows: Sequence[SpanRow]) -> None:
        values = [(*mutable(row), row.agent_instance_id, row.id) for row in rows]
        self._connection.executemany(statements.UPDATE_SPAN, values)

    @override
    def _source(self, wanted: SpanFilter, *, joined: bool) -> str:
        # SQLite keeps no statistics that say whether a time range holds few spans.
        if not self._few_in_time(wanted):
            return super()._source(wanted, joined=joined)
        return statements.SPANS_BY_START_AND_THEIRS if joined else statements.SPANS_BY_START

    def _few_in_time(self, wanted: SpanFilter) -> bool:
        begins, ends = wanted.started_from_us, wanted.started_to_us
        if begins is ends is None or wanted.agent_instance_id is not None:
            return False
        if wanted.agent_id is None:
            return True
        since = -_EVER if begins is None else begins
        values = (since, _EVER if ends is None else ends, self._most_by_start)
        ((count,),) = self._rows(_OF_THE_TIMES, values)
        return int(count) < self._most_by_start

    @override
    def _page_of_spans(self, passing: str, wanted: SpanFilter, page: Page, columns: str) -> str:
        # Of many runs, order the row ids first, and then read the rows of the page.
        if wanted.agent_instance_id is not None:
            return super()._page_of_spans(passing, wanted, page, columns)
        ordered = page.order(SpanRow, "s.")
        return (
            f"SELECT {columns} FROM "  # noqa: S608 - fixed names
            f"(SELECT s.rowid AS place {passing} {ordered} LIMIT ? OFFSET ?) AS p "
            f"CROSS JOIN agent_spans AS s ON s.rowid = p.place {ordered}"
        )

    @override
    def forget_spans(self, first_id: str, most: int) -> int:
        return self._run(_FORGET_SPANS, (first_id, most))

    @override
    def _rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        return self._connection.execute(sql, values)

    @override
    def _run(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(sql, values).rowcount

    @override
    def _run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(sql, rows)

    @override
    def _among(self, column: str, texts: Collection[str]) -> tuple[str, Value]:
        return f"{column} IN (SELECT value FROM json_each(?))", _texts(texts)  # noqa: S608 - as above


class SqliteStore(Store):
    """A store in one SQLite file, or in memory for tests.

    All threads of a process share its connection, one at a time.
    """

    at_once = 1

    def __init__(
        self,
        path: Path | str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        most_by_start: int = MOST_BY_START,
    ) -> None:
        """Open the database at *path*, create it or upgrade its schema if need be.

        Args:
            path: A file in an existing folder, or `:memory:`.
            busy_timeout_s: How long to wait for other processes, in seconds.
            most_by_start: Most spans of a time range that are found by the index on their start.

        Raises:
            SettingsError: The path holds something else, a newer schema, or cannot be opened.
        """
        self.path = str(path)
        self._busy_timeout_s = busy_timeout_s
        self._most_by_start = most_by_start
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._finalizer: weakref.finalize[[], SqliteStore] | None = None
        _stores.add(self)
        with self._lock:
            self._open()

    @override
    @contextmanager
    def reading(self) -> Generator[Transaction]:
        with self._transaction("BEGIN") as transaction:
            yield transaction

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
    def retain(self, before_us: int) -> Removed:
        removed = forget(self, before_us)
        with self._lock, _unavailable(self.path):
            # Only this writes the deletions from the log into the file.
            (self._connection or self._open()).execute("PRAGMA wal_checkpoint(PASSIVE)")
        return removed

    @override
    def is_current(self) -> bool:
        with self._lock, _unavailable(self.path):
            connection = self._connection or self._open()
            return _schema_version(connection) == migrations("sqlite")[-1].number

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
            try:
                yield SqliteTransaction(connection, most_by_start=self._most_by_start)
                connection.execute("COMMIT")
            except BaseException:
                # After some faults (a full disk) SQLite has rolled back by itself.
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        try:
            connection = self._connect()
            _migrate(connection, self.path)
        except _CANNOT_OPEN as error:
            raise SettingsError(
                f"the database {self.path} cannot be opened: {error}. Name a file in a folder "
                "that exists and may be written to, either new or made by remit"
            ) from error
        self._connection = connection
        self._finalizer = weakref.finalize(self, connection.close)
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
            refuse_newer(_schema_version(connection), migrations("sqlite")[-1].number, self.path)
            _prepare(connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except (sqlite3.Error, SettingsError):
            connection.close()
            raise
        return connection

    def _hold(self) -> bool:
        """Lock the connection while the process forks; return whether that succeeded."""
        return self._lock.acquire(timeout=FORK_WAIT_S)

    def _release(self) -> None:
        self._lock.release()

    def _forget_parent(self) -> None:
        """In a forked child: leave the parent's connection alone, it must not be closed here."""
        self._lock = threading.Lock()
        if self._finalizer is not None:
            self._finalizer.detach()
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None


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
        newest = migrations("sqlite")[-1].number
        refuse_newer(version, newest, self.path)
        refuse_older(version, newest, self.path)

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


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema up to date, under the write lock; refuse a newer one."""
    steps = migrations("sqlite")
    newest = steps[-1].number
    marked = sqlite.mark_of(connection) == sqlite.COLLECTOR.application_id
    if marked and _schema_version(connection) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _schema_version(connection)
        refuse_newer(version, newest, path)
        connection.create_function("remit_subject_hash", 1, subject_hash, deterministic=True)
        connection.create_function("remit_content_hash", 2, content_hash, deterministic=True)
        for step in steps[version:]:
            for statement in step.statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {newest}")
        connection.execute(_MARK)
    except BaseException:
        connection.execute("ROLLBACK")
        connection.close()
        raise
    connection.execute("COMMIT")


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
        raise StoreUnavailableError(f"{path}: {message}") from error
    except sqlite3.DatabaseError as error:
        # The other kinds are mistakes in statements; these two have no class of their own.
        if error.sqlite_errorcode not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
        raise StoreUnavailableError(f"{path}: {error}: put a copy in its place") from error


_stores: Final[weakref.WeakSet[SqliteStore]] = weakref.WeakSet()
_held: Final[list[SqliteStore]] = []
_inherited: Final[list[sqlite3.Connection]] = []


def _before_fork() -> None:
    _held.extend(store for store in list(_stores) if store._hold())  # noqa: SLF001 - this module's own


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop()._release()  # noqa: SLF001 - this module's own


def _after_fork_in_child() -> None:
    _held.clear()
    for store in list(_stores):
        store._forget_parent()  # noqa: SLF001 - this module's own


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
