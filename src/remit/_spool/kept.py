"""Items that are on disk and, for a sender that comes soon, still in memory."""

from __future__ import annotations

from collections.abc import Sequence

from remit._losses import costs
from remit._sink import Item


class Kept:
    """The items of chunks that nobody has read yet, as many as there is room for.

    To read a chunk, check it and make its items anew takes the sender a tenth of its time.
    """

    def __init__(self, max_bytes: int) -> None:
        """Keep at most *max_bytes* bytes of memory."""
        self._left_bytes = max_bytes
        self._items: dict[int, tuple[Sequence[Item], int]] = {}

    def add(self, chunk_id: int, items: Sequence[Item]) -> None:
        """Keep the items of a chunk that was written, if there is room.

        What is there stays: it is sent first.
        """
        size_bytes = costs(items)
        if size_bytes <= self._left_bytes:
            self._left_bytes -= size_bytes
            self._items[chunk_id] = (items, size_bytes)

    def take(self, chunk_id: int) -> Sequence[Item] | None:
        """Return what is kept of a chunk, and keep it no longer."""
        items, size_bytes = self._items.pop(chunk_id, (None, 0))
        self._left_bytes += size_bytes
        return items
