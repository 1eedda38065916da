"""Programs that gevent has patched: threads are greenlets, and one thread runs them all."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from tests.delivering import hang
from tests.fake_api import RUNS_IN_BULK, FakeApi
from tests.loopback import serving
from tests.processes import NEVER_S, SHORT_EXIT_S, settings, start, told_by

RUNS = 50
STEPS = 5

DECLARED = """
from gevent import monkey
monkey.patch_all()

import os, sys, threading, time
import gevent
import remit

@remit.span_type("step")
def step(run: int, number: int) -> int:
    gevent.sleep(0)
    return number
"""

MANY = f"""
@remit.agent("Worker")
def agent(run: int) -> None:
    for number in range({STEPS} - 2):
        step(run, number)
        gevent.sleep(0.001)
    inside = gevent.spawn(remit.copy_context(step), run, {STEPS} - 2)
    thread = threading.Thread(target=remit.copy_context(step), args=(run, {STEPS} - 1))
    thread.start()
    gevent.joinall([inside])
    thread.join()
    gevent.spawn(lambda: remit.current_run() and step(run, -1)).join()

tasks = [gevent.spawn(agent, run) for run in range({RUNS})]
gevent.joinall(tasks, raise_error=True)
print(remit.status().faults)
"""

FORKING = f"""
@remit.agent("Worker")
def agent(run: int) -> None:
    for number in range({STEPS}):
        step(run, number)
        gevent.sleep(0.01)

agent(0)
while not os.path.exists(sys.argv[1]):
    gevent.sleep(0.01)
children = []
for child in range(1, 4):
    pid = os.fork()
    if pid == 0:
        gevent.sleep(0.3)
        if child == 3:
            os._exit(0)
        agent(child)
        gevent.sleep(0.3)
        os._exit(0 if remit.flush(60) else 1)
    children.append(pid)
assert remit.flush(60)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""

BESIDE_SILENCE = """
@remit.agent("Worker")
def agent(run: int) -> None:
    step(run, 0)

for run in range(100):
    agent(run)
ticks = 0
while ticks < 20:
    gevent.sleep(0.005)
    ticks += 1
while (now := remit.status()).writer_lag_s or now.pending != now.spooled:
    gevent.sleep(0.01)
print(ticks, flush=True)
"""


def steps_of(api: FakeApi) -> Counter[tuple[str, int, int]]:
    """Count the steps that came: the instance that each is of, and what it was called with."""
    return Counter(
        (span["agent_instance_id"], span["payload"]["run"], span["payload"]["number"])
        for span in api.spans.values()
        if span["schema_name"] == "step"
    )


def test_many_greenlets_record_each_into_its_own_run(tmp_path: Path) -> None:
    """Every step arrives once and in its run; the log is empty; the exit delivers."""
    api = FakeApi()
    with serving(api.behave) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=60)
        assert told_by(start(DECLARED + MANY, environ)) == ("{}\n", "")
    steps = steps_of(api)
    runs = {(instance, run) for instance, run, _ in steps}
    assert len(runs) == len(api.instances) == RUNS
    assert set(steps) == {(*run, number) for run in runs for number in range(STEPS)}
    assert set(steps.values()) == {1}
    assert {run["status"] for run in api.instances.values()} == {"complete"}


def test_a_child_leaves_its_parents_requests_alone(tmp_path: Path) -> None:
    """Greenlets outlive a fork: those of the parent neither read its answers nor drain the child.

    A request is under way at each fork; what is asked twice, or waited for in vain, is seen.
    """
    api, asked = FakeApi(in_bulk=RUNS_IN_BULK), tmp_path / "asked"

    def slow(_path: str, _body: object) -> None:
        asked.touch()
        threading.Event().wait(0.2)

    api.rules.append(slow)
    with serving(api.behave) as url:
        environ = settings(tmp_path, url, "t") | {"REMIT_REQUEST_TIMEOUT_S": "60"}
        assert told_by(start(DECLARED + FORKING, environ, asked)) == ("", "")
    steps = Counter((run, number) for _, run, number in steps_of(api))
    assert steps == Counter((run, number) for run in range(3) for number in range(STEPS))
    keys = [seen.body["idempotency_key"] for seen in api.seen if "bulk" not in seen.path]
    keys += [key for bulk in api.bulk_keys() for key in bulk]
    assert len(keys) == len(set(keys))


def test_a_server_that_never_answers_holds_no_other_greenlet(tmp_path: Path) -> None:
    """They go on during the request, and the exit keeps its deadline."""
    with serving(hang) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=SHORT_EXIT_S)
        environ["REMIT_REQUEST_TIMEOUT_S"] = NEVER_S
        output, errors = told_by(start(DECLARED + BESIDE_SILENCE, environ))
    assert output == "20\n"
    assert len(errors.splitlines()) == 1
    assert "they are kept in" in errors
