"""A process that is killed at any point: what it had written is delivered by the next, once.

Two of its threads and its child record many short runs, and others one long run.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.served import Served, collector, environment
from tests.spooling import Spooled
from tests.stored import SPANS
from tests.untraced import UNTRACED

pytestmark = pytest.mark.gate

KILLS = int(os.environ.get("REMIT_TEST_KILLS", "4"))
"""How many points; 50 on a long night."""
SEED = os.environ.get("REMIT_TEST_SEED") or str(random.randrange(1 << 32))
"""Chooses the points; a failure names it."""
STEPS = 2_400
PARENTS = {
    ("inner", "step"),
    ("step", "notebook:agent"),
    ("step", "remit:run"),
    ("long", "notebook:agent"),
    ("notebook:agent", "remit:run"),
    ("remit:loss", "remit:run"),
}
"""Span types and those of their parents."""

PROGRAM = """
import multiprocessing, os, sys, threading, time
import remit

STEPS, told = int(sys.argv[1]), int(sys.argv[2])

@remit.span_type("step")
def step(number: int) -> int:
    return inner(number)

@remit.span_type("inner")
def inner(number: int) -> int:
    return number

@remit.agent("Visitor")
def visit() -> None:
    pass

def do(number: int) -> None:
    step(number)
    os.write(told, b"%d\\n" % number)
    if number % 25 == 0:
        time.sleep(0.04)

def work(first: int, count: int) -> None:
    for number in range(first, first + count):
        do(number)

def visits(first: int, count: int) -> None:
    for number in range(first, first + count, 2):
        with visit.run():
            do(number)
            do(number + 1)

def both(first: int, count: int) -> None:
    work(first, count // 2)
    visits(first + count // 2, count // 2)

def watch() -> None:
    while (now := remit.status()).spooled + now.sent < 20:
        time.sleep(0.001)
    os.write(told, b"written\\n")

def wait() -> None:
    with remit.span("long"):
        time.sleep(60)

@remit.agent("Worker")
def agent() -> None:
    part = STEPS // 4
    threads = [
        threading.Thread(target=remit.copy_context(record), args=(each * part, part))
        for each, record in enumerate((work, both, visits))
    ]
    waiting = threading.Thread(target=remit.copy_context(wait), daemon=True)
    watching = threading.Thread(target=watch, daemon=True)
    child = multiprocessing.get_context("fork").Process(target=both, args=(3 * part, part))
    for each in (waiting, watching, *threads, child):
        each.start()
    for each in (*threads, child):
        each.join()

agent()
"""

HEIR = "import remit; remit.configure(); raise SystemExit(0 if remit.flush(60) else 3)"


Spans: TypeAlias = list[tuple[str, str | None, str, str, dict[str, Any]]]
"""Id, parent, span type, status and payload of each."""


def settings(folder: Path, served: Served) -> dict[str, str]:
    """Return the environment of the program and of its heir."""
    return {
        **environment(folder),
        **UNTRACED,
        "REMIT_API_URL": served.url,
        "REMIT_API_TOKEN": served.token,
        "REMIT_FLUSH_INTERVAL_S": "0.2",
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
    }


def kill_after(steps: int, folder: Path, served: Served) -> None:
    """Run the program; kill it and its children *steps* steps after it wrote something."""
    reading, writing = os.pipe()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(STEPS), str(writing)],
        env=settings(folder, served),
        pass_fds=[writing],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert b"written\n" in told, "the program ended before it had written anything"
        for _ in range(steps):
            told.readline()
        os.killpg(program.pid, signal.SIGKILL)
        told.read()
    program.wait()


def on_disk(folder: Path, served: Served) -> set[tuple[str, int]]:
    """Return span type and number of each span in a copy of the spool."""
    shutil.copytree(folder / "data", folder / "copy")
    items = Spooled(folder / "copy", target=served.url, token=served.token).adopted()
    payloads = [(str(row.name), json.loads(row.payload or b"{}")) for row in items]
    return {(name, payload["number"]) for name, payload in payloads if "number" in payload}


def spans_in(folder: Path) -> Spans:
    """Return every span at the server."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        rows = store.execute(
            f"SELECT id, parent_span_id, schema_name, status, payload FROM {SPANS}"
        )
        return [(*rest, json.loads(payload)) for *rest, payload in rows]


def runs_in(folder: Path) -> list[tuple[str, int, int]]:
    """Return status, number of roots and number of steps of each run at the server."""
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return list(
            store.execute(
                "SELECT runs.status, coalesce(sum(schema_name = 'remit:run'), 0),"
                " coalesce(sum(schema_name = 'step'), 0)"
                " FROM runs"
                f" LEFT JOIN {SPANS} AS spans ON spans.run_ref = runs.ref"
                " GROUP BY runs.id"
            )
        )


def numbered(spans: Spans) -> Counter[tuple[str, int]]:
    """Return how often each span with a number is there, by span type and number."""
    return Counter(
        (name, payload["number"]) for _, _, name, _, payload in spans if "number" in payload
    )


@pytest.mark.parametrize("point", range(KILLS), ids=lambda point: f"point {point}")
def test_every_span_that_was_written_is_delivered_once(tmp_path: Path, point: int) -> None:
    """Parents are right, the run is ended, and nothing is left in the spool."""
    steps = random.Random(f"{SEED}-{point}").randrange(STEPS // 2)
    with collector(tmp_path) as served:
        kill_after(steps, tmp_path, served)
        written = on_disk(tmp_path, served) | set(numbered(spans_in(tmp_path)))
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
    told = f"REMIT_TEST_SEED={SEED}, killed after {steps} steps, {len(spans)} spans"
    arrived = numbered(spans)
    assert written, told
    assert written <= arrived.keys(), told
    assert set(arrived.values()) == {1}, told
    names = {span_id: name for span_id, _, name, _, _ in spans}
    parents = {(name, names[parent]) for _, parent, name, _, _ in spans if parent in names}
    assert ("inner", "step") in parents, told
    assert parents <= PARENTS, told
    assert {status for _, _, _, status, _ in spans} <= {"complete", "failed"}, told
    runs = runs_in(tmp_path)
    assert {(status, roots) for status, roots, _ in runs} <= {("failed", 1), ("complete", 1)}, told
    # One is the long run; of a short one that is complete both steps were recorded before its end.
    short = [steps for status, _, steps in runs if status == "complete"]
    assert set(short) <= {2}, told
    assert len(runs) <= 1 + STEPS // 4, told
    left = tmp_path / "data" / "spool"
    assert not left.exists() or not list(left.iterdir()), told
