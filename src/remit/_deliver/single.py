"""Starts and ends runs by requests of their own, at a server that takes only spans in bulk."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from remit._base import guard
from remit._base.guard import guarded
from remit._deliver import calls
from remit._deliver.batches import describe_losses, instance_operation, is_silent, send_bulk
from remit._deliver.calls import SEND_ERRORS
from remit._deliver.reactions import FAULT, RUN_FAULT, Rejection
from remit._deliver.run_delivery import RunDelivery, RunRegistrar
from remit._deliver.spool.store import Row
from remit._deliver.window import SenderContext, Window
from remit._record.items import Item, ItemKind
from remit.errors import NotFoundError, RejectedError

OPENING: Final = "opening a run at the server"
ENDING: Final = "the end or a quality payload of a run"
"""Places of faults."""


class SingleCalls:
    """Sends operations that a bulk request of this server cannot hold."""

    def __init__(self, window: Window, registrar: RunRegistrar, context: SenderContext) -> None:
        self._window = window
        self._registrar = registrar
        self._client = context.client
        self._clock = context.clock

    def start(self, runs: Sequence[RunDelivery]) -> None:
        """Start runs by requests of their own, side by side."""
        due = [run for run in runs if not self._window.is_waiting(run.stored.key)]
        starts = [calls.start(run.stored, run.stored.instance_id or "").call() for run in due]
        results = self._client.call_side_by_side(starts)
        for run, result in zip(due, results, strict=True):
            if isinstance(result, RejectedError):
                self._window.reject_start(run, result.code, result)
            elif not isinstance(result, Exception):
                self._registrar.started(run)
                self._window.opened(run)
            elif not isinstance(result, SEND_ERRORS):
                guard.contain(OPENING, result)
                self._window.retry_opening(run, RUN_FAULT)
        _raise_first(results)

    def send_ends(self, rows: Sequence[Row]) -> None:
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
                run = self._window.ready_run(row)
                if run is None or self._window.must_wait(row, run):
                    self._window.hold(run_key)
                elif row.item.kind == ItemKind.CLOSE and not self._send_losses(row.item, run):
                    self._window.retry(row, run, FAULT)
                elif is_silent(row.item):
                    self._window.delivered([row])
                else:
                    sent.append((row, run))
            results = self._client.call_side_by_side(
                [instance_operation(row.item, run).call() for row, run in sent]
            )
            for (row, run), result in zip(sent, results, strict=True):
                self._react_to_end(row, run, result)
            _raise_first(results)

    def _react_to_end(self, row: Row, run: RunDelivery, result: object) -> None:
        """React to the answer to a quality payload or to the end of a run."""
        run.answered_ns = self._clock.monotonic_ns()
        is_close = row.item.kind == ItemKind.CLOSE
        if isinstance(result, NotFoundError):
            self._window.renew(row, run)
        elif isinstance(result, RejectedError):
            if is_close and result.status == HTTPStatus.CONFLICT:
                self._window.delivered([row])
            else:
                self._window.reject(row, run, Rejection.of_error(result))
        elif not isinstance(result, Exception):
            self._window.delivered([row])
        elif not isinstance(result, SEND_ERRORS):
            guard.contain(ENDING, result)
            self._window.retry(row, run, FAULT)

    @guarded("the losses of a run", passes=SEND_ERRORS)
    def _send_losses(self, item: Item, run: RunDelivery) -> bool:
        """Send the losses of a run, if it has any, before its end; None after a fault."""
        if self._window.has_unsent_losses(run):
            _, operation = describe_losses(run, item)
            with suppress(RejectedError):
                send_bulk(self._client, [operation])
            run.losses_sent = True
        return True


def _raise_first(results: Sequence[object]) -> None:
    """Raise the first exception among *results* for which nothing can be sent now."""
    for result in results:
        if isinstance(result, SEND_ERRORS) and not isinstance(result, RejectedError):
            raise result
