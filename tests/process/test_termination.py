"""A run in a process of its own that an operator terminates at the server, over a real socket."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.collecting import Api, details
from tests.processes import settings, start, wait_until
from tests.served import Served, collector

FLUSH_S = 0.2
NEVER_S = 3600.0
"""A run that hears of its end in another way than the one that is tested would take that long."""
REASON = "it deletes too much"

PROGRAM = """
import asyncio, sys, threading
from contextlib import suppress
import remit
from remit.errors import RunTerminated

pause = threading.Event()
bodies = 0

@remit.span_type
def step():
    global bodies
    bodies += 1
    pause.wait(0.01)

@remit.span_type
async def step_later():
    global bodies
    bodies += 1
    await asyncio.sleep(0.01)

@remit.span_type
def stream():
    while True:
        yield bodies
        pause.wait(0.01)

@remit.span_type
async def stream_later():
    while True:
        yield bodies
        await asyncio.sleep(0.01)

def block():
    global bodies
    with remit.span("by hand"):
        bodies += 1
        pause.wait(0.01)

def for_ever(act):
    while True:
        try:
            act()
        except Exception:
            print("swallowed")

async def async_for_ever(act):
    while True:
        try:
            await act()
        except Exception:
            print("swallowed")

async def drain():
    async for _ in stream_later():
        pass

LOOPS = {
    "function": lambda: for_ever(step),
    "block": lambda: for_ever(block),
    "coroutine": lambda: asyncio.run(async_for_ever(step_later)),
    "generator": lambda: for_ever(lambda: list(stream())),
    "async generator": lambda: asyncio.run(async_for_ever(drain)),
}

@remit.agent
def agent(loop):
    loop()

for kind, loop in LOOPS.items():
    with agent.run() as run:
        remit.flush(60)
        print(run.id, flush=True)
        try:
            agent(loop)
        except RunTerminated as terminated:
            print(terminated.reason, flush=True)
        before = bodies
        for _ in range(3):
            with suppress(RunTerminated):
                step()
        print(kind, bodies - before, run.status, flush=True)
    try:
        with agent.run(resume=run.id):
            print("resumed", flush=True)
    except RunTerminated:
        print("stays terminated", flush=True)
print(remit.flush(60).pending)
"""
KINDS = ("function", "block", "coroutine", "generator", "async generator")


@contextmanager
def started(program: str, served: Served, folder: Path) -> Generator[subprocess.Popen[str]]:
    """Run a program that hears of the end of a run with the answer to what it sends."""
    environ = settings(folder, served.url, served.token)
    environ |= {"REMIT_FLUSH_INTERVAL_S": str(FLUSH_S), "REMIT_POLL_INTERVAL_S": str(NEVER_S)}
    with start(program, environ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_the_end(api: Api, instance_id: str) -> None:
    """Wait until no span of a run is active."""
    wait_until(lambda: "active" not in {span["status"] for span in api.spans(instance_id)})


def terminated(process: subprocess.Popen[str], api: Api) -> str:
    """Terminate the run that a program names; return its id."""
    assert process.stdout is not None
    instance_id = process.stdout.readline().strip()
    details(api.post(f"/agent_instance/{instance_id}/terminate", {"reason": REASON}))
    return instance_id


def test_a_terminated_run_stops_within_an_interval(tmp_path: Path) -> None:
    """A run that records hears of it with the next answer, one with an open stream by asking."""
    with collector(tmp_path) as served, started(PROGRAM, served, tmp_path) as process:
        assert process.stdout is not None
        for kind in KINDS:
            instance_id = terminated(process, served.api)
            assert process.stdout.readline() == f"{REASON}\n"
            assert process.stdout.readline() == f"{kind} 0 terminated\n"
            assert process.stdout.readline() == "stays terminated\n"
            instance = served.api.shown(instance_id)
            assert (instance["status"], instance["termination_reason"]) == ("terminated", REASON)
            wait_for_the_end(served.api, instance_id)
        assert process.stdout.read() == "0\n"
        assert process.wait() == 0


WAITING = """
import asyncio, sys
import remit
from remit.errors import RunTerminated

@remit.agent
async def answer(kind, runs, may_go_on):
    runs.append(remit.current_run())
    yield 1
    if kind == "waits for a model":
        await may_go_on.wait()
    yield 2

async def read_on(stream):
    try:
        await anext(stream)
    except RunTerminated as terminated:
        print(terminated.reason, flush=True)
        assert not asyncio.current_task().cancelling()
        await asyncio.sleep(0)
        raise

async def main(kind):
    runs, may_go_on = [], asyncio.Event()
    stream = answer(kind, runs, may_go_on)
    if kind == "is its own run":
        await anext(stream)
    else:
        with answer.run() as run:
            runs.append(run)
            stream = answer(kind, runs, may_go_on)
            if kind != "was not begun":
                await anext(stream)
    waiting = asyncio.create_task(read_on(stream)) if kind == "waits for a model" else None
    await remit.aflush(60)
    print(runs[0].id, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    may_go_on.set()
    try:
        print(await (waiting or anext(stream)), flush=True)
        print(await anext(stream), flush=True)
    except RunTerminated as terminated:
        print(terminated.reason, flush=True)
    print(remit.flush(60).pending, flush=True)

for kind in sys.stdin:
    asyncio.run(main(kind.strip()))
"""


WAITING_KINDS = ("waits for a reader", "waits for a model", "is its own run", "was not begun")


def test_a_terminated_run_whose_stream_waits_ends_within_an_interval(tmp_path: Path) -> None:
    """Its span is cancelled while it waits, and its code is stopped at its next item."""
    with collector(tmp_path) as served, started(WAITING, served, tmp_path) as process:
        api = served.api
        assert process.stdin is not None
        assert process.stdout is not None
        for kind in WAITING_KINDS:
            process.stdin.write(f"{kind}\n")
            instance_id = terminated(process, api)
            wait_for_the_end(api, instance_id)
            if kind == "waits for a model":
                # The code is stopped where it waits, and nothing else goes on before that.
                assert process.stdout.readline() == f"{REASON}\n"
            process.stdin.write("go on\n")
            said = [process.stdout.readline()]
            while said[-1] != "0\n":
                said.append(process.stdout.readline())
            assert said[-2:] == [f"{REASON}\n", "0\n"], kind
            spans = {
                each["schema_name"].rpartition(":")[2]: each for each in api.spans(instance_id)
            }
            assert spans.pop("run")["status"] == "failed"
            cancelled = ["cancelled"] * (kind != "was not begun")
            assert [span["status"] for span in spans.values()] == cancelled, kind
