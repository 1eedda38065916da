"""A run in a process of its own that an operator terminates at the server, over a real socket."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.collecting import details
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
print(remit.flush().pending)
"""


@pytest.mark.parametrize(
    ("kind", "poll_interval_s"),
    [
        ("function", NEVER_S),
        ("coroutine", NEVER_S),
        ("block", NEVER_S),
        ("generator", FLUSH_S),
        ("async generator", FLUSH_S),
    ],
)
def test_a_terminated_run_stops_within_an_interval(
    kind: str, poll_interval_s: float, tmp_path: Path
) -> None:
    """Whoever records hears of it with the next answer, who does not by looking."""
    with collector(tmp_path) as served:
        api = served.api
        waits = [str(FLUSH_S), str(poll_interval_s)]
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
            assert process.stdout.read().split() == ["0", "terminated", "0"]
        assert process.returncode == 0
        assert took_s < FLUSH_S + GRACE_S
        instance = api.shown(instance_id)
        assert (instance["status"], instance["termination_reason"]) == ("terminated", REASON)
        assert {span["status"] for span in api.spans(instance_id)} <= {
            "complete",
            "cancelled",
            "failed",
        }
