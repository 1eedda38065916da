"""A function called without a port, a thread or a loop: from anywhere, at any time."""

from __future__ import annotations

import contextvars
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from dirty_equals import IsPartialDict

from remit._base import guard
from remit.client._inprocess import Handle, InProcessTransport
from tests.inside import httpx

URL = "http://remit.invalid"


class Answer(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def client_of(handle: Handle) -> httpx.Client:
    """Return a client of *handle*."""
    return httpx.Client(transport=InProcessTransport(handle), base_url=URL)


def echo(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> Answer:
    """Answer with the request."""
    parts = {"method": method, "path": path, "query": query, "x-name": headers["x-name"]}
    return Answer(201, {"X-Said": "yes"}, json.dumps({**parts, "body": body.decode()}).encode())


def fails(*_: object) -> Answer:
    """Raise."""
    raise ValueError("s3cret")


def test_a_function_gets_the_request_and_answers_it() -> None:
    """The path is decoded, and header names are in lower case."""
    with client_of(echo) as client:
        answer = client.post("/a%20b/c?q=1&r=%2B", content=b"hello", headers={"X-Name": "v"})

    assert (answer.status_code, answer.headers["x-said"]) == (201, "yes")
    assert answer.json() == {
        "method": "POST",
        "path": "/a b/c",
        "query": {"q": "1", "r": "+"},
        "x-name": "v",
        "body": "hello",
    }


def test_a_function_that_raises_has_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    """The fault is counted, and logged by its type only."""
    with client_of(fails) as client, caplog.at_level(logging.DEBUG, "remit"):
        answer = client.get("/")

    assert answer.status_code == 500
    assert answer.json() == IsPartialDict(status="error", code="internal_error")
    assert guard.faults.counts["the collector inside this process"] == 1
    assert "ValueError" in caplog.text
    assert "s3cret" not in caplog.text + answer.text


def test_a_fault_is_raised_where_tests_want_it() -> None:
    """The switch of the guard decides."""
    guard.faults.strict = True
    with client_of(fails) as client, pytest.raises(ValueError, match="s3cret"):
        client.get("/")


def test_an_interrupt_is_not_contained() -> None:
    """It passes through to the caller."""

    def interrupts(*_: object) -> Answer:
        raise KeyboardInterrupt

    with client_of(interrupts) as client, pytest.raises(KeyboardInterrupt):
        client.get("/")


colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


def test_what_a_function_sets_in_its_context_stays_there() -> None:
    """The caller's context is unchanged."""

    def paints(*_: object) -> Answer:
        before = colour.get()
        colour.set("red")
        return Answer(200, {}, before.encode())

    colour.set("blue")
    with client_of(paints) as client:
        assert [client.get("/").text, client.get("/").text] == ["blue", "blue"]
    assert colour.get() == "blue"


def test_threads_call_at_once() -> None:
    """Each gets its own answers."""
    gate = threading.Barrier(8)
    answers: list[Any] = []
    transport = InProcessTransport(echo)

    def call(number: int) -> None:
        with httpx.Client(transport=transport, base_url=URL) as client:
            gate.wait()
            for step in range(20):
                sent = {"X-Name": f"{number} {step}"}
                answers.append((sent["X-Name"], client.post("/", headers=sent).json()["x-name"]))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 160
    assert all(sent == answered for sent, answered in answers)


async def test_it_works_inside_a_loop_that_runs() -> None:
    """A coroutine may make a synchronous call."""
    with client_of(echo) as client:
        assert client.post("/", headers={"X-Name": "v"}).json()["x-name"] == "v"


AT_EXIT = """
import atexit, sys, threading
from pathlib import Path
from remit.client._inprocess import InProcessTransport
from remit.client._library import httpx
from remit.collector.local import open_app

handle, token = open_app(Path(sys.argv[1]))
client = httpx.Client(transport=InProcessTransport(handle), base_url="http://remit.invalid")

def ping(when):
    print(when, client.get("/api/v1/ping").json()["status"])

atexit.register(lambda: ping("at exit"))
threading.Thread(target=client.get, args=("/api/v1/ping",)).start()
ping("before")
"""


def test_local_mode_works_while_the_interpreter_exits(tmp_path: Path) -> None:
    """No executor takes work at that time."""
    ran = subprocess.run(
        [sys.executable, "-c", AT_EXIT, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.split("\n") == ["before success", "at exit success", ""]
    assert ran.stderr == ""
