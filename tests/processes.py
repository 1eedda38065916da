"""Programs in processes of their own, their spool in a test's folder, and what came of them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.served import environment
from tests.untraced import UNTRACED

FLUSH_INTERVAL_S: Final = 0.1
EXIT_TIMEOUT_S: Final = 20.0
"""Where a test is not about it: a busy machine is slow."""
SHORT_EXIT_S: Final = 0.5
END_S: Final = 110.0
"""A program that takes longer hangs."""
GRACE_S: Final = 0.5
"""How much longer than `exit_timeout_s` an exit may take."""

HEIR: Final = "import remit; remit.configure(); raise SystemExit(0 if remit.flush(60) else 3)"
"""Delivers what others left."""

DECLARED: Final = """
import os, sys, threading, time
import remit

@remit.span_type("step")
def step(number: int) -> int:
    return number

def wait_until_written() -> None:
    time.sleep(0.3)
    while remit.status().writer_lag_s:
        time.sleep(0.01)
"""
"""How a program begins; what it does is counted by its steps."""

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
        found = store.execute("SELECT payload FROM agent_spans WHERE schema_name = 'step'")
        return Counter(payload for (payload,) in found)


def runs_in(folder: Path) -> list[str]:
    """Return the statuses of the runs at the server."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return [status for (status,) in store.execute("SELECT status FROM agent_instances")]


def once(*numbers: range) -> Counter[str]:
    """Return what `steps_in` gives when each step of *numbers* came once."""
    return Counter(f'{{"number":{number}}}' for each in numbers for number in each)


def left_in(folder: Path) -> list[str]:
    """Return what is left in the spool."""
    spool = folder / "data" / "spool"
    return sorted(path.name for path in spool.iterdir()) if spool.exists() else []


def start(program: str, environ: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    """Start a program, the first of a session of its own."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
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


def wait_until(there: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for what another process does."""
    pause, deadline = threading.Event(), time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        pause.wait(0.02)
