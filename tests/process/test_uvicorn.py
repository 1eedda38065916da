"""uvicorn ends by the signal that it got, after the lifespan: a flush there delivers everything."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
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
