"""Every way in which a process ends: it ends as the bare one does, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from remit.collector import create_token, open_store
from tests.busy import taken
from tests.collecting import World, on_a_port
from tests.delivering import hang
from tests.loopback import serving
from tests.processes import (
    BARE,
    DECLARED,
    GRACE_S,
    SHORT_EXIT_S,
    errors_of,
    inherit,
    left_in,
    once,
    output_of,
    runs_in,
    settings,
    start,
    steps_in,
)
from tests.served import collector

pytestmark = [
    pytest.mark.python,
    pytest.mark.skipif(
        not hasattr(signal, "SIGKILL"), reason="only on Linux or macOS: needs its signals"
    ),
]

SPANS = 200
STOP_S = float(os.environ.get("REMIT_TEST_STOP_S", "1.5"))
"""How long a program is stopped; a minute on a long night."""
REQUEST_TIMEOUT_S = 1.0

ENDING = """
import atexit, signal

# The last thing at the exit, as it was registered first.
atexit.register(lambda: print(time.monotonic() - began_at))

def begin() -> None:
    global began_at
    began_at = time.monotonic()

ending = sys.argv[1]
if ending == "SIGTERM with a handler":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
handlers = {each: signal.getsignal(each) for each in signal.valid_signals()}

@remit.agent("Worker")
def agent() -> None:
    for number in range(SPANS):
        step(number)

agent()
atexit.register(begin)
with agent.run():
    step(SPANS)
    now = {each: signal.getsignal(each) for each in signal.valid_signals()}
    assert now == handlers, "a signal's handler was changed"
    if ending in ABRUPT:
        wait_until_written()
    if ending == "sys.exit":
        sys.exit(7)
    if ending == "sys.exit in a thread":
        thread = threading.Thread(target=lambda: sys.exit(3))
        thread.start()
        thread.join()
    if ending == "exception":
        raise KeyError("the program's own")
    if ending == "os._exit":
        os._exit(4)
    if ending.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, ending.partition(" ")[0]))
        time.sleep(10)
"""

ORDERLY = {
    "end of main": 0,
    "sys.exit": 7,
    "sys.exit in a thread": 0,
    "exception": 1,
    "SIGINT": -signal.SIGINT,
    "SIGTERM with a handler": 5,
}
"""Python does at these ends what is to be done at an exit."""
ABRUPT = {"os._exit": 4, "SIGTERM": -signal.SIGTERM, "SIGKILL": -9}
"""Nobody does anything at these: what was written is delivered by an heir."""

STOPPED = """
@remit.agent("Worker")
def agent() -> None:
    for number in range(SPANS):
        step(number)
    remit.flush(2)
    for number in range(SPANS, 2 * SPANS):
        step(number)

agent()
delivered = remit.flush(20)
while remit.status().health != "ok":
    time.sleep(0.01)
raise SystemExit(0 if delivered else 1)
"""

LEAVING = """
import atexit

@remit.agent("Worker")
def agent() -> None:
    step(0)

agent()
atexit.register(lambda: print("leaving", flush=True))
sys.exit(7)
"""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Its exit code, or the signal below zero.
        errors: What it wrote on stderr, without the numbers of lines.
        exit_s: How long its exit took, in seconds; none if Python had no part in it.
    """

    code: int
    errors: list[str]
    exit_s: list[float]


def ended(declared: str, ending: str, environ: dict[str, str]) -> Ended:
    """Run a program to its end."""
    body = ENDING.replace("SPANS", str(SPANS)).replace("ABRUPT", repr(set(ABRUPT)))
    program = start(declared + body, environ, ending)
    told, errors = output_of(program)
    lines = re.sub(r"line \d+", "line", errors).splitlines()
    return Ended(program.returncode, lines, [float(each) for each in told.split()])


