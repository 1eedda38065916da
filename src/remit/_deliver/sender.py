"""The sender: reads a window of the outbox, opens its runs, sends its spans, ends its runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import guarded
from remit._deliver import calls
from remit._deliver.batches import Batch, BatchLimits, encode_span
from remit._deliver.calls import SEND_ERRORS, DeadlineClient, OutOfTimeError
from remit._deliver.circuit import CircuitBreaker, RetryQueue
from remit._deliver.losses import Loss, Losses, loss_span, with_loss_count
from remit._deliver.reactions import Reaction, is_already_done, reaction, smaller_forms, whole_span
from remit._deliver.refusals import FAULT, RUN_FAULT, Acknowledger, Refusal, Tally
from remit._deliver.runs import RunDelivery, RunRegistrar, RunTable, UnregistrableError
from remit._deliver.spool import Outbox, Row
from remit._record.items import Item, Kind
from remit.client.endpoints import AnswerTooLongError, bulk_raw
from remit.errors import (
    ContractError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from remit.models.bulk import BulkOutput

SPAN_KINDS: Final = (Kind.SPAN, Kind.FINISH)
# A few batches: the runs that start and end in one window share bulk requests.
WINDOW_BATCHES: Final = 4
# Most runs that are polled in one step, so that many open runs cause no burst of requests.
MAX_POLLS: Final = 20
LOSS_ROW: Final = 0
"""Id of the row of a loss span, which is in no outbox."""


@dataclass(frozen=True, slots=True)
class SenderContext:
    """The objects and settings that all senders of one process share.

    Attributes:
        client: Sends calls.
        circuit: The circuit breaker of the target.
        losses: Counts dropped items.
        tally: Counts rows that were delivered or set aside.
        limits: Most items and bytes of one bulk request.
        poll_interval_s: Seconds without an answer about a run before it is polled.
        stream_interval_s: The same, while a stream of the run is open.
        clock: The time.
    """

    client: DeadlineClient
    circuit: CircuitBreaker
    losses: Losses
    tally: Tally
    limits: BatchLimits
    poll_interval_s: float
    stream_interval_s: float
    clock: Clock


class Sender:
    """Delivers the rows of an outbox; its methods are called by one thread at a time.

    Attributes:
        step_running: A step runs: rows may be settled before the circuit is updated.
    """

    def __init__(self, outbox: Outbox, runs: RunTable, context: SenderContext) -> None:
        """Send nothing yet.

        Args:
            outbox: Holds the rows to send.
            runs: The runs of the rows.
            context: Shared by all senders of the process.
        """
        self._outbox = outbox
        self._runs = runs
        self._client = context.client
        self._circuit = context.circuit
        self._clock = context.clock
        self._poll_interval_s = context.poll_interval_s
        self._stream_interval_s = context.stream_interval_s
        self._window_items = WINDOW_BATCHES * context.limits.items
        self._registrar = RunRegistrar(context.client, outbox, context.clock, context.tally)
        self._acks = Acknowledger(outbox, context.losses, context.tally, context.circuit)
        self._spans = SpanSender(context, runs, self._registrar, self._acks)
        self._next_poll_ns = 0
        self._forced = False
        self.step_running = False
        # Retries after faults of remit's: the fault of one run must not block the others.
        self._run_retries: RetryQueue[str] = RetryQueue(context.clock)
        self._row_retries: RetryQueue[int] = RetryQueue(context.clock)

    def force(self) -> None:
        """Make the next step try although the circuit is open, unless the server asked to wait."""
        self._forced = True

    def step(self) -> float:
        """Send one window; return the seconds until the next step."""
        forced, self._forced = self._forced, False
        wait_s = self._circuit.wait_s(forced=forced)
        if wait_s > 0:
            return wait_s
        settled, advanced = self._acks.settled, self._registrar.advanced
        self.step_running = True
        try:
            self._try()
        except OutOfTimeError:
            return self._poll_interval_s
        except (UnavailableError, UnauthorizedError, ContractError) as error:
            # An answer alone is no success: it may be a refusal that comes again at each try.
            kept = (self._acks.settled, self._registrar.advanced) != (settled, advanced)
            return self._circuit.failed(error, after_success=kept)
        finally:
            self.step_running = False
        return 0.0 if self._acks.settled != settled else self._next_step_s()

    def _try(self) -> None:
        answered = self._client.answered
        self._send_window()
        self._poll_runs()
        if self._client.answered != answered:
            self._circuit.succeeded()

    def _send_window(self) -> None:
        rows = self._outbox.head(self._window_items)
        if self._run_retries:
            # The rows of a waiting run may have been dropped since.
            self._run_retries.keep_only({item.run_key for _, item in rows})
        if not rows:
            self._runs.end_orphaned()
            return
        others = [row for row in rows if row[1].kind not in SPAN_KINDS]
        self._open_runs(rows, [row for row in others if row[1].kind == Kind.RUN])
        # Most windows hold only spans.
        spans = [row for row in rows if row[1].kind in SPAN_KINDS] if others else rows
        self._spans.send(spans)
        for row in others:
            if row[1].kind != Kind.RUN:
                self._send_end(row)

    def _open_runs(self, rows: list[Row], run_starts: list[Row]) -> None:
        """Open the runs of *rows*; settle *run_starts*, the rows of kind `RUN` among them."""
        for run_key in dict.fromkeys([item.run_key for _, item in rows]):
            run = self._runs.get(run_key)
            if run is None or run.ready or run.refusal is not None:
                continue
            if not self._run_retries.is_waiting(run_key):
                self._open(run)
        opened: list[int] = []
        for row in run_starts:
            run = self._runs.get(row[1].run_key)
            if run is None:
                self._acks.drop([row], Loss.RUN_UNKNOWN)
            elif run.refusal is not None:
                self._acks.refuse([row], run.refusal)
            elif run.ready:
                opened.append(row[0])
        self._acks.deliver(opened)

    def _open(self, run: RunDelivery) -> None:
        """Open a run; retry a few times after a fault of remit's."""
        if self._register(run):
            self._run_retries.remove(run.record.key)
        elif not self._run_retries.retry_later(run.record.key):
            run.refuse(RUN_FAULT)

    @guarded("opening a run at the server", passes=SEND_ERRORS)
    def _register(self, run: RunDelivery) -> bool:
        try:
            self._registrar.open(run)
        except UnregistrableError:
            agent = run.record.registration.external_identifier
            run.refuse(Refusal.of_no_registration(agent))
        except RejectedError as error:
            run.refuse(error)
        return True

    def _send_end(self, row: Row) -> None:
        row_id, item = row
        run = self._runs.get(item.run_key)
        if run is None:
            self._acks.drop([row], Loss.RUN_UNKNOWN)
            return
        if item.run_key in self._spans.blocked_runs or not (run.ready or run.refusal):
            # It waits for other rows now, not for its own retry.
            self._row_retries.remove(row_id)
            return
        if self._row_retries.is_waiting(row_id):
            return
        refused = run.refusal or self._send_row(row, run)
        if refused is None:
            if self._row_retries.retry_later(row_id):
                return
            refused = FAULT
        self._row_retries.remove(row_id)
        if item.kind == Kind.CLOSE:
            # Before the row is settled, because settling also writes the run's record.
            self._runs.end(run)
        if isinstance(refused, Refusal):
            self._acks.refuse([row], refused)
        else:
            self._acks.deliver([row_id])

    @guarded("the end or a quality payload of a run", passes=SEND_ERRORS)
    def _send_row(self, row: Row, run: RunDelivery) -> Refusal | bool:
        """Make the call of a row; return the server's refusal, False without one."""
        try:
            try:
                self._call_for(row, run)
            except NotFoundError:
                self._registrar.renew(run)
                self._call_for(row, run)
        except RejectedError as error:
            if row[1].kind == Kind.CLOSE and error.status == HTTPStatus.CONFLICT:
                return False
            return Refusal.of_item(error.code or f"http_{error.status}", error.errors)
        return False

    def _call_for(self, row: Row, run: RunDelivery) -> None:
        item, instance_id = row[1], run.record.instance_id or ""
        if item.kind == Kind.CLOSE:
            self._spans.send_losses(run, item.finished_ns)
        if item.kind == Kind.CLOSE and item.status is None:
            return  # left open: nothing is sent
        describe = calls.finish if item.kind == Kind.CLOSE else calls.quality
        self._client.call(describe(item, instance_id))
        run.answered_ns = self._clock.monotonic_ns()

    def _poll_runs(self) -> None:
        """Poll runs without a recent answer: they may have been terminated."""
        if self._client.limit is not None:
            return
        now_ns = self._clock.monotonic_ns()
        due = [run for run in self._runs.running() if self._poll_due_ns(run) <= now_ns]
        if due:
            self._next_poll_ns = now_ns + int(self._stream_interval_s * NS_PER_S)
        for run in sorted(due, key=lambda run: run.answered_ns)[:MAX_POLLS]:
            self._poll_run(run)

    def _poll_due_ns(self, run: RunDelivery) -> int:
        due_ns = run.answered_ns + int(self._poll_interval_s * NS_PER_S)
        if not run.streaming:
            return due_ns
        soon_ns = run.answered_ns + int(self._stream_interval_s * NS_PER_S)
        return min(due_ns, max(soon_ns, self._next_poll_ns))

    @guarded("looking after a run", passes=SEND_ERRORS)
    def _poll_run(self, run: RunDelivery) -> None:
        run.answered_ns = self._clock.monotonic_ns()
        try:
            instance = self._client.call(calls.get_instance(run.record.instance_id or ""))
        except RejectedError:
            return
        run.note_status(instance.status, instance.termination_reason)

    def _next_step_s(self) -> float:
        """Return the seconds until a waiting row or the poll of a run is due."""
        rests = [self._poll_interval_s]
        waiting = (self._spans, self._run_retries, self._row_retries)
        rests += [wait_s for queue in waiting if (wait_s := queue.wait_s()) is not None]
        running = self._runs.running()
        if running:
            due_ns = min(map(self._poll_due_ns, running))
            rests.append(max(0.0, (due_ns - self._clock.monotonic_ns()) / NS_PER_S))
        return min(rests)


