"""`remit runs` and `remit token`: what is in a database of this machine."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import remit
from remit._runtime import setup
from remit.cli import main
from remit.client import Client
from remit.client._inprocess import InProcessTransport
from remit.collector import open_store
from remit.collector.local import open_app
from remit.config import Settings
from tests.collecting import World
from tests.subtests import each


@remit.span_type
def halve(number: int) -> float:
    """Return the half of a number."""
    return 1 / (number and 2 / number)


@remit.agent("Halver")
def halver(numbers: list[int]) -> int:
    """Halve numbers; count those that worked."""
    done = 0
    for number in numbers:
        try:
            done += bool(halve(number))
        except ZeroDivisionError:
            continue
    return done


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with three runs."""
    folder = tmp_path_factory.mktemp("state")
    settings = Settings(mode="local", data_dir=folder)
    with setup.isolated(settings) as runtime:
        for numbers in ([2, 4], [0], []):
            with halver.run(purpose="eval", labels={"size": len(numbers)}):
                halver(numbers)
            # Two runs of one millisecond have no order.
            ended_ms = wall_ms()
            while wall_ms() == ended_ms:
                pass
        assert runtime.flush(60)
    return folder / "remit.db"


def wall_ms() -> int:
    """Return the milliseconds of the clock."""
    return time.time_ns() // 1_000_000


def run(*words: str, **env: str) -> Result:
    """Run a command, eighty columns wide."""
    return CliRunner().invoke(main, list(words), env={"COLUMNS": "80", **env})


def runs(db: Path) -> list[str]:
    """Return the keys of the runs, the newest first."""
    listed = json.loads(run("runs", "list", "--db", str(db), "--json").stdout)
    return [each["run"]["external_identifier"] for each in listed]


def test_the_newest_runs_are_listed_first(db: Path) -> None:
    """With status, begin, duration and how many steps, failed ones apart."""
    lines = run("runs", "list", "--db", str(db)).stdout.splitlines()
    assert lines[0].split() == ["RUN", "AGENT", "STATUS", "STARTED", "TOOK", "SPANS"]
    assert [re.split(r"\s{2,}", line)[-1] for line in lines[1:4]] == ["1", "2, 1 failed", "3"]
    assert all("  Halver  " in line and "  complete  " in line for line in lines[1:4])
    assert all(len(line) <= 80 for line in lines[:4])


def test_as_many_are_listed_as_are_asked_for(db: Path) -> None:
    """For a database of years."""
    assert len(json.loads(run("runs", "list", "-n", "2", "--db", str(db), "--json").stdout)) == 2


@pytest.mark.parametrize("chars", [26, 20])
def test_a_run_is_shown_by_its_key_or_the_beginning_of_it(chars: int, db: Path) -> None:
    """As a commit is named in git."""
    key = runs(db)[1]
    shown = run("runs", "show", key[:chars], "--db", str(db))
    assert f" {key}\n" in shown.stdout
    assert "ZeroDivisionError: " in shown.stdout


def test_a_run_is_shown_by_its_id(db: Path) -> None:
    """The server's; other clients know no key."""
    shown = json.loads(run("runs", "show", runs(db)[0], "--db", str(db), "--json").stdout)
    again = run("runs", "show", shown["run"]["id"], "--db", str(db), "--json").stdout
    assert json.loads(again) == shown


def test_the_last_run_is_shown_without_a_name(db: Path) -> None:
    """That is what is looked for most."""
    shown = json.loads(run("runs", "show", "--db", str(db), "--json").stdout)
    assert shown["run"]["external_identifier"] == runs(db)[0]
    assert shown["agent"]["external_identifier"].endswith(":halver")
    assert [span["schema_name"].rpartition(":")[2] for span in shown["spans"]] == ["run", "halver"]


