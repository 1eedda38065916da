"""Children of a process that records: none hangs, each delivers its own, nothing comes twice."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.loopback import serving
from tests.processes import (
    DECLARED,
    EXIT_TIMEOUT_S,
    NEVER_S,
    SHORT_EXIT_S,
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
"""A fork that waits for the sender takes twice as long; else it takes a millisecond."""
KINDS = {
    "fork": ["processes", "closed_pool", "executor", "terminated_pool"],
    "forkserver": ["processes", "terminated_pool"],
    "spawn": ["closed_pool", "executor"],
}
"""By the method of multiprocessing, what starts children by it."""
TASKS = 3
STUCK = 1_000
"""The step of a child that is terminated."""

MULTIPROCESSING = f"""
import multiprocessing
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
        step({STUCK})
        wait_until_written()
        open("stuck", "w").close()
        time.sleep(60)

def task_that_waits(first: int) -> None:
    task(first)
    wait_until_written()

def processes(context, firsts):
    children = [context.Process(target=task, args=(first,)) for first in firsts]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0, child.exitcode

def closed_pool(context, firsts):
    pool = context.Pool(2)
    pool.map(task, firsts, chunksize=1)
    pool.close()
    pool.join()

def executor(context, firsts):
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(task, firsts))

def terminated_pool(context, firsts):
    with context.Pool(3) as pool:
        pool.apply_async(stuck)
        pool.map(task_that_waits, firsts, chunksize=1)
        while not os.path.exists("stuck"):
            time.sleep(0.01)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with work.run():
        for place, kind in enumerate(sys.argv[2:]):
            globals()[kind](context, range(100 * place, 100 * place + 10 * {TASKS}, 10))
"""

LOCAL = """
import multiprocessing

@remit.agent
def agent() -> None:
    pass

if __name__ == "__main__":
    agent()
    if os.fork() == 0:
        agent()
        raise SystemExit(0 if remit.flush(60) else 3)
    assert os.wait()[1] == 0
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=agent)
        child.start()
        child.join()
        assert child.exitcode == 0, child.exitcode
    agent()
"""

FORKING = """
import signal
from contextlib import suppress

@remit.agent("Other")
def other() -> None:
    pass

def visit(number: int) -> None:
    with other.run():
        step(number)
        step(number + 1)

over = threading.Event()
counts = []

def record(first: int) -> None:
    number = first
    while not over.wait(0.005):
        for number in range(number, number + 10):
            step(number)
        number += 1
    counts.append(range(first, number))

def visits(first: int) -> None:
    number = first
    while not over.wait(0.005):
        visit(number)
        number += 2
    counts.append(range(first, number))

def ask() -> None:
    while not over.wait(0.001):
        remit.flush(0.01)
        remit.status()

def change() -> None:
    while not over.wait(0.02):
        visit(-2)
        remit.span_type(f"step {time.monotonic_ns() % 5}")(lambda: None)
        with suppress(remit.errors.UsageError):
            remit.configure()

def child(number: int) -> None:
    signal.alarm(60)
    step(number)
    visit(-2)
    os._exit(0 if remit.flush(60) else 1)

failed = []

def fork(numbers: range) -> None:
    for number in numbers:
        pid = os.fork()
        if pid == 0:
            child(number)
        if status := os.waitpid(pid, 0)[1]:
            failed.append((number, status))

def threads(*works):
    carried = [(remit.copy_context(work), args) for work, *args in works]
    started = [threading.Thread(target=work, args=args) for work, args in carried]
    for each in started:
        each.start()
    return started

@remit.agent("Worker")
def agent() -> None:
    forks = int(sys.argv[1])
    working = threads((record, 1_000_000), (visits, 2_000_000), (ask,), (ask,), (change,))
    for each in threads((fork, range(0, forks, 2)), (fork, range(1, forks, 2))):
        each.join()
    over.set()
    for each in working:
        each.join()

agent()
assert not failed, failed
print(*[number for each in sorted(counts, key=min) for number in (each.start, each.stop)])
"""

HELD = """
import gc, os, signal, sys, threading

