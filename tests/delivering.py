"""Delivery without threads: a test makes each pass and each step, on a clock that it moves."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pytest

from remit.testing import FakeClock
from tests.fake_api import FakeApi
from tests.inside import (
    BatchLimits,
    Buffer,
    Call,
    Deadline,
    Delivery,
    Door,
    Health,
    Http,
    Losses,
    MemoryOutbox,
    Opening,
    Parts,
    Pulse,
    Registrations,
    Row,
    Sender,
    Settling,
    Spans,
    SystemClock,
    Tally,
    Tracks,
    Writer,
)
from tests.recording import HandRun

T = TypeVar("T")

TOKEN = "pf_0123456789abcdef"
URL = "http://api.example"
POLL_INTERVAL_S = 30.0
STREAM_INTERVAL_S = 1.0


def sure_waits(_: Health) -> Iterator[float]:
    """Yield 1, 2, 3, ... seconds."""
    wait_s = 0.0
    while True:
        wait_s += 1.0
        yield wait_s


class Keeping(MemoryOutbox):
    """An outbox in memory that keeps what is set aside, as one with a spool does."""

    def set_aside(self, rows: Sequence[Row], reason: str) -> int:
        """Take rows out of the order, and keep them."""
        super().set_aside(rows, reason)
        return len(rows)


class Foresighted(Http):
    """A client that does before a call what there is to do while the server works.

    On a network it is done between request and answer, in memory there is no such time.
    """

    def send(self, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Do it, then send *call*."""
        if call.meanwhile is not None:
            call.meanwhile()
        return super().send(call, timeout_s=timeout_s)


class Stepped:
    """Every part of delivery, wired as `Delivery` wires them, but for the threads."""

    def __init__(
        self,
        api: FakeApi,
        *,
        limits: BatchLimits | None = None,
        max_bytes: int = 1 << 26,
        window_items: int = 2000,
        ticks: tuple[Callable[[], None], ...] = (),
    ) -> None:
        """Wire the parts to *api*."""
        self.api = api
        self.clock = FakeClock()
        self.losses = Losses()
        self.registrations = Registrations()
        self.nudges = 0
        self.moves = 0
        self.buffer = Buffer(
            max_bytes=max_bytes,
            losses=self.losses,
            clock=self.clock,
            announce_after_s=1.0,
            rouse=lambda: None,
            nudge=self._nudge,
        )
        self.outbox = Keeping(release=self.buffer.release)
        self.writer = self._writer(ticks)
        self.pulse = Pulse("http://api.example", self.clock, sure_waits)
        http = Foresighted(URL, TOKEN, transport=api.transport, clock=self.clock)
        self.door = Door(http, 10.0)
        self.tally = Tally()
        self.settling = Settling(self.outbox, self.losses, self.tally, self.pulse)
        self.tracks = Tracks(self.outbox, feed_of=self.buffer.feed, forget=self.buffer.forget)
        parts = self._parts()
        spans = Spans(parts, limits or BatchLimits(500, 1 << 20))
        self.sender = Sender(
            parts,
            spans,
            window_items=window_items,
            poll_interval_s=POLL_INTERVAL_S,
            stream_interval_s=STREAM_INTERVAL_S,
        )

    def _writer(self, ticks: tuple[Callable[[], None], ...]) -> Writer:
        return Writer(
            buffer=self.buffer,
            outbox=self.outbox,
            registrations=self.registrations,
            clock=self.clock,
            interval_s=1.0,
            ticks=ticks,
            moved=self._moved,
        )

    def _parts(self) -> Parts:
        return Parts(
            outbox=self.outbox,
            door=self.door,
            tracks=self.tracks,
            opening=Opening(self.door, self.outbox, self.clock, self.tally),
            settling=self.settling,
            losses=self.losses,
            pulse=self.pulse,
            clock=self.clock,
        )

    def record(self, *span_names: str, payload: bytes = b'{"order":1}') -> HandRun:
        """Record an open run with spans of these types."""
        run = HandRun(self.buffer).open()
        for name in span_names:
            run.span(name, payload)
        return run

    def settle(self, *, rounds: int = 20) -> None:
        """Deliver, and let time pass, until nothing waits."""
        self.deliver()
        for _ in range(rounds):
            if not self.outbox.pending():
                return
            self.clock.advance(10)
            self.deliver()
        raise AssertionError(f"{self.outbox.pending()} rows still wait")

    def deliver(self, *, steps: int = 100) -> float:
        """Make a pass, then steps until one has nothing to do; return how long that one rests."""
        self.writer.step()
        for _ in range(steps):
            rest_s = self.sender.step()
            if rest_s > 0:
                return rest_s
        raise AssertionError(f"the sender was not done after {steps} steps")

    def deadline(self, seconds: float) -> Deadline:
        """Return the deadline that lies *seconds* ahead on the test's clock."""
        return Deadline.after(seconds, self.clock)

    def _nudge(self) -> None:
        self.nudges += 1

    def _moved(self) -> None:
        self.moves += 1


def within(timeout_s: float) -> Deadline:
    """Return a deadline on the machine's clock."""
    return Deadline.after(timeout_s, SystemClock())


def seconds(act: Callable[[], object]) -> float:
    """Return how long *act* takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def threads() -> set[str]:
    """Return the names of remit's threads that run."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("remit-")}


def refuse_ours(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have the threads of these names not start, as while the interpreter exits."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name in names:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


def record(made: Delivery, spans: int = 3) -> HandRun:
    """Record a whole run."""
    run = HandRun(made.sink).open()
    for _ in range(spans):
        run.span()
    run.close()
    return run


def hang(_: socket.socket, over: threading.Event) -> None:
    """Accept a connection, and never answer."""
    over.wait(60)


def delivery(api: FakeApi | None = None, *, url: str = URL, **pace: float) -> Delivery:
    """Return delivery with its threads, on the machine's clock.

    Args:
        api: The server; without one, what listens at *url*.
        url: Where to.
        **pace: What differs from the defaults.
    """
    clock = SystemClock()
    transport = None if api is None else api.transport
    return Delivery(
        http=Http(url, TOKEN, transport=transport, clock=clock),
        clock=clock,
        target=url,
        flush_interval_s=pace.get("flush_interval_s", 0.05),
        max_buffer_bytes=int(pace.get("max_buffer_bytes", 1 << 26)),
        max_batch_items=int(pace.get("max_batch_items", 500)),
        max_batch_bytes=int(pace.get("max_batch_bytes", 1 << 20)),
        request_timeout_s=pace.get("request_timeout_s", 10.0),
        poll_interval_s=pace.get("poll_interval_s", 30.0),
    )
