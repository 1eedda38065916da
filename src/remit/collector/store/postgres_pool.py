"""Shared by the threads of a process: connections to PostgreSQL, and references for new runs.

A pool opens its connections at its first use in a process. References are taken from the database
some at a time: a transaction knows the reference of a run before it inserts the run, which it does
last.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Final, Self, TypeAlias

import psycopg
from psycopg import Cursor
from psycopg_pool import ConnectionPool, PoolTimeout
from typing_extensions import override

from remit._base.system import at_fork, is_readable
from remit.collector.store.base import StoreUnavailableError

Results: TypeAlias = "Cursor[tuple[Any, ...]]"

AT_ONCE: Final = 32
"""The number of references that are taken at once."""
_TAKE: Final = f"SELECT nextval('runs_ref_seq') FROM generate_series(1, {AT_ONCE})".encode()
_CLOSE_S: Final = 1.0
# While attempts to connect fail, requests do not keep their threads waiting.
_FAILING_S: Final = 0.2

# The pool logs each attempt to connect; the collector logs the beginning and the end of an outage.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection of a pool, which itself does not report why it has none.

    Attributes:
        failure: Why the last attempt of this process to connect failed, if it did.
    """

    failure: ClassVar[str] = ""

    @classmethod
    @override
    def connect(cls, *args: Any, **options: Any) -> Self:
        try:
            connection = super().connect(*args, **options)
        except psycopg.Error as error:
            Connection.failure = str(error)
            raise
        Connection.failure = ""
        return connection


class Pool:
    """Up to *size* connections with the same settings, for the threads of one process."""

    def __init__(
        self,
        path: str,
        options: Mapping[str, Any],
        settings: Mapping[str, str],
        *,
        size: int,
        timeout_s: float,
    ) -> None:
        """Open no connection yet."""
        self._path = path
        self._options = dict(options)
        self._settings = "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())
        self._size = size
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._finalizer: weakref.finalize[[float], Pool] | None = None
        _pools.add(self)

    @contextmanager
    def connection(self) -> Generator[Connection]:
        """Return a block with a connection.

        Raises:
            StoreUnavailableError: None became free in time.
        """
        pool = self._open()
        try:
            connection = pool.getconn(_FAILING_S if Connection.failure else None)
            if is_readable(connection.fileno()):
                # The server closed it while it was idle, and probably the other ones too.
                pool.drain()
                pool.putconn(connection)
                connection = pool.getconn()
        except PoolTimeout as error:
            reason = Connection.failure or f"all {self._size} connections are in use"
            raise StoreUnavailableError(f"{self._path}: {error}: {reason}") from error
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def close(self) -> None:
        """Close the connections; a later use opens new ones."""
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()
            self._pool, self._finalizer = None, None

    def _open(self) -> ConnectionPool[Connection]:
        """Return the pool, opened at the first use in this process: it starts threads."""
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    kwargs=self._options,
                    connection_class=Connection,
                    configure=partial(_configure, self._settings.encode()),
                    min_size=0,
                    max_size=self._size,
                    timeout=self._timeout_s,
                    # Time for retries, after 1 s, 2 s; the next use starts over.
                    reconnect_timeout=self._timeout_s,
                    open=True,
                )
                self._finalizer = weakref.finalize(self, self._pool.close, _CLOSE_S)
            return self._pool

    def leave(self) -> None:
        """In a forked child: leave the pool alone, which would close the parent's connections."""
        self._lock = threading.Lock()
        if self._finalizer is not None:
            self._finalizer.detach()
            _inherited.append(self._pool)
        self._pool, self._finalizer = None, None


def _configure(settings: bytes, connection: Connection) -> None:
    connection.execute(settings)


_pools: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()
_inherited: Final[list[object]] = []


def _after_fork_in_child() -> None:
    for pool in list(_pools):
        pool.leave()


at_fork(after_in_child=_after_fork_in_child)


class RunReferences:
    """References for new runs; the rest is never used when the process ends.

    Threads share them without a lock, which a fork could leave locked.
    """

    def __init__(self) -> None:
        """Have none yet."""
        self._process = os.getpid()
        self._free: deque[int] = deque()

    def next(self, cursor: Results) -> int:
        """Return a reference; *cursor* takes more from the database if needed."""
        if self._process != os.getpid():
            # A forked child has those of its parent.
            self._process, self._free = os.getpid(), deque()
        try:
            return self._free.popleft()
        except IndexError:
            first, *more = (int(ref) for (ref,) in cursor.execute(_TAKE).fetchall())
            self._free.extend(more)
            return first
