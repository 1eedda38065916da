"""A FastAPI service: one run and eight awaited steps in each request.

uvicorn with uvloop and httptools serves the endpoint in the measured process, which is
`python -m benchmarks.web PEER PORT FOLDER LISTENER`; the last is the descriptor of the socket that
listens. `CLIENTS` connections each ask again as soon as an answer is there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from fastapi import FastAPI

from benchmarks import children, peers
from benchmarks.workloads import ORDERS, Answer
from tests import sink

STEPS: Final = 8
"""Steps of a request."""
CLIENTS: Final = 8
WARM_S: Final = 1.0
LOOK_EVERY_S: Final = 0.01
"""Time between two looks at how late the event loop is."""
OLDEST: Final = 2
"""The oldest generation of the garbage collector."""
REQUEST: Final = b"GET /orders/%d HTTP/1.1\r\nhost: benchmark\r\n\r\n"
HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length: "
OK: Final = b"HTTP/1.1 200 "


class Watch:
    """Watches the garbage collector, and how late the event loop is.

    Attributes:
        collections: Collections of the oldest generation so far.
        pauses_s: Seconds that each collection took, of any generation.
        lags_s: Seconds that the loop was late, at each look.
    """

    def __init__(self) -> None:
        """Watch the collector from now on."""
        self.collections = 0
        self.pauses_s: list[float] = []
        self.lags_s: list[float] = []
        self._began_s = 0.0
        gc.callbacks.append(self._collect)

    def _collect(self, phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            self._began_s = time.perf_counter()
        else:
            self.pauses_s.append(time.perf_counter() - self._began_s)
            self.collections += about["generation"] == OLDEST

    async def look(self) -> None:
        """Look how late the running loop is, again and again."""
        while True:
            due_s = time.perf_counter() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self.lags_s.append(max(0.0, time.perf_counter() - due_s))

    def state(self) -> dict[str, float]:
        """Return CPU and collections so far; of pauses and lags what came since the last call."""
        lags_s, self.lags_s = self.lags_s, []
        pauses_s, self.pauses_s = self.pauses_s, []
        return {
            "cpu_s": time.process_time(),
            "collections": self.collections,
            "pause_ms": max(pauses_s, default=0.0) * 1e3,
            "lag_ms": max(lags_s, default=0.0) * 1e3,
        }


def application(name: str, place: peers.Place) -> FastAPI:
    """Return the service; its second endpoint flushes, and answers with the state of `Watch`."""
    peer = peers.start(name, place)
    watch = Watch()

    @asynccontextmanager
    async def session(_: FastAPI) -> AsyncGenerator[None]:
        # Otherwise some processes collect the objects of the imports during the measurement.
        gc.collect()
        looking = asyncio.create_task(watch.look())
        async with (peer.session_in_loop or nullcontext)():
            yield
        looking.cancel()

    # FastAPI itself records spans where OpenTelemetry is set up; they are not measured.
    service = FastAPI(lifespan=session, telemetry={"tracing": False, "metrics": False})

    async def look_up(order_id: str, limit: int) -> Answer:
        return {"order": order_id, "limit": limit, "state": "shipped"}

    recorded = peer.decorate(look_up)

    @service.get("/orders/{number}")
    async def orders(number: int) -> list[Answer]:
        async with AsyncExitStack() as stack:
            if peer.run_in_loop:
                await stack.enter_async_context(peer.run_in_loop())
            else:
                stack.enter_context(peer.run())
            wanted = ORDERS[number : number + STEPS]
            return [await recorded(order_id, 10) for order_id in wanted]

    @service.get("/state")
    async def state() -> dict[str, float]:
        await asyncio.to_thread(peer.flush)
        return watch.state()

    return service


class Client(asyncio.Protocol):
    """Asks on one connection, again and again.

    Attributes:
        waits_s: Seconds that each request took.
    """

    def __init__(self, first: int, until_s: float) -> None:
        """Ask for orders from *first* on, until a moment of the monotonic clock."""
        self.waits_s: list[float] = []
        self.over = asyncio.get_running_loop().create_future()
        self._until_s, self._number = until_s, first
        self._asked_s = 0.0
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._number = (self._number + 1) % (len(ORDERS) - STEPS)
        self._asked_s = time.perf_counter()
        self._transport.write(REQUEST % self._number)

    def data_received(self, data: bytes) -> None:
        """Ask again after a whole answer, until the time is over."""
        self._received += data
        head, end, body = self._received.partition(HEAD_END)
        if not end or len(body) < int(head.partition(LENGTH)[2].split(b"\r\n")[0]):
            return
        self.waits_s.append(time.perf_counter() - self._asked_s)
        self._received = b""
        if not head.startswith(OK):
            self.over.set_exception(children.ChildError(head.decode().splitlines()[0]))
        elif time.monotonic() < self._until_s:
            self._ask()
        else:
            self.over.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail, unless the time was over."""
        if not self.over.done():
            self.over.set_exception(children.ChildError(f"the service closed: {exc}"))


