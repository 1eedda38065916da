"""A process that is killed at any point: what it had written is delivered by the next, once."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.served import Served, collector, environment
from tests.untraced import UNTRACED

pytestmark = pytest.mark.gate

KILLS = int(os.environ.get("REMIT_TEST_KILLS", "4"))
"""How many points; 50 on a long night."""
SPANS = 5_000
FLUSH_INTERVAL_S = 0.2
NS_PER_S = 1_000_000_000

PROGRAM = """
import multiprocessing, os, sys, threading, time
import remit

SPANS, told = int(sys.argv[1]), int(sys.argv[2])

@remit.span_type("step")
def step(number: int) -> int:
    return inner(number)

@remit.span_type("inner")
def inner(number: int) -> int:
    return number

def work(first: int, count: int) -> None:
    for number in range(first, first + count):
        step(number)
        os.write(told, b"%d %d\\n" % (number, time.time_ns()))
        if number % 25 == 0:
            time.sleep(0.04)

def wait() -> None:
    with remit.span("long"):
        time.sleep(60)

@remit.agent("Worker")
def agent() -> None:
    part = SPANS // 8
    threads = [
        threading.Thread(target=remit.copy_context(work), args=(each * part, part))
        for each in range(3)
    ]
    waiting = threading.Thread(target=remit.copy_context(wait), daemon=True)
    child = multiprocessing.get_context("fork").Process(target=work, args=(3 * part, part))
    for each in (waiting, *threads, child):
        each.start()
    for each in (*threads, child):
        each.join()
    os.write(told, b"over\\n")

agent()
"""

HEIR = "import remit; remit.configure(); raise SystemExit(0 if remit.flush(60) else 3)"


@dataclass(frozen=True)
class Killed:
    """What a killed program had done.

    Attributes:
        finished: When each of its steps had finished, by number, in nanoseconds.
        at_ns: When it was killed.
    """

    finished: dict[int, int]
    at_ns: int


def settings(folder: Path, served: Served) -> dict[str, str]:
    """Return the environment of the program and of its heir."""
    return {
        **environment(folder),
        **UNTRACED,
        "REMIT_API_URL": served.url,
        "REMIT_API_TOKEN": served.token,
        "REMIT_FLUSH_INTERVAL_S": str(FLUSH_INTERVAL_S),
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
    }


def kill_after(wait_s: float, folder: Path, served: Served) -> Killed:
    """Run the program, and kill it and its children when it has worked for *wait_s* seconds."""
    reading, writing = os.pipe()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(SPANS), str(writing)],
        env=settings(folder, served),
        pass_fds=[writing],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        lines = [told.readline()]
        # The kill comes at a time, not at an event: any point is to be hit.
        timer = subprocess.Popen(["sleep", str(wait_s)])
        timer.wait()
        at_ns = time.time_ns()
        os.killpg(program.pid, signal.SIGKILL)
        lines += told.read().splitlines()
    program.wait()
    pairs = [line.split() for line in lines if line.count(b" ") == 1]
    return Killed({int(number): int(at) for number, at in pairs}, at_ns)


def spans_in(folder: Path) -> list[tuple[str, str | None, str, str, dict[str, Any]]]:
    """Return id, parent, span type, status and payload of every span at the server."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        rows = store.execute(
            "SELECT id, parent_span_id, schema_name, status, payload FROM agent_spans"
        )
        return [(*rest, json.loads(payload)) for *rest, payload in rows]


def statuses_in(folder: Path) -> list[str]:
    """Return the statuses of the runs at the server."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return [status for (status,) in store.execute("SELECT status FROM agent_instances")]


@pytest.mark.parametrize("point", range(KILLS), ids=lambda point: f"point {point}")
def test_every_span_that_was_written_is_delivered_once(tmp_path: Path, point: int) -> None:
    """Parents are right, the run is ended, and nothing is left in the spool."""
    wait_s = random.Random(f"{os.getpid()}-{point}").uniform(0.0, 1.5)
    with collector(tmp_path) as served:
        killed = kill_after(wait_s, tmp_path, served)
        heir = subprocess.run(
            [sys.executable, "-c", HEIR],
            env=settings(tmp_path, served),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert heir.returncode == 0, heir.stderr
    spans = spans_in(tmp_path)
    told = f"killed after {wait_s:.3f} s, {len(killed.finished)} steps, {len(spans)} spans"
    names = {span_id: name for span_id, _, name, _, _ in spans}
    parents = {"step": {"agent"}, "inner": {"step"}, "long": {"agent"}, "agent": {"remit:run"}}
    for name in ("step", "inner"):
        seen = Counter(payload["number"] for _, _, each, _, payload in spans if each.endswith(name))
        written = {
            number
            for number, at_ns in killed.finished.items()
            if killed.at_ns - at_ns > 2 * FLUSH_INTERVAL_S * NS_PER_S
        }
        assert written <= seen.keys(), told
        assert set(seen.values()) <= {1}, told
    for _, parent, name, status, _ in spans:
        assert status in ("complete", "failed"), (name, told)
        if name in parents and parent in names:
            assert names[parent].rpartition(":")[2].rpartition(".")[2] in {
                each.rpartition(":")[2] for each in parents[name]
            }, told
    assert set(statuses_in(tmp_path)) <= {"failed", "complete"}, told
    left = tmp_path / "data" / "spool"
    assert not left.exists() or not list(left.iterdir()), told
