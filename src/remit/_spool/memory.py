"""An outbox in memory: where nothing can be written, and in tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from remit._losses import costs
from remit._sink import Item
from remit._spool.outbox import Row, RunRecord


class MemoryOutbox:
    """An outbox that ends with the process; it is bounded by the buffer, which counts its bytes."""

    def __init__(self, *, release: Callable[[int], None]) -> None:
        """Begin empty; *release* is told how many bytes left memory."""
        self._release = release
        self._rows: deque[Row] = deque()
        # Settled rows behind the first unsettled one: they leave when they get to the front.
        self._settled: set[int] = set()
        self._runs: dict[str, RunRecord] = {}
        self._last_id = 0
        # What is put at present, or was last, and the last id before it.
        self._put: tuple[object, int] = (None, 0)
        self._lock = threading.Lock()

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order."""
        with self._lock:
            self._note_last()
            self._put = (items, self._last_id)
            self._runs.update((run.key, run) for run in runs)
            self._rows.extend(enumerate(items, self._last_id + 1))
            self._note_last()

    def took(self, items: Sequence[Item]) -> bool:
        """Tell whether the last put was of *items*, and done before an alarm broke it off."""
        with self._lock:
            self._note_last()
            put, last_id = self._put
            return put is items and self._last_id > last_id

    def _note_last(self) -> None:
        # An alarm may have come between the adding of rows and this.
        if self._rows:
            self._last_id = max(self._last_id, self._rows[-1][0])

    def head(self, limit: int) -> list[Row]:
        """Return the first *limit* rows that are not settled."""
        with self._lock:
            if not self._settled:
                return list(islice(self._rows, limit))
            open_rows = (row for row in self._rows if row[0] not in self._settled)
            return list(islice(open_rows, limit))

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows; their bytes are released when they leave memory."""
        gone: list[Item] = []
        with self._lock:
            self._note_last()
            settled, rows = self._settled, self._rows
            settled.update(ids)
            while rows and rows[0][0] in settled:
                row_id, item = rows.popleft()
                settled.discard(row_id)
                gone.append(item)
        self._release(costs(gone))

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Remove rows: there is no place to keep them in."""
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

    def open_spans(self) -> list[Item]:
        """Return none: nothing is left of what is here when the process ends."""
        return []

    def last_id(self) -> int:
        """Return the id of the newest row ever put."""
        return self._last_id

    def first_id(self) -> int | None:
        """Return the id of the first row that is not settled."""
        with self._lock:
            return self._rows[0][0] if self._rows else None

    def skip_to(self, row_id: int) -> None:
        """Let every later row have a larger id than *row_id*; while nothing is pending."""
        with self._lock:
            if not self._rows and row_id > self._last_id:
                # First: ids that were skipped are no rows that were added.
                self._put = (None, 0)
                self._last_id = row_id

    def pending(self, up_to: int | None = None) -> int:
        """Count the rows that are not settled, those with ids up to *up_to* alone if given."""
        with self._lock:
            if up_to is None:
                return len(self._rows) - len(self._settled)
            if not self._rows:
                return 0
            # Ids run without a gap, so counting needs no walk.
            below = max(0, up_to - self._rows[0][0] + 1)
            return min(below, len(self._rows)) - sum(row_id <= up_to for row_id in self._settled)

    def spooled(self, up_to: int | None = None) -> int:
        """Return 0: nothing is on disk."""
        del up_to
        return 0

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
