"""The writer: moves recorded items from the buffer to the outbox; does not use the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remit._base.clock import NS_PER_S, Clock, Deadline
from remit._base.guard import guarded
from remit._base.ids import key_text, new_key
from remit._declare.registry import ASKED_TYPE
from remit._deliver.buffer import DRAIN_ITEMS, Buffer
from remit._deliver.losses import failed_end, loss_span
from remit._deliver.run_delivery import Registrations
from remit._deliver.spool.outbox import Outbox
from remit._deliver.stored import StoredRun
from remit._record.items import Item, ItemKind
from remit._record.questions import may_wait


class Writer:
    """Moves items in passes; its worker runs one pass at a time."""

    def __init__(
        self,
        *,
        buffer: Buffer,
        outbox: Outbox,
        registrations: Registrations,
        clock: Clock,
        interval_s: float,
        ticks: Sequence[Callable[[], None]],
        moved: Callable[[], None],
    ) -> None:
        """Wire the parts.

        *ticks* are called at each pass, and their faults are contained; *moved* is called after
        items were put into the outbox.
        """
        self._buffer = buffer
        self._outbox = outbox
        self._registrations = registrations
        self._clock = clock
        self._interval_s = interval_s
        self._ticks = [guarded("a tick of the writer")(tick) for tick in ticks]
        self._on_moved = moved
        self._announce_all = False
        self._shutting_down = self._ending_spans = False
        # Runs of a parent process with losses in this process.
        self._inherited_with_losses: dict[str, StoredRun] = {}
        self._passed_ns = clock.monotonic_ns()
        # Items that were taken from the buffer and not put yet; kept when the outbox fails.
        self._batch: list[Item] = []

    def announce_all(self) -> None:
        """Make the next pass announce every open span, whatever its age."""
        self._announce_all = True

    def begin_shutdown(self) -> None:
        """Make each further pass put the loss spans of inherited runs too."""
        self._shutting_down = True

    def end_spans(self) -> None:
        """Make each further pass end the open spans, because the process ends."""
        self._ending_spans = True

    def step(self) -> float:
        """Run a pass; return the seconds until the next."""
        for tick in self._ticks:
            tick()
        self.move()
        return 0.0 if self._buffer.has_backlog else self._interval_s

    def move(self, deadline: Deadline | None = None) -> None:
        """Move everything that is queued to the outbox, or as much as is done by *deadline*."""
        announce_all, self._announce_all = self._announce_all, False
        began_ns = self._clock.monotonic_ns()
        self._put()
        # Counted before, so that a program that records all the time does not prolong the pass.
        for _ in range(1 + len(self._buffer) // DRAIN_ITEMS):
            self._batch = self._buffer.drain(announce_all=announce_all)
            announce_all = False
            self._put()
            if deadline is not None and deadline.passed:
                return
        if self._shutting_down:
            self._put_loss_spans()
        self._passed_ns = began_ns

    @property
    def in_transit(self) -> int:
        """Number of items that were taken from the buffer and not yet put."""
        return len(self._batch)

    @property
    def lag_s(self) -> float:
        """Upper bound of the age of the oldest item that is not moved, in seconds."""
        if not (len(self._buffer) or self._batch):
            return 0.0
        return (self._clock.monotonic_ns() - self._passed_ns) / NS_PER_S

    def _put(self) -> None:
        if not self._batch:
            return
        runs = self._runs(self._batch)
        self._outbox.put(self._batch, runs + self._changed_by_losses())
        self._batch = []
        self._buffer.inherited.difference_update(run.key for run in runs)
        self._on_moved()

    def _runs(self, items: list[Item]) -> list[StoredRun]:
        feed_of, registrations = self._buffer.feed, self._registrations
        opened = [item for item in items if item.kind == ItemKind.RUN]
        runs = [
            registrations.stored_run(feed, item.started_ns or 0)
            for item in opened
            if (feed := feed_of(item.run_key))
        ]
        inherited = self._buffer.inherited
        if inherited:
            keys = inherited.intersection(item.run_key for item in items)
            feeds = filter(None, map(feed_of, keys))
            runs += [registrations.stored_run(feed, 0, inherited=True) for feed in feeds]
        return runs + self._waiting_runs(items, runs)

    def _waiting_runs(self, items: list[Item], new: list[StoredRun]) -> list[StoredRun]:
        """Note in the runs of *items* whether they wait for a person; return those in the outbox.

        The answer may come to another process, so a process that adopts such a run does not end it.
        """
        known = {run.key: run for run in new}
        changed: dict[str, StoredRun] = {}
        for item in items:
            if item.kind != ItemKind.SPAN or not may_wait(item):
                continue
            run = known.get(item.run_key) or self._outbox.run(item.run_key)
            if run is not None:
                run.waits = item.name == ASKED_TYPE
                if item.run_key not in known:
                    changed[run.key] = run
        return list(changed.values())

    def _changed_by_losses(self) -> list[StoredRun]:
        losses, changed = self._buffer.losses, list[StoredRun]()
        for run_key in losses.runs():
            run = self._outbox.run(run_key)
            if run is None or not losses.take_losses(run):
                continue
            # If the put that should write it fails, it is written with the next settled rows.
            self._outbox.save_run(run)
            changed.append(run)
            if run.inherited:
                self._inherited_with_losses[run.key] = run
        return changed

    def _put_loss_spans(self) -> None:
        """Put losses: loss spans for runs that another process ends, and counts for the others."""
        changed = self._changed_by_losses()
        now_ns = self._clock.wall_ns()
        with_losses = [run for run in self._inherited_with_losses.values() if run.lost]
        last = [loss_span(run, now_ns, key_text(new_key(now_ns))) for run in with_losses]
        if self._ending_spans:
            last += [failed_end(span, now_ns) for span in self._outbox.open_spans()]
        if changed or last:
            self._outbox.put(last, changed)
        for run in with_losses:
            run.lost = {}
            self._outbox.save_run(run)
