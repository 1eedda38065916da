"""The first use of remit in a process, which imports what records and delivers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.processes import DECLARED, once, settings, start, steps_in, told_by
from tests.served import collector

FIRST_USE = """
importing = threading.Event()

class Slow:
    def find_spec(name, path=None, target=None):
        if name == "remit._delivery":
            importing.set()
            time.sleep(0.5)

sys.meta_path.insert(0, Slow)

def use() -> None:
    with agent.run():
        step(0)

@remit.agent("Worker")
def agent() -> None:
    step(1)

first = threading.Thread(target=use)
first.start()
importing.wait(10)
pid = os.fork()
if pid == 0:
    agent()
    os._exit(0 if remit.flush(10) else 1)
_, status = os.waitpid(pid, 0)
first.join()
print(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux or macOS: needs os.fork")
def test_a_fork_does_not_come_while_remit_is_first_used(tmp_path: Path) -> None:
    """Then remit imports what it needs to record: the child would wait for it for ever."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        program = start(DECLARED + FIRST_USE, environ)
        assert told_by(program) == ("0\n", "")
    assert steps_in(tmp_path) == once(range(2))
