"""The base of a transaction: how it sends statements, and the references that it keeps."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar, Final, TypeAlias, TypeVar

import msgspec

from remit.collector.store import statements
from remit.collector.store.counts import Counts
from remit.collector.store.rows import FindingRow, KeyRow, Row, RunRow
from remit.collector.store.statements import Value

R = TypeVar("R", bound=Row)
MAX_REFERENCES: Final = 10_000
"""Most references of each kind that are kept in memory."""

PlaceRefs: TypeAlias = tuple[int, int, int, int]
_RUNS: Final = re.compile(r"\bruns\b")


@lru_cache(maxsize=512)
def is_about_runs(sql: str) -> bool:
    """Return whether a statement reads or writes the table of runs."""
    return _RUNS.search(sql) is not None


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


class Pending:
    """Runs and keys that a transaction has read, and rows that it has still to write.

    Attributes:
        runs: Runs by id, with all changes; None for one that does not exist.
        changed: Those to be updated, as the database has them.
        ended: Those that ended, and why what waits in them is withdrawn.
        keys: Idempotency keys by account, operation and key; None for an unused one.
        new_runs: Ids of the runs to be inserted, where that can wait.
    """

    __slots__ = (
        "changed",
        "ended",
        "findings",
        "keys",
        "labels",
        "new_keys",
        "new_runs",
        "runs",
        "subjects",
    )

    def __init__(self) -> None:
        """Begin with nothing."""
        self.runs: dict[str, RunRow | None] = {}
        self.changed: dict[str, RunRow] = {}
        self.ended: list[tuple[RunRow, str]] = []
        self.keys: dict[tuple[str, str, str], KeyRow | None] = {}
        self.new_keys: list[KeyRow] = []
        self.new_runs: dict[str, None] = {}
        self.findings: list[FindingRow] = []
        self.labels: list[Mapping[str, Value]] = []
        self.subjects: list[Mapping[str, Value]] = []

    def copy(self) -> Pending:
        """Return a copy, to which a savepoint returns."""
        copied = Pending()
        for name in self.__slots__:
            setattr(copied, name, getattr(self, name).copy())
        return copied


class Execution(ABC):
    """The statements of an open transaction.

    Attributes:
        counts: Additions to the counts at the end.
    """

    dialect: ClassVar[str]
    """`sqlite` or `postgres`."""
    with_run: ClassVar[str]
    """The join of a span `s` with its run `r`."""
    distributed: ClassVar[bool] = False
    """Whether the tables of runs are distributed by the shard over several nodes."""

    def __init__(self, known: References) -> None:
        """Begin with the references in *known*."""
        self.counts = Counts()
        self.references = References()
        self._known = known
        self._pending = Pending()

    def rows(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        if is_about_runs(sql):
            self._write_runs()
        return self._fetch(sql, values)

    @abstractmethod
    def _fetch(self, sql: str, values: Sequence[Value] = ()) -> Iterable[tuple[Any, ...]]:
        """Return the rows of a statement, which does not see the runs that are not written yet."""

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement; return the number of rows that it changed."""
        self._forget_runs_of(sql)
        return self._run(sql, values)

    @abstractmethod
    def _run(self, sql: str, values: Sequence[Value]) -> int: ...

    def run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once for each row of values."""
        if rows:
            self._forget_runs_of(sql)
            self._run_many(sql, rows)

    @abstractmethod
    def _run_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None: ...

    def _forget_runs_of(self, sql: str) -> None:
        """Write the changed runs and read them again, if the statement may change some."""
        if is_about_runs(sql):
            self._write_runs()
            self._pending.runs.clear()

    @abstractmethod
    def _write_runs(self) -> None:
        """Write the runs that were added or changed so far."""

    @abstractmethod
    def among(self, column: str, texts: Collection[str]) -> tuple[str, tuple[Value, ...]]:
        """Return the condition that *column* is one of *texts*, and its values."""

    @abstractmethod
    def among_ids(self, column: str, ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        """Return the condition that *column* is one of *ids*, and its values."""

    @abstractmethod
    def in_shard(self, prefix: str, run_id: bytes) -> tuple[str, tuple[Value, ...]]:
        """Return the beginning of a condition on rows of one run, and its values.

        A table of runs may be spread over nodes by the shard of the run.

        Args:
            prefix: The alias of the table with a dot, or nothing.
        """

    def among_runs(self, prefix: str, run_ids: Collection[bytes]) -> tuple[str, tuple[Value, ...]]:
        """Return the condition that a run is in a group of `together`, and its values."""
        return self.among_ids(f"{prefix}id", run_ids)

    def together(self, run_ids: Collection[bytes]) -> Iterable[Collection[bytes]]:
        """Return *run_ids* in groups, each of which one statement may lock or change."""
        return [run_ids]

    @abstractmethod
    def end_of_changes(self) -> int:
        """Return a number of a change: no transaction can commit an earlier one any more.

        It is to be read before the changes, and in a distributed database before any other row.
        """

    def _lock_clause(self, kind: type[Row]) -> str:
        """Return the lock clause of a select of *kind*, so that the rows it reads stay."""
        del kind
        return ""

    def _removal_lock(self) -> str:
        """Return the lock clause of a select whose row is removed afterwards."""
        return ""

    def _all(self, kind: type[R], sql: str, values: Sequence[Value] = ()) -> list[R]:
        return [kind(*row) for row in self.rows(sql, values)]

    def _one(self, kind: type[R], where: str, *values: Value, to_remove: bool = False) -> R | None:
        lock = self._removal_lock() if to_remove else self._lock_clause(kind)
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
        counts, pending = self.counts.copy(), self._pending.copy()
        self.run("SAVEPOINT item")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK TO item")
            self.counts, self.references, self._pending = counts, References(), pending
            raise
        finally:
            self.run("RELEASE item")


def mutable(row: Row) -> tuple[Value, ...]:
    """Return the values of *row* in the order of `statements.MUTABLE`."""
    return tuple(getattr(row, field) for field in statements.MUTABLE[type(row)])


def values_of(row: Row) -> tuple[Value, ...]:
    """Return the values of *row*, in the order of its columns."""
    return msgspec.structs.astuple(row)
