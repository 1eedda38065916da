"""What is recorded after remit's own exit, by what else runs when the program ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import DECLARED, inherit, runs_in, settings, start, steps_in, told_by
from tests.served import collector

pytestmark = pytest.mark.python

LATE = """
import atexit

def last():
    agent(10)
    status = remit.status()
    print(dict(status.faults), status.dropped)

atexit.register(last)
"""

RECORDING = """
@remit.agent("Late")
def agent(first: int) -> None:
    for number in range(first, first + 10):
        step(number)

if len(sys.argv) > 1:
    agent(0)
"""


@pytest.mark.parametrize("used", [True, False], ids=["in use before", "first use"])
def test_what_an_exit_handler_of_before_records_is_counted(tmp_path: Path, *, used: bool) -> None:
    """It runs after remit's own, when no thread may start: it is not hurt, and one line says so."""
    with collector(tmp_path) as served:
        # Else what pydantic finds of others is imported with it, which fails then.
        plain = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
        environ = settings(tmp_path, served.url, served.token) | plain
        told, errors = told_by(start(LATE + DECLARED + RECORDING, environ, *["used"] * used))
        # A run, its root span, the agent's, those of ten steps, and the ends of run and root span.
        assert told == "{} {'after_shutdown': 15}\n"
        assert len(errors.splitlines()) == 1
        inherit(environ)
    assert steps_in(tmp_path).total() == 10 * used
    assert set(steps_in(tmp_path).values()) <= {1}
    assert set(runs_in(tmp_path)) <= {"complete"}
