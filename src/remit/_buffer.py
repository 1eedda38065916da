"""The buffer: what the host's threads leave for the writer, without a lock and bounded in bytes.

A thread of the host only sets a dictionary's entry, pops it, appends to a deque and adds to a
counter: each is one step under the interpreter's lock. Whoever pops a span's beginning from the
dictionary sends it: its own end, as one whole span, or the writer, as `active`, after an interval.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import repeat
from operator import call
from typing import Final
from weakref import WeakValueDictionary

from msgspec.structs import replace

from remit._clock import NS_PER_S, Clock
from remit._loops import looping
from remit._losses import ITEM_BYTES, Loss, Losses, cost, skeleton
from remit._queued import Drained
from remit._sink import Item, Kind, RunFeed

# Beyond the first part of the bound payloads are left out, beyond the second whole spans, beyond
# the third the ends of announced ones; the rest is for the starts and ends of runs.
PAYLOAD_PART: Final = 3 / 4
SPAN_PART: Final = 7 / 8
END_PART: Final = 15 / 16
# The writer is woken early when this part of the bound has come in since it last looked.
WAKE_PART: Final = 1 / 8
NEVER: Final = 1 << 62
# What is moved at once takes the writer 2 ms, for which an event loop may have to wait; between
# two chunks the disk is written to, and others run.
CHUNK_ITEMS: Final = 2_000
# With more than so many items waiting the writer is behind: it makes the next pass at once.
BACKLOG_ITEMS: Final = 10 * CHUNK_ITEMS
# Beyond this part of the bound threads that compute all the time give way to a writer that is
# behind: whenever so much has come in. Those that run no event loop share one line, in which each
# has its turn so long after the one before, beyond a second part longer: as many as the writer can
# follow are awake, and the others do not look for the interpreter's lock. What an event loop has to
# do besides waits no longer than for the writer's own turns. When the writer has not come for the
# next chunk for some time, such as while a disk hangs, all go on.
PACE_PART: Final = 1 / 2
LONG_PACE_PART: Final = 5 / 8
PACE_BYTES: Final = 256 * ITEM_BYTES
PACE_NS: Final = 4_800_000
LONG_PACE_NS: Final = 4 * PACE_NS
MAX_PACE_NS: Final = 128_000_000
LOOP_PACE_BYTES: Final = 128 * ITEM_BYTES
LOOP_PACE_S: Final = 0.001_6
PATIENCE_NS: Final = NS_PER_S
# Of more than so many spans that begin in a full buffer the end alone is sent first.
MAX_TURNED_AWAY: Final = 10_000
# Each item after the end is written to disk by itself, on the thread that recorded it.
MAX_LATE: Final = 10_000
# A pass this near to the interval's end counts as one.
PUNCTUAL_PART: Final = 0.9


class Buffer:
    """The sink of a running process: takes items from any thread, hands them to the writer.

    Attributes:
        losses: What was dropped.
        outrun: Whether threads that run no event loop gave way since the writer fell behind.
        mover: The thread that makes a pass at present, by its ident: it gives way to nobody.
        inherited: Keys of the runs that came through a fork and of which nothing was recorded yet.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        losses: Losses,
        clock: Clock,
        announce_after_s: float,
        rouse: Callable[[], None],
        nudge: Callable[[], None],
    ) -> None:
        """Begin empty and asleep.

        Args:
            max_bytes: Most bytes held, those in an outbox in memory included.
            losses: Where to count what is dropped.
            clock: The time.
            announce_after_s: Age at which an open span is sent as `active`, in seconds.
            rouse: Starts the threads; called at each new run and at the first item.
            nudge: Wakes the writer before its time; must not block.
        """
        self._max_bytes = max_bytes
        self._wake_bytes = int(max_bytes * WAKE_PART)
        self._pace_bound = int(max_bytes * PACE_PART)
        self._long_pace_bound = int(max_bytes * LONG_PACE_PART)
        self._payload_bound = int(max_bytes * PAYLOAD_PART)
        self._span_bound = int(max_bytes * SPAN_PART)
        self._end_bound = int(max_bytes * END_PART)
        self.losses = losses
        self._clock = clock
        self._announce_after_ns = int(announce_after_s * NS_PER_S)
        self._rouse = rouse
        self._nudge = nudge
        self._reset()
        self._feeds: dict[str, RunFeed] = {}
        # Of runs that have ended: as long as somebody else holds them, such as their handle.
        self._ended_feeds: WeakValueDictionary[str, RunFeed] = WeakValueDictionary()
        self.inherited: set[str] = set()

    def _reset(self) -> None:
        self._fresh: dict[bytes, Item] = {}
        # Open spans of which the server was told nothing: an end alone, which it refuses, stops the
        # bulk request that it is in.
        self._turned_away: set[bytes] = set()
        self._queue: deque[Item] = deque()
        self._aging: set[bytes] = set()
        self._aged_ns = self._clock.monotonic_ns()
        # One counter for the host's threads and one for remit's. Another thread cannot come
        # between the load and the store of `+=` while what is added is a local: it would take a
        # call or a jump (and did: `+= len(...)` lost 7,000 of 200,000). The second has a lock.
        self._taken_bytes = 0
        self._released_bytes = 0
        self._releasing = threading.RLock()
        self._drained_ns = self._clock.monotonic_ns()
        # Of all that was taken: where the writer is woken, and where a thread gives way.
        self._wake_at_bytes = self._wake_bytes
        self._pace_at_bytes = 0
        self._turn_ns = 0
        self.outrun = False
        self.mover: int | None = None
        self._asleep = True
        self._closed = False
        self._keep: Callable[[], bool] | None = None
        self._late = 0
        # One comparison on the hot path leads to everything that is rare: the first item, a
        # buffer that fills, a buffer that is closed. Below zero everything is rare.
        self._mark_bytes = -1

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Take a new run; its feed is kept until the run has ended."""
        self._feeds[feed.key] = feed
        self.put(item)
        if not self._closed:
            self._rouse()

    def start_span(self, start: Item) -> None:
        """Keep a span's beginning until its end, or until it is old enough to be announced."""
        self._fresh[start.key] = start
        added = cost(start)
        self._taken_bytes += added
        if self._taken_bytes - self._released_bytes > self._mark_bytes:
            self._press_start(start)

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Queue the whole span; or its end alone, if its beginning was announced.

        The end carries the beginning too: a server that lost the span gets it whole.
        """
        item, added = start, 0 if result is None else len(result)
        if self._fresh.pop(start.key, None) is None:
            # The beginning may be on its way to the spool: it stays as it is.
            item = replace(start)
            added += cost(start)
            if start.key in self._turned_away:
                self._turned_away.discard(start.key)
            else:
                item.kind = Kind.FINISH
        item.finished_ns, item.status, item.result = finished_ns, status, result
        self._taken_bytes += added
        if self._taken_bytes - self._released_bytes > self._mark_bytes:
            self._press(item, self._span_bound if item.kind == Kind.SPAN else self._end_bound)
        else:
            self._queue.append(item)

    def put(self, item: Item) -> None:
        """Queue any other item."""
        added = cost(item)
        self._taken_bytes += added
        self._press(item, self._max_bytes)

    def drain(self, drained: Drained, *, everything: bool) -> None:
        """Hand over what is queued, at most a chunk.

        Called by one thread at a time.

        Args:
            drained: Where to.
            everything: Announce all open spans, not only those that are old enough.
        """
        starts = map(self._fresh.pop, self._ripe(everything=everything), repeat(None))
        drained.starts.extend(filter(None, starts))
        size = min(len(self._queue), CHUNK_ITEMS)
        drained.queued.extend(map(call, repeat(self._queue.popleft, size)))
        self._drained_ns = self._clock.monotonic_ns()
        if not self.behind:
            self.outrun = False
        self._wake_at_bytes = self._taken_bytes + self._wake_bytes
        self._reset_mark()

    def release(self, freed_bytes: int) -> None:
        """Take note that *freed_bytes* of items are no longer in memory."""
        with self._releasing:
            self._released_bytes += freed_bytes
        self._reset_mark()

    def feed(self, run_key: str) -> RunFeed | None:
        """Return the feed of a run whose end was not delivered yet, if anybody needs it."""
        return self._feeds.get(run_key) or self._ended_feeds.get(run_key)

    def ended(self, run_key: str) -> None:
        """Keep a run's feed only as long as others do: its end was moved, nothing needs it here.

        While the server is down any number of runs may wait for it.
        """
        feed = self._feeds.get(run_key)
        if feed is not None:
            # In this order: nobody finds neither meanwhile.
            self._ended_feeds[run_key] = feed
            self._feeds.pop(run_key, None)

    def forget(self, run_key: str) -> None:
        """Let go of a run's feed."""
        self._feeds.pop(run_key, None)
        self._ended_feeds.pop(run_key, None)

    def close(self, keep: Callable[[], bool] | None = None) -> None:
        """From now on count what comes as lost.

        Args:
            keep: Moves what is queued, on the thread that recorded it, and tells whether it could:
                then what comes is not lost yet.
        """
        self._closed = True
        self._keep = keep
        self._mark_bytes = -1

    def after_fork_in_child(self) -> None:
        """Forget the parent's items, which the parent delivers; the feeds of its runs stay."""
        self.losses.after_fork_in_child()
        self.inherited = {*self._feeds, *self._ended_feeds}
        self._reset()

    @property
    def held_bytes(self) -> int:
        """Bytes taken and not yet released."""
        return self._taken_bytes - self._released_bytes

    @property
    def behind(self) -> bool:
        """Whether more is queued than a writer that gets its turns leaves."""
        return len(self._queue) > BACKLOG_ITEMS

    def __len__(self) -> int:
        """Count the items that wait here, beginnings of open spans included."""
        return len(self._queue) + len(self._fresh)

    def _ripe(self, *, everything: bool) -> list[bytes]:
        """Return the keys of the beginnings that were here a whole interval ago."""
        now_ns = self._clock.monotonic_ns()
        # A pass that came early, because the buffer filled, is no interval; a punctual one is.
        if not everything and now_ns - self._aged_ns < self._announce_after_ns * PUNCTUAL_PART:
            return []
        self._aged_ns = now_ns
        # One C call each: other threads add and remove entries meanwhile.
        open_now = list(self._fresh)
        ripe = open_now if everything else [key for key in open_now if key in self._aging]
        self._aging = set(open_now).difference(ripe)
        return ripe

    def _at_rest(self) -> bool:
        """Whether every item is rare: the first one, or one that comes after the end."""
        return self._closed or self._asleep

    def _reset_mark(self) -> None:
        """Say anew from how many bytes held on an item is rare: after each change of what decides.

        Bytes that were released in another thread meanwhile would leave it too high, for long.
        """
        released_bytes: int | None = None
        while released_bytes != self._released_bytes and not self._at_rest():
            released_bytes = self._released_bytes
            pace_at_bytes = max(self._pace_at_bytes, released_bytes + self._pace_bound)
            rare_at_bytes = min(self._wake_at_bytes, pace_at_bytes)
            self._mark_bytes = min(rare_at_bytes - released_bytes, self._payload_bound)
        if self._at_rest():  # since another thread closed it, meanwhile
            self._mark_bytes = -1

    def _wake(self) -> None:
        """Have the writer look; once, until it has."""
        if self._asleep:
            self._asleep = False
            try:
                self._wake_at_bytes = self._taken_bytes + self._wake_bytes
                self._reset_mark()
                self._rouse()
            except BaseException:
                # A signal's handler may raise at any point: the next item tries again.
                self._asleep, self._mark_bytes = True, -1
                raise
        elif self._taken_bytes > self._wake_at_bytes:
            try:
                self._wake_at_bytes = NEVER
                self._reset_mark()
                self._nudge()
            except BaseException:
                self._wake_at_bytes, self._mark_bytes = 0, -1
                raise

    def _press_start(self, start: Item) -> None:
        """Take a beginning when it is the first, the buffer is filling, or it is closed."""
        if not self._closed:
            self._wake()
        full = self._closed or self.held_bytes > self._span_bound
        # Not noted then: the end, which carries it, will be counted or find room again.
        if full and self._fresh.pop(start.key, None) is not None:
            self.release(cost(start))
            if len(self._turned_away) < MAX_TURNED_AWAY:
                self._turned_away.add(start.key)

    def _press(self, item: Item, bound: int) -> None:
        """Queue an item that is counted already, or less of it, or nothing beyond *bound* bytes."""
        if self._closed:
            self._press_late(item)
            return
        self._wake()
        if self.held_bytes <= self._payload_bound:
            self._queue.append(item)
            self._give_way()
            return
        bare = item if _is_root(item) else skeleton(item)
        if self.held_bytes - cost(item) + cost(bare) > bound:
            self._drop(item, Loss.BUFFER_FULL)
            return
        if bare != item:
            self.losses.add(Loss.PAYLOAD_BUFFER_FULL, run_key=item.run_key)
        self.release(cost(item) - cost(bare))
        self._queue.append(bare)
        self._give_way()

    def _give_way(self) -> None:
        """Let the writer run, for which threads that compute all the time leave no moment."""
        if self.held_bytes <= self._pace_bound or self._taken_bytes < self._pace_at_bytes:
            return
        in_loop = looping()
        self._pace_at_bytes = self._taken_bytes + (LOOP_PACE_BYTES if in_loop else PACE_BYTES)
        self._reset_mark()
        now_ns = self._clock.monotonic_ns()
        # A generator that is collected in the mover's thread may end its span there.
        moves = threading.get_ident() == self.mover
        if self.behind and not moves and now_ns - self._drained_ns < PATIENCE_NS:
            pause_s = LOOP_PACE_S if in_loop else self._line_up(now_ns) / NS_PER_S
            time.sleep(pause_s)  # noqa: TID251 - for nothing: another thread runs meanwhile

    def _line_up(self, now_ns: int) -> int:
        """Return how long it is until the next turn of those who give way, which is taken then."""
        self.outrun = True
        pace_ns = LONG_PACE_NS if self.held_bytes > self._long_pace_bound else PACE_NS
        turn_ns = min(max(self._turn_ns, now_ns) + pace_ns, now_ns + MAX_PACE_NS)
        self._turn_ns = turn_ns
        return turn_ns - now_ns

    def _press_late(self, item: Item) -> None:
        """Take an item that comes after the end, as long as it can be kept and there are few."""
        self._late += 1
        if self._keep is None or self._late > MAX_LATE:
            self._drop(item, Loss.AFTER_SHUTDOWN)
            return
        self._queue.append(item)
        if not self._keep():
            self._keep = None
            while self._queue:
                self._drop(self._queue.popleft(), Loss.AFTER_SHUTDOWN)

    def _drop(self, item: Item, reason: Loss) -> None:
        self.release(cost(item))
        feed = self.feed(item.run_key)
        self.losses.add(reason, run_key=None if feed is None else item.run_key)
        if feed is not None and item.kind in (Kind.SPAN, Kind.FINISH):
            feed.lost += 1
        if item.kind == Kind.RUN:
            self.forget(item.run_key)


def _is_root(item: Item) -> bool:
    """Tell whether an item is of a run's root span: what it says of the run is small and stays."""
    return item.kind in (Kind.SPAN, Kind.FINISH) and item.parent is None
