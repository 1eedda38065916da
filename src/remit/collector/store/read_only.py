"""A store that is only read, for the API of a database that a command looks into."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import NoReturn, TypeVar

from typing_extensions import override

from remit.collector.errors import RequestError
from remit.collector.store.base import Reader, Store
from remit.collector.store.transaction import Transaction

T = TypeVar("T")


class ReadOnlyStore(Store):
    """A database that can be read and rejects every write."""

    writes_at_once = 1
    reads_at_once = 1

    def __init__(self, reader: Reader) -> None:
        """Read *reader*."""
        self.path = reader.path
        self._reader = reader

    @override
    def reading(self) -> AbstractContextManager[Transaction]:
        return self._reader.reading()

    @override
    def look(self, question: Callable[[Transaction], T]) -> T:
        with self.reading() as tx:
            return question(tx)

    @override
    def is_current(self) -> bool:
        return True

    @override
    def close(self) -> None:
        self._reader.close()

    def _reject(self, *_: object, **__: object) -> NoReturn:
        raise RequestError(
            HTTPStatus.CONFLICT,
            "read_only",
            f"the database {self.path} was opened to be read only: nothing was written",
        )

    writing = retain = note_erasure = leads = maintain = scrub = _reject
