"""Room in the spool's folder: what is given up, in which order, when `max_spool_bytes` is reached.

First what a server has refused, the oldest first; then payloads and results of finished spans, the
oldest first; then those spans. The starts and ends of runs, and their root spans, stay. What the
sender has in its hands is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from remit._losses import Loss, cost, skeleton
from remit._sink import AnyItem, Kind
from remit._spool.database import Chunk, Database
from remit._spool.folder import Folder
from remit._spool.ledger import Ledger
from remit._spool.packing import Body, DamagedError

ACTIVE: Final = "active"
# As plain integers: comparing with a member of an IntEnum costs twice as much.
SPAN: Final = int(Kind.SPAN)
FINISH: Final = int(Kind.FINISH)
# Made at once beyond what is needed, so that the next puts need not look again.
SPARE_PART: Final = 1 / 16
ASIDE_ROWS: Final = 500


class Lose(Protocol):
    """Told what was given up."""

    def __call__(self, reason: Loss, count: int, run_keys: Iterable[str] = ()) -> None:
        """Count *count* for *reason*; whole spans also by the keys of their runs."""
        ...


def expendable(item: AnyItem) -> bool:
    """Tell whether an item is a finished span, and no run's root."""
    if item[0] not in (SPAN, FINISH):
        return False
    return item[7] != ACTIVE and item[3] is not None


def _bare(item: AnyItem) -> AnyItem:
    """Return a finished span without payload and result, if that makes it smaller."""
    bare = skeleton(item) if expendable(item) else item
    return bare if cost(bare) < cost(item) else item


def _unless_expendable(item: AnyItem) -> AnyItem | None:
    """Return an item unless it is a finished span."""
    return None if expendable(item) else item


class Room:
    """Makes room in one file; whoever calls holds the file's lock."""

    def __init__(self, folder: Folder, database: Database, ledger: Ledger, lose: Lose) -> None:
        """Make room in the file of *database*, for what it adds to *folder*."""
        self._folder = folder
        self._database = database
        self._ledger = ledger
        self._lose = lose

    def make(self, added_bytes: int, in_use: Collection[int]) -> int:
        """Make room for *added_bytes*; return how many of them find none.

        Args:
            added_bytes: What is to be written.
            in_use: Ids of the chunks that the sender has.
        """
        missing = self._missing(added_bytes)
        if missing <= 0:
            return 0
        wanted = missing + int(self._folder.max_bytes * SPARE_PART)
        free: tuple[Callable[[int, Collection[int]], int], ...] = (
            self._drop_aside,
            self._strip_spans,
            self._drop_spans,
        )
        for give_up in free:
            wanted -= give_up(wanted, in_use)
            if wanted <= 0:
                return 0
        return max(0, self._missing(added_bytes))

    def reduce(self, items: Sequence[AnyItem]) -> list[AnyItem]:
        """Return what is kept of *items* for which there is no room."""
        dropped = [item[1] for item in items if expendable(item)]
        if dropped:
            self._lose(Loss.SPOOL_FULL, len(dropped), dropped)
        return [item for item in items if not expendable(item)]

    def _missing(self, added_bytes: int) -> int:
        taken_bytes = self._folder.size_bytes() + added_bytes
        if taken_bytes <= self._folder.max_bytes:
            return 0
        return taken_bytes - self._database.free_bytes() - self._folder.max_bytes

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
        chunks = (chunk for chunk in self._ledger if not (chunk.bare or chunk.id in in_use))
        return self._reduce(chunks, wanted, _bare, Loss.PAYLOAD_SPOOL_FULL)

    def _drop_spans(self, wanted: int, in_use: Collection[int]) -> int:
        """Drop the oldest finished spans."""
        chunks = (chunk for chunk in self._ledger if chunk.id not in in_use)
        return self._reduce(chunks, wanted, _unless_expendable, Loss.SPOOL_FULL)

    def _reduce(
        self,
        chunks: Iterable[Chunk],
        wanted: int,
        less_of: Callable[[AnyItem], AnyItem | None],
        reason: Loss,
    ) -> int:
        """Write less of *chunks* until *wanted* bytes are free; return how many are."""
        freed_bytes, damaged = 0, 0
        run_keys: list[str] = []
        written: list[tuple[Chunk, Body]] = []
        with self._database.transaction():
            for chunk in chunks:
                if freed_bytes >= wanted:
                    break
                items = self._left(chunk)
                if items is None:
                    damaged += chunk.items
                    items = []
                less = [item and less_of(item) for item in items]
                pairs = zip(items, less, strict=True)
                changed = [item[1] for item, other in pairs if item and other is not item]
                chunk.bare = True
                if items and not changed:
                    continue
                run_keys += changed
                body = Body.of(less)
                self._write(chunk, body)
                written.append((chunk, body))
                freed_bytes += chunk.size_bytes - (len(body.content) if body.items else 0)
        for chunk, body in written:
            self._ledger.rewritten(chunk, body)
        if damaged:
            self._lose(Loss.SPOOL_DAMAGED, damaged)
        if run_keys:
            self._lose(reason, len(run_keys), run_keys if reason is Loss.SPOOL_FULL else ())
        return freed_bytes

    def _left(self, chunk: Chunk) -> list[AnyItem | None] | None:
        """Return what is left of a chunk; `None` of a damaged one."""
        body = self._database.body(chunk.id)
        with suppress(DamagedError):
            if body is not None:
                return self._ledger.remaining(chunk, body.unpacked())
        return None

    def _write(self, chunk: Chunk, body: Body) -> None:
        if body.items:
            self._database.add_chunk(chunk, body)
        else:
            self._database.delete("chunk", "id", [chunk.id])
