"""A run in a process of its own that an operator terminates at the server, over a real socket."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.collecting import details
from tests.processes import wait_until
from tests.served import collector, environment

NEVER_S = 3600.0
FLUSH_S = 0.5
GRACE_S = 2.0
"""For the requests and for a machine that does other things."""
REASON = "it deletes too much"

PROGRAM = """
import asyncio, sys, threading
from contextlib import suppress
import remit
from remit.errors import RunTerminated

url, token, kind, flush_interval_s, poll_interval_s = sys.argv[1:]
remit.configure(
    api_url=url,
    api_token=token,
    flush_interval_s=float(flush_interval_s),
    poll_interval_s=float(poll_interval_s),
)
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
def agent():
    LOOPS[kind]()

with agent.run() as run:
    remit.flush()
    print(run.id, flush=True)
    try:
        agent()
    except RunTerminated as terminated:
        print(terminated.reason, flush=True)
    before = bodies
    for _ in range(3):
        with suppress(RunTerminated):
            step()
    print(bodies - before, run.status, flush=True)
try:
    with agent.run(resume=run.id):
        print("resumed")
except RunTerminated:
    print("stays terminated")
print(remit.flush().pending)
"""


@pytest.mark.parametrize("kind", ["function", "coroutine", "block", "generator", "async generator"])
def test_a_terminated_run_stops_within_an_interval(kind: str, tmp_path: Path) -> None:
    """A run that records hears of it with the next answer, one with an open stream by asking."""
    with collector(tmp_path) as served:
        api = served.api
        waits = [str(FLUSH_S), str(NEVER_S)]
        command = [sys.executable, "-c", PROGRAM, served.url, served.token, kind, *waits]
        with subprocess.Popen(
            command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            instance_id = process.stdout.readline().strip()
            details(api.post(f"/agent_instance/{instance_id}/terminate", {"reason": REASON}))
            began = time.monotonic()
            assert process.stdout.readline() == f"{REASON}\n"
            took_s = time.monotonic() - began
            assert process.stdout.read().split() == ["0", "terminated", "stays", "terminated", "0"]
        assert process.returncode == 0
        assert took_s < FLUSH_S + GRACE_S
        instance = api.shown(instance_id)
        assert (instance["status"], instance["termination_reason"]) == ("terminated", REASON)
        assert {span["status"] for span in api.spans(instance_id)} <= {
            "complete",
            "cancelled",
            "failed",
        }


WAITING = """
import asyncio, sys
import remit
from remit.errors import RunTerminated

url, token, kind, flush_interval_s, poll_interval_s = sys.argv[1:]
remit.configure(
    api_url=url,
    api_token=token,
    flush_interval_s=float(flush_interval_s),
    poll_interval_s=float(poll_interval_s),
)
may_go_on = asyncio.Event()
runs = []

@remit.agent
async def answer():
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

async def main():
    if kind == "is its own run":
        stream = answer()
        await anext(stream)
    else:
        with answer.run() as run:
            runs.append(run)
            stream = answer()
            if kind != "was not begun":
                await anext(stream)
    waiting = asyncio.create_task(read_on(stream)) if kind == "waits for a model" else None
    await remit.aflush()
    print(runs[0].id, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    may_go_on.set()
    try:
        print(await (waiting or anext(stream)), flush=True)
        print(await anext(stream), flush=True)
    except RunTerminated as terminated:
        print(terminated.reason, flush=True)

asyncio.run(main())
print(remit.flush().pending, flush=True)
"""


@pytest.mark.parametrize(
    "kind", ["waits for a reader", "waits for a model", "is its own run", "was not begun"]
)
def test_a_terminated_run_whose_stream_waits_ends_within_an_interval(
    kind: str, tmp_path: Path
) -> None:
    """Its span is cancelled while it waits, and its code is stopped at its next item."""
    with collector(tmp_path) as served:
        api = served.api
        command = [sys.executable, "-c", WAITING, served.url, served.token, kind]
        with subprocess.Popen(
            [*command, str(FLUSH_S), str(NEVER_S)],
            env=environment(tmp_path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            instance_id = process.stdout.readline().strip()
            details(api.post(f"/agent_instance/{instance_id}/terminate", {"reason": REASON}))
            began = time.monotonic()
            wait_until(lambda: "active" not in {span["status"] for span in api.spans(instance_id)})
            if kind == "waits for a model":
                # The code is stopped where it waits, and nothing else goes on before that.
                assert process.stdout.readline().strip() == REASON
            took_s = time.monotonic() - began
            process.stdin.write("go on\n")
            process.stdin.close()
            said = process.stdout.read().split("\n")
        ended = {span["schema_name"].rpartition(":")[2]: span for span in api.spans(instance_id)}
    assert took_s < 2 * FLUSH_S + GRACE_S
    assert said[-3:] == [REASON, "0", ""]
    assert ended.pop("run")["status"] == "failed"
    assert [span["status"] for span in ended.values()] == ["cancelled"] * (kind != "was not begun")
