"""What is in flight when a process ends or forks: each span ends once, by who began it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.sources import ROOT
from tests.fake_api import FakeApi
from tests.loopback import serving
from tests.served import environment
from tests.untraced import UNTRACED

PROGRAM = """
import asyncio, os, sys
import remit

url, what = sys.argv[1:]
remit.configure(api_url=url, api_token="token", flush_interval_s=60)

@remit.agent
def agent(): ...

@remit.span_type("stream")
def stream():
    yield 1
    yield 2

@remit.span_type("stream_later")
async def stream_later():
    yield 1
    yield 2

@remit.span_type("returned")
def returned():
    return map(int, "12")

@remit.span_type("awaited")
def awaited():
    return asyncio.sleep(0)

def begun(stream):
    try:
        stream.asend(None).send(None)
    except StopIteration:
        return stream

HELD = {
    "generator": lambda: (held := stream(), next(held)),
    "async generator": lambda: begun(stream_later()),
    "iterator": lambda: (held := returned(), next(held)),
    "coroutine": lambda: awaited(),
}

def fork(held):
    child = os.fork()
    if not child:
        del held[0]
        remit.flush()
        os._exit(0)
    os.waitpid(child, 0)
    list(held[0])

with agent.run() as run:
    if what in HELD:
        held = HELD[what]()
    else:
        held = [returned()]
        next(held[0])
        fork(held)
"""


def spans_of(what: str, folder: Path) -> list[dict[str, Any]]:
    """Return the spans that arrive from a program that ends with *what* in flight."""
    api = FakeApi()
    with serving(api.behave) as url:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, url, what],
            cwd=ROOT,
            env=environment(folder) | UNTRACED,
            timeout=60,
            check=True,
        )
    (instance,) = api.instances.values()
    assert instance["status"] == "complete"
    return [span for span in api.spans.values() if span["schema_name"] != "remit:run"]


@pytest.mark.parametrize("what", ["generator", "async generator", "iterator", "coroutine"])
def test_what_is_still_referenced_at_exit_is_cancelled(what: str, tmp_path: Path) -> None:
    """Its span ends, with the items that came, and the run that waited for it is complete."""
    (span,) = spans_of(what, tmp_path)
    assert span["status"] == "cancelled"
    if what != "coroutine":
        assert span["result_payload"]["items"] == [1]


def test_the_child_of_a_fork_ends_nothing_of_its_parent(tmp_path: Path) -> None:
    """The child drops its copy of a stream; the parent takes the rest, and its span is complete."""
    (span,) = spans_of("fork", tmp_path)
    assert span["status"] == "complete"
    assert span["result_payload"]["items"] == [1, 2]
