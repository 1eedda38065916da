"""`remit runs` says why a run failed, where, and in which step; and which runs were cancelled."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

import remit
from remit._runtime import setup
from remit.cli import main
from remit.collector import create_token, open_store
from remit.config import Settings
from remit.errors import DeniedError
from tests.collecting import World, on_a_port
from tests.subtests import each

MOMENT_S = 0.002
"""Runs are listed in the order of the milliseconds in which they began."""
LONG = "word " * 300
NAMES = [["Payer"], ["Streamer"], ["Worker"]]


@remit.span_type
def charge(order: int, note: str = "") -> None:
    """Ask a provider that does not answer."""
    del order, note
    try:
        raise ConnectionError("the socket is closed")  # noqa: TRY301 - a step that fails
    except ConnectionError as error:
        raise RuntimeError(f"no answer {LONG}end") from error


@remit.span_type
def pay_back(order: int) -> None:
    """Charge."""
    charge(order, LONG)


@remit.span_type
def look_up(order: int) -> None:
    """Fail in a way that the agent handles."""
    raise LookupError(order)


@remit.agent("Payer")
def payer(order: int) -> None:
    """Pay."""
    pay_back(order)


@remit.span_type(data_risk=remit.risk(allows="financial_transactions"))
def transfer(order: int) -> None:
    """Move money."""
    raise AssertionError(order)


@remit.span_type(data_risk=remit.risk(allows=(), forbids="financial_transactions"))
def settle(order: int) -> None:
    """Call what is denied."""
    transfer(order)


@remit.agent("Clerk", data_risk=remit.risk(forbids="financial_transactions"))
def clerk() -> None:
    """Handle the first denial only."""
    with suppress(DeniedError):
        look_up(7)
    settle(8)


@remit.agent("Worker")
def worker() -> None:
    """Handle a failure."""
    with suppress(LookupError):
        look_up(7)


@remit.agent("Streamer")
async def streamer() -> AsyncGenerator[int]:
    """Count."""
    for number in range(9):
        yield number


async def left_by_its_client() -> None:
    """Read the beginning of a stream that outlives the block of its run, as a web server does."""
    async with streamer.run():
        numbers = streamer()
    await anext(numbers)
    await numbers.aclose()


@dataclass(frozen=True)
class Place:
    """A server with its database."""

    url: str
    token: str
    db: Path

    def run(self, *words: str, there: bool = False) -> str:
        """Return what a command prints, of the database or of the server."""
        env = {"COLUMNS": "80", "NO_COLOR": "1"}
        if there:
            env |= {"REMIT_API_URL": self.url, "REMIT_API_TOKEN": self.token}
        else:
            words = (*words, "--db", str(self.db))
        result = CliRunner().invoke(main, ["runs", *words], env=env)
        assert result.exit_code == 0, result.output
        return result.stdout

    def listed(self, *, there: bool) -> dict[str, Any]:
        """Return the runs by the names of their agents and their subjects, as JSON lists them."""
        runs = json.loads(self.run("list", "--json", there=there))
        return {each["agent"]["name"] + str(number): each for number, each in enumerate(runs)}


def record(settings: Settings) -> None:
    """Record six runs, the last of which fails in a step."""
    with setup.isolated(settings) as runtime:
        with worker.run():
            worker()
        Event().wait(MOMENT_S)
        with suppress(ZeroDivisionError), worker.run():
            worker()
            _ = 1 / 0
        Event().wait(MOMENT_S)
        with suppress(ZeroDivisionError), worker.run():
            _ = 1 / 0
        Event().wait(MOMENT_S)
        asyncio.run(left_by_its_client())
        Event().wait(MOMENT_S)
        with suppress(KeyboardInterrupt), worker.run():
            raise KeyboardInterrupt
        Event().wait(MOMENT_S)
        with suppress(RuntimeError), payer.run():
            payer(7)
        assert runtime.flush(60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server with six runs."""
    folder = tmp_path_factory.mktemp("place")
    store = open_store(folder / "served.db")
    token = create_token(store, "account").secret
    with on_a_port(World(store).app) as url:
        record(Settings(api_url=url, api_token=SecretStr(token), data_dir=folder / "recording"))
        yield Place(url, token, folder / "served.db")
    store.close()


both = each("there", [False, True], ids=["a database", "a server"])


@both
def test_the_list_says_what_failed(there: bool, place: Place) -> None:
    """Below each failed run: the type of the error, and the step that failed first."""
    lines = place.run("list", there=there).splitlines()
    below = [line.strip() for line in lines if "✗" in line]
    assert below == [
        "✗ RuntimeError in charge",
        "✗ ZeroDivisionError in the block of the run",
        "✗ ZeroDivisionError in the block of the run",
    ]
    assert all(len(line) <= 80 for line in lines[:-1])


