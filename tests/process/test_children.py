"""Children of a process that records: each delivers its own runs, once, before it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.untraced import UNTRACED

FORKING = """
import os, remit

@remit.agent
def agent(who: str) -> str:
    return who

agent("parent")
if os.fork() == 0:
    agent("child")
    raise SystemExit(0 if remit.flush(10) else 3)
_, status = os.wait()
assert status == 0, status
agent("parent")
"""

MULTIPROCESSING = """
import multiprocessing, remit

@remit.agent
def agent(who: str) -> str:
    return who

if __name__ == "__main__":
    agent("parent")
    context = multiprocessing.get_context({method!r})
    child = context.Process(target=agent, args=("child",))
    child.start()
    child.join()
    assert child.exitcode == 0, child.exitcode
    agent("parent")
"""


def recorded(folder: Path, program: str) -> list[str]:
    """Run *program*; return the statuses of the runs that it left in its own database."""
    script = folder / "program.py"
    script.write_text(program)
    environment = {
        **os.environ,
        **UNTRACED,
        "REMIT_MODE": "local",
        "REMIT_DATA_DIR": str(folder / "data"),
        # From Python 3.12 on it warns that a fork beside threads may hang; that is the point.
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
    }
    subprocess.run([sys.executable, script], env=environment, check=True, timeout=60)
    command = [sys.executable, "-m", "remit", "runs", "list", "--json"]
    shown = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    return [row["run"]["status"] for row in json.loads(shown.stdout)]


@pytest.mark.smoke
def test_a_forked_child_delivers_its_own_run(tmp_path: Path) -> None:
    """The child flushes by itself; the parent's runs are not sent a second time."""
    assert recorded(tmp_path, FORKING) == ["complete"] * 3


@pytest.mark.smoke
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_delivers_at_its_exit(tmp_path: Path, method: str) -> None:
    """Without a flush of its own, and although `atexit` never runs in some of them."""
    assert recorded(tmp_path, MULTIPROCESSING.format(method=method)) == ["complete"] * 3
