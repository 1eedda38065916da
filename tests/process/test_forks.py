"""Children of a process that records: none hangs, each delivers its own, nothing comes twice."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.loopback import serving
from tests.processes import (
    DECLARED,
    SHORT_EXIT_S,
    errors_of,
    inherit,
    left_in,
    once,
    runs_in,
    settings,
    start,
    steps_in,
    told_by,
)
from tests.served import collector

pytestmark = [
    pytest.mark.python,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux or macOS: needs os.fork"),
]

FORKS = int(os.environ.get("REMIT_TEST_FORKS", "20"))  # 200 on a long night
CHILD_S = 2.0
"""A child that takes longer hangs; it takes a tenth."""
FORK_S = 0.7
"""A fork that takes longer has waited for the sender; else it takes a millisecond."""

MULTIPROCESSING = """
import multiprocessing, signal
from concurrent.futures import ProcessPoolExecutor

@remit.agent("Worker")
def work(first: int) -> None:
    for number in range(first, first + 5):
        step(number)

def task(first: int) -> None:
    work(first)
    with work.run():
        for number in range(first + 5, first + 10):
            step(number)

def stuck() -> None:
    with work.run():
        step(-2)
        wait_until_written()
        open("stuck", "w").close()
        time.sleep(60)

def task_that_waits(first: int) -> None:
    task(first)
    wait_until_written()

FIRSTS = range(0, 30, 10)

def processes(context):
    children = [context.Process(target=task, args=(first,)) for first in FIRSTS]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode

def closed_pool(context):
    pool = context.Pool(2)
    pool.map(task, FIRSTS, chunksize=1)
    pool.close()
    pool.join()

def terminated_pool(context):
    with context.Pool(3) as pool:
        pool.apply_async(stuck)
        pool.map(task_that_waits, FIRSTS, chunksize=1)
        while not os.path.exists("stuck"):
            time.sleep(0.01)

def executor(context):
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(task, FIRSTS))

if __name__ == "__main__":
    with work.run():
        step(-1)
        globals()[sys.argv[1]](multiprocessing.get_context(sys.argv[2]))
"""

FORKING = """
from contextlib import suppress

@remit.agent("Other")
def other() -> None:
    step(-1)

over = threading.Event()
counts = []

def record(first: int) -> None:
    number = first
    while not over.wait(0.005):
        for number in range(number, number + 10):
            step(number)
        number += 1
    counts.append(range(first, number))

def ask() -> None:
    while not over.wait(0.001):
        remit.flush(0.01)
        remit.status()

def change() -> None:
    while not over.wait(0.02):
        other()
        remit.span_type(f"step {time.monotonic_ns() % 5}")(lambda: None)
        with suppress(remit.errors.UsageError):
            remit.configure()

def child(number: int) -> None:
    step(number)
    other()
    os._exit(0 if remit.flush(20) else 1)

@remit.agent("Worker")
def agent() -> float:
    works = [(record, 1_000_000), (record, 2_000_000), (ask,), (ask,), (change,)]
    threads = [
        threading.Thread(target=remit.copy_context(work), args=first) for work, *first in works
    ]
    for each in threads:
        each.start()
    slowest_s = 0.0
    for number in range(int(sys.argv[1])):
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(number)
        forked = time.monotonic()
        assert os.waitpid(pid, 0)[1] == 0, number
        slowest_s = max(slowest_s, time.monotonic() - forked)
    over.set()
    for each in threads:
        each.join()
    return slowest_s

print(agent(), *[number for each in counts for number in (each.start, each.stop)])
"""

HELD = """
import gc, signal

@remit.agent("First")
def first() -> None:
    step(1)

@remit.agent("Second")
def second() -> None:
    step(2)
    locks = {name: lock for holder in holders() for name, lock in locks_of(holder)}
    # The threads' first: who waits for another lock in a step holds this one.
    for name in sorted(locks, key=lambda name: "_stepping" not in name):
        locked = threading.Event()
        threading.Thread(target=hold, args=(locks[name], locked), daemon=True).start()
        assert locked.wait(5), name
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        step(3)
        first()
        remit.status()
        os._exit(0 if remit.flush(8) else 1)
    _, status = os.waitpid(pid, 0)
    over.set()
    print(status, *{name.partition(" ")[0] for name in locks})

over = threading.Event()
KINDS = (type(threading.Lock()), type(threading.RLock()), threading.Condition)

def holders():
    modules = [module for name, module in sys.modules.items() if name.startswith("remit")]
    return modules + [each for each in gc.get_objects() if "remit" in str(kind_of(each).__module__)]

def kind_of(holder):
    return holder if isinstance(holder, type) else type(holder)

def locks_of(holder):
    name = holder.__name__ if hasattr(holder, "__spec__") else kind_of(holder).__name__
    for attribute, value in list(getattr(holder, "__dict__", {}).items()):
        # A condition over a lock that stands beside it is that lock.
        beside = getattr(value, "_lock", None) in list(vars(holder).values())
        if isinstance(value, KINDS) and not (isinstance(value, threading.Condition) and beside):
            yield f"{name}.{attribute} {id(value)}", value

def hold(lock, locked) -> None:
    with lock:
        locked.set()
        over.wait()

first()
remit.flush(10)
second()
"""

TOGETHER = """
import concurrent.futures.thread, logging, os, threading

inside, others_turn = threading.Event(), threading.Event()

def between() -> None:
    if inside.is_set():
        others_turn.set()
    else:
        inside.set()
        others_turn.wait(10)