def test_the_last_steps_are_shown_in_order_with_the_names_of_the_tree(db: Path) -> None:
    """Without the span that stands for the whole run, which the tree does not show either."""
    lines = run("runs", "tail", "--db", str(db)).stdout.splitlines()
    shown = [re.split(r" {2,}", line) for line in lines[:-1]]
    newest, failed, first = runs(db)
    assert [(line[1], line[4].partition(" ")[0]) for line in shown] == [
        (first[-8:], "halver"),
        (first[-8:], "halve"),
        (first[-8:], "halve"),
        (failed[-8:], "halver"),
        (failed[-8:], "halve"),
        (newest[-8:], "halver"),
    ]
    assert lines[-1] == f"Read from {db}."
    assert run("runs", "tail", "-n", "2", "--db", str(db)).stdout.splitlines() == lines[-3:]


def test_the_number_of_spans_is_that_of_the_steps_shown(db: Path) -> None:
    """In the list, in the head of the tree and above the risk."""
    key = runs(db)[1]
    shown = run("runs", "show", key, "--risk", "--db", str(db)).stdout
    assert re.search(r"^  spans +2, 1 failed$", shown, re.MULTILINE)
    assert "Risk  2 spans" in shown


def test_the_tree_is_shown_without_colours_when_no_terminal_reads_it(db: Path) -> None:
    """Statuses are words."""
    shown = run("runs", "show", runs(db)[1], "--db", str(db)).stdout
    assert "\x1b" not in shown
    assert re.search(r"^└─ halve +failed ", shown, re.MULTILINE)