@both
def test_the_list_as_json_says_what_failed(there: bool, place: Place) -> None:
    """Beside the run as the API has it."""
    listed = place.listed(there=there)
    failure = listed["Payer0"]["failure"]
    assert failure["type"] == "RuntimeError"
    assert failure["step"].endswith(":charge")
    assert failure["at"].endswith(" in charge")
    assert listed["Worker3"]["failure"]["step"] is None
    assert listed["Worker5"]["failure"] is None
    assert [each["status"] for each in listed.values()] == [
        "failed",
        "cancelled",
        "cancelled",
        "failed",
        "failed",
        "complete",
    ]
    assert listed["Streamer2"]["run"]["status"] == "complete"


@both
def test_a_run_whose_root_span_was_cancelled_is_shown_as_cancelled(
    there: bool,
    place: Place,
) -> None:
    """The API knows only that it is complete."""
    lines = place.run("list", there=there).splitlines()
    runs = [line for line in lines if line.split()[1:2] in NAMES]
    assert [line.split()[2] for line in runs] == [
        "failed",
        "cancelled",
        "cancelled",
        "failed",
        "failed",
        "complete",
    ]
    key = runs[2].split()[0]
    assert place.run("show", key, there=there).splitlines()[0].split()[1] == "cancelled"
    assert json.loads(place.run("show", key, "--json", there=there))["status"] == "cancelled"
    spans = place.run("tail", key, "--json", there=there).splitlines()
    assert [json.loads(line)["status"] for line in spans] == ["cancelled", "cancelled"]


@both
def test_a_run_shows_place_and_causes_below_the_step_that_failed_first(
    there: bool,
    place: Place,
) -> None:
    """The steps around it show the error alone."""
    shown = place.run("show", there=there)
    lines = [line.strip(" │") for line in shown.splitlines()]
    place_of = r"(tests/unit/)?test_cli_failures\.py:\d+ in charge"
    first = next(i for i, line in enumerate(lines) if re.match(rf"at {place_of}$", line))
    assert lines[first - 1].startswith("✗ RuntimeError: no answer word")
    assert lines[first - 1].endswith("…")
    assert lines[first + 1] == "caused by ConnectionError: the socket is closed"
    assert re.match(rf"at {place_of}$", lines[first + 2])
    assert sum(line.startswith("at ") for line in lines) == 2
    assert all(len(line) <= 80 for line in shown.splitlines()[:-1])


@both
def test_a_run_says_why_it_failed_above_its_tree(there: bool, place: Place) -> None:
    """The step, the place and the whole message, as the page does."""
    head = place.run("show", there=there).partition("\n\n")[0]
    why = " ".join(line.strip() for line in head.splitlines())
    sentence = r"charge failed in (tests/unit/)?test_cli_failures\.py:\d+: RuntimeError: no answer "
    assert re.search(rf"{sentence}{LONG}end$", why)


@both
def test_full_shows_every_value_and_message_whole(there: bool, place: Place) -> None:
    """And all frames of the failure, the outer ones too."""
    shown = place.run("show", "--full", there=there)
    assert f'note="{LONG}"' in shown
    assert shown.count(f"✗ RuntimeError: no answer {LONG}end") == 3
    frames = shown.partition("frames, the innermost first:\n")[2]
    functions = [found[1] for found in re.finditer(r"\.py:\d+ in (\w+)$", frames, re.MULTILINE)]
    assert functions == ["charge", "pay_back", "payer", "record"]


@both
def test_the_error_in_the_block_of_a_run_is_shown_in_its_head(
    there: bool,
    place: Place,
) -> None:
    """No step shows it; one that failed before and was handled is shown as well."""
    keys = [each["run"]["external_identifier"] for each in place.listed(there=there).values()]
    shown = [line.strip() for line in place.run("show", keys[3], there=there).splitlines()]
    assert shown[0] == "Worker  failed  ZeroDivisionError"
    at = shown.index("✗ ZeroDivisionError: division by zero")
    assert re.match(r"at (tests/unit/)?test_cli_failures\.py:\d+ in record$", shown[at + 1])
    shown = [line.strip() for line in place.run("show", keys[4], there=there).splitlines()]
    assert "✗ ZeroDivisionError: division by zero" in shown
    assert any(line.startswith("✗ LookupError: 7") for line in shown)


def test_a_denial_is_the_failure_of_the_denied_step(tmp_path: Path) -> None:
    """The steps that its error passed through have a place in the code, and it has none."""
    database = tmp_path / "remit.db"
    store = open_store(database)
    token = SecretStr(create_token(store, "account").secret)
    with on_a_port(World(store).app) as url:
        settings = Settings(api_url=url, api_token=token, on_violation="deny", data_dir=tmp_path)
        with setup.isolated(settings) as runtime:
            with suppress(DeniedError), clerk.run():
                clerk()
            assert runtime.flush(60)
        place = Place(url, token.get_secret_value(), database)
        shown, below = place.run("show", "--full"), place.run("list")
        (listed,) = json.loads(place.run("list", "--json"))
    store.close()

    assert listed["failure"]["step"].endswith(":transfer")
    assert "✗ DeniedError in transfer" in below
    assert "  transfer was denied: DeniedError: " in shown
    frames = shown.partition("frames, the innermost first:\n")[2]
    assert re.findall(r"\.py:\d+ in (\w+)$", frames, re.MULTILINE)[:2] == ["settle", "clerk"]