over = threading.Event()
LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition)
found = []

def kind_of(holder):
    return holder if isinstance(holder, type) else type(holder)

def locks():
    modules = [module for name, module in sys.modules.items() if name.startswith("remit")]
    ours = [each for each in gc.get_objects() if "remit" in str(kind_of(each).__module__)]
    for holder in modules + ours:
        for value in list(getattr(holder, "__dict__", {}).values()):
            if isinstance(value, LOCKS):
                yield id(value), value

def hold(lock, tried) -> None:
    held = lock.acquire(blocking=False)
    tried.set()
    over.wait()
    if held:
        lock.release()

def hold_all() -> None:
    if step is not None:
        found[:] = [lock for _, lock in sorted(dict(locks()).items())]
        for lock in found:
            tried = threading.Event()
            threading.Thread(target=hold, args=(lock, tried), daemon=True).start()
            tried.wait()

# Runs after remit's own, which is registered later: what that waits for is not held yet.
os.register_at_fork(before=hold_all, after_in_parent=over.set)
"""

HELD_FORK = """
@remit.agent("First")
def first() -> None:
    step(1)

@remit.agent("Second")
def second() -> None:
    step(2)
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        step(3)
        first()
        remit.status()
        os._exit(0 if remit.flush(60) else 1)
    print(os.waitpid(pid, 0)[1], len(found))

first()
remit.flush(60)
second()
"""

WAITING = """
@remit.agent("Worker")
def agent() -> None:
    step(0)
    sys.stdin.readline()
    pid = os.fork()
    if pid == 0:
        step(1)
        os._exit(0)
    print("forked")
    os.waitpid(pid, 0)

agent()
"""

ASKING = """
import os, signal, threading

@remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
def pay() -> None:
    print("paid", flush=True)

asked, forked = threading.Event(), threading.Event()

def person(request: remit.ApprovalRequest) -> remit.Approved:
    print("asked", flush=True)
    if not asked.is_set():
        asked.set()
        forked.wait()
    return remit.Approved(by="dana")

@remit.agent("Desk", data_risk=remit.risk(asks="financial_transactions"))
def desk() -> None:
    waiting = threading.Thread(target=remit.copy_context(pay))
    waiting.start()
    asked.wait()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        pay()
        os._exit(0 if remit.flush(60) else 1)
    print(os.waitpid(pid, 0)[1], flush=True)
    forked.set()
    waiting.join()

remit.configure(on_violation="deny", approver=person)
desk()
"""

RESUMING = """
import os
import remit
from remit.errors import DeniedError

class Pause(Exception):
    pass

seals = []

def person(request):
    if seals and request.matches(seals[0]):
        return remit.Approved(by="dana")
    seals.append(request.seal())
    raise Pause

@remit.span_type(data_risk=remit.risk(allows="financial_transactions", forbids="others"))
def pay():
    os.write(1, b"paid\\n")

@remit.agent(data_risk=remit.risk(asks="financial_transactions"))
def desk():
    pay()

remit.configure(approver=person, control_flow=Pause)
try:
    desk()
except Pause:
    child = os.fork()
    try:
        desk()
    except DeniedError as denied:
        os.write(1, f"{denied.why}\\n".encode())
    if child:
        os.waitpid(child, 0)
