"""What is recorded after remit's own exit, by what else runs when the program ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import (
    DECLARED,
    errors_of,
    inherit,
    left_in,
    once,
    runs_in,
    settings,
    start,
    steps_in,
    told_by,
)
from tests.served import collector

pytestmark = pytest.mark.python
LATE = f"""
import atexit

def last():
    with remit_late():
        for number in range(10, 20):
            step(number)

def remit_late():
    return agent.run()

atexit.register(last)
{DECLARED}

@remit.agent("Late")
def agent() -> None:
    for number in range(10):
        step(number)

agent()
if len(sys.argv) > 1:
    remit.flush(20)
    import shutil
    from pathlib import Path
    folder = Path(os.environ["REMIT_DATA_DIR"]) / "spool"
    atexit.unregister(last)
    def fill():
        shutil.rmtree(folder)
        folder.write_text("in the way")
        last()
        print(dict(remit.status().dropped))
    from remit._runtime import _process
    atexit.unregister(_process._at_exit)
    atexit.register(fill)
    atexit.register(_process._at_exit)
"""

FIRST = f"""
import atexit

{DECLARED}

@remit.agent("Late")
def agent() -> None:
    for number in range(10):
        step(number)

def last():
    agent()
    status = remit.status()
    print(dict(status.faults), status.spooled)

atexit.register(last)
"""


def test_what_an_exit_handler_of_before_records_is_sent_by_the_next_process(tmp_path: Path) -> None:
    """It runs after remit's: its run is on disk, whole, and one line says so."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        (line,) = errors_of(start(LATE, environ)).splitlines()
        assert "after remit's own exit" in line
        assert str(tmp_path / "data" / "spool") in line
        inherit(environ)
    assert steps_in(tmp_path) == once(range(20))
    assert runs_in(tmp_path) == ["complete"] * 2
    assert left_in(tmp_path) == []


def test_what_is_recorded_first_at_the_exit_is_sent_by_the_next_process(tmp_path: Path) -> None:
    """No exit handler of remit's will be called, and no thread may be started."""
    with collector(tmp_path) as served:
        # Else what pydantic finds of others is imported with it, which fails then.
        plain = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
        environ = {**settings(tmp_path, served.url, served.token), **plain}
        told, errors = told_by(start(FIRST, environ))
        assert told == "{} 15\n"
        (line,) = errors.splitlines()
        assert str(tmp_path / "data" / "spool") in line
        inherit(environ)
    assert steps_in(tmp_path) == once(range(10))
    assert runs_in(tmp_path) == ["complete"]
    assert left_in(tmp_path) == []


def test_what_cannot_be_kept_any_more_is_counted(tmp_path: Path) -> None:
    """One line says that it is lost."""
    with collector(tmp_path) as served:
        program = start(LATE, settings(tmp_path, served.url, served.token), "lost")
        told, errors = told_by(program)
        (line,) = errors.splitlines()
        assert "is lost" in line
        assert told.strip() == "{'after_shutdown': 14}"
