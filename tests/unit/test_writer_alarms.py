"""A program's alarm goes off in the middle of a pass: what was recorded is put once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from remit._delivery.delivery import SENDER, WRITER
from remit._delivery.writer import Writer
from remit._losses import Loss
from remit._sink import AnyItem
from remit._spool import SpoolOutbox
from tests.adopting import delivery, down
from tests.alarms import everywhere
from tests.delivering import Stepped, record, refuse_ours, within
from tests.fake_api import FakeApi
from tests.recording import HandRun
from tests.spooling import Spooled

PASS = ("/_delivery/writer.py", "/spool.py", "/_spool/file.py", "/ledger.py", "/memory.py")
ROWS = 10_000


class Alarmed(Stepped):
    """Delivery without threads, whose writer puts into an outbox of a test's choice."""

    def __init__(self, spooled: Spooled | None) -> None:
        """Put into a file of *spooled*, or into memory without one."""
        super().__init__(FakeApi())
        self.spooled = spooled
        files = None if spooled is None else spooled.files
        self.disk = SpoolOutbox(files, release=self.buffer.release)
        self.passes = Writer(
            buffer=self.buffer,
            outbox=self.disk,
            registrations=self.registrations,
            clock=self.clock,
            interval_s=1.0,
            ticks=(),
            moved=lambda: None,
        )

    def items(self) -> list[AnyItem]:
        """Return what was put."""
        return [item for _, item in self.disk.head(ROWS)]


@pytest.fixture(params=["disk", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Alarmed]]:
    """Return what makes the parts."""
    made: list[Spooled] = []

    def alarmed() -> Alarmed:
        if request.param == "memory":
            return Alarmed(None)
        made.append(Spooled(tmp_path / str(len(made))))
        return Alarmed(made[-1])

    yield alarmed
    for each in made:
        each.end()


@pytest.mark.gate
def test_what_an_alarm_leaves_of_a_pass_is_put_once(make: Callable[[], Alarmed]) -> None:
    """Wherever in the pass it goes off, and in the one after it too."""
    for alarm in everywhere(*PASS, lines=True):
        made = make()
        HandRun(made.buffer).open().close()
        made.passes.move()
        run = HandRun(made.buffer).open()
        for _ in range(3):
            run.span()
        run.start()
        made.passes.urge()
        alarm.during(made.passes.move)
        run.span()
        run.close()
        made.passes.move()
        made.passes.move()
        put = Counter((item[0], item[2]) for item in made.items())
        assert set(put.values()) == {1}, f"place {alarm.place}: {put}"
        assert len(put) in (4 + 8, 4 + 9), f"place {alarm.place}: {put}"
        made.disk.close()
        if made.spooled is not None:
            assert len(made.spooled.take().head(ROWS)) == len(put), f"place {alarm.place}"


def test_what_is_lost_of_a_run_outlives_an_alarm(tmp_path: Path) -> None:
    """It stands in the run's record on disk, for the process that takes over."""
    for alarm in everywhere("/_delivery/writer.py", lines=True):
        made = Alarmed(spooled := Spooled(tmp_path / str(alarm.place)))
        run = HandRun(made.buffer).open()
        made.passes.move()
        made.buffer.losses.add(Loss.BUFFER_FULL, 3, run_key=run.key)
        run.span()
        alarm.during(made.passes.move)
        run.span()
        made.passes.move()
        made.disk.close()
        record = spooled.take().run(run.key)
        assert record is not None
        assert record.lost == {"buffer_full": 3}, f"place {alarm.place}"
        spooled.end()


def test_what_the_child_of_a_fork_lost_is_told_once(tmp_path: Path) -> None:
    """As a span of its own when it ends, wherever in its last pass an alarm goes off."""
    for alarm in everywhere("/_delivery/writer.py", lines=True):
        made = Alarmed(spooled := Spooled(tmp_path / str(alarm.place)))
        run = HandRun(made.buffer).open()
        made.passes.move()
        record = made.disk.run(run.key)
        assert record is not None
        record.inherited = True
        made.buffer.losses.add(Loss.BUFFER_FULL, 3, run_key=run.key)
        made.passes.conclude()
        alarm.during(made.passes.move)
        made.passes.move()
        told = [item for item in made.items() if item[4] == "remit:loss"]
        assert len(told) == 1, f"place {alarm.place}"
        assert b'"buffer_full":3' in (told[0][8] or b""), f"place {alarm.place}"
        made.disk.close()
        spooled.end()


@pytest.mark.gate
def test_a_shutdown_without_threads_that_an_alarm_broke_off_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken from the buffer and not put is put by the next one, and nothing twice."""
    refuse_ours(monkeypatch, WRITER, SENDER)
    for alarm in everywhere("/_delivery/writer.py", "/_delivery/delivery.py", lines=True):
        api = FakeApi()
        down(api)
        made = delivery(api, tmp_path / str(alarm.place))
        record(made)
        alarm.during(partial(made.shutdown, within(0.05)))
        result = made.shutdown(within(0.05))
        assert (result.pending, result.spooled) == (7, 7), f"place {alarm.place}: {result}"
        api.rules.clear()
        heir = delivery(api, tmp_path / str(alarm.place))
        assert heir.flush(within(30)), f"place {alarm.place}"
        assert len(api.spans) == 4
        heir.shutdown(within(10))