class SpanSender:
    """Sends the span items of a window, in order, batch by batch.

    Attributes:
        blocked_runs: Keys of the runs with a span that has to wait; their ends wait too.
    """

    def __init__(
        self, context: SenderContext, runs: RunTable, registrar: RunRegistrar, acks: Acknowledger
    ) -> None:
        """Start with nothing to retry."""
        self.blocked_runs: set[str] = set()
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
            ApiError: Nothing can be sent now; the remaining rows stay in the outbox.
        """
        self.blocked_runs.clear()
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
        """Send the losses of a run that are not in its root span, which is open or ended before.

        Raises:
            ApiError: Nothing can be sent now.
        """
        batch = Batch(self._limits)
        if self._has_lost(run):
            self._add_loss_span(batch, run, at_ns)
        if batch.rows:
            self._exchange(batch)

    def _fill(self, rows: list[Row]) -> tuple[Batch, list[Row]]:
        """Return a batch of the first *rows*, and the remaining rows."""
        batch = Batch(self._limits)
        for index, row in enumerate(rows):
            if not self._add(batch, row):
                return batch, rows[index:]
        return batch, []

    def _add(self, batch: Batch, row: Row) -> bool:
        """Add a row to *batch*, or postpone it; return False if it belongs to the next batch."""
        item = row[1]
        run = self._runs.get(item.run_key)
        if run is None or not run.ready or (self._retries and self._must_wait(row)):
            self._postpone(row, run)
            return True
        if batch.full:
            return False
        if item.kind == Kind.FINISH and item.key == run.record.root and self._has_lost(run):
            # The rows before it are settled when it is processed: the server stops at a refusal.
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
        self._losses.record_losses(run.record)
        return bool(run.record.lost)

    def _add_loss_span(self, batch: Batch, run: RunDelivery, at_ns: int | None) -> None:
        """Add the loss span of a run to *batch*, unless the server has it."""
        if run.loss_sent:
            return
        item = loss_span(run.record, at_ns or run.record.started_ns)
        encoded = encode_span(item, run)
        if encoded is None:
            run.loss_sent = True
        else:
            batch.add(*encoded, (LOSS_ROW, item), run)

    def _must_wait(self, row: Row) -> bool:
        """Return whether a row, or an earlier one of its run, has to wait for a retry."""
        if row[0] in self._retries:
            return self._retries.is_waiting(row[0])
        # The end of a span must not overtake its beginning.
        return row[1].kind == Kind.FINISH and row[1].run_key in self.blocked_runs

    def _postpone(self, row: Row, run: RunDelivery | None) -> None:
        if run is None:
            self._acks.drop([row], Loss.RUN_UNKNOWN)
        elif run.refusal is not None:
            self._refuse(row, run.refusal)
        else:
            self.blocked_runs.add(row[1].run_key)
            if not run.ready:
                # It waits for its run now, not for its own retry.
                self._retries.remove(row[0])

    def _exchange(self, batch: Batch) -> list[list[Row]]:
        """Send a batch; return the segments of it to send next, in order."""
        try:
            outputs = self._call_bulk(batch)
        except AnswerTooLongError:
            # The outputs of ended spans hold their payloads, so half the items may fit.
            halves = _halves(batch)
            if halves is None:
                raise
            return halves
        except RejectedError as error:
            return self._halve_refused(batch, error)
        if outputs is None:
            return self._halve_after_fault(batch)
        if batch.rows.keys().isdisjoint(outputs):
            raise ContractError(
                "the bulk answer names none of the items that were sent; check the api_url"
            )
        refused: list[tuple[Row, RunDelivery, BulkOutput]] = []
        missing = self._settle_outputs(batch, outputs, refused)
        again = [next_row for refusal in refused for next_row in self._react(*refusal)] + missing
        return [again] if again else []

    def _settle_outputs(
        self,
        batch: Batch,
        outputs: Mapping[str, BulkOutput],
        refused: list[tuple[Row, RunDelivery, BulkOutput]],
    ) -> list[Row]:
        """Settle delivered rows, add refused ones to *refused*, return unprocessed ones."""
        now_ns = self._clock.monotonic_ns()
        delivered: list[int] = []
        missing: list[Row] = []
        for key, row in batch.rows.items():
            run, output = batch.runs[row[1].run_key], outputs.get(key)
            if row[0] == LOSS_ROW:
                # Taken or refused. One that the server did not process is built again.
                run.loss_sent = output is not None
                continue
            if output is None:
                missing.append(row)
                continue
            run.answered_ns = now_ns
            if output.control is not None and output.control.terminate:
                run.terminate(output.control.reason)
            if output.status != "success" and not is_already_done(row[1], output.code):
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
        """React to a refusal; return the row as it is to be sent again now, if at all."""
        match reaction(row[1].kind, output.code):
            case Reaction.CREATE:
                return [(row[0], whole_span(row[1]))]
            case Reaction.RENEW_RUN:
                return self._renew(row, run)
            case Reaction.TRY_AGAIN if self._retry_later(row, run):
                return []
            case _:
                self._refuse(row, Refusal.of_item(output.code, output.errors or ()))
                return []

    def _renew(self, row: Row, run: RunDelivery) -> list[Row]:
        if self._register_again(run) is None:
            if not self._retry_later(row, run):
                self._refuse(row, FAULT)
            return []
        if run.refusal is not None:
            self._postpone(row, run)
            return []
        return [row]

    @guarded("registering a run once more", passes=SEND_ERRORS)
    def _register_again(self, run: RunDelivery) -> bool:
        try:
            self._registrar.renew(run)
        except RejectedError as error:
            run.refuse(error)
        return True

    def _retry_later(self, row: Row, run: RunDelivery) -> bool:
        if not self._retries.retry_later(row[0]):
            return False
        self.blocked_runs.add(run.record.key)
        return True

    @guarded("the bulk call", passes=SEND_ERRORS)
    def _call_bulk(self, batch: Batch) -> Mapping[str, BulkOutput]:
        return self._client.call(bulk_raw(batch.bodies))

    def _halve_after_fault(self, batch: Batch) -> list[list[Row]]:
        """Halve a batch that was not sent because of a fault; retry a single row later."""
        halves = _halves(batch)
        if halves is not None:
            return halves
        for row in batch.rows.values():
            if not self._retry_later(row, batch.runs[row[1].run_key]):
                self._refuse(row, FAULT)
        return []

    def _halve_refused(self, batch: Batch, error: RejectedError) -> list[list[Row]]:
        """Halve a batch that was refused as a whole; shrink a single row, or set it aside."""
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
    """Return the segments to send in place of a batch; None if it is one row, no loss span."""
    rows = [row for row in batch.rows.values() if row[0] != LOSS_ROW]
    if len(rows) > 1:
        middle = len(rows) // 2
        return [rows[:middle], rows[middle:]]
    if len(rows) == len(batch.rows):
        return None
    for run in batch.runs.values():
        run.loss_sent = True
    return [rows] if rows else []
