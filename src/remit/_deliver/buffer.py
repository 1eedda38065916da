"""The buffer: holds recorded items of all threads until the writer takes them; bounded in bytes.

The start of a span is kept here until the span ends, and both are sent as one item. A span that is
open for longer than an interval is announced: it is sent as `active`, and its end follows later.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from remit._base.clock import NS_PER_S, Clock
from remit._base.guard import logger
from remit._base.locks import SignalSafeLock
from remit._base.loops import in_event_loop, is_own_thread
from remit._deliver.losses import ITEM_BYTES, Loss, Losses, cost, skeleton
from remit._record.items import Item, ItemKind, RunFeed

# Beyond the first part of the bound threads wait for the writer, beyond the second payloads are
# left out, beyond the third whole spans, beyond the fourth the ends of announced ones; the rest is
# for the starts of runs. The ends of the runs that were taken may exceed the bound.
WAIT_PART: Final = 1 / 2
PAYLOAD_PART: Final = 3 / 4
SPAN_PART: Final = 7 / 8
END_PART: Final = 15 / 16
# The writer is woken early when this part of the bound has come in since it last looked.
WAKE_PART: Final = 1 / 8
UNBOUNDED: Final = 1 << 62
# A thread waits no longer than this for the writer to make room.
WAIT_S: Final = 0.05
# Most items that the writer drains at a time; between two drains it writes to the disk.
DRAIN_ITEMS: Final = 2_000
# With more items waiting the writer starts the next pass immediately.
BACKLOG_ITEMS: Final = 10 * DRAIN_ITEMS
# A pass this near to the interval's end counts as one.
FULL_INTERVAL_PART: Final = 0.9

_started_ns: Final = attrgetter("started_ns")


class Buffer:
    """The sink of a running process: takes items from any thread, passes them to the writer.

    Attributes:
        inherited: Keys of the parent process's runs in which this process recorded nothing yet.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        losses: Losses,
        clock: Clock,
        announce_after_s: float,
        start_threads: Callable[[], None],
        wake_writer: Callable[[], None],
    ) -> None:
        """Start empty, without threads.

        Args:
            max_bytes: Most bytes held, including those in an outbox in memory.
            announce_after_s: Age at which an open span is sent as `active`.
            start_threads: Called at each new run and at the first item.
            wake_writer: Wakes the writer before its time; must not block.
        """
        self._max_bytes = max_bytes
        self._wake_bytes = int(max_bytes * WAKE_PART)
        self._wait_bound = int(max_bytes * WAIT_PART)
        self._payload_bound = int(max_bytes * PAYLOAD_PART)
        self._span_bound = int(max_bytes * SPAN_PART)
        self._end_bound = int(max_bytes * END_PART)
        self.losses = losses
        self._clock = clock
        self._announce_after_ns = int(announce_after_s * NS_PER_S)
        self._start_threads = start_threads
        self._wake_writer = wake_writer
        self._reset()
        self._feeds: dict[str, RunFeed] = {}
        self.inherited: set[str] = set()

    def _reset(self) -> None:
        self._lock = SignalSafeLock()
        self._room = threading.Condition(self._lock)
        self._stalled = False
        self._open: dict[bytes, Item] = {}
        self._aging: set[bytes] = set()
        self._aged_ns = self._clock.monotonic_ns()
        self._queue: deque[Item] = deque()
        self._held_bytes = 0
        self._wake_at_bytes = 0
        self._asleep = True
        self._closed = False
        self._warned_after_shutdown = False
        # The hot path compares with this bound alone. It covers all rare cases: the first item, a
        # buffer that fills, a closed buffer.
        self._fast_limit_bytes = -1

    def open_run(self, item: Item, feed: RunFeed) -> None:
        """Take a new run; its feed is kept until the end of the run is delivered."""
        self._feeds[feed.key] = feed
        self.put(item)
        if not self._closed:
            self._start_threads()

    def start_span(self, start: Item) -> None:
        """Keep a span's start until the span ends or is old enough to be announced.

        Its bytes are counted when it is queued; until then the open span refers to it as well.
        """
        if not self._closed:
            self._open[start.key] = start

    def end_span(self, start: Item, finished_ns: int, status: str, result: bytes | None) -> None:
        """Queue the whole span, or a `FINISH` item if its start was announced.

        That item has the fields of the start too, for a server that lost the span.
        """
        if self._open.pop(start.key, None) is None:
            # The announced item may still be queued, so it is not changed.
            start = replace(start, kind=ItemKind.FINISH)
        start.finished_ns, start.status, start.result = finished_ns, status, result
        added = ITEM_BYTES + len(start.payload or b"") + len(result or b"")
        with self._lock:
            held_bytes = self._held_bytes + added
            if held_bytes <= self._fast_limit_bytes:
                self._held_bytes = held_bytes
                self._queue.append(start)
                return
        self._queue_or_drop(
            start, self._span_bound if start.kind == ItemKind.SPAN else self._end_bound
        )

    def put(self, item: Item) -> None:
        """Queue any other item; the end of a run is never dropped for want of room."""
        # Without its end, the run would stay open at the server, and its feed in memory.
        ends_run = item.kind == ItemKind.CLOSE and item.run_key in self._feeds
        self._queue_or_drop(item, UNBOUNDED if ends_run else self._max_bytes)

    def drain(self, *, announce_all: bool) -> list[Item]:
        """Return at most a chunk of the queued items: runs, spans by their starts, then ends.

        Called by one thread at a time.

        Args:
            announce_all: Announce all open spans, not only those that are old enough.
        """
        kinds: list[list[Item]] = [[] for _ in range(ItemKind.CLOSE + 1)]
        with self._lock:
            for key in self._keys_to_announce(announce_all=announce_all):
                start = self._open.pop(key, None)
                if start is not None:
                    kinds[ItemKind.SPAN].append(start)
                    self._held_bytes += cost(start)
            for _ in range(min(len(self._queue), DRAIN_ITEMS)):
                item = self._queue.popleft()
                kinds[item.kind].append(item)
            self._wake_at_bytes = self._held_bytes + self._wake_bytes
            self._update_fast_limit()
        kinds[ItemKind.SPAN].sort(key=_started_ns)
        return [item for items in kinds for item in items]

    def release(self, freed_bytes: int) -> None:
        """Note that *freed_bytes* of items are no longer in memory."""
        with self._lock:
            self._held_bytes -= freed_bytes
            self._wake_at_bytes -= freed_bytes
            self._stalled = False
            self._update_fast_limit()
            self._room.notify_all()

    def feed(self, run_key: str) -> RunFeed | None:
        """Return the feed of a run whose end is not delivered yet."""
        return self._feeds.get(run_key)

    def forget_feed(self, run_key: str) -> None:
        self._feeds.pop(run_key, None)

    def close(self) -> None:
        """Drop and count all later items."""
        with self._lock:
            self._closed = True
            self._update_fast_limit()
            self._room.notify_all()

    def after_fork_in_child(self) -> None:
        """Remove the parent's items, which the parent delivers; keep the feeds of its runs."""
        self.losses.after_fork_in_child()
        self.inherited = set(self._feeds)
        self._reset()

    @property
    def held_bytes(self) -> int:
        """Bytes taken and not yet released."""
        return self._held_bytes

    @property
    def has_backlog(self) -> bool:
        """Whether the queue is long enough for the writer to start its next pass immediately."""
        return len(self._queue) > BACKLOG_ITEMS

    def __len__(self) -> int:
        """Count the queued items and the open spans."""
        return len(self._queue) + len(self._open)

    def _keys_to_announce(self, *, announce_all: bool) -> list[bytes]:
        """Return the keys of the spans that were open a whole interval ago."""
        now_ns = self._clock.monotonic_ns()
        # A pass that came early, because the buffer filled, does not end an interval.
        interval_ns = self._announce_after_ns * FULL_INTERVAL_PART
        if not announce_all and now_ns - self._aged_ns < interval_ns:
            return []
        self._aged_ns = now_ns
        open_now = list(self._open)
        due = open_now if announce_all else [key for key in open_now if key in self._aging]
        self._aging = set(open_now).difference(due)
        return due

    def _update_fast_limit(self) -> None:
        """Set the number of held bytes up to which an item is only queued."""
        rare = self._closed or self._asleep
        self._fast_limit_bytes = -1 if rare else min(self._wake_at_bytes, self._wait_bound)

    def _wake(self) -> None:
        """Start the threads at the first item; wake the writer once when the buffer fills."""
        with self._lock:
            starts, self._asleep = self._asleep, False
            wakes = not starts and self._held_bytes > self._wake_at_bytes
            if starts:
                self._wake_at_bytes = self._held_bytes + self._wake_bytes
            elif wakes:
                self._wake_at_bytes = UNBOUNDED
            self._update_fast_limit()
        if starts:
            self._start_threads()
        elif wakes:
            self._wake_writer()

    def _queue_or_drop(self, item: Item, bound: int) -> None:
        """Queue an item, without its payload if need be; drop it beyond *bound* held bytes."""
        if not self._closed:
            self._wake()
            self._await_room()
        with self._lock:
            reason = self._add(item, bound)
        if reason is not None:
            self._count(item, reason)

    def _add(self, item: Item, bound: int) -> Loss | None:
        """Queue an item or a part of it; return the reason of a loss, None without one."""
        if self._closed:
            return Loss.AFTER_SHUTDOWN
        reason: Loss | None = None
        held_bytes = self._held_bytes + cost(item)
        if held_bytes > self._payload_bound and not _is_root(item):
            without_payload = skeleton(item)
            freed_bytes = cost(item) - cost(without_payload)
            if freed_bytes > 0:
                reason, item = Loss.PAYLOAD_BUFFER_FULL, without_payload
                held_bytes -= freed_bytes
        if held_bytes > bound:
            return Loss.BUFFER_FULL
        # In this order a signal handler that raises leaves no item without its bytes.
        self._held_bytes = held_bytes
        self._queue.append(item)
        return reason

    def _await_room(self) -> None:
        """Wait until the writer has made room.

        Return immediately in an event loop, in remit's own threads, and after a wait that timed
        out.
        """
        full = self._held_bytes > self._wait_bound and not self._stalled
        if full and not (in_event_loop() or is_own_thread()):
            with self._lock:
                if self._held_bytes > self._wait_bound:
                    self._stalled = not self._room.wait(WAIT_S)

    def _count(self, item: Item, reason: Loss) -> None:
        feed = self.feed(item.run_key)
        self.losses.add(reason, run_key=None if feed is None else item.run_key)
        if reason is Loss.PAYLOAD_BUFFER_FULL:
            return
        if feed is not None and item.kind in (ItemKind.SPAN, ItemKind.FINISH):
            feed.lost += 1
        if item.kind == ItemKind.RUN:
            self.forget_feed(item.run_key)
        if reason is Loss.AFTER_SHUTDOWN and not self._warned_after_shutdown:
            self._warned_after_shutdown = True
            logger.warning(
                "something was recorded after remit's shutdown, and is lost; "
                "remit.status().dropped counts it (after_shutdown). Call remit.shutdown() last, "
                "or open a new run after it"
            )


def _is_root(item: Item) -> bool:
    """Return whether an item is of a run's root span, whose payload is small and is kept."""
    return item.kind in (ItemKind.SPAN, ItemKind.FINISH) and item.parent is None
