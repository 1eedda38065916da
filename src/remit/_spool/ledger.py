"""Which rows of a spool file are left: counted in memory, readable from any thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from remit._sink import Item
from remit._spool.database import Chunk
from remit._spool.kept import Kept
from remit._spool.outbox import Row

# A row's id is its chunk's, then its place in the chunk.
PLACE_BITS: Final = 10
PLACE_MASK: Final = (1 << PLACE_BITS) - 1


class Ledger:
    """The chunks that have something left, and what of them is settled.

    Written by whoever holds the file's lock; a count is read without it.
    """

    def __init__(self, chunks: Iterable[Chunk], keep_bytes: int) -> None:
        """Begin with the chunks of a file; of new ones *keep_bytes* bytes are kept in memory."""
        self._kept = Kept(keep_bytes)
        self._chunks = {chunk.id: chunk for chunk in chunks}
        self._settled: dict[int, set[int]] = {}
        self._last_chunk = max(self._chunks, default=0)
        # What is put at present, or was last, and the first chunk that is to be of it.
        self._put: tuple[object, int] = (None, 0)

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate over the chunks as they are now, in order."""
        # One call into C: another thread may add and remove meanwhile.
        return iter(list(self._chunks.values()))

    @property
    def last_id(self) -> int:
        """An id that no row so far exceeds."""
        return self._last_chunk << PLACE_BITS | PLACE_MASK if self._last_chunk else 0

    def begin(self, items: object) -> int:
        """Return the id of the next chunk, which is to be of *items*: the file's lock is held."""
        first = self._next_chunk()
        self._put = (items, first)
        return first

    def took(self, items: object) -> bool:
        """Tell whether *items*, the object, were begun last, and added: the file's lock is held."""
        begun, first = self._put
        return begun is items and self._next_chunk() > first

    def _next_chunk(self) -> int:
        # An alarm may have come between the adding of chunks and this.
        self._last_chunk = max(self._last_chunk, next(reversed(self._chunks), 0))
        return self._last_chunk + 1

    def skip_to(self, row_id: int) -> None:
        """Let every later row have a larger id than *row_id*."""
        if row_id >> PLACE_BITS > self._last_chunk:
            # First: ids that were skipped are no rows that were added.
            self._put = (None, 0)
            self._last_chunk = row_id >> PLACE_BITS

    def add(self, chunks: Sequence[tuple[Chunk, Sequence[Item]]]) -> None:
        """Take in *chunks*, the newest, in order, with their items.

        All or, if an alarm comes, none; what is kept of them may be less.
        """
        added = {chunk.id: chunk for chunk, _ in chunks}
        self._chunks.update(added)
        self._last_chunk = max(added, default=self._last_chunk)
        for chunk, items in chunks:
            self._kept.add(chunk.id, items)

    def take_kept(self, chunk: Chunk) -> Sequence[Item] | None:
        """Return the items of a chunk if they are in memory still; from now on they are not."""
        return self._kept.take(chunk.id)

    def drop(self, chunk_id: int) -> None:
        """Let go of a chunk."""
        self._last_chunk = max(self._last_chunk, chunk_id)
        self._chunks.pop(chunk_id, None)
        self._settled.pop(chunk_id, None)
        self._kept.take(chunk_id)

    def left(self, up_to: int | None = None) -> int:
        """Count the rows that are left, those of chunks up to the row *up_to* alone if given."""
        last = None if up_to is None else up_to >> PLACE_BITS
        return sum(chunk.items for chunk in self if last is None or chunk.id <= last)

    def oldest_ns(self) -> int | None:
        """Return when the oldest chunk was written, by the wall clock."""
        return next((chunk.put_ns for chunk in self), None)

    def settle(self, ids: Iterable[int]) -> list[int]:
        """Take rows out; return the ids of the chunks of which nothing is left."""
        done: list[int] = []
        ordered, begin = sorted(ids), 0
        while begin < len(ordered):
            chunk_id = ordered[begin] >> PLACE_BITS
            end = bisect_left(ordered, chunk_id + 1 << PLACE_BITS, begin)
            chunk = self._chunks.get(chunk_id)
            if chunk is not None and self._take_out(chunk, ordered[begin:end]):
                done.append(chunk_id)
                self.drop(chunk_id)
            begin = end
        return done

    def _take_out(self, chunk: Chunk, ids: Sequence[int]) -> bool:
        """Take rows out of a chunk; tell whether nothing is left of it."""
        settled = self._settled.setdefault(chunk.id, set())
        before = len(settled)
        settled.update(ids)
        chunk.items -= len(settled) - before
        return not chunk.items

    def rewritten(self, chunk: Chunk, items: int, size_bytes: int) -> None:
        """Take note that a chunk was written anew, without what was settled or given up.

        Args:
            chunk: Which.
            items: How many are left of it; without any it has gone.
            size_bytes: Of its new body.
        """
        self._kept.take(chunk.id)
        chunk.items, chunk.size_bytes = items, size_bytes
        self._settled.pop(chunk.id, None)
        if not items:
            self.drop(chunk.id)

    def untouched(self, chunk: Chunk) -> bool:
        """Tell whether nothing of a chunk was settled since it was written."""
        return chunk.id not in self._settled

    def partial(self) -> list[Chunk]:
        """Return the chunks of which a part is settled."""
        return [self._chunks[chunk_id] for chunk_id in self._settled]

    def remaining(self, chunk: Chunk, items: Sequence[Item | None]) -> list[Item | None]:
        """Return *items* of a chunk with `None` in the place of what is settled."""
        settled = self._settled.get(chunk.id)
        if settled is None:
            return list(items)
        base = chunk.id << PLACE_BITS
        return [None if row_id in settled else item for row_id, item in enumerate(items, base)]

    def rows(self, chunk: Chunk, items: Sequence[Item | None]) -> list[Row]:
        """Return what is left of *items* of a chunk as rows."""
        left = enumerate(self.remaining(chunk, items), chunk.id << PLACE_BITS)
        return [(row_id, item) for row_id, item in left if item is not None]
