"""Room in the spool's folder: what is given up, in which order, when `max_spool_bytes` is reached.

First what a server has refused, the oldest first; then payloads and results of finished spans, the
oldest first; then those spans. The starts and ends of runs, and their root spans, stay. What the
sender has in its hands is left alone.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from remit._losses import Loss, cost, skeleton
from remit._outcomes import ACTIVE
from remit._sink import Item, Kind
from remit._spool.database import Chunk, Database, log_bytes
from remit._spool.folder import Folder, size_of
from remit._spool.ledger import Ledger
from remit._spool.packing import (
    CHUNK_BYTES,
    Body,
    DamagedError,
    Parts,
    packed,
    size_of_parts,
)

# Made at once beyond what is needed, so that the next puts need not look again.
SPARE_PART: Final = 1 / 16
MAX_SPARE_BYTES: Final = 4 * CHUNK_BYTES
# When so much is free again, payloads are worth writing.
ROOMY_PART: Final = 1 / 4
ASIDE_ROWS: Final = 500
# An empty file that an outage made larger gives its bytes back.
SHRINK_BYTES: Final = 16 * CHUNK_BYTES
# Read and written anew together: each step of SQLite costs the same, and memory is bounded.
REWRITTEN_CHUNKS: Final = 8
REWRITTEN_BYTES: Final = 4 * CHUNK_BYTES
# A chunk of more runs is read before it is dropped: to know them all would take too much memory.
MAX_KNOWN_RUNS: Final = 4


class Lose(Protocol):
    """Told what was given up."""

    def __call__(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        """Count *count* for *reason*; whole spans also by the keys of their runs."""
        ...


def expendable(item: Item) -> bool:
    """Tell whether an item is a finished span, and no run's root."""
    if item.kind not in (Kind.SPAN, Kind.FINISH):
        return False
    return item.status != ACTIVE and item.parent is not None


def _bare(item: Item) -> Item:
    """Return a finished span without payload and result, if that makes it smaller."""
    bare = skeleton(item) if expendable(item) else item
    return bare if cost(bare) < cost(item) else item


def _unless_expendable(item: Item) -> Item | None:
    """Return an item unless it is a finished span."""
    return None if expendable(item) else item


class Cut:
    """What is taken from chunks in one go.

    Attributes:
        freed_bytes: How many it frees.
        lost: Items that lost something, by the keys of their runs.
        damaged: Items that could not be read.
        written: Each chunk that was changed, the items that are left of it, and their bytes.
        gone: Ids of the chunks of which nothing is left.
    """

    def __init__(self, less_of: Callable[[Item], Item | None]) -> None:
        """Begin with nothing; *less_of* returns what is to be left of an item."""
        self.freed_bytes = 0
        self.lost: Counter[str] = Counter()
        self.damaged = 0
        self.written: list[tuple[Chunk, int, int]] = []
        self.gone: list[int] = []
        self._less_of = less_of

    def of(self, chunk: Chunk, items: Sequence[Item | None] | None) -> list[Item | None]:
        """Return what is left of the items of a chunk; `None` if they could not be read."""
        if items is None:
            self.damaged += chunk.items
            return []
        less = [item and self._less_of(item) for item in items]
        pairs = zip(items, less, strict=True)
        self.lost.update(item.run_key for item, other in pairs if item and other is not item)
        return less

    def note(self, chunk: Chunk, items: int, size_bytes: int) -> None:
        """Note that *items* items in *size_bytes* bytes are left of a chunk."""
        self.freed_bytes += chunk.size_bytes - size_bytes
        self.written.append((chunk, items, size_bytes))
        if not items:
            self.gone.append(chunk.id)

    def drop(self, chunk: Chunk) -> None:
        """Take a chunk of which it is known what is in it."""
        self.lost.update(chunk.spans or {})
        self.note(chunk, 0, 0)


