"""The log of `remit serve`: its format, and the events that have a line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.collecting import Api, details
from tests.inside import httpx, version
from tests.inside_collector import VERSION
from tests.postgres import database as new_database
from tests.processes import wait_until
from tests.serving import REMIT, Collector, serving, token_of

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) ([a-z.]+): (.+)"
)


def erased_run(api: Api) -> None:
    """Erase a run with one step."""
    run = str(api.instance("active")["id"])
    api.span(run)
    body = {"run_id": run, "reason": "Ada asked for it"}
    assert api.http.post("/api/remit/v1/erasures", json=body).status_code == 200


def talk(collector: Collector, token: str) -> None:
    """Make the requests that have a line, and others that have none."""
    with collector.client(token) as http:
        agent = details(http.post("/api/v1/agent", json={"details": {"name": "A"}}))["id"]
        erased_run(Api(http, agent))
        http.get("/nowhere")
    for _ in range(3):
        headers = {"Authorization": "Bearer remit_secret"}
        httpx.get(f"{collector.url}/api/v1/agent?name=Ada", headers=headers, timeout=60)


@pytest.mark.smoke
def test_each_event_has_a_line(tmp_path: Path) -> None:
    """With time, level and logger; without tokens, reasons and queries."""
    database = tmp_path / "remit.db"
    token = token_of(database, may="erase")
    with serving(database, "--log-level", "info") as collector:
        talk(collector, token)
        ended = collector.end()

    found = [LINE.fullmatch(line) for line in ended.errors.splitlines()]
    assert all(found), ended.errors
    lines = [f"{match[1]} {match[2]} {match[3]}" for match in found if match]
    assert lines[0] == (
        f"INFO remit started: version {version.__version__}, database {database}, "
        f"schema {VERSION}, {collector.url}"
    )
    assert re.fullmatch(
        r"INFO remit erased 1 run by token \w{32}: 1 span, \d+ responses", lines[1]
    ), lines[1]
    assert lines[2] == (
        "WARNING remit a token was rejected: GET /api/v1/agent from 127.0.0.1; further ones from "
        "there are not logged for a minute"
    )
    assert lines[3:] == ["INFO remit stopped"]
    assert not re.search("secret|Ada", ended.errors)


def test_the_log_may_be_json(tmp_path: Path) -> None:
    """One object a line, also of the lines of uvicorn and of an error with a traceback."""
    database = tmp_path / "remit.db"
    token = token_of(database, may="erase")
    options = ("--log-format", "json", "--log-level", "debug")
    with serving(database, *options) as collector:
        talk(collector, token)
        ended = collector.end()

    lines: list[dict[str, Any]] = [json.loads(line) for line in ended.errors.splitlines()]
    for line in lines:
        assert list(line) == ["time", "level", "logger", "process", "message"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert {(line["logger"], line["level"]) for line in lines} >= {
        ("remit", "info"),
        ("remit", "warning"),
        ("uvicorn.error", "info"),
    }
    assert {line["process"] for line in lines} == {collector.process.pid}


def test_a_level_leaves_out_what_is_less(tmp_path: Path) -> None:
    """Errors alone: nothing is said of a day as any other."""
    database = tmp_path / "remit.db"
    token = token_of(database, may="erase")
    with serving(database, "--log-level", "error") as collector:
        talk(collector, token)
        assert collector.end().errors == ""


def test_a_hangup_and_its_workers_have_lines() -> None:
    """One start and one stop, whatever the number of processes."""
    options = ("--workers", "2", "--log-format", "json", "--log-level", "info")
    with new_database() as url, serving(url, *options) as collector:
        assert collector.process.stderr is not None
        collector.process.send_signal(signal.SIGHUP)
        said: list[str] = []
        while "SIGHUP: the workers were replaced" not in said:
            said.append(json.loads(collector.process.stderr.readline())["message"])
        wait_until(lambda: httpx.get(f"{collector.url}/healthz", timeout=60).status_code == 200)
        ended = collector.end()

    said += [json.loads(line)["message"] for line in ended.errors.splitlines()]
    assert "There is no token yet" in said.pop(0)
    assert [line.partition(":")[0] for line in said] == ["started", "SIGHUP", "SIGHUP", "stopped"]
    assert "2 workers" in said[0]


@pytest.mark.parametrize(("soft", "hard", "said"), [(80, 100, True), (80, 400, False)])
def test_too_few_files_for_its_connections_are_said_at_the_start(
    tmp_path: Path, soft: int, hard: int, *, said: bool
) -> None:
    """As far as the system allows, the server raises the limit itself."""
    words = ["serve", "--db", str(tmp_path / "remit.db"), "--port", "0", "--max-connections", "200"]
    process = subprocess.Popen(
        ["sh", "-c", f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"', "sh", *REMIT, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    _, errors = process.communicate(timeout=60)

    warning = (
        "this process may open 100 files, and 200 connections need 264: raise the limit "
        "(ulimit -n, LimitNOFILE= of systemd), or lower --max-connections"
    )
    assert (warning in errors) == said
