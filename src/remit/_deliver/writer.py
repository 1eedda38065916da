"""The writer: moves what was recorded from the buffer to the outbox; never touches the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import guarded
from remit._base.ids import key_text, new_key
from remit._deliver.buffer import CHUNK_ITEMS, Buffer
from remit._deliver.loss_spans import failed_end, loss_span
from remit._deliver.runs import Registrations
from remit._deliver.spool import RunRecord, SpoolOutbox
from remit._record.items import Item, Kind


class Writer:
    """Makes passes, one at a time: its worker sees to that."""

    def __init__(
        self,
        *,
        buffer: Buffer,
        outbox: SpoolOutbox,
        registrations: Registrations,
        clock: Clock,
        interval_s: float,
        ticks: Sequence[Callable[[], None]],
        moved: Callable[[], None],
    ) -> None:
        """Wire the parts.

        Args:
            buffer: Where items come from.
            outbox: Where they go.
            registrations: Makes the records of new runs.
            clock: The time.
            interval_s: Seconds between two passes.
            ticks: Called at each pass; a fault of one is contained.
            moved: Called when there is something new in the outbox.
        """
        self._buffer = buffer
        self._outbox = outbox
        self._registrations = registrations
        self._clock = clock
        self._interval_s = interval_s
        self._ticks = [guarded("a tick of the writer")(tick) for tick in ticks]
        self._moved = moved
        self._everything = False
        self._concluding = self._ending_spans = False
        # Runs of a parent process of which something was lost in this one.
        self._owing: dict[str, RunRecord] = {}
        self._passed_ns = clock.monotonic_ns()
        # What was taken from the buffer and not put yet; kept when the outbox fails.
        self._batch: list[Item] = []

    def announce_all(self) -> None:
        """Have the next pass announce every open span, however young."""
        self._everything = True

    def conclude(self) -> None:
        """Have each pass from now on put also the loss spans that are written at the end."""
        self._concluding = True

    def end_spans(self) -> None:
        """Have each pass from now on end the spans that are open then, as the process ends."""
        self._ending_spans = True

    def step(self) -> float:
        """Make a pass; return the seconds until the next."""
        for tick in self._ticks:
            tick()
        self.move()
        return 0.0 if self._buffer.behind else self._interval_s

    def move(self) -> None:
        """Move everything that is queued to the outbox."""
        everything, self._everything = self._everything, False
        began_ns = self._clock.monotonic_ns()
        self._put()
        # Counted before, so that a program that records all the time does not hold the pass.
        for _ in range(1 + len(self._buffer) // CHUNK_ITEMS):
            self._batch = self._buffer.drain(everything=everything)
            everything = False
            self._put()
        if self._concluding:
            self._put_last()
        self._passed_ns = began_ns

    @property
    def carried(self) -> int:
        """How many items were taken from the buffer and not yet put."""
        return len(self._batch)

    @property
    def lag_s(self) -> float:
        """Age at most of the oldest item that was not moved, in seconds."""
        if not (len(self._buffer) or self._batch):
            return 0.0
        return (self._clock.monotonic_ns() - self._passed_ns) / NS_PER_S

    def _put(self) -> None:
        if not self._batch:
            return
        records = self._records(self._batch)
        self._outbox.put(self._batch, records + self._book_losses())
        batch, self._batch = self._batch, []
        self._buffer.inherited.difference_update(record.key for record in records)
        for item in batch:
            if item.kind == Kind.CLOSE:
                self._buffer.ended(item.run_key)
        self._moved()

    def _records(self, items: list[Item]) -> list[RunRecord]:
        """Return the records of the runs that are new among the items."""
        feed_of, registrations = self._buffer.feed, self._registrations
        opened = [item for item in items if item.kind == Kind.RUN]
        records = [
            registrations.record(item, feed) for item in opened if (feed := feed_of(item.run_key))
        ]
        inherited = self._buffer.inherited
        if inherited:
            keys = inherited.intersection(item.run_key for item in items)
            records += [registrations.inherited(feed) for key in keys if (feed := feed_of(key))]
        return records

    def _book_losses(self) -> list[RunRecord]:
        """Note in the records of runs what they lost; return those that changed."""
        losses, changed = self._buffer.losses, list[RunRecord]()
        for run_key in losses.runs():
            record = self._outbox.run(run_key)
            if record is None or not losses.book(record):
                continue
            # Written with what is settled next if the put fails that is to write it.
            self._outbox.save_run(record)
            changed.append(record)
            if record.inherited:
                self._owing[record.key] = record
        return changed

    def _put_last(self) -> None:
        """Put what was lost; for runs that another process ends, as loss spans."""
        changed = self._book_losses()
        now_ns = self._clock.wall_ns()
        owing = [record for record in self._owing.values() if record.lost]
        last = [loss_span(record, now_ns, key_text(new_key(now_ns))) for record in owing]
        if self._ending_spans:
            last += [failed_end(span, now_ns) for span in self._outbox.open_spans()]
        if changed or last:
            self._outbox.put(last, changed)
        for record in owing:
            record.lost = {}
            self._outbox.save_run(record)
