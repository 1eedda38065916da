"""What the benchmarks start: it ends when they do, however they do, and knows no settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import children
from benchmarks.measure import environment
from tests.architecture.sources import ROOT

PATIENCE_S = 40.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc"),
    pytest.mark.timeout(240),
]


def fields_of(pid: int) -> list[str]:
    """Return the state of a process, the number of its parent, and so on; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def programs_below(ancestor: int) -> dict[int, str]:
    """Return the commands of the processes below one, by their numbers."""
    found: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        above = pid
        while above > 1 and above != ancestor:
            above = int((fields_of(above) or ["", "0"])[1])
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if above == ancestor and pid != ancestor:
            found[pid] = " ".join(words[1:])
    return found


def is_connected(pid: int) -> bool:
    """Return whether a process has a socket: then its work has begun."""
    try:
        files = Path(f"/proc/{pid}/fd").iterdir()
        return any(str(path.readlink()).startswith("socket:") for path in files)
    except OSError:
        return False


def lives(pid: int) -> bool:
    """Return whether a process runs; what nobody has waited for yet does not."""
    return fields_of(pid)[:1] not in ([], ["Z"], ["X"])


def wait_for(fact: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    until_s = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < until_s, what
        threading.Event().wait(0.02)


SINK = ("growth", "remit", "benchmarks.sink", "benchmarks.inside")
COLLECTOR = ("collector", "sqlite", "benchmarks import collector", "serve(")


@pytest.mark.parametrize(
    ("what", "how"),
    [
        pytest.param(SINK, signal.SIGTERM, id="sink, SIGTERM"),
        pytest.param(SINK, signal.SIGINT, id="sink, SIGINT"),
        pytest.param(SINK, signal.SIGKILL, id="sink, SIGKILL"),
        pytest.param(COLLECTOR, signal.SIGTERM, id="collector, SIGTERM"),
        pytest.param(COLLECTOR, signal.SIGKILL, id="collector, SIGKILL"),
    ],
)
def test_what_was_started_ends_with_the_benchmarks(
    what: tuple[str, ...], how: signal.Signals, tmp_path: Path
) -> None:
    """Also what a measured process has started itself, and also by a signal nobody can catch."""
    table, peer, *parts = what
    command = [sys.executable, "-m", "benchmarks", table, "--peers", peer, "--build", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, env=children.environment(), stderr=subprocess.DEVNULL
    ) as benchmarks:
        seen: dict[int, str] = {}

        def all_run() -> bool:
            assert benchmarks.poll() is None, "it has ended before all of it was there"
            seen.clear()
            seen.update(programs_below(benchmarks.pid))
            at_work = [program for pid, program in seen.items() if is_connected(pid)]
            return all(any(part in program for program in at_work) for part in parts)

        try:
            wait_for(all_run, f"{parts} did not start")
            benchmarks.send_signal(how)
            wait_for(lambda: benchmarks.poll() is not None, "the benchmarks go on")
            wait_for(lambda: not any(map(lives, seen)), f"left behind, of {seen}")
        finally:
            benchmarks.kill()
            for pid in filter(lives, seen):
                os.kill(pid, signal.SIGKILL)
    assert benchmarks.returncode != 0


def test_no_setting_of_the_shell_reaches_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither remit's, nor a peer's, nor the interpreter's; what is none, as a path, does."""
    settings = [
        *(f"PYTHON{each}" for each in ("PATH", "DEVMODE", "HASHSEED", "DONTWRITEBYTECODE")),
        *("COVERAGE_PROCESS_CONFIG", "PYDANTIC_DISABLE_PLUGINS", "REMIT_API_URL", "DD_ENV"),
    ]
    for name in (*settings, "OF_NO_MATTER"):
        monkeypatch.setenv(name, "the shell's")
    script = (
        'import os; print(*(name for name in os.environ if os.environ[name] == "the shell\'s"))'
    )
    for environ in (children.environment(), environment("remit"), environment("logfire")):
        assert children.run([sys.executable, "-c", script], environ).stdout == "OF_NO_MATTER\n"
