"""The sink: a server in a process of its own that takes everything and counts what arrived.

It answers the Prefactor API (register, start, finish, bulk, and spans one by one), OTLP over HTTP,
Datadog's agent and Sentry. `GET /counts` tells how many spans have arrived, in how many requests
and bytes, and when the first and the last of them did by the monotonic clock; of the bulk API's,
how many different ones, and how many of them without their payload.
`python -m benchmarks.sink [--port N] [--delay-s S] [--silent]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from benchmarks import protocols
from remit import _ids

MOMENT: Final = "2026-01-01T00:00:00.000000Z"
ACCOUNT: Final = "01m87w83jttgb1tsy0aqwcmb8r9zyn2d"
PARTITION: Final = 7
CUT: Final = b'"$remit":"cut"'
TAKEN: Final = msgspec.Raw(msgspec.json.encode({"status": "success", "details": {"id": ACCOUNT}}))
"""What is answered for each item, encoded once."""
LIMIT_BYTES: Final = 1 << 22
"""Of what is read ahead; larger than most bodies, so that they come in one piece."""
ASKED: Final[dict[str, dict[str, Any]]] = {
    "/info": {"endpoints": ["/v0.4/traces", "/v0.5/traces"], "client_drop_p0s": False},
    "/v1/info": {"project_name": "benchmark", "project_url": "http://127.0.0.1/benchmark"},
}
"""What a peer asks before it sends: Datadog's agent what it takes, Logfire whose the token is."""


class _Details(msgspec.Struct):
    schema_name: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class _Item(msgspec.Struct, rename={"type": "_type"}):
    type: str
    idempotency_key: str
    details: _Details | None = None


class _Bulk(msgspec.Struct):
    items: list[_Item]


_bulk: Final = msgspec.json.Decoder(_Bulk).decode


class Sink:
    """What arrived."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._instances: dict[str, str] = {}
        self._times: dict[str, float] = {}

    def answer(self, path: str, body: bytes, encoding: str = "") -> dict[str, Any]:
        """Return what the server says to one request, after counting it."""
        if path == "/counts":
            return {**self._counts, **self._times, "distinct": len(self._seen)}
        self._counts["requests"] += 1
        self._counts["bytes"] += len(body)
        before = self._counts["spans"]
        answer = self._read(path, protocols.plain(body, encoding))
        if self._counts["spans"] > before:
            now_s = time.monotonic()
            self._times = {"first_s": self._times.get("first_s", now_s), "last_s": now_s}
        return answer

    def _read(self, path: str, body: bytes) -> dict[str, Any]:
        if path.endswith("/bulk"):
            return self._take(_bulk(body).items, any_cut=CUT in body)
        if not path.startswith("/api/v1/"):
            self._counts["spans"] += protocols.spans_in(path, body)
            return ASKED.get(path, {})
        if path.startswith("/api/v1/agent_spans"):
            return {"status": "success", "details": self._one_span(path)}
        if path.startswith("/api/v1/agent_instance"):
            return {"status": "success", "details": self._instance(path, body)}
        return {}

    def _one_span(self, path: str) -> dict[str, Any]:
        """Return a span as the API answers it; the published client sends each by itself."""
        self._counts["spans"] += not path.endswith("/finish")
        return {
            "type": "agent_span",
            "id": _ids.pfid(_ids.new_key(time.time_ns()), PARTITION),
            "agent_instance_id": ACCOUNT,
            "schema_name": "step",
            "status": "active",
        }

    def _take(self, items: list[_Item], *, any_cut: bool) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for item in items:
            if item.details is not None:
                self._take_span(item.idempotency_key, item.details, any_cut=any_cut)
            elif f"c-{item.idempotency_key.removeprefix('f-')}" not in self._seen:
                # A bulk request stops at its first error.
                outputs[item.idempotency_key] = {"status": "error", "code": "not_found"}
                self._counts["unknown"] += 1
                break
            outputs[item.idempotency_key] = TAKEN
        return {"status": "success", "outputs": outputs}

    def _take_span(self, key: str, details: _Details, *, any_cut: bool) -> None:
        self._counts["spans"] += 1
        if key not in self._seen:
            self._seen.add(key)
            self._counts[details.schema_name.rpartition(":")[2]] += 1
            if any_cut:
                self._counts["cut"] += CUT in bytes(details.payload)

    def _instance(self, path: str, body: bytes) -> dict[str, Any]:
        """Return an agent instance as the API answers it; each registration key has its own."""
        instance_id = ACCOUNT
        if path.endswith("/register"):
            key = json.loads(body).get("idempotency_key", str(time.time_ns()))
            made = _ids.pfid(_ids.new_key(time.time_ns()), PARTITION)
            instance_id = self._instances.setdefault(key, made)
        ids = ("account", "agent", "agent_version", "environment", "agent_deployment")
        return {
            "type": "agent_instance",
            "id": instance_id,
            **{f"{each}_id": ACCOUNT for each in ids},
            "status": "active",
            "inserted_at": MOMENT,
            "updated_at": MOMENT,
        }


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sink: Sink, delay_s: float
) -> None:
    """Answer requests on one connection until the client closes it, each *delay_s* later."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        lines = head.decode("latin-1").split("\r\n")
        _, path, _ = lines[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        text = msgspec.json.encode(sink.answer(path, body, headers.get("content-encoding", "")))
        if path != "/counts":
            await asyncio.sleep(delay_s)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
            + str(len(text)).encode()
            + b"\r\n\r\n"
            + text
        )
        await writer.drain()


async def main() -> None:
    """Listen on loopback, print the port, and serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a free one if it is 0")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--silent", action="store_true", help="take everything, never answer")
    options = parser.parse_args()
    delay_s = float("inf") if options.silent else options.delay_s
    sink = Sink()
    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(reader, writer, sink, delay_s),
        "127.0.0.1",
        options.port,
        limit=LIMIT_BYTES,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def running(*options: str) -> Generator[int]:
    """Start a sink in a process of its own; yield its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sink", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def counts(port: int) -> Counter[str]:
    """Return what the sink at *port* has counted, and when, in seconds of the monotonic clock."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as response:
        return Counter(json.loads(response.read()))


if __name__ == "__main__":
    asyncio.run(main())
