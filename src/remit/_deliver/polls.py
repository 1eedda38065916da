"""Polls runs without a recent answer, which the server may have terminated."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from remit._base.clock import NS_PER_S
from remit._base.guard import guarded
from remit._deliver import calls
from remit._deliver.calls import SEND_ERRORS
from remit._deliver.run_delivery import RunDeliveries, RunDelivery
from remit._deliver.window import SenderContext
from remit.errors import RejectedError

# Most runs that are polled in one step, so that many open runs cause no burst of requests.
MAX_POLLS: Final = 20


class RunPolls:
    """Polls the runs of one sender."""

    def __init__(self, runs: RunDeliveries, context: SenderContext) -> None:
        self._runs = runs
        self._context = context
        self._next_round_ns = 0

    def poll(self) -> None:
        """Poll the runs that are due, in bulk where the server takes it."""
        context = self._context
        now_ns = context.clock.monotonic_ns()
        if context.client.deadline is not None or now_ns < self._next_round_ns:
            return
        self._next_round_ns = now_ns + int(context.stream_interval_s * NS_PER_S)
        due = [run for run in self._runs.running() if self._due_ns(run) <= now_ns]
        due.sort(key=lambda run: run.answered_ns)
        if len(due) > 1 and context.support.reads:
            self._poll_together(due[: context.limits.items])
            return
        for run in due[:MAX_POLLS]:
            self._poll_run(run)

    def next_due_ns(self) -> int:
        """Return the time of the next round in which a poll is due."""
        due_ns = min(map(self._due_ns, self._runs.running()), default=sys.maxsize)
        return max(self._next_round_ns, due_ns)

    def _due_ns(self, run: RunDelivery) -> int:
        context = self._context
        interval_s = context.stream_interval_s if run.streaming else context.poll_interval_s
        return run.answered_ns + int(interval_s * NS_PER_S)

    @guarded("looking after a run", passes=SEND_ERRORS)
    def _poll_together(self, runs: Sequence[RunDelivery]) -> None:
        """Read the instances of *runs* in one bulk request.

        The server stops at an instance that it does not know; the others are read in later rounds.
        """
        operations = [calls.show(run.stored.key, run.stored.instance_id or "") for run in runs]
        answer: calls.Instances = {}
        with suppress(RejectedError):
            answer = self._context.client.call(calls.in_bulk(operations))
        now_ns = self._context.clock.monotonic_ns()
        support = self._context.support
        support.reads = any(isinstance(each, calls.Instance) for each in answer.values())
        for run, operation in zip(runs, operations, strict=True):
            instance = answer.get(operation.key)
            if isinstance(instance, calls.Instance):
                run.answered_ns = now_ns
                run.note_instance(instance)
            elif support.reads:
                run.answered_ns = now_ns  # it may be the one that is not known
                break

    @guarded("looking after a run", passes=SEND_ERRORS)
    def _poll_run(self, run: RunDelivery) -> None:
        client = self._context.client
        run.answered_ns = self._context.clock.monotonic_ns()
        with suppress(RejectedError):
            run.note_instance(client.call(calls.get_instance(run.stored.instance_id or "")))
