"""Processes that the benchmarks start: none of them inherits a setting of the shell."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
SINK: Final = "benchmarks.sink"
PATIENCE_S: Final = 180.0
"""After which a measurement is given up."""
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
"""Prefixes of the variables that change what a process does."""


class ChildError(Exception):
    """A process failed; the message is the last line that it wrote."""


def environment(peer: str = "") -> dict[str, str]:
    """Return the environment of a process that measures *peer*.

    Logfire is a plugin of pydantic, so every process that makes a model would load it.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return kept if peer == "logfire" else {**kept, "PYDANTIC_DISABLE_PLUGINS": "logfire-plugin"}


@contextmanager
def started(
    command: Sequence[str], environ: dict[str, str], **streams: Any
) -> Generator[subprocess.Popen[str]]:
    """Start a process, and kill it at the end of the block.

    Args:
        command: The process.
        environ: Its environment.
        streams: Its standard streams, as `subprocess.Popen` takes them.

    Yields:
        The process.
    """
    with subprocess.Popen(command, cwd=ROOT, env=environ, text=True, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def run(
    command: Sequence[str], environ: dict[str, str], patience_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, and return what it printed.

    Raises:
        subprocess.TimeoutExpired: It took too long, and was killed.
    """
    return subprocess.run(
        command, cwd=ROOT, env=environ, text=True, capture_output=True, timeout=patience_s,
        check=False,
    )  # fmt: skip


def figures(output: str, errors: str) -> dict[str, Any]:
    """Return the JSON object that a process printed last.

    Raises:
        ChildError: It printed none.
    """
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            printed: dict[str, Any] = json.loads(line)
            return printed
    raise ChildError((errors.strip().splitlines() or ["the process printed nothing"])[-1][:200])
