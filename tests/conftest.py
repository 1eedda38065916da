"""What the tests of all levels share."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from remit.testing import RecordingSink, isolated
from tests.inside import Faults, counting
from tests.running_threads import threads_before

PYTHON = os.fsencode(sys.executable) + b"\0"


@pytest.fixture(autouse=True)
def _own_faults() -> Iterator[None]:
    """Count the faults of each test apart; outside `isolated()` they are contained."""
    with counting(Faults()):
        yield


@pytest.fixture(autouse=True)
def _own_threads() -> None:
    """Leave threads of earlier tests out of `delivering.threads()`: a request may end late."""
    threads_before.clear()
    threads_before.update(threading.enumerate())


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    """Kill what a test has started and left, as one that fails does."""
    before = set(programs())
    yield
    for pid in set(programs()) - before:
        with suppress(ProcessLookupError, ChildProcessError):
            (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def programs() -> Iterator[int]:
    """Yield the programs in Python that this process has started, where there is `/proc`."""
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):
            for pid in map(int, children.read_text().split()):
                # What multiprocessing has of its own goes on for other tests.
                command = command_of(pid)
                if command.startswith(PYTHON) and b"multiprocessing" not in command:
                    yield pid


def command_of(pid: int) -> bytes:
    """Return the command line of a process; empty if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        # The command line is empty while a process starts a program, and after its end.
        while not (command := Path(f"/proc/{pid}/cmdline").read_bytes()):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                break
        return command
    return b""


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record into memory; a fault inside remit raises."""
    with isolated() as sink:
        yield sink
