"""FastAPI: streaming responses, sync dependencies, clients that disconnect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse

import remit
from remit.testing import RecordingSink, isolated
from tests.inside import Run


@remit.span_type
async def step(n: int) -> int:
    """Double."""
    await asyncio.sleep(0)
    return n * 2


@remit.span_type
def sync_step(n: int) -> int:
    """Halve."""
    return n // 2


@remit.agent("Streamer")
async def support(question: str) -> AsyncIterator[str]:
    """Answer word by word."""
    for n, word in enumerate(question.split()):
        await step(n)
        yield word + " "


def sync_dependency() -> Iterator[Run]:
    """Hold a run open around the endpoint, on FastAPI's own worker thread."""
    with support.run(subject="dependency") as run:
        yield run


def application() -> FastAPI:
    """Return an application with the three shapes that people write."""
    app = FastAPI()

    @app.get("/stream")
    async def stream(question: str) -> StreamingResponse:
        async with support.run(subject="stream"):
            return StreamingResponse(support(question), media_type="text/plain")

    @app.get("/dependency")
    def dependency(run: Annotated[Run, Depends(sync_dependency)]) -> dict[str, int]:
        with run.use():
            return {"value": sync_step(8)}

    @app.get("/decorated")
    @remit.span_type("endpoint")
    async def decorated(n: int) -> dict[str, int]:
        return {"n": n}

    @app.get("/returned")
    @remit.agent("Returner")
    async def returned(words: int) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for n in range(words):
                yield f"{await step(n)} "

        return StreamingResponse(body(), media_type="text/plain")

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async with support.run(subject="endless"):
            return StreamingResponse(support("word " * 100_000), media_type="text/plain")

    return app


@pytest.fixture
def recorder(caplog: pytest.LogCaptureFixture) -> Iterator[RecordingSink]:
    """Record into memory; no error may be logged by anyone."""
    with isolated() as sink:
        yield sink
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def call(
    app: FastAPI, path: str, query: str = "", *, leave_after: int | None = None
) -> bytes:
    """Send one GET through ASGI; with *leave_after* the client disconnects after so many parts."""
    parts: list[bytes] = []
    requests: list[dict[str, object]] = [{"type": "http.request", "body": b"", "more_body": False}]
    gone = asyncio.Event()

    async def receive() -> dict[str, object]:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            parts.append(bytes(message["body"]))  # type: ignore[call-overload]
            if leave_after is not None and len(parts) >= leave_after:
                gone.set()
        await asyncio.sleep(0)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    return b"".join(parts)


def test_a_stream_outlives_the_block_of_its_run(recorder: RecordingSink) -> None:
    """The block of the run ends before the stream does; the run ends with the stream."""
    body = asyncio.run(call(application(), "/stream", "question=where+is+it"))
    assert body == b"where is it "
    (run,) = recorder.runs
    assert run.status == "complete"
    (stream,) = recorder.spans("support")
    assert stream.status == "complete"
    assert stream.parent == run.root.key
    assert (stream.result or {})["count"] == 3
    assert [span.parent for span in recorder.spans("step")] == [stream.key] * 3


def test_a_returned_response_is_the_span_of_its_endpoint(recorder: RecordingSink) -> None:
    """An endpoint that is an agent has a run until its response was sent, with all that it did."""
    body = asyncio.run(call(application(), "/returned", "words=3"))
    assert body == b"0 2 4 "
    (run,) = recorder.runs
    assert run.status == "complete"
    (endpoint,) = recorder.spans("returned")
    assert (endpoint.status, (endpoint.result or {})["items"]) == ("complete", ["0 ", "2 ", "4 "])
    assert [span.parent for span in recorder.spans("step")] == [endpoint.key] * 3
    ended = [span.finished_ns or 0 for span in recorder.spans("step")]
    assert max(ended) <= (endpoint.finished_ns or 0)


def test_a_returned_response_is_cancelled_with_its_client(recorder: RecordingSink) -> None:
    """With what was sent until then; nobody logs an error."""
    asyncio.run(call(application(), "/returned", "words=100000", leave_after=5))
    (endpoint,) = recorder.spans("returned")
    assert endpoint.status == "cancelled"
    assert (endpoint.result or {})["count"] >= 4
    (run,) = recorder.runs
    assert (run.root.status, (run.root.result or {})["status"]) == ("cancelled", "cancelled")
    # The API has no word for such a run.
    assert run.status == "complete"


def test_a_sync_dependency_holds_a_run_around_the_endpoint(recorder: RecordingSink) -> None:
    """Entered and left on worker threads of FastAPI's, in different contexts."""
    body = asyncio.run(call(application(), "/dependency"))
    assert body == b'{"value":4}'
    (run,) = recorder.runs
    assert run.status == "complete"
    (span,) = recorder.spans("sync_step")
    assert (span.run_key, span.parent, span.status) == (run.key, run.root.key, "complete")


def test_a_client_that_disconnects_cancels_the_stream(recorder: RecordingSink) -> None:
    """The stream is cancelled, its run closed, and nobody logs an error."""
    asyncio.run(call(application(), "/endless", leave_after=5))
    (run,) = recorder.runs
    (stream,) = recorder.spans("support")
    assert stream.status == "cancelled"
    assert stream.parent == run.root.key
    assert (run.root.status, (run.root.result or {})["status"]) == ("cancelled", "cancelled")
    assert run.status == "complete"
    assert {span.status for span in recorder.spans("step")} <= {"complete", "cancelled"}


def test_a_decorated_endpoint_keeps_its_signature(recorder: RecordingSink) -> None:
    """FastAPI reads parameters through the wrapper; outside a run the endpoint just works."""
    assert asyncio.run(call(application(), "/decorated", "n=3")) == b'{"n":3}'
    assert recorder.runs == []
