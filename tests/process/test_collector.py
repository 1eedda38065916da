"""The collector in processes of its own: stopped, killed, several on one file, at exit."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from remit.collector import create_token, open_store
from tests.collecting import Api, details
from tests.inside_collector import Page, SpanFilter

SERVE = """
import sys
from remit.collector.server import serve
serve("127.0.0.1", 0, sys.argv[1], on_start=lambda url: print(url, flush=True))
"""
# Registers a run and records spans through local mode, as the SDK does.
LOCAL = """
import sys
from pathlib import Path
from tests.unit.test_collector_local import api_in
api = api_in(Path(sys.argv[1]))
def record():
    run = api.instance("active")
    for _ in range(5):
        items = [{"_type": "agent_spans/create", **api.span_body(run["id"])} for _ in range(20)]
        assert len(api.bulk(*items)) == 20
"""


@contextmanager
def served(database: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Serve *database* in a process of its own; yield it and its URL."""
    command = [sys.executable, "-c", SERVE, str(database)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def client_of(database: Path, url: str) -> Api:
    """Return a view through the server, with an agent."""
    store = open_store(database)
    secret = create_token(store, "account").secret
    store.close()
    http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"})
    return Api(http, details(http.post("/api/v1/agent", json={"details": {"name": "A"}}))["id"])


def ids_in(database: Path) -> list[str]:
    """Return the ids of all spans in a database."""
    store = open_store(database)
    with store.reading() as tx:
        rows = tx.list_spans(SpanFilter(), Page(0, 1_000_000, "id", descending=False)).rows
    store.close()
    return [row.id for row in rows]


def send_until_it_stops(api: Api, acknowledged: list[str]) -> None:
    """Create spans, one request after the other, until the server is gone."""
    run = api.instance("active")
    with suppress(httpx.TransportError):
        while True:
            acknowledged.append(api.span(run["id"])["id"])


@pytest.mark.smoke
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_peace(tmp_path: Path, number: signal.Signals) -> None:
    """The process ends well, nothing is on its standard error, and what was answered is kept."""
    database = tmp_path / "remit.db"
    acknowledged: list[str] = []
    with served(database) as (process, url):
        api = client_of(database, url)
        sender = threading.Thread(target=send_until_it_stops, args=(api, acknowledged))
        sender.start()
        while len(acknowledged) < 20:
            assert sender.is_alive()
            sender.join(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
        sender.join(20)

    assert (process.returncode, errors) == (0, "")
    assert sorted(ids_in(database)) == sorted(acknowledged)


def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """And has nothing twice; the next one goes on with the same file."""
    database = tmp_path / "remit.db"
    acknowledged: list[str] = []
    for _ in range(3):
        with served(database) as (process, url):
            api = client_of(database, url)
            before = len(acknowledged)
            sender = threading.Thread(target=send_until_it_stops, args=(api, acknowledged))
            sender.start()
            while len(acknowledged) < before + 20:
                assert sender.is_alive()
                sender.join(0.01)
            process.kill()
            sender.join(20)

    kept = ids_in(database)
    assert len(set(kept)) == len(kept)
    assert set(acknowledged) <= set(kept)
    # One request of each life may have been carried out and not answered.
    assert len(kept) <= len(acknowledged) + 3


def test_several_processes_write_one_file(tmp_path: Path) -> None:
    """As several programs in local mode do."""
    command = [sys.executable, "-c", LOCAL + "record()", str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(4)]

    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(set(ids_in(tmp_path / "remit.db"))) == 400


def test_it_works_while_the_interpreter_exits(tmp_path: Path) -> None:
    """No thread, no executor, no event loop: a handler that needs one fails then."""
    late = "import atexit\natexit.register(record)\nrecord()\n"

    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", LOCAL + late, str(tmp_path)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""

    assert len(set(ids_in(tmp_path / "remit.db"))) == 600


def test_an_address_that_is_taken_is_an_error_of_the_system(tmp_path: Path) -> None:
    """Which the command line explains."""
    with served(tmp_path / "one.db") as (_, url):
        port = url.rpartition(":")[2]
        script = SERVE.replace('"127.0.0.1", 0', f'"127.0.0.1", {port}')
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "two.db")],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert done.returncode == 1
    assert "OSError" in done.stderr
