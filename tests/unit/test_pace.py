"""`benchmarks.pace`: what was measured while the machine went slowly is measured again."""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from benchmarks import children, pace
from benchmarks.pace import SAMPLES, TRIES, WAITS, Pace
from benchmarks.results import Values

BEST_MS, SLOW_MS = 2.0, 3.0


class Machine:
    """A machine that goes at the paces that it is told, and at its best after them."""

    def __init__(self, *, tries: int = TRIES) -> None:
        """Go at the best pace at first."""
        self.next_ms: list[float] = []
        self.waits = self.measured = 0
        self.pace = Pace(self._read_ms, tries=tries, wait=self._wait)

    def measure(self, *paces_ms: float, told: Sequence[Values] = ()) -> Values:
        """Measure, at these paces before and after, and return these values, then none."""
        self.next_ms.extend(paces_ms)
        coming = iter(told)

        def values() -> Values:
            self.measured += 1
            return {"number": self.measured, **next(coming, {})}

        return self.pace.measured(values)

    def _read_ms(self) -> float:
        return self.next_ms.pop(0) if self.next_ms else BEST_MS

    def _wait(self) -> None:
        self.waits += 1


def test_what_was_measured_at_the_best_pace_counts_at_once() -> None:
    """A twentieth more is what the same work differs by."""
    machine = Machine()
    assert machine.measure(BEST_MS, BEST_MS * 1.05) == {"number": 1, "pace_ms": 2.1}
    assert machine.pace.told() == "1 measurements, 0 made again, 0 slow all the same"


def test_what_was_measured_slowly_is_measured_again() -> None:
    """And the first is forgotten, whatever it was."""
    machine = Machine()
    assert machine.measure(BEST_MS, SLOW_MS) == {"number": 2, "pace_ms": BEST_MS}
    assert machine.pace.told() == "1 measurements, 1 made again, 0 slow all the same"


def test_a_slow_machine_is_waited_for() -> None:
    """Before a measurement is lost on it."""
    machine = Machine()
    assert machine.measure(SLOW_MS, SLOW_MS, BEST_MS, BEST_MS)["number"] == 1
    assert machine.waits == 2


def test_of_a_machine_that_stays_slow_the_best_try_counts() -> None:
    """After so many; it is said of it."""
    machine = Machine()
    tries = ([SLOW_MS + number] * (WAITS + 2) for number in (2, 0, 1))
    values = machine.measure(*[each for one in tries for each in one])
    assert values == {"number": 2, "pace_ms": SLOW_MS}
    assert (machine.measured, machine.waits) == (TRIES, TRIES * WAITS)
    assert machine.pace.told() == "1 measurements, 1 made again, 1 slow all the same"


def test_what_fails_is_not_tried_again() -> None:
    """A peer that is not installed is not there at any pace."""
    machine = Machine()
    assert machine.measure(BEST_MS, SLOW_MS, told=[{"error": "failed"}])["number"] == 1


def test_a_failed_try_replaces_no_good_one() -> None:
    """However well the machine went."""
    machine = Machine()
    values = machine.measure(BEST_MS, SLOW_MS, told=[{}, {"error": "failed"}])
    assert values == {"number": 1, "pace_ms": SLOW_MS}


def test_turns_that_count_by_stretches_need_no_good_pace_around_them() -> None:
    """But what else was measured does: a rate is of all of it."""
    machine = Machine()
    assert machine.measure(BEST_MS, SLOW_MS, told=[{"calm": 0.3}])["number"] == 1
    assert machine.measure(BEST_MS, SLOW_MS, told=[{"calm": 0.3, "rate": 9.0}])["number"] == 3
    assert machine.pace.told().endswith("; 30% of turns calm")


def test_what_has_no_turn_that_counts_is_measured_again() -> None:
    """And any that has some is better, at whichever pace."""
    machine = Machine()
    told = [{"calm": 0.0}, {"calm": 0.1}]
    values = machine.measure(BEST_MS, BEST_MS, BEST_MS, SLOW_MS, told=told)
    assert values == {"number": 2, "calm": 0.1, "pace_ms": SLOW_MS}


def test_what_takes_long_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine changes its pace meanwhile, and again the next time."""
    monkeypatch.setattr(pace, "AGAIN_S", -1.0)
    machine = Machine()
    assert machine.measure(BEST_MS, SLOW_MS)["number"] == 1
    assert machine.pace.told() == "1 measurements, 0 made again, 1 slow all the same"


def test_a_brief_run_waits_for_nothing() -> None:
    """It shows that everything can be measured."""
    machine = Machine(tries=1)
    assert machine.measure(SLOW_MS, SLOW_MS)["number"] == 1
    assert machine.waits == 0


def test_the_best_pace_is_what_was_seen_at_any_time() -> None:
    """Also later than the first look, at which the machine may have been slow."""
    paces: Iterator[float] = iter([SLOW_MS] * SAMPLES + [SLOW_MS, BEST_MS] + [BEST_MS] * 2)
    found = Pace(lambda: next(paces), wait=lambda: None)
    counted: Iterable[int] = iter(range(9))
    assert found.measured(lambda: {"number": next(iter(counted))}) == {
        "number": 1,
        "pace_ms": BEST_MS,
    }


def test_the_processor_on_which_the_fixed_work_takes_longest_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is asked each time."""
    said = iter(["2.0\n3.5\n", "2.5\n3.0\n"])
    inputs = [io.StringIO(), io.StringIO()]
    asked = iter(inputs)

    @contextmanager
    def started(*_: object, **__: object) -> Generator[SimpleNamespace]:
        yield SimpleNamespace(stdin=next(asked), stdout=io.StringIO(next(said)))

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(children, "started", started)
    with pace.timed_on_each_processor() as read_ms:
        assert [read_ms(), read_ms()] == [2.5, 3.5]
    assert [each.getvalue() for each in inputs] == ["\n\n", "\n\n"]


def test_the_fixed_work_is_timed_anew_each_time_that_it_is_asked_for() -> None:
    """In processes that wait in between, and end with the block."""
    with pace.timed_on_each_processor() as read_ms:
        found = [read_ms() for _ in range(3)]
    assert len(set(found)) == 3
    assert all(ms > 0 for ms in found)
