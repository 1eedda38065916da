"""Threads that fill the buffer faster than the writer empties it give way to it."""

from __future__ import annotations

import asyncio
import sys

import pytest

from remit._buffer import (
    BACKLOG_ITEMS,
    LONG_PACE_PART,
    LONG_PACE_S,
    PACE_BYTES,
    PACE_PART,
    PACE_S,
    PATIENCE_NS,
)
from remit._clock import NS_PER_S
from remit._losses import ITEM_BYTES, Loss
from remit._queued import Drained
from tests.buffered import Made
from tests.recording import HandRun


def test_threads_give_way_to_a_writer_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond half of the bound, for longer beyond a second part, and only while it moves chunks."""
    slept: list[float] = []
    monkeypatch.setattr("remit._buffer.time.sleep", slept.append)
    max_bytes = 4 * BACKLOG_ITEMS * ITEM_BYTES
    made = Made(max_bytes=max_bytes)
    made.fill(max_bytes * PACE_PART - 2 * ITEM_BYTES)
    assert slept == []
    made.fill(max_bytes * PACE_PART + PACE_BYTES * 2.5)
    assert slept == [PACE_S] * 3
    made.fill(max_bytes * LONG_PACE_PART)
    slept.clear()
    made.fill(max_bytes * LONG_PACE_PART + PACE_BYTES * 3.5)
    assert slept == [LONG_PACE_S] * 3
    made.clock.advance(PATIENCE_NS / NS_PER_S)
    made.fill(max_bytes * LONG_PACE_PART + PACE_BYTES * 6.5)
    assert slept == [LONG_PACE_S] * 3
    made.buffer.drain(Drained(), everything=False)
    made.fill(max_bytes * LONG_PACE_PART + PACE_BYTES * 8)
    assert slept == [LONG_PACE_S] * 4


def test_an_event_loop_gives_way_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other tasks wait meanwhile: they do not pay for threads that record all the time."""
    slept: list[float] = []
    monkeypatch.setattr("remit._buffer.time.sleep", slept.append)
    max_bytes = 4 * BACKLOG_ITEMS * ITEM_BYTES
    made = Made(max_bytes=max_bytes)
    made.fill(max_bytes * LONG_PACE_PART)
    slept.clear()

    async def record() -> None:
        made.fill(max_bytes * LONG_PACE_PART + PACE_BYTES * 1.5)

    asyncio.run(record())
    assert slept == [PACE_S] * 2
    made.fill(max_bytes * LONG_PACE_PART + PACE_BYTES * 2.5)
    assert slept == [PACE_S] * 2 + [LONG_PACE_S]


def test_runs_that_open_give_way_no_more_often_than_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes is counted in bytes, whatever it is."""
    slept: list[float] = []
    monkeypatch.setattr("remit._buffer.time.sleep", slept.append)
    max_bytes = 4 * BACKLOG_ITEMS * ITEM_BYTES
    made = Made(max_bytes=max_bytes)
    made.fill(max_bytes * PACE_PART + PACE_BYTES * 0.5)
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


def test_nobody_gives_way_while_the_back_end_alone_is_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The writer has moved all there is; that it waits in memory slows no call."""
    slept: list[float] = []
    monkeypatch.setattr("remit._buffer.time.sleep", slept.append)
    made = Made(max_bytes=4 * BACKLOG_ITEMS * ITEM_BYTES)
    while made.buffer.held_bytes < 3 * BACKLOG_ITEMS * ITEM_BYTES:
        made.span()
        made.buffer.drain(Drained(), everything=False)
    assert slept == []
