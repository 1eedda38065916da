"""The sender: takes a window of the outbox, opens its runs, sends its spans, ends its runs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from remit._clock import NS_PER_S
from remit._delivery import calls
from remit._delivery.calls import OF_SENDING, OutOfTimeError
from remit._delivery.circuit import RetryQueue
from remit._delivery.context import SenderContext
from remit._delivery.refusals import FAULT, RUN_FAULT, Acknowledger, Refusal
from remit._delivery.runs import RunDelivery, RunRegistrar, RunTable, UnregistrableError
from remit._delivery.spans import SpanSender
from remit._guard import guarded
from remit._losses import Loss
from remit._sink import Kind
from remit._spool import Outbox, Row
from remit.errors import (
    ContractError,
    NotFoundError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)

OF_SPANS: Final = (Kind.SPAN, Kind.FINISH)
# A few batches: runs that begin and end in one window cost one bulk request together.
WINDOW_BATCHES: Final = 4
# An hour of open runs must not become a burst of requests.
MAX_LOOKS: Final = 20


class Sender:
    """Delivers what is in the outbox; nothing here knows threads.

    Attributes:
        midway: A step is under way: rows may be settled while the circuit is not updated yet.
    """

    def __init__(self, outbox: Outbox, runs: RunTable, context: SenderContext) -> None:
        """Wire the parts; nothing is sent yet.

        Args:
            outbox: What is to be sent.
            runs: Its runs.
            context: What all senders of the process share.
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
        self._next_round_ns = 0
        self._forced = False
        self.midway = False
        # Faults of remit's: one run's must not hold up the others.
        self._run_retries: RetryQueue[str] = RetryQueue(context.clock)
        self._row_retries: RetryQueue[int] = RetryQueue(context.clock)

    def force(self) -> None:
        """Have the next step try even while the circuit is open, unless the server asked not to."""
        self._forced = True

    def step(self) -> float:
        """Send one window; return the seconds until the next step makes sense."""
        forced, self._forced = self._forced, False
        wait_s = self._circuit.wait_s(forced=forced)
        if wait_s > 0:
            return wait_s
        settled, advanced = self._acks.settled, self._registrar.advanced
        self.midway = True
        try:
            self._try()
        except OutOfTimeError:
            return self._poll_interval_s
        except (UnavailableError, UnauthorizedError, ContractError) as error:
            # Not by what was answered: a refusal may come again at each try.
            kept = (self._acks.settled, self._registrar.advanced) != (settled, advanced)
            return self._circuit.failed(error, afresh=kept)
        finally:
            self.midway = False
        return 0.0 if self._acks.settled != settled else self._rest_s()

    def _try(self) -> None:
        answered = self._client.answered
        self._send_window()
        self._look_at_runs()
        if self._client.answered != answered:
            self._circuit.succeeded()

    def _send_window(self) -> None:
        rows = self._outbox.head(self._window_items)
        if self._run_retries:
            # The rows of a waiting run may have been given up since.
            self._run_retries.keep_only({item.run_key for _, item in rows})
        if not rows:
            self._runs.end_left()
            return
        others = [row for row in rows if row[1].kind not in OF_SPANS]
        self._open_runs(rows, [row for row in others if row[1].kind == Kind.RUN])
        # Mostly there are no others.
        spans = [row for row in rows if row[1].kind in OF_SPANS] if others else rows
        self._spans.send(spans)
        for row in others:
            if row[1].kind != Kind.RUN:
                self._send_end(row)

    def _open_runs(self, rows: list[Row], beginnings: list[Row]) -> None:
        """Open the runs of *rows* that are not; settle the *beginnings* among those."""
        for run_key in dict.fromkeys([item.run_key for _, item in rows]):
            run = self._runs.get(run_key)
            if run is None or run.ready or run.refusal is not None:
                continue
            if not self._run_retries.is_waiting(run_key):
                self._open(run)
        opened: list[int] = []
        for row in beginnings:
            run = self._runs.get(row[1].run_key)
            if run is None:
                self._acks.drop([row], Loss.RUN_UNKNOWN)
            elif run.refusal is not None:
                self._acks.refuse([row], run.refusal)
            elif run.ready:
                opened.append(row[0])
        self._acks.deliver(opened)

    def _open(self, run: RunDelivery) -> None:
        """Open a run; a fault of remit's is retried a few times."""
        if self._opened(run):
            self._run_retries.remove(run.record.key)
        elif not self._run_retries.retry_later(run.record.key):
            run.refuse(RUN_FAULT)

    @guarded("opening a run at the server", passes=OF_SENDING)
    def _opened(self, run: RunDelivery) -> bool:
        try:
            self._registrar.open(run)
        except UnregistrableError:
            agent = run.record.registration.external_identifier
            run.refuse(Refusal.of_no_registration(agent))
        except RejectedError as error:
            run.refuse(error)
        return True

    def _send_end(self, row: Row) -> None:
        """Send a quality payload or the end of a run."""
        row_id, item = row
        run = self._runs.get(item.run_key)
        if run is None:
            self._acks.drop([row], Loss.RUN_UNKNOWN)
            return
        if item.run_key in self._spans.held or not (run.ready or run.refusal):
            # It waits for others now, not for a time of its own.
            self._row_retries.remove(row_id)
            return
        if self._row_retries.is_waiting(row_id):
            return
        refused = run.refusal or self._refused(row, run)
        if refused is None:
            if self._row_retries.retry_later(row_id):
                return
            refused = FAULT
        self._row_retries.remove(row_id)
        if item.kind == Kind.CLOSE:
            # First: what is settled takes with it what is new of the run.
            self._runs.end(run)
        if isinstance(refused, Refusal):
            self._acks.refuse([row], refused)
        else:
            self._acks.deliver([row_id])

    @guarded("the end or a quality payload of a run", passes=OF_SENDING)
    def _refused(self, row: Row, run: RunDelivery) -> Refusal | bool:
        """Make the call of a row; return why the server refuses it, `False` if it does not."""
        try:
            try:
                self._call_of(row, run)
            except NotFoundError:
                self._registrar.renew(run)
                self._call_of(row, run)
        except RejectedError as error:
            if row[1].kind == Kind.CLOSE and error.status == HTTPStatus.CONFLICT:
                return False
            return Refusal.of_item(error.code or f"http_{error.status}", error.errors)
        return False

    def _call_of(self, row: Row, run: RunDelivery) -> None:
        item, instance_id = row[1], run.record.instance_id or ""
        if item.kind == Kind.CLOSE:
            self._spans.send_losses(run, item.finished_ns)
        if item.kind == Kind.CLOSE and item.status is None:
            return  # left open: nothing is sent
        describe = calls.finish if item.kind == Kind.CLOSE else calls.quality
        self._client.call(describe(item, instance_id))
        run.answered_ns = self._clock.monotonic_ns()

    def _look_at_runs(self) -> None:
        """Ask after runs that had no answer for a while: they may have been terminated."""
        if self._client.limit is not None:
            return
        now_ns = self._clock.monotonic_ns()
        due = [run for run in self._runs.running() if self._due_ns(run) <= now_ns]
        if due:
            self._next_round_ns = now_ns + int(self._stream_interval_s * NS_PER_S)
        for run in sorted(due, key=lambda run: run.answered_ns)[:MAX_LOOKS]:
            self._look_at(run)

    def _due_ns(self, run: RunDelivery) -> int:
        """Return the monotonic time at which a run is to be asked after."""
        due_ns = run.answered_ns + int(self._poll_interval_s * NS_PER_S)
        if not run.streaming:
            return due_ns
        soon_ns = run.answered_ns + int(self._stream_interval_s * NS_PER_S)
        return min(due_ns, max(soon_ns, self._next_round_ns))

    @guarded("looking after a run", passes=OF_SENDING)
    def _look_at(self, run: RunDelivery) -> None:
        run.answered_ns = self._clock.monotonic_ns()
        try:
            instance = self._client.call(calls.look(run.record.instance_id or ""))
        except RejectedError:
            return
        run.note_status(instance.status, instance.termination_reason)

    def _rest_s(self) -> float:
        """Return the seconds until a waiting row or a look at a run is due."""
        rests = [self._poll_interval_s]
        waiting = (self._spans, self._run_retries, self._row_retries)
        rests += [wait_s for each in waiting if (wait_s := each.wait_s()) is not None]
        running = self._runs.running()
        if running:
            due_ns = min(map(self._due_ns, running))
            rests.append(max(0.0, (due_ns - self._clock.monotonic_ns()) / NS_PER_S))
        return min(rests)
