"""`remit db info` and `remit db vacuum`."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import open_store
from tests.collecting import World
from tests.stores import EACH_STORE, empty_database
from tests.terminals import on_a_terminal

RETENTION = {"REMIT_SERVE_RETAIN": "180d", "REMIT_SERVE_RETAIN_PAYLOADS": "30d"}


def run(*words: str, **env: str) -> Result:
    """Run a command of the group."""
    return CliRunner().invoke(main, ["db", *words], env=env)


@pytest.mark.parametrize("kind", EACH_STORE)
def test_what_a_database_holds_is_shown(kind: str, tmp_path: Path) -> None:
    """Its version, its size, how many runs and spans it has and from when they are."""
    with empty_database(kind, tmp_path) as named:
        store = open_store(named)
        api = World(store).account()
        ids = [api.instance()["id"] for _ in range(2)]
        for run_id in ids:
            for status in ("complete", "active"):
                api.span(run_id, status=status)
        newest = api.shown(ids[1])["inserted_at"]
        store.close()
        done = run("info", "--json", "--db", str(named), **RETENTION)
        found = json.loads(done.stdout)
        text = run("info", "--db", str(named)).stdout
    assert (found["version"], found["runs"], found["spans"]) == (7, 2, 4)
    assert (found["oldest"], found["newest"]) == (newest[:10], newest)
    assert found["retention"] == {"spans and runs": "180d", "payloads": "30d"}
    assert found["bytes"] > 4096
    assert re.search(r"^spans +4$", text, re.MULTILINE)
    assert re.search(r"^size +[\d.]+ [KM]iB$", text, re.MULTILINE)
    assert re.search(r"^retention +none set here$", text, re.MULTILINE)
    assert f"newest      {newest[:19]}Z" in text


@pytest.mark.parametrize("kind", EACH_STORE)
def test_vacuum_says_how_much_space_a_database_takes(kind: str, tmp_path: Path) -> None:
    """A file of SQLite is smaller when its data was deleted."""
    with empty_database(kind, tmp_path) as named:
        store = open_store(named)
        api = World(store).account()
        run_id = api.instance()["id"]
        for _ in range(20):
            api.span(run_id, payload={"text": "x" * 50_000})
        store.close()
        before = json.loads(run("info", "--json", "--db", str(named)).stdout)["bytes"]
        if kind == "sqlite":
            with closing(sqlite3.connect(named)) as connection:
                connection.execute("DELETE FROM span_payloads")
                connection.commit()
        done = run("vacuum", "--db", str(named))
        after = json.loads(run("info", "--json", "--db", str(named)).stdout)["bytes"]
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"Vacuumed .*: [\d.]+ [KM]iB before, [\d.]+ [KM]iB now\.\n", done.stdout)
    assert kind == "postgres" or after < before / 2


def test_a_database_that_another_process_reads_is_not_given_up(tmp_path: Path) -> None:
    """The log cannot be emptied while an older state is read: the same may work later."""
    store = open_store(tmp_path / "remit.db")
    World(store).account()
    store.close()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM accounts").fetchall()
        done = run("vacuum", "--db", store.path)
    assert done.exit_code == 1
    assert "the database is in use (" in done.stderr
    assert "try again later" in done.stderr
    assert run("vacuum", "--db", store.path).exit_code == 0


def test_vacuum_says_on_a_terminal_what_it_begins(tmp_path: Path) -> None:
    """It may take minutes."""
    store = open_store(tmp_path / "remit.db")
    World(store).account()
    store.close()
    first, last = on_a_terminal("db", "vacuum", "--db", store.path).splitlines()
    assert first.startswith(f"Vacuuming {store.path}, ")
    assert last.startswith(f"Vacuumed {store.path}: ")
