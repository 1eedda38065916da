"""Deletion of old rows, a few at a time, so that writers never wait long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from remit.collector.store.base import Store, write
from remit.collector.store.filters import KeyName, Removed
from remit.collector.store.ids import first_at, to_text
from remit.collector.store.transaction import Transaction

T = TypeVar("T")

US_PER_MS: Final = 1000
MOST_ROWS: Final = 1000
"""The number of rows of a kind that one transaction looks at."""


def first_id_at(ms: int) -> str:
    """Return the smallest id of a millisecond."""
    return to_text(first_at(ms * US_PER_MS))


def forget(
    store: Store,
    before_us: int | None,
    payloads_before_us: int | None = None,
    *,
    pause: Callable[[], bool] | None = None,
    most_rows: int = MOST_ROWS,
) -> Removed:
    """Delete the rows of *store* that are older than a time, in many transactions.

    Args:
        before_us: Spans and runs from before this are deleted; None for none.
        payloads_before_us: Payloads of spans from before this are deleted; None for none.
        pause: A function that is called after each transaction and returns whether to continue.
        most_rows: The number of rows of a kind that one transaction looks at.
    """
    deletion = _Deletion(store, pause or (lambda: True), most_rows)
    if before_us is not None:
        deletion.spans_and_runs(before_us)
    if payloads_before_us is not None:
        deletion.payloads(first_id_at(payloads_before_us // US_PER_MS))
    return deletion.removed


def due(tx: Transaction, before_us: int | None, payloads_before_us: int | None = None) -> Removed:
    """Return what `forget` would delete now, without idempotency keys.

    PostgreSQL deletes by whole weeks, so it may delete less.
    """
    counts = Removed()
    first_id = first_id_at(0)
    if before_us is not None:
        first_id = first_id_at(before_us // US_PER_MS)
        counts = counts._replace(
            spans=tx.count_spans(first_id), runs=tx.count_old_runs(before_us, first_id)
        )
    if payloads_before_us is not None:
        bound = first_id_at(payloads_before_us // US_PER_MS)
        counts = counts._replace(payloads=tx.count_payloads(first_id, bound))
    return counts


class _Deletion:
    """One deletion of old rows, until all are deleted or `pause` ends it."""

    def __init__(self, store: Store, pause: Callable[[], bool], most_rows: int) -> None:
        self._store = store
        self._pause = pause
        self._most = most_rows
        self._stopped = False
        self.removed = Removed()

    def spans_and_runs(self, before_us: int) -> None:
        first_id, most = first_id_at(before_us // US_PER_MS), self._most
        while count := self._step(lambda tx: tx.forget_spans(first_id, most), 0):
            self._count(spans=count)
        while self._step(lambda tx: tx.forget_findings(before_us, most), 0):
            pass
        self._step(lambda tx: tx.forget_counts(before_us), None)
        run_id: str | None = first_id_at(0)
        while run_id is not None:
            run_id = self._runs(before_us, (run_id, first_id))
        key: KeyName | None = ("", "", "")
        while key is not None:
            key = self._keys(before_us, first_id, key)
        while self._step(lambda tx: tx.forget_asks(before_us, most), 0):
            pass

    def _runs(self, before_us: int, ids: tuple[str, str]) -> str | None:
        ended: tuple[int, int, str | None] = (0, 0, None)
        runs, keys, last_id = self._step(
            lambda tx: tx.forget_runs(before_us, ids, self._most), ended
        )
        self._count(runs=runs, keys=keys)
        return last_id

    def _keys(self, before_us: int, first_id: str, after: KeyName) -> KeyName | None:
        ended: tuple[int, KeyName | None] = (0, None)
        count, last = self._step(
            lambda tx: tx.forget_keys(before_us, first_id, after, self._most), ended
        )
        self._count(keys=count)
        return last

    def payloads(self, first_id: str) -> None:
        more = True
        while more:
            count, more = self._step(
                lambda tx: tx.forget_payloads(first_id, self._most), (0, False)
            )
            self._count(payloads=count)
        while self._step(lambda tx: tx.forget_exchanges(first_id, self._most), ended=False):
            pass

    def _step(self, work: Callable[[Transaction], T], ended: T) -> T:
        if self._stopped:
            return ended
        result = write(self._store, work)
        self._stopped = not self._pause()
        return result

    def _count(self, **counts: int) -> None:
        before = self.removed
        self.removed = before._replace(
            **{name: getattr(before, name) + count for name, count in counts.items()}
        )
