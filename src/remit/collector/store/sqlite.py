"""The SQLite store: one file, any number of processes, each with one connection that writes.

Write-ahead log, a busy timeout, and `BEGIN IMMEDIATE` for everything that writes, so that two
writers wait for each other rather than fail.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from typing_extensions import override

from remit._base import sqlite
from remit._base.clock import Clock, SystemClock
from remit._base.files import make_private_file
from remit._base.system import at_fork
from remit.collector.store.base import Readable, Store, StoreUnavailableError
from remit.collector.store.execution import References
from remit.collector.store.filters import Removed
from remit.collector.store.retention import forget
from remit.collector.store.sqlite_readers import (
    FORK_WAIT_S,
    READ_LIMIT_S,
    READERS,
    Readers,
    unavailable,
)
from remit.collector.store.sqlite_rows import SqliteTransaction
from remit.collector.store.transaction import Transaction
from remit.collector.store.version import VERSION, check_version
from remit.collector.store.version import statements as schema
from remit.errors import SettingsError

T = TypeVar("T")

MEMORY: Final = ":memory:"
BUSY_TIMEOUT_S: Final = 10.0
CACHE_KIB: Final = 64 * 1024
"""Pages in memory of the connection that writes, for a server."""
SCRUB_S: Final = 60.0
"""How long `scrub` waits for other processes, to empty the log."""
TRUNCATE_S: Final = 0.1
"""How long `maintain` keeps writers waiting, after an erasure, for readers of the log."""
MAINTAINED_PAGES: Final = 16_000
"""Pages in the log from which a commit writes them into the file itself, besides `maintain`."""
# SQLite does not wait for the lock that the change to a write-ahead log takes.
_WAL_TRIES: Final = 200
_WAL_PAUSE_S: Final = 0.02
_MARK: Final = f"PRAGMA application_id = {sqlite.COLLECTOR}"
_CANNOT_OPEN: Final = (sqlite3.Error, OSError, sqlite.ForeignError)
_PRAGMAS: Final = (
    # A killed process loses nothing; a power cut may lose the last commits, never the file.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
    # Deleted data is overwritten, however SQLite was built.
    "PRAGMA secure_delete = ON",
)


class SqliteStore(Store):
    """A store in one SQLite file, or in memory for tests.

    All threads of a process share the connection that writes, one at a time. Transactions that only
    read have connections of their own, so that none waits for a writer, and no writer for one.
    """

    writes_at_once = 1
    reads_at_once = READERS

    def __init__(
        self,
        path: Path | str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        read_limit_s: float = READ_LIMIT_S,
        cache_kib: int = CACHE_KIB,
        clock: Clock | None = None,
    ) -> None:
        """Open the database at *path*, or create it.

        Args:
            path: A file in an existing directory, or `:memory:`.

        Raises:
            SettingsError: The path holds something else, another schema, or cannot be opened.
        """
        self.path = str(path)
        self._busy_timeout_s = busy_timeout_s
        self._cache_kib = cache_kib
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._maintained = False
        self._erased = False
        self._finalizer: (
            weakref.finalize[[sqlite3.Connection, Readers | None], SqliteStore] | None
        ) = None
        self._readers = None if self.path == MEMORY else Readers(Path(path), read_limit_s)
        self._references = References()
        self._clock = clock or SystemClock()
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
            readers = self._readers
        with readers.block() as connection:
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
    def note_erasure(self) -> None:
        self._erased = True

    @override
    def leads(self) -> bool:
        # One process serves a file.
        return True

    @override
    def maintain(self) -> None:
        if self.path == MEMORY:
            return
        with unavailable(self.path):
            with self._lock:
                connection = self._connection or self._open()
                if not self._maintained:
                    connection.execute(f"PRAGMA wal_autocheckpoint = {MAINTAINED_PAGES}")
                    self._maintained = True
            # On another connection, so that writers and readers go on meanwhile.
            with closing(sqlite.open_file(Path(self.path), "rw", TRUNCATE_S)) as checkpointer:
                if not self._erased:
                    checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    return
                # The pages themselves were overwritten (`secure_delete`); the log has older ones.
                self._erased, busy = False, True
                try:
                    (busy, *_) = checkpointer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    self._erased = self._erased or bool(busy)

    @override
    def is_current(self) -> bool:
        with self._lock, unavailable(self.path):
            connection = self._connection or self._open()
            return sqlite.user_version(connection) == VERSION

    @override
    def scrub(self) -> None:
        with self._lock, unavailable(self.path):
            connection = self._connection or self._open()
            # VACUUM writes the whole file to the log. With a page there, what would keep the log
            # from being emptied afterwards does so before.
            connection.execute(_MARK)
            if not _empty_log(connection, 0):
                raise StoreUnavailableError(
                    f"{self.path}: another process reads an older state of it, so nothing was "
                    "changed: try again when it has ended"
                )
            connection.execute("VACUUM")
            if not _empty_log(connection, SCRUB_S):
                raise StoreUnavailableError(
                    f"{self.path}: another process reads an older state of it, so the space is "
                    "not free yet: try again when it has ended"
                )

    @override
    def close(self) -> None:
        with self._lock:
            self._connection = None
            if self._finalizer is not None:
                self._finalizer()
            self._renew_readers()

    @contextmanager
    def _transaction(self, begin: str) -> Generator[SqliteTransaction]:
        with self._lock, unavailable(self.path):
            connection = self._connection or self._open()
            connection.execute(begin)
            transaction = SqliteTransaction(connection, self._references, self._clock)
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
        except _CANNOT_OPEN as error:
            raise SettingsError(
                f"the database {self.path} cannot be opened: {error}. Use a new file in a "
                "directory that exists and is writable, or a database that remit created"
            ) from error
        self._connection, self._maintained = connection, False
        self._finalizer = weakref.finalize(self, _close, connection, self._readers)
        # Not at exit: a later exit hook may still deliver items.
        self._finalizer.atexit = False
        return connection

    def _connect(self) -> sqlite3.Connection:
        if self.path != MEMORY and not make_private_file(Path(self.path)):
            sqlite.check_ours(Path(self.path), sqlite.COLLECTOR)
        # Not by `sqlite3.connect`, which tracers wrap: they would trace remit.
        connection = sqlite3.Connection(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _check_version(connection, self.path)
            _prepare(connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            connection.execute(f"PRAGMA cache_size = -{self._cache_kib}")
            _create(connection, self.path)
        except BaseException:
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
        self._renew_readers()

    def _renew_readers(self) -> None:
        if self._readers is not None:
            self._readers = self._readers.without_connections()


class _Held(NamedTuple):
    store: SqliteStore
    locked: bool
    readers: list[sqlite3.Connection | None]


class ReadOnlySqlite(Readable):
    """A file that is only read: neither the file nor its directory is changed."""

    def __init__(self, path: Path) -> None:
        """Check the database at *path*.

        Raises:
            SettingsError: The path holds something else, another version of the schema, or cannot
                be read.
        """
        self.path = str(path)
        try:
            version = sqlite.schema_version(path)
        except _CANNOT_OPEN as error:
            raise SettingsError(
                f"the database {self.path} cannot be read: {error}. Use a database that remit "
                "created"
            ) from error
        check_version(version, self.path)

    @override
    @contextmanager
    def reading(self) -> Generator[Transaction]:
        try:
            with unavailable(self.path), sqlite.reading(Path(self.path)) as connection:
                connection.execute("BEGIN")
                yield SqliteTransaction(connection)
        except sqlite.ChangedError as error:
            message = f"{self.path} was written to while it was read"
            raise StoreUnavailableError(message) from error

    @override
    def close(self) -> None:
        """Do nothing: each block opens the file and closes it."""


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


def _empty_log(connection: sqlite3.Connection, wait_s: float) -> bool:
    """Write the log into the file and truncate it; return whether other processes allow it.

    Args:
        connection: A connection that waits for readers and writers, as its busy timeout says.
        wait_s: How long to try again: a process that writes all the time may be faster.
    """
    until = time.monotonic() + wait_s
    while True:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy or time.monotonic() >= until:
            return not busy
        threading.Event().wait(TRUNCATE_S)


def _create(connection: sqlite3.Connection, path: str) -> None:
    """Create the tables in an empty file, under the write lock; reject another version of them."""
    is_ours = sqlite.application_id(connection) == sqlite.COLLECTOR
    if is_ours and sqlite.user_version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it meanwhile.
        if sqlite.user_version(connection) != VERSION:
            _check_version(connection, path)
            for statement in schema("sqlite"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(_MARK)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _check_version(connection: sqlite3.Connection, path: str) -> None:
    """Reject a file with another version of the schema; an empty one has none."""
    if version := sqlite.user_version(connection):
        check_version(version, path)


def _close(connection: sqlite3.Connection, readers: Readers | None) -> None:
    # The last one writes the log into the file, which a reader cannot.
    if readers is not None:
        readers.close()
    connection.close()


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


at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
