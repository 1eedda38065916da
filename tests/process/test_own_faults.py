"""Faults of our own: each function of remit raises in turn, and the program does not notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.architecture.sources import ROOT
from tests.untraced import UNTRACED

pytestmark = pytest.mark.gate

# What has nothing around it that could contain a fault, and next to nothing in it.
UNGUARDED = {
    "remit._decorators._driving._first_step": "a step of the user's generator itself",
    "remit._decorators._driving._step": "a step of the user's generator itself",
    "remit._decorators._driving.stepwise": "a step of the user's coroutine itself",
    "remit._decorators._standing.Stand.__init__": "assignments",
    "remit._decorators._standing.Stand._shared": "a comparison, of `leave`",
    "remit._decorators._standing.Stand.enter": "sets a context variable",
    "remit._decorators._standing.Stand.leave": "sets a context variable",
    "remit._decorators._standing.Stand.remain": "sets a context variable",
    "remit._decorators._standing.step.__init__": "assignments",
    "remit._decorators._standing.step.__enter__": "sets a context variable",
    "remit._decorators._standing.step.__exit__": "sets a context variable",
    "remit._decorators._streams.InFlight.__del__": "called by the interpreter alone",
    "remit._decorators._wrappers._as_method": "binds a method, as Python does",
    "remit._delivery.worker.Worker._run": "called by the interpreter alone",
    "remit._recording.at.__init__": "an assignment",
    "remit._recording.at.__enter__": "sets a context variable",
    "remit._recording.at.__exit__": "sets a context variable",
    "remit._recording.at._restore": "sets a context variable",
    "remit._recording.place_for": "comparisons, of `Stand.enter`",
    "remit._recording.is_same": "comparisons, of `at._restore` and `Stand.leave`",
    "remit._runs.Run.__init__": "an assignment",
    "remit._runs.run_of": "a look at an attribute",
    "remit._run_blocks.RunBlock.__init__": "assignments",
    "remit._run_blocks.RunBlock.__enter__": "the block itself, as the user's `with` calls it",
    "remit._run_blocks.RunBlock.__exit__": "the block itself, as the user's `with` calls it",
    "remit._spans._block.SpanBlock.__init__": "assignments",
    "remit._spans._handle.Span.__init__": "assignments",
}
# A type that cannot be read is an answer and no fault: the type may be to blame.
NOTED = (
    *("remit._schema.", "remit._annotations.", "remit._inference._places."),
    "remit._capture.fields.given_to",
)


@pytest.fixture(scope="module")
def met() -> list[dict[str, Any]]:
    """What came of each function that was made to raise, and was called by remit itself."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.own"],
        cwd=ROOT,
        # To be traced line by line takes it three times as long.
        env=os.environ | UNTRACED,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = map(json.loads, done.stdout.splitlines())
    return [row for row in rows if row["inside"] and row["name"] not in UNGUARDED]


@pytest.mark.timeout(180)
def test_a_fault_of_ours_never_changes_what_the_program_does(met: list[dict[str, Any]]) -> None:
    """Its results are the same whichever function raises, on whatever thread."""
    assert len(met) > 400
    assert [row for row in met if row["outcome"] != "the same"] == []


@pytest.mark.timeout(180)
def test_a_fault_of_ours_is_counted(met: list[dict[str, Any]]) -> None:
    """None passes in silence."""
    silent = [row["name"] for row in met if not row["counted"]]
    assert [name for name in silent if not name.startswith(NOTED)] == []
