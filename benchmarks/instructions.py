"""Compares instructions of a decorated call with a figure: `python -m benchmarks.instructions`.

A processor's instructions do not depend on how busy the machine is, so this may pass and fail
where a time may not. Valgrind counts two processes of each kind of call, which make different
numbers of them (`benchmarks.counted`); the difference, divided, is one call without start and end.
A yardstick, a closure without remit, is counted with them, and the stored figures are scaled by it,
so that an interpreter that was compiled otherwise is not taken for a slower remit.

Exit status 1 when a call takes more than the margin above its figure; 2 when there is none to
compare with, or no Valgrind. `--store` stores the counts as the figures of this Python.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks import children
from benchmarks.counted import FEW, KINDS, MANY, YARDSTICK

STORED: Final = Path(__file__).with_suffix(".json")
MARGIN: Final = 0.05
"""Part by which a call may grow before the gate fails. On Python 3.11 six counts of one source,
with other environments and seeds, gave 44,617 to 44,758 instructions of a sync call, and 7,348 to
7,373 of the yardstick. A new function, long docstrings, a new module or another name: 44,638 to
44,702, and 131,446 to 131,716 of three nested calls; shorter counts with 1 to 60 new functions
differed by 0.6 %. The rest is for interpreters that were compiled otherwise."""
VERSION: Final = "{}.{}".format(*sys.version_info)
# The fastest of Valgrind's tools that count: half the time of callgrind, and the same counts.
VALGRIND: Final = ("valgrind", "--quiet", "--tool=cachegrind", "--cache-sim=no")
SUMMARY: Final = "\nsummary: "

BEYOND, UNCOUNTED = 1, 2
"""Exit statuses."""

Counts = dict[str, int]


def counted(tool: Sequence[str] = VALGRIND) -> Counts:
    """Return the instructions of one call of each kind.

    Raises:
        RuntimeError: A process failed, or was not counted.
        FileNotFoundError: The tool is not installed.
    """
    program = [sys.executable, "-m", "benchmarks.counted"]
    environ = {**children.environment(), "PYTHONHASHSEED": "0"}
    totals: dict[tuple[str, int], int] = {}
    with tempfile.TemporaryDirectory() as folder:
        done = children.run([*tool, f"--cachegrind-out-file={folder}/%p", *program], environ)
        if done.returncode != 0:
            message = f"{' '.join(program)} failed under {tool[0]}: {done.stderr[-2000:]}"
            raise RuntimeError(message)
        for line in done.stdout.splitlines():
            kind, calls, pid = line.split()
            file = Path(folder) / pid
            _, _, count = (file.read_text() if file.exists() else "").partition(SUMMARY)
            if not count:
                message = f"{tool[0]} counted nothing"
                raise RuntimeError(message)
            totals[kind, int(calls)] = int(count)
    return {kind: round((totals[kind, MANY] - totals[kind, FEW]) / (MANY - FEW)) for kind in KINDS}


def in_measure(stored: Mapping[str, int], seen: Mapping[str, int]) -> Counts:
    """Return the *stored* figures, scaled by the yardstick."""
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


def main(
    arguments: Sequence[str] | None = None,
    tool: Sequence[str] = VALGRIND,
    stored: Path = STORED,
) -> int:
    """Count, print, and return the exit status.

    Args:
        arguments: The command line's.
        tool: The beginning of the command that counts.
        stored: The file of the figures, by Python.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", action="store_true", help="keep what was counted as the figures")
    stores = parser.parse_args(arguments).store
    figures: dict[str, Counts] = json.loads(stored.read_text()) if stored.exists() else {}
    figure = figures.get(VERSION, {})
    known = figure.keys() == KINDS.keys()
    if not (known or stores):
        print(
            f"nothing to compare with on Python {VERSION}; stored: {', '.join(figures) or 'none'}. "
            "On a source that is known to be good, keep a figure of every call: "
            "python -m benchmarks.instructions --store"
        )
        return UNCOUNTED
    try:
        seen = counted(tool)
    except FileNotFoundError:
        print(
            f"{tool[0]} is not installed; expected it (Debian and Ubuntu: apt-get install valgrind)"
        )
        return UNCOUNTED
    expected = in_measure(figure, seen) if known else {}
    print(f"Python {VERSION}; figures in the measure of the yardstick")
    print(table(expected, seen))
    if stores:
        figures[VERSION] = seen
        stored.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
        return 0
    found = excess(expected, seen)
    print("\n".join(found), end="\n" if found else "")
    return BEYOND if found else 0


if __name__ == "__main__":
    sys.exit(main())
