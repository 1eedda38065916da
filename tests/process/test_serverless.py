"""Functions that are frozen as soon as a call returns: SIGSTOP after each, SIGKILL in the end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.delivering import hang
from tests.fake_api import FakeApi
from tests.loopback import serving
from tests.processes import (
    DECLARED,
    WRITING_EXIT_S,
    inherit,
    left_in,
    once,
    runs_in,
    settings,
    start,
    steps_in,
)
from tests.served import collector

CALLS = 5
STEPS = 3
# No interval brings anything: only the end of a run does.
FROZEN = {"AWS_LAMBDA_FUNCTION_NAME": "shop", "REMIT_FLUSH_INTERVAL_S": "3600"}

HANDLING = (
    DECLARED
    + f"""
import asyncio, signal

@remit.agent("Function")
def function(first: int) -> int:
    return sum(step(first + each) for each in range({STEPS}))

@remit.agent("Async function")
async def async_function(first: int) -> int:
    await asyncio.sleep(0)
    return sum(step(first + each) for each in range({STEPS}))

@remit.agent("Stream")
def stream(first: int):
    for each in range({STEPS}):
        yield step(first + each)

def block(first: int) -> None:
    with function.run():
        for each in range({STEPS}):
            step(first + each)

async def async_block(first: int) -> None:
    async with function.run():
        for each in range({STEPS}):
            step(first + each)

kinds = [
    function,
    lambda first: asyncio.run(async_function(first)),
    lambda first: list(stream(first)),
    block,
    lambda first: asyncio.run(async_block(first)),
]
for call in range(int(sys.argv[1])):
    kinds[call % len(kinds)](call * {STEPS})
    os.kill(os.getpid(), signal.SIGSTOP)
"""
)


def frozen(program: subprocess.Popen[str]) -> None:
    """Wait until a call has returned and the process is frozen."""
    _, status = os.waitpid(program.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), program.communicate(timeout=60)


def ended(program: subprocess.Popen[str]) -> str:
    """Kill a frozen process, as what runs it does; return what it wrote on stderr."""
    program.kill()
    return program.communicate(timeout=60)[1]


@pytest.mark.timeout(120)
def test_what_a_call_recorded_has_arrived_when_it_returns(tmp_path: Path) -> None:
    """Every span of it, and its run's end; later nothing comes twice."""
    with collector(tmp_path) as server:
        environ = settings(tmp_path, server.url, server.token) | FROZEN
        program = start(HANDLING, environ, CALLS)
        for call in range(1, CALLS + 1):
            frozen(program)
            assert steps_in(tmp_path) == once(range(call * STEPS))
            assert runs_in(tmp_path) == ["complete"] * call
            if call < CALLS:
                program.send_signal(signal.SIGCONT)
        assert ended(program) == ""
        inherit(environ)
    assert steps_in(tmp_path) == once(range(CALLS * STEPS))
    assert runs_in(tmp_path) == ["complete"] * CALLS
    assert left_in(tmp_path) == []


@pytest.mark.timeout(120)
def test_what_cannot_be_delivered_is_on_disk_when_a_call_returns(tmp_path: Path) -> None:
    """A server that never answers; it mends, and the next process delivers all of it."""
    with serving(hang) as url:
        environ = settings(tmp_path, url, "t", exit_timeout_s=WRITING_EXIT_S) | FROZEN
        program = start(HANDLING, environ, CALLS)
        for call in range(1, CALLS + 1):
            frozen(program)
            if call < CALLS:
                program.send_signal(signal.SIGCONT)
        assert "Traceback" not in ended(program)
    api = FakeApi()
    with serving(api.behave, int(url.rpartition(":")[2])):
        inherit(environ)
    numbers = [span["payload"]["number"] for span in api.spans.values() if is_step(span)]
    assert sorted(numbers) == list(range(CALLS * STEPS))
    assert {run["status"] for run in api.instances.values()} == {"complete"}
    assert len(api.instances) == CALLS
    assert left_in(tmp_path) == []


def is_step(span: dict[str, object]) -> bool:
    """Tell whether a span is one of the steps."""
    return span["schema_name"] == "step"
