"""The sender: reads a window of the outbox, opens its runs, sends its spans, ends its runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Final, TypeAlias

from msgspec.structs import replace

from remit._base import guard
from remit._base.clock import NS_PER_S
from remit._base.guard import guarded
from remit._deliver import calls
from remit._deliver.ask_support import AskSupport
from remit._deliver.batches import (
    END_KINDS,
    SPAN_KINDS,
    Batch,
    describe,
    describe_losses,
    is_silent,
    root_span,
    send_bulk,
)
from remit._deliver.calls import SEND_ERRORS, OutOfTimeError
from remit._deliver.holds import HoldUpdates, SetHolds
from remit._deliver.losses import with_loss_count
from remit._deliver.polls import RunPolls
from remit._deliver.reactions import (
    ALREADY_DONE,
    FAULT,
    RUN_FAULT,
    Reaction,
    Rejection,
    is_already_done,
    reaction,
    without_contents,
)
from remit._deliver.run_delivery import RunDeliveries, RunDelivery, RunRegistrar
from remit._deliver.single import OPENING, SingleCalls
from remit._deliver.spool.outbox import Outbox
from remit._deliver.spool.store import Row
from remit._deliver.window import SenderContext, Window
from remit._record.items import Item, ItemKind
from remit.client.endpoints.bulk import SUCCEEDED
from remit.client.endpoints.endpoint import ResponseTooLongError
from remit.errors import (
    ApiError,
    ContractError,
    RejectedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
)
from remit.models.bulk import BulkOutput

Outputs: TypeAlias = Mapping[str, BulkOutput]
NO_OUTPUTS: Final[Outputs] = {}
# A few batches: the runs that start and end in one window share bulk requests.
WINDOW_BATCHES: Final = 4


class Sender:
    """Delivers the rows of an outbox; its methods are called by one thread at a time.

    A step sends a window of it.

    Attributes:
        support: Which operations on runs the server takes in bulk.
        step_running: A step runs: rows may be settled before the circuit is updated.
    """

    def __init__(
        self,
        outbox: Outbox,
        runs: RunDeliveries,
        context: SenderContext,
        set_holds: SetHolds = lambda _: None,
        ask_support: AskSupport | None = None,
    ) -> None:
        self._context = context
        self._client = context.client
        self._circuit = context.circuit
        self._clock = context.clock
        self.support = context.support
        self._registrar = RunRegistrar(
            context.client, outbox, context.clock, context.tally, context.limits, context.support
        )
        self._window = Window(outbox, runs, self._registrar, context)
        self._single = SingleCalls(self._window, self._registrar, context)
        self._polls = RunPolls(runs, context)
        self._holds = HoldUpdates(runs, context, set_holds)
        self._ask_support = ask_support
        # The runs whose start is in the request that is on its way.
        self._starting: Mapping[str, RunDelivery] = {}
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
            self._polls.poll()
            self._holds.update()
            if self._ask_support is not None:
                self._ask_support.check()
            if self._client.answered != answered:
                self._circuit.succeeded()
        except OutOfTimeError:
            return self._context.poll_interval_s
        except (UnavailableError, UnauthorizedError, ContractError) as error:
            # A response may be a rejection that each try repeats.
            return self._circuit.failed(error, after_success=self._progress() != progress)
        finally:
            self.step_running = False
        return 0.0 if self._progress() != progress else self._next_step_s()

    def _progress(self) -> tuple[int, int, bool | None]:
        return self._window.settled, self._registrar.advanced, self.support.runs

    def _next_step_s(self) -> float:
        """Return the seconds until a waiting row or the poll of a run is due."""
        due_ns = min(self._polls.next_due_ns(), self._holds.next_due_ns())
        poll_s = (due_ns - self._clock.monotonic_ns()) / NS_PER_S
        waits_s = (self._context.poll_interval_s, poll_s, *self._window.next_try_s())
        return max(0.0, min(waits_s))

    def _send_window(self) -> None:
        rows = self._window.read(WINDOW_BATCHES * self._context.limits.items)
        runs = self._window.runs_of(rows)
        self._register_runs([run for run in runs if run.new])
        if self.support.runs is not False:
            self._send(rows)
            return
        # The server takes only spans in bulk. Each row waits for the start of its run.
        self._single.start([run for run in runs if run.needs_start])
        others = [row for row in rows if row.item.kind not in SPAN_KINDS]
        openings = [
            (row, self._window.ready_run(row)) for row in others if row.item.kind == ItemKind.RUN
        ]
        self._window.delivered([row for row, run in openings if run and not run.needs_start])
        self._send([row for row in rows if row.item.kind in SPAN_KINDS] if others else rows)
        self._single.send_ends([row for row in others if row.item.kind != ItemKind.RUN])

    # Registration of runs

    def _register_runs(self, runs: Sequence[RunDelivery]) -> None:
        """Register *runs*, in bulk where the server takes it; fewer together after a failure."""
        waiting = deque(run for run in runs if not self._window.is_waiting(run.stored.key))
        most = self._context.limits.items
        while waiting:
            together = self._registrar.take(waiting, most)
            rejected = self._register(together)
            most = min(self._context.limits.items, 2 * most)
            if rejected is None and len(together) > 1:
                most = len(together) // 2
            elif rejected is None:
                self._window.retry_opening(together[0], RUN_FAULT)
            for run in together:
                if not run.new:
                    self._window.opened(run)
            for run, error in rejected or ():
                self._react_to_registration(run, error)
            left = [
                run for run in together if run.new and not self._window.is_waiting(run.stored.key)
            ]
            waiting.extendleft(reversed(left))

    @guarded(OPENING, passes=SEND_ERRORS)
    def _register(self, runs: Sequence[RunDelivery]) -> list[tuple[RunDelivery, ApiError]] | None:
        """Return the run that was rejected; None if the request failed as a whole."""
        with suppress(RejectedError):
            return self._registrar.register(runs)
        return None

    def _react_to_registration(self, run: RunDelivery, error: ApiError) -> None:
        """Retry a registration that was rejected, in its form or alone, or set the run aside."""
        # The rejection of a bulk item has no status.
        rejected = error.status is not None or isinstance(error, UnauthorizedError)
        tries_again = reaction(ItemKind.RUN, error.code) is Reaction.TRY_AGAIN
        if not rejected and tries_again and self._window.retry_later(run.stored.key):
            return
        if not self._registrar.rejects_bulk(run, error):
            run.reject(Rejection.of_run(run.agent, error))

    # Bulk requests

    def _send(self, rows: Sequence[Row]) -> None:
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
        while batch:
            # The following batch is filled while the server works on this one.
            following.clear()
            self._starting = batch.starts
            again = self._exchange(batch, fill_following)
            self._starting = {}
            if again is None and following:
                (batch,) = following
                continue
            # The following rows may depend on rows that were not delivered.
            for unsent in following:
                queue.extendleft(reversed(unsent.all_rows()))
            queue.extendleft(reversed(again or []))
            batch = self._fill(queue)

    def _fill(self, queue: deque[Row]) -> Batch:
        """Take a batch from *queue*, and hold the rows that have to wait."""
        batch = Batch(self._context.limits)
        while queue:
            row = queue[0]
            item = row.item
            run = batch.runs.get(item.run_key) or self._window.ready_run(row)
            if run is None:
                pass  # it waits for its run, or was set aside
            elif self._window.must_wait(row, run):
                self._window.hold(item.run_key)
            elif not self._add(batch, row, run):
                break
            queue.popleft()
        return batch

    def _add(self, batch: Batch, row: Row, run: RunDelivery) -> bool:
        """Add a row to a batch, after the start of its run; return whether it fits."""
        row = root_span(row, run)
        item = row.item
        started = not run.needs_start or item.run_key in self._starting
        if not started and not batch.add_start(run):
            return False
        if item.key == run.stored.root and self._window.has_lost(run):
            # The server stops at a rejected row before it; then the count is taken again.
            item = with_loss_count(item, run.stored)
        try:
            if item.kind == ItemKind.CLOSE and self._window.has_unsent_losses(run):
                key, operation = describe_losses(run, item)
                if not batch.add_losses(key, operation, run):
                    return False
            if is_silent(item):
                batch.add_silent(row, run)
                return True
            key, operation = describe(item, run)
        except Exception as error:
            guard.contain("encoding an item", error)
            self._window.reject(row, run, FAULT)
            return True
        return batch.add(key, operation, row, run)

    def _exchange(self, batch: Batch, on_sent: Callable[[], None]) -> list[Row] | None:
        """Send a batch; return the rows of it to send next, in order, None if all are delivered."""
        outputs = self._request(batch, on_sent) if batch.keys() else NO_OUTPUTS
        if outputs is None:
            return []
        self._note_runs(batch, outputs)
        delivered: list[Row] = []
        rejected: list[tuple[Row, RunDelivery, BulkOutput]] = []
        missing: list[Row] = []
        for key, row in batch.rows.items():
            output, run = outputs.get(key), batch.runs[row.item.run_key]
            if output is SUCCEEDED or (output is not None and _is_delivered(row.item, run, output)):
                delivered.append(row)
            elif output is None:
                missing.append(row)
            else:
                rejected.append((row, run, output))
        complete = not (missing or rejected)
        for row in batch.silent:
            run = batch.runs[row.item.run_key]
            if complete and run.ready and not run.needs_start:
                delivered.append(row)
            else:
                missing.append(row)
        self._window.delivered(delivered)
        if len(delivered) == len(batch.rows) + len(batch.silent):
            return None
        again = [next_row for rejection in rejected for next_row in self._react(*rejection)]
        return again + sorted(missing, key=attrgetter("id"))

    def _request(self, batch: Batch, on_sent: Callable[[], None]) -> Outputs | None:
        """Return the outputs of a batch; None if its rows are sent in another way, or later."""
        try:
            outputs = send_bulk(self._client, batch.operations, on_sent)
        except (RejectedError, ResponseTooLongError) as error:
            if not self._learn_rejection(batch, error):
                self._send_parts(batch, error)
            return None
        if outputs is None:
            self._send_parts(batch, None)
        elif self.support.runs is None and not self._learn(batch, outputs):
            return None
        elif batch.keys().isdisjoint(outputs):
            raise ContractError(calls.NAMES_NONE)
        return outputs

    def _note_runs(self, batch: Batch, outputs: Outputs) -> None:
        """Note the time of a response, and the runs of its batch that were started."""
        answered_ns = self._clock.monotonic_ns()
        for run in batch.runs.values():
            run.answered_ns = answered_ns
        for run_key, run in batch.starts.items():
            self._started(run, outputs.get(calls.start_key(run_key)))
        for key, run in batch.losses.items():
            run.losses_sent = run.losses_sent or key in outputs

    def _started(self, run: RunDelivery, output: BulkOutput | None) -> None:
        """Act on the output of the start of a run; without one the start is sent again."""
        if output is None or not run.needs_start:
            return
        if output.status == "success":
            self._registrar.started(run)
            return
        rejection = Rejection.of_item(output.code, output.errors or ())
        tries_again = reaction(ItemKind.RUN, output.code) is Reaction.TRY_AGAIN
        if tries_again and output.code != ALREADY_DONE:
            self._window.retry_opening(run, rejection)
            return
        error = RejectedError(output.message or "", code=output.code, errors=output.errors)
        self._window.reject_start(run, output.code, error)

    def _learn(self, batch: Batch, outputs: Outputs) -> bool:
        """Learn from the first answer whether the server takes the operations of runs in bulk.

        Returns:
            False if it does not: nothing of the batch is known to be delivered.
        """
        keys = [calls.start_key(key) for key in batch.starts]
        keys += [key for key, row in batch.rows.items() if row.item.kind in END_KINDS]
        for key in keys:
            output = outputs.get(key)
            if output is not None and output.code != calls.BUSY:
                self.support.runs = output.status == "success" or output.code == ALREADY_DONE
                return self.support.runs
        failed = any(output.status == "error" for output in outputs.values())
        if keys and not failed:
            self.support.runs = False  # it left them out without a word
        return not keys or failed

    def _learn_rejection(self, batch: Batch, error: ApiError) -> bool:
        """Learn from a rejected request; return whether its rows are sent in another form."""
        has_runs = batch.starts or any(row.item.kind in END_KINDS for row in batch.rows.values())
        if self.support.runs is not None or not has_runs:
            return False
        if isinstance(error, TooLargeError | ResponseTooLongError):
            return False
        self.support.runs = False
        return True

    def _react(self, row: Row, run: RunDelivery, output: BulkOutput) -> list[Row]:
        """React to the rejection of a row; return the row if it is to be sent again now."""
        rejection = Rejection.of_item(output.code, output.errors or ())
        match reaction(row.item.kind, output.code):
            case Reaction.CREATE:
                return [Row(row.id, replace(row.item, kind=ItemKind.SPAN))]
            case Reaction.RENEW_RUN:
                self._window.renew(row, run)
            case Reaction.TRY_AGAIN:
                self._window.retry(row, run, rejection)
            case Reaction.SET_ASIDE:
                self._window.reject(row, run, rejection)
        return []

    def _send_parts(self, batch: Batch, error: ApiError | None) -> None:
        """Send the halves of a batch after an *error* of the whole, or a fault of remit's.

        A single row that is too large for the server is sent without its payload and result;
        another one is set aside. After a fault it is retried.

        Raises:
            ContractError: The answer to a single row is too long. The answer to more rows may be
                long because it repeats their payloads.
        """
        rows = batch.all_rows()
        if len(rows) > 1:
            middle = len(rows) // 2
            self._send(rows[:middle])
            self._send(rows[middle:])
            return
        (row,) = rows
        row_id, item = row.id, row.item
        run = batch.runs[item.run_key]
        if error is None:
            self._window.retry(row, run, FAULT)
            return
        if isinstance(error, ResponseTooLongError):
            raise error
        smaller = without_contents(item)
        if isinstance(error, TooLargeError) and smaller != item:
            self._window.cut(row)
            self._send([Row(row_id, smaller)])
        elif item.kind == ItemKind.RUN:
            run.reject(Rejection.of_run(run.agent, error))
            self._window.ready_run(row)
        else:
            self._window.reject(row, run, Rejection.of_error(error))


def _is_delivered(item: Item, run: RunDelivery, output: BulkOutput) -> bool:
    """Pass a termination to the run; return whether the server has the item."""
    if output.control is not None and output.control.terminate:
        run.terminate(output.control.reason)
    return output.status == "success" or is_already_done(item, output.code)
