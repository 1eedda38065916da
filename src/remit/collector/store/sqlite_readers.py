"""Connections to an SQLite file that only read, and the faults of SQLite."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Final

from remit._base import sqlite
from remit.collector.store.base import StoreUnavailableError, TooSlowError

READERS: Final = 2
READ_LIMIT_S: Final = 2.0
# A fork waits this long for a statement to end: a child could hang on a mutex of SQLite otherwise.
FORK_WAIT_S: Final = 1.0
_STEPS: Final = 10_000
"""Steps of SQLite between two looks at the time, about a tenth of a millisecond."""


class Readers:
    """Connections that only read one file, each for one thread at a time."""

    def __init__(self, path: Path, limit_s: float, count: int = READERS) -> None:
        """Open none yet."""
        self._path = path
        self._limit_s = limit_s
        self._free: LifoQueue[sqlite3.Connection | None] = LifoQueue()
        for _ in range(count):
            self._free.put(None)
        self._count = count
        self._closed = False

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
            with unavailable(str(self._path)):
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
            if self._closed and connection is not None:
                connection.close()
                connection = None
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

    def without_connections(self) -> Readers:
        """Return the same without the connections."""
        return Readers(self._path, self._limit_s, self._count)

    def close(self) -> None:
        """Close the connections; one that is in use closes at the end of its block."""
        self._closed = True
        held = self.hold()
        for connection in held:
            if connection is not None:
                connection.close()
        self.release([None] * len(held))


@contextmanager
def unavailable(path: str) -> Generator[None]:
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
