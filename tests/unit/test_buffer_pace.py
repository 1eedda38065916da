"""Threads that fill the buffer faster than the writer empties it give way to it."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from remit._buffer import (
    BACKLOG_ITEMS,
    LONG_PACE_NS,
    LONG_PACE_PART,
    LOOP_PACE_BYTES,
    LOOP_PACE_S,
    MAX_PACE_NS,
    PACE_BYTES,
    PACE_NS,
    PACE_PART,
    PATIENCE_NS,
)
from remit._clock import NS_PER_S
from remit._losses import ITEM_BYTES, Loss
from remit._queued import Drained
from tests.buffered import Made
from tests.recording import HandRun

MAX_BYTES = 4 * BACKLOG_ITEMS * ITEM_BYTES


def turns(pace_ns: int, count: int) -> list[float]:
    """How long those sleep who come to an empty line at the same moment, in seconds."""
    return [min(place * pace_ns, MAX_PACE_NS) / NS_PER_S for place in range(1, count + 1)]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long threads slept, each time, in seconds; the clock stands still meanwhile."""
    slept: list[float] = []
    monkeypatch.setattr("remit._buffer.time.sleep", slept.append)
    return slept


def test_threads_give_way_to_a_writer_that_is_behind(slept: list[float]) -> None:
    """Beyond half of the bound, for longer beyond a second part, and only while it moves chunks."""
    made = Made(max_bytes=MAX_BYTES)
    made.fill(MAX_BYTES * PACE_PART - 2 * ITEM_BYTES)
    assert (slept, made.buffer.outrun) == ([], False)
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES * 2.5)
    assert (slept, made.buffer.outrun) == (turns(PACE_NS, 3), True)
    made.clock.advance(MAX_PACE_NS / NS_PER_S)
    made.fill(MAX_BYTES * LONG_PACE_PART)
    made.clock.advance(MAX_PACE_NS / NS_PER_S)
    slept.clear()
    made.fill(MAX_BYTES * LONG_PACE_PART + PACE_BYTES * 2.5)
    assert slept == turns(LONG_PACE_NS, 3)
    made.clock.advance(PATIENCE_NS / NS_PER_S)
    made.fill(MAX_BYTES * LONG_PACE_PART + PACE_BYTES * 5.5)
    assert slept == turns(LONG_PACE_NS, 3)
    made.buffer.drain(Drained(), everything=False)
    made.fill(MAX_BYTES * LONG_PACE_PART + PACE_BYTES * 7)
    assert slept == [*turns(LONG_PACE_NS, 3), LONG_PACE_NS / NS_PER_S]


def test_threads_that_give_way_wait_in_one_line(slept: list[float]) -> None:
    """However many: each has its turn after the one before, and none waits for very long."""
    made = Made(max_bytes=MAX_BYTES)
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES * 0.5)
    made.clock.advance(PACE_NS / NS_PER_S)
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES * 1.5)
    assert slept == turns(PACE_NS, 1) * 2  # the turn before is over
    crowd = MAX_PACE_NS // PACE_NS + 3
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES * (0.5 + crowd))
    assert slept == [*turns(PACE_NS, 1), *turns(PACE_NS, crowd)]
    assert max(slept) == MAX_PACE_NS / NS_PER_S


def test_threads_have_outrun_the_writer_until_little_waits(slept: list[float]) -> None:
    """Not until less than half of the bound does: there they would be on and off."""
    made = Made(max_bytes=MAX_BYTES)
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES)
    assert len(slept) == 1
    while made.buffer.behind:
        assert made.buffer.outrun
        made.drain()
    assert not made.buffer.outrun


def test_the_thread_that_moves_gives_way_to_nobody(slept: list[float]) -> None:
    """A generator that is collected there ends its span there, and the writer would wait for it."""
    made = Made(max_bytes=MAX_BYTES)
    made.buffer.mover = threading.get_ident()
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES * 2.5)
    assert slept == []
    made.buffer.mover = None
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES * 3.5)
    assert len(slept) == 1


def test_an_event_loop_gives_way_briefly(slept: list[float]) -> None:
    """Its other tasks wait meanwhile: they do not pay for threads that record all the time."""
    made = Made(max_bytes=MAX_BYTES)

    async def record(items: int) -> None:
        made.fill(made.buffer.held_bytes + items * ITEM_BYTES)

    made.fill(MAX_BYTES * PACE_PART - 2 * ITEM_BYTES)
    asyncio.run(record(int(LOOP_PACE_BYTES * 1.5) // ITEM_BYTES + 2))
    assert slept == [LOOP_PACE_S] * 2
    assert not made.buffer.outrun
    made.fill(MAX_BYTES * LONG_PACE_PART)
    made.clock.advance(MAX_PACE_NS / NS_PER_S)
    made.fill(made.buffer.held_bytes + PACE_BYTES)
    slept.clear()
    asyncio.run(record(2 * PACE_BYTES // ITEM_BYTES))
    assert set(slept) == {LOOP_PACE_S}
    made.fill(made.buffer.held_bytes + PACE_BYTES)
    assert slept[-1] > LOOP_PACE_S


def test_runs_that_open_give_way_no_more_often_than_spans(slept: list[float]) -> None:
    """What comes is counted in bytes, whatever it is."""
    made = Made(max_bytes=MAX_BYTES)
    made.fill(MAX_BYTES * PACE_PART + PACE_BYTES * 0.5)
    assert len(slept) == 1
    for _ in range(10):
        HandRun(made.buffer).open()
    assert len(slept) == 1


def test_between_two_moments_of_giving_way_a_span_takes_the_path_of_any_other() -> None:
    """Beyond half of the bound; there each item was looked at, which took a third of a call."""
    max_bytes = 64 * PACE_BYTES
    made = Made(max_bytes=max_bytes)
    made.fill(max_bytes * PACE_PART + PACE_BYTES * 1.5)
    start, called = made.start(), list[str]()
    sys.setprofile(lambda frame, event, _: called.append(f"{event} {frame.f_code.co_name}"))
    made.buffer.end_span(start, 2, "complete", b"{}")
    sys.setprofile(None)
    assert [each for each in called if each.startswith("call ")] == ["call end_span"]


def test_a_closed_buffer_counts_what_comes_wherever_it_stood() -> None:
    """Beyond half of its bound, too, where it looks at items seldom."""
    made = Made(max_bytes=64 * ITEM_BYTES)
    made.fill(64 * ITEM_BYTES * PACE_PART + ITEM_BYTES)
    made.buffer.close()
    made.span()
    assert made.losses.by_reason() == {Loss.AFTER_SHUTDOWN: 1}


def test_nobody_gives_way_while_the_back_end_alone_is_behind(slept: list[float]) -> None:
    """The writer has moved all there is; that it waits in memory slows no call."""
    made = Made(max_bytes=MAX_BYTES)
    while made.buffer.held_bytes < 3 * BACKLOG_ITEMS * ITEM_BYTES:
        made.span()
        made.buffer.drain(Drained(), everything=False)
    assert slept == []
