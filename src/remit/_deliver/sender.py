"""The sender: reads a window of the outbox, opens its runs, sends its spans, ends its runs."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from operator import attrgetter
from typing import Final, TypeAlias

from msgspec.structs import replace

from remit._base import guard
from remit._base.backoff import delays
from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import guarded
from remit._deliver import calls
from remit._deliver.batches import (
    SPAN_KINDS,
    Batch,
    Operation,
    describe,
    describe_losses,
    encode_bulk,
    instance_operation,
)
from remit._deliver.calls import SEND_ERRORS, BulkSupport, DeadlineClient, OutOfTimeError
from remit._deliver.circuit import CircuitBreaker, Retry
from remit._deliver.losses import Loss, Losses, with_loss_count
from remit._deliver.reactions import (
    ALREADY_DONE,
    FAULT,
    MAX_TRIES,
    NOT_FOUND,
    RUN_FAULT,
    Reaction,
    Refusal,
    is_already_done,
    reaction,
    without_contents,
)
from remit._deliver.run_delivery import BatchLimits, RunDeliveries, RunDelivery, RunRegistrar
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

END_KINDS: Final = (ItemKind.QUALITY, ItemKind.CLOSE)
Outputs: TypeAlias = Mapping[str, BulkOutput]
OPENING: Final = "opening a run at the server"
ENDING: Final = "the end or a quality payload of a run"
"""Places of faults."""
NO_OUTPUTS: Final[Outputs] = {}
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
        support: Which operations the target takes in bulk.
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
    support: BulkSupport
    poll_interval_s: float
    stream_interval_s: float
    clock: Clock


class Sender:
    """Delivers the rows of an outbox; its methods are called by one thread at a time.

    A step sends a window: the first rows of the outbox. A row leaves the outbox when it is
    delivered, set aside or dropped. A row that has to wait, for its run or for another try, stays
    there, and holds the later rows of its run that must not overtake it.

    Attributes:
        support: Which operations on runs the server takes in bulk.
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
        self.support = context.support
        self._registrar = RunRegistrar(
            context.client, outbox, context.clock, context.tally, context.limits, context.support
        )
        # By the id of a row, or by the key of a run that could not be opened.
        self._retries: dict[int | str, Retry] = {}
        self._held_runs: set[str] = set()
        # The runs whose start is in the request that is on its way.
        self._starting: Mapping[str, RunDelivery] = {}
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

    def _progress(self) -> tuple[int, int, bool | None]:
        return self._settled, self._registrar.advanced, self.support.runs

    def _next_step_s(self) -> float:
        """Return the seconds until a waiting row or the poll of a run is due."""
        poll_s = (self._next_poll_ns() - self._clock.monotonic_ns()) / NS_PER_S
        retries_s = [retry.due_in_s() for retry in self._retries.values()]
        return max(0.0, min(self._context.poll_interval_s, poll_s, *retries_s))

    def _send_window(self) -> None:
        rows = self._outbox.head(WINDOW_BATCHES * self._context.limits.items)
        if self._retries:
            # Rows that wait may have been dropped since.
            waiting = {key for row in rows for key in (row.id, row.item.run_key)}
            self._retries = {key: self._retries[key] for key in self._retries.keys() & waiting}
        self._held_runs.clear()
        runs = [self._runs.get(key) for key in dict.fromkeys([row.item.run_key for row in rows])]
        self._register_runs([run for run in runs if run is not None and run.new])
        if self.support.runs is not False:
            self._send(rows)
            return
        # The server takes only spans in bulk. Each row waits for the start of its run.
        self._start_alone([run for run in runs if run is not None and run.needs_start])
        others = [row for row in rows if row.item.kind not in SPAN_KINDS]
        openings = [(row, self._ready_run(row)) for row in others if row.item.kind == ItemKind.RUN]
        self._delivered([row for row, run in openings if run and not run.needs_start])
        self._send([row for row in rows if row.item.kind in SPAN_KINDS] if others else rows)
        self._send_ends_alone([row for row in others if row.item.kind != ItemKind.RUN])

    # Runs: their registration, and their start and end at a server that takes only spans in bulk

    def _register_runs(self, runs: Sequence[RunDelivery]) -> None:
        """Register *runs*, in bulk where the server takes it; fewer together after a failure."""
        waiting = deque(run for run in runs if not self._is_waiting(run.record.key))
        most = self._context.limits.items
        while waiting:
            together = self._registrar.take(waiting, most)
            refused = self._register(together)
            most = min(self._context.limits.items, 2 * most)
            if refused is None and len(together) > 1:
                most = len(together) // 2
            elif refused is None:
                self._retry_opening(together[0], RUN_FAULT)
            if self._retries:
                for run in together:
                    if not run.new:
                        self._retries.pop(run.record.key, None)
            for run, error in refused or ():
                self._react_to_registration(run, error)
            left = [run for run in together if run.new and not self._is_waiting(run.record.key)]
            waiting.extendleft(reversed(left))

    @guarded(OPENING, passes=SEND_ERRORS)
    def _register(self, runs: Sequence[RunDelivery]) -> list[tuple[RunDelivery, ApiError]] | None:
        """Return the run that was refused; None if the request failed as a whole."""
        with suppress(RejectedError):
            return self._registrar.register(runs)
        return None

    def _react_to_registration(self, run: RunDelivery, error: ApiError) -> None:
        """Retry a registration that was refused, in its form or alone, or set the run aside."""
        # The refusal of a bulk item has no status.
        refused = error.status is not None or isinstance(error, UnauthorizedError)
        tries_again = reaction(ItemKind.RUN, error.code) is Reaction.TRY_AGAIN
        if not refused and tries_again and self._retry_later(run.record.key):
            return
        if not self._registrar.refuses_bulk(run, error):
            run.refuse(Refusal.of_run(run.agent, error))

    def _retry_opening(self, run: RunDelivery, refusal: Refusal) -> None:
        """Retry to open a run later; set it aside for *refusal* if it was tried often enough."""
        if not self._retry_later(run.record.key):
            run.refuse(refusal)

    def _start_alone(self, runs: Sequence[RunDelivery]) -> None:
        """Start runs by requests of their own, side by side."""
        due = [run for run in runs if not self._is_waiting(run.record.key)]
        starts = [calls.start(run.record, run.record.instance_id or "").call() for run in due]
        outcomes = self._client.call_side_by_side(starts)
        for run, outcome in zip(due, outcomes, strict=True):
            if isinstance(outcome, RejectedError):
                self._react_to_start(run, outcome.code, outcome)
            elif not isinstance(outcome, Exception):
                self._registrar.started(run)
                self._retries.pop(run.record.key, None)
            elif not isinstance(outcome, SEND_ERRORS):
                guard.contain(OPENING, outcome)
                self._retry_opening(run, RUN_FAULT)
        raise_first(outcomes)

    def _react_to_start(self, run: RunDelivery, code: str | None, error: RejectedError) -> None:
        """React to the refusal of the start of a run."""
        if error.status == HTTPStatus.CONFLICT or code == ALREADY_DONE:
            self._registrar.started(run)
        elif isinstance(error, NotFoundError) or code == NOT_FOUND:
            # The server forgot the instance between the two requests.
            self._registrar.renew(run, error)
        else:
            run.refuse(Refusal.of_run(run.agent, error))

    def _send_ends_alone(self, rows: Sequence[Row]) -> None:
        """Send quality payloads and ends of runs by requests of their own, side by side.

        Those of one run are sent in order, unless an earlier row of the run waits.
        """
        by_run: dict[str, deque[Row]] = {}
        for row in rows:
            by_run.setdefault(row.item.run_key, deque()).append(row)
        while by_run:
            sent: list[tuple[Row, RunDelivery]] = []
            for run_key, left in list(by_run.items()):
                row = left.popleft()
                if not left:
                    del by_run[run_key]
                run = self._ready_run(row)
                if run is None or self._must_wait(row, run):
                    self._held_runs.add(run_key)
                elif row.item.kind == ItemKind.CLOSE and not self._send_losses(row.item, run):
                    self._retry(row, run, FAULT)
                elif _is_silent(row.item):
                    self._delivered([row])
                else:
                    sent.append((row, run))
            outcomes = self._client.call_side_by_side(
                [instance_operation(row.item, run).call() for row, run in sent]
            )
            for (row, run), outcome in zip(sent, outcomes, strict=True):
                self._react_to_end(row, run, outcome)
            raise_first(outcomes)

    def _react_to_end(self, row: Row, run: RunDelivery, outcome: object) -> None:
        """React to the answer to a quality payload or to the end of a run."""
        run.answered_ns = self._clock.monotonic_ns()
        is_close = row.item.kind == ItemKind.CLOSE
        if isinstance(outcome, NotFoundError):
            self._renew(row, run)
        elif isinstance(outcome, RejectedError):
            if is_close and outcome.status == HTTPStatus.CONFLICT:
                self._delivered([row])
            else:
                self._refuse(row, run, Refusal.of_error(outcome))
        elif not isinstance(outcome, Exception):
            self._delivered([row])
        elif not isinstance(outcome, SEND_ERRORS):
            guard.contain(ENDING, outcome)
            self._retry(row, run, FAULT)

    @guarded("the losses of a run", passes=SEND_ERRORS)
    def _send_losses(self, item: Item, run: RunDelivery) -> bool:
        """Send the losses of a run, if it has any, before its end; None after a fault."""
        if self._has_unsent_losses(run):
            _, operation = describe_losses(run, item)
            with suppress(RejectedError):
                self._call_bulk([operation])
            run.losses_sent = True
        return True

    def _has_unsent_losses(self, run: RunDelivery) -> bool:
        return self._has_lost(run) and not run.losses_sent

    # Polls: a run without a recent answer may have been terminated

    def _poll_runs(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._client.limit is not None or now_ns < self._next_round_ns:
            return
        self._next_round_ns = now_ns + int(self._context.stream_interval_s * NS_PER_S)
        due = [run for run in self._runs.running() if self._poll_due_ns(run) <= now_ns]
        due.sort(key=lambda run: run.answered_ns)
        if len(due) > 1 and self.support.reads:
            self._poll_together(due[: self._context.limits.items])
            return
        for run in due[:MAX_POLLS]:
            self._poll_run(run)

    @guarded("looking after a run", passes=SEND_ERRORS)
    def _poll_together(self, runs: Sequence[RunDelivery]) -> None:
        """Read the instances of *runs* in one bulk request.

        The server stops at an instance that it does not know; the others are read in later rounds.
        """
        operations = [calls.show(run.record.key, run.record.instance_id or "") for run in runs]
        answer: calls.Instances = {}
        with suppress(RejectedError):
            answer = self._client.call(calls.in_bulk(operations))
        now_ns = self._clock.monotonic_ns()
        self.support.reads = any(isinstance(each, calls.Instance) for each in answer.values())
        for run, operation in zip(runs, operations, strict=True):
            instance = answer.get(operation.key)
            if isinstance(instance, calls.Instance):
                run.answered_ns = now_ns
                run.note_instance(instance)
            elif self.support.reads:
                run.answered_ns = now_ns  # it may be the one that is not known
                break

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
            # What becomes of the following rows may depend on those that were not delivered.
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
            run = batch.runs.get(item.run_key) or self._ready_run(row)
            if run is None:
                pass  # it waits for its run, or was set aside
            elif self._must_wait(row, run):
                self._held_runs.add(item.run_key)
            elif not self._add(batch, row, run):
                break
            queue.popleft()
        return batch

    def _add(self, batch: Batch, row: Row, run: RunDelivery) -> bool:
        """Add a row to a batch, after the start of its run; return whether it fits."""
        item = row.item
        started = not run.needs_start or item.run_key in self._starting
        if not started and not batch.add_start(run):
            return False
        if item.key == run.record.root and self._has_lost(run):
            # The server stops at a refused row before it; then the count is taken again.
            item = with_loss_count(item, run.record)
        try:
            if item.kind == ItemKind.CLOSE and self._has_unsent_losses(run):
                key, operation = describe_losses(run, item)
                if not batch.add_losses(key, operation, run):
                    return False
            if _is_silent(item):
                batch.add_silent(row, run)
                return True
            key, operation = describe(item, run)
        except Exception as error:
            guard.contain("encoding an item", error)
            self._refuse(row, run, FAULT)
            return True
        return batch.add(key, operation, row, run)

    def _must_wait(self, row: Row, run: RunDelivery) -> bool:
        """Return whether a row has to wait for the start of its run, or for a retry."""
        row_id, item = row.id, row.item
        if run.needs_start and (self.support.runs is False or self._is_waiting(item.run_key)):
            return True
        if row_id in self._retries and self._is_waiting(row_id):
            return True
        # An end must not overtake what belongs before it.
        if item.kind == ItemKind.FINISH or item.kind in END_KINDS:
            if item.run_key not in self._held_runs:
                return False
            # It waits for other rows now, not for its own retry.
            self._retries.pop(row_id, None)
            return True
        return False

    def _exchange(self, batch: Batch, on_sent: Callable[[], None]) -> list[Row] | None:
        """Send a batch; return the rows of it to send next, in order, None if all are delivered."""
        outputs = self._request(batch, on_sent) if batch.keys() else NO_OUTPUTS
        if outputs is None:
            return []
        self._note_runs(batch, outputs)
        delivered: list[Row] = []
        refused: list[tuple[Row, RunDelivery, BulkOutput]] = []
        missing: list[Row] = []
        for key, row in batch.rows.items():
            output, run = outputs.get(key), batch.runs[row.item.run_key]
            if output is SUCCEEDED or (output is not None and _is_delivered(row.item, run, output)):
                delivered.append(row)
            elif output is None:
                missing.append(row)
            else:
                refused.append((row, run, output))
        complete = not (missing or refused)
        for row in batch.silent:
            run = batch.runs[row.item.run_key]
            if complete and run.ready and not run.needs_start:
                delivered.append(row)
            else:
                missing.append(row)
        self._delivered(delivered)
        if len(delivered) == len(batch.rows) + len(batch.silent):
            return None
        again = [next_row for refusal in refused for next_row in self._react(*refusal)]
        return again + sorted(missing, key=attrgetter("id"))

    def _request(self, batch: Batch, on_sent: Callable[[], None]) -> Outputs | None:
        """Return the outputs of a batch; None if its rows are sent in another way, or later."""
        try:
            outputs = self._call_bulk(batch.operations, on_sent)
        except (RejectedError, AnswerTooLongError) as error:
            if not self._learn_refusal(batch, error):
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
        """Note what an answer tells of the runs of a batch: when it came, and what was started."""
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
        refusal = Refusal.of_item(output.code, output.errors or ())
        tries_again = reaction(ItemKind.RUN, output.code) is Reaction.TRY_AGAIN
        if tries_again and output.code != ALREADY_DONE:
            self._retry_opening(run, refusal)
            return
        error = RejectedError(output.message or "", code=output.code, errors=output.errors)
        self._react_to_start(run, output.code, error)

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

    def _learn_refusal(self, batch: Batch, error: ApiError) -> bool:
        """Learn from a refusal of the whole request; return whether its rows are sent otherwise."""
        has_runs = batch.starts or any(row.item.kind in END_KINDS for row in batch.rows.values())
        if self.support.runs is not None or not has_runs:
            return False
        if isinstance(error, TooLargeError | AnswerTooLongError):
            return False
        self.support.runs = False
        return True

    @guarded("the bulk call", passes=SEND_ERRORS)
    def _call_bulk(
        self, operations: Sequence[Operation], on_sent: Callable[[], None] | None = None
    ) -> Outputs:
        return self._client.call(bulk_raw(encode_bulk(operations), on_sent))

    def _react(self, row: Row, run: RunDelivery, output: BulkOutput) -> list[Row]:
        """React to the refusal of a row; return the row if it is to be sent again now."""
        refusal = Refusal.of_item(output.code, output.errors or ())
        match reaction(row.item.kind, output.code):
            case Reaction.CREATE:
                return [Row(row.id, replace(row.item, kind=ItemKind.SPAN))]
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
            self._retry(row, run, FAULT)
            return
        if isinstance(error, AnswerTooLongError):
            raise error
        smaller = without_contents(item)
        if isinstance(error, TooLargeError) and smaller != item:
            self._cut_rows[row_id] = item.run_key
            self._send([Row(row_id, smaller)])
        elif item.kind == ItemKind.RUN:
            run.refuse(Refusal.of_run(run.agent, error))
            self._ready_run(row)
        else:
            self._refuse(row, run, Refusal.of_error(error))

    def _has_lost(self, run: RunDelivery) -> bool:
        self._losses.record_losses(run.record)
        return bool(run.record.lost)

    # What becomes of a row

    def _ready_run(self, row: Row) -> RunDelivery | None:
        """Return the run of a row if the row can be sent.

        Otherwise the row waits for its run, or is set aside with it; it is dropped if the run is
        not known.
        """
        row_id, item = row.id, row.item
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

    def _delivered(self, rows: Sequence[Row]) -> None:
        """Settle rows that the server took."""
        if rows:
            for row in rows:
                run = self._runs.get(row.item.run_key) if row.item.kind == ItemKind.CLOSE else None
                if run is not None:
                    # Before the row is settled, because settling also writes the run's record.
                    self._runs.end(run)
            ids = [row.id for row in rows]
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
        row_id, item = row.id, row.item
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
        if self._retry_later(row.id):
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


def _is_silent(item: Item) -> bool:
    """Return whether nothing is sent for an item: the start of a run is sent with its first row."""
    return item.kind == ItemKind.RUN or (item.kind == ItemKind.CLOSE and item.status is None)


def raise_first(outcomes: Sequence[object]) -> None:
    """Raise the first exception among *outcomes* for which nothing can be sent now."""
    for outcome in outcomes:
        if isinstance(outcome, SEND_ERRORS) and not isinstance(outcome, RejectedError):
            raise outcome
