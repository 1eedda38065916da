"""The regression guard: which counts of instructions pass, and what is said of the others."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.counted import KINDS, YARDSTICK
from benchmarks.instructions import (
    BEYOND,
    FEW,
    MANY,
    MARGIN,
    UNCOUNTED,
    VERSION,
    Counter,
    Counts,
    counted,
    excess,
    in_measure,
    main,
    read,
)
from tests.subtests import each

FIGURES = {YARDSTICK: 1_000, "async": 20_000, "nested": 30_000}


class Fake(Counter):
    """A tool that counts the shell."""

    def prepare(self, bytecode: str) -> None:
        """Compile nothing."""


def fake(script: str, name: str = "fake") -> Counter:
    """Return a tool that runs *script* of the shell, with the command as its arguments."""

    def command(file: Path) -> list[str]:
        return ["sh", "-c", script.format(file=shlex.quote(str(file))), "sh"]

    return Fake(name, command, re.compile(r"^(\d+) counted", re.MULTILINE))


SEVEN = fake(
    "eval last=\\${{$#}}; [ $# -gt 1 ] || last=0; echo $((1000 + 7 * last)) counted > {file}",
    "seven",
)
"""Counts seven instructions for each call."""
LOST = Counter("lost", lambda file: ["no-such-tool", str(file)], re.compile("(1)"))
REFUSED = fake("echo 'no permission' >&2; exit 255", "refused")
SILENT = fake("echo '<not supported>' > {file}", "silent")


def stored_in(folder: Path, **of_tools: Counts) -> Path:
    """Return a file of figures for this Python, by tool."""
    path = folder / "figures.json"
    path.write_text(json.dumps({tool: {VERSION: counts} for tool, counts in of_tools.items()}))
    return path


def test_a_call_within_the_margin_passes() -> None:
    """Also one that takes less."""
    seen = {**FIGURES, "nested": int(30_000 * (1 + MARGIN)), "async": 100}
    assert excess(FIGURES, seen) == []


def test_a_call_beyond_the_margin_is_named_with_what_to_do() -> None:
    """What was seen, what was expected, what to do."""
    (said,) = excess(FIGURES, {**FIGURES, "nested": int(30_000 * (1 + MARGIN)) + 1})
    assert "(nested) takes 31,501 instructions" in said
    assert "expected at most 31,500, the stored 30,000 and 5%" in said
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
    assert counted(SEVEN) == dict.fromkeys(KINDS, 7)
    assert FEW < MANY


@each("tool", [LOST, REFUSED, SILENT], ids=lambda tool: tool.name)
def test_a_tool_that_is_not_there_or_cannot_count_is_passed_over(tool: Counter) -> None:
    """`perf` may be forbidden; in a virtual machine it writes that nothing is supported."""
    assert not tool.counts()
    assert SEVEN.counts()


def test_calls_at_their_figures_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the first tool that can count here and has figures for this Python, of each call."""
    stored = stored_in(tmp_path, some={YARDSTICK: 7}, seven=dict.fromkeys(KINDS, 7))
    some = fake("echo 1 counted > {file}", "some")
    none = fake("echo 1 counted > {file}", "none")
    assert main([], [LOST, none, some, SEVEN], stored) == 0
    assert "counted by seven" in capsys.readouterr().out


def test_a_call_beyond_its_figure_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the measure of the yardstick, and where skipping is allowed, too."""
    stored = stored_in(tmp_path, seven={**dict.fromkeys(KINDS, 14), "async": 10})
    assert main(["--if-possible"], [SEVEN], stored) == BEYOND
    said = [line for line in capsys.readouterr().out.splitlines() if "expected at most" in line]
    assert [line[:36] for line in said] == ["a call (async) takes 7 instructions;"]


@each("figures", [{}, {"seven": {YARDSTICK: 7, "async": 7}}], ids=["no", "part"])
@each("arguments", [[], ["--if-possible"]], ids=["", "if possible"])
def test_where_something_counts_and_nothing_is_stored_it_fails(
    arguments: list[str],
    figures: dict[str, Counts],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing was compared, and the way to compare is open: a figure is to be stored."""
    assert main(arguments, [LOST, SEVEN], stored_in(tmp_path, **figures)) == UNCOUNTED
    said = capsys.readouterr().out
    assert f"seven can count here, and has no figure of every call on Python {VERSION}" in said
    assert "--store" in said


@each(("arguments", "status"), [([], UNCOUNTED), (["--if-possible"], 0), (["--store"], UNCOUNTED)])
def test_where_nothing_can_count_it_says_so(
    arguments: list[str], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It passes only if that was allowed."""
    stored = stored_in(tmp_path, lost=FIGURES)
    held = stored.read_text()
    assert main(arguments, [LOST, REFUSED, SILENT], stored) == status
    assert "skipped: none of lost, refused, silent counts" in capsys.readouterr().out
    assert stored.read_text() == held


def test_a_figure_is_stored_for_each_tool_that_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then there is something to compare with; figures of other tools stay."""
    stored = stored_in(tmp_path, other=FIGURES, seven=dict.fromkeys(KINDS, 14))
    assert main(["--store"], [LOST, SEVEN], stored) == 0
    assert read(stored) == {
        "other": {VERSION: FIGURES},
        "seven": {VERSION: dict.fromkeys(KINDS, 7)},
    }
    assert "async" in capsys.readouterr().out


def test_a_program_that_fails_is_said_to_have_failed() -> None:
    """Its few instructions would pass for a fast call."""
    with pytest.raises(RuntimeError, match="no such thing"):
        fake('"$@"').count([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_every_kind_of_call_has_a_figure() -> None:
    """On each Python that the gate may run on, counted by what runs everywhere."""
    assert read()["valgrind"].keys() >= {"3.11", "3.12", "3.13"}
    for figures in read().values():
        assert all(set(counts) == set(KINDS) for counts in figures.values())
