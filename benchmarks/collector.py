"""Spans a second that the collector accepts in bulk requests of 100.

`remit serve` runs in a process of its own on a new SQLite file, or on a PostgreSQL server of its
own that syncs; the loader, on the same machine, keeps two connections busy. Each span has about 400
bytes of payload and result, and ids and keys as the SDK makes them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks import children
from remit._base import ids
from remit.collector import create_token, open_store
from tests.postgres import Server, binaries

STORES: Final = ("sqlite", "postgres")
BULK: Final = 100
CONNECTIONS: Final = 2
WARM_BULKS: Final = 20
RUN_BULKS: Final = 5
"""Requests with spans of the same run."""
PATH: Final = "/api/v1/bulk"
SETTINGS: Final = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
SERVE: Final = """
import sys
from remit.collector.server.serve import serve
serve("127.0.0.1", 0, sys.argv[1], on_start=lambda url: print(url, flush=True))
"""
PAYLOAD: Final = {
    "question": "where is my order 1234? " * 4,
    "n": 3,
    "nested": {"a": [1, None, True]},
}
RESULT: Final = {"answer": "it is on its way " * 12}


@contextmanager
def databases(store: str) -> Generator[Path | str]:
    """Make a database of a kind for the block."""
    with tempfile.TemporaryDirectory() as folder:
        if store == "sqlite":
            yield Path(folder) / "remit.db"
            return
        if binaries() is None:
            raise children.ChildError("no PostgreSQL server is installed (initdb and postgres)")
        server = Server(Path(folder), SETTINGS)
        server.create()
        server.start()
        try:
            yield server.url("postgres")
        finally:
            server.remove()


@contextmanager
def serving(store: str) -> Generator[httpx.Client]:
    """Start a collector over a new database, and yield a client of it."""
    with databases(store) as database:
        opened = open_store(database)
        secret = create_token(opened, "agent_deployment").secret
        opened.close()
        command = [sys.executable, "-c", SERVE, str(database)]
        with children.started(command, children.environment(), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}) as http:
                yield http


def item(instance_id: str) -> dict[str, Any]:
    """Return one span as the SDK sends it."""
    now_ns = time.time_ns()
    key = ids.new_key(now_ns)
    moment = datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat()
    return {
        "_type": "agent_spans/create",
        "idempotency_key": f"c-{ids.key_text(key)}",
        "details": {
            "agent_instance_id": instance_id,
            "id": ids.pfid(key, ids.partition_of(instance_id) or 0),
            "schema_name": "bench:step",
            "status": "complete",
            "payload": PAYLOAD,
            "result_payload": RESULT,
            "parent_span_id": None,
            "started_at": moment,
            "finished_at": moment,
        },
    }


def bodies(http: httpx.Client, count: int, place: Mapping[str, str] | None = None) -> list[bytes]:
    """Return bulk requests, created before the clock runs.

    Args:
        http: Registers their runs.
        count: The number of requests.
        place: The agent and the environment, which the token of an account needs.
    """
    registration = {
        "agent_version": {},
        "agent_schema_version": {"external_identifier": "s"},
        **(place or {}),
    }
    made: list[bytes] = []
    instance_id = ""
    for number in range(count):
        if number % RUN_BULKS == 0:
            answer = http.post("/api/v1/agent_instance/register", json=registration)
            instance_id = answer.json()["details"]["id"]
        made.append(json.dumps({"items": [item(instance_id) for _ in range(BULK)]}).encode())
    return made


def send(http: httpx.Client, requests: Sequence[bytes]) -> None:
    """Send *requests* one after the other on a connection of the standard library.

    It costs a third of httpx's, which leaves the collector more of the machine.
    """
    connection = HTTPConnection(http.base_url.host, http.base_url.port)
    headers = {
        "Authorization": http.headers["authorization"],
        "Content-Type": "application/json",
    }
    for body in requests:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200 or text.count(b'"success"') != BULK + 1:
            raise children.ChildError(f"the collector answered {answer.status}: {text[:200]!r}")
    connection.close()


def measure(store: str, spans: int) -> dict[str, Any]:
    """Return the spans a second that a collector accepts.

    Raises:
        ChildError: The collector rejected a request, or there is no PostgreSQL.
    """
    with serving(store) as http:
        requests = bodies(http, spans // BULK)
        # The first requests open connections and prepare statements.
        send(http, bodies(http, WARM_BULKS))
        threads = [
            threading.Thread(target=send, args=(http, requests[number::CONNECTIONS]))
            for number in range(CONNECTIONS)
        ]
        began_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.perf_counter() - began_s
    return {"rate": len(requests) * BULK / took_s}
