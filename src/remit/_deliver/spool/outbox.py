"""The interface of an outbox: the writer puts items, the sender reads and settles them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeAlias

from remit._deliver.spool.records import RunRecord
from remit._record.items import Item

Row: TypeAlias = tuple[int, Item]
"""The row's id, larger than every earlier one, and the item."""


class Outbox(Protocol):
    """Rows in the order of their ids, and run records. One writer, one sender."""

    def put(self, items: Sequence[Item], runs: Sequence[RunRecord]) -> None:
        """Add *runs*, then *items* in order; all or nothing."""
        ...

    def head(self, limit: int) -> list[Row]:
        """Return the first rows that are not settled, at most *limit*."""
        ...

    def settle(self, ids: Collection[int]) -> None:
        """Remove rows that were delivered, or dropped and counted by the caller."""
        ...

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Remove rows that the server refused for good; keep them with the *reason* if possible.

        Returns:
            The number of rows that are kept.
        """
        ...

    def run(self, key: str) -> RunRecord | None:
        """Return the record of a run."""
        ...

    def save_run(self, record: RunRecord) -> None:
        """Save *record*, at the latest with the next settled rows."""
        ...

    def forget_run(self, key: str) -> None:
        """Remove a run's record, at the latest with the next settled rows."""
        ...
