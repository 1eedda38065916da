"""Delivery to a server in memory: with its threads, or one pass and one window at a time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_api import FakeApi, refusal
from tests.inside import (
    URL,
    BulkSupport,
    Deadline,
    Delivery,
    Health,
    SteppedDelivery,
    SystemClock,
    make_delivery,
)
from tests.recording import HandRun

NEVER_S = 600.0
"""Longer than a test may take: what returns did not wait for it."""
ALONE = BulkSupport(registrations=False, runs=False, reads=False)
"""What is known of a server that takes only spans in bulk."""


def sure_waits(_: Health) -> Iterator[float]:
    """Yield 1, 2, 3, ... seconds."""
    wait_s = 0.0
    while True:
        wait_s += 1.0
        yield wait_s


class Stepped(SteppedDelivery):
    """Delivery without threads to a server in memory; it waits for 1, 2, 3, ... seconds.

    Attributes:
        api: The server.
    """

    def __init__(
        self,
        api: FakeApi,
        *,
        waits: Callable[[Health], Iterator[float]] = sure_waits,
        **more: Any,
    ) -> None:
        """Wire the parts to *api*."""
        if not api.in_bulk:
            more.setdefault("support", ALONE)
        super().__init__(api.transport, waits=waits, **more)
        self.api = api

    def record(self, *span_names: str, payload: bytes = b'{"order":1}') -> HandRun:
        """Record an open run with spans of these types."""
        run = HandRun(self.sink).open()
        for name in span_names:
            run.span(name, payload)
        return run

    def settle(self, *, rounds: int = 20) -> None:
        """Deliver, and let time pass, until nothing waits."""
        self.deliver()
        for _ in range(rounds):
            if not self.status.pending:
                return
            self.clock.advance(10)
            self.deliver()
        raise AssertionError(f"{self.status.pending} items still wait")

    def deliver(self, *, announce: bool = False, steps: int = 100) -> float:
        """Make a pass, then send until there is nothing to do; return how long that rests."""
        self.move(announce=announce)
        for _ in range(steps):
            rest_s = self.send()
            if rest_s > 0:
                return rest_s
        raise AssertionError(f"the sender was not done after {steps} steps")


def within(timeout_s: float) -> Deadline:
    """Return a deadline on the machine's clock."""
    return Deadline.after(timeout_s, SystemClock())


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
    over.wait()


def delivery(
    api: FakeApi | None = None,
    data_dir: Path | None = None,
    *,
    url: str = URL,
    **more: Any,
) -> Delivery:
    """Return delivery with its threads, on the machine's clock.

    Args:
        api: The server; without one, what listens at *url*.
        data_dir: Where the spool is; without one, all is in memory.
        url: Where to.
        **more: What differs from the defaults.
    """
    return make_delivery(None if api is None else api.transport, data_dir, url=url, **more)


def wait_for(fact: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait until something is so."""
    pause, over_s = threading.Event(), time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < over_s, "waited in vain"
        pause.wait(0.005)


def down(api: FakeApi) -> None:
    """Have the server refuse everything, until its rules are cleared."""
    api.rules.append(lambda _path, _body: refusal(503))


def files(data_dir: Path) -> list[str]:
    """Return what is in the spool's folder."""
    return sorted(path.suffix for path in (data_dir / "spool").iterdir())
