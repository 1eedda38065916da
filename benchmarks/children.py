"""Processes that the benchmarks start: they inherit no settings, and end with who started them.

A benchmark that is stopped by Ctrl-C or SIGTERM ends what it has started; of one that is killed
with SIGKILL the kernel tells them, on Linux. Nothing runs in a measured process for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
SETTINGS: Final = (
    "REMIT_",
    "PREFACTOR_",
    "OTEL_",
    "DD_",
    "SENTRY_",
    "LANGFUSE_",
    "LOGFIRE_",
    "PYDANTIC_",
    "PYTHON",
    "COVERAGE_",
)
"""How variables begin that change what a process does: a shell's say nothing to a benchmark."""
# Logfire is a plugin of pydantic, so it would load wherever a model is made.
WITHOUT_PLUGIN: Final = {"PYDANTIC_DISABLE_PLUGINS": "logfire-plugin"}


def environment() -> dict[str, str]:
    """Return the environment of a process: of all settings, only that Logfire is no plugin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {**kept, **WITHOUT_PLUGIN}


if sys.platform == "linux":
    import fcntl

    def _end_with(pipe: int, pid: int) -> None:
        """Have a process ended when the last who could write to *pipe* is gone.

        A pipe sends SIGIO to its owner then, which ends whoever does not expect it.
        """
        fcntl.fcntl(pipe, fcntl.F_SETOWN, pid)
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)

else:

    def _end_with(pipe: int, pid: int) -> None:
        """Do nothing: other systems signal no end of a pipe."""


@contextmanager
def started(
    command: Sequence[str], environ: dict[str, str], **streams: Any
) -> Generator[subprocess.Popen[str]]:
    """Start a process; it is killed at the end of the block, and when this process ends.

    Args:
        command: The process.
        environ: Its environment.
        streams: Its standard streams, as `subprocess.Popen` takes them.

    Yields:
        The process.
    """
    watched, held = os.pipe()
    try:
        with subprocess.Popen(
            command, cwd=ROOT, env=environ, text=True, pass_fds=[watched], **streams
        ) as process:
            try:
                _end_with(watched, process.pid)
                yield process
            finally:
                process.kill()
    finally:
        os.close(watched)
        os.close(held)


def run(
    command: Sequence[str], environ: dict[str, str], patience_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, and return what it printed.

    Raises:
        subprocess.TimeoutExpired: It took too long, and was killed.
    """
    with started(command, environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, said = process.communicate(timeout=patience_s)
    return subprocess.CompletedProcess(command, process.returncode, out, said)
