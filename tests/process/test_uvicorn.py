"""Under uvicorn: a flush in the lifespan delivers all, and a streamed answer holds its run."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import httpx

from tests.loopback import unused_port
from tests.processes import runs_in, settings, wait_until
from tests.served import collector

REQUESTS = 20
APP = """
import remit

@remit.agent("Under uvicorn")
def agent() -> None:
    pass

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await remit.aflush(timeout_s=20.0)
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/run":
        agent()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""

STREAMING_APP = """
import asyncio, contextlib
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
import remit

@remit.agent
async def answer(kind):
    await asyncio.sleep(0.3)
    for number in range(20):
        await asyncio.sleep(0.02)
        if kind == "fails" and number == 10:
            raise RuntimeError("the model is gone")
        yield "x" * 10_000

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    await remit.aflush(timeout_s=20.0)

app = FastAPI(lifespan=lifespan)

@app.get("/{kind}")
async def chat(kind):
    async with answer.run(subject=kind) as run:
        return StreamingResponse(answer(kind), headers={"X-Run": run.key})
"""


def answers(url: str) -> bool:
    """Tell whether the server has started."""
    with suppress(httpx.TransportError):
        return httpx.get(url, trust_env=False).is_success
    return False


def test_a_flush_in_the_lifespan_is_in_time(tmp_path: Path) -> None:
    """No exit handler runs, and no interval ends: nothing else would deliver it."""
    (tmp_path / "served.py").write_text(APP)
    port = unused_port()
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token) | {"REMIT_FLUSH_INTERVAL_S": "60"}
        command = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port)]
        server = subprocess.Popen([*command, "--log-level", "error"], cwd=tmp_path, env=environ)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/"))
            for _ in range(REQUESTS):
                assert answers(f"http://127.0.0.1:{port}/run")
            server.terminate()
            assert server.wait(60) == -signal.SIGTERM
        finally:
            server.kill()
            server.wait()
        assert runs_in(tmp_path) == ["complete"] * REQUESTS


def read(url: str, chunks: int | None = None) -> None:
    """Read an answer; leave after so many chunks."""
    with (
        suppress(httpx.RemoteProtocolError),
        httpx.stream("GET", url, trust_env=False, timeout=30) as answer,
    ):
        for number, _ in enumerate(answer.iter_raw(), start=1):
            if number == chunks:
                return


def leave_at_once(url: str) -> None:
    """Ask, and go before the answer begins."""
    with suppress(httpx.ReadTimeout):
        httpx.get(url, trust_env=False, timeout=httpx.Timeout(30, read=0.1))


def test_a_streamed_answer_holds_its_run_until_it_ends(tmp_path: Path) -> None:
    """It is read to its end, or fails, or its client leaves: in the middle, or before an item."""
    (tmp_path / "served.py").write_text(STREAMING_APP)
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        command = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port)]
        server = subprocess.Popen([*command, "--log-level", "critical"], cwd=tmp_path, env=environ)
        try:
            wait_until(lambda: answers(f"{url}/docs"))
            read(f"{url}/whole")
            read(f"{url}/fails")
            read(f"{url}/middle", 3)
            leave_at_once(f"{url}/early")
            wait_until(lambda: sorted(spans_in(tmp_path)) == ENDS)
        finally:
            server.terminate()
            server.wait(60)
        assert runs_in(tmp_path) == ["complete", "failed", "complete", "complete"]


ENDS = [("early", "cancelled"), ("fails", "failed"), ("middle", "cancelled"), ("whole", "complete")]


def spans_in(folder: Path) -> list[tuple[str, str]]:
    """Return what became of each answer, by its kind."""
    query = "SELECT payload, status FROM agent_spans WHERE payload LIKE '%kind%'"
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return [(json.loads(payload)["kind"], status) for payload, status in store.execute(query)]
