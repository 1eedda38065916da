"""The writer: moves what was recorded from the buffer to the outbox; never touches the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from remit._buffer import CHUNK_ITEMS, Buffer
from remit._clock import NS_PER_S, Clock
from remit._delivery.lost import telling
from remit._delivery.orphans import span_end
from remit._delivery.registration import Registrations
from remit._gentle import gently
from remit._guard import guarded
from remit._ids import key_text, new_key
from remit._queued import Drained
from remit._sink import Item, Kind
from remit._spool import Outbox, RunRecord


class Writer:
    """Makes passes; several threads may ask for one, one at a time makes it."""

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
        # Those in which more losses stand than in the outbox.
        self._booked: dict[str, RunRecord] = {}
        self._passing = threading.Lock()
        self._passed_ns = clock.monotonic_ns()
        # Kept when the outbox fails, and put before what comes later.
        self._drained = Drained()
        # What of it is being put, and the records of its new runs; until it is let go of.
        self._putting: tuple[list[Item], list[RunRecord]] | None = None

    def urge(self) -> None:
        """Have the next pass announce every open span, however young."""
        self._everything = True

    def conclude(self) -> None:
        """Have each pass from now on put also what is told of losses when a process ends."""
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
        with self._passing:
            # After a fault it stays so until the next pass.
            self._buffer.mover = threading.get_ident()
            everything, self._everything = self._everything, False
            began_ns = self._clock.monotonic_ns()
            with self._turns():
                self._put_rest()
            # Counted before, so that a program that records all the time does not hold the pass.
            for _ in range(1 + len(self._buffer) // CHUNK_ITEMS):
                with self._turns():
                    self._move_chunk(everything=everything)
                everything = False
            if self._concluding:
                self._put_last()
            self._passed_ns = began_ns
            self._buffer.mover = None

    @property
    def carried(self) -> int:
        """How many items were taken from the buffer and not yet put."""
        return len(self._drained)

    @property
    def lag_s(self) -> float:
        """Age at most of the oldest item that was not moved, in seconds."""
        if not (len(self._buffer) or self._drained):
            return 0.0
        return (self._clock.monotonic_ns() - self._passed_ns) / NS_PER_S

    def _turns(self) -> AbstractContextManager[None]:
        """Have others get their turn soon: an event loop would have to wait for a whole chunk.

        Not while threads outrun the writer: each that waits looks for its turn as often, which
        takes a call of theirs a fifth more, and they leave an event loop the longer turns anyhow.
        """
        return nullcontext() if self._buffer.outrun else gently()

    def _move_chunk(self, *, everything: bool) -> None:
        self._buffer.drain(self._drained, everything=everything)
        if self._drained:
            self._put(self._drained.in_order())
            self._moved()

    def _put_rest(self) -> None:
        """Put again what an alarm broke off, or what failed."""
        if self._putting is not None:
            self._put(self._putting[0])
            self._moved()

    def _put(self, items: list[Item]) -> None:
        records = self._records(items)
        self._putting = (items, records)
        self._outbox.put(items, records + self._accounts())
        self._booked.clear()
        self._let_go(items, records)

    def _let_go(self, items: list[Item], records: list[RunRecord]) -> None:
        """Let go of what was put; done once more it changes nothing."""
        self._drained.clear()
        self._buffer.inherited.difference_update(record.key for record in records)
        for item in items:
            if item.kind == Kind.CLOSE:
                self._buffer.ended(item.run_key)
        # The outbox keeps the list, to know it again: not what is in it.
        items.clear()
        self._putting = None

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

    def _accounts(self) -> list[RunRecord]:
        """Return the records of runs of which more was lost since they were put."""
        losses = self._buffer.losses
        known = [self._outbox.run(run_key) for run_key in losses.runs()]
        for record in known:
            if record is None:
                continue
            # In this order: what an alarm or the disk breaks off is put by the next pass.
            self._booked[record.key] = record
            if record.inherited:
                self._owing[record.key] = record
            losses.book(record)
        booked = list(self._booked.values())
        return [record for record in booked if self._outbox.run(record.key) is record]

    def _put_last(self) -> None:
        """Put what was lost; of runs that another process ends as spans of their own."""
        changed = self._accounts()
        now_ns = self._clock.wall_ns()
        # Of one that is told of already nothing stands there.
        owing = {record.key: record.lost for record in self._owing.values() if record.lost}
        told = [telling(self._owing[key], now_ns, key_text(new_key(now_ns))) for key in owing]
        open_spans = self._outbox.open_spans() if self._ending_spans else []
        told += [span_end(span, now_ns) for span in open_spans]
        if not (changed or told):
            return
        records = [self._owing[key] for key in owing]
        try:
            for record in records:
                record.lost = {}
            self._outbox.put(told, [*changed, *records])
        except BaseException:
            for record in records:
                record.lost = owing[record.key]
            raise
        self._booked.clear()
