"""A copy of the database is restored while a program goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.processes import DECLARED, settings, start, told_by
from tests.served import environment
from tests.serving import REMIT, serving, token_of

GOES_ON = """
@remit.agent("Desk")
def desk() -> None:
    number = 0
    for line in sys.stdin:
        step(number)
        number += 1
        assert remit.flush(60)
        print("recorded", flush=True)

desk()
assert remit.flush(60)
"""


@pytest.mark.smoke
def test_a_run_says_what_a_restored_copy_has_not(tmp_path: Path) -> None:
    """Of six steps, two were recorded between the copy and its restore."""
    database, copy = tmp_path / "remit.db", tmp_path / "copy.db"
    token = token_of(database)
    with serving(database) as collector:
        program = start(DECLARED + GOES_ON, settings(tmp_path, collector.url, token))
        assert program.stdin is not None
        assert program.stdout is not None

        def record(steps: int) -> None:
            for _ in range(steps):
                print("go on", file=program.stdin, flush=True)
                assert program.stdout is not None
                assert program.stdout.readline() == "recorded\n"

        record(2)
        remit("db", "backup", str(copy), "--db", str(database), folder=tmp_path)
        record(2)
        collector.end()
        for path in tmp_path.glob("remit.db*"):
            path.unlink()
        copy.rename(database)
        collector.start()
        record(2)
        told_by(program)

        shown = remit("runs", "show", "--db", str(database), folder=tmp_path)
        listed = remit("runs", "list", "--db", str(database), folder=tmp_path)

    assert "5 of 7 steps received" in shown
    assert "5 of 7" in listed


def remit(*arguments: str, folder: Path) -> str:
    """Return what a command prints."""
    return subprocess.run(
        [*REMIT, *arguments], env=environment(folder), check=True, capture_output=True, text=True
    ).stdout
