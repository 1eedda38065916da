"""Sending spans in bulk, and reacting to what the server says of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from remit._delivery.batches import Batch, Composer
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
from remit._sink import AnyItem, Kind
from remit._spool import Row
from remit.errors import ContractError, RejectedError, TooLargeError
from remit.models.bulk import BulkOutput

# As a plain integer: comparing with a member of an IntEnum costs twice as much.
FINISH: Final = int(Kind.FINISH)
TELLING: Final = 0
"""Stands in the place of a row's id for what a run lost: it is in no outbox."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes into one bulk request."""

    items: int
    size_bytes: int


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
        self._shrunk: dict[int, Iterator[AnyItem]] = {}
        # Key and JSON of rows that come next, by id; what an answer changes is composed anew.
        self._ahead: dict[int, tuple[str, bytes]] = {}

    def send(self, rows: list[Row]) -> None:
        """Send *rows*; those that have to wait stay in the outbox.

        Raises:
            ApiError: Nothing can be sent now; what was not settled stays in the outbox.
        """
        self.held.clear()
        self._ahead.clear()
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
        batch = Batch()
        self._compose_ahead(segment)
        rows, bodies, ahead = batch.rows, batch.bodies, self._ahead
        room_bytes, room_items = self._limits.size_bytes, self._limits.items
        run_key, track, ready = "", None, False
        for taken, row in enumerate(segment):
            item = row[1]
            if item[1] != run_key:
                run_key = item[1]
                track = self._tracks.get(run_key)
                ready = track is not None and track.ready
            if track is None or not ready or (self._troubles and self._waits(row)):
                self._put_off(row, track)
                continue
            if room_items <= 0:
                return batch, taken
            as_sent = row
            if item[0] == FINISH and item[2] == track.record.root:
                batch.ends_runs = True
                if self._has_lost(track):
                    told_bytes = self._add_telling(batch, track, item[6])
                    room_bytes, room_items = room_bytes - told_bytes, room_items - bool(told_bytes)
                    as_sent = (row[0], corrected(item, track.record))
            composed = ahead.get(row[0]) if as_sent is row else None
            composed = composed or self._composer.compose(as_sent[1], track)
            if composed is None:
                self._refuse(row, FAULT)
                continue
            key, body = composed
            room_bytes -= len(body) + 1
            # The first goes alone if it is too large for a batch; a key may stand in it once.
            if rows and (room_bytes < 0 or room_items <= 0 or key in rows):
                return batch, taken
            room_items -= 1
            rows[key] = as_sent
            bodies.append(body)
            batch.tracks[run_key] = track
            ahead.pop(row[0], None)
        return batch, len(segment)

    def _compose_ahead(self, rows: Sequence[Row]) -> None:
        """Compose what fits into a batch of *rows*, but for what is composed already."""
        ahead, room_bytes = self._ahead, self._limits.size_bytes
        next_rows = rows[: self._limits.items]
        if len(ahead) >= len(next_rows):
            return
        missing: list[Row] = []
        for row in next_rows:
            composed = ahead.get(row[0])
            if composed is None:
                missing.append(row)
            else:
                room_bytes -= len(composed[1])
        if room_bytes > 0:
            # After a fault each is composed alone, so that it is lost alone.
            ahead.update(self._composer.compose_many(missing, self._tracks.get, room_bytes) or {})

    def _has_lost(self, track: Track) -> bool:
        self._losses.book(track.record)
        return bool(track.record.lost)

    def _add_telling(self, batch: Batch, track: Track, at_ns: int | None) -> int:
        """Add to *batch* what a run lost, unless that was told; return the bytes it takes.

        What was sent before it is settled by then: the server stops at a refusal.
        """
        if track.told:
            return 0
        item = telling(track.record, at_ns or track.record.started_ns)
        composed = self._composer.compose(item, track)
        if composed is None:
            track.told = True
            return 0
        key, body = composed
        batch.rows[key] = (TELLING, item)
        batch.tracks[item[1]] = track
        batch.bodies.append(body)
        batch.ends_runs = True
        return len(body) + 1

    def _waits(self, row: Row) -> bool:
        """Tell whether a row, or one of its run before it, has to wait for a next try."""
        if row[0] in self._troubles:
            return self._troubles.waits(row[0])
        # The end of a span must not overtake its beginning.
        return row[1][0] == FINISH and row[1][1] in self.held

    def _put_off(self, row: Row, track: Track | None) -> None:
        if track is None:
            self._settling.drop([row], Loss.RUN_UNKNOWN)
        elif track.refusal is not None:
            self._refuse(row, track.refusal)
        else:
            self.held.add(row[1][1])
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
            self._ahead.clear()
            return self._split(batch, error)
        if outputs is None:
            self._ahead.clear()
            return self._part(batch)
        if batch.rows.keys().isdisjoint(outputs):
            raise ContractError(
                "the bulk answer names none of the items that were sent; check the api_url"
            )
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
        if self._all_done(batch, outputs):
            for track in batch.tracks.values():
                track.answered_ns = now_ns
            self._note_delivered([row[0] for row in batch.rows.values()])
            return []
        self._ahead.clear()
        delivered: list[int] = []
        missing: list[Row] = []
        for key, row in batch.rows.items():
            track, output = batch.tracks[row[1][1]], outputs.get(key)
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
                self._losses.add(Loss.PAYLOAD_TOO_LARGE, run_key=row[1][1])
            if row[1][0] == FINISH and row[1][2] == track.record.root:
                track.root_sent = True
        self._note_delivered(delivered)
        return missing

    def _all_done(self, batch: Batch, outputs: Mapping[str, BulkOutput]) -> bool:
        """Tell whether every item was taken and nothing else is to be noted of any, as mostly."""
        if batch.ends_runs or self._shrunk or batch.rows.keys() != outputs.keys():
            return False
        return all(output is DONE for output in outputs.values())

    def _note_delivered(self, ids: list[int]) -> None:
        self._settling.deliver(ids)
        if self._troubles:
            for row_id in ids:
                self._troubles.over(row_id)

    def _react(self, row: Row, track: Track, output: BulkOutput) -> list[Row]:
        """Return the row in the form in which it is to be sent again at once, if it is."""
        match reaction(row[1][0], output.code):
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
        return self._door.call(bulk_raw(batch.bodies, lambda: self._compose_ahead(later)))

    def _part(self, batch: Batch) -> list[list[Row]]:
        """Halve a batch that a fault of ours kept from being sent; try a single row later."""
        halves = _halves(batch)
        if halves is not None:
            return halves
        for row in batch.rows.values():
            if not self._try_later(row, batch.tracks[row[1][1]]):
                self._refuse(row, FAULT)
        return []

    def _split(self, batch: Batch, error: RejectedError) -> list[list[Row]]:
        """Halve a batch that was refused as a whole; shrink, then set aside, a single row."""
        halves = _halves(batch)
        if halves is not None:
            return halves
        ((row_id, item),) = batch.rows.values()
        smaller: AnyItem | None = None
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
