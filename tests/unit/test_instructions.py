"""The regression guard: which counts of instructions pass, and what is said of the others."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.counted import KINDS, YARDSTICK
from benchmarks.instructions import FEW, MANY, MARGIN, Counter, counted, excess, in_measure, read

FIGURES = {YARDSTICK: 1_000, "sync": 10_000, "async": 20_000, "nested": 30_000}


def fake(script: str) -> Counter:
    """Return a tool that runs *script* of the shell, with the command as its arguments."""

    def command(file: Path) -> list[str]:
        return ["sh", "-c", script.format(file=shlex.quote(str(file))), "sh"]

    return Counter("fake", command, re.compile(r"^(\d+) counted", re.MULTILINE))


def test_a_call_within_the_margin_passes() -> None:
    """Also one that takes less."""
    seen = {**FIGURES, "sync": int(10_000 * (1 + MARGIN)), "async": 100}
    assert excess(FIGURES, seen) == []


def test_a_call_beyond_the_margin_is_named_with_what_to_do() -> None:
    """What was seen, what was expected, what to do."""
    (said,) = excess(FIGURES, {**FIGURES, "nested": int(30_000 * (1 + MARGIN)) + 1})
    assert "(nested) takes 34,501 instructions" in said
    assert "expected at most 34,500, the stored 30,000 and 15%" in said
    assert "--store" in said


def test_an_interpreter_that_takes_more_for_everything_is_no_regression() -> None:
    """Compiled otherwise, it takes more for the yardstick too."""
    slower = {kind: count * 2 for kind, count in FIGURES.items()}
    assert excess(FIGURES, slower) != []
    assert excess(in_measure(FIGURES, slower), slower) == []


def test_a_yardstick_is_no_call() -> None:
    """It only measures the others."""
    assert excess(FIGURES, {**FIGURES, YARDSTICK: 9_000}) == []


def test_a_call_is_the_difference_of_two_numbers_of_calls() -> None:
    """What starts and ends a process is in both."""
    assert counted(fake("eval last=\\${{$#}}; echo $((1000 + 7 * last)) counted > {file}")) == (
        dict.fromkeys(KINDS, 7)
    )
    assert FEW < MANY


def test_a_tool_that_is_not_there_or_cannot_count_counts_nothing() -> None:
    """`perf` in a virtual machine writes that the counter is not supported."""
    missing = Counter("none", lambda file: ["no-such-tool", str(file)], re.compile("(1)"))
    assert missing.count(["true"]) is None
    assert fake("echo '<not supported>' > {file}").count(["true"]) is None


def test_a_program_that_fails_is_said_to_have_failed() -> None:
    """Its few instructions would pass for a fast call."""
    with pytest.raises(RuntimeError, match="no such thing"):
        fake('"$@"').count([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_every_kind_of_call_has_a_figure() -> None:
    """On each Python that figures are stored for."""
    for figures in read().values():
        assert all(set(counts) == set(KINDS) for counts in figures.values())
