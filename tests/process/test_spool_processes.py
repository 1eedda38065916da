"""Real processes and one spool: they share the folder, end in every way, nothing is sent twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.delivering import hang
from tests.loopback import serving
from tests.processes import (
    HEIR,
    WRITING_EXIT_S,
    errors_of,
    inherit,
    left_in,
    settings,
    start,
    steps_in,
)
from tests.served import collector

PROCESSES = 8
RUNS = 5
WRONG_EXIT_S = 20.0
"""The exit ends with the refusal, which a busy machine gets late."""

RECORDING = """
import os, sys, time
import remit

@remit.span_type("step")
def step(number: int) -> int:
    return number

@remit.agent("Worker")
def agent(number: int) -> None:
    for each in range(10):
        step(number * 10 + each)

first, ending = int(sys.argv[1]), sys.argv[2]
for number in range(first, first + int(sys.argv[3])):
    agent(number)
if ending == "written":
    while (now := remit.status()).writer_lag_s or now.pending != now.spooled:
        time.sleep(0.01)
if ending != "end of main":
    os._exit(0)
"""


def remit(environ: dict[str, str], *words: str) -> str:
    """Run a command of remit, and return what it printed."""
    command = [sys.executable, "-m", "remit", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.smoke
def test_processes_that_end_abruptly_share_one_spool(tmp_path: Path) -> None:
    """All that each had written arrives once, and the folder is empty then."""
    with collector(tmp_path) as served:
        environ = settings(tmp_path, served.url, served.token)
        programs = [
            start(RECORDING, environ, each * RUNS, "written", RUNS) for each in range(PROCESSES)
        ]
        assert [errors_of(program) for program in programs] == [""] * PROCESSES
        inherit(environ)
    steps = steps_in(tmp_path)
    assert len(steps) == PROCESSES * RUNS * 10
    assert set(steps.values()) == {1}
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "token", "command"),
    [
        pytest.param("/console", None, "remit spool send --from {url}/console", id="URL"),
        pytest.param("", "mistyped", "remit spool send --all", id="token"),
    ],
)
def test_what_a_wrong_url_or_token_left_arrives_by_the_command_that_is_named(
    path: str, token: str | None, command: str, tmp_path: Path
) -> None:
    """Nothing is set aside, although a collector answers 404 to a wrong path."""
    with collector(tmp_path) as served:
        wrong = settings(
            tmp_path, served.url + path, token or served.token, exit_timeout_s=WRONG_EXIT_S
        )
        right = settings(tmp_path, served.url, served.token)
        (line,) = errors_of(start(RECORDING, wrong, 0, "end of main", RUNS)).splitlines()
        command = command.format(url=served.url)
        assert f"`{command}`" in line
        assert "the next process" not in line, "it would record for the mended URL or token"
        shown = remit(right, "spool", "status")
        assert f"`{command}` sends the items" in shown
        assert "set aside" not in shown
        assert f"Sent {RUNS * 15} items" in remit(right, *command.split()[1:])
    assert set(steps_in(tmp_path).values()) == {1}
    assert len(steps_in(tmp_path)) == RUNS * 10
    assert left_in(tmp_path) == []


def test_a_server_that_hangs_holds_neither_the_exit_nor_what_was_recorded(tmp_path: Path) -> None:
    """The program ends; one line of the log says where its items wait and how to send them."""
    with serving(hang) as url:
        # What is recorded is written at the exit: the disk of a busy machine is slow.
        environ = settings(tmp_path, url, "t", exit_timeout_s=WRITING_EXIT_S)
        errors = errors_of(start(RECORDING, environ, 0, "end of main", 5))
    (line,) = [text for text in errors.splitlines() if "deadline of the shutdown" in text]
    assert "75 recorded items" in line
    assert "the next process that records to this server sends them, or " in line
    assert str(tmp_path / "data" / "spool") in line
    assert (
        f"`remit spool send` (after a change of the api_url, `remit spool send --from {url}`)"
        in line
    )
    assert left_in(tmp_path) != []
    with collector(tmp_path) as served:
        errors_of(start(HEIR, settings(tmp_path, served.url, served.token)))
    assert left_in(tmp_path) != [], "what is for one server is never sent to another"
    assert not steps_in(tmp_path)
