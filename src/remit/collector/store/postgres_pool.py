"""A few connections to PostgreSQL, made when they are needed, thrown away when they broke.

No thread of its own: who asks waits on his.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import psycopg
from psycopg import conninfo, errors

from remit._base.clock import Deadline, SystemClock
from remit.collector.store.postgres_connection import (
    ANSWER_S,
    BEGIN_S,
    LOOK_S,
    BoundedConnection,
    SilentError,
)

T = TypeVar("T")

MAX_CONNECTIONS: Final = 4
CONNECT_TIMEOUT_S: Final = 5
SILENCE_S: Final = 5.0
"""A server that did not answer is not asked again for so long: each question keeps a thread, and
all who ask are to be told soon."""
# Releases the locks of a process that was suspended during a transaction.
_IDLE_S: Final = 30.0
_DEFAULTS: Final = {
    "application_name": "remit",
    "connect_timeout": CONNECT_TIMEOUT_S,
    # A network that swallows everything is noticed after so long, in milliseconds.
    "tcp_user_timeout": 15_000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Timeouts of the store, in seconds.

    Attributes:
        connection_s: Until a thread that serves a request gets a connection of the pool.
        lock_s: Until a statement gets a lock.
        statement_s: Until a statement ends.
    """

    connection_s: float = 5.0
    lock_s: float = 5.0
    statement_s: float = 30.0


class Pool:
    """Connections to one database."""

    def __init__(self, url: str, waits: Waits | None = None) -> None:
        """Connect to *url* when the first one is needed.

        Args:
            url: The database.
            waits: The timeouts.

        Raises:
            psycopg.ProgrammingError: It cannot be read.
        """
        given = conninfo.conninfo_to_dict(url)
        self._options: dict[str, Any] = {**_DEFAULTS, **given, "client_encoding": "UTF8"}
        self._waits = waits or Waits()
        self._silent = Deadline.after(0, SystemClock())
        self._start()
        _pools.add(self)

    @contextmanager
    def connection(self, begin: str, *, patient: bool = False) -> Generator[BoundedConnection]:
        """Return a block with a connection on which the statement *begin* was carried out.

        Args:
            begin: The statement.
            patient: Whether those in the block may take as long as they like.

        Raises:
            psycopg.OperationalError: There is none to be had.
        """
        pid = os.getpid()
        with self._admitted():
            with self._heard():
                connection, _ = self._first(lambda each: each.execute(begin.encode()))
            connection.answer_within_s = None if patient else ANSWER_S
            try:
                with self._heard():
                    yield connection
            finally:
                if pid == os.getpid():
                    self._take_back(connection)

    def ask(self, question: Callable[[BoundedConnection], T]) -> T:
        """Return what *question* returns, which is one statement outside any transaction.

        It is called again where a connection died that lay idle.

        Raises:
            psycopg.OperationalError: There is none to be had.
        """
        with self._admitted(), self._heard():
            connection, found = self._first(question, within_s=LOOK_S)
            self._take_back(connection)
            return found

    def close(self) -> None:
        """Close the connections that nobody uses."""
        _close(self._idle)

    @contextmanager
    def _admitted(self) -> Generator[None]:
        """Wait for room for one more connection."""
        room = self._room
        if not room.acquire(timeout=self._waits.connection_s):
            raise psycopg.OperationalError(f"all {MAX_CONNECTIONS} connections are in use")
        try:
            yield
        finally:
            room.release()

    @contextmanager
    def _heard(self) -> Generator[None]:
        """Note a server that does not answer, and do not ask it again at once."""
        if not self._silent.passed:
            raise SilentError("it did not answer, and is asked again in a few seconds")
        try:
            yield
        except (SilentError, errors.ConnectionTimeout):
            self._silent = Deadline.after(SILENCE_S, SystemClock())
            self.close()
            raise

    def _first(
        self, ask: Callable[[BoundedConnection], T], *, within_s: float = BEGIN_S
    ) -> tuple[BoundedConnection, T]:
        """Return a connection, and what it was asked first."""
        while True:
            try:
                connection, used = self._idle.pop(), True
            except IndexError:
                connection, used = self._connect(), False
            try:
                connection.answer_within_s = within_s
                return connection, ask(connection)
            except SilentError:
                raise
            except (errors.LockNotAvailable, errors.QueryCanceled):
                self._take_back(connection)
                raise
            except psycopg.OperationalError:
                connection.close()
                # One that lay idle may have died meanwhile; a new one has no excuse.
                if not used:
                    raise
            except BaseException:
                connection.close()
                raise

    def _connect(self) -> BoundedConnection:
        connection = BoundedConnection.connect(**self._options, autocommit=True)
        limits = {
            "lock_timeout": self._waits.lock_s,
            "statement_timeout": self._waits.statement_s,
            "idle_in_transaction_session_timeout": _IDLE_S,
        }
        try:
            for name, seconds in limits.items():
                connection.execute(f"SET {name} = '{seconds * 1000:.0f}ms'".encode())
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_back(self, connection: BoundedConnection) -> None:
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _start(self) -> None:
        self._idle: list[BoundedConnection] = []
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._finalizer = weakref.finalize(self, _close, self._idle)

    def _forget_parent(self) -> None:
        """In a forked child: leave the parent's connections alone, closing would end them."""
        self._finalizer.detach()
        _inherited.append(self._idle)
        self._start()


def _close(idle: list[BoundedConnection]) -> None:
    while idle:
        idle.pop().close()


_pools: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()
_inherited: Final[list[list[BoundedConnection]]] = []


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool._forget_parent()  # noqa: SLF001 - this module's own


os.register_at_fork(after_in_child=_after_fork_in_child)
