"""The interface of a database, its errors, and the repetition of a transaction after a conflict.

A store reads and writes rows; the rules about them are in `remit.collector.domain`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

from remit.collector.store.filters import Removed
from remit.collector.store.transaction import Transaction

T = TypeVar("T")

WRITE_TRIES: Final = 4
"""How often a transaction is tried that meets conflicts."""


class StoreUnavailableError(Exception):
    """The database is locked, full or gone; the same may work later.

    Attributes:
        partly: Whether only a part of the database may be away: other writes may succeed.
    """

    def __init__(self, message: str = "", *, partly: bool = False) -> None:
        """Set the message."""
        super().__init__(message)
        self.partly = partly


class TooSlowError(StoreUnavailableError):
    """A query took longer than the database allows; the database is available."""


class ConflictError(StoreUnavailableError):
    """A concurrent transaction wrote first; a repetition reads the result."""


class Readable(Protocol):
    """A database that is only read."""

    path: str

    def reading(self) -> AbstractContextManager[Transaction]:
        """Return a block that sees one state of the database.

        Raises:
            StoreUnavailableError: The database is locked or gone.
        """
        ...

    def close(self) -> None:
        """Close the database; a later use opens it again."""
        ...


class Store(Readable, Protocol):
    """A database. All methods can be called from any thread.

    Attributes:
        writes_at_once: Number of write transactions that one process can have open at the same
            time. Further transactions wait.
    """

    writes_at_once: int
    reads_at_once: int

    def look(self, question: Callable[[Transaction], T]) -> T:
        """Return what *question* returns, which runs one query.

        A single query needs no transaction, which saves two of three round trips.

        Raises:
            StoreUnavailableError: The database is locked or gone.
        """
        ...

    def writing(self) -> AbstractContextManager[Transaction]:
        """Return a block whose writes are committed together when it ends, or not at all.

        Raises:
            ConflictError: A concurrent transaction wrote first.
            StoreUnavailableError: The database is locked, full or gone.
        """
        ...

    def retain(
        self,
        before_us: int | None,
        payloads_before_us: int | None = None,
        *,
        pause: Callable[[], bool] | None = None,
    ) -> Removed:
        """Delete old spans and runs, with their idempotency keys.

        The time in a span's or run's id determines its age. A run is kept as long as at least one
        of its spans is kept. The deletion uses many small transactions, so that other transactions
        can run in between.

        Args:
            before_us: Delete spans and runs that are older than this time, in microseconds since
                1970. With None, spans and runs are not deleted.
            payloads_before_us: Delete only the payloads of spans that are older than this time.
            pause: A function that is called after each transaction and returns whether to continue.

        Raises:
            StoreUnavailableError: If the database is temporarily unavailable. The call can be
                repeated.
        """
        ...

    def note_erasure(self) -> None:
        """Let the next `maintain` make erased data unreadable, during other transactions.

        In SQLite, the data is removed from the file and its log; in PostgreSQL, its space is
        reused.
        """
        ...

    def leads(self) -> bool:
        """Return whether this process does the retention.

        Several processes may serve a database. One of them leads until it ends.

        Raises:
            StoreUnavailableError: If the database is temporarily unavailable.
        """
        ...

    def maintain(self) -> None:
        """Perform regular maintenance. A server calls this every second on a separate thread.

        Raises:
            StoreUnavailableError: If the database is temporarily unavailable.
        """
        ...

    def is_current(self) -> bool:
        """Return whether the database has the schema version of this remit.

        Raises:
            StoreUnavailableError: The database cannot be read now.
        """
        ...

    def scrub(self) -> None:
        """Make erased data unrecoverable from the database's own files.

        Raises:
            StoreUnavailableError: If another process is using the database. The call can be
                repeated.
        """
        ...


def write(store: Store, work: Callable[[Transaction], T]) -> T:
    """Return what *work* returns in a writing block, which is repeated after a conflict.

    Args:
        work: Reads, decides and writes; it has no effects outside the database.

    Raises:
        StoreUnavailableError: The database is locked, full or gone.
    """
    for _ in range(WRITE_TRIES - 1):
        try:
            with store.writing() as tx:
                return work(tx)
        except ConflictError:
            continue
    with store.writing() as tx:
        return work(tx)
