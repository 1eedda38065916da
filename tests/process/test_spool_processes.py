"""Real processes and one spool: they share the folder, end in every way, nothing is sent twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.delivering import hang
from tests.loopback import serving
from tests.served import collector, environment

PROCESSES = 8
RUNS = 5
FORKS = int(os.environ.get("REMIT_TEST_FORKS", "20"))
"""How many; 200 on a long night."""
EXIT_TIMEOUT_S = 1.0
GRACE_S = 0.5

RECORDING = """
import os, sys, time
import remit

@remit.span_type("step")
def step(number: int) -> int:
    return number

@remit.agent("Worker")
def agent(number: int) -> None:
    for each in range(10):
        step(number * 10 + each)

first, ending = int(sys.argv[1]), sys.argv[2]
for number in range(first, first + int(sys.argv[3])):
    agent(number)
if ending == "written":
    remit.flush(0.01)
    time.sleep(0.3)
if ending != "end of main":
    os._exit(0)
"""

FORKING = """
import os, threading
import remit

@remit.span_type("step")
def step(number: int) -> int:
    return number

@remit.agent("Worker")
def agent() -> None:
    over = threading.Event()

    def work(first: int) -> None:
        for number in range(first, first + 3000):
            step(number)
            if over.is_set():
                break

    threads = [
        threading.Thread(target=remit.copy_context(work), args=(each * 3000,)) for each in range(2)
    ]
    for each in threads:
        each.start()
    for child in range(FORKS):
        pid = os.fork()
        if pid == 0:
            step(100_000 + child)
            os._exit(0 if remit.flush(20) else 1)
        assert os.waitpid(pid, 0)[1] == 0, child
    for each in threads:
        each.join()

agent()
"""

HEIR = "import remit; remit.configure(); raise SystemExit(0 if remit.flush(60) else 3)"


def settings(folder: Path, url: str, token: str) -> dict[str, str]:
    """Return the environment of a program that keeps its spool in *folder*."""
    return {
        **environment(folder),
        "REMIT_API_URL": url,
        "REMIT_API_TOKEN": token,
        "REMIT_FLUSH_INTERVAL_S": "0.1",
        "REMIT_EXIT_TIMEOUT_S": str(EXIT_TIMEOUT_S),
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
    }


def steps_in(folder: Path) -> Counter[str]:
    """Count the steps at the server by their payload."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        found = store.execute("SELECT payload FROM agent_spans WHERE schema_name = 'step'")
        return Counter(payload for (payload,) in found)


def left_in(folder: Path) -> list[str]:
    """Return what is left in the spool."""
    return sorted(path.name for path in (folder / "data" / "spool").iterdir())


def start(program: str, environ: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    """Start a program."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)


def errors_of(program: subprocess.Popen[str]) -> str:
    """Wait for the end of a program, which is a good one; return what it wrote on stderr."""
    _, errors = program.communicate(timeout=100)
    assert program.returncode == 0, errors
    return errors


def test_processes_that_end_abruptly_share_one_spool(tmp_path: Path) -> None:
    """All that each had written arrives once, by whoever comes first; the folder is empty then."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        programs = [
            start(RECORDING, environ, each * RUNS, "written", RUNS) for each in range(PROCESSES)
        ]
        assert [errors_of(program) for program in programs] == [""] * PROCESSES
        assert errors_of(start(HEIR, environ)) == ""
    steps = steps_in(tmp_path)
    assert len(steps) == PROCESSES * RUNS * 10
    assert set(steps.values()) == {1}
    assert left_in(tmp_path) == []


def test_a_server_that_hangs_holds_neither_the_exit_nor_what_was_recorded(tmp_path: Path) -> None:
    """The exit keeps its deadline; one line says where things wait, and that they are not lost."""
    with serving(hang) as url:
        environ = settings(tmp_path, url, "t")
        began = time.perf_counter()
        errors = errors_of(start(RECORDING, environ, 0, "end of main", 5))
        assert time.perf_counter() - began < 30
    (line,) = [text for text in errors.splitlines() if "deadline of the shutdown" in text]
    assert "75 recorded items" in line
    assert str(tmp_path / "data" / "spool") in line
    assert "remit spool send" in line
    assert left_in(tmp_path) != []
    with collector(tmp_path) as served:
        errors_of(start(HEIR, settings(tmp_path, served.url, served.token)))
    assert left_in(tmp_path) != [], "what is for one server is never sent to another"
    assert not steps_in(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux or macOS: needs os.fork")
def test_forks_while_threads_record_and_write(tmp_path: Path) -> None:
    """No child hangs, and every span of every process arrives once."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        errors_of(start(FORKING.replace("FORKS", str(FORKS)), environ))
        errors_of(start(HEIR, environ))
    steps = steps_in(tmp_path)
    assert set(steps.values()) == {1}
    assert len(steps) == 6_000 + FORKS
    assert left_in(tmp_path) == []
