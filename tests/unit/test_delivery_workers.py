"""The two threads: the writer's passes, and the loop that survives every fault."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial

import pytest

from remit._base import guard
from remit._base.clock import SystemClock
from remit._deliver.buffer import DRAIN_ITEMS
from remit._deliver.spool.outbox import Outbox
from remit._deliver.stored import StoredRun
from remit._deliver.worker import Worker
from remit._record.items import Item
from tests.delivering import Stepped
from tests.fake_api import FakeApi
from tests.recording import HandRun

LONG_S = 60.0


class Steps:
    """A step that counts its calls, and says when."""

    def __init__(self, *, wait_s: float = LONG_S, fault: Exception | None = None) -> None:
        """Rest *wait_s* after each step, or raise *fault* in the first."""
        self.count = 0
        self.wait_s = wait_s
        self.fault = fault
        self.worker = Worker("remit-test", self, SystemClock())

    def __call__(self) -> float:
        """Make a step."""
        self.count += 1
        if self.fault is not None and self.count == 1:
            raise self.fault
        return self.wait_s

    def until(self, count: int) -> bool:
        """Wait until *count* steps have ended."""
        return self.worker.wait(lambda: self.count >= count and self.worker.due_in_s() > 0, 60)


def test_a_worker_is_a_named_daemon_thread_that_starts_when_it_is_told_to() -> None:
    """A thread that is no daemon would keep the program from ending."""
    steps = Steps()
    assert not steps.worker.alive
    assert steps.worker.start()
    assert steps.until(1)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "remit-test"]
    assert thread.daemon
    assert steps.worker.start()
    assert [thread.name for thread in threading.enumerate()].count("remit-test") == 1
    assert steps.worker.stop(10)
    assert not steps.worker.alive


def test_a_worker_rests_as_long_as_its_step_says_or_until_it_is_woken() -> None:
    """Waking costs one step, not more."""
    steps = Steps()
    steps.worker.start()
    assert steps.until(1)
    assert 0 < steps.worker.due_in_s() <= LONG_S
    steps.worker.wake()
    assert steps.until(2)
    steps.wait_s = 0.001
    steps.worker.wake()
    assert steps.worker.wait(lambda: steps.count >= 20, 10)
    assert steps.worker.stop(10)


def test_a_ticket_is_served_by_a_step_that_began_after_it() -> None:
    """So what was recorded before is in it."""
    inside, go_on = threading.Event(), threading.Event()
    seen: list[str] = []
    recorded = ["early"]

    def step() -> float:
        seen.extend(recorded)
        inside.set()
        go_on.wait(60)
        return LONG_S

    worker = Worker("remit-test", step, SystemClock())
    worker.start()
    assert inside.wait(60)
    recorded[:] = ["late"]
    ticket = worker.request()
    assert not worker.is_done(ticket)
    go_on.set()
    assert worker.wait(lambda: worker.is_done(ticket), 10)
    assert seen == ["early", "late"]
    assert worker.stop(10)


def test_a_worker_survives_a_fault_and_counts_it() -> None:
    """A thread that died in silence would lose everything after."""
    assert Steps(fault=KeyError("x")).worker.run_once() == 1.0
    steps = Steps(fault=KeyError("x"))
    steps.worker.start()
    assert steps.until(1)
    steps.worker.wake()
    assert steps.until(2)
    assert guard.faults.counts["remit-test"] == 2
    steps.worker.raise_fault()
    assert steps.worker.stop(10)


def test_a_strict_fault_is_raised_to_whoever_asks_not_in_the_thread() -> None:
    """A test must see it; the thread goes on all the same."""
    guard.faults.strict = True
    steps = Steps(fault=KeyError("x"))
    steps.worker.run_once()
    with pytest.raises(KeyError):
        steps.worker.raise_fault()
    steps.worker.raise_fault()
    assert steps.worker.run_once() == LONG_S


def test_a_worker_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter exits, or beyond the system's limit of threads."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    steps = Steps()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert not steps.worker.start()
        assert not steps.worker.alive
    assert steps.worker.stop(1)
    assert not steps.worker.start()


def test_what_comes_last_is_done_on_the_thread_when_it_ends() -> None:
    """Where nothing else can be using what is closed then."""
    ended_on: list[str] = []
    worker = Worker(
        "remit-test",
        lambda: LONG_S,
        SystemClock(),
        lambda: ended_on.append(threading.current_thread().name),
    )
    worker.start()
    assert worker.stop(10)
    assert ended_on == ["remit-test"]


def test_a_stop_from_the_thread_itself_does_not_wait_for_it() -> None:
    """It would wait for ever."""
    stopped: list[bool] = []

    def step() -> float:
        stopped.append(worker.stop(LONG_S))
        return LONG_S

    worker = Worker("remit-test", step, SystemClock(), lambda: None)
    worker.start()
    assert worker.wait(lambda: bool(stopped), 10)
    assert stopped == [False]


def test_a_thread_that_is_ended_makes_a_last_step() -> None:
    """Whoever ends it may not be able to: an alarm may go off there all the time."""
    made_on: list[str] = []

    def step() -> float:
        made_on.append(threading.current_thread().name)
        return LONG_S

    worker = Worker("remit-test", step, SystemClock())
    worker.start()
    assert worker.wait(lambda: bool(made_on), 10)
    assert worker.stop(10)
    assert made_on == ["remit-test"] * 2


def test_a_stop_waits_no_longer_than_it_is_told() -> None:
    """A step that hangs is left behind."""
    go_on = threading.Event()

    def step() -> float:
        go_on.wait(60)
        return LONG_S

    worker = Worker("remit-test", step, SystemClock())
    worker.start()
    assert not worker.stop(0.01)
    go_on.set()
    assert worker.stop(10)


def test_a_pass_moves_everything() -> None:
    """Nothing is queued any longer, and the writer is not behind."""
    stepped = Stepped(FakeApi())
    assert stepped.move() == 1.0
    HandRun(stepped.sink).open().span()
    stepped.clock.advance(0.5)
    assert stepped.status.writer_lag_s == 0.5
    stepped.move()
    assert stepped.status.pending == 3
    assert stepped.status.writer_lag_s == 0.0


def test_a_pass_moves_a_backlog_of_several_chunks() -> None:
    """In one pass."""
    stepped = Stepped(FakeApi())
    run = HandRun(stepped.sink).open()
    for _ in range(DRAIN_ITEMS):
        run.span()
    run.close()
    stepped.move()
    assert stepped.status.pending == DRAIN_ITEMS + 4
    assert len(stepped.sink) == 0


def test_an_urged_pass_announces_the_open_spans_once() -> None:
    """The next one is an ordinary one."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record()
    run.start("early")
    stepped.deliver(announce=True)
    run.start("late")
    stepped.deliver()
    assert api.names() == ["early"]


