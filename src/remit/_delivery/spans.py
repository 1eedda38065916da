"""Sending spans in bulk, and reacting to what the server says of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

from remit._delivery.batches import Batch, encode_span
from remit._delivery.calls import OF_SENDING
from remit._delivery.circuit import RetryQueue
from remit._delivery.context import SenderContext
from remit._delivery.losses import loss_span, with_loss_count
from remit._delivery.reactions import Reaction, already_so, reaction, smaller_forms, whole
from remit._delivery.refusals import FAULT, Acknowledger, Refusal
from remit._delivery.runs import RunDelivery, RunRegistrar, RunTable
from remit._endpoints import bulk_raw
from remit._guard import guarded
from remit._losses import Loss
from remit._sink import Item, Kind
from remit._spool import Row
from remit.errors import ContractError, RejectedError, TooLargeError
from remit.models.bulk import BulkOutput

LOSS_ROW: Final = 0
"""Id of the row of a loss span, which is in no outbox."""


class SpanSender:
    """Sends the span items of a window, in order, batch by batch.

    Attributes:
        held: Keys of the runs of which something has to wait; their ends wait too.
    """

    def __init__(
        self, context: SenderContext, runs: RunTable, registrar: RunRegistrar, acks: Acknowledger
    ) -> None:
        """Begin with nothing to be retried."""
        self.held: set[str] = set()
        self._client = context.client
        self._losses = context.losses
        self._clock = context.clock
        self._limits = context.limits
        self._runs = runs
        self._registrar = registrar
        self._acks = acks
        self._retries: RetryQueue[int] = RetryQueue(context.clock)
        self._shrunk: dict[int, Iterator[Item]] = {}

    def send(self, rows: list[Row]) -> None:
        """Send *rows*; those that have to wait stay in the outbox.

        Raises:
            ApiError: Nothing can be sent now; what was not settled stays in the outbox.
        """
        self.held.clear()
        segments = deque([rows])
        while segments:
            batch, rest = self._fill(segments.popleft())
            if rest:
                segments.appendleft(rest)
            if batch.rows:
                segments.extendleft(reversed(self._exchange(batch)))

    def wait_s(self) -> float | None:
        """Return the seconds until a waiting row is due; `None` if no row waits."""
        return self._retries.wait_s()

    def send_losses(self, run: RunDelivery, at_ns: int | None) -> None:
        """Send what a run lost that its root span did not say: it goes on, or has ended before.

        Raises:
            ApiError: Nothing can be sent now.
        """
        batch = Batch(self._limits)
        if self._has_lost(run):
            self._add_loss_span(batch, run, at_ns)
        if batch.rows:
            self._exchange(batch)

    def _fill(self, rows: list[Row]) -> tuple[Batch, list[Row]]:
        """Return a batch of the first of *rows*, and the rest of them."""
        batch = Batch(self._limits)
        for index, row in enumerate(rows):
            if not self._add(batch, row):
                return batch, rows[index:]
        return batch, []

    def _add(self, batch: Batch, row: Row) -> bool:
        """Add a row, or put it off; return False if it belongs to the next batch."""
        item = row[1]
        run = self._runs.get(item.run_key)
        if run is None or not run.ready or (self._retries and self._waits(row)):
            self._put_off(row, run)
            return True
        if batch.full:
            return False
        if item.kind == Kind.FINISH and item.key == run.record.root and self._has_lost(run):
            # What was sent before it is settled by then: the server stops at a refusal.
            self._add_loss_span(batch, run, item.finished_ns)
            row = (row[0], with_loss_count(item, run.record))
        encoded = encode_span(row[1], run)
        if encoded is None:
            self._refuse(row, FAULT)
            return True
        key, body = encoded
        if not batch.has_room(key, body):
            return False
        batch.add(key, body, row, run)
        return True

    def _has_lost(self, run: RunDelivery) -> bool:
        self._losses.book(run.record)
        return bool(run.record.lost)

    def _add_loss_span(self, batch: Batch, run: RunDelivery, at_ns: int | None) -> None:
        """Add to *batch* what a run lost, unless the server has it."""
        if run.loss_sent:
            return
        item = loss_span(run.record, at_ns or run.record.started_ns)
        encoded = encode_span(item, run)
        if encoded is None:
            run.loss_sent = True
        else:
            batch.add(*encoded, (LOSS_ROW, item), run)

    def _waits(self, row: Row) -> bool:
        """Tell whether a row, or one of its run before it, has to wait for a next try."""
        if row[0] in self._retries:
            return self._retries.is_waiting(row[0])
        # The end of a span must not overtake its beginning.
        return row[1].kind == Kind.FINISH and row[1].run_key in self.held

    def _put_off(self, row: Row, run: RunDelivery | None) -> None:
        if run is None:
            self._acks.drop([row], Loss.RUN_UNKNOWN)
        elif run.refusal is not None:
            self._refuse(row, run.refusal)
        else:
            self.held.add(row[1].run_key)
            if not run.ready:
                # It waits for its run now, not for a time of its own.
                self._retries.remove(row[0])

    def _exchange(self, batch: Batch) -> list[list[Row]]:
        """Send a batch; return what of it is to be sent next, in order."""
        try:
            outputs = self._called(batch)
        except RejectedError as error:
            return self._split(batch, error)
        if outputs is None:
            return self._part(batch)
        if batch.rows.keys().isdisjoint(outputs):
            raise ContractError(
                "the bulk answer names none of the items that were sent; check the api_url"
            )
        refused: list[tuple[Row, RunDelivery, BulkOutput]] = []
        missing = self._take_in(batch, outputs, refused)
        again = [next_row for refusal in refused for next_row in self._react(*refusal)] + missing
        return [again] if again else []

    def _take_in(
        self,
        batch: Batch,
        outputs: Mapping[str, BulkOutput],
        refused: list[tuple[Row, RunDelivery, BulkOutput]],
    ) -> list[Row]:
        """Settle what was delivered; return what was not looked at, add what was refused."""
        now_ns = self._clock.monotonic_ns()
        delivered: list[int] = []
        missing: list[Row] = []
        for key, row in batch.rows.items():
            run, output = batch.runs[row[1].run_key], outputs.get(key)
            if row[0] == LOSS_ROW:
                # Taken or refused. One that the server did not look at is made again.
                run.loss_sent = output is not None
                continue
            if output is None:
                missing.append(row)
                continue
            run.answered_ns = now_ns
            if output.control is not None and output.control.terminate:
                run.terminate(output.control.reason)
            if output.status != "success" and not already_so(row[1], output.code):
                refused.append((row, run, output))
                continue
            delivered.append(row[0])
            if self._shrunk and self._shrunk.pop(row[0], None) is not None:
                self._losses.add(Loss.PAYLOAD_TOO_LARGE, run_key=row[1].run_key)
            if row[1].kind == Kind.FINISH and row[1].key == run.record.root:
                run.root_sent = True
        self._note_delivered(delivered)
        return missing

    def _note_delivered(self, ids: list[int]) -> None:
        self._acks.deliver(ids)
        if self._retries:
            for row_id in ids:
                self._retries.remove(row_id)

    def _react(self, row: Row, run: RunDelivery, output: BulkOutput) -> list[Row]:
        """Return the row in the form in which it is to be sent again at once, if it is."""
        match reaction(row[1].kind, output.code):
            case Reaction.CREATE:
                return [(row[0], whole(row[1]))]
            case Reaction.RENEW_RUN:
                return self._renew(row, run)
            case Reaction.TRY_AGAIN if self._try_later(row, run):
                return []
            case _:
                self._refuse(row, Refusal.of_item(output.code, output.errors or ()))
                return []

    def _renew(self, row: Row, run: RunDelivery) -> list[Row]:
        if self._renewed(run) is None:
            if not self._try_later(row, run):
                self._refuse(row, FAULT)
            return []
        if run.refusal is not None:
            self._put_off(row, run)
            return []
        return [row]

    @guarded("registering a run once more", passes=OF_SENDING)
    def _renewed(self, run: RunDelivery) -> bool:
        try:
            self._registrar.renew(run)
        except RejectedError as error:
            run.refuse(error)
        return True

    def _try_later(self, row: Row, run: RunDelivery) -> bool:
        if not self._retries.retry_later(row[0]):
            return False
        self.held.add(run.record.key)
        return True

    @guarded("the bulk call", passes=OF_SENDING)
    def _called(self, batch: Batch) -> Mapping[str, BulkOutput]:
        return self._client.call(bulk_raw(batch.bodies))

    def _part(self, batch: Batch) -> list[list[Row]]:
        """Halve a batch that a fault of remit's kept from being sent; retry a single row later."""
        halves = _halves(batch)
        if halves is not None:
            return halves
        for row in batch.rows.values():
            if not self._try_later(row, batch.runs[row[1].run_key]):
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
        self._retries.remove(row[0])
        self._shrunk.pop(row[0], None)
        self._acks.refuse([row], refusal)


def _halves(batch: Batch) -> list[list[Row]] | None:
    """Return what to send instead of a batch; None if it is a single row without a loss span."""
    rows = [row for row in batch.rows.values() if row[0] != LOSS_ROW]
    if len(rows) > 1:
        middle = len(rows) // 2
        return [rows[:middle], rows[middle:]]
    if len(rows) == len(batch.rows):
        return None
    for run in batch.runs.values():
        run.loss_sent = True
    return [rows] if rows else []
