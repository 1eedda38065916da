"""The buffer: nothing lost, nothing doubled, bounded, in order, without a lock for the host."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from msgspec.structs import replace

from remit._base.ids import new_key
from remit._deliver import buffer
from remit._deliver.buffer import DRAIN_ITEMS
from remit._deliver.losses import ITEM_BYTES, Loss, Losses, cost, skeleton
from remit._record.items import Item, ItemKind
from remit.testing import FakeClock
from tests.inside import make_buffer
from tests.recording import HandRun

pytestmark = pytest.mark.python

RUN = "01m8854jxatem2qtpj6f5qsb2f"
KEY = b"k" * 16


class Made:
    """A buffer, and what it asked for."""

    def __init__(self, max_bytes: int = 1 << 26) -> None:
        """Make it, on a clock that stands still."""
        self.clock = FakeClock()
        self.losses = Losses()
        self.asked: Counter[str] = Counter()
        self.buffer = make_buffer(
            losses=self.losses,
            clock=self.clock,
            max_bytes=max_bytes,
            start_threads=lambda: self.asked.update(["start"]),
            wake_writer=lambda: self.asked.update(["wake"]),
        )

    def start(self, key: bytes = b"", *, started_ns: int = 1, size_bytes: int = 2) -> Item:
        """Begin a span."""
        payload = b"{" + b" " * (size_bytes - 2) + b"}"
        start = Item(
            ItemKind.SPAN, RUN, key or new_key(time.time_ns()), None, "m:f", started_ns, None,
            "active", payload, None,
        )  # fmt: skip
        self.buffer.start_span(start)
        return start

    def span(self, *, started_ns: int = 1, size_bytes: int = 2) -> Item:
        """Record a whole span."""
        start = self.start(started_ns=started_ns, size_bytes=size_bytes)
        self.buffer.end_span(start, started_ns + 1, "complete", b"{}")
        return start

    def fill(self, held_bytes: float) -> None:
        """Record spans until so much is held."""
        while self.buffer.held_bytes < held_bytes:
            self.span()

    def drain(self, *, announce_all: bool = False) -> list[Item]:
        """Drain the buffer and release the memory of the items."""
        items = self.buffer.drain(announce_all=announce_all)
        self.buffer.release(sum(map(cost, items)))
        return items


def shape(items: list[Item]) -> list[tuple[int, str | None]]:
    """Return kind and status of each."""
    return [(item.kind, item.status) for item in items]


def test_a_span_that_ends_soon_is_one_item() -> None:
    """Its beginning and its end are sent together, with the terminal status."""
    made = Made()
    start = made.span()
    assert made.drain() == [
        Item(ItemKind.SPAN, RUN, start.key, None, "m:f", 1, 2, "complete", b"{}", b"{}")
    ]
    assert made.drain(announce_all=True) == []
    assert made.buffer.held_bytes == 0


def test_a_span_that_lives_longer_than_an_interval_is_announced() -> None:
    """It is sent as active first, its end alone later; the end carries what a server may lack."""
    made = Made()
    start = made.start()
    made.clock.advance(1)
    assert made.drain() == []
    made.clock.advance(1)
    assert shape(made.drain()) == [(ItemKind.SPAN, "active")]
    made.buffer.end_span(start, 9, "failed", None)
    assert made.drain() == [
        replace(start, kind=ItemKind.FINISH, finished_ns=9, status="failed", result=None)
    ]
    assert made.buffer.held_bytes == 0


def test_a_pass_before_the_interval_is_over_announces_nothing() -> None:
    """The writer may be woken early by a buffer that fills; spans are no older for that."""
    made = Made()
    made.start()
    for _ in range(5):
        assert made.drain() == []


def test_a_flush_announces_every_open_span() -> None:
    """After it the server knows all that has begun."""
    made = Made()
    made.start()
    assert shape(made.drain(announce_all=True)) == [(ItemKind.SPAN, "active")]


def test_items_come_in_the_order_in_which_they_make_sense() -> None:
    """Runs, then spans with parents before children, then ends, quality, ends of runs."""
    made = Made()
    early = made.start(started_ns=10)
    made.drain(announce_all=True)
    made.buffer.put(Item(ItemKind.CLOSE, RUN, KEY, None, None, 1, 2, "complete", None, None))
    made.buffer.put(Item(ItemKind.QUALITY, RUN, KEY, None, "q", 1, None, None, b"{}", None))
    made.buffer.end_span(early, 99, "complete", None)
    parent = made.start(started_ns=20)
    made.span(started_ns=30)
    made.buffer.end_span(parent, 40, "complete", None)
    run = HandRun(made.buffer).open()
    drained = made.drain()
    assert [item.kind for item in drained] == [
        *(ItemKind.RUN, ItemKind.SPAN, ItemKind.SPAN, ItemKind.SPAN),
        *(ItemKind.FINISH, ItemKind.QUALITY, ItemKind.CLOSE),
    ]
    assert [item.started_ns for item in drained[1:4]] == [20, 30, run.started_ns]


def test_a_large_backlog_is_handed_over_in_chunks() -> None:
    """Sorting a million items at once would hold every other thread of the program."""
    made = Made()
    starts = [made.span(started_ns=number) for number in range(2 * DRAIN_ITEMS + 1)]
    chunks = [made.drain(), made.drain(), made.drain(), made.drain()]
    assert [len(chunk) for chunk in chunks] == [DRAIN_ITEMS, DRAIN_ITEMS, 1, 0]
    assert [item.key for chunk in chunks for item in chunk] == [start.key for start in starts]


def test_the_first_item_and_each_run_start_the_threads() -> None:
    """Nothing runs before; a thread that died is missed at the next run."""
    made = Made()
    assert made.asked["start"] == 0
    made.span()
    assert made.asked["start"] == 1
    HandRun(made.buffer).open()
    assert made.asked["start"] == 2


def test_the_feed_of_a_run_is_kept_until_it_is_forgotten() -> None:
    """Delivery needs it for the registration and to pass on a termination."""
    made = Made()
    run = HandRun(made.buffer).open()
    made.drain()
    assert made.buffer.feed(run.key) is run.feed
    made.buffer.forget_feed(run.key)
    assert made.buffer.feed(run.key) is None


def test_the_writer_is_woken_before_the_buffer_is_full() -> None:
    """Once for each eighth that comes in between two looks."""
    made = Made(max_bytes=100 * ITEM_BYTES)
    for _ in range(15):
        made.span()
    assert made.asked["wake"] == 1
    made.drain()
    made.drain()
    for _ in range(15):
        made.span()
    assert made.asked["wake"] == 2


@pytest.mark.parametrize(("at_first", "stays"), [(45, False), (60, False), (70, False), (60, True)])
def test_the_writer_is_woken_for_the_next_eighth_however_much_it_found(
    at_first: int, *, stays: bool
) -> None:
    """That is in memory until it is put, or longer where there is no disk and no server."""
    made = Made(max_bytes=100 * ITEM_BYTES)
    made.fill(at_first * ITEM_BYTES)
    drained = made.buffer.drain(announce_all=False)
    if not stays:
        made.buffer.release(sum(map(cost, drained)))
    made.asked.clear()
    for _ in range(10):
        made.span()
    assert made.asked["wake"] == 0
    for _ in range(5):
        made.span()
    assert made.asked["wake"] == 1


def test_a_full_buffer_first_gives_up_payloads_then_whole_spans() -> None:
    """It stays within its bound, counts each loss by its reason, and keeps the ends of runs."""
    made = Made(max_bytes=40 * ITEM_BYTES)
    run = HandRun(made.buffer).open()
    for _ in range(60):
        made.buffer.end_span(run.start(payload=b"x" * 400), 9, "complete", None)
    run.close()
    assert made.buffer.held_bytes <= 40 * ITEM_BYTES
    drained = made.drain()
    spans = [item for item in drained if item.kind in (ItemKind.SPAN, ItemKind.FINISH)]
    bare = [item for item in spans if item.payload == b'{"$remit":"cut","of":400,"unit":"bytes"}']
    losses = made.losses.by_reason()
    assert losses[Loss.PAYLOAD_BUFFER_FULL] >= len(bare) > 0
    assert losses[Loss.BUFFER_FULL] == 60 + 2 - len(spans) == run.feed.lost
    assert [item.status for item in drained if item.key == run.root] == [
        None,
        "active",
        "complete",
        "complete",
    ]
    assert made.buffer.held_bytes == 0


def test_a_full_buffer_takes_the_end_of_each_run_that_it_took() -> None:
    """The others are dropped whole, and leave nothing behind."""
    made = Made(max_bytes=40 * ITEM_BYTES)
    runs = [HandRun(made.buffer).open() for _ in range(60)]
    for run in runs:
        run.close()
    drained = made.drain()
    opened, closed = (
        [item.run_key for item in drained if item.kind == kind]
        for kind in (ItemKind.RUN, ItemKind.CLOSE)
    )
    assert opened == closed
    assert 0 < len(opened) < 60
    assert [run.key for run in runs if made.buffer.feed(run.key)] == opened
    assert made.buffer.held_bytes == 0


def test_an_alarm_while_a_call_waits_for_room_costs_its_item_and_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a program with alarms would fill the buffer for good."""
    monkeypatch.setattr(buffer, "WAIT_S", 60.0)
    made = Made(max_bytes=100 * ITEM_BYTES)
    made.fill(50 * ITEM_BYTES)

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(TimeoutError):  # noqa: PT012 - the alarm belongs to the call
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            made.span()
    finally:
        signal.signal(signal.SIGALRM, before)
    made.drain()
    assert made.buffer.held_bytes == 0