# Runs after remit's, which is registered later, and before those of what is imported above, which
# let only one thread in.
os.register_at_fork(before=between)
"""

FORKS_TOGETHER = """
def fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

@remit.agent("Worker")
def agent() -> None:
    step(0)
    remit.flush(10)
    one = threading.Thread(target=fork)
    one.start()
    inside.wait(10)
    fork()
    one.join()
    step(1)

agent()
raise SystemExit(0 if remit.flush(10) and not remit.status().faults else 1)
"""

WAITING = """
@remit.agent("Worker")
def agent() -> None:
    step(0)
    sys.stdin.readline()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        step(1)
        os._exit(0)
    print(time.monotonic() - began)
    os.waitpid(pid, 0)

agent()
"""

IMPORTING = """
importing = threading.Event()

class Slow:
    def find_spec(name, path=None, target=None):
        if name == "httpcore":
            importing.set()
            time.sleep(2)

sys.meta_path.insert(0, Slow)

@remit.agent("Worker")
def agent() -> None:
    step(0)
    importing.wait(20)
    pid = os.fork()
    if pid == 0:
        step(1)
        os._exit(0 if remit.flush(10) else 1)
    print(os.waitpid(pid, 0)[1])

agent()
"""


def outcome(program: subprocess.Popen[str]) -> list[str]:
    """Wait for the end of a program, which is a good one; return the words that it printed."""
    told, errors = told_by(program)
    assert errors == ""
    return told.split()


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *(("processes", method) for method in ("fork", "spawn", "forkserver")),
        *(("closed_pool", method) for method in ("fork", "spawn")),
        *(("terminated_pool", method) for method in ("fork", "forkserver")),
        *(("executor", method) for method in ("fork", "spawn")),
    ],
)
def test_children_of_multiprocessing_deliver_each_span_once(
    tmp_path: Path, kind: str, method: str
) -> None:
    """In runs of their own, and in the one that those inherit who are forked."""
    script = tmp_path / "program.py"
    script.write_text(DECLARED + MULTIPROCESSING)
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        program = subprocess.Popen(
            [sys.executable, script, kind, method],
            cwd=tmp_path,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert errors_of(program) == ""
        if kind == "terminated_pool":
            inherit(environ)
    stuck = kind == "terminated_pool"
    assert steps_in(tmp_path) == once(range(-2 if stuck else -1, 30))
    # Who inherits a run has its agent's calls in it; who does not opens one for each.
    complete = 1 + (3 if method == "fork" else 6)
    assert Counter(runs_in(tmp_path)) == Counter(complete=complete, failed=int(stuck))
    assert left_in(tmp_path) == []


def test_forks_while_threads_record_flush_declare_and_configure(tmp_path: Path) -> None:
    """No child hangs, and every span of every process arrives once."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        slowest_s, *recorded = outcome(start(DECLARED + FORKING, environ, FORKS))
        inherit(environ)
    steps = steps_in(tmp_path)
    assert steps.pop(json.dumps({"number": -1}, separators=(",", ":"))) >= FORKS
    one, two = (range(*map(int, pair)) for pair in (recorded[:2], recorded[2:]))
    assert min(len(one), len(two)) > FORKS
    assert steps == once(range(FORKS), one, two)
    assert set(runs_in(tmp_path)) == {"complete"}
    assert left_in(tmp_path) == []
    assert float(slowest_s) < CHILD_S


def test_a_child_needs_no_lock_that_a_thread_of_its_parent_held(tmp_path: Path) -> None:
    """Whichever they are: all that remit has in the parent are held while it forks."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        environ["REMIT_FLUSH_INTERVAL_S"] = "60"
        status, *locks = outcome(start(DECLARED + HELD, environ))
    assert status == "0", "the child hung, or could not deliver"
    assert {
        *("Worker._stepping", "Worker._lock", "Writer._passing", "Delivery._closing"),
        *("SpoolFile._io", "MemoryOutbox._lock", "Buffer._releasing", "Losses._lock"),
        *("Registry._lock", "remit._runtime._process._lock", "_Importing.lock"),
    } <= set(locks)
    assert steps_in(tmp_path) == once(range(1, 4)) + once(range(1, 2))
    assert set(runs_in(tmp_path)) == {"complete"}
    assert left_in(tmp_path) == []


def test_two_threads_that_fork_together_do_not_stop_the_delivery(tmp_path: Path) -> None:
    """What is held for the one fork is let go after it, whatever the other could not hold."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        assert outcome(start(f"{TOGETHER}{DECLARED}{FORKS_TOGETHER}", environ)) == []
    assert steps_in(tmp_path) == once(range(2))


def test_a_fork_does_not_come_while_a_module_is_imported(tmp_path: Path) -> None:
    """However long that takes: its lock would stay held in the child for ever."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        assert outcome(start(DECLARED + IMPORTING, environ)) == ["0"]
    assert steps_in(tmp_path) == once(range(2))


def test_a_server_that_never_answers_does_not_hold_a_fork(tmp_path: Path) -> None:
    """Who waits for the network holds nothing that a child needs: nobody waits for that."""
    asked = threading.Event()

    def hang(_: socket.socket, over: threading.Event) -> None:
        asked.set()
        over.wait(60)

    with serving(hang) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=SHORT_EXIT_S)
        program = start(DECLARED + WAITING, environ)
        assert asked.wait(20)
        told, _ = told_by(program, "go on\n")
    assert float(told) < FORK_S