class Room:
    """Makes room in one file; whoever calls holds the file's lock.

    Attributes:
        stripping: Nothing that is written has a payload to give up any more: what comes now goes
            without, before it is written.
    """

    def __init__(self, folder: Folder, database: Database, ledger: Ledger, lose: Lose) -> None:
        """Make room in the file of *database*, for what it adds to *folder*."""
        self.stripping = False
        self._folder = folder
        self._database = database
        self._ledger = ledger
        self._lose = lose
        self._spare_bytes = min(MAX_SPARE_BYTES, int(folder.max_bytes * SPARE_PART))
        self._log_bytes = log_bytes(folder.max_bytes)
        # How much may still be added before the folder must be looked at again.
        self._unlooked_bytes = 0
        self._growing = 1

    def move(self, database: Database) -> None:
        """Make room in another file, to which everything of the first was copied."""
        self._database = database
        self._unlooked_bytes, self._growing = 0, 1

    def clear(self) -> None:
        """Give back what an outage made large: nothing is left in the file.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        self.stripping = False
        if size_of(self._database.path) > SHRINK_BYTES:
            self._database.shrink()

    def fit(
        self, items: Sequence[Item], parts: Parts, stripped: list[str], in_use: Collection[int]
    ) -> tuple[Parts, list[str]]:
        """Make room for what is to be written, or write less of it.

        Args:
            items: What is to be written.
            parts: The same, packed.
            stripped: The run of each that goes without its payload already.
            in_use: Ids of the chunks that the sender has.

        Returns:
            What is kept of it, packed, and the run of each that goes without its payload.
        """
        stripping = self.stripping
        missing = self.make(size_of_parts(parts), in_use)
        if self.stripping and not stripping:
            items, stripped = self.strip(items)
            parts = packed(items)
            missing = missing and self.make(size_of_parts(parts), in_use)
        if missing:
            return packed(self.reduce(items)), []
        return parts, stripped

    def make(self, added_bytes: int, in_use: Collection[int]) -> int:
        """Make room for *added_bytes*; return how many of them find none.

        Args:
            added_bytes: What is to be written.
            in_use: Ids of the chunks that the sender has.
        """
        self._unlooked_bytes -= added_bytes
        if self._unlooked_bytes >= 0:
            return 0
        left_bytes = self._look(added_bytes)
        if left_bytes >= 0:
            self.stripping = self.stripping and left_bytes < self._folder.max_bytes * ROOMY_PART
            return 0
        wanted = self._spare_bytes - left_bytes
        free: tuple[Callable[[int, Collection[int]], int], ...] = (
            self._drop_aside,
            self._strip_spans,
            self._drop_spans,
        )
        for give_up in free:
            wanted -= give_up(wanted, in_use)
            if wanted <= 0:
                self._trust(self._spare_bytes)
                return 0
        return max(0, -self._look(added_bytes))

    def reduce(self, items: Sequence[Item]) -> list[Item]:
        """Return what is kept of *items* for which there is no room."""
        dropped = [item.run_key for item in items if expendable(item)]
        if dropped:
            self._lose(Loss.SPOOL_FULL, len(dropped), dropped)
        return [item for item in items if not expendable(item)]

    def strip(self, items: Sequence[Item]) -> tuple[list[Item], list[str]]:
        """Return *items* without payloads and results, and the run of each that had some."""
        less = [_bare(item) for item in items]
        pairs = zip(items, less, strict=True)
        return less, [one.run_key for one, other in pairs if one is not other]

    def tidy(self) -> None:
        """Take what is settled out of chunks of which a part is, in the caller's transaction.

        Raises:
            DamagedError: One cannot be read.
        """
        for chunk in self._ledger.partial():
            body = self._database.bodies([chunk.id]).get(chunk.id)
            if body is not None:
                left = self._ledger.remaining(chunk, body.unpacked())
                self._database.add_chunks([(chunk, Body.of(left))])

    def know(self, chunk: Chunk, items: Sequence[Item | None]) -> None:
        """Take note of what a chunk without payloads holds, so as to drop it without reading."""
        chunk.bare = True
        left = [item for item in items if item]
        spans = Counter(item.run_key for item in left if expendable(item))
        alone = spans.total() == len(left) and len(spans) <= MAX_KNOWN_RUNS
        chunk.spans = spans if alone else None

    def _look(self, added_bytes: int) -> int:
        """Return how many bytes there are left beyond *added_bytes*; below zero they are missing.

        A look costs ten calls of the system, so what was seen counts for a while.
        """
        size_bytes, growing = self._folder.taken()
        if growing != self._growing:
            # Together as much as one alone: what is in a log comes into its file besides.
            self._database.bound_log(self._log_bytes // max(1, growing))
            self._growing = growing
        size_bytes -= self._database.free_bytes()
        # It is written to the log first; what does not fit into that makes the log longer.
        written_bytes = added_bytes + max(0, added_bytes - self._log_bytes)
        left_bytes = self._folder.max_bytes - self._log_bytes - size_bytes - written_bytes
        self._trust(left_bytes)
        return left_bytes

    def _trust(self, left_bytes: int) -> None:
        """Add a share of *left_bytes* before the next look, but little: others may come."""
        self._unlooked_bytes = min(left_bytes, self._spare_bytes) // max(1, self._growing)

    def _drop_aside(self, wanted: int, in_use: Collection[int]) -> int:
        del in_use
        freed_bytes = 0
        while freed_bytes < wanted:
            rows = self._database.aside(ASIDE_ROWS)
            if not rows:
                break
            with self._database.transaction():
                self._database.delete("aside", "id", [row_id for row_id, _ in rows])
            freed_bytes += sum(len(body.content) for _, body in rows)
            self._lose(Loss.ASIDE_SPOOL_FULL, len(rows))
        return freed_bytes

    def _strip_spans(self, wanted: int, in_use: Collection[int]) -> int:
        """Take payload and result from the oldest finished spans."""
        chunks = [chunk for chunk in self._ledger if not (chunk.bare or chunk.id in in_use)]
        return self._reduce(chunks, wanted, _bare, Loss.PAYLOAD_SPOOL_FULL)

    def _drop_spans(self, wanted: int, in_use: Collection[int]) -> int:
        """Drop the oldest finished spans."""
        self.stripping = True
        chunks = [chunk for chunk in self._ledger if chunk.id not in in_use]
        return self._reduce(chunks, wanted, _unless_expendable, Loss.SPOOL_FULL)

    def _reduce(
        self,
        chunks: Iterable[Chunk],
        wanted: int,
        less_of: Callable[[Item], Item | None],
        reason: Loss,
    ) -> int:
        """Write less of *chunks* until *wanted* bytes are free; return how many are."""
        waiting, freed_bytes = deque(chunks), 0
        while waiting and freed_bytes < wanted:
            cut = Cut(less_of)
            # One transaction for a few: each may go into the database when it is committed, so
            # that the write-ahead log stays small.
            with self._database.transaction():
                if reason is Loss.SPOOL_FULL and self._known(waiting[0]):
                    self._drop_known(waiting, wanted - freed_bytes, cut)
                else:
                    self._rewrite(_next(waiting, wanted - freed_bytes), cut)
                self._database.delete("chunk", "id", cut.gone)
            self._count(cut, reason)
            freed_bytes += cut.freed_bytes
        return freed_bytes

    def _count(self, cut: Cut, reason: Loss) -> None:
        """Take note of what was written, and count what was lost."""
        for chunk, items, size_bytes in cut.written:
            self._ledger.rewritten(chunk, items, size_bytes)
        if cut.damaged:
            self._lose(Loss.SPOOL_DAMAGED, cut.damaged)
        if cut.lost:
            self._lose(reason, cut.lost.total(), cut.lost.elements())

    def _drop_known(self, waiting: deque[Chunk], wanted: int, cut: Cut) -> None:
        """Drop chunks without reading them, as long as it is known what they hold."""
        while waiting and cut.freed_bytes < wanted and self._known(waiting[0]):
            cut.drop(waiting.popleft())

    def _known(self, chunk: Chunk) -> bool:
        """Tell whether what is in a chunk is known without reading it: finished spans alone."""
        return chunk.spans is not None and self._ledger.untouched(chunk)

    def _rewrite(self, chunks: Sequence[Chunk], cut: Cut) -> None:
        """Write less of *chunks*, read and written together."""
        bodies = self._database.bodies([chunk.id for chunk in chunks])
        changed: list[tuple[Chunk, Body]] = []
        for chunk in chunks:
            items = self._left(chunk, bodies.get(chunk.id))
            less = cut.of(chunk, items)
            self.know(chunk, less)
            if items and less == items:
                continue
            body = Body.of(less)
            if body.items:
                changed.append((chunk, body))
            cut.note(chunk, body.items, len(body.content) if body.items else 0)
        self._database.add_chunks(changed)

    def _left(self, chunk: Chunk, body: Body | None) -> list[Item | None] | None:
        """Return what is left of a chunk; `None` of a damaged one."""
        with suppress(DamagedError):
            if body is not None:
                return self._ledger.remaining(chunk, body.unpacked())
        return None


def _next(waiting: deque[Chunk], wanted: int) -> list[Chunk]:
    """Take from *waiting* what is read together to free *wanted* bytes: one chunk at least."""
    taken = [waiting.popleft()]
    size_bytes, enough = taken[0].size_bytes, min(wanted, REWRITTEN_BYTES)
    while waiting and len(taken) < REWRITTEN_CHUNKS and size_bytes < enough:
        taken.append(waiting.popleft())
        size_bytes += taken[-1].size_bytes
    return taken
