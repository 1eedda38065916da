"""Instructions of one decorated call, held to a stored figure: `python -m benchmarks.instructions`.

A processor's instructions do not depend on how busy the machine is, so this may pass and fail
where a time may not. Each kind of call is counted in two fresh processes that make different
numbers of them (`benchmarks.counted`); the difference, divided, is one call without start and end.
A yardstick, a closure without remit, is counted beside them: the stored figures are read in its
measure, so that an interpreter that was compiled otherwise is not taken for a slower remit.

Exit status 1 when a call takes more than the margin above its figure; `--store` keeps what was
counted as the new figure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.counted import KINDS, YARDSTICK

STORED: Final = Path(__file__).with_suffix(".json")
ROOT: Final = Path(__file__).parents[1]
FEW, MANY = 500, 2_500
"""Calls of the two processes; the first few hundred specialise the interpreter's bytecode."""
MARGIN: Final = 0.15
"""Part by which a call may grow before the gate fails. Two counts of one source differ by less than
a hundredth; any change of the source may move a tenth, as other names meet in the interpreter's
cache of attributes."""
VERSION: Final = "{}.{}".format(*sys.version_info)

Counts = dict[str, int]


@dataclass(frozen=True)
class Counter:
    """A tool that counts the instructions of a process.

    Attributes:
        name: Name of the tool.
        command: Returns what stands before the command, told the file to write to.
        pattern: How the count stands in that file.
    """

    name: str
    command: Callable[[Path], list[str]]
    pattern: re.Pattern[str]

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
                done = subprocess.run(
                    [*self.command(file), *command],
                    cwd=ROOT,
                    env=environment(bytecode),
                    check=False,
                    capture_output=True,
                    text=True,
                )
            except FileNotFoundError:
                return None
            if done.returncode != 0:
                message = f"{' '.join(command)} failed under {self.name}: {done.stderr[-2000:]}"
                raise RuntimeError(message)
            found = self.pattern.search(file.read_text() if file.exists() else "")
        return int(found[1]) if found else None


def environment(bytecode: str) -> dict[str, str]:
    """Return the variables of a process that is counted: no two may differ in what they do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
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


def counter() -> Counter | None:
    """Return the first tool that counts on this machine."""
    return next((each for each in COUNTERS if each.count(["true"])), None)


def counted(tool: Counter) -> Counts:
    """Return the instructions of one call of each kind."""
    jobs = [(kind, calls) for kind in KINDS for calls in (FEW, MANY)]
    with tempfile.TemporaryDirectory() as bytecode, ThreadPoolExecutor(os.cpu_count()) as pool:
        # Else one of them would compile what the others find compiled.
        for kind in KINDS:
            subprocess.run(program(kind, 1), cwd=ROOT, env=environment(bytecode), check=True)

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
    """Return the counts beside their figures."""
    lines = [f"{'one call':<12}{'instructions':>14}{'figure':>12}{'change':>9}"]
    for kind, count in seen.items():
        figure = expected.get(kind)
        beside = f"{figure:>12,}{count / figure - 1:>+9.1%}" if figure else f"{'none':>12}"
        lines.append(f"{kind:<12}{count:>14,}{beside}")
    return "\n".join(lines)


def read() -> dict[str, dict[str, Counts]]:
    """Return the stored figures by tool and Python."""
    found: dict[str, dict[str, Counts]] = json.loads(STORED.read_text()) if STORED.exists() else {}
    return found


def store(tool: str, seen: Counts) -> None:
    """Keep what was counted as the figures of this Python."""
    figures = read()
    figures.setdefault(tool, {})[VERSION] = seen
    STORED.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


def main() -> int:
    """Count, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", action="store_true", help="keep what was counted as the figures")
    parser.add_argument(
        "--if-possible", action="store_true", help="pass where nothing can count, and say so"
    )
    options = parser.parse_args()
    tool = counter()
    if tool is None:
        print(
            "skipped: neither `perf stat` nor `valgrind` counts instructions here; "
            "expected one of them (Debian and Ubuntu: apt-get install valgrind)"
        )
        return 0 if options.if_possible else 2
    seen = counted(tool)
    if options.store:
        store(tool.name, seen)
    stored = read().get(tool.name, {}).get(VERSION)
    expected = in_measure(stored, seen) if stored else {}
    print(f"Python {VERSION}, counted by {tool.name}; figures in the measure of the yardstick")
    print(table(expected, seen))
    if not stored:
        print(f"nothing to compare with: no figure of {tool.name} on Python {VERSION} is stored")
    found = excess(expected, seen)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
