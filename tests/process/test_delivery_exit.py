"""The end of a real process: what was recorded is delivered, or the exit keeps its deadline."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.architecture.sources import ROOT
from tests.busy import taken
from tests.fake_api import FakeApi
from tests.loopback import Behaviour, serving, unused_port

EXIT_TIMEOUT_S = 1.0
GRACE_S = 0.5

PROGRAM = """
import atexit, sys, threading, time
from remit._clock import Deadline, SystemClock
from tests.delivering import delivery
from tests.recording import HandRun

url, ending = sys.argv[1:]
made = delivery(url=url, flush_interval_s=60, request_timeout_s=30)

def at_exit():
    began = time.perf_counter()
    result = made.shutdown(Deadline.after(1.0, SystemClock()))
    print(f"{result.sent} {result.pending} {time.perf_counter() - began:.3f}", flush=True)

atexit.register(at_exit)
run = HandRun(made.sink).open()
for _ in range(500):
    run.span()
run.close()
if ending == "exception":
    raise KeyError("the program's own")
if ending == "exit in a thread":
    thread = threading.Thread(target=lambda: sys.exit(3))
    thread.start()
    thread.join()
if ending == "exit code":
    sys.exit(7)
if ending == "no thread":
    def refuse(thread):
        raise RuntimeError("can't start new thread")
    made.after_fork_in_child()
    threading.Thread.start = refuse
    run = HandRun(made.sink).open()
    for _ in range(500):
        run.span()
    run.close()
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code.
        sent: What its shutdown says was sent.
        pending: What its shutdown says was not.
        shutdown_s: How long its shutdown took, in seconds.
        errors: What it wrote on stderr.
    """

    code: int
    sent: int
    pending: int
    shutdown_s: float
    errors: str


def run_program(url: str, ending: str) -> Ended:
    """Run the program to its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, ending],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    sent, pending, shutdown_s = done.stdout.split()
    return Ended(done.returncode, int(sent), int(pending), float(shutdown_s), done.stderr)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("end of main", 0),
        ("exception", 1),
        ("exit in a thread", 0),
        ("exit code", 7),
        ("no thread", 0),
    ],
    ids=["end of main", "exception", "exit in a thread", "exit code", "no thread"],
)
def test_what_was_recorded_is_delivered_before_the_process_ends(ending: str, code: int) -> None:
    """Every span arrives once, the exit code stays, nothing is written to stderr."""
    api = FakeApi()
    with serving(api.behave) as url:
        ended = run_program(url, ending)
    assert (ended.code, ended.sent, ended.pending) == (code, 504, 0)
    assert len(api.spans) == 501
    assert "remit" not in ended.errors
    if ending != "exception":
        assert ended.errors == ""


@contextmanager
def refusing(_: Behaviour) -> Generator[str]:
    """Yield the URL of a port on which nothing listens."""
    yield f"http://127.0.0.1:{unused_port()}"


def hang(_: object, over: threading.Event) -> None:
    """Accept, and never answer."""
    over.wait(60)


@pytest.mark.parametrize("server", [serving, refusing], ids=["never answers", "not there"])
@pytest.mark.parametrize("ending", ["end of main", "no thread"])
def test_a_server_that_is_of_no_use_does_not_hold_the_process(server: object, ending: str) -> None:
    """The exit takes at most its deadline and half a second, and one line says what is lost."""
    opened = refusing(hang) if server is refusing else serving(hang)
    with opened as url, taken() as busy:
        began = time.perf_counter()
        ended = run_program(url, ending)
        took_s = time.perf_counter() - began
    assert ended.code == 0
    assert (ended.sent, ended.pending) == (0, 504)
    assert ended.shutdown_s <= EXIT_TIMEOUT_S + GRACE_S + busy.seconds
    assert took_s < 30
    lost = [line for line in ended.errors.splitlines() if "504 recorded items" in line]
    assert len(lost) == 1
    assert "Traceback" not in ended.errors
