"""The regression guard: which counts of instructions pass, and what is said of the others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.counted import KINDS, YARDSTICK
from benchmarks.instructions import (
    BEYOND,
    MARGIN,
    STORED,
    UNCOUNTED,
    VERSION,
    Counts,
    counted,
    excess,
    in_measure,
    main,
)
from tests.subtests import each

FIGURES = {YARDSTICK: 1_000, "async": 20_000, "nested": 30_000}
FAKE = """
import sys
from benchmarks.counted import FEW, KINDS, MANY
for pid, (kind, calls) in enumerate((kind, calls) for kind in KINDS for calls in (FEW, MANY)):
    path = sys.argv[1].partition("=")[2].replace("%p", str(pid))
    open(path, "w").write(f"events: Ir\\nsummary: {1000 + 7 * calls}\\n")
    print(kind, calls, pid)
"""
SEVEN = (sys.executable, "-c", FAKE)
"""Counts seven instructions for each call."""
SILENT = (sys.executable, "-c", "print('async', 500, 1)")
LOST = ("no-such-tool",)


def stored_in(folder: Path, counts: Counts) -> Path:
    """Return a file of figures for this Python."""
    path = folder / "figures.json"
    path.write_text(json.dumps({"2.7": FIGURES, VERSION: counts}))
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
    """A slower build of Python takes more instructions for the reference program as well."""
    slower = {kind: count * 2 for kind, count in FIGURES.items()}
    assert excess(FIGURES, slower) != []
    assert excess(in_measure(FIGURES, slower), slower) == []
    assert excess(FIGURES, {**FIGURES, YARDSTICK: 9_000}) == []


def test_a_call_is_the_difference_of_two_numbers_of_calls() -> None:
    """The start and the end of a process are in both."""
    assert counted(SEVEN) == dict.fromkeys(KINDS, 7)


@each(
    "counts, status, said",
    [
        (dict.fromkeys(KINDS, 7), 0, "+0.0%"),
        ({**dict.fromkeys(KINDS, 14), "async": 10}, BEYOND, "a call (async) takes 7 instructions;"),
        ({YARDSTICK: 7, "async": 7}, UNCOUNTED, f"on Python {VERSION}; stored: 2.7, {VERSION}"),
    ],
    ids=["at its figure", "beyond it", "without one"],
)
def test_calls_are_compared_with_their_figures(
    counts: Counts, status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the measure of the yardstick. Without a figure of each call, nothing passes."""
    assert main([], SEVEN, stored_in(tmp_path, counts)) == status
    assert said in capsys.readouterr().out


@each("arguments", [[], ["--store"]], ids=["compares", "stores"])
def test_without_valgrind_it_fails(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was compared, and nothing is stored."""
    stored = stored_in(tmp_path, FIGURES)
    held = stored.read_text()
    assert main(arguments, LOST, stored) == UNCOUNTED
    assert "no-such-tool is not installed" in capsys.readouterr().out
    assert stored.read_text() == held


def test_figures_are_stored(tmp_path: Path) -> None:
    """Those of other Pythons stay."""
    stored = stored_in(tmp_path, {})
    assert main(["--store"], SEVEN, stored) == 0
    assert json.loads(stored.read_text()) == {"2.7": FIGURES, VERSION: dict.fromkeys(KINDS, 7)}


@each(
    "tool, said",
    [
        ((sys.executable, "-c", "raise SystemExit('no such thing')"), "no such thing"),
        (SILENT, "counted nothing"),
    ],
)
def test_a_process_that_fails_or_is_not_counted_is_an_error(
    tool: tuple[str, ...], said: str
) -> None:
    """Its few instructions would pass for a fast call."""
    with pytest.raises(RuntimeError, match=said):
        counted(tool)


def test_every_kind_of_call_has_a_figure() -> None:
    """On each Python that the gate may run on."""
    figures = json.loads(STORED.read_text())
    assert figures.keys() >= {"3.11", "3.12", "3.13"}
    assert all(set(counts) == set(KINDS) for counts in figures.values())
