"""A collector that is killed, or whose database is, while several clients send in bulk.

What was acknowledged is there, once; what was not is sent again with the same keys, as the SDK
does.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import pytest

from remit.collector import open_store
from tests.collecting import Api, Json, details
from tests.inside import httpx
from tests.inside_collector import Page, SpanFilter
from tests.postgres import Server
from tests.processes import wait_until
from tests.serving import Ended, serving, token_of
from tests.stores import EACH_STORE, new_database

pytestmark = pytest.mark.gate

KILLS: Final = int(os.environ.get("REMIT_TEST_KILLS", "3"))
SENDERS: Final = 3
ITEMS: Final = 20
BETWEEN: Final = 6
"""So many requests are acknowledged between one fault and the next."""


class Sender:
    """A client that sends bulk requests of spans, each again until it is acknowledged."""

    def __init__(self, url: str, secret: str, agent: str) -> None:
        """Register a run."""
        http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=60)
        self.api = Api(http, agent)
        self.run = self.api.instance("active")["id"]
        self.acknowledged: list[str] = []
        self.requests = 0
        self.refused: list[Json] = []
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self._send)
        self.thread.start()

    def _send(self) -> None:
        while not self.enough.is_set():
            keys = [uuid4().hex for _ in range(ITEMS)]
            body = self.api.span_body(self.run)
            items = [
                {"_type": "agent_spans/create", "idempotency_key": key, **body} for key in keys
            ]
            self._until_acknowledged({"items": items})

    def _until_acknowledged(self, body: Json) -> None:
        while True:
            try:
                answer = self.api.post("/bulk", body)
            except httpx.TransportError:
                threading.Event().wait(0.05)
                continue
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
                threading.Event().wait(0.05)
                continue
            outputs = answer.json().get("outputs", {})
            good = [each for each in outputs.values() if each["status"] == "success"]
            if len(good) != ITEMS:
                self.refused.append(answer.json())
            self.acknowledged += [each["details"]["id"] for each in good]
            self.requests += 1
            return


@contextmanager
def sending(url: str, secret: str) -> Generator[list[Sender]]:
    """Return a block in which several clients send; it ends when each has sent what it had."""
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"details": {"name": "A"}}
    agent = details(httpx.post(f"{url}/api/v1/agent", json=body, headers=headers))["id"]
    senders = [Sender(url, secret, agent) for _ in range(SENDERS)]
    try:
        yield senders
    finally:
        for sender in senders:
            sender.enough.set()
        for sender in senders:
            sender.thread.join(60)
            sender.api.http.close()
            assert not sender.thread.is_alive()


def wait_for_more(senders: list[Sender]) -> None:
    """Wait until some more was acknowledged."""
    enough = sum(sender.requests for sender in senders) + BETWEEN
    while sum(sender.requests for sender in senders) < enough:
        assert all(sender.thread.is_alive() for sender in senders)
        threading.Event().wait(0.002)


def is_unavailable(client: httpx.Client) -> bool:
    """Return whether the collector cannot use its database."""
    return client.get("/api/v1/agent").status_code == 503


def check(named: Path | str, senders: list[Sender]) -> None:
    """Check that each acknowledged span is stored once, and no other span is."""
    store = open_store(named)
    with store.reading() as tx:
        rows = tx.list_spans(SpanFilter(), Page(0, 1_000_000, "id", descending=False)).rows
        counts = {row.id: row for row in tx.runs(None, [each.run for each in senders]).values()}
    store.close()
    kept = Counter(row.id for row in rows)
    acknowledged = Counter(each for sender in senders for each in sender.acknowledged)

    assert [sender.refused for sender in senders] == [[]] * SENDERS
    assert kept == acknowledged
    assert max(kept.values()) == 1
    for sender in senders:
        assert counts[sender.run].spans_active == len(sender.acknowledged)


# On PostgreSQL the test of two collectors on one database kills them, too.
@pytest.mark.timeout(120 + 60 * KILLS)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.full)])
def test_a_collector_that_is_killed_under_load_loses_nothing(kind: str, tmp_path: Path) -> None:
    """SIGKILL, again and again; the next one takes the same port and the same database."""
    with new_database(kind, tmp_path) as named:
        token = token_of(named)
        with serving(named) as collector, sending(collector.url, token) as senders:
            for _ in range(KILLS):
                wait_for_more(senders)
                assert collector.end(signal.SIGKILL) == Ended(-signal.SIGKILL)
                collector.start()
            wait_for_more(senders)
        check(named, senders)


@pytest.mark.timeout(120 + 60 * KILLS)
def test_a_database_that_is_restarted_under_load_loses_nothing(short: Path) -> None:
    """PostgreSQL stopped at once and started; the collector says each once, and goes on."""
    database = Server(short, {})
    try:
        database.create()
        database.start()
        named = database.url("postgres")
        token = token_of(named)
        with serving(named) as collector:
            with sending(collector.url, token) as senders:
                for _ in range(KILLS):
                    wait_for_more(senders)
                    database.stop()
                    wait_until(lambda: is_unavailable(senders[0].api.http))
                    database.start()
                wait_for_more(senders)
            ended = collector.end()
        check(named, senders)
    finally:
        database.remove()

    assert ended.code == 0
    lines = [line.partition(" remit: ")[2].partition(":")[0] for line in ended.errors.splitlines()]
    # The thread that maintains the database may meet an outage, too.
    maintenance = "the database cannot be maintained now"
    assert lines.count(maintenance) <= 2 * KILLS, ended.errors
    said = [line for line in lines if line != maintenance]
    change = [
        "the collector's database cannot be used now",
        "the collector's database can be written again",
    ]
    # A connection that was not ended yet may keep a write between the first loss and the last.
    assert KILLS <= len(said) // 2 <= 2 * KILLS, ended.errors
    assert said == change * (len(said) // 2), ended.errors


@pytest.mark.parametrize("kind", EACH_STORE)
def test_a_signal_under_load_lets_requests_in_flight_end(kind: str, tmp_path: Path) -> None:
    """A request of which half has arrived is one of them; nothing acknowledged is lost."""
    with new_database(kind, tmp_path) as named:
        token = token_of(named)
        with serving(named) as collector, sending(collector.url, token) as senders:
            wait_for_more(senders)
            half = half_sent(collector.url, senders[0].api)
            collector.process.send_signal(signal.SIGTERM)
            wait_until_nobody_listens(collector.url)
            half.sendall(b'"late"}}')
            answer = b"".join(iter(lambda: half.recv(65536), b""))
            half.close()
            assert collector.ended() == Ended(0)
            collector.start()
            wait_for_more(senders)
        check(named, senders)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"late"' in answer


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder whose path is short enough for a socket's."""
    with TemporaryDirectory(prefix="remit-pg-") as folder:
        yield Path(folder)


def half_sent(url: str, api: Api) -> socket.socket:
    """Return a connection on which half of a request to make an agent was sent."""
    port = int(url.rpartition(":")[2])
    body = b'{"details":{"name":'
    head = (
        "POST /api/v1/agent HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: {api.http.headers['authorization']}\r\n"
        f"Content-Length: {len(body) + 8}\r\nExpect: 100-continue\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(head.encode())
    # It says so when it waits for the body.
    assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
    connection.sendall(body)
    return connection


def wait_until_nobody_listens(url: str) -> None:
    """Wait until a collector takes no new connection."""
    port = int(url.rpartition(":")[2])
    with suppress(ConnectionError):
        while True:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
            threading.Event().wait(0.01)
