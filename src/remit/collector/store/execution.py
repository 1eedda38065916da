"""The base of a transaction: how it sends statements, and the references that it keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import msgspec

from remit.collector.store import statements
from remit.collector.store.counts import Counts
from remit.collector.store.rows import (
    Row,
)
from remit.collector.store.statements import Value

R = TypeVar("R", bound=Row)
MAX_REFERENCES: Final = 10_000
"""Most references of each kind that are kept in memory."""

PlaceRefs: TypeAlias = tuple[int, int, int, int]


class References:
    """References of committed rows, by what they refer to; they never change.

    Attributes:
        places: Of a run's place: its own, that of its account, its agent and its environment.
        types: Of a span type, by agent, name and hash of its declaration.
    """

    __slots__ = ("places", "types")

    def __init__(self) -> None:
        """Know none."""
        self.places: dict[tuple[str, ...], PlaceRefs] = {}
        self.types: dict[tuple[int, str, str], int] = {}

    def add(self, other: References) -> None:
        """Take over what *other* knows."""
        if len(self.places) > MAX_REFERENCES:
            self.places.clear()
        if len(self.types) > MAX_REFERENCES:
            self.types.clear()
        self.places.update(other.places)
        self.types.update(other.types)


class Execution(ABC):
    """The statements of an open transaction.

    Attributes:
        counts: What is added to the counts at the end.
        references: References that this transaction has read or made.
    """

    dialect: ClassVar[str]
    """`sqlite` or `postgres`."""
    with_run: ClassVar[str]
    """The join of a span `s` with its run `r`."""

    def __init__(self, known: References) -> None:
        """Begin with the references in *known*."""
        self.counts = Counts()
        self.references = References()
        self._known = known

    @abstractmethod
    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        """Run a statement; return its rows."""

    @abstractmethod
    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; return the number of rows that it changed."""

    @abstractmethod
    def run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once for each row of values."""

    @abstractmethod
    def among(self, column: str, texts: Collection[str]) -> tuple[str, tuple[Value, ...]]:
        """Return the condition that *column* is one of *texts*, and its values."""

    @abstractmethod
    def among_ids(self, column: str, ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        """Return the condition that *column* is one of *ids*, and its values."""

    def _kept(self, kind: type[Row]) -> str:
        """Return the lock clause of a select of *kind*, so that the rows it reads stay."""
        del kind
        return ""

    def _removable(self) -> str:
        """Return the lock clause of a select whose row is removed afterwards."""
        return ""

    def _all(self, kind: type[R], sql: str, values: Sequence[Value] = ()) -> list[R]:
        return [kind(*row) for row in self.rows(sql, values)]

    def _one(self, kind: type[R], where: str, *values: Value, to_remove: bool = False) -> R | None:
        lock = self._removable() if to_remove else self._kept(kind)
        sql = f"{statements.SELECT[kind]} WHERE {where} LIMIT 1{lock}"
        return next(iter(self._all(kind, sql, values)), None)

    def _oldest_first(self, kind: type[R], where: str, *values: Value) -> list[R]:
        sql = f"{statements.SELECT[kind]} WHERE {where} ORDER BY inserted_at, id"
        return self._all(kind, sql, values)

    def _count(self, rest: str, values: Sequence[Value]) -> int:
        return self._one_number(f"SELECT COUNT(*) {rest}", values)

    def _one_number(self, sql: str, values: Sequence[Value]) -> int:
        ((count,),) = self.rows(sql, values)
        return int(count)

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Return a block whose writes are undone if it raises, and theirs only."""
        counts = self.counts.copy()
        self.run("SAVEPOINT item")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK TO item")
            self.counts, self.references = counts, References()
            raise
        finally:
            self.run("RELEASE item")


def mutable(row: Row) -> tuple[Value, ...]:
    """Return what can change in *row*, in the order of `statements.MUTABLE`."""
    return tuple(getattr(row, field) for field in statements.MUTABLE[type(row)])


def values_of(row: Row) -> tuple[Value, ...]:
    """Return the values of *row*, in the order of its columns."""
    return msgspec.structs.astuple(row)
