"""An ASGI app called without a port, a thread or a loop: from anywhere, at any time."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from dirty_equals import IsPartialDict
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from remit._base import guard
from remit.client._inprocess import AsgiApp, InProcessTransport
from tests.inside import httpx
from tests.subtests import each

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
URL = "http://remit.invalid"


def sync_client(app: AsgiApp) -> httpx.Client:
    """Return a client of *app*."""
    return httpx.Client(transport=InProcessTransport(app), base_url=URL)


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answer what was asked, by hand."""
    message = await receive()
    assert (await receive())["type"] == "http.disconnect"
    said = {
        **{name: scope[name] for name in ("type", "method", "scheme", "path", "server")},
        "query": scope["query_string"].decode(),
        "raw_path": scope["raw_path"].decode(),
        "x-name": dict(scope["headers"])[b"x-name"].decode(),
        "body": message["body"].decode(),
        "more": message["more_body"],
    }
    await send({"type": "http.response.start", "status": 201, "headers": [[b"X-Said", b"yes"]]})
    await send({"type": "http.response.body", "body": json.dumps(said).encode(), "more_body": True})
    await send({"type": "http.response.debug"})
    await send({"type": "http.response.body", "more_body": False})


EXPECTED = {
    "type": "http",
    "method": "POST",
    "scheme": "http",
    "path": "/a b/c",
    "server": ["remit.invalid", 80],
    "query": "q=1&q=2",
    "raw_path": "/a%20b/c",
    "x-name": "value",
    "body": "hello",
    "more": False,
}


def test_an_app_gets_the_request_and_answers_it() -> None:
    """The scope is what a server would make of the request."""
    with sync_client(echo) as client:
        answer = client.post("/a b/c?q=1&q=2", content=b"hello", headers={"X-Name": "value"})
    assert (answer.status_code, answer.headers["x-said"]) == (201, "yes")
    assert answer.json() == EXPECTED


def test_a_port_in_the_url_is_handed_over() -> None:
    """The default port is that of the scheme."""
    with sync_client(echo) as client:
        for url, server in (("http://h:81/", ["h", 81]), ("https://h/", ["h", 443])):
            answer = client.get(url, headers={"X-Name": "v"})
            assert answer.json() == IsPartialDict(server=server)


async def read(request: Request) -> Response:
    """Answer a JSON body and a path parameter."""
    return JSONResponse({"id": request.path_params["id"], "said": await request.json()})


async def stream(_request: Request) -> Response:
    """Answer in parts."""

    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            yield f"{number};"

    return StreamingResponse(parts())


async def fail(request: Request) -> Response:
    """Raise."""
    await request.body()
    raise ValueError("s3cret")


async def sleep(_request: Request) -> Response:
    """Wait for a moment, which only a loop can."""
    await asyncio.sleep(0.01)
    return PlainTextResponse("never")


async def yield_once(_request: Request) -> Response:
    """Wait without a loop."""
    await asyncio.sleep(0)
    return PlainTextResponse("never")


async def use_thread(_request: Request) -> Response:
    """Use a worker thread."""
    return PlainTextResponse(await run_in_threadpool(str, "never"))


async def use_asyncio_thread(_request: Request) -> Response:
    """Use a worker thread of asyncio's."""
    # From Python 3.14 on a thread that has ended already is not waited for.
    await asyncio.to_thread(threading.Event().wait, 0.2)
    return PlainTextResponse("never")


def blocking(_request: Request) -> Response:
    """Be a plain function, for which starlette uses a worker thread."""
    return PlainTextResponse("never")


async def other_runtime_error(_request: Request) -> Response:
    """Raise what has nothing to do with waiting."""
    raise RuntimeError("something else")


WAITING = [sleep, yield_once, use_thread, use_asyncio_thread, blocking]
APP = Starlette(
    routes=[
        Route("/read/{id}", read, methods=["POST"]),
        Route("/stream", stream),
        Route("/fail", fail),
        Route("/other_runtime_error", other_runtime_error),
        *[Route(f"/{handler.__name__}", handler) for handler in WAITING],
    ]
)


def test_starlette_works() -> None:
    """Routes, parameters, JSON, streams and its own refusals are answered."""
    with sync_client(APP) as client:
        assert client.post("/read/7", json={"a": 1}).json() == {"id": "7", "said": {"a": 1}}
        assert client.get("/stream").text == "0;1;2;"
        assert client.get("/read/7").status_code == 405
        assert client.get("/nothing").status_code == 404
    assert not guard.faults.counts


