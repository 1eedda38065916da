"""The rows that a sender reads at a time: which of them wait, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from remit._base.backoff import delays
from remit._base.clock import Clock
from remit._deliver.batches import END_KINDS, SPAN_KINDS
from remit._deliver.calls import BulkSupport, DeadlineClient
from remit._deliver.circuit import CircuitBreaker, Retry
from remit._deliver.losses import Loss, Losses
from remit._deliver.reactions import ALREADY_DONE, MAX_TRIES, NOT_FOUND, Rejection
from remit._deliver.run_delivery import BatchLimits, RunDeliveries, RunDelivery, RunRegistrar
from remit._deliver.spool.outbox import Outbox
from remit._deliver.spool.store import Row
from remit._deliver.status import Tally
from remit._record.items import ItemKind
from remit.errors import NotFoundError, RejectedError


@dataclass(frozen=True, slots=True)
class SenderContext:
    """The objects and settings that all senders of one process share.

    Attributes:
        poll_interval_s: Seconds without an answer about a run before it is polled.
        stream_interval_s: The same while a stream of the run is open; also the least time between
            two rounds of polls.
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


class Window:
    """The first rows of an outbox, until each is delivered, set aside or dropped.

    A row that has to wait, for its run or for another try, stays in the outbox, and holds the later
    rows of its run that must not overtake it.

    Attributes:
        settled: How many rows have left the outbox.
    """

    def __init__(
        self, outbox: Outbox, runs: RunDeliveries, registrar: RunRegistrar, context: SenderContext
    ) -> None:
        self._outbox = outbox
        self._runs = runs
        self._registrar = registrar
        self._circuit = context.circuit
        self._clock = context.clock
        self._losses = context.losses
        self._support = context.support
        self._tally = context.tally
        # By the id of a row, or by the key of a run that could not be opened.
        self._retries: dict[int | str, Retry] = {}
        self._held_runs: set[str] = set()
        # Rows that were too large for the server and are sent without their contents, with the keys
        # of their runs.
        self._cut_rows: dict[int, str] = {}
        self.settled = 0

    def read(self, most: int) -> list[Row]:
        """Return the first rows of the outbox, at most *most*, and hold none of their runs."""
        rows = self._outbox.head(most)
        if self._retries:
            # Rows that wait may have been dropped since.
            waiting = {key for row in rows for key in (row.id, row.item.run_key)}
            self._retries = {key: self._retries[key] for key in self._retries.keys() & waiting}
        self._held_runs.clear()
        return rows

    def runs_of(self, rows: Sequence[Row]) -> list[RunDelivery]:
        """Return the runs of *rows* that are known."""
        runs = [self._runs.get(key) for key in dict.fromkeys([row.item.run_key for row in rows])]
        return [run for run in runs if run is not None]

    def next_try_s(self) -> list[float]:
        """Return in how many seconds each waiting row or run is due."""
        return [retry.due_in_s() for retry in self._retries.values()]

    def hold(self, run_key: str) -> None:
        """Hold the end of a run, which must not overtake a row that waits."""
        self._held_runs.add(run_key)

    def cut(self, row: Row) -> None:
        """Note that a row is sent without its contents."""
        self._cut_rows[row.id] = row.item.run_key

    # Runs

    def opened(self, run: RunDelivery) -> None:
        """Forget the failed tries to open a run."""
        self._retries.pop(run.stored.key, None)

    def retry_opening(self, run: RunDelivery, rejection: Rejection) -> None:
        """Retry to open a run later; set it aside for *rejection* if it was tried often enough."""
        if not self.retry_later(run.stored.key):
            run.reject(rejection)

    def reject_start(self, run: RunDelivery, code: str | None, error: RejectedError) -> None:
        """React to the rejection of the start of a run by the server."""
        if error.status == HTTPStatus.CONFLICT or code == ALREADY_DONE:
            self._registrar.started(run)
        elif isinstance(error, NotFoundError) or code == NOT_FOUND:
            # The server forgot the instance between the two requests.
            self._registrar.renew(run, error)
        else:
            run.reject(Rejection.of_run(run.agent, error))

    def has_lost(self, run: RunDelivery) -> bool:
        """Return whether something of a run was lost, after moving the counts into it."""
        self._losses.take_losses(run.stored)
        return bool(run.stored.lost)

    def has_unsent_losses(self, run: RunDelivery) -> bool:
        """Return whether something of a run was lost that the server has not been sent."""
        return self.has_lost(run) and not run.losses_sent

    # Rows

    def ready_run(self, row: Row) -> RunDelivery | None:
        """Return the run of a row if the row can be sent.

        Otherwise the row waits for its run, or is set aside with it; it is dropped if the run is
        not known.
        """
        row_id, item = row.id, row.item
        run = self._runs.get(item.run_key)
        if run is None:
            self._outbox.settle([row_id])
            self._losses.add(Loss.RUN_UNKNOWN)
            self.settled += 1
        elif run.ready:
            return run
        elif run.rejection is not None:
            self.reject(row, run, run.rejection)
        else:
            self._held_runs.add(item.run_key)
            self._retries.pop(row_id, None)
        return None

    def delivered(self, rows: Sequence[Row]) -> None:
        """Settle rows that the server took."""
        if rows:
            for row in rows:
                run = self._runs.get(row.item.run_key) if row.item.kind == ItemKind.CLOSE else None
                if run is not None:
                    # Before the row is settled, because settling also writes the run.
                    self._runs.end(run)
            ids = [row.id for row in rows]
            self._outbox.settle(ids)
            self._tally.sent += len(ids)
            self.settled += len(ids)
            for row_id in self._cut_rows.keys() & set(ids) if self._cut_rows else ():
                run_key = self._cut_rows.pop(row_id)
                self._losses.add(Loss.PAYLOAD_TOO_LARGE, run_key=run_key)
            if self._retries:
                self._retries = {key: self._retries[key] for key in self._retries.keys() - set(ids)}

    def reject(self, row: Row, run: RunDelivery, rejection: Rejection) -> None:
        """Set a row aside, or drop it if the outbox cannot keep it."""
        row_id, item = row.id, row.item
        self._retries.pop(row_id, None)
        self._cut_rows.pop(row_id, None)
        if item.kind == ItemKind.CLOSE:
            self._runs.end(run)
        kept = self._outbox.set_aside(row, rejection.reason)
        if kept:
            self._tally.set_aside[rejection.reason] += 1
        else:
            self._losses.add(Loss.REJECTED)
        self._circuit.report(rejection.topic, rejection.message(kept=kept))
        if rejection.loss is not None and item.kind in SPAN_KINDS:
            self._losses.add_to_run(item.run_key, rejection.loss)
        self.settled += 1

    def retry(self, row: Row, run: RunDelivery, rejection: Rejection) -> None:
        """Retry a row later; set it aside for *rejection* if it was tried often enough."""
        if self.retry_later(row.id):
            self._held_runs.add(run.stored.key)
        else:
            self.reject(row, run, rejection)

    def retry_later(self, key: int | str) -> bool:
        """Note a failed try of a row or run; return whether to try once more."""
        retry = self._retries.setdefault(key, Retry(self._clock, delays()))
        retry.postpone()
        if retry.tries >= MAX_TRIES:
            del self._retries[key]
        return retry.tries < MAX_TRIES

    def is_waiting(self, key: int | str) -> bool:
        """Return whether it is too early for the next try of a row or run."""
        retry = self._retries.get(key)
        return retry is not None and retry.due_in_s() > 0

    def must_wait(self, row: Row, run: RunDelivery) -> bool:
        """Return whether a row has to wait for the start of its run, or for a retry."""
        row_id, item = row.id, row.item
        if run.needs_start and (self._support.runs is False or self.is_waiting(item.run_key)):
            return True
        if row_id in self._retries and self.is_waiting(row_id):
            return True
        # An end must not overtake the rows before it.
        if item.kind == ItemKind.FINISH or item.kind in END_KINDS:
            if item.run_key not in self._held_runs:
                return False
            # It waits for other rows now, not for its own retry.
            self._retries.pop(row_id, None)
            return True
        return False

    def renew(self, row: Row, run: RunDelivery) -> None:
        """Register a run in the next step that the server does not know; its rows wait for it."""
        self._registrar.renew(run)
        self.ready_run(row)
