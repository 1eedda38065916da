"""Every way in which a process ends: it ends as the bare one does, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from remit.collector import create_token, open_store
from tests.collecting import World, on_a_port
from tests.delivering import hang
from tests.loopback import serving
from tests.processes import (
    BARE,
    DECLARED,
    NEVER_S,
    WARM,
    WRITING_EXIT_S,
    Ended,
    errors_of,
    forked,
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

SPANS = 50
STOP_S = float(os.environ.get("REMIT_TEST_STOP_S", "6"))
"""How long a program is stopped; a minute on a long night."""
REQUEST_TIMEOUT_S = 5.0
"""Shorter than `STOP_S`, and longer than a busy machine pauses."""

TIMED = """
import atexit, time

# The last thing at the exit, as it was registered first.
atexit.register(lambda: print("exit"))
"""

ENDING = """
import signal

def refuse(thread):
    raise RuntimeError("can't start new thread")

ending, first = sys.argv[1], int(sys.argv[2])
if ending == "no thread":
    threading.Thread.start = refuse
if ending == "SIGTERM with a handler":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
handlers = {each: signal.getsignal(each) for each in signal.valid_signals()}

@remit.agent("Worker")
def agent() -> None:
    for number in range(first, first + SPANS):
        step(number)

agent()
if "REMIT_REQUEST_TIMEOUT_S" in os.environ and ending != "no thread":
    # The server never answers: only the last run is to be written at the exit.
    wait_until_written()
with agent.run():
    step(first + SPANS)
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
    "no thread": 0,
    "sys.exit": 7,
    "sys.exit in a thread": 0,
    "exception": 1,
    "SIGINT": -signal.SIGINT,
    "SIGTERM with a handler": 5,
}
"""Python does at these ends what is to be done at an exit."""
ABRUPT = {"os._exit": 4, "SIGTERM": -signal.SIGTERM, "SIGKILL": -9}
"""Nobody does anything at these: what was written is delivered by an heir."""
ENDINGS = ORDERLY | ABRUPT

STOPPED = """
@remit.agent("Worker")
def agent() -> None:
    for number in range(SPANS):
        step(number)
    remit.flush(2)
    for number in range(SPANS, 2 * SPANS):
        step(number)

agent()
delivered = remit.flush(60)
while remit.status().health != "ok":
    time.sleep(0.01)
raise SystemExit(0 if delivered else 1)
"""

LEAVING = """
@remit.agent("Worker")
def agent() -> None:
    step(0)

agent()
sys.exit(7)
"""

HANGS_S = 600
HANGING = f"""
import socket, time

socket.getaddrinfo = lambda *_, **__: time.sleep({HANGS_S})
"""


def ended(declared: str, environs: dict[str, dict[str, str]]) -> dict[str, Ended]:
    """Run a program to each of its ends; return how it ended, with no numbers of lines."""
    body = ENDING.replace("SPANS", str(SPANS)).replace("ABRUPT", repr(set(ABRUPT)))
    firsts = range(0, 1000 * len(environs), 1000)
    cases = {
        ending: (environ, [ending, str(first)])
        for first, (ending, environ) in zip(firsts, environs.items(), strict=True)
    }
    return {
        ending: Ended(each.code, each.out, re.sub(r"line \d+", "line", each.errors))
        for ending, each in forked(TIMED + declared, body, cases).items()
    }


@pytest.mark.smoke
def test_a_program_ends_as_the_bare_one_and_all_of_it_is_delivered(tmp_path: Path) -> None:
    """Exit code, stderr and handlers are the program's; a later process may deliver the rest."""
    with collector(tmp_path) as served:
        orderly = settings(tmp_path / "orderly", served.url, served.token)
        abrupt = settings(tmp_path / "abrupt", served.url, served.token)
        environs = dict.fromkeys(ORDERLY, orderly) | dict.fromkeys(ABRUPT, abrupt)
        bare = ended(BARE, environs)
        ours = ended(DECLARED + WARM, environs)
        assert left_in(tmp_path / "orderly") == [] != left_in(tmp_path / "abrupt")
        inherit(abrupt)
    assert {ending: each.code for ending, each in ours.items()} == ENDINGS
    for ending in ENDINGS:
        assert (ours[ending].code, ours[ending].errors) == (bare[ending].code, bare[ending].errors)
        lines = (ending in ORDERLY, ending in ORDERLY)
        assert (ours[ending].out.count("\n"), bare[ending].out.count("\n")) == lines, ending
    assert left_in(tmp_path / "abrupt") == []
    firsts = range(0, 1000 * len(ENDINGS), 1000)
    assert steps_in(tmp_path) == once(*(range(first, first + SPANS + 1) for first in firsts))
    runs = Counter(runs_in(tmp_path))
    assert runs.total() == 2 * len(ENDINGS)
    assert (runs["active"], runs["complete"] >= len(ENDINGS)) == (0, True)


