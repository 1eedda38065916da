"""Deletion of old rows, a few at a time, so that writers never wait long."""

from __future__ import annotations

from typing import Final

from remit._base.ids import KEY_CHARS, PARTITION_CHARS, TIME_CHARS, encode
from remit.collector.store.base import Store, write
from remit.collector.store.filters import Removed

US_PER_MS: Final = 1000
PFID_CHARS: Final = KEY_CHARS + PARTITION_CHARS
MOST_ROWS: Final = 5000
"""The number of rows of a kind that one transaction deletes."""


def bound_at(ms: int) -> str:
    """Return the smallest id of a millisecond."""
    return encode(ms, TIME_CHARS).ljust(PFID_CHARS, "0")


def forget(
    store: Store,
    before_us: int | None,
    payloads_before_us: int | None = None,
    *,
    most_rows: int = MOST_ROWS,
) -> Removed:
    """Delete the rows of *store* that are older than a time, in many transactions.

    Args:
        store: The store.
        before_us: Spans and runs from before this are deleted; None for none.
        payloads_before_us: Payloads of spans from before this are deleted; None for none.
        most_rows: The number of rows of a kind that one transaction deletes.
    """
    total = Removed()
    if before_us is not None:
        first_id = bound_at(before_us // US_PER_MS)
        while count := write(store, lambda tx: tx.forget_spans(first_id, most_rows)):
            total = total._replace(spans=total.spans + count)
        write(store, lambda tx: tx.forget_counts(before_us))
        while True:
            some = write(store, lambda tx: tx.forget_old(before_us, first_id, most_rows))
            total = total._replace(
                instances=total.instances + some.instances, keys=total.keys + some.keys
            )
            if not some.instances and not some.keys:
                break
    if payloads_before_us is not None:
        bound = bound_at(payloads_before_us // US_PER_MS)
        while count := write(store, lambda tx: tx.forget_payloads(bound, most_rows)):
            total = total._replace(payloads=total.payloads + count)
    return total
