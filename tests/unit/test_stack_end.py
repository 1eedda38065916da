"""Programs that recurse to the limit: their results stay, and their runs end when they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import remit
from remit import _guard
from remit._runtime import _setup
from remit.config import Settings
from remit.testing import RecordingSink

pytestmark = pytest.mark.python

NEAR_THE_LIMIT = range(880, 1000)
OWN_FRAMES = 5


@remit.span_type("end of the stack: deeper")
def deeper() -> None:
    """Recurse for ever."""
    deeper()


@remit.span_type("end of the stack: leaf")
def leaf() -> int:
    """Need one frame."""
    return 7


def bare() -> int:
    """Need one frame, recording nothing."""
    return 7


@remit.agent("Recursing")
def agent(depth: int) -> int | None:
    """Make a step at *depth*, or go on to the limit."""
    try:
        return at_depth(depth, leaf) if depth else deeper()
    except RecursionError:
        return None


def at_depth(depth: int, step: Callable[[], int]) -> int:
    """Call *step* at *depth*."""
    return at_depth(depth - 1, step) if depth else step()


@pytest.fixture
def sink() -> Iterator[RecordingSink]:
    """Return what is recorded while faults are contained, as in a program."""
    sink = RecordingSink()
    with _setup.isolated(Settings(run_linger_s=300.0), sink=sink):
        _guard.faults.strict = False
        yield sink


def test_a_run_in_which_the_stack_was_used_up_ends_with_its_block(sink: RecordingSink) -> None:
    """Steps whose beginning or end found no room are lost, and nobody waits for them."""
    assert agent(0) is None
    assert [run.status for run in sink.runs] == ["complete"]
    assert _guard.faults.counts


def test_near_the_limit_a_step_returns_what_it_returns_bare(sink: RecordingSink) -> None:
    """Wherever the step and the wrapper's own few frames have room; its run always ends."""
    for depth in NEAR_THE_LIMIT:
        with agent.run():
            try:
                expected: int | None = at_depth(depth + OWN_FRAMES, bare)
            except RecursionError:
                expected = None
            if expected is not None:
                assert at_depth(depth, leaf) == expected
    assert {run.status for run in sink.runs} == {"complete"}