"""


def outcome(program: subprocess.Popen[str]) -> list[str]:
    """Wait for the end of a program, which is a good one; return the words that it printed."""
    told, errors = told_by(program)
    assert errors == ""
    return told.split()


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("fork", marks=pytest.mark.smoke),
        "spawn",
        pytest.param("forkserver", marks=pytest.mark.full),
    ],
)
def test_children_of_multiprocessing_deliver_each_span_once(tmp_path: Path, method: str) -> None:
    """Forked children also record in the run that they inherit."""
    script, kinds = tmp_path / "program.py", KINDS[method]
    script.write_text(DECLARED + MULTIPROCESSING)
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        assert outcome(start([str(script)], environ, method, *kinds, folder=tmp_path)) == []
        if "terminated_pool" in kinds:
            inherit(environ)
    stuck = "terminated_pool" in kinds
    firsts = range(0, 100 * len(kinds), 100)
    steps = once(*(range(first, first + 10 * TASKS) for first in firsts))
    assert steps_in(tmp_path) == steps + once(range(STUCK, STUCK + stuck))
    # Who inherits a run has its agent's calls in it; who does not opens one for each.
    complete = 1 + len(kinds) * TASKS * (1 if method == "fork" else 2)
    assert Counter(runs_in(tmp_path)) == Counter(complete=complete, failed=int(stuck))
    assert left_in(tmp_path) == []


@pytest.mark.smoke
def test_children_of_a_program_in_local_mode_deliver_their_own_runs(tmp_path: Path) -> None:
    """They flush or exit, some without `atexit`; all write one database."""
    script = tmp_path / "program.py"
    script.write_text(DECLARED + LOCAL)
    environ = settings(tmp_path, "", "") | {"REMIT_MODE": "local"}
    assert outcome(start([str(script)], environ)) == []
    assert runs_in(tmp_path / "data") == ["complete"] * 5


def test_forks_while_threads_record_flush_declare_and_configure(tmp_path: Path) -> None:
    """No child of two threads that fork hangs; every run and span of every process arrives once."""
    with collector(tmp_path) as served:
        # Two threads record as fast as they can; a busy machine takes longer to send that.
        environ = settings(tmp_path, served.url, served.token, exit_timeout_s=3 * EXIT_TIMEOUT_S)
        recorded = outcome(start(DECLARED + FORKING, environ, FORKS))
        inherit(environ)
    steps = steps_in(tmp_path)
    first, second = (steps.pop(f'{{"number":{number}}}') for number in (-2, -1))
    assert first == second >= FORKS
    one, two = (range(*map(int, pair)) for pair in (recorded[:2], recorded[2:]))
    assert min(len(one), len(two)) > FORKS
    assert steps == once(range(FORKS), one, two)
    # One lasts; the others have two steps.
    assert Counter(runs_in(tmp_path)) == {"complete": 1 + first + len(two) // 2}
    assert left_in(tmp_path) == []


def test_a_child_needs_no_lock_that_a_thread_of_its_parent_held(tmp_path: Path) -> None:
    """Other threads hold every lock that the forking thread does not hold."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        environ["REMIT_FLUSH_INTERVAL_S"] = "60"
        status, locks = outcome(start(HELD + DECLARED + HELD_FORK, environ))
    assert status == "0", "the child hung, or could not deliver"
    assert int(locks) > 5
    assert steps_in(tmp_path) == once(range(1, 4)) + once(range(1, 2))
    assert set(runs_in(tmp_path)) == {"complete"}
    assert left_in(tmp_path) == []


def test_a_child_asks_for_its_own_call_while_its_parent_waits_for_an_answer(
    tmp_path: Path,
) -> None:
    """The answer to the parent's question lets only the parent's call run."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        assert outcome(start(DECLARED + ASKING, environ)) == ["asked", "asked", "paid", "0", "paid"]
    assert set(runs_in(tmp_path)) == {"complete"}
    assert left_in(tmp_path) == []


def test_parent_and_child_use_one_yes_once(tmp_path: Path) -> None:
    """Both go on after the pause with the same answer."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token) | {"REMIT_ON_VIOLATION": "deny"}
        told, _ = told_by(start(RESUMING, environ))
    assert sorted(told.splitlines()) == [
        "paid",
        "the answer belongs to a request that was answered before",
    ]


def test_a_server_that_never_answers_does_not_hold_a_fork(tmp_path: Path) -> None:
    """A thread that waits for the network holds no lock that a child needs."""
    asked = threading.Event()

    def hang(_: socket.socket, over: threading.Event) -> None:
        asked.set()
        over.wait()

    with serving(hang) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=SHORT_EXIT_S)
        environ["REMIT_REQUEST_TIMEOUT_S"] = NEVER_S
        program = start(DECLARED + WAITING, environ)
        assert asked.wait(60)
        told, _ = told_by(program, "go on\n")
    assert told == "forked\n"
