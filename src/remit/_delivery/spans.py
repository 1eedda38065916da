"""Sending spans in bulk, and reacting to what the server says of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from remit._delivery.batches import Batch, BatchLimits, Composer
from remit._delivery.calls import OF_SENDING
from remit._delivery.lost import corrected, telling
from remit._delivery.parts import Parts
from remit._delivery.reactions import (
    Reaction,
    already_so,
    reaction,
    smaller_forms,
    whole,
)
from remit._delivery.settling import FAULT, Refusal
from remit._delivery.tracks import Track
from remit._delivery.troubles import Troubles
from remit._endpoints import DONE, bulk_raw
from remit._guard import guarded
from remit._losses import Loss
from remit._sink import Item, Kind
from remit._spool import Row
from remit.errors import ContractError, RejectedError, TooLargeError
from remit.models.bulk import BulkOutput

TELLING: Final = 0
"""Stands in the place of a row's id for what a run lost: it is in no outbox."""


class Spans:
    """Sends the span items of a window, in order, batch by batch.

    Attributes:
        held: Keys of the runs of which something has to wait; their ends wait too.
    """

    def __init__(self, parts: Parts, limits: BatchLimits) -> None:
        """Begin with no trouble."""
        self.held: set[str] = set()
        self._door = parts.door
        self._tracks = parts.tracks
        self._opening = parts.opening
        self._settling = parts.settling
        self._losses = parts.losses
        self._clock = parts.clock
        self._limits = limits
        self._composer = Composer()
        self._troubles: Troubles[int] = Troubles(parts.clock)
        self._shrunk: dict[int, Iterator[Item]] = {}
        # Of the rows that come next; composed anew if an answer may have changed what is right.
        self._ahead = Batch()

    def send(self, rows: list[Row]) -> None:
        """Send *rows*; those that have to wait stay in the outbox.

        Raises:
            ApiError: Nothing can be sent now; what was not settled stays in the outbox.
        """
        self.held.clear()
        self._ahead = Batch()
        segments = deque([rows])
        while segments:
            segment = segments.popleft()
            batch, taken = self._fill(segment)
            rest = segment[taken:]
            if rest:
                segments.appendleft(rest)
            if batch.rows:
                segments.extendleft(reversed(self._exchange(batch, rest)))

    def wait_s(self) -> float | None:
        """Return the seconds until a waiting row is due; `None` if no row waits."""
        return self._troubles.wait_s()

    def tell(self, track: Track, at_ns: int | None) -> None:
        """Tell what a run lost that its root span did not tell: it goes on, or has ended before.

        Raises:
            ApiError: Nothing can be sent now.
        """
        batch = Batch()
        if self._has_lost(track) and self._add_telling(batch, track, at_ns):
            self._exchange(batch, [])

    def _fill(self, segment: Sequence[Row]) -> tuple[Batch, int]:
        """Return a batch of the first rows of *segment*, and how many rows that used up."""
        batch, self._ahead = self._ahead, Batch()
        taken = len(batch.rows) or self._extend(batch, segment)
        while taken < len(segment) and self._add(batch, segment[taken]):
            taken += 1
            taken += self._extend(batch, segment[taken:])
        return batch, taken

    def _fill_ahead(self, segment: Sequence[Row]) -> None:
        self._ahead = Batch()
        self._extend(self._ahead, segment)

    def _extend(self, batch: Batch, rows: Sequence[Row]) -> int:
        """Add the first of *rows* that need no closer look; return how many those are."""
        if self._troubles:
            return 0
        extend, track_of = self._composer.extend, self._tracks.get
        # After a fault each is composed alone, so that it is lost alone.
        return extend(batch, rows, self._limits, track_of, self._has_lost) or 0

    def _add(self, batch: Batch, row: Row) -> bool:
        """Add a row, or put it off; tell whether it is dealt with, and not the next batch's."""
        item = row[1]
        track = self._tracks.get(item.run_key)
        if track is None or not track.ready or (self._troubles and self._waits(row)):
            self._put_off(row, track)
            return True
        if len(batch.bodies) >= self._limits.items:
            return False
        ends_run = item.kind == Kind.FINISH and item.key == track.record.root
        if ends_run and self._has_lost(track):
            # What was sent before it is settled by then: the server stops at a refusal.
            self._add_telling(batch, track, item.finished_ns)
            row = (row[0], corrected(item, track.record))
        composed = self._composer.compose(row[1], track)
        if composed is None:
            self._refuse(row, FAULT)
            return True
        key, body = composed
        # The first goes alone if it is too large for a batch; a key may stand in it once.
        full = len(batch.bodies) >= self._limits.items or key in batch.rows
        if batch.rows and (full or batch.size_bytes + len(body) + 1 > self._limits.size_bytes):
            return False
        batch.add(key, body, row, track)
        if ends_run:
            batch.roots.append(track)
        return True

    def _has_lost(self, track: Track) -> bool:
        self._losses.book(track.record)
        return bool(track.record.lost)

    def _add_telling(self, batch: Batch, track: Track, at_ns: int | None) -> bool:
        """Add to *batch* what a run lost; tell whether that is not told yet, and could be."""
        if track.told:
            return False
        item = telling(track.record, at_ns or track.record.started_ns)
        composed = self._composer.compose(item, track)
        if composed is None:
            track.told = True
            return False
        key, body = composed
        batch.add(key, body, (TELLING, item), track)
        batch.tells = True
        return True

    def _waits(self, row: Row) -> bool:
        """Tell whether a row, or one of its run before it, has to wait for a next try."""
        if row[0] in self._troubles:
            return self._troubles.waits(row[0])
        # The end of a span must not overtake its beginning.
        return row[1].kind == Kind.FINISH and row[1].run_key in self.held

    def _put_off(self, row: Row, track: Track | None) -> None:
        if track is None:
            self._settling.drop([row], Loss.RUN_UNKNOWN)
        elif track.refusal is not None:
            self._refuse(row, track.refusal)
        else:
            self.held.add(row[1].run_key)
            if not track.ready:
                # It waits for its run now, not for a time of its own.
                self._troubles.over(row[0])

    def _exchange(self, batch: Batch, later: Sequence[Row]) -> list[list[Row]]:
        """Send a batch; return what of it is to be sent next, in order.

        While the server works, what comes *later* is composed.
        """
        try:
            outputs = self._called(batch, later)
        except RejectedError as error:
            self._ahead = Batch()
            return self._split(batch, error)
        if outputs is None:
            self._ahead = Batch()
            return self._part(batch)
        if batch.rows.keys().isdisjoint(outputs):
            raise ContractError(
                "the bulk answer names none of the items that were sent; check the api_url"
            )
        if self._all_done(batch, outputs):
            self._note_all_done(batch)
            return []
        self._ahead = Batch()
        refused: list[tuple[Row, Track, BulkOutput]] = []
        missing = self._take_in(batch, outputs, refused)
        again = [next_row for told in refused for next_row in self._react(*told)] + missing
        return [again] if again else []

    def _take_in(
        self,
        batch: Batch,
        outputs: Mapping[str, BulkOutput],
        refused: list[tuple[Row, Track, BulkOutput]],
    ) -> list[Row]:
        """Settle what was delivered; return what was not looked at, add what was refused."""
        now_ns = self._clock.monotonic_ns()
        delivered: list[int] = []
        missing: list[Row] = []
        for key, row in batch.rows.items():
            track, output = batch.tracks[row[1].run_key], outputs.get(key)
            if row[0] == TELLING:
                # Told or refused: a loss of it is none. What was not looked at is made anew.
                track.told = output is not None
                continue
            if output is None:
                missing.append(row)
                continue
            track.answered_ns = now_ns
            if output.control is not None and output.control.terminate:
                track.terminate(output.control.reason)
            if output.status != "success" and not already_so(row[1], output.code):
                refused.append((row, track, output))
                continue
            delivered.append(row[0])
            if self._shrunk and self._shrunk.pop(row[0], None) is not None:
                self._losses.add(Loss.PAYLOAD_TOO_LARGE, run_key=row[1].run_key)
            if row[1].kind == Kind.FINISH and row[1].key == track.record.root:
                track.root_sent = True
        self._note_delivered(delivered)
        return missing

    def _all_done(self, batch: Batch, outputs: Mapping[str, BulkOutput]) -> bool:
        """Tell whether every item was taken, as mostly, and nothing else is to be noted of any."""
        if batch.tells or self._shrunk or batch.rows.keys() != outputs.keys():
            return False
        return all(output is DONE for output in outputs.values())

    def _note_all_done(self, batch: Batch) -> None:
        now_ns = self._clock.monotonic_ns()
        for track in batch.tracks.values():
            track.answered_ns = now_ns
        for track in batch.roots:
            track.root_sent = True
        self._note_delivered([row[0] for row in batch.rows.values()])

    def _note_delivered(self, ids: list[int]) -> None:
        self._settling.deliver(ids)
        if self._troubles:
            for row_id in ids:
                self._troubles.over(row_id)

    def _react(self, row: Row, track: Track, output: BulkOutput) -> list[Row]:
        """Return the row in the form in which it is to be sent again at once, if it is."""
        match reaction(row[1].kind, output.code):
            case Reaction.CREATE:
                return [(row[0], whole(row[1]))]
            case Reaction.RENEW_RUN:
                return self._renew(row, track)
            case Reaction.TRY_AGAIN if self._try_later(row, track):
                return []
            case _:
                self._refuse(row, Refusal.of_item(output.code, output.errors or ()))
                return []

    def _renew(self, row: Row, track: Track) -> list[Row]:
        if self._renewed(track) is None:
            if not self._try_later(row, track):
                self._refuse(row, FAULT)
            return []
        if track.refusal is not None:
            self._put_off(row, track)
            return []
        return [row]

    @guarded("registering a run once more", passes=OF_SENDING)
    def _renewed(self, track: Track) -> bool:
        try:
            self._opening.renew(track)
        except RejectedError as error:
            track.refuse(error)
        return True

    def _try_later(self, row: Row, track: Track) -> bool:
        if not self._troubles.again(row[0]):
            return False
        self.held.add(track.record.key)
        return True

    @guarded("the bulk call", passes=OF_SENDING)
    def _called(self, batch: Batch, later: Sequence[Row]) -> Mapping[str, BulkOutput]:
        return self._door.call(bulk_raw(batch.bodies, lambda: self._fill_ahead(later)))

    def _part(self, batch: Batch) -> list[list[Row]]:
        """Halve a batch that a fault of ours kept from being sent; try a single row later."""
        halves = _halves(batch)
        if halves is not None:
            return halves
        for row in batch.rows.values():
            if not self._try_later(row, batch.tracks[row[1].run_key]):
                self._refuse(row, FAULT)
        return []

    def _split(self, batch: Batch, error: RejectedError) -> list[list[Row]]:
        """Halve a batch that was refused as a whole; shrink, then set aside, a single row."""
        halves = _halves(batch)
        if halves is not None:
            return halves
        ((row_id, item),) = batch.rows.values()
        smaller: Item | None = None
        if isinstance(error, TooLargeError):
            smaller = next(self._shrunk.setdefault(row_id, smaller_forms(item)), None)
        if smaller is not None:
            return [[(row_id, smaller)]]
        refusal = Refusal.of_item(error.code or f"http_{error.status}", error.errors)
        self._refuse((row_id, item), refusal)
        return []

    def _refuse(self, row: Row, refusal: Refusal) -> None:
        self._troubles.over(row[0])
        self._shrunk.pop(row[0], None)
        self._settling.refuse([row], refusal)


def _halves(batch: Batch) -> list[list[Row]] | None:
    """Return what to send in place of a batch; None if it is a single row, and no loss is told."""
    rows = [row for row in batch.rows.values() if row[0] != TELLING]
    if len(rows) > 1:
        middle = len(rows) // 2
        return [rows[:middle], rows[middle:]]
    if len(rows) == len(batch.rows):
        return None
    for track in batch.tracks.values():
        track.told = True
    return [rows] if rows else []
