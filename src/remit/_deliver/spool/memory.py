"""An outbox in memory, for processes without a writable spool, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import islice

from remit._base.locks import SignalSafeLock
from remit._deliver.losses import total_cost
from remit._deliver.spool.outbox import Row
from remit._deliver.spool.records import RunRecord
from remit._record.items import Item


class MemoryOutbox:
    """An outbox that ends with the process; the buffer counts and bounds its bytes."""

    def __init__(self, *, release: Callable[[int], None]) -> None:
        """Start empty; *release* is called with the number of bytes that left memory."""
        self._release = release
        self._rows: dict[int, Item] = {}
        self._runs: dict[str, RunRecord] = {}
        self._last_id = 0
        self._lock = SignalSafeLock()

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord], *, after: int = 0) -> None:
        """Add *runs*, then *items* in order, with ids larger than *after*."""
        with self._lock:
            self._runs.update((run.key, run) for run in runs)
            first = max(self._last_id, after) + 1
            self._rows.update(enumerate(items, first))
            self._last_id = first + len(items) - 1

    def head(self, limit: int) -> list[Row]:
        """Return the first *limit* rows that are not settled."""
        with self._lock:
            return list(islice(self._rows.items(), limit))

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows and release their bytes."""
        with self._lock:
            removed = [self._rows.pop(row_id, None) for row_id in ids]
        self._release(total_cost([item for item in removed if item is not None]))

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Remove rows: memory keeps nothing that was refused."""
        del reason
        self.settle([row_id for row_id, _ in rows])
        return 0

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        return self._runs.get(key)

    def runs(self) -> list[RunRecord]:
        """Return the records of all runs."""
        return list(self._runs.values())

    def save_run(self, record: RunRecord) -> None:
        """Keep *record*."""
        self._runs[record.key] = record

    def forget_run(self, key: str) -> None:
        """Remove a run's record."""
        self._runs.pop(key, None)

    def last_id(self) -> int:
        """Return the id of the newest row ever put."""
        return self._last_id

    def first_id(self) -> int | None:
        """Return the id of the first row that is not settled."""
        with self._lock:
            return next(iter(self._rows), None)

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, up to the row *up_to* if given."""
        if up_to is None or up_to >= self._last_id:
            return len(self._rows)
        return sum(row_id <= up_to for row_id in list(self._rows))
