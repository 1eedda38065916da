"""Collectors in processes of their own on one PostgreSQL: killed, restarted, several on a port."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from click.testing import CliRunner

from remit.cli import main
from remit.collector import create_token, open_store
from tests.collecting import Api, Json, details
from tests.inside_collector import Page, SpanFilter
from tests.postgres import WAITING, database, server

pytestmark = pytest.mark.gate

KILLS = 6
ITEMS = 10
MOMENT_S = 0.05


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a new database with a token in it."""
    with database() as named:
        store = open_store(named)
        create_token(store, "account")
        store.close()
        yield named


class Collector:
    """`remit serve` in a process of its own, started again when it was killed."""

    def __init__(self, url: str, *, workers: int = 1) -> None:
        """Start on a free port, which stays the same."""
        self._url = url
        self._workers = workers
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start; return when requests are taken."""
        arguments = ["--port", str(self.port), "--workers", str(self._workers), "--db", self._url]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "remit", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.communicate()

    def children(self) -> list[int]:
        """Return the ids of the workers."""
        found = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return [int(line.split()[0]) for line in found.splitlines() if "spawn_main" in line]

    def client(self, secret: str) -> httpx.Client:
        """Return a client of it."""
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30)


@contextmanager
def collectors(url: str, count: int) -> Generator[list[Collector]]:
    """Serve a database by several collectors."""
    made = [Collector(url) for _ in range(count)]
    try:
        yield made
    finally:
        for one in made:
            one.kill()


def sent(ask: Callable[[], httpx.Response], stop: threading.Event) -> httpx.Response:
    """Return the answer to a request, sent again and again until there is one."""
    while True:
        try:
            answer = ask()
        except httpx.TransportError:
            stop.wait(MOMENT_S)
            continue
        if answer.status_code != 503:
            return answer
        assert int(answer.headers["retry-after"]) >= 1
        stop.wait(MOMENT_S)


def load(api: Api, run: str, acknowledged: list[str], stop: threading.Event) -> None:
    """Send bulk requests until *stop*, each again until it was answered; note what was."""
    while not stop.is_set():
        items: list[dict[str, Json]] = [
            {
                "_type": "agent_spans/create",
                "idempotency_key": uuid4().hex,
                **api.span_body(run, status="complete"),
            }
            for _ in range(ITEMS)
        ]
        answer = sent(lambda items=items: api.post("/bulk", {"items": items}), threading.Event())  # type: ignore[misc] # bound now
        assert answer.status_code == 200, answer.text
        outputs = answer.json()["outputs"].values()
        acknowledged.extend(output["details"]["id"] for output in outputs)


def check(url: str, runs: list[str], acknowledged: list[str]) -> None:
    """Compare what is kept with what was acknowledged: nothing lost, nothing twice, all counted."""
    store = open_store(url)
    with store.reading() as tx:
        page = Page(0, 1_000_000, "id", descending=False)
        kept = Counter(row.id for row in tx.list_spans(SpanFilter(), page).rows)
        counts = sum(row.spans_complete for row in tx.instances(None, runs).values())
    store.close()
    assert max(kept.values()) == 1
    assert sorted(kept) == sorted(acknowledged)
    assert counts == len(acknowledged)


def under_load(url: str, made: list[Collector], harm: Callable[[], None]) -> None:
    """Do *harm* while each collector is sent spans, then compare."""
    store = open_store(url)
    secret = create_token(store, "account").secret
    store.close()
    clients = [one.client(secret) for one in made]
    agent = details(clients[0].post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
    apis = [Api(client, agent) for client in clients]
    runs = [apis[0].instance("active")["id"] for _ in range(2)]
    acknowledged: list[str] = []
    stop = threading.Event()
    threads = [
        threading.Thread(target=load, args=(api, runs[number // len(apis)], acknowledged, stop))
        for number, api in enumerate([*apis, *apis])
    ]
    for thread in threads:
        thread.start()
    try:
        harm()
        # On a busy machine the harm is done before much was sent.
        deadline = time.monotonic() + 60
        while len(acknowledged) <= 2 * ITEMS and time.monotonic() < deadline:
            threading.Event().wait(MOMENT_S)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for client in clients:
            client.close()
    assert len(acknowledged) > 2 * ITEMS
    assert not any(thread.is_alive() for thread in threads)
    check(url, runs, acknowledged)


def test_collectors_killed_at_random_lose_nothing(url: str) -> None:
    """What was sent again under the same keys is there once."""
    moments = random.Random(7)
    with collectors(url, 2) as made:

        def harm() -> None:
            for _ in range(KILLS):
                threading.Event().wait(moments.uniform(0.05, 0.4))
                one = moments.choice(made)
                one.kill()
                one.start()

        under_load(url, made, harm)


def test_postgresql_restarted_under_load_loses_nothing(url: str) -> None:
    """The collectors answer 503 while it is away, and go on by themselves."""
    with collectors(url, 2) as made:

        def harm() -> None:
            for _ in range(3):
                threading.Event().wait(0.3)
                server().stop()
                threading.Event().wait(0.2)
                server().start()
            threading.Event().wait(0.3)

        under_load(url, made, harm)
        assert [one.process.poll() for one in made] == [None, None]


def test_workers_share_a_port_and_the_dead_are_replaced(url: str) -> None:
    """Nothing that was acknowledged is lost with them."""
    one = Collector(url, workers=2)
    try:

        def harm() -> None:
            for _ in range(2):
                before = one.children()
                subprocess.run(["kill", "-KILL", str(before[0])], check=True)
                for _ in range(300):
                    threading.Event().wait(MOMENT_S)
                    if len(set(one.children()) - set(before)) == 1:
                        break
                assert len(one.children()) == 2

        under_load(url, [one], harm)
    finally:
        one.kill()


def test_a_request_that_waits_holds_up_no_other(url: str) -> None:
    """One whose run somebody else keeps; a second client and `/healthz` are answered meanwhile."""
    store = open_store(url)
    secret = create_token(store, "account").secret
    store.close()
    one = Collector(url)
    try:
        first, second = one.client(secret), one.client(secret)
        agent = details(first.post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
        api, other = Api(first, agent), Api(second, agent)
        kept, free = (str(api.instance("active")["id"]) for _ in range(2))
        answers: list[httpx.Response] = []
        body = api.span_body(kept)
        asking = threading.Thread(target=lambda: answers.append(api.post("/agent_spans", body)))
        with psycopg.connect(url) as keeper:
            keeper.execute("SELECT 1 FROM agent_instances WHERE id = %s FOR UPDATE", (kept,))
            asking.start()
            with psycopg.connect(url, autocommit=True) as looking:
                while looking.execute(WAITING).fetchall() != [(1,)]:
                    threading.Event().wait(MOMENT_S)
            assert other.span(free)["status"] == "active"
            assert second.get("/healthz").status_code == 200
            assert answers == []
        asking.join(30)
        assert details(answers[0])["status"] == "active"
        first.close()
        second.close()
    finally:
        one.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_workers_in_peace(url: str, number: signal.Signals) -> None:
    """What was answered is kept, nothing is on standard error, nobody is left behind."""
    one = Collector(url, workers=2)
    children = one.children()

    def harm() -> None:
        threading.Event().wait(0.3)
        one.process.send_signal(number)
        _, errors = one.process.communicate(timeout=30)
        assert (one.process.returncode, errors) == (0, "")
        alive = subprocess.run(
            ["ps", "-o", "pid=", "-p", ",".join(map(str, children))],
            check=False,
            capture_output=True,
            text=True,
        )
        assert alive.stdout == ""
        one.start()

    try:
        under_load(url, [one], harm)
    finally:
        one.kill()


def test_workers_end_when_their_parent_was_killed(url: str) -> None:
    """The port is free again."""
    one = Collector(url, workers=2)
    port = one.port

    one.kill()
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
        except httpx.TransportError:
            break
        threading.Event().wait(MOMENT_S)
    else:
        pytest.fail("somebody still answers")


def test_workers_on_sqlite_are_refused(tmp_path: Path) -> None:
    """With the reason; no file is made."""
    arguments = ["serve", "--workers", "2", "--db", str(tmp_path / "remit.db")]

    done = CliRunner().invoke(main, arguments)

    assert done.exit_code == 2
    assert "--workers 2 needs a PostgreSQL database" in re.sub(r"\s+", " ", done.output)
    assert list(tmp_path.iterdir()) == []