@pytest.mark.smoke
def test_a_server_that_never_answers_holds_no_exit(tmp_path: Path) -> None:
    """The end does not wait for it, and one line says where things wait."""
    with serving(hang) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=WRITING_EXIT_S)
        environ["REMIT_REQUEST_TIMEOUT_S"] = NEVER_S
        environs = dict.fromkeys(ORDERLY, environ)
        bare = ended(BARE, environs)
        ours = ended(DECLARED + WARM, environs)
    assert {ending: each.code for ending, each in ours.items()} == ORDERLY
    for ending in ORDERLY:
        assert ours[ending].errors.startswith(bare[ending].errors)
        (line,) = ours[ending].errors.removeprefix(bare[ending].errors).splitlines()
        assert f"kept in {tmp_path / 'data' / 'spool'}" in line
        assert "remit spool send" in line
    assert left_in(tmp_path) != []


def test_a_look_up_of_a_name_that_hangs_holds_no_exit(tmp_path: Path) -> None:
    """It holds the sender's thread, which is a daemon."""
    environ = settings(tmp_path, "https://api.example", "t", exit_timeout_s=WRITING_EXIT_S)
    program = start(HANGING + DECLARED + LEAVING, environ)
    _, errors = output_of(program)
    assert program.returncode == 7
    (line,) = errors.splitlines()
    assert "they are kept in" in line
    assert left_in(tmp_path) != []


def test_ctrl_c_ends_the_wait_for_a_server_at_the_exit(tmp_path: Path) -> None:
    """The program had ended: its exit code stays, one line says where things wait."""
    asked = threading.Event()

    def hold(_: socket.socket, over: threading.Event) -> None:
        asked.set()
        over.wait()

    with serving(hold) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=600)
        # Then it is the exit that sends the first request.
        environ["REMIT_FLUSH_INTERVAL_S"] = "60"
        program = start(DECLARED + LEAVING, environ)
        assert asked.wait(60)
        program.send_signal(signal.SIGINT)
        _, errors = output_of(program)
    assert program.returncode == 7
    (line,) = errors.splitlines()
    assert "they are kept in" in line
    assert left_in(tmp_path) != []


class Gate:
    """An app that holds bulk requests until a test opens it.

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
@pytest.mark.parametrize(
    "answered",
    [
        pytest.param("while it is stopped", marks=pytest.mark.full),
        "twice",
        pytest.param("the second time", marks=pytest.mark.full),
    ],
)
def test_a_program_that_is_stopped_in_a_flush_goes_on_where_it_was(
    tmp_path: Path, answered: str
) -> None:
    """Its deadlines passed meanwhile: nothing is lost, and what was asked twice is taken once."""
    with gated(tmp_path) as (gate, environ):
        environ["REMIT_REQUEST_TIMEOUT_S"] = str(REQUEST_TIMEOUT_S)
        gate.forgets = answered == "the second time"
        program = start(DECLARED + STOPPED.replace("SPANS", str(SPANS)), environ)
        assert gate.reached.acquire(timeout=60)
        stop(program)
        in_time = answered == "while it is stopped"
        if in_time:
            gate.open.set()
        threading.Event().wait(STOP_S)
        program.send_signal(signal.SIGCONT)
        assert in_time or gate.reached.acquire(timeout=60)
        gate.open.set()
        errors = errors_of(program)
    assert steps_in(tmp_path) == once(range(2 * SPANS))
    assert Counter(runs_in(tmp_path)) == {"complete": 1}
    assert left_in(tmp_path) == []
    lines = errors.splitlines()
    # An answer that is there already is read, unless the machine is too slow for that.
    assert len(lines) <= 1 if in_time else len(lines) == 1, errors
    assert all(line.startswith("nothing can be delivered to") for line in lines)


WORKER = """
@remit.agent
def agent(number):
    return step(number)

def work():
    threading.main_thread().join()
    for number in range(3):
        agent(number)

threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_one_is_recorded(tmp_path: Path) -> None:
    """Python waits for it before the exit handlers, which deliver what it recorded."""
    with collector(tmp_path) as served:
        program = start(DECLARED + WORKER, settings(tmp_path, served.url, served.token))
        assert output_of(program) == ("", "")
    assert steps_in(tmp_path) == once(range(3))
    assert runs_in(tmp_path) == ["complete"] * 3
