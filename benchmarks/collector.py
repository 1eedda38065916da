"""Spans a second that the collector takes in bulk: `python -m benchmarks.collector [--spans N]`.

`remit serve` runs in other processes on a new SQLite file, or on a PostgreSQL server of its own
that keeps its promises (it syncs); the loader, on the same machine, keeps two connections busy.
Each span has about 400 bytes of payload and result. `derived` is what the SDK sends, keys made
from the span's id; `uuid` and `no id` are what other clients send. The processors' time beside the
rate, where `/proc` tells it, holds on a machine that has other things to do, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks import children
from remit import _ids
from remit._clock import iso8601
from remit.collector import create_token, open_store
from tests.postgres import Server
from tests.stores import STORES

BULK = 100
CONNECTIONS = 2
WARM_BULKS = 20
RUN_BULKS = 5
LASTS_NS = 100_000_000
PATH = "/api/v1/bulk"
FORMS = ("derived", "uuid", "no id")
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
PROC = Path("/proc")
SERVE = """
import sys
from remit.collector.server import serve
serve("127.0.0.1", 0, sys.argv[1], on_start=lambda url: print(url, flush=True))
"""
PAYLOAD = {"question": "where is my order 1234? " * 4, "n": 3, "nested": {"a": [1, None, True]}}
RESULT = {"answer": "it is on its way " * 12}


class Rate(NamedTuple):
    """What a measurement found.

    Attributes:
        spans_a_s: Spans a second.
        collector_us: Processor time of the collectors for a span, in microseconds.
        database_us: The same of PostgreSQL's processes; SQLite runs in the collector's.
    """

    spans_a_s: float
    collector_us: float
    database_us: float


def cpu_s(parent: int) -> tuple[float, float]:
    """Return the seconds of processor time of a process, and of those below it that are alive."""
    if not PROC.is_dir():
        return 0.0, 0.0
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
        ticks[int(path.parent.name)] = int(fields[11]) + int(fields[12])
    a_second = os.sysconf("SC_CLK_TCK")
    below = {pid for pid in parents if _descends(pid, parent, parents)}
    return ticks[parent] / a_second, sum(ticks[pid] for pid in below) / a_second


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False


@contextmanager
def databases(store: str) -> Generator[Path | str]:
    """Return a block with a new database of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        if store == "sqlite":
            yield Path(folder) / "remit.db"
            return
        server = Server(Path(folder), SETTINGS)
        server.create()
        server.start()
        try:
            yield server.url("postgres")
        finally:
            server.remove()


@contextmanager
def collectors(store: str, count: int) -> Generator[tuple[list[httpx.Client], list[int]]]:
    """Start collectors over a new database; yield a client of each, and their processes."""
    with databases(store) as database, ExitStack() as stack:
        opened = open_store(database)
        secret = create_token(opened, "agent_deployment").secret
        opened.close()
        headers = {"Authorization": f"Bearer {secret}"}
        command = [sys.executable, "-c", SERVE, str(database)]
        clients: list[httpx.Client] = []
        pids: list[int] = []
        for _ in range(count):
            process = stack.enter_context(
                children.started(command, children.environment(), stdout=subprocess.PIPE)
            )
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            clients.append(stack.enter_context(httpx.Client(base_url=url, headers=headers)))
            pids.append(process.pid)
        yield clients, pids


def item(instance_id: str, form: str) -> dict[str, Any]:
    """Return one create, as a kind of client sends it."""
    now_ns = time.time_ns()
    key = _ids.new_key(now_ns)
    details: dict[str, Any] = {
        "agent_instance_id": instance_id,
        "id": _ids.pfid(key, _ids.partition_of(instance_id) or 0),
        "schema_name": "bench:step",
        "status": "complete",
        "payload": PAYLOAD,
        "result_payload": RESULT,
        "parent_span_id": None,
        "started_at": iso8601(now_ns),
        "finished_at": iso8601(now_ns + LASTS_NS),
    }
    if form == "no id":
        del details["id"]
    name = f"c-{_ids.key_text(key)}" if form == "derived" else str(uuid.uuid4())
    return {"_type": "agent_spans/create", "idempotency_key": name, "details": details}


def bodies(client: httpx.Client, spans: int, form: str) -> list[bytes]:
    """Return the bulk requests, made before the clock runs."""
    registration = {"agent_version": {}, "agent_schema_version": {"external_identifier": "s"}}
    made: list[bytes] = []
    instance_id = ""
    for number in range(spans // BULK):
        if number % RUN_BULKS == 0:
            answer = client.post("/api/v1/agent_instance/register", json=registration)
            instance_id = answer.json()["details"]["id"]
        made.append(json.dumps({"items": [item(instance_id, form) for _ in range(BULK)]}).encode())
    return made


def load(client: httpx.Client, requests: Sequence[bytes]) -> None:
    """Send *requests* one after the other; each must succeed."""
    for body in requests:
        answer = client.post(PATH, content=body)
        _check(answer.status_code, answer.content)


def send(client: httpx.Client, requests: Sequence[bytes]) -> None:
    """Do the same where *client* would, on a connection that costs a third of its.

    The collector is sent the same, and has more of the machine.
    """
    connection = HTTPConnection(client.base_url.host, client.base_url.port)
    headers = {
        "Authorization": client.headers["authorization"],
        "Content-Type": "application/json",
    }
    for body in requests:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        _check(answer.status, answer.read())
    connection.close()


def _check(status: int, answer: bytes) -> None:
    assert status == 200
    assert answer.count(b'"success"') == BULK + 1, answer[:500]


def measure(store: str, count: int, spans: int, form: str) -> Rate:
    """Return the spans a second that *count* collectors take, and what each span costs."""
    with collectors(store, count) as (clients, pids):
        requests = bodies(clients[0], spans, form)
        # What is opened and planned at the first requests is no part of the rate.
        for client in clients:
            load(client, bodies(client, WARM_BULKS * BULK, form))
        parts = [requests[number::CONNECTIONS] for number in range(CONNECTIONS)]
        threads = [
            threading.Thread(target=send, args=(clients[number % count], part))
            for number, part in enumerate(parts)
        ]
        before = _used_s(pids)
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.perf_counter() - began
        after = _used_s(pids)
    taken = len(requests) * BULK
    own_us, others_us = (
        (late - early) / taken * 1e6 for early, late in zip(before, after, strict=True)
    )
    return Rate(taken / took_s, own_us, others_us)


def _used_s(pids: Sequence[int]) -> tuple[float, float]:
    """Return the processor time of the collectors, and of what else this process started."""
    own = sum(cpu_s(pid)[0] for pid in pids)
    return own, cpu_s(os.getpid())[1] - own


def main() -> None:
    """Measure each form on each store, by one collector and by two, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=50_000)
    parser.add_argument("--store", choices=STORES, action="append")
    parser.add_argument("--form", choices=FORMS, action="append")
    parser.add_argument("--collectors", type=int, choices=(1, 2), action="append")
    given = parser.parse_args()
    for store in given.store or STORES:
        for count in given.collectors or (1, 2):
            for form in given.form or FORMS:
                rate = measure(store, count, given.spans, form)
                print(
                    f"{store:<9} {count} x {form:<8} {rate.spans_a_s:10,.0f} spans/s; processor, a "
                    f"span: {rate.collector_us:5.1f} us in collectors, "
                    f"{rate.database_us:5.1f} in the database's processes",
                    flush=True,
                )


if __name__ == "__main__":
    main()
