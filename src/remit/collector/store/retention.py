"""Deletion of old rows, a few at a time, so that writers never wait long."""

from __future__ import annotations

from typing import Final

from remit._base.ids import TIME_CHARS, encode
from remit.collector.store.base import Store, write
from remit.collector.store.filters import Removed

US_PER_MS: Final = 1000
MOST_ROWS: Final = 5000
"""The number of rows of a kind that one transaction deletes."""


def bound_at(ms: int) -> str:
    """Return the smallest text that is greater than all ids of earlier milliseconds."""
    return encode(ms, TIME_CHARS)


def forget(store: Store, before_us: int, *, most_rows: int = MOST_ROWS) -> Removed:
    """Delete the rows of *store* that are older than *before_us*, in many transactions.

    Args:
        store: The store.
        before_us: The time.
        most_rows: The number of rows of a kind that one transaction deletes.
    """
    first_id = bound_at(before_us // US_PER_MS)
    total = Removed()
    while count := write(store, lambda tx: tx.forget_spans(first_id, most_rows)):
        total = total._replace(spans=total.spans + count)
    while True:
        some = write(store, lambda tx: tx.forget_old(before_us, first_id, most_rows))
        total = total._replace(
            instances=total.instances + some.instances, keys=total.keys + some.keys
        )
        if not some.instances and not some.keys:
            return total
