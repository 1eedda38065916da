"""Programs that recurse to the limit: their results stay, and their runs end when they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context

import pytest

import remit
from remit import _guard, _runtime
from remit._runtime._runtime import Runtime
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


def leave_open() -> None:
    """Begin a block in a run, and never end it."""
    with agent.run():
        remit.span("end of the stack: late").__enter__()


@pytest.fixture
def sink() -> RecordingSink:
    """Return what is recorded."""
    return RecordingSink()


@pytest.fixture
def runtime(sink: RecordingSink) -> Iterator[Runtime]:
    """Return a runtime that contains its faults, as in a program."""
    with _runtime.isolated(Settings(run_linger_s=300.0), sink=sink) as runtime:
        _guard.faults.strict = False
        yield runtime


def test_a_run_in_which_the_stack_was_used_up_ends_with_its_block(
    runtime: Runtime, sink: RecordingSink
) -> None:
    """Steps whose beginning or end found no room are lost, and nobody waits for them."""
    assert agent(0) is None
    assert runtime.recorder.lingering == set()
    assert [run.status for run in sink.runs] == ["complete"]
    assert _guard.faults.counts


def test_near_the_limit_a_step_returns_what_it_returns_bare(
    runtime: Runtime, sink: RecordingSink
) -> None:
    """Wherever the step and the wrapper's own few frames have room; its run always ends."""
    for depth in NEAR_THE_LIMIT:
        with agent.run():
            try:
                expected: int | None = at_depth(depth + OWN_FRAMES, bare)
            except RecursionError:
                expected = None
            if expected is not None:
                assert at_depth(depth, leaf) == expected
    assert runtime.recorder.lingering == set()
    assert {run.status for run in sink.runs} == {"complete"}


def test_a_run_whose_last_span_ended_beyond_the_block_without_its_word_ends_soon(
    runtime: Runtime, sink: RecordingSink
) -> None:
    """At the writer's next pass, not after the time to linger."""
    # In a context of its own: what was current there is not so in other tests.
    copy_context().run(leave_open)
    assert [run.status for run in sink.runs] == ["active"]
    (run,) = runtime.recorder.lingering
    run.open.clear()
    runtime.tend()
    assert [run.status for run in sink.runs] == ["complete"]
