"""A program in a process of its own, whose step an operator holds at the server."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.collecting import Api
from tests.processes import lasted_s, settings, start, wait_until
from tests.served import Served, collector

HOLDS: Final = "/api/remit/v1/holds"
WITHIN_S: Final = 2.0
SLOW_S: Final = 2.0
"""What a busy machine may take beyond that."""
HELD_S: Final = 12.0
"""Duration of the hold in seconds: a program learns of it in time on a busy machine too."""

PROGRAM: Final = """
import sys, threading
import remit
from remit.errors import DeniedError

pause = threading.Event()

@remit.span_type(data_risk=remit.risk(allows="external_communication"))
def send_mail():
    return "sent"

@remit.span_type
def undeclared():
    return "ran"

@remit.span_type(data_risk=remit.risk(allows="read_data", forbids="others"))
def look_up():
    return "found"

def attempt(step):
    try:
        return step()
    except DeniedError as error:
        return error.for_model()

@remit.agent
def desk(idle_s):
    remit.flush()
    print("ready", flush=True)
    last = None
    while True:
        pause.wait(idle_s)
        if idle_s < 1:
            look_up()
        now = f"{attempt(send_mail)} | {attempt(undeclared)} | {attempt(look_up)}"
        if now != last:
            print(now, flush=True)
        last = now

desk(float(sys.argv[1]))
"""
FREE: Final = "sent | ran | found\n"


def hold(api: Api, **fields: Any) -> str:
    """Make a hold; return its id."""
    body = {"actions": ["external_communication"], "reason": "Wrong prices.", **fields}
    response = api.http.post(HOLDS, json=body)
    assert response.status_code == 200, response.text
    hold_id: str = response.json()["hold"]["id"]
    return hold_id


def program(served: Served, folder: Path, setting: str, idle_s: float) -> Any:
    """Start the program."""
    environ = settings(folder, served.url, served.token)
    environ |= {"REMIT_FLUSH_INTERVAL_S": "0.2", "REMIT_ON_VIOLATION": setting}
    return start(PROGRAM, environ, str(idle_s))


def within(read: Callable[[], str]) -> str:
    """Return a line that comes within two seconds of now."""
    line, took_s = lasted_s(read)
    assert took_s < WITHIN_S + SLOW_S
    return line


@pytest.mark.parametrize("setting", ["observe", "deny", "terminate"])
def test_a_hold_denies_within_two_seconds(tmp_path: Path, setting: str) -> None:
    """Whatever the setting says: also a step that declares nothing; until it is lifted."""
    with collector(tmp_path) as served, program(served, tmp_path, setting, 0.05) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == FREE
        hold_id = hold(served.api)
        sent, undeclared, found = within(process.stdout.readline).split(" | ")
        assert sent.startswith(
            "Policy denied this step and it did not run, because it involves external "
            "communication, which is on hold. The reason is: Wrong prices. Do not call it again"
        )
        assert "it may involve external communication, which is on hold" in undeclared
        assert found == "found\n"

        served.api.http.post(f"{HOLDS}/{hold_id}/lift", json={})
        assert within(process.stdout.readline) == FREE
        process.kill()


def test_a_program_that_only_waits_hears_of_a_hold(tmp_path: Path) -> None:
    """It asks while its run is open, so that the first step after a long wait is denied."""
    with collector(tmp_path) as served, program(served, tmp_path, "observe", 5.0) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == FREE
        hold(served.api, declared_only=True)
        line, took_s = lasted_s(process.stdout.readline)
        assert took_s < 5.0 + SLOW_S
        sent, undeclared, _ = line.split(" | ")
        assert "on hold" in sent
        assert undeclared == "ran"
        process.kill()


def test_a_hold_ends_by_itself(tmp_path: Path) -> None:
    """At its time, without an answer of the server."""
    with collector(tmp_path) as served, program(served, tmp_path, "observe", 0.05) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == FREE
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + HELD_S))
        hold(served.api, until=until)
        assert "on hold" in within(process.stdout.readline)
        assert process.stdout.readline() == FREE
        process.kill()


def test_the_record_says_which_hold_denied_a_step(tmp_path: Path) -> None:
    """The hold, by whom and why, in the result of the denied span; and the process is known."""
    with collector(tmp_path) as served, program(served, tmp_path, "deny", 0.05) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdout.readline() == FREE
        hold_id = hold(served.api)
        assert "on hold" in process.stdout.readline()

        def listed() -> dict[str, Any]:
            (only,) = served.api.http.get(HOLDS, params={"counts": "true"}).json()["holds"]
            found: dict[str, Any] = only
            return found

        wait_until(lambda: listed()["denied"] > 0)
        process.kill()
        assert listed()["runs"] == 1
        denied = served.api.http.get(
            "/api/remit/v1/spans", params={"flag": "denied", "payloads": "true", "limit": "1"}
        ).json()["spans"][0]
        (violation,) = denied["result_payload"]["error"]["violations"]
        assert violation["hold"] == hold_id
        assert violation["limit"] == "held"
        assert violation["reason"] == "Wrong prices."
        assert violation["held_by"].startswith("API, token ")
        assert hold_id in violation["sentence"]
