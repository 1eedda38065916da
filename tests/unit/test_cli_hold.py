"""`remit hold`: holds of a database and of a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import remit
from remit._runtime import setup
from remit.cli import main
from remit.config import Settings
from tests.doctored import api
from tests.loopback import serving
from tests.subtests import each


@remit.agent("Desk")
def desk() -> str:
    """Answer."""
    return "done"


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a run."""
    folder = tmp_path_factory.mktemp("state")
    with setup.isolated(Settings(mode="local", data_dir=folder)) as runtime:
        desk()
        assert runtime.flush(60)
    return folder / "remit.db"


def run(*words: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, ["hold", *map(str, words)], env={"COLUMNS": "80"})


def test_a_hold_is_made_listed_and_lifted(db: Path) -> None:
    """By an action in place of a command; by the end of its id."""
    place = ("--db", db)
    assert "Nothing is on hold" in run("list", *place).output
    made = run("external_communication", "read_data", "--reason", "Wrong prices", *place)
    assert made.exit_code == 0, made.output
    assert "external_communication, read_data of all agents. Until it is lifted." in made.output
    (listed,) = json.loads(run("list", "--json", *place).stdout)
    assert (listed["reason"], listed["held_by"]) == ("Wrong prices", "holder of the database")
    text = run("list", *place).output
    assert "Wrong prices" in text
    assert listed["id"] in text
    lifted = run("lift", listed["id"][-8:], "--json", *place)
    assert json.loads(lifted.stdout)["lifted_by"] == "holder of the database"
    assert "0 holds in force" in run("lift", listed["id"], *place).output
    assert "Lifted by holder of the database" in run("list", "--all", *place).output


@each(("until", "hours"), [("2h", 2), ("1d", 24)])
def test_a_hold_ends_after_a_time(db: Path, until: str, hours: int) -> None:
    """It is about one agent, and about declared steps only."""
    words = ("--until", until, "--agent", "Desk", "--declared-only", "--json", "--db", db)
    made = json.loads(run("read_data", "--reason", "why", *words).stdout)
    ends = datetime.fromisoformat(made["until"])
    assert abs(ends - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(minutes=1)
    assert [agent["name"] for agent in made["agents"]] == ["Desk"]
    assert made["declared_only"] is True


def test_a_time_of_the_day_is_the_next_one(db: Path) -> None:
    """In local time."""
    words = ("--reason", "why", "--until", "09:00", "--json", "--db", db)
    ends = datetime.fromisoformat(json.loads(run("read_data", *words).stdout)["until"])
    assert timedelta() < ends - datetime.now(UTC) <= timedelta(days=1)
    assert (ends.astimezone().hour, ends.astimezone().minute) == (9, 0)


def test_another_server_has_no_holds() -> None:
    """The command says so, and makes none."""
    with serving(api({})) as url:
        for words in (("read_data", "--reason", "why"), ("list",), ("lift", "some-id")):
            env = {"REMIT_API_URL": url, "REMIT_API_TOKEN": "token"}
            result = CliRunner().invoke(main, ["hold", *words], env=env)
            assert result.exit_code != 0
            assert "does not have holds: it is not a remit collector" in result.output


@each(
    ("words", "said"),
    [
        (("read_data",), "Missing option '--reason'"),
        (("read_data", "--reason", " "), "must not be empty"),
        (("send_mail", "--reason", "why"), "Invalid value for 'ACTION': 'send_mail' is not one of"),
        (("read_data", "--reason", "why", "--agent", "Nobody"), "'Nobody' is no agent here"),
        (("read_data", "--reason", "why", "--until", "soon"), "is not a valid time"),
        (("lift", "nothing"), "0 holds in force"),
    ],
)
def test_what_is_wrong_is_said(db: Path, words: tuple[str, ...], said: str) -> None:
    """In one sentence."""
    result = run(*words, "--db", db)
    assert result.exit_code != 0
    assert said in " ".join(result.output.split())
