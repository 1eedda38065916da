"""The SQLite store: one file, one connection for each process, any number of processes.

Write-ahead log, a busy timeout, and `BEGIN IMMEDIATE` for everything that writes, so that two
writers wait for each other rather than fail.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from remit._base import sqlite
from remit._base.files import make_private_file
from remit.collector.store.base import StoreUnavailableError
from remit.collector.store.filters import Removed
from remit.collector.store.migrate import migrations, refuse_newer, refuse_older
from remit.collector.store.retention import forget
from remit.collector.store.rows import content_hash
from remit.collector.store.sqlite_rows import MOST_BY_START, SqliteTransaction
from remit.collector.store.subjects import subject_hash
from remit.collector.store.transaction import Transaction
from remit.errors import SettingsError

T = TypeVar("T")

MEMORY: Final = ":memory:"
BUSY_TIMEOUT_S: Final = 10.0
# A fork waits this long for a statement to end: a child can hang on a mutex of SQLite's otherwise.
FORK_WAIT_S: Final = 1.0
# The lock that the change to a write-ahead log takes is one for which SQLite itself never waits.
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


class SqliteStore:
    """A store in one SQLite file, or in memory for tests.

    Attributes:
        path: The file.
        at_once: One: all threads of a process share its connection.
    """

    at_once = 1

    def __init__(
        self,
        path: Path | str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        most_by_start: int = MOST_BY_START,
    ) -> None:
        """Open the database at *path*, made and brought up to date if need be; its folder exists.

        Args:
            path: The file, or `:memory:`.
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

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that sees one state of the database."""
        with self._transaction("BEGIN") as transaction:
            yield transaction

    def look(self, question: Callable[[Transaction], T]) -> T:
        """Return what *question* returns, which asks one thing."""
        with self.reading() as tx:
            return question(tx)

    @contextmanager
    def writing(self) -> Generator[Transaction]:
        """Return a block whose writes are kept together when it ends, or not at all."""
        with self._transaction("BEGIN IMMEDIATE") as transaction:
            yield transaction

    def retain(self, before_us: int) -> Removed:
        """Remove what is older than *before_us*; the room in the file is used again."""
        removed = forget(self, before_us)
        with self._lock, _unavailable(self.path):
            # Until then what was removed stands in the file, and only its log says that it is not.
            (self._connection or self._open()).execute("PRAGMA wal_checkpoint(PASSIVE)")
        return removed

    def is_current(self) -> bool:
        """Return whether the file has the schema that this remit knows."""
        with self._lock, _unavailable(self.path):
            connection = self._connection or self._open()
            return _schema_version(connection) == migrations("sqlite")[-1].number

    def scrub(self) -> None:
        """Write the file anew without what was removed from it, and empty its log."""
        with self._lock, _unavailable(self.path):
            connection = self._connection or self._open()
            connection.execute("VACUUM")
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreUnavailableError(f"{self.path}: somebody reads an older state of it")

    def close(self) -> None:
        """Close the file; a later use opens it again."""
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
        # Not at exit: what is left is delivered then, by a hook that may run later than this one.
        self._finalizer.atexit = False
        return connection

    def _connect(self) -> sqlite3.Connection:
        if self.path != MEMORY and not make_private_file(Path(self.path)):
            _check_ours(Path(self.path))
        # Not by `sqlite3.connect`: tracers wrap it, and would trace the tracing.
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
        """Keep other threads out while the process forks; return whether that worked."""
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


class SqliteReader:
    """A store that is only read: neither the file nor its folder is changed.

    Attributes:
        path: The file.
    """

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

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        """Return a block that sees one state of the database."""
        with self._block() as connection:
            yield SqliteTransaction(connection)

    def copy_to(self, target: Path) -> None:
        """Write one state of the file to *target*, for its owner only; others go on meanwhile.

        Raises:
            OSError: There is something at *target*, or it cannot be made.
        """
        with self._block() as connection:
            _copy(connection, target)

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
    """Mark a new file and have it keep a write-ahead log."""
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
    """Bring the schema up to date, under the write lock; refuse one from the future."""
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
    """Tell faults that pass (locked, full, unreadable, damaged) from mistakes in the statements."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # A text that is damaged is quoted there, and may be anybody's data.
        said = str(error).partition(" with text ")[0]
        raise StoreUnavailableError(f"{path}: {said}") from error
    except sqlite3.DatabaseError as error:
        # Its kinds are mistakes, all but these two, which have none of their own.
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
