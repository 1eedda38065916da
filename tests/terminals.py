"""Commands on a terminal: what they write there."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

from remit.cli import main

ROOT = Path(__file__).parents[1]


def load_termios() -> None:
    """Load the modules that click imports beside its pager, which uses neither.

    Python was built for another C library on some machines that run the tests, and loads none.
    """
    try:
        import_module("tty")
    except ImportError:
        sys.modules["termios"] = sys.modules["tty"] = ModuleType("tty")


def on_a_terminal(*words: str, **env: str) -> str:
    """Return what a command of remit writes to a terminal of a hundred columns, without colours."""
    outside, inside = os.openpty()
    place = {"COLUMNS": "100", "LINES": "24", "NO_COLOR": "1", "TERM": "dumb", "PAGER": "cat"}
    command = [sys.executable, "-m", "tests.terminals", *words]
    variables = {**os.environ, **place, **env}
    with subprocess.Popen(
        command, stdin=inside, stdout=inside, stderr=inside, env=variables, cwd=ROOT
    ) as running:
        os.close(inside)
        written = b""
        with suppress(OSError):  # the terminal is closed
            while part := os.read(outside, 4096):
                written += part
    os.close(outside)
    assert running.returncode == 0, written
    return written.decode().replace("\r\n", "\n")


if __name__ == "__main__":
    load_termios()
    main(prog_name="remit")
