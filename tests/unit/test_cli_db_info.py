"""`remit db info` and `remit db vacuum`."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import open_store
from tests.collecting import World
from tests.inside_collector import VERSION
from tests.stores import EACH_STORE, empty_database
from tests.terminals import on_a_terminal

RETENTION = {"REMIT_SERVE_RETAIN": "180d", "REMIT_SERVE_RETAIN_PAYLOADS": "30d"}


def run(*words: str, **env: str) -> Result:
    """Run a command of the group."""
    return CliRunner().invoke(main, ["db", *words], env=env)


@pytest.mark.parametrize("kind", EACH_STORE)
def test_runs_of_a_program_with_a_wrong_clock_are_said(kind: str, tmp_path: Path) -> None:
    """Also before a deletion, which goes by that clock; the age is that of the storage."""
    with empty_database(kind, tmp_path) as named:
        store = open_store(named)
        api = World(store).account()
        for start in ("2026-03-01T00:00:00Z", None):
            run_id = api.instance("pending")["id"]
            api.post(f"/agent_instance/{run_id}/start", {"timestamp": start} if start else {})
        stored = api.shown(run_id)["inserted_at"]
        store.close()
        found = json.loads(run("info", "--json", "--db", str(named)).stdout)
        text = run("info", "--db", str(named)).stdout
        asked = run("retain", "--days", "30", "--db", str(named))
    sentence = "1 run began more than a day before or after it was stored"
    assert (found["oldest"], found["misdated"]) == (stored[:10], 1)
    assert re.search(rf"^clocks +{sentence}", text, re.MULTILINE)
    assert sentence in asked.stderr


def size_of(folder: Path) -> int:
    """Return the bytes of a database and its logs."""
    return sum(file.stat().st_size for file in folder.iterdir())


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
        text = run("info", "--db", str(named), **RETENTION).stdout
    assert (found["version"], found["runs"], found["spans"]) == (VERSION, 2, 4)
    assert (found["oldest"], found["newest"]) == (newest[:10], newest)
    assert "retention" not in found
    assert found["misdated"] == 0
    assert found["bytes"] > 4096
    assert re.search(r"^spans +4$", text, re.MULTILINE)
    assert re.search(r"^size +[\d.]+ [KM]iB$", text, re.MULTILINE)
    # That of a server is not that of this environment.
    assert re.search(r"^retention +set by --retain of the server", text, re.MULTILINE)
    assert "180d" not in text
    assert "clocks" not in text
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


def test_vacuum_waits_for_a_writer(tmp_path: Path) -> None:
    """It gives back the space while a collector writes one request after the other."""
    store = open_store(tmp_path / "remit.db")
    api = World(store).account()
    run_id = api.instance("active")["id"]
    for _ in range(20):
        api.span(run_id, payload={"text": "x" * 50_000})
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DELETE FROM span_payloads")
        connection.commit()
    before, stopped = size_of(tmp_path), threading.Event()

    def write() -> None:
        while not stopped.is_set():
            api.span(run_id)

    with ThreadPoolExecutor() as executor:
        writing = executor.submit(write)
        done = run("vacuum", "--db", store.path)
        stopped.set()
        writing.result()
    store.close()
    assert done.exit_code == 0, done.output
    assert size_of(tmp_path) < before / 2


def test_vacuum_beside_a_long_read_writes_nothing(tmp_path: Path) -> None:
    """The file would only grow: its log cannot be emptied. The same may work later."""
    store = open_store(tmp_path / "remit.db")
    World(store).account()
    store.close()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM accounts").fetchall()
        before = size_of(tmp_path)
        done = run("vacuum", "--db", store.path)
        assert size_of(tmp_path) < before + 10_000
    assert done.exit_code == 1
    assert "another process reads an older state of it" in done.stderr
    assert "nothing was changed: try again when it has ended" in done.stderr
    assert run("vacuum", "--db", store.path).exit_code == 0


def test_vacuum_says_on_a_terminal_what_it_begins(tmp_path: Path) -> None:
    """It may take minutes."""
    store = open_store(tmp_path / "remit.db")
    World(store).account()
    store.close()
    first, last = on_a_terminal("db", "vacuum", "--db", store.path).splitlines()
    assert first.startswith(f"Vacuuming {store.path}, ")
    assert last.startswith(f"Vacuumed {store.path}: ")
