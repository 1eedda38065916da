"""Under uvicorn: a flush in the lifespan delivers all, and a streamed answer holds its run."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from tests.inside import httpx
from tests.loopback import unused_port
from tests.processes import runs_in, settings, start, wait_until
from tests.served import collector
from tests.stored import SPANS

REQUESTS = 20
APP = """
import asyncio, contextlib
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
import remit

@remit.agent
async def answer(kind):
    if kind == "early":
        await asyncio.sleep(60)
    for number in range(20):
        await asyncio.sleep(0.02)
        if kind == "middle" and number == 10:
            await asyncio.sleep(60)
        if kind == "fails" and number == 10:
            raise RuntimeError("the model is gone")
        yield "x" * 10_000

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    await remit.aflush(timeout_s=60)

app = FastAPI(lifespan=lifespan)

@remit.agent
def agent() -> None:
    pass

@app.get("/run")
async def run():
    agent()

@app.get("/{kind}")
async def chat(kind):
    async with answer.run(subject=kind) as run:
        return StreamingResponse(answer(kind), headers={"X-Run": run.key})
"""


def answers(url: str) -> bool:
    """Tell whether the server has started."""
    with suppress(httpx.TransportError):
        return httpx.get(url, trust_env=False, timeout=60).is_success
    return False


def read(url: str, chunks: int | None = None) -> None:
    """Read a response, or its first *chunks* chunks. A chunk may contain several items."""
    with (
        suppress(httpx.RemoteProtocolError),
        httpx.stream("GET", url, trust_env=False, timeout=50) as answer,
    ):
        for _ in islice(answer.iter_raw(), chunks):
            pass


def test_a_flush_in_the_lifespan_delivers_runs_and_streamed_answers(tmp_path: Path) -> None:
    """No interval ends before it. A streamed answer holds its run until it ends.

    It is read to its end, or fails, or its client leaves: in the middle, or before an item.
    """
    (tmp_path / "served.py").write_text(APP)
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token) | {"REMIT_FLUSH_INTERVAL_S": "60"}
        command = ["-m", "uvicorn", "served:app", "--port", str(port), "--log-level", "critical"]
        server = start(command, environ, folder=tmp_path)
        try:
            wait_until(lambda: answers(f"{url}/docs"))
            for _ in range(REQUESTS):
                assert answers(f"{url}/run")
            read(f"{url}/whole")
            read(f"{url}/fails")
            read(f"{url}/middle", 1)
            read(f"{url}/early", 0)
            # The writer starts with the first run, and may deliver it in its first pass.
            assert len(runs_in(tmp_path)) <= 1
            server.terminate()
            assert server.wait(60) == -signal.SIGTERM
        finally:
            server.kill()
            server.communicate()
        assert sorted(spans_in(tmp_path)) == ENDS
        assert Counter(runs_in(tmp_path)) == {"complete": REQUESTS + 3, "failed": 1}


ENDS = [("early", "cancelled"), ("fails", "failed"), ("middle", "cancelled"), ("whole", "complete")]


def spans_in(folder: Path) -> list[tuple[str, str]]:
    """Return what became of each answer, by its kind."""
    query = f"SELECT payload, status FROM {SPANS} WHERE payload LIKE '%kind%'"
    with closing(sqlite3.connect(folder / "remit.db")) as store:
        return [(json.loads(payload)["kind"], status) for payload, status in store.execute(query)]
