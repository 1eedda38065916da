"""A program's alarm goes off in remit's own code: the machinery goes on all the same."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

from remit._clock import SystemClock
from remit._delivery.worker import Worker
from tests.adopting import delivery
from tests.alarms import everywhere
from tests.delivering import record, within
from tests.fake_api import FakeApi

LONG_S = 60.0
HOST = ("/_buffer.py", "/_losses.py", "/_delivery/delivery.py", "/worker.py", "/threading.py")


def test_a_worker_starts_and_works_wherever_an_alarm_went_off_before() -> None:
    """No lock stays locked, and there is one thread, not two."""
    for alarm in everywhere("/worker.py", "/threading.py"):
        count: list[int] = []

        def step(done: list[int] = count) -> float:
            done.append(1)
            return LONG_S

        worker = Worker("remit-alarmed", step, SystemClock())
        alarm.during(partial(use, worker))
        assert worker.start()
        ticket = worker.ask()
        assert worker.wait(partial(worker.served, ticket), 10)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("remit-alarmed") == 1
        assert worker.stop(10)


def use(worker: Worker) -> None:
    """Have a worker do what there is to be done from other threads."""
    worker.start()
    worker.wake()
    worker.ask()


@pytest.mark.gate
def test_what_is_recorded_after_an_alarm_is_delivered(tmp_path: Path) -> None:
    """Wherever it went off when the first run was recorded, and the threads were to start."""
    for place, alarm in enumerate(everywhere(*HOST)):
        api = FakeApi()
        made = delivery(api, tmp_path / str(place))
        alarm.during(partial(record, made))
        record(made, spans=5)
        made.flush(within(20))
        names = [span["schema_name"] for span in api.spans.values()]
        assert names.count("remit:run") >= 1
        (whole,) = [run for run in api.instances.values() if run["status"] == "complete"][-1:]
        theirs = [each for each in api.spans.values() if each["agent_instance_id"] == whole["id"]]
        assert len(theirs) == 6
        made.shutdown(within(10))


@pytest.mark.gate
def test_a_shutdown_that_was_broken_off_is_gone_on_with(tmp_path: Path) -> None:
    """By the next one: nothing stays in memory alone."""
    for place, alarm in enumerate(everywhere("/_delivery/delivery.py", "/worker.py")):
        made = delivery(FakeApi(), tmp_path / str(place))
        record(made)
        alarm.during(partial(made.shutdown, within(10)))
        result = made.shutdown(within(10))
        assert result.pending == result.spooled
        assert made.stopped(10)
