"""`remit doctor` while what was recorded waits for a server that does not take it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import remit
from tests.doctored import PONG, TOKEN, doctor, found, wrong
from tests.fake_api import FakeApi, refusal
from tests.inside import httpx
from tests.loopback import serving
from tests.processes import wait_until
from tests.spooling import in_child, wait_until_written
from tests.unconfigured import unconfigured

FULL = "the database cannot be used now"


class Disk:
    """A server that answers and takes the token, as one whose disk is full does.

    Attributes:
        full: Whether nothing can be written.
        api: What it took.
    """

    def __init__(self) -> None:
        """Begin with a full disk."""
        self.full = True
        self.api = FakeApi(rules=[self._answer])

    def _answer(self, path: str, body: dict[str, Any]) -> httpx.Response | None:
        if path.endswith("/ping"):
            return httpx.Response(200, json=PONG)
        if body.get("agent_version") == 0:
            return refusal(422, "validation_errors")
        return refusal(503, "unavailable", message=FULL) if self.full else None


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Start from a process that has configured nothing."""
    with unconfigured():
        yield


@remit.agent("Undelivered agent")
def agent() -> None:
    """Hold the runs of these tests."""


def configure(url: str, data_dir: Path) -> None:
    """Record for the server at *url*."""
    remit.configure(api_url=url, api_token=TOKEN, data_dir=data_dir, flush_interval_s=0.05)


def failures(data_dir: Path) -> list[Path]:
    """Return the files that say since when nothing could be delivered."""
    return [*data_dir.glob("undelivered-*.json")]


def leave(url: str, data_dir: Path) -> None:
    """Have a process be killed that could not deliver two runs."""

    def act() -> None:
        configure(url, data_dir)
        agent()
        agent()
        wait_until_written(remit.status)
        wait_until(lambda: bool(failures(data_dir)))
        os.kill(os.getpid(), signal.SIGKILL)

    in_child(act)


def asked(url: str, data_dir: Path) -> Result:
    """Run the command as the program is configured."""
    return doctor(REMIT_API_URL=url, REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(data_dir))


def test_what_waits_after_a_failed_attempt_is_wrong(tmp_path: Path) -> None:
    """It says how many items wait, since when, and why; the server itself looks well."""
    with serving(Disk().api.behave) as url:
        leave(url, tmp_path)
        result = asked(url, tmp_path)
        check = wrong(result)

        assert result.exit_code == 1
        assert (check["name"], check["code"]) == ("delivery", "undelivered")
        assert re.match(r"\d+ items wait: every attempt since .*Z has failed", check["message"])
        assert FULL in check["message"]
        assert "remit spool send" in check["advice"]
        assert found(result)["server"]["status"] == "ok"


def test_the_time_is_that_of_the_first_attempt_that_failed(tmp_path: Path) -> None:
    """Also if it was made by a process that has ended."""
    with serving(Disk().api.behave) as url:
        leave(url, tmp_path)
        (first,) = re.findall(r"since (\S+Z)", wrong(asked(url, tmp_path))["message"])
        configure(url, tmp_path)
        assert not remit.flush(2)
        wait_until(lambda: remit.status().last_error is not None)
        remit.shutdown(0.1)
        said = wrong(asked(url, tmp_path))["message"]
        assert f"since {first} " in said


def test_items_of_a_running_program_count_too(tmp_path: Path) -> None:
    """It tries again by itself, and nothing arrives meanwhile."""
    with serving(Disk().api.behave) as url:
        configure(url, tmp_path)
        agent()
        remit.flush(2)
        wait_until(lambda: bool(failures(tmp_path)))
        assert wrong(asked(url, tmp_path))["code"] == "undelivered"


def test_nothing_is_wrong_when_all_was_delivered_afterwards(tmp_path: Path) -> None:
    """The failure is forgotten, whichever process delivers."""
    disk = Disk()
    with serving(disk.api.behave) as url:
        leave(url, tmp_path)
        wrong(asked(url, tmp_path))
        disk.full = False
        configure(url, tmp_path)
        assert remit.flush(60)
        remit.shutdown(5)
        result = asked(url, tmp_path)
        assert "delivery" not in found(result)
        assert result.exit_code == 0
        assert sorted(run["status"] for run in disk.api.instances.values()) == ["complete"] * 2
        assert sorted(path.name for path in tmp_path.iterdir()) == ["spool"]


def test_a_failure_of_another_token_says_nothing_of_this_one(tmp_path: Path) -> None:
    """What waits for another server or token is a note, with the command that sends it."""
    with serving(Disk().api.behave) as url:
        leave(url, tmp_path)
        other = doctor(REMIT_API_URL=url, REMIT_API_TOKEN="another", REMIT_DATA_DIR=str(tmp_path))
        assert "delivery" not in found(other)
        assert "wait for another server or token" in found(other)["spool"]["message"]
