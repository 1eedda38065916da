"""Two services and a spawned pool: `remit runs show` of either run names the other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.inside import httpx
from tests.loopback import unused_port
from tests.processes import settings, start, told_by, wait_until
from tests.served import collector

pytestmark = pytest.mark.gate

INNER = """
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import remit
from fastapi import Depends, FastAPI, Request

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    await remit.aflush(timeout_s=60)

app = FastAPI(lifespan=lifespan)

@remit.agent("Prices")
async def prices(word: str) -> int:
    return len(word)

async def recorded(request: Request) -> AsyncIterator[object]:
    async with prices.run(traceparent=request.headers.get("traceparent")) as run:
        yield run

@app.get("/price", dependencies=[Depends(recorded)])
async def price(word: str) -> int:
    return await prices(word)
"""
OUTER = """
import contextlib, os

import httpx
import remit
from fastapi import FastAPI

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    await remit.aflush(timeout_s=60)

app = FastAPI(lifespan=lifespan)

@remit.span_type
async def ask(word: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        url = os.environ["INNER_URL"] + "/price"
        answer = await client.get(url, params={"word": word}, headers=remit.trace_headers())
    return answer.json()

@remit.agent("Shop")
async def shop(word: str) -> int:
    return await ask(word)

@app.get("/buy")
async def buy(word: str) -> dict[str, object]:
    async with shop.run() as run:
        return {"price": await shop(word), "run": run.key}
"""
POOL = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import remit

@remit.agent("Part")
def part(page: int) -> int:
    return page * page

def work(page: int, headers: dict[str, str]) -> int:
    with part.run(**headers):
        result = part(page)
    remit.flush(60)
    return result

@remit.agent("Whole")
def whole(pages: int) -> int:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        return sum(pool.map(work, range(pages), [remit.trace_headers()] * pages))

if __name__ == "__main__":
    with whole.run() as run:
        assert whole(3) == 5
    print(run.key)
"""


def answers(url: str) -> bool:
    """Tell whether a service has started."""
    with suppress(httpx.TransportError):
        return httpx.get(url, trust_env=False, timeout=60).is_success
    return False


def show(run: str, environ: Mapping[str, str]) -> str:
    """Return what `remit runs show` prints of a run."""
    command = [sys.executable, "-m", "remit", "runs", "show", run]
    env = {**environ, "COLUMNS": "100"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return ran.stdout


def linked(run: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the links of a run as JSON."""
    command = [sys.executable, "-m", "remit", "runs", "show", run, "--json"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    return {name: found[name] for name in ("caused_by", "caused")}


def test_the_runs_of_two_services_name_each_other(tmp_path: Path) -> None:
    """The header goes with a request from within a step of the one to the other."""
    (tmp_path / "inner.py").write_text(INNER)
    (tmp_path / "outer.py").write_text(OUTER)
    urls = {name: f"http://127.0.0.1:{unused_port()}" for name in ("inner", "outer")}
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token) | {"INNER_URL": urls["inner"]}
        services = [
            start(
                ["-m", "uvicorn", f"{name}:app", "--port", url.rpartition(":")[2]],
                environ | {"REMIT_DATA_DIR": str(tmp_path / name)},
                folder=tmp_path,
            )
            for name, url in urls.items()
        ]
        try:
            for url in urls.values():
                wait_until(partial(answers, f"{url}/docs"))
            bought = httpx.get(f"{urls['outer']}/buy", params={"word": "lamp"}, timeout=60).json()
            assert bought["price"] == 4
            for service in services:
                service.terminate()
                assert service.wait(60) == -signal.SIGTERM
        finally:
            for service in services:
                service.kill()
                service.communicate()
        (caused,) = linked(bought["run"], environ)["caused"]
        assert f"caused     {caused['key']}  Prices  complete" in show(bought["run"], environ)
        # The inner run began last.
        assert f"caused by  {bought['run']}  Shop  complete" in show("last", environ)


@pytest.mark.parametrize("mode", ["remote", "local"])
def test_a_spawned_pool_and_its_parent_name_each_other(tmp_path: Path, mode: str) -> None:
    """Headers are arguments of the tasks."""
    (tmp_path / "pool.py").write_text(POOL)
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        if mode == "local":
            environ |= {"REMIT_MODE": "local"}
        whole = told_by(start(["pool.py"], environ, folder=tmp_path))[0].strip()
        caused = linked(whole, environ)["caused"]
        assert len(caused) == 3
        shown = show(whole, environ)
        assert all(f"{part['key']}  Part  complete" in shown for part in caused)
        for run in ("last", *(part["key"] for part in caused)):
            assert f"caused by  {whole}  Whole  complete" in show(run, environ)
