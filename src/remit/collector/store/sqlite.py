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

from remit.collector.store.migrate import migrations
from remit.collector.store.protocol import Reading, StoreUnavailableError, Writing
from remit.collector.store.questions import Removed
from remit.collector.store.retention import forget
from remit.collector.store.rows import content_hash
from remit.collector.store.sqlite_rows import SqliteTransaction
from remit.collector.store.subjects import subject_hash
from remit.errors import SettingsError

T = TypeVar("T")

MEMORY: Final = ":memory:"
BUSY_TIMEOUT_S: Final = 10.0
# A fork waits this long for a statement to end: a child can hang on a mutex of SQLite's otherwise.
FORK_WAIT_S: Final = 1.0
# The lock that the change to a write-ahead log takes is one for which SQLite itself never waits.
_PRIVATE: Final = 0o600
_WAL_TRIES: Final = 200
_WAL_PAUSE_S: Final = 0.02
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

    def __init__(self, path: Path | str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Open the database at *path*, made and brought up to date if need be.

        Args:
            path: The file, or `:memory:`.
            busy_timeout_s: How long to wait for other processes, in seconds.

        Raises:
            SettingsError: The path holds something else, a newer schema, or cannot be opened.
        """
        self.path = str(path)
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._finalizer: weakref.finalize[[], SqliteStore] | None = None
        _stores.add(self)
        with self._lock:
            self._open()

    @contextmanager
    def reading(self) -> Generator[Reading]:
        """Return a block that sees one state of the database."""
        with self._transaction("BEGIN") as transaction:
            yield transaction

    def look(self, question: Callable[[Reading], T]) -> T:
        """Return what *question* returns, which asks one thing."""
        with self.reading() as tx:
            return question(tx)

    @contextmanager
    def writing(self) -> Generator[Writing]:
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

    def copy_to(self, target: Path) -> None:
        """Write one state of the file to *target*, for its owner only; others go on meanwhile.

        Raises:
            OSError: There is something at *target*, or it cannot be made.
        """
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE))
        try:
            with closing(sqlite3.Connection(target)) as copy, self._lock, _unavailable(self.path):
                (self._connection or self._open()).backup(copy)
                # A file of its own, that needs no log beside it to be read.
                copy.execute("PRAGMA journal_mode = DELETE")
        except BaseException:
            target.unlink()
            raise

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
                yield SqliteTransaction(connection)
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
        except (sqlite3.Error, OSError) as error:
            raise SettingsError(
                f"the database {self.path} cannot be opened: {error}. Name a file in a folder "
                "that may be written to, either new or made by remit"
            ) from error
        self._connection = connection
        self._finalizer = weakref.finalize(self, connection.close)
        # Not at exit: what is left is delivered then, by a hook that may run later than this one.
        self._finalizer.atexit = False
        return connection

    def _connect(self) -> sqlite3.Connection:
        if self.path != MEMORY:
            _make_private_file(Path(self.path))
        # Not by `sqlite3.connect`: tracers wrap it, and would trace the tracing.
        connection = sqlite3.Connection(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _use_write_ahead_log(connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error:
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


def _make_private_file(path: Path) -> None:
    """Create the file for its owner only: payloads are nobody else's business."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE))


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    pause = threading.Event()
    for attempt in range(_WAL_TRIES):
        try:
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
    if _schema_version(connection) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _schema_version(connection)
        _refuse_newer(version, newest, path)
        connection.create_function("remit_subject_hash", 1, subject_hash, deterministic=True)
        connection.create_function("remit_content_hash", 2, content_hash, deterministic=True)
        for step in steps[version:]:
            for statement in step.statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {newest}")
    except BaseException:
        connection.execute("ROLLBACK")
        connection.close()
        raise
    connection.execute("COMMIT")


def _refuse_newer(version: int, newest: int, path: str) -> None:
    if version > newest:
        raise SettingsError(
            f"the database {path} has schema version {version}, this remit knows up to "
            f"{newest}: upgrade remit, or name another file"
        )


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
