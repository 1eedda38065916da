"""Instructions of one decorated call, held to a stored figure: `python -m benchmarks.instructions`.

A processor's instructions do not depend on how busy the machine is, so this may pass and fail
where a time may not. Each kind of call is counted in two fresh processes that make different
numbers of them (`benchmarks.counted`); the difference, divided, is one call without start and end.
A yardstick, a closure without remit, is counted with them: the stored figures are read in its
measure, so that an interpreter that was compiled otherwise is not taken for a slower remit.

The first tool counts that can here and has figures for this Python. Exit status 1 when a call takes
more than the margin above its figure; 2 when there is none to compare with, or nothing can count,
which `--if-possible` lets pass. `--store` keeps what each tool counts as its new figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import children
from benchmarks.counted import KINDS, YARDSTICK

STORED: Final = Path(__file__).with_suffix(".json")
FEW, MANY = 500, 2_500
"""Calls of the two processes; the first few hundred specialise the interpreter's bytecode."""
MARGIN: Final = 0.05
"""Part by which a call may grow before the gate fails. On Python 3.11 six counts of one source,
with other environments and seeds, gave 44,617 to 44,758 instructions of a sync call, and 7,348 to
7,373 of the yardstick. A new function, long docstrings, a new module or another name: 44,638 to
44,702, and 131,446 to 131,716 of three nested calls; shorter counts with 1 to 60 new functions
differed by 0.6 %. The rest is for interpreters that were compiled otherwise."""
VERSION: Final = "{}.{}".format(*sys.version_info)

BEYOND, UNCOUNTED = 1, 2
"""Exit statuses."""

Counts = dict[str, int]
Figures = dict[str, dict[str, Counts]]


