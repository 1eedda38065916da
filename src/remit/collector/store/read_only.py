"""A store that is only read, for the API of a database that a command looks into."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import NoReturn, TypeVar

from typing_extensions import override

from remit.collector.errors import RequestError
from remit.collector.store.base import Readable, Store
from remit.collector.store.transaction import Transaction

T = TypeVar("T")


class ReadOnlyStore(Store):
    """A database that can be read and rejects every write."""

    writes_at_once = 1
    reads_at_once = 1

    def __init__(self, store: Readable) -> None:
        """Read *store*."""
        self.path = store.path
        self._store = store

    @override
    def reading(self) -> AbstractContextManager[Transaction]:
        return self._store.reading()

    @override
    def look(self, question: Callable[[Transaction], T]) -> T:
        with self.reading() as tx:
            return question(tx)

    @override
    def is_current(self) -> bool:
        return True

    @override
    def close(self) -> None:
        self._store.close()

    def _reject(self, *_: object, **__: object) -> NoReturn:
        raise RequestError(
            HTTPStatus.CONFLICT,
            "read_only",
            f"the database {self.path} was opened read-only: nothing was written",
        )

    writing = retain = note_erasure = leads = maintain = scrub = _reject