@pytest.mark.parametrize("ending", [*ORDERLY, *ABRUPT])
def test_a_program_ends_as_the_bare_one_and_all_of_it_is_delivered(
    tmp_path: Path, ending: str
) -> None:
    """By itself, or by an heir where it had no time: exit code, stderr and handlers are its own."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        bare = ended(BARE, ending, environ)
        ours = ended(DECLARED, ending, environ)
        assert (left_in(tmp_path) == []) == (ending in ORDERLY)
        inherit(environ)
    assert ours.code == bare.code == {**ORDERLY, **ABRUPT}[ending]
    assert ours.errors == bare.errors
    assert len(ours.exit_s) == len(bare.exit_s) == (ending in ORDERLY)
    assert steps_in(tmp_path) == once(range(SPANS + 1))
    first, second = runs_in(tmp_path)
    assert (first, second != "active") == ("complete", True)
    assert left_in(tmp_path) == []


@pytest.mark.smoke
@pytest.mark.parametrize("ending", ORDERLY)
def test_a_server_that_never_answers_holds_no_exit(tmp_path: Path, ending: str) -> None:
    """The end takes no longer than its deadline, and one line says where things wait."""
    with serving(hang) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=SHORT_EXIT_S)
        bare = ended(BARE, ending, environ)
        with taken() as busy:
            ours = ended(DECLARED, ending, environ)
    assert ours.code == bare.code == ORDERLY[ending]
    assert len(ours.exit_s) == 1
    assert ours.exit_s[0] <= SHORT_EXIT_S + GRACE_S + busy.seconds
    assert ours.errors[: len(bare.errors)] == bare.errors
    (line,) = ours.errors[len(bare.errors) :]
    assert f"kept in {tmp_path / 'data' / 'spool'}" in line
    assert "remit spool send" in line
    assert left_in(tmp_path) != []


def test_ctrl_c_ends_the_wait_for_a_server_at_the_exit(tmp_path: Path) -> None:
    """The program had ended: its exit code stays, one line says where things wait."""
    with serving(hang) as url:
        program = start(DECLARED + LEAVING, settings(tmp_path, url, "t", exit_timeout_s=60))
        assert program.stdout is not None
        assert program.stdout.readline() == "leaving\n"
        # For the flush to be under way: it is what waits.
        threading.Event().wait(0.3)
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        _, errors = output_of(program)
        took_s = time.monotonic() - began
    assert program.returncode == 7
    (line,) = errors.splitlines()
    assert "they are kept in" in line
    assert took_s < 20
    assert left_in(tmp_path) != []


class Gate:
    """An app that has bulk requests wait until it is told to answer them.

    Attributes:
        reached: Released by each that waits.
        open: To be set.
        forgets: Whether the first one is never answered.
    """

    forgets = False

    def __init__(self, app: ASGIApp) -> None:
        """Stand before *app*."""
        self.reached = threading.Semaphore(0)
        self.open = threading.Event()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["path"].endswith("/bulk"):
            forgotten, self.forgets = self.forgets, False
            self.reached.release()
            await asyncio.to_thread(self.open.wait, STOP_S + 60)
            if forgotten:
                return
        await self._app(scope, receive, send)


@contextmanager
def gated(folder: Path) -> Generator[tuple[Gate, dict[str, str]]]:
    """Serve a collector behind a gate; yield it and the environment of its programs."""
    store = open_store(folder / "remit.db")
    world = World(store)
    gate = Gate(world.app)
    token = create_token(store, "account", clock=world.clock).secret
    with on_a_port(gate) as url:
        yield gate, settings(folder, url, token)
        gate.open.set()
    store.close()


def stop(program: subprocess.Popen[str]) -> None:
    """Stop a program, and see that it is."""
    program.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(program.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


@pytest.mark.timeout(120 + STOP_S)
@pytest.mark.parametrize("answered", ["while it is stopped", "twice", "the second time"])
def test_a_program_that_is_stopped_in_a_flush_goes_on_where_it_was(
    tmp_path: Path, answered: str
) -> None:
    """Its deadlines passed meanwhile: nothing is lost, and what was asked twice is taken once."""
    with gated(tmp_path) as (gate, environ):
        environ["REMIT_REQUEST_TIMEOUT_S"] = str(REQUEST_TIMEOUT_S)
        gate.forgets = answered == "the second time"
        program = start(DECLARED + STOPPED.replace("SPANS", str(SPANS)), environ)
        assert gate.reached.acquire(timeout=30)
        stop(program)
        in_time = answered == "while it is stopped"
        if in_time:
            gate.open.set()
        threading.Event().wait(STOP_S)
        program.send_signal(signal.SIGCONT)
        assert in_time or gate.reached.acquire(timeout=30)
        gate.open.set()
        errors = errors_of(program)
    assert steps_in(tmp_path) == once(range(2 * SPANS))
    assert Counter(runs_in(tmp_path)) == {"complete": 1}
    assert left_in(tmp_path) == []
    lines = errors.splitlines()
    # An answer that is there already is read, unless the machine is too slow for that.
    assert len(lines) <= 1 if in_time else len(lines) == 1, errors
    assert all(line.startswith("nothing can be delivered to") for line in lines)