def test_a_tick_that_fails_is_contained() -> None:
    """The pass goes on."""
    ticked: list[int] = []

    def broken() -> None:
        raise KeyError

    stepped = Stepped(FakeApi(), ticks=(broken, lambda: ticked.append(1)))
    HandRun(stepped.sink).open()
    stepped.move()
    assert ticked == [1]
    assert stepped.status.pending == 2


class FullOutbox(Outbox):
    """An outbox that cannot take anything for a while."""

    full = True

    def put(self, items: Sequence[Item], runs: Sequence[StoredRun]) -> None:
        """Refuse, or take."""
        if self.full:
            raise OSError("disk full")
        super().put(items, runs)


def test_what_an_outbox_does_not_take_is_kept_for_the_next_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In order, and counted as not yet moved."""
    api = FakeApi()
    stepped = Stepped(api, outbox=partial(FullOutbox, None))
    run = HandRun(stepped.sink).open()
    with pytest.raises(OSError, match="disk full"):
        stepped.move()
    stepped.clock.advance(3)
    assert stepped.status.writer_lag_s == 3.0
    run.span()
    monkeypatch.setattr(FullOutbox, "full", False)
    stepped.deliver()
    assert [span["schema_name"] for span in api.spans.values()] == ["remit:run", "desk:find"]