@each("handler", WAITING, ids=lambda handler: handler.__name__)
def test_a_handler_that_waits_has_answered_500(handler: Callable[..., Any]) -> None:
    """There is no event loop that could go on with it."""
    with sync_client(APP) as client:
        assert client.get(f"/{handler.__name__}").status_code == 500
    assert guard.faults.counts["the app inside this process"]


def test_an_app_that_raises_has_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    """The fault is counted, and logged by its type only."""
    with sync_client(APP) as client, caplog.at_level(logging.DEBUG, "remit"):
        assert client.get("/fail").status_code == 500
        assert client.get("/other_runtime_error").status_code == 500
    assert guard.faults.counts["the app inside this process"] == 2
    assert "ValueError" in caplog.text
    assert "s3cret" not in caplog.text


async def raises(_scope: Message, _receive: Receive, _send: Send) -> None:
    """Raise before anything."""
    raise KeyError("s3cret")


async def raises_in_between(_scope: Message, _receive: Receive, send: Send) -> None:
    """Raise within the answer."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise KeyError("s3cret")


async def says_nothing(_scope: Message, _receive: Receive, _send: Send) -> None:
    """End without an answer."""


@each("app", [raises, raises_in_between, says_nothing], ids=lambda a: a.__name__)
def test_an_app_without_a_whole_answer_is_an_answer_with_500(app: AsgiApp) -> None:
    """The body is an error envelope of the API."""
    with sync_client(app) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert answer.json() == IsPartialDict(status="error", code="internal_error")
    assert "s3cret" not in answer.text


def test_a_fault_of_the_app_is_raised_where_tests_want_it() -> None:
    """The switch of the guard decides."""
    guard.faults.strict = True
    with sync_client(raises) as client, pytest.raises(KeyError):
        client.get("/")


async def interrupts(_scope: Message, _receive: Receive, _send: Send) -> None:
    """Be interrupted by the user."""
    raise KeyboardInterrupt


def test_an_interrupt_is_not_contained() -> None:
    """It passes through the app to the caller."""
    with sync_client(interrupts) as client, pytest.raises(KeyboardInterrupt):
        client.get("/")


colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


async def paints(_scope: Message, _receive: Receive, send: Send) -> None:
    """Change the context."""
    before = colour.get()
    colour.set("red")
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": before.encode()})


def test_what_an_app_sets_in_its_context_stays_there() -> None:
    """The caller's context is unchanged."""
    colour.set("blue")
    with sync_client(paints) as client:
        assert [client.get("/").text, client.get("/").text] == ["blue", "blue"]
    assert colour.get() == "blue"


def test_threads_call_at_once() -> None:
    """Each gets its own answers."""
    gate = threading.Barrier(8)
    answers: list[Any] = []
    transport = InProcessTransport(APP)

    def call(number: int) -> None:
        with httpx.Client(transport=transport, base_url=URL) as client:
            gate.wait()
            for step in range(20):
                said = client.post(f"/read/{number}", json=[number, step]).json()
                answers.append((number, step, said))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 160
    for number, step, said in answers:
        assert said == {"id": str(number), "said": [number, step]}


async def test_it_works_inside_a_loop_that_runs() -> None:
    """A coroutine may make a synchronous call."""
    with sync_client(APP) as client:
        assert client.post("/read/7", json=1).json() == {"id": "7", "said": 1}


AT_EXIT = """
import atexit, threading
from tests.inside import httpx
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from remit.client._inprocess import InProcessTransport
from remit.client._library import httpx

async def read(request):
    return JSONResponse(await request.json())

app = Starlette(routes=[Route("/", read, methods=["POST"])])
client = httpx.Client(transport=InProcessTransport(app), base_url="http://remit.invalid")

def last():
    print(client.post("/", json={"when": "at exit"}).json())

atexit.register(last)
threading.Thread(target=lambda: client.post("/", json=1)).start()
print(client.post("/", json={"when": "before"}).json())
"""


def test_it_works_while_the_interpreter_exits() -> None:
    """No executor takes work at that time."""
    ran = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout.split("\n") == ["{'when': 'before'}", "{'when': 'at exit'}", ""]
    assert ran.stderr == ""
