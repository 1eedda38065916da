"""What a daemon thread has still open when its process ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes import DECLARED, left_in, runs_in, settings, start, told_by
from tests.served import collector

DAEMON = f"""
{DECLARED}
began = threading.Event()

@remit.span_type("endless")
def endless() -> None:
    began.set()
    threading.Event().wait()

@remit.agent("Parent")
def agent() -> None:
    threading.Thread(target=remit.copy_context(endless), daemon=True).start()
    began.wait()
    step(1)

agent()
if sys.argv[1] == "shutdown":
    remit.shutdown(20)
"""


def spans_in(folder: Path) -> dict[str, str]:
    """Return the statuses of the spans at the server, by their types."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return dict(store.execute("SELECT schema_name, status FROM agent_spans"))


@pytest.mark.parametrize("ending", ["end of main", "shutdown"])
def test_a_span_that_is_open_at_the_exit_is_ended_there(tmp_path: Path, ending: str) -> None:
    """As the next process would, which has nothing to do then; a shutdown before is no exit."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        assert told_by(start(DAEMON, environ, ending)) == ("", "")
    is_exit = ending == "end of main"
    assert spans_in(tmp_path)["endless"] == ("failed" if is_exit else "active")
    assert spans_in(tmp_path)["step"] == "complete"
    assert runs_in(tmp_path) == ["complete" if is_exit else "active"]
    assert (left_in(tmp_path) == []) is is_exit
