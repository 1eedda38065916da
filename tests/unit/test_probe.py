"""`benchmarks.probe`: what a thread took counts where it had the processor for itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks import probe
from benchmarks.probe import SHORTEST_NS, Best, Stretches, calm, turn_us

GOOD_NS, BAD_NS = 12_000, 19_000
TURN_NS = SHORTEST_NS // 100


class Processor:
    """A processor whose pace is told, and which turns as fast as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Go at the best pace."""
        self.pace_ns = GOOD_NS
        self.now_ns = 0
        monkeypatch.setattr(probe, "probe_ns", lambda: self.pace_ns)
        monkeypatch.setattr("time.thread_time_ns", lambda: self.now_ns)
        monkeypatch.setattr("time.monotonic", self._monotonic)
        self.stretches = Stretches(Best())
        self.stretches.begin()

    def turn(self, times: int, turn_ns: int = TURN_NS) -> None:
        """Turn so often, so long each time."""
        self.now_ns += times * turn_ns
        self.stretches.turned(times)

    def _monotonic(self) -> float:
        self.now_ns += SHORTEST_NS
        return self.now_ns / 1e9


@pytest.fixture(name="processor")
def a_processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processor]:
    """Return one."""
    with monkeypatch.context() as patch:
        yield Processor(patch)


def test_a_stretch_counts_that_is_calm_at_both_ends(processor: Processor) -> None:
    """Of the four, the second ends and the third begins beside others."""
    for pace_ns, turn_ns in ((GOOD_NS, 1), (BAD_NS, 2), (GOOD_NS, 4), (GOOD_NS, 3)):
        processor.turn(100, turn_ns * TURN_NS)
        processor.pace_ns = pace_ns
        processor.stretches.next()
    assert (processor.stretches.turns, processor.stretches.calm_turns) == (400, 200)
    assert turn_us([processor.stretches]) == pytest.approx(2 * TURN_NS / 1000)
    assert calm([processor.stretches]) == pytest.approx(0.5)


def test_what_a_stretch_took_decides_nothing(processor: Processor) -> None:
    """One that is slow at the best pace is slow."""
    for turn_ns in (TURN_NS, 100 * TURN_NS):
        processor.turn(100, turn_ns)
        processor.stretches.next()
    assert turn_us([processor.stretches]) == pytest.approx(50.5 * TURN_NS / 1000)


def test_where_nothing_is_calm_all_of_it_counts(processor: Processor) -> None:
    """And it is said that nothing was."""
    processor.pace_ns = BAD_NS
    processor.stretches.begin()
    processor.turn(10)
    processor.stretches.end()
    assert turn_us([processor.stretches]) == pytest.approx(TURN_NS / 1000)
    assert calm([processor.stretches]) == 0


def test_a_short_stretch_goes_on(processor: Processor) -> None:
    """The looks would take longer than the turns; the last one may be short."""
    processor.turn(99)
    processor.stretches.next()
    assert processor.stretches.turns == 0
    processor.turn(1)
    processor.stretches.next()
    assert processor.stretches.turns == 100
    processor.turn(1)
    processor.stretches.end()
    assert processor.stretches.turns == processor.stretches.calm_turns == 101


def test_nothing_is_left_out_between_stretches(processor: Processor) -> None:
    """What comes before a turn, as the opening of a run, belongs to its stretch."""
    processor.now_ns += 2 * SHORTEST_NS
    processor.stretches.next()
    processor.turn(100)
    processor.stretches.end()
    assert processor.stretches.ns == 3 * SHORTEST_NS


def test_threads_count_by_their_turns(processor: Processor) -> None:
    """One that was never calm adds nothing to what counts."""
    others = Stretches(Best())
    processor.turn(100)
    processor.stretches.end()
    processor.pace_ns = BAD_NS
    others.begin()
    processor.now_ns += 900 * TURN_NS
    others.turned(300)
    others.end()
    assert turn_us([processor.stretches, others]) == pytest.approx(TURN_NS / 1000)
    assert calm([processor.stretches, others]) == pytest.approx(0.25)


def test_the_best_pace_is_learned(processor: Processor) -> None:
    """It is never forgotten."""
    processor.pace_ns = BAD_NS
    best = Best()
    assert best.look()
    processor.pace_ns = GOOD_NS
    assert best.learn(0.1) == best.probe_ns == GOOD_NS
    processor.pace_ns = BAD_NS
    assert best.learn(0.1) == GOOD_NS
    assert not best.look()
    assert Best().look()


def test_a_look_that_is_too_quick_teaches_nothing(
    processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no pace would be good from then on."""
    processor.pace_ns, best = GOOD_NS, Best()
    paces = iter([GOOD_NS // 2])
    monkeypatch.setattr(probe, "probe_ns", lambda: next(paces, processor.pace_ns))
    assert best.learn(0.1) == GOOD_NS


def test_a_good_pace_is_waited_for(processor: Processor) -> None:
    """Not for ever."""
    best = Best()
    began_ns = processor.now_ns
    best.wait(0.5)
    assert processor.now_ns == began_ns + SHORTEST_NS
    processor.pace_ns = BAD_NS
    best.wait(0.5)
    assert processor.now_ns >= began_ns + 500_000_000


def test_the_fixed_work_takes_time() -> None:
    """Else every pace would be the best."""
    assert probe.probe_ns() > 0
