"""Sending spans in bulk, and reacting to what the server says of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from remit._backoff import delays
from remit._clock import NS_PER_S
from remit._delivery.batches import Batch, Composer
from remit._delivery.parts import Parts
from remit._delivery.reactions import (
    MAX_TRIES,
    Reaction,
    already_so,
    reaction,
    smaller_forms,
    whole,
)
from remit._delivery.settling import FAULT, Refusal
from remit._delivery.tracks import Track
from remit._endpoints import bulk_raw
from remit._losses import Loss
from remit._sink import AnyItem, Kind
from remit._spool import Row
from remit.errors import ContractError, RejectedError, TooLargeError
from remit.models.bulk import BulkOutput

# As a plain integer: comparing with a member of an IntEnum costs twice as much.
FINISH: Final = int(Kind.FINISH)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes into one bulk request."""

    items: int
    size_bytes: int


@dataclass(slots=True)
class Trouble:
    """A row that the server refused for reasons that may pass."""

    waits: Iterator[float]
    tries: int = 0
    due_ns: int = 0


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
        self._troubles: dict[int, Trouble] = {}
        self._shrunk: dict[int, Iterator[AnyItem]] = {}

    def send(self, rows: list[Row]) -> None:
        """Send *rows*; those that have to wait stay in the outbox.

        Raises:
            ApiError: Nothing can be sent now; what was not settled stays in the outbox.
        """
        self.held.clear()
        segments = deque([rows])
        while segments:
            segment = segments.popleft()
            batch, taken = self._fill(segment)
            if taken < len(segment):
                segments.appendleft(segment[taken:])
            if batch.entries:
                segments.extendleft(reversed(self._exchange(batch)))

    def wait_s(self) -> float | None:
        """Return the seconds until a waiting row is due; `None` if no row waits."""
        if not self._troubles:
            return None
        due_ns = min(trouble.due_ns for trouble in self._troubles.values())
        return max(0.0, (due_ns - self._clock.monotonic_ns()) / NS_PER_S)

    def _fill(self, segment: Sequence[Row]) -> tuple[Batch, int]:
        """Return a batch of the first rows of *segment*, and how many rows that used up."""
        batch = Batch()
        entries, bodies = batch.entries, batch.bodies
        track_of, compose = self._tracks.get, self._composer.compose
        room_bytes = self._limits.size_bytes
        for taken, row in enumerate(segment):
            item = row[1]
            track = track_of(item[1])
            if track is None or not track.ready or (self._troubles and self._waits(row)):
                self._put_off(row, track)
                continue
            composed = compose(item, track)
            if composed is None:
                self._refuse(row, FAULT)
                continue
            key, body = composed
            room_bytes -= len(body) + 1
            # The first goes alone if it is too large for a batch; a key may stand in it once.
            if entries and (room_bytes < 0 or len(bodies) >= self._limits.items or key in entries):
                return batch, taken
            entries[key] = (row, track)
            bodies.append(body)
        return batch, len(segment)

    def _waits(self, row: Row) -> bool:
        """Tell whether a row, or one of its run before it, has to wait for a next try."""
        trouble = self._troubles.get(row[0])
        if trouble is None:
            # The end of a span must not overtake its beginning.
            return row[1][0] == FINISH and row[1][1] in self.held
        return trouble.due_ns > self._clock.monotonic_ns()

    def _put_off(self, row: Row, track: Track | None) -> None:
        if track is None:
            self._settling.drop([row], Loss.RUN_UNKNOWN)
        elif track.refusal is not None:
            self._refuse(row, track.refusal)
        else:
            self.held.add(row[1][1])

    def _exchange(self, batch: Batch) -> list[list[Row]]:
        """Send a batch; return what of it is to be sent next, in order."""
        try:
            outputs = self._door.call(bulk_raw(batch.bodies))
        except RejectedError as error:
            return self._split(batch, error)
        refused: list[tuple[Row, Track, BulkOutput]] = []
        missing = self._take_in(batch, outputs, refused)
        if len(missing) == len(batch.entries):
            raise ContractError(
                "the bulk answer names none of the items that were sent; check the api_url"
            )
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
        for key, (row, track) in batch.entries.items():
            output = outputs.get(key)
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
            if row[1][0] == FINISH and row[1][2] == track.record.root:
                track.root_sent = True
        self._note_delivered(delivered)
        return missing

    def _note_delivered(self, ids: list[int]) -> None:
        self._settling.deliver(ids)
        if self._troubles or self._shrunk:
            for row_id in ids:
                self._troubles.pop(row_id, None)
                if self._shrunk.pop(row_id, None) is not None:
                    self._losses.add(Loss.PAYLOAD_TOO_LARGE)

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
        try:
            self._opening.renew(track)
        except RejectedError as error:
            track.refuse(error)
            self._put_off(row, track)
            return []
        return [row]

    def _try_later(self, row: Row, track: Track) -> bool:
        trouble = self._troubles.setdefault(row[0], Trouble(delays()))
        trouble.tries += 1
        if trouble.tries >= MAX_TRIES:
            return False
        trouble.due_ns = self._clock.monotonic_ns() + int(next(trouble.waits) * NS_PER_S)
        self.held.add(track.record.key)
        return True

    def _split(self, batch: Batch, error: RejectedError) -> list[list[Row]]:
        """Halve a batch that was refused as a whole; shrink, then set aside, a single row."""
        rows = [row for row, _ in batch.entries.values()]
        if len(rows) > 1:
            middle = len(rows) // 2
            return [rows[:middle], rows[middle:]]
        row_id, item = rows[0]
        smaller: AnyItem | None = None
        if isinstance(error, TooLargeError):
            smaller = next(self._shrunk.setdefault(row_id, smaller_forms(item)), None)
        if smaller is not None:
            return [[(row_id, smaller)]]
        self._refuse(rows[0], Refusal.of_item(error.code or f"http_{error.status}", error.errors))
        return []

    def _refuse(self, row: Row, refusal: Refusal) -> None:
        self._troubles.pop(row[0], None)
        self._shrunk.pop(row[0], None)
        self._settling.refuse([row], refusal)