async def asked(port: int, seconds: float) -> list[float]:
    """Ask for some seconds; return how many seconds each request took."""
    loop, until_s = asyncio.get_running_loop(), time.monotonic() + seconds
    firsts = range(0, len(ORDERS) - STEPS, len(ORDERS) // CLIENTS)
    clients: list[Client] = []
    for first in firsts:
        new = partial(Client, first, until_s)
        clients.append((await loop.create_connection(new, "127.0.0.1", port))[1])
    async with asyncio.timeout(children.PATIENCE_S):
        await asyncio.gather(*(client.over for client in clients))
    return [wait_s for client in clients for wait_s in client.waits_s]


def state(port: int) -> dict[str, float]:
    """Return the state of the service when everything is sent, as `Watch.state` does."""
    url = f"http://127.0.0.1:{port}/state"
    with urllib.request.urlopen(url, timeout=children.PATIENCE_S) as response:
        answer: dict[str, float] = json.loads(response.read())
    return answer


def measure(name: str, seconds: float, delay_s: float = 0.0) -> dict[str, Any]:
    """Return requests a second, CPU and waiting time of a request, collections and lags.

    Args:
        name: The peer.
        seconds: Seconds of asking.
        delay_s: Seconds before each answer of the server that the peer sends to.

    Raises:
        ChildError: The service answered with an error, or closed a connection.
        OSError: The service has ended.
    """
    with (
        sink.running("--delay-s", str(delay_s), module=children.SINK) as sink_port,
        tempfile.TemporaryDirectory(prefix="remit-bench-") as folder,
        service_of(name, sink_port, folder) as port,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        # The first answer comes when the service has started.
        state(port)
        warm = runner.run(asked(port, WARM_S))
        before = state(port)
        waits_s = runner.run(asked(port, seconds))
        after = state(port)
        arrived = sink.counts(sink_port)
    spans = (arrived["distinct"] or arrived["spans"]) - arrived["loss"] - arrived["cut"]
    return {
        "rate": len(waits_s) / seconds,
        "cpu_us": (after["cpu_s"] - before["cpu_s"]) / len(waits_s) * 1e6,
        "median_ms": statistics.median(waits_s) * 1e3,
        "p99_ms": statistics.quantiles(waits_s, n=100)[-1] * 1e3,
        "collections": (after["collections"] - before["collections"]) / seconds * 10,
        "pause_ms": after["pause_ms"],
        "lag_ms": after["lag_ms"],
        "spans": spans / (len(waits_s) + len(warm)),
    }


@contextmanager
def service_of(name: str, sink_port: int, folder: str) -> Generator[int]:
    """Start the service; yield the port where it listens, from the first moment on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "benchmarks.web", name]
        command += map(str, (sink_port, folder, descriptor))
        started = children.started(
            command, children.environment(name), pass_fds=[descriptor], stderr=subprocess.DEVNULL
        )
        with started:
            # From here on, the end of the service closes the port.
            listener.close()
            yield port


def main() -> None:
    """Serve in this process."""
    name, port, folder, listener = sys.argv[1:]
    service = application(name, peers.Place(int(port), Path(folder)))
    config = uvicorn.Config(service, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(listener))])


if __name__ == "__main__":
    main()
