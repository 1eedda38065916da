"""Memory runs short: a decorated program survives it as the bare one does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.served import environment
from tests.subtests import each
from tests.untraced import UNTRACED

PROGRAMS = 20
CALLS = 300
RAISED = 1
"""The status of a program in which a call raised."""
PROGRAM = """
import json, os, resource, sys, traceback
import remit

@remit.span_type
def look(*texts): return len(texts)

@remit.agent
def answer(*texts): return look(*texts)

def fill(least):
    filler, size = [], 1 << 20
    while size >= least:
        try:
            while True:
                filler.append(bytearray(size))
        except MemoryError:
            size //= 2
    return filler

def play(texts, least):
    answer(*texts)
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 4_000_000, resource.RLIM_INFINITY))
    filler = fill(least)
    failed = 0
    for _ in range(CALLS):
        try:
            answer(*texts)
        except MemoryError as error:
            failed, raised = failed + 1, error
    filler.clear()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if failed:
        traceback.print_tb(raised.__traceback__)
    return failed

texts = [letter * int(sys.argv[2]) for letter in "abc"]
remit.configure(mode="local", data_dir=sys.argv[1])
statuses = []
for number in range(PROGRAMS):
    child = os.fork()
    if not child:
        os._exit(1 if play(texts, LEAST) else 0)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(statuses))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux")
@each(("chars", "least"), [(1, 1 << 14), (60_000, 1 << 14), (60_000, 1 << 16)])
def test_a_decorated_program_survives_while_memory_is_short(
    chars: int, least: int, tmp_path: Path
) -> None:
    """No process ends, and no call raises, while blocks of *least* bytes are no longer to be had.

    One process of 20 may get a `MemoryError`: there may be no room for a frame of remit's, or to
    make the run current (docs/understand/guarantees.md).
    """
    program = (
        PROGRAM.replace("CALLS", str(CALLS))
        .replace("PROGRAMS", str(PROGRAMS))
        .replace("LEAST", str(least))
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(chars)],
        env=environment(tmp_path) | UNTRACED,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)) in ([0] * PROGRAMS, [0] * (PROGRAMS - 1) + [RAISED]), (
        done.stderr
    )
