"""A program that an alarm interrupts at any point: its own exception passes, nothing is broken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.processes import errors_of, inherit, left_in, settings, start, steps_in
from tests.served import collector

ALARMED = """
import signal, sys, time
import remit

@remit.span_type("step")
def step(number: int) -> int:
    return number

@remit.agent("Alarmed")
def agent(first: int) -> None:
    for number in range(first, first + 50):
        step(number)

class Alarm(Exception):
    pass

alarms, over_s = 0, time.monotonic() + float(sys.argv[1])

def is_over():
    # On a busy machine an alarm is late.
    return time.monotonic() >= over_s and alarms > 100

def ring(*_):
    global alarms
    alarms += 1
    if not is_over():
        raise Alarm

def work():
    first = 0
    while not is_over():
        agent(first)
        first += 50

def steadily(act):
    # An alarm may go off in the handling of another: then the next one out goes on.
    def go_on():
        while not is_over():
            try:
                act()
            except Alarm:
                pass
    return go_on

for _ in range(8):
    work = steadily(work)
remit.configure()
agent(0)  # an alarm while a thread starts is too early for the thread
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.0011, 0.0011)
work()
signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""


pytestmark = pytest.mark.python


@pytest.mark.parametrize("seconds", [0.3, pytest.param(1.0, marks=pytest.mark.full)])
def test_a_program_that_is_always_interrupted_goes_on(tmp_path: Path, seconds: float) -> None:
    """Its exceptions are no faults of remit, and what was recorded is delivered."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token, exit_timeout_s=2.0)
        errors = errors_of(start(ALARMED, environ, seconds))
        assert "are lost with this process" not in errors
        assert not re.search(r"a fault inside remit at .*\(Alarm\)", errors)
        inherit(environ)
    assert len(steps_in(tmp_path)) > 50
    assert left_in(tmp_path) == []