def test_a_thread_waits_until_the_writer_has_made_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """So one that does nothing but record loses nothing."""
    monkeypatch.setattr(buffer, "WAIT_S", 60.0)
    made, over, taken = Made(max_bytes=100 * ITEM_BYTES), threading.Event(), list[Item]()

    def write() -> None:
        while not over.wait(0.001):
            taken.extend(made.drain())

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(1_000):
        made.span()
    over.set()
    writer.join()
    assert len(taken) + len(made.drain()) == 1_000
    assert made.losses.by_reason() == {}


def test_an_event_loop_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is dropped and counted at once."""
    monkeypatch.setattr(buffer, "WAIT_S", 60.0)
    made = Made(max_bytes=100 * ITEM_BYTES)

    async def record() -> None:
        for _ in range(200):
            made.span()

    began_s = time.monotonic()
    asyncio.run(record())
    assert time.monotonic() - began_s < 30
    assert made.losses.by_reason()[Loss.BUFFER_FULL] > 100


def test_after_a_wait_in_vain_nobody_waits_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that hangs slows a program down once, not at each call."""
    waits: list[float] = []

    def wait(_: threading.Condition, timeout: float) -> bool:
        waits.append(timeout)
        return False

    monkeypatch.setattr(threading.Condition, "wait", wait)
    made = Made(max_bytes=100 * ITEM_BYTES)
    for _ in range(200):
        made.span()
    assert waits == [buffer.WAIT_S]
    made.drain()
    made.fill(60 * ITEM_BYTES)
    assert waits == [buffer.WAIT_S] * 2


