"""A web service with a run for each request, and a server of the record that is far away.

A few seconds of it here; `REMIT_TEST_SERVICE_S=600` for ten minutes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests import sink
from tests.endurance import Place, sizes_of
from tests.inside import httpx
from tests.loopback import unused_port
from tests.process.test_uvicorn import answers
from tests.processes import start, wait_until

SECONDS = float(os.environ.get("REMIT_TEST_SERVICE_S", "6"))
FAR_S = 0.05
"""Seconds before each answer of the server."""
RATE = 200
"""Requests a second."""
CLIENTS = 4
STEPS = 8
ITEMS = STEPS + 3
"""What waits of a request: its spans, the run's own, and the run's begin and end."""
BACKLOG_S = 2
"""How many seconds' worth may wait: the tests beside this one take the sender's CPU at times.

After a pause of the machine, the clients send the requests that were due during it at once.
"""
LOOK_EVERY_S = 0.5
GROWTH_KIB = 8 * 1024
APP = """
from pathlib import Path
from fastapi import FastAPI
import remit

app = FastAPI()

@remit.span_type
async def look_up(order_id: str) -> dict[str, str]:
    return {"order": order_id, "state": "shipped"}

@remit.agent
async def assistant() -> None:
    pass

@app.get("/orders/{order_id}")
async def orders(order_id: str) -> list[dict[str, str]]:
    async with assistant.run():
        return [await look_up(order_id) for _ in range(8)]

@app.get("/state")
async def state() -> dict[str, object]:
    status = remit.status()
    (memory,) = [
        line.split()[1]
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    ]
    return {"pending": status.pending, "dropped": status.dropped, "memory_kib": int(memory)}
"""


def ask(url: str, first: int, until_s: float, asked: list[int]) -> None:
    """Ask for orders, at a rate that does not depend on the answers."""
    began_s = time.monotonic()
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        number = first
        while (due_s := began_s + (number - first) / RATE) < until_s:
            threading.Event().wait(max(0.0, due_s - time.monotonic()))
            client.get(f"/orders/{number}").raise_for_status()
            asked.append(number)
            number += CLIENTS


@pytest.mark.gate
@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: reads /proc")
@pytest.mark.timeout(60 + 2 * SECONDS)
def test_a_service_with_a_server_far_away_keeps_up(tmp_path: Path) -> None:
    """Little waits at any moment, memory stays flat, and each run and span arrives once."""
    service_port = unused_port()
    url = f"http://127.0.0.1:{service_port}"
    (tmp_path / "service.py").write_text(APP)
    with sink.running("--delay-s", str(FAR_S)) as port:
        place = Place(tmp_path / "data", port)
        command = ["-m", "uvicorn", "service:app", "--port", str(service_port), "--no-access-log"]
        service = start(command, place.environment(exit_timeout_s=60), folder=tmp_path)
        try:
            wait_until(lambda: answers(f"{url}/state"))
            states, asked = observed(url)
            service.send_signal(signal.SIGINT)
            said = service.communicate(timeout=60)[1]
        finally:
            service.kill()
        arrived = sink.counts(port)
    assert said.count("ERROR") == 0, said
    assert len(asked) >= 0.9 * RATE * SECONDS
    late = states[-max(1, len(states) // 4) :]
    waiting = [state["pending"] / max(RATE * BACKLOG_S, state["asked_lately"]) for state in late]
    assert median(waiting) < ITEMS
    assert all(state["dropped"] == {} for state in states)
    before = states[len(states) // 4 : len(states) // 2]
    grown_kib = median(map(memory_of, late)) - median(map(memory_of, before))
    assert grown_kib <= GROWTH_KIB
    assert arrived["look_up"] == STEPS * len(asked)
    assert arrived["run"] == len(asked)
    assert arrived["spans"] == arrived["distinct"]
    assert sizes_of(place.spool) == {}


def memory_of(state: dict[str, Any]) -> int:
    """Return the resident memory that a service tells."""
    memory_kib: int = state["memory_kib"]
    return memory_kib


def observed(url: str) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the states of a service while it is asked, and the numbers of the requests."""
    asked: list[int] = []
    until_s = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=ask, args=(url, number, until_s, asked))
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    states: list[dict[str, Any]] = []
    looks: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def look() -> None:
        state = httpx.get(f"{url}/state", trust_env=False, timeout=60).json()
        now_s, count = time.monotonic(), len(asked)
        before = max(count for at_s, count in looks if at_s <= now_s - BACKLOG_S or not count)
        states.append({**state, "asked_lately": count - before})
        looks.append((now_s, count))

    while time.monotonic() < until_s:
        look()
        threading.Event().wait(LOOK_EVERY_S)
    for thread in threads:
        thread.join()
    look()
    return states, asked
