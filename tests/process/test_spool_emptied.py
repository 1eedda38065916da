"""What was delivered does not stay in the spool's folder: no page of a file, no log beside it."""

from __future__ import annotations

import signal
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.processes import END_S, left_in, settings, start, wait_until
from tests.served import collector

WORD: Final = "qx7vumbrella"
PROGRAM: Final = """
import sys
import remit

@remit.span_type("step")
def step(text: str) -> str:
    return text

@remit.agent("Worker")
def agent(text: str) -> str:
    return step(text)

word, runs = sys.argv[1:]
if runs == "open":
    run = agent.run()
    run.__enter__()
for number in range(300):
    agent(f"{word} {number} " * (1 + number * 37 % 400))
print(remit.flush(60).pending, flush=True)
sys.stdin.read()
"""


def content(folder: Path) -> bytes:
    """Return the bytes of all files of the spool."""
    spool, found = folder / "data" / "spool", b""
    for name in left_in(folder):
        with suppress(FileNotFoundError):  # the program has deleted it by then
            found += (spool / name).read_bytes()
    return found


@pytest.mark.parametrize("mode", ["local", "remote"])
@pytest.mark.parametrize("runs", ["ended", pytest.param("open", marks=pytest.mark.smoke)])
def test_what_was_delivered_leaves_the_spool_while_the_program_goes_on(
    tmp_path: Path, mode: str, runs: str
) -> None:
    """A run that stays open keeps a file, with its record only, also when the program is ended."""
    with ExitStack() as stack:
        environ = settings(tmp_path, "", "")
        if mode == "remote":
            served = stack.enter_context(collector(tmp_path))
            environ = settings(tmp_path, served.url, served.token)
        program = stack.enter_context(start(PROGRAM, environ, WORD, runs))
        stack.callback(program.kill)
        assert program.stdout is not None
        assert program.stdout.readline() == "0\n"
        wait_until(lambda: WORD.encode() not in content(tmp_path))
        assert program.poll() is None
        assert any(name.endswith(".db") for name in left_in(tmp_path))
        program.send_signal(signal.SIGTERM)
        assert program.wait(END_S) == -signal.SIGTERM
        assert WORD.encode() not in content(tmp_path)