def test_a_run_that_finds_no_room_is_dropped_with_all_that_follows() -> None:
    """Its feed is let go, so that the rest of it can be told from other runs' items."""
    made = Made(max_bytes=ITEM_BYTES // 2)
    run = HandRun(made.buffer).open()
    assert made.buffer.feed(run.key) is None
    assert made.drain() == []
    assert made.losses.by_reason() == {Loss.BUFFER_FULL: 2}


def test_a_span_that_begins_in_a_full_buffer_is_kept_when_it_ends_in_a_free_one() -> None:
    """Its beginning is the caller's own memory, and is announced like any other."""
    made = Made(max_bytes=10 * ITEM_BYTES)
    for _ in range(12):
        made.span()
    start = made.start()
    assert start in made.drain(announce_all=True)
    made.buffer.end_span(start, 5, "complete", None)
    assert made.drain() == [replace(start, kind=ItemKind.FINISH, finished_ns=5, status="complete")]
    assert made.buffer.held_bytes == 0


@pytest.mark.parametrize("full", [0, 0.6, 0.7], ids=["empty", "over half full", "filling"])
def test_what_comes_after_the_shutdown_is_counted(full: float) -> None:
    """It is neither kept nor forgotten in silence, and starts nothing."""
    made = Made(max_bytes=100 * ITEM_BYTES)
    made.fill(full * 100 * ITEM_BYTES)
    start = made.start()
    made.drain(announce_all=True)
    starts = made.asked["start"]
    made.buffer.close()
    made.buffer.end_span(start, 5, "complete", b"{}")
    made.span()
    HandRun(made.buffer).open()
    assert made.drain(announce_all=True) == []
    assert made.losses.by_reason() == {Loss.AFTER_SHUTDOWN: 4}
    assert made.asked["start"] == starts
    assert made.buffer.held_bytes == 0


def test_a_forked_child_begins_with_nothing_but_the_feeds() -> None:
    """What is queued is the parent's to deliver; a span in an inherited run needs its feed."""
    made = Made()
    run = HandRun(made.buffer).open()
    run.start()
    made.losses.add(Loss.BUFFER_FULL)
    made.buffer.after_fork_in_child()
    assert made.drain(announce_all=True) == []
    assert made.buffer.held_bytes == 0
    assert made.losses.by_reason() == {}
    assert made.buffer.feed(run.key) is run.feed
    starts = made.asked["start"]
    run.span()
    assert made.asked["start"] == starts + 1
    assert len(made.buffer) == 1


@pytest.mark.parametrize(
    ("payload", "result"),
    [(None, None), (b"{}", None), (None, b"{}"), (b"x" * 500, b"y" * 9)],
    ids=["nothing", "payload", "result", "both"],
)
def test_a_skeleton_says_how_much_is_missing(payload: bytes | None, result: bytes | None) -> None:
    """Each side that was there becomes a marker, one that was not stays absent."""
    item = Item(ItemKind.SPAN, RUN, KEY, None, "m:f", 1, 2, "complete", payload, result)
    bare = skeleton(item)
    for before, after in ((payload, bare.payload), (result, bare.result)):
        marker = before and b'{"$remit":"cut","of":%d,"unit":"bytes"}' % len(before)
        assert after == marker


@pytest.fixture
def restless() -> Iterator[None]:
    """Have threads take turns a thousand times as often as usual, to find what is not one step."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual_s)


class Tally:
    """What came out of a buffer, by the key of its span."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.whole: Counter[bytes] = Counter()
        self.active: Counter[bytes] = Counter()
        self.ended: Counter[bytes] = Counter()

    def take(self, items: list[Item]) -> None:
        """Count *items*."""
        for item in items:
            if item.kind == ItemKind.FINISH:
                self.ended[item.key] += 1
            elif item.status == "active":
                self.active[item.key] += 1
            else:
                self.whole[item.key] += 1


@pytest.mark.parametrize("recording", [1, 4], ids=["one thread", "four threads"])
@pytest.mark.usefixtures("restless")
def test_no_span_is_lost_or_doubled_while_announcing_races_with_ending(recording: int) -> None:
    """5,000 spans, and a writer that announces as often as it can: each arrives exactly once."""
    made, tally, over = Made(max_bytes=1 << 30), Tally(), threading.Event()
    total = 5_000
    begun: set[bytes] = set()

    def record() -> None:
        run = HandRun(made.buffer)
        starts: list[Item] = []
        for _ in range(total // recording):
            start = run.start()
            time.sleep(0)  # noqa: TID251 - the writer may be anywhere in its pass then
            made.buffer.end_span(start, 9, "complete", None)
            starts.append(start)
        begun.update(start.key for start in starts)

    def write() -> None:
        while not over.is_set():
            tally.take(made.drain(announce_all=True))

    writer = threading.Thread(target=write)
    recorders = [threading.Thread(target=record) for _ in range(recording)]
    for thread in (writer, *recorders):
        thread.start()
    for thread in recorders:
        thread.join()
    over.set()
    writer.join()
    while len(made.buffer):
        tally.take(made.drain(announce_all=True))
    assert set(tally.whole.values()) | set(tally.active.values()) == {1}
    assert tally.active == tally.ended
    assert tally.active, "the writer came between no beginning and its end"
    assert set(tally.whole).isdisjoint(tally.active)
    assert set(tally.whole) | set(tally.active) == begun
    assert len(begun) == total
    assert made.buffer.held_bytes == 0
    assert made.losses.by_reason() == {}


@pytest.fixture
def counted() -> Generator[None]:
    """Have nothing collected, so that what the collector counts only grows."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("counted")
def test_spans_that_wait_are_none_of_the_collectors_business() -> None:
    """The collector counts allocations of tracked objects; items are not tracked.

    A tuple for each would have it run at every 700 spans, and each tenth time look at more.
    """
    made = Made()
    HandRun(made.buffer).open()
    before = gc.get_count()[0]
    for _ in range(5_000):
        made.span()
    assert len(made.buffer) == 5_002
    assert gc.get_count()[0] - before < 100
