"""The sender: reads a window of the outbox, opens its runs, sends its spans, ends its runs."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from msgspec.structs import replace

from remit._base import guard
from remit._base.backoff import delays
from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import guarded
from remit._deliver import calls
from remit._deliver.batches import Batch, BatchLimits, Operation, describe_span, encode_bulk
from remit._deliver.calls import SEND_ERRORS, DeadlineClient, OutOfTimeError
from remit._deliver.circuit import CircuitBreaker, Retry
from remit._deliver.losses import Loss, Losses, loss_span, with_loss_count
from remit._deliver.reactions import (
    FAULT,
    MAX_TRIES,
    RUN_FAULT,
    Reaction,
    Refusal,
    is_already_done,
    reaction,
    without_contents,
)
from remit._deliver.run_delivery import RunDeliveries, RunDelivery, RunRegistrar
from remit._deliver.spool import Outbox, Row
from remit._deliver.status import Tally
from remit._record.items import Item, ItemKind
from remit.client.endpoints import SUCCEEDED, AnswerTooLongError, bulk_raw
from remit.errors import (
    ApiError,
    ContractError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from remit.models.bulk import BulkOutput

SPAN_KINDS: Final = (ItemKind.SPAN, ItemKind.FINISH)
# A few batches: the runs that start and end in one window share bulk requests.
WINDOW_BATCHES: Final = 4
# Most runs that are polled in one step, so that many open runs cause no burst of requests.
MAX_POLLS: Final = 20


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
        stream_interval_s: The same while a stream of the run is open; also the least time between
            two rounds of polls.
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

    A step sends a window: the first rows of the outbox. A row leaves the outbox when it is
    delivered, set aside or dropped. A row that has to wait, for its run or for another try, stays
    there, and holds the later rows of its run that must not overtake it.

    Attributes:
        step_running: A step runs: rows may be settled before the circuit is updated.
    """

    def __init__(self, outbox: Outbox, runs: RunDeliveries, context: SenderContext) -> None:
        """Send nothing yet.

        Args:
            outbox: Holds the rows to send.
            runs: The runs of the rows.
            context: Shared by all senders of the process.
        """
        self._outbox = outbox
        self._runs = runs
        self._context = context
        self._client = context.client
        self._circuit = context.circuit
        self._clock = context.clock
        self._losses = context.losses
        self._tally = context.tally
        self._registrar = RunRegistrar(context.client, outbox, context.clock, context.tally)
        # By the id of a row, or by the key of a run that could not be opened.
        self._retries: dict[int | str, Retry] = {}
        self._held_runs: set[str] = set()
        # Rows that were too large for the server and are sent without their contents, with the keys
        # of their runs.
        self._cut_rows: dict[int, str] = {}
        self._settled = 0
        self._next_round_ns = 0
        self._forced = False
        self.step_running = False

    def force(self) -> None:
        """Make the next step try although the circuit is open, unless the server asked to wait."""
        self._forced = True

    def step(self) -> float:
        """Send one window; return the seconds until the next step."""
        forced, self._forced = self._forced, False
        wait_s = self._circuit.wait_s(forced=forced)
        if wait_s > 0:
            return wait_s
        progress, answered = self._progress(), self._client.answered
        self.step_running = True
        try:
            self._send_window()
            self._poll_runs()
            if self._client.answered != answered:
                self._circuit.succeeded()
        except OutOfTimeError:
            return self._context.poll_interval_s
        except (UnavailableError, UnauthorizedError, ContractError) as error:
            # An answer alone is no success: it may be a refusal that comes again at each try.
            return self._circuit.failed(error, after_success=self._progress() != progress)
        finally:
            self.step_running = False
        return 0.0 if self._progress() != progress else self._next_step_s()

    def _progress(self) -> tuple[int, int]:
        return self._settled, self._registrar.advanced

    def _next_step_s(self) -> float:
        """Return the seconds until a waiting row or the poll of a run is due."""
        poll_s = (self._next_poll_ns() - self._clock.monotonic_ns()) / NS_PER_S
        retries_s = [retry.due_in_s() for retry in self._retries.values()]
        return max(0.0, min(self._context.poll_interval_s, poll_s, *retries_s))

    def _send_window(self) -> None:
        rows = self._outbox.head(WINDOW_BATCHES * self._context.limits.items)
        if self._retries:
            # Rows that wait may have been dropped since.
            waiting = {key for row_id, item in rows for key in (row_id, item.run_key)}
            self._retries = {key: self._retries[key] for key in self._retries.keys() & waiting}
        self._held_runs.clear()
        for run_key in dict.fromkeys([item.run_key for _, item in rows]):
            self._open_run(run_key)
        others = [row for row in rows if row[1].kind not in SPAN_KINDS]
        starts = [row for row in others if row[1].kind == ItemKind.RUN]
        self._deliver([row[0] for row in starts if self._ready_run(row) is not None])
        # Most windows hold only spans.
        self._send_spans([row for row in rows if row[1].kind in SPAN_KINDS] if others else rows)
        for row in others:
            if row[1].kind != ItemKind.RUN:
                self._send_end(row)

    # Runs: their start, their quality payloads and their end

    def _open_run(self, run_key: str) -> None:
        """Register and start a run unless that was done; retry a few times after a fault."""
        run = self._runs.get(run_key)
        if run is None or run.ready or run.refusal is not None:
            return
        if self._is_waiting(run_key):
            return
        try:
            done = self._register(run)
        except RejectedError as error:
            run.refuse(Refusal.of_run(run.agent, error))
            done = True
        if done:
            self._retries.pop(run_key, None)
        elif not self._retry_later(run_key):
            run.refuse(RUN_FAULT)

    @guarded("opening a run at the server", passes=SEND_ERRORS)
    def _register(self, run: RunDelivery) -> bool:
        self._registrar.open(run)
        return True

    def _send_end(self, row: Row) -> None:
        """Send the end or a quality payload of a run, unless an earlier row of the run waits."""
        row_id, item = row
        run = self._ready_run(row)
        if run is None or self._is_waiting(row_id):
            return
        if item.run_key in self._held_runs:
            # It waits for other rows now, not for its own retry.
            self._retries.pop(row_id, None)
            return
        try:
            if not self._call(item, run):
                self._retry(row, run, FAULT)
                return
        except NotFoundError:
            self._renew(row, run)
            return
        except RejectedError as error:
            if item.kind != ItemKind.CLOSE or error.status != HTTPStatus.CONFLICT:
                self._refuse(row, run, Refusal.of_error(error))
                return
        if item.kind == ItemKind.CLOSE:
            # Before the row is settled, because settling also writes the run's record.
            self._runs.end(run)
        self._deliver([row_id])

    @guarded("the end or a quality payload of a run", passes=SEND_ERRORS)
    def _call(self, item: Item, run: RunDelivery) -> bool:
        """Make the call of an item that is no span; return None after a fault of remit's."""
        if item.kind == ItemKind.CLOSE and self._has_lost(run):
            self._send_losses(run, item.finished_ns)
        if item.kind == ItemKind.CLOSE and item.status is None:
            return True  # left open: nothing is sent
        describe = calls.finish if item.kind == ItemKind.CLOSE else calls.quality
        self._client.call(describe(item, run.record.instance_id or ""))
        run.answered_ns = self._clock.monotonic_ns()
        return True

    def _send_losses(self, run: RunDelivery, at_ns: int | None) -> None:
        """Send the losses of a run, in a span whose key follows from the run."""
        _, operation = describe_span(loss_span(run.record, at_ns or run.record.started_ns), run)
        with suppress(RejectedError):
            self._call_bulk([operation])

    # Polls: a run without a recent answer may have been terminated

    def _poll_runs(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._client.limit is not None or now_ns < self._next_round_ns:
            return
        self._next_round_ns = now_ns + int(self._context.stream_interval_s * NS_PER_S)
        due = [run for run in self._runs.running() if self._poll_due_ns(run) <= now_ns]
        for run in sorted(due, key=lambda run: run.answered_ns)[:MAX_POLLS]:
            self._poll_run(run)

    def _next_poll_ns(self) -> int:
        """Return the time of the next round of polls in which one is due."""
        due_ns = min(map(self._poll_due_ns, self._runs.running()), default=sys.maxsize)
        return max(self._next_round_ns, due_ns)

    def _poll_due_ns(self, run: RunDelivery) -> int:
        context = self._context
        interval_s = context.stream_interval_s if run.streaming else context.poll_interval_s
        return run.answered_ns + int(interval_s * NS_PER_S)

    @guarded("looking after a run", passes=SEND_ERRORS)
    def _poll_run(self, run: RunDelivery) -> None:
        run.answered_ns = self._clock.monotonic_ns()
        with suppress(RejectedError):
            run.note_instance(self._client.call(calls.get_instance(run.record.instance_id or "")))

    # Spans

    def _send_spans(self, rows: Sequence[Row]) -> None:
        """Send *rows* in order, batch by batch; those that have to wait stay in the outbox.

        Raises:
            ApiError: Nothing can be sent now; the remaining rows stay in the outbox.
        """
        queue = deque(rows)
        following: list[Batch] = []

        def fill_following() -> None:
            if not following:  # the body may be sent twice
                following.append(self._fill(queue))

        batch = self._fill(queue)
        while batch.rows:
            # The following batch is filled while the server works on this one.
            following.clear()
            again = self._exchange(batch, fill_following)
            if again is None and following:
                (batch,) = following
                continue
            # What becomes of the following rows may depend on those that were not delivered.
            for unsent in following:
                queue.extendleft(reversed(unsent.rows.values()))
            queue.extendleft(reversed(again or []))
            batch = self._fill(queue)

    def _fill(self, queue: deque[Row]) -> Batch:
        """Take a batch from *queue*, and hold the rows that have to wait."""
        batch = Batch(self._context.limits)
        while queue:
            row = queue[0]
            item = row[1]
            run = batch.runs.get(item.run_key) or self._ready_run(row)
            if run is not None and self._retries and self._must_wait(row):
                self._held_runs.add(item.run_key)
            elif run is not None:
                if item.key == run.record.root and self._has_lost(run):
                    # The server stops at a refused row before it; then the count is taken again.
                    item = with_loss_count(item, run.record)
                try:
                    key, operation = describe_span(item, run)
                except Exception as error:  # noqa: BLE001 - as `guarded`, without a call more
                    guard.contain("encoding an item", error)
                    self._refuse(row, run, FAULT)
                else:
                    if not batch.add(key, operation, row, run):
                        break
            queue.popleft()
        return batch

    def _must_wait(self, row: Row) -> bool:
        """Return whether a row, or an earlier one of its run, has to wait for a retry."""
        if row[0] in self._retries:
            return self._is_waiting(row[0])
        # The end of a span must not overtake its beginning.
        return row[1].kind == ItemKind.FINISH and row[1].run_key in self._held_runs

    def _exchange(self, batch: Batch, on_sent: Callable[[], None]) -> list[Row] | None:
        """Send a batch; return the rows of it to send next, in order, None if all are delivered."""
        try:
            outputs = self._call_bulk(batch.operations, on_sent)
        except (RejectedError, AnswerTooLongError) as error:
            self._send_parts(batch, error)
            return []
        if outputs is None:
            self._send_parts(batch, None)
            return []
        if batch.rows.keys().isdisjoint(outputs):
            raise ContractError(
                "the bulk answer names none of the items that were sent; check the api_url"
            )
        for run in batch.runs.values():
            run.answered_ns = self._clock.monotonic_ns()
        delivered: list[int] = []
        refused: list[tuple[Row, RunDelivery, BulkOutput]] = []
        missing: list[Row] = []
        for key, row in batch.rows.items():
            output = outputs.get(key)
            if output is SUCCEEDED:
                delivered.append(row[0])
            elif output is None:
                missing.append(row)
            elif _is_delivered(row[1], run := batch.runs[row[1].run_key], output):
                delivered.append(row[0])
            else:
                refused.append((row, run, output))
        self._deliver(delivered)
        if len(delivered) == len(batch.rows):
            return None
        again = [next_row for refusal in refused for next_row in self._react(*refusal)]
        return again + missing

    @guarded("the bulk call", passes=SEND_ERRORS)
    def _call_bulk(
        self, operations: Sequence[Operation], on_sent: Callable[[], None] | None = None
    ) -> Mapping[str, BulkOutput]:
        return self._client.call(bulk_raw(encode_bulk(operations), on_sent))

    def _react(self, row: Row, run: RunDelivery, output: BulkOutput) -> list[Row]:
        """React to the refusal of a row; return the row if it is to be sent again now."""
        refusal = Refusal.of_item(output.code, output.errors or ())
        match reaction(row[1].kind, output.code):
            case Reaction.CREATE:
                return [(row[0], replace(row[1], kind=ItemKind.SPAN))]
            case Reaction.RENEW_RUN:
                self._renew(row, run)
            case Reaction.TRY_AGAIN:
                self._retry(row, run, refusal)
            case Reaction.SET_ASIDE:
                self._refuse(row, run, refusal)
        return []

    def _send_parts(self, batch: Batch, error: ApiError | None) -> None:
        """Send the halves of a batch after an *error* of the whole, or a fault of remit's.

        A single row that is too large for the server is sent without its payload and result;
        another one is set aside. After a fault it is retried.

        Raises:
            ContractError: The answer to a single row is too long. The answer to more rows may be
                long because it repeats their payloads.
        """
        rows = list(batch.rows.values())
        if len(rows) > 1:
            middle = len(rows) // 2
            self._send_spans(rows[:middle])
            self._send_spans(rows[middle:])
            return
        ((row_id, item),) = rows
        run = batch.runs[item.run_key]
        if error is None:
            self._retry((row_id, item), run, FAULT)
            return
        if isinstance(error, AnswerTooLongError):
            raise error
        smaller = without_contents(item)
        if isinstance(error, TooLargeError) and smaller != item:
            self._cut_rows[row_id] = item.run_key
            self._send_spans([(row_id, smaller)])
        else:
            self._refuse((row_id, item), run, Refusal.of_error(error))

    def _has_lost(self, run: RunDelivery) -> bool:
        self._losses.record_losses(run.record)
        return bool(run.record.lost)

    # What becomes of a row

    def _ready_run(self, row: Row) -> RunDelivery | None:
        """Return the run of a row if the row can be sent.

        Otherwise the row waits for its run, or is set aside with it; it is dropped if the run is
        not known.
        """
        row_id, item = row
        run = self._runs.get(item.run_key)
        if run is None:
            self._outbox.settle([row_id])
            self._losses.add(Loss.RUN_UNKNOWN)
            self._settled += 1
        elif run.ready:
            return run
        elif run.refusal is not None:
            self._refuse(row, run, run.refusal)
        else:
            self._held_runs.add(item.run_key)
            self._retries.pop(row_id, None)
        return None

    def _deliver(self, ids: Sequence[int]) -> None:
        """Settle rows that the server took."""
        if ids:
            self._outbox.settle(ids)
            self._tally.sent += len(ids)
            self._settled += len(ids)
            for row_id in self._cut_rows.keys() & set(ids) if self._cut_rows else ():
                run_key = self._cut_rows.pop(row_id)
                self._losses.add(Loss.PAYLOAD_TOO_LARGE, run_key=run_key)
            if self._retries:
                self._retries = {key: self._retries[key] for key in self._retries.keys() - set(ids)}

    def _refuse(self, row: Row, run: RunDelivery, refusal: Refusal) -> None:
        """Set a row aside, or drop it if the outbox cannot keep it."""
        row_id, item = row
        self._retries.pop(row_id, None)
        self._cut_rows.pop(row_id, None)
        if item.kind == ItemKind.CLOSE:
            self._runs.end(run)
        kept = self._outbox.set_aside(row, refusal.reason)
        if kept:
            self._tally.set_aside[refusal.reason] += 1
        else:
            self._losses.add(Loss.REFUSED)
        self._circuit.report(refusal.topic, refusal.message(kept=kept))
        if refusal.loss is not None and item.kind in SPAN_KINDS:
            self._losses.add_to_run(item.run_key, refusal.loss)
        self._settled += 1

    def _retry(self, row: Row, run: RunDelivery, refusal: Refusal) -> None:
        """Retry a row later; set it aside for *refusal* if it was tried often enough."""
        if self._retry_later(row[0]):
            self._held_runs.add(run.record.key)
        else:
            self._refuse(row, run, refusal)

    def _retry_later(self, key: int | str) -> bool:
        """Note a failed try of a row or run; return whether to try once more."""
        retry = self._retries.setdefault(key, Retry(self._clock, delays()))
        retry.postpone()
        if retry.tries >= MAX_TRIES:
            del self._retries[key]
        return retry.tries < MAX_TRIES

    def _is_waiting(self, key: int | str) -> bool:
        """Return whether it is too early for the next try of a row or run."""
        retry = self._retries.get(key)
        return retry is not None and retry.due_in_s() > 0

    def _renew(self, row: Row, run: RunDelivery) -> None:
        """Register a run in the next step that the server does not know; its rows wait for it."""
        self._registrar.renew(run)
        self._ready_run(row)


def _is_delivered(item: Item, run: RunDelivery, output: BulkOutput) -> bool:
    """Pass a termination to the run; return whether the server has the item."""
    if output.control is not None and output.control.terminate:
        run.terminate(output.control.reason)
    return output.status == "success" or is_already_done(item, output.code)