@dataclass(frozen=True)
class Counter:
    """A tool that counts the instructions of a process.

    Attributes:
        name: Name of the tool.
        command: Returns the prefix of the command for an output file.
        pattern: How the count stands in that file.
    """

    name: str
    command: Callable[[Path], list[str]]
    pattern: re.Pattern[str]

    def counts(self) -> bool:
        """Return whether the tool is there, may count, and does."""
        try:
            return bool(self.count(["true"]))
        except RuntimeError:
            return False

    def prepare(self, bytecode: str) -> None:
        """Compile what is counted: else one process would compile what the others find compiled."""
        for kind in KINDS:
            children.run(program(kind, 1), environment(bytecode)).check_returncode()

    def count(self, command: list[str], bytecode: str = "") -> int | None:
        """Return the instructions of a process; None if the tool is not there or does not count.

        Args:
            command: The process.
            bytecode: Folder of the modules' bytecode.

        Raises:
            RuntimeError: The process failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "counted"
            try:
                done = children.run([*self.command(file), *command], environment(bytecode))
            except FileNotFoundError:
                return None
            if done.returncode != 0:
                message = f"{' '.join(command)} failed under {self.name}: {done.stderr[-2000:]}"
                raise RuntimeError(message)
            found = self.pattern.search(file.read_text() if file.exists() else "")
        return int(found[1]) if found else None


def environment(bytecode: str) -> dict[str, str]:
    """Return the variables of a process that is counted: no two may differ in what they do."""
    kept = {
        name: value
        for name, value in children.environment().items()
        if not name.startswith("VALGRIND_")
    }
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": bytecode}


COUNTERS: Final = (
    # Some processors and most virtual machines let nobody count.
    Counter(
        "perf",
        lambda file: ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(file), "--"],
        re.compile(r"^(\d+),,instructions", re.MULTILINE),
    ),
    # Of Valgrind's tools the fastest that counts: half the time of callgrind, and the same counts.
    Counter(
        "valgrind",
        lambda file: [
            "valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no",
            f"--cachegrind-out-file={file}",
        ],
        re.compile(r"^summary: (\d+)", re.MULTILINE),
    ),
)  # fmt: skip


def counted(tool: Counter) -> Counts:
    """Return the instructions of one call of each kind."""
    jobs = [(kind, calls) for kind in KINDS for calls in (FEW, MANY)]
    with tempfile.TemporaryDirectory() as bytecode, ThreadPoolExecutor(os.cpu_count()) as pool:
        tool.prepare(bytecode)

        def whole(job: tuple[str, int]) -> int:
            count = tool.count(program(*job), bytecode)
            if count is None:
                message = f"{tool.name} counted nothing"
                raise RuntimeError(message)
            return count

        totals = dict(zip(jobs, pool.map(whole, jobs), strict=True))
    return {kind: round((totals[kind, MANY] - totals[kind, FEW]) / (MANY - FEW)) for kind in KINDS}


def program(kind: str, calls: int) -> list[str]:
    """Return the command of a process that makes so many calls."""
    return [sys.executable, "-m", "benchmarks.counted", kind, str(calls)]


def in_measure(stored: Mapping[str, int], seen: Mapping[str, int]) -> Counts:
    """Return the *stored* figures as they would be where the yardstick takes what was *seen*."""
    scale = seen[YARDSTICK] / stored[YARDSTICK]
    return {kind: round(count * scale) for kind, count in stored.items()}


def excess(expected: Mapping[str, int], seen: Mapping[str, int]) -> list[str]:
    """Return a sentence for each call that takes more than its figure and the margin."""
    return [
        f"a call ({kind}) takes {seen[kind]:,} instructions; expected at most "
        f"{round(count * (1 + MARGIN)):,}, the stored {count:,} and {MARGIN:.0%}. Find what was "
        "added to the path of a call, or, if it is worth it, keep the new figure: "
        "python -m benchmarks.instructions --store"
        for kind, count in expected.items()
        if kind != YARDSTICK and seen[kind] > count * (1 + MARGIN)
    ]


def table(expected: Mapping[str, int], seen: Mapping[str, int]) -> str:
    """Return the counts with the stored figures."""
    lines = [f"{'one call':<12}{'instructions':>14}{'figure':>12}{'change':>9}"]
    for kind, count in seen.items():
        figure = expected.get(kind)
        beside = f"{figure:>12,}{count / figure - 1:>+9.1%}" if figure else f"{'none':>12}"
        lines.append(f"{kind:<12}{count:>14,}{beside}")
    return "\n".join(lines)


def read(stored: Path = STORED) -> Figures:
    """Return the stored figures by tool and Python."""
    found: Figures = json.loads(stored.read_text()) if stored.exists() else {}
    return found


def figure(figures: Figures, tool: Counter) -> Counts | None:
    """Return the figure of each kind of call; None if one of them has none on this Python."""
    found = figures.get(tool.name, {}).get(VERSION)
    return found if found is not None and found.keys() == KINDS.keys() else None


def keep(tools: Sequence[Counter], stored: Path) -> None:
    """Count by each tool, and keep what was counted as its figures on this Python."""
    figures = read(stored)
    for tool in tools:
        before, seen = figure(figures, tool), counted(tool)
        print(f"Python {VERSION}, counted by {tool.name}; beside it the figure of before")
        print(table(in_measure(before, seen) if before else {}, seen))
        figures.setdefault(tool.name, {})[VERSION] = seen
    stored.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


def compare(tool: Counter, stored: Mapping[str, int]) -> int:
    """Count, print the counts with the stored figures, and return the exit status."""
    seen = counted(tool)
    expected = in_measure(stored, seen)
    print(f"Python {VERSION}, counted by {tool.name}; figures in the measure of the yardstick")
    print(table(expected, seen))
    found = excess(expected, seen)
    print("\n".join(found), end="\n" if found else "")
    return BEYOND if found else 0


def main(
    arguments: Sequence[str] | None = None,
    counters: Sequence[Counter] = COUNTERS,
    stored: Path = STORED,
) -> int:
    """Count, print, and return the exit status.

    Args:
        arguments: The command line's.
        counters: Tools to count by, best first.
        stored: The file of the figures.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", action="store_true", help="keep what was counted as the figures")
    parser.add_argument(
        "--if-possible", action="store_true", help="pass where nothing can count, and say so"
    )
    options = parser.parse_args(arguments)
    tools = [tool for tool in counters if tool.counts()]
    if not tools:
        print(
            f"skipped: none of {', '.join(tool.name for tool in counters)} counts instructions "
            "here; expected one of them (Debian and Ubuntu: apt-get install valgrind)"
        )
        return 0 if options.if_possible else UNCOUNTED
    if options.store:
        keep(tools, stored)
        return 0
    figures = read(stored)
    for tool in tools:
        if known := figure(figures, tool):
            return compare(tool, known)
    there = "; ".join(f"{name} on Python {', '.join(each)}" for name, each in figures.items())
    print(
        f"nothing to compare with: {' and '.join(tool.name for tool in tools)} can count here, and "
        f"has no figure of every call on Python {VERSION}; stored: {there or 'none'}. On a source "
        "that is known to be good, keep one: python -m benchmarks.instructions --store"
    )
    return UNCOUNTED


if __name__ == "__main__":
    sys.exit(main())