@each(
    ("words", "said"),
    [
        pytest.param(("show", "zzzz"), "there is no run 'zzzz' in ", id="none"),
        pytest.param(("show", "0"), "3 runs begin with '0' (", id="several"),
    ],
)
def test_a_run_that_is_not_there_or_not_the_only_one_is_told(
    words: tuple[str, ...], said: str, db: Path
) -> None:
    """In one sentence, with status 1."""
    result = run("runs", *words, "--db", str(db))
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_without_a_database_it_is_said_where_one_was_looked_for(tmp_path: Path) -> None:
    """The one of local mode, by the settings."""
    result = run("runs", "list", REMIT_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert str(tmp_path / "remit.db") in result.stderr


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """Somebody's letter, for instance."""
    (tmp_path / "letter").write_text("Dear Ada, " * 1000)
    result = run("runs", "list", "--db", str(tmp_path / "letter"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr


def test_an_empty_database_has_no_runs(tmp_path: Path) -> None:
    """A server that nobody has used yet."""
    path = str(tmp_path / "new.db")
    run("token", "create", "--db", path)
    assert run("runs", "list", "--db", path).stdout == f"No runs yet in {path}.\n"
    assert f"there are no runs yet in {path}" in run("runs", "show", "--db", path).stderr


def test_a_token_is_printed_alone_and_its_secret_is_nowhere_else(tmp_path: Path) -> None:
    """For scripts: `REMIT_API_TOKEN=$(remit token create --quiet)`."""
    path = tmp_path / "new.db"
    secret = run("token", "create", "--quiet", "--db", str(path)).stdout
    assert re.fullmatch(r"\S{20,}\n", secret)
    listed = run("token", "list", "--db", str(path))
    assert secret.strip() not in listed.stdout
    for file in path.parent.iterdir():
        assert secret.strip().encode() not in file.read_bytes()


def test_a_token_is_written_to_a_new_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    """`> token` would make a file that everybody on the machine can read."""
    file, create = tmp_path / "token", ("token", "create", "--db", str(tmp_path / "new.db"))
    umask = os.umask(0)
    try:
        made = run(*create, "--to", str(file))
    finally:
        os.umask(umask)
    assert made.exit_code == 0, made.output
    assert file.stat().st_mode & 0o777 == 0o600
    secret = file.read_text()
    assert re.fullmatch(r"\S{20,}\n", secret)
    assert secret.strip() not in made.output
    assert str(file) in made.output

    again = run(*create, "--to", str(file))
    astray = run(*create, "--to", str(tmp_path / "none" / "token"))
    assert (again.exit_code, astray.exit_code) == (1, 1)
    assert f"{file} exists already" in again.stderr
    assert "cannot be written: No such file or directory" in astray.stderr
    assert file.read_text() == secret
    wrong = run("token", "create", "--db", str(tmp_path / "new.db" / "no"), "--to", f"{file}2")
    assert wrong.exit_code == 1
    assert not Path(f"{file}2").exists()
    listed = run("token", "list", "--db", str(tmp_path / "new.db"), "--json").stdout
    assert len(json.loads(listed)) == 1


def test_a_token_of_one_agent_is_listed_with_it_until_it_is_revoked(db: Path) -> None:
    """The agent may be named as people see it, as the code has it, or by its id."""
    source = json.loads(run("runs", "show", "--db", str(db), "--json").stdout)["agent"]
    for name in (source["name"], source["external_identifier"], source["id"]):
        made = run(
            "token", "create", "--scope", "agent_deployment", "--agent", name, "--db", str(db)
        )
        assert made.exit_code == 0, made.stderr
    tokens = json.loads(run("token", "list", "--db", str(db), "--json").stdout)
    assert {each["agent_id"] for each in tokens} == {source["id"]}
    revoked = run("token", "revoke", tokens[0]["id"], "--db", str(db))
    assert revoked.stdout == f"Revoked {tokens[0]['id']} in {db}.\n"
    lines = run("token", "list", "--db", str(db)).stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["revoked", "active", "active"]
    assert all(line.endswith("  Halver") for line in lines[1:])


def test_an_agent_that_cannot_be_told_from_others_gets_no_token(tmp_path: Path) -> None:
    """Two of one name are told by their ids, which need an external identifier here."""
    app, token = open_app(tmp_path)
    with Client(api_token=token, transport=InProcessTransport(app)) as client:
        one, other = client.agents.create(name="Twin"), client.agents.create(name="Twin")
    db = str(tmp_path / "remit.db")
    create = ("token", "create", "--db", db, "--scope", "agent_deployment", "--agent")
    several = run(*create, "Twin")
    assert (several.exit_code, one.id in several.stderr, other.id in several.stderr) == (1, 1, 1)
    nameless = run(*create, one.id)
    assert (nameless.exit_code, "no external identifier" in nameless.stderr) == (1, True)


def test_a_database_that_is_damaged_is_told_without_a_traceback(db: Path, tmp_path: Path) -> None:
    """The header is whole, what follows is not."""
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    damaged = tmp_path / "damaged.db"
    whole = db.read_bytes()
    damaged.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    result = run("runs", "list", "--db", str(damaged))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@each(
    ("words", "exit_code", "said"),
    [
        pytest.param(("create", "--scope", "agent_deployment"), 2, "needs --agent", id="no-agent"),
        pytest.param(("create", "--agent", "a"), 2, "does not accept --agent", id="agent"),
        pytest.param(("create", "--scope", "all"), 2, "agent_deployment", id="scope"),
        pytest.param(("revoke", "x"), 1, "there is no token x", id="unknown"),
    ],
)
def test_a_wrong_use_of_tokens_is_told(
    words: tuple[str, ...], exit_code: int, said: str, db: Path
) -> None:
    """Usage with status 2, the rest with 1."""
    result = run("token", *words, "--db", str(db))
    assert (result.exit_code, said in result.stderr) == (exit_code, True), result.stderr


def test_no_tokens_are_listed_as_none(tmp_path: Path) -> None:
    """With the command that makes one."""
    path = str(tmp_path / "new.db")
    made = run("token", "create", "--db", path).stdout
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM api_tokens")
    connection.close()
    assert "Shown this once" in made
    assert "remit token create" in run("token", "list", "--db", path).stdout


def test_tokens_are_listed_where_a_run_counted_some(tmp_path: Path) -> None:
    """As on the page; a list without any has no column for them."""
    path = tmp_path / "remit.db"
    api = World(open_store(path)).account()
    for usage in (None, {"prompt_tokens": 40, "completion_tokens": 8}):
        result = {} if usage is None else {"token_usage": usage}
        run_id = api.instance()["id"]
        api.span(run_id, status="complete", result_payload=result)

    head, newest, oldest, *_ = run("runs", "list", "--db", str(path)).stdout.splitlines()

    assert head.split() == ["RUN", "AGENT", "STATUS", "STARTED", "TOOK", "TOKENS", "SPANS"]
    assert newest.split()[-2:] == ["48", "1"]
    assert oldest.split()[-1] == "1"
    assert "48" not in oldest.split()
