"""Several `remit serve` on one PostgreSQL: kills, signals, and workers that share a port."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner

from remit.cli import main
from remit.collector import open_store
from tests.collecting import Api, Json, details
from tests.inside import httpx
from tests.inside_collector import Page, SpanFilter, to_bytes
from tests.postgres import WAITING, database
from tests.processes import wait_until
from tests.serving import Collector, Ended, serving, token_of

pytestmark = pytest.mark.gate

KILLS = 4
ITEMS = 10
MOMENT_S = 0.05


@dataclass(frozen=True)
class Shared:
    """A database that collectors share.

    Attributes:
        url: Where it is.
        token: A token of its account.
    """

    url: str
    token: str


@pytest.fixture
def shared() -> Iterator[Shared]:
    """Return a new database with a token in it."""
    with database() as url:
        yield Shared(url, token_of(url))


def workers_of(collector: Collector) -> set[int]:
    """Return the ids of the workers of a collector."""
    found = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(collector.process.pid)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {int(line.split()[0]) for line in found.splitlines() if "spawn_main" in line}


def replace_worker(collector: Collector) -> None:
    """Kill a worker, and wait until another one has replaced it."""
    before = workers_of(collector)
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(workers_of(collector) - before) == 1)


def is_there(process: int) -> bool:
    """Return whether there is a process with this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


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
        counts = sum(row.spans_complete for row in tx.runs(None, runs).values())
    store.close()
    assert max(kept.values()) == 1
    assert sorted(kept) == sorted(acknowledged)
    assert counts == len(acknowledged)


class Load:
    """What the collectors have acknowledged so far.

    Attributes:
        acknowledged: The ids of spans.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.acknowledged: list[str] = []

    def wait_for_more(self, requests: int = 2) -> None:
        """Wait until some more requests were acknowledged."""
        enough = len(self.acknowledged) + requests * ITEMS
        wait_until(lambda: len(self.acknowledged) >= enough)


def under_load(shared: Shared, made: list[Collector], harm: Callable[[Load], None]) -> None:
    """Do *harm* while each collector is sent spans, then compare."""
    clients = [one.client(shared.token) for one in made]
    agent = details(clients[0].post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
    apis = [Api(client, agent) for client in clients]
    runs = [apis[0].instance("active")["id"] for _ in range(2)]
    sent_so_far, stop = Load(), threading.Event()
    acknowledged = sent_so_far.acknowledged
    threads = [
        threading.Thread(target=load, args=(api, runs[number // len(apis)], acknowledged, stop))
        for number, api in enumerate([*apis, *apis])
    ]
    for thread in threads:
        thread.start()
    try:
        sent_so_far.wait_for_more()
        harm(sent_so_far)
        sent_so_far.wait_for_more()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for client in clients:
            client.close()
    assert not any(thread.is_alive() for thread in threads)
    check(shared.url, runs, acknowledged)


def test_collectors_killed_at_random_lose_nothing(shared: Shared) -> None:
    """What was sent again under the same keys is there once."""
    choice = random.Random(7)
    with serving(shared.url) as first, serving(shared.url) as second:

        def harm(load: Load) -> None:
            for _ in range(KILLS):
                load.wait_for_more(choice.randint(1, 6))
                one = choice.choice((first, second))
                one.end(signal.SIGKILL)
                one.start()

        under_load(shared, [first, second], harm)


def test_workers_share_a_port_and_the_dead_are_replaced(shared: Shared) -> None:
    """Nothing that was acknowledged is lost with them."""
    with serving(shared.url, "--workers", "2") as collector:

        def harm(load: Load) -> None:
            for _ in range(2):
                replace_worker(collector)
                assert len(workers_of(collector)) == 2
                load.wait_for_more()

        under_load(shared, [collector], harm)


def test_a_hangup_replaces_the_workers_one_by_one(shared: Shared) -> None:
    """The port is served all the time, and nothing that was acknowledged is lost."""
    with serving(shared.url, "--workers", "2") as collector:

        def harm(load: Load) -> None:
            before = workers_of(collector)
            collector.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(workers_of(collector) - before) == len(before) == 2)
            wait_until(lambda: len(workers_of(collector)) == 2)
            load.wait_for_more()

        under_load(shared, [collector], harm)


def test_a_request_that_waits_holds_up_no_other(shared: Shared) -> None:
    """Another transaction holds its run; a second client and `/healthz` are answered meanwhile."""
    with (
        serving(shared.url) as collector,
        collector.client(shared.token) as first,
        collector.client(shared.token) as second,
    ):
        agent = details(first.post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
        api, other = Api(first, agent), Api(second, agent)
        kept, free = (str(api.instance("active")["id"]) for _ in range(2))
        answers: list[httpx.Response] = []
        body = api.span_body(kept)

        def ask() -> None:
            # The server rejects a request after five seconds without the lock; it is sent again.
            answers.append(sent(lambda: api.post("/agent_spans", body), threading.Event()))

        asking = threading.Thread(target=ask)
        with psycopg.connect(shared.url) as keeper:
            keeper.execute("SELECT 1 FROM runs WHERE id = %s FOR UPDATE", (to_bytes(kept),))
            asking.start()
            with psycopg.connect(shared.url, autocommit=True) as looking:
                wait_until(lambda: looking.execute(WAITING).fetchall() == [(1,)])
            assert other.span(free)["status"] == "active"
            assert second.get("/healthz").status_code == 200
            assert answers == []
        asking.join(60)
        assert details(answers[0])["status"] == "active"


def test_a_signal_stops_all_workers_in_peace(shared: Shared) -> None:
    """Answered requests are kept, standard error is empty, and no process remains."""
    with serving(shared.url, "--workers", "2") as collector:

        def harm(load: Load) -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                workers = workers_of(collector)
                assert collector.end(number) == Ended(0)
                assert not any(map(is_there, workers))
                collector.start()
                load.wait_for_more()

        under_load(shared, [collector], harm)


def test_workers_end_when_their_parent_was_killed(shared: Shared) -> None:
    """The port is free again."""

    def nobody_answers() -> bool:
        try:
            httpx.get(f"{collector.url}/healthz", timeout=60)
        except httpx.TransportError:
            return True
        return False

    with serving(shared.url, "--workers", "2") as collector:
        collector.process.kill()
        wait_until(nobody_answers)


def test_workers_on_sqlite_are_refused(tmp_path: Path) -> None:
    """The error gives the reason; no file is created."""
    arguments = ["serve", "--workers", "2", "--db", str(tmp_path / "remit.db")]

    done = CliRunner().invoke(main, arguments)

    assert done.exit_code == 2
    assert "--workers 2 needs a PostgreSQL database" in re.sub(r"\s+", " ", done.output)
    assert list(tmp_path.iterdir()) == []
