"""The sink: a server in a process of its own that takes everything and counts what arrived.

It answers the Prefactor API (register, start, finish, bulk) and OTLP over HTTP. `GET /counts`
tells how many spans of either kind have arrived.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

INSTANCE = "01m87w83jttgb1tsy0aqwcmb8r9zyn2d"


def answer(path: str, body: bytes, counts: Counter[str]) -> dict[str, Any]:
    """Return what the server says to one request, after counting it."""
    counts["requests"] += 1
    counts["bytes"] += len(body)
    if path.endswith("/bulk"):
        items = json.loads(body)["items"]
        counts["spans"] += sum(item["_type"] == "agent_spans/create" for item in items)
        envelope = {"status": "success", "details": {"id": INSTANCE}}
        return {
            "status": "success",
            "outputs": {item["idempotency_key"]: envelope for item in items},
        }
    if path == "/counts":
        return dict(counts)
    if path == "/v1/traces":
        # Field 2 of a ScopeSpans message; the name marks each span once.
        counts["spans"] += body.count(b"otel_lookup")
        return {}
    return {"status": "success", "details": instance()}


def instance() -> dict[str, Any]:
    """Return an agent instance as the API answers it."""
    moment = "2026-01-01T00:00:00.000000Z"
    return {
        "type": "agent_instance",
        "id": INSTANCE,
        "account_id": INSTANCE,
        "agent_id": INSTANCE,
        "agent_version_id": INSTANCE,
        "environment_id": INSTANCE,
        "agent_deployment_id": INSTANCE,
        "status": "active",
        "inserted_at": moment,
        "updated_at": moment,
    }


async def serve_connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: Counter[str]
) -> None:
    """Answer requests on one connection until the client closes it."""
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
        text = json.dumps(answer(path, body, counts)).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
            + str(len(text)).encode()
            + b"\r\n\r\n"
            + text
        )
        await writer.drain()


async def main() -> None:
    """Listen on a free port of loopback, print it, and serve until killed."""
    counts: Counter[str] = Counter()
    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(reader, writer, counts), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
