"""Programs in processes of their own, their spool in a test's folder, and what came of them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tests.served import environment
from tests.stored import SPANS
from tests.untraced import UNTRACED

T = TypeVar("T")

FLUSH_INTERVAL_S: Final = 0.1
EXIT_TIMEOUT_S: Final = 20.0
"""Where a test is not about it: a busy machine is slow."""
SHORT_EXIT_S: Final = 0.5
WRITING_EXIT_S: Final = 5.0
"""Exit timeout in seconds where the exit only writes to the disk."""
LOOK_S: Final = 0.05
"""Interval in seconds at which `lasted_s` reads the clock."""
STANDSTILL_S: Final = 0.5
"""The most seconds that count between two readings: a machine may pause all processes."""
NEVER_S: Final = "600"
"""A program that waits for a request with this timeout hangs."""
END_S: Final = 110.0
"""A program that takes longer hangs."""
FULL: Final = bool(os.environ.get("REMIT_TEST_FULL"))
"""Whether tests take the large amounts of `make full`."""

HEIR: Final = "import remit; remit.configure(); raise SystemExit(0 if remit.flush(60) else 3)"
"""Delivers what others left."""

DECLARED: Final = """
import os, sys, threading, time
import remit

@remit.span_type("step")
def step(number: int) -> int:
    return number

def wait_until_written() -> None:
    while (now := remit.status()).writer_lag_s or now.pending != now.spooled:
        time.sleep(0.01)
"""
"""How a program begins; what it does is counted by its steps."""

WARM: Final = """
import sqlite3
import remit.client, remit.testing

with remit.testing.isolated():
    pass
"""
"""Imports what a program will need, and configures nothing."""

FORKED: Final = """
import json, os, sys

folder = sys.argv[-1]
forked = {}
for case, (environ, arguments) in json.loads(sys.stdin.read()).items():
    forked[case] = os.fork()
    if not forked[case]:
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(f"{folder}/{case}.{name}", os.O_WRONLY | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(environ)
        sys.argv[1:] = arguments
        break
else:
    ended = {case: os.waitpid(pid, 0)[1] for case, pid in forked.items()}
    print(json.dumps({case: os.waitstatus_to_exitcode(each) for case, each in ended.items()}))
    sys.stdout.flush()
    os._exit(0)
"""
"""Goes on as one process for each case; the first one waits for the others."""

BARE: Final = """
import os, sys, threading, time
from contextlib import nullcontext

class remit:
    flush = staticmethod(lambda timeout_s=5.0: True)
    copy_context = staticmethod(lambda function: function)
    span = staticmethod(lambda name: nullcontext())
    @staticmethod
    def agent(name):
        def decorate(function):
            function.run = lambda: nullcontext()
            return function
        return decorate
def step(number): return number
def wait_until_written(): pass
"""
"""How the same program begins without remit."""


def settings(
    folder: Path, url: str, token: str, *, exit_timeout_s: float = EXIT_TIMEOUT_S
) -> dict[str, str]:
    """Return the environment of a program that keeps its spool in *folder*."""
    return {
        **environment(folder),
        **UNTRACED,
        "REMIT_API_URL": url,
        "REMIT_API_TOKEN": token,
        "REMIT_FLUSH_INTERVAL_S": str(FLUSH_INTERVAL_S),
        "REMIT_EXIT_TIMEOUT_S": str(exit_timeout_s),
        # From Python 3.12 on it warns that a fork beside threads may hang; that is the point.
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
    }


def steps_in(folder: Path) -> Counter[str]:
    """Count the steps at the server by their payload."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        found = store.execute(f"SELECT payload FROM {SPANS} WHERE schema_name = 'step'")
        return Counter(payload for (payload,) in found)


def runs_in(folder: Path) -> list[str]:
    """Return the statuses of the runs at the server."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return [status for (status,) in store.execute("SELECT status FROM runs")]


def once(*numbers: range) -> Counter[str]:
    """Return what `steps_in` gives when each step of *numbers* came once."""
    return Counter(f'{{"number":{number}}}' for each in numbers for number in each)


def left_in(folder: Path) -> list[str]:
    """Return what is left in the spool."""
    spool = folder / "data" / "spool"
    return sorted(path.name for path in spool.iterdir()) if spool.exists() else []


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Its exit code, or the signal below zero.
        out: What it wrote on stdout.
        errors: What it wrote on stderr.
    """

    code: int
    out: str
    errors: str


def forked(
    declared: str, body: str, cases: Mapping[str, tuple[dict[str, str], list[str]]]
) -> dict[str, Ended]:
    """Run a program to its end once for each case, all at once, and import for all of them once.

    Args:
        declared: What the processes have in common.
        body: What each of them does, from the first use of remit to its end.
        cases: Environment and arguments of each, by its name.
    """
    with tempfile.TemporaryDirectory() as name:
        program = start(declared + FORKED + body, dict(os.environ) | UNTRACED, name)
        told, errors = told_by(program, json.dumps(cases))
        assert errors == ""
        texts = {path.name: path.read_text() for path in Path(name).iterdir()}
        return {
            case: Ended(code, texts[f"{case}.out"], texts[f"{case}.err"])
            for case, code in json.loads(told).items()
        }


def start(
    program: str | list[str],
    environ: Mapping[str, str],
    *arguments: object,
    folder: Path | None = None,
) -> subprocess.Popen[str]:
    """Start a program in a new session.

    Args:
        program: Its text, or Python's arguments: a file, or `-m` and a module.
        environ: Its environment.
        arguments: Its arguments.
        folder: Where it runs.
    """
    chosen = ["-c", program] if isinstance(program, str) else program
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *chosen, *map(str, arguments)],
        cwd=folder,
        env=environ,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        bufsize=1,
        start_new_session=True,
    )


def output_of(program: subprocess.Popen[str], typed: str | None = None) -> tuple[str, str]:
    """Wait for the end of a program of `start`; return what it wrote on stdout and on stderr.

    One that hangs is killed with its children, who have its pipes too.
    """
    try:
        return program.communicate(typed, timeout=END_S)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        told, errors = program.communicate()
        message = f"the program hung for {END_S} s; on stdout {told!r}, on stderr {errors!r}"
        raise AssertionError(message) from None


def told_by(program: subprocess.Popen[str], typed: str | None = None) -> tuple[str, str]:
    """Wait for the end of a program which is a good one, as `output_of` does."""
    told, errors = output_of(program, typed)
    assert program.returncode == 0, errors
    return told, errors


def errors_of(program: subprocess.Popen[str]) -> str:
    """Wait for the end of a program, which is a good one; return what it wrote on stderr."""
    return told_by(program)[1]


def inherit(environ: dict[str, str]) -> None:
    """Deliver what ended processes left; there is nothing to say about it."""
    assert errors_of(start(HEIR, environ)) == ""


def lasted_s(act: Callable[[], T]) -> tuple[T, float]:
    """Call *act*; return its result, and its duration in seconds without pauses of the machine.

    Of a pause of all processes, `STANDSTILL_S` counts.
    """
    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(act)
        passed_s, last_s, is_over = 0.0, time.monotonic(), False
        while not is_over:
            is_over = bool(wait([acting], timeout=LOOK_S).done)
            now_s = time.monotonic()
            passed_s, last_s = passed_s + min(now_s - last_s, STANDSTILL_S), now_s
        return acting.result(), passed_s


def wait_until(there: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for what another process does."""
    pause, deadline = threading.Event(), time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        pause.wait(0.02)
