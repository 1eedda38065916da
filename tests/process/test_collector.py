"""`remit serve`: signals, several processes on one file, and the exit."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remit.collector import open_store
from remit.testing import FakeClock
from tests.collecting import Api, World, details
from tests.inside import httpx, new_key, pfid
from tests.inside_collector import Page, SpanFilter
from tests.serving import REMIT, Collector, Ended, environment, serving, token_of

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

RECORDING = """
import sys
import remit
remit.configure(mode="local", data_dir=sys.argv[1])
remit.agent("A")(lambda: None)()
assert remit.flush()
print(sorted({"prometheus_client", "uvicorn"} & sys.modules.keys()))
"""


@contextmanager
def attended(database: Path) -> Generator[tuple[Collector, Api]]:
    """Return a block with a collector and a view through it, with an agent."""
    token = token_of(database)
    with serving(database) as collector, collector.client(token) as http:
        agent = details(http.post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
        yield collector, Api(http, agent)


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
    with attended(database) as (collector, api):
        sender = threading.Thread(target=send_until_it_stops, args=(api, acknowledged))
        sender.start()
        while len(acknowledged) < 20:
            assert sender.is_alive()
            sender.join(0.01)
        ended = collector.end(number)
        sender.join(60)

    assert ended == Ended(0)
    assert sorted(ids_in(database)) == sorted(acknowledged)


def test_several_processes_write_one_file(tmp_path: Path) -> None:
    """Several programs in local mode share one database."""
    command = [sys.executable, "-c", LOCAL + "record()", str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(4)]

    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(set(ids_in(tmp_path / "remit.db"))) == 400


def test_it_works_while_the_interpreter_exits(tmp_path: Path) -> None:
    """No thread, no executor, no event loop: a handler that needs one fails then."""
    late = "import atexit\natexit.register(record)\nrecord()\n"

    done = subprocess.run(
        [sys.executable, "-c", LOCAL + late, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.stderr == ""
    assert len(set(ids_in(tmp_path / "remit.db"))) == 200


def test_local_mode_imports_nothing_of_a_server(tmp_path: Path) -> None:
    """A program needs neither the HTTP server nor its metrics."""
    done = subprocess.run(
        [sys.executable, "-c", RECORDING, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (tmp_path / "remit.db").is_file()
    assert done.stdout == "[]\n"


def test_an_address_that_is_taken_is_an_error_of_the_system(tmp_path: Path) -> None:
    """The command line explains the error."""
    script = "import sys; from remit.collector.server.serve import serve; serve(*sys.argv[1:])"
    with serving(tmp_path / "one.db") as collector:
        words = ["127.0.0.1", str(collector.port), str(tmp_path / "two.db")]
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert done.returncode == 1
    assert "OSError" in done.stderr


def old_run(database: Path, age: timedelta) -> str:
    """Record a run of an age with one span, which are in no request; return its id."""
    store, clock = open_store(database), FakeClock(datetime.now(UTC) - age)
    api = World(store, clock=clock).account()
    run = api.instance("active")
    api.span(run["id"], id=pfid(new_key(clock.wall_ns()), 5), payload={"question": "why"})
    details(api.post(f"/agent_instance/{run['id']}/finish", {}))
    store.close()
    return str(run["id"])


@pytest.mark.parametrize("by", ["option", "variable"])
def test_it_deletes_what_is_old_while_it_serves(tmp_path: Path, by: str) -> None:
    """Soon after its start, as options or the environment say."""
    database = tmp_path / "remit.db"
    oldest, old = (old_run(database, timedelta(days=days)) for days in (9, 5))
    options = {"--retain": "7d", "--retain-payloads": "3d"}
    words = [] if by == "variable" else [word for pair in options.items() for word in pair]
    env = environment(REMIT_SERVE_RETAIN="7d", REMIT_SERVE_RETAIN_PAYLOADS="3d")
    token, until = token_of(database), time.monotonic() + 60

    words += ["--log-level", "info"]
    with serving(database, *words, env=env if by == "variable" else None) as collector:
        with collector.client(token) as http:
            api = Api(http)
            while api.get(f"/agent_instance/{oldest}").status_code != 404:
                assert time.monotonic() < until
            while api.spans(old)[0]["payload"] != {}:
                assert time.monotonic() < until
        ended = collector.end()

    assert ended.code == 0
    # Each on a line of its own, where the payloads are deleted in a later transaction.
    assert " INFO remit: deleted because of their age: 1 span, 1 run, and" in ended.errors
    assert " WARNING " not in ended.errors


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--retain", "6m"], "is not between 24h and"),
        (["--retain", "7d", "--retain-payloads", "7d"], "must be less than --retain"),
    ],
)
def test_an_age_that_makes_no_sense_is_refused(tmp_path: Path, words: list[str], told: str) -> None:
    """An m is a minute, not a month."""
    done = subprocess.run(
        [*REMIT, "serve", "--db", str(tmp_path / "remit.db"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
